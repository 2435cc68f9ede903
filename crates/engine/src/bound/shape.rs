//! The layout of what travels and of what is kept: rows, groups, and what an output makes of a group. It follows from the plan alone.
//!
//! A row is `[place, flags.., values.., unit]` in 64-bit words. `unit` is the id itself, or a hash of it with the text behind the row;
//! `place` holds cell, partition, the first flags, and behind them values that are narrow enough; a flag says that the row counts for an output (its
//! condition is true and its value not NULL); a value is 0 where its flag is not set. A group is its cell and its sums.

use std::sync::Arc;

use commun_domain::calendar::Period;
use commun_domain::ids::QueryId;

use super::bins::Bins;
use super::contribution::{Contribution, wide};
use super::field::{Field, Flag};
use super::names::Names;
use super::prf::Key;
use super::words::words_of;
use crate::read::UnitKind;

/// Bits of `place` that hold the cell: the grid has at most a million, and texts of an open group key, which stand in its place, are as many as
/// fit the memory.
pub(crate) const CELL_BITS: u32 = 28;

/// Bits of `place` that hold the partition: a question has at most 1200.
pub(crate) const PARTITION_BITS: u32 = 12;

/// Words of a row beside flags and values that need words of their own: place and unit.
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

/// One running sum of a group. `V`: how values are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane<V = Field> {
    /// Rows with a flag; one word.
    Count(Flag),
    /// The sum of a value; two words.
    Sum { value: V },
    /// The sum of `(2x - centre)^2` of a value over the rows with a flag; two words.
    Squares { flag: Flag, value: V, centre: i64 },
}

impl<V> Lane<V> {
    pub(crate) fn words(&self) -> usize {
        match self {
            Self::Count(_) => 1,
            Self::Sum { .. } | Self::Squares { .. } => 2,
        }
    }

    /// The same with other names of values.
    pub(crate) fn map<W>(&self, name: impl Fn(&V) -> W) -> Lane<W> {
        match self {
            Self::Count(flag) => Lane::Count(*flag),
            Self::Sum { value } => Lane::Sum { value: name(value) },
            Self::Squares { flag, value, centre } => Lane::Squares { flag: *flag, value: name(value), centre: *centre },
        }
    }
}

/// The values of a group's histogram: bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BinLane<V = Field> {
    pub(crate) flag: Flag,
    pub(crate) value: V,
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

