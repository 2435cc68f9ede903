//! `DuckDB` from the Python package index, in a virtual environment that the bench makes and throws away. Without Python, network or package it is
//! passed over, with a line that says so.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::table::{GROUPS, MAX_AMOUNT, MAX_GROUPS, MAX_ROWS, MONTH};

/// The form without any bound.
pub(crate) const PLAIN: &str = "plain GROUP BY, no bound";

/// Runs the forms by turns: file, repetitions, threads, forms as JSON. Prints seconds of each as JSON. The first run of a form is not counted.
const SCRIPT: &str = r"
import json, sys, time
import duckdb
path, repetitions, threads, forms = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
connection = duckdb.connect()
connection.execute(f'SET threads = {threads}')
connection.execute(f'CREATE VIEW payments AS SELECT * FROM read_parquet({path!r})')
found = {name: [] for name in forms}
for number in range(repetitions + 1):
    for name, sql in forms.items():
        start = time.perf_counter()
        answer = connection.execute(sql).fetchall()
        if number > 0:
            found[name].append(time.perf_counter() - start)
        assert len(answer) == int(sys.argv[5]), (name, len(answer))
json.dump({'version': duckdb.__version__, 'seconds': found}, sys.stdout)
";

/// The question without a bound.
pub(crate) fn plain() -> Vec<(&'static str, String)> {
    vec![(PLAIN, format!("SELECT municipality, count(*), sum(amount) FROM ({}) GROUP BY municipality", rows()))]
}

/// Ways to write the bound on groups in SQL; those that add up before also bound rows.
pub(crate) fn bounded() -> Vec<(&'static str, String)> {
    let rows = rows();
    let groups = format!(
        "SELECT person, municipality, count(*) AS n, sum(amount) AS total, hash(person, municipality) AS h FROM ({rows}) GROUP BY person, municipality"
    );
    let total = format!("SELECT municipality, sum(least(n, {MAX_ROWS})), sum(least(total, {})) FROM", u64::from(MAX_ROWS) * MAX_AMOUNT);
    vec![
        (
            "bounded, dense_rank over rows",
            format!(
                "SELECT municipality, count(*), sum(amount) FROM (SELECT * FROM ({rows}) QUALIFY dense_rank() OVER \
                 (PARTITION BY person ORDER BY hash(person, municipality), municipality) <= {MAX_GROUPS}) GROUP BY municipality"
            ),
        ),
        (
            "bounded, row_number over groups",
            format!(
                "{total} (SELECT * FROM ({groups}) QUALIFY row_number() OVER (PARTITION BY person ORDER BY h) <= {MAX_GROUPS}) \
                 GROUP BY municipality"
            ),
        ),
        (
            "bounded, arg_min over groups",
            format!(
                "{total} (SELECT g.municipality, g.n, g.total FROM (SELECT unnest(arg_min({{'municipality': municipality, 'n': n, 'total': total}}, \
                 h, {MAX_GROUPS})) AS g FROM ({groups}) GROUP BY person)) GROUP BY municipality"
            ),
        ),
    ]
}

fn rows() -> String {
    format!("SELECT person, municipality, least(greatest(amount, 0), {MAX_AMOUNT}) AS amount FROM payments WHERE month = '{MONTH}'")
}

/// A Python that has `DuckDB`.
pub(crate) struct DuckDb {
    python: PathBuf,
    script: PathBuf,
}

/// Makes an environment in a folder. `None`, and a line on standard error, when there is no way.
pub(crate) fn install(folder: &Path) -> Option<DuckDb> {
    match try_install(folder) {
        Ok(found) => Some(found),
        Err(error) => {
            eprintln!("duckdb is not measured: {error:#}");
            None
        }
    }
}

fn try_install(folder: &Path) -> anyhow::Result<DuckDb> {
    let environment = folder.join("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin").join("python3");
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "duckdb"]))?;
    let script = folder.join("measure.py");
    std::fs::write(&script, SCRIPT)?;
    Ok(DuckDb { python, script })
}

fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}", command.get_program().display(), said.lines().last().unwrap_or(""));
    Ok(output.stdout)
}

impl DuckDb {
    /// Seconds of each form of the question over a file, in the order of the forms.
    pub(crate) fn measure(&self, path: &Path, repetitions: u32, forms: &[(&str, String)]) -> anyhow::Result<Vec<Vec<f64>>> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let named: serde_json::Map<_, _> = forms.iter().map(|(name, sql)| ((*name).to_owned(), sql.clone().into())).collect();
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg(path).args([repetitions.to_string(), threads.to_string()]);
        let answer = run(command.arg(serde_json::Value::from(named).to_string()).arg(GROUPS.to_string()))?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let seconds = |name: &str| answer["seconds"][name].as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
        Ok(forms.iter().map(|(name, _)| seconds(name)).collect())
    }
}
