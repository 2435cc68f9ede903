//! The bounded aggregate beside what a database takes for the same table without bounding: `COUNT(*)` and `SUM` by municipality, at most four
//! groups a person, for rows in any order, sorted by person, and half of them one person's. Our engine may use 1 GiB; `DuckDB` runs the
//! plain GROUP BY and three ways to write the bound in SQL in the same minutes on the same file. Times of threads say where ours goes.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::plan::PrivatePlan;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::{Document, Epsilon};
use commun_engine::{Binding, DataFusionEngine, EngineOptions, Times};
use parquet::basic::Compression;

use super::duckdb::{self, DuckDb};
use super::table::{self, Layout, MAX_GROUPS, Table};
use crate::Figure;

const MEMORY_BYTES: usize = 1 << 30;

/// The bounded forms in SQL take a hundred times as long, so they run at most so often.
const MOST_SLOW_REPETITIONS: u32 = 3;

/// One of the times.
type PartOf = fn(&Times) -> Duration;

struct Question {
    contract: DataContract,
    plan: PrivatePlan,
}

/// Figures of ours and of `DuckDB`'s, if there is one, over a table without compression, which is the harder comparison, and with the usual one.
pub(crate) fn measure(rows: u64, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let (question, folder) = (Question::new()?, tempfile::tempdir()?);
    let duckdb = duckdb::install(folder.path());
    let mut figures = Vec::new();
    for (layout, compression, name) in [
        (Layout::AnyOrder, Compression::UNCOMPRESSED, "any order"),
        (Layout::Sorted, Compression::UNCOMPRESSED, "sorted"),
        (Layout::AnyOrder, Compression::SNAPPY, "any order, Snappy"),
        (Layout::Sorted, Compression::SNAPPY, "sorted, Snappy"),
        (Layout::HalfIsOne, Compression::UNCOMPRESSED, "half of all rows one person's"),
    ] {
        let table = Table { rows, layout, compression };
        let slow = if compression == Compression::UNCOMPRESSED && layout != Layout::HalfIsOne { MOST_SLOW_REPETITIONS } else { 0 };
        figures.extend(question.measure(folder.path(), table, name, duckdb.as_ref(), repetitions, repetitions.min(slow))?);
    }
    Ok(figures)
}

/// A table whose groups do not fit the memory, so that they go to files.
pub(crate) fn measure_spilling(rows: u64, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let (question, folder) = (Question::new()?, tempfile::tempdir()?);
    let duckdb = duckdb::install(folder.path());
    let table = Table { rows, layout: Layout::AnyOrder, compression: Compression::UNCOMPRESSED };
    question.measure(folder.path(), table, "any order", duckdb.as_ref(), repetitions, 0)
}

impl Question {
    fn new() -> anyhow::Result<Self> {
        let contract = parse_contract(&table::contract())?;
        let price = PriceRequest::Epsilon(Epsilon::from_units(1_000_000));
        let settings = QuerySettings { price, max_groups_per_person: MAX_GROUPS, intervals: false };
        let sql = format!(
            "SELECT municipality, COUNT(*) AS n, SUM(amount) AS total FROM spending.payment WHERE month = '{}' GROUP BY municipality",
            table::MONTH
        );
        let plan = commun_sql::compile(&sql, &contract, &settings)?;
        Ok(Self { contract, plan })
    }

    fn measure(
        &self,
        folder: &Path,
        table: Table,
        name: &str,
        duckdb: Option<&DuckDb>,
        repetitions: u32,
        slow_repetitions: u32,
    ) -> anyhow::Result<Vec<Figure>> {
        let (path, rows) = (folder.join("payments.parquet"), table.rows);
        table.write(&path)?;
        let name = format!("{} M rows, {name}", rows / 1_000_000);
        let (seconds, mut figures) = self.ours(folder, table, &name, repetitions)?;
        let ours = Figure::new(format!("{name}: engine"), "million rows/s", rates(rows, &seconds));
        let our_seconds = Figure::new("", "s", seconds).median();
        figures.insert(0, ours);
        for (forms, repetitions) in [(duckdb::plain(), repetitions), (duckdb::bounded(), slow_repetitions)] {
            let Some(duckdb) = duckdb.filter(|_| repetitions > 0) else { continue };
            for ((form, _), seconds) in forms.iter().zip(duckdb.measure(&path, repetitions, &forms)?) {
                figures.push(Figure::new(format!("{name}: DuckDB, {form}"), "million rows/s", rates(rows, &seconds)));
                let theirs = Figure::new("", "s", seconds).median();
                if *form == duckdb::PLAIN {
                    figures.push(Figure::new(format!("{name}: engine over plain DuckDB"), "x the time", vec![our_seconds / theirs]));
                } else {
                    figures.push(Figure::new(format!("{name}: that over engine"), "x the time", vec![theirs / our_seconds]));
                }
            }
        }
        std::fs::remove_file(path)?;
        Ok(figures)
    }

    /// Seconds of each repetition, and figures of where they went.
    fn ours(&self, folder: &Path, table: Table, name: &str, repetitions: u32) -> anyhow::Result<(Vec<f64>, Vec<Figure>)> {
        let sorted = table.layout == Layout::Sorted;
        let binding = format!(
            "contract = \"spending\"\n[[source]]\nname = \"payments\"\nformat = \"parquet\"\npath = \"payments.parquet\"\n\
             [[table]]\nname = \"payment\"\nsorted_by_unit = {sorted}\nsql = \"SELECT person, month, municipality, amount FROM payments\"\n"
        );
        let options =
            EngineOptions { memory_bytes: NonZeroUsize::new(MEMORY_BYTES), spill_folder: folder.to_owned(), ..EngineOptions::default() };
        let engine = DataFusionEngine::new(Binding::parse(&binding)?, folder).with_options(options);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let id = commun_domain::encoding::sha256(&self.plan.to_bytes()).into();
        let (mut seconds, mut times) = (Vec::new(), Vec::new());
        // Of memory, what is used from here on counts.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        for number in 0..=repetitions {
            let start = Instant::now();
            let (cells, spent) = runtime.block_on(engine.evaluate_timed(&self.plan, &id, &self.contract))?;
            let elapsed = start.elapsed();
            let kept: i128 = cells.outputs[0].iter().sum();
            ensure!(kept > 0 && kept <= i128::from(table.rows), "{kept} of {} rows were counted", table.rows);
            // The first one reads the file into the page cache.
            if number > 0 {
                seconds.push(elapsed.as_secs_f64());
                times.push(spent);
            }
        }
        let parts: [(&str, PartOf); 4] = [
            ("reading and decoding", |times| times.read),
            ("evaluating", |times| times.evaluate),
            (if sorted { "bounding and adding up" } else { "dealing into parts" }, |times| times.deal),
            (if sorted { "ends of runs" } else { "bounding and adding up" }, |times| times.finish),
        ];
        let figure = |(part, of): (&str, PartOf)| {
            Figure::new(format!("{name}:   of it {part}"), "thread ms", times.iter().map(|times| of(times).as_secs_f64() * 1e3).collect())
        };
        let mut figures: Vec<Figure> = parts.into_iter().map(figure).collect();
        if let Some(peak) = peak_mib() {
            figures.push(Figure::new(format!("{name}:   most memory of the process"), "MiB", vec![peak]));
        }
        Ok((seconds, figures))
    }
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn rates(rows: u64, seconds: &[f64]) -> Vec<f64> {
    seconds.iter().map(|seconds| rows as f64 / seconds / 1e6).collect()
}

/// The highest resident memory of this process since that was last reset, what the allocator kept of earlier runs included.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
