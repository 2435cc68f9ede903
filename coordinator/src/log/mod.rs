//! The log's one writer: the only place that appends entries, charges ledgers, signs checkpoints, and tells subscribers.
//!
//! The atomic rule: one mutex is held from the check of a budget to the fold of the committed entry, so that two queries never pass
//! the same check, and an entry is visible only once it is on the disk. What the coordinator believes is the same fold over its own log
//! as everyone else's (`commun-trust`); it takes nothing on its own word. Synchronous: async callers use `spawn_blocking`.
//!
//! What is not here: tiles, proofs, witnesses.

mod state;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use commun_domain::clock::Clock;
use commun_domain::log::{AttemptEntry, FailureEntry, LogEntry, NamesEntry, RefundEntry, ReleaseEntry};
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, Refusal, WireCode};
use commun_privacy::ledger::{LedgerError, LedgerRecord};
use commun_proto::status::refusal_to_bytes;
use commun_store::coordinator::NewRelease;
use commun_store::log::StoredEntry;
use commun_store::{CoordinatorStore, StoreError};
use commun_tlog::{Checkpoint, CheckpointError, Frontier, leaf_hash};
use commun_trust::{Pins, TrustError};
use ed25519_dalek::SigningKey;
use tokio::sync::watch;

pub use state::{Published, State};

/// Entries that are read at once when the log is replayed at start.
const REPLAY_BATCH: u32 = 256;

/// Why the log was not opened or not written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored entry that this program never wrote.
    #[error("log entry {0} of the store cannot be read; restore the store from a copy")]
    Damaged(u64),
    /// A stored ledger record that breaks the rules.
    #[error("the stored ledger breaks its own rules: {0}; restore the store from a copy")]
    Ledger(#[from] LedgerError),
    /// A document that the trust in force does not accept.
    #[error("the document is not accepted: {0}")]
    Trust(#[from] TrustError),
    /// Not something that is published.
    #[error("only a trust bundle, roster, data contract or permit is published here, as a *.signed file")]
    Kind,
    /// The log key is not the bundle's.
    #[error("the log key of this coordinator is not the one that the trust bundle names; check [keys] log_key and the bundle")]
    LogKey,
    /// A checkpoint could not be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The caller's own rule, checked under the lock.
    #[error(transparent)]
    Refused(Refusal),
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Refused(refusal) => refusal,
            LogError::Store(StoreError::Full { .. }) => Self::new(
                WireCode::Unavailable,
                "the coordinator's disk is full, so nothing can be charged or logged",
                "ask the operator to free some space, then ask again",
            ),
            LogError::Trust(_) | LogError::Kind => Self::new(
                WireCode::NotPermitted,
                error.to_string(),
                "check who must sign it and what must be published before it (commun permit show prints what it says)",
            ),
            other => {
                tracing::error!(error = %other, "the log was not written");
                Self::new(
                    WireCode::Internal,
                    "the coordinator could not write its log",
                    "the operator finds the cause in the coordinator's own log",
                )
            }
        }
    }
}

/// The newest end of the log. Each subscriber reads the entries itself, from where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Hash32,
    /// Signed checkpoint; empty until there is a trust bundle, which names the log.
    pub note: Arc<str>,
    /// When it was signed, seconds since 1970; 0 before.
    pub signed_unix: u64,
}

/// The log and what follows from it.
pub struct Log {
    store: Arc<CoordinatorStore>,
    state: RwLock<State>,
    writer: Mutex<Frontier>,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    head: watch::Sender<Head>,
}

/// A published document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Number of its entry.
    pub entry: u64,
    /// Its hash.
    pub hash: Hash32,
    /// Whether it was there before.
    pub known: bool,
}

