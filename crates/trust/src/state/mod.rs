//! `TrustState`: the fold of the log's entries into what is believed.
//!
//! Whoever holds the pin of trust bundle 1 and the same entries holds the same state: the fold looks at no clock and at nothing outside.
//! An invalid entry changes nothing but the count of entries, and says why; it stays in the log, where everyone sees it.
//!
//! An entry whose bytes cannot be read here (of a kind that a later version writes, or broken) is skipped: it is a leaf of the tree like any
//! other, it is counted, and it changes no trust. Why not a stop: then whoever writes the log could silence every older agent with one
//! entry. The price: a later version's kind of entry that takes trust away must not be used before every agent can read it.
//!
//! A document stays accepted when a later bundle changes the officers: it was valid in its place in the log. Withdrawing one is an entry of
//! its own kind (later work), never a silent effect. Whether a permit or roster is in force at a moment is asked in `admit` and `manifest`.

mod error;
mod history;
mod rules;

use std::collections::BTreeMap;

use commun_domain::bundle::{Roster, TrustBundle};
use commun_domain::contract::DataContract;
use commun_domain::log::{LogEntry, NamesEntry, RefundEntry};
use commun_domain::permit::Permit;
use commun_domain::{Hash32, QueryId};

pub use error::TrustError;
pub use history::{AttemptState, MAX_REASON_BYTES, Outcome};
pub use rules::MIN_OFFICER_THRESHOLD;

/// What is pinned out of band, in each party's own configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// SHA-256 of trust bundle 1.
    pub bundle: Hash32,
}

/// What follows from the pins and the entries so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustState {
    pins: Pins,
    entries: u64,
    skipped: u64,
    bundle: Option<(TrustBundle, Hash32)>,
    roster: Option<(Roster, Hash32)>,
    contracts: BTreeMap<Hash32, DataContract>,
    latest_contracts: BTreeMap<String, Hash32>,
    permits: BTreeMap<Hash32, Permit>,
    history: history::History,
}

impl TrustState {
    /// Nothing is believed yet but the pins.
    pub fn new(pins: Pins) -> Self {
        Self {
            pins,
            entries: 0,
            skipped: 0,
            bundle: None,
            roster: None,
            contracts: BTreeMap::new(),
            latest_contracts: BTreeMap::new(),
            permits: BTreeMap::new(),
            history: history::History::default(),
        }
    }

    /// Takes the next entry, whose number counts from 0.
    ///
    /// # Errors
    /// Why the entry counts for nothing. It has been counted all the same, and the next one may follow, except after
    /// [`TrustError::Order`], which is the caller's own fault.
    pub fn apply(&mut self, number: u64, entry: &LogEntry) -> Result<(), TrustError> {
        if number != self.entries {
            return Err(TrustError::Order { expected: self.entries, found: number });
        }
        self.entries = self.entries.saturating_add(1);
        match entry {
            LogEntry::Bundle(signed) => {
                let bundle = match &self.bundle {
                    None => rules::first_bundle(signed, self.pins.bundle)?,
                    Some((current, hash)) => rules::next_bundle(signed, current, *hash)?,
                };
                self.bundle = Some((bundle, signed.document_hash()));
            }
            LogEntry::Roster(signed) => {
                let roster = rules::roster(signed, self.trusted()?, self.roster())?;
                self.roster = Some((roster, signed.document_hash()));
            }
            LogEntry::Contract(signed) => {
                // A contract's own bytes name it; what the latest of that name is must be known before its rules are.
                let name = rules::decode::<DataContract>("data contract", signed)?.name;
                let contract = rules::contract(signed, self.trusted()?, self.latest_contract(&name), self.contracts.values())?;
                self.latest_contracts.insert(name, signed.document_hash());
                self.contracts.insert(signed.document_hash(), contract);
            }
            LogEntry::Permit(signed) => {
                let permit = rules::permit(signed, self.trusted()?, |hash| self.contracts.get(hash))?;
                if self.permits.contains_key(&signed.document_hash()) {
                    return Err(TrustError::Known("permit"));
                }
                self.permits.insert(signed.document_hash(), permit);
            }
            LogEntry::Attempt(entry) => {
                let (roster, hash) = self.roster.as_ref().ok_or(TrustError::NoRoster)?;
                self.history.attempt(number, entry, (roster, *hash), |hash| self.permits.get(hash))?;
            }
            LogEntry::Failure(entry) => self.history.failure(entry)?,
            LogEntry::Refund(entry) => {
                let (roster, _) = self.roster.as_ref().ok_or(TrustError::NoRoster)?;
                self.history.refund(entry, roster)?;
            }
            LogEntry::Release(entry) => self.history.release(entry)?,
            LogEntry::Names(entry) => self.history.names(entry)?,
        }
        Ok(())
    }

