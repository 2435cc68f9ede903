//! The groups of one person, each with its rows and the sum of its values in one word, which stands at the number of its place: 0 where the person has
//! no group.

/// Most rows of a group whose number and sum fit one word, if values have at most 24 bits, as those that share the word of their place have.
pub(super) const MOST_PACKED: usize = (1 << 16) - 1;

const COUNT_SHIFT: u32 = 40;

/// Number of rows and sum of their values in one word.
#[inline]
pub(super) fn word(rows: u64, values: u64) -> u64 {
    rows << COUNT_SHIFT | values
}

/// See the module.
pub(super) struct Packed {
    words: Vec<u64>,
    /// Rows, each of which is the first on its place. There may be more items than groups.
    places: Vec<u64>,
    groups: usize,
}

impl Packed {
    /// For so many places.
    pub(super) fn new(places: usize) -> Self {
        Self { words: vec![0; places], places: Vec::new(), groups: 0 }
    }

    /// Places of the person's groups.
    pub(super) fn places(&self) -> &[u64] {
        &self.places[..self.groups]
    }

    /// Adds rows of one word each: `number` is that of a place, `word` what a row adds. A person may have [`MOST_PACKED`] in all. Not inlined: it keeps everything in
    /// registers.
    #[inline(never)]
    pub(super) fn add(&mut self, rows: &[u64], number: impl Fn(u64) -> usize, word: impl Fn(u64) -> u64) {
        let room = self.groups + rows.len() + 1;
        if self.places.len() < room {
            self.places.resize(room, 0);
        }
        let (words, places, mut groups) = (self.words.as_mut_slice(), self.places.as_mut_slice(), self.groups);
        for row in rows {
            // Written for every row and kept for some: a branch would often be guessed wrong.
            places[groups] = *row;
            if let Some(sums) = words.get_mut(number(*row)) {
                groups = groups.wrapping_add(usize::from(*sums == 0));
                *sums = sums.wrapping_add(word(*row));
            }
        }
        self.groups = groups;
    }

    /// Leaves these groups, ascending.
    pub(super) fn keep(&mut self, stay: &[usize], number: impl Fn(u64) -> usize) {
        let mut staying = stay.iter().copied().peekable();
        for group in 0..self.groups {
            if staying.next_if_eq(&group).is_none() {
                // Should it come again it is a new one.
                self.words[number(self.places[group])] = 0;
            }
        }
        stay.iter().enumerate().for_each(|(to, from)| self.places[to] = self.places[*from]);
        self.groups = stay.len();
    }

    /// Calls `each` with the place, the rows and the sum of the groups that stay. None is left.
    #[inline]
    pub(super) fn take(&mut self, stay: impl Iterator<Item = usize>, number: impl Fn(u64) -> usize, mut each: impl FnMut(u64, u64, u64)) {
        let places = &self.places[..self.groups];
        for group in stay {
            let word = self.words[number(places[group])];
            each(places[group], word >> COUNT_SHIFT, word & ((1 << COUNT_SHIFT) - 1));
        }
        for place in places {
            self.words[number(*place)] = 0;
        }
        self.groups = 0;
    }
}
