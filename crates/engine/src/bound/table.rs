//! Persons and their groups, kept in place while rows stream by: `BoundPerPerson` and the sums of each group.
//!
//! A person has at most L0 groups in a partition: those with the smallest pseudo-random numbers, ties by cell. Dropping a group at once is exact:
//! a group that was pushed out by L0 groups with smaller numbers never comes back, because those only get replaced by smaller ones, so every
//! survivor has seen all of its rows. The same holds for parts of a table that are added up later: a group among the smallest of all rows
//! is among the smallest of every part that it occurs in. So memory grows with groups, not with rows, and order changes nothing.
//!
//! Persons are compared by their full id; a hash only says where to look. A person's first groups stand beside its id, in one block of memory; further
//! groups in blocks that are chained to it.

mod groups;
mod quick;

use super::beyond::Beyonds;
use super::bins::Bins;
use super::hash::Hasher;
use super::shape::{Adding, NO_CELL, SharedShape, cell_of, partition_of, text_words};
use crate::read::UnitKind;

use super::words::{add_counted, half, high, join, low, place_of, set_half};

/// No block, no text, no group.
pub(super) const NONE: u32 = NO_CELL;

/// A table begins with so many entries for persons, and has at least so many for each of them, so that nearly everybody is found at once.
const FIRST_SLOTS: usize = 64;
const SLOTS_PER_PERSON: usize = 4;

/// Words of a block before its cells: the unit; partition and the place among those beyond the bound.
const HEAD: usize = 2;

/// Then, in the general case, the next block and the text.
const LINKS: usize = 2;

/// Most groups of a block.
const MOST_BLOCK_GROUPS: usize = 4;

/// The second word of a block that is chained to another.
const CHAINED: u64 = u64::MAX;

/// A group: its block and its place in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    block: u32,
    place: usize,
}

/// See the module.
pub(crate) struct Table {
    shape: SharedShape,
    kind: UnitKind,
    hasher: Hasher,
    adding: Adding,
    /// First block of a person, plus 1; 0 is free. A power of two.
    slots: Vec<u32>,
    /// `stride` words a block: head, cells two a word, sums of each group.
    blocks: Vec<u64>,
    /// Whether nobody has more groups than a block, and no unit is a text: then there are no links.
    simple: bool,
    /// Groups of a block.
    places: usize,
    sum_words: usize,
    /// Where in a block cells and sums begin.
    cells_at: usize,
    sums_at: usize,
    stride: usize,
    persons: usize,
    bins: Vec<Bins>,
    bin_bytes: usize,
    /// Lengths in bytes and bytes of units that are text.
    texts: Vec<u64>,
    beyonds: Beyonds,
}

impl Table {
    pub(crate) fn new(shape: SharedShape, kind: UnitKind, hasher: Hasher) -> Self {
        let sum_words = shape.sum_words();
        // Of wide groups a person is not given more than it has.
        let places = if sum_words > 8 { 1 } else { MOST_BLOCK_GROUPS.min(shape.max_groups as usize).max(1) };
        let simple = places == shape.max_groups as usize && kind != UnitKind::Text;
        let cells_at = if simple { HEAD } else { HEAD + 1 };
        let sums_at = cells_at + places.div_ceil(2);
        Self {
            kind,
            hasher,
            adding: shape.adding(),
            slots: vec![0; FIRST_SLOTS],
            blocks: Vec::new(),
            simple,
            places,
            sum_words,
            cells_at,
            sums_at,
            stride: sums_at + places * sum_words,
            persons: 0,
            bins: Vec::new(),
            bin_bytes: 0,
            texts: Vec::new(),
            beyonds: Beyonds::default(),
            shape,
        }
    }

    /// Persons in partitions.
    pub(crate) fn len(&self) -> usize {
        self.persons
    }

