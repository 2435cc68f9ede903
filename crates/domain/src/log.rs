//! Entries of the log: everything that the parties must agree on, in one order.
//!
//! The coordinator appends them, pushes them to every agent, and signs checkpoints over them; an agent folds them into what it trusts.

use crate::canonical_struct;
use crate::encoding::{Decode, DecodeError, Document, Encode, Reader};
use crate::error::{Refusal, WireCode};
use crate::ids::{Hash32, QueryId};
use crate::signed::SignedDocument;
use crate::units::{Delta, Rho};

/// Largest entry, in bytes (1 MiB).
pub const MAX_ENTRY_BYTES: usize = 1 << 20;

/// A holder that refused in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderRefusal {
    /// Roster index.
    pub index: u32,
    /// Stable code.
    pub code: WireCode,
}
canonical_struct!(HolderRefusal { index, code });

/// A holder's RESERVE record for an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderRecord {
    /// Roster index.
    pub index: u32,
    /// Number of the record in the holder's ledger.
    pub seq: u64,
    /// Hash of the record.
    pub record: Hash32,
}
canonical_struct!(HolderRecord { index, seq, record });

/// A holder that an attempt leaves out although it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Roster index.
    pub index: u32,
    /// What it did, or failed to do, in the attempt before; never made from data.
    pub reason: String,
}
canonical_struct!(LeftOut { index, reason });

/// Something that one holder did wrong by another one's word, or by what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Whom it is about.
    pub about: u32,
    /// By whose word or share.
    pub by: u32,
}
canonical_struct!(Remark { about, by });

/// What members did in an attempt that is to be remembered: roster indices only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// Signed the survivors and opened no share.
    pub withheld: Vec<u32>,
    /// Wrong shares, about their dealer, by who opened them: the lie of the one and that of the other look alike.
    pub wrong_shares: Vec<Remark>,
    /// Sealed shares that did not open, about their dealer, by who could not open them. They passed through the coordinator.
    pub complaints: Vec<Remark>,
}
canonical_struct!(Conduct { withheld, wrong_shares, complaints });

/// One attempt, before any data are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEntry {
    /// The agency's signed query.
    pub query: SignedDocument,
    /// Attempt, from 1.
    pub attempt: u8,
    /// Hash of the plan as the coordinator compiled it.
    pub plan: Hash32,
    /// Price per partition at one holder.
    pub price: Rho,
    /// Hash of the roster.
    pub roster: Hash32,
    /// Holders that refused.
    pub refusals: Vec<HolderRefusal>,
    /// Holders of the roster that were not connected or did not reply in time.
    pub timeouts: Vec<u32>,
    /// Of a second or third attempt: holders that were not asked again, by index.
    pub left_out: Vec<LeftOut>,
    /// Holders that accepted, sorted by index.
    pub records: Vec<HolderRecord>,
}
canonical_struct!(AttemptEntry { query, attempt, plan, price, roster, refusals, timeouts, left_out, records });

/// A query that ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureEntry {
    /// Query.
    pub query: QueryId,
    /// Attempt, 0 when none was logged.
    pub attempt: u8,
    /// What the caller was told.
    pub refusal: Refusal,
    /// Holders that refused.
    pub refusals: Vec<HolderRefusal>,
    /// Holders that did not reply or answer in time, or fell out.
    pub timeouts: Vec<u32>,
    /// What members did in the last attempt.
    pub conduct: Conduct,
}
canonical_struct!(FailureEntry { query, attempt, refusal, refusals, timeouts, conduct });

/// A holder took its RESERVE back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundEntry {
    /// Query.
    pub query: QueryId,
    /// Attempt.
    pub attempt: u8,
    /// Roster index.
    pub index: u32,
    /// Number of the REFUND record in the holder's ledger.
    pub seq: u64,
    /// Hash of the REFUND record.
    pub record: Hash32,
}
canonical_struct!(RefundEntry { query, attempt, index, seq, record });

/// A result release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseEntry {
    /// Query.
    pub query: QueryId,
    /// Attempt.
    pub attempt: u8,
    /// Hash of the result release.
    pub release: Hash32,
    /// Roster indices of the holders in the sum.
    pub participants: Vec<u32>,
    /// Price charged per partition at each of them.
    pub price: Rho,
    /// H(transcript) of the aggregation; `None` where there was none.
    pub transcript: Option<Hash32>,
    /// What members did.
    pub conduct: Conduct,
}
canonical_struct!(ReleaseEntry { query, attempt, release, participants, price, transcript, conduct });

/// Names of an open group key left the holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamesEntry {
    /// Query.
    pub query: QueryId,
    /// Attempt that released them.
    pub attempt: u8,
    /// Hash of the `NameLists`: what each holder released.
    pub lists: Hash32,
    /// Hash of the names of the grid, their union (`encode_names`).
    pub names: Hash32,
    /// Roster indices of the holders.
    pub participants: Vec<u32>,
    /// Price charged per partition at each of them.
    pub price: Rho,
    /// Delta charged per partition at each of them.
    pub delta: Delta,
}
canonical_struct!(NamesEntry { query, attempt, lists, names, participants, price, delta });

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// Trust bundle.
    Bundle(SignedDocument),
    /// Roster of holders.
    Roster(SignedDocument),
    /// Data contract.
    Contract(SignedDocument),
    /// Permit.
    Permit(SignedDocument),
    /// Attempt.
    Attempt(AttemptEntry),
    /// Query that ended without an answer.
    Failure(FailureEntry),
    /// Refund.
    Refund(RefundEntry),
    /// Result release.
    Release(ReleaseEntry),
    /// Names of an open group key.
    Names(NamesEntry),
}

impl Encode for LogEntry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.kind_number());
        match self {
            Self::Bundle(document) | Self::Roster(document) | Self::Contract(document) | Self::Permit(document) => document.encode(out),
            Self::Attempt(entry) => entry.encode(out),
            Self::Failure(entry) => entry.encode(out),
            Self::Refund(entry) => entry.encode(out),
            Self::Release(entry) => entry.encode(out),
            Self::Names(entry) => entry.encode(out),
        }
    }
}

impl Decode for LogEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Decode::decode(reader).map(Self::Bundle),
            2 => Decode::decode(reader).map(Self::Roster),
            3 => Decode::decode(reader).map(Self::Contract),
            4 => Decode::decode(reader).map(Self::Permit),
            5 => Decode::decode(reader).map(Self::Attempt),
            6 => Decode::decode(reader).map(Self::Failure),
            7 => Decode::decode(reader).map(Self::Refund),
            8 => Decode::decode(reader).map(Self::Release),
            9 => Decode::decode(reader).map(Self::Names),
            _ => Err(DecodeError::Invalid("log entry")),
        }
    }
}

impl Document for LogEntry {
    const TAG: &'static str = "commun/entry/v2";
}

impl LogEntry {
    fn kind_number(&self) -> u8 {
        match self {
            Self::Bundle(_) => 1,
            Self::Roster(_) => 2,
            Self::Contract(_) => 3,
            Self::Permit(_) => 4,
            Self::Attempt(_) => 5,
            Self::Failure(_) => 6,
            Self::Refund(_) => 7,
            Self::Release(_) => 8,
            Self::Names(_) => 9,
        }
    }

    /// The kind as a word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "bundle",
            Self::Roster(_) => "roster",
            Self::Contract(_) => "contract",
            Self::Permit(_) => "permit",
            Self::Attempt(_) => "attempt",
            Self::Failure(_) => "failure",
            Self::Refund(_) => "refund",
            Self::Release(_) => "release",
            Self::Names(_) => "names",
        }
    }
}
