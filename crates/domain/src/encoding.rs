//! The one canonical encoding.
//!
//! Every signed or hashed thing is encoded here: fixed-width big-endian integers, `u32` length before text, bytes and lists, one byte
//! before an option, one byte before a variant; a [`Document`] starts with its tag, which separates domains. The encoding is
//! injective, and decoding accepts exactly what encoding produces (no second form of a value, nothing left over), so equal bytes,
//! equal values and equal hashes are the same thing.

use sha2::{Digest, Sha256};

use crate::ids::Hash32;
use crate::units::{Delta, Epsilon, Rho};

/// Largest document that is decoded, in bytes (16 MiB).
pub const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Deepest nesting of expressions that is decoded; a hostile document cannot exhaust the stack.
pub const MAX_DEPTH: u32 = 128;

/// Why bytes are not a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than the value needs.
    #[error("the document ends in the middle of a value")]
    Truncated,
    /// More bytes than the value needs.
    #[error("{0} bytes follow the end of the document")]
    Trailing(usize),
    /// The tag is of another kind or version.
    #[error("this is not a \"{expected}\"")]
    Tag {
        /// The tag of the kind that was asked for.
        expected: &'static str,
    },
    /// A variant, flag or text that no encoder writes.
    #[error("invalid {0}")]
    Invalid(&'static str),
    /// Larger than [`MAX_DOCUMENT_BYTES`].
    #[error("the document is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the document is nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// Appends its canonical bytes.
pub trait Encode {
    /// Appends the canonical bytes of `self` to `out`.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Reads its canonical bytes.
pub trait Decode: Sized {
    /// Reads one value.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// A top-level thing that is signed, hashed, stored or logged.
pub trait Document: Encode + Decode {
    /// Kind and version, first in the bytes: `commun/permit/v1`.
    const TAG: &'static str;

    /// The canonical bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        Self::TAG.encode(&mut out);
        self.encode(&mut out);
        out
    }

    /// Reads a whole document; refuses anything but its canonical bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_DOCUMENT_BYTES {
            return Err(DecodeError::TooLarge);
        }
        let mut reader = Reader::new(bytes);
        let tag = reader.text()?;
        if tag != Self::TAG {
            return Err(DecodeError::Tag { expected: Self::TAG });
        }
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// SHA-256 of the canonical bytes.
    fn hash(&self) -> Hash32 {
        sha256(&self.to_bytes())
    }
}

/// SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> Hash32 {
    Hash32::from_bytes(Sha256::digest(bytes).into())
}

/// The tag of a document, without decoding the rest; `None` when the bytes are no document at all.
pub fn tag_of(bytes: &[u8]) -> Option<&str> {
    Reader::new(bytes).text().ok()
}

/// A cursor over canonical bytes.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    depth: u32,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, depth: 0 }
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.bytes.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.bytes = tail;
        Ok(head)
    }

    /// A `u32` length, never more than the bytes that are left (so that a hostile length allocates nothing).
    pub fn length(&mut self) -> Result<usize, DecodeError> {
        let length = usize::try_from(u32::decode(self)?).map_err(|_| DecodeError::TooLarge)?;
        if length > self.bytes.len() { Err(DecodeError::Truncated) } else { Ok(length) }
    }

    /// A text.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.length()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Invalid("text"))
    }

    /// Runs `read` one level deeper.
    pub fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, DecodeError>) -> Result<T, DecodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Ends: nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.bytes.len())) }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
        impl Decode for $type {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                let bytes = reader.take(size_of::<$type>())?;
                Ok(Self::from_be_bytes(bytes.try_into().map_err(|_| DecodeError::Truncated)?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i32, i64, i128);

macro_rules! units {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                self.units().encode(out);
            }
        }
        impl Decode for $type {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_units(u64::decode(reader)?))
            }
        }
    )*};
}
units!(Rho, Delta, Epsilon);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid("flag")),
        }
    }
}

/// Lengths are `u32`; no value of this crate comes near 4 GiB, and a document that did would be refused on reading.
fn encode_length(length: usize, out: &mut Vec<u8>) {
    u32::try_from(length).unwrap_or(u32::MAX).encode(out);
}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}

impl Decode for String {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.text().map(str::to_owned)
    }
}

impl<const N: usize> Encode for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl<const N: usize> Decode for [u8; N] {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        for item in self {
            item.encode(out);
        }
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // Every item takes at least one byte, so the length is bounded by what is left.
        let length = reader.length()?;
        (0..length).map(|_| T::decode(reader)).collect()
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

impl<T: Decode> Decode for Option<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if bool::decode(reader)? { T::decode(reader).map(Some) } else { Ok(None) }
    }
}

/// Encodes a struct as its fields in the order given here.
#[macro_export]
macro_rules! canonical_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::encoding::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $( $crate::encoding::Encode::encode(&self.$field, out); )*
            }
        }
        impl $crate::encoding::Decode for $name {
            fn decode(reader: &mut $crate::encoding::Reader<'_>) -> Result<Self, $crate::encoding::DecodeError> {
                Ok(Self { $( $field: $crate::encoding::Decode::decode(reader)?, )* })
            }
        }
    };
}

/// Encodes a field-less enum as one byte.
#[macro_export]
macro_rules! canonical_enum {
    ($name:ident { $($variant:ident = $number:literal),* $(,)? }) => {
        impl $crate::encoding::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.push(match self { $( Self::$variant => $number, )* });
            }
        }
        impl $crate::encoding::Decode for $name {
            fn decode(reader: &mut $crate::encoding::Reader<'_>) -> Result<Self, $crate::encoding::DecodeError> {
                match <u8 as $crate::encoding::Decode>::decode(reader)? {
                    $( $number => Ok(Self::$variant), )*
                    _ => Err($crate::encoding::DecodeError::Invalid(stringify!($name))),
                }
            }
        }
    };
}

