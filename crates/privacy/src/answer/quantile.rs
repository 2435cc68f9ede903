//! Quantiles from the noisy counts of a binary tree: least squares over the tree, then a walk from the root.
//!
//! The nodes of a tree are counted with equal and independent noise, so that a node and the sum of its children are two estimates of one
//! count. [`fit`] gives the least-squares tree in two passes (Hay, Rastogi, Miklau and Suciu 2010, "Boosting the Accuracy of Differentially
//! Private Histograms Through Consistency", theorem 3); [`quantile`] walks down it. `PROOF.md` bounds the error in ranks.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing of released numbers")]

use commun_domain::plan::Measured;

/// The values that the tree divides: bin j of `2^log2` over the integers lo to hi.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bins {
    lo: i64,
    hi: i64,
    log2: u32,
}

impl Bins {
    /// `log2` is at most `MAX_BINS_LOG2`, and lo at most hi.
    pub(super) fn new(measured: &Measured, log2: u8) -> Self {
        Self { lo: measured.lo, hi: measured.hi, log2: u32::from(log2) }
    }

    /// The first integer of node `index` of level `level` (the root's is 0): `lo + ceil(index (hi - lo + 1) / 2^level)`. That of the next
    /// node is one past its last.
    fn first(self, level: u32, index: u64) -> i128 {
        let values = i128::from(self.hi) - i128::from(self.lo) + 1;
        // Under 2^17 times 2^64.
        let product = i128::from(index) * values;
        i128::from(self.lo) + ((product + (1i128 << level) - 1) >> level)
    }

    fn is_empty(self, level: u32, index: u64) -> bool {
        self.first(level, index) >= self.first(level, index + 1)
    }
}

/// Replaces noisy counts (root first) by those that add up and are closest to them in squares.
pub(super) fn fit(nodes: &mut [f64]) {
    let inner = nodes.len() / 2;
    let height = (nodes.len() + 1).ilog2();
    for node in (0..inner).rev() {
        // Leaves have height 1. A node of height l weighs (2^l - 2^(l-1)) / (2^l - 1), its children the rest.
        let below = ((1u64 << (height - (node + 1).ilog2())) - 1) as f64;
        let half = (below - 1.0) / 2.0;
        let children = nodes[2 * node + 1] + nodes[2 * node + 2];
        nodes[node] = ((half + 1.0) * nodes[node] + half * children) / below;
    }
    for node in 0..inner {
        let share = (nodes[node] - nodes[2 * node + 1] - nodes[2 * node + 2]) / 2.0;
        nodes[2 * node + 1] += share;
        nodes[2 * node + 2] += share;
    }
}

/// The value below which `fraction` of all values lies, in units of the last digit, from a fitted tree; within lo and hi. NULL where the
/// tree holds nothing.
pub(super) fn quantile(fitted: &[f64], bins: Bins, fraction: f64) -> Option<f64> {
    let mut mass = *fitted.first().filter(|mass| **mass > 0.0)?;
    let mut target = fraction * mass;
    let (mut node, mut index) = (0, 0);
    for level in 1..=bins.log2 {
        let (left, right) = (fitted.get(2 * node + 1)?, fitted.get(2 * node + 2)?);
        index *= 2;
        // A count below 0 is taken as 0 and its sibling as all: then the children of the sibling share what it lost.
        let left = if bins.is_empty(level, index) {
            0.0
        } else if bins.is_empty(level, index + 1) {
            mass
        } else {
            (left + (mass - left - right) / 2.0).clamp(0.0, mass)
        };
        if target <= left && left > 0.0 {
            node = 2 * node + 1;
            mass = left;
        } else {
            node = 2 * node + 2;
            index += 1;
            target -= left;
            mass -= left;
        }
    }
    let (first, last) = (bins.first(bins.log2, index), bins.first(bins.log2, index + 1) - 1);
    let part = if mass > 0.0 { (target / mass).clamp(0.0, 1.0) } else { 0.0 };
    // Evenly over the integers of the bin: a bin of one integer gives that integer.
    let value = first as f64 + part * (last - first).max(0) as f64;
    Some(value.clamp(bins.lo as f64, bins.hi as f64))
}

#[cfg(test)]
mod tests;
