//! Persons and their groups, kept in place while rows stream by: `BoundPerPerson` and the sums of each group.
//!
//! A person has at most L0 groups in a partition: those with the smallest pseudo-random numbers, ties by cell. Dropping a group at once is exact:
//! a group that was pushed out by L0 groups with smaller numbers never comes back, because those only get replaced by smaller ones, so every
//! survivor has seen all of its rows. The same holds for parts of a table that are added up later: a group among the smallest of all rows
//! is among the smallest of every part that it occurs in. So memory grows with groups, not with rows, and order changes nothing.
//!
//! Persons are compared by their full id; a hash only says where to look.

use std::convert::Infallible;
use std::io::Write;

use super::bins::Bins;
use super::hash::Hasher;
use super::prf::Key;
use super::shape::{Contribution, Lane, SharedShape, Totals, cell_of, partition_of};
use crate::read::UnitKind;

/// No group, no text, not beyond the bound.
const NONE: u32 = u32::MAX;

/// A table begins with so many entries for persons.
const FIRST_SLOTS: usize = 64;

#[derive(Clone, Copy, Debug)]
struct Person {
    unit: u64,
    partition: u32,
    /// First of its groups.
    head: u32,
    groups: u32,
    /// Its place in `beyond`.
    beyond: u32,
    /// Its text in `texts`.
    text: u32,
}

/// A person with as many groups as may be: which one goes next.
#[derive(Clone, Copy, Debug)]
struct Beyond {
    key: Key,
    greatest: (u64, u64),
    group: u32,
}

/// See the module.
pub(crate) struct Table {
    shape: SharedShape,
    kind: UnitKind,
    hasher: Hasher,
    /// Place of a person, plus 1; 0 is free. A power of two, at most half used.
    slots: Vec<u32>,
    persons: Vec<Person>,
    /// `stride` words a group: its cell, the next group of the person, its sums.
    groups: Vec<u64>,
    stride: usize,
    bins: Vec<Bins>,
    /// Lengths in bytes and bytes of units that are text.
    texts: Vec<u64>,
    beyond: Vec<Beyond>,
    bin_bytes: usize,
    scratch: Vec<u8>,
}

impl Table {
    pub(crate) fn new(shape: SharedShape, kind: UnitKind, hasher: Hasher) -> Self {
        let stride = 1 + shape.sum_words();
        Self {
            shape,
            kind,
            hasher,
            slots: vec![0; FIRST_SLOTS],
            persons: Vec::new(),
            groups: Vec::new(),
            stride,
            bins: Vec::new(),
            texts: Vec::new(),
            beyond: Vec::new(),
            bin_bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Persons in partitions.
    pub(crate) fn len(&self) -> usize {
        self.persons.len()
    }

    /// Memory that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * 4
            + self.persons.capacity() * size_of::<Person>()
            + (self.groups.capacity() + self.texts.capacity()) * 8
            + self.beyond.capacity() * size_of::<Beyond>()
            + self.bins.capacity() * size_of::<Bins>()
            + self.bin_bytes
    }

    /// Forgets everybody and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(0);
        self.persons.clear();
        self.groups.clear();
        self.bins.clear();
        self.bin_bytes = 0;
        self.texts.clear();
        self.beyond.clear();
    }

    /// Adds a row, which `shape` describes; `text` is its unit's length in bytes and its bytes in words, empty for integers.
    #[inline]
    pub(crate) fn add_row(&mut self, row: &[u64], text: &[u64]) {
        let person = self.person(row[0], partition_of(row[1]), text);
        self.add_row_of(person, row);
    }

    /// The last person that was added, if it is this one: rows that come sorted need no looking up.
    #[inline]
    pub(crate) fn last_is(&self, unit: u64, partition: u32) -> Option<u32> {
        let last = self.persons.last().filter(|last| last.unit == unit && last.partition == partition && last.text == NONE);
        last.and_then(|_| u32::try_from(self.persons.len() - 1).ok())
    }

