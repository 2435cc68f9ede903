//! Rows of one batch that count, as columns of words, and the rows that are made of them.

use crate::read::{MAX_UNIT_BYTES, Texts, Units};

use super::hash::Hasher;
use super::shape::partition_of;

/// Words of the longest text of a unit, with its length.
pub(crate) const MAX_TEXT_WORDS: usize = 1 + MAX_UNIT_BYTES.div_ceil(8);

/// See the module.
pub(crate) struct Rows {
    /// Places in the batch of the rows that count, ascending.
    pub(crate) kept: Vec<u32>,
    pub(crate) units: Units,
    /// All words of a row but the first, as `Shape` describes them.
    pub(crate) words: Vec<Vec<u64>>,
}

impl Rows {
    /// Calls `take` with every row and the text of its unit, which is empty for integers.
    pub(crate) fn each<E>(&self, hasher: Hasher, take: impl FnMut(&[u64], &[u64]) -> Result<(), E>) -> Result<(), E> {
        // The usual widths have a loop of their own, in which the length of a row is known.
        match self.words.len() {
            1 => self.each_of::<2, E>(hasher, take),
            2 => self.each_of::<3, E>(hasher, take),
            3 => self.each_of::<4, E>(hasher, take),
            4 => self.each_of::<5, E>(hasher, take),
            _ => self.each_wide(hasher, take),
        }
    }

    fn each_of<const WORDS: usize, E>(&self, hasher: Hasher, mut take: impl FnMut(&[u64], &[u64]) -> Result<(), E>) -> Result<(), E> {
        let fill = |row: usize, unit: u64| {
            let mut words = [unit; WORDS];
            for (word, column) in words[1..].iter_mut().zip(&self.words) {
                *word = column[row];
            }
            words
        };
        match &self.units {
            Units::Signed(units, _) => {
                self.kept.iter().try_for_each(|row| take(&fill(*row as usize, units[*row as usize].cast_unsigned()), &[]))
            }
            Units::Unsigned(units, _) => self.kept.iter().try_for_each(|row| take(&fill(*row as usize, units[*row as usize]), &[])),
            Units::Text(texts) => {
                let mut text = Text::default();
                self.kept.iter().try_for_each(|row| {
                    let words = text.read(texts, *row as usize);
                    take(&fill(*row as usize, hasher.text(words)), words)
                })
            }
        }
    }

    fn each_wide<E>(&self, hasher: Hasher, mut take: impl FnMut(&[u64], &[u64]) -> Result<(), E>) -> Result<(), E> {
        let (mut words, mut text) = (Vec::with_capacity(self.words.len() + 1), Text::default());
        for row in self.kept.iter().map(|row| *row as usize) {
            words.clear();
            words.push(match &self.units {
                Units::Signed(units, _) => units[row].cast_unsigned(),
                Units::Unsigned(units, _) => units[row],
                Units::Text(texts) => hasher.text(text.read(texts, row)),
            });
            words.extend(self.words.iter().map(|column| column[row]));
            take(&words, &text.words)?;
        }
        Ok(())
    }
}

/// The text of a unit: its length in bytes, then its bytes, the last word filled with zeros.
#[derive(Default)]
struct Text {
    words: Vec<u64>,
}

impl Text {
    #[inline]
    fn read(&mut self, texts: &Texts, row: usize) -> &[u64] {
        let bytes = texts.get(row).unwrap_or("").as_bytes();
        self.words.clear();
        self.words.push(bytes.len() as u64);
        let (whole, rest) = bytes.as_chunks::<8>();
        self.words.extend(whole.iter().map(|word| u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.words.push(u64::from_le_bytes(last));
        }
        &self.words
    }
}

/// The hash that says to which part of the data a row belongs.
#[inline]
pub(crate) fn hash_of(hasher: Hasher, row: &[u64]) -> u64 {
    hasher.person(row[0], partition_of(row[1]))
}
