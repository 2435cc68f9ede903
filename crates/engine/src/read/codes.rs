//! From a code's text to its place in the list: one multiplication and mostly one comparison a row.
//!
//! A text of at most 12 bytes is a single 128-bit number, length and bytes, which is also how Arrow's `Utf8View` holds it; two such numbers
//! are equal exactly when the texts are. Longer codes go through an ordinary map.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, StringViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::Texts;
use crate::eval::{Ints, both};

/// Longest text that a view holds in itself.
const INLINE_BYTES: usize = 12;

const FREE: u32 = u32::MAX;

/// Stands for a long code among the short ones: its length is that of no short text.
const STRANGER: u128 = u128::MAX;

/// Spreads numbers over a table by their highest bits (Knuth, volume 3, 6.4: the golden ratio of 2^64).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Places of the codes of a list. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Codes(Arc<Table>);

#[derive(Debug)]
struct Table {
    /// Places of short codes; a power of two of entries, at most a quarter of them used, so that nearly every code is found at once.
    slots: Vec<u32>,
    shift: u32,
    /// The short codes by place, and [`STRANGER`] for long ones.
    short: Vec<u128>,
    long: HashMap<Box<str>, u32>,
    /// The one code of a list that has no other and is short.
    only: Option<u128>,
}

impl Codes {
    /// Codes in their order. Of equal ones the first counts.
    pub(crate) fn new<'a>(codes: impl Iterator<Item = &'a str>) -> Self {
        let codes: Vec<&str> = codes.collect();
        let size = (codes.len() * 4).next_power_of_two().max(2);
        let short = codes.iter().map(|code| inline(code.as_bytes()).unwrap_or(STRANGER)).collect();
        let mut table = Table { slots: vec![FREE; size], shift: 64 - size.trailing_zeros(), short, long: HashMap::new(), only: None };
        if let [only] = codes.as_slice() {
            table.only = inline(only.as_bytes());
        }
        for (code, place) in codes.into_iter().zip(0..FREE) {
            match inline(code.as_bytes()) {
                Some(key) => {
                    let slot = table.slot(key);
                    if table.slots[slot] == FREE {
                        table.slots[slot] = place;
                    }
                }
                None => {
                    table.long.entry(code.into()).or_insert(place);
                }
            }
        }
        Self(Arc::new(table))
    }

    pub(crate) fn place(&self, text: &str) -> Option<i64> {
        let place = match inline(text.as_bytes()) {
            Some(key) => self.0.slots[self.0.slot(key)],
            None => self.long(text),
        };
        (place != FREE).then(|| i64::from(place))
    }

    /// The place of each row's text; NULL for one that is not in the list.
    pub(crate) fn places(&self, texts: &Texts) -> Ints {
        let Texts::View(array) = texts else {
            return Ints::from_rows(texts.len(), |row| texts.get(row).and_then(|text| self.place(text)));
        };
        let (views, known) = (array.views(), array.nulls().map(NullBuffer::inner));
        if let Some(only) = self.0.only {
            // A list of one code is what a question about one month has; mostly every row is of it. No early end, so that many are compared at a time.
            if known.is_none() && views.iter().fold(0, |other, view| other | (*view ^ only)) == 0 {
                return Ints::constant(0);
            }
            let equal = BooleanBuffer::collect_bool(views.len(), |row| views[row] == only);
            return both(Some(&equal), known).map_or_else(|| Ints::constant(0), |valid| Ints::constant_where(0, valid));
        }
        // Two loops without a branch on validity: places, with -1 for a stranger, and then which are none.
        let mut places = vec![0; views.len()];
        self.each(array, &mut places, |to, place| *to = if place == FREE { -1 } else { i64::from(place) });
        if places.iter().fold(0, |least, place| least.min(*place)) >= 0 {
            return Ints::new(places, known.cloned());
        }
        let found = BooleanBuffer::collect_bool(places.len(), |row| places[row] >= 0);
        Ints::new(places, both(Some(&found), known))
    }

    /// Calls `take` with each item and the place of its row's text, `u32::MAX` for a stranger, and anything for NULL.
    #[inline]
    pub(crate) fn each<T>(&self, texts: &StringViewArray, items: &mut [T], mut take: impl FnMut(&mut T, u32)) {
        self.iter(texts).zip(items).for_each(|(place, item)| take(item, place));
    }

    /// The place of each row's text, `u32::MAX` for a stranger, and anything for NULL.
    #[inline]
    pub(crate) fn iter<'a>(&'a self, texts: &'a StringViewArray) -> impl ExactSizeIterator<Item = u32> + 'a {
        let (slots, short, shift) = (self.0.slots.as_slice(), self.0.short.as_slice(), self.0.shift);
        texts.views().iter().enumerate().map(move |(row, view)| {
            // The first place to look at is nearly always the right one.
            let place = slots.get(first(*view, shift)).copied().unwrap_or(FREE);
            if short.get(place as usize) == Some(view) { place } else { self.other(texts, row, *view) }
        })
    }

    /// The place of a text that is not where it is looked for first.
    #[cold]
    fn other(&self, texts: &StringViewArray, row: usize, view: u128) -> u32 {
        // The lowest 32 bits are the length.
        if view & 0xFFFF_FFFF <= INLINE_BYTES as u128 {
            return self.0.slots[self.0.slot(view)];
        }
        if texts.is_valid(row) { self.long(texts.value(row)) } else { FREE }
    }

    #[cold]
    fn long(&self, text: &str) -> u32 {
        self.0.long.get(text).copied().unwrap_or(FREE)
    }
}

