//! The shape of an answer, checked before anything is computed or paid: every index points at something of the right kind, and the rows
//! are not too many. A plan that passes here can always be read; one that does not is refused by `price`, so that nobody pays for it.

use std::collections::BTreeSet;

use commun_domain::encoding::MAX_DEPTH;
use commun_domain::plan::{
    Aggregate, AnswerCondition, AnswerValue, Estimate, Key, KeySource, MAX_BINS_LOG2, Measured, Output, PrivatePlan,
};

use super::AnswerError;

/// Most group keys of an answer; `GROUPING` has one bit for each in a 64-bit number.
pub const MAX_KEYS: usize = 63;

/// Most numbers of one answer: rows of all grouping sets times (numbers of all outputs, columns and steps of their expressions).
pub const MAX_ANSWER_NUMBERS: u64 = 1 << 25;

/// Most decimal digits after the point: 64-bit integers have 18 that are always there.
pub const MAX_SCALE: u8 = 18;

/// A quantile's fraction of 1.
const WHOLE: u32 = 1_000_000;

/// Cells, keys and rows of an answer.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Cells of the grid, at least one.
    pub(super) cells: usize,
    /// Values of each key, at least one.
    pub(super) cardinalities: Vec<usize>,
    /// Grouping sets in plan order, at least one.
    pub(super) sets: Vec<Set>,
}

/// One grouping set.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// Keys it groups by, ascending.
    pub(super) keys: Vec<usize>,
    /// Rows it makes: the product of their cardinalities.
    pub(super) rows: usize,
    /// Cells of the grid that each row adds up.
    pub(super) cells_per_row: usize,
}

/// Whether every answer to this plan can be read. All of it follows from the plan alone.
pub fn check(plan: &PrivatePlan) -> Result<(), AnswerError> {
    Layout::of(plan).map(|_| ())
}

impl Layout {
    pub(super) fn of(plan: &PrivatePlan) -> Result<Self, AnswerError> {
        if plan.keys.len() > MAX_KEYS {
            return Err(AnswerError::Plan("more than 63 group keys"));
        }
        if !plan.partitions.is_sorted_by(|one, next| one < next) {
            return Err(AnswerError::Plan("partitions that are not sorted and distinct"));
        }
        if !plan.keys.iter().all(has_a_grid) {
            return Err(AnswerError::Plan("a group key whose values are not sorted, distinct and labelled each"));
        }
        let cardinalities: Vec<usize> = plan.keys.iter().map(|key| key.cardinality(plan)).collect();
        if cardinalities.contains(&0) {
            return Err(AnswerError::Plan("a group key without values"));
        }
        let cells = plan.cells().and_then(|cells| usize::try_from(cells).ok()).ok_or(AnswerError::TooLarge)?;
        let measured = plan.outputs.iter().filter_map(|output| output.aggregate.measured());
        if measured.into_iter().any(|measured| measured.scale > MAX_SCALE) {
            return Err(AnswerError::Plan("a number with more than 18 decimal digits"));
        }
        let bins = |output: &Output| matches!(output.aggregate, Aggregate::Histogram { bins_log2, .. } if bins_log2 > MAX_BINS_LOG2);
        if plan.outputs.iter().any(bins) {
            return Err(AnswerError::Plan("a histogram with more than 2^16 bins"));
        }
        let sets = grouping_sets(plan, &cardinalities, cells)?;
        let steps = check_answer(plan)?;

        let widths: u64 = plan.outputs.iter().map(|output| output.aggregate.width()).fold(0, u64::saturating_add);
        let columns = u64::try_from(plan.columns.len()).unwrap_or(u64::MAX);
        let per_row = widths.saturating_add(columns).saturating_add(steps);
        let rows = sets.iter().fold(0u64, |sum, set| sum.saturating_add(u64::try_from(set.rows).unwrap_or(u64::MAX)));
        if rows.saturating_mul(per_row) > MAX_ANSWER_NUMBERS {
            return Err(AnswerError::TooLarge);
        }
        Ok(Self { cells, cardinalities, sets })
    }

