//! From a code's text to its place in the list: two multiplications and one comparison a row.
//!
//! A text of at most 12 bytes is a single 128-bit number, length and bytes, which is also how Arrow's `Utf8View` holds it; two such numbers
//! are equal exactly when the texts are. They stand in a table with a slot for each, found by "hash and displace" (Belazzougui, Botelho and Dietzfelbinger
//! 2009): codes fall into buckets, and each bucket has a number that sends its codes to slots that no other has. Longer codes, and the few for which no such number is
//! found, go through an ordinary map.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, StringViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use fearless_simd::{Level, Simd, dispatch};

use super::Texts;
use crate::eval::{Ints, both};

/// Longest text that a view holds in itself.
const INLINE_BYTES: usize = 12;

/// The place of a stranger.
const NONE: u32 = u32::MAX;

/// A slot that is free: the length is that of no short text.
const FREE: u128 = u128::MAX;

/// Spread numbers by their highest bits (Knuth, volume 3, 6.4: the golden ratio of 2^64, and another odd number without a pattern).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const SPREAD_AGAIN: u64 = 0xD6E8_FEB8_6659_FD93;

/// Codes of a bucket, on average, and slots of a code, at least.
const BUCKET_CODES: usize = 2;
const CODE_SLOTS: usize = 2;

/// Most codes of a bucket that are sent to slots: without a pattern hardly any has ten. What a list can cost is bounded so, whoever wrote it.
const MOST_BUCKET_CODES: usize = 16;

/// Numbers that are tried for a bucket.
const TRIES: u64 = 1 << 12;

/// Places of the codes of a list. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Codes(Arc<Table>);

#[derive(Debug)]
struct Table {
    /// By bucket, the number that sends its codes to their slots.
    moves: Vec<u64>,
    bucket_shift: u32,
    /// By slot, the code that stands there and its place.
    keys: Vec<u128>,
    places: Vec<u32>,
    slot_shift: u32,
    /// Codes that have no slot.
    others: HashMap<Box<str>, u32>,
    /// The one code of a list that has no other and is short.
    only: Option<u128>,
}

impl Codes {
    /// Codes in their order. Of equal ones the first counts.
    pub(crate) fn new<'a>(codes: impl Iterator<Item = &'a str>) -> Self {
        let codes: Vec<&str> = codes.collect();
        let mut table = Table::free(codes.len());
        if let [only] = codes.as_slice() {
            table.only = inline(only.as_bytes());
        }
        let mut buckets: Vec<Vec<(u128, u32)>> = vec![Vec::new(); table.moves.len()];
        for (code, place) in codes.iter().zip(0..NONE) {
            match inline(code.as_bytes()) {
                Some(key) => {
                    let bucket = &mut buckets[table.bucket(spread(key))];
                    let known = bucket.iter().any(|(other, _)| *other == key);
                    if !known && bucket.len() < MOST_BUCKET_CODES {
                        bucket.push((key, place));
                    } else if !known {
                        table.others.entry((*code).into()).or_insert(place);
                    }
                }
                None => {
                    table.others.entry((*code).into()).or_insert(place);
                }
            }
        }
        let mut order: Vec<usize> = (0..buckets.len()).collect();
        // Large ones first, as long as there is room.
        order.sort_by_key(|bucket| std::cmp::Reverse(buckets[*bucket].len()));
        for bucket in order {
            if !table.settle(bucket, &buckets[bucket]) {
                table.others.extend(buckets[bucket].iter().map(|(_, place)| (codes[*place as usize].into(), *place)));
            }
        }
        Self(Arc::new(table))
    }

    pub(crate) fn place(&self, text: &str) -> Option<i64> {
        let place = match inline(text.as_bytes()).and_then(|key| self.0.look(key)) {
            Some(place) => place,
            None => self.other(text),
        };
        (place != NONE).then(|| i64::from(place))
    }

    /// The place of each row's text; NULL for one that is not in the list.
    pub(crate) fn places(&self, texts: &Texts) -> Ints {
        let Texts::View(array) = texts else {
            return Ints::from_rows(texts.len(), |row| texts.get(row).and_then(|text| self.place(text)));
        };
        let (views, known) = (array.views(), array.nulls().map(NullBuffer::inner));
        if let Some(only) = self.0.only {
            // A list of one code is what a question about one month has; mostly every row is of it. No early end, so that many are compared at a time.
            let all = || views.iter().fold(0, |other, view| other | (*view ^ only)) == 0;
            if known.is_none() && dispatch!(Level::new(), simd => simd.vectorize(all)) {
                return Ints::constant(0);
            }
            let equal = BooleanBuffer::collect_bool(views.len(), |row| views[row] == only);
            return both(Some(&equal), known).map_or_else(|| Ints::constant(0), |valid| Ints::constant_where(0, valid));
        }
        // Two loops without a branch on validity: places, with -1 for a stranger, and then which are none.
        let places: Vec<i64> = self.find(array).into_iter().map(|place| if place == NONE { -1 } else { i64::from(place) }).collect();
        if places.iter().fold(0, |least, place| least.min(*place)) >= 0 {
            return Ints::new(places, known.cloned());
        }
        let found = BooleanBuffer::collect_bool(places.len(), |row| places[row] >= 0);
        Ints::new(places, both(Some(&found), known))
    }

    /// The place of each row's text, `u32::MAX` for a stranger, and anything for NULL.
    pub(crate) fn find(&self, texts: &StringViewArray) -> Vec<u32> {
        let mut places = self.look(texts.views());
        let greatest = || places.iter().fold(0, |greatest, place| greatest.max(*place));
        if dispatch!(Level::new(), simd => simd.vectorize(greatest)) == NONE && !self.0.others.is_empty() {
            for (place, row) in places.iter_mut().zip(0..) {
                if *place == NONE && texts.is_valid(row) {
                    *place = self.other(texts.value(row));
                }
            }
        }
        places
    }

    /// The places of texts that have a slot. Not inlined: it keeps everything in registers.
    #[inline(never)]
    fn look(&self, views: &[u128]) -> Vec<u32> {
        let table = &*self.0;
        views.iter().map(|view| table.look(*view).unwrap_or(NONE)).collect()
    }

    #[cold]
    fn other(&self, text: &str) -> u32 {
        self.0.others.get(text).copied().unwrap_or(NONE)
    }
}

