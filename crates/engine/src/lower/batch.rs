//! A batch of rows through a lowered plan: what is left are the rows that count, each with its unit, its place and its values.

use arrow::array::RecordBatch;
use arrow::buffer::BooleanBuffer;
use commun_domain::plan::Measured;
use commun_domain::plan::relation::Computed;
use fearless_simd::{Level, Simd, dispatch};

use super::columns::Columns;
use super::relation::{Leaf, Step};
use super::{Counted, Lowering, Slot};
use crate::bound::{CELL_BITS, Flag, Kept, PARTITION_BITS, Rows};
use crate::eval::{Batch, Ints, both};
use crate::objections::Objectors;
use crate::read::{UnitKind, Units, ints, open_texts, plain_codes, plain_integers};

const UNIT: usize = 0;
const PARTITION: usize = 1;

const PARTITION_MASK: u64 = (1 << PARTITION_BITS) - 1;

/// Rows of a relation in columns.
pub(crate) struct Sourced<'a> {
    pub(crate) rows: usize,
    pub(crate) units: Units,
    /// Places among the plan's partitions.
    pub(crate) partitions: Ints,
    /// Rows that are there at all; `None` is all.
    pub(crate) kept: Option<BooleanBuffer>,
    pub(crate) columns: Columns<'a>,
}

impl Leaf {
    /// Reads a batch that has the columns `needed`. Rows of objectors are left out first.
    pub(crate) fn read<'a>(&'a self, batch: &'a RecordBatch, kind: UnitKind, objectors: &Objectors) -> Sourced<'a> {
        let rows = batch.num_rows();
        let units = Units::read(batch.column(UNIT), kind);
        let partitions = ints(batch.column(PARTITION), &self.needed[PARTITION].reading);
        let mut columns = Columns::of_table(&self.needed, batch.columns());
        let others = both(objectors.others(&units, rows).as_ref(), units.known().as_ref());
        let mut kept = both(others.as_ref(), partitions.valid());
        for Step { filter, columns: computed } in &self.steps {
            let find = |name: &str| columns.find(name);
            let batch = Batch { rows, columns: &find };
            if let Some(filter) = filter {
                kept = both(kept.as_ref(), Some(&batch.condition(filter).yes));
            }
            let next = computed.iter().map(|Computed { name, value }| (name.clone(), batch.value(value))).collect();
            columns = Columns::Computed(next);
        }
        Sourced { rows, units, partitions, kept, columns }
    }
}

impl Lowering {
    /// Evaluates everything that is asked of the relation's rows.
    pub(crate) fn rows(&self, sourced: Sourced<'_>) -> Rows {
        let Sourced { rows, units, partitions, mut kept, columns } = sourced;
        let find = |name: &str| columns.find(name);
        let batch = Batch { rows, columns: &find };
        if let Some(filter) = &self.filter {
            kept = both(kept.as_ref(), Some(&batch.condition(filter).yes));
        }
        let mut places = Vec::with_capacity(rows);
        for key in &self.keys {
            let on_grid = match &key.value {
                None => key.extend(&mut places, &partitions, rows),
                Some(value) => match columns.plain(value, plain_codes).filter(|_| key.is_code()) {
                    Some(codes) => key.extend_codes(&mut places, &codes),
                    None => key.extend(&mut places, &batch.value(value), rows),
                },
            };
            kept = both(kept.as_ref(), on_grid.as_ref());
        }
        places.resize(rows, 0);
        let mut kept = Kept::new(kept.as_ref(), rows);
        if let Some(naming) = &self.naming {
            kept = naming.place(&kept, &mut places, columns.plain(&naming.column, open_texts).as_ref(), &partitions);
        }
        if partitions.one() != Some(0) {
            // Of NULL, whose row is not kept, any bits do.
            partitions.each_with(&mut places, |place, partition| *place |= (partition.cast_unsigned() & PARTITION_MASK) << CELL_BITS);
        }

        let conditions: Vec<BooleanBuffer> = self.conditions.iter().map(|condition| batch.condition(condition).yes).collect();
        let measured = |measured: &Measured| match columns.plain(&measured.value, plain_integers) {
            Some((integers, lo, hi)) => Values::Plain { integers, lo, hi },
            None => Values::Read(batch.value(&measured.value)),
        };
        let measured: Vec<Values<'_>> = self.measured.iter().map(measured).collect();
        let counts = |counted: &Counted| {
            let condition = counted.condition.map(|place| &conditions[place]);
            both(condition, counted.measured.and_then(|place| measured[place].valid()))
        };
        let words = self.words(places, rows, &measured, counts);
        Rows { kept, units, words }
    }

