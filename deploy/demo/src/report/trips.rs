//! The second question's answer beside the truth of the drawn rows: counts, means and medians by province and hour.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use comfy_table::CellAlignment;
use commun_cli::output::plain_table;
use commun_domain::contract::DataContract;

use super::{Query, percent};
use crate::trips::{Cell, Truth};

/// How many cells are printed.
const LARGEST: usize = 6;

/// Columns of the answer.
const COLUMNS: [&str; 8] = ["province", "hour", "trips", "trips_moe", "mean_km", "mean_km_moe", "median_km", "median_km_moe"];

/// A number of the answer, its margin and the truth. Without a margin the noise is too large to say.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    value: Option<f64>,
    margin: Option<f64>,
    truth: Option<f64>,
}

impl Estimate {
    /// Whether the margin covers the truth; `None` when one of them is not there.
    fn covers(&self) -> Option<bool> {
        // The released decimals are exact; this is what two floats may differ by when they stand for the same decimal.
        let rounding = 1e-9;
        Some((self.value? - self.truth?).abs() <= self.margin? + rounding)
    }

    fn shown(&self, digits: usize) -> String {
        match (self.value, self.margin) {
            (Some(value), Some(margin)) => format!("{value:.digits$} ±{margin:.digits$}"),
            _ => "too noisy".to_owned(),
        }
    }

    fn truth(&self, digits: usize) -> String {
        self.truth.map_or_else(|| "none".to_owned(), |truth| format!("{truth:.digits$}"))
    }
}

#[derive(Debug)]
struct Row {
    province: String,
    hour: u16,
    /// Trips, mean and median.
    estimates: [Estimate; 3],
}

/// See the module.
#[derive(Debug)]
pub(crate) struct TripsReport {
    rows: Vec<Row>,
    query: Query,
    elapsed_ms: u128,
}

/// How many of one statistic's margins cover the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Coverage {
    covered: usize,
    cells: usize,
    /// Cells without a margin.
    too_noisy: usize,
}

impl TripsReport {
    /// Reads `answer-trips.csv`, `query-trips.json` and `truth-trips.csv` of the folder.
    pub(crate) fn read(folder: &Path, elapsed_ms: u128) -> anyhow::Result<Self> {
        let query = Query::read(&folder.join("query-trips.json"))?;
        let truth = Truth::from_csv(&std::fs::read_to_string(folder.join("truth-trips.csv"))?)?;
        let mut reader = csv::Reader::from_path(folder.join("answer-trips.csv"))?;
        let columns: Vec<&str> = reader.headers()?.iter().collect();
        ensure!(columns == COLUMNS, "answer-trips.csv has other columns: {columns:?}");
        let rows = reader.records().map(|record| row(&record?, &truth)).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(
            query.number("cells") == Some(f64::from(u32::try_from(rows.len())?)),
            "the answer has {} rows, not one for each cell",
            rows.len()
        );
        Ok(Self { rows, query, elapsed_ms })
    }

    fn coverage(&self, place: usize) -> Coverage {
        let covers = || self.rows.iter().map(|row| row.estimates[place].covers());
        let too_noisy = self.rows.iter().filter(|row| row.estimates[place].margin.is_none()).count();
        Coverage { covered: covers().filter(|covers| *covers == Some(true)).count(), cells: covers().flatten().count(), too_noisy }
    }

