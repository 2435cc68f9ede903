//! `commun-benches`: what Commun costs in time, as a table on standard output and as JSON in a file.
//!
//! Samples a second of the exact discrete Gaussian; rows a second of the bounded aggregate over a Parquet file, for the demo's question and
//! beside a database on a larger table; CPU time and bytes of secure aggregation; latency of a small query by step through real processes, for which it starts `commun-demo` beside it, so build
//! that first. These are run unless one is named. `--only spilling` makes a file of two gigabytes and then as much again of spilled groups;
//! `--only private` compares with other systems that bound persons and add noise; `--only persons` asks questions that look at whole persons; `--only
//! tpch` asks TPC-H's. Databases and other systems are installed from the Python package index into `~/.cache/commun/benches`:
//!
//! ```text
//! cargo build --release -p commun-demo && cargo run --release -p commun-benches -- --json benches.json
//! ```

mod accuracy;
mod engine;
mod latency;
mod noise;
mod secagg;
mod tpch;
mod turns;
mod usage;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use commun_domain::clock::{Clock, SystemClock};

/// Measure noise, engine, aggregation and a small query
#[derive(Debug, Parser)]
#[command(name = "commun-benches")]
struct Args {
    /// File for the figures
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Rows of the table for the demo's question
    #[arg(long, default_value_t = 2_000_000)]
    rows: usize,
    /// Rows of the table that is compared with a database
    #[arg(long, default_value_t = 10_000_000)]
    bounded_rows: u64,
    /// Rows of the tables that are compared with systems that add noise
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000")]
    private_rows: Vec<u64>,
    /// Rows of the table that does not fit the memory
    #[arg(long, default_value_t = 100_000_000)]
    spilling_rows: u64,
    /// Scale factor of TPC-H; 10 writes two gigabytes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    tpch_scale: u32,
    /// Repetitions; the median is shown between the least and the greatest
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=100))]
    repetitions: u32,
    /// Answers of each cohort whose errors are measured
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    accuracy_runs: u32,
    /// Small queries whose latency is measured; more than 90 are beyond the budget of their contract
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=90))]
    queries: u32,
    /// Only one of the measurements
    #[arg(long, value_name = "NAME")]
    only: Option<Measurement>,
    /// Be the process of one system that is measured
    #[arg(long, hide = true)]
    answer_by_turns: bool,
    /// Be one party of an aggregation that is measured
    #[arg(long, hide = true)]
    aggregate_as: Option<secagg::party::Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Measurement {
    /// Samples of noise
    Noise,
    /// The demo's question
    Engine,
    /// The larger table beside a database
    Bounded,
    /// A table that does not fit the memory; two minutes and four gigabytes of disk
    Spilling,
    /// Other systems that bound persons and add noise; some minutes, and ten gigabytes of memory
    Private,
    /// Questions that look at whole persons, beside a database
    Persons,
    /// TPC-H's Q1, Q6, Q14, Q19 and Q5 beside a database
    Tpch,
    /// A small query through real processes; six seconds each, for the wait before its slot
    Latency,
    /// What the durable writes of a small query cost; wants strace
    Durable,
    /// Secure aggregation, up to 1,000 members
    Aggregation,
    /// Flower's secure aggregation beside ours; some minutes
    Flower,
    /// Errors of answers beside those of a trusted centre and of local noise; some minutes
    Accuracy,
}

impl Measurement {
    /// Whether it runs unless asked for.
    fn is_usual(self) -> bool {
        !matches!(self, Self::Spilling | Self::Private | Self::Persons | Self::Tpch | Self::Durable | Self::Flower | Self::Accuracy)
    }
}

/// When something ran, and what else ran then.
struct Moment {
    unix: u64,
    /// Processes that ran or waited for a core, on average over one, five and fifteen minutes.
    load: String,
}

impl Moment {
    fn now() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self { unix: SystemClock.now_unix(), load: load.split(' ').take(3).collect::<Vec<_>>().join(" ") }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "unix": self.unix, "load": self.load })
    }
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
        let (above, below) = (self.values.len() / 2, self.values.len().saturating_sub(1) / 2);
        f64::midpoint(self.at(below), self.at(above))
    }

    /// The value that 95 in 100 do not exceed (nearest rank).
    fn p95(&self) -> f64 {
        self.at((self.values.len() * 95).div_ceil(100).saturating_sub(1))
    }

    fn at(&self, place: usize) -> f64 {
        self.values.get(place).copied().unwrap_or(f64::NAN)
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if args.answer_by_turns {
        // In one line, which the other end shows.
        return turns::own::serve().or_else(|error| {
            eprintln!("{error:#}");
            std::process::exit(1)
        });
    }
    if let Some(part) = args.aggregate_as {
        return secagg::party::serve(part);
    }
    let wanted = |measurement: Measurement| args.only.map_or(measurement.is_usual(), |only| only == measurement);
    let started = Moment::now();
    let mut figures = Vec::new();
    if wanted(Measurement::Noise) {
        figures.extend(noise::measure(args.repetitions)?);
    }
    if wanted(Measurement::Engine) {
        figures.extend(engine::measure(args.rows, args.repetitions)?);
    }
    if wanted(Measurement::Bounded) {
        figures.extend(engine::bounded::measure(args.bounded_rows, args.repetitions)?);
    }
    if wanted(Measurement::Spilling) {
        figures.extend(engine::bounded::measure_spilling(args.spilling_rows, args.repetitions)?);
    }
    if wanted(Measurement::Private) {
        figures.extend(engine::bounded::measure_private(&args.private_rows, args.repetitions)?);
    }
    if wanted(Measurement::Persons) {
        figures.extend(engine::persons::measure(args.bounded_rows, args.repetitions)?);
    }
    if wanted(Measurement::Tpch) {
        figures.extend(tpch::measure(args.tpch_scale, args.repetitions)?);
    }
    if wanted(Measurement::Latency) {
        figures.extend(latency::measure(args.queries)?);
    }
    if wanted(Measurement::Durable) {
        figures.extend(latency::durable::measure(args.queries)?);
    }
    if wanted(Measurement::Aggregation) {
        figures.extend(secagg::measure(args.repetitions)?);
    }
    if wanted(Measurement::Flower) {
        figures.extend(secagg::flower::measure(args.repetitions)?);
    }
    if wanted(Measurement::Accuracy) {
        figures.extend(accuracy::measure(args.accuracy_runs)?);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "load average before {}, after {}", started.load, Moment::now().load)?;
    writeln!(out, "{:<76} {:>14} {:>14} {:>14} {:>14}  unit", "figure", "least", "median", "p95", "greatest")?;
    for figure in &figures {
        let (least, greatest) = (figure.values.first().context("no value")?, figure.values.last().context("no value")?);
        writeln!(
            out,
            "{:<76} {least:>14.3} {:>14.3} {:>14.3} {greatest:>14.3}  {}",
            figure.name,
            figure.median(),
            figure.p95(),
            figure.unit
        )?;
    }
    if let Some(path) = args.json {
        let list: Vec<_> = figures
            .iter()
            .map(|figure| serde_json::json!({ "name": figure.name, "unit": figure.unit, "median": figure.median(), "p95": figure.p95(), "values": figure.values }))
            .collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let run = serde_json::json!({
            "cores": cores, "repetitions": args.repetitions, "started": started.json(), "ended": Moment::now().json(), "figures": list,
        });
        std::fs::write(path, format!("{run:#}\n"))?;
    }
    Ok(())
}