    #[inline]
    pub(crate) fn add_row_of(&mut self, person: u32, row: &[u64]) {
        let Some(group) = self.group(person, cell_of(row[1])) else { return };
        let start = group as usize * self.stride;
        let sums = &mut self.groups[start + 1..start + self.stride];
        let mut at = 0;
        for lane in &self.shape.lanes {
            match *lane {
                Lane::Count(flag) => sums[at] = sums[at].saturating_add(flag.of(row)),
                Lane::Sum { slot } => add_wide(sums, at, i128::from(row[slot].cast_signed())),
                Lane::Squares { flag, slot, centre } => {
                    // |2x - centre| is at most the range, which the price bounds by 2^22.
                    let off = i128::from(row[slot].cast_signed()) * 2 - i128::from(centre);
                    add_wide(sums, at, if flag.of(row) == 1 { off * off } else { 0 });
                }
            }
            at += lane.words();
        }
        if !self.shape.bin_lanes.is_empty() {
            self.add_bins(group, row);
        }
    }

    fn add_bins(&mut self, group: u32, row: &[u64]) {
        let width = self.shape.bin_lanes.len();
        for (lane, bins) in self.shape.bin_lanes.iter().zip(&mut self.bins[group as usize * width..]) {
            if lane.flag.of(row) == 1 {
                self.bin_bytes += bins.add(u16::try_from(row[lane.slot]).unwrap_or(u16::MAX), 1);
            }
        }
    }

    /// Adds a group as [`Table::export`] writes it, without the leading length.
    pub(crate) fn add_group(&mut self, record: &[u64]) {
        let (unit, place, sums_end) = (record[0], record[1], 1 + self.stride);
        let text_end = if self.kind == UnitKind::Text { sums_end + text_words(&record[sums_end..]) } else { sums_end };
        let person = self.person(unit, partition_of(place), &record[sums_end..text_end]);
        let Some(group) = self.group(person, cell_of(place)) else { return };
        let start = group as usize * self.stride;
        let sums = &mut self.groups[start + 1..start + self.stride];
        let mut at = 0;
        for lane in &self.shape.lanes {
            match lane {
                Lane::Count(_) => sums[at] = sums[at].saturating_add(record[2 + at]),
                Lane::Sum { .. } | Lane::Squares { .. } => add_wide(sums, at, super::shape::wide(record, 2 + at)),
            }
            at += lane.words();
        }
        let mut rest = &record[text_end..];
        let width = self.shape.bin_lanes.len();
        for bins in self.bins[group as usize * width..].iter_mut().take(width) {
            let count = usize::try_from(rest[0]).unwrap_or(0);
            self.bin_bytes += bins.add_entries(&rest[1..=count]);
            rest = &rest[1 + count..];
        }
    }

    /// Adds every group of another table, or those of one unit.
    pub(crate) fn add_groups_of(&mut self, other: &mut Self, of: impl Fn(u64, &[u64]) -> bool) {
        let add = |record: &[u64]| {
            self.add_group(&record[1..]);
            Ok::<_, Infallible>(())
        };
        let Ok(()) = other.export(add, of);
    }

    /// Writes every group of every person, or of those with one unit, as a record: its length in words, unit, place, sums, text, bins.
    pub(crate) fn export<E>(&mut self, mut write: impl FnMut(&[u64]) -> Result<(), E>, of: impl Fn(u64, &[u64]) -> bool) -> Result<(), E> {
        let width = self.shape.bin_lanes.len();
        let mut record = Vec::new();
        for person in &self.persons {
            let text = text_of(&self.texts, person.text);
            if !of(person.unit, text) {
                continue;
            }
            let mut group = person.head;
            while group != NONE {
                let start = group as usize * self.stride;
                let words = &self.groups[start..start + self.stride];
                let (cell, next) = split(words[0]);
                record.clear();
                record.extend_from_slice(&[0, person.unit, u64::from(person.partition) << super::shape::CELL_BITS | u64::from(cell)]);
                record.extend_from_slice(&words[1..]);
                record.extend_from_slice(text);
                for bins in self.bins[group as usize * width..].iter_mut().take(width) {
                    bins.compact();
                    record.push(bins.entries().len() as u64);
                    record.extend_from_slice(bins.entries());
                }
                record[0] = record.len() as u64 - 1;
                write(&record)?;
                group = next;
            }
        }
        Ok(())
    }

