//! `commun explain`: price, what is left, and how precise the answer would be, also at half and at double the price, and for coarser groups.
//!
//! Margins are computed here, from the plan that this side compiled; what is left of budgets, and how many holders are listed, is the coordinator's word. `commun try` shows
//! the same without a coordinator.

use std::io::Write;
use std::path::Path;

use commun_domain::contract::DataContract;
use commun_domain::plan::PrivatePlan;
use commun_domain::{Delta, Rho};
use commun_privacy::accountant::epsilon_for_rho;
use commun_privacy::answer::{expected_clipped_margin, expected_margins, expected_rank_margins};
use commun_privacy::ledger::Loss;
use commun_privacy::price::{self, noise, statement};
use commun_proto::v1::PartitionBudget;
use commun_trust::{Shape, TrustState, cohort};

use crate::args::ExplainArgs;
use crate::client::Client;
use crate::coarser::coarser;
use crate::error::CliError;
use crate::output::plain_table;
use crate::profile::Profile;
use crate::query::{sign_question, text_of, warn};
use crate::settings;

/// `commun explain`
pub async fn explain(config: Option<&Path>, args: &ExplainArgs) -> Result<(), CliError> {
    let profile = Profile::load(config)?;
    let text = text_of(args.question.file.as_deref(), args.question.sql.as_deref())?;
    // The word may stand there too.
    explain_text(&profile, args, &settings::without_explain(&text)?.1).await
}

/// Explains a text that no longer says EXPLAIN.
pub async fn explain_text(profile: &Profile, args: &ExplainArgs, text: &str) -> Result<(), CliError> {
    let client = Client::connect(profile).await?;
    let (state, ignored) = client.catalog().await?;
    warn(&ignored);
    let question = sign_question(profile, &state, &args.question, true, text)?;
    let admitted = Client::admit(&state, &question)?;
    let reply = client.explain(&question).await?;

    let explained = Explained {
        contract: &admitted.contract,
        plan: &admitted.plan,
        rho: admitted.rho,
        shape: expected(&state, &admitted.contract, admitted.query.least_honest)?,
        values_per_row: args.values_per_row,
    };
    let mut facts = explained.facts()?;
    if reply.stored {
        facts.add_row(["stored", "an earlier result release answers this, free"]);
    }
    facts.add_row(["holders".to_owned(), format!("{} listed, {} connected", reply.holders_listed, reply.holders_connected)]);
    for budget in &reply.budgets {
        facts.add_row([format!("left in {}", budget.partition), left(budget, admitted.whole)]);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{facts}\n").map_err(CliError::Output)?;
    explained.write(&mut out)
}

/// The cohort of every listed holder, by what the roster says of them.
pub(crate) fn expected(state: &TrustState, contract: &DataContract, least_honest: u32) -> Result<Shape, CliError> {
    let listed: Vec<_> = state.roster().into_iter().flat_map(|roster| roster.for_dataset(&contract.name)).collect();
    Ok(cohort::expected(&listed, least_honest)?)
}

fn stated(rho: Rho, delta: Delta) -> String {
    format!("rho {rho} (epsilon {:.4} at delta {delta})", epsilon_for_rho(rho, delta))
}

fn left(budget: &PartitionBudget, price: Loss) -> String {
    let (permit, contract) = (Rho::from_units(budget.permit_left_rho_units), Rho::from_units(budget.contract_left_rho_units));
    let deltas = (Delta::from_units(budget.permit_left_delta_units), Delta::from_units(budget.contract_left_delta_units));
    let fits = permit.min(contract) >= price.rho && deltas.0.min(deltas.1) >= price.delta;
    let enough = if fits { "" } else { "; NOT ENOUGH for this question" };
    let names = if price.delta == Delta::ZERO { String::new() } else { format!("; delta {} and {}", deltas.0, deltas.1) };
    format!("rho {permit} of this permit, rho {contract} of the data contract{names}{enough}")
}

/// A question of which everything shown follows from public parameters.
#[derive(Clone, Copy, Debug)]
pub struct Explained<'a> {
    /// Data contract.
    pub contract: &'a DataContract,
    /// Compiled from the text.
    pub plan: &'a PrivatePlan,
    /// Privacy loss asked for.
    pub rho: Rho,
    /// The cohort that is expected: each member adds its noise.
    pub shape: Shape,
    /// Values in a row of the answer, as the user assumes.
    pub values_per_row: Option<u64>,
}

