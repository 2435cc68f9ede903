//! One row of a part as words: `[length, unit.., partition, part, nulls.., numbers..]`.
//!
//! The unit is the id itself, or the length of its text and the text. Compared as words, equal persons stand together, within them the rows of a
//! partition, of those the rows of a part, and of those equal rows.

use std::io::Write;

use crate::eval::Ints;
use crate::read::{Texts, UnitKind, Units};

/// Words of the nulls of so many columns.
pub(super) fn null_words(columns: usize) -> usize {
    columns.div_ceil(64)
}

/// Words of a row's content.
pub(super) fn content_words(columns: usize) -> usize {
    null_words(columns) + columns
}

/// Appends a row's content.
pub(super) fn push_content<'c>(columns: impl ExactSizeIterator<Item = &'c Ints>, row: usize, into: &mut Vec<u64>) {
    let nulls = into.len();
    into.resize(nulls + null_words(columns.len()), 0);
    for (number, column) in columns.enumerate() {
        if let Some(found) = column.get(row) {
            into.push(found.cast_unsigned());
        } else {
            into[nulls + number / 64] |= 1 << (number % 64);
            into.push(0);
        }
    }
}

/// A value of a row's content.
pub(super) fn value_of(content: &[u64], columns: usize, column: usize) -> Option<i64> {
    let null = (content[column / 64] >> (column % 64)) & 1 == 1;
    (!null).then(|| content[null_words(columns) + column].cast_signed())
}

/// Appends a unit.
pub(super) fn push_unit(units: &Units, row: usize, into: &mut Vec<u64>) {
    match units {
        Units::Signed(units, _) => into.push(units[row].cast_unsigned()),
        Units::Unsigned(units, _) => into.push(units[row]),
        Units::Text(texts) => push_text(texts, row, into),
    }
}

fn push_text(texts: &Texts, row: usize, into: &mut Vec<u64>) {
    let bytes = texts.get(row).unwrap_or("").as_bytes();
    into.push(bytes.len() as u64);
    let (whole, rest) = bytes.as_chunks::<8>();
    into.extend(whole.iter().map(|word| u64::from_le_bytes(*word)));
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        into.push(u64::from_le_bytes(last));
    }
}

/// Words of the unit that a record starts with.
pub(super) fn unit_words(record: &[u64], kind: UnitKind) -> usize {
    match kind {
        UnitKind::Signed | UnitKind::Unsigned => 1,
        UnitKind::Text => 1 + usize::try_from(record[0]).unwrap_or(0).div_ceil(8),
    }
}

/// The bytes by which a unit is known: its text, or its decimal digits.
pub(super) fn unit_bytes(unit: &[u64], kind: UnitKind) -> Vec<u8> {
    let mut bytes = Vec::new();
    match kind {
        UnitKind::Text => {
            bytes.extend(unit.iter().skip(1).flat_map(|word| word.to_le_bytes()));
            bytes.truncate(unit.first().map_or(0, |bytes| usize::try_from(*bytes).unwrap_or(0)));
        }
        UnitKind::Signed => drop(write!(bytes, "{}", unit.first().copied().unwrap_or(0).cast_signed())),
        UnitKind::Unsigned => drop(write!(bytes, "{}", unit.first().copied().unwrap_or(0))),
    }
    bytes
}
