//! SQL tests: every question of `cases/` is refused exactly as its file says, or the engine's exact cells agree with `PostgreSQL`'s.
//!
//! It runs in process and below `release`: no noise, no agent, no permit. What is not here: prices and noise laws (`commun-privacy`),
//! which single texts are read (`commun-sql`'s own tests), whole federations (`tests/sandbox`). README.md says how to add a case.

mod dataset;
#[path = "../audit/naive/keep.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "the audit, whose module it is, may stop at a surprise, and chooses rows and values by it too"
)]
mod keep;
mod meaning;
mod oracle;
mod postgres;
mod question;
mod relation;
mod rows;
mod written;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use commun_domain::WireCode;
use sqllogictest::{DefaultColumnType, Record, Runner, StatementExpect, strict_column_validator};

use crate::dataset::Dataset;
use crate::postgres::Postgres;
use crate::question::Commun;

/// Fewest cases in all files together.
const LEAST_CASES: usize = 700;

/// Fewest refusals among them.
const LEAST_REFUSALS: usize = 150;

/// Fewest answers in which L0 or Linf has cut something.
const LEAST_BINDING: usize = 100;

/// What a file holds.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    answers: usize,
    refusals: usize,
    known_faults: usize,
    binding: usize,
}

impl Count {
    fn cases(self) -> usize {
        self.answers + self.refusals
    }
}

#[test]
fn every_question_is_refused_as_written_or_agrees_with_postgresql() -> Result<()> {
    let here = Path::new("slt");
    let postgres = Arc::new(Postgres::start()?);
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?);
    let (mut total, mut faults) = (Count::default(), Vec::new());
    let mut datasets: HashMap<String, Arc<Dataset>> = HashMap::new();
    for file in case_files(&here.join("cases"))? {
        // A file is called after the dataset that it asks, up to a dash.
        let stem = file.file_stem().and_then(|stem| stem.to_str()).context("a case file has no name")?;
        let name = stem.split('-').next().unwrap_or(stem);
        let dataset = match datasets.get(name) {
            Some(dataset) => Arc::clone(dataset),
            None => Arc::new(Dataset::load(name, &here.join("datasets"), &postgres).with_context(|| format!("dataset {name}"))?),
        };
        datasets.insert(name.to_owned(), Arc::clone(&dataset));
        let count = run_file(&file, &dataset, &postgres, &runtime, &mut faults)?;
        eprintln!("{stem}: {} cases, {} of them refusals; {} known faults", count.cases(), count.refusals, count.known_faults);
        total.answers += count.answers;
        total.refusals += count.refusals;
        total.known_faults += count.known_faults;
        total.binding += count.binding;
    }
    let Count { refusals, known_faults, binding, .. } = total;
    eprintln!("all: {} cases, {refusals} of them refusals; a bound binds in {binding}; {known_faults} known faults", total.cases());
    ensure!(faults.is_empty(), "{} case(s) fail:\n\n{}", faults.len(), faults.join("\n"));
    ensure!(total.cases() >= LEAST_CASES, "{} cases are left of at least {LEAST_CASES}", total.cases());
    ensure!(total.refusals >= LEAST_REFUSALS, "{} refusals are left of at least {LEAST_REFUSALS}", total.refusals);
    ensure!(total.binding >= LEAST_BINDING, "a bound binds in {} cases of at least {LEAST_BINDING}", total.binding);
    Ok(())
}

fn case_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    ensure!(files.iter().all(|file| file.extension().is_some_and(|ending| ending == "slt")), "{} holds other files", folder.display());
    Ok(files)
}

/// Runs every case, also after one failed, and adds the failures to `faults`.
fn run_file(
    file: &Path,
    dataset: &Arc<Dataset>,
    postgres: &Arc<Postgres>,
    runtime: &Arc<tokio::runtime::Runtime>,
    faults: &mut Vec<String>,
) -> Result<Count> {
    let records = sqllogictest::parse_file::<DefaultColumnType>(file).with_context(|| file.display().to_string())?;
    let binding = Arc::new(AtomicUsize::new(0));
    let mut runner = Runner::new(|| {
        let commun = Commun::new(Arc::clone(dataset), Arc::clone(postgres), Arc::clone(runtime), Arc::clone(&binding));
        std::future::ready(Ok(commun))
    });
    runner.with_column_validator(strict_column_validator);
    let mut count = Count::default();
    for record in records {
        match &record {
            Record::Statement { conditions, .. } | Record::Query { conditions, .. } if !conditions.is_empty() => count.known_faults += 1,
            Record::Statement { expected: StatementExpect::Error(expected), loc, .. } => {
                count.refusals += 1;
                // Else a disagreement or a broken oracle could pass for the refusal that is expected.
                if !names_a_refusal(&expected.to_string()) {
                    faults.push(format!("write `statement error ^CODE LINE:COLUMN: .*hint: ...`\nat {loc}\n"));
                }
            }
            Record::Statement { sql, expected: StatementExpect::Ok, loc, .. } if !Commun::is_setting(sql) => {
                faults.push(format!("write `statement count CELLS` or `query` for a question\nat {loc}\n"));
            }
            Record::Statement { expected: StatementExpect::Count(_), .. } | Record::Query { .. } => count.answers += 1,
            _ => {}
        }
        if let Err(error) = runner.run(record) {
            faults.push(error.to_string());
        }
    }
    count.binding = binding.load(Ordering::Relaxed);
    ensure!(count.cases() > 0, "{} holds no case", file.display());
    Ok(count)
}

/// Whether a pattern begins with `^CODE LINE:COLUMN: ` (or a dash for no place) and speaks of the hint.
fn names_a_refusal(expected: &str) -> bool {
    let Some(pattern) = expected.strip_prefix("(regex) ^") else { return false };
    let mut words = pattern.splitn(3, ' ');
    let (code, place, rest) = (words.next(), words.next(), words.next());
    let number = |text: &str| text.parse::<u32>().is_ok();
    let placed = place
        .and_then(|place| place.strip_suffix(':'))
        .is_some_and(|place| place == "-" || place.split_once(':').is_some_and(|(line, column)| number(line) && number(column)));
    code.and_then(WireCode::parse).is_some() && placed && rest.is_some_and(|rest| rest.contains("hint: "))
}
