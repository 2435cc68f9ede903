//! Deals the rows of one reader into parts by a hash of the person.

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
            Units::Signed(units, _) => self.deal_integers(rows, |row| units[row].cast_unsigned()),
            Units::Unsigned(units, _) => self.deal_integers(rows, |row| units[row]),
            Units::Text(texts) => rows.texts(texts, self.radix.hasher, |row, text| self.deal_text(row, text)),
        }
    }

    /// Puts the rows of the batch into the order of parts, in memory that the cache holds, and then hands each part its rows in one go.
    fn deal_integers(&mut self, rows: &Rows, unit: impl Fn(usize) -> u64) -> io::Result<()> {
        let (hasher, places) = (self.radix.hasher, rows.words[0].as_slice());
        let mut ends = [0usize; PARTS];
        self.numbers.clear();
        rows.kept.each(|row| {
            let number = part_of(hasher, unit(row), places[row]);
            self.numbers.push(number);
            ends[usize::from(number)] += 1;
        });
        let mut start = 0;
        for end in &mut ends {
            let rows = *end;
            *end = start;
            start += rows;
        }
        self.ordered.resize(start * (1 + rows.words.len()), 0);
        match rows.words.as_slice() {
            [a] => self.order(rows, &mut ends, |row| [unit(row), a[row]]),
            [a, b] => self.order(rows, &mut ends, |row| [unit(row), a[row], b[row]]),
            [a, b, c] => self.order(rows, &mut ends, |row| [unit(row), a[row], b[row], c[row]]),
            columns => {
                let (words, mut numbers) = (1 + columns.len(), self.numbers.iter());
                rows.kept.each(|row| {
                    let Some(number) = numbers.next() else { return };
                    let end = &mut ends[usize::from(*number)];
                    let to = &mut self.ordered[*end * words..(*end + 1) * words];
                    to[0] = unit(row);
                    to[1..].iter_mut().zip(columns).for_each(|(word, column)| *word = column[row]);
                    *end += 1;
                });
            }
        }
        let (words, mut start) = (1 + rows.words.len(), 0);
        for (number, end) in ends.into_iter().enumerate() {
            self.append(number, start * words..end * words, words)?;
            start = end;
        }
        Ok(())
    }

    /// Puts rows of a usual length into the order of parts: `ends` has where the next row of each goes.
    #[inline]
    fn order<const WORDS: usize>(&mut self, rows: &Rows, ends: &mut [usize; PARTS], row: impl Fn(usize) -> [u64; WORDS]) {
        let (ordered, _) = self.ordered.as_chunks_mut::<WORDS>();
        let mut numbers = self.numbers.iter();
        rows.kept.each(|place| {
            let Some(number) = numbers.next() else { return };
            let end = &mut ends[usize::from(*number)];
            ordered[*end] = row(place);
            *end += 1;
        });
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
        let number = usize::from(part_of(self.radix.hasher, row[0], row[1]));
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
