//! Persons all of whose rows are there at a time: bounded one after the other, without looking anybody up.
//!
//! Of a person with so few rows that no bound can bind, the rows go straight to the sums of their cells. Everybody else's are added to groups of the
//! person's own (`packed`, `marked`). If these are more than L0, pseudo-random numbers decide which stay: one for each group, not for each row. The sums of groups
//! that stay go to those of their cells or, where a bound on rows or values could bind, each contributes what it may.

mod marked;
mod packed;

use super::choice::Choice;
use super::field::Field;
use super::prf::Key;
use super::shape::{Adding, Shape, SharedShape, Totals, cell_of};
use super::words::{add_counted, words_of};
use marked::Marked;
use packed::{MOST_PACKED, Packed};

/// Most places of grid and partitions. Beside the sums, of eight bytes a word and cell, each takes eight bytes in `packed` and, once it is wanted, four in
/// `marked`. No meter counts these: they follow from the question alone.
const MOST_PLACES: usize = 1 << 20;

/// Rows after which a person with more groups than that is cut down to those that stay so far. A group that was cut off never stays in the end.
const PIECE_ROWS: usize = 4096;

/// Most rows that are added up before their sums go to the totals: twice as many values that share the word of their place, which have at most 24 bits, fit one
/// word. Twice, as rows that wait for their person's last may have been counted before and are added after.
const MOST_ROWS: usize = 1 << 39;

/// What is added up, and in which words of a cell.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// The number of rows.
    Count,
    /// That, and the sum of what values that share the word of their place are above their base, in one word.
    CountAndNarrow(Field),
    /// That, and the sum of values in two words, as lanes have it.
    CountAndSum(Field),
    Lanes,
}

/// See the module.
pub(super) struct Whole {
    shape: SharedShape,
    form: Form,
    /// Most rows of a person that go to `sums` without a bound: as many as surely reach none, and no more than fit `packed`. Who has more goes through `marked`,
    /// and from there to the totals, as sums of cells may have other words.
    most_rows: usize,
    /// Sums of all such persons, so many words a cell.
    sums: Vec<u64>,
    words: usize,
    /// Most rows that are in `sums`.
    added: usize,
    packed: Packed,
    marked: Marked,
    choice: Choice,
}

impl Whole {
    /// Whether places are few enough.
    pub(super) fn fits(shape: &Shape) -> bool {
        shape.names.is_none() && shape.places() <= MOST_PLACES
    }

    /// For a shape that [`Whole::fits`] and that has no histogram.
    pub(super) fn new(shape: SharedShape) -> Self {
        let form = Form::of(&shape);
        let words = if matches!(form, Form::CountAndNarrow(_)) { 2 } else { shape.sum_words() };
        Self {
            form,
            most_rows: shape.rows_within_bounds().min(MOST_PACKED),
            sums: vec![0; shape.cells * words],
            words,
            added: 0,
            packed: Packed::new(if form.is_packed() { shape.places() } else { 0 }),
            marked: Marked::new(shape.places(), shape.sum_words()),
            choice: Choice::default(),
            shape,
        }
    }

    /// Makes room for so many rows.
    pub(super) fn reserve(&mut self, rows: usize, totals: &mut Totals) {
        self.added = self.added.saturating_add(rows);
        if self.added > MOST_ROWS {
            self.total(totals);
            self.sums.fill(0);
            self.added = rows;
        }
    }

    /// Adds all rows of a person, `number` of them, without their units. There is room for them. `key` gives the person's in a partition.
    #[inline]
    pub(super) fn add_person(&mut self, rows: &[u64], number: usize, totals: &mut Totals, key: impl Fn(u32) -> Key) {
        let few = number <= self.most_rows;
        if few && number <= self.shape.max_groups as usize {
            // There are no more groups than rows.
            return self.add_rows(rows);
        }
        let totals = (!few).then_some(totals);
        match self.shape.partitions.len() {
            _ if !self.form.is_packed() || number > MOST_PACKED => self.add_marked(rows, totals, key),
            1 => self.add_packed(rows, totals, key, |_, place| cell_of(place) as usize),
            _ => self.add_packed(rows, totals, key, Shape::place_number),
        }
    }

