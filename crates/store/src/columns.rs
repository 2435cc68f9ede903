//! Conversions between columns and domain types. Bytes and words that this program did not write are damage, never a default.

use commun_domain::{Hash32, QueryId};
use rusqlite::Row;

use crate::error::StoreError;

/// A `u64` for an INTEGER column.
pub(crate) fn integer(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge(value))
}

/// A non-negative INTEGER column.
pub(crate) fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| damaged(column))
}

/// An attempt's number.
pub(crate) fn attempt(row: &Row<'_>) -> Result<u8, StoreError> {
    let value: i64 = row.get("attempt")?;
    u8::try_from(value).map_err(|_| damaged("attempt"))
}

/// A hash.
pub(crate) fn hash(row: &Row<'_>, column: &str) -> Result<Hash32, StoreError> {
    optional_hash(row, column)?.ok_or_else(|| damaged(column))
}

/// A hash, or NULL.
pub(crate) fn optional_hash(row: &Row<'_>, column: &str) -> Result<Option<Hash32>, StoreError> {
    let bytes: Option<Vec<u8>> = row.get(column)?;
    bytes.map(|bytes| bytes.try_into().map(Hash32::from_bytes).map_err(|_| damaged(column))).transpose()
}

/// A query's id.
pub(crate) fn query_id(row: &Row<'_>) -> Result<QueryId, StoreError> {
    hash(row, "query_id").map(QueryId::from)
}

/// A word of a closed set.
pub(crate) fn word<T>(row: &Row<'_>, column: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| damaged(column))
}

/// A column that holds what no version of this program writes.
pub(crate) fn damaged(column: &str) -> StoreError {
    StoreError::Damaged { what: format!("column {column} holds a value that no version of this program writes") }
}

/// A closed set of words, as an enum, its text, and back.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $text:literal ),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $( $(#[$variant_doc])* $variant, )* }

        impl $name {
            /// The word in the database.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* }
            }
            /// Reads [`Self::as_str`].
            pub fn parse(text: &str) -> Option<Self> {
                match text { $( $text => Some(Self::$variant), )* _ => None }
            }
        }
    };
}
pub(crate) use words;
