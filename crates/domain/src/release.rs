//! Result releases: noisy sums that left the system, with all that is needed to read them.

use crate::attempt::OutputNoise;
use crate::canonical_struct;
use crate::encoding::Document;
use crate::ids::{Hash32, QueryId};
use crate::plan::PrivatePlan;
use crate::units::{Delta, Rho};

/// Noisy sums of one output over the declared grid, in lattice units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSums {
    /// Cells in grid order.
    pub cells: Vec<i64>,
}
canonical_struct!(OutputSums { cells });

/// A result release. Everything in it is public or noisy; whoever reads it computes table and margins from it, free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRelease {
    /// Query that it answered first.
    pub query: QueryId,
    /// Attempt.
    pub attempt: u8,
    /// Permit under which it was asked.
    pub permit: Hash32,
    /// The plan, whose grid names the cells.
    pub plan: PrivatePlan,
    /// Lattice and noise per output, of each holder.
    pub noise: Vec<OutputNoise>,
    /// Sum over the participants, per output.
    pub sums: Vec<OutputSums>,
    /// Holders in the sum, by roster index order.
    pub participants: Vec<String>,
    /// Holders listed for the dataset.
    pub listed: u32,
    /// |U0|: holders that accepted.
    pub members: u32,
    /// T, fewest survivors.
    pub threshold: u32,
    /// c, agents that may collude.
    pub colluders: u32,
    /// Whether the one holder's own answer left it unmasked, with full noise.
    pub unmasked: bool,
    /// H(transcript) of the aggregation; `None` where there was none.
    pub transcript: Option<Hash32>,
    /// Price charged per partition at each participant.
    pub rho: Rho,
    /// Delta spent on open keys per partition at each participant.
    pub delta: Delta,
    /// Delta at which rho is stated as epsilon.
    pub delta_conv: Delta,
    /// At how many holders one person may be.
    pub max_holders_per_person: u32,
    /// Epoch of the roster.
    pub roster_epoch: u32,
    /// Milliseconds since 1970.
    pub released_at_ms: u64,
}
canonical_struct!(ResultRelease {
    query,
    attempt,
    permit,
    plan,
    noise,
    sums,
    participants,
    listed,
    members,
    threshold,
    colluders,
    unmasked,
    transcript,
    rho,
    delta,
    delta_conv,
    max_holders_per_person,
    roster_epoch,
    released_at_ms,
});

impl ResultRelease {
    /// h: noise shares that the noise was reckoned with.
    pub fn honest(&self) -> u32 {
        self.threshold.saturating_sub(self.colluders)
    }
}

impl Document for ResultRelease {
    const TAG: &'static str = "commun/release/v3";
}
