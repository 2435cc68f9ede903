//! What the decoder of a plan does not refuse, and evaluation takes for granted.

use commun_domain::plan::{Branch, Condition, Value};

use super::fault;
use crate::EngineError;

/// Most decimal digits by which a numerator is shifted.
const MAX_SHIFT: u8 = 18;

pub(super) fn value(expression: &Value) -> Result<(), EngineError> {
    match expression {
        Value::Null | Value::Constant(_) | Value::Column(_) => Ok(()),
        Value::Divide { left, right, shift, rounding: _ } => {
            if *shift > MAX_SHIFT {
                return Err(fault(format!("a quotient is shifted by more than {MAX_SHIFT} digits")));
            }
            value(left)?;
            value(right)
        }
        Value::Clamp { value: inner, lo, hi } => {
            if lo > hi {
                return Err(fault("the bounds of a clamp are crossed"));
            }
            value(inner)
        }
        Value::Add(left, right)
        | Value::Subtract(left, right)
        | Value::Multiply(left, right)
        | Value::Modulo(left, right)
        | Value::NullIf(left, right) => {
            value(left)?;
            value(right)
        }
        Value::Abs(inner)
        | Value::Sign(inner)
        | Value::Map { value: inner, first: _, table: _ }
        | Value::Extract { field: _, value: inner }
        | Value::Truncate { to: _, value: inner } => value(inner),
        Value::Least(values) | Value::Greatest(values) | Value::Coalesce(values) => values.iter().try_for_each(value),
        Value::Case { branches, otherwise } => {
            for Branch { condition: taken, value: result } in branches {
                condition(taken)?;
                value(result)?;
            }
            value(otherwise)
        }
        Value::Truth(inner) => condition(inner),
    }
}

pub(super) fn condition(expression: &Condition) -> Result<(), EngineError> {
    match expression {
        Condition::Constant(_) => Ok(()),
        Condition::And(parts) | Condition::Or(parts) => parts.iter().try_for_each(condition),
        Condition::Not(part) | Condition::Is(part, _) => condition(part),
        Condition::Compare { op: _, left, right } | Condition::IsDistinct(left, right) => {
            value(left)?;
            value(right)
        }
        Condition::InSet { value: inner, set } => {
            if !set.is_sorted_by(|a, b| a < b) {
                return Err(fault("a set is not in order, or a constant stands in it twice"));
            }
            value(inner)
        }
        Condition::IsNull(inner) => value(inner),
    }
}
