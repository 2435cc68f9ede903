//! Reads one column of a batch as 64-bit integers, whatever Arrow type it has, as `commun_domain::plan::value` says: numbers in units of
//! 10^-scale and clamped, codes as their place in the list, times in seconds, truth values as 0 and 1. Total: a value that cannot be read
//! is NULL.
//!
//! Whether a type can be read at all is asked once, before any row ([`readable`]). A dictionary is read once for each of its values.

mod codes;
mod number;
mod text;
mod times;
mod units;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use commun_domain::contract::{CodeList, ColumnType};

use crate::eval::{Ints, within};

pub(crate) use codes::{Codes, PlainCodes};
pub(crate) use text::Texts;
pub(crate) use times::seconds;
pub(crate) use units::{MAX_UNIT_BYTES, UnitKind, Units, is_unit};

/// What a column of the contract is read as.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    /// The unit.
    Unit,
    /// Codes: the place in the list. Partitions are codes too.
    Code(Codes),
    /// Integers of 10^-scale units, clamped to `[lo, hi]`.
    Number { lo: i64, hi: i64, scale: u8 },
    /// True or false.
    Boolean,
    /// Seconds since 1970 within `[lo, hi]`.
    Time { lo: i64, hi: i64 },
    /// Open text whose names are not known: read as text, not as an integer.
    Open { max_bytes: u16 },
}

impl Reading {
    /// `lists` finds the code lists of the contract.
    pub(crate) fn of<'a>(column_type: &ColumnType, lists: impl Fn(&str, &str) -> Option<&'a CodeList>) -> Option<Self> {
        Some(match column_type {
            ColumnType::Code { list, version } => Self::Code(Codes::new(lists(list, version)?.codes.iter().map(|code| code.code.as_str()))),
            ColumnType::Number { lo, hi, scale } => Self::Number { lo: *lo, hi: *hi, scale: *scale },
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Time { lo, hi } => Self::Time { lo: *lo, hi: *hi },
            ColumnType::OpenText { max_bytes } => Self::Open { max_bytes: *max_bytes },
        })
    }

    /// For people.
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::Unit | Self::Code(_) | Self::Open { .. } => "text",
            Self::Number { .. } => "a number",
            Self::Boolean => "true or false",
            Self::Time { .. } => "a date or a time without a zone",
        }
    }
}

/// Whether values of an Arrow type can be read so. Nested types never are, nor dates as numbers, nor times in a zone other than UTC.
pub(crate) fn readable(data_type: &DataType, reading: &Reading) -> bool {
    let data_type = value_type(data_type);
    match reading {
        _ if *data_type == DataType::Null || is_text(data_type) => true,
        _ if data_type.is_nested() => false,
        Reading::Unit | Reading::Code(_) | Reading::Open { .. } => can_cast_types(data_type, &DataType::Utf8),
        Reading::Number { .. } => data_type.is_numeric(),
        Reading::Boolean => *data_type == DataType::Boolean || data_type.is_integer(),
        Reading::Time { .. } => times::readable(data_type),
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
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
    if array.data_type() == to {
        return ArrayRef::clone(array);
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    cast_with_options(array, to, &options).unwrap_or_else(|_| arrow::array::new_null_array(to, array.len()))
}

/// The same values without a dictionary or runs; texts as views, which take no more memory however often a long one stands there.
pub(crate) fn unpacked(array: &ArrayRef) -> ArrayRef {
    let values = value_type(array.data_type());
    cast_or_null(array, if is_text(values) { &DataType::Utf8View } else { values })
}

fn validity(array: &dyn Array) -> Option<BooleanBuffer> {
    array.nulls().map(|nulls| nulls.inner().clone())
}

/// Reads a column. A unit has no integer for its value, nor has open text without its names: they read as NULL here ([`Units`] and [`Texts`] read them).
pub(crate) fn ints(array: &ArrayRef, reading: &Reading) -> Ints {
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        // Never unpacked: a long text once for each of its rows may be more than an array holds, and then all rows would be NULL.
        let values = ints(dictionary.values(), reading);
        if let (1, 0) = (dictionary.values().len(), array.null_count()) {
            return values.get(0).map_or_else(|| Ints::null(array.len()), Ints::constant);
        }
        let keys = cast_or_null(&dictionary.keys().slice(0, array.len()), &DataType::Int64);
        let keys = keys.as_primitive::<Int64Type>();
        let known = dictionary.values().len();
        let place = |row: usize| keys.is_valid(row).then(|| usize::try_from(keys.value(row)).ok()).flatten().filter(|key| *key < known);
        return Ints::from_rows(array.len(), |row| place(row).and_then(|key| values.get(key)));
    }
    if matches!(array.data_type(), DataType::RunEndEncoded(..)) {
        return ints(&unpacked(array), reading);
    }
    match reading {
        Reading::Unit | Reading::Open { .. } => Ints::null(array.len()),
        Reading::Code(codes) => codes.places(&Texts::read(array)),
        Reading::Number { lo, hi, scale } => numbers(array, *lo, *hi, *scale),
        Reading::Boolean => {
            let read = booleans(array);
            Ints::from_rows(read.len(), |row| read.is_valid(row).then(|| i64::from(read.value(row))))
        }
        Reading::Time { lo, hi } => {
            let seconds = seconds(array);
            let within = seconds.test(array.len(), |seconds| (*lo..=*hi).contains(&seconds));
            seconds.where_true(&within)
        }
    }
}

/// The integers of a column that need no reading but to be put within bounds: of no scale, none of them NULL.
pub(crate) fn plain_integers<'a>(array: &'a ArrayRef, reading: &Reading) -> Option<(&'a [i64], i64, i64)> {
    let Reading::Number { lo, hi, scale: 0 } = reading else { return None };
    let integers = array.as_primitive_opt::<Int64Type>()?;
    (integers.null_count() == 0 && lo <= hi).then(|| (&integers.values()[..], *lo, *hi))
}

