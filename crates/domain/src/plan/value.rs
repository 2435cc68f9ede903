//! Expressions over one row: integers and truth values, total by construction.
//!
//! After the scan there are only 64-bit integers and NULL: a number is in units of 10^-scale, a boolean is 0 or 1, a code is its place in
//! the column's code list, a time is in seconds since 1970. A value outside a column's declared codes or times is NULL; a number is
//! clamped to its declared bounds. Text never takes part: a function of a code is a [`Value::Map`] that the compiler has worked out over
//! the whole list. So no row can cause an error: what has no result is NULL, and what does not fit is cut to 64 bits, which the compiler
//! excludes by the static range of every expression.

use std::collections::BTreeSet;

use super::time::{Field, Truncation};
use crate::{canonical_enum, canonical_union};

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}
canonical_enum!(CompareOp { Eq = 1, Ne = 2, Lt = 3, Le = 4, Gt = 5, Ge = 6 });

impl CompareOp {
    /// Whether two values in this order satisfy it.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
        }
    }
}

/// How a quotient becomes an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Towards zero, as integers divide in SQL.
    Truncate,
    /// To the nearest, halves away from zero, as `ROUND` does in SQL.
    HalfAway,
    /// Towards minus infinity.
    Floor,
    /// Towards plus infinity.
    Ceil,
}
canonical_enum!(Rounding { Truncate = 1, HalfAway = 2, Floor = 3, Ceil = 4 });

impl Rounding {
    /// `numerator / denominator` as an integer; `None` for a division by 0. Exact for every other input.
    pub fn divide(self, numerator: i128, denominator: i128) -> Option<i128> {
        if denominator == 0 {
            return None;
        }
        let quotient = numerator.checked_div(denominator).unwrap_or(i128::MAX);
        let remainder = numerator.checked_rem(denominator).unwrap_or(0);
        if remainder == 0 {
            return Some(quotient);
        }
        let up = (remainder > 0) == (denominator > 0);
        Some(match self {
            Self::Truncate => quotient,
            Self::Floor => quotient - i128::from(!up),
            Self::Ceil => quotient + i128::from(up),
            Self::HalfAway => {
                let far = remainder.unsigned_abs() >= denominator.unsigned_abs() - remainder.unsigned_abs();
                quotient + if far { if up { 1 } else { -1 } } else { 0 }
            }
        })
    }
}

/// One branch of a CASE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Branch {
    /// Taken when true (not when NULL).
    pub condition: Condition,
    /// Its value.
    pub value: Value,
}
crate::canonical_struct!(Branch { condition, value });

/// A nullable 64-bit integer computed from one row. Where nothing else is said, an operand that is NULL makes the result NULL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// NULL.
    Null,
    /// A constant.
    Constant(i64),
    /// A column of the table, as the module says.
    Column(String),
    /// Sum.
    Add(Box<Value>, Box<Value>),
    /// Difference.
    Subtract(Box<Value>, Box<Value>),
    /// Product.
    Multiply(Box<Value>, Box<Value>),
    /// `left * 10^shift / right`, rounded; NULL when `right` is 0.
    Divide {
        /// Numerator.
        left: Box<Value>,
        /// Denominator.
        right: Box<Value>,
        /// Decimal digits by which the numerator is shifted first, at most 18.
        shift: u8,
        /// How it is rounded.
        rounding: Rounding,
    },
    /// Remainder with the sign of the left operand; NULL when the right one is 0.
    Modulo(Box<Value>, Box<Value>),
    /// Absolute value.
    Abs(Box<Value>),
    /// -1, 0 or 1.
    Sign(Box<Value>),
    /// Least of the operands that are not NULL; NULL when all are.
    Least(Vec<Value>),
    /// Greatest of the operands that are not NULL; NULL when all are.
    Greatest(Vec<Value>),
    /// First operand that is not NULL.
    Coalesce(Vec<Value>),
    /// NULL when both are equal, else the left one.
    NullIf(Box<Value>, Box<Value>),
    /// The value within bounds.
    Clamp {
        /// What is clamped.
        value: Box<Value>,
        /// Least result.
        lo: i64,
        /// Greatest result, at least `lo`.
        hi: i64,
    },
    /// The first branch whose condition is true, else `otherwise`.
    Case {
        /// Branches in order.
        branches: Vec<Branch>,
        /// Without a true branch.
        otherwise: Box<Value>,
    },
    /// `table[value - first]`; NULL outside the table.
    Map {
        /// Place in the table, from `first`.
        value: Box<Value>,
        /// What the first entry stands for.
        first: i64,
        /// Results.
        table: Vec<Option<i64>>,
    },
    /// A field of a time.
    Extract {
        /// Which one.
        field: Field,
        /// Seconds since 1970.
        value: Box<Value>,
    },
    /// The beginning of the period that a time lies in, in seconds since 1970.
    Truncate {
        /// Which period.
        to: Truncation,
        /// Seconds since 1970.
        value: Box<Value>,
    },
    /// 1 when true, 0 when false, NULL when unknown.
    Truth(Box<Condition>),
}
canonical_union!(Value {
    1 = Null,
    2 = Constant(number),
    3 = Column(name),
    4 = Add(left, right),
    5 = Subtract(left, right),
    6 = Multiply(left, right),
    7 = Divide { left, right, shift, rounding },
    8 = Modulo(left, right),
    9 = Abs(value),
    10 = Sign(value),
    11 = Least(values),
    12 = Greatest(values),
    13 = Coalesce(values),
    14 = NullIf(left, right),
    15 = Clamp { value, lo, hi },
    16 = Case { branches, otherwise },
    17 = Map { value, first, table },
    18 = Extract { field, value },
    19 = Truncate { to, value },
    20 = Truth(condition),
});

