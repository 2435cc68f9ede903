//! Windows over one person's rows.

use std::cmp::Ordering;

use commun_domain::plan::relation::{NullPlace, RowOrder, WindowFunction, Windowed};

use super::frame::Frame;
use super::group::Folding;
use crate::eval::{Batch, Ints};

/// An order's values for all rows of a frame.
struct Sorting<'w> {
    by: Vec<(Ints, &'w RowOrder)>,
    /// All columns, for rows that are equal in it.
    rest: Vec<&'w Ints>,
}

impl Sorting<'_> {
    /// By the order alone.
    fn order(&self, a: usize, b: usize) -> Ordering {
        let compare = |(values, RowOrder { value: _, descending, nulls }): &(Ints, &RowOrder)| {
            let null = |is: bool| if is == (*nulls == NullPlace::First) { Ordering::Less } else { Ordering::Greater };
            match (values.get(a), values.get(b)) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => null(true),
                (Some(_), None) => null(false),
                (Some(a), Some(b)) if *descending => b.cmp(&a),
                (Some(a), Some(b)) => a.cmp(&b),
            }
        };
        self.by.iter().map(compare).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    /// By the order and then by everything.
    fn whole(&self, a: usize, b: usize) -> Ordering {
        self.order(a, b).then_with(|| self.rest.iter().map(|column| column.get(a)).cmp(self.rest.iter().map(|column| column.get(b))))
    }
}

pub(super) fn window(frame: &Frame, windows: &[Windowed]) -> Frame {
    let mut columns = frame.columns.clone();
    columns.extend(windows.iter().map(|windowed| (windowed.name.clone(), column(frame, windowed))));
    Frame { starts: frame.starts.clone(), columns }
}

fn column(frame: &Frame, windowed: &Windowed) -> Ints {
    let Windowed { name: _, function, keys, order } = windowed;
    let find = frame.find();
    let batch = Batch { rows: frame.rows(), columns: &find };
    let keys: Vec<Ints> = keys.iter().map(|key| batch.value(key)).collect();
    let key_of = |row: usize| keys.iter().map(move |key| key.get(row));
    let by = order.iter().map(|order| (batch.value(&order.value), order)).collect();
    let sorting = Sorting { by, rest: frame.by_name() };
    let looked_up = match function {
        WindowFunction::Shift { value, by: _ } | WindowFunction::First(value) => Some(batch.value(value)),
        _ => None,
    };
    let folding = match function {
        WindowFunction::Fold { fold, condition } => Some(Folding::new(fold, condition.as_ref(), &batch)),
        _ => None,
    };
    let mut results: Vec<Option<i64>> = vec![None; frame.rows()];
    let mut rows = Vec::new();
    for range in frame.ranges() {
        rows.clear();
        rows.extend(range);
        rows.sort_unstable_by(|a, b| key_of(*a).cmp(key_of(*b)).then_with(|| sorting.whole(*a, *b)));
        for group in rows.chunk_by(|a, b| key_of(*a).eq(key_of(*b))) {
            let value =
                |place: Option<usize>| looked_up.as_ref().zip(place.and_then(|place| group.get(place))).and_then(|(of, row)| of.get(*row));
            let mut folded = folding.as_ref().map(Folding::begin);
            let mut dense = 0;
            let mut start = 0usize;
            // Rows that are equal in the order; without one, all.
            for peers in group.chunk_by(|a, b| sorting.order(*a, *b).is_eq()) {
                let rank = start + 1;
                dense += 1;
                if let Some(folded) = &mut folded {
                    for row in peers {
                        folded.add(*row);
                    }
                }
                let total = folded.as_ref().and_then(super::group::Sofar::value);
                for (place, row) in (start..).zip(peers) {
                    results[*row] = match function {
                        WindowFunction::RowNumber => i64::try_from(place + 1).ok(),
                        WindowFunction::Rank => i64::try_from(rank).ok(),
                        WindowFunction::DenseRank => Some(dense),
                        WindowFunction::First(_) => value(Some(0)),
                        WindowFunction::Shift { value: _, by } => {
                            value(isize::try_from(*by).ok().and_then(|by| place.checked_add_signed(by)))
                        }
                        WindowFunction::Fold { .. } => total,
                    };
                }
                start += peers.len();
            }
        }
    }
    Ints::from_rows(results.len(), |row| results[row])
}
