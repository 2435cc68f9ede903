//! The coordinator: fans signed queries out to the holders' agents, keeps the log, and combines noisy answers into result releases.
//!
//! It holds no approving key, and nothing that it says is believed by an agent without being computed again. Layers, each knowing only the
//! ones to its left: [`log`] (the one writer), [`link`] (who is connected), [`app`] (use-cases), [`grpc`] (transport). The command line
//! also makes the federation's first keys and certificates ([`pki_cmd`]), offline.

pub mod app;
pub mod config;
pub mod grpc;
pub mod link;
pub mod log;
pub mod pki_cmd;
mod readd;
mod server;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use commun_service::{Faults, exit, init_tracing, parse_cli, run_service};

#[derive(Parser)]
#[command(
    name = "commun-coordinator",
    version,
    about = "Runs the coordinator of a Commun federation",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the coordinator (the same as no command)
    Run(RunArgs),
    /// Add the answer to a query up again from what its holders sent, and compare it with what was released
    Readd {
        /// Configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Id of the query, 64 hexadecimal digits
        #[arg(value_name = "QUERY_ID")]
        query: String,
    },
    /// Make keys, certificates, trust bundle and roster; works offline
    #[command(subcommand)]
    Pki(pki_cmd::PkiCommand),
}

#[derive(Args)]
struct RunArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Check the configuration and every file that it names, then end
    #[arg(long, requires = "config")]
    check_config: bool,
}

/// The whole program. `args` starts with the program's name. Only tests pass other faults than [`Faults::none`].
pub fn main_with(args: impl Iterator<Item = OsString>, faults: Faults) -> ExitCode {
    let code = match parse_cli::<Cli>(args) {
        Err(code) => code,
        Ok(Cli { command: Some(Command::Pki(command)), .. }) => match pki_cmd::run(&command) {
            Ok(()) => exit::DONE,
            Err(error) => {
                complain(&error);
                exit::FAILED
            }
        },
        Ok(Cli { command: Some(Command::Readd { config, query }), .. }) => match readd::run(&config, &query) {
            Ok(report) => {
                let _ = std::io::Write::write_all(&mut std::io::stdout().lock(), report.as_bytes());
                exit::DONE
            }
            Err(error) => {
                complain(&error);
                exit::FAILED
            }
        },
        Ok(Cli { command: Some(Command::Run(run)), .. } | Cli { command: None, run }) => run_daemon(&run, faults),
    };
    ExitCode::from(code)
}

fn run_daemon(args: &RunArgs, faults: Faults) -> u8 {
    let Some(path) = &args.config else {
        complain(&"no configuration given; start with --config FILE (--help shows the commands)");
        return exit::USAGE;
    };
    let setup = match config::load(path) {
        Ok(setup) => setup,
        Err(error) => {
            complain(&error);
            return exit::USAGE;
        }
    };
    if args.check_config {
        complain(&format!("{} is good", path.display()));
        return exit::DONE;
    }
    init_tracing("commun-coordinator");
    run_service("commun-coordinator", |shutdown| server::serve(setup, faults, shutdown))
}

#[expect(clippy::print_stderr, reason = "a command line's errors go to stderr")]
fn complain(message: &dyn std::fmt::Display) {
    eprintln!("commun-coordinator: {message}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_knows_its_forms() {
        Cli::command().debug_assert();
        for args in [
            vec!["c", "--config", "a.toml"],
            vec!["c", "--config", "a.toml", "--check-config"],
            vec!["c", "run", "--config", "a.toml"],
            vec!["c", "pki", "sign", "--key", "k", "d"],
            vec!["c", "readd", "--config", "a.toml", "ab"],
        ] {
            assert!(parse_cli::<Cli>(args.clone()).is_ok(), "{args:?}");
        }
        for args in [vec!["c", "--check-config"], vec!["c", "pki"], vec!["c", "--confug", "a"]] {
            assert_eq!(parse_cli::<Cli>(args.clone()).err(), Some(exit::USAGE), "{args:?}");
        }
    }
}
