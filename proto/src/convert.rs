//! From wire fields to domain types, with limits, and one error for all of them.

use commun_domain::encoding::DecodeError;
use commun_domain::ids::{Hash32, QueryId};
use commun_domain::{Document, Refusal, WireCode};

/// Why a field is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum FieldError {
    /// A message without its content.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A hash or id that is not 32 bytes long.
    #[error("{0} is not 32 bytes long")]
    Length(&'static str),
    /// Canonical bytes that do not decode.
    #[error("{field}: {source}")]
    Document {
        /// Field.
        field: &'static str,
        /// Reason.
        source: DecodeError,
    },
    /// A number out of its range.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// A code that is not one of the stable codes.
    #[error("{0} is not a known code")]
    Code(&'static str),
}

impl From<FieldError> for Refusal {
    fn from(error: FieldError) -> Self {
        Self::new(
            WireCode::InvalidQuery,
            format!("malformed request: {error}"),
            "use a client of the same protocol version as the coordinator",
        )
    }
}

/// A document from a `bytes` field.
pub fn document<T: Document>(field: &'static str, bytes: &[u8]) -> Result<T, FieldError> {
    T::from_bytes(bytes).map_err(|source| FieldError::Document { field, source })
}

/// A hash from a `bytes` field.
pub fn hash(field: &'static str, bytes: &[u8]) -> Result<Hash32, FieldError> {
    bytes.try_into().map(Hash32::from_bytes).map_err(|_| FieldError::Length(field))
}

/// A query id from a `bytes` field.
pub fn query_id(field: &'static str, bytes: &[u8]) -> Result<QueryId, FieldError> {
    hash(field, bytes).map(QueryId::from)
}

/// An attempt number, 1 to [`commun_domain::attempt::MAX_ATTEMPTS`].
pub fn attempt(field: &'static str, number: u32) -> Result<u8, FieldError> {
    u8::try_from(number).ok().filter(|n| (1..=commun_domain::attempt::MAX_ATTEMPTS).contains(n)).ok_or(FieldError::Range(field))
}

/// A stable code.
pub fn code(field: &'static str, text: &str) -> Result<WireCode, FieldError> {
    WireCode::parse(text).ok_or(FieldError::Code(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_another_length_and_attempts_out_of_range_are_refused() {
        assert!(query_id("query_id", &[0; 31]).is_err());
        assert!(query_id("query_id", &[0; 32]).is_ok());
        assert!(attempt("attempt", 0).is_err());
        assert!(attempt("attempt", 4).is_err());
        assert!(attempt("attempt", 3).is_ok_and(|n| n == 3));
        assert!(code("code", "NOT_A_CODE").is_err());
    }
}