/// Encodes an enum whose variants carry values: one byte for the variant, then its fields in order. May be recursive; nesting is limited
/// when it is read.
#[macro_export]
macro_rules! canonical_union {
    ($name:ident { $($number:literal = $variant:ident $(($($field:ident),* $(,)?))? $({ $($named:ident),* $(,)? })?),* $(,)? }) => {
        impl $crate::encoding::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $( Self::$variant $(($($field),*))? $({ $($named),* })? => {
                        out.push($number);
                        $( $( $crate::encoding::Encode::encode($field, out); )* )?
                        $( $( $crate::encoding::Encode::encode($named, out); )* )?
                    } )*
                }
            }
        }
        impl $crate::encoding::Decode for $name {
            fn decode(reader: &mut $crate::encoding::Reader<'_>) -> Result<Self, $crate::encoding::DecodeError> {
                reader.nested(|reader| match <u8 as $crate::encoding::Decode>::decode(reader)? {
                    $( $number => {
                        $( $( let $field = $crate::encoding::Decode::decode(reader)?; )* )?
                        $( $( let $named = $crate::encoding::Decode::decode(reader)?; )* )?
                        Ok(Self::$variant $(($($field),*))? $({ $($named),* })?)
                    } )*
                    _ => Err($crate::encoding::DecodeError::Invalid(stringify!($name))),
                })
            }
        }
    };
}

impl<T: Encode> Encode for Box<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

impl<T: Decode> Decode for Box<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::decode(reader).map(Self::new)
    }
}

/// A `Vec<u8>` field: bytes with their length (the generic list would do the same, a byte at a time).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bytes(pub Vec<u8>);

impl Encode for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.0.len(), out);
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Bytes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = reader.length()?;
        reader.take(length).map(|bytes| Self(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Condition, Value};
    use crate::query::{PriceRequest, Query, QuerySettings, SnapshotRule};
    use crate::signed::{Signature, SignedDocument};

    fn query(sql: String, epsilon: u64, day: Option<i32>, wanted: (bool, bool)) -> Query {
        Query {
            sql,
            settings: QuerySettings {
                price: PriceRequest::Epsilon(Epsilon::from_units(epsilon)),
                max_groups_per_person: 1,
                intervals: wanted.0,
                clipped: wanted.1,
            },
            contract: sha256(b"contract"),
            permit: sha256(b"permit"),
            max_price: Rho::from_units(7),
            least_honest: 1,
            snapshot: day.map_or(SnapshotRule::Any, SnapshotRule::NotBefore),
            nonce: [3; 16],
            expiry_unix: 9,
        }
    }

    proptest! {
        #[test]
        fn what_decodes_is_exactly_what_encodes(
            sql in ".{0,40}", epsilon: u64, day: Option<i32>, wanted: (bool, bool), place: prop::sample::Index, byte: u8,
            cut: prop::sample::Index,
        ) {
            let query = query(sql, epsilon, day, wanted);
            let bytes = query.to_bytes();
            prop_assert_eq!(&Query::from_bytes(&bytes).unwrap(), &query);
            let mut changed = bytes.clone();
            changed[place.index(bytes.len())] = byte;
            if let Ok(other) = Query::from_bytes(&changed) {
                prop_assert_eq!(other.to_bytes(), changed);
            }
            prop_assert!(Query::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
            let longer = [bytes, vec![byte]].concat();
            prop_assert_eq!(Query::from_bytes(&longer), Err(DecodeError::Trailing(1)));
        }

        #[test]
        fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = Vec::new();
            SignedDocument::TAG.encode(&mut bytes);
            bytes.extend(body);
            if let Ok(document) = SignedDocument::from_bytes(&bytes) {
                prop_assert_eq!(document.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn a_hostile_length_or_depth_is_refused_before_it_costs_anything() {
        let mut bytes = Vec::new();
        u32::MAX.encode(&mut bytes);
        assert_eq!(Vec::<Signature>::decode(&mut Reader::new(&bytes)), Err(DecodeError::Truncated));
        let leaf = Condition::Constant(Some(true));
        let deep = |levels| (1..levels).fold(leaf.clone(), |inner, _| Condition::Not(Box::new(inner)));
        let encoded = |predicate: &Condition| {
            let mut bytes = Vec::new();
            predicate.encode(&mut bytes);
            bytes
        };
        let wide = Value::Coalesce(vec![Value::Null; 1_000]);
        let mut bytes = Vec::new();
        wide.encode(&mut bytes);
        assert_eq!(Value::decode(&mut Reader::new(&bytes)), Ok(wide));
        assert!(Condition::decode(&mut Reader::new(&encoded(&deep(MAX_DEPTH)))).is_ok());
        assert_eq!(Condition::decode(&mut Reader::new(&encoded(&deep(MAX_DEPTH + 1)))), Err(DecodeError::TooDeep));
    }

    #[test]
    fn one_kind_of_document_is_never_read_as_another() {
        let bytes = query("SELECT 1".to_owned(), 1, None, (true, false)).to_bytes();
        assert!(matches!(SignedDocument::from_bytes(&bytes), Err(DecodeError::Tag { .. })));
        assert_eq!(tag_of(&bytes), Some(Query::TAG));
    }
}
