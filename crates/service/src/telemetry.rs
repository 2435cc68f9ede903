//! The local log: lines on stderr, and nowhere else.
//!
//! Nothing is sent to anyone (P12), and stdout is left to data. What may stand in a line is its writer's duty: no SQL literals, nothing
//! that comes from data.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// Environment variable with the filter (`info`, `debug`, `commun_agent=trace,warn`, ...); `info` when it is not set.
pub const LOG_VARIABLE: &str = "COMMUN_LOG";

/// Filter when [`LOG_VARIABLE`] is not set or not readable.
const DEFAULT_FILTER: &str = "info";

/// Starts the local log of a process and writes its first line. A second call in one process (tests) changes nothing.
pub fn init_tracing(name: &str) {
    let asked = std::env::var(LOG_VARIABLE).ok().filter(|text| !text.trim().is_empty());
    let parsed = EnvFilter::try_new(asked.as_deref().unwrap_or(DEFAULT_FILTER));
    let fault = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(stderr().is_terminal());
    if subscriber.try_init().is_err() {
        return;
    }
    tracing::info!(name, version = env!("CARGO_PKG_VERSION"), process = std::process::id(), "started");
    if let Some(fault) = fault {
        tracing::warn!("{LOG_VARIABLE} is not a filter ({fault}); using \"{DEFAULT_FILTER}\"; write for example COMMUN_LOG=debug");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is a failed test")]
    use super::*;

    /// Set in the children that the test starts: each needs a process of its own, because the log is started once per process.
    const CHILD: &str = "COMMUN_SERVICE_TEST_LOG";

    #[test]
    fn the_log_goes_to_stderr_alone_by_the_filter_of_the_environment() {
        if std::env::var_os(CHILD).is_some() {
            init_tracing("child");
            tracing::info!("line at info");
            tracing::debug!("line at debug");
            return;
        }
        let child = |filter: Option<&str>| {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            command.args(["--exact", "telemetry::tests::the_log_goes_to_stderr_alone_by_the_filter_of_the_environment", "--nocapture"]);
            command.env(CHILD, "1").env_remove(LOG_VARIABLE);
            if let Some(filter) = filter {
                command.env(LOG_VARIABLE, filter);
            }
            let output = command.output().unwrap();
            let stdout = String::from_utf8(output.stdout).unwrap();
            assert!(stdout.contains("1 passed") && !stdout.contains("line at") && !stdout.contains("started"), "{stdout}");
            String::from_utf8(output.stderr).unwrap()
        };
        let seen = |text: &str| (text.contains("started"), text.contains("line at info"), text.contains("line at debug"));
        assert_eq!(seen(&child(None)), (true, true, false));
        assert_eq!(seen(&child(Some(""))), (true, true, false));
        assert_eq!(seen(&child(Some("debug"))), (true, true, true));
        assert_eq!(seen(&child(Some("warn"))), (false, false, false));
        let text = child(Some("commun=loud"));
        assert!(seen(&text) == (true, true, false) && text.contains("COMMUN_LOG is not a filter"), "{text}");
    }
}