    /// Adds rows of a person who needs no bounding.
    #[inline]
    fn add_rows(&mut self, rows: &[u64]) {
        let (sums, shape) = (self.sums.as_mut_slice(), &*self.shape);
        match self.form {
            Form::Count => to_cells(sums, 1, rows, 1, |sums, _| {
                if let [count] = sums {
                    *count = count.saturating_add(1);
                }
            }),
            Form::CountAndNarrow(value) => to_cells(sums, 2, rows, 1, |sums, row| {
                if let [count, above_base] = sums {
                    *count = count.saturating_add(1);
                    *above_base = above_base.saturating_add(value.above_base(row));
                }
            }),
            Form::CountAndSum(value) => to_cells(sums, 3, rows, 2, |sums, row| count_and_sum(value, sums, row)),
            Form::Lanes => to_cells(sums, self.words, rows, shape.row_words - 1, |sums, row| shape.add(sums, row)),
        }
    }

    /// Adds rows of a person, of one word each, by groups whose sums fit one word. `totals`: where a bound could bind. `number` is that of a place.
    #[inline]
    fn add_packed(
        &mut self,
        rows: &[u64],
        totals: Option<&mut Totals>,
        key: impl Fn(u32) -> Key,
        number: impl Fn(&Shape, u64) -> usize + Copy,
    ) {
        let Self { shape, form, sums, packed, choice, .. } = self;
        let number = |place| number(shape, place);
        let mut left = 0;
        for piece in rows.chunks(PIECE_ROWS) {
            if is_cut(packed.places().len(), left) {
                packed.keep(choice.of(shape, packed.places(), &key), number);
                left = packed.places().len();
            }
            match *form {
                Form::CountAndNarrow(value) => packed.add(piece, number, |row| packed::word(1, value.above_base_in(row))),
                _ => packed.add(piece, number, |_| packed::word(1, 0)),
            }
        }
        let groups = packed.places().len();
        if groups <= shape.max_groups as usize {
            take_packed(*form, shape, sums, packed, 0..groups, totals, number);
        } else {
            let stay = choice.of(shape, packed.places(), key).iter().copied();
            take_packed(*form, shape, sums, packed, stay, totals, number);
        }
    }

    /// Adds rows of a person by groups that have the sums of all lanes. `totals`: where a bound could bind.
    fn add_marked(&mut self, rows: &[u64], totals: Option<&mut Totals>, key: impl Fn(u32) -> Key) {
        let Self { shape, form, sums, words, marked, choice, .. } = self;
        let row_words = shape.row_words - 1;
        let mut left = 0;
        for piece in rows.chunks(PIECE_ROWS * row_words) {
            if is_cut(marked.places().len(), left) {
                marked.keep(shape, choice.of(shape, marked.places(), &key));
                left = marked.places().len();
            }
            match *form {
                Form::CountAndNarrow(value) => marked.add::<1, 3>(shape, piece, |sums, row| count_and_sum(value, sums, row)),
                Form::CountAndSum(value) => marked.add::<2, 3>(shape, piece, |sums, row| count_and_sum(value, sums, row)),
                Form::Count | Form::Lanes => marked.add_lanes(shape, piece),
            }
        }
        if marked.places().len() > shape.max_groups as usize {
            marked.keep(shape, choice.of(shape, marked.places(), &key));
        }
        match totals {
            Some(totals) => marked.take(|place, of_group| totals.add(shape, cell_of(place), of_group)),
            // Sums of cells have the same words here: see `most_rows`.
            None => marked.take(|place, of_group| {
                let at = cell_of(place) as usize * *words;
                shape.add_sums(&mut sums[at..at + *words], of_group);
            }),
        }
    }

