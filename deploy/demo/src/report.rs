//! What is printed and left behind: the largest flows beside the truth, coverage over all cells, `report.json`. The second question has a
//! page of its own ([`trips`]).

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use comfy_table::CellAlignment;
use commun_cli::output::plain_table;
use commun_domain::contract::DataContract;

use crate::census::{Census, name};

pub(crate) mod trips;

use self::trips::TripsReport;

/// How many flows are printed.
const LARGEST: usize = 12;

/// Steps with their times; the running one is shown on standard error.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, u128)>,
    running: Option<(String, Instant)>,
}

impl Steps {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Ends the step before and begins another.
    pub(crate) fn begin(&mut self, name: &str, what: &str) {
        self.end();
        eprintln!("- {what}");
        self.running = Some((name.to_owned(), Instant::now()));
    }

    /// Ends the running step; how long it took, in milliseconds.
    pub(crate) fn end(&mut self) -> u128 {
        let Some((name, start)) = self.running.take() else { return 0 };
        let elapsed_ms = start.elapsed().as_millis();
        if std::io::stderr().is_terminal() || elapsed_ms >= 1000 {
            eprintln!("  {}.{} s", elapsed_ms / 1000, elapsed_ms % 1000 / 100);
        }
        self.done.push((name, elapsed_ms));
        elapsed_ms
    }
}

/// What `commun query --report` says of an answer.
#[derive(Debug)]
pub(crate) struct Query(serde_json::Value);

impl Query {
    fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(Self(serde_json::from_str(&std::fs::read_to_string(path)?)?))
    }

    fn field(&self, key: &str) -> serde_json::Value {
        self.0.get(key).cloned().unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.0.get(key).and_then(serde_json::Value::as_f64)
    }

    /// Whose noise is in it, in words.
    fn protection(&self) -> String {
        if self.field("unmasked") == serde_json::json!(true) {
            return "One operator alone: it added the full noise itself. No row and no exact count left its process.".to_owned();
        }
        let number = |key: &str| self.number(key).unwrap_or_default();
        format!(
            "Aggregated under masks: noise of one trusted centre x {:.2} (T = {}, c = {}). Nobody saw one operator's numbers; no row and no exact count left its process.",
            number("centre_factor"),
            number("threshold"),
            number("colluders")
        )
    }

    /// What it cost, in words.
    fn price(&self) -> String {
        let number = |key: &str| self.number(key).unwrap_or_default();
        let stored = self.field("stored").as_bool().unwrap_or_default();
        format!(
            "Privacy: epsilon {:.4} at delta {:e} (rho {:.6}) for each operator and month{}.",
            number("epsilon"),
            number("delta"),
            number("rho"),
            if stored { "; this is a stored result release, and nothing was spent again" } else { "" }
        )
    }
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// One cell of the answer beside the truth.
#[derive(Debug)]
struct Cell {
    home: String,
    work: String,
    answer: f64,
    margin: f64,
    truth: u64,
}

impl Cell {
    #[expect(clippy::cast_precision_loss, reason = "counts of persons are far below 2^53")]
    fn error(&self) -> f64 {
        self.answer - self.truth as f64
    }
}

/// The answer beside the truth.
#[derive(Debug)]
pub(crate) struct Comparison {
    cells: Vec<Cell>,
    query: Query,
}