impl Log {
    /// Replays the stored log and ledgers.
    pub fn open(store: Arc<CoordinatorStore>, key: SigningKey, pins: Pins, clock: Arc<dyn Clock>) -> Result<Self, LogError> {
        let mut state = State::new(pins);
        let mut frontier = Frontier::new();
        loop {
            let batch = store.entries(frontier.size(), REPLAY_BATCH)?;
            if batch.is_empty() {
                break;
            }
            for StoredEntry { number, bytes, .. } in batch {
                let entry = LogEntry::from_bytes(&bytes).map_err(|_| LogError::Damaged(number))?;
                frontier.append(leaf_hash(&bytes));
                if let Err(error) = state.fold(number, &entry) {
                    tracing::warn!(number, kind = entry.kind(), %error, "log entry counts for nothing");
                }
            }
        }
        for record in store.ledger_load()? {
            state.charge(&record)?;
        }
        let head = Head { size: frontier.size(), root: Hash32::from_bytes(frontier.root()), note: "".into(), signed_unix: 0 };
        let log = Self { store, state: RwLock::new(state), writer: Mutex::new(frontier), key, clock, head: watch::channel(head).0 };
        log.refresh_checkpoint()?;
        Ok(log)
    }

    /// Whether this coordinator holds the log key of the trust bundle in force; no agent would believe another one's checkpoints.
    pub fn check_key(&self) -> Result<(), LogError> {
        let own = commun_trust::sign::public_key(&self.key);
        let named = self.read(|state| state.trust.bundle().is_some_and(|bundle| bundle.log_key == own));
        if named { Ok(()) } else { Err(LogError::LogKey) }
    }

    /// Looks at what is believed and spent now.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the log's end.
    pub fn subscribe(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// The log's end.
    pub fn head(&self) -> Head {
        self.head.borrow().clone()
    }

    /// Stored entries from a number on, at most `limit`.
    pub fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, LogError> {
        Ok(self.store.entries(from, limit)?)
    }

    /// Publishes a signed document, or finds it published.
    pub fn publish(&self, document: &SignedDocument) -> Result<Publication, LogError> {
        let entry = state::entry_of(document).ok_or(LogError::Kind)?;
        let hash = document.document_hash();
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = self.read(|state| state.published.number(&hash)) {
            return Ok(Publication { entry: number, hash, known: true });
        }
        // A document that is not accepted would stay in the log for ever, so it is tried on a copy first.
        self.read(|state| state.trust.clone()).apply(writer.size(), &entry)?;
        if let LogEntry::Bundle(_) = &entry {
            state::check_log_key(document, &self.key).map_err(|()| LogError::LogKey)?;
        }
        let head = self.append(&mut writer, &entry, &[], |bytes| self.store.append_entry(bytes, entry.kind()))?;
        Ok(Publication { entry: head.size - 1, hash, known: false })
    }

    /// Charges every holder of the attempt and logs it, if `allow` finds that the budgets still hold. The records to write come from
    /// `allow` too, because their numbers follow from the ledger under the lock.
    pub fn attempt(&self, entry: AttemptEntry, allow: impl FnOnce(&State) -> Result<Vec<LedgerRecord>, Refusal>) -> Result<Head, LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let records = self.read(allow).map_err(LogError::Refused)?;
        let query = entry.query.document_hash().into();
        let entry = LogEntry::Attempt(entry);
        self.append(&mut writer, &entry, &records, |bytes| self.store.log_attempt(&query, bytes, &records, self.clock.now_ms()))
    }

