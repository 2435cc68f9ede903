//! TPC-H with the customer as the unit: Q1, Q6, Q14, Q19 and Q5 by our engine, bounded so wide that no bound binds, beside `DuckDB` without
//! privacy. The exact integers must be `DuckDB`'s. The rows' customer is carried on lineitem by the file, and apart found by the binding's join with orders.

mod data;
mod questions;

use std::path::Path;

use anyhow::{Context, bail, ensure};
use commun_domain::Epsilon;
use commun_domain::contract_toml::parse_contract;
use commun_domain::plan::Aggregate;
use commun_domain::query::{PriceRequest, QuerySettings};
use serde_json::{Value, json};

use crate::Figure;
use crate::turns::environment::{DUCKDB, Installed};
use crate::turns::own::{self, Question};
use crate::turns::{Outcome, by_turns};

use questions::{MAX_GROUPS, QUESTIONS, Tpch};

/// What the engine may use: hash tables of the bindings' joins do not go to files.
const MEMORY_BYTES: usize = 1 << 30;
const MEMORY_BYTES_WITH_JOINS: usize = 6 << 30;

/// Figures for every question. `scale`: TPC-H's scale factor, 1 for six million rows of lineitem.
pub(crate) fn measure(scale: u32, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let rows = data::write(folder.path(), scale)?;
    let duckdb = DUCKDB.install(folder.path());
    let mut figures = Vec::new();
    for question in QUESTIONS {
        figures.extend(one(question, folder.path(), &format!("TPC-H {scale}, {}", question.name), rows, duckdb.as_ref(), repetitions)?);
    }
    Ok(figures)
}

fn one(question: &Tpch, folder: &Path, name: &str, rows: u64, duckdb: Option<&Installed>, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let contract = questions::contract();
    let asked = Question {
        contract: &contract,
        binding: question.binding,
        sql: question.sql,
        max_groups: MAX_GROUPS,
        memory_bytes: Some(if question.joins { MEMORY_BYTES_WITH_JOINS } else { MEMORY_BYTES }),
        cells: true,
    };
    let mut systems = vec![own::engine("engine", folder, &asked)?];
    let views: serde_json::Map<String, Value> =
        data::TABLES.iter().map(|table| ((*table).to_owned(), json!(folder.join(format!("{table}.parquet"))))).collect();
    let mut database = duckdb.map(|duckdb| duckdb.database(", no bound", &Value::from(views), question.duckdb));
    if let Some(database) = &mut database {
        database.job["cells"] = true.into();
    }
    systems.extend(database);
    let outcomes = by_turns(systems, repetitions)?;
    let mut figures: Vec<Figure> = outcomes.iter().flat_map(|outcome| outcome.figures(name, rows)).collect();
    // A binding's join may need more memory than it has; the reason has been shown.
    let Some(ours) = outcomes.first().filter(|first| first.name == "engine") else { return Ok(figures) };
    for theirs in &outcomes[1..] {
        let compared = compare(question, &contract, ours, theirs).with_context(|| name.to_owned())?;
        eprintln!("{name}: {compared} exact integers are DuckDB's");
        figures.extend(ours.over(theirs, name));
    }
    Ok(figures)
}

/// Compares every count and sum. Returns how many are equal, which are all.
fn compare(question: &Tpch, contract: &str, ours: &Outcome, theirs: &Outcome) -> anyhow::Result<usize> {
    let price = PriceRequest::Epsilon(Epsilon::from_units(1_000_000));
    let settings = QuerySettings { price, max_groups_per_person: MAX_GROUPS, intervals: false, clipped: false };
    let plan = commun_sql::compile(question.sql, &parse_contract(contract)?, &settings)?;
    let cells: Vec<Vec<String>> = serde_json::from_value(ours.answer()?["cells"].clone())?;
    let found: Vec<Vec<String>> = serde_json::from_value(theirs.answer()?["rows"].clone())?;
    let mut equal = 0;
    let mut counts_and_sums = Vec::new();
    for (output, cells) in plan.outputs.iter().zip(&cells) {
        let scale = match &output.aggregate {
            Aggregate::CountRows { .. } => 0,
            Aggregate::Sum { measured, .. } => measured.scale,
            // Averages are of counts and sums of other units.
            _ => continue,
        };
        // Groups without rows are not in a database's answer.
        counts_and_sums.push((scale, cells.iter().filter(|cell| *cell != "0").collect::<Vec<_>>()));
    }
    ensure!(question.compared.len() == counts_and_sums.len(), "{} outputs are counts and sums", counts_and_sums.len());
    for ((scale, cells), place) in counts_and_sums.iter().zip(question.compared) {
        ensure!(cells.len() == found.len(), "{} groups, and {} of DuckDB", cells.len(), found.len());
        for (cell, row) in cells.iter().zip(&found) {
            let theirs = units(row.get(*place).context("column")?, *scale)?;
            ensure!(cell.parse::<i128>()? == theirs, "{cell} is not {theirs} (column {place}, 10^-{scale})");
            equal += 1;
        }
    }
    Ok(equal)
}

/// A decimal number as a database writes it, in units of 10^-scale.
fn units(text: &str, scale: u8) -> anyhow::Result<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(scale) {
        bail!("{text} has more than {scale} digits");
    }
    Ok(format!("{whole}{fraction:0<width$}", width = usize::from(scale)).parse()?)
}