    /// Adds what everybody, or everybody but one unit, contributes.
    pub(crate) fn total(&mut self, totals: &mut Totals, but: impl Fn(u64, &[u64]) -> bool) {
        for place in 0..self.persons.len() {
            let person = self.persons[place];
            if but(person.unit, text_of(&self.texts, person.text)) {
                continue;
            }
            let mut group = person.head;
            while group != NONE {
                let start = group as usize * self.stride;
                let (cell, next) = split(self.groups[start]);
                let sums = &self.groups[start + 1..start + self.stride];
                for (output, contribution) in totals.outputs.iter_mut().zip(&self.shape.outputs) {
                    if let Some(total) = output.get_mut(cell as usize)
                        && !matches!(contribution, Contribution::Histogram { .. })
                    {
                        *total = total.saturating_add(contribution.of(sums));
                    }
                }
                if !self.shape.bin_lanes.is_empty() {
                    self.total_bins(person, group, cell, totals);
                }
                group = next;
            }
        }
    }

    fn total_bins(&mut self, person: Person, group: u32, cell: u32, totals: &mut Totals) {
        let shape = SharedShape::clone(&self.shape);
        for (output, contribution) in totals.outputs.iter_mut().zip(&shape.outputs) {
            let Contribution::Histogram { lane, bins_log2, most } = *contribution else { continue };
            let width = (2usize << bins_log2) - 1;
            let Some(nodes) = output.get_mut(cell as usize * width..(cell as usize + 1) * width) else { continue };
            let mut bins = std::mem::take(&mut self.bins[group as usize * shape.bin_lanes.len() + lane]);
            bins.choose(
                most,
                cell,
                || self.key_of(person),
                |bin, count| {
                    // From the leaf to the root.
                    let mut node = Some((1usize << bins_log2) - 1 + usize::from(bin));
                    while let Some(at) = node {
                        if let Some(total) = nodes.get_mut(at) {
                            *total = total.saturating_add(i128::from(count));
                        }
                        node = at.checked_sub(1).map(|at| at / 2);
                    }
                },
            );
            // Two outputs may read one lane.
            self.bins[group as usize * shape.bin_lanes.len() + lane] = bins;
        }
    }