/// How a row is added to its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adding {
    /// One word counts all rows.
    Count,
    /// One word counts all rows and two sum a value: COUNT(*) and one SUM, or an average over rows that all have a value.
    CountAndSum(Field),
    /// Any lanes.
    Lanes,
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

    /// All places of grid and partitions.
    pub(crate) fn places(&self) -> usize {
        self.cells.saturating_mul(self.partitions.len())
    }

    /// The number of a place among all of them.
    #[inline]
    pub(crate) fn place_number(&self, place: u64) -> usize {
        // Both are known to be small: there is no check of each sum.
        (partition_of(place) as usize).wrapping_mul(self.cells).wrapping_add(cell_of(place) as usize)
    }

    /// Most rows of a person for which what it contributes is the sum of its rows, whichever groups they fall on, as no bound binds; 0 where an output is no
    /// such sum.
    pub(crate) fn rows_within_bounds(&self) -> usize {
        let rows = self.outputs.iter().map(|output| output.rows_within_bounds(|at| self.lane_at(at))).min();
        rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(0)
    }

    /// The lane whose words begin at a place among a group's sums.
    fn lane_at(&self, at: usize) -> Option<&Lane> {
        let mut words = 0;
        self.lanes.iter().find(|lane| {
            words += lane.words();
            words - lane.words() == at
        })
    }

    /// Words of a group's sums.
    pub(crate) fn sum_words(&self) -> usize {
        self.lanes.iter().map(Lane::words).sum()
    }

    /// A loop over two lanes costs more than they do, and they are what most questions ask.
    pub(crate) fn adding(&self) -> Adding {
        match (self.lanes.as_slice(), self.bin_lanes.as_slice()) {
            ([Lane::Count(Flag::Always)], []) => Adding::Count,
            ([Lane::Count(Flag::Always), Lane::Sum { value }], []) => Adding::CountAndSum(*value),
            _ => Adding::Lanes,
        }
    }

    /// Adds a row to the sums of its group.
    pub(crate) fn add(&self, sums: &mut [u64], row: &[u64]) {
        let mut at = 0;
        for lane in &self.lanes {
            match *lane {
                Lane::Count(flag) => sums[at] = sums[at].saturating_add(flag.of(row)),
                Lane::Sum { value } => add_wide(sums, at, i128::from(value.of(row))),
                Lane::Squares { flag, value, centre } => {
                    // |2x - centre| is at most the range, which the price bounds by 2^22.
                    let off = i128::from(value.of(row)) * 2 - i128::from(centre);
                    add_wide(sums, at, if flag.of(row) == 1 { off * off } else { 0 });
                }
            }
            at += lane.words();
        }
    }

    /// Adds a row to the bins of its group. Returns by how many bytes they grew.
    pub(crate) fn add_bins(&self, bins: &mut [Bins], row: &[u64]) -> usize {
        let lanes = self.bin_lanes.iter().zip(bins).filter(|(lane, _)| lane.flag.of(row) == 1);
        lanes.map(|(lane, bins)| bins.add(u16::try_from(lane.value.of(row)).unwrap_or(u16::MAX), 1)).sum()
    }

    /// Adds the sums of a part of a group to those of another.
    pub(crate) fn add_sums(&self, sums: &mut [u64], more: &[u64]) {
        let mut at = 0;
        for lane in &self.lanes {
            match lane {
                Lane::Count(_) => sums[at] = sums[at].saturating_add(more[at]),
                Lane::Sum { .. } | Lane::Squares { .. } => add_wide(sums, at, wide(more, at)),
            }
            at += lane.words();
        }
    }

    /// The key of a person's choice, from the full id: the text as `rows::push_text` writes it, or the decimal text of an integer.
    pub(crate) fn person_key(&self, kind: UnitKind, unit: u64, text: &[u64], partition: u32) -> Key {
        let mut digits = [0; MAX_DIGITS];
        match kind {
            UnitKind::Text => self.text_key(&text_bytes(text), partition),
            UnitKind::Signed => self.text_key(decimal(unit.cast_signed().unsigned_abs(), unit.cast_signed() < 0, &mut digits), partition),
            UnitKind::Unsigned => self.text_key(decimal(unit, false, &mut digits), partition),
        }
    }

    /// The same from the bytes of the id.
    pub(crate) fn text_key(&self, unit: &[u8], partition: u32) -> Key {
        self.key.of_person(self.partitions.get(partition as usize).copied().unwrap_or(Period(0)), unit)
    }
}

/// Digits of a 64-bit integer and its sign.
const MAX_DIGITS: usize = 21;

/// The decimal text of an integer.
fn decimal(mut magnitude: u64, negative: bool, digits: &mut [u8; MAX_DIGITS]) -> &[u8] {
    let mut start = MAX_DIGITS;
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(magnitude % 10).unwrap_or(0);
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if negative {
        start -= 1;
        digits[start] = b'-';
    }
    &digits[start..]
}

/// The bytes of a text that is its length in bytes and then words.
pub(crate) fn text_bytes(text: &[u64]) -> Vec<u8> {
    let mut bytes: Vec<u8> = text.iter().skip(1).flat_map(|word| word.to_le_bytes()).collect();
    bytes.truncate(text.first().map_or(0, |bytes| usize::try_from(*bytes).unwrap_or(0)));
    bytes
}

/// Words of a text with its length, which is its first word.
#[inline]
pub(crate) fn text_words(text: &[u64]) -> usize {
    1 + usize::try_from(text[0]).unwrap_or(0).div_ceil(8)
}

