//! `PrivatePlan`: what a compiled question means, bounded and typed, independent of any binding and of any engine.
//!
//! Meaning, in order: take the rows of `partitions`; keep those for which `filter` is true (SQL's three-valued logic: NULL is not
//! true); drop rows whose unit, partition or a key is NULL or outside its declared values; per (unit, partition, keys) count rows and
//! sum clamped values; per (unit, partition) keep at most `max_groups_per_person` groups; per cell of the declared grid add up each
//! output. A cell without rows is 0.

use crate::calendar::{Calendar, Period};
use crate::encoding::{Decode, DecodeError, Document, Encode, Reader};
use crate::ids::Hash32;
use crate::{canonical_enum, canonical_struct};

/// Most cells (of one output) in one answer.
pub const MAX_CELLS: u64 = 1_000_000;

/// Version of the meaning above.
pub const PLAN_VERSION: u16 = 1;

/// A constant in a predicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A code of the column's list.
    Code(String),
    /// A number in the column's units of 10^-scale.
    Number(i64),
    /// A truth value.
    Boolean(bool),
}

impl Encode for Literal {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Code(code) => {
                out.push(1);
                code.encode(out);
            }
            Self::Number(number) => {
                out.push(2);
                number.encode(out);
            }
            Self::Boolean(value) => {
                out.push(3);
                value.encode(out);
            }
        }
    }
}

impl Decode for Literal {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => String::decode(reader).map(Self::Code),
            2 => i64::decode(reader).map(Self::Number),
            3 => bool::decode(reader).map(Self::Boolean),
            _ => Err(DecodeError::Invalid("literal")),
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A condition on one row's own columns, total by construction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    /// All hold.
    And(Vec<Predicate>),
    /// One holds.
    Or(Vec<Predicate>),
    /// Does not hold.
    Not(Box<Predicate>),
    /// A column against a constant.
    Compare {
        /// Column.
        column: String,
        /// Operator.
        op: CompareOp,
        /// Constant of the column's type.
        literal: Literal,
    },
    /// A column is one of some constants.
    InList {
        /// Column.
        column: String,
        /// Constants of the column's type.
        literals: Vec<Literal>,
    },
    /// A column is NULL.
    IsNull {
        /// Column.
        column: String,
    },
    /// A constant truth value.
    Constant(bool),
}

impl Encode for Predicate {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::And(parts) => {
                out.push(1);
                parts.encode(out);
            }
            Self::Or(parts) => {
                out.push(2);
                parts.encode(out);
            }
            Self::Not(part) => {
                out.push(3);
                part.encode(out);
            }
            Self::Compare { column, op, literal } => {
                out.push(4);
                column.encode(out);
                op.encode(out);
                literal.encode(out);
            }
            Self::InList { column, literals } => {
                out.push(5);
                column.encode(out);
                literals.encode(out);
            }
            Self::IsNull { column } => {
                out.push(6);
                column.encode(out);
            }
            Self::Constant(value) => {
                out.push(7);
                value.encode(out);
            }
        }
    }
}

impl Decode for Predicate {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.nested(|reader| match u8::decode(reader)? {
            1 => Vec::decode(reader).map(Self::And),
            2 => Vec::decode(reader).map(Self::Or),
            3 => Self::decode(reader).map(|part| Self::Not(Box::new(part))),
            4 => Ok(Self::Compare { column: Decode::decode(reader)?, op: Decode::decode(reader)?, literal: Decode::decode(reader)? }),
            5 => Ok(Self::InList { column: Decode::decode(reader)?, literals: Decode::decode(reader)? }),
            6 => Ok(Self::IsNull { column: Decode::decode(reader)? }),
            7 => bool::decode(reader).map(Self::Constant),
            _ => Err(DecodeError::Invalid("predicate")),
        })
    }
}

/// Where a group key comes from and the values that it may take, in grid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A code column over its declared codes.
    Code {
        /// Column.
        column: String,
        /// The declared codes, in the list's order.
        codes: Vec<String>,
    },
    /// A boolean column: false, then true.
    Boolean {
        /// Column.
        column: String,
    },
    /// The partition itself: the plan's partitions in order.
    Partition,
}

impl Encode for KeySource {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Code { column, codes } => {
                out.push(1);
                column.encode(out);
                codes.encode(out);
            }
            Self::Boolean { column } => {
                out.push(2);
                column.encode(out);
            }
            Self::Partition => out.push(3),
        }
    }
}

impl Decode for KeySource {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Code { column: Decode::decode(reader)?, codes: Decode::decode(reader)? }),
            2 => Ok(Self::Boolean { column: Decode::decode(reader)? }),
            3 => Ok(Self::Partition),
            _ => Err(DecodeError::Invalid("group key")),
        }
    }
}

/// One group key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Name in the answer.
    pub name: String,
    /// Source and declared values.
    pub source: KeySource,
}
canonical_struct!(Key { name, source });