    /// Memory that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * 4
            + (self.blocks.capacity() + self.texts.capacity()) * 8
            + self.bins.capacity() * size_of::<Bins>()
            + self.bin_bytes
            + self.beyonds.bytes()
    }

    /// Forgets everybody and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(0);
        self.blocks.clear();
        self.persons = 0;
        self.bins.clear();
        self.bin_bytes = 0;
        self.texts.clear();
        self.beyonds.clear();
    }

    /// Adds a row, which `shape` describes; `text` is its unit's length in bytes and its bytes in words, empty for integers.
    #[inline]
    pub(crate) fn add_row(&mut self, row: &[u64], text: &[u64]) {
        let person = self.person(row[row.len() - 1], partition_of(row[0]), text);
        self.add_row_of(person, row);
    }

    /// Adds a row of a person whose place is known; its unit is not read.
    pub(crate) fn add_row_of(&mut self, person: u32, row: &[u64]) {
        let Some(group) = self.group(person, cell_of(row[0])) else { return };
        match (self.adding, self.sums_of(group)) {
            (Adding::Count, [count]) => *count = count.saturating_add(1),
            (Adding::CountAndSum(value), [count, low, high]) => add_counted(count, low, high, 1, value.of(row)),
            _ => self.add_lanes(group, row),
        }
    }

    fn add_lanes(&mut self, group: Group, row: &[u64]) {
        let shape = SharedShape::clone(&self.shape);
        shape.add(self.sums_of(group), row);
        if !shape.bin_lanes.is_empty() {
            self.bin_bytes += shape.add_bins(self.bins_of(group), row);
        }
    }

    /// The first block of a person, new or not.
    #[inline]
    pub(crate) fn person(&mut self, unit: u64, partition: u32, text: &[u64]) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = Hasher::slot(self.hasher.person(unit, partition), mask);
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                return self.new_person(slot, unit, partition, text);
            }
            let at = (entry - 1) as usize * self.stride;
            let head = &self.blocks[at..at + HEAD];
            if head[0] == unit && low(head[1]) == partition && (text.is_empty() || self.text(entry - 1) == text) {
                return entry - 1;
            }
            slot = (slot + 1) & mask;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        let mut slots = vec![0; size];
        for block in (0..self.len_blocks()).filter(|block| self.is_first(*block)) {
            let (unit, partition) = self.who(block);
            let mut slot = Hasher::slot(self.hasher.person(unit, partition), size - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = block + 1;
        }
        self.slots = slots;
    }

    fn new_person(&mut self, slot: usize, unit: u64, partition: u32, text: &[u64]) -> u32 {
        let at = if text.is_empty() { NONE } else { u32::try_from(self.texts.len()).unwrap_or(NONE) };
        self.texts.extend_from_slice(text);
        let block = self.new_block(unit, join(partition, NONE), at);
        self.slots[slot] = block + 1;
        self.persons += 1;
        if self.persons * SLOTS_PER_PERSON > self.slots.len() {
            self.grow();
        }
        block
    }

    fn new_block(&mut self, first: u64, second: u64, text: u32) -> u32 {
        // There are no 2^32 blocks: they would take 160 GB in each of the parts.
        let block = u32::try_from(self.blocks.len() / self.stride).unwrap_or(NONE - 1);
        if self.blocks.capacity() - self.blocks.len() < self.stride {
            self.blocks.reserve_exact((self.blocks.len() / 2).max(16 * self.stride));
        }
        let end = self.blocks.len() + self.stride;
        self.blocks.extend_from_slice(&[first, second]);
        if !self.simple {
            self.blocks.push(join(NONE, text));
        }
        self.blocks.resize(end - self.stride + self.sums_at, u64::MAX);
        self.blocks.resize(end, 0);
        self.bins.resize(self.bins.len() + self.places * self.shape.bin_lanes.len(), Bins::default());
        block
    }

    /// The group of a person in a cell; `None` when it does not belong to those that are kept.
    fn group(&mut self, person: u32, cell: u32) -> Option<Group> {
        match self.find(person, cell) {
            Some(place) => Some(Group { block: person, place }),
            None => self.seek(person, cell),
        }
    }

    /// The place of a cell in a block.
    #[inline]
    fn find(&self, block: u32, cell: u32) -> Option<usize> {
        match self.places {
            4 => place_of::<4>(self.cells(block), cell),
            3 => place_of::<3>(self.cells(block), cell),
            2 => place_of::<2>(self.cells(block), cell),
            _ => place_of::<1>(self.cells(block), cell),
        }
    }

    /// A group that is not in a person's first block.
    fn seek(&mut self, person: u32, cell: u32) -> Option<Group> {
        let most = self.shape.max_groups as usize;
        let (mut block, mut groups) = (person, 0);
        loop {
            if let Some(place) = self.find(block, NONE) {
                if groups + place < most {
                    let group = Group { block, place };
                    self.set_cell(group, cell);
                    return Some(group);
                }
                return self.replace(person, cell);
            }
            groups += self.places;
            let next = self.next(block);
            if next == NONE {
                break;
            }
            block = next;
            if let Some(place) = self.find(block, cell) {
                return Some(Group { block, place });
            }
        }
        if groups >= most {
            return self.replace(person, cell);
        }
        let group = Group { block: self.new_block(0, CHAINED, NONE), place: 0 };
        let at = block as usize * self.stride + LINKS;
        self.blocks[at] = join(group.block, high(self.blocks[at]));
        self.set_cell(group, cell);
        Some(group)
    }

    /// Puts a cell in the place of the group with the greatest number, should its own be smaller.
    fn replace(&mut self, person: u32, cell: u32) -> Option<Group> {
        let at = person as usize * self.stride + 1;
        let mut beyond = high(self.blocks[at]);
        if beyond == NONE {
            beyond = self.go_beyond(person)?;
            self.blocks[at] = join(low(self.blocks[at]), beyond);
        }
        let number = self.beyonds.replace(beyond, cell, &self.shape)?;
        let mut block = person;
        for _ in 0..number / self.places {
            block = self.next(block);
        }
        let group = Group { block, place: number % self.places };
        self.set_cell(group, cell);
        self.sums_of(group).fill(0);
        self.bins_of(group).iter_mut().for_each(Bins::clear);
        Some(group)
    }

    /// A person has as many groups as may be and a row of another one.
    fn go_beyond(&mut self, person: u32) -> Option<u32> {
        let (unit, partition) = self.who(person);
        let key = self.shape.person_key(self.kind, unit, self.text(person), partition);
        // Apart for a moment, as the cells stand in the table.
        let mut beyonds = std::mem::take(&mut self.beyonds);
        let (table, places, most) = (&*self, self.places, self.shape.max_groups as usize);
        let blocks = std::iter::successors(Some(person), |block| Some(table.next(*block)).filter(|next| *next != NONE));
        let cells = blocks.flat_map(|block| (0..places).map(move |place| table.cell(Group { block, place }))).take(most);
        let number = beyonds.add(key, cells, &self.shape);
        self.beyonds = beyonds;
        number
    }

    /// Unit and partition of a person.
    #[inline]
    fn who(&self, person: u32) -> (u64, u32) {
        let at = person as usize * self.stride;
        (self.blocks[at], low(self.blocks[at + 1]))
    }

    /// The text of a person, empty for integers.
    fn text(&self, person: u32) -> &[u64] {
        if self.simple {
            return &[];
        }
        text_of(&self.texts, high(self.blocks[person as usize * self.stride + LINKS]))
    }

    /// How many blocks there are.
    fn len_blocks(&self) -> u32 {
        u32::try_from(self.blocks.len() / self.stride).unwrap_or(NONE)
    }

    /// Whether a block is the first of a person.
    #[inline]
    fn is_first(&self, block: u32) -> bool {
        self.blocks[block as usize * self.stride + 1] != CHAINED
    }

    #[inline]
    fn cells(&self, block: u32) -> &[u64] {
        let at = block as usize * self.stride;
        &self.blocks[at + self.cells_at..at + self.sums_at]
    }

    #[inline]
    fn cell(&self, group: Group) -> u32 {
        half(self.cells(group.block), group.place)
    }

    fn set_cell(&mut self, group: Group, cell: u32) {
        let at = group.block as usize * self.stride + self.cells_at;
        set_half(&mut self.blocks[at..], group.place, cell);
    }

    /// The next block of a person.
    #[inline]
    fn next(&self, block: u32) -> u32 {
        if self.simple { NONE } else { low(self.blocks[block as usize * self.stride + LINKS]) }
    }

    #[inline]
    fn sums_at(&self, group: Group) -> usize {
        group.block as usize * self.stride + self.sums_at + group.place * self.sum_words
    }

    #[inline]
    fn sums_of(&mut self, group: Group) -> &mut [u64] {
        let at = self.sums_at(group);
        &mut self.blocks[at..at + self.sum_words]
    }

    fn bins_of(&mut self, group: Group) -> &mut [Bins] {
        let width = self.shape.bin_lanes.len();
        let at = (group.block as usize * self.places + group.place) * width;
        &mut self.bins[at..at + width]
    }
}

#[inline]
fn text_of(texts: &[u64], at: u32) -> &[u64] {
    if at == NONE {
        return &[];
    }
    let text = &texts[at as usize..];
    &text[..text_words(text)]
}