/// A truth value of one row in SQL's three-valued logic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// True, false, or unknown.
    Constant(Option<bool>),
    /// All hold; true without parts.
    And(Vec<Condition>),
    /// One holds; false without parts.
    Or(Vec<Condition>),
    /// Does not hold.
    Not(Box<Condition>),
    /// A comparison; unknown when an operand is NULL.
    Compare {
        /// Operator.
        op: CompareOp,
        /// Left operand.
        left: Box<Value>,
        /// Right operand.
        right: Box<Value>,
    },
    /// A value is one of some constants; unknown when it is NULL.
    InSet {
        /// What is looked up.
        value: Box<Value>,
        /// The constants, sorted, distinct.
        set: Vec<i64>,
    },
    /// A value is NULL: true or false.
    IsNull(Box<Value>),
    /// A condition is true, false (`Some`) or unknown (`None`): true or false.
    Is(Box<Condition>, Option<bool>),
    /// Two values differ, where NULL equals NULL and nothing else: true or false.
    IsDistinct(Box<Value>, Box<Value>),
}
canonical_union!(Condition {
    1 = Constant(truth),
    2 = And(parts),
    3 = Or(parts),
    4 = Not(part),
    5 = Compare { op, left, right },
    6 = InSet { value, set },
    7 = IsNull(value),
    8 = Is(part, truth),
    9 = IsDistinct(left, right),
});

impl Value {
    /// A column.
    pub fn column(name: impl Into<String>) -> Self {
        Self::Column(name.into())
    }

    /// Calls `visit` with the name of every column that the expression reads, as often as it does.
    pub fn columns<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        walk(Part::Value(self), visit);
    }

    /// Nodes of the expression; entries of tables and sets count a sixteenth each.
    pub fn size(&self) -> usize {
        size(Part::Value(self))
    }
}

impl Condition {
    /// Calls `visit` with the name of every column that the condition reads, as often as it does.
    pub fn columns<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        walk(Part::Condition(self), visit);
    }

    /// Nodes of the condition, as [`Value::size`].
    pub fn size(&self) -> usize {
        size(Part::Condition(self))
    }
}

/// Names of all columns that some expressions read.
pub fn names_read<'a>(
    values: impl IntoIterator<Item = &'a Value>,
    conditions: impl IntoIterator<Item = &'a Condition>,
) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    let mut visit = |name| {
        names.insert(name);
    };
    for value in values {
        value.columns(&mut visit);
    }
    for condition in conditions {
        condition.columns(&mut visit);
    }
    names
}