    /// Places with flags and narrow values, more flags, values.
    fn words(
        &self,
        places: Vec<u64>,
        rows: usize,
        measured: &[Values<'_>],
        counts: impl Fn(&Counted) -> Option<BooleanBuffer>,
    ) -> Vec<Vec<u64>> {
        // The unit, which comes last in a row, is no column here.
        let mut words: Vec<Vec<u64>> = std::iter::once(places).chain((2..self.row_words).map(|_| vec![0; rows])).collect();
        for (number, counted) in self.flags.iter().enumerate() {
            let Flag::Bit { word, shift } = Flag::at(number) else { continue };
            let column = &mut words[word];
            match counts(counted) {
                None => column.iter_mut().for_each(|word| *word |= 1 << shift),
                Some(counts) => {
                    for row in counts.set_indices() {
                        column[row] |= 1 << shift;
                    }
                }
            }
        }
        for (counted, slot, field) in &self.slots {
            let Some(place) = counted.measured else { continue };
            let (values, of, column) = (&measured[place], &self.measured[place], &mut words[field.word]);
            let (lo, hi) = (of.lo, of.hi);
            match (counts(counted), slot) {
                (None, Slot::Value) => values.each_within(lo, hi, column, |word, value| *word |= field.bits(value)),
                (None, Slot::Bin { bins_log2 }) => {
                    values.each_within(lo, hi, column, |word, value| *word |= field.bits(bin(value, of, *bins_log2)));
                }
                (Some(counts), slot) => {
                    for (row, word) in column.iter_mut().enumerate() {
                        let value = values.number(row).min(hi).max(lo);
                        *word |= field.bits(match slot {
                            _ if !counts.value(row) => 0,
                            Slot::Value => value,
                            Slot::Bin { bins_log2 } => bin(value, of, *bins_log2),
                        });
                    }
                }
            }
        }
        words
    }
}

/// Values of a batch that are added up, before the bounds of the output.
enum Values<'a> {
    /// A column as it is, none of it NULL, before the bounds of the data contract.
    Plain {
        integers: &'a [i64],
        lo: i64,
        hi: i64,
    },
    Read(Ints),
}

impl Values<'_> {
    fn valid(&self) -> Option<&BooleanBuffer> {
        match self {
            Self::Plain { .. } => None,
            Self::Read(ints) => ints.valid(),
        }
    }

    fn number(&self, row: usize) -> i64 {
        match self {
            Self::Plain { integers, lo, hi } => integers[row].min(*hi).max(*lo),
            Self::Read(ints) => ints.number(row),
        }
    }

    /// Changes each item by the number of its row within bounds.
    fn each_within(&self, least: i64, most: i64, items: &mut [u64], mut f: impl FnMut(&mut u64, i64)) {
        let within = |number: i64| number.min(most).max(least);
        match self {
            Self::Plain { integers, lo, hi } => {
                // Both bounds at once: what is put within the one's and then within the other's lies between what becomes of the ends.
                let (lo, hi) = (within(*lo), within(*hi));
                let all = items.iter_mut().zip(*integers);
                dispatch!(Level::new(), simd => simd.vectorize(
                    #[inline(always)]
                    || all.for_each(|(item, integer)| f(item, (*integer).min(hi).max(lo)))
                ));
            }
            Self::Read(ints) => ints.each_with(items, |item, number| f(item, within(number))),
        }
    }
}

/// `floor((x - lo) 2^bins_log2 / (hi - lo + 1))` for a value within its bounds.
#[inline]
fn bin(value: i64, measured: &Measured, bins_log2: u8) -> i64 {
    let (above, range) = (value.abs_diff(measured.lo), measured.hi.abs_diff(measured.lo));
    if range < 1 << 46 {
        return ((above << bins_log2) / (range + 1)).cast_signed();
    }
    i64::try_from((u128::from(above) << bins_log2) / (u128::from(range) + 1)).unwrap_or(0)
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
