//! At most so many rows of a person, chosen by a pseudo-random number of what they are: equal rows are told apart by counting them.

use std::collections::BinaryHeap;

use crate::bound::PrfKey;

/// Collects rows whose equals come one after the other.
pub(super) struct Kept {
    most: usize,
    width: usize,
    /// Contents of the rows that are kept, one after the other, as long as there are not too many.
    rows: Vec<u64>,
    count: usize,
    last: Vec<u64>,
    occurrence: u64,
    /// Once there were too many: of each row its number, its content and which of its equals it is; the greatest number on top.
    chosen: BinaryHeap<(u64, Vec<u64>, u64)>,
}

impl Kept {
    pub(super) fn new(most: usize, width: usize) -> Self {
        Self { most, width, rows: Vec::new(), count: 0, last: Vec::new(), occurrence: 0, chosen: BinaryHeap::new() }
    }

    /// Adds a row. `key` is asked for when there are too many rows.
    pub(super) fn add(&mut self, content: &[u64], key: impl FnOnce() -> PrfKey) {
        if self.count > 0 && self.last == content {
            self.occurrence += 1;
        } else {
            self.occurrence = 0;
            self.last.clear();
            self.last.extend_from_slice(content);
        }
        self.count += 1;
        if self.count <= self.most {
            self.rows.extend_from_slice(content);
            return;
        }
        let key = key();
        if self.count == self.most + 1 {
            self.choose_among_all(key);
        }
        let row = (key.row(content, self.occurrence), self.occurrence);
        if self
            .chosen
            .peek()
            .is_some_and(|(number, greatest, occurrence)| (row.0, content, row.1) < (*number, greatest.as_slice(), *occurrence))
        {
            self.chosen.pop();
            self.chosen.push((row.0, content.to_vec(), row.1));
        }
    }

    fn choose_among_all(&mut self, key: PrfKey) {
        let rows = std::mem::take(&mut self.rows);
        let mut occurrence = 0;
        let mut last: Option<&[u64]> = None;
        // A row may have no column at all; then all rows are equal.
        let contents = (0..self.most).map(|row| &rows[row * self.width..][..self.width]);
        for content in contents {
            occurrence = if last == Some(content) { occurrence + 1 } else { 0 };
            last = Some(content);
            self.chosen.push((key.row(content, occurrence), content.to_vec(), occurrence));
        }
    }

    /// How many rows are kept.
    pub(super) fn len(&self) -> usize {
        self.count.min(self.most)
    }

    /// Appends their contents and begins anew.
    pub(super) fn take(&mut self, into: &mut Vec<u64>) {
        into.append(&mut self.rows);
        for (_, content, _) in self.chosen.drain() {
            into.extend(content);
        }
        self.count = 0;
        self.occurrence = 0;
    }
}