/// Nodes of both kinds of expression, entries of a table counted as a sixteenth of one.
fn size(root: Part<'_>) -> usize {
    let (mut nodes, mut todo) = (0usize, vec![root]);
    while let Some(part) = todo.pop() {
        nodes += 1;
        match &part {
            Part::Value(Value::Map { table, .. }) => nodes += table.len() / 16,
            Part::Condition(Condition::InSet { set, .. }) => nodes += set.len() / 16,
            _ => {}
        }
        push_parts(&part, &mut todo, &mut |_| {});
    }
    nodes
}

enum Part<'a> {
    Value(&'a Value),
    Condition(&'a Condition),
}

fn walk<'a>(root: Part<'a>, visit: &mut impl FnMut(&'a str)) {
    let mut todo = vec![root];
    while let Some(part) = todo.pop() {
        push_parts(&part, &mut todo, visit);
    }
}

/// Adds what an expression consists of to `todo`, and calls `visit` if it is a column.
fn push_parts<'a>(part: &Part<'a>, todo: &mut Vec<Part<'a>>, visit: &mut impl FnMut(&'a str)) {
    match part {
        Part::Value(value) => match value {
            Value::Null | Value::Constant(_) => {}
            Value::Column(name) => visit(name),
            Value::Add(left, right)
            | Value::Subtract(left, right)
            | Value::Multiply(left, right)
            | Value::Divide { left, right, shift: _, rounding: _ }
            | Value::Modulo(left, right)
            | Value::NullIf(left, right) => todo.extend([Part::Value(left), Part::Value(right)]),
            Value::Abs(value)
            | Value::Sign(value)
            | Value::Clamp { value, lo: _, hi: _ }
            | Value::Map { value, first: _, table: _ }
            | Value::Extract { field: _, value }
            | Value::Truncate { to: _, value } => todo.push(Part::Value(value)),
            Value::Least(values) | Value::Greatest(values) | Value::Coalesce(values) => todo.extend(values.iter().map(Part::Value)),
            Value::Case { branches, otherwise } => {
                for Branch { condition, value } in branches {
                    todo.extend([Part::Condition(condition), Part::Value(value)]);
                }
                todo.push(Part::Value(otherwise));
            }
            Value::Truth(condition) => todo.push(Part::Condition(condition)),
        },
        Part::Condition(condition) => match condition {
            Condition::Constant(_) => {}
            Condition::And(parts) | Condition::Or(parts) => todo.extend(parts.iter().map(Part::Condition)),
            Condition::Not(part) | Condition::Is(part, _) => todo.push(Part::Condition(part)),
            Condition::Compare { op: _, left, right } | Condition::IsDistinct(left, right) => {
                todo.extend([Part::Value(left), Part::Value(right)]);
            }
            Condition::InSet { value, set: _ } | Condition::IsNull(value) => todo.push(Part::Value(value)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quotients_are_the_integers_next_to_the_exact_ones(n in any::<i64>(), d in any::<i64>()) {
            let (n, d) = (i128::from(n), i128::from(d));
            let all = [Rounding::Truncate, Rounding::Floor, Rounding::Ceil, Rounding::HalfAway].map(|rounding| rounding.divide(n, d));
            let [Some(truncated), Some(floor), Some(ceil), Some(half)] = all else {
                prop_assert_eq!((d, all), (0, [None; 4]));
                return Ok(());
            };
            prop_assert_eq!(truncated, n / d);
            prop_assert_eq!(floor, if d > 0 { n.div_euclid(d) } else { (-n).div_euclid(-d) });
            prop_assert_eq!(ceil, floor + i128::from(n % d != 0));
            // |n/d - half| <= 1/2, and away from zero at exactly one half.
            let twice_off = 2 * (n - half * d).abs();
            prop_assert!(twice_off <= d.abs());
            if twice_off == d.abs() {
                prop_assert!(half.abs() * d.abs() > n.abs());
            }
        }
    }

    #[test]
    fn the_ends_of_the_range_divide_without_a_panic() {
        for rounding in [Rounding::Truncate, Rounding::Floor, Rounding::Ceil, Rounding::HalfAway] {
            assert_eq!(rounding.divide(i128::MIN, -1), Some(i128::MAX));
            assert_eq!(rounding.divide(i128::MIN, 0), None);
            assert!(rounding.divide(i128::MIN, i128::MAX).is_some() && rounding.divide(i128::MAX, i128::MIN).is_some());
        }
    }
}
