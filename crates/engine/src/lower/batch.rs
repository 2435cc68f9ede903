//! A batch of rows through a lowered plan: what is left are the rows that count, each with its unit, its place and its values.

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use commun_domain::plan::Measured;

use super::{Counted, Lowering, Slot};
use crate::bound::{CELL_BITS, Flag, HEAD_WORDS, PLACE_FLAGS, Rows};
use crate::eval::{Batch, Ints, both};
use crate::read::{Texts, UnitKind, Units, ints};

const UNIT: usize = 0;
const PARTITION: usize = 1;

impl Lowering {
    /// Evaluates everything. The batch has the columns `needed`.
    pub(crate) fn rows(&self, batch: &RecordBatch, kind: UnitKind) -> Rows {
        let rows = batch.num_rows();
        let units = Units::read(batch.column(UNIT), kind);
        let columns: Vec<Ints> =
            self.needed.iter().zip(batch.columns()).skip(1).map(|(needed, array)| ints(array, &needed.reading)).collect();
        let texts = self.naming.as_ref().map(|naming| Texts::read(batch.column(naming.column)));
        let named = |name: &str| self.needed[1..].iter().position(|needed| needed.name == name).map(|place| columns[place].clone());
        let batch = Batch { rows, columns: &named };

        let partitions = &columns[PARTITION - 1];
        let mut kept = both(units.known().as_ref(), partitions.valid());
        if let Some(filter) = &self.filter {
            kept = both(kept.as_ref(), Some(&batch.condition(filter).yes));
        }
        let mut places = vec![0u64; rows];
        for key in &self.keys {
            let on_grid = match &key.value {
                Some(value) => key.extend(&mut places, &batch.value(value)),
                None => key.extend(&mut places, partitions),
            };
            kept = both(kept.as_ref(), Some(&on_grid));
        }
        let mut kept: Vec<u32> = match kept {
            Some(kept) => kept.set_indices_u32().collect(),
            None => (0..u32::try_from(rows).unwrap_or(u32::MAX)).collect(),
        };
        if let Some((naming, texts)) = self.naming.as_ref().zip(texts.as_ref()) {
            naming.place(&mut kept, &mut places, texts, partitions);
        }
        for (row, place) in places.iter_mut().enumerate() {
            // NULL has the number 0 too.
            *place |= u64::try_from(partitions.number(row)).unwrap_or(0) << CELL_BITS;
        }

        let conditions: Vec<BooleanBuffer> = self.conditions.iter().map(|condition| batch.condition(condition).yes).collect();
        let measured: Vec<Ints> = self.measured.iter().map(|measured| value_of(&batch, measured)).collect();
        let counts = |counted: &Counted| {
            let condition = counted.condition.map(|place| &conditions[place]);
            both(condition, counted.measured.and_then(|place| measured[place].valid()))
        };
        let words = self.words(places, rows, &measured, counts);
        Rows { kept, units, words }
    }

    /// Places with flags, more flags, slots.
    fn words(&self, places: Vec<u64>, rows: usize, measured: &[Ints], counts: impl Fn(&Counted) -> Option<BooleanBuffer>) -> Vec<Vec<u64>> {
        let mut words = vec![places];
        words.resize(1 + self.flags.len().saturating_sub(PLACE_FLAGS).div_ceil(64), vec![0; rows]);
        for (number, counted) in self.flags.iter().enumerate() {
            let Flag::Bit { word, shift } = Flag::at(number) else { continue };
            // The unit, which comes first in a row, is no column here.
            let column = &mut words[word - 1];
            match counts(counted) {
                None => column.iter_mut().for_each(|word| *word |= 1 << shift),
                Some(counts) => {
                    for row in counts.set_indices() {
                        column[row] |= 1 << shift;
                    }
                }
            }
        }
        debug_assert_eq!(words.len() + 1, HEAD_WORDS + self.flags.len().saturating_sub(PLACE_FLAGS).div_ceil(64));
        for (counted, slot) in &self.slots {
            let Some(place) = counted.measured else { continue };
            let (values, of) = (&measured[place], &self.measured[place]);
            let word = |row: usize| match slot {
                Slot::Value => values.number(row).cast_unsigned(),
                Slot::Bin { bins_log2 } => bin(values.number(row), of, *bins_log2),
            };
            words.push(match counts(counted) {
                None => (0..rows).map(word).collect(),
                Some(counts) => {
                    let mut column = vec![0; rows];
                    for row in counts.set_indices() {
                        column[row] = word(row);
                    }
                    column
                }
            });
        }
        words
    }
}

fn value_of(batch: &Batch<'_>, measured: &Measured) -> Ints {
    let (lo, hi) = (measured.lo, measured.hi);
    batch.value(&measured.value).map(|number| number.min(hi).max(lo))
}

/// `floor((x - lo) 2^bins_log2 / (hi - lo + 1))` for a value within its bounds.
#[inline]
fn bin(value: i64, measured: &Measured, bins_log2: u8) -> u64 {
    let (above, range) = (value.abs_diff(measured.lo), measured.hi.abs_diff(measured.lo));
    if range < 1 << 46 {
        return (above << bins_log2) / (range + 1);
    }
    u64::try_from((u128::from(above) << bins_log2) / (u128::from(range) + 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use commun_domain::plan::Value;

    use super::*;

    #[test]
    fn every_value_has_a_bin_and_bins_are_even() {
        let of = |lo: i64, hi: i64, bins_log2: u8, value: i64| bin(value, &Measured { value: Value::Null, lo, hi, scale: 0 }, bins_log2);
        assert_eq!([0, 1, 2, 3].map(|value| of(0, 3, 1, value)), [0, 0, 1, 1]);
        assert_eq!([-1, 0, 1].map(|value| of(-1, 1, 16, value)), [0, 21845, 43690]);
        for (lo, hi) in [(i64::MIN, i64::MAX), (0, (1 << 46) - 1), (-(1 << 46), 1), (5, 6)] {
            assert_eq!((of(lo, hi, 16, lo), of(lo, hi, 0, hi)), (0, 0));
            let last = of(lo, hi, 16, hi);
            assert!(last < 1 << 16 && (hi.abs_diff(lo) < 1 << 16 || last == (1 << 16) - 1), "{lo} {hi} {last}");
        }
    }
}
