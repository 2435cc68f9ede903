//! The bounded aggregate beside what a database takes for the same table without bounding: `COUNT(*)` and `SUM` by municipality, at most four
//! groups a person, for rows in any order, sorted by person, and half of them one person's. Our engine may use 1 GiB; `DuckDB` runs the
//! plain GROUP BY, and it and `DataFusion` the ways to write the bound in SQL, by turns on the same file. Times of threads say where ours goes.

use std::path::Path;

use anyhow::{Context, ensure};
use parquet::basic::Compression;
use serde_json::{Value, json};

use super::sql;
use super::table::{self, GROUPS, Layout, MAX_AMOUNT, MAX_GROUPS, MAX_ROWS, MONTH, Table};
use crate::Figure;
use crate::turns::environment::{DUCKDB, Installed, PRIVATE};
use crate::turns::own::{self, Question};
use crate::turns::{Outcome, System, by_turns};

/// What the engine may use.
pub(super) const MEMORY_BYTES: usize = 1 << 30;

/// The bounded forms in SQL take long, so they run at most so often.
const MOST_SLOW_REPETITIONS: u32 = 3;

/// Figures of ours and of `DuckDB`'s, if there is one, over a table without compression, which is the harder comparison, and with the usual one.
pub(crate) fn measure(rows: u64, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let duckdb = DUCKDB.install(folder.path());
    let mut figures = Vec::new();
    for (layout, compression, dictionaries, name) in [
        (Layout::AnyOrder, Compression::UNCOMPRESSED, true, "any order"),
        (Layout::Sorted, Compression::UNCOMPRESSED, true, "sorted"),
        (Layout::AnyOrder, Compression::SNAPPY, true, "any order, Snappy"),
        (Layout::Sorted, Compression::SNAPPY, true, "sorted, Snappy"),
        (Layout::HalfIsOne, Compression::UNCOMPRESSED, true, "half of all rows one person's"),
        (Layout::Sorted, Compression::UNCOMPRESSED, false, "sorted, texts without dictionaries"),
    ] {
        let file = File::write(folder.path(), Table { rows, layout, compression, dictionaries }, name)?;
        figures.extend(file.beside_plain(duckdb.as_ref(), repetitions)?);
        if compression == Compression::UNCOMPRESSED && layout != Layout::HalfIsOne && dictionaries {
            figures.extend(file.beside_bounded(duckdb.as_ref(), repetitions.min(MOST_SLOW_REPETITIONS))?);
        }
    }
    Ok(figures)
}

/// A table whose groups do not fit the memory, so that they go to files.
pub(crate) fn measure_spilling(rows: u64, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let duckdb = DUCKDB.install(folder.path());
    let table = Table { rows, layout: Layout::AnyOrder, compression: Compression::UNCOMPRESSED, dictionaries: true };
    File::write(folder.path(), table, "any order")?.beside_plain(duckdb.as_ref(), repetitions)
}

/// The systems that bound and add noise, each beside ours, over a table of each number of rows.
pub(crate) fn measure_private(sizes: &[u64], repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let mut figures = Vec::new();
    for rows in sizes {
        let table = Table { rows: *rows, layout: Layout::AnyOrder, compression: Compression::UNCOMPRESSED, dictionaries: true };
        let file = File::write(folder.path(), table, "any order")?;
        for peer in PRIVATE {
            let Some(installed) = peer.install(folder.path()) else { continue };
            let job = json!({
                "path": file.path, "month": MONTH, "groups": table::codes(),
                "max_groups": MAX_GROUPS, "max_rows": MAX_ROWS, "max_amount": MAX_AMOUNT,
            });
            let outcomes = by_turns(vec![file.ours()?, installed.system("", job)], repetitions.min(MOST_SLOW_REPETITIONS))?;
            figures.extend(file.of_others_over_ours(&outcomes, true)?);
        }
    }
    Ok(figures)
}

/// The written table. It is replaced by the next one.
struct File<'a> {
    folder: &'a Path,
    path: std::path::PathBuf,
    table: Table,
    name: String,
}

impl<'a> File<'a> {
    fn write(folder: &'a Path, table: Table, name: &str) -> anyhow::Result<Self> {
        let path = folder.join("payments.parquet");
        table.write(&path)?;
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let millions = table.rows as f64 / 1e6;
        Ok(Self { folder, path, table, name: format!("{millions} M rows, {name}") })
    }

