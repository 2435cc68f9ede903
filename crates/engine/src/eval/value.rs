//! Evaluation of `Value`.

use commun_domain::plan::{Branch, Rounding, Value};

use super::{Batch, Ints};

/// Powers of ten that a numerator is shifted by; more than 18 the lowering refuses.
const MAX_SHIFT: u8 = 18;

impl Batch<'_> {
    /// The value of every row.
    pub(crate) fn value(&self, value: &Value) -> Ints {
        let rows = self.rows;
        match value {
            Value::Null => Ints::null(rows),
            Value::Constant(number) => Ints::constant(*number),
            Value::Column(name) => (self.columns)(name).unwrap_or_else(|| Ints::null(rows)),
            Value::Add(left, right) => self.value(left).zip(&self.value(right), i64::saturating_add),
            Value::Subtract(left, right) => self.value(left).zip(&self.value(right), i64::saturating_sub),
            Value::Multiply(left, right) => self.value(left).zip(&self.value(right), i64::saturating_mul),
            Value::Divide { left, right, shift, rounding } => {
                let (left, right) = (self.value(left), self.value(right));
                let power = 10i64.pow(u32::from((*shift).min(MAX_SHIFT)));
                let quotients = left.zip(&right, |left, right| divide(left, power, right, *rounding));
                quotients.where_true(&right.test(rows, |right| right != 0))
            }
            Value::Modulo(left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                // i64::MIN % -1 is 0, which the machine cannot say.
                let remainders = left.zip(&right, |left, right| left.checked_rem(right).unwrap_or(0));
                remainders.where_true(&right.test(rows, |right| right != 0))
            }
            Value::Abs(value) => self.value(value).map(i64::saturating_abs),
            Value::Sign(value) => self.value(value).map(i64::signum),
            Value::Least(values) => self.of_those_known(values, std::cmp::min),
            Value::Greatest(values) => self.of_those_known(values, std::cmp::max),
            Value::Coalesce(values) => self.of_those_known(values, |first, _| first),
            Value::NullIf(left, right) => {
                let (left, right) = (self.value(left), self.value(right));
                let equal = self.equal(&left, &right);
                left.where_true(&!&equal)
            }
            // A clamp whose bounds are crossed the lowering refuses.
            Value::Clamp { value, lo, hi } => self.value(value).map(|number| number.min(*hi).max(*lo)),
            Value::Case { branches, otherwise } => self.case(branches, otherwise),
            Value::Map { value, first, table } => {
                let place = |number: i64| usize::try_from(i128::from(number) - i128::from(*first)).ok();
                let entry = |number: i64| place(number).and_then(|place| table.get(place).copied().flatten());
                let value = self.value(value);
                let found = value.test(rows, |number| entry(number).is_some());
                value.map(|number| entry(number).unwrap_or(0)).where_true(&found)
            }
            Value::Extract { field, value } => self.value(value).map(|seconds| field.of(seconds)),
            Value::Truncate { to, value } => self.value(value).map(|seconds| to.of(seconds)),
            Value::Truth(condition) => {
                let truth = self.condition(condition);
                Ints::from_rows(rows, |row| truth.get(row).map(i64::from))
            }
        }
    }

    /// Folds the operands that are not NULL.
    fn of_those_known(&self, values: &[Value], choose: impl Fn(i64, i64) -> i64) -> Ints {
        values.iter().map(|value| self.value(value)).reduce(|a, b| self.merge(&a, &b, &choose)).unwrap_or_else(|| Ints::null(self.rows))
    }

    fn merge(&self, a: &Ints, b: &Ints, choose: impl Fn(i64, i64) -> i64) -> Ints {
        if a.valid().is_none() && b.valid().is_none() {
            return a.zip(b, choose);
        }
        Ints::from_rows(self.rows, |row| match (a.get(row), b.get(row)) {
            (Some(a), Some(b)) => Some(choose(a, b)),
            (one, other) => one.or(other),
        })
    }

    fn case(&self, branches: &[Branch], otherwise: &Value) -> Ints {
        let branches: Vec<_> =
            branches.iter().map(|Branch { condition, value }| (self.condition(condition).yes, self.value(value))).collect();
        let otherwise = self.value(otherwise);
        Ints::from_rows(self.rows, |row| {
            branches.iter().find(|(taken, _)| taken.value(row)).map_or(&otherwise, |(_, value)| value).get(row)
        })
    }
}

/// `left * power / right`, rounded and cut to 64 bits; 0 for a division by 0, which is NULL anyway.
#[inline]
fn divide(left: i64, power: i64, right: i64, rounding: Rounding) -> i64 {
    // Nearly always 64 bits are enough; a division of 128 costs ten times as much.
    if let (Some(numerator), Rounding::Truncate) = (left.checked_mul(power), rounding)
        && let Some(quotient) = numerator.checked_div(right)
    {
        return quotient;
    }
    let quotient = rounding.divide(i128::from(left) * i128::from(power), i128::from(right)).unwrap_or(0);
    i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
}
