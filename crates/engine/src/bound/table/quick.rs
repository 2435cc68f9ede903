//! The usual sums, many rows at a time, in blocks whose sizes the compiler knows.

use super::{HEAD, NONE, Table};
use crate::bound::shape::{Adding, cell_of, partition_of};
use crate::bound::words::{add_counted, place_of, set_half};

/// Rows whose persons are looked for before the first of them is added, so that one look does not wait for the other.
const AHEAD: usize = 128;

impl Table {
    /// Adds rows whose units are integers, one behind the other, which `shape` describes.
    pub(crate) fn add_rows(&mut self, rows: &[u64]) {
        let words = self.shape.row_words;
        if !self.is_quick() {
            rows.chunks_exact(words).for_each(|row| self.add_row(row, &[]));
            return;
        }
        let mut persons = [0; AHEAD];
        for rows in rows.chunks(AHEAD * words) {
            for (row, person) in rows.chunks_exact(words).zip(&mut persons) {
                *person = self.person(row[words - 1], partition_of(row[0]), &[]);
            }
            self.add_quickly(rows, |number| persons[number]);
        }
    }

    /// Whether blocks have a form for which there is a loop of its own.
    fn is_quick(&self) -> bool {
        self.simple && self.adding != Adding::Lanes
    }

    /// Adds rows whose persons are known: the usual sums in blocks whose sizes the compiler knows.
    #[inline]
    fn add_quickly(&mut self, rows: &[u64], person: impl Fn(usize) -> u32) {
        let count = |sums: &mut [u64], _: &[u64]| {
            if let [count] = sums {
                *count = count.saturating_add(1);
            }
        };
        match (self.adding, self.places) {
            (Adding::Count, 1) => self.add_with::<1, 1, 4>(rows, person, count),
            (Adding::Count, 2) => self.add_with::<2, 1, 5>(rows, person, count),
            (Adding::Count, 3) => self.add_with::<3, 1, 7>(rows, person, count),
            (Adding::Count, _) => self.add_with::<4, 1, 8>(rows, person, count),
            (Adding::CountAndSum(value), places) => {
                let count_and_sum = |sums: &mut [u64], row: &[u64]| {
                    if let [count, low, high] = sums {
                        add_counted(count, low, high, 1, value.of(row));
                    }
                };
                match places {
                    1 => self.add_with::<1, 3, 6>(rows, person, count_and_sum),
                    2 => self.add_with::<2, 3, 9>(rows, person, count_and_sum),
                    3 => self.add_with::<3, 3, 13>(rows, person, count_and_sum),
                    _ => self.add_with::<4, 3, 16>(rows, person, count_and_sum),
                }
            }
            (Adding::Lanes, _) => {}
        }
    }

    /// Adds rows to blocks without links, of so many groups, words of sums, and words in all.
    #[inline]
    fn add_with<const PLACES: usize, const SUMS: usize, const STRIDE: usize>(
        &mut self,
        rows: &[u64],
        person: impl Fn(usize) -> u32,
        add: impl Fn(&mut [u64], &[u64]),
    ) {
        let sums_at = const { HEAD + PLACES.div_ceil(2) };
        const { assert!(HEAD + PLACES.div_ceil(2) + PLACES * SUMS == STRIDE) };
        for (number, row) in rows.chunks_exact(self.shape.row_words).enumerate() {
            let (person, cell) = (person(number), cell_of(row[0]));
            let (blocks, _) = self.blocks.as_chunks_mut::<STRIDE>();
            let block = &mut blocks[person as usize];
            let place = place_of::<PLACES>(&block[HEAD..sums_at], cell).or_else(|| {
                let free = place_of::<PLACES>(&block[HEAD..sums_at], NONE)?;
                set_half(&mut block[HEAD..sums_at], free, cell);
                Some(free)
            });
            if let Some(place) = place {
                add(&mut block[sums_at + place * SUMS..][..SUMS], row);
            } else if let Some(group) = self.replace(person, cell) {
                add(self.sums_of(group), row);
            }
        }
    }
}
