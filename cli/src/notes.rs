//! What stands beside an answer, on standard error: who took part, what it cost, what is counted, what the margins are and what they do not show.

use std::collections::BTreeSet;

use commun_domain::plan::{Aggregate, AnswerValue, Estimate, PrivatePlan};
use commun_domain::release::ResultRelease;
use commun_domain::{Delta, Rho};
use commun_privacy::accountant::epsilon_for_rho;
use commun_privacy::answer::{ClippedPeople, Intervals, clipped_people, margin};
use commun_privacy::ledger::Loss;
use commun_privacy::price::{Guarantees, guarantees, names_at_price, statement};

use crate::output::Shown;

/// Most periods whose clipped people are named one by one.
const MOST_PERIODS: usize = 6;

/// Whether anybody paid for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    Charged,
    /// It had been released before.
    Stored,
    /// It is one of `commun try`, and has no id.
    Tried,
}

/// What a statistician must know beside the numbers: who took part, what it cost, what is counted, what the margins are.
pub(crate) fn notes(release: &ResultRelease, charge: Charge, shown: Shown) -> Vec<String> {
    let survivors = u32::try_from(release.participants.len()).unwrap_or(u32::MAX);
    let epsilon = epsilon_for_rho(release.rho, release.delta_conv);
    let mut notes =
        vec![format!("{} of {} holders answered: {}", release.participants.len(), release.listed, release.participants.join(", "))];
    let price = format!("charged to each holder and period: rho {} (epsilon {epsilon:.4} at delta {})", release.rho, release.delta_conv);
    notes.push(match charge {
        Charge::Charged => price,
        Charge::Stored => "stored result release: nothing was charged".to_owned(),
        Charge::Tried => format!("would be {price}"),
    });
    notes.extend(shown.note().map(str::to_owned));
    notes.extend(protection(release, survivors));
    let units = release.plan.outputs.iter().any(|o| matches!(o.aggregate, Aggregate::CountUnits));
    if units {
        notes.push("counts are person-holder pairs: a person at two holders counts twice".to_owned());
    }
    if let Ok(Some(names)) = names_at_price(&release.plan, release.rho) {
        notes.push(format!(
            "names of groups of fewer than about {} persons in one period at one holder are not shown; they cost rho {} of the price, and delta {} on top",
            names.law.threshold, names.loss.rho, names.loss.delta
        ));
    }
    let (periods, holders) = (release.plan.partitions.len(), release.max_holders_per_person);
    let one = Loss { rho: release.rho, delta: release.delta };
    let whole = statement(&release.plan, one, holders).all_holders;
    if whole != Some(one) {
        notes.push(whole.map_or_else(
            || "for a person in every period and at several holders the loss is beyond what can be stated".to_owned(),
            |whole| {
                let names = if whole.delta == Delta::ZERO { String::new() } else { format!(", and delta {} for names", whole.delta) };
                format!(
                    "for one person over all {periods} period(s) and up to {holders} holder(s): rho {} (epsilon {:.4}){names}",
                    whole.rho,
                    epsilon_for_rho(whole.rho, release.delta_conv)
                )
            },
        ));
    }
    if release.plan.grouping_sets.is_empty() {
        // One margin for every row, where the number is an output as it is; the others stand in the answer, row by row.
        for column in &release.plan.columns {
            let AnswerValue::Estimate(Estimate::Output(index)) = column.value else { continue };
            if let Some(margin) = margin(release, usize::from(index), survivors) {
                let meant = match shown {
                    Shown::Raw(Intervals::All) => ", of each number for itself",
                    Shown::Consistent => ", of the released number",
                    Shown::Raw(Intervals::Each | Intervals::None) => "",
                };
                notes.push(format!("{}: 95 % margin of error ±{margin:.2} (noise alone){meant}", column.name));
            }
        }
    }
    if release
        .plan
        .columns
        .iter()
        .any(|column| matches!(&column.value, AnswerValue::Estimate(estimate) if !matches!(estimate, Estimate::Output(_))))
    {
        let empty = match shown {
            Shown::Raw(Intervals::Each) => "; an empty margin means that the noise is too large to say",
            Shown::Raw(Intervals::All) => {
                "; where the margin is empty, the noise is too large to say, or none is known that holds with the others"
            }
            Shown::Raw(Intervals::None) | Shown::Consistent => "",
        };
        notes.push(format!("computed from noisy numbers, free{empty}"));
    }
    notes.extend(clipped(release));
    if charge != Charge::Tried {
        notes.push(format!("query {}", release.query));
    }
    notes
}

