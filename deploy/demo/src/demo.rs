//! What the demo does, from the first step to the table.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use commun_domain::contract_toml::parse_contract;

use crate::Args;
use crate::census::{CONTRACT, Census, TRIPS_CONTRACT};
use crate::federation::{Federation, text};
use crate::report::trips::TripsReport;
use crate::report::{Comparison, Steps};

/// The first question.
const QUESTION: &str = "SELECT home_arr, work_arr, COUNT(DISTINCT subscriber_id) AS commuters FROM mobility.commute \
     WHERE ref_month = '2011-01' GROUP BY home_arr, work_arr";

/// The second one, under the other data contract.
const TRIPS_QUESTION: &str = "SELECT a.province, EXTRACT(hour FROM t.departure) AS hour, COUNT(t.km) AS trips, AVG(t.km) AS mean_km, \
     MEDIAN(t.km) AS median_km FROM trips.trip AS t JOIN trips.arrondissement AS a ON t.home_arr = a.code \
     WHERE t.ref_month = '2011-01' GROUP BY a.province, hour";

/// Runs the demo and says whether all of it worked.
pub(crate) fn run(args: &Args) -> ExitCode {
    match demo(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(args: &Args) -> anyhow::Result<()> {
    let Some(folder) = &args.state else {
        let fresh = tempfile::Builder::new().prefix("commun-demo-").tempdir()?;
        return in_folder(args, fresh.path());
    };
    std::fs::create_dir_all(folder).with_context(|| text(folder))?;
    in_folder(args, folder)
}

fn in_folder(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let census = Census::read()?;
    let persons = args.persons.unwrap_or_else(|| census.total());
    anyhow::ensure!(
        args.max_rows >= persons,
        "--max-rows {} allows fewer rows than the {persons} persons have: make it at least {persons}, or draw fewer with --persons",
        args.max_rows
    );
    let contract = parse_contract(CONTRACT)?;
    let federation = Federation::new(folder, args.holders, args.max_rows)?;
    let mut steps = Steps::new();
    let kept = if args.state.is_some() { "" } else { " (removed at the end; --state DIR keeps it)" };
    eprintln!("Commun demo: synthetic persons, totals of the 2011 census. Everything is in {}{kept}", folder.display());
    if federation.is_built(persons)? {
        eprintln!("The federation of an earlier run is here: it is started again as it was.");
    } else {
        federation.build(&census, persons, &mut steps)?;
    }
    let mut running = federation.start(&mut steps)?;
    steps.begin("query", "asking: each agent checks the signatures, reserves its budget, reads its own files, adds its noise");
    ask(&federation, QUESTION, &folder.join("query.json"), &folder.join("answer.csv"))?;
    steps.end();
    running.ensure()?;
    let comparison = Comparison::read(folder, &census)?;
    comparison.print(&contract, persons, census.total())?;
    eprintln!();
    steps.begin("query-trips", "asking again: trips by province and hour, under the second data contract and permit");
    ask(&federation, TRIPS_QUESTION, &folder.join("query-trips.json"), &folder.join("answer-trips.csv"))?;
    let elapsed_ms = steps.end();
    running.ensure()?;
    let trips = TripsReport::read(folder, elapsed_ms)?;
    trips.print(&parse_contract(TRIPS_CONTRACT)?)?;
    comparison.write_report(folder, persons, &steps, &trips)?;
    if args.once {
        return Ok(());
    }
    stay(&federation, running)
}

/// Asks at epsilon 1; the answer and what is said of it go to files.
fn ask(federation: &Federation, question: &str, report: &Path, answer: &Path) -> anyhow::Result<()> {
    let (profile, report) = (text(&federation.agency_profile()), text(report));
    let args = ["--config", &profile, "query", "--epsilon", "1", "--format", "csv", "--report", &report, question];
    federation.programs().run_to_file("commun", args, answer)
}

fn stay(federation: &Federation, mut running: crate::federation::Running) -> anyhow::Result<()> {
    let exe = std::env::current_exe()?;
    eprintln!(
        "\nThe federation stays up. Ask it in another terminal:\n\n  {} commun --config {} explain \"{TRIPS_QUESTION}\"\n\nCtrl-C stops everything.",
        exe.display(),
        text(&federation.agency_profile())
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interval = tokio::time::interval(std::time::Duration::from_secs(1));
        let mut stop = std::pin::pin!(commun_service::shutdown_signal());
        loop {
            tokio::select! {
                _ = &mut stop => return anyhow::Ok(()),
                _ = interval.tick() => running.ensure()?,
            }
        }
    })?;
    eprintln!("stopping");
    drop(running);
    Ok(())
}
