//! What the demo does, from the first step to the table.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use commun_domain::contract_toml::parse_contract;

use crate::Args;
use crate::census::{CONTRACT, Census};
use crate::federation::{Federation, text};
use crate::report::{Comparison, Steps};

/// The question.
const QUESTION: &str = "SELECT home_arr, work_arr, COUNT(DISTINCT subscriber_id) AS commuters FROM mobility.commute \
     WHERE ref_month = '2011-01' GROUP BY home_arr, work_arr";

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
    let contract = parse_contract(CONTRACT)?;
    let federation = Federation::new(folder, args.holders)?;
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
    let (answer, report) = (folder.join("answer.csv"), folder.join("query.json"));
    let profile = text(&federation.agency_profile());
    federation.programs().run_to_file(
        "commun",
        ["--config", &profile, "query", "--epsilon", "1", "--format", "csv", "--report", &text(&report), QUESTION],
        &answer,
    )?;
    steps.end();
    running.ensure()?;
    let comparison = Comparison::read(folder, &census)?;
    comparison.print(&contract, persons, census.total())?;
    comparison.write_report(folder, persons, &steps)?;
    if args.once {
        return Ok(());
    }
    stay(&federation, running)
}

fn stay(federation: &Federation, mut running: crate::federation::Running) -> anyhow::Result<()> {
    let exe = std::env::current_exe()?;
    eprintln!(
        "\nThe federation stays up. Ask it in another terminal:\n\n  {} commun --config {} explain \"{QUESTION}\"\n\nCtrl-C stops everything.",
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
