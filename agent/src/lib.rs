//! `commun-agent`: the process inside a holder that answers permitted questions with noisy totals.
//!
//! It dials out to the coordinator (`link`), decides by itself what is answered (`guard`), and tells its own engineer how it is
//! (`status`, on a Unix socket). What it answers with is computed by `commun-engine`; what it believes comes from `commun-trust`.
//! Everything is in this library, so that the demo and the sandbox start the same code as the five-line `main`.

mod check_cmd;
pub mod config;
pub mod guard;
mod health;
mod link;
mod resume;
mod roster;
mod service;
mod show;
pub mod status;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use commun_service::{Faults, exit, parse_cli};

use self::config::{Config, SetupError};
use self::status::{JournalEntry, Status};

pub use self::health::Health;

/// Answers permitted questions over a holder's own data with noisy totals.
#[derive(Debug, Parser)]
#[command(name = "commun-agent", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Check the configuration, keys, certificates and binding, and end; no data are opened
    #[arg(long)]
    check_config: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent (also without a subcommand)
    Run(RunArgs),
    /// Say how the data meet the data contract; nothing leaves this machine
    Check {
        /// Configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Data contract: a *.signed file or its TOML; without it, the one in the log that the agent has read
        #[arg(long, value_name = "FILE")]
        contract: Option<PathBuf>,
    },
    /// Say how the running agent is
    Status {
        /// Configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the last lines of the journal: every question, decision and reason
    Journal {
        /// Configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// How many lines
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(status::MAX_JOURNAL_LINES)))]
        lines: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write down a person's decision that the agent goes on after incidents or a stop; the agent must not run
    Resume {
        /// Configuration file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// What was found, and why it may go on
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show a roster and add the holder's signature to it
    SignRoster {
        /// The holder's Ed25519 key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The roster
        #[arg(value_name = "ROSTER.signed")]
        roster: PathBuf,
    },
}

/// Runs the command line, whose first item is the program's name. `faults` is [`Faults::none`] in everything that is shipped.
pub fn main_with(args: impl Iterator<Item = OsString>, faults: Faults) -> ExitCode {
    let code = match parse_cli::<Cli>(args) {
        Ok(cli) => run(cli, faults).unwrap_or_else(|error| {
            // Every error of ours has its cause in its own text. Nowhere is left to say that stderr is closed.
            let _ = writeln!(std::io::stderr(), "error: {error}");
            if error.is::<SetupError>() { exit::USAGE } else { exit::FAILED }
        }),
        Err(code) => code,
    };
    ExitCode::from(code)
}

fn run(cli: Cli, faults: Faults) -> anyhow::Result<u8> {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(RunArgs { config, check_config }) => {
            let config = Config::load(&config.unwrap_or_default())?;
            let ready = service::Ready::load(config)?;
            if check_config {
                print("the configuration is good\n");
                return Ok(exit::DONE);
            }
            Ok(service::run(ready, faults))
        }
        Command::Check { config, contract } => {
            let clean = check_cmd::check(&Config::load(&config)?, contract.as_deref())?;
            Ok(if clean { exit::DONE } else { exit::FAILED })
        }
        Command::Status { config, json } => {
            let status: Status = status::ask(&Config::load(&config)?.socket_path(), "status")?;
            print(&if json { json_lines(&status)? } else { show::status(&status) });
            Ok(exit::DONE)
        }
        Command::Journal { config, lines, json } => {
            let entries = journal(&Config::load(&config)?, lines)?;
            print(&if json { json_lines(&entries)? } else { show::journal(&entries) });
            Ok(exit::DONE)
        }
        Command::Resume { config, reason } => {
            print(&resume::resume(&Config::load(&config)?, &reason)?);
            Ok(exit::DONE)
        }
        Command::SignRoster { key, roster } => roster::sign(&key, &roster).map(|()| exit::DONE),
    }
}

/// From the running agent, else from its store.
fn journal(config: &Config, lines: u32) -> anyhow::Result<Vec<JournalEntry>> {
    match status::ask(&config.socket_path(), &format!("journal {lines}")) {
        Err(status::AskError::NotRunning { .. }) if config.store_path().exists() => {
            let options = commun_store::StoreOptions { max_pages: config.max_store_pages };
            Ok(status::journal(&commun_store::AgentStore::open(&config.store_path(), options)?, lines)?)
        }
        other => Ok(other?),
    }
}

fn json_lines(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Data go to stdout. A reader that closed it early has what it wanted.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
