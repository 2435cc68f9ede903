//! Rows of one batch that count, as columns of words, and the rows that are made of them.

use std::borrow::Cow;

use arrow::buffer::BooleanBuffer;

use crate::read::{MAX_UNIT_BYTES, Texts, Units};

use super::hash::Hasher;

/// Words of the longest text of a unit, with its length.
pub(crate) const MAX_TEXT_WORDS: usize = 1 + MAX_UNIT_BYTES.div_ceil(8);

/// See the module.
pub(crate) struct Rows {
    pub(crate) kept: Kept,
    pub(crate) units: Units,
    /// All words of a row but the last, as `Shape` describes them.
    pub(crate) words: Vec<Vec<u64>>,
}

/// Which rows of a batch count.
pub(crate) enum Kept {
    /// So many, all of them.
    All(usize),
    /// These, ascending.
    Some(Vec<u32>),
}

impl Kept {
    pub(crate) fn new(kept: Option<&BooleanBuffer>, rows: usize) -> Self {
        match kept {
            Some(kept) if kept.count_set_bits() < rows => Self::Some(kept.set_indices_u32().collect()),
            _ => Self::All(rows),
        }
    }

    /// What a column holds for the rows that count.
    pub(crate) fn of<'a, T: Copy>(&self, column: &'a [T]) -> Cow<'a, [T]> {
        match self {
            Self::All(_) => Cow::Borrowed(column),
            Self::Some(rows) => rows.iter().map(|row| column[*row as usize]).collect(),
        }
    }

    /// Calls `take` with every row that counts.
    #[inline]
    pub(crate) fn each(&self, mut take: impl FnMut(usize)) {
        match self {
            Self::All(rows) => (0..*rows).for_each(take),
            Self::Some(rows) => rows.iter().for_each(|row| take(*row as usize)),
        }
    }
}

impl Rows {
    /// The rows that count, one behind the other, without their units.
    pub(crate) fn without_units(&self) -> Cow<'_, [u64]> {
        let [column] = self.words.as_slice() else {
            let mut rows = Vec::new();
            self.kept.each(|row| rows.extend(self.words.iter().map(|column| column[row])));
            return rows.into();
        };
        self.kept.of(column)
    }

    /// Calls `take` with every row whose unit is a text, with that text.
    pub(crate) fn texts<E>(&self, texts: &Texts, hasher: Hasher, mut take: impl FnMut(&[u64], &[u64]) -> Result<(), E>) -> Result<(), E> {
        let (mut words, mut text, mut outcome) = (Vec::new(), Text::default(), Ok(()));
        self.kept.each(|row| {
            let text = text.read(texts, row);
            words.clear();
            words.extend(self.words.iter().map(|column| column[row]));
            words.push(hasher.text(text));
            if outcome.is_ok() {
                outcome = take(&words, text);
            }
        });
        outcome
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
        self.words.clear();
        push_text(texts.get(row).unwrap_or(""), &mut self.words);
        &self.words
    }
}

/// Appends a text as [`Text`] has it.
#[inline]
pub(crate) fn push_text(text: &str, words: &mut Vec<u64>) {
    let (whole, rest) = text.as_bytes().as_chunks::<8>();
    words.push(text.len() as u64);
    words.extend(whole.iter().map(|word| u64::from_le_bytes(*word)));
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words.push(u64::from_le_bytes(last));
    }
}
