//! What an answer shows: post-processing of noisy outputs, which costs nothing and reveals nothing more.
//!
//! The plan's outputs are what leaves the holders with noise; the columns, HAVING, ORDER BY and LIMIT here are computed from the released
//! numbers alone, by whoever reads the result release. The arithmetic itself, and the margins of error, are `commun-privacy`'s.

use super::value::CompareOp;
use crate::{canonical_enum, canonical_struct, canonical_union};

/// Decimal digits after the point of a quantile's fraction and of constants.
pub const FRACTION_DIGITS: u8 = 6;

/// A number for each cell, computed from noisy outputs. Indices are those of the plan's outputs. NULL where an operand is, where a
/// denominator is 0 (or a noisy count not above 0), and where a square root has no value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Estimate {
    /// An output itself, in native units (an output of scale s is divided by 10^s).
    Output(u16),
    /// `units * 10^-scale`.
    Constant {
        /// Units.
        units: i64,
        /// Decimal digits after the point.
        scale: u8,
    },
    /// Mean of a number: `count` counts its values (`Aggregate::CountRows` with the condition that it is not NULL), `centred` is its
    /// `Aggregate::CentredSum`.
    Mean {
        /// Output that counts values.
        count: u16,
        /// Output of centred sums.
        centred: u16,
    },
    /// Variance or standard deviation of a number.
    Variance {
        /// Output that counts values.
        count: u16,
        /// Output of centred sums.
        centred: u16,
        /// Output of centred squares.
        squares: u16,
        /// Whether it is divided by n - 1 instead of n.
        sample: bool,
        /// Whether the square root is taken.
        root: bool,
    },
    /// The value below which a fraction of all values lies.
    Quantile {
        /// Output of a histogram.
        histogram: u16,
        /// Fraction in units of 10^-6, 0 to 10^6.
        fraction: u32,
    },
    /// Sum.
    Add(Box<Estimate>, Box<Estimate>),
    /// Difference.
    Subtract(Box<Estimate>, Box<Estimate>),
    /// Product.
    Multiply(Box<Estimate>, Box<Estimate>),
    /// Quotient; NULL for a denominator of 0.
    Divide(Box<Estimate>, Box<Estimate>),
    /// Rounded to decimal digits, halves away from zero.
    Round(Box<Estimate>, u8),
    /// Least of the operands that are not NULL.
    Least(Vec<Estimate>),
    /// Greatest of the operands that are not NULL.
    Greatest(Vec<Estimate>),
    /// First operand that is not NULL.
    Coalesce(Vec<Estimate>),
    /// NULL when both are equal, else the left one.
    NullIf(Box<Estimate>, Box<Estimate>),
}
canonical_union!(Estimate {
    1 = Output(index),
    2 = Constant { units, scale },
    3 = Mean { count, centred },
    4 = Variance { count, centred, squares, sample, root },
    5 = Quantile { histogram, fraction },
    6 = Add(left, right),
    7 = Subtract(left, right),
    8 = Multiply(left, right),
    9 = Divide(left, right),
    10 = Round(value, digits),
    11 = Least(values),
    12 = Greatest(values),
    13 = Coalesce(values),
    14 = NullIf(left, right),
});

/// What stands in a column of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnswerValue {
    /// The key at this index; NULL in a row that adds up over it.
    Key(u16),
    /// `GROUPING(keys)`: a bit for each key, the last one lowest, 1 where the row adds up over it.
    Grouping(Vec<u16>),
    /// A number with a margin of error.
    Estimate(Estimate),
}
canonical_union!(AnswerValue { 1 = Key(index), 2 = Grouping(keys), 3 = Estimate(estimate) });

/// One column of the answer, in SELECT order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerColumn {
    /// Its name; an estimate `x` is followed by `x_moe` when margins are wanted.
    pub name: String,
    /// What stands in it.
    pub value: AnswerValue,
}
canonical_struct!(AnswerColumn { name, value });

/// HAVING: which rows of the answer are shown. Three-valued; a row is shown when it is true.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnswerCondition {
    /// All hold.
    And(Vec<AnswerCondition>),
    /// One holds.
    Or(Vec<AnswerCondition>),
    /// Does not hold.
    Not(Box<AnswerCondition>),
    /// A comparison of noisy numbers.
    Compare {
        /// Operator.
        op: CompareOp,
        /// Left operand.
        left: Estimate,
        /// Right operand.
        right: Estimate,
    },
    /// A number is NULL.
    IsNull(Estimate),
    /// `GROUPING(keys)` compared with a constant.
    Grouping {
        /// Keys, as in [`AnswerValue::Grouping`].
        keys: Vec<u16>,
        /// Operator.
        op: CompareOp,
        /// Constant.
        value: u64,
    },
}
canonical_union!(AnswerCondition {
    1 = And(parts),
    2 = Or(parts),
    3 = Not(part),
    4 = Compare { op, left, right },
    5 = IsNull(value),
    6 = Grouping { keys, op, value },
});

/// Where NULL stands in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// Before all values.
    First,
    /// After all values.
    Last,
}
canonical_enum!(Nulls { First = 1, Last = 2 });

/// One ORDER BY item. Rows that are equal in all items keep the order of the grid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// What is compared: keys as their kind says, numbers as numbers.
    pub value: AnswerValue,
    /// From the greatest to the least.
    pub descending: bool,
    /// Where NULL stands.
    pub nulls: Nulls,
}
canonical_struct!(SortKey { value, descending, nulls });

/// The keys, by index, that a grouping set groups by; the rows of the set add up over all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupingSet {
    /// Sorted, distinct.
    pub keys: Vec<u16>,
}
canonical_struct!(GroupingSet { keys });

impl Estimate {
    /// Calls `visit` with every node, outermost first.
    pub fn visit<'a>(&'a self, visit: &mut impl FnMut(&'a Self)) {
        let mut todo = vec![self];
        while let Some(estimate) = todo.pop() {
            visit(estimate);
            match estimate {
                Self::Output(_) | Self::Constant { .. } | Self::Mean { .. } | Self::Variance { .. } | Self::Quantile { .. } => {}
                Self::Add(left, right)
                | Self::Subtract(left, right)
                | Self::Multiply(left, right)
                | Self::Divide(left, right)
                | Self::NullIf(left, right) => todo.extend([&**left, &**right]),
                Self::Round(value, _) => todo.push(value),
                Self::Least(values) | Self::Greatest(values) | Self::Coalesce(values) => todo.extend(values),
            }
        }
    }
}

impl AnswerCondition {
    /// Calls `visit` with every estimate that the condition compares.
    pub fn estimates<'a>(&'a self, visit: &mut impl FnMut(&'a Estimate)) {
        let mut todo = vec![self];
        while let Some(condition) = todo.pop() {
            match condition {
                Self::And(parts) | Self::Or(parts) => todo.extend(parts),
                Self::Not(part) => todo.push(part),
                Self::Compare { op: _, left, right } => {
                    visit(left);
                    visit(right);
                }
                Self::IsNull(value) => visit(value),
                Self::Grouping { .. } => {}
            }
        }
    }
}
