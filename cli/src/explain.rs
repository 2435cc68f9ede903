//! `commun explain`: price, what is left, and how precise the answer would be, also at half and at double the price.
//!
//! Margins are computed here, from the plan that this side compiled; only what is left of budgets is the coordinator's word.

use std::io::Write;
use std::path::Path;

use commun_domain::{Delta, Rho};
use commun_privacy::accountant::epsilon_for_rho;
use commun_privacy::answer::{expected_margins, expected_rank_margins};
use commun_privacy::ledger::Loss;
use commun_privacy::price::{self, noise, statement};
use commun_proto::v1::PartitionBudget;
use commun_sql::strip_explain;
use commun_trust::admit::{Admitted, HONEST_SHARES};

use crate::args::ExplainArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::plain_table;
use crate::profile::Profile;
use crate::query::{sign_question, text_of, warn};
use crate::settings;

/// `commun explain`
pub async fn explain(config: Option<&Path>, args: &ExplainArgs) -> Result<(), CliError> {
    let profile = Profile::load(config)?;
    let text = text_of(&args.question)?;
    // The word may stand there too.
    let question = settings::split(&text)?.1;
    let set = text.len() - question.len();
    let text = format!("{}{}", &text[..set], strip_explain(question).1);
    explain_text(&profile, args, &text).await
}

/// Explains a text that no longer says EXPLAIN.
pub async fn explain_text(profile: &Profile, args: &ExplainArgs, text: &str) -> Result<(), CliError> {
    let client = Client::connect(profile).await?;
    let (state, ignored) = client.catalog().await?;
    warn(&ignored);
    let question = sign_question(profile, &state, &args.question, true, text)?;
    let admitted = Client::admit(&state, &question)?;
    let reply = client.explain(&question).await?;
    let delta = admitted.contract.delta_conv;

    let mut facts = plain_table();
    facts.add_row(["price".to_owned(), format!("{}, for each holder and period", stated(admitted.whole.rho, delta))]);
    if let Some(names) = price::names(&admitted.plan, admitted.rho).map_err(|e| CliError::Document(e.to_string()))? {
        let Loss { rho, delta } = names.loss;
        let people = names.law.threshold;
        facts.add_row(["of it for names".to_owned(), format!("rho {rho}, and delta {delta} on top")]);
        facts.add_row([
            "names".to_owned(),
            format!("groups of fewer than about {people} persons (t*) in one period at one holder will not appear"),
        ]);
    }
    let periods = admitted.plan.partitions.len();
    let holders = admitted.contract.max_holders_per_person;
    let whole = statement(&admitted.plan, admitted.whole, holders).all_holders;
    if let Some(whole) = whole.filter(|whole| *whole != admitted.whole) {
        let names = if whole.delta == Delta::ZERO { String::new() } else { format!(", and delta {} for names,", whole.delta) };
        facts.add_row([
            "for one person".to_owned(),
            format!("{}{names} over all {periods} period(s) and up to {holders} holder(s)", stated(whole.rho, delta)),
        ]);
    }
    if reply.stored {
        facts.add_row(["stored", "an earlier result release answers this, free"]);
    }
    let most = if admitted.plan.open_key().is_some() { "at most " } else { "" };
    facts.add_row(["cells".to_owned(), format!("{most}{}", reply.cells)]);
    facts.add_row(["holders".to_owned(), format!("{} listed, {} connected", reply.holders_listed, reply.holders_connected)]);
    for budget in &reply.budgets {
        facts.add_row([format!("left in {}", budget.partition), left(budget, admitted.whole)]);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{facts}\n").map_err(CliError::Output)?;
    writeln!(out, "{}", precision(&admitted, reply.holders_listed, args.values_per_row)?).map_err(CliError::Output)?;
    let assumed = "; --values-per-row N gives those of averages";
    let averages = if args.values_per_row.is_none() { assumed } else { "" };
    writeln!(out, "95 % margins of the noise alone, if every listed holder answers{averages}").map_err(CliError::Output)
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

/// The margins of every number of the answer, and what they would be at half and at double the price.
fn precision(admitted: &Admitted, holders: u32, values: Option<u64>) -> Result<comfy_table::Table, CliError> {
    let fault = |e: &dyn std::fmt::Display| CliError::Document(e.to_string());
    let at = |units: u64| -> Result<Vec<(String, String)>, CliError> {
        // Without a holder nobody could answer; the margins of one say what a holder's own noise is.
        let agents = holders.max(1);
        let noise = noise(&admitted.plan, Rho::from_units(units.max(1)), agents, HONEST_SHARES).map_err(|e| fault(&e))?;
        let ranks = expected_rank_margins(&admitted.plan, &noise, agents).map_err(|e| fault(&e))?;
        let margins = expected_margins(&admitted.plan, &noise, agents, values).map_err(|e| fault(&e))?;
        let text = |(name, margin): (String, Option<f64>)| {
            let rank = ranks.iter().find(|(other, _)| *other == name).map(|(_, rank)| *rank);
            let text = match (margin, rank) {
                (Some(margin), _) => format!("±{margin:.2}"),
                (None, Some(rank)) => format!("rank ±{rank:.0}"),
                (None, None) => "known with the answer".to_owned(),
            };
            (name, text)
        };
        Ok(margins.into_iter().map(text).collect())
    };
    let units = admitted.rho.units();
    let (half, asked, double) = (at(units / 2)?, at(units)?, at(units.saturating_mul(2))?);
    let mut table = plain_table();
    table.set_header(["column", "margin", "at half the price", "at double the price"]);
    for (((name, asked), (_, half)), (_, double)) in asked.into_iter().zip(half).zip(double) {
        table.add_row([name, asked, half, double]);
    }
    Ok(table)
}
