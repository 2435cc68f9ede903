//! The coordinator's side of one attempt, without I/O: it relays, adds up, and learns the sum.
//!
//! Members' messages go in with [`Coordinator::receive`] and [`Coordinator::receive_cells`]; the caller closes a round at its deadline, or
//! when nobody is awaited any more ([`Coordinator::close_round`]), and then sends each member its [`Coordinator::message_for`]. A message that
//! a check refuses changes nothing and costs its sender only its own place; fewer than T members at a round's close end the attempt.
//!
//! Cells are added as they come and not kept: the caller keeps them for the supervisor, those of survivors only. Cells that come after R3
//! has closed must be thrown away: with the seed that unmasks their sender's pair masks they would wait for a leaked b.

mod ended;
mod failed;
mod lists;
mod reconstruct;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use commun_domain::encoding::{sha256, tag_of};
use commun_domain::{Document, Hash32};

use crate::agent::Round;
use crate::attempt::Attempt;
use crate::cells::cells_hash;
use crate::checks;
use crate::context::context;
use crate::crypto::wide::Limbs;
use crate::refused::Refused;
use crate::sum::add;
use crate::wire::{
    BOX_BYTES, Consent, Context, KeyEntry, KeyList, Keys, MaskedHead, Message, Proof, Shares, SignedBy, Survivor, SurvivorSet, Unmask,
};

pub use ended::Outcome;
pub use failed::{Dealer, Failed, WrongShare};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// Taken.
    Taken,
    /// The same bytes again: nothing changed.
    Again,
}

/// U1.
struct Listed {
    list: KeyList,
    hash: Hash32,
    bytes: Arc<[u8]>,
}

/// U2.
struct Sent {
    listed: Listed,
    context: Context,
    senders: Vec<u32>,
}

/// U3.
struct Summed {
    sent: Sent,
    heads: BTreeMap<u32, MaskedHead>,
    sum: Vec<u64>,
    set: SurvivorSet,
    hash: Hash32,
    bytes: Arc<[u8]>,
}

/// T signatures on U3.
struct Proven {
    summed: Summed,
    signers: Vec<u32>,
    proof: Proof,
    bytes: Arc<[u8]>,
}

enum State {
    Keys { entries: BTreeMap<u32, KeyEntry>, seen: BTreeSet<[u8; 32]> },
    Shares(Listed, BTreeMap<u32, Vec<[u8; BOX_BYTES]>>),
    Cells { sent: Sent, lists: BTreeMap<u32, Arc<[u8]>>, heads: BTreeMap<u32, MaskedHead>, sum: Vec<u64> },
    Consent(Summed, BTreeMap<u32, [u8; 64]>),
    Unmask(Proven, BTreeMap<u32, Vec<Limbs>>),
    Ended(Refused),
}

/// The coordinator of one attempt.
pub struct Coordinator {
    attempt: Attempt,
    state: State,
    /// SHA-256 of what each member sent in this round.
    taken: BTreeMap<u32, Hash32>,
}

impl Coordinator {
    /// Waits for R1. `attempt`: the manifest's, as every agent makes it.
    pub const fn new(attempt: Attempt) -> Self {
        Self { attempt, state: State::Keys { entries: BTreeMap::new(), seen: BTreeSet::new() }, taken: BTreeMap::new() }
    }

    /// The round that is awaited; `None` when the attempt has ended.
    pub const fn round(&self) -> Option<Round> {
        match self.state {
            State::Keys { .. } => Some(Round::Keys),
            State::Shares(..) => Some(Round::Shares),
            State::Cells { .. } => Some(Round::Cells),
            State::Consent(..) => Some(Round::Consent),
            State::Unmask(..) => Some(Round::Unmask),
            State::Ended(_) => None,
        }
    }

    /// Who may send in this round, ascending.
    fn expected(&self) -> Vec<u32> {
        match &self.state {
            State::Keys { .. } => self.attempt.indices().collect(),
            State::Shares(listed, _) => listed.list.entries.iter().map(|entry| entry.index).collect(),
            State::Cells { sent, .. } => sent.senders.clone(),
            State::Consent(summed, _) => summed.set.indices(),
            State::Unmask(proven, _) => proven.signers.clone(),
            State::Ended(_) => Vec::new(),
        }
    }

