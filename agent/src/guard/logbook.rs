//! The agent's own reading of the log: every entry stored, its root recomputed, its meaning folded, each checkpoint compared.
//!
//! A checkpoint with another root than the own one, a log that becomes shorter, or an entry that was different when it was read first, means
//! that this agent is shown another log than others may be. That is a stop: nothing is answered until a person decides. The reason is
//! kept in a file, so that a restart does not forget it. An entry that cannot be read or breaks a rule is no such thing: it is stored, a leaf
//! of the tree, reported, and changes no trust.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use commun_domain::log::{AttemptEntry, LogEntry, MAX_ENTRY_BYTES};
use commun_domain::{Document, Hash32};
use commun_store::{AgentStore, StoreError};
use commun_tlog::checkpoint::Checkpoint;
use commun_tlog::tree::{Frontier, leaf_hash};
use commun_trust::{Pins, TrustState};
use ed25519_dalek::VerifyingKey;

use super::book::BookError;
use super::lost::OwnLogged;
use super::stop;

/// Oldest newest checkpoint under which a manifest is answered, in seconds.
pub(crate) const MAX_CHECKPOINT_AGE_S: u64 = 600;

/// How far a checkpoint may be in the agent's own future, in seconds.
pub(crate) const MAX_CHECKPOINT_AHEAD_S: u64 = 120;

/// Entries read at once while replaying the stored log.
const REPLAY_BATCH: u32 = 256;

/// Name of the file that remembers a stop, in the state folder.
pub(crate) const STOP_FILE: &str = "STOPPED";

/// Why entries or a checkpoint were not taken.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Entries are missing between what is stored and what came: the link starts again.
    #[error("log entries from {first} came, but only {size} are stored; connecting again")]
    Gap {
        /// Number of the first that came.
        first: u64,
        /// Entries stored.
        size: u64,
    },
    /// An entry past the limit.
    #[error("a log entry has more than {MAX_ENTRY_BYTES} bytes")]
    TooLarge,
    /// A checkpoint that is not believed.
    #[error("a checkpoint is not believed: {0}")]
    Checkpoint(String),
    /// The agent answers nothing any more.
    #[error("{0}")]
    Stopped(String),
    /// Records that the log shows and the ledger has not could not be charged. It is tried again with the next checkpoint.
    #[error("lost records could not be charged: {0}")]
    Lost(#[source] BookError),
}

/// The log as this agent has read it.
#[derive(Debug)]
pub(crate) struct Logbook {
    state: TrustState,
    frontier: Frontier,
    /// Root at each size from 0: 32 bytes an entry.
    roots: Vec<Hash32>,
    verified: Option<Checkpoint>,
    /// Whether one was verified that came since the start, and not from the store.
    heard: bool,
    /// A checkpoint of more entries than were read when it came.
    ahead: Option<String>,
    stop: Option<String>,
    stop_file: PathBuf,
    /// Number and reason of the last entry that counts for nothing.
    last_invalid: Option<(u64, String)>,
    /// Whose records are looked for.
    holder: String,
    /// This holder's records in entries that were read, until they are taken.
    own: Vec<OwnLogged>,
}

