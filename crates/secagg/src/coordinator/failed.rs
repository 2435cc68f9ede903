//! How an attempt ends without a sum, and who is to be left out of the next one.

use crate::refused::Refused;

/// A share that is not the one that the dealer's secret has for this holder: the dealer dealt it wrong, or the holder opened another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrongShare {
    /// Whose secret it is about.
    pub dealer: u32,
    /// Who opened it.
    pub holder: u32,
}

/// A member whose secret the opened shares did not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dealer {
    /// Its index.
    pub index: u32,
    /// It dealt shares of another secret than it signed, or more than c members lie: at least `T + c` opened shares lie on one polynomial. An
    /// honest dealer's polynomial shares at most `T - 1` points with it, so more than c of those who opened them would have lied. When false,
    /// the dealer or holders lied.
    pub proved: bool,
}

/// Why an attempt ended without a sum, with the members that are known to have had a part in it. Indices only: it may be logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failed {
    /// Why.
    pub reason: Refused,
    /// At the close of R1 to R4: members that were awaited and had not sent, ascending.
    pub missing: Vec<u32>,
    /// Signed R4 and opened no share, ascending: to be logged, and left out of retries.
    pub withheld: Vec<u32>,
    /// Whose secret could not be had, if that is why.
    pub dealer: Option<Dealer>,
    /// Wrong shares that were found before, by dealer and holder.
    pub wrong_shares: Vec<WrongShare>,
}

impl From<Refused> for Failed {
    fn from(reason: Refused) -> Self {
        Self { reason, missing: Vec::new(), withheld: Vec::new(), dealer: None, wrong_shares: Vec::new() }
    }
}