    /// Prints the fullest cells, then the coverage.
    pub(crate) fn print(&self, contract: &DataContract) -> anyhow::Result<()> {
        let mut fullest: Vec<&Row> = self.rows.iter().collect();
        let trips = |row: &Row| row.estimates[0].value.unwrap_or_default();
        fullest.sort_by(|a, b| trips(b).total_cmp(&trips(a)));
        // The fullest, and the same number from where cells are small.
        let middle = fullest.len() / 2;
        let shown = fullest.iter().take(LARGEST).chain(fullest[middle..].iter().take(LARGEST / 2));
        let mut table = plain_table();
        table.set_header(["province", "hour", "trips", "true", "mean km", "true", "median km", "true"]);
        for Row { province, hour, estimates: [trips, mean, median] } in shown {
            let list = contract.code_list("province", "2019").and_then(|list| list.code(province));
            table.add_row([
                list.map_or(province.as_str(), |entry| entry.titles.en.as_str()).to_owned(),
                hour.to_string(),
                trips.shown(0),
                trips.truth(0),
                mean.shown(2),
                mean.truth(2),
                median.shown(1),
                median.truth(1),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "\nTrips to work by province and hour: the {LARGEST} fullest cells and {} of the middle; hours and distances are drawn by the demo\n",
            LARGEST / 2
        )?;
        writeln!(out, "{table}\n")?;
        for (place, name) in ["counts", "means", "medians"].into_iter().enumerate() {
            writeln!(out, "{}", self.coverage(place).in_words(name))?;
        }
        writeln!(out, "{}", self.query.price())?;
        let seconds = self.elapsed_ms / 1000;
        writeln!(
            out,
            "Asked and answered in {seconds}.{} s, under a data contract and a permit of its own.",
            self.elapsed_ms % 1000 / 100
        )?;
        Ok(())
    }

    /// For `report.json`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let coverage = |place: usize| {
            let Coverage { covered, cells, too_noisy } = self.coverage(place);
            serde_json::json!({ "covered": covered, "cells": cells, "too_noisy": too_noisy })
        };
        serde_json::json!({
            "cells": self.rows.len(),
            "trips": coverage(0),
            "mean_km": coverage(1),
            "median_km": coverage(2),
            "rho": self.query.field("rho"),
            "epsilon": self.query.field("epsilon"),
            "stored": self.query.field("stored"),
            "query_id": self.query.field("query_id"),
        })
    }
}

impl Coverage {
    /// With what to expect: the number of cells that 95 % margins cover is binomial.
    #[expect(clippy::cast_precision_loss, reason = "for display")]
    fn in_words(self, name: &str) -> String {
        let Self { covered, cells, too_noisy } = self;
        let expected = 0.95 * cells as f64;
        let spread = 2.0 * (expected * 0.05).sqrt();
        let noisy = if too_noisy == 0 { String::new() } else { format!("; {too_noisy} cells are too noisy to say") };
        format!(
            "{covered} of {cells} {name} ({:.1} %) lie within their 95 % margin; {expected:.0} ± {spread:.0} are to be expected{noisy}.",
            percent(covered, cells)
        )
    }
}

fn row(record: &csv::StringRecord, truth: &Truth) -> anyhow::Result<Row> {
    let field = |place: usize| record.get(place).unwrap_or_default();
    let number = |place: usize| -> anyhow::Result<Option<f64>> {
        let text = field(place);
        if text.is_empty() { Ok(None) } else { Ok(Some(text.parse().with_context(|| format!("{} is \"{text}\"", COLUMNS[place]))?)) }
    };
    let (province, hour) = (field(0).to_owned(), field(1).parse()?);
    let cell = truth.cell(&province, hour);
    let estimate = |place: usize, truth: Option<f64>| -> anyhow::Result<Estimate> {
        Ok(Estimate { value: number(place)?, margin: number(place + 1)?, truth })
    };
    let estimates = [
        estimate(2, Some(cell.map_or(0.0, |cell| float(cell.trips))))?,
        estimate(4, cell.map(mean_km))?,
        estimate(6, cell.map(|cell| float(cell.median) / 10.0))?,
    ];
    Ok(Row { province, hour, estimates })
}

fn mean_km(cell: Cell) -> f64 {
    float(cell.tenths) / 10.0 / float(cell.trips)
}

#[expect(clippy::cast_precision_loss, reason = "counts of trips and tenths of kilometres are far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_covers_the_truth_or_not_or_is_not_there() {
        let estimate = |value, margin, truth| Estimate { value, margin, truth };
        assert_eq!(estimate(Some(12.3), Some(0.0), Some(123.0 / 10.0)).covers(), Some(true));
        assert_eq!(estimate(Some(12.3), Some(0.1), Some(12.5)).covers(), Some(false));
        assert_eq!(estimate(Some(12.3), None, Some(12.3)).covers(), None);
        assert_eq!(estimate(None, None, Some(12.3)).shown(1), "too noisy");
        assert_eq!(estimate(Some(12.34), Some(0.5), None).shown(1), "12.3 ±0.5");
    }

    #[test]
    fn coverage_says_what_is_to_be_expected() {
        let words = Coverage { covered: 250, cells: 264, too_noisy: 3 }.in_words("means");
        assert!(words.starts_with("250 of 264 means (94.7 %)") && words.contains("251 ± 7 are to be expected; 3 cells"), "{words}");
    }
}