impl Logbook {
    /// Reads the stored log again.
    pub(crate) fn replay(store: &AgentStore, pins: Pins, holder: &str, state_dir: &Path) -> Result<Self, LogFault> {
        let stop_file = state_dir.join(STOP_FILE);
        let mut book = Self {
            state: TrustState::new(pins),
            frontier: Frontier::new(),
            roots: vec![Hash32::from_bytes(Frontier::new().root())],
            verified: None,
            heard: false,
            ahead: None,
            stop: stop::read(&stop_file),
            stop_file,
            last_invalid: None,
            holder: holder.to_owned(),
            own: Vec::new(),
        };
        loop {
            let entries = store.entries(book.size(), REPLAY_BATCH)?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                book.fold(&entry.bytes);
            }
        }
        if let Some((_, note)) = store.latest_checkpoint()? {
            match book.checkpoint(store, &note) {
                Err(LogFault::Store(error)) => return Err(error.into()),
                // Signed by the log key of an earlier bundle, or stopped: the next one decides.
                Err(fault) => tracing::warn!("the stored checkpoint is not taken: {fault}"),
                Ok(()) => {}
            }
        }
        book.heard = false;
        Ok(book)
    }

    /// Entries read.
    pub(crate) fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// What follows from them.
    pub(crate) fn state(&self) -> &TrustState {
        &self.state
    }

    /// Why nothing is answered any more.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stop.as_deref()
    }

    /// The newest checkpoint that was verified and has the own root.
    pub(crate) fn verified(&self) -> Option<&Checkpoint> {
        self.verified.as_ref()
    }

    /// Records of this holder in the entries that were read since this was asked last.
    pub(super) fn take_own(&mut self) -> Vec<OwnLogged> {
        std::mem::take(&mut self.own)
    }

    /// Number and reason of the last entry that counts for nothing.
    pub(crate) fn last_invalid(&self) -> Option<&(u64, String)> {
        self.last_invalid.as_ref()
    }

    /// Whether a checkpoint was verified that came since the start.
    pub(super) fn heard(&self) -> bool {
        self.heard
    }

    /// The own root at a size; `None` when fewer entries were read.
    pub(crate) fn root_at(&self, size: u64) -> Option<Hash32> {
        usize::try_from(size).ok().and_then(|size| self.roots.get(size)).copied()
    }

    /// Whether a verified checkpoint covers `size` entries.
    pub(crate) fn covers(&self, size: u64) -> bool {
        self.verified.as_ref().is_some_and(|checkpoint| checkpoint.size >= size)
    }

    /// Whether the newest verified checkpoint is of now.
    pub(crate) fn is_fresh(&self, now_unix: u64) -> bool {
        self.verified.as_ref().is_some_and(|checkpoint| {
            now_unix <= checkpoint.time_unix.saturating_add(MAX_CHECKPOINT_AGE_S)
                && checkpoint.time_unix <= now_unix.saturating_add(MAX_CHECKPOINT_AHEAD_S)
        })
    }

    /// Takes entries from number `first` on. Ones that are stored already must be the same.
    pub(crate) fn append(&mut self, store: &AgentStore, first: u64, entries: &[Vec<u8>]) -> Result<(), LogFault> {
        self.going()?;
        if entries.iter().any(|bytes| bytes.len() > MAX_ENTRY_BYTES) {
            return Err(LogFault::TooLarge);
        }
        let size = self.size();
        if first > size {
            return Err(LogFault::Gap { first, size });
        }
        let known = usize::try_from(size - first).unwrap_or(usize::MAX).min(entries.len());
        let stored = store.entries(first, u32::try_from(known).unwrap_or(u32::MAX))?;
        if stored.iter().zip(entries).any(|(stored, came)| stored.bytes != *came) {
            return Err(self.stop(&format!("the coordinator sent other log entries from number {first} on than it had sent before")));
        }
        let new = &entries[known..];
        let kinds: Vec<(&[u8], &str)> =
            new.iter().map(|bytes| (bytes.as_slice(), LogEntry::from_bytes(bytes).map_or("unknown", |entry| entry.kind()))).collect();
        store.append_entries(size, &kinds)?;
        for bytes in new {
            self.fold(bytes);
        }
        match self.ahead.take() {
            Some(note) => self.checkpoint(store, &note),
            None => Ok(()),
        }
    }

    /// Takes a checkpoint: signed by the log key of the bundle in force, and with the own root.
    pub(crate) fn checkpoint(&mut self, store: &AgentStore, note: &str) -> Result<(), LogFault> {
        self.going()?;
        let fault = |reason: &str| LogFault::Checkpoint(reason.to_owned());
        let bundle = self.state.bundle().ok_or_else(|| match &self.last_invalid {
            Some((number, reason)) => LogFault::Checkpoint(format!("no trust bundle is accepted; log entry {number}: {reason}")),
            None => fault("no trust bundle was read yet"),
        })?;
        let key = VerifyingKey::from_bytes(bundle.log_key.as_bytes()).map_err(|_| fault("the bundle's log key is no key"))?;
        let checkpoint = Checkpoint::open(note, &bundle.log_origin, &key).map_err(|error| LogFault::Checkpoint(error.to_string()))?;
        if checkpoint.origin != bundle.log_origin {
            return Err(fault("it is of another log than the bundle's"));
        }
        if let Some(earlier) = self.verified.as_ref().filter(|earlier| checkpoint.size < earlier.size) {
            let (from, to) = (earlier.size, checkpoint.size);
            return Err(self.stop(&format!("the log became shorter: a checkpoint of {to} entries came after one of {from}")));
        }
        let Some(root) = self.root_at(checkpoint.size) else {
            self.ahead = Some(note.to_owned());
            return Ok(());
        };
        if root != Hash32::from_bytes(checkpoint.root) {
            return Err(self.stop(&format!(
                "the log key signed a root at {} entries that differs from this agent's own: it is shown another log",
                checkpoint.size
            )));
        }
        self.heard = true;
        if self.verified.as_ref() != Some(&checkpoint) {
            store.save_checkpoint(checkpoint.size, note)?;
            self.verified = Some(checkpoint);
        }
        Ok(())
    }

    fn going(&self) -> Result<(), LogFault> {
        self.stop.clone().map_or(Ok(()), |reason| Err(LogFault::Stopped(reason)))
    }

    /// Stops for good: nothing is answered until a person decides.
    pub(super) fn stop(&mut self, reason: &str) -> LogFault {
        let mut text = format!(
            "STOPPED: {reason}. This agent answers nothing. Compare the log with the supervisor's, then stop the agent, run `commun-agent resume` and start it again"
        );
        if let Err(error) = stop::write(&self.stop_file, &text) {
            let _ = write!(text, ". That file could not be written ({error}): a restart would forget this, so do not restart before");
        }
        self.stop = Some(text.clone());
        LogFault::Stopped(text)
    }

    fn fold(&mut self, bytes: &[u8]) {
        let number = self.size();
        let counted = match LogEntry::from_bytes(bytes) {
            Ok(entry) => {
                let applied = self.state.apply(number, &entry).map_err(|error| format!("{}: {error}", entry.kind()));
                if let (Ok(()), LogEntry::Attempt(attempt)) = (&applied, &entry) {
                    self.own.extend(own_record(&self.state, &self.holder, attempt));
                }
                applied
            }
            // A leaf like any other, without a meaning. Not a stop: a later version's kind of entry must not silence an older agent.
            Err(error) => self.state.skip(number).map_err(|error| error.to_string()).and(Err(format!(
                "it cannot be read ({error}), so it changes no trust; update this agent if it is older than the coordinator"
            ))),
        };
        if let Err(reason) = counted {
            tracing::warn!(number, "a log entry counts for nothing: {reason}");
            // Before any bundle is accepted the first fault is the cause of all others: mostly a wrong pin.
            if self.state.bundle().is_some() || self.last_invalid.is_none() {
                self.last_invalid = Some((number, reason));
            }
        }
        self.frontier.append(leaf_hash(bytes));
        self.roots.push(Hash32::from_bytes(self.frontier.root()));
    }
}

/// The holder's record in an attempt that counts: under the roster in force in its place, which the attempt names.
fn own_record(state: &TrustState, holder: &str, attempt: &AttemptEntry) -> Option<OwnLogged> {
    let index = state.roster()?.holder(holder)?.index;
    let record = attempt.records.iter().find(|record| record.index == index)?;
    let query = attempt.query.document_hash().into();
    Some(OwnLogged { query, attempt: attempt.attempt, seq: record.seq, record: record.record })
}