/// What to say of a price that no budget under a data contract can pay.
pub(crate) fn beyond_the_whole_budget(contract: &DataContract, charged: Rho) -> Option<String> {
    let epsilon = |rho| format!("{:.4}", epsilon_for_rho(rho, contract.delta_conv));
    (charged > contract.rho_cap).then(|| {
        format!(
            "more than the data contract's whole budget for a period, rho {} (epsilon {}): every holder would refuse",
            contract.rho_cap,
            epsilon(contract.rho_cap)
        )
    })
}

/// Each column with its margin in words.
type Margins = Vec<(String, String)>;

/// What stands before a margin in places and not in units.
const RANK: &str = "rank";

/// What stands for a margin that only the answer tells.
const UNKNOWN: &str = "known with the answer";

impl Explained<'_> {
    /// Price, names of an open group key, and cells.
    pub fn facts(&self) -> Result<comfy_table::Table, CliError> {
        let delta = self.contract.delta_conv;
        let loss = price::price(self.plan, self.rho).map_err(|e| fault(&e))?;
        let mut facts = plain_table();
        facts.add_row(["price".to_owned(), format!("{}, for each holder and period", stated(loss.rho, delta))]);
        if let Some(beyond) = beyond_the_whole_budget(self.contract, loss.rho) {
            facts.add_row(["too dear".to_owned(), beyond]);
        }
        if let Some(names) = price::names(self.plan, self.rho).map_err(|e| fault(&e))? {
            let Loss { rho, delta } = names.loss;
            let people = names.law.threshold;
            facts.add_row(["of it for names".to_owned(), format!("rho {rho}, and delta {delta} on top")]);
            facts.add_row([
                "names".to_owned(),
                format!("groups of fewer than about {people} persons (t*) in one period at one holder will not appear"),
            ]);
        }
        let (periods, holders) = (self.plan.partitions.len(), self.contract.max_holders_per_person);
        let whole = statement(self.plan, loss, holders).all_holders;
        if let Some(whole) = whole.filter(|whole| *whole != loss) {
            let names = if whole.delta == Delta::ZERO { String::new() } else { format!(", and delta {} for names,", whole.delta) };
            facts.add_row([
                "for one person".to_owned(),
                format!("{}{names} over all {periods} period(s) and up to {holders} holder(s)", stated(whole.rho, delta)),
            ]);
        }
        let Shape { members, honest, .. } = self.shape;
        let noise = noise(self.plan, self.rho, members, honest).map_err(|e| fault(&e))?;
        if let (Some(margin), Some(clipped)) = (expected_clipped_margin(self.plan, &noise, members), self.plan.clipped) {
            let share = 100 * clipped.share_num / clipped.share_den.max(1);
            facts.add_row(["clipped people".to_owned(), format!("±{margin:.2} people, for {share} % of the price")]);
        }
        facts.add_row(["cells".to_owned(), self.plan.cells().map_or_else(String::new, |cells| at_most(self.plan, cells))]);
        Ok(facts)
    }

    /// Margins, and what they would be for another price and for coarser groups.
    pub fn write(&self, out: &mut impl Write) -> Result<(), CliError> {
        let units = self.rho.units();
        writeln!(out, "{}", self.precision(units)?).map_err(CliError::Output)?;
        let assumed = "; --values-per-row N gives those of averages";
        let averages = if self.values_per_row.is_none() { assumed } else { "" };
        let ranked = self.margins(self.plan, units, 1)?.iter().any(|(_, margin)| margin.starts_with(RANK));
        let ranks = if ranked { "; rank ±N: the value shown may stand N places off among the sorted values of its row" } else { "" };
        writeln!(
            out,
            "95 % margins of the noise alone, if every listed holder answers and fears as many others as the roster says{averages}{ranks}"
        )
        .map_err(CliError::Output)?;
        let Some(coarse) = self.coarse(units)? else { return Ok(()) };
        writeln!(out, "\n{coarse}\nthe same question for coarser groups, at the same price; cells that are added up afterwards bring their noise along")
            .map_err(CliError::Output)
    }

    fn margins(&self, plan: &PrivatePlan, units: u64, times: u64) -> Result<Margins, CliError> {
        let Shape { members, honest, .. } = self.shape;
        let noise = noise(plan, Rho::from_units(units.max(1)), members, honest).map_err(|e| fault(&e))?;
        let added = u32::try_from(u64::from(members).saturating_mul(times)).unwrap_or(u32::MAX);
        let ranks = expected_rank_margins(plan, &noise, added).map_err(|e| fault(&e))?;
        let margins = expected_margins(plan, &noise, added, self.values_per_row).map_err(|e| fault(&e))?;
        let text = |(name, margin): (String, Option<f64>)| {
            let rank = ranks.iter().find(|(other, _)| *other == name).map(|(_, rank)| *rank);
            let text = match (margin, rank) {
                (Some(margin), _) => format!("±{margin:.2}"),
                (None, Some(rank)) => format!("{RANK} ±{rank:.0}"),
                (None, None) => UNKNOWN.to_owned(),
            };
            (name, text)
        };
        Ok(margins.into_iter().map(text).collect())
    }

    /// The margins of every number of the answer, and what they would be at half and at double the price.
    fn precision(&self, units: u64) -> Result<comfy_table::Table, CliError> {
        let at = |units: u64| self.margins(self.plan, units, 1);
        let (half, asked, double) = (at(units / 2)?, at(units)?, at(units.saturating_mul(2))?);
        let mut table = plain_table();
        table.set_header(["column", "margin", "at half the price", "at double the price"]);
        for (((name, asked), (_, half)), (_, double)) in asked.into_iter().zip(half).zip(double) {
            table.add_row([name, asked, half, double]);
        }
        Ok(table)
    }

    /// Coarser groups with the margin of the first column that has one; `None` when there is nothing to show.
    fn coarse(&self, units: u64) -> Result<Option<comfy_table::Table>, CliError> {
        let own = self.margins(self.plan, units, 1)?;
        let Some(place) = own.iter().position(|(_, margin)| margin != UNKNOWN) else { return Ok(None) };
        let coarser = coarser(self.contract, self.plan);
        if coarser.is_empty() {
            return Ok(None);
        }
        let shown = |margins: Margins| margins.into_iter().nth(place).map_or_else(String::new, |(_, margin)| margin);
        let mut table = plain_table();
        let name = &own[place].0;
        table.set_header([
            "coarser".to_owned(),
            "cells".to_owned(),
            format!("{name}, asked so"),
            format!("{name}, added up from this question"),
        ]);
        for coarse in coarser {
            let asked = shown(self.margins(&coarse.plan, units, 1)?);
            let added = coarse.holds.map(|holds| self.margins(self.plan, units, holds).map(shown)).transpose()?;
            let added = added.unwrap_or_else(|| "no: names that are not shown are missing".to_owned());
            table.add_row([coarse.what, at_most(&coarse.plan, coarse.cells), asked, added]);
        }
        Ok(Some(table))
    }
}

