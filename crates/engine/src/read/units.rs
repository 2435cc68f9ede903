//! The unit of each row: who a row is about. Compared by its full value, never by a hash alone.
//!
//! Integers are kept as integers; their decimal text is their identity, so that the same person chooses the same groups whether a file
//! holds ids as integers or as text.

use arrow::array::{ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Int64Type, UInt64Type};

use super::{Texts, cast_or_null, validity, value_type};

/// Longest text of a unit, in bytes; a longer one is nobody's. No id is that long, and the limit bounds what a row can cost.
pub(crate) const MAX_UNIT_BYTES: usize = 1024;

/// What the unit column holds; follows from the type of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// Integers of up to 64 bits.
    Signed,
    /// Unsigned integers of 64 bits.
    Unsigned,
    /// Anything else, as text.
    Text,
}

impl UnitKind {
    pub(crate) fn of(data_type: &DataType) -> Self {
        match value_type(data_type) {
            DataType::UInt64 => Self::Unsigned,
            data_type if data_type.is_integer() => Self::Signed,
            _ => Self::Text,
        }
    }

    /// How units of both kinds are read as the same persons; `None` when that is not sure. Whole numbers of any width meet in their decimal text.
    pub(crate) fn with(self, other: Self) -> Option<Self> {
        match (self, other) {
            _ if self == other => Some(self),
            (Self::Text, _) | (_, Self::Text) => None,
            _ => Some(Self::Text),
        }
    }
}

/// Units of a batch.
pub(crate) enum Units {
    Signed(ScalarBuffer<i64>, Option<BooleanBuffer>),
    Unsigned(ScalarBuffer<u64>, Option<BooleanBuffer>),
    Text(Texts),
}

impl Units {
    pub(crate) fn read(array: &ArrayRef, kind: UnitKind) -> Self {
        match kind {
            UnitKind::Signed => {
                let array = cast_or_null(array, &DataType::Int64);
                let integers = array.as_primitive::<Int64Type>();
                Self::Signed(integers.values().clone(), validity(integers))
            }
            UnitKind::Unsigned => {
                let array = cast_or_null(array, &DataType::UInt64);
                let integers = array.as_primitive::<UInt64Type>();
                Self::Unsigned(integers.values().clone(), validity(integers))
            }
            UnitKind::Text => Self::Text(Texts::read(array)),
        }
    }

    /// Rows that are somebody's. An empty or blank id is nobody's: all such rows would otherwise be one person.
    pub(crate) fn known(&self) -> Option<BooleanBuffer> {
        match self {
            Self::Signed(_, valid) | Self::Unsigned(_, valid) => valid.clone(),
            Self::Text(texts) => Some(BooleanBuffer::collect_bool(texts.len(), |row| texts.get(row).is_some_and(is_unit))),
        }
    }
}

/// Whether a text identifies somebody.
pub(crate) fn is_unit(text: &str) -> bool {
    text.len() <= MAX_UNIT_BYTES && !text.trim().is_empty()
}
