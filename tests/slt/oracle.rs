//! What `PostgreSQL` says about a question: the judge of the engine's exact cells.
//!
//! Two independent ways. [`as_written`] runs the question's own text, so it also judges how the text was compiled, but it knows no bound
//! on a person. [`bounded`] writes the meaning of a plan (the head of `commun_domain::plan`) as SQL, with every bound but the choice of L0
//! groups, which is pseudo-random; of that it gives what must hold whatever the choice.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use commun_domain::contract::{ColumnType, DataContract};
use commun_domain::plan::{Aggregate, AnswerColumn, CompareOp, KeySource, Literal, Predicate, PrivatePlan};

use crate::dataset::{Dataset, in_units};
use crate::postgres::Postgres;

/// Totals per output over the grid, in native units.
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

/// The question's text, run as it is over rows within their declared ranges.
pub(crate) fn as_written(sql: &str, plan: &PrivatePlan, dataset: &Dataset, postgres: &Postgres) -> Result<Grid> {
    let text = sql.trim().trim_end_matches(';');
    read_grid(&postgres.run(&dataset.name, &format!("{text};"))?, plan, &plan.columns)
}

/// The plan's meaning as SQL.
pub(crate) fn bounded(plan: &PrivatePlan, dataset: &Dataset, postgres: &Postgres) -> Result<Bounded> {
    let contract = &dataset.contract;
    let (unit, partition) = (&plan.unit_column, &plan.partition_column);
    let periods: Vec<String> = plan.partitions.iter().map(|period| quoted(&plan.calendar.format(*period))).collect();
    let mut rules = vec![format!("{unit} IS NOT NULL"), format!("{partition} IN ({})", periods.join(", "))];
    if let Some(filter) = &plan.filter {
        rules.push(condition(filter, contract, &plan.table)?);
    }
    let (mut keys, mut names, mut values, mut totals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (number, key) in plan.keys.iter().enumerate() {
        let key_sql = match &key.source {
            KeySource::Code { column, codes } => {
                let codes: Vec<String> = codes.iter().map(|code| quoted(code)).collect();
                rules.push(format!("{column} IN ({})", codes.join(", ")));
                column.clone()
            }
            KeySource::Boolean { column } => {
                rules.push(format!("{column} IS NOT NULL"));
                column.clone()
            }
            KeySource::Partition => partition.clone(),
        };
        keys.push(format!("{key_sql} AS key_{number}"));
        names.push(format!("key_{number}"));
    }
    for (number, output) in plan.outputs.iter().enumerate() {
        totals.push(match &output.aggregate {
            Aggregate::CountRows { max_rows_per_person } => format!("SUM(LEAST(row_count, {max_rows_per_person}))"),
            Aggregate::CountUnits => "COUNT(*)".to_owned(),
            Aggregate::Sum { column, lo, hi, scale, max_rows_per_person: rows } => {
                values.push(format!("COALESCE(SUM({}), 0) AS sum_{number}", in_units(column, *lo, *hi, *scale)));
                format!("SUM(LEAST(GREATEST(sum_{number}, {rows}::numeric * {}), {rows}::numeric * {}))", (*lo).min(0), (*hi).max(0))
            }
        });
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
    let columns: Vec<AnswerColumn> = (0..plan.keys.len())
        .map(|key| u16::try_from(key).map(AnswerColumn::Key))
        .chain((0..plan.outputs.len()).map(|output| u16::try_from(output).map(AnswerColumn::Output)))
        .collect::<Result<_, _>>()?;
    let (most, kept) = groups.trim().split_once('\t').context("psql printed no numbers of groups")?;
    // Sums are in native units here, so that nothing is scaled when they are read.
    let mut native = plan.clone();
    for output in &mut native.outputs {
        if let Aggregate::Sum { scale, .. } = &mut output.aggregate {
            *scale = 0;
        }
    }
    Ok(Bounded { cells: read_grid(cells, &native, &columns)?, most_groups: most.parse()?, kept_groups: kept.parse()? })
}

/// Rows of `columns` laid onto the declared grid: missing cells are 0, rows off the grid are dropped.
fn read_grid(printed: &str, plan: &PrivatePlan, columns: &[AnswerColumn]) -> Result<Grid> {
    let cells = usize::try_from(plan.cells().context("the grid is too large")?)?;
    let mut grid = vec![vec![0; cells]; plan.outputs.len()];
    let places: Vec<HashMap<String, usize>> = plan.keys.iter().map(|key| key.values(plan).into_iter().zip(0..).collect()).collect();
    for line in printed.lines() {
        let values: Vec<&str> = line.split('\t').collect();
        ensure!(values.len() == columns.len(), "PostgreSQL gives {} columns instead of {}: {line}", values.len(), columns.len());
        let mut at = vec![None; plan.keys.len()];
        let mut found = vec![0; plan.outputs.len()];
        for (value, column) in values.iter().zip(columns) {
            match column {
                AnswerColumn::Key(key) => {
                    let key = usize::from(*key);
                    let text = match (&plan.keys[key].source, *value) {
                        (KeySource::Boolean { .. }, "t") => "true",
                        (KeySource::Boolean { .. }, "f") => "false",
                        (_, text) => text,
                    };
                    at[key] = places[key].get(text).copied();
                }
                AnswerColumn::Output(output) => {
                    let output = usize::from(*output);
                    found[output] =
                        units(value, scale_of(&plan.outputs[output].aggregate)).with_context(|| format!("{value} is not exact"))?;
                }
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

/// Decimal digits of an output.
pub(crate) fn scale_of(aggregate: &Aggregate) -> u8 {
    match aggregate {
        Aggregate::Sum { scale, .. } => *scale,
        Aggregate::CountRows { .. } | Aggregate::CountUnits => 0,
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

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn condition(predicate: &Predicate, contract: &DataContract, table: &str) -> Result<String> {
    let all = |parts: &[Predicate], word: &str, neutral: &str| -> Result<String> {
        let parts: Vec<String> = parts.iter().map(|part| condition(part, contract, table)).collect::<Result<_>>()?;
        Ok(if parts.is_empty() { neutral.to_owned() } else { format!("({})", parts.join(word)) })
    };
    // A number is compared as it is summed: rounded to its digits, within its range.
    let value = |column: &str| -> Result<String> {
        let declared = contract.table(table).and_then(|table| table.column(column)).context("the plan names an unknown column")?;
        Ok(match &declared.column_type {
            ColumnType::Number { lo, hi, scale } => format!("({})", in_units(column, *lo, *hi, *scale)),
            ColumnType::Code { .. } | ColumnType::Boolean => column.to_owned(),
        })
    };
    let constant = |literal: &Literal| match literal {
        Literal::Code(code) => quoted(code),
        Literal::Number(number) => number.to_string(),
        Literal::Boolean(truth) => truth.to_string(),
    };
    Ok(match predicate {
        Predicate::And(parts) => all(parts, " AND ", "TRUE")?,
        Predicate::Or(parts) => all(parts, " OR ", "FALSE")?,
        Predicate::Not(part) => format!("(NOT {})", condition(part, contract, table)?),
        Predicate::Constant(truth) => truth.to_string(),
        Predicate::IsNull { column } => format!("({} IS NULL)", value(column)?),
        Predicate::InList { column, literals } => {
            let literals: Vec<String> = literals.iter().map(constant).collect();
            format!("({} IN ({}))", value(column)?, literals.join(", "))
        }
        Predicate::Compare { column, op, literal } => {
            let op = match op {
                CompareOp::Eq => "=",
                CompareOp::Ne => "<>",
                CompareOp::Lt => "<",
                CompareOp::Le => "<=",
                CompareOp::Gt => ">",
                CompareOp::Ge => ">=",
            };
            format!("({} {op} {})", value(column)?, constant(literal))
        }
    })
}
