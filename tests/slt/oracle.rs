//! What `PostgreSQL` says about a question: the judge of the engine's exact cells.
//!
//! Two independent ways. [`as_written`] runs the question's own text, so it also judges how the text was compiled, but it knows no bound
//! on a person. [`bounded`] writes the meaning of a plan (the head of `commun_domain::plan`) as SQL, with every bound but the choice of L0
//! groups and of the values that a histogram keeps, which are pseudo-random; of those it gives what must hold whatever the choice.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use commun_domain::plan::{Aggregate, AnswerValue, Estimate, KeyKind, KeySource, Measured, PrivatePlan};

use crate::dataset::Dataset;
use crate::meaning::{Meaning, quoted};
use crate::postgres::Postgres;

/// Totals per output over the grid, in native units; of a histogram its root alone.
pub(crate) type Grid = Vec<Vec<i128>>;

/// The bounded answer, but for L0.
pub(crate) struct Bounded {
    /// As if every group of a person counted.
    pub(crate) cells: Grid,
    /// Most groups of one person in one partition.
    pub(crate) most_groups: i128,
    /// Groups that count, of all people and partitions, once L0 is applied.
    pub(crate) kept_groups: i128,
}

/// A column of a result that is laid onto the grid.
#[derive(Clone, Copy)]
enum Column {
    /// A key: its declared value as an integer, or its label.
    Key(usize, bool),
    /// An output, with the decimal digits in which it is printed.
    Output(usize, u8),
}

/// The question's text, run as it is over rows within their declared ranges. `None` when the answer is computed from the outputs, so that
/// the text gives other numbers than leave the holders.
pub(crate) fn as_written(sql: &str, plan: &PrivatePlan, dataset: &Dataset, postgres: &Postgres) -> Result<Option<Grid>> {
    let column = |value: &AnswerValue| match value {
        AnswerValue::Key(key) => Some(Column::Key(usize::from(*key), true)),
        AnswerValue::Estimate(Estimate::Output(output)) => {
            let output = usize::from(*output);
            Some(Column::Output(output, scale_of(&plan.outputs.get(output)?.aggregate)))
        }
        _ => None,
    };
    let columns: Option<Vec<Column>> = plan.columns.iter().map(|shown| column(&shown.value)).collect();
    let shown = columns.as_ref().is_some_and(|columns| {
        (0..plan.outputs.len()).all(|output| columns.iter().any(|column| matches!(column, Column::Output(other, _) if *other == output)))
    });
    let whole = plan.grouping_sets.is_empty() && plan.having.is_none() && plan.limit.is_none() && plan.offset == 0;
    let Some(columns) = columns.filter(|_| shown && whole) else { return Ok(None) };
    let text = sql.trim().trim_end_matches(';');
    read_grid(&postgres.run(&dataset.name, &format!("{text};"))?, plan, &columns).map(Some)
}

