//! The naive model: what a plan means over a holder's rows, read from the pages `docs/concepts/privacy.md` and `docs/reference/sql.md` and from
//! the plan's own documentation, and written to be checked by reading. It shares no code with the engine, nor with the engine's own tests.
//!
//! Bounding and adding up stand here, what is made of a person's rows beforehand in [`relation`], expressions in [`value`], the calendar in [`calendar`], which groups are kept in [`keep`], and
//! prices in [`price`]. It reads rows as [`Row`] has them, so no file, binding or batch takes part.

mod calendar;
mod keep;
pub(crate) mod names;
pub(crate) mod price;
mod relation;
mod value;

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::ids::QueryId;
use commun_domain::plan::{Aggregate, KeySource, Measured, Output, PrivatePlan};

use crate::table::{AMOUNT, AREAS, Amount, At, MODES, PLACES, Row, SMALL, TIMES, WHOLE};
use keep::Key;
use relation::Values;
use value::{truth, value};

/// The answer below noise, and what the bounds have cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Of each output its numbers, then those of clipped people, if they are asked for.
    pub(crate) outputs: Vec<Vec<i128>>,
    /// L0 has cut groups.
    pub(crate) groups_cut: bool,
    /// Linf has cut rows, values or a sum.
    pub(crate) rows_cut: bool,
}

/// What a column of a row means.
pub(crate) fn column(row: &Row, name: &str) -> Option<i64> {
    let place = |codes: &[&str], code: Option<&str>| (0..).zip(codes).find(|(_, known)| Some(**known) == code).map(|(place, _)| place);
    match name {
        "area" => place(&AREAS, row.area),
        "mode" => place(&MODES, row.mode),
        "place" => row.place.filter(|place| *place < PLACES).map(i64::from),
        "amount" => match row.amount {
            Amount::Null | Amount::NotANumber | Amount::Infinite { .. } => None,
            Amount::Huge { negative } => Some(if negative { AMOUNT.0 } else { AMOUNT.1 }),
            // Eighths as hundredths, halves away from zero.
            Amount::Eighths(eighths) => {
                let twice = eighths * 25 + eighths.signum();
                Some((twice / 2).clamp(AMOUNT.0, AMOUNT.1))
            }
        },
        "whole" => row.whole.map(|whole| whole.clamp(WHOLE.0, WHOLE.1)),
        "small" => row.small.map(|small| small.clamp(SMALL.0, SMALL.1)),
        "flag" => row.flag.map(i64::from),
        "at" => match row.at {
            At::Null | At::Unreadable => None,
            At::Clock(clock) => {
                Some(calendar::seconds(clock)).filter(|at| (calendar::read(TIMES.0)..=calendar::read(TIMES.1)).contains(at))
            }
        },
        other => panic!("there is no column {other}"),
    }
}

/// Of each person and partition its groups, each with its rows.
type Groups = BTreeMap<(u32, i32), BTreeMap<u32, Vec<Values>>>;

/// What a plan means over rows.
pub(crate) fn judge(plan: &PrivatePlan, query: &QueryId, rows: &[Row]) -> Judged {
    // A million rows are read faster without the columns that nothing asks for; one that is missing stops the test.
    let columns: BTreeSet<&str> = plan.table_columns().into_values().flatten().collect();
    let mut persons: BTreeMap<(u32, i32), Vec<Values>> = BTreeMap::new();
    for row in rows {
        let Some(person) = row.person else { continue };
        let Some(period) = plan.partitions.iter().find(|period| month(period.0) == row.month) else { continue };
        let values = columns.iter().map(|name| ((*name).to_owned(), names::meaning(plan, row, name)));
        let values = values.collect();
        persons.entry((person, period.0)).or_default().push(values);
    }
    let mut groups = Groups::new();
    for ((person, period), rows) in persons {
        let key = Key::of_query(query).of_person(period, &person.to_string());
        for row in relation::rows(&plan.relation, &rows, key, &mut 0) {
            if plan.filter.as_ref().is_some_and(|filter| truth(filter, &|name| row[name]) != Some(true)) {
                continue;
            }
            let Some(cell) = cell(plan, &row, period) else { continue };
            groups.entry((person, period)).or_default().entry(cell).or_default().push(row);
        }
    }
    let cells: usize = plan.keys.iter().map(|key| cardinality(plan, &key.source)).product();
    let mut judged = Judged { outputs: plan.outputs.iter().map(|output| vec![0; cells * width(output)]).collect(), ..Judged::default() };
    let mut clipped = vec![0; if plan.partition_is_key() { plan.partitions.len() } else { 1 }];
    for ((person, period), groups) in &groups {
        let key = Key::of_query(query).of_person(*period, &person.to_string());
        let mut kept: Vec<u32> = groups.keys().copied().collect();
        kept.sort_by_key(|cell| (key.of_group(*cell), *cell));
        let most = usize::try_from(plan.max_groups_per_person).unwrap();
        judged.groups_cut |= kept.len() > most;
        let mut person_cut = kept.len() > most;
        for cell in kept.into_iter().take(most) {
            for (number, output) in plan.outputs.iter().enumerate() {
                let counts = |row: &&Values| output.condition.as_ref().is_none_or(|of| truth(of, &|name| row[name]) == Some(true));
                let rows: Vec<&Values> = groups[&cell].iter().filter(counts).collect();
                let (numbers, cut) = contribution(&output.aggregate, &rows, key, cell);
                judged.rows_cut |= cut;
                // Who is counted once, whatever rows there are, counts in full.
                person_cut |= cut && output.aggregate != Aggregate::CountUnits;
                let start = usize::try_from(cell).unwrap() * width(output);
                for (node, number_of_it) in numbers {
                    judged.outputs[number][start + node] += number_of_it;
                }
            }
        }
        let at = plan.partitions.iter().position(|known| known.0 == *period).filter(|_| plan.partition_is_key());
        clipped[at.unwrap_or(0)] += i128::from(person_cut);
    }
    judged.outputs.extend(plan.clipped.map(|_| clipped));
    judged
}

