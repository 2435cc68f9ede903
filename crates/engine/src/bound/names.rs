//! Texts of an open group key while people are counted: each text of each partition gets a number, which stands in a row as the cell does for
//! declared keys.
//!
//! Numbers are given in the order in which texts come, so nothing that leaves a person's rows may depend on them. What decides which of a person's
//! texts are kept is a fingerprint of the text: 128 bits of the query's keyed hash, equal for two texts with a chance of 2^-128. How often each is counted
//! is known only when all rows have been dealt, and so is how many there are.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use super::prf::Key;
use super::shape::CELL_BITS;

/// What a text costs beside its bytes, in two maps and lists, and in the totals of each thread.
const ENTRY_BYTES: usize = 96;
const TOTAL_BYTES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Names {
    key: Key,
    limit: Option<usize>,
    entry_bytes: usize,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By partition.
    numbers: Vec<HashMap<Box<str>, u32>>,
    fingerprints: Vec<(u64, u64)>,
    bytes: usize,
    /// More texts came than fit.
    full: bool,
}

impl Names {
    /// `limit`: most bytes; `threads`: how many add up.
    pub(crate) fn new(key: Key, partitions: usize, limit: Option<usize>, threads: usize) -> Self {
        let known = Known { numbers: vec![HashMap::new(); partitions], ..Known::default() };
        Self { key, limit, entry_bytes: ENTRY_BYTES + TOTAL_BYTES * (threads + 1), known: RwLock::new(known) }
    }

    /// The numbers of texts in their partitions; `None` where there is no room, after which nothing of this counts.
    pub(crate) fn numbers<'a>(&self, texts: impl Iterator<Item = (usize, &'a str)>) -> Vec<Option<u32>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        texts.map(|(partition, text)| self.number(&mut known, partition, text)).collect()
    }

    fn number(&self, known: &mut Known, partition: usize, text: &str) -> Option<u32> {
        if let Some(number) = known.numbers.get(partition)?.get(text) {
            return Some(*number);
        }
        let bytes = known.bytes + self.entry_bytes + text.len();
        let number = u32::try_from(known.fingerprints.len()).ok().filter(|number| *number < 1 << CELL_BITS);
        let number = number.filter(|_| self.limit.is_none_or(|limit| bytes <= limit));
        let Some(number) = number else {
            known.full = true;
            return None;
        };
        known.bytes = bytes;
        known.numbers[partition].insert(text.into(), number);
        known.fingerprints.push(self.key.text(text.as_bytes()));
        Some(number)
    }

    /// Whether more texts came than fit.
    pub(crate) fn is_full(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).full
    }

    /// How many texts there are, over all partitions.
    pub(crate) fn len(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).fingerprints.len()
    }

    /// What decides whether a person keeps a text: the smallest stay.
    pub(crate) fn rank(&self, person: Key, number: u32) -> (u64, u64) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = known.fingerprints.get(number as usize).copied().unwrap_or((u64::MAX, u64::MAX));
        (person.name(first, second), first)
    }

    /// Every text with its number, by partition.
    pub(crate) fn take(&self) -> Vec<HashMap<Box<str>, u32>> {
        std::mem::take(&mut self.known.write().unwrap_or_else(PoisonError::into_inner).numbers)
    }
}
