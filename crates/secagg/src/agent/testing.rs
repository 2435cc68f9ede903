//! What only tests can do to an agent: weaken a rule, and go on from a copy of its memory.

use super::{Agent, State};
use crate::crypto::seal::SharePair;

/// Rules that are left out, for the positive controls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weakness {
    /// Two members may have the same ephemeral key.
    pub(crate) takes_copied_keys: bool,
    /// `k_ij` does not name i and j.
    pub(crate) pair_masks_without_indices: bool,
}

impl Agent {
    pub(crate) fn weaken(&mut self, weakness: Weakness) {
        self.own.weakness = weakness;
    }

    /// A copy of the agent's memory after R3: a holder that can sign twice.
    pub(crate) fn copy_after_masking(&self) -> Option<Self> {
        let State::Masked(masked) = &self.state else { return None };
        let copy = Self::accepted(self.identity, self.own.index, self.own.key.clone());
        Some(Self { state: State::Masked(masked.clone()), ..copy })
    }

    /// Both shares of each member of U2, after R3: what no message has a place for.
    pub(crate) fn pairs_after_masking(&self) -> Option<Vec<(u32, SharePair)>> {
        if let State::Masked(masked) = &self.state { Some(masked.pairs()) } else { None }
    }
}
