//! From a key's value to its place in the grid.

use arrow::buffer::BooleanBuffer;
use commun_domain::plan::{Key, KeySource, PrivatePlan, Value};
use fearless_simd::{Level, Simd, dispatch};

use super::fault;
use crate::EngineError;
use crate::eval::{Ints, both};
use crate::read::PlainCodes;

/// Widest range of declared values for which a table of places is made.
const TABLE_SPAN: i128 = 1 << 21;

const OFF_GRID: u32 = u32::MAX;

/// One group key.
#[derive(Debug)]
pub(super) struct GridKey {
    /// `None`: the partition.
    pub(super) value: Option<Value>,
    pub(super) cardinality: u32,
    places: Places,
}

#[derive(Debug)]
enum Places {
    /// The value is the place, if it is less than their number.
    Same,
    /// `table[value - first]`.
    Table { first: i64, table: Vec<u32> },
    /// Looked for among the values, which are sorted.
    Sorted(Vec<i64>),
}

impl GridKey {
    pub(super) fn new(key: &Key, plan: &PrivatePlan) -> Result<Self, EngineError> {
        // The grid has at most a million cells, so no key has more values.
        let cardinality = u32::try_from(key.cardinality(plan)).unwrap_or(u32::MAX);
        let (value, values, labels) = match &key.source {
            KeySource::Partition => return Ok(Self { value: None, cardinality, places: Places::Same }),
            // A name reads as its place in the list.
            KeySource::Open(open) => return Ok(Self { value: Some(Value::column(&open.column)), cardinality, places: Places::Same }),
            KeySource::Values { value, values, labels, kind: _ } => (value, values, labels),
        };
        if values.len() != labels.len() || !values.is_sorted_by(|a, b| a < b) {
            return Err(fault(format!("the values of the key {} are not in order, or not as many as its labels", key.name)));
        }
        let mut sorted: Vec<&String> = labels.iter().collect();
        sorted.sort_unstable();
        if !sorted.is_sorted_by(|a, b| a < b) {
            return Err(fault(format!("two values of the key {} have one label", key.name)));
        }
        let (Some(first), Some(last)) = (values.first().copied(), values.last().copied()) else {
            return Err(fault(format!("the key {} has no values", key.name)));
        };
        let span = i128::from(last) - i128::from(first);
        let places = if values.iter().zip(0..).all(|(value, place)| *value == place) {
            Places::Same
        } else if span < TABLE_SPAN {
            let mut table = vec![OFF_GRID; usize::try_from(span).unwrap_or(0) + 1];
            for (value, place) in values.iter().zip(0..) {
                if let Some(entry) = usize::try_from(value - first).ok().and_then(|at| table.get_mut(at)) {
                    *entry = place;
                }
            }
            Places::Table { first, table }
        } else {
            Places::Sorted(values.clone())
        };
        Ok(Self { value: Some(value.clone()), cardinality, places })
    }

    /// Goes from cells of the keys before, if there were any, to cells with this one, row-major; returns which of the rows are on the grid, `None` for all.
    pub(super) fn extend(&self, cells: &mut Vec<u64>, values: &Ints, rows: usize) -> Option<BooleanBuffer> {
        cells.resize(rows, 0);
        let all = match &self.places {
            Places::Same => self.extend_by(cells, values, |value| u32::try_from(value).unwrap_or(OFF_GRID)),
            _ => self.extend_by(cells, values, |value| self.place(value)),
        };
        let cardinality = self.cardinality;
        let on_grid = (!all).then(|| values.test(cells.len(), |value| self.place(value) < cardinality));
        both(on_grid.as_ref(), values.valid())
    }

    /// Whether a code's place in its list is that in the grid.
    pub(super) fn is_code(&self) -> bool {
        matches!(self.places, Places::Same)
    }

    /// [`GridKey::extend`] for a column of codes, if [`GridKey::is_code`].
    pub(super) fn extend_codes(&self, cells: &mut Vec<u64>, codes: &PlainCodes<'_>) -> Option<BooleanBuffer> {
        let (places, cardinality) = (codes.places(), self.cardinality);
        let level = Level::new();
        let greatest = dispatch!(level, simd => simd.vectorize(#[inline(always)] || places.iter().fold(0, |most, place| most.max(*place))));
        let all = greatest < cardinality;
        if all && cells.is_empty() {
            // The first key of all.
            let places = places.iter().copied();
            dispatch!(level, simd => simd.vectorize(#[inline(always)] || cells.extend(places.map(u64::from))));
            return None;
        }
        cells.resize(places.len(), 0);
        cells.iter_mut().zip(&places).for_each(|(cell, place)| *cell = step(*cell, *place, cardinality).0);
        (!all).then(|| places.iter().map(|place| *place < cardinality).collect())
    }

    /// Returns whether all rows are on the grid.
    fn extend_by(&self, cells: &mut [u64], values: &Ints, place: impl Fn(i64) -> u32) -> bool {
        let mut all = true;
        values.each_with(cells, |cell, value| {
            let (next, on_grid) = step(*cell, place(value), self.cardinality);
            *cell = next;
            all &= on_grid;
        });
        all
    }

    #[inline]
    fn place(&self, value: i64) -> u32 {
        match &self.places {
            Places::Same => u32::try_from(value).unwrap_or(OFF_GRID),
            Places::Table { first, table } => {
                let at = value.checked_sub(*first).and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| table.get(at)).copied().unwrap_or(OFF_GRID)
            }
            Places::Sorted(values) => values.binary_search(&value).ok().and_then(|at| u32::try_from(at).ok()).unwrap_or(OFF_GRID),
        }
    }
}

/// From the cell of the keys before to that with this one, and whether it is on the grid.
#[inline]
fn step(cell: u64, place: u32, cardinality: u32) -> (u64, bool) {
    let on_grid = place < cardinality;
    // The grid has at most a million cells.
    (cell.wrapping_mul(u64::from(cardinality)).wrapping_add(u64::from(if on_grid { place } else { 0 })), on_grid)
}
