//! A set of ids, found by a hash and compared by their full value, as the engine compares units: integers where the unit column holds
//! integers, texts otherwise.

use std::collections::HashSet;
use std::hash::BuildHasher;

use crate::bound::Hasher;
use crate::read::UnitKind;

/// Most ids of a list: five times the people of a country of thirteen million.
const MAX_IDS: usize = 1 << 26;

/// What an allocation of a text takes beside its bytes.
const TEXT_OVERHEAD_BYTES: usize = 16;

/// See the module.
#[derive(Debug)]
pub(super) struct Ids {
    kind: UnitKind,
    numbers: HashSet<u64, Keyed>,
    texts: HashSet<Box<str>, Keyed>,
    text_bytes: usize,
    limit: Option<usize>,
}

impl Ids {
    /// `limit`: most bytes.
    pub(super) fn new(kind: UnitKind, limit: Option<usize>) -> Self {
        let keyed = Keyed(Hasher::new());
        Self { kind, numbers: HashSet::with_hasher(keyed), texts: HashSet::with_hasher(keyed), text_bytes: 0, limit }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len() + self.texts.len()
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        table_bytes::<u64>(self.numbers.capacity()) + table_bytes::<Box<str>>(self.texts.capacity()) + self.text_bytes
    }

    pub(super) fn has_number(&self, number: u64) -> bool {
        self.numbers.contains(&number)
    }

    pub(super) fn has_text(&self, text: &str) -> bool {
        self.texts.contains(text)
    }

    /// Adds an id in its text form. An integer that does not fit the unit column is nobody's there.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        match self.kind {
            UnitKind::Text => {
                if !self.texts.contains(text) {
                    self.make_room(text.len() + TEXT_OVERHEAD_BYTES)?;
                    self.text_bytes += text.len() + TEXT_OVERHEAD_BYTES;
                    self.texts.insert(text.into());
                }
            }
            UnitKind::Signed | UnitKind::Unsigned => {
                if !is_plain_integer(text) {
                    return Err("the unit column holds whole numbers, and this is none, or not written plainly".to_owned());
                }
                let number = match self.kind {
                    UnitKind::Unsigned => text.parse().ok(),
                    _ => text.parse::<i64>().ok().map(i64::cast_unsigned),
                };
                if let Some(number) = number.filter(|number| !self.numbers.contains(number)) {
                    self.make_room(0)?;
                    self.numbers.insert(number);
                }
            }
        }
        Ok(())
    }

    /// Fails when one more id would break a limit. A full table is copied to one of twice its size.
    fn make_room(&self, more: usize) -> Result<(), String> {
        if self.len() >= MAX_IDS {
            return Err(format!("there are more than {MAX_IDS} ids"));
        }
        let grown = match self.kind {
            UnitKind::Text if self.texts.len() == self.texts.capacity() => 2 * table_bytes::<Box<str>>(self.texts.capacity()),
            UnitKind::Signed | UnitKind::Unsigned if self.numbers.len() == self.numbers.capacity() => {
                2 * table_bytes::<u64>(self.numbers.capacity())
            }
            _ => 0,
        };
        match self.limit {
            Some(limit) if self.bytes() + grown + more > limit => {
                Err(format!("the list takes more than {limit} bytes, its part of the memory limit; raise limits.memory_mb"))
            }
            _ => Ok(()),
        }
    }
}

/// Bytes of a hash table that holds so many items without growing: an eighth of the places stays free, and each has a byte of its own.
fn table_bytes<T>(capacity: usize) -> usize {
    capacity.saturating_mul(8) / 7 * (size_of::<T>() + 1)
}

/// Whether a text is the one form in which an integer is written here: no sign but a minus, no leading zero.
fn is_plain_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').filter(|digits| *digits != "0").unwrap_or(text);
    digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0')) && !digits.is_empty()
}

/// The engine's hash, with this process's keys: nobody can choose ids that collide.
#[derive(Clone, Copy, Debug)]
struct Keyed(Hasher);

struct Hashing {
    hasher: Hasher,
    hash: u64,
}

impl BuildHasher for Keyed {
    type Hasher = Hashing;

    fn build_hasher(&self) -> Hashing {
        Hashing { hasher: self.0, hash: 0 }
    }
}

impl std::hash::Hasher for Hashing {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.hash = self.hasher.person(self.hash.rotate_left(23) ^ word, 0);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_has_one_form() {
        for good in ["0", "7", "-7", "10", "99999999999999999999"] {
            assert!(is_plain_integer(good), "{good}");
        }
        for bad in ["", "-", "-0", "+7", "07", "-07", " 7", "7 ", "7.0", "1e3", "x", "٣"] {
            assert!(!is_plain_integer(bad), "{bad}");
        }
    }

    #[test]
    fn ids_are_compared_by_their_full_value_and_counted_once() {
        let mut numbers = Ids::new(UnitKind::Signed, None);
        for text in ["-5", "12", "12", "9223372036854775807", "9223372036854775808"] {
            numbers.add(text).expect("an integer");
        }
        assert_eq!(numbers.len(), 3, "what does not fit is nobody's");
        assert!(numbers.has_number((-5i64).cast_unsigned()) && numbers.has_number(12) && !numbers.has_number(5));
        let mut unsigned = Ids::new(UnitKind::Unsigned, None);
        for text in ["-5", "9223372036854775808"] {
            unsigned.add(text).expect("an integer");
        }
        assert!(unsigned.len() == 1 && unsigned.has_number(1 << 63));
        let mut texts = Ids::new(UnitKind::Text, None);
        for number in 0..20_000 {
            texts.add(&format!("subscriber-{number}")).expect("a text");
        }
        assert_eq!(texts.len(), 20_000);
        assert!(texts.has_text("subscriber-19999") && !texts.has_text("subscriber-20000") && !texts.has_text("subscriber-1999 "));
    }

    #[test]
    fn a_list_stays_within_its_part_of_the_memory() {
        for (kind, id) in [(UnitKind::Signed, ""), (UnitKind::Text, "a long id of a subscriber ")] {
            let limit = 100_000;
            let mut ids = Ids::new(kind, Some(limit));
            let full = (1..100_000u32).find(|number| {
                let full = ids.add(&format!("{id}{number}")).is_err();
                assert!(ids.bytes() <= limit);
                full
            });
            assert!(full.is_some_and(|full| full > 1000), "{full:?}");
        }
    }
}