impl Table {
    /// For so many codes.
    fn free(codes: usize) -> Self {
        let (buckets, slots) = ((codes / BUCKET_CODES).next_power_of_two().max(2), (codes * CODE_SLOTS).next_power_of_two().max(2));
        Self {
            moves: vec![0; buckets],
            bucket_shift: 64 - buckets.trailing_zeros(),
            keys: vec![FREE; slots],
            places: vec![NONE; slots],
            slot_shift: 64 - slots.trailing_zeros(),
            others: HashMap::new(),
            only: None,
        }
    }

    #[inline]
    fn bucket(&self, spread: u64) -> usize {
        usize::try_from(spread.wrapping_shr(self.bucket_shift)).unwrap_or(0)
    }

    #[inline]
    fn slot(&self, spread: u64, moved: u64) -> usize {
        usize::try_from((spread ^ moved).wrapping_mul(SPREAD_AGAIN).wrapping_shr(self.slot_shift)).unwrap_or(0)
    }

    /// The place of a code that has a slot.
    #[inline]
    fn look(&self, key: u128) -> Option<u32> {
        let spread = spread(key);
        let slot = self.slot(spread, *self.moves.get(self.bucket(spread))?);
        (self.keys.get(slot) == Some(&key)).then_some(())?;
        self.places.get(slot).copied()
    }

    /// Finds slots for the codes of a bucket.
    fn settle(&mut self, bucket: usize, codes: &[(u128, u32)]) -> bool {
        let mut slots = Vec::with_capacity(codes.len());
        for number in 0..TRIES {
            let moved = number.wrapping_mul(SPREAD);
            slots.clear();
            slots.extend(codes.iter().map(|(key, _)| self.slot(spread(*key), moved)));
            slots.sort_unstable();
            if slots.iter().all(|slot| self.keys[*slot] == FREE) && slots.windows(2).all(|pair| pair[0] != pair[1]) {
                for (key, place) in codes {
                    let slot = self.slot(spread(*key), moved);
                    (self.keys[slot], self.places[slot]) = (*key, *place);
                }
                self.moves[bucket] = moved;
                return true;
            }
        }
        false
    }
}

/// A code's number, spread over 64 bits.
#[inline]
fn spread(key: u128) -> u64 {
    let folded = u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0) ^ u64::try_from(key >> 64).unwrap_or(0).rotate_left(29);
    folded.wrapping_mul(SPREAD)
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
    fn nearly_every_short_code_has_a_slot() {
        for number in [1, 2, 3, 581, 20_000] {
            let list: Vec<String> = (0..number).map(|code| format!("{}", 11_001 + code * 7)).collect();
            let codes = Codes::new(list.iter().map(String::as_str));
            assert!(list.iter().zip(0..).all(|(code, place)| codes.place(code) == Some(place)));
            assert!(codes.0.others.len() <= number / 1000, "{} of {number}", codes.0.others.len());
        }
    }

    #[test]
    fn codes_without_a_slot_are_found_too() {
        let list: Vec<String> = (0..64).map(|code| format!("a code that is longer than a view {code}")).chain(["b".to_owned()]).collect();
        let codes = Codes::new(list.iter().map(String::as_str));
        assert!(codes.0.others.len() == 64 && list.iter().zip(0..).all(|(code, place)| codes.place(code) == Some(place)));
        // Numbers that all fall into one bucket.
        let crowded: Vec<String> = (0..2_000_000u32)
            .map(|code| code.to_string())
            .filter(|code| inline(code.as_bytes()).is_some_and(|key| spread(key) >> 54 == 0))
            .take(600)
            .collect();
        let codes = Codes::new(crowded.iter().map(String::as_str));
        assert!(crowded.len() == 600 && codes.0.others.len() >= 600 - MOST_BUCKET_CODES * 2);
        assert!(crowded.iter().zip(0..).all(|(code, place)| codes.place(code) == Some(place)));
        let mut table = Table::free(2);
        table.keys.fill(0);
        assert!(!table.settle(0, &[(1, 0)]), "there is no free slot");
    }

    #[test]
    fn an_empty_list_and_a_repeated_code_are_no_surprise() {
        assert_eq!(Codes::new([].into_iter()).place(""), None);
        assert_eq!(Codes::new(["a", "b", "a"].into_iter()).place("a"), Some(0));
    }
}
