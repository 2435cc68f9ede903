//! Rows of one part of the data, put into the order of persons, so that each person is bounded at once (`whole`).
//!
//! It needs memory for the rows once more. What does not have that goes through a table of persons (`table`), as do ids that are texts, and histograms.

use super::hash::Hasher;
use super::shape::{Shape, SharedShape, Totals};
use super::whole::Whole;
use crate::read::UnitKind;

/// Slots of an empty table of persons, and the fewest slots a person, so that nearly everybody is found at the first look.
const FIRST_SLOTS: usize = 1024;
const SLOTS_PER_PERSON: usize = 4;

/// Bytes that a person takes at most: its slots may be twice as many, and lists have room to grow.
const PERSON_BYTES: usize = 2 * (4 * SLOTS_PER_PERSON + 8 + 8);

/// Memory that is kept from one part to the next.
const KEPT_BYTES: usize = 1 << 23;

/// See the module.
pub(super) struct Gather {
    shape: SharedShape,
    kind: UnitKind,
    hasher: Hasher,
    whole: Whole,
    /// Number of a person, plus 1; 0 is free. A power of two.
    slots: Vec<u32>,
    /// Of each person.
    units: Vec<u64>,
    /// Of each person how many rows it has, then where the next one goes.
    ends: Vec<usize>,
    /// Of each row whose it is.
    owners: Vec<u32>,
    /// The rows without their units, in the order of persons.
    rows: Vec<u64>,
}

impl Gather {
    /// Whether rows of this shape and kind can be ordered so.
    pub(super) fn serves(shape: &Shape, kind: UnitKind) -> bool {
        kind != UnitKind::Text && shape.bin_lanes.is_empty() && Whole::fits(shape)
    }

    pub(super) fn new(shape: SharedShape, kind: UnitKind, hasher: Hasher) -> Self {
        Self {
            kind,
            hasher,
            whole: Whole::new(shape.clone()),
            slots: vec![0; FIRST_SLOTS],
            units: Vec::new(),
            ends: Vec::new(),
            owners: Vec::new(),
            rows: Vec::new(),
            shape,
        }
    }

    /// Memory that it holds for rows and persons.
    pub(super) fn bytes(&self) -> usize {
        (self.slots.capacity() + self.owners.capacity()) * 4 + (self.units.capacity() + self.ends.capacity() + self.rows.capacity()) * 8
    }

    /// Memory that it holds at most while it adds these rows, if persons have so many on average.
    pub(super) fn bytes_for(&self, chunks: &[Vec<u64>], rows_per_person: usize) -> usize {
        let rows = self.rows_of(chunks);
        self.bytes() + rows * (4 + 8 * (self.shape.row_words - 1)) + (rows / rows_per_person + FIRST_SLOTS) * PERSON_BYTES
    }

    fn rows_of(&self, chunks: &[Vec<u64>]) -> usize {
        chunks.iter().map(Vec::len).sum::<usize>() / self.shape.row_words
    }

    /// Adds all rows of a part, and frees their chunks; gives them back if there are too many persons for so many bytes.
    pub(super) fn add(&mut self, chunks: Vec<Vec<u64>>, most_bytes: usize, totals: &mut Totals) -> Result<(), Vec<Vec<u64>>> {
        if !self.find_owners(&chunks, most_bytes) {
            self.forget();
            return Err(chunks);
        }
        let mut start = 0;
        for end in &mut self.ends {
            let rows = *end;
            *end = start;
            start += rows;
        }
        self.order(chunks);
        self.whole.reserve(self.owners.len(), totals);
        let (words, mut start) = (self.shape.row_words - 1, 0);
        for (unit, end) in self.units.iter().zip(&self.ends) {
            let rows = &self.rows[start * words..end * words];
            let key = |partition| self.shape.person_key(self.kind, *unit, &[], partition);
            self.whole.add_person(rows, end - start, totals, key);
            start = *end;
        }
        if self.bytes() > KEPT_BYTES {
            self.forget();
        }
        Ok(())
    }

    /// Frees the memory that rows and persons took.
    fn forget(&mut self) {
        self.slots = vec![0; FIRST_SLOTS];
        (self.units, self.ends, self.owners, self.rows) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    }

