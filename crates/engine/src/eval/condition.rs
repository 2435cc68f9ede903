//! Evaluation of `Condition` in SQL's three-valued logic.

use arrow::buffer::BooleanBuffer;
use commun_domain::plan::{CompareOp, Condition};

use super::{Batch, Ints, all_rows, both};

/// Sets of at most so many constants are looked through one by one.
const FEW: usize = 8;

/// Widest range of a set's constants for which a table of truth values is made.
const TABLE_SPAN: i128 = 1 << 17;

/// For which rows a condition is true and for which false; in neither it is unknown.
#[derive(Clone, Debug)]
pub(crate) struct Truth {
    pub(crate) yes: BooleanBuffer,
    pub(crate) no: BooleanBuffer,
}

impl Truth {
    fn constant(rows: usize, truth: Option<bool>) -> Self {
        Self { yes: all_rows(rows, truth == Some(true)), no: all_rows(rows, truth == Some(false)) }
    }

    /// Known for every row.
    fn known(yes: BooleanBuffer) -> Self {
        let no = !&yes;
        Self { yes, no }
    }

    /// Known where the operands are.
    fn known_where(yes: BooleanBuffer, valid: Option<&BooleanBuffer>) -> Self {
        let Some(valid) = valid else { return Self::known(yes) };
        Self { no: &!&yes & valid, yes: &yes & valid }
    }

    pub(crate) fn get(&self, row: usize) -> Option<bool> {
        if self.yes.value(row) { Some(true) } else { self.no.value(row).then_some(false) }
    }
}

impl Batch<'_> {
    /// The truth of every row.
    pub(crate) fn condition(&self, condition: &Condition) -> Truth {
        let rows = self.rows;
        match condition {
            Condition::Constant(truth) => Truth::constant(rows, *truth),
            Condition::And(parts) => parts
                .iter()
                .map(|part| self.condition(part))
                .fold(Truth::constant(rows, Some(true)), |all, part| Truth { yes: &all.yes & &part.yes, no: &all.no | &part.no }),
            Condition::Or(parts) => parts
                .iter()
                .map(|part| self.condition(part))
                .fold(Truth::constant(rows, Some(false)), |any, part| Truth { yes: &any.yes | &part.yes, no: &any.no & &part.no }),
            Condition::Not(part) => {
                let Truth { yes, no } = self.condition(part);
                Truth { yes: no, no: yes }
            }
            Condition::Compare { op, left, right } => {
                let (left, right) = (self.value(left), self.value(right));
                // One loop for each operator, so that the test inside it has no branch.
                let yes = match op {
                    CompareOp::Eq => left.test_with(&right, rows, |a, b| a == b),
                    CompareOp::Ne => left.test_with(&right, rows, |a, b| a != b),
                    CompareOp::Lt => left.test_with(&right, rows, |a, b| a < b),
                    CompareOp::Le => left.test_with(&right, rows, |a, b| a <= b),
                    CompareOp::Gt => left.test_with(&right, rows, |a, b| a > b),
                    CompareOp::Ge => left.test_with(&right, rows, |a, b| a >= b),
                };
                Truth::known_where(yes, both(left.valid(), right.valid()).as_ref())
            }
            Condition::InSet { value, set } => {
                let value = self.value(value);
                Truth::known_where(in_set(&value, rows, set), value.valid())
            }
            Condition::IsNull(value) => {
                let value = self.value(value);
                Truth::known(value.valid().map_or_else(|| all_rows(rows, false), |valid| !valid))
            }
            Condition::Is(part, truth) => {
                let Truth { yes, no } = self.condition(part);
                Truth::known(match truth {
                    Some(true) => yes,
                    Some(false) => no,
                    None => !&(&yes | &no),
                })
            }
            Condition::IsDistinct(left, right) => Truth::known(!&self.equal(&self.value(left), &self.value(right))),
        }
    }

    /// Where two values are equal and neither is NULL, or both are: `NULLIF(NULL, NULL)` is NULL either way.
    pub(super) fn equal(&self, left: &Ints, right: &Ints) -> BooleanBuffer {
        let rows = self.rows;
        let equal = left.test_with(right, rows, |a, b| a == b);
        let equal = match both(left.valid(), right.valid()) {
            Some(valid) => &equal & &valid,
            None => equal,
        };
        match (left.valid(), right.valid()) {
            (Some(left), Some(right)) => &equal | &!&(left | right),
            _ => equal,
        }
    }
}

/// `set` is sorted.
fn in_set(value: &Ints, rows: usize, set: &[i64]) -> BooleanBuffer {
    let (Some(first), Some(last)) = (set.first().copied(), set.last().copied()) else { return all_rows(rows, false) };
    let span = i128::from(last) - i128::from(first);
    if set.len() <= FEW {
        value.test(rows, |number| set.contains(&number))
    } else if (0..TABLE_SPAN).contains(&span) {
        let place = |number: i64| usize::try_from(i128::from(number) - i128::from(first)).ok();
        let mut table = vec![false; usize::try_from(span).unwrap_or(0) + 1];
        for number in set {
            if let Some(entry) = place(*number).and_then(|place| table.get_mut(place)) {
                *entry = true;
            }
        }
        value.test(rows, |number| place(number).and_then(|place| table.get(place)).is_some_and(|entry| *entry))
    } else {
        value.test(rows, |number| set.binary_search(&number).is_ok())
    }
}
