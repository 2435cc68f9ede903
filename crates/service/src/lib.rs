//! What both daemons share around their work: configuration, command line, local log, signals, bounded drain, exit codes, and the fault
//! points that tests pass in.
//!
//! Not here: what a daemon does. A daemon is a library with `main_with(args, Faults) -> ExitCode`; its life reads
//! [`parse_cli`], [`init_tracing`], [`load_config`], [`run_service`].

mod cli;
mod config;
pub mod exit;
mod faults;
mod run;
mod telemetry;

pub use cli::parse_cli;
pub use config::{ConfigError, MAX_CONFIG_BYTES, load_config};
pub use faults::Faults;
pub use run::{DRAIN_TIMEOUT, Shutdown, Signals, run_service, run_until, shutdown_signal};
pub use telemetry::{LOG_VARIABLE, init_tracing};
