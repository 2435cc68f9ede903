//! One holder's side of one attempt, without I/O: messages in, messages out.
//!
//! An [`Agent`] is made when the holder has accepted, gets one manifest, and then answers R1 to R5 in order. Its rules:
//! a message is made once, and the same input again gives the same bytes; any other input for a finished round, and any message that a
//! check refuses, ends the attempt; what has ended has wiped its secrets and never answers again; it signs one set of survivors, and gives
//! one share for each member, once, because the state that could do it is used up by doing it.
//!
//! What is not here: whether the manifest is right (the caller checks it before it makes an [`Attempt`]), the ledger, time (deadlines are
//! calls), and how bytes travel.

mod rounds;

use std::sync::Arc;

use commun_domain::encoding::{sha256, tag_of};
use commun_domain::{Document, Hash32, PublicKey};
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::attempt::{Attempt, Identity};
use crate::refused::Refused;
use crate::wire::{KeyList, Message, Proof, ShareList, SurvivorSet};
use rounds::{Consented, Keyed, Masked, Own, Shared};

/// What the caller found when it looked up freezes and revocations just before it handed a message over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing forbids to go on.
    Clear,
    /// Query, permit, roster or a key is frozen or revoked: the attempt ends.
    Frozen,
}

/// What an agent sends.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// One message; wiped when dropped, because that of R5 holds opened shares.
    Message(Zeroizing<Vec<u8>>),
    /// R3: a head, and the masked cells, which travel in chunks.
    Cells {
        /// A [`MaskedHead`](crate::wire::MaskedHead).
        head: Vec<u8>,
        /// Masked cells, outputs in plan order, cells in grid order.
        cells: Arc<Vec<u64>>,
    },
}

impl Reply {
    fn of<M: Message>(message: &M, attempt_members: usize) -> Self {
        Self::Message(Zeroizing::new(crate::wire::write(message, attempt_members)))
    }
}

/// Sizes only: a log of it shows no share.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(bytes) => write!(f, "Message of {} bytes", bytes.len()),
            Self::Cells { cells, .. } => write!(f, "{} masked cells", cells.len()),
        }
    }
}

/// Rounds of an agent, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Round {
    /// R1: keys.
    Keys,
    /// R2: shares.
    Shares,
    /// R3: masked cells.
    Cells,
    /// R4: signature on the survivors.
    Consent,
    /// R5: opened shares.
    Unmask,
}

struct Finished {
    round: Round,
    /// SHA-256 of the message that started the round; none for R1, which the slot starts.
    input: Option<Hash32>,
    reply: Reply,
}

enum State {
    Accepted,
    Bound(Attempt),
    Keyed(Box<Keyed>),
    Shared(Box<Shared>),
    Masked(Box<Masked>),
    Consented(Box<Consented>),
    Done,
    Ended(Refused),
}

/// One holder in one attempt.
pub struct Agent {
    identity: Identity,
    own: Own,
    state: State,
    finished: Vec<Finished>,
    sent_cells: bool,
    sent_unmask: bool,
    every_share_is_needed: bool,
    /// Whose box or share ended the attempt.
    complaint: Option<u32>,
    /// H(transcript), from R5 on, also when the attempt ends afterwards.
    transcript: Option<Hash32>,
}

impl Agent {
    /// After the holder's signed acceptance of query and attempt. `index`, `key`: as the roster lists it.
    pub fn accepted(identity: Identity, index: u32, key: SigningKey) -> Self {
        Self {
            identity,
            own: Own::new(index, key),
            state: State::Accepted,
            finished: Vec::new(),
            sent_cells: false,
            sent_unmask: false,
            every_share_is_needed: false,
            complaint: None,
            transcript: None,
        }
    }

