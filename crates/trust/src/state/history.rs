//! Attempts and how queries ended, as the log tells them.
//!
//! An entry is taken only if it contradicts none before it; it is never taken as proof of what a ledger holds. In particular a
//! refund's entry is the coordinator's word: no ledger may go down because of one.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::attempt::MAX_ATTEMPTS;
use commun_domain::bundle::Roster;
use commun_domain::log::{AttemptEntry, FailureEntry, HolderRecord, NamesEntry, RefundEntry, ReleaseEntry};
use commun_domain::permit::Permit;
use commun_domain::query::Query;
use commun_domain::{Hash32, QueryId};

use super::{TrustError, rules};
use crate::sign;

/// Longest text of a logged refusal (message and hint), in bytes: the fold keeps them all in memory.
const MAX_REFUSAL_BYTES: usize = 16 * 1024;

/// Longest reason for which a holder is left out, in bytes.
pub const MAX_REASON_BYTES: usize = 512;

/// One logged attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptState {
    /// Number of its entry in the log.
    pub number: u64,
    /// The entry.
    pub entry: AttemptEntry,
    /// Permit of its query.
    pub permit: Hash32,
}

/// How a query ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Without an answer.
    Failed(FailureEntry),
    /// With a result release.
    Released(ReleaseEntry),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    pub(super) attempts: BTreeMap<(QueryId, u8), AttemptState>,
    pub(super) outcomes: BTreeMap<QueryId, Outcome>,
    pub(super) refunds: BTreeMap<(QueryId, u8, u32), RefundEntry>,
    pub(super) names: BTreeMap<QueryId, NamesEntry>,
}

impl History {
    fn still_open(&self, query: QueryId) -> Result<(), TrustError> {
        if self.outcomes.contains_key(&query) { Err(TrustError::Ended(query)) } else { Ok(()) }
    }

    /// A later attempt of the same question keeps the cohort of the one before or leaves members out with a reason, so that nobody chooses
    /// cohorts and takes sums of them from each other. The numbers over an open group key follow names, which are another question.
    fn follows(&self, id: QueryId, entry: &AttemptEntry) -> Result<(), TrustError> {
        let sorted = entry.left_out.windows(2).all(|pair| pair[0].index < pair[1].index);
        if !sorted || entry.left_out.iter().any(|left| left.reason.is_empty() || left.reason.len() > MAX_REASON_BYTES) {
            return Err(TrustError::Contradiction("who is left out must be sorted by index, each with a short reason"));
        }
        let before = if self.names.contains_key(&id) { None } else { self.attempts.get(&(id, self.last_attempt(id))) };
        match before {
            None if entry.left_out.is_empty() => Ok(()),
            None => Err(TrustError::Contradiction("only an attempt that follows another one leaves holders out")),
            Some(before) => {
                let kept = |index: u32| before.entry.records.iter().any(|record| record.index == index);
                if entry.records.iter().all(|record| kept(record.index)) {
                    return Ok(());
                }
                Err(TrustError::Contradiction("a later attempt has a member that the one before had not"))
            }
        }
    }

    fn last_attempt(&self, query: QueryId) -> u8 {
        self.attempts.range((query, 0)..=(query, u8::MAX)).next_back().map_or(0, |((_, attempt), _)| *attempt)
    }

