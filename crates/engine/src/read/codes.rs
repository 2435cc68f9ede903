//! From a code's text to its place in the list: one multiplication and mostly one comparison a row.
//!
//! A text of at most 12 bytes is a single 128-bit number, length and bytes, which is also how Arrow's `Utf8View` holds it; two such numbers
//! are equal exactly when the texts are. Longer codes go through an ordinary map.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::Array;

use super::Texts;
use crate::eval::Ints;

/// Longest text that a view holds in itself.
const INLINE_BYTES: usize = 12;

const FREE: u32 = u32::MAX;

/// Spreads numbers over a table by their highest bits (Knuth, volume 3, 6.4: the golden ratio of 2^64).
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Places of the codes of a list. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Codes(Arc<Table>);

#[derive(Debug)]
struct Table {
    /// A power of two of entries, at most half of them used.
    short: Vec<(u128, u32)>,
    shift: u32,
    long: HashMap<Box<str>, u32>,
}

impl Codes {
    /// Codes in their order. Of equal ones the first counts.
    pub(crate) fn new<'a>(codes: impl Iterator<Item = &'a str>) -> Self {
        let codes: Vec<&str> = codes.collect();
        let size = (codes.len() * 2).next_power_of_two().max(2);
        let mut table = Table { short: vec![(0, FREE); size], shift: 64 - size.trailing_zeros(), long: HashMap::new() };
        for (code, place) in codes.into_iter().zip(0..FREE) {
            match inline(code.as_bytes()) {
                Some(key) => {
                    let entry = table.entry(key);
                    if table.short[entry].1 == FREE {
                        table.short[entry] = (key, place);
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
            Some(key) => self.0.short[self.0.entry(key)].1,
            None => self.0.long.get(text).copied().unwrap_or(FREE),
        };
        (place != FREE).then(|| i64::from(place))
    }

    /// The place of each row's text; NULL for one that is not in the list.
    pub(crate) fn places(&self, texts: &Texts) -> Ints {
        let Texts::View(array) = texts else {
            return Ints::from_rows(texts.len(), |row| texts.get(row).and_then(|text| self.place(text)));
        };
        let views = array.views();
        let (table, nulls) = (&*self.0, array.nulls());
        Ints::from_rows(array.len(), |row| {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return None;
            }
            let view = views[row];
            // The lowest 32 bits are the length.
            if (view & 0xFFFF_FFFF) > INLINE_BYTES as u128 {
                return self.place(array.value(row));
            }
            let place = table.short[table.entry(view)].1;
            (place != FREE).then(|| i64::from(place))
        })
    }
}

impl Table {
    /// The entry that holds a key, or the free one where it would stand.
    #[inline]
    fn entry(&self, key: u128) -> usize {
        let folded = u64::try_from(key & u128::from(u64::MAX)).unwrap_or(0) ^ u64::try_from(key >> 64).unwrap_or(0).rotate_left(29);
        let mut entry = usize::try_from(folded.wrapping_mul(SPREAD) >> self.shift).unwrap_or(0);
        while self.short[entry].1 != FREE && self.short[entry].0 != key {
            entry = (entry + 1) & (self.short.len() - 1);
        }
        entry
    }
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

    use arrow::array::{ArrayRef, LargeStringArray, StringArray, StringViewArray};

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
