//! Identifiers: hashes, keys, and the names that are checked once, at the edge.

use std::fmt;

use crate::encoding::{Decode, DecodeError, Encode, Reader};

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; 32]);

        impl $name {
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
            /// From 64 hexadecimal digits; `None` for anything else.
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; 32];
                hex::decode_to_slice(text, &mut bytes).ok()?;
                Some(Self(bytes))
            }
            /// The first 12 hexadecimal digits, for people.
            pub fn short(&self) -> String {
                hex::encode(&self.0[..6])
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }
        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }
        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                <[u8; 32]>::decode(reader).map(Self)
            }
        }
    };
}

bytes32!(
    /// A SHA-256 hash.
    Hash32
);
bytes32!(
    /// An Ed25519 public key (RFC 8032), not yet checked to be a point.
    PublicKey
);
bytes32!(
    /// SHA-256 of an Ed25519 public key: how log entries and signatures name a key.
    KeyId
);
bytes32!(
    /// SHA-256 of the canonical bytes of a signed query.
    QueryId
);

impl PublicKey {
    /// The id of this key.
    pub fn id(&self) -> KeyId {
        KeyId(*crate::encoding::sha256(&self.0).as_bytes())
    }
}

impl From<Hash32> for QueryId {
    fn from(hash: Hash32) -> Self {
        Self(hash.0)
    }
}

/// Longest name of a table, column, contract, code list or budget domain, in bytes.
pub const MAX_NAME_BYTES: usize = 63;

/// Whether a text may name a table, column, contract, code list or budget domain: `[a-z_][a-z0-9_]*`, at most
/// [`MAX_NAME_BYTES`]. Such names need no quoting in SQL and no escaping anywhere else.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME_BYTES
        && bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_lowercase())
        && bytes.all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
}
