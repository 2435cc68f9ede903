//! From a key's value to its place in the grid.

use arrow::buffer::BooleanBuffer;
use commun_domain::plan::{Key, KeySource, PrivatePlan, Value};

use super::fault;
use crate::EngineError;
use crate::eval::Ints;

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
    /// The value is the place.
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
        let places = if span < TABLE_SPAN {
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

    /// Goes from cells of the keys before to cells with this one, row-major; returns which rows are on the grid.
    pub(super) fn extend(&self, cells: &mut [u64], values: &Ints) -> BooleanBuffer {
        let cardinality = u64::from(self.cardinality);
        let on_grid = BooleanBuffer::collect_bool(cells.len(), |row| {
            let place = self.place(values.number(row));
            cells[row] = cells[row] * cardinality + u64::from(if place == OFF_GRID { 0 } else { place });
            place != OFF_GRID
        });
        match values.valid() {
            Some(valid) => &on_grid & valid,
            None => on_grid,
        }
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
