//! Which groups and values of a person count: `SipHash-2-4` (Aumasson and Bernstein 2012), written down from the paper over bytes, and the
//! cascade of keys that `docs/decisions/0012` and the engine's documentation define.

use commun_domain::ids::QueryId;
use sha2::{Digest, Sha256};

/// A key of `SipHash`: two little-endian halves of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key([u64; 2]);

impl Key {
    /// 128 bits of SHA-256 over a tag and the query's id.
    pub(super) fn of_query(query: &QueryId) -> Self {
        let hash: [u8; 32] = Sha256::new().chain_update(b"commun/keep-groups/v2\0").chain_update(query.as_bytes()).finalize().into();
        Self([half(&hash[..8]), half(&hash[8..16])])
    }

    /// The 128-bit hash of the period in four bytes and the unit as text.
    pub(super) fn of_person(self, period: i32, person: &str) -> Self {
        self.hash128(&[&period.to_le_bytes()[..], person.as_bytes()].concat())
    }

    pub(super) fn of_group(self, cell: u32) -> u64 {
        self.hash(&u64::from(cell).to_le_bytes())
    }

    /// What stands for a text of an open group key: its 128-bit hash under the key of the query.
    pub(super) fn of_text(self, text: &str) -> Self {
        self.hash128(text.as_bytes())
    }

    /// The number of a text, under the key of a person.
    pub(super) fn of_name(self, Key([first, second]): Self) -> u64 {
        self.hash(&[first, second].map(u64::to_le_bytes).concat())
    }

    pub(super) fn of_value(self, cell: u32, bin: u64, occurrence: u64) -> u64 {
        self.hash(&[u64::from(cell), bin, occurrence].map(u64::to_le_bytes).concat())
    }

    /// The key of a choice of rows at one place of the question: the 128-bit hash of a word and the place.
    pub(super) fn of_side(self, number: u32) -> Self {
        self.hash128(&[&b"rows"[..], &number.to_le_bytes()].concat())
    }

    /// The number of a row: bits that say which columns are NULL, the columns with 0 for NULL, and which of its equals it is.
    pub(super) fn of_row<'v>(self, columns: impl Iterator<Item = &'v Option<i64>> + Clone, occurrence: u64) -> u64 {
        let count = columns.clone().count();
        let mut nulls = vec![0u64; count.div_ceil(64)];
        for (place, _) in columns.clone().enumerate().filter(|(_, column)| column.is_none()) {
            nulls[place / 64] |= 1 << (place % 64);
        }
        let numbers = columns.map(|column| column.unwrap_or(0).cast_unsigned());
        let words: Vec<u64> = nulls.into_iter().chain(numbers).chain([occurrence]).collect();
        self.hash(&words.into_iter().flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
    }

    fn hash128(self, message: &[u8]) -> Self {
        let state = absorb(self, [0, 0xee, 0, 0], message);
        let first = finish(state, [0, 0, 0xee, 0], 4);
        let second = finish(first, [0, 0xdd, 0, 0], 4);
        Self([first, second].map(|[a, b, c, d]| a ^ b ^ c ^ d))
    }

    fn hash(self, message: &[u8]) -> u64 {
        let [a, b, c, d] = finish(absorb(self, [0; 4], message), [0, 0, 0xff, 0], 4);
        a ^ b ^ c ^ d
    }
}

fn half(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// Whole words, then the rest with the length in its last byte.
fn absorb(Key([k0, k1]): Key, mark: [u64; 4], message: &[u8]) -> [u64; 4] {
    let constants = [half(b"uespemos"), half(b"modnarod"), half(b"arenegyl"), half(b"setybdet")];
    let mut state = [k0, k1, k0, k1];
    (0..4).for_each(|word| state[word] ^= constants[word] ^ mark[word]);
    let mut padded = message.to_vec();
    padded.resize(message.len() / 8 * 8 + 7, 0);
    padded.push(u8::try_from(message.len() % 256).unwrap());
    for word in padded.chunks(8).map(half) {
        state[3] ^= word;
        state = finish(state, [0; 4], 2);
        state[0] ^= word;
    }
    state
}

/// So many rounds after a mark.
fn finish(mut state: [u64; 4], mark: [u64; 4], rounds: u32) -> [u64; 4] {
    (0..4).for_each(|word| state[word] ^= mark[word]);
    for _ in 0..rounds {
        let [mut a, mut b, mut c, mut d] = state;
        (a, c) = (a.wrapping_add(b), c.wrapping_add(d));
        (b, d) = (b.rotate_left(13) ^ a, d.rotate_left(16) ^ c);
        a = a.rotate_left(32);
        (c, a) = (c.wrapping_add(b), a.wrapping_add(d));
        (b, d) = (b.rotate_left(17) ^ c, d.rotate_left(21) ^ a);
        c = c.rotate_left(32);
        state = [a, b, c, d];
    }
    state
}

#[test]
fn it_is_the_published_siphash() {
    let bytes: Vec<u8> = (0..64).collect();
    let key = Key([half(&bytes[..8]), half(&bytes[8..16])]);
    // vectors.h of the reference implementation, vectors_sip64: 0, 8 and 15 bytes.
    for (length, expected) in [
        (0, [0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72]),
        (8, [0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]),
        (15, [0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1]),
    ] {
        assert_eq!(key.hash(&bytes[..length]).to_le_bytes(), expected, "{length} bytes");
    }
}
