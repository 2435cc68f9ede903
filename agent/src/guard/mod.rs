//! What is answered. The link hands in what came, the guard decides, and what it has to say goes back by the link.
//!
//! The decisions are synchronous code in `core`, called one at a time on a blocking thread, because each ends on the disk. What takes long
//! (waiting for the log, reading data, waiting for the slot) is in `run`, one attempt at a time.

mod attempt;
mod book;
mod core;
mod ends;
mod incidents;
mod logbook;
mod lost;
mod message;
mod report;
mod rounds;
mod run;
mod stop;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commun_domain::clock::Clock;
use commun_domain::{Hash32, QueryId, WireCode};
use commun_engine::Engine;
use commun_service::Faults;
use commun_store::{AgentStore, StoreError};
use commun_trust::Pins;
use ed25519_dalek::SigningKey;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use self::attempt::AttemptKey;
use self::book::Book;
use self::core::{Core, Policy};
use self::incidents::Incidents;
use self::lost::Recall;
use crate::health::Health;

pub use self::book::BookError;
pub use self::core::{MAX_MANIFEST_WAIT_MS, MAX_OPEN_ATTEMPTS};
pub use self::logbook::LogFault;
pub(crate) use self::logbook::Logbook;
pub use self::message::{Offer, Outgoing, RoundMessage};
pub use self::report::{Budget, PermitReport, Report};

/// Most refunds that are kept to be told again, until the log shows them.
const MAX_UNTOLD_REFUNDS: usize = 1024;

/// Longest sleep of the refund timer: a clock that was set forward is noticed by then.
const MAX_TIMER_SLEEP: Duration = Duration::from_secs(1);