impl Table {
    /// The slot that holds the place of a key, or the free one where it would stand.
    #[inline]
    fn slot(&self, key: u128) -> usize {
        let mut slot = first(key, self.shift);
        loop {
            let place = self.slots[slot];
            if place == FREE || self.short[place as usize] == key {
                return slot;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

/// The slot where a key would stand if it were alone.
#[inline]
fn first(key: u128, shift: u32) -> usize {
    let folded = u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0) ^ u64::try_from(key >> 64).unwrap_or(0).rotate_left(29);
    usize::try_from(folded.wrapping_mul(SPREAD).wrapping_shr(shift)).unwrap_or(0)
}

#[inline]
fn inline(text: &[u8]) -> Option<u128> {
    if text.len() > INLINE_BYTES {
        return None;
    }
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(text.len()).unwrap_or(0);
    bytes[4..4 + text.len()].copy_from_slice(text);
    Some(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray, StringArray};

    use super::*;

    #[test]
    fn codes_of_every_length_are_found_in_every_layout() {
        let list: Vec<String> = (0..600).map(|n| format!("{n}")).chain((0..30).map(|n| "é".repeat(n))).collect();
        let codes = Codes::new(list.iter().map(String::as_str));
        let mut texts: Vec<Option<String>> = list.iter().cloned().map(Some).collect();
        texts.extend([None, Some("600".to_owned()), Some("1\0".to_owned()), Some("e".repeat(13)), Some("01".to_owned())]);
        let arrays: [ArrayRef; 3] = [
            Arc::new(texts.iter().collect::<StringArray>()),
            Arc::new(texts.iter().collect::<LargeStringArray>()),
            Arc::new(texts.iter().collect::<StringViewArray>()),
        ];
        for array in arrays {
            let places = codes.places(&Texts::read(&array));
            for (row, text) in texts.iter().enumerate() {
                let expected = text.as_ref().and_then(|text| list.iter().position(|code| code == text));
                assert_eq!(places.get(row), expected.and_then(|place| i64::try_from(place).ok()), "{text:?}");
            }
        }
    }

    #[test]
    fn an_empty_list_and_a_repeated_code_are_no_surprise() {
        assert_eq!(Codes::new([].into_iter()).place(""), None);
        assert_eq!(Codes::new(["a", "b", "a"].into_iter()).place("a"), Some(0));
    }
}
