//! Latency of a small query by step, through real processes with real TLS: the demo's federation over 1,000 persons.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use commun_cli::client::Client;
use commun_cli::profile::Profile;
use commun_domain::Rho;
use commun_domain::clock::{Clock, SystemClock};
use commun_domain::query::{PriceRequest, Query, QuerySettings, SnapshotRule};
use commun_trust::sign;

use crate::Figure;

const SQL: &str =
    "SELECT home_arr, COUNT(DISTINCT subscriber_id) AS residents FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY home_arr";

/// Stopped when dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.0.wait();
    }
}

/// Milliseconds from the client's call to each step's event, and to the answer.
pub(crate) fn measure(repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let exe = std::env::current_exe()?.with_file_name("commun-demo");
    ensure!(exe.exists(), "build it first: cargo build --release -p commun-demo");
    let child = Command::new(exe)
        .args(["--persons", "1000", "--state"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let demo = Demo(child);
    let deadline = Instant::now() + Duration::from_mins(2);
    while !folder.path().join("report.json").exists() {
        ensure!(Instant::now() < deadline, "the demo does not come up");
        std::thread::sleep(Duration::from_millis(100));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let figures = runtime.block_on(ask(folder.path(), repetitions));
    drop(demo);
    figures
}

async fn ask(folder: &Path, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let profile = Profile::load(Some(&folder.join("agency.toml")))?;
    let client = Client::connect(&profile).await?;
    let (state, _) = client.catalog().await?;
    let (permit_hash, permit) = state.permits().find(|(_, permit)| permit.contract_name == "mobility").context("no permit")?;
    let mut steps: Vec<(String, Vec<f64>)> = Vec::new();
    for number in 0..repetitions {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        // Each repetition asks for another rho, or the stored release of the one before would answer it.
        let rho = Rho::from_units(1_000_000_000 + u64::from(number));
        let question = Query {
            sql: SQL.to_owned(),
            settings: QuerySettings { price: PriceRequest::Rho(rho), max_groups_per_person: 1, intervals: true },
            contract: permit.contract,
            permit: *permit_hash,
            max_price: rho.checked_add(Rho::from_units(1)).context("price")?,
            least_honest: 1,
            snapshot: SnapshotRule::Any,
            nonce,
            expiry_unix: SystemClock.now_unix() + 600,
        };
        let question = sign::signed(&question, profile.signing_key()?);
        let admitted = Client::admit(&state, &question)?;
        let start = Instant::now();
        let mut record = |step: &str| {
            let elapsed_ms = start.elapsed().as_secs_f64() * 1000.0;
            match steps.iter_mut().find(|(name, _)| name == step) {
                Some((_, values)) if values.len() > number as usize => {}
                Some((_, values)) => values.push(elapsed_ms),
                None => steps.push((step.to_owned(), vec![elapsed_ms])),
            }
        };
        let answer = client.ask(&question, &admitted, |progress| record(&progress.step)).await?;
        ensure!(!answer.stored, "a stored release answered");
        record("answer at the client");
    }
    Ok(steps.into_iter().map(|(step, values)| Figure::new(format!("small query, until \"{step}\""), "ms", values)).collect())
}