/// What an output counts or sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// `COUNT(*)`: rows, at most Linf a person and partition in a cell.
    CountRows {
        /// Linf.
        max_rows_per_person: u32,
    },
    /// `COUNT(DISTINCT unit)`: persons; across holders, person-holder pairs.
    CountUnits,
    /// `SUM(column)`: each value clamped to [lo, hi], each person's sum in a cell to [Linf min(lo,0), Linf max(hi,0)].
    Sum {
        /// Column.
        column: String,
        /// Least value, in units of 10^-scale.
        lo: i64,
        /// Greatest value, in units of 10^-scale.
        hi: i64,
        /// Decimal digits after the point.
        scale: u8,
        /// Linf.
        max_rows_per_person: u32,
    },
}

impl Encode for Aggregate {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::CountRows { max_rows_per_person } => {
                out.push(1);
                max_rows_per_person.encode(out);
            }
            Self::CountUnits => out.push(2),
            Self::Sum { column, lo, hi, scale, max_rows_per_person } => {
                out.push(3);
                column.encode(out);
                lo.encode(out);
                hi.encode(out);
                scale.encode(out);
                max_rows_per_person.encode(out);
            }
        }
    }
}

impl Decode for Aggregate {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::CountRows { max_rows_per_person: Decode::decode(reader)? }),
            2 => Ok(Self::CountUnits),
            3 => Ok(Self::Sum {
                column: Decode::decode(reader)?,
                lo: Decode::decode(reader)?,
                hi: Decode::decode(reader)?,
                scale: Decode::decode(reader)?,
                max_rows_per_person: Decode::decode(reader)?,
            }),
            _ => Err(DecodeError::Invalid("aggregate")),
        }
    }
}

/// One column of the answer beside the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Name in the answer.
    pub name: String,
    /// What it is.
    pub aggregate: Aggregate,
    /// Share of rho: `share_num / share_den`; all shares of a plan add up to 1.
    pub share_num: u32,
    /// See `share_num`.
    pub share_den: u32,
}
canonical_struct!(Output { name, aggregate, share_num, share_den });

/// Order and order of keys and outputs in the answer, as written in SELECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerColumn {
    /// The key at this index.
    Key(u16),
    /// The output at this index.
    Output(u16),
}

impl Encode for AnswerColumn {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Key(index) => {
                out.push(1);
                index.encode(out);
            }
            Self::Output(index) => {
                out.push(2);
                index.encode(out);
            }
        }
    }
}

impl Decode for AnswerColumn {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => u16::decode(reader).map(Self::Key),
            2 => u16::decode(reader).map(Self::Output),
            _ => Err(DecodeError::Invalid("answer column")),
        }
    }
}

/// A compiled question. See the module for its meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivatePlan {
    /// [`PLAN_VERSION`].
    pub version: u16,
    /// Hash of the data contract.
    pub contract: Hash32,
    /// Name of the data contract.
    pub contract_name: String,
    /// Budget domain that is charged.
    pub budget_domain: String,
    /// Table.
    pub table: String,
    /// Column of the unit.
    pub unit_column: String,
    /// Column of the partition.
    pub partition_column: String,
    /// Calendar of the partitions.
    pub calendar: Calendar,
    /// Partitions read and charged, sorted, distinct, at least one.
    pub partitions: Vec<Period>,
    /// Condition beside the partitions; `None` keeps all rows.
    pub filter: Option<Predicate>,
    /// Group keys; none gives one cell.
    pub keys: Vec<Key>,
    /// Outputs; at least one.
    pub outputs: Vec<Output>,
    /// Order of the answer's columns.
    pub columns: Vec<AnswerColumn>,
    /// L0: most groups of one person in one partition that count.
    pub max_groups_per_person: u32,
}
canonical_struct!(PrivatePlan {
    version,
    contract,
    contract_name,
    budget_domain,
    table,
    unit_column,
    partition_column,
    calendar,
    partitions,
    filter,
    keys,
    outputs,
    columns,
    max_groups_per_person,
});

impl Document for PrivatePlan {
    const TAG: &'static str = "commun/plan/v1";
}

impl Key {
    /// The declared values as they stand in the answer, in grid order.
    pub fn values(&self, plan: &PrivatePlan) -> Vec<String> {
        match &self.source {
            KeySource::Code { codes, .. } => codes.clone(),
            KeySource::Boolean { .. } => vec!["false".to_owned(), "true".to_owned()],
            KeySource::Partition => plan.partitions.iter().map(|period| plan.calendar.format(*period)).collect(),
        }
    }

    /// How many declared values it has.
    pub fn cardinality(&self, plan: &PrivatePlan) -> usize {
        match &self.source {
            KeySource::Code { codes, .. } => codes.len(),
            KeySource::Boolean { .. } => 2,
            KeySource::Partition => plan.partitions.len(),
        }
    }
}

impl PrivatePlan {
    /// Cells of the declared grid: the product of the keys' cardinalities, 1 without keys. The cell of key values (i0, i1, …) is
    /// row-major: `(i0 * card1 + i1) * card2 + …`. `None` past [`MAX_CELLS`].
    pub fn cells(&self) -> Option<u64> {
        let mut cells: u64 = 1;
        for key in &self.keys {
            cells = cells.checked_mul(u64::try_from(key.cardinality(self)).ok()?)?;
            if cells > MAX_CELLS {
                return None;
            }
        }
        Some(cells)
    }

    /// Whether the partition is a group key.
    pub fn partition_is_key(&self) -> bool {
        self.keys.iter().any(|key| key.source == KeySource::Partition)
    }
}
