//! Wire errors: a small closed set of stable codes, each with a public message, a hint on what to do, and where useful a position.
//!
//! Everything in a [`Refusal`] may be shown to its caller and written into the public log: it is made from the question, the data
//! contract, the permit and the ledgers, never from data (P9, P10). Internal detail goes to the local log only.

use std::fmt;

use crate::{canonical_enum, canonical_struct};

/// Stable codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireCode {
    /// The text is not SQL that Commun reads, or a field of the request is malformed.
    InvalidQuery,
    /// The question cannot be answered privately as it stands.
    NotPrivate,
    /// Permit, key, contract or policy does not allow it.
    NotPermitted,
    /// A budget would be exceeded.
    OverBudget,
    /// Not enough holders are connected or willing.
    TooFewHolders,
    /// A holder refused.
    RefusedByHolder,
    /// Something needed is not reachable now.
    Unavailable,
    /// Permit, query or certificate is past its time.
    Expired,
    /// Cancelled by the caller or by a shutdown.
    Cancelled,
    /// A fault of ours.
    Internal,
}
canonical_enum!(WireCode {
    InvalidQuery = 1,
    NotPrivate = 2,
    NotPermitted = 3,
    OverBudget = 4,
    TooFewHolders = 5,
    RefusedByHolder = 6,
    Unavailable = 7,
    Expired = 8,
    Cancelled = 9,
    Internal = 10,
});

impl WireCode {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::InvalidQuery,
        Self::NotPrivate,
        Self::NotPermitted,
        Self::OverBudget,
        Self::TooFewHolders,
        Self::RefusedByHolder,
        Self::Unavailable,
        Self::Expired,
        Self::Cancelled,
        Self::Internal,
    ];

    /// The code as it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidQuery => "INVALID_QUERY",
            Self::NotPrivate => "NOT_PRIVATE",
            Self::NotPermitted => "NOT_PERMITTED",
            Self::OverBudget => "OVER_BUDGET",
            Self::TooFewHolders => "TOO_FEW_HOLDERS",
            Self::RefusedByHolder => "REFUSED_BY_HOLDER",
            Self::Unavailable => "UNAVAILABLE",
            Self::Expired => "EXPIRED",
            Self::Cancelled => "CANCELLED",
            Self::Internal => "INTERNAL",
        }
    }

    /// Reads [`WireCode::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Exit code of a command that ends with it: 2 refused by policy, permit or budget; 1 anything else.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::NotPrivate | Self::NotPermitted | Self::OverBudget | Self::TooFewHolders | Self::RefusedByHolder | Self::Expired => 2,
            Self::InvalidQuery | Self::Unavailable | Self::Cancelled | Self::Internal => 1,
        }
    }
}

impl fmt::Display for WireCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where in the SQL text, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}
canonical_struct!(Position { line, column });

/// A refusal that its caller can act upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// Stable code.
    pub code: WireCode,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it.
    pub hint: String,
    /// Where in the SQL text.
    pub position: Option<Position>,
}
canonical_struct!(Refusal { code, message, hint, position });

impl Refusal {
    /// A refusal without a position.
    pub fn new(code: WireCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), position: None }
    }

    /// The same refusal at a place in the SQL text.
    #[must_use]
    pub fn at(mut self, line: u32, column: u32) -> Self {
        self.position = Some(Position { line, column });
        self
    }
}
