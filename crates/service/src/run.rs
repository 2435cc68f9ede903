//! The life of a daemon: run, hear a signal, drain for a bounded time, end with an exit code.
//!
//! The service gets a [`Shutdown`] and returns soon after it is requested. If it does not, it is dropped after [`DRAIN_TIMEOUT`]; what
//! must survive that is already in the store. A second signal ends the drain at once.

use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit;

/// Longest time between the signal and the end of the service.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for blocking tasks (a transaction of the store) after the service has ended.
const BLOCKING_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells every part of a service that it should end. Clones hear the same request.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Waits until the end is requested; returns at once when it already was.
    pub async fn requested(&mut self) {
        // An error means that whoever could request it is gone, which ends the service as well.
        let _ = self.0.wait_for(|requested| *requested).await;
    }

    /// Whether the end is requested.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}

/// SIGTERM and SIGINT of this process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on; needs a running tokio runtime. The process no longer ends by these signals alone.
    ///
    /// # Errors
    /// The operating system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal and returns its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Waits for SIGTERM or SIGINT and returns its name.
///
/// # Errors
/// The operating system refuses a handler.
pub async fn shutdown_signal() -> std::io::Result<&'static str> {
    Ok(Signals::listen()?.next().await)
}

/// Runs a daemon on a runtime of its own until it ends by itself or by SIGTERM or SIGINT, and returns the exit code.
pub fn run_service<E, F>(name: &str, service: impl FnOnce(Shutdown) -> F) -> u8
where
    E: Display,
    F: Future<Output = Result<(), E>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(name, "cannot start the runtime: {error}");
            return exit::FAILED;
        }
    };
    let code = runtime.block_on(async {
        // Before the service starts, so that a signal is heard from its first moment on.
        match Signals::listen() {
            Ok(mut signals) => run_until(name, async || signals.next().await, DRAIN_TIMEOUT, service).await,
            Err(error) => {
                tracing::error!(name, "cannot listen for signals: {error}");
                exit::FAILED
            }
        }
    });
    runtime.shutdown_timeout(BLOCKING_TIMEOUT);
    code
}

/// Runs a service until it ends by itself, or until `drain` after the first `stop` is over, or until the second `stop`; returns the exit
/// code.
pub async fn run_until<E, F>(
    name: &str,
    mut stop: impl AsyncFnMut() -> &'static str,
    drain: Duration,
    service: impl FnOnce(Shutdown) -> F,
) -> u8
where
    E: Display,
    F: Future<Output = Result<(), E>>,
{
    let (request, shutdown) = watch::channel(false);
    let mut service = pin!(service(Shutdown(shutdown)));
    let reason = tokio::select! {
        result = &mut service => return ended(name, result),
        reason = stop() => reason,
    };
    tracing::info!(name, reason, drain_s = drain.as_secs(), "shutting down");
    request.send_replace(true);
    let why = tokio::select! {
        result = service => return ended(name, result),
        () = tokio::time::sleep(drain) => "the time to drain is over",
        _ = stop() => "a second signal came",
    };
    tracing::error!(name, "did not end in time: {why}; what was in flight is dropped");
    exit::FAILED
}

fn ended<E: Display>(name: &str, result: Result<(), E>) -> u8 {
    match result {
        Ok(()) => {
            tracing::info!(name, "ended");
            exit::DONE
        }
        Err(error) => {
            // The alternate form shows the causes of an `anyhow::Error`.
            tracing::error!(name, "failed: {error:#}");
            exit::FAILED
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is a failed test")]
    use std::future::pending;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    async fn obedient(mut shutdown: Shutdown) -> Result<(), String> {
        shutdown.requested().await;
        assert!(shutdown.is_requested());
        Ok(())
    }

    #[test]
    fn a_service_that_ends_by_itself_gives_its_own_exit_code() {
        let never = || async || pending().await;
        assert_eq!(block_on(run_until("test", never(), LONG, |_| async { Ok::<_, String>(()) })), exit::DONE);
        assert_eq!(block_on(run_until("test", never(), LONG, |_| async { Err("no") })), exit::FAILED);
    }

    #[test]
    fn a_service_that_drains_in_time_is_done() {
        let mut stops = vec!["test stop"];
        let stop = async move || match stops.pop() {
            Some(reason) => reason,
            None => pending().await,
        };
        assert_eq!(block_on(run_until("test", stop, LONG, obedient)), exit::DONE);
    }

    #[test]
    fn a_service_that_does_not_drain_is_dropped_after_the_time() {
        let mut stops = vec!["test stop"];
        let stop = async move || match stops.pop() {
            Some(reason) => reason,
            None => pending().await,
        };
        let drain = Duration::from_millis(50);
        let start = Instant::now();
        assert_eq!(block_on(run_until("test", stop, drain, |_| pending::<Result<(), String>>())), exit::FAILED);
        assert!(start.elapsed() >= drain && start.elapsed() < LONG / 2);
    }

    #[test]
    fn a_second_signal_ends_the_drain_at_once() {
        let start = Instant::now();
        assert_eq!(block_on(run_until("test", async || "test stop", LONG, |_| pending::<Result<(), String>>())), exit::FAILED);
        assert!(start.elapsed() < LONG / 2);
    }

    /// Set in the child that the next test starts.
    const CHILD: &str = "COMMUN_SERVICE_TEST_CHILD";

    #[test]
    fn a_real_sigterm_or_sigint_ends_the_process_with_code_0() {
        if std::env::var_os(CHILD).is_some() {
            let code = run_service("test", |shutdown| async {
                writeln!(std::io::stdout(), "\nready").unwrap();
                obedient(shutdown).await
            });
            std::process::exit(code.into());
        }
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "run::tests::a_real_sigterm_or_sigint_ends_the_process_with_code_0", "--nocapture"])
                .env(CHILD, "1")
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            assert!(lines.any(|line| line.unwrap() == "ready"));
            rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(exit::DONE.into()), "{signal:?}");
        }
    }
}