impl Comparison {
    /// Reads `answer.csv`, `query.json` and `truth.csv` of the folder.
    pub(crate) fn read(folder: &Path, census: &Census) -> anyhow::Result<Self> {
        let query = Query::read(&folder.join("query.json"))?;
        let truth: Vec<u64> =
            std::fs::read_to_string(folder.join("truth.csv"))?.lines().map(str::parse).collect::<Result<_, _>>().context("truth.csv")?;
        let mut reader = csv::Reader::from_path(folder.join("answer.csv"))?;
        let columns: Vec<&str> = reader.headers()?.iter().collect();
        ensure!(columns == ["home_arr", "work_arr", "commuters", "commuters_moe"], "answer.csv has other columns: {columns:?}");
        let side = census.codes.len();
        let mut cells = Vec::new();
        for record in reader.records() {
            let record = record?;
            let [home, work, answer, margin] = [0, 1, 2, 3].map(|index| record.get(index).unwrap_or_default());
            let place = |code: &str| census.codes.iter().position(|known| known == code).with_context(|| format!("unknown code {code}"));
            cells.push(Cell {
                truth: *truth.get(place(home)? * side + place(work)?).context("truth.csv is too short")?,
                home: home.to_owned(),
                work: work.to_owned(),
                answer: answer.parse()?,
                margin: margin.parse()?,
            });
        }
        ensure!(cells.len() == side * side, "the answer has {} cells and not {}", cells.len(), side * side);
        Ok(Self { cells, query })
    }

    fn covered(&self) -> usize {
        self.cells.iter().filter(|cell| cell.error().abs() <= cell.margin).count()
    }

    fn median_margin(&self) -> f64 {
        let mut margins: Vec<f64> = self.cells.iter().map(|cell| cell.margin).collect();
        margins.sort_by(f64::total_cmp);
        margins.get(margins.len() / 2).copied().unwrap_or_default()
    }

    /// Prints the largest flows by name, then the coverage.
    pub(crate) fn print(&self, contract: &DataContract, persons: u64, census_total: u64) -> anyhow::Result<()> {
        let mut flows: Vec<&Cell> = self.cells.iter().filter(|cell| cell.home != cell.work).collect();
        flows.sort_by(|a, b| b.answer.total_cmp(&a.answer));
        let mut table = plain_table();
        // Fewer persons than the census counts have a truth of their own.
        let truth = if persons == census_total { "census" } else { "truth" };
        table.set_header(["from", "to", "commuters", "margin", truth, "difference"]);
        for cell in flows.iter().take(LARGEST) {
            table.add_row([
                name(contract, &cell.home).to_owned(),
                name(contract, &cell.work).to_owned(),
                cell.answer.to_string(),
                format!("±{:.1}", cell.margin),
                cell.truth.to_string(),
                format!("{:+.2}", cell.error()),
            ]);
        }
        for column in table.column_iter_mut().skip(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let (covered, cells) = (self.covered(), self.cells.len());
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nLargest flows between arrondissements: synthetic persons ({persons}), totals of the 2011 census\n")?;
        writeln!(out, "{table}")?;
        let percent = percent(covered, cells);
        writeln!(out, "\n{covered} of {cells} cells ({percent:.1} %) lie within their 95 % margin of error.")?;
        writeln!(out, "{}", self.query.price())?;
        writeln!(out, "Median margin of error: ±{:.1} persons.", self.median_margin())?;
        writeln!(out, "{}", self.query.protection())?;
        Ok(())
    }

    /// Leaves `report.json` in the folder.
    pub(crate) fn write_report(&self, folder: &Path, persons: u64, steps: &Steps, trips: &TripsReport) -> anyhow::Result<()> {
        let elapsed: serde_json::Map<String, serde_json::Value> =
            steps.done.iter().map(|(name, ms)| (name.clone(), serde_json::json!(u64::try_from(*ms).unwrap_or(u64::MAX)))).collect();
        let field = |key: &str| self.query.field(key);
        let holders = field("holders").as_array().map_or(0, Vec::len);
        let report = serde_json::json!({
            "cells": self.cells.len(),
            "covered": self.covered(),
            "median_margin": self.median_margin(),
            "centre_factor": field("centre_factor"),
            "unmasked": field("unmasked"),
            "rho": field("rho"),
            "epsilon": field("epsilon"),
            "delta": field("delta"),
            "holders": holders,
            "rows": persons,
            "stored": field("stored"),
            "query_id": field("query_id"),
            "elapsed_ms": elapsed,
            "trips": trips.to_json(),
        });
        // Whole or not at all: who waits for it reads it at once.
        let new = folder.join("report.json.new");
        std::fs::write(&new, format!("{report:#}\n"))?;
        Ok(std::fs::rename(new, folder.join("report.json"))?)
    }
}