    /// Numbers the persons and counts their rows. Returns whether so many bytes are enough for them.
    fn find_owners(&mut self, chunks: &[Vec<u64>], most_bytes: usize) -> bool {
        let rows = self.rows_of(chunks);
        let most_persons = most_bytes.saturating_sub(rows * (4 + 8 * (self.shape.row_words - 1))) / PERSON_BYTES;
        self.slots.fill(0);
        self.units.clear();
        self.ends.clear();
        self.owners.clear();
        self.owners.reserve_exact(rows);
        for chunk in chunks {
            match self.shape.row_words {
                2 => self.own(chunk.as_chunks::<2>().0.iter().map(|[_, unit]| *unit)),
                3 => self.own(chunk.as_chunks::<3>().0.iter().map(|[.., unit]| *unit)),
                words => self.own(chunk.chunks_exact(words).map(|row| row[words - 1])),
            }
            if self.units.len() > most_persons {
                return false;
            }
        }
        true
    }

    /// The next rows are these units'.
    #[inline]
    fn own(&mut self, mut units: impl Iterator<Item = u64>) {
        while let Some(unit) = self.own_known(&mut units) {
            let number = self.seek(unit);
            self.ends[number as usize] += 1;
            self.owners.push(number);
        }
    }

    /// The same as long as each is found where it is looked for first. Returns the unit that is not.
    #[inline]
    fn own_known(&mut self, units: &mut impl Iterator<Item = u64>) -> Option<u64> {
        let (slots, known, ends) = (self.slots.as_slice(), self.units.as_slice(), self.ends.as_mut_slice());
        for unit in units {
            // Of a free slot the number is none.
            let number = slots[Hasher::slot(self.hasher.person(unit, 0), slots.len() - 1)].wrapping_sub(1);
            if known.get(number as usize) != Some(&unit) {
                return Some(unit);
            }
            ends[number as usize] += 1;
            self.owners.push(number);
        }
        None
    }

    /// The number of a person, new or not.
    fn seek(&mut self, unit: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = Hasher::slot(self.hasher.person(unit, 0), mask);
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                return self.new_person(slot, unit);
            }
            if self.units[entry as usize - 1] == unit {
                return entry - 1;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn new_person(&mut self, slot: usize, unit: u64) -> u32 {
        self.units.push(unit);
        self.ends.push(0);
        // There are no 2^32 rows of a part: they would take 64 GB.
        let persons = u32::try_from(self.units.len()).unwrap_or(u32::MAX);
        self.slots[slot] = persons;
        if self.units.len() * SLOTS_PER_PERSON > self.slots.len() {
            self.grow();
        }
        persons - 1
    }

    #[cold]
    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(size, 0);
        for (unit, number) in self.units.iter().zip(1..) {
            let mut slot = Hasher::slot(self.hasher.person(*unit, 0), size - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = number;
        }
    }

    /// Puts the rows into the order of persons.
    fn order(&mut self, chunks: Vec<Vec<u64>>) {
        let words = self.shape.row_words;
        self.rows.clear();
        self.rows.reserve_exact(self.owners.len() * (words - 1));
        self.rows.resize(self.owners.len() * (words - 1), 0);
        let mut owners = self.owners.iter();
        for chunk in chunks {
            match words {
                2 => order(chunk.as_chunks::<2>().0, &mut owners, &mut self.ends, self.rows.as_chunks_mut::<1>().0, |[place, _]| [*place]),
                3 => order(chunk.as_chunks::<3>().0, &mut owners, &mut self.ends, self.rows.as_chunks_mut::<2>().0, |[a, b, _]| [*a, *b]),
                _ => {
                    for (row, owner) in chunk.chunks_exact(words).zip(&mut owners) {
                        let end = &mut self.ends[*owner as usize];
                        self.rows[*end * (words - 1)..(*end + 1) * (words - 1)].copy_from_slice(&row[..words - 1]);
                        *end += 1;
                    }
                }
            }
        }
    }

    /// Adds up everybody.
    pub(super) fn total(&self, totals: &mut Totals) {
        self.whole.total(totals);
    }
}

/// Puts each row where the next one of its owner goes.
#[inline]
fn order<'o, const WORDS: usize, const KEPT: usize>(
    rows: &[[u64; WORDS]],
    owners: &mut impl Iterator<Item = &'o u32>,
    ends: &mut [usize],
    to: &mut [[u64; KEPT]],
    kept: impl Fn(&[u64; WORDS]) -> [u64; KEPT],
) {
    for (row, owner) in rows.iter().zip(owners) {
        let end = &mut ends[*owner as usize];
        to[*end] = kept(row);
        *end += 1;
    }
}