/// The plan's meaning as SQL.
pub(crate) fn bounded(plan: &PrivatePlan, dataset: &Dataset, postgres: &Postgres) -> Result<Bounded> {
    let contract = &dataset.contract;
    let table = contract.table(&plan.table).context("the plan names an unknown table")?;
    let meaning = Meaning { contract, table };
    let (unit, partition) = (&plan.unit_column, &plan.partition_column);
    let periods: Vec<String> = plan.partitions.iter().map(|period| quoted(&plan.calendar.format(*period))).collect();
    let mut rules = vec![format!("{unit} IS NOT NULL"), format!("{partition} IN ({})", periods.join(", "))];
    if let Some(filter) = &plan.filter {
        rules.push(meaning.condition(filter)?);
    }
    let (mut keys, mut names, mut values, mut totals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut columns = Vec::new();
    for (number, key) in plan.keys.iter().enumerate() {
        let key_sql = match &key.source {
            KeySource::Values { value, values, .. } => {
                let declared: Vec<String> = values.iter().map(ToString::to_string).collect();
                let value = meaning.value(value)?;
                rules.push(format!("{value} IN ({})", declared.join(", ")));
                value
            }
            KeySource::Partition => partition.clone(),
        };
        keys.push(format!("{key_sql} AS key_{number}"));
        names.push(format!("key_{number}"));
        columns.push(Column::Key(number, matches!(key.source, KeySource::Partition)));
    }
    for (number, output) in plan.outputs.iter().enumerate() {
        let condition = output.condition.as_ref().map_or(Ok("TRUE".to_owned()), |condition| meaning.condition(condition))?;
        let measured = |of: &Measured| Ok::<_, anyhow::Error>(format!("clamped({}, {}, {})", meaning.value(&of.value)?, of.lo, of.hi));
        let mut part = |name: &str, what: String| {
            values.push(format!("COALESCE({what} FILTER (WHERE {condition}), 0) AS {name}_{number}"));
            format!("{name}_{number}")
        };
        totals.push(match &output.aggregate {
            Aggregate::CountRows { max_rows_per_person } => {
                let rows = part("rows", "COUNT(*)".to_owned());
                format!("SUM(LEAST({rows}, {max_rows_per_person}))")
            }
            Aggregate::CountUnits => {
                let rows = part("rows", "COUNT(*)".to_owned());
                format!("SUM(LEAST({rows}, 1))")
            }
            Aggregate::Sum { measured: of, max_rows_per_person: most } => {
                let sum = part("sum", format!("SUM({})", measured(of)?));
                format!("SUM(clamped({sum}, {most}::numeric * {}, {most}::numeric * {}))", of.lo.min(0), of.hi.max(0))
            }
            Aggregate::CentredSum { measured: of, max_rows_per_person: most } => {
                let x = measured(of)?;
                let count = part("count", format!("COUNT({x})"));
                let sum = part("sum", format!("SUM(2 * {x} - ({}))", i128::from(of.lo) + i128::from(of.hi)));
                format!("SUM(COALESCE(divided(1048576 * LEAST({count}, {most}) * {sum}, {count}, 'truncate'), 0))")
            }
            Aggregate::CentredSquares { measured: of, max_rows_per_person: most } => {
                let (x, range) = (measured(of)?, i128::from(of.hi) - i128::from(of.lo));
                let middle = i128::from(of.lo) + i128::from(of.hi);
                let count = part("count", format!("COUNT({x})"));
                let sum = part("sum", format!("SUM(2 * (2 * {x} - ({middle})) ^ 2 - {range}::numeric ^ 2)"));
                format!("SUM(COALESCE(divided(1048576 * LEAST({count}, {most}) * round({sum}), {count}, 'truncate'), 0))")
            }
            Aggregate::Histogram { measured: of, max_rows_per_person: most, .. } => {
                let count = part("count", format!("COUNT({})", measured(of)?));
                format!("SUM(LEAST({count}, {most}))")
            }
        });
        columns.push(Column::Output(number, 0));
    }
    let list = |first: &[&str], more: &[&[String]]| {
        first.iter().map(|text| (*text).to_owned()).chain(more.iter().flat_map(|part| part.iter().cloned())).collect::<Vec<_>>().join(", ")
    };
    let group_by = if names.is_empty() { String::new() } else { format!("GROUP BY {}", names.join(", ")) };
    let script = format!(
        "CREATE TEMPORARY TABLE person AS SELECT {} FROM bound.{} WHERE {} GROUP BY {};\n\
         SELECT {} FROM person {group_by};\n\\echo =\n\
         SELECT COALESCE(MAX(groups), 0), COALESCE(SUM(LEAST(groups, {})), 0)\n\
         FROM (SELECT COUNT(*) AS groups FROM person GROUP BY the_unit, the_partition) AS g;",
        list(&[&format!("{unit} AS the_unit, {partition} AS the_partition"), "COUNT(*) AS row_count"], &[&keys, &values]),
        plan.table,
        rules.join(" AND "),
        list(&["the_unit", "the_partition"], &[&names]),
        list(&[], &[&names, &totals]),
        plan.max_groups_per_person,
    );
    let printed = postgres.run(&dataset.name, &script)?;
    let (cells, groups) = printed.split_once("=\n").context("psql printed no second result")?;
    let (most, kept) = groups.trim().split_once('\t').context("psql printed no numbers of groups")?;
    Ok(Bounded { cells: read_grid(cells, plan, &columns)?, most_groups: most.parse()?, kept_groups: kept.parse()? })
}

/// Rows of `columns` laid onto the declared grid: missing cells are 0, rows off the grid are dropped.
fn read_grid(printed: &str, plan: &PrivatePlan, columns: &[Column]) -> Result<Grid> {
    let cells = usize::try_from(plan.cells().context("the grid is too large")?)?;
    let mut grid = vec![vec![0; cells]; plan.outputs.len()];
    let labels: Vec<HashMap<String, usize>> = plan.keys.iter().map(|key| key.values(plan).into_iter().zip(0..).collect()).collect();
    for line in printed.lines() {
        let values: Vec<&str> = line.split('\t').collect();
        ensure!(values.len() == columns.len(), "PostgreSQL gives {} columns instead of {}: {line}", values.len(), columns.len());
        let mut at = vec![None; plan.keys.len()];
        let mut found = vec![0; plan.outputs.len()];
        for (value, column) in values.iter().zip(columns) {
            match *column {
                Column::Key(key, true) => at[key] = labels[key].get(&label(value, plan.keys[key].kind())).copied(),
                Column::Key(key, false) => at[key] = declared(value, &plan.keys[key].source),
                Column::Output(output, scale) => found[output] = units(value, scale).with_context(|| format!("{value} is not exact"))?,
            }
        }
        let Some(at) = at.into_iter().collect::<Option<Vec<usize>>>() else { continue };
        let cell = at.iter().zip(&plan.keys).fold(0, |cell, (place, key)| cell * key.cardinality(plan) + place);
        for (output, value) in grid.iter_mut().zip(found) {
            output[cell] = value;
        }
    }
    Ok(grid)
}

/// What the answer calls a value that `PostgreSQL` prints.
fn label(printed: &str, kind: KeyKind) -> String {
    match (kind, printed) {
        (KeyKind::Boolean, "t") => "true".to_owned(),
        (KeyKind::Boolean, "f") => "false".to_owned(),
        (KeyKind::Time, time) => time.strip_suffix(" 00:00:00").unwrap_or(time).to_owned(),
        (KeyKind::Number, number) if number.contains('.') => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        (_, text) => text.to_owned(),
    }
}

/// The place of a declared value.
fn declared(printed: &str, source: &KeySource) -> Option<usize> {
    let KeySource::Values { values, .. } = source else { return None };
    let value = units(printed, 0).filter(|_| printed != "NULL")?;
    values.iter().position(|known| i128::from(*known) == value)
}

/// Decimal digits in which an output is written.
pub(crate) fn scale_of(aggregate: &Aggregate) -> u8 {
    match aggregate {
        Aggregate::Sum { measured, .. } => measured.scale,
        _ => 0,
    }
}

/// A printed decimal in units of 10^-scale; `None` when it is finer. NULL is the sum over nothing.
fn units(text: &str, scale: u8) -> Option<i128> {
    if text == "NULL" {
        return Some(0);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::from(scale);
    if fraction.len() > scale {
        return None;
    }
    format!("{whole}{fraction:0<scale$}").parse().ok()
}
