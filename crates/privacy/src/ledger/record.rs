//! One ledger record and its canonical bytes. The hash of a record is what the log shows and what the next record names.

use commun_domain::calendar::Period;
use commun_domain::{Delta, Document, Hash32, QueryId, Rho};
use commun_domain::{canonical_enum, canonical_struct};

/// What a record does to the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// Takes the price, before data are read. Counts from its writing; a restart changes nothing about it.
    Reserve,
    /// Gives back exactly what its RESERVE took; only the process that reserved writes one.
    Refund,
    /// After a restored or copied disk: charges what a lost branch took, and makes every earlier RESERVE final.
    Reset,
}
canonical_enum!(RecordKind { Reserve = 1, Refund = 2, Reset = 3 });

/// Loss in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Partition.
    pub period: Period,
    /// zCDP loss.
    pub rho: Rho,
    /// Delta spent on open group keys.
    pub delta: Delta,
}
canonical_struct!(Charge { period, rho, delta });

/// One record of a holder's ledger. Records of one holder form a chain: `seq` counts from 1, `previous` is the hash of the record before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRecord {
    /// Holder.
    pub holder: String,
    /// Budget domain.
    pub domain: String,
    /// Number in the holder's chain, from 1.
    pub seq: u64,
    /// Hash of the record before, all zero for the first.
    pub previous: Hash32,
    /// Query.
    pub query_id: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
    /// Kind.
    pub kind: RecordKind,
    /// Hash of the permit whose sub-ledger is charged.
    pub permit: Hash32,
    /// Loss per partition, sorted by partition, each at most once, at least one.
    pub charges: Vec<Charge>,
}
canonical_struct!(LedgerRecord { holder, domain, seq, previous, query_id, attempt, kind, permit, charges });

impl Document for LedgerRecord {
    const TAG: &'static str = "commun/ledger/v1";
}
