//! The pseudo-random choice of what is kept of a person who has more than the plan's bounds: a keyed hash, `SipHash-2-4`
//! (Aumasson and Bernstein 2012; this is the reference algorithm, checked against its vectors).
//!
//! It is a cascade. The key of a query is 128 bits of SHA-256 over a tag and the query id. The key of a person in a partition is the 128-bit
//! `SipHash` of (period, unit) under the key of the query; the period has four bytes and the unit is the rest, so the encoding is injective.
//! The number of a group is the 64-bit `SipHash` of its cell under the key of the person; the number of a value in a histogram is that of
//! (cell, bin, occurrence), a message of another length; that of a text of an open group key is the `SipHash` of the text's 128-bit one under the key of the query,
//! a message of two words. A cascade of pseudo-random functions is one (Bellare, Canetti and Krawczyk 1996),
//! so nobody who does not choose ids by hand can foresee which groups stay, and a person's groups are chosen apart from other persons'
//! and from other queries'. Privacy does not rest on it: the sensitivity holds for any choice that depends on that person's rows alone.
//! It serves fairness: no group is kept more often than another. The person's key is worked out where a bound binds and not elsewhere.

use commun_domain::calendar::Period;
use commun_domain::ids::QueryId;
use sha2::{Digest, Sha256};

mod wide;

pub(crate) use wide::{LANES, Numbering};

/// Separates this use of SHA-256 from every other.
const KEEP_TAG: &[u8] = b"commun/keep-groups/v2\0";

/// A key of `SipHash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    k0: u64,
    k1: u64,
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl Key {
    /// The key of a query.
    pub(crate) fn of_query(query_id: &QueryId) -> Self {
        let hash: [u8; 32] = Sha256::new().chain_update(KEEP_TAG).chain_update(query_id.as_bytes()).finalize().into();
        Self { k0: word(&hash[..8]), k1: word(&hash[8..16]) }
    }

    /// The key of a person in a partition.
    pub(crate) fn of_person(self, period: Period, unit: &[u8]) -> Self {
        // Nearly every id is short, and this is wanted for many persons.
        let mut short = [0; 60];
        let (k0, k1) = if let Some(message) = short.get_mut(..4 + unit.len()) {
            message[..4].copy_from_slice(&period.0.to_le_bytes());
            message[4..].copy_from_slice(unit);
            self.hash128(message)
        } else {
            self.hash128(&[&period.0.to_le_bytes(), unit].concat())
        };
        Self { k0, k1 }
    }

    /// The number of a group.
    #[inline]
    pub(crate) fn group(self, cell: u32) -> u64 {
        self.hash64(&[u64::from(cell)])
    }

    /// The number of a group that is a text, from its fingerprint.
    #[inline]
    pub(crate) fn name(self, first: u64, second: u64) -> u64 {
        self.hash64(&[first, second])
    }

    /// The fingerprint of a text, under the key of a query.
    pub(crate) fn text(self, text: &[u8]) -> (u64, u64) {
        self.hash128(text)
    }

    /// The number of the `occurrence`th value in a bin.
    pub(crate) fn value(self, cell: u32, bin: u16, occurrence: u64) -> u64 {
        self.hash64(&[u64::from(cell), u64::from(bin), occurrence])
    }

    /// The key of a person's choice of rows at one place of the question, from the key of the person.
    pub(crate) fn side(self, number: u32) -> Self {
        let mut message = *b"rows\0\0\0\0";
        message[4..].copy_from_slice(&number.to_le_bytes());
        let (k0, k1) = self.hash128(&message);
        Self { k0, k1 }
    }

    /// The number of the `occurrence`th row with this content; all contents at one place have one length.
    pub(crate) fn row(self, content: &[u64], occurrence: u64) -> u64 {
        let mut state = self.start();
        for word in content.iter().chain(std::iter::once(&occurrence)) {
            state.absorb(*word);
        }
        state.absorb(length((content.len() + 1) * 8));
        state.v2 ^= 0xff;
        state.finish()
    }

    #[inline]
    fn start(self) -> State {
        State {
            v0: self.k0 ^ 0x736f_6d65_7073_6575,
            v1: self.k1 ^ 0x646f_7261_6e64_6f6d,
            v2: self.k0 ^ 0x6c79_6765_6e65_7261,
            v3: self.k1 ^ 0x7465_6462_7974_6573,
        }
    }

    /// `SipHash-2-4` of whole words, little-endian.
    #[inline]
    fn hash64(self, words: &[u64]) -> u64 {
        let mut state = self.start();
        for word in words {
            state.absorb(*word);
        }
        state.absorb(length(words.len() * 8));
        state.v2 ^= 0xff;
        state.finish()
    }

    /// `SipHash-2-4-128` of bytes.
    fn hash128(self, message: &[u8]) -> (u64, u64) {
        let mut state = self.start();
        state.v1 ^= 0xee;
        let (words, rest) = message.as_chunks::<8>();
        for word in words {
            state.absorb(u64::from_le_bytes(*word));
        }
        state.absorb(word(rest) | length(message.len()));
        state.v2 ^= 0xee;
        let first = state.finish();
        state.v1 ^= 0xdd;
        (first, state.finish())
    }
}

