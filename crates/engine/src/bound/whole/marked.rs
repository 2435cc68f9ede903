//! The groups of one person, with the sums of all lanes. They are found by marks on the places of grid and partitions, which are cleared only when
//! their numbers run out: each person's groups have marks that nobody had before.

use crate::bound::shape::Shape;

/// See the module.
pub(super) struct Marked {
    /// Of each place the mark of the group that had it last. Made when it is wanted first.
    marks: Vec<u32>,
    all_places: usize,
    /// The mark of the first group. Those of the others follow it.
    base: u32,
    groups: usize,
    /// Places of the groups.
    places: Vec<u64>,
    /// Sums of the groups, so many words each.
    sums: Vec<u64>,
    words: usize,
}

impl Marked {
    /// For so many places and words of sums.
    pub(super) fn new(all_places: usize, words: usize) -> Self {
        Self { marks: Vec::new(), all_places, base: 1, groups: 0, places: Vec::new(), sums: Vec::new(), words }
    }

    /// Places of the person's groups.
    pub(super) fn places(&self) -> &[u64] {
        &self.places
    }

    /// Adds rows to the sums of their groups, both of so many words.
    pub(super) fn add<const ROW_WORDS: usize, const WORDS: usize>(
        &mut self,
        shape: &Shape,
        rows: &[u64],
        add: impl Fn(&mut [u64], &[u64]),
    ) {
        self.reserve(shape, rows.len());
        for row in rows.as_chunks::<ROW_WORDS>().0 {
            let group = self.group(shape, row[0]);
            if let Some(sums) = self.sums.as_chunks_mut::<WORDS>().0.get_mut(group) {
                add(sums, row);
            }
        }
    }

    /// The same for whatever a row holds.
    pub(super) fn add_lanes(&mut self, shape: &Shape, rows: &[u64]) {
        self.reserve(shape, rows.len());
        let words = self.words;
        for row in rows.chunks_exact(shape.row_words - 1) {
            let group = self.group(shape, row[0]);
            shape.add(&mut self.sums[group * words..(group + 1) * words], row);
        }
    }

    /// The group of a place, a new one if it had none.
    #[inline]
    fn group(&mut self, shape: &Shape, place: u64) -> usize {
        let mark = &mut self.marks[shape.place_number(place)];
        // Marks of others are smaller than `base`; the subtraction wraps, so they come out above `groups`.
        let known = mark.wrapping_sub(self.base) as usize;
        if known < self.groups {
            return known;
        }
        *mark = self.base.wrapping_add(u32::try_from(self.groups).unwrap_or(0));
        self.places.push(place);
        self.sums.resize(self.sums.len() + self.words, 0);
        self.groups += 1;
        self.groups - 1
    }

    /// Makes room for the marks of so many groups more.
    fn reserve(&mut self, shape: &Shape, groups: usize) {
        self.marks.resize(self.all_places, 0);
        // Twice, as groups that stay get other marks.
        if usize::try_from(u32::MAX - self.base).unwrap_or(0) <= 2 * (self.groups + groups) {
            self.marks.fill(0);
            self.base = 1;
            self.mark(shape);
        }
    }

    /// Marks the places of all groups.
    fn mark(&mut self, shape: &Shape) {
        for (place, mark) in self.places.iter().zip(self.base..) {
            self.marks[shape.place_number(*place)] = mark;
        }
    }

    /// Leaves these groups, ascending.
    pub(super) fn keep(&mut self, shape: &Shape, stay: &[usize]) {
        for (to, from) in stay.iter().enumerate() {
            self.places[to] = self.places[*from];
            self.sums.copy_within(from * self.words..(from + 1) * self.words, to * self.words);
        }
        // Those that go shall be strangers.
        self.base = self.base.saturating_add(u32::try_from(self.groups).unwrap_or(u32::MAX));
        self.groups = stay.len();
        self.places.truncate(self.groups);
        self.sums.truncate(self.groups * self.words);
        self.mark(shape);
    }

    /// Calls `each` with the place and the sums of every group. None is left.
    pub(super) fn take(&mut self, mut each: impl FnMut(u64, &[u64])) {
        self.places.iter().zip(self.sums.chunks_exact(self.words)).for_each(|(place, sums)| each(*place, sums));
        self.base = self.base.saturating_add(u32::try_from(self.groups).unwrap_or(u32::MAX));
        self.groups = 0;
        self.places.clear();
        self.sums.clear();
    }

    #[cfg(test)]
    pub(super) fn use_marks_from(&mut self, base: u32) {
        self.base = base;
    }

    #[cfg(test)]
    pub(super) fn next_mark(&self) -> u32 {
        self.base
    }
}