    /// Row of a grouping set that each cell of the grid is added to, in grid order.
    pub(super) fn rows_of_cells(&self, set: &Set) -> Vec<usize> {
        // Distance between rows whose digit of a key differs by one; 0 for a key that is added up over.
        let mut strides = vec![0; self.cardinalities.len()];
        let mut stride = 1;
        for key in set.keys.iter().rev() {
            strides[*key] = stride;
            stride *= self.cardinalities[*key];
        }
        let mut digits = vec![0; self.cardinalities.len()];
        let mut row = 0;
        let mut rows = Vec::with_capacity(self.cells);
        for _ in 0..self.cells {
            rows.push(row);
            for key in (0..digits.len()).rev() {
                digits[key] += 1;
                row += strides[key];
                if digits[key] < self.cardinalities[key] {
                    break;
                }
                row -= digits[key] * strides[key];
                digits[key] = 0;
            }
        }
        rows
    }

    /// The place of each key's value in a row of a set; `None` for a key that is added up over.
    pub(super) fn places(&self, set: &Set, mut row: usize) -> Vec<Option<usize>> {
        let mut places = vec![None; self.cardinalities.len()];
        for key in set.keys.iter().rev() {
            places[*key] = Some(row % self.cardinalities[*key]);
            row /= self.cardinalities[*key];
        }
        places
    }
}

impl Set {
    /// `GROUPING(keys)`: the last key's bit is the lowest.
    pub(super) fn grouping(&self, keys: &[u16]) -> u64 {
        keys.iter().fold(0, |bits, key| (bits << 1) | u64::from(!self.keys.contains(&usize::from(*key))))
    }
}

/// Whether each declared value of a key is there once, with a label of its own.
fn has_a_grid(key: &Key) -> bool {
    match &key.source {
        KeySource::Partition => true,
        KeySource::Open(open) => open.names.as_ref().is_none_or(|names| open.allows(names)),
        KeySource::Values { values, labels, .. } => {
            let distinct: BTreeSet<&str> = labels.iter().map(String::as_str).collect();
            values.len() == labels.len() && distinct.len() == labels.len() && values.is_sorted_by(|one, next| one < next)
        }
    }
}

fn grouping_sets(plan: &PrivatePlan, cardinalities: &[usize], cells: usize) -> Result<Vec<Set>, AnswerError> {
    let set = |keys: Vec<usize>| {
        // A part of the product that is `cells`, so it fits and divides.
        let rows = keys.iter().map(|key| cardinalities[*key]).product();
        Set { keys, rows, cells_per_row: cells / rows }
    };
    if plan.grouping_sets.is_empty() {
        return Ok(vec![set((0..cardinalities.len()).collect())]);
    }
    let checked = plan.grouping_sets.iter().map(|grouping| {
        let keys: Vec<usize> = grouping.keys.iter().map(|key| usize::from(*key)).collect();
        let ascending = keys.is_sorted_by(|one, next| one < next);
        let known = keys.iter().all(|key| *key < cardinalities.len());
        if ascending && known { Ok(set(keys)) } else { Err(AnswerError::Plan("a grouping set of keys that are not there")) }
    });
    checked.collect()
}

/// Checks columns, order and HAVING, and returns the number of steps of all expressions.
fn check_answer(plan: &PrivatePlan) -> Result<u64, AnswerError> {
    let mut steps = 0;
    for value in plan.columns.iter().map(|column| &column.value).chain(plan.order.iter().map(|key| &key.value)) {
        match value {
            AnswerValue::Key(key) => check_keys(plan, &[*key])?,
            AnswerValue::Grouping(keys) => check_keys(plan, keys)?,
            AnswerValue::Estimate(estimate) => check_estimate(plan, estimate, &mut steps)?,
        }
    }
    if let Some(having) = &plan.having {
        check_condition(plan, having, &mut steps)?;
    }
    Ok(steps)
}

fn check_keys(plan: &PrivatePlan, keys: &[u16]) -> Result<(), AnswerError> {
    let known = keys.len() <= MAX_KEYS && keys.iter().all(|key| usize::from(*key) < plan.keys.len());
    if known { Ok(()) } else { Err(AnswerError::Plan("a column of a key that is not there")) }
}

