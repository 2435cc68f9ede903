//! `commun`: the command line of agencies and officers.

use std::process::ExitCode;

fn main() -> ExitCode {
    commun_cli::main_with(std::env::args_os())
}