    /// Whether this member may send in this round.
    fn expects(&self, index: u32) -> bool {
        match &self.state {
            State::Keys { .. } => self.attempt.key(index).is_some(),
            State::Shares(listed, _) => listed.list.entry(index).is_some(),
            State::Cells { sent, .. } => sent.senders.binary_search(&index).is_ok(),
            State::Consent(summed, _) => summed.heads.contains_key(&index),
            State::Unmask(proven, _) => proven.signers.binary_search(&index).is_ok(),
            State::Ended(_) => false,
        }
    }

    /// Members that have not sent in this round, ascending. When there are none the round may be closed before its deadline.
    pub fn awaited(&self) -> Vec<u32> {
        self.expected().into_iter().filter(|index| !self.taken.contains_key(index)).collect()
    }

    /// Whether one of those for whom `counts` holds has not sent in this round. For a caller that asks after every message: it looks no further than
    /// the first.
    pub fn awaits(&self, counts: impl Fn(u32) -> bool) -> bool {
        self.expected().into_iter().any(|index| !self.taken.contains_key(&index) && counts(index))
    }

    /// R1, R2, R4 or R5: a message that came over the link of `from`. A refusal changes nothing.
    pub fn receive(&mut self, from: u32, message: &[u8]) -> Result<Receipt, Refused> {
        let round = match tag_of(message) {
            Some(Keys::TAG) => Round::Keys,
            Some(Shares::TAG) => Round::Shares,
            Some(Consent::TAG) => Round::Consent,
            Some(Unmask::TAG) => Round::Unmask,
            _ => return Err(Refused::Malformed),
        };
        let hash = sha256(message);
        if self.came_before(round, from, hash)? {
            return Ok(Receipt::Again);
        }
        self.take(from, message)?;
        self.taken.insert(from, hash);
        Ok(Receipt::Taken)
    }

    /// R3: head and cells that came over the link of `from`. They are added to the sum; the caller keeps them if they are taken.
    pub fn receive_cells(&mut self, from: u32, head: &[u8], cells: &[u64]) -> Result<Receipt, Refused> {
        let hash = sha256(head);
        if self.came_before(Round::Cells, from, hash)? {
            return Ok(Receipt::Again);
        }
        let State::Cells { sent, heads, sum, .. } = &mut self.state else { return Err(Refused::OutOfOrder) };
        let head: MaskedHead = crate::wire::read(head, self.attempt.members())?;
        checks::masked_head(&self.attempt, &sent.context, &head, from)?;
        if cells.len() != sum.len() {
            return Err(Refused::CellCount);
        }
        if cells_hash(cells) != head.cells {
            return Err(Refused::CellsHash);
        }
        add(sum, cells);
        heads.insert(from, head);
        self.taken.insert(from, hash);
        Ok(Receipt::Taken)
    }

    /// Whether the very bytes came in this round; refuses other rounds, strangers and other bytes.
    fn came_before(&self, round: Round, from: u32, hash: Hash32) -> Result<bool, Refused> {
        let awaited = self.round().ok_or(Refused::Ended)?;
        if round != awaited {
            return Err(if round < awaited { Refused::Late } else { Refused::OutOfOrder });
        }
        match self.taken.get(&from) {
            Some(taken) if *taken == hash => Ok(true),
            Some(_) => Err(Refused::OtherInput),
            None if self.expects(from) => Ok(false),
            None => Err(Refused::Stranger),
        }
    }

    fn take(&mut self, from: u32, message: &[u8]) -> Result<(), Refused> {
        fn read<M: Message>(attempt: &Attempt, message: &[u8]) -> Result<M, Refused> {
            crate::wire::read(message, attempt.members())
        }
        let attempt = &self.attempt;
        match &mut self.state {
            State::Keys { entries, seen } => {
                let Keys { manifest, entry } = read(attempt, message)?;
                if manifest != attempt.manifest() {
                    return Err(Refused::OtherContext);
                }
                if entry.index != from {
                    return Err(Refused::WrongSender);
                }
                checks::key_entry(attempt, &entry)?;
                checks::keys_differ([&entry].into_iter())?;
                if seen.contains(&entry.seal_key) || seen.contains(&entry.mask_key) {
                    return Err(Refused::CopiedKey);
                }
                seen.extend([entry.seal_key, entry.mask_key]);
                entries.insert(from, entry);
            }
            State::Shares(listed, boxes) => {
                let shares: Shares = read(attempt, message)?;
                checks::shares(&listed.list, listed.hash, &shares, from)?;
                boxes.insert(from, shares.boxes);
            }
            State::Consent(summed, consents) => {
                let consent: Consent = read(attempt, message)?;
                checks::consent(attempt, &summed.sent.context, summed.hash, &consent, from)?;
                consents.insert(from, consent.signature);
            }
            State::Unmask(proven, shares) => {
                let (unmask, summed): (Unmask, _) = (read(attempt, message)?, &proven.summed);
                let opened = checks::unmask(&summed.sent.context, summed.hash, &unmask, from, summed.sent.senders.len())?;
                shares.insert(from, opened);
            }
            State::Cells { .. } | State::Ended(_) => return Err(Refused::OutOfOrder),
        }
        Ok(())
    }

