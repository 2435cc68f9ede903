//! How often each bin of a histogram occurs in a group, and which of the values count.

use std::collections::BinaryHeap;

use super::prf::Key;

/// Bits of an entry that hold the count; the bin has 16.
const COUNT_BITS: u32 = 48;

const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Entries before the first time that equal bins are added up.
const FIRST_ENTRIES: usize = 8;

/// A multiset of bins as `bin << 48 | count`. Entries of one bin may repeat until the next compaction, so that adding is quick and
/// memory stays below twice the number of different bins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bins {
    entries: Vec<u64>,
}

impl Bins {
    /// Adds occurrences of a bin. Returns by how many bytes the memory grew.
    pub(crate) fn add(&mut self, bin: u16, count: u64) -> usize {
        let entry = u64::from(bin) << COUNT_BITS;
        if let Some(last) = self.entries.last_mut()
            && *last & !COUNT_MASK == entry
        {
            *last = entry | (*last & COUNT_MASK).saturating_add(count).min(COUNT_MASK);
            return 0;
        }
        let mut grown = 0;
        if self.entries.len() == self.entries.capacity() {
            self.compact();
            if self.entries.len() * 2 > self.entries.capacity() || self.entries.capacity() == 0 {
                let before = self.entries.capacity();
                self.entries.reserve_exact(self.entries.len().max(FIRST_ENTRIES) * 2 - self.entries.len());
                grown = (self.entries.capacity() - before) * 8;
            }
        }
        self.entries.push(entry | count.min(COUNT_MASK));
        grown
    }

    /// One entry a bin, sorted.
    pub(crate) fn compact(&mut self) {
        self.entries.sort_unstable();
        self.entries.dedup_by(|later, earlier| {
            let same = *later & !COUNT_MASK == *earlier & !COUNT_MASK;
            if same {
                let count = (*earlier & COUNT_MASK).saturating_add(*later & COUNT_MASK).min(COUNT_MASK);
                *earlier = *earlier & !COUNT_MASK | count;
            }
            same
        });
    }

    /// The entries as (bin, count); one a bin after [`Bins::compact`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.entries.iter().map(|entry| (u16::try_from(entry >> COUNT_BITS).unwrap_or(0), entry & COUNT_MASK))
    }

    pub(crate) fn entries(&self) -> &[u64] {
        &self.entries
    }

    /// Adds entries as [`Bins::entries`] gives them.
    pub(crate) fn add_entries(&mut self, entries: &[u64]) -> usize {
        entries.iter().map(|entry| self.add(u16::try_from(entry >> COUNT_BITS).unwrap_or(0), entry & COUNT_MASK)).sum()
    }

    /// Forgets all and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Calls `keep(bin, how often)` for at most `most` values: all, or those with the smallest pseudo-random numbers, ties by bin and occurrence. The
    /// choice is a function of the multiset.
    pub(crate) fn choose(&mut self, most: u32, cell: u32, key: impl FnOnce() -> Key, mut keep: impl FnMut(u16, u64)) {
        self.compact();
        let total = self.iter().fold(0u64, |total, (_, count)| total.saturating_add(count));
        if total <= u64::from(most) {
            self.iter().for_each(|(bin, count)| keep(bin, count));
            return;
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (key, mut least) = (key(), BinaryHeap::new());
        for (bin, count) in self.iter() {
            for occurrence in 0..count {
                let value = (key.value(cell, bin, occurrence), bin, occurrence);
                if least.len() < most {
                    least.push(value);
                } else if let Some(mut greatest) = least.peek_mut()
                    && value < *greatest
                {
                    *greatest = value;
                }
            }
        }
        for (_, bin, _) in least {
            keep(bin, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiset_of_bins_does_not_depend_on_order_and_stays_small() {
        let (mut forwards, mut backwards) = (Bins::default(), Bins::default());
        let values: Vec<u16> = (0..50_000u32).map(|n| u16::try_from(n * 7919 % 97).unwrap_or(0)).collect();
        let grown: usize = values.iter().map(|bin| forwards.add(*bin, 1)).sum();
        values.iter().rev().for_each(|bin| {
            backwards.add(*bin, 1);
        });
        forwards.compact();
        backwards.compact();
        assert_eq!(forwards.entries(), backwards.entries());
        assert!(forwards.iter().map(|(_, count)| count).sum::<u64>() == 50_000 && grown <= 97 * 4 * 8);
    }

    #[test]
    fn at_most_so_many_values_are_chosen_and_equal_ones_stand_apart() {
        let key = Key::of_query(&commun_domain::ids::QueryId::from_bytes([3; 32]));
        let mut bins = Bins::default();
        bins.add(5, 1000);
        bins.add(9, 1000);
        let mut chosen = [0u64; 10];
        bins.choose(200, 1, || key, |bin, count| chosen[usize::from(bin)] += count);
        assert_eq!(chosen.iter().sum::<u64>(), 200);
        // 100 each, standard deviation 7: neither bin stands or falls as a whole.
        assert!((60..140).contains(&chosen[5]), "{chosen:?}");
    }
}
