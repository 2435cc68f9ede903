//! Persons all of whose rows are there at a time: bounded one after the other, without looking anybody up.
//!
//! The groups that a person's rows fall on are found by marks on the places of grid and partitions, which are never cleared, as each person has marks of its
//! own. Pseudo-random numbers are worked out only for a person with more than L0 groups: one for each group, not for each row. Then the rows of groups that
//! stay are added up: straight to the sums of their cells for a person with so few rows that no bound on rows or values can bind, which is nearly
//! everybody, else group by group, so that what each contributes can be bounded.

use super::choice::Choice;
use super::field::Field;
use super::prf::Key;
use super::shape::{Adding, Shape, SharedShape, Totals, cell_of};
use super::words::add_counted;

/// Most places of grid and partitions: their marks take four megabytes.
const MOST_PLACES: usize = 1 << 20;

/// Above it there is no room for the marks of another person.
const LAST_MARK: u32 = u32::MAX - 2 * (1 << 20);

/// Rows after which a person with many groups is cut down to those that stay so far. A group that was cut off never stays in the end.
const PIECE_ROWS: usize = 4096;

/// Words of the sums of a cell in the usual forms.
const COUNT_WORDS: usize = 1;
const COUNT_AND_SUM_WORDS: usize = 4;

/// See the module.
pub(super) struct Whole {
    shape: SharedShape,
    adding: Adding,
    /// Most rows of a person whose rows go straight to the sums of cells.
    most_rows: usize,
    /// Sums of all such persons, `stride` words a cell.
    sums: Vec<u64>,
    stride: usize,
    /// Of each place of grid and partitions the mark of who had it last.
    marks: Vec<u32>,
    /// The person's mark. Those above it are of its groups that stay, in the order of `places`.
    mark: u32,
    /// Places of the person's groups. There may be more items than groups.
    places: Vec<u64>,
    groups: usize,
    /// Sums of the groups of a person with many rows.
    group_sums: Vec<u64>,
    choice: Choice,
}

impl Whole {
    /// Whether marks for all places are few enough.
    pub(super) fn fits(shape: &Shape) -> bool {
        shape.names.is_none() && shape.places() <= MOST_PLACES
    }

    /// For a shape that [`Whole::fits`] and that has no histogram.
    pub(super) fn new(shape: SharedShape) -> Self {
        let stride = match (shape.adding(), shape.row_words) {
            (Adding::Count, 2) => COUNT_WORDS,
            (Adding::CountAndSum(_), 2 | 3) => COUNT_AND_SUM_WORDS,
            _ => shape.sum_words(),
        };
        Self {
            adding: shape.adding(),
            most_rows: shape.rows_within_bounds(),
            sums: vec![0; shape.cells * stride],
            stride,
            marks: vec![0; shape.places()],
            mark: 0,
            places: Vec::new(),
            groups: 0,
            group_sums: Vec::new(),
            choice: Choice::default(),
            shape,
        }
    }

    /// Adds all rows of a person, without their units. `key` gives the person's in a partition.
    #[inline]
    pub(super) fn add_person(&mut self, rows: &[u64], totals: &mut Totals, key: impl Fn(u32) -> Key) {
        let (number, most) = (rows.len() / (self.shape.row_words - 1), self.shape.max_groups as usize);
        let few = number <= self.most_rows;
        if few && number <= most {
            // There are no more groups than rows.
            return self.add_rows::<false>(rows);
        }
        let all = self.find_groups(rows, &key) && self.groups <= most;
        if few && all {
            return self.add_rows::<false>(rows);
        }
        if !all {
            self.cut(key);
        }
        self.mark_groups();
        if few { self.add_rows::<true>(rows) } else { self.add_by_group(rows, totals) }
    }

    /// Finds the groups that a person's rows fall on, but for some that will not stay where they are very many. Returns whether these are all.
    fn find_groups(&mut self, rows: &[u64], key: impl Fn(u32) -> Key) -> bool {
        let (words, mut all) = (self.shape.row_words - 1, true);
        self.next_mark();
        self.groups = 0;
        for piece in rows.chunks(PIECE_ROWS * words) {
            if self.groups > PIECE_ROWS {
                self.cut(&key);
                all = false;
            }
            let room = self.groups + piece.len() / words + 1;
            if self.places.len() < room {
                self.places.resize(room, 0);
            }
            match words {
                1 => self.find(piece.iter()),
                _ => self.find(piece.iter().step_by(words)),
            }
        }
        all
    }