    /// The round's deadline has passed, or nobody is awaited: goes on to the next round, whose messages [`Self::message_for`] gives. With
    /// fewer than T members the attempt ends, and those that are missing are named. R5 is closed by [`Self::finish`]; here it is refused, and
    /// nothing changes.
    pub fn close_round(&mut self) -> Result<Round, Failed> {
        if matches!(self.state, State::Unmask(..)) {
            return Err(Refused::OutOfOrder.into());
        }
        let missing = self.awaited();
        let state = std::mem::replace(&mut self.state, State::Ended(Refused::Fault));
        match self.closed(state) {
            Ok(next) => {
                self.state = next;
                self.taken.clear();
                self.round().ok_or_else(|| Refused::Ended.into())
            }
            Err(reason) => {
                self.state = State::Ended(reason);
                Err(Failed { missing, ..Failed::from(reason) })
            }
        }
    }

    fn closed(&self, state: State) -> Result<State, Refused> {
        let enough = |count: usize| if count < self.attempt.threshold() { Err(Refused::BelowThreshold) } else { Ok(()) };
        match state {
            State::Keys { entries, .. } => {
                enough(entries.len())?;
                let list = KeyList { manifest: self.attempt.manifest(), entries: entries.into_values().collect() };
                let bytes = self.written(&list);
                Ok(State::Shares(Listed { hash: sha256(&bytes), list, bytes }, BTreeMap::new()))
            }
            State::Shares(listed, boxes) => {
                enough(boxes.len())?;
                let senders: Vec<u32> = boxes.keys().copied().collect();
                let sent = Sent { context: context(&listed.list, listed.hash, &senders), listed, senders };
                let lists = lists::share_lists(&sent, &boxes, self.attempt.members())?;
                Ok(State::Cells { sent, lists, heads: BTreeMap::new(), sum: vec![0; self.attempt.cells()] })
            }
            State::Cells { sent, heads, sum, .. } => {
                enough(heads.len())?;
                let survivors = heads.values().map(|head| Survivor { index: head.index, cells: head.cells }).collect();
                let set = SurvivorSet { context: sent.context, survivors };
                let bytes = self.written(&set);
                Ok(State::Consent(Summed { sent, heads, sum, set, hash: sha256(&bytes), bytes }, BTreeMap::new()))
            }
            State::Consent(summed, consents) => {
                enough(consents.len())?;
                let signatures = consents.iter().take(self.attempt.threshold());
                let signatures = signatures.map(|(&index, &signature)| SignedBy { index, signature }).collect();
                let proof = Proof { context: summed.sent.context, survivors: summed.hash, signatures };
                let bytes = self.written(&proof);
                Ok(State::Unmask(Proven { summed, signers: consents.into_keys().collect(), proof, bytes }, BTreeMap::new()))
            }
            State::Unmask(..) => Err(Refused::OutOfOrder),
            State::Ended(reason) => Err(reason),
        }
    }

    /// What a member is to be sent at the start of this round; the same bytes each time. `None` for who has left the attempt, and in R1, which
    /// the manifest and the slot start.
    pub fn message_for(&self, to: u32) -> Option<Arc<[u8]>> {
        if !self.expects(to) {
            return None;
        }
        match &self.state {
            State::Keys { .. } | State::Ended(_) => None,
            State::Shares(listed, _) => Some(Arc::clone(&listed.bytes)),
            State::Cells { lists, .. } => lists.get(&to).map(Arc::clone),
            State::Consent(summed, _) => Some(Arc::clone(&summed.bytes)),
            State::Unmask(proven, _) => Some(Arc::clone(&proven.bytes)),
        }
    }

    fn written<M: Message>(&self, message: &M) -> Arc<[u8]> {
        crate::wire::write(message, self.attempt.members()).into()
    }
}
