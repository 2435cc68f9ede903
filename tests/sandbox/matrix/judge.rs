//! What a federation that was killed here and there owes: judged from the bytes that passed between agents and coordinator, and from the stores.
//!
//! The bytes say what could have become known; the holders' own ledgers must hold that and more. At most one unmasking of an attempt means on the wire: the
//! coordinator shows one set of survivors, each member consents to one and opens its shares once, and all of them mean the same set. Whatever died and
//! came back in between, every message of every process that served the holder is among them.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::attempt::Manifest;
use commun_domain::log::LogEntry;
use commun_domain::{Document as _, Hash32, QueryId};
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use commun_proto::v1::agent_message::Message as FromAgent;
use commun_proto::v1::coordinator_message::Message as ToAgent;
use commun_secagg::wire::{Consent, KeyList, SurvivorSet, Unmask};
use commun_store::agent::Decision;

use crate::harness::Federation;
use crate::harness::relay::Passed;

/// One attempt of one query.
pub(crate) type Attempt = (QueryId, u8);

/// What passed of one attempt.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// T.
    threshold: usize,
    /// |U1|.
    members: usize,
    /// Holders whose masked cells left.
    cells: BTreeSet<String>,
    /// Sets of survivors that were shown, consented to, or opened for.
    survivors: BTreeSet<Hash32>,
    /// Messages with shares, by holder. A resend is the same bytes.
    opened: BTreeMap<String, BTreeSet<Hash32>>,
}

impl Seen {
    /// Whether the sum could be unmasked from what passed.
    pub(crate) fn can_be_read(&self) -> bool {
        self.threshold > 0 && self.opened.len() >= self.threshold
    }

    /// Holders whose charge must stand: who opened its shares, and who sent cells that could be unmasked, then or, with fewer shares than all, without it.
    fn owe(&self) -> BTreeSet<&String> {
        let cells = self.cells.iter().filter(|_| self.can_be_read() || self.members > self.threshold);
        self.opened.keys().chain(cells).collect()
    }

    #[track_caller]
    fn assert_one_unmasking(&self, what: &str) {
        assert!(self.survivors.len() <= 1, "{what}: several sets of survivors: {self:?}");
        assert!(self.opened.values().all(|messages| messages.len() == 1), "{what}: somebody opened other shares a second time: {self:?}");
    }
}

/// What passed, by attempt.
pub(crate) fn seen(passed: &[(String, Passed)]) -> BTreeMap<Attempt, Seen> {
    let mut all: BTreeMap<Attempt, Seen> = BTreeMap::new();
    let key = |query: &[u8], attempt: u32| (QueryId::from_bytes(query.try_into().unwrap()), u8::try_from(attempt).unwrap());
    for (holder, passed) in passed {
        match passed {
            Passed::Cells(query, attempt) => {
                all.entry((*query, *attempt)).or_default().cells.insert(holder.clone());
            }
            Passed::ToAgent(ToAgent::Manifest(message)) => {
                let manifest = Manifest::from_bytes(&message.manifest).unwrap();
                all.entry((manifest.query, manifest.attempt)).or_default().threshold = usize::try_from(manifest.threshold).unwrap();
            }
            Passed::ToAgent(ToAgent::Round(round)) => {
                let seen = all.entry(key(&round.query_id, round.attempt)).or_default();
                if let Ok(keys) = KeyList::from_bytes(&round.message) {
                    seen.members = keys.entries.len();
                } else if let Ok(set) = SurvivorSet::from_bytes(&round.message) {
                    seen.survivors.insert(set.hash());
                }
            }
            Passed::ToCoordinator(FromAgent::Round(round)) => {
                let seen = all.entry(key(&round.query_id, round.attempt)).or_default();
                if let Ok(consent) = Consent::from_bytes(&round.message) {
                    seen.survivors.insert(consent.survivors);
                } else if let Ok(unmask) = Unmask::from_bytes(&round.message) {
                    seen.survivors.insert(unmask.survivors);
                    seen.opened.entry(holder.clone()).or_default().insert(unmask.hash());
                }
            }
            Passed::ToAgent(_) | Passed::ToCoordinator(_) => {}
        }
    }
    all
}

