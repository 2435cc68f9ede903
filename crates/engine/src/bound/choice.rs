//! Which groups of a person stay: in each partition the L0 with the smallest pseudo-random numbers, the smaller cell of equal ones.

use super::prf::{Key, LANES, Numbering};
use super::shape::{Shape, cell_of, partition_of};

/// Up to so many groups that may stay, the greatest number that stays is found without a branch.
const FEW: usize = 8;

/// Chooses among declared groups, in memory that is used again.
#[derive(Default)]
pub(super) struct Choice {
    numbering: Numbering,
    /// The partition of each group and which of the person's it is, where there are several partitions.
    sorted: Vec<(u32, usize)>,
    cells: Vec<u64>,
    numbers: Vec<u64>,
    copy: Vec<u64>,
    stay: Vec<usize>,
}

impl Choice {
    /// Which of a person's groups stay, ascending. `places` are first words of their rows, no two of the same cell and partition; `key` gives the person's in a partition.
    pub(super) fn of(&mut self, shape: &Shape, places: &[u64], key: impl Fn(u32) -> Key) -> &[usize] {
        self.stay.clear();
        let most = shape.max_groups as usize;
        if places.len() <= most {
            self.stay.extend(0..places.len());
            return &self.stay;
        }
        if shape.partitions.len() == 1 {
            self.number(key(0), places.iter().map(|place| cell_of(*place)));
            self.choose(most, |group| group);
            return &self.stay;
        }
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        sorted.extend(places.iter().zip(0..).map(|(place, group)| (partition_of(*place), group)));
        sorted.sort_unstable();
        for groups in sorted.chunk_by(|a, b| a.0 == b.0) {
            if groups.len() <= most {
                self.stay.extend(groups.iter().map(|(_, group)| *group));
                continue;
            }
            self.number(key(groups[0].0), groups.iter().map(|(_, group)| cell_of(places[*group])));
            self.choose(most, |group| groups[group].1);
        }
        self.sorted = sorted;
        self.stay.sort_unstable();
        &self.stay
    }

    /// Numbers groups of one partition.
    #[inline]
    fn number(&mut self, key: Key, cells: impl Iterator<Item = u32>) {
        self.cells.clear();
        self.cells.extend(cells.map(u64::from));
        let groups = self.cells.len();
        self.cells.resize(groups.next_multiple_of(LANES), 0);
        self.numbers.resize(self.cells.len(), 0);
        self.numbering.number(key, self.cells.as_chunks().0, self.numbers.as_chunks_mut().0);
        self.cells.truncate(groups);
        self.numbers.truncate(groups);
    }

    /// Chooses among the groups that are numbered. `group` tells which they are of the person's.
    #[inline]
    fn choose(&mut self, most: usize, group: impl Fn(usize) -> usize) {
        let (groups, before) = (self.numbers.len(), self.stay.len());
        if groups <= most {
            return self.stay.extend((0..groups).map(group));
        }
        let Some(greatest) = self.greatest(most) else { return };
        // Written for every group and kept for some: a branch would often be guessed wrong.
        self.stay.resize(before + groups, 0);
        let mut kept = before;
        for (place, number) in self.numbers.iter().enumerate() {
            self.stay[kept] = group(place);
            kept += usize::from(*number <= greatest);
        }
        self.stay.truncate(kept);
        if kept > before + most {
            // Equal numbers.
            self.stay.truncate(before);
            let mut numbered: Vec<((u64, u64), usize)> = self.numbers.iter().copied().zip(self.cells.iter().copied()).zip(0..).collect();
            numbered.sort_unstable();
            numbered.truncate(most);
            self.stay.extend(numbered.into_iter().map(|(_, place)| group(place)));
            self.stay[before..].sort_unstable();
        }
    }

    /// The greatest number that stays; `None` where nothing does.
    #[inline]
    fn greatest(&mut self, most: usize) -> Option<u64> {
        Some(match most {
            0 => return None,
            1 => greatest::<1>(&self.numbers),
            2 => greatest::<2>(&self.numbers),
            3 => greatest::<3>(&self.numbers),
            4 => greatest::<4>(&self.numbers),
            5..=FEW => greatest_of(&mut [u64::MAX; FEW][..most], &self.numbers),
            _ => {
                self.copy.clone_from(&self.numbers);
                *self.copy.select_nth_unstable(most - 1).1
            }
        })
    }
}

/// The greatest of the so many smallest numbers of a longer list.
fn greatest<const MOST: usize>(numbers: &[u64]) -> u64 {
    greatest_of(&mut [u64::MAX; MOST], numbers)
}

/// The same, with room for the smallest numbers.
#[inline]
fn greatest_of(least: &mut [u64], numbers: &[u64]) -> u64 {
    for number in numbers {
        // The smaller one takes the place, the greater one goes on.
        least.iter_mut().fold(*number, |number, place| {
            let (smaller, greater) = (number.min(*place), number.max(*place));
            *place = smaller;
            greater
        });
    }
    least.last().copied().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stays of groups with these numbers, each with its place for its cell, counted down.
    fn stay(numbers: &[u64], most: usize) -> Vec<usize> {
        let cells = (0..numbers.len() as u64).rev().collect();
        let mut choice = Choice { numbers: numbers.to_vec(), cells, ..Choice::default() };
        choice.choose(most, |group| group);
        choice.stay
    }

    #[test]
    fn the_smallest_numbers_stay_and_of_equal_ones_the_smaller_cells() {
        let numbers: Vec<u64> = (0..40u64).map(|place| place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3).collect();
        let equal = [5, 9, 5, 5, u64::MAX, 1, u64::MAX, 5, 9];
        for numbers in [numbers.as_slice(), &equal] {
            for most in 0..=numbers.len() + 1 {
                let mut expected: Vec<(u64, usize)> = numbers.iter().copied().zip((0..numbers.len()).rev()).collect();
                expected.sort_unstable();
                let mut expected: Vec<usize> = expected.into_iter().take(most).map(|(_, cell)| numbers.len() - 1 - cell).collect();
                expected.sort_unstable();
                assert_eq!(stay(numbers, most), expected, "{most} of {numbers:?}");
            }
        }
    }
}