    /// A mark that no place has, and none above it.
    fn next_mark(&mut self) {
        self.mark += 1 + u32::try_from(self.groups).unwrap_or(0);
        if self.mark > LAST_MARK {
            self.marks.fill(0);
            self.mark = 1;
        }
    }

    #[inline]
    fn find<'r>(&mut self, places: impl Iterator<Item = &'r u64>) {
        let (found, marks, mark, mut groups) = (self.places.as_mut_slice(), self.marks.as_mut_slice(), self.mark, self.groups);
        for place in places {
            // Written for every row and kept for some: a branch would often be guessed wrong.
            found[groups] = *place;
            if let Some(of_place) = marks.get_mut(self.shape.place_number(*place)) {
                groups += usize::from(*of_place != mark);
                *of_place = mark;
            }
        }
        self.groups = groups;
    }

    /// Leaves the groups that stay.
    fn cut(&mut self, key: impl Fn(u32) -> Key) {
        let stay = self.choice.of(&self.shape, &self.places[..self.groups], key);
        self.groups = stay.len();
        stay.iter().enumerate().for_each(|(to, from)| self.places[to] = self.places[*from]);
    }

    /// Gives each group that stays its mark.
    fn mark_groups(&mut self) {
        for (place, mark) in self.places[..self.groups].iter().zip(self.mark + 1..) {
            if let Some(of_place) = self.marks.get_mut(self.shape.place_number(*place)) {
                *of_place = mark;
            }
        }
    }

    /// The number of the group that a row falls on, if that stays.
    #[inline]
    fn group(&self, place: u64) -> Option<usize> {
        let mark = self.marks.get(self.shape.place_number(place))?;
        mark.checked_sub(self.mark + 1).and_then(|number| usize::try_from(number).ok())
    }

    #[inline]
    fn stays(&self, place: u64) -> bool {
        self.group(place).is_some()
    }

    /// Adds a person's rows to cells, `SOME`: those of groups that stay.
    fn add_rows<const SOME: bool>(&mut self, rows: &[u64]) {
        let count_and_sum = |value: Field| {
            move |sums: &mut [u64], row: &[u64], stays: u64| {
                if let [count, low, high, _] = sums {
                    add_counted(count, low, high, stays, value.of(row) & stays.wrapping_neg().cast_signed());
                }
            }
        };
        match (self.adding, self.shape.row_words) {
            (Adding::Count, 2) => self.add_with::<SOME, 1, COUNT_WORDS>(rows, |sums, _, stays| sums[0] = sums[0].saturating_add(stays)),
            (Adding::CountAndSum(value), 2) => self.add_with::<SOME, 1, COUNT_AND_SUM_WORDS>(rows, count_and_sum(value)),
            (Adding::CountAndSum(value), 3) => self.add_with::<SOME, 2, COUNT_AND_SUM_WORDS>(rows, count_and_sum(value)),
            (_, words) => {
                for row in rows.chunks_exact(words - 1) {
                    if !SOME || self.stays(row[0]) {
                        let at = cell_of(row[0]) as usize * self.stride;
                        self.shape.add(&mut self.sums[at..at + self.stride], row);
                    }
                }
            }
        }
    }

    /// Adds rows of a usual form, of so many words, to so many words of each cell.
    #[inline]
    fn add_with<const SOME: bool, const WORDS: usize, const STRIDE: usize>(&mut self, rows: &[u64], add: impl Fn(&mut [u64], &[u64], u64)) {
        for row in rows.as_chunks::<WORDS>().0 {
            // Without a branch, which would often be guessed wrong.
            let stays = u64::from(!SOME || self.stays(row[0]));
            if let Some(sums) = self.sums.as_chunks_mut::<STRIDE>().0.get_mut(cell_of(row[0]) as usize) {
                add(sums, row, stays);
            }
        }
    }

    /// Adds a person's rows to its groups, and then what each of them contributes.
    fn add_by_group(&mut self, rows: &[u64], totals: &mut Totals) {
        let words = self.shape.sum_words();
        self.group_sums.clear();
        self.group_sums.resize(self.groups * words, 0);
        for row in rows.chunks_exact(self.shape.row_words - 1) {
            if let Some(group) = self.group(row[0]) {
                self.shape.add(&mut self.group_sums[group * words..(group + 1) * words], row);
            }
        }
        for (place, sums) in self.places.iter().zip(self.group_sums.chunks_exact(words)) {
            totals.add(&self.shape, cell_of(*place), sums);
        }
    }

    /// Adds everybody up.
    pub(super) fn total(&self, totals: &mut Totals) {
        for (output, contribution) in totals.outputs.iter_mut().zip(&self.shape.outputs) {
            for (total, sums) in output.iter_mut().zip(self.sums.chunks_exact(self.stride)) {
                *total = total.saturating_add(contribution.without_bounds(sums));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use commun_domain::calendar::Period;
    use commun_domain::ids::QueryId;

    use super::*;
    use crate::bound::shape::partition_of;
    use crate::bound::{Contribution, Flag, Lane};

    const CELLS: u32 = 10_000;

    /// One count over many cells in two partitions.
    fn shape(max_groups: u32, most: u32) -> SharedShape {
        Arc::new(Shape {
            key: Shape::query_key(&QueryId::from_bytes([7; 32])),
            partitions: vec![Period(1), Period(2)],
            max_groups,
            cells: CELLS as usize,
            names: None,
            row_words: 2,
            lanes: vec![Lane::Count(Flag::Always)],
            bin_lanes: Vec::new(),
            outputs: vec![Contribution::Rows { count: 0, most }],
        })
    }

    /// Rows of a person over so many cells: two in each of the second partition, if it has some there, and three in each of the first.
    fn rows(cells: u32, second: bool) -> Vec<u64> {
        let of = |partition: u32, times: u32| {
            (0..cells * times).map(move |row| u64::from(partition) << crate::bound::CELL_BITS | u64::from(row * 7 % CELLS % cells))
        };
        of(1, if second { 2 } else { 0 }).chain(of(0, 3)).collect()
    }

    /// What the person counts in each cell, worked out group by group.
    fn expected(shape: &Shape, rows: &[u64], key: impl Fn(u32) -> Key) -> Vec<i128> {
        let mut counts = vec![0; CELLS as usize];
        for partition in 0..2 {
            let mut groups = std::collections::BTreeMap::<u32, i128>::new();
            let of = rows.iter().filter(|place| partition_of(**place) == partition);
            of.for_each(|place| *groups.entry(cell_of(*place)).or_default() += 1);
            let mut groups: Vec<(u32, i128)> = groups.into_iter().collect();
            groups.sort_by_key(|(cell, _)| shape.rank(key(partition), *cell));
            for (cell, rows) in groups.into_iter().take(shape.max_groups as usize) {
                let Contribution::Rows { most, .. } = shape.outputs[0] else { continue };
                counts[cell as usize] += rows.min(most.into());
            }
        }
        counts
    }

    #[test]
    fn a_person_with_very_many_groups_keeps_those_with_the_smallest_numbers() {
        for (max_groups, most) in [(3, 1_000_000), (3, 2), (20, 1_000_000), (9_000, 2), (20_000, 1_000_000)] {
            let shape = shape(max_groups, most);
            let (mut whole, mut totals) = (Whole::new(SharedShape::clone(&shape)), Totals::zero(&shape));
            let mut wanted = vec![0; CELLS as usize];
            let persons = [(2, true), (50, false), (CELLS, true), (4, false), (CELLS, false), (1, true)];
            for (person, (cells, second)) in persons.into_iter().enumerate() {
                let (rows, unit) = (rows(cells, second), person.to_string());
                let key = |partition| shape.text_key(unit.as_bytes(), partition);
                whole.add_person(&rows, &mut totals, key);
                wanted.iter_mut().zip(expected(&shape, &rows, key)).for_each(|(sum, more)| *sum += more);
            }
            whole.total(&mut totals);
            assert!(totals.outputs[0] == wanted, "{max_groups} groups, {most} rows");
        }
    }

    #[test]
    fn marks_begin_again_when_there_are_no_more() {
        let shape = shape(1, 1);
        let (mut whole, mut totals) = (Whole::new(SharedShape::clone(&shape)), Totals::zero(&shape));
        whole.mark = LAST_MARK - 3;
        for _ in 0..4 {
            whole.add_person(&[5, 5], &mut totals, |partition| shape.text_key(b"a", partition));
        }
        assert!(whole.mark < LAST_MARK - 3 && totals.outputs[0][5] == 4);
    }
}
