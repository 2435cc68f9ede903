//! From a code's text to its place in the list: three multiplications and one comparison a row.
//!
//! A text of at most 12 bytes is a single 128-bit number, length and bytes, which is also how Arrow's `Utf8View` holds it; two such numbers
//! are equal exactly when the texts are. They stand in a table with a slot for each, found by "hash and displace" (Belazzougui, Botelho and Dietzfelbinger
//! 2009): codes fall into buckets, and each bucket has a number that sends its codes to slots that no other has. Longer codes, and the few for which no such number is
//! found, go through an ordinary map.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringViewArray};
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

/// Spread numbers over 64 bits (Knuth, volume 3, 6.4: the golden ratio of 2^64, and another odd number without a pattern).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
const SPREAD_AGAIN: u64 = 0xD6E8_FEB8_6659_FD93;

/// Codes of a bucket, about, and slots of a code, at least.
const BUCKET_CODES: usize = 2;
const CODE_SLOTS: usize = 2;

/// Most codes of a bucket that are sent to slots: without a pattern hardly any has ten. What a list can cost is bounded so, whoever wrote it.
const MOST_BUCKET_CODES: usize = 16;

/// Numbers that are tried for a bucket, and for each code of a list.
const TRIES: u64 = 1 << 12;
const TRIES_PER_CODE: u64 = 1 << 6;

/// Most codes of a list that are few.
const FEW: usize = 1 << 12;

/// A column of codes, none of them NULL.
pub(crate) enum PlainCodes<'a> {
    Texts {
        codes: &'a Codes,
        texts: &'a StringViewArray,
    },
    /// By row, which of the values it has. A value may be NULL all the same.
    Dictionary {
        codes: &'a Codes,
        keys: &'a [i32],
        values: &'a ArrayRef,
    },
}

impl PlainCodes<'_> {
    /// The place of each row's code, `u32::MAX` for one that is not in the list.
    pub(crate) fn places(&self) -> Vec<u32> {
        match self {
            Self::Texts { codes, texts } => codes.find(texts),
            Self::Dictionary { codes, keys, values } => {
                let texts = Texts::read(values);
                let place = |value: usize| texts.get(value).and_then(|text| codes.find_one(text)).unwrap_or(NONE);
                // The last one is for keys that are none.
                let places: Vec<u32> = (0..texts.len()).map(place).chain([NONE]).collect();
                let last = places.len() - 1;
                dispatch!(Level::new(), simd => simd.vectorize(
                    #[inline(always)]
                    || keys.iter().map(|key| places[(key.cast_unsigned() as usize).min(last)]).collect()
                ))
            }
        }
    }
}

/// Places of the codes of a list. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Codes(Arc<Table>);

#[derive(Debug)]
struct Table {
    /// How many there are.
    codes: usize,
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
                    let (known, alike) = bucket.iter().fold((false, false), |(known, alike), (other, _)| {
                        (known || *other == key, alike || spread(*other) == spread(key))
                    });
                    if !known && !alike && bucket.len() < MOST_BUCKET_CODES {
                        bucket.push((key, place));
                    } else if !known {
                        // No number could tell it from another one, or there is no room.
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
        let mut tries = TRIES.max(TRIES_PER_CODE * codes.len() as u64);
        for bucket in order {
            if !table.settle(bucket, &buckets[bucket], &mut tries) {
                table.others.extend(buckets[bucket].iter().map(|(_, place)| (codes[*place as usize].into(), *place)));
            }
        }
        Self(Arc::new(table))
    }

    /// Whether the list is so short that columns of it have few texts.
    pub(crate) fn are_few(&self) -> bool {
        self.0.codes <= FEW
    }

    pub(crate) fn place(&self, text: &str) -> Option<i64> {
        self.find_one(text).map(i64::from)
    }

    fn find_one(&self, text: &str) -> Option<u32> {
        let place = inline(text.as_bytes()).and_then(|key| self.0.look(key)).unwrap_or_else(|| self.other(text));
        (place != NONE).then_some(place)
    }

