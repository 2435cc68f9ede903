//! Latency of a small query by step, through real processes with real TLS: the demo's federation over 1,000 persons, under a data contract that allows as many
//! rows, so that the slot's floor is short: on some machines what lies idle for seconds is slow when it is wanted again.

pub(crate) mod durable;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use commun_cli::client::Client;
use commun_cli::profile::Profile;
use commun_domain::Rho;
use commun_domain::clock::{Clock, SystemClock};
use commun_domain::query::{PriceRequest, Query, QuerySettings, SnapshotRule};
use commun_engine::{Binding, Engine, EngineOptions, HolderEngine};
use commun_proto::v1::Progress;
use commun_trust::{sign, slot};

use crate::Figure;

const SQL: &str =
    "SELECT home_arr, COUNT(DISTINCT subscriber_id) AS residents FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY home_arr";

/// A step's name, and which event says that it has ended.
type Step = (&'static str, fn(&Progress) -> bool);

/// The steps of a query, in order.
const STEPS: [Step; 11] = [
    ("checked and stored", |event| event.step == "received"),
    ("holders are asked", |event| event.step == "offered"),
    ("offer: every holder has reserved and accepted", |event| event.step == "offered" && event.done == event.total),
    ("log: charged and logged", |event| event.step == "logged"),
    ("manifest sent", |event| event.step == "reading"),
    (SLOT_STEP, |event| event.message.starts_with("keys are")),
    ("R2, shares", |event| event.message.starts_with("shares are")),
    ("R3, masked cells", |event| event.message.starts_with("masked cells are")),
    ("R4, consents", |event| event.message.starts_with("consents are")),
    ("R5, opened shares", |event| event.message.starts_with("opened shares are")),
    ("unmasked, stored and logged", |event| event.step == "released"),
];

/// The step that waits for the slot, with the SQL inside.
const SLOT_STEP: &str = "slot, SQL inside it, and R1, keys";

/// The demo, under another program if that is wanted. Stopped when dropped.
struct Demo {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.child.wait();
    }
}

impl Demo {
    /// Starts it and waits until it has answered its own questions. `under`: program and arguments that it is started with.
    fn start(under: &[String]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let exe = std::env::current_exe()?.with_file_name("commun-demo");
        ensure!(exe.exists(), "build it first: cargo build --release -p commun-demo");
        let mut words = under.iter().map(Into::into).chain([exe.into_os_string()]);
        let mut command = Command::new(words.next().context("no program")?);
        command.args(words).args(["--persons", "1000", "--max-rows", "1000", "--state"]).arg(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut demo = Self { child, folder };
        let deadline = Instant::now() + Duration::from_mins(5);
        while !demo.folder.path().join("report.json").exists() {
            ensure!(demo.child.try_wait()?.is_none() && Instant::now() < deadline, "the demo does not come up");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(demo)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// One query, in milliseconds from the client's call.
struct Asked {
    /// When the client called, since 1970.
    called: Duration,
    /// End of each of [`STEPS`].
    ends_ms: Vec<f64>,
    /// The answer is at the client.
    answered_ms: f64,
    /// From a manifest to the slot, at least: the agents' floor.
    floor_ms: f64,
    /// What the engine of one holder takes for it, alone, which lies within the floor.
    sql_ms: f64,
}

/// Figures of each step, of the whole, and of what is left when the slot's floor is taken away.
pub(crate) fn measure(queries: u32) -> anyhow::Result<Vec<Figure>> {
    let demo = Demo::start(&[])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(ask(demo.path(), queries))?;
    let mut figures = Vec::new();
    let name = |what: &str| format!("small query: {what}");
    for (place, (step, _)) in STEPS.iter().enumerate() {
        let took = |query: &Asked| query.ends_ms[place] - if place == 0 { 0.0 } else { query.ends_ms[place - 1] };
        if *step == SLOT_STEP {
            let beyond = |query: &Asked| took(query) - query.floor_ms;
            figures.push(Figure::new(
                name("the slot's floor, SQL and noise inside"),
                "ms",
                asked.iter().map(|query| query.floor_ms).collect(),
            ));
            figures.push(Figure::new(name("SQL at one holder, measured apart"), "ms", asked.iter().map(|query| query.sql_ms).collect()));
            figures.push(Figure::new(name("way of the manifest and clocks, R1, keys"), "ms", asked.iter().map(beyond).collect()));
        } else {
            figures.push(Figure::new(name(step), "ms", asked.iter().map(took).collect()));
        }
    }
    let last = |query: &Asked| query.answered_ms - query.ends_ms[STEPS.len() - 1];
    figures.push(Figure::new(name("answer at the client"), "ms", asked.iter().map(last).collect()));
    figures.push(Figure::new(name("all of it"), "ms", asked.iter().map(|query| query.answered_ms).collect()));
    let beyond = |query: &Asked| query.answered_ms - query.floor_ms;
    figures.push(Figure::new(name("all of it beyond the slot's floor"), "ms", asked.iter().map(beyond).collect()));
    Ok(figures)
}

/// Asks one query after the other.
async fn ask(folder: &Path, queries: u32) -> anyhow::Result<Vec<Asked>> {
    let profile = Profile::load(Some(&profile_of(folder)))?;
    let client = Client::connect(&profile).await?;
    let (state, _) = client.catalog().await?;
    let (permit_hash, permit) = state.permits().find(|(_, permit)| permit.contract_name == "mobility").context("no permit")?;
    let engine = engine_of_a_holder(folder)?;
    let mut all = Vec::new();
    for number in 0..queries {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        // Each asks for another rho, or the stored release of the one before would answer it.
        let rho = Rho::from_units(1_000_000_000 + u64::from(number));
        let question = Query {
            sql: SQL.to_owned(),
            settings: QuerySettings { price: PriceRequest::Rho(rho), max_groups_per_person: 1, intervals: true, clipped: false },
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
        let floor_ms = slot::wait_ms(&admitted.plan, &admitted.contract);
        let (called, start) = (SystemTime::now().duration_since(UNIX_EPOCH)?, Instant::now());
        let elapsed_ms = || start.elapsed().as_secs_f64() * 1000.0;
        let mut ends: [Option<f64>; STEPS.len()] = [None; STEPS.len()];
        let record = |event: &Progress| {
            let now = elapsed_ms();
            let reached = ends.iter_mut().zip(STEPS).filter(|(end, (_, is))| end.is_none() && is(event));
            reached.for_each(|(end, _)| *end = Some(now));
        };
        let answer = client.ask(&question, &admitted, record).await?;
        let answered_ms = elapsed_ms();
        ensure!(!answer.stored, "a stored release answered");
        let ends_ms = ends.into_iter().collect::<Option<Vec<f64>>>().context("a step told nothing")?;
        let start = Instant::now();
        engine.evaluate(&admitted.plan, &admitted.id, &admitted.contract).await?;
        let sql_ms = start.elapsed().as_secs_f64() * 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        all.push(Asked { called, ends_ms, answered_ms, floor_ms: floor_ms as f64, sql_ms });
    }
    Ok(all)
}

/// The engine that one of the demo's holders has.
fn engine_of_a_holder(folder: &Path) -> anyhow::Result<HolderEngine> {
    let bindings = std::fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path().join("data/binding.toml"));
    let binding = bindings.filter(|path| path.exists()).min().context("no holder of the demo has a binding")?;
    Ok(HolderEngine::new([Binding::load(&binding)?], &EngineOptions::default())?)
}

fn profile_of(folder: &Path) -> PathBuf {
    folder.join("agency.toml")
}