    /// Counts the next entry without a meaning, because its bytes cannot be read here. It changes no trust.
    ///
    /// # Errors
    /// [`TrustError::Order`], which is the caller's own fault; nothing was counted.
    pub fn skip(&mut self, number: u64) -> Result<(), TrustError> {
        if number != self.entries {
            return Err(TrustError::Order { expected: self.entries, found: number });
        }
        self.entries = self.entries.saturating_add(1);
        self.skipped = self.skipped.saturating_add(1);
        Ok(())
    }

    /// Counts every entry before `number` without a meaning, because the caller was not given them: a catalog holds some entries of the
    /// log. What they would have changed is missing, so the state is one for reading, not one for answering.
    ///
    /// # Errors
    /// [`TrustError::Order`] when `number` was counted already; nothing was counted.
    pub fn skip_to(&mut self, number: u64) -> Result<(), TrustError> {
        let missing = number.checked_sub(self.entries).ok_or(TrustError::Order { expected: self.entries, found: number })?;
        self.entries = number;
        self.skipped = self.skipped.saturating_add(missing);
        Ok(())
    }

    fn trusted(&self) -> Result<&TrustBundle, TrustError> {
        self.bundle().ok_or(TrustError::NoBundle)
    }

    /// How many entries were counted: the number of the next one.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many of them were skipped: leaves of the tree whose meaning is not known here.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The trust bundle in force.
    pub fn bundle(&self) -> Option<&TrustBundle> {
        self.bundle.as_ref().map(|(bundle, _)| bundle)
    }

    /// Hash of the trust bundle in force.
    pub fn bundle_hash(&self) -> Option<Hash32> {
        self.bundle.as_ref().map(|(_, hash)| *hash)
    }

    /// The latest roster.
    pub fn roster(&self) -> Option<&Roster> {
        self.roster.as_ref().map(|(roster, _)| roster)
    }

    /// Hash of the latest roster.
    pub fn roster_hash(&self) -> Option<Hash32> {
        self.roster.as_ref().map(|(_, hash)| *hash)
    }

    /// The data contract of this hash.
    pub fn contract(&self, hash: &Hash32) -> Option<&DataContract> {
        self.contracts.get(hash)
    }

    /// All data contracts, by hash.
    pub fn contracts(&self) -> impl Iterator<Item = (&Hash32, &DataContract)> {
        self.contracts.iter()
    }

    /// The data contract of this name with the highest version.
    pub fn latest_contract(&self, name: &str) -> Option<&DataContract> {
        self.latest_contracts.get(name).and_then(|hash| self.contracts.get(hash))
    }

    /// The permit of this hash, whether or not it is in force now.
    pub fn permit(&self, hash: &Hash32) -> Option<&Permit> {
        self.permits.get(hash)
    }

    /// All permits, by hash.
    pub fn permits(&self) -> impl Iterator<Item = (&Hash32, &Permit)> {
        self.permits.iter()
    }

    /// One attempt of a query.
    pub fn attempt(&self, query: &QueryId, attempt: u8) -> Option<&AttemptState> {
        self.history.attempts.get(&(*query, attempt))
    }

    /// All attempts, by query and number.
    pub fn attempts(&self) -> impl Iterator<Item = (&(QueryId, u8), &AttemptState)> {
        self.history.attempts.iter()
    }

    /// How a query ended; `None` while it has not, or is unknown.
    pub fn outcome(&self, query: &QueryId) -> Option<&Outcome> {
        self.history.outcomes.get(query)
    }

    /// The logged names of a question with an open group key.
    pub fn names(&self, query: &QueryId) -> Option<&NamesEntry> {
        self.history.names.get(query)
    }

    /// The logged refund of one holder in one attempt.
    pub fn refund(&self, query: &QueryId, attempt: u8, index: u32) -> Option<&RefundEntry> {
        self.history.refunds.get(&(*query, attempt, index))
    }
}