    /// The place of a person, new or not.
    #[inline]
    fn person(&mut self, unit: u64, partition: u32, text: &[u64]) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = place_in(self.hasher.person(unit, partition), mask);
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                return self.new_person(slot, unit, partition, text);
            }
            let person = &self.persons[entry as usize - 1];
            if person.unit == unit && person.partition == partition && (text.is_empty() || text_of(&self.texts, person.text) == text) {
                return entry - 1;
            }
            slot = (slot + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        self.slots = vec![0; size];
        for (person, number) in self.persons.iter().zip(1..) {
            let mut slot = place_in(self.hasher.person(person.unit, person.partition), size - 1);
            while self.slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            self.slots[slot] = number;
        }
    }

    fn new_person(&mut self, slot: usize, unit: u64, partition: u32, text: &[u64]) -> u32 {
        let number = u32::try_from(self.persons.len()).unwrap_or(NONE);
        let at = if text.is_empty() { NONE } else { u32::try_from(self.texts.len()).unwrap_or(NONE) };
        self.texts.extend_from_slice(text);
        self.persons.push(Person { unit, partition, head: NONE, groups: 0, beyond: NONE, text: at });
        self.slots[slot] = number + 1;
        if self.persons.len() * 2 > self.slots.len() {
            self.grow();
        }
        number
    }

    /// The group of a person in a cell; `None` when it does not belong to those that are kept.
    #[inline]
    fn group(&mut self, person: u32, cell: u32) -> Option<u32> {
        let mut group = self.persons[person as usize].head;
        while group != NONE {
            let (found, next) = split(self.groups[group as usize * self.stride]);
            if found == cell {
                return Some(group);
            }
            group = next;
        }
        self.new_group(person, cell)
    }

    fn new_group(&mut self, person: u32, cell: u32) -> Option<u32> {
        let known = &mut self.persons[person as usize];
        if known.groups >= self.shape.max_groups {
            return self.replace(person, cell);
        }
        let group = u32::try_from(self.groups.len() / self.stride).ok()?;
        self.groups.push(join(cell, known.head));
        self.groups.resize(self.groups.len() + self.stride - 1, 0);
        self.bins.resize(self.bins.len() + self.shape.bin_lanes.len(), Bins::default());
        known.head = group;
        known.groups += 1;
        Some(group)
    }

    /// Puts a cell in the place of the group with the greatest number, should its own be smaller.
    fn replace(&mut self, person: u32, cell: u32) -> Option<u32> {
        let known = self.persons[person as usize];
        if known.beyond == NONE {
            let key = self.key_of(known);
            let beyond = u32::try_from(self.beyond.len()).ok()?;
            let (greatest, group) = self.greatest(known, key);
            self.beyond.push(Beyond { key, greatest, group });
            self.persons[person as usize].beyond = beyond;
            return self.replace_in(beyond, known, cell);
        }
        self.replace_in(known.beyond, known, cell)
    }

    #[inline]
    fn replace_in(&mut self, beyond: u32, person: Person, cell: u32) -> Option<u32> {
        let Beyond { key, greatest, group } = self.beyond[beyond as usize];
        if self.shape.rank(key, cell) >= greatest {
            return None;
        }
        let start = group as usize * self.stride;
        let (_, next) = split(self.groups[start]);
        self.groups[start] = join(cell, next);
        self.groups[start + 1..start + self.stride].fill(0);
        let width = self.shape.bin_lanes.len();
        self.bins[group as usize * width..].iter_mut().take(width).for_each(Bins::clear);
        let (greatest, other) = self.greatest(person, key);
        self.beyond[beyond as usize] = Beyond { key, greatest, group: other };
        Some(group)
    }

    /// The group of a person that has the greatest pseudo-random number.
    fn greatest(&self, person: Person, key: Key) -> ((u64, u64), u32) {
        let mut greatest = ((0, 0), person.head);
        let mut group = person.head;
        while group != NONE {
            let (cell, next) = split(self.groups[group as usize * self.stride]);
            greatest = greatest.max((self.shape.rank(key, cell), group));
            group = next;
        }
        greatest
    }

    /// The key of a person's choice, from the text of the full id.
    fn key_of(&mut self, person: Person) -> Key {
        let mut message = std::mem::take(&mut self.scratch);
        let mut id = Vec::new();
        match self.kind {
            UnitKind::Text => {
                let text = text_of(&self.texts, person.text);
                id.extend(text.iter().skip(1).flat_map(|word| word.to_le_bytes()));
                id.truncate(text.first().map_or(0, |bytes| usize::try_from(*bytes).unwrap_or(0)));
            }
            UnitKind::Signed => drop(write!(id, "{}", person.unit.cast_signed())),
            UnitKind::Unsigned => drop(write!(id, "{}", person.unit)),
        }
        let period = self.shape.partitions.get(person.partition as usize).copied().unwrap_or(commun_domain::calendar::Period(0));
        let key = self.shape.key.of_person(period, &id, &mut message);
        self.scratch = message;
        key
    }
}

/// Where to look first: the lowest bits, as the highest ones choose the part of the data that the table holds.
#[inline]
fn place_in(hash: u64, mask: usize) -> usize {
    usize::try_from(hash & u64::from(u32::MAX)).unwrap_or(0) & mask
}

#[inline]
fn join(cell: u32, next: u32) -> u64 {
    u64::from(next) << 32 | u64::from(cell)
}

#[inline]
fn split(word: u64) -> (u32, u32) {
    (u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0), u32::try_from(word >> 32).unwrap_or(0))
}

#[inline]
fn add_wide(words: &mut [u64], at: usize, value: i128) {
    // Counts of rows and bounds of values keep it within 128 bits.
    let sum = super::shape::wide(words, at).wrapping_add(value).cast_unsigned();
    words[at] = u64::try_from(sum & u128::from(u64::MAX)).unwrap_or(0);
    words[at + 1] = u64::try_from(sum >> 64).unwrap_or(0);
}

/// Words of a text with its length, which is its first word.
#[inline]
pub(crate) fn text_words(text: &[u64]) -> usize {
    1 + usize::try_from(text[0]).unwrap_or(0).div_ceil(8)
}

#[inline]
fn text_of(texts: &[u64], at: u32) -> &[u64] {
    if at == NONE {
        return &[];
    }
    let text = &texts[at as usize..];
    &text[..text_words(text)]
}
