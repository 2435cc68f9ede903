//! The meaning of values and conditions, one row at a time, to be read at a glance.

use commun_domain::plan::{Condition, Value};

/// A row: what its columns hold.
pub(crate) type RowOf<'a> = &'a dyn Fn(&str) -> Option<i64>;

fn cut(exact: i128) -> i64 {
    i64::try_from(exact.clamp(i128::from(i64::MIN), i128::from(i64::MAX))).unwrap()
}

/// The meaning of a value, one row at a time.
pub(crate) fn naive(value: &Value, row: RowOf<'_>) -> Option<i64> {
    let wide = |value: &Value| naive(value, row).map(i128::from);
    match value {
        Value::Null => None,
        Value::Constant(number) => Some(*number),
        Value::Column(name) => row(name),
        Value::Add(a, b) => Some(cut(wide(a)? + wide(b)?)),
        Value::Subtract(a, b) => Some(cut(wide(a)? - wide(b)?)),
        Value::Multiply(a, b) => Some(cut(wide(a)? * wide(b)?)),
        Value::Divide { left, right, shift, rounding } => {
            Some(cut(rounding.divide(wide(left)? * 10i128.pow(u32::from(*shift)), wide(right)?)?))
        }
        Value::Modulo(a, b) => wide(a)?.checked_rem(wide(b)?).map(cut),
        Value::Abs(a) => Some(cut(wide(a)?.abs())),
        Value::Sign(a) => Some(cut(wide(a)?.signum())),
        Value::Least(values) => values.iter().filter_map(|value| naive(value, row)).min(),
        Value::Greatest(values) => values.iter().filter_map(|value| naive(value, row)).max(),
        Value::Coalesce(values) => values.iter().find_map(|value| naive(value, row)),
        Value::NullIf(a, b) => naive(a, row).filter(|a| naive(b, row) != Some(*a)),
        Value::Clamp { value, lo, hi } => Some(naive(value, row)?.clamp(*lo, *hi)),
        Value::Case { branches, otherwise } => {
            let taken = branches.iter().find(|branch| truth(&branch.condition, row) == Some(true));
            naive(taken.map_or(otherwise, |branch| &branch.value), row)
        }
        Value::Map { value, first, table } => {
            let place = wide(value)? - i128::from(*first);
            *table.get(usize::try_from(place).ok()?)?
        }
        Value::Extract { field, value } => Some(field.of(naive(value, row)?)),
        Value::Truncate { to, value } => Some(to.of(naive(value, row)?)),
        Value::Truth(condition) => truth(condition, row).map(i64::from),
    }
}

pub(crate) fn truth(condition: &Condition, row: RowOf<'_>) -> Option<bool> {
    match condition {
        Condition::Constant(truth) => *truth,
        Condition::And(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| truth(part, row)).collect();
            if parts.contains(&Some(false)) { Some(false) } else { (!parts.contains(&None)).then_some(true) }
        }
        Condition::Or(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| truth(part, row)).collect();
            if parts.contains(&Some(true)) { Some(true) } else { (!parts.contains(&None)).then_some(false) }
        }
        Condition::Not(part) => truth(part, row).map(|truth| !truth),
        Condition::Compare { op, left, right } => Some(op.holds(naive(left, row)?.cmp(&naive(right, row)?))),
        Condition::InSet { value, set } => Some(set.contains(&naive(value, row)?)),
        Condition::IsNull(value) => Some(naive(value, row).is_none()),
        Condition::Is(part, wanted) => Some(truth(part, row) == *wanted),
        Condition::IsDistinct(a, b) => Some(naive(a, row) != naive(b, row)),
    }
}
