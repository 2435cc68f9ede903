#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use arrow::array::{
    Date32Array, Date64Array, Decimal128Array, Decimal256Array, DictionaryArray, Float64Array, Int8Array, Int32Array, StringArray,
    StringViewArray, TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{Int32Type, TimeUnit};
use commun_domain::plan::time;

use super::*;

fn read(array: impl Array + 'static, reading: &Reading) -> Vec<Option<i64>> {
    let array: ArrayRef = Arc::new(array);
    let read = ints(&array, reading);
    (0..array.len()).map(|row| read.get(row)).collect()
}

const NUMBER: Reading = Reading::Number { lo: -100, hi: 250, scale: 1 };

const TIME: Reading = Reading::Time { lo: 0, hi: 10 * time::DAY_S };

#[test]
fn numbers_of_every_type_are_clamped_and_never_fail() {
    assert_eq!(
        read(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(7), None]), &NUMBER),
        [Some(-100), Some(250), Some(70), None]
    );
    assert_eq!(read(Int8Array::from(vec![Some(-128), None, Some(3)]), &NUMBER), [Some(-100), None, Some(30)]);
    assert_eq!(read(UInt64Array::from(vec![u64::MAX, 0]), &NUMBER), [Some(250), Some(0)]);
    let floats = vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 1.25, -0.0];
    assert_eq!(read(Float64Array::from(floats), &NUMBER), [None, None, None, Some(250), Some(-100), Some(13), Some(0)]);
    let big = Decimal256Array::from(vec![arrow::datatypes::i256::MAX, arrow::datatypes::i256::MIN]);
    assert_eq!(read(big, &NUMBER), [Some(250), Some(-100)]);
    for digits in [1, 2, 0] {
        // Of as many digits as the contract's numbers, of more and of fewer.
        let one = 10i128.pow(digits);
        let decimals = Decimal128Array::from(vec![Some(i128::MAX), Some(i128::MIN), Some(-one), None, Some(0), Some(30 * one)]);
        let decimals = decimals.with_data_type(DataType::Decimal128(38, i8::try_from(digits).unwrap()));
        assert_eq!(read(decimals, &NUMBER), [Some(250), Some(-100), Some(-10), None, Some(0), Some(250)], "{digits}");
    }
    let texts = StringArray::from(vec!["1.25", "x", "", "1e400", "2011-01-01"]);
    assert_eq!(read(texts, &NUMBER), [Some(13), None, None, Some(250), None]);
}

#[test]
fn times_of_every_type_are_seconds_and_outside_the_bounds_null() {
    let day = time::DAY_S;
    assert_eq!(read(Date32Array::from(vec![Some(3), Some(-1), None, Some(i32::MAX)]), &TIME), [Some(3 * day), None, None, None]);
    assert_eq!(read(Date64Array::from(vec![Some(1_999), Some(-1), Some(i64::MIN)]), &TIME), [Some(1), None, None]);
    assert_eq!(read(TimestampSecondArray::from(vec![5, i64::MAX, i64::MIN]), &TIME), [Some(5), None, None]);
    assert_eq!(read(TimestampMicrosecondArray::from(vec![5_999_999, -1]), &TIME), [Some(5), None]);
    assert_eq!(read(TimestampNanosecondArray::from(vec![7_000_000_001]), &TIME), [Some(7)]);
    let texts = StringArray::from(vec!["1970-01-02", "1970-01-01T00:00:59", "1969-12-31", "tomorrow", "1970-01-11", "1970-01-11 00:01"]);
    assert_eq!(read(texts, &TIME), [Some(day), Some(59), None, None, Some(10 * day), None]);
}