/// Cells of a plan; before the names of an open group key are known, as many as they may be.
fn at_most(plan: &PrivatePlan, cells: u64) -> String {
    let most = if plan.open_key().is_some_and(|open| open.names.is_none()) { "at most " } else { "" };
    format!("{most}{cells}")
}

fn fault(error: &dyn std::fmt::Display) -> CliError {
    CliError::Document(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use commun_domain::contract_toml::parse_contract;
    use commun_domain::query::{PriceRequest, QuerySettings};
    use commun_sql::compile;

    #[test]
    fn a_question_with_an_open_group_key_says_what_names_cost_and_from_where_on_they_appear() {
        let contract = parse_contract(include_str!("../../docs/reference/mobility.toml")).unwrap();
        let sql = "SELECT mode, employer, COUNT(*) AS n FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY 1, 2";
        let rho = Rho::parse("0.1").unwrap();
        let settings = QuerySettings { price: PriceRequest::Rho(rho), max_groups_per_person: 1, intervals: true, clipped: false };
        let plan = compile(sql, &contract, &settings).unwrap();
        let explained = Explained { contract: &contract, plan: &plan, rho, shape: cohort::usual(3).unwrap(), values_per_row: None };
        let law = price::names(&plan, rho).unwrap().unwrap().law;
        let facts = explained.facts().unwrap().to_string();
        for part in [format!("fewer than about {} persons (t*)", law.threshold), "delta 1e-9 on top".to_owned(), "at most ".to_owned()] {
            assert!(facts.contains(&part), "{part}: {facts}");
        }
        let mut shown = Vec::new();
        explained.write(&mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        let row =
            |start: &str| shown.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_else(|| panic!("{start}: {shown}"));
        assert!(row("without employer").contains("names that are not shown are missing"), "{shown}");
        assert!(!row("without mode").contains("missing") && row("without mode").contains("at most 1024"), "{shown}");
        // The numbers alone have all of rho, which is twice their share beside names: less noise by the root of two.
        let margin = |line: &str| -> f64 { line.split('±').nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap() };
        let ratio = margin(row("n ")) / margin(row("without employer"));
        assert!((1.3..1.5).contains(&ratio), "{ratio}: {shown}");
    }
}