/// A column of codes, none of them NULL, whose places are found without making integers of them.
pub(crate) fn plain_codes<'a>(array: &'a ArrayRef, reading: &'a Reading) -> Option<PlainCodes<'a>> {
    let Reading::Code(codes) = reading else { return None };
    if array.null_count() > 0 {
        None
    } else if let Some(texts) = array.as_string_view_opt() {
        Some(PlainCodes::Texts { codes, texts })
    } else {
        let dictionary = array.as_dictionary_opt::<Int32Type>()?;
        let (keys, values) = (&dictionary.keys().values()[..], dictionary.values());
        (values.len() <= keys.len()).then_some(PlainCodes::Dictionary { codes, keys, values })
    }
}

/// A column of open text whose names are not known.
pub(crate) fn open_texts(array: &ArrayRef, reading: &Reading) -> Option<Texts> {
    matches!(reading, Reading::Open { .. }).then(|| Texts::read(array))
}

fn numbers(array: &ArrayRef, lo: i64, hi: i64, scale: u8) -> Ints {
    // Bounds that are crossed, which no contract has, give `lo`.
    let clamped = |number: i64| number.min(hi).max(lo);
    match array.data_type() {
        data_type if data_type.is_integer() && *data_type != DataType::UInt64 => {
            let array = cast_or_null(array, &DataType::Int64);
            let integers: &Int64Array = array.as_primitive();
            if scale == 0 && lo <= hi {
                return Ints::of_buffer(within(integers.values(), lo, hi), validity(integers));
            }
            // Saturation at 64 bits lies outside [lo, hi], as does what it stands for.
            let power = 10i64.checked_pow(u32::from(scale)).unwrap_or(i64::MAX);
            let numbers = integers.values().iter().map(|integer| clamped(integer.saturating_mul(power))).collect();
            Ints::new(numbers, validity(integers))
        }
        DataType::Float32 | DataType::Float64 => {
            let array = cast_or_null(array, &DataType::Float64);
            let floats = array.as_primitive::<Float64Type>();
            let read = |row: usize| number::from_float(floats.value(row), scale).map(|number| clamp(number, lo, hi));
            Ints::from_rows(floats.len(), |row| floats.is_valid(row).then(|| read(row)).flatten())
        }
        DataType::Decimal128(_, digits) if i16::from(*digits) == i16::from(scale) => {
            // In the same units already: nothing is left but the bounds.
            let decimals = array.as_primitive::<Decimal128Type>();
            Ints::new(decimals.values().iter().map(|decimal| clamp(*decimal, lo, hi)).collect(), validity(decimals))
        }
        _ => {
            let exact = exact_numbers(array, scale);
            Ints::from_rows(exact.len(), |row| exact[row].map(|number| clamp(number, lo, hi)))
        }
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
        text if is_text(text) => {
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

/// `number` within `[lo, hi]`; a range that is the wrong way round gives `lo`.
fn clamp(number: i128, lo: i64, hi: i64) -> i64 {
    if number <= i128::from(lo) { lo } else { i64::try_from(number).unwrap_or(i64::MAX).min(hi).max(lo) }
}

#[cfg(test)]
mod tests;
