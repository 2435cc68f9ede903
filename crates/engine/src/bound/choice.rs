//! Which groups of a person stay: in each partition the L0 with the smallest pseudo-random numbers, ties by what `Shape::rank` says.

use super::prf::Key;
use super::shape::{Shape, cell_of, partition_of};

/// Up to so many groups that may stay, they are kept in order one by one.
const FEW: usize = 8;

/// The pseudo-random number of a group and where it stands among a person's.
type Numbered = ((u64, u64), usize);

/// Chooses, in memory that is used again.
#[derive(Default)]
pub(super) struct Choice {
    /// Partition and number of each group, where there are several partitions.
    sorted: Vec<(u32, usize)>,
    numbers: Vec<Numbered>,
    stay: Vec<usize>,
}

impl Choice {
    /// Which of a person's groups stay, ascending. `places` are theirs, all different; `key` gives the person's in a partition.
    pub(super) fn of(&mut self, shape: &Shape, places: &[u64], key: impl Fn(u32) -> Key) -> &[usize] {
        self.stay.clear();
        if shape.partitions.len() == 1 {
            self.choose(shape, places, key(0), 0..places.len());
        } else {
            let mut sorted = std::mem::take(&mut self.sorted);
            sorted.clear();
            sorted.extend(places.iter().zip(0..).map(|(place, group)| (partition_of(*place), group)));
            sorted.sort_unstable();
            for groups in sorted.chunk_by(|a, b| a.0 == b.0) {
                self.choose(shape, places, key(groups[0].0), groups.iter().map(|(_, group)| *group));
            }
            self.sorted = sorted;
        }
        self.stay.sort_unstable();
        &self.stay
    }

    /// Chooses among groups of one partition.
    #[inline]
    fn choose(&mut self, shape: &Shape, places: &[u64], key: Key, groups: impl Iterator<Item = usize>) {
        self.numbers.clear();
        self.numbers.extend(groups.map(|group| (shape.rank(key, cell_of(places[group])), group)));
        let stay = least(&mut self.numbers, shape.max_groups as usize);
        self.stay.extend(stay.iter().map(|(_, group)| *group));
    }
}

/// The least so many, in any order; all where there are no more.
fn least(numbers: &mut [Numbered], most: usize) -> &[Numbered] {
    if numbers.len() <= most {
        return numbers;
    }
    if most > FEW {
        numbers.select_nth_unstable(most);
        return &numbers[..most];
    }
    let (least, others) = numbers.split_at_mut(most);
    least.sort_unstable();
    for other in others {
        let mut place = most - 1;
        if *other < least[place] {
            while place > 0 && *other < least[place - 1] {
                least[place] = least[place - 1];
                place -= 1;
            }
            least[place] = *other;
        }
    }
    least
}
