//! What one output makes of the sums of one group of one person, and by how much that can move it.

use commun_domain::plan::MEAN_DIGITS;

/// What one output adds for one person in one cell. `count`, `sum` and `squares` are places among a group's sums.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contribution {
    Rows { count: usize, most: u32 },
    Units { count: usize },
    Sum { sum: usize, least: i128, most: i128 },
    CentredSum { count: usize, sum: usize, centre: i64, range: u64, most: u32 },
    CentredSquares { count: usize, squares: usize, range: u64, most: u32 },
    Histogram { lane: usize, bins_log2: u8, most: u32 },
}

/// Two words of a group as a signed sum.
#[inline]
pub(crate) fn wide(words: &[u64], at: usize) -> i128 {
    (u128::from(words[at + 1]) << 64 | u128::from(words[at])).cast_signed()
}

impl Contribution {
    /// A person's contribution from the sums of one group; a histogram's is not one number and is 0 here.
    ///
    /// 128 bits are enough: the price bounds 2^20 Linf R^2 by 2^64, so a product below is at most 2^64 times the number of rows.
    /// Should a bound be wrong all the same, the last clamp holds what was priced.
    #[inline]
    pub(crate) fn of(&self, sums: &[u64]) -> i128 {
        match *self {
            Self::Rows { count, most } => i128::from(sums[count].min(u64::from(most))),
            Self::Units { count } => i128::from(sums[count].min(1)),
            Self::Sum { sum, least, most } => wide(sums, sum).clamp(least, most),
            Self::CentredSum { count, sum, centre, range, most } => {
                let rows = i128::from(sums[count]);
                let total = wide(sums, sum).saturating_mul(2).saturating_sub(rows.saturating_mul(i128::from(centre)));
                Self::refined(rows, total, i128::from(range), most)
            }
            Self::CentredSquares { count, squares, range, most } => {
                let rows = i128::from(sums[count]);
                let square = i128::from(range).saturating_mul(i128::from(range));
                let total = wide(sums, squares).saturating_mul(2).saturating_sub(rows.saturating_mul(square));
                Self::refined(rows, total, square, most)
            }
            Self::Histogram { .. } => 0,
        }
    }

    /// `trunc(2^20 b total / rows)`, within `2^20 Linf reach`.
    fn refined(rows: i128, total: i128, reach: i128, most: u32) -> i128 {
        let weight = rows.min(i128::from(most)) << MEAN_DIGITS;
        let bound = (i128::from(most) << MEAN_DIGITS).saturating_mul(reach);
        weight.saturating_mul(total).checked_div(rows).unwrap_or(0).clamp(-bound, bound)
    }

    /// By how much one person in one partition moves a number of a cell, and in how many numbers: derived here, from what is executed,
    /// to be compared with what was priced. `None` when it does not fit 64 bits.
    pub(crate) fn sensitivity(self) -> Option<(u64, u32)> {
        let refined = |reach: u64, most: u32| (u64::from(most) << MEAN_DIGITS).checked_mul(reach);
        Some(match self {
            Self::Units { .. } => (1, 1),
            Self::Rows { most, .. } => (u64::from(most), 1),
            Self::Sum { least, most, .. } => (u64::try_from(least.unsigned_abs().max(most.unsigned_abs())).ok()?, 1),
            Self::CentredSum { range, most, .. } => (refined(range, most)?, 1),
            Self::CentredSquares { range, most, .. } => (refined(range.checked_mul(range)?, most)?, 1),
            Self::Histogram { bins_log2, most, .. } => (u64::from(most), u32::from(bins_log2) + 1),
        })
    }
}