    fn views(&self) -> Value {
        json!({ "payments": self.path })
    }

    fn ours(&self) -> anyhow::Result<System> {
        let binding = table::binding(self.table.layout == Layout::Sorted);
        let sql = format!(
            "SELECT municipality, COUNT(*) AS n, SUM(amount) AS total FROM spending.payment WHERE month = '{MONTH}' GROUP BY municipality"
        );
        let question = Question {
            contract: &table::contract(),
            binding: &binding,
            sql: &sql,
            max_groups: MAX_GROUPS,
            memory_bytes: Some(MEMORY_BYTES),
            cells: false,
        };
        own::engine("engine", self.folder, &question)
    }

    fn beside_plain(&self, duckdb: Option<&Installed>, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
        let mut systems = vec![self.ours()?];
        systems.extend(duckdb.map(|duckdb| duckdb.database(", no bound", &self.views(), &sql::plain())));
        let outcomes = by_turns(systems, repetitions)?;
        let ours = outcomes.first().context("the engine failed")?;
        let mut figures = Vec::new();
        for outcome in &outcomes {
            self.check(outcome)?;
            figures.extend(outcome.figures(&self.name, self.table.rows));
        }
        for plain in &outcomes[1..] {
            let counted = &plain.answer()?["kept"];
            ensure!(*counted == self.table.rows, "the question without a bound counts {counted} rows");
            figures.extend(ours.over(plain, &self.name));
        }
        let last_two = if self.table.layout == Layout::Sorted {
            ["bounding and adding up", "ends of runs"]
        } else {
            ["dealing into parts", "bounding and adding up"]
        };
        for (number, part) in ["reading and decoding", "evaluating", last_two[0], last_two[1]].into_iter().enumerate() {
            let times = ours.answers.iter().filter_map(|answer| Some(answer["parts"][number].as_f64()? * 1e3)).collect();
            figures.push(Figure::new(format!("{}:   of it {part}", self.name), "thread ms", times));
        }
        Ok(figures)
    }

    fn beside_bounded(&self, duckdb: Option<&Installed>, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
        let mut systems = vec![self.ours()?];
        for (form, sql) in sql::bounded() {
            systems.extend(duckdb.map(|duckdb| duckdb.database(&format!(", {form}"), &self.views(), &sql)));
        }
        systems.push(own::datafusion("DataFusion, row_number over groups", &self.views(), &sql::in_datafusion())?);
        self.of_others_over_ours(&by_turns(systems, repetitions)?, false)
    }

    /// Rates, memory and what is kept of the others, beside ours, which goes first.
    fn of_others_over_ours(&self, outcomes: &[Outcome], with_ours: bool) -> anyhow::Result<Vec<Figure>> {
        let ours = outcomes.first().filter(|first| first.name == "engine").context("the engine failed")?;
        self.check(ours)?;
        let mut figures = vec![self.kept(ours)?];
        for other in &outcomes[1..] {
            if with_ours {
                figures.extend(ours.figures(&format!("{}, beside {}", self.name, other.name), self.table.rows));
            }
            self.check(other)?;
            figures.extend(other.figures(&self.name, self.table.rows));
            figures.extend(other.over(ours, &self.name));
            figures.push(self.kept(other)?);
        }
        Ok(figures)
    }

    /// How much of the table counts, which says whether the question is the same.
    fn kept(&self, outcome: &Outcome) -> anyhow::Result<Figure> {
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let part = outcome.answer()?["kept"].as_f64().context("kept")? / self.table.rows as f64 * 100.0;
        Ok(Figure::new(format!("{}: {}, what counts of the rows", self.name, outcome.name), "%", vec![part]))
    }

    /// Whether all groups are there, and something in them.
    fn check(&self, outcome: &Outcome) -> anyhow::Result<()> {
        let answer = outcome.answer()?;
        let (groups, kept) = (&answer["groups"], answer["kept"].as_i64().unwrap_or(0));
        ensure!(*groups == GROUPS, "{} gives {groups} groups", outcome.name);
        ensure!(kept > 0 && kept.unsigned_abs() <= self.table.rows, "{} counts {kept} of {} rows", outcome.name, self.table.rows);
        Ok(())
    }
}