/// What one person adds to a cell, as (number of the cell, amount), and whether a bound has cut something.
fn contribution(aggregate: &Aggregate, rows: &[&Values], key: Key, cell: u32) -> (Vec<(usize, i128)>, bool) {
    let values = |of: &Measured| -> Vec<i128> {
        let all = rows.iter().filter_map(|row| value(&of.value, &|name| row[name]));
        all.map(|x| i128::from(x.clamp(of.lo, of.hi))).collect()
    };
    let one = |amount: i128, cut: bool| (vec![(0, amount)], cut);
    // trunc(2^20 b sum / n): the rows that count, times the mean.
    let mean = |terms: Vec<i128>, linf: u32| {
        let (n, linf) = (terms.len() as i128, i128::from(linf));
        one(if n == 0 { 0 } else { (1 << 20) * n.min(linf) * terms.iter().sum::<i128>() / n }, n > linf)
    };
    match aggregate {
        Aggregate::CountRows { max_rows_per_person: linf } => {
            let (n, linf) = (rows.len() as i128, i128::from(*linf));
            one(n.min(linf), n > linf)
        }
        Aggregate::CountUnits => one(i128::from(!rows.is_empty()), rows.len() > 1),
        Aggregate::Sum { measured, max_rows_per_person: linf } => {
            let (sum, linf) = (values(measured).iter().sum::<i128>(), i128::from(*linf));
            let bounded = sum.clamp(linf * i128::from(measured.lo.min(0)), linf * i128::from(measured.hi.max(0)));
            one(bounded, bounded != sum)
        }
        Aggregate::CentredSum { measured: of, max_rows_per_person: linf } => {
            mean(values(of).into_iter().map(|x| 2 * x - (i128::from(of.lo) + i128::from(of.hi))).collect(), *linf)
        }
        Aggregate::CentredSquares { measured: of, max_rows_per_person: linf } => {
            let (lo, hi) = (i128::from(of.lo), i128::from(of.hi));
            mean(values(of).into_iter().map(|x| 2 * (2 * x - (lo + hi)).pow(2) - (hi - lo).pow(2)).collect(), *linf)
        }
        Aggregate::Histogram { measured: of, bins_log2, max_rows_per_person: linf } => {
            let (lo, hi, bins) = (i128::from(of.lo), i128::from(of.hi), 1i128 << bins_log2);
            let mut occurrences = BTreeMap::<u64, u64>::new();
            for x in values(of) {
                *occurrences.entry(u64::try_from((x - lo) * bins / (hi - lo + 1)).unwrap()).or_default() += 1;
            }
            let all = occurrences.into_iter().flat_map(|(bin, count)| (0..count).map(move |occurrence| (bin, occurrence)));
            let mut all: Vec<(u64, u64)> = all.collect();
            let cut = all.len() > usize::try_from(*linf).unwrap();
            if cut {
                all.sort_by_key(|(bin, occurrence)| (key.of_value(cell, *bin, *occurrence), *bin, *occurrence));
                all.truncate(usize::try_from(*linf).unwrap());
            }
            // A value counts in its leaf and in every node above it: node i has the children 2i + 1 and 2i + 2.
            let mut nodes = Vec::new();
            for (bin, _) in all {
                let mut node = (1usize << bins_log2) - 1 + usize::try_from(bin).unwrap();
                nodes.push((node, 1));
                while node > 0 {
                    node = (node - 1) / 2;
                    nodes.push((node, 1));
                }
            }
            (nodes, cut)
        }
    }
}

/// The cell of the grid that a row falls in, row-major; `None` off the grid.
fn cell(plan: &PrivatePlan, row: &Values, of: i32) -> Option<u32> {
    let mut cell = 0;
    for key in &plan.keys {
        cell = cell * cardinality(plan, &key.source) + place(plan, &key.source, row, of)?;
    }
    u32::try_from(cell).ok()
}

/// The place of a row's value among those of a key.
fn place(plan: &PrivatePlan, source: &KeySource, row: &Values, of: i32) -> Option<usize> {
    match source {
        KeySource::Partition => plan.partitions.iter().position(|period| period.0 == of),
        KeySource::Values { value: expression, values, .. } => {
            let value = value(expression, &|name| row[name])?;
            values.iter().position(|declared| *declared == value)
        }
        KeySource::Open(open) => row[&open.column].map(|place| usize::try_from(place).unwrap()),
    }
}

fn cardinality(plan: &PrivatePlan, source: &KeySource) -> usize {
    match source {
        KeySource::Partition => plan.partitions.len(),
        KeySource::Values { values, .. } => values.len(),
        KeySource::Open(open) => open.names.as_ref().map_or(0, Vec::len),
    }
}

/// Numbers of one cell.
pub(crate) fn width(output: &Output) -> usize {
    match &output.aggregate {
        Aggregate::Histogram { bins_log2, .. } => 2 * (1 << bins_log2) - 1,
        _ => 1,
    }
}

/// A month, counted from year 0, as a source writes it.
pub(crate) fn month(period: i32) -> String {
    format!("{:04}-{:02}", period / 12, period % 12 + 1)
}
