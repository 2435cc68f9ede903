//! Bounds what one person may contribute, and adds up in integers: `BoundPerPerson` and the final aggregate of a plan.
//!
//! Rows lie in buckets by a hash of (unit, partition), so that all rows of a person in a partition meet in one bucket; within it they
//! are grouped by the full text of the unit, never by the hash alone. Per (unit, partition, cell) rows are counted and clamped values
//! summed; the `max_groups` cells with the smallest pseudo-random value are kept; each contribution is clamped. All of it depends on
//! that person's rows only, as a multiset: neither their order nor how they were batched can change the result.

mod bucket;

use commun_domain::calendar::Period;
use commun_domain::ids::QueryId;
use sha2::{Digest, Sha256};

pub(crate) use bucket::{BUCKETS, Bucket};

/// Separates this use of SHA-256 from every other.
const KEEP_TAG: &[u8] = b"commun/keep-groups/v1\0";

/// What one output adds for one person in one cell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contribution {
    /// Rows, at most `most`.
    Count { most: i128 },
    /// The sum in this slot, within bounds that hold 0.
    Sum { slot: usize, least: i128, most: i128 },
}

impl Contribution {
    pub(crate) fn count(max_rows: u32) -> Self {
        Self::Count { most: i128::from(max_rows) }
    }

    /// `[Linf min(lo, 0), Linf max(hi, 0)]`.
    pub(crate) fn sum(slot: usize, lo: i64, hi: i64, max_rows: u32) -> Self {
        let rows = i128::from(max_rows);
        Self::Sum { slot, least: rows * i128::from(lo.min(0)), most: rows * i128::from(hi.max(0)) }
    }

    #[inline]
    fn of(self, group: &Group) -> i128 {
        match self {
            Self::Count { most } => group.rows.min(most),
            Self::Sum { slot, least, most } => group.sums.get(slot).map_or(0, |sum| (*sum).clamp(least, most)),
        }
    }
}

/// The bounds of a plan.
pub(crate) struct Bounds {
    pub(crate) query_id: QueryId,
    pub(crate) partitions: Vec<Period>,
    /// L0.
    pub(crate) max_groups: usize,
    /// Cells of the grid.
    pub(crate) cells: usize,
    /// Summed values a row.
    pub(crate) sums: usize,
    pub(crate) outputs: Vec<Contribution>,
}

/// Rows of one person in one partition and one cell.
#[derive(Debug)]
struct Group {
    cell: u32,
    rows: i128,
    /// 2^64 rows of 64-bit values fit.
    sums: Vec<i128>,
}

/// Totals of every output over the grid.
pub(crate) struct Totals {
    pub(crate) outputs: Vec<Vec<i128>>,
}

impl Totals {
    pub(crate) fn zero(bounds: &Bounds) -> Self {
        Self { outputs: vec![vec![0; bounds.cells]; bounds.outputs.len()] }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.outputs.iter_mut().zip(&other.outputs) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine = mine.saturating_add(*theirs);
            }
        }
    }
}

impl Bounds {
    /// Adds everything in one bucket to `totals`. The bucket holds every row of each (unit, partition) that it holds a row of.
    pub(crate) fn aggregate(&self, bucket: &Bucket, totals: &mut Totals) {
        let order = bucket.sorted();
        let mut groups: Vec<Group> = Vec::new();
        let mut at = 0;
        while at < order.len() {
            let first = order[at].row;
            groups.clear();
            while at < order.len() && bucket.same_person(first, order[at].row) {
                let row = order[at].row;
                self.add_row(bucket, row, &mut groups);
                at += 1;
            }
            self.keep(bucket.unit(first), bucket.partition(first), &mut groups);
            for group in &groups {
                for (output, contribution) in totals.outputs.iter_mut().zip(&self.outputs) {
                    if let Some(total) = usize::try_from(group.cell).ok().and_then(|cell| output.get_mut(cell)) {
                        // A contribution has at most 96 bits, so 2^31 persons fit; a wrap is excluded, not assumed away.
                        *total = total.saturating_add(contribution.of(group));
                    }
                }
            }
        }
    }

    /// The rows of a person come sorted by cell.
    #[inline]
    fn add_row(&self, bucket: &Bucket, row: usize, groups: &mut Vec<Group>) {
        let cell = bucket.cell(row);
        if groups.last().is_none_or(|group| group.cell != cell) {
            groups.push(Group { cell, rows: 0, sums: vec![0; self.sums] });
        }
        if let Some(group) = groups.last_mut() {
            group.rows += 1;
            for (sum, value) in group.sums.iter_mut().zip(bucket.values(row)) {
                *sum += i128::from(*value);
            }
        }
    }

    /// Keeps the groups with the smallest pseudo-random values, ties by cell.
    fn keep(&self, unit: &[u8], partition: u32, groups: &mut Vec<Group>) {
        if groups.len() <= self.max_groups {
            return;
        }
        let period = usize::try_from(partition).ok().and_then(|place| self.partitions.get(place)).map_or(0, |period| period.0);
        groups.sort_by_cached_key(|group| (self.pseudo_random(unit, period, group.cell), group.cell));
        groups.truncate(self.max_groups);
    }

    /// SHA-256 of an injective encoding: all parts but the unit have a fixed length, and the unit's length comes before it.
    fn pseudo_random(&self, unit: &[u8], period: i32, cell: u32) -> [u8; 32] {
        let length = u64::try_from(unit.len()).unwrap_or(u64::MAX);
        let hash = Sha256::new()
            .chain_update(KEEP_TAG)
            .chain_update(self.query_id.as_bytes())
            .chain_update(period.to_le_bytes())
            .chain_update(cell.to_le_bytes())
            .chain_update(length.to_le_bytes())
            .chain_update(unit)
            .finalize();
        hash.into()
    }
}

#[cfg(test)]
mod tests;
