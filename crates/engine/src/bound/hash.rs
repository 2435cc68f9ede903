//! Where persons stand in a table, and to which part of the data they belong. It decides no result.

use std::hash::{BuildHasher, RandomState};

use super::shape::partition_of;

/// Random multipliers of a process: where a person stands in a table is no function of its id alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    k0: u64,
    k1: u64,
}

impl Hasher {
    pub(crate) fn new() -> Self {
        let state = RandomState::new();
        Self { k0: state.hash_one(0u8), k1: state.hash_one(1u8) | 1 }
    }

    #[inline]
    fn fold(a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0) ^ u64::try_from(product >> 64).unwrap_or(0)
    }

    /// The hash of a person in a partition, from the unit's word. Only for finding: persons are told apart by their full id.
    #[inline]
    pub(crate) fn person(self, unit: u64, partition: u32) -> u64 {
        Self::fold(unit ^ self.k0, self.k1.wrapping_add(u64::from(partition) << 32))
    }

    /// Where to look first among slots, whose number is a power of two and one more than `mask`: the lowest bits of a hash, as the highest ones choose the part
    /// of the data.
    #[inline]
    pub(crate) fn slot(hash: u64, mask: usize) -> usize {
        usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0) & mask
    }

    /// The word of a text.
    #[inline]
    pub(crate) fn text(self, words: &[u64]) -> u64 {
        words.iter().fold(self.k1, |hash, word| Self::fold(hash ^ word, self.k0 | 1).rotate_left(23))
    }

    /// The hash that says to which part of the data a group belongs, as `Table::export` writes it.
    #[inline]
    pub(crate) fn group(self, record: &[u64]) -> u64 {
        self.person(record[0], partition_of(record[1]))
    }
}