/// What margins do not show, where there is any.
fn clipped(release: &ResultRelease) -> Option<String> {
    let plan = &release.plan;
    let bounds = bounds(plan);
    let clipped = match clipped_people(release) {
        Ok(clipped) => clipped,
        Err(error) => return Some(format!("the number of people who did not count in full cannot be read: {error}")),
    };
    let Some(most) = clipped.iter().max_by(|a, b| a.people.total_cmp(&b.people)) else {
        let asks = if plan.open_key().is_none() { "; --clipped tells how many people that concerns" } else { "" };
        return plan.can_clip().then(|| format!("margins do not show what the bounds cut off (of a person count at most {bounds}){asks}"));
    };
    let number = |ClippedPeople { period, people, margin }: &ClippedPeople| {
        let period = period.as_ref().map_or_else(String::new, |period| format!(" in {period}"));
        format!("{people:.0} ±{margin:.0}{period}")
    };
    let people = if most.period.is_none() && plan.partitions.len() > 1 { "people, once for each period," } else { "people" };
    let numbers = if clipped.len() <= MOST_PERIODS {
        clipped.iter().map(number).collect::<Vec<_>>().join(", ")
    } else {
        format!("at most {} and less in {} other periods (all are in --report)", number(most), clipped.len() - 1)
    };
    let nobody = if clipped.iter().all(|clipped| clipped.people <= clipped.margin) { "; it may be nobody" } else { "" };
    Some(format!(
        "{people} who did not count in full: {numbers} (95 % margin of error{nobody}); of a person count at most {bounds}, at each holder apart"
    ))
}

/// How much of one person counts, in words.
fn bounds(plan: &PrivatePlan) -> String {
    let many = |count: u32, what: &str| if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") };
    let groups = (!plan.keys.is_empty()).then(|| many(plan.max_groups_per_person, "group"));
    let rows = plan.outputs.iter().filter_map(|output| {
        let rows = many(output.aggregate.max_rows_per_person()?, "row");
        Some(if matches!(output.aggregate, Aggregate::Sum { .. }) { format!("the sum of {rows}") } else { rows })
    });
    let rows: BTreeSet<String> = rows.collect();
    let in_one = if groups.is_some() && !rows.is_empty() { " in one" } else { "" };
    format!("{}{in_one}", groups.into_iter().chain(rows).collect::<Vec<_>>().join(" and "))
}

/// Whose noise is in the numbers, and what they lose towards whom.
fn protection(release: &ResultRelease, survivors: u32) -> Vec<String> {
    if release.unmasked {
        return vec!["unmasked: the one holder added the full noise itself".to_owned()];
    }
    let mut notes = vec![format!(
        "aggregated: noise of one trusted centre x {:.2}; nobody saw one holder's numbers (T = {}, c = {}: of {survivors} noise shares {} surely count)",
        centre_factor(release, survivors),
        release.threshold,
        release.colluders,
        release.honest()
    )];
    if let Some(lost) = numbers_guarantees(release, survivors) {
        let stated = |rho| format!("rho {rho} (epsilon {:.4})", epsilon_for_rho(rho, release.delta_conv));
        notes.push(format!(
            "of the numbers, for one person in one period at one holder: {} towards the coordinator and readers; {} towards the coordinator with {} colluding holder(s); {} towards it and all other holders",
            stated(lost.coordinator_alone),
            stated(lost.with_colluders),
            release.colluders,
            stated(lost.all_others)
        ));
    }
    notes
}

/// How much wider margins are than one trusted centre's: `sqrt(survivors / h)`.
pub(crate) fn centre_factor(release: &ResultRelease, survivors: u32) -> f64 {
    (f64::from(survivors) / f64::from(release.honest().max(1))).sqrt()
}

/// The three guarantees of the numbers; what names of an open group key cost is stated apart.
pub(crate) fn numbers_guarantees(release: &ResultRelease, survivors: u32) -> Option<Guarantees> {
    let names = names_at_price(&release.plan, release.rho).ok()?.map_or(Rho::ZERO, |names| names.loss.rho);
    // The price of the numbers is what was asked for and one unit.
    let requested = release.rho.checked_sub(names)?.checked_sub(Rho::from_units(1))?;
    guarantees(requested, survivors, release.honest())
}