    /// The place of each row's text; NULL for one that is not in the list.
    pub(crate) fn places(&self, texts: &Texts) -> Ints {
        let Texts::View(array) = texts else {
            return Ints::from_rows(texts.len(), |row| texts.get(row).and_then(|text| self.place(text)));
        };
        let (views, known) = (array.views(), array.nulls().map(NullBuffer::inner));
        if let Some(only) = self.0.only {
            // A list of one code is what a question about one month has; mostly every row is of it. No early end, so that many are compared at a time.
            if known.is_none()
                && dispatch!(Level::new(), simd => simd.vectorize(
                    #[inline(always)]
                    || views.iter().fold(0, |other, view| other | (*view ^ only)) == 0
                ))
            {
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
    fn find(&self, texts: &StringViewArray) -> Vec<u32> {
        let mut places = self.look(texts.views());
        let greatest = dispatch!(Level::new(), simd => simd.vectorize(
            #[inline(always)]
            || places.iter().fold(0, |greatest, place| greatest.max(*place))
        ));
        if greatest == NONE && !self.0.others.is_empty() {
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
            codes,
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

    /// Finds slots for the codes of a bucket, while there are tries.
    fn settle(&mut self, bucket: usize, codes: &[(u128, u32)], tries: &mut u64) -> bool {
        let mut slots = Vec::with_capacity(codes.len());
        for number in 0..TRIES.min(*tries) {
            *tries -= 1;
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
    let (low, high) = (u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0), u64::try_from(key >> 64).unwrap_or(0));
    // The halves are not laid one over the other as they are: the digits of codes would cancel each other.
    let mixed = low.wrapping_mul(SPREAD_AGAIN).wrapping_add(high);
    (mixed ^ mixed >> 32).wrapping_mul(SPREAD)
}

/// A short text as a view holds it: its length in the lowest four bytes, and then what it says.
#[inline]
fn inline(text: &[u8]) -> Option<u128> {
    // From its first and its last bytes, which may be the same ones.
    let joined = |first: u64, last: u64, bytes: usize| u128::from(first) | u128::from(last) << (8 * (text.len() - bytes));
    let says = match (text.first_chunk::<8>(), text.last_chunk::<8>(), text.first_chunk::<4>(), text.last_chunk::<4>()) {
        _ if text.len() > INLINE_BYTES => return None,
        (Some(first), Some(last), ..) => joined(u64::from_le_bytes(*first), u64::from_le_bytes(*last), 8),
        (.., Some(first), Some(last)) => joined(u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into(), 4),
        _ => text.iter().rev().fold(0, |says, byte| says << 8 | u128::from(*byte)),
    };
    Some(says << 32 | text.len() as u128)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{LargeStringArray, StringArray};

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
    fn a_short_text_is_the_number_that_a_view_has() {
        let text = "0123456789éab";
        for length in (0..=text.len()).filter(|length| text.is_char_boundary(*length)) {
            let text = &text[..length];
            let view = StringViewArray::from_iter_values([text]).views()[0];
            assert_eq!(inline(text.as_bytes()), (length <= INLINE_BYTES).then_some(view), "{text}");
        }
    }

    #[test]
    fn nearly_every_short_code_has_a_slot() {
        let every = |number: usize, step: usize| (0..number).map(move |code| format!("{:05}", code * step)).collect::<Vec<_>>();
        let days = (1..=12).flat_map(|month| (1..=31).map(move |day| format!("2020{month:02}{day:02}"))).collect();
        let months = (2005..2025).flat_map(|year| (1..=12).map(move |month| format!("{year}-{month:02}"))).collect();
        let municipalities =
            (1..=9).flat_map(|province| (1..=99).map(move |place| format!("{province}{}{place:03}", place % 4 + 1))).collect();
        for list in
            [every(1, 1), every(2, 1), every(3, 7), every(14_000, 7), every(12_367, 8), every(100_000, 1), days, months, municipalities]
        {
            let list: Vec<String> = list;
            let codes = Codes::new(list.iter().map(String::as_str));
            assert!(list.iter().zip(0..).all(|(code, place)| codes.place(code) == Some(place)));
            assert!(codes.0.others.len() <= list.len() / 1000, "{} of {}", codes.0.others.len(), list.len());
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
        assert!(crowded.len() == 600 && codes.0.others.len() >= 600 - MOST_BUCKET_CODES);
        assert!(crowded.iter().zip(0..).all(|(code, place)| codes.place(code) == Some(place)));
        let mut table = Table::free(2);
        table.keys.fill(0);
        let mut tries = 2 * TRIES;
        assert!(!table.settle(0, &[(1, 0)], &mut tries), "there is no free slot");
        assert!(tries == TRIES && !table.settle(0, &[(1, 0)], &mut 3));
    }

    #[test]
    fn an_empty_list_and_a_repeated_code_are_no_surprise() {
        assert_eq!(Codes::new([].into_iter()).place(""), None);
        assert_eq!(Codes::new(["a", "b", "a"].into_iter()).place("a"), Some(0));
    }
}