    /// Adds everybody up.
    pub(super) fn total(&self, totals: &mut Totals) {
        for (output, contribution) in totals.outputs.iter_mut().zip(&self.shape.outputs) {
            for (total, sums) in output.iter_mut().zip(self.sums.chunks_exact(self.words)) {
                let sums = match (self.form, sums) {
                    (Form::CountAndNarrow(value), [count, above_base]) => &of_narrow(value, *count, *above_base),
                    _ => sums,
                };
                *total = total.saturating_add(contribution.without_bounds(sums));
            }
        }
    }
}

/// Whether a person with so many groups, of whom so many were left by the last cut, is cut down: not so often that it would cost more than adding the rows.
fn is_cut(groups: usize, left: usize) -> bool {
    groups > PIECE_ROWS + 2 * left
}

impl Form {
    fn of(shape: &Shape) -> Self {
        match (shape.adding(), shape.row_words) {
            (Adding::Count, 2) => Self::Count,
            (Adding::CountAndSum(value), 2) => Self::CountAndNarrow(value),
            (Adding::CountAndSum(value), 3) => Self::CountAndSum(value),
            _ => Self::Lanes,
        }
    }

    /// Whether the sums of a group fit one word, if it has no more than [`MOST_PACKED`] rows.
    fn is_packed(self) -> bool {
        matches!(self, Self::Count | Self::CountAndNarrow(_))
    }
}

/// Adds the groups that stay to the sums of their cells, or to the totals where there are any.
#[inline]
fn take_packed(
    form: Form,
    shape: &Shape,
    sums: &mut [u64],
    packed: &mut Packed,
    stay: impl Iterator<Item = usize>,
    totals: Option<&mut Totals>,
    number: impl Fn(u64) -> usize,
) {
    match (form, totals) {
        (Form::CountAndNarrow(_), None) => {
            let (cells, _) = sums.as_chunks_mut::<2>();
            packed.take(stay, number, |place, rows, above_base| {
                if let Some(cell) = cells.get_mut(cell_of(place) as usize) {
                    *cell = [cell[0].saturating_add(rows), cell[1].saturating_add(above_base)];
                }
            });
        }
        (_, None) => packed.take(stay, number, |place, rows, _| {
            if let Some(cell) = sums.get_mut(cell_of(place) as usize) {
                *cell = cell.saturating_add(rows);
            }
        }),
        (Form::CountAndNarrow(value), Some(totals)) => packed.take(stay, number, |place, rows, above_base| {
            totals.add(shape, cell_of(place), &of_narrow(value, rows, above_base));
        }),
        (_, Some(totals)) => packed.take(stay, number, |place, rows, _| totals.add(shape, cell_of(place), &[rows])),
    }
}

#[inline]
fn count_and_sum(value: Field, sums: &mut [u64], row: &[u64]) {
    if let [count, low, high] = sums {
        add_counted(count, low, high, 1, value.of(row));
    }
}

/// Number and sum of narrow values in the words that contributions are made of.
#[inline]
fn of_narrow(value: Field, count: u64, above_base: u64) -> [u64; 3] {
    let (low, high) = words_of(value.sum(count, above_base));
    [count, low, high]
}