    pub(super) fn attempt<'a>(
        &mut self,
        number: u64,
        entry: &AttemptEntry,
        (roster, roster_hash): (&Roster, Hash32),
        permit: impl Fn(&Hash32) -> Option<&'a Permit>,
    ) -> Result<(), TrustError> {
        let query: Query = rules::decode("attempt's query", &entry.query)?;
        let id: QueryId = entry.query.document_hash().into();
        self.still_open(id)?;
        if self.attempts.contains_key(&(id, entry.attempt)) {
            return Err(TrustError::Known("attempt"));
        }
        if !(1..=MAX_ATTEMPTS).contains(&entry.attempt) || entry.attempt <= self.last_attempt(id) {
            return Err(TrustError::Contradiction("the attempt's number must be above the query's earlier ones and within the limit"));
        }
        let keys = &permit(&query.permit).ok_or(TrustError::Unknown("attempt's permit"))?.query_keys;
        if entry.query.signatures.len() != 1 || sign::signers(&entry.query, keys)?.len() != 1 {
            return Err(TrustError::Contradiction("the attempt's query is not signed by exactly one key of its permit"));
        }
        if entry.roster != roster_hash {
            return Err(TrustError::Contradiction("the attempt names another roster than the one in force"));
        }
        if !entry.records.windows(2).all(|pair| pair[0].index < pair[1].index) || entry.records.is_empty() {
            return Err(TrustError::Contradiction("the attempt's records must be sorted by index, one a holder, at least one"));
        }
        self.follows(id, entry)?;
        let known: BTreeSet<u32> = roster.holders.iter().map(|holder| holder.index).collect();
        let refunded = |record: &HolderRecord| self.refunds.contains_key(&(id, entry.attempt, record.index));
        if !entry.records.iter().all(|record| known.contains(&record.index)) {
            return Err(TrustError::Contradiction("the attempt has a record of a holder that is not in the roster"));
        }
        if entry.records.iter().any(refunded) {
            return Err(TrustError::Contradiction("the attempt has a record that was refunded before"));
        }
        self.attempts.insert((id, entry.attempt), AttemptState { number, entry: entry.clone(), permit: query.permit });
        Ok(())
    }

    pub(super) fn failure(&mut self, entry: &FailureEntry) -> Result<(), TrustError> {
        self.still_open(entry.query)?;
        if entry.refusal.message.len() + entry.refusal.hint.len() > MAX_REFUSAL_BYTES {
            return Err(TrustError::Contradiction("the failure's text is longer than any refusal"));
        }
        if entry.attempt != self.last_attempt(entry.query) {
            return Err(TrustError::Contradiction("a failure must name the query's last logged attempt, or 0 when none was logged"));
        }
        self.outcomes.insert(entry.query, Outcome::Failed(entry.clone()));
        Ok(())
    }

    pub(super) fn refund(&mut self, entry: &RefundEntry, roster: &Roster) -> Result<(), TrustError> {
        let key = (entry.query, entry.attempt, entry.index);
        if self.refunds.contains_key(&key) {
            return Err(TrustError::Known("refund"));
        }
        if !(1..=MAX_ATTEMPTS).contains(&entry.attempt) {
            return Err(TrustError::Contradiction("the refund names an attempt that cannot be"));
        }
        // An offer that a holder accepted and another refused is refunded although the attempt was never logged.
        let may = match self.attempts.get(&(entry.query, entry.attempt)) {
            Some(attempt) => attempt.entry.records.iter().any(|record| record.index == entry.index && record.seq < entry.seq),
            None => roster.holders.iter().any(|holder| holder.index == entry.index),
        };
        if !may {
            return Err(TrustError::Contradiction("the refund is of a holder without an earlier record in this attempt"));
        }
        let released = |release: &ReleaseEntry| release.attempt == entry.attempt && release.participants.contains(&entry.index);
        if matches!(self.outcomes.get(&entry.query), Some(Outcome::Released(release)) if released(release)) {
            return Err(TrustError::Contradiction("the refund is of a holder whose answer was released"));
        }
        let named = |names: &NamesEntry| names.attempt == entry.attempt && names.participants.contains(&entry.index);
        if self.names.get(&entry.query).is_some_and(named) {
            return Err(TrustError::Contradiction("the refund is of a holder whose names were released"));
        }
        self.refunds.insert(key, entry.clone());
        Ok(())
    }

    pub(super) fn names(&mut self, entry: &NamesEntry) -> Result<(), TrustError> {
        self.still_open(entry.query)?;
        if self.names.contains_key(&entry.query) {
            return Err(TrustError::Known("names"));
        }
        let attempt = self.attempts.get(&(entry.query, entry.attempt)).ok_or(TrustError::Unknown("names' attempt"))?;
        if entry.attempt != self.last_attempt(entry.query) || entry.price != attempt.entry.price {
            return Err(TrustError::Contradiction("the names are of another attempt or price than the query's last one"));
        }
        if !entry.participants.iter().copied().eq(attempt.entry.records.iter().map(|record| record.index)) {
            return Err(TrustError::Contradiction("the names must be of every holder that accepted the attempt"));
        }
        if entry.participants.iter().any(|index| self.refunds.contains_key(&(entry.query, entry.attempt, *index))) {
            return Err(TrustError::Contradiction("the names are of a holder that took its charge back"));
        }
        self.names.insert(entry.query, entry.clone());
        Ok(())
    }

    pub(super) fn release(&mut self, entry: &ReleaseEntry) -> Result<(), TrustError> {
        self.still_open(entry.query)?;
        let attempt = self.attempts.get(&(entry.query, entry.attempt)).ok_or(TrustError::Unknown("release's attempt"))?;
        let accepted: BTreeSet<u32> = attempt.entry.records.iter().map(|record| record.index).collect();
        if entry.attempt != self.last_attempt(entry.query) {
            return Err(TrustError::Contradiction("the release is of an attempt that a later one has replaced"));
        }
        if entry.price != attempt.entry.price {
            return Err(TrustError::Contradiction("the release names another price than its attempt"));
        }
        if entry.participants.is_empty()
            || !entry.participants.windows(2).all(|pair| pair[0] < pair[1])
            || !entry.participants.iter().all(|index| accepted.contains(index))
        {
            return Err(TrustError::Contradiction("the release's participants must be sorted holders that accepted the attempt"));
        }
        if entry.participants.iter().any(|index| self.refunds.contains_key(&(entry.query, entry.attempt, *index))) {
            return Err(TrustError::Contradiction("the release counts a holder that took its charge back"));
        }
        self.outcomes.insert(entry.query, Outcome::Released(entry.clone()));
        Ok(())
    }
}