/// Up to eight bytes, little-endian.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The length of a message modulo 256, as its last word has it.
#[inline]
fn length(bytes: usize) -> u64 {
    u64::try_from(bytes & 0xff).unwrap_or(0) << 56
}

impl State {
    #[inline]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline]
    fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.round();
        self.v0 ^= word;
    }

    #[inline]
    fn finish(&mut self) -> u64 {
        for _ in 0..4 {
            self.round();
        }
        self.v0 ^ self.v1 ^ self.v2 ^ self.v3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 00 01 02 …, as in the reference's vectors.
    fn reference() -> (Key, Vec<u8>) {
        let bytes: Vec<u8> = (0..64).collect();
        (Key { k0: word(&bytes[..8]), k1: word(&bytes[8..16]) }, bytes)
    }

    #[test]
    fn it_is_the_published_siphash() {
        let (key, bytes) = reference();
        // vectors.h of the reference implementation: 8 and 16 bytes of vectors_sip64, 0 and 15 bytes of vectors_sip128.
        assert_eq!(key.hash64(&[word(&bytes[..8])]), u64::from_le_bytes([0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]));
        assert_eq!(
            key.hash64(&[word(&bytes[..8]), word(&bytes[8..16])]),
            u64::from_le_bytes([0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f])
        );
        let (first, second) = key.hash128(&[]);
        let expected = [0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93];
        assert_eq!([first.to_le_bytes(), second.to_le_bytes()].concat(), expected);
    }

    #[test]
    fn many_groups_are_numbered_as_one_is() {
        let person = Key::of_query(&QueryId::from_bytes([3; 32])).of_person(Period(1), b"a");
        let cells: [[u64; LANES]; 3] = std::array::from_fn(|row| std::array::from_fn(|lane| (row * 7_919 + lane * 104_729) as u64));
        let mut numbers = [[0; LANES]; 3];
        Numbering::default().number(person, &cells, &mut numbers);
        let one = |cell: &u64| person.group(u32::try_from(*cell).unwrap_or(0));
        assert_eq!(numbers.as_flattened(), cells.as_flattened().iter().map(one).collect::<Vec<_>>());
    }

    #[test]
    fn every_part_of_the_message_counts() {
        let query = Key::of_query(&QueryId::from_bytes([1; 32]));
        let person = query.of_person(Period(1), b"ab");
        assert_ne!(query, Key::of_query(&QueryId::from_bytes([2; 32])));
        for other in [query.of_person(Period(2), b"ab"), query.of_person(Period(1), b"ab\0")] {
            assert_ne!(person, other);
        }
        // Short and long messages are one function.
        for bytes in [0, 55, 56, 57, 900] {
            let (k0, k1) = query.hash128(&[&1i32.to_le_bytes(), vec![b'x'; bytes].as_slice()].concat());
            assert_eq!(query.of_person(Period(1), &vec![b'x'; bytes]), Key { k0, k1 });
        }
        let numbers =
            [person.group(1), person.group(2), person.value(1, 0, 0), person.value(1, 0, 1), person.value(1, 1, 0), person.value(2, 0, 0)];
        assert_eq!(numbers.iter().collect::<std::collections::HashSet<_>>().len(), numbers.len());
    }

    #[test]
    fn no_cell_is_kept_more_often_than_another() {
        let query = Key::of_query(&QueryId::from_bytes([9; 32]));
        let mut kept = [0i32; 16];
        for person in 0..32_000u32 {
            let key = query.of_person(Period(3), person.to_string().as_bytes());
            let least = (0..16u32).min_by_key(|cell| key.group(*cell)).unwrap_or(0);
            kept[least as usize] += 1;
        }
        // 2,000 each with a standard deviation of 43.
        assert!(kept.iter().all(|count| (count - 2000).abs() < 260), "{kept:?}");
    }
}