fn check_condition(plan: &PrivatePlan, having: &AnswerCondition, steps: &mut u64) -> Result<(), AnswerError> {
    let mut todo = vec![(having, 1)];
    while let Some((condition, depth)) = todo.pop() {
        *steps += 1;
        if depth > MAX_DEPTH {
            return Err(AnswerError::Plan("a condition nested too deep"));
        }
        match condition {
            AnswerCondition::And(parts) | AnswerCondition::Or(parts) => todo.extend(parts.iter().map(|part| (part, depth + 1))),
            AnswerCondition::Not(part) => todo.push((part, depth + 1)),
            AnswerCondition::Compare { op: _, left, right } => {
                check_estimate(plan, left, steps)?;
                check_estimate(plan, right, steps)?;
            }
            AnswerCondition::IsNull(value) => check_estimate(plan, value, steps)?,
            AnswerCondition::Grouping { keys, op: _, value: _ } => check_keys(plan, keys)?,
        }
    }
    Ok(())
}

fn check_estimate(plan: &PrivatePlan, estimate: &Estimate, steps: &mut u64) -> Result<(), AnswerError> {
    let mut todo = vec![(estimate, 1)];
    while let Some((estimate, depth)) = todo.pop() {
        *steps += 1;
        if depth > MAX_DEPTH {
            return Err(AnswerError::Plan("an expression nested too deep"));
        }
        match estimate {
            Estimate::Add(left, right)
            | Estimate::Subtract(left, right)
            | Estimate::Multiply(left, right)
            | Estimate::Divide(left, right)
            | Estimate::NullIf(left, right) => todo.extend([(&**left, depth + 1), (&**right, depth + 1)]),
            Estimate::Round(value, digits) if *digits <= MAX_SCALE => todo.push((value, depth + 1)),
            Estimate::Least(values) | Estimate::Greatest(values) | Estimate::Coalesce(values) => {
                todo.extend(values.iter().map(|value| (value, depth + 1)));
            }
            leaf => check_leaf(plan, leaf)?,
        }
    }
    Ok(())
}

fn check_leaf(plan: &PrivatePlan, leaf: &Estimate) -> Result<(), AnswerError> {
    let aggregate = |index: u16| plan.outputs.get(usize::from(index)).map(|output| &output.aggregate);
    let fits = match leaf {
        Estimate::Output(index) => !matches!(aggregate(*index), None | Some(Aggregate::Histogram { .. })),
        Estimate::Constant { units: _, scale } => *scale <= MAX_SCALE,
        Estimate::Mean { count, centred } => centre(plan, *count, *centred).is_some(),
        Estimate::Variance { count, centred, squares, .. } => match (centre(plan, *count, *centred), aggregate(*squares)) {
            (Some((centred, bound)), Some(Aggregate::CentredSquares { measured, max_rows_per_person })) => {
                centred == measured && bound == *max_rows_per_person
            }
            _ => false,
        },
        Estimate::Quantile { histogram, fraction } => {
            *fraction <= WHOLE && matches!(aggregate(*histogram), Some(Aggregate::Histogram { measured, .. }) if measured.lo <= measured.hi)
        }
        // Every other node is taken apart before; what arrives here is a rounding to too many digits.
        _ => false,
    };
    if fits { Ok(()) } else { Err(AnswerError::Plan("an expression over outputs that do not fit it")) }
}

/// What a mean is of and by how many rows of a person, if the count and the centred sum weigh people alike.
fn centre(plan: &PrivatePlan, count: u16, centred: u16) -> Option<(&Measured, u32)> {
    let bound = match plan.outputs.get(usize::from(count))?.aggregate {
        Aggregate::CountRows { max_rows_per_person } => max_rows_per_person,
        Aggregate::CountUnits => 1,
        _ => return None,
    };
    match &plan.outputs.get(usize::from(centred))?.aggregate {
        Aggregate::CentredSum { measured, max_rows_per_person } if *max_rows_per_person == bound => Some((measured, bound)),
        _ => None,
    }
}
