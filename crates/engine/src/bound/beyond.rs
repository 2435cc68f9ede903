//! Persons with as many groups as may be and rows of others: which of their groups goes next.

use super::prf::Key;
use super::shape::Shape;

/// The pseudo-random number of a group, and what decides among equals (`Shape::rank`).
type Numbered = (u64, u64);

#[derive(Clone, Copy, Debug)]
struct Beyond {
    key: Key,
    /// The greatest number of its groups, and which of them has it.
    greatest: Numbered,
    group: u32,
    /// Where its groups stand in `groups`, and how many they are.
    start: usize,
    groups: u32,
}

/// See the module. Groups of a person are numbered in the order in which it got them.
#[derive(Default)]
pub(super) struct Beyonds {
    persons: Vec<Beyond>,
    groups: Vec<Numbered>,
}

impl Beyonds {
    /// Memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.persons.capacity() * size_of::<Beyond>() + self.groups.capacity() * size_of::<Numbered>()
    }

    pub(super) fn clear(&mut self) {
        self.persons.clear();
        self.groups.clear();
    }

    /// A person with its groups. `None` beyond 2^32 persons, which no memory holds.
    pub(super) fn add(&mut self, key: Key, cells: impl Iterator<Item = u32>, shape: &Shape) -> Option<u32> {
        let (number, start) = (u32::try_from(self.persons.len()).ok()?, self.groups.len());
        self.groups.extend(cells.map(|cell| shape.rank(key, cell)));
        let (greatest, group) = greatest(&self.groups[start..]);
        self.persons.push(Beyond { key, greatest, group, start, groups: u32::try_from(self.groups.len() - start).ok()? });
        Some(number)
    }

    /// Puts a cell in the place of the person's group with the greatest number, should its own be smaller. Returns which group that was.
    #[inline]
    pub(super) fn replace(&mut self, person: u32, cell: u32, shape: &Shape) -> Option<usize> {
        let beyond = &mut self.persons[person as usize];
        let numbered = shape.rank(beyond.key, cell);
        if numbered >= beyond.greatest {
            return None;
        }
        let gone = beyond.group as usize;
        let groups = &mut self.groups[beyond.start..beyond.start + beyond.groups as usize];
        groups[gone] = numbered;
        (beyond.greatest, beyond.group) = greatest(groups);
        Some(gone)
    }
}

/// The greatest number, and which group has it.
fn greatest(groups: &[Numbered]) -> (Numbered, u32) {
    groups.iter().copied().zip(0..).max().unwrap_or(((0, 0), 0))
}
