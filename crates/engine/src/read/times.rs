//! Times of a column as seconds since 1970 on the wall clock.
//!
//! A timestamp without a zone is what a clock on the wall showed; one in UTC is read as UTC's clock. Other zones would need their history of
//! offsets: the binding's SQL converts them, in words that the holder can read.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Date64Type, Int64Type, TimeUnit};
use commun_domain::plan::time;

use super::{Texts, cast_or_null, is_text, validity};
use crate::eval::Ints;

pub(super) fn readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, None) => true,
        DataType::Timestamp(_, Some(zone)) => matches!(&**zone, "UTC" | "Etc/UTC" | "Z" | "+00:00" | "+0000" | "+00"),
        _ => false,
    }
}

/// Times before any bound; NULL for what is no time.
pub(crate) fn seconds(array: &ArrayRef) -> Ints {
    match array.data_type() {
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>();
            Ints::new(days.values().iter().map(|day| i64::from(*day) * time::DAY_S).collect(), validity(days))
        }
        DataType::Date64 => {
            let dates = array.as_primitive::<Date64Type>();
            Ints::new(dates.values().iter().map(|ms| ms.div_euclid(1_000)).collect(), validity(dates))
        }
        DataType::Timestamp(unit, _) => {
            let per_second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            // The same integers, without the unit.
            let array = cast_or_null(array, &DataType::Int64);
            let ticks = array.as_primitive::<Int64Type>();
            Ints::new(ticks.values().iter().map(|tick| tick.div_euclid(per_second)).collect(), validity(ticks))
        }
        text if is_text(text) => {
            let texts = Texts::read(array);
            Ints::from_rows(texts.len(), |row| texts.get(row).and_then(time::parse))
        }
        _ => Ints::null(array.len()),
    }
}
