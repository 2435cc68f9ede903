//! Reads one column of a batch as text, fixed-point numbers or truth values, whatever Arrow type it has. Total: a value that cannot be
//! read is NULL.
//!
//! Whether a type can be read at all is asked once, before any row ([`readable`]).

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, LargeStringArray, StringArray, StringViewArray};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type};
use commun_domain::contract::ColumnType;

use crate::number;

/// What a column of the contract is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Codes, units, partitions.
    Text,
    /// Integers of 10^-scale units, clamped to `[lo, hi]`.
    Number { lo: i64, hi: i64, scale: u8 },
    /// True or false.
    Boolean,
}

impl Reading {
    pub(crate) fn of(column_type: &ColumnType) -> Self {
        match column_type {
            ColumnType::Code { .. } => Self::Text,
            ColumnType::Number { lo, hi, scale } => Self::Number { lo: *lo, hi: *hi, scale: *scale },
            ColumnType::Boolean => Self::Boolean,
        }
    }

    /// For people.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number { .. } => "a number",
            Self::Boolean => "true or false",
        }
    }
}

/// Whether values of an Arrow type can be read so. Nested types never are, nor dates as numbers.
pub(crate) fn readable(data_type: &DataType, reading: Reading) -> bool {
    let data_type = value_type(data_type);
    let text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    match reading {
        _ if *data_type == DataType::Null || text => true,
        _ if data_type.is_nested() => false,
        Reading::Text => can_cast_types(data_type, &DataType::Utf8),
        Reading::Number { .. } => data_type.is_numeric(),
        Reading::Boolean => *data_type == DataType::Boolean || data_type.is_integer(),
    }
}

fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => value_type(values),
        DataType::RunEndEncoded(_, values) => value_type(values.data_type()),
        other => other,
    }
}

/// A cast that makes NULL of what does not fit. An error can only come from the types, which [`readable`] has allowed; should one come
/// all the same, every value is NULL.
fn cast_or_null(array: &ArrayRef, to: &DataType) -> ArrayRef {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(array, to, &options).unwrap_or_else(|_| arrow::array::new_null_array(to, array.len()))
}

