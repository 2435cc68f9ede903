//! The life of the agent: load, open the store, start guard, status socket and link; end on a signal.

use std::sync::Arc;

use commun_domain::clock::{Clock, SystemClock};
use commun_engine::{EngineOptions, HolderEngine};
use commun_service::{Faults, Shutdown, init_tracing, run_service};
use commun_store::{AgentStore, StoreOptions};
use ed25519_dalek::SigningKey;

use crate::config::{Config, SetupError};
use crate::guard::{Guard, Parts};
use crate::health::Health;
use crate::{link, status};

const NAME: &str = "commun-agent";

/// A configuration whose files are all good. No data were opened, and no state.
pub(crate) struct Ready {
    config: Config,
    key: SigningKey,
    engine: HolderEngine,
}

impl Ready {
    /// Loads keys, certificates and binding.
    pub(crate) fn load(config: Config) -> Result<Self, SetupError> {
        config.tls()?;
        let key = config.signing_key()?;
        let bindings = config.load_bindings()?;
        let memory_bytes = config.memory_mb.and_then(|mb| usize::try_from(mb).ok()?.checked_mul(1 << 20)).and_then(std::num::NonZero::new);
        let options = EngineOptions {
            memory_bytes,
            // Where the ledger lies already: a disk that the holder has chosen.
            spill_folder: config.state_dir.clone(),
            ..EngineOptions::default()
        };
        let engine = HolderEngine::new(bindings, &options)
            .map_err(|error| SetupError::Binding { path: config.bindings[0].clone(), reason: error.to_string() })?;
        Ok(Self { config, key, engine })
    }
}

/// Runs until a signal; returns the exit code.
pub(crate) fn run(ready: Ready, faults: Faults) -> u8 {
    init_tracing(NAME);
    hide_texts_of_panics();
    run_service(NAME, |shutdown| serve(ready, faults, shutdown))
}

/// A panic's text may quote data, and the program's log may leave this machine. So the log names the place in the program only; the task's
/// end carries the text to the holder's status.
fn hide_texts_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        tracing::error!("a fault of the program at {place}");
    }));
}

async fn serve(ready: Ready, faults: Faults, shutdown: Shutdown) -> anyhow::Result<()> {
    let Ready { config, key, engine } = ready;
    std::fs::create_dir_all(&config.state_dir)
        .map_err(|error| anyhow::anyhow!("cannot make the state folder {}: {error}", config.state_dir.display()))?;
    let store = Arc::new(AgentStore::open(&config.store_path(), StoreOptions { max_pages: config.max_store_pages })?);
    let health = Arc::new(Health::default());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let parts = Parts {
        holder: config.holder.clone(),
        accept_permits: config.accept_permits.clone(),
        independent: config.independent.clone(),
        min_colluders: config.min_colluders,
        min_survivors: config.min_survivors,
        slot_ms: config.slot_ms,
        bundle_sha256: config.bundle_sha256,
        key,
        store: Arc::clone(&store),
        engine: Arc::new(engine),
        clock: clock.clone(),
        faults,
        health: Arc::clone(&health),
    };
    let guard = Guard::start(parts, &config.state_dir)?;
    let socket = config.socket_path();
    let listener =
        status::listen(&socket).map_err(|error| anyhow::anyhow!("cannot make the status socket {}: {error}", socket.display()))?;
    if config.accept_permits.is_empty() {
        tracing::warn!("the policy accepts no permit: every question is refused; list permits under [policy] accept_permits");
    }
    let window = Arc::new(status::Window { config: config.clone(), guard: Arc::clone(&guard), store, health: Arc::clone(&health) });
    tokio::select! {
        () = link::run(&config, &guard, &health, &clock, shutdown) => {}
        () = guard.refunds() => {}
        () = status::serve(listener, window) => {}
    }
    // The next start makes a new one; a command meanwhile says "no agent is running".
    let _ = std::fs::remove_file(&socket);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    /// Set in the child that the test starts.
    const CHILD: &str = "COMMUN_AGENT_TEST_CHILD";

    #[test]
    fn p9_a_panic_is_logged_by_its_place_without_its_text() {
        if std::env::var_os(CHILD).is_some() {
            init_tracing(NAME);
            hide_texts_of_panics();
            assert!(std::panic::catch_unwind(|| panic!("a row of subscriber-4711")).is_err());
            return;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "service::tests::p9_a_panic_is_logged_by_its_place_without_its_text", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("a fault of the program at") && said.contains("service.rs"), "{said}");
        assert!(!said.contains("subscriber-4711"), "{said}");
    }
}