    /// R0: binds the attempt to a manifest that the caller has checked. A second one ends the attempt, even if it is equal.
    pub fn manifest(&mut self, attempt: Attempt) -> Result<(), Refused> {
        let bound = match std::mem::replace(&mut self.state, State::Ended(Refused::Fault)) {
            State::Accepted => self.bind(attempt),
            State::Ended(reason) => {
                self.state = State::Ended(reason);
                return Err(Refused::Ended);
            }
            _ => Err(Refused::SecondManifest),
        };
        bound.map(|attempt| self.state = State::Bound(attempt)).inspect_err(|&refused| self.end(refused))
    }

    fn bind(&self, attempt: Attempt) -> Result<Attempt, Refused> {
        if attempt.identity() != self.identity {
            return Err(Refused::OtherAttempt);
        }
        let listed = attempt.key(self.own.index).is_some_and(|key| *key == self.own.key.verifying_key());
        if listed { Ok(attempt) } else { Err(Refused::NotAMember) }
    }

    /// R1, at the slot: takes the noisy cells, makes fresh secrets, and gives KEYS. Before the slot it is refused, and nothing changes.
    ///
    /// `cells`: all outputs in plan order, cells in grid order, with this holder's noise in them. The agent wipes its copy; the caller wipes its own.
    /// `standing`: as for [`Self::receive`].
    pub fn keys(&mut self, cells: &[i64], now_ms: u64, standing: Standing) -> Result<Reply, Refused> {
        self.stand(standing)?;
        let attempt = match &self.state {
            State::Bound(attempt) if now_ms < attempt.slot_ms() => return Err(Refused::BeforeSlot),
            State::Bound(attempt) => attempt.clone(),
            _ => return Err(Refused::OutOfOrder),
        };
        let members = attempt.members();
        let made = Keyed::new(attempt, &self.own, cells);
        let (keyed, keys) = made.inspect_err(|&refused| self.end(refused))?;
        self.state = State::Keyed(Box::new(keyed));
        Ok(self.remember(Round::Keys, None, Reply::of(&keys, members)))
    }

    /// R2 to R5: a message of the coordinator, and the answer to it. Any refusal ends the attempt.
    ///
    /// `standing` is looked up by the caller for each call, also for a message that came before: nothing leaves after a freeze.
    pub fn receive(&mut self, message: &[u8], standing: Standing) -> Result<Reply, Refused> {
        self.stand(standing)?;
        self.answer(message).inspect_err(|&refused| self.end(refused))
    }

    /// Goes on only if the attempt has not ended; a freeze ends it.
    fn stand(&mut self, standing: Standing) -> Result<(), Refused> {
        match (&self.state, standing) {
            (State::Ended(_), _) => Err(Refused::Ended),
            (_, Standing::Clear) => Ok(()),
            (_, Standing::Frozen) => {
                self.end(Refused::Frozen);
                Err(Refused::Frozen)
            }
        }
    }

    fn answer(&mut self, message: &[u8]) -> Result<Reply, Refused> {
        let round = match tag_of(message) {
            Some(KeyList::TAG) => Round::Shares,
            Some(ShareList::TAG) => Round::Cells,
            Some(SurvivorSet::TAG) => Round::Consent,
            Some(Proof::TAG) => Round::Unmask,
            _ => return Err(Refused::Malformed),
        };
        let input = sha256(message);
        if let Some(finished) = self.finished.iter().find(|finished| finished.round == round) {
            return if finished.input == Some(input) { Ok(finished.reply.clone()) } else { Err(Refused::OtherInput) };
        }
        let (state, reply) = self.advance(round, message)?;
        self.state = state;
        self.sent_cells |= round == Round::Cells;
        self.sent_unmask |= round == Round::Unmask;
        Ok(self.remember(round, Some(input), reply))
    }

