//! What one output makes of the sums of one group of one person, and by how much that can move it.

use commun_domain::plan::MEAN_DIGITS;

use super::shape::Lane;

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

    /// [`Contribution::refined`] of no more rows than may count.
    fn refined_sum(sum: i128, rows: u64, centre: i128) -> i128 {
        sum.saturating_mul(2).saturating_sub(centre.saturating_mul(rows.into())).saturating_mul(1 << MEAN_DIGITS)
    }

    /// `trunc(2^20 b total / rows)`, within `2^20 Linf reach`.
    fn refined(rows: i128, total: i128, reach: i128, most: u32) -> i128 {
        let weight = rows.min(i128::from(most)) << MEAN_DIGITS;
        let bound = (i128::from(most) << MEAN_DIGITS).saturating_mul(reach);
        weight.saturating_mul(total).checked_div(rows).unwrap_or(0).clamp(-bound, bound)
    }

    /// Most rows of a person, in whichever groups, for which contributions are sums of rows and no bound of [`Contribution::of`] can bind; 0 where
    /// they are no sums. It follows from the bits that a value has in a row, so it does not rest on who has clamped it. `lane` finds a lane by its place.
    pub(crate) fn rows_within_bounds<'a>(&self, lane: impl Fn(usize) -> Option<&'a Lane>) -> u32 {
        // A row moves the sum by at most `greatest` up and `least` down.
        let within = |bounds: (i128, i128), (least, greatest): (i128, i128)| {
            let up = bounds.1.checked_div(greatest.max(0)).unwrap_or(i128::MAX);
            let down = bounds.0.checked_div(least.min(0)).unwrap_or(i128::MAX);
            u32::try_from(up.min(down).clamp(0, i128::from(u32::MAX))).unwrap_or(0)
        };
        match *self {
            Self::Rows { most, .. } => most,
            Self::Sum { sum, least, most } => match lane(sum) {
                Some(Lane::Sum { value }) => within((least, most), value.range()),
                _ => 0,
            },
            Self::CentredSum { sum, centre, range, most, .. } => match lane(sum) {
                Some(Lane::Sum { value }) => {
                    let (bound, (least, greatest)) = (i128::from(most) * i128::from(range), value.range());
                    let centred = |value: i128| 2 * value - i128::from(centre);
                    within((-bound, bound), (centred(least), centred(greatest))).min(most)
                }
                _ => 0,
            },
            Self::CentredSquares { squares, range, most, .. } => match lane(squares) {
                Some(Lane::Squares { value, centre, .. }) => {
                    let (square, (least, greatest)) = (i128::from(range).saturating_mul(range.into()), value.range());
                    let off = [least, greatest].map(|value| (2 * value - i128::from(*centre)).saturating_abs());
                    let (off, bound) = (off[0].max(off[1]), square.saturating_mul(most.into()));
                    let greatest = off.saturating_mul(off).saturating_mul(2).saturating_sub(square);
                    within((-bound, bound), (-square, greatest)).min(most)
                }
                _ => 0,
            },
            Self::Units { .. } | Self::Histogram { .. } => 0,
        }
    }

    /// What persons contribute to one cell whose rows are at most [`Contribution::rows_within_bounds`] each, from the sums of all of them.
    pub(crate) fn without_bounds(&self, sums: &[u64]) -> i128 {
        match *self {
            Self::Rows { count, .. } => i128::from(sums[count]),
            Self::Sum { sum, .. } => wide(sums, sum),
            Self::CentredSum { count, sum, centre, .. } => Self::refined_sum(wide(sums, sum), sums[count], centre.into()),
            Self::CentredSquares { count, squares, range, .. } => {
                Self::refined_sum(wide(sums, squares), sums[count], i128::from(range).saturating_mul(range.into()))
            }
            Self::Units { .. } | Self::Histogram { .. } => 0,
        }
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
