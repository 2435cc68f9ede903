//! Why a log entry counts for nothing.

use commun_domain::encoding::DecodeError;
use commun_domain::{Hash32, QueryId};

use crate::sign::SignError;

/// Why an entry changed nothing. Whoever folds the log records it beside the entry's number and goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// The caller skipped or repeated an entry: a fault of the caller, not of the entry; nothing was counted.
    #[error("entry {found} was applied where entry {expected} comes next; apply each entry once, in order")]
    Order {
        /// The number that comes next.
        expected: u64,
        /// The number given.
        found: u64,
    },
    /// Nothing is trusted before trust bundle 1.
    #[error("there is no trust bundle yet; the log must start with trust bundle 1")]
    NoBundle,
    /// No holder is known before roster 1.
    #[error("there is no roster yet; roster 1 must come before any attempt")]
    NoRoster,
    /// Not the canonical bytes of its kind.
    #[error("the {what} cannot be read: {why}")]
    Decode {
        /// Kind of document.
        what: &'static str,
        /// What is wrong with the bytes.
        why: DecodeError,
    },
    /// A signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignError),
    /// Trust bundle 1 is not the pinned one.
    #[error("trust bundle 1 has the hash {found}, but {pinned} is pinned; compare both with the supervisor's")]
    Pin {
        /// Hash from the configuration.
        pinned: Hash32,
        /// Hash of the entry.
        found: Hash32,
    },
    /// A version or epoch is not the next one.
    #[error("the {what} has number {found}; {expected} is expected")]
    Number {
        /// Kind of document.
        what: &'static str,
        /// In words or digits.
        expected: String,
        /// The number given.
        found: u32,
    },
    /// A bundle does not name the hash of the one before.
    #[error("the trust bundle does not follow the one in force; it must name the hash of version {0}")]
    Previous(u32),
    /// The root has not signed.
    #[error("the {0} is not signed by the root key")]
    NotByRoot(&'static str),
    /// Fewer than k different officers have signed.
    #[error(
        "the {what} is signed by {found} different officer(s) and needs {needed}; a second signature of one officer counts for nothing"
    )]
    Officers {
        /// Kind of document.
        what: &'static str,
        /// k.
        needed: usize,
        /// Different officers whose signatures hold.
        found: usize,
    },
    /// Not enough holders have signed a roster.
    #[error("the roster is signed by {found} holder(s) and needs {needed}")]
    Holders {
        /// How many are needed.
        needed: usize,
        /// Holders whose signatures hold.
        found: usize,
    },
    /// Rules between the parts of a document are broken.
    #[error("the {what} breaks its rules:\n  - {}", .faults.join("\n  - "))]
    Rules {
        /// Kind of document.
        what: &'static str,
        /// One a line.
        faults: Vec<String>,
    },
    /// The same thing was logged before.
    #[error("this {0} is already in the log")]
    Known(&'static str),
    /// Something that must come first is not in the log.
    #[error("the {0} is not in the log; it must be logged first")]
    Unknown(&'static str),
    /// The query has ended; it runs no further attempt.
    #[error("query {} has already ended", .0.short())]
    Ended(QueryId),
    /// An attempt, failure, refund or result release contradicts what the log says already.
    #[error("{0}")]
    Contradiction(&'static str),
}
