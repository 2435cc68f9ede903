//! Rows of many persons as plain columns: small, quick to append, sorted once.

/// Buckets; enough that several threads share the work evenly and that sorting one stays in the cache.
pub(crate) const BUCKETS: usize = 64;

/// See the module.
pub(crate) struct Bucket {
    hashes: Vec<u64>,
    /// End of each row's unit in `units`.
    ends: Vec<usize>,
    units: Vec<u8>,
    partitions: Vec<u32>,
    cells: Vec<u32>,
    /// `width` values a row.
    values: Vec<i64>,
    width: usize,
}

/// A row's place in the order.
#[derive(Clone, Copy)]
pub(crate) struct Sorted {
    hash: u64,
    pub(crate) row: usize,
}

impl Bucket {
    /// For rows with `width` values to sum.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            hashes: Vec::new(),
            ends: Vec::new(),
            units: Vec::new(),
            partitions: Vec::new(),
            cells: Vec::new(),
            values: Vec::new(),
            width,
        }
    }

    /// The bucket for a hash: its highest bits.
    #[inline]
    pub(crate) fn place(hash: u64) -> usize {
        usize::try_from(hash >> (64 - BUCKETS.ilog2())).unwrap_or(0)
    }

    /// Adds a row. `hash` is one function of unit and partition throughout an evaluation.
    #[inline]
    pub(crate) fn push(&mut self, hash: u64, unit: &str, partition: u32, cell: u32, values: &[i64]) {
        self.hashes.push(hash);
        self.units.extend_from_slice(unit.as_bytes());
        self.ends.push(self.units.len());
        self.partitions.push(partition);
        self.cells.push(cell);
        self.values.extend_from_slice(values);
    }

    /// Adds the rows of another bucket.
    pub(crate) fn append(&mut self, other: &Self) {
        let offset = self.units.len();
        self.hashes.extend_from_slice(&other.hashes);
        self.units.extend_from_slice(&other.units);
        self.ends.extend(other.ends.iter().map(|end| end + offset));
        self.partitions.extend_from_slice(&other.partitions);
        self.cells.extend_from_slice(&other.cells);
        self.values.extend_from_slice(&other.values);
    }

    /// All rows, those of one (unit, partition) together and sorted by cell within it.
    pub(crate) fn sorted(&self) -> Vec<Sorted> {
        let mut order: Vec<Sorted> = self.hashes.iter().enumerate().map(|(row, hash)| Sorted { hash: *hash, row }).collect();
        order.sort_unstable_by_key(|sorted| sorted.hash);
        let mut start = 0;
        while start < order.len() {
            let hash = order[start].hash;
            let length = order[start..].iter().take_while(|sorted| sorted.hash == hash).count();
            if length > 1 {
                order[start..start + length].sort_unstable_by(|a, b| self.exact_key(a.row).cmp(&self.exact_key(b.row)));
            }
            start += length;
        }
        order
    }

    fn exact_key(&self, row: usize) -> (&[u8], u32, u32) {
        (self.unit(row), self.partitions[row], self.cells[row])
    }

    /// Whether two rows have the same unit and partition, by their full text.
    #[inline]
    pub(crate) fn same_person(&self, a: usize, b: usize) -> bool {
        a == b || (self.hashes[a] == self.hashes[b] && self.partitions[a] == self.partitions[b] && self.unit(a) == self.unit(b))
    }

    #[inline]
    pub(crate) fn unit(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.units[start..self.ends[row]]
    }

    /// Index in the plan's partitions.
    #[inline]
    pub(crate) fn partition(&self, row: usize) -> u32 {
        self.partitions[row]
    }

    #[inline]
    pub(crate) fn cell(&self, row: usize) -> u32 {
        self.cells[row]
    }

    #[inline]
    pub(crate) fn values(&self, row: usize) -> &[i64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }
}
