//! How far one person's rows in one partition move an output: the numbers that all noise is scaled by.
//!
//! Each is a fact about the aggregate's meaning (`commun_domain::plan::Aggregate`) and follows from public bounds alone; `PROOF.md`
//! beside this file proves them one by one. What this is not: noise, which `price` makes of it, or the bounding itself, which the engine does.

use commun_domain::plan::{Aggregate, MAX_BINS_LOG2, MAX_HISTOGRAM_VALUES_PER_PERSON, MEAN_DIGITS, Measured};

/// One person's rows in one partition move a cell's numbers by at most `levels delta^2` in squared Euclidean distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensitivity {
    /// Most by which a single number moves, in native units: people or rows, 10^-scale for a sum, 10^-scale / 2^21 for a centred
    /// sum, 10^-2scale / 2^23 for centred squares.
    pub delta: u64,
    /// In how many numbers of a cell it may move by that much: 1, or the levels of a histogram's tree.
    pub levels: u32,
}

/// Sensitivity of one cell of an output. `None` where the bounds are impossible or the sensitivity does not fit 64 bits.
pub fn sensitivity(aggregate: &Aggregate) -> Option<Sensitivity> {
    let (delta, levels) = match aggregate {
        Aggregate::CountUnits => (1, 1),
        Aggregate::CountRows { max_rows_per_person } => (u64::from(*max_rows_per_person), 1),
        // One person's sum lies in [Linf min(lo, 0), Linf max(hi, 0)]; without rows it is 0, which lies in it too.
        Aggregate::Sum { measured: Measured { lo, hi, .. }, max_rows_per_person } if lo <= hi => {
            let farthest = (*lo).min(0).unsigned_abs().max((*hi).max(0).unsigned_abs());
            (farthest.checked_mul(u64::from(*max_rows_per_person))?, 1)
        }
        Aggregate::CentredSum { measured, max_rows_per_person } => (refined(*max_rows_per_person).checked_mul(range(measured)?)?, 1),
        Aggregate::CentredSquares { measured, max_rows_per_person } => {
            let range = range(measured)?;
            (refined(*max_rows_per_person).checked_mul(range.checked_mul(range)?)?, 1)
        }
        Aggregate::Histogram { measured, bins_log2, max_rows_per_person } => {
            range(measured)?;
            if *bins_log2 > MAX_BINS_LOG2 || *max_rows_per_person > MAX_HISTOGRAM_VALUES_PER_PERSON {
                return None;
            }
            (u64::from(*max_rows_per_person), u32::from(*bins_log2) + 1)
        }
        Aggregate::Sum { .. } => return None,
    };
    Some(Sensitivity { delta, levels })
}

/// Whether a bound of an aggregate leaves nothing to release, or says the impossible.
pub(super) fn is_empty(aggregate: &Aggregate) -> bool {
    match aggregate {
        Aggregate::CountUnits => false,
        Aggregate::CountRows { max_rows_per_person } => *max_rows_per_person == 0,
        Aggregate::Sum { measured: Measured { lo, hi, .. }, max_rows_per_person } => {
            lo > hi || (*lo == 0 && *hi == 0) || *max_rows_per_person == 0
        }
        Aggregate::CentredSum { measured, max_rows_per_person }
        | Aggregate::CentredSquares { measured, max_rows_per_person }
        | Aggregate::Histogram { measured, bins_log2: _, max_rows_per_person } => measured.lo >= measured.hi || *max_rows_per_person == 0,
    }
}

/// R = hi - lo, above 0.
fn range(measured: &Measured) -> Option<u64> {
    (measured.lo < measured.hi).then(|| measured.hi.abs_diff(measured.lo))
}

/// 2^20 Linf: 52 bits at most.
fn refined(max_rows_per_person: u32) -> u64 {
    u64::from(max_rows_per_person) << MEAN_DIGITS
}

#[cfg(test)]
mod contribution_tests;
