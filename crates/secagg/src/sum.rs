//! From the sum of masked cells to the sum of cells: takes away every own mask of a survivor, and every pair mask between a survivor and a
//! member that dropped out after R2. The coordinator and the supervisor's verifier call the same function.

use std::num::NonZeroUsize;

use curve25519_dalek::Scalar;

use crate::attempt::Attempt;
use crate::checks;
use crate::context::{pair_info, self_key};
use crate::crypto::Secret;
use crate::crypto::masks::{Sign, apply_all};
use crate::graph::peers;
use crate::refused::Refused;
use crate::wire::{Context, KeyEntry};

/// What unmasks one attempt: b of each survivor and u of each dropped member, with their entries of U1.
pub(crate) struct Seeds<'a> {
    pub(crate) survivors: Vec<(&'a KeyEntry, Scalar)>,
    pub(crate) dropped: Vec<(&'a KeyEntry, Scalar)>,
}

impl Seeds<'_> {
    /// Every mask in the sum, with the sign that takes it away. Seeds that were not committed to are refused.
    fn masks(&self, context: &Context) -> Result<Vec<(Secret, Sign)>, Refused> {
        let mut masks = Vec::with_capacity(self.survivors.len() * (1 + self.dropped.len()));
        for (entry, b) in &self.survivors {
            if !checks::b_fits(context.manifest, entry, b) {
                return Err(Refused::Seed);
            }
            masks.push((self_key(context, entry.index, b)?, Sign::Minus));
        }
        let indices: Vec<u32> = self.survivors.iter().map(|(entry, _)| entry.index).collect();
        for (entry, u) in &self.dropped {
            let key = checks::u_fits(context.manifest, entry, u)?.ok_or(Refused::Seed)?;
            // The dropped member's own sign would cancel the survivor's.
            for ((peer, sign), (survivor, _)) in peers(entry.index, &indices).zip(&self.survivors) {
                masks.push((key.derive_with(&survivor.mask_key, &pair_info(context, entry.index, peer))?, sign));
            }
        }
        Ok(masks)
    }

    /// Removes the masks from the sum of the survivors' cells and refuses a cell outside the planning bound of its output.
    pub(crate) fn unmask(
        &self,
        attempt: &Attempt,
        context: &Context,
        mut sum: Vec<u64>,
        workers: NonZeroUsize,
    ) -> Result<Vec<i64>, Refused> {
        apply_all(&self.masks(context)?, &mut sum, workers)?;
        let cells: Vec<i64> = sum.into_iter().map(u64::cast_signed).collect();
        let mut rest = cells.as_slice();
        for output in attempt.outputs() {
            let (head, tail) = rest.split_at_checked(output.cells).ok_or(Refused::CellCount)?;
            if head.iter().any(|cell| cell.unsigned_abs() > output.bound) {
                return Err(Refused::OutOfBound);
            }
            rest = tail;
        }
        if rest.is_empty() { Ok(cells) } else { Err(Refused::CellCount) }
    }
}

/// Adds a vector to a sum, modulo 2^64.
pub(crate) fn add(sum: &mut [u64], cells: &[u64]) {
    sum.iter_mut().zip(cells).for_each(|(sum, cell)| *sum = sum.wrapping_add(*cell));
}