#[test]
fn a_dictionary_is_read_by_its_values() {
    let codes = Reading::Code(Codes::new(["b", "a"].into_iter()));
    let array: DictionaryArray<Int32Type> = vec![Some("a"), None, Some("b"), Some("z"), Some("a")].into_iter().collect();
    assert_eq!(read(array, &codes), [Some(1), None, Some(0), None, Some(1)]);
    // One value for all rows, that is in the list or is not, or not for all; more values than rows.
    for (texts, expected) in [
        (vec![Some("a"), Some("a")], [Some(1), Some(1)]),
        (vec![Some("z"), Some("z")], [None, None]),
        (vec![None, Some("a")], [None, Some(1)]),
        (vec![None, None], [None, None]),
    ] {
        let array: DictionaryArray<Int32Type> = texts.into_iter().collect();
        assert_eq!(read(array, &codes), expected);
    }
    let array: DictionaryArray<Int32Type> = vec!["b", "z", "a", "x"].into_iter().collect();
    assert_eq!(read(array.slice(1, 2), &codes), [None, Some(1)]);
    // A text of a mebibyte in 2,200 rows, more than an array of small texts holds, and more values than rows.
    let texts = ["x".repeat(1 << 20), "a".to_owned()].into_iter().chain((0..3_000).map(|number| number.to_string()));
    let values: ArrayRef = Arc::new(texts.map(Some).collect::<StringArray>());
    let keys: Int32Array = (0..2_201).map(|row| Some(i32::from(row == 2_200))).collect();
    let found = read(DictionaryArray::new(keys, values), &codes);
    assert!(found[2_200] == Some(1) && found[..2_200].iter().all(Option::is_none));
    let array: DictionaryArray<Int32Type> = vec![Some("1.2"), Some("x"), Some("1.2")].into_iter().collect();
    assert_eq!(read(array.slice(1, 2), &NUMBER), [None, Some(12)]);
}

#[test]
fn plain_codes_are_found_by_row_or_by_value() {
    let codes = Reading::Code(Codes::new(["b", "a", "a long one, in no view"].into_iter()));
    let places = |array: &ArrayRef| plain_codes(array, &codes).map(|plain| plain.places());
    let texts = ["a", "z", "a long one, in no view", "b", "a"];
    let found = vec![1, u32::MAX, 2, 0, 1];
    let dictionary: DictionaryArray<Int32Type> = texts.into_iter().collect();
    let arrays: [ArrayRef; 2] = [Arc::new(StringViewArray::from_iter_values(texts)), Arc::new(dictionary.clone())];
    for array in arrays {
        assert_eq!(places(&array).as_ref(), Some(&found));
        assert_eq!(places(&array.slice(1, 4)).as_deref(), Some(&found[1..]));
    }
    // A value that is NULL is no code; rows that are NULL, and fewer rows than values, go another way.
    let values: ArrayRef = Arc::new(StringArray::from(vec![None, Some("b")]));
    let of_keys = |keys: Vec<Option<i32>>| Arc::new(DictionaryArray::new(Int32Array::from(keys), Arc::clone(&values))) as ArrayRef;
    assert_eq!(places(&of_keys(vec![Some(1), Some(0)])), Some(vec![0, u32::MAX]));
    assert_eq!(places(&of_keys(vec![Some(1), None])), None);
    assert_eq!(places(&of_keys(vec![Some(1)])), None);
    assert_eq!(places(&(Arc::new(StringArray::from(vec!["b"])) as ArrayRef)), None);
}

#[test]
fn units_are_integers_or_text_by_their_type() {
    assert_eq!(UnitKind::of(&DataType::Int32), UnitKind::Signed);
    assert_eq!(UnitKind::of(&DataType::UInt64), UnitKind::Unsigned);
    assert_eq!(UnitKind::of(&DataType::Utf8View), UnitKind::Text);
    // Of two tables: whole numbers meet in their decimal text; whether 7 is '007' nobody knows.
    assert_eq!(UnitKind::Signed.with(UnitKind::Signed), Some(UnitKind::Signed));
    assert_eq!(UnitKind::Signed.with(UnitKind::Unsigned), Some(UnitKind::Text));
    assert_eq!(UnitKind::Text.with(UnitKind::Signed), None);
    assert_eq!(UnitKind::Unsigned.with(UnitKind::Text), None);
    let array: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some(" "), Some(""), None, Some(&"x".repeat(MAX_UNIT_BYTES + 1))]));
    let known = Units::read(&array, UnitKind::Text).known().unwrap();
    assert_eq!(known.iter().collect::<Vec<_>>(), [true, false, false, false, false]);
}

#[test]
fn nested_types_dates_as_numbers_and_zones_are_unreadable_by_their_type() {
    assert!(!readable(&DataType::Date32, &NUMBER));
    assert!(!readable(&DataType::new_list(DataType::Utf8, true), &Reading::Unit));
    assert!(readable(&DataType::Date32, &Reading::Unit) && readable(&DataType::Utf8, &NUMBER));
    let zoned = |zone: &str| DataType::Timestamp(TimeUnit::Second, Some(zone.into()));
    assert!(readable(&zoned("UTC"), &TIME) && !readable(&zoned("Europe/Brussels"), &TIME));
    assert!(readable(&DataType::Date32, &TIME) && !readable(&DataType::Int64, &TIME));
}