/// The attempts that a ledger charges a holder for.
fn charged(records: &[LedgerRecord], holder: &str) -> BTreeSet<Attempt> {
    let mut charged = BTreeSet::new();
    for record in records.iter().filter(|record| record.holder == holder) {
        let attempt = (record.query_id, record.attempt);
        match record.kind {
            RecordKind::Reserve => assert!(charged.insert(attempt), "{holder} reserved twice for {attempt:?}"),
            RecordKind::Refund => assert!(charged.remove(&attempt), "{holder} took back what it had not reserved: {attempt:?}"),
            RecordKind::Reset => panic!("nobody resets a ledger here"),
        }
    }
    charged
}

/// Asserts all of it; every daemon has stopped. `label` says by which kill a query was met.
pub(crate) fn assert_sound(federation: &Federation, seen: &BTreeMap<Attempt, Seen>, label: impl Fn(&QueryId) -> String) {
    let names: Vec<String> = (0..federation.holders()).map(Federation::holder_name).collect();
    let own = |holder: usize| charged(&federation.agent_store(holder).ledger_load().unwrap(), &names[holder]);
    let own: BTreeMap<&String, BTreeSet<Attempt>> = names.iter().enumerate().map(|(holder, name)| (name, own(holder))).collect();
    let records = federation.coordinator_store().ledger_load().unwrap();
    let theirs: BTreeMap<&String, BTreeSet<Attempt>> = names.iter().map(|name| (name, charged(&records, name))).collect();
    let assert_charged = |holder: &String, attempt: &Attempt, why: &str| {
        let label = label(&attempt.0);
        assert!(own[holder].contains(attempt), "{label}: {holder} {why}, and its own ledger is not charged: {:?}", seen.get(attempt));
        assert!(theirs[holder].contains(attempt), "{label}: {holder} {why}, and the coordinator's is not charged: {:?}", seen.get(attempt));
    };
    for (attempt, seen) in seen {
        seen.assert_one_unmasking(&label(&attempt.0));
        for holder in seen.owe() {
            assert_charged(holder, attempt, "sent what can be unmasked");
        }
    }
    let mut released = BTreeSet::new();
    for entry in federation.log() {
        let LogEntry::Release(entry) = entry else { continue };
        let (attempt, label) = ((entry.query, entry.attempt), label(&entry.query));
        assert!(released.insert(entry.query), "{label}: released twice");
        assert!(seen.get(&attempt).is_some_and(Seen::can_be_read), "{label}: released without shares of T holders");
        for index in &entry.participants {
            // The roster of the sandbox counts from 1, in the order of the names.
            assert_charged(&names[usize::try_from(*index).unwrap() - 1], &attempt, "is in a release");
        }
    }
    assert!(federation.unfinished().is_empty());
    for (holder, name) in names.iter().enumerate() {
        let mut opened = BTreeSet::new();
        for line in federation.journal(holder).iter().filter(|line| line.decision == Decision::Answered) {
            assert!(opened.insert((line.query, line.attempt)), "{}: {name} journals two answers", label(&line.query));
        }
    }
    federation.assert_nothing_undercharged(names.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(sets: &[u8], shares: &[(&str, u8)]) -> Seen {
        let mut seen = Seen { threshold: 2, members: 2, ..Seen::default() };
        seen.survivors.extend(sets.iter().map(|set| Hash32::from_bytes([*set; 32])));
        for (holder, message) in shares {
            seen.cells.insert((*holder).to_owned());
            seen.opened.entry((*holder).to_owned()).or_default().insert(Hash32::from_bytes([*message; 32]));
        }
        seen
    }

    #[test]
    fn one_set_of_survivors_that_everyone_opens_once_is_one_unmasking() {
        let seen = opened(&[1], &[("a", 1), ("b", 2)]);
        seen.assert_one_unmasking("here");
        assert!(seen.can_be_read());
        assert_eq!(seen.owe().len(), 2);
    }

    #[test]
    #[should_panic(expected = "several sets of survivors")]
    fn a_second_set_of_survivors_is_noticed() {
        opened(&[1, 2], &[("a", 1)]).assert_one_unmasking("here");
    }

    #[test]
    #[should_panic(expected = "a second time")]
    fn other_shares_of_the_same_holder_are_noticed() {
        opened(&[1], &[("a", 1), ("a", 2)]).assert_one_unmasking("here");
    }

    #[test]
    fn cells_that_the_others_could_unmask_are_owed_and_cells_that_need_every_share_are_not_yet() {
        let mut seen = Seen { threshold: 2, members: 3, ..Seen::default() };
        seen.cells.insert("a".to_owned());
        assert_eq!(seen.owe().len(), 1);
        seen.members = 2;
        assert!(seen.owe().is_empty());
    }
}
