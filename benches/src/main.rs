//! `commun-benches`: what Commun costs in time, as a table on standard output and as JSON in a file.
//!
//! Three measurements: samples a second of the exact discrete Gaussian; rows a second of the bounded aggregate over a Parquet file;
//! latency of a small query by step through real processes. It starts `commun-demo` beside it, so build that first:
//!
//! ```text
//! cargo build --release -p commun-demo && cargo run --release -p commun-benches -- --json benches.json
//! ```

mod engine;
mod latency;
mod noise;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

/// Measure noise, engine and a small query
#[derive(Debug, Parser)]
#[command(name = "commun-benches")]
struct Args {
    /// File for the figures
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rows of the engine's table
    #[arg(long, default_value_t = 2_000_000)]
    rows: usize,
    /// Repetitions; the median is shown between the least and the greatest
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    repetitions: u32,
}

/// One measured quantity.
pub(crate) struct Figure {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { name: name.into(), unit, values }
    }

    fn median(&self) -> f64 {
        self.values.get(self.values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut figures = noise::measure(args.repetitions)?;
    figures.extend(engine::measure(args.rows, args.repetitions)?);
    figures.extend(latency::measure(args.repetitions)?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<52} {:>14} {:>14} {:>14}  unit", "figure", "least", "median", "greatest")?;
    for figure in &figures {
        let (least, greatest) = (figure.values.first().context("no value")?, figure.values.last().context("no value")?);
        writeln!(out, "{:<52} {least:>14.2} {:>14.2} {greatest:>14.2}  {}", figure.name, figure.median(), figure.unit)?;
    }
    if let Some(path) = args.json {
        let list: Vec<_> = figures
            .iter()
            .map(|figure| serde_json::json!({ "name": figure.name, "unit": figure.unit, "median": figure.median(), "values": figure.values }))
            .collect();
        std::fs::write(path, format!("{:#}\n", serde_json::Value::from(list)))?;
    }
    Ok(())
}
