//! GROUP BY over one person's rows.

use std::collections::HashSet;

use arrow::buffer::BooleanBuffer;
use commun_domain::plan::relation::{Computed, Fold, Folded};

use super::frame::Frame;
use crate::eval::{Batch, Ints};

/// A fold's values for all rows of a frame: which rows take part, and with what.
pub(super) struct Folding<'f> {
    fold: &'f Fold,
    value: Option<Ints>,
    yes: Option<BooleanBuffer>,
}

impl<'f> Folding<'f> {
    pub(super) fn new(fold: &'f Fold, condition: Option<&commun_domain::plan::Condition>, batch: &Batch<'_>) -> Self {
        Self { fold, value: fold.value().map(|value| batch.value(value)), yes: condition.map(|condition| batch.condition(condition).yes) }
    }

    pub(super) fn begin(&self) -> Sofar<'_> {
        Sofar { of: self, rows: 0, sum: 0, extreme: None, seen: HashSet::new() }
    }
}

/// The fold of the rows so far.
pub(super) struct Sofar<'f> {
    of: &'f Folding<'f>,
    rows: i64,
    sum: i128,
    extreme: Option<i64>,
    seen: HashSet<i64>,
}

impl Sofar<'_> {
    pub(super) fn add(&mut self, row: usize) {
        if self.of.yes.as_ref().is_some_and(|yes| !yes.value(row)) {
            return;
        }
        let Some(value) = &self.of.value else {
            self.rows += 1;
            return;
        };
        let Some(value) = value.get(row) else { return };
        self.rows += 1;
        match self.of.fold {
            Fold::Rows | Fold::Known(_) => {}
            Fold::Distinct(_) => {
                self.seen.insert(value);
            }
            Fold::Sum(_) => self.sum += i128::from(value),
            Fold::Min(_) => self.extreme = Some(self.extreme.map_or(value, |least| least.min(value))),
            Fold::Max(_) => self.extreme = Some(self.extreme.map_or(value, |most| most.max(value))),
        }
    }

    pub(super) fn value(&self) -> Option<i64> {
        match self.of.fold {
            Fold::Rows | Fold::Known(_) => Some(self.rows),
            Fold::Distinct(_) => Some(i64::try_from(self.seen.len()).unwrap_or(i64::MAX)),
            Fold::Sum(_) => (self.rows > 0).then(|| i64::try_from(self.sum).unwrap_or(if self.sum < 0 { i64::MIN } else { i64::MAX })),
            Fold::Min(_) | Fold::Max(_) => self.extreme,
        }
    }
}

pub(super) fn group(frame: &Frame, keys: &[Computed], folds: &[Folded]) -> Frame {
    let find = frame.find();
    let batch = Batch { rows: frame.rows(), columns: &find };
    let key_values: Vec<Ints> = keys.iter().map(|key| batch.value(&key.value)).collect();
    let foldings: Vec<Folding<'_>> = folds.iter().map(|folded| Folding::new(&folded.fold, folded.condition.as_ref(), &batch)).collect();
    let key_of = |row: usize| key_values.iter().map(move |key| key.get(row));
    let mut columns: Vec<Vec<Option<i64>>> = vec![Vec::new(); keys.len() + folds.len()];
    let (mut starts, mut groups, mut rows) = (vec![0], 0, Vec::new());
    for range in frame.ranges() {
        rows.clear();
        rows.extend(range);
        rows.sort_unstable_by(|a, b| key_of(*a).cmp(key_of(*b)));
        for group in rows.chunk_by(|a, b| key_of(*a).eq(key_of(*b))) {
            groups += 1;
            let (key_columns, fold_columns) = columns.split_at_mut(keys.len());
            key_columns.iter_mut().zip(key_of(group[0])).for_each(|(column, key)| column.push(key));
            for (column, folding) in fold_columns.iter_mut().zip(&foldings) {
                let mut folded = folding.begin();
                for row in group {
                    folded.add(*row);
                }
                column.push(folded.value());
            }
        }
        starts.push(groups);
    }
    let names = keys.iter().map(|key| &key.name).chain(folds.iter().map(|folded| &folded.name));
    let columns = names.zip(columns).map(|(name, column)| (name.clone(), Ints::from_rows(column.len(), |row| column[row]))).collect();
    Frame { starts, columns }
}
