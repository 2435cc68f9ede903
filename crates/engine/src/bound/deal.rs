//! Deals the rows of one reader into parts by a hash of the person.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use super::hash::Hasher;
use super::radix::{PARTS, Radix};
use super::rows::{MAX_TEXT_WORDS, Rows};
use super::shape::partition_of;
use crate::read::Units;

/// See the module.
pub(crate) struct Dealer {
    radix: Arc<Radix>,
    /// Of each part, the rows that were not handed in yet.
    chunks: Vec<Vec<u64>>,
    /// The part of each row of a batch, and its rows in the order of parts.
    numbers: Vec<u8>,
    ordered: Vec<u64>,
}

/// The part of a person.
#[inline]
fn part_of(hasher: Hasher, unit: u64, place: u64) -> u8 {
    u8::try_from(hasher.person(unit, partition_of(place)) >> (64 - PARTS.trailing_zeros())).unwrap_or(0)
}

impl Dealer {
    pub(crate) fn new(radix: Arc<Radix>) -> Self {
        Self { radix, chunks: (0..PARTS).map(|_| Vec::new()).collect(), numbers: Vec::new(), ordered: Vec::new() }
    }

    /// Deals the rows of a batch.
    pub(crate) fn deal(&mut self, rows: &Rows) -> io::Result<()> {
        match &rows.units {
            Units::Signed(units, _) => self.deal_integers(rows, &rows.kept.of(units), i64::cast_unsigned),
            Units::Unsigned(units, _) => self.deal_integers(rows, &rows.kept.of(units), |unit| unit),
            Units::Text(texts) => rows.texts(texts, self.radix.hasher, |row, text| self.deal_text(row, text)),
        }
    }

    /// Puts the rows of the batch into the order of parts, in memory that the cache holds, and then hands each part its rows in one go. `units` are of
    /// the rows that count.
    fn deal_integers<U: Copy>(&mut self, rows: &Rows, units: &[U], word: impl Fn(U) -> u64) -> io::Result<()> {
        let (hasher, units) = (self.radix.hasher, units.iter().map(|unit| word(*unit)));
        let columns: Vec<Cow<'_, [u64]>> = rows.words.iter().map(|column| rows.kept.of(column)).collect();
        let columns: Vec<&[u64]> = columns.iter().map(|column| &**column).collect();
        self.numbers.clear();
        self.numbers.extend(units.clone().zip(columns[0]).map(|(unit, place)| part_of(hasher, unit, *place)));
        let mut ends = [0usize; PARTS];
        self.numbers.iter().for_each(|number| ends[usize::from(*number)] += 1);
        let mut start = 0;
        for end in &mut ends {
            let rows = *end;
            *end = start;
            start += rows;
        }
        let words = 1 + columns.len();
        self.ordered.resize(start * words, 0);
        match *columns.as_slice() {
            [a] => self.order(a.iter().zip(units).map(|(a, unit)| [*a, unit]), &mut ends),
            [a, b] => self.order(a.iter().zip(b).zip(units).map(|((a, b), unit)| [*a, *b, unit]), &mut ends),
            [a, b, c] => self.order(a.iter().zip(b).zip(c).zip(units).map(|(((a, b), c), unit)| [*a, *b, *c, unit]), &mut ends),
            _ => {
                for (row, (unit, number)) in units.zip(&self.numbers).enumerate() {
                    let end = &mut ends[usize::from(*number)];
                    let to = &mut self.ordered[*end * words..(*end + 1) * words];
                    to.iter_mut().zip(&columns).for_each(|(word, column)| *word = column[row]);
                    to[words - 1] = unit;
                    *end += 1;
                }
            }
        }
        let mut start = 0;
        for (number, end) in ends.into_iter().enumerate() {
            self.append(number, start * words..end * words, words)?;
            start = end;
        }
        Ok(())
    }

    /// Puts rows of a usual length into the order of parts: `ends` has where the next row of each goes.
    #[inline]
    fn order<const WORDS: usize>(&mut self, rows: impl Iterator<Item = [u64; WORDS]>, ends: &mut [usize; PARTS]) {
        let (ordered, _) = self.ordered.as_chunks_mut::<WORDS>();
        for (row, number) in rows.zip(&self.numbers) {
            let end = &mut ends[usize::from(*number)];
            ordered[*end] = row;
            *end += 1;
        }
    }

    /// Appends ordered rows to a part.
    fn append(&mut self, number: usize, range: std::ops::Range<usize>, words: usize) -> io::Result<()> {
        let mut range = range;
        while !range.is_empty() {
            self.make_room(number, words)?;
            let chunk = &mut self.chunks[number];
            let room = (chunk.capacity() - chunk.len()) / words * words;
            let end = range.end.min(range.start + room);
            chunk.extend_from_slice(&self.ordered[range.start..end]);
            range.start = end;
        }
        Ok(())
    }

    fn deal_text(&mut self, row: &[u64], text: &[u64]) -> io::Result<()> {
        let number = usize::from(part_of(self.radix.hasher, row[row.len() - 1], row[0]));
        self.make_room(number, row.len() + text.len().min(MAX_TEXT_WORDS))?;
        self.chunks[number].extend_from_slice(row);
        self.chunks[number].extend_from_slice(text);
        Ok(())
    }

    /// Hands in a part's chunk if some words do not fit, and begins another.
    fn make_room(&mut self, number: usize, words: usize) -> io::Result<()> {
        let chunk = &mut self.chunks[number];
        if chunk.capacity() - chunk.len() >= words {
            return Ok(());
        }
        let full = std::mem::replace(chunk, Vec::with_capacity(self.radix.chunk_words.max(words)));
        if full.is_empty() { Ok(()) } else { self.radix.take_chunk(number, full) }
    }

    /// Hands in what is left.
    pub(crate) fn finish(self) -> io::Result<()> {
        let radix = self.radix;
        self.chunks
            .into_iter()
            .enumerate()
            .filter(|(_, chunk)| !chunk.is_empty())
            .try_for_each(|(number, chunk)| radix.take_chunk(number, chunk))
    }
}