    /// Logs the names of an open group key; the query goes on.
    pub fn names(&self, entry: NamesEntry) -> Result<Head, LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let query = entry.query;
        let entry = LogEntry::Names(entry);
        self.append(&mut writer, &entry, &[], |bytes| self.store.log_names(&query, bytes, self.clock.now_ms()))
    }

    /// Stores a result release, logs it and ends its query.
    pub fn release(&self, release: &NewRelease<'_>, entry: ReleaseEntry) -> Result<Head, LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // A holder that took its charge back is in no sum, and its refund may have come a moment ago.
        let refunded =
            |state: &State| entry.participants.iter().any(|index| state.trust.refund(&entry.query, entry.attempt, *index).is_some());
        if self.read(refunded) {
            return Err(LogError::Refused(Refusal::new(
                WireCode::TooFewHolders,
                "a holder took its charge back, so its answer does not count",
                "ask again; every listed holder must answer",
            )));
        }
        let entry = LogEntry::Release(entry);
        self.append(&mut writer, &entry, &[], |bytes| self.store.finish_with_release(release, bytes, self.clock.now_ms()))
    }

    /// Ends a query without an answer.
    pub fn failure(&self, entry: FailureEntry) -> Result<Head, LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (query, refusal) = (entry.query, refusal_to_bytes(&entry.refusal));
        let entry = LogEntry::Failure(entry);
        self.append(&mut writer, &entry, &[], |bytes| {
            let number = self.store.finish_with_failure(&query, &refusal, Some(bytes), self.clock.now_ms())?;
            number.ok_or_else(|| StoreError::Damaged { what: "a failure was stored without its entry".to_owned() })
        })
    }

    /// Logs that a holder took its charge back, and takes back what this ledger charged for it, if it did.
    pub fn refund(
        &self,
        entry: RefundEntry,
        record: impl FnOnce(&State) -> Result<Option<LedgerRecord>, Refusal>,
    ) -> Result<Head, LogError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let record = self.read(record).map_err(LogError::Refused)?;
        let entry = LogEntry::Refund(entry);
        self.read(|state| state.trust.clone()).apply(writer.size(), &entry)?;
        match record {
            Some(record) => self.append(&mut writer, &entry, std::slice::from_ref(&record), |bytes| self.store.refund(&record, bytes)),
            None => self.append(&mut writer, &entry, &[], |bytes| self.store.append_entry(bytes, entry.kind())),
        }
    }

    /// Signs the end of the log again, with the time of now. An idle log's checkpoint would otherwise grow old.
    pub fn refresh_checkpoint(&self) -> Result<(), LogError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Head { size, note, .. } = self.sign(&writer)?;
        if !note.is_empty()
            && let Err(error) = self.store.save_checkpoint(size, &note)
        {
            // The entries are durable and the note can be made again: a full disk here costs nothing.
            tracing::warn!(size, %error, "the checkpoint was signed but not stored");
        }
        Ok(())
    }

    /// Signs the end of the log again unless that was done within this second: for an agent that has just started.
    pub fn checkpoint_of_now(&self) -> Result<(), LogError> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let signed_unix = self.head.borrow().signed_unix;
        if signed_unix < self.clock.now_unix() { self.sign(&writer).map(drop) } else { Ok(()) }
    }

    fn append(
        &self,
        writer: &mut Frontier,
        entry: &LogEntry,
        records: &[LedgerRecord],
        write: impl FnOnce(&[u8]) -> Result<u64, StoreError>,
    ) -> Result<Head, LogError> {
        let bytes = entry.to_bytes();
        let number = write(&bytes)?;
        if number != writer.size() {
            return Err(StoreError::Damaged { what: format!("entry {number} was written where entry {} comes next", writer.size()) }.into());
        }
        writer.append(leaf_hash(&bytes));
        {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = state.fold(number, entry) {
                // It is in the log, where everyone finds it to count for nothing; what depended on it fails later, and says so.
                tracing::error!(number, kind = entry.kind(), %error, "an entry of our own counts for nothing");
            }
            for record in records {
                state.charge(record)?;
            }
        }
        self.sign(writer)
    }

    /// Signs the end of the log and tells the subscribers. Not stored: it follows from the entries, which are, and a start signs it again.
    fn sign(&self, writer: &Frontier) -> Result<Head, LogError> {
        let (size, root) = (writer.size(), writer.root());
        let signed_unix = self.clock.now_unix();
        let note = match self.read(|state| state.trust.bundle().map(|bundle| bundle.log_origin.clone())) {
            Some(origin) => {
                let checkpoint = Checkpoint { origin: origin.clone(), size, root, time_unix: signed_unix };
                // As C2SP recommends, the key's name is the origin.
                checkpoint.sign(&origin, &self.key)?
            }
            None => String::new(),
        };
        let head = Head { size, root: Hash32::from_bytes(root), note: note.into(), signed_unix };
        self.head.send_replace(head.clone());
        Ok(head)
    }
}
