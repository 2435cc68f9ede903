//! The layout of what travels and of what is kept: rows, groups, and what an output makes of a group. It follows from the plan alone.
//!
//! A row is `[unit, place, flags.., slots..]` in 64-bit words. `unit` is the id itself, or a hash of it with the text behind the row;
//! `place` holds cell, partition and the first flags; a flag says that the row counts for an output (its condition is true and its value
//! not NULL); a slot is a value, 0 where its flag is not set. A group is `[cell and link, sums..]`.

use std::sync::Arc;

use commun_domain::calendar::Period;
use commun_domain::ids::QueryId;
use commun_domain::plan::MEAN_DIGITS;

use super::names::Names;
use super::prf::Key;

/// Bits of `place` that hold the cell. The grid has at most a million, but texts of an open group key have no such limit.
pub(crate) const CELL_BITS: u32 = 32;

/// Bits of `place` that hold the partition.
pub(crate) const PARTITION_BITS: u32 = 12;

/// Flags that fit `place`.
pub(crate) const PLACE_FLAGS: usize = 20;

/// Words of a row before flags and slots.
pub(crate) const HEAD_WORDS: usize = 2;

/// Cell of a `place`.
#[inline]
pub(crate) fn cell_of(place: u64) -> u32 {
    u32::try_from(place & ((1 << CELL_BITS) - 1)).unwrap_or(0)
}

/// Partition of a `place`.
#[inline]
pub(crate) fn partition_of(place: u64) -> u32 {
    u32::try_from((place >> CELL_BITS) & ((1 << PARTITION_BITS) - 1)).unwrap_or(0)
}

/// Where a flag stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Set for every row.
    Always,
    /// A bit of a word.
    Bit { word: usize, shift: u32 },
}

impl Flag {
    /// The place of the flag with a number, counted from 0 without [`Flag::Always`].
    pub(crate) fn at(number: usize) -> Self {
        if number < PLACE_FLAGS {
            return Self::Bit { word: 1, shift: CELL_BITS + PARTITION_BITS + u32::try_from(number).unwrap_or(0) };
        }
        let number = number - PLACE_FLAGS;
        Self::Bit { word: HEAD_WORDS + number / 64, shift: u32::try_from(number % 64).unwrap_or(0) }
    }

    /// 0 or 1.
    #[inline]
    pub(crate) fn of(self, row: &[u64]) -> u64 {
        match self {
            Self::Always => 1,
            Self::Bit { word, shift } => (row[word] >> shift) & 1,
        }
    }
}

/// One running sum of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Rows with a flag; one word.
    Count(Flag),
    /// The sum of a slot; two words.
    Sum { slot: usize },
    /// The sum of `(2x - centre)^2` of a slot over the rows with a flag; two words.
    Squares { flag: Flag, slot: usize, centre: i64 },
}

impl Lane {
    pub(crate) fn words(self) -> usize {
        match self {
            Self::Count(_) => 1,
            Self::Sum { .. } | Self::Squares { .. } => 2,
        }
    }
}

/// The values of a group's histogram: those of a slot that holds bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BinLane {
    pub(crate) flag: Flag,
    pub(crate) slot: usize,
}

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
    pub(crate) fn of(self, sums: &[u64]) -> i128 {
        match self {
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

/// Everything that bounding needs to know of a plan.
#[derive(Debug)]
pub(crate) struct Shape {
    /// The key of the query's pseudo-random choice.
    pub(crate) key: Key,
    pub(crate) partitions: Vec<Period>,
    /// L0.
    pub(crate) max_groups: u32,
    /// Cells of the grid; 0 where people are counted behind names.
    pub(crate) cells: usize,
    /// Texts in place of cells.
    pub(crate) names: Option<Arc<Names>>,
    /// Words of a row, without the text of its unit.
    pub(crate) row_words: usize,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) bin_lanes: Vec<BinLane>,
    pub(crate) outputs: Vec<Contribution>,
}

impl Shape {
    pub(crate) fn query_key(query_id: &QueryId) -> Key {
        Key::of_query(query_id)
    }

    /// What decides whether a person keeps a group: those with the smallest stay. It depends on that person and on what the group is.
    #[inline]
    pub(crate) fn rank(&self, person: Key, cell: u32) -> (u64, u64) {
        match &self.names {
            None => (person.group(cell), u64::from(cell)),
            Some(names) => names.rank(person, cell),
        }
    }

    /// Words of a group's sums.
    pub(crate) fn sum_words(&self) -> usize {
        self.lanes.iter().map(|lane| lane.words()).sum()
    }
}

/// Totals of every output over the grid.
pub(crate) struct Totals {
    pub(crate) outputs: Vec<Vec<i128>>,
}

impl Totals {
    pub(crate) fn zero(shape: &Shape) -> Self {
        let width = |output: &Contribution| match output {
            Contribution::Histogram { bins_log2, .. } => (2usize << bins_log2) - 1,
            _ => 1,
        };
        // Texts are all known when anything is added up.
        let cells = shape.names.as_ref().map_or(shape.cells, |names| names.len());
        Self { outputs: shape.outputs.iter().map(|output| vec![0; cells * width(output)]).collect() }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.outputs.iter_mut().zip(&other.outputs) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                // A contribution has at most 64 bits, so 2^63 persons fit; a wrap is excluded, not assumed away.
                *mine = mine.saturating_add(*theirs);
            }
        }
    }
}

/// Shared by everything that works on one query.
pub(crate) type SharedShape = Arc<Shape>;
