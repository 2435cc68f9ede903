//! HAVING, ORDER BY, OFFSET and LIMIT over the rows of an answer.

use std::cmp::Ordering;

use commun_domain::plan::{AnswerCondition, AnswerValue, CompareOp, KeyKind, KeySource, Nulls, PrivatePlan, SortKey};

use super::estimate::{Row, value};
use super::layout::Set;

/// HAVING in three-valued logic: `None` is unknown, and a row is shown when it is true.
pub(super) fn holds(condition: &AnswerCondition, plan: &PrivatePlan, set: &Set, row: Row<'_>) -> Option<bool> {
    let of = |part: &AnswerCondition| holds(part, plan, set, row);
    match condition {
        AnswerCondition::And(parts) => all(parts.iter().map(of)),
        AnswerCondition::Or(parts) => all(parts.iter().map(|part| of(part).map(|truth| !truth))).map(|none| !none),
        AnswerCondition::Not(part) => of(part).map(|truth| !truth),
        AnswerCondition::Compare { op, left, right } => {
            let order = value(left, plan, row)?.partial_cmp(&value(right, plan, row)?)?;
            Some(op.holds(order))
        }
        AnswerCondition::IsNull(estimate) => Some(value(estimate, plan, row).is_none()),
        AnswerCondition::Grouping { keys, op, value } => Some(compare(*op, set.grouping(keys), *value)),
    }
}

fn compare(op: CompareOp, left: u64, right: u64) -> bool {
    op.holds(left.cmp(&right))
}

/// False if one is false, else unknown if one is, else true.
fn all(mut truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    truths
        .try_fold(Some(true), |sum, truth| match truth {
            Some(false) => Err(()),
            Some(true) => Ok(sum),
            None => Ok(None),
        })
        .unwrap_or(Some(false))
}

/// What one ORDER BY item compares in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum SortValue {
    /// NULL.
    Null,
    /// A key's place in its order, or GROUPING.
    Rank(u64),
    /// An estimate.
    Number(f64),
}

/// Order of the values of each key: for each place in the grid its place when sorted.
#[derive(Clone, Debug)]
pub(super) struct KeyOrders(Vec<Vec<u64>>);

impl KeyOrders {
    pub(super) fn of(plan: &PrivatePlan) -> Self {
        let order = |key: &commun_domain::plan::Key| match &key.source {
            KeySource::Values { labels, kind: KeyKind::Text, .. } => ranks(labels),
            KeySource::Values { labels, .. } => (0..).take(labels.len()).collect(),
            KeySource::Open(_) | KeySource::Partition => (0..).take(key.cardinality(plan)).collect(),
        };
        Self(plan.keys.iter().map(order).collect())
    }

    pub(super) fn sort_values(&self, plan: &PrivatePlan, set: &Set, places: &[Option<usize>], row: Row<'_>) -> Vec<SortValue> {
        let sort_value = |key: &SortKey| match &key.value {
            AnswerValue::Key(key) => {
                let key = usize::from(*key);
                places[key].map_or(SortValue::Null, |place| SortValue::Rank(self.0[key][place]))
            }
            AnswerValue::Grouping(keys) => SortValue::Rank(set.grouping(keys)),
            AnswerValue::Estimate(estimate) => value(estimate, plan, row).map_or(SortValue::Null, SortValue::Number),
        };
        plan.order.iter().map(sort_value).collect()
    }
}

/// Places of texts when sorted by their bytes.
fn ranks(labels: &[String]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.sort_by(|one, other| labels[*one].as_bytes().cmp(labels[*other].as_bytes()));
    let mut ranks = vec![0; labels.len()];
    for (rank, place) in (0..).zip(order) {
        ranks[place] = rank;
    }
    ranks
}

/// Order of two rows by all ORDER BY items.
pub(super) fn compare_rows(order: &[SortKey], one: &[SortValue], other: &[SortValue]) -> Ordering {
    order
        .iter()
        .zip(one.iter().zip(other))
        .fold(Ordering::Equal, |so_far, (key, (one, other))| so_far.then_with(|| compare_values(key, *one, *other)))
}

fn compare_values(key: &SortKey, one: SortValue, other: SortValue) -> Ordering {
    let nulls_first = key.nulls == Nulls::First;
    let values = match (one, other) {
        (SortValue::Null, SortValue::Null) => return Ordering::Equal,
        (SortValue::Null, _) => return if nulls_first { Ordering::Less } else { Ordering::Greater },
        (_, SortValue::Null) => return if nulls_first { Ordering::Greater } else { Ordering::Less },
        (SortValue::Rank(one), SortValue::Rank(other)) => one.cmp(&other),
        // Numbers are finite, so that they have an order, in which -0 equals 0.
        (SortValue::Number(one), SortValue::Number(other)) => one.partial_cmp(&other).unwrap_or(Ordering::Equal),
        // One item is one kind of value in all rows.
        (SortValue::Rank(_), SortValue::Number(_)) | (SortValue::Number(_), SortValue::Rank(_)) => Ordering::Equal,
    };
    if key.descending { values.reverse() } else { values }
}
