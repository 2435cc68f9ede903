//! The meaning of an expression over one row.

use commun_domain::plan::{CompareOp, Condition, Rounding, Value};

use super::calendar;

/// A row: what a column of this name is.
pub(super) type Cells<'a> = &'a dyn Fn(&str) -> Option<i64>;

/// Cut to 64 bits.
fn cut(exact: i128) -> i64 {
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// The integer beside `n / d` that a rounding chooses.
fn quotient(n: i128, d: i128, rounding: Rounding) -> Option<i128> {
    if d == 0 {
        return None;
    }
    let (n, d) = if d < 0 { (-n, -d) } else { (n, d) };
    let floor = n.div_euclid(d);
    let rest = n.rem_euclid(d);
    Some(match rounding {
        Rounding::Floor => floor,
        Rounding::Ceil => floor + i128::from(rest > 0),
        Rounding::Truncate => floor + i128::from(n < 0 && rest > 0),
        // At one half exactly, up for numbers above zero and down below.
        Rounding::HalfAway => floor + i128::from(2 * rest > d || (2 * rest == d && n > 0)),
    })
}

pub(super) fn value(of: &Value, row: Cells<'_>) -> Option<i64> {
    let wide = |of: &Value| value(of, row).map(i128::from);
    let all = |of: &[Value]| of.iter().filter_map(|of| value(of, row)).collect::<Vec<i64>>();
    match of {
        Value::Null => None,
        Value::Constant(number) => Some(*number),
        Value::Column(name) => row(name),
        Value::Add(a, b) => Some(cut(wide(a)? + wide(b)?)),
        Value::Subtract(a, b) => Some(cut(wide(a)? - wide(b)?)),
        Value::Multiply(a, b) => Some(cut(wide(a)? * wide(b)?)),
        Value::Divide { left, right, shift, rounding } => {
            quotient(wide(left)? * 10i128.pow(u32::from(*shift)), wide(right)?, *rounding).map(cut)
        }
        Value::Modulo(a, b) => {
            let (a, b) = (wide(a)?, wide(b)?);
            quotient(a, b, Rounding::Truncate).map(|times| cut(a - times * b))
        }
        Value::Abs(a) => Some(cut(wide(a)?.abs())),
        Value::Sign(a) => Some(match value(a, row)? {
            0 => 0,
            1.. => 1,
            _ => -1,
        }),
        Value::Least(of) => all(of).into_iter().min(),
        Value::Greatest(of) => all(of).into_iter().max(),
        Value::Coalesce(of) => all(of).first().copied(),
        Value::NullIf(a, b) => {
            let a = value(a, row)?;
            if value(b, row) == Some(a) { None } else { Some(a) }
        }
        Value::Clamp { value: of, lo, hi } => Some((*hi).min((*lo).max(value(of, row)?))),
        Value::Case { branches, otherwise } => {
            for branch in branches {
                if truth(&branch.condition, row) == Some(true) {
                    return value(&branch.value, row);
                }
            }
            value(otherwise, row)
        }
        Value::Map { value: of, first, table } => {
            let place = wide(of)? - i128::from(*first);
            if place < 0 { None } else { table.get(usize::try_from(place).ok()?).copied()? }
        }
        Value::Extract { field, value: of } => Some(calendar::field(*field, value(of, row)?)),
        Value::Truncate { to, value: of } => Some(calendar::truncate(*to, value(of, row)?)),
        Value::Truth(condition) => truth(condition, row).map(i64::from),
    }
}

pub(super) fn truth(of: &Condition, row: Cells<'_>) -> Option<bool> {
    match of {
        Condition::Constant(truth) => *truth,
        // False when one is false, else unknown when one is unknown. OR is its mirror.
        Condition::And(parts) => {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| truth(part, row)).collect();
            if parts.contains(&Some(false)) {
                return Some(false);
            }
            if parts.contains(&None) { None } else { Some(true) }
        }
        Condition::Or(parts) => {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| truth(part, row)).collect();
            if parts.contains(&Some(true)) {
                return Some(true);
            }
            if parts.contains(&None) { None } else { Some(false) }
        }
        Condition::Not(part) => truth(part, row).map(|truth| !truth),
        Condition::Compare { op, left, right } => {
            let (a, b) = (value(left, row)?, value(right, row)?);
            Some(match op {
                CompareOp::Eq => a == b,
                CompareOp::Ne => a != b,
                CompareOp::Lt => a < b,
                CompareOp::Le => a <= b,
                CompareOp::Gt => a > b,
                CompareOp::Ge => a >= b,
            })
        }
        Condition::InSet { value: of, set } => value(of, row).map(|of| set.contains(&of)),
        Condition::IsNull(of) => Some(value(of, row).is_none()),
        Condition::Is(part, wanted) => Some(truth(part, row) == *wanted),
        Condition::IsDistinct(a, b) => Some(value(a, row) != value(b, row)),
    }
}
