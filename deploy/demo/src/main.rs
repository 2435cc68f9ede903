//! `commun-demo`: the whole path on one machine, with real processes, real mutual TLS and real census totals.
//!
//! A multi-call binary: it starts ITSELF again as coordinator, agents and `commun`, so that `cargo run -p commun-demo` needs no sibling
//! binaries. See [`federation`] for the order of the steps, [`deal`] for the persons, [`trips`] for how they go to work, [`files`] for the
//! operators' unlike files.

mod census;
mod deal;
mod demo;
mod federation;
mod files;
mod processes;
mod report;
mod trips;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use commun_service::Faults;

/// Three mobile operators, one agency, two officers, two questions: differentially private answers beside the truth
#[derive(Debug, Parser)]
#[command(name = "commun-demo", version)]
pub(crate) struct Args {
    /// Ask both questions, print, and exit; without it everything stays up until Ctrl-C
    #[arg(long)]
    once: bool,
    /// Folder for keys, files, ledgers and answers; default: a fresh one, removed at the end of `--once`
    #[arg(long, value_name = "DIR")]
    state: Option<std::path::PathBuf>,
    /// How many operators
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    holders: u32,
    /// How many of the census's 4,304,172 commuters are drawn; default: all
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=4_304_172))]
    persons: Option<u64>,
    /// Rows that the first question's data contract allows a holder. Its answer leaves 200 ms, and 1 ms for each 1,000 of them, after the order to compute
    #[arg(long, default_value_t = 6_000_000, value_parser = clap::value_parser!(u64).range(1..=6_000_000))]
    max_rows: u64,
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let rest = || args.iter().skip(1).cloned();
    match args.get(1).and_then(|name| name.to_str()) {
        Some("commun-coordinator") => commun_coordinator::main_with(rest(), Faults::none()),
        Some("commun-agent") => commun_agent::main_with(rest(), Faults::none()),
        Some("commun") => commun_cli::main_with(rest()),
        _ => match Args::try_parse_from(args) {
            Ok(args) => demo::run(&args),
            Err(error) => {
                let usage = error.use_stderr();
                // Nothing can be done about a closed terminal.
                let _ = error.print();
                ExitCode::from(if usage { 64 } else { 0 })
            }
        },
    }
}
