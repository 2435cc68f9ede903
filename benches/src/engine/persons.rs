//! Questions that look at whole persons, which are brought together before anything is computed: a subquery that groups by the person, a window over a
//! person's rows, and a join of two tables of persons. `DuckDB` runs the same SQL without bounds.

use std::path::Path;

use anyhow::{Context, ensure};
use parquet::basic::Compression;
use serde_json::json;

use super::bounded::MEMORY_BYTES;
use super::table::{self, Layout, MAX_GROUPS, MONTH, Table};
use crate::Figure;
use crate::turns::by_turns;
use crate::turns::environment::{DUCKDB, Installed};
use crate::turns::own::{self, Question};

struct OfPersons {
    name: &'static str,
    ours: &'static str,
    theirs: &'static str,
    /// Whether each person counts once, so that no bound binds on the counts.
    once: bool,
}

const QUESTIONS: [OfPersons; 3] = [
    OfPersons {
        name: "a subquery that groups by person",
        ours: "SELECT LEAST(payments, 20) AS payments, COUNT(*) AS people, SUM(spent) AS spent FROM (SELECT person, month, COUNT(*) AS payments, \
               SUM(amount) AS spent FROM spending.payment GROUP BY person, month) AS p WHERE month = 'MONTH' GROUP BY LEAST(payments, 20)",
        theirs: "SELECT least(n, 20), count(*), sum(spent) FROM (SELECT person, count(*) AS n, sum(amount) AS spent FROM payments \
                 WHERE month = 'MONTH' GROUP BY person) GROUP BY ALL",
        once: true,
    },
    OfPersons {
        name: "a window over a person's rows",
        ours: "SELECT municipality, COUNT(*) AS people, SUM(amount) AS spent FROM (SELECT person, month, municipality, amount, ROW_NUMBER() OVER \
               (PARTITION BY person, month ORDER BY amount DESC) AS place FROM spending.payment) AS w WHERE place = 1 AND month = 'MONTH' \
               GROUP BY municipality",
        theirs: "SELECT municipality, count(*), sum(amount) FROM (SELECT * FROM payments WHERE month = 'MONTH' \
                 QUALIFY row_number() OVER (PARTITION BY person ORDER BY amount DESC) = 1) GROUP BY municipality",
        once: true,
    },
    OfPersons {
        name: "a join of two tables of persons",
        ours: "SELECT r.home, COUNT(*) AS n, SUM(p.amount) AS spent FROM spending.payment AS p JOIN spending.resident AS r ON p.person = r.person \
               AND p.month = r.month WHERE p.month = 'MONTH' GROUP BY r.home",
        theirs: "SELECT home, count(*), sum(amount) FROM payments AS p JOIN residents AS r ON p.person = r.person AND p.month = r.month \
                 WHERE p.month = 'MONTH' GROUP BY home",
        once: false,
    },
];

/// Speed and memory of each question.
pub(crate) fn measure(rows: u64, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let table = Table { rows, layout: Layout::AnyOrder, compression: Compression::UNCOMPRESSED, dictionaries: true };
    table.write(&folder.path().join("payments.parquet"))?;
    table.write_residents(&folder.path().join("residents.parquet"))?;
    let duckdb = DUCKDB.install(folder.path());
    let mut figures = Vec::new();
    for question in QUESTIONS {
        figures.extend(one(&question, folder.path(), rows, duckdb.as_ref(), repetitions)?);
    }
    Ok(figures)
}

fn one(question: &OfPersons, folder: &Path, rows: u64, duckdb: Option<&Installed>, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let sql = question.ours.replace("MONTH", MONTH);
    let asked = Question {
        contract: &table::contract(),
        binding: &table::binding_with_residents(),
        sql: &sql,
        max_groups: MAX_GROUPS,
        memory_bytes: Some(MEMORY_BYTES),
        cells: false,
    };
    let views = json!({ "payments": folder.join("payments.parquet"), "residents": folder.join("residents.parquet") });
    let mut systems = vec![own::engine("engine", folder, &asked)?];
    systems.extend(duckdb.map(|duckdb| duckdb.database(", no bound", &views, &question.theirs.replace("MONTH", MONTH))));
    let outcomes = by_turns(systems, repetitions)?;
    let ours = outcomes.first().filter(|first| first.name == "engine").context("the engine failed")?;
    let name = format!("{} M rows, {}", rows / 1_000_000, question.name);
    let mut figures: Vec<Figure> = outcomes.iter().flat_map(|outcome| outcome.figures(&name, rows)).collect();
    let kept = ours.answer()?["kept"].as_i64().context("kept")?;
    ensure!(kept > 0, "{name}: nothing counts");
    for plain in &outcomes[1..] {
        let all = plain.answer()?["kept"].as_i64().context("kept")?;
        ensure!(if question.once { kept == all } else { kept <= all }, "{name}: {kept} count, and {all} without bounds");
        figures.extend(ours.over(plain, &name));
    }
    Ok(figures)
}
