//! `commun`: what an agency's statistician and a supervisor's officer type.
//!
//! Data go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed, 2 refused by policy, permit or budget,
//! 64 bad usage or configuration. The modules are also the Rust client: [`client::Client`] asks questions, [`documents`] drafts, signs
//! and shows what officers sign.

pub mod args;
pub mod asked;
mod catalog;
pub mod client;
pub mod coarser;
pub mod documents;
pub mod error;
pub mod explain;
pub mod log;
mod notes;
pub mod output;
pub mod profile;
pub mod query;
pub mod settings;
pub mod show;
pub mod trial;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::args::{Args, Command};
use crate::error::CliError;

/// Runs the command line and says how it ended.
pub fn main_with(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Args = match commun_service::parse_cli(args) {
        Ok(args) => args,
        Err(code) => return ExitCode::from(code),
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.for_people());
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: Args) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?;
    if args.check_config {
        profile::Profile::load(args.config.as_deref())?;
        eprintln!("the profile is in order");
        return Ok(());
    }
    let config = args.config.as_deref();
    match args.command {
        None => Err(CliError::Usage("no command given; try `commun --help`".to_owned())),
        Some(Command::Query(query)) => runtime.block_on(query::query(config, &query)),
        Some(Command::Explain(query)) => runtime.block_on(explain::explain(config, &query)),
        Some(Command::Try(trial)) => runtime.block_on(trial::try_out(&trial)),
        Some(Command::Catalog) => runtime.block_on(query::catalog(config)),
        Some(Command::Status) => runtime.block_on(query::status(config)),
        Some(Command::Log { from }) => runtime.block_on(log::log(config, from)),
        Some(Command::Permit(command)) => runtime.block_on(documents::permit(config, command)),
        Some(Command::Contract(command)) => runtime.block_on(documents::contract(config, command)),
        Some(Command::Key(command)) => documents::key(command),
    }
}
