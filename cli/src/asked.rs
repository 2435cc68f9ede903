//! How much privacy a question shall spend, as it was said: an epsilon, a rho, or the margin of error that a column shall have.
//!
//! A margin becomes a rho here, before the question is signed, by the public rules from which margins are shown. What is signed is that rho:
//! agents and coordinator need not know what it was meant for.

use commun_domain::contract::DataContract;
use commun_domain::plan::PrivatePlan;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::{Delta, Epsilon, Refusal, Rho, WireCode};
use commun_privacy::accountant::{epsilon_for_rho, rho_for_epsilon};
use commun_privacy::price::{self, MarginTarget, TargetError, margin_at, rho_for_margin};
use commun_sql::compile;
use commun_trust::Shape;

use crate::error::CliError;
use crate::settings::Settings;

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A loss.
    Price(PriceRequest),
    /// A precision.
    Margin(MarginTarget),
}

/// A limit on the price, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct Limit<'a> {
    /// In words, after "more than".
    pub of: &'a str,
    /// The most.
    pub rho: Rho,
}

/// From the flags `epsilon`, `rho` and `margin`, of which at most one is given; else from `SET`; else the default.
pub fn asked(flags: [Option<&String>; 3], set: &Settings, default: Option<Epsilon>) -> Result<Asked, CliError> {
    let usage = |e: commun_domain::units::UnitError| CliError::Usage(e.to_string());
    let flagged = flags.iter().any(Option::is_some);
    let [epsilon, rho, margin] = if flagged { flags } else { [set.epsilon.as_ref(), set.rho.as_ref(), set.margin.as_ref()] };
    if let Some(margin) = margin {
        return Ok(Asked::Margin(target(margin)?));
    }
    let price = match (epsilon, rho) {
        (_, Some(rho)) => PriceRequest::Rho(Rho::parse(rho).map_err(usage)?),
        (Some(epsilon), None) => PriceRequest::Epsilon(Epsilon::parse(epsilon).map_err(usage)?),
        (None, None) => PriceRequest::Epsilon(default.ok_or_else(|| {
            CliError::Usage("say how much privacy to spend: --epsilon, --rho or --margin, or epsilon in the profile".to_owned())
        })?),
    };
    Ok(Asked::Price(price))
}

/// `50` or `column=50`; the sign of a margin may stand before the number.
fn target(text: &str) -> Result<MarginTarget, CliError> {
    let (column, number) = text.rsplit_once('=').map_or((None, text), |(column, number)| (Some(column.trim().to_owned()), number));
    let number = number.trim();
    let bare = number.strip_prefix('±').or_else(|| number.strip_prefix("+-")).unwrap_or(number);
    let margin = bare.parse::<f64>().ok().filter(|margin| margin.is_finite() && *margin > 0.0);
    let margin = margin.ok_or_else(|| CliError::Usage(format!("\"{text}\" is no margin; write for example 50, or people=50")))?;
    Ok(MarginTarget { column, margin })
}