/// Adds rows of so many words to the sums of their cells. Inlined, so that both numbers are known where it is called.
#[inline]
fn to_cells(sums: &mut [u64], words: usize, rows: &[u64], row_words: usize, add: impl Fn(&mut [u64], &[u64])) {
    for row in rows.chunks_exact(row_words) {
        let at = (cell_of(row[0]) as usize).wrapping_mul(words);
        if let Some(sums) = sums.get_mut(at..at.wrapping_add(words)) {
            add(sums, row);
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
    use crate::bound::{Contribution, Field, Flag, Lane};

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
            for (person, (cells, second)) in persons.into_iter().cycle().take(2 * persons.len()).enumerate() {
                // First each group in one word, then with the sums of lanes.
                whole.form = if person < persons.len() { Form::Count } else { Form::Lanes };
                let (rows, unit) = (rows(cells, second), person.to_string());
                let key = |partition| shape.text_key(unit.as_bytes(), partition);
                whole.add_person(&rows, rows.len(), &mut totals, key);
                wanted.iter_mut().zip(expected(&shape, &rows, key)).for_each(|(sum, more)| *sum += more);
            }
            whole.total(&mut totals);
            assert!(totals.outputs[0] == wanted, "{max_groups} groups, {most} rows");
        }
    }

    /// A count and a sum of values from -100 to 100.
    fn with_narrow_sum() -> (SharedShape, Field) {
        let (mut values, row_words) = Field::place([(-100, 100)].into_iter(), 0);
        let value = values.remove(0);
        let shape = Arc::new(Shape {
            row_words,
            lanes: vec![Lane::Count(Flag::Always), Lane::Sum { value }],
            outputs: vec![Contribution::Sum { sum: 1, least: -1_000, most: 1_000 }, Contribution::Rows { count: 0, most: 66_000 }],
            ..Arc::into_inner(shape(3, 1)).unwrap_or_else(|| unreachable!("nobody else has it"))
        });
        (shape, value)
    }

    #[test]
    fn a_person_with_more_rows_than_a_word_counts_is_bounded_as_others_are() {
        let (shape, value) = with_narrow_sum();
        for rows in [MOST_PACKED - 1, MOST_PACKED, MOST_PACKED + 1, 70_000] {
            let (mut whole, mut totals) = (Whole::new(SharedShape::clone(&shape)), Totals::zero(&shape));
            let number = i128::try_from(rows).unwrap_or(0);
            // All of -100 but for a few in another group.
            let all: Vec<u64> = (0..rows).map(|row| if row < 9 { 6 | value.bits(100) } else { 5 | value.bits(-100) }).collect();
            whole.reserve(rows, &mut totals);
            whole.add_person(&all, rows, &mut totals, |partition| shape.text_key(b"a", partition));
            whole.add_person(&all[..20], 20, &mut totals, |partition| shape.text_key(b"b", partition));
            whole.total(&mut totals);
            assert_eq!(totals.outputs[0][4..8], [0, -2_000, 1_800, 0], "{rows} rows");
            assert_eq!(totals.outputs[1][4..8], [0, (number - 9).min(66_000) + 11, 18, 0], "{rows} rows");
        }
    }

    #[test]
    fn sums_go_to_the_totals_before_a_word_is_full() {
        let (shape, value) = with_narrow_sum();
        let (mut whole, mut totals) = (Whole::new(SharedShape::clone(&shape)), Totals::zero(&shape));
        assert!(matches!(whole.form, Form::CountAndNarrow(_)));
        let row = |cell: u64, number: i64| cell | value.bits(number);
        for person in 0..3 {
            whole.reserve(MOST_ROWS / 2, &mut totals);
            whole.add_person(&[row(5, 7), row(5, -100), row(6, 100)], 3, &mut totals, |partition| shape.text_key(b"a", partition));
            assert_eq!(totals.outputs[0][5], if person < 2 { 0 } else { -186 });
        }
        whole.total(&mut totals);
        assert_eq!(totals.outputs[0][4..8], [0, -279, 300, 0]);
    }

    #[test]
    fn marks_begin_again_when_there_are_no_more() {
        let shape = shape(1, 1);
        let (mut whole, mut totals) = (Whole::new(SharedShape::clone(&shape)), Totals::zero(&shape));
        whole.form = Form::Lanes;
        whole.marked.use_marks_from(u32::MAX - 5);
        for _ in 0..4 {
            whole.add_person(&[5, 5], 2, &mut totals, |partition| shape.text_key(b"a", partition));
        }
        assert!(whole.marked.next_mark() < 10 && totals.outputs[0][5] == 4);
    }
}