/// Why the guard cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The ledger.
    #[error(transparent)]
    Book(#[from] BookError),
    /// The stored log.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a guard is made of.
pub struct Parts {
    /// Holder's name.
    pub holder: String,
    /// Permits that the holder accepts.
    pub accept_permits: Vec<Hash32>,
    /// Holders that it counts as independent of itself.
    pub independent: Vec<String>,
    /// Own minimum of c; 0 takes the roster's.
    pub min_colluders: u32,
    /// Own minimum of T; 0 takes the roster's.
    pub min_survivors: u32,
    /// Shortest time from a manifest to its slot, in milliseconds; `None` takes the public rule.
    pub slot_ms: Option<u64>,
    /// SHA-256 of trust bundle 1.
    pub bundle_sha256: Hash32,
    /// Signs acceptances and answers.
    pub key: SigningKey,
    /// The agent's store.
    pub store: Arc<AgentStore>,
    /// Reads the data.
    pub engine: Arc<dyn Engine>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Fault points.
    pub faults: Faults,
    /// Where errors are left for `status`.
    pub health: Arc<Health>,
}

/// The file that remembers a stop.
pub(crate) fn stop_file(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join(logbook::STOP_FILE)
}

/// The guard of one holder.
pub struct Guard {
    core: Arc<Mutex<Core>>,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    faults: Faults,
    /// One query at a time reads data.
    reading: Semaphore,
    /// Moves when entries or a checkpoint were taken.
    log_moved: watch::Sender<u64>,
    /// Wakes the refund timer.
    timer: Notify,
    link: Mutex<Option<mpsc::Sender<Outgoing>>>,
    untold_refunds: Mutex<Vec<Outgoing>>,
}

impl Guard {
    /// Reads the ledger and the log again, and ends what an earlier process left open.
    pub fn start(parts: Parts, state_dir: &Path) -> Result<Arc<Self>, GuardError> {
        let book = Book::load(&parts.store, &parts.holder)?;
        let log = Logbook::replay(&parts.store, Pins { bundle: parts.bundle_sha256 }, &parts.holder, state_dir)?;
        if let Some(reason) = log.stopped() {
            tracing::error!("{reason}");
        }
        let policy = Policy {
            holder: parts.holder,
            accept_permits: parts.accept_permits,
            independent: parts.independent,
            min_colluders: parts.min_colluders,
            min_survivors: parts.min_survivors,
            slot_ms: parts.slot_ms,
        };
        let mut core = Core {
            incidents: Incidents::load(&parts.store)?,
            decided_at: parts.store.last_decision()?.map(|decision| decision.ledger_seq),
            started_ms: parts.clock.now_ms(),
            recall: Recall::Reading(Vec::new()),
            store: parts.store,
            engine: Arc::clone(&parts.engine),
            log,
            book,
            policy,
            key: parts.key,
            clock: Arc::clone(&parts.clock),
            faults: parts.faults.clone(),
            health: parts.health,
            live: std::collections::BTreeMap::new(),
        };
        core.close_open_attempts()?;
        if let Err(fault) = core.compare_records() {
            tracing::error!("{fault}");
        }
        Ok(Arc::new(Self {
            core: Arc::new(Mutex::new(core)),
            engine: parts.engine,
            clock: parts.clock,
            faults: parts.faults,
            reading: Semaphore::new(1),
            log_moved: watch::Sender::new(0),
            timer: Notify::new(),
            link: Mutex::new(None),
            untold_refunds: Mutex::new(Vec::new()),
        }))
    }

    /// Log entries stored.
    pub async fn log_size(&self) -> u64 {
        self.with(|core| core.log.size()).await
    }

    /// The link is up: what is said goes there. Refunds that the log does not show yet are told again.
    pub async fn link_up(&self, sender: mpsc::Sender<Outgoing>) {
        *lock(&self.link) = Some(sender);
        let untold = lock(&self.untold_refunds).clone();
        let shown = self.with(move |core| untold.into_iter().filter(|refund| core.log_shows(refund)).collect::<Vec<_>>()).await;
        let missing = {
            let mut untold = lock(&self.untold_refunds);
            untold.retain(|refund| !shown.contains(refund));
            untold.clone()
        };
        for refund in missing {
            self.tell(refund).await;
        }
    }

    /// The link is down.
    pub async fn link_lost(&self) {
        *lock(&self.link) = None;
        let ended = self.with(Core::link_lost).await;
        self.remember_refunds(&ended);
    }

    /// An offer came.
    pub async fn offer(&self, offer: Offer) {
        let reply = self.with(move |core| core.offer(&offer)).await;
        self.timer.notify_one();
        if let Some(reply) = reply {
            self.tell(reply).await;
        }
    }

    /// A manifest came. It is bound here, in the order of arrival; the rest is done beside the link.
    pub async fn manifest(self: &Arc<Self>, bytes: Vec<u8>) {
        match self.with(move |core| core.bind(&bytes)).await {
            Ok(bound) => {
                tokio::spawn(run::run(Arc::clone(self), Arc::new(*bound)));
            }
            Err(outgoing) => self.end_told(outgoing).await,
        }
    }

    /// The coordinator ended an attempt.
    pub async fn cancel(&self, query: QueryId, attempt: u8, code: WireCode) {
        let told = self.with(move |core| core.cancelled(AttemptKey { query, attempt }, code)).await;
        self.end_told(told).await;
    }

    /// A message of secure aggregation came.
    pub async fn round(self: &Arc<Self>, query: QueryId, attempt: u8, message: Vec<u8>) {
        let key = AttemptKey { query, attempt };
        let (told, over) = self.with(move |core| (core.round(key, &message), !core.is_bound(key))).await;
        let opened = over && matches!(told[..], [Outgoing::Round { .. }]);
        self.end_told(told).await;
        if opened {
            // Beside the link, which must go on reading.
            let guard = Arc::clone(self);
            tokio::spawn(async move {
                guard.sent().await;
                guard.faults.at("agent.after_send");
            });
        }
    }

    /// Tells, and remembers a refund among it.
    async fn end_told(&self, told: Vec<Outgoing>) {
        self.remember_refunds(&told);
        self.tell_all(told).await;
    }

    /// Log entries came.
    pub async fn entries(&self, first: u64, entries: Vec<Vec<u8>>) -> Result<(), LogFault> {
        let read = self.with(move |core| core.entries(first, &entries)).await?;
        self.log_moved.send_modify(|moves| *moves += 1);
        self.tell(read).await;
        Ok(())
    }

    /// A checkpoint came.
    pub async fn checkpoint(&self, note: String) -> Result<(), LogFault> {
        self.with(move |core| core.checkpoint(&note)).await?;
        self.log_moved.send_modify(|moves| *moves += 1);
        Ok(())
    }

    /// Takes reserves back when their time has come, for ever.
    pub async fn refunds(&self) {
        loop {
            let next_ms = self.with(|core| core.next_refund_ms()).await;
            let wait = |next_ms: u64| Duration::from_millis(next_ms.saturating_sub(self.clock.now_ms())).min(MAX_TIMER_SLEEP);
            tokio::select! {
                () = self.timer.notified() => {}
                () = tokio::time::sleep(next_ms.map_or(Duration::MAX, wait)), if next_ms.is_some() => {}
            }
            self.refund_due().await;
        }
    }

    async fn refund_due(&self) {
        let refunds = self.with(Core::refund_due).await;
        self.end_told(refunds).await;
    }

    /// Keeps refunds until the log shows them: one that was written while the link was down is told on the next link of this process. What a
    /// restart forgets stays charged at the coordinator, whose ledger is not the one that counts.
    fn remember_refunds(&self, outgoing: &[Outgoing]) {
        let mut untold = lock(&self.untold_refunds);
        untold.extend(outgoing.iter().filter(|message| matches!(message, Outgoing::Refunded { .. })).cloned());
        let surplus = untold.len().saturating_sub(MAX_UNTOLD_REFUNDS);
        untold.drain(..surplus);
    }

    /// What `status` shows.
    pub async fn report(&self) -> Report {
        self.with(|core| core.report()).await
    }

    /// Canonical bytes of the newest data contract of a name.
    pub async fn contract_bytes(&self, name: String) -> Option<Vec<u8>> {
        self.with(move |core| core.contract_bytes(&name)).await
    }

    async fn tell_all(&self, outgoing: impl IntoIterator<Item = Outgoing>) {
        for message in outgoing {
            self.tell(message).await;
        }
    }

    /// Hands a message to the link, if there is one. Whether it arrives, nobody on this side can know.
    async fn tell(&self, message: Outgoing) {
        let sender = lock(&self.link).clone();
        if let Some(sender) = sender {
            // Closed: the link is going down, and `link_lost` follows.
            let _ = sender.send(message).await;
        }
    }

    /// Runs one decision on a blocking thread: they end on the disk.
    async fn with<T: Send + 'static>(&self, decide: impl FnOnce(&mut Core) -> T + Send + 'static) -> T {
        let core = Arc::clone(&self.core);
        let decided = tokio::task::spawn_blocking(move || decide(&mut lock(&core))).await;
        decided.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