impl Asked {
    /// The request that is signed. `shape`: the cohort that is expected, since the noise of each member is in the sum. Says what a margin costs.
    pub fn resolve(
        &self,
        sql: &str,
        contract: &DataContract,
        settings: QuerySettings,
        shape: Shape,
        limits: &[Limit<'_>],
    ) -> Result<PriceRequest, CliError> {
        let target = match self {
            Self::Price(price) => return Ok(*price),
            Self::Margin(target) => target,
        };
        let plan = compile(sql, contract, &settings)?;
        let priced = match rho_for_margin(&plan, target, shape.members, shape.honest) {
            Err(TargetError::Unreachable { ref column }) if !limits.is_empty() => {
                return Err(beyond(&plan, target, column, limits, shape).into());
            }
            other => other.map_err(impossible)?,
        };
        let charged = price::price(&plan, priced.rho).map_err(|e| CliError::Document(e.to_string()))?.rho;
        if let Some(limit) = limits.iter().filter(|limit| limit.rho < charged).min_by_key(|limit| limit.rho) {
            return Err(too_dear(&plan, target, &priced.column, charged, limit, shape).into());
        }
        eprintln!(
            "a margin of ±{:.2} for {} costs rho {charged} (epsilon {:.4} at delta {}) for each holder and period, with {} holder(s) of which the noise of {} counts",
            priced.margin,
            priced.column,
            epsilon_for_rho(charged, contract.delta_conv),
            contract.delta_conv,
            shape.members,
            shape.honest
        );
        Ok(PriceRequest::Rho(priced.rho))
    }
}

/// A request as rho, by the data contract's delta.
pub fn rho_of(price: PriceRequest, delta_conv: Delta) -> Result<Rho, CliError> {
    match price {
        PriceRequest::Rho(rho) => Ok(rho),
        PriceRequest::Epsilon(epsilon) => rho_for_epsilon(epsilon, delta_conv).map_err(|e| CliError::Usage(e.to_string())),
    }
}

fn impossible(error: TargetError) -> CliError {
    match error {
        TargetError::Price(error) => CliError::Document(error.to_string()),
        other => CliError::Usage(other.to_string()),
    }
}

/// A margin that not even the highest price gives.
fn beyond(plan: &PrivatePlan, target: &MarginTarget, column: &str, limits: &[Limit<'_>], shape: Shape) -> Refusal {
    let error = TargetError::Unreachable { column: column.to_owned() };
    let tightest = limits.iter().min_by_key(|limit| limit.rho);
    let hint = tightest.map_or_else(String::new, |limit| what_it_is(plan, column, limit, shape));
    Refusal::new(WireCode::OverBudget, format!("±{} for {column}: {error}", target.margin), hint)
}

/// The margin that a limit pays.
fn what_it_is(plan: &PrivatePlan, column: &str, limit: &Limit<'_>, shape: Shape) -> String {
    // The price is one unit above what is asked for, and one more where there are names.
    let above = Rho::from_units(if plan.open_key().is_some() { 2 } else { 1 });
    let within = limit.rho.checked_sub(above).filter(|rho| *rho > Rho::ZERO);
    let margin = within.and_then(|rho| margin_at(plan, column, rho, shape.members, shape.honest));
    margin.map_or_else(
        || "a smaller question costs less".to_owned(),
        |margin| format!("for rho {} it is ±{margin:.2}; fewer columns cost less, and EXPLAIN shows what coarser groups give", limit.rho),
    )
}

fn too_dear(plan: &PrivatePlan, target: &MarginTarget, column: &str, charged: Rho, limit: &Limit<'_>, shape: Shape) -> Refusal {
    // Two prices that look alike are told apart by their units.
    let digits = |rho: Rho| {
        if charged.to_string() == limit.rho.to_string() { format!("{rho}, {} units of 2^-40", rho.units()) } else { rho.to_string() }
    };
    let (costs, most) = (digits(charged), digits(limit.rho));
    let message = format!("a margin of ±{} for {column} costs rho {costs}, more than {} (rho {most})", target.margin, limit.of);
    Refusal::new(WireCode::OverBudget, message, what_it_is(plan, column, limit, shape))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use commun_domain::contract_toml::parse_contract;
    use commun_trust::cohort::usual;

    const CONTRACT: &str = include_str!("../../docs/reference/mobility.toml");
    const SQL: &str = "SELECT mode, COUNT(DISTINCT subscriber_id) AS people, COUNT(*) AS n FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY mode";

    fn settings() -> QuerySettings {
        QuerySettings { price: PriceRequest::Rho(Rho::ZERO), max_groups_per_person: 1, intervals: true, clipped: false }
    }

    fn margin(text: &str) -> Asked {
        asked([None, None, Some(&text.to_owned())], &Settings::default(), None).unwrap()
    }

    #[test]
    fn a_flag_goes_before_a_setting_and_a_setting_before_the_profile() {
        let set = Settings { margin: Some("people = 50".to_owned()), ..Settings::default() };
        let one = Epsilon::from_units(1_000_000);
        let default = Some(one);
        let named = MarginTarget { column: Some("people".to_owned()), margin: 50.0 };
        assert_eq!(asked([None; 3], &set, default).unwrap(), Asked::Margin(named));
        let rho = Asked::Price(PriceRequest::Rho(Rho::from_units(1 << 39)));
        assert_eq!(asked([None, Some(&"0.5".to_owned()), None], &set, default).unwrap(), rho);
        assert_eq!(asked([None; 3], &Settings::default(), default).unwrap(), Asked::Price(PriceRequest::Epsilon(one)));
        assert!(asked([None; 3], &Settings::default(), None).unwrap_err().to_string().contains("--margin"));
        assert_eq!(margin("±50"), Asked::Margin(MarginTarget { column: None, margin: 50.0 }));
        assert_eq!(margin("+-2.5"), Asked::Margin(MarginTarget { column: None, margin: 2.5 }));
        for bad in ["", "0", "-5", "much", "people", "people=", "nan", "inf"] {
            assert!(asked([None, None, Some(&bad.to_owned())], &Settings::default(), None).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_margin_becomes_the_rho_that_is_signed() {
        let contract = parse_contract(CONTRACT).unwrap();
        let resolved = |holders| margin("50").resolve(SQL, &contract, settings(), usual(holders).unwrap(), &[]).unwrap();
        let (PriceRequest::Rho(one), PriceRequest::Rho(three)) = (resolved(1), resolved(3)) else { unreachable!("a rho") };
        // Three halves of a noise have one and a half times the variance of one.
        assert!((three.to_f64() / one.to_f64() - 1.5).abs() < 0.01, "{one} {three}");
        let error = margin("nobody=50").resolve(SQL, &contract, settings(), usual(1).unwrap(), &[]).unwrap_err().to_string();
        assert!(error.contains("name one of people, n"), "{error}");
    }

    #[test]
    fn a_margin_beyond_a_limit_is_refused_with_what_the_limit_gives() {
        let contract = parse_contract(CONTRACT).unwrap();
        let limits =
            [Limit { of: "the permit's", rho: Rho::parse("0.01").unwrap() }, Limit { of: "yours", rho: Rho::parse("0.001").unwrap() }];
        let CliError::Refused(refusal) = margin("5").resolve(SQL, &contract, settings(), usual(3).unwrap(), &limits).unwrap_err() else {
            unreachable!("a refusal")
        };
        assert_eq!(refusal.code, WireCode::OverBudget);
        assert!(
            refusal.message.contains("±5 for people") && refusal.message.contains("more than yours (rho 0.001)"),
            "{}",
            refusal.message
        );
        // What the hint names is what that price gives.
        let shown: f64 = refusal.hint.split('±').nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
        let Asked::Margin(again) = margin(&format!("{}", shown + 0.01)) else { unreachable!("a margin") };
        assert!(Asked::Margin(again).resolve(SQL, &contract, settings(), usual(3).unwrap(), &limits).is_ok(), "{}", refusal.hint);
    }

    /// Names take a share of the rho that is found and cost a unit of their own, so that the margin that is promised is that of the numbers.
    #[test]
    fn a_margin_over_an_open_group_key_pays_for_names_too() {
        let contract = parse_contract(CONTRACT).unwrap();
        let open = SQL.replace("mode", "employer");
        let resolved = |sql: &str| margin("50").resolve(sql, &contract, settings(), usual(3).unwrap(), &[]).unwrap();
        let (PriceRequest::Rho(declared), PriceRequest::Rho(names)) = (resolved(SQL), resolved(&open)) else { unreachable!("a rho") };
        // Two of two shares, and two of three.
        assert!((names.to_f64() / declared.to_f64() - 1.5).abs() < 0.01, "{declared} {names}");
        let plan = compile(&open, &contract, &settings()).unwrap();
        let charged = price::price(&plan, names).unwrap().rho;
        assert_eq!(charged.units(), names.units() + 2);
        assert!(margin_at(&plan, "people", names, 3, 2).unwrap() <= 50.0);
        // A limit of exactly that is enough, and one unit less is not.
        let limit = |units: u64| [Limit { of: "yours", rho: Rho::from_units(units) }];
        assert!(margin("50").resolve(&open, &contract, settings(), usual(3).unwrap(), &limit(charged.units())).is_ok());
        assert!(margin("50").resolve(&open, &contract, settings(), usual(3).unwrap(), &limit(charged.units() - 1)).is_err());
    }
}