    fn advance(&mut self, round: Round, message: &[u8]) -> Result<(State, Reply), Refused> {
        // Taken out: what fails on the way is dropped, and dropping wipes it.
        match (std::mem::replace(&mut self.state, State::Ended(Refused::Fault)), round) {
            (State::Keyed(keyed), Round::Shares) => {
                let (list, members) = (keyed.read::<KeyList>(message)?, keyed.members());
                let (next, shares) = keyed.shares(&self.own, &list)?;
                self.every_share_is_needed = next.every_share_is_needed();
                Ok((State::Shared(Box::new(next)), Reply::of(&shares, members)))
            }
            (State::Shared(shared), Round::Cells) => {
                let list = shared.read::<ShareList>(message)?;
                let pairs = shared.opened(&self.own, &list).map_err(|(refused, dealer)| {
                    self.complaint = dealer;
                    refused
                })?;
                let (masked, head, cells) = shared.mask(&self.own, &list, pairs)?;
                Ok((State::Masked(Box::new(masked)), Reply::Cells { head: head.to_bytes(), cells: Arc::new(cells) }))
            }
            (State::Masked(masked), Round::Consent) => {
                let (set, members) = (masked.read::<SurvivorSet>(message)?, masked.members());
                let (consented, consent) = masked.consent(&self.own, &set)?;
                Ok((State::Consented(Box::new(consented)), Reply::of(&consent, members)))
            }
            (State::Consented(consented), Round::Unmask) => {
                let (proof, members) = (consented.read::<Proof>(message)?, consented.members());
                let (transcript, unmask) = consented.unmask(&self.own, &proof)?;
                self.transcript = Some(transcript);
                Ok((State::Done, Reply::of(&unmask, members)))
            }
            _ => Err(Refused::OutOfOrder),
        }
    }

    fn remember(&mut self, round: Round, input: Option<Hash32>, reply: Reply) -> Reply {
        self.finished.push(Finished { round, input, reply: reply.clone() });
        reply
    }

    fn end(&mut self, reason: Refused) {
        self.state = State::Ended(reason);
        self.finished.clear();
    }

    /// The newest answer, again: for a new connection. None before R1. `standing`: as for [`Self::receive`].
    pub fn newest(&mut self, standing: Standing) -> Result<Option<&Reply>, Refused> {
        self.stand(standing)?;
        Ok(self.finished.last().map(|finished| &finished.reply))
    }

    /// A round's deadline passed, or the link's session is over: the attempt ends. One that is done stays done.
    pub fn deadline_passed(&mut self) {
        if !matches!(self.state, State::Done | State::Ended(_)) {
            self.end(Refused::Late);
        }
    }

    /// Whether the charge may be taken back: no cells were sent, or every member's share is needed and this one's was not sent. The rest of
    /// the rule (this process reserved, it was on time at its slot) is the ledger's. Once it was taken back it may not be again.
    pub fn refundable(&self) -> bool {
        let hidden = !self.sent_cells || (self.every_share_is_needed && !self.sent_unmask);
        hidden && self.ended() != Some(Refused::Refunded)
    }

    /// Ends the attempt so that a refund may be written; afterwards no message of it is sent. False, and nothing changes, if it may not: true
    /// at most once.
    pub fn refund(&mut self) -> bool {
        let allowed = self.refundable();
        if allowed {
            self.end(Refused::Refunded);
        }
        allowed
    }

    /// Why the attempt has ended, if it has.
    pub fn ended(&self) -> Option<Refused> {
        if let State::Ended(reason) = self.state { Some(reason) } else { None }
    }

    /// Whose box did not open, or held no share, if that is why the attempt has ended: to be told to the coordinator and the log, or this
    /// holder looks like the one that dropped out. Boxes pass through the coordinator, so it says "the dealer or the coordinator".
    pub const fn complaint(&self) -> Option<u32> {
        self.complaint
    }

    /// H(transcript), once this agent has given its shares: to be compared with the published one. Whatever comes later leaves it.
    pub const fn transcript(&self) -> Option<Hash32> {
        self.transcript
    }

    /// This holder's public key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.own.key.verifying_key().to_bytes())
    }
}

/// Reads a message of at most its largest size for the attempt.
fn read<M: Message>(attempt: &Attempt, message: &[u8]) -> Result<M, Refused> {
    crate::wire::read(message, attempt.members())
}

#[cfg(test)]
pub(crate) mod testing;