/// Texts of a column.
pub(crate) enum Texts {
    Small(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

impl Texts {
    pub(crate) fn read(array: &ArrayRef) -> Self {
        match array.data_type() {
            DataType::Utf8 => Self::Small(array.as_string().clone()),
            DataType::LargeUtf8 => Self::Large(array.as_string().clone()),
            DataType::Utf8View => Self::View(array.as_string_view().clone()),
            // A view has no limit of 2 GiB a batch that one long text could break.
            _ => Self::View(cast_or_null(array, &DataType::Utf8View).as_string_view().clone()),
        }
    }

    /// The text of a row; `None` for NULL.
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        match self {
            Self::Small(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Large(array) => array.is_valid(row).then(|| array.value(row)),
            Self::View(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }

    /// The unit of a row. An empty or blank id is nobody's: all such rows would otherwise be one person.
    #[inline]
    pub(crate) fn unit(&self, row: usize) -> Option<&str> {
        self.get(row).filter(|unit| !unit.trim().is_empty())
    }
}

/// Numbers of a column before clamping, in units of 10^-scale; `None` for NULL, NaN, infinities and what is no number.
pub(crate) fn exact_numbers(array: &ArrayRef, scale: u8) -> Vec<Option<i128>> {
    match value_type(array.data_type()) {
        DataType::UInt64 => {
            let array = cast_or_null(array, &DataType::UInt64);
            array.as_primitive::<UInt64Type>().iter().map(|v| v.map(|v| number::from_decimal(i128::from(v), 0, scale))).collect()
        }
        data_type if data_type.is_integer() => {
            let array = cast_or_null(array, &DataType::Int64);
            array.as_primitive::<Int64Type>().iter().map(|v| v.map(|v| number::from_decimal(i128::from(v), 0, scale))).collect()
        }
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let array = cast_or_null(array, &DataType::Float64);
            array.as_primitive::<Float64Type>().iter().map(|v| v.and_then(|v| number::from_float(v, scale))).collect()
        }
        DataType::Decimal32(_, digits) | DataType::Decimal64(_, digits) | DataType::Decimal128(_, digits) => {
            let digits = *digits;
            let array = cast_or_null(array, &DataType::Decimal128(38, digits));
            array.as_primitive::<Decimal128Type>().iter().map(|v| v.map(|v| number::from_decimal(v, digits, scale))).collect()
        }
        DataType::Decimal256(precision, digits) => {
            let array = cast_or_null(array, &DataType::Decimal256(*precision, *digits));
            let read = |value: arrow::datatypes::i256| number::from_text(&format!("{value}e{}", -i32::from(*digits)), scale);
            array.as_primitive::<Decimal256Type>().iter().map(|v| v.and_then(read)).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = Texts::read(array);
            (0..array.len()).map(|row| texts.get(row).and_then(|text| number::from_text(text, scale))).collect()
        }
        _ => vec![None; array.len()],
    }
}

/// Truth values of a column: integers other than 0 are true; texts such as `true`, `f`, `1`, `no` are read.
pub(crate) fn booleans(array: &ArrayRef) -> BooleanArray {
    cast_or_null(array, &DataType::Boolean).as_boolean().clone()
}

/// One column of a batch, read.
pub(crate) enum Values {
    Text(Texts),
    Number(Vec<Option<i64>>),
    Boolean(BooleanArray),
}

impl Values {
    pub(crate) fn read(array: &ArrayRef, reading: Reading) -> Self {
        match reading {
            Reading::Text => Self::Text(Texts::read(array)),
            Reading::Number { lo, hi, scale } => {
                let numbers = exact_numbers(array, scale);
                Self::Number(numbers.into_iter().map(|number| number.map(|number| clamp(number, lo, hi))).collect())
            }
            Reading::Boolean => Self::Boolean(booleans(array)),
        }
    }
}

/// `number` within `[lo, hi]`; a range that is the wrong way round gives `lo`.
pub(crate) fn clamp(number: i128, lo: i64, hi: i64) -> i64 {
    if number <= i128::from(lo) { lo } else { i64::try_from(number).unwrap_or(i64::MAX).min(hi).max(lo) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal256Array, Float64Array, Int64Array, UInt64Array};
    use std::sync::Arc;

    fn read(array: impl Array + 'static) -> Vec<Option<i64>> {
        let array: ArrayRef = Arc::new(array);
        match Values::read(&array, Reading::Number { lo: -100, hi: 250, scale: 1 }) {
            Values::Number(numbers) => numbers,
            _ => Vec::new(),
        }
    }

    #[test]
    fn numbers_of_every_type_are_clamped_and_never_fail() {
        assert_eq!(read(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(7), None])), [Some(-100), Some(250), Some(70), None]);
        assert_eq!(read(UInt64Array::from(vec![u64::MAX, 0])), [Some(250), Some(0)]);
        let floats = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1.25, -0.0];
        assert_eq!(read(Float64Array::from(floats)), [None, None, None, Some(250), Some(-100), Some(13), Some(0)]);
        let big = Decimal256Array::from(vec![arrow::datatypes::i256::MAX, arrow::datatypes::i256::MIN]);
        assert_eq!(read(big), [Some(250), Some(-100)]);
        assert_eq!(read(StringArray::from(vec!["1.25", "x", "", "1e400", "2011-01-01"])), [Some(13), None, None, Some(250), None]);
    }

    #[test]
    fn nested_types_and_dates_as_numbers_are_unreadable_by_their_type() {
        let number = Reading::Number { lo: 0, hi: 1, scale: 0 };
        assert!(!readable(&DataType::Date32, number));
        assert!(!readable(&DataType::new_list(DataType::Utf8, true), Reading::Text));
        assert!(readable(&DataType::Date32, Reading::Text) && readable(&DataType::Utf8, number));
    }
}
