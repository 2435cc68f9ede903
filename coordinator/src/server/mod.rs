//! The life of the daemon: store, log, documents of the first start, restart rule, door, service.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use commun_domain::clock::{Clock, SystemClock};
use commun_identity::incoming;
use commun_service::{Faults, Shutdown};
use commun_store::{CoordinatorStore, StoreOptions};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::App;
use crate::config::Setup;
use crate::grpc;
use crate::log::{Log, LogError};

/// How often the end of an idle log is signed again. Agents want a checkpoint of the last ten minutes.
pub(crate) const CHECKPOINT_INTERVAL: Duration = Duration::from_mins(2);

/// File in the state folder that holds the bound address.
pub(crate) const ADDRESS_FILE: &str = "address";

/// Database file in the state folder.
pub(crate) const STORE_FILE: &str = "coordinator.db";

/// Runs until the shutdown is requested.
pub(crate) async fn serve(setup: Setup, faults: Faults, shutdown: Shutdown) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (state_dir, listen) = (setup.state_dir.clone(), setup.listen.clone());
    let (tls, tls_watch) = watch::channel(setup.tls.clone());
    // Of the run before: whoever waits for the file must not find a port that nobody listens on.
    let address_file = state_dir.join(ADDRESS_FILE);
    if let Err(error) = std::fs::remove_file(&address_file)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot remove {}", address_file.display()));
    }
    let started = clock.clone();
    let app = tokio::task::spawn_blocking(move || start(setup, started, faults)).await??;
    let listener = TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}; check `listen`"))?;
    let address = listener.local_addr()?.to_string();
    write_atomically(&address_file, &address).with_context(|| format!("cannot write {ADDRESS_FILE} in {}", state_dir.display()))?;
    tracing::info!(address, log_size = app.log.head().size, "listening");
    let refresher = tokio::spawn(refresh_checkpoints(app.clone(), shutdown.clone()));
    let served = grpc::serve(app, clock, incoming(listener, tls_watch), shutdown).await;
    if served.is_err() {
        // It ended by itself, so nobody has told the refresher to.
        refresher.abort();
    }
    // Waited for, so that nothing of ours holds the store when this returns.
    let checkpoints = refresher.await;
    // Renewal will send new configurations here; until then it keeps the door's watch open.
    drop(tls);
    served?;
    checkpoints.context("the task that signs checkpoints failed")
}

fn start(setup: Setup, clock: Arc<dyn Clock>, faults: Faults) -> anyhow::Result<Arc<App>> {
    std::fs::create_dir_all(&setup.state_dir).with_context(|| format!("cannot make the folder {}", setup.state_dir.display()))?;
    let store = CoordinatorStore::open(&setup.state_dir.join(STORE_FILE), StoreOptions { max_pages: setup.max_store_pages })?;
    let store = Arc::new(store);
    let log = Log::open(store.clone(), setup.log_key, setup.pins, clock.clone())?;
    // Only a log without them takes them from files; later ones are published by officers, and come from the log.
    let (bundle, roster) = log.read(|state| (state.trust.bundle().is_some(), state.trust.roster().is_some()));
    for (there, document, name) in [(bundle, &setup.documents[0], "bundle"), (roster, &setup.documents[1], "roster")] {
        if !there {
            log.publish(document).with_context(|| format!("the file `{name}` of the configuration is not accepted"))?;
        }
    }
    log.check_key()?;
    let app = App::new(store, log, clock, faults, setup.deadlines, setup.max_open_queries);
    match app.restart() {
        Ok(0) => {}
        Ok(ended) => tracing::warn!(ended, "queries were under way when the coordinator stopped; they are ended"),
        // On a full disk they end when they are asked for again, or at the next start: the rest of the service is not kept down by them.
        Err(error @ LogError::Store(commun_store::StoreError::Full { .. })) => {
            tracing::error!(%error, "unfinished queries could not be ended");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(app)
}

async fn refresh_checkpoints(app: Arc<App>, mut shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(CHECKPOINT_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.requested() => return,
        }
        let app = app.clone();
        let refreshed = tokio::task::spawn_blocking(move || {
            if let Err(error) = app.forget_aggregations() {
                tracing::error!(%error, "old records of aggregations were not deleted");
            }
            app.log.refresh_checkpoint()
        });
        if let Ok(Err(error)) = refreshed.await {
            tracing::error!(%error, "the checkpoint was not signed again");
        }
    }
}

/// Whoever reads the file finds all of it or none.
fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests;
