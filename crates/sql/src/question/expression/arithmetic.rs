//! `+ - * / %` on fixed-point numbers, exactly, with the ranges of their results.
//!
//! A quotient of two whole numbers is cut towards zero, as SQL's is; any other has four decimal digits more than its operands and is
//! rounded. What is divided by 0 is NULL.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::{Rounding, Value};
use sqlparser::ast::BinaryOperator;

use crate::question::types::{MAX_SCALE, Type, Typed};
use crate::refuse::invalid;

/// Decimal digits that a quotient has beyond its operands.
const QUOTIENT_DIGITS: u8 = 4;

pub(super) fn is_arithmetic(op: &BinaryOperator) -> bool {
    matches!(op, BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo)
}

pub(super) fn negate(inner: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let (lo, hi, scale) = inner.range(at)?;
    let value = match inner.value {
        Value::Constant(units) => Value::Constant(units.saturating_neg()),
        value => Value::Subtract(Box::new(Value::Constant(0)), Box::new(value)),
    };
    Typed::number(value, (-hi, -lo), scale, at)
}

/// `left op right`.
pub(super) fn binary(left: Typed, op: &BinaryOperator, right: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let ((_, _, left_scale), (_, _, right_scale)) = (left.range(at)?, right.range(at)?);
    if left.of == Type::Null || right.of == Type::Null {
        return Ok(Typed { value: Value::Null, of: Type::Number { lo: 0, hi: 0, scale: 0 } });
    }
    match op {
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Modulo => {
            let scale = left_scale.max(right_scale);
            let (left, right) = (left.rescaled(scale, at)?, right.rescaled(scale, at)?);
            let ((a, b, _), (c, d, _)) = (left.range(at)?, right.range(at)?);
            let (left, right) = (Box::new(left.value), Box::new(right.value));
            match op {
                BinaryOperator::Plus => Typed::number(Value::Add(left, right), (a + c, b + d), scale, at),
                BinaryOperator::Minus => Typed::number(Value::Subtract(left, right), (a - d, b - c), scale, at),
                _ => {
                    // |result| < max |right|, and it has the sign of the left operand.
                    let most = c.abs().max(d.abs()).max(1) - 1;
                    let range = (if a < 0 { (-most).max(a) } else { 0 }, if b > 0 { most.min(b) } else { 0 });
                    Typed::number(Value::Modulo(left, right), range, scale, at)
                }
            }
        }
        BinaryOperator::Multiply => multiply(left, right, at),
        BinaryOperator::Divide => divide(left, right, at),
        _ => Err(invalid(at, "this operator is not read", "use + - * / %")),
    }
}

fn multiply(left: Typed, right: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let ((a, b, left_scale), (c, d, right_scale)) = (left.range(at)?, right.range(at)?);
    let corners = [a * c, a * d, b * c, b * d];
    let range = (corners.into_iter().min().unwrap_or(0), corners.into_iter().max().unwrap_or(0));
    let value = match (left.value, right.value) {
        (Value::Constant(left), Value::Constant(right)) => Value::Constant(left.saturating_mul(right)),
        (left, right) => Value::Multiply(Box::new(left), Box::new(right)),
    };
    let scale = left_scale + right_scale;
    let product = Typed::number(value, range, scale, at)?;
    if scale > MAX_SCALE { product.rounded(MAX_SCALE, Rounding::HalfAway, at) } else { Ok(product) }
}

fn divide(left: Typed, right: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let ((a, b, left_scale), (c, d, right_scale)) = (left.range(at)?, right.range(at)?);
    if (c, d) == (0, 0) {
        return Err(invalid(at, "this divides by 0", "divide by something else"));
    }
    let whole = left_scale == 0 && right_scale == 0;
    let scale = if whole { 0 } else { (left_scale.max(right_scale) + QUOTIENT_DIGITS).min(MAX_SCALE) };
    let rounding = if whole { Rounding::Truncate } else { Rounding::HalfAway };
    // left / 10^ls / (right / 10^rs) in units of 10^-scale: left * 10^(scale + rs - ls) / right. The scale is at least ls - rs.
    let shift = (scale + right_scale).saturating_sub(left_scale);
    let factor = 10i128.pow(u32::from(shift));
    // The divisors next to 0 on each side and at the ends give the extremes.
    let divisors: Vec<i128> = [c, d, -1, 1].into_iter().filter(|divisor| *divisor != 0 && (c..=d).contains(divisor)).collect();
    let corners: Vec<i128> = divisors
        .iter()
        .flat_map(|divisor| [a, b].map(|end| end.checked_mul(factor).and_then(|end| rounding.divide(end, *divisor)).unwrap_or(i128::MAX)))
        .collect();
    let range = (corners.iter().copied().min().unwrap_or(0).min(0), corners.iter().copied().max().unwrap_or(0).max(0));
    let value = Value::Divide { left: Box::new(left.value), right: Box::new(right.value), shift, rounding };
    Typed::number(value, range, scale, at)
}