#[inline]
fn add_wide(words: &mut [u64], at: usize, value: i128) {
    // Counts of rows and bounds of values keep it within 128 bits.
    (words[at], words[at + 1]) = words_of(wide(words, at).wrapping_add(value));
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

    /// Adds what a group contributes, but for histograms.
    pub(crate) fn add(&mut self, shape: &Shape, cell: u32, sums: &[u64]) {
        for (output, contribution) in self.outputs.iter_mut().zip(&shape.outputs) {
            if let Some(total) = output.get_mut(cell as usize)
                && !matches!(contribution, Contribution::Histogram { .. })
            {
                *total = total.saturating_add(contribution.of(sums));
            }
        }
    }

    /// The same for many groups: one output after the other.
    #[inline]
    pub(crate) fn add_all(&mut self, shape: &Shape, groups: Groups<'_>) {
        for (output, contribution) in self.outputs.iter_mut().zip(&shape.outputs) {
            // The usual ones have a loop of their own, in which the kind of contribution is known.
            match *contribution {
                Contribution::Histogram { .. } => {}
                Contribution::Rows { count, most } => groups.add(output, Contribution::Rows { count, most }),
                Contribution::Sum { sum, least, most } => groups.add(output, Contribution::Sum { sum, least, most }),
                other => groups.add(output, other),
            }
        }
    }

    /// Adds what a group contributes to histograms. `key` is that of the person, wanted when not all values count.
    pub(crate) fn add_bins(&mut self, shape: &Shape, cell: u32, bins: &mut [Bins], mut key: impl FnMut() -> Key) {
        for (output, contribution) in self.outputs.iter_mut().zip(&shape.outputs) {
            if let Contribution::Histogram { lane, bins_log2, most } = *contribution
                && let Some(bins) = bins.get_mut(lane)
            {
                add_nodes(output, cell, bins, bins_log2, most, &mut key);
            }
        }
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

/// Groups of a table: blocks of `stride` words with cells, two a word, up to the first that is `NO_CELL`, and sums.
#[derive(Clone, Copy)]
pub(crate) struct Groups<'a> {
    pub(crate) blocks: &'a [u64],
    pub(crate) stride: usize,
    pub(crate) cells_at: usize,
    pub(crate) sums_at: usize,
    pub(crate) sum_words: usize,
}

/// No cell.
pub(crate) const NO_CELL: u32 = u32::MAX;

impl Groups<'_> {
    /// Adds what they contribute to the totals of an output.
    #[inline]
    fn add(self, output: &mut [i128], contribution: Contribution) {
        for block in self.blocks.chunks_exact(self.stride) {
            let cells = block[self.cells_at..].iter().flat_map(|word| [*word & u64::from(u32::MAX), *word >> 32]);
            for (cell, sums) in cells.zip(block[self.sums_at..].chunks_exact(self.sum_words)) {
                if cell == u64::from(NO_CELL) {
                    break;
                }
                if let Some(total) = usize::try_from(cell).ok().and_then(|cell| output.get_mut(cell)) {
                    *total = total.saturating_add(contribution.of(sums));
                }
            }
        }
    }
}

/// Adds the values of a histogram that count, each in the nodes from its leaf to the root.
fn add_nodes(output: &mut [i128], cell: u32, bins: &mut Bins, bins_log2: u8, most: u32, key: impl FnOnce() -> Key) {
    let width = (2usize << bins_log2) - 1;
    let Some(nodes) = output.get_mut(cell as usize * width..(cell as usize + 1) * width) else { return };
    bins.choose(most, cell, key, |bin, count| {
        let mut node = Some((1usize << bins_log2) - 1 + usize::from(bin));
        while let Some(at) = node {
            if let Some(total) = nodes.get_mut(at) {
                *total = total.saturating_add(i128::from(count));
            }
            node = at.checked_sub(1).map(|at| at / 2);
        }
    });
}

/// Shared by everything that works on one query.
pub(crate) type SharedShape = Arc<Shape>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_its_decimal_text() {
        for number in [0, 7, -7, 10, 12_345, i64::MAX, i64::MIN] {
            let mut digits = [0; MAX_DIGITS];
            assert_eq!(decimal(number.unsigned_abs(), number < 0, &mut digits), number.to_string().as_bytes());
        }
        assert_eq!(decimal(u64::MAX, false, &mut [0; MAX_DIGITS]), u64::MAX.to_string().as_bytes());
    }
}
