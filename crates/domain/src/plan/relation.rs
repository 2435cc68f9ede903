//! Where a question's rows come from: tables of persons, and what is computed of one person's rows.
//!
//! Everything here is about the rows of one (unit, partition): a row of a relation has one of each, an input's row meets only rows of the same
//! ones, and each operator is a function of the multiset of those rows. So a person's rows, removed, change no other person's, and what a person adds
//! to an answer is bounded after all of it, as if the relation were a table. Columns are nullable 64-bit integers with names, as [`super::value`] says.
//!
//! A relation of tables, [`Relation::Select`] and [`Relation::Union`] alone is ROW BY ROW. Any other works on whole persons, who must fit somewhere:
//! each largest part of it that is row by row keeps at most [`MAX_ROWS_AT_ONCE`] rows of a person in a partition, and a join keeps
//! [`MAX_JOINED_ROWS`] of each side, as it multiplies them. Which rows are kept depends on their content and on how often it has occurred, never on their order.

use std::collections::{BTreeMap, BTreeSet};

use super::value::{Condition, Value, names_read};
use crate::{canonical_enum, canonical_struct, canonical_union};

/// Most rows of one person in one partition that a person-level operator is given by a part that is row by row.
pub const MAX_ROWS_AT_ONCE: u32 = 1 << 14;

/// Most rows of one person in one partition on either side of a join.
pub const MAX_JOINED_ROWS: u32 = 1 << 8;

/// A column that is computed of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Computed {
    /// Its name in the relation that has it.
    pub name: String,
    /// What it is, over the columns of the input.
    pub value: Value,
}
canonical_struct!(Computed { name, value });

/// What is made of several rows of one person. NULL takes no part; without a value that takes part, counts are 0 and the others NULL.
/// Sums that leave 64 bits are cut there: the compiler clamps them to less, or excludes it by the static range.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fold {
    /// `COUNT(*)`.
    Rows,
    /// `COUNT(value)`.
    Known(Value),
    /// `COUNT(DISTINCT value)`.
    Distinct(Value),
    /// `SUM`.
    Sum(Value),
    /// `MIN`.
    Min(Value),
    /// `MAX`.
    Max(Value),
}
canonical_union!(Fold { 1 = Rows, 2 = Known(a), 3 = Distinct(a), 4 = Sum(a), 5 = Min(a), 6 = Max(a) });

/// A fold as a column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Folded {
    /// Its name.
    pub name: String,
    /// What it is.
    pub fold: Fold,
    /// `FILTER (WHERE …)`: rows for which this is not true take no part.
    pub condition: Option<Condition>,
}
canonical_struct!(Folded { name, fold, condition });

/// What a window function computes for a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WindowFunction {
    /// `ROW_NUMBER()`, from 1.
    RowNumber,
    /// `RANK()`: 1 and the rows before the first that is equal in the order.
    Rank,
    /// `DENSE_RANK()`: 1 and the different places before.
    DenseRank,
    /// `LAG` (negative) and `LEAD` (positive): the value so many rows further on; NULL where there is none.
    Shift {
        /// What is looked up.
        value: Value,
        /// Rows.
        by: i32,
    },
    /// `FIRST_VALUE`: the first row's value.
    First(Value),
    /// An aggregate: of all rows without an order; with one, of those up to this row and those equal to it in the order.
    Fold {
        /// What it is.
        fold: Fold,
        /// `FILTER (WHERE …)`.
        condition: Option<Condition>,
    },
}
canonical_union!(WindowFunction {
    1 = RowNumber,
    2 = Rank,
    3 = DenseRank,
    4 = Shift { value, by },
    5 = First(a),
    6 = Fold { fold, condition },
});

/// Where NULL stands in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NullPlace {
    /// Before everything.
    First,
    /// After everything.
    Last,
}
canonical_enum!(NullPlace { First = 1, Last = 2 });

/// One key of an order of rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowOrder {
    /// What is compared.
    pub value: Value,
    /// Greatest first.
    pub descending: bool,
    /// Where NULL stands, whatever the direction.
    pub nulls: NullPlace,
}
canonical_struct!(RowOrder { value, descending, nulls });

/// A window function as a column, over the rows of a person with the same `keys`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Windowed {
    /// Its name.
    pub name: String,
    /// What it is.
    pub function: WindowFunction,
    /// `PARTITION BY`, beside unit and partition. NULL is a value like another.
    pub keys: Vec<Value>,
    /// `ORDER BY`. Rows that are equal in it are ordered by all their columns, in the order of the columns' names, NULL first; so rows that are
    /// still equal are the same.
    pub order: Vec<RowOrder>,
}
canonical_struct!(Windowed { name, function, keys, order });

/// Rows of persons. See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// A table of the contract. It stands alone, or below a [`Relation::Select`].
    Table(String),
    /// The rows for which a condition is true, each with values computed of it alone.
    Select {
        /// Its rows.
        input: Box<Relation>,
        /// `None` keeps all.
        filter: Option<Condition>,
        /// All columns that it has.
        columns: Vec<Computed>,
    },
    /// `UNION ALL`: the rows of all inputs, which have columns of the same names.
    Union(Vec<Relation>),
    /// Pairs of rows of two relations of which no column has the same name.
    Join {
        /// The left side.
        left: Box<Relation>,
        /// The right side.
        right: Box<Relation>,
        /// `LEFT JOIN`: a left row without a partner stays, with NULL for the right side.
        outer: bool,
        /// For which pairs this is not true, they are no pair; `None` takes all pairs.
        condition: Option<Condition>,
    },
    /// One row for each combination of keys that occurs.
    Group {
        /// Its rows.
        input: Box<Relation>,
        /// Keys, as columns. NULL is a value like another. Without keys a person who has a row has one.
        keys: Vec<Computed>,
        /// The other columns.
        folds: Vec<Folded>,
    },
    /// Each row with further columns.
    Window {
        /// Its rows.
        input: Box<Relation>,
        /// The further columns; each sees the input's columns alone.
        columns: Vec<Windowed>,
    },
}
canonical_union!(Relation {
    1 = Table(a),
    2 = Select { input, filter, columns },
    3 = Union(a),
    4 = Join { left, right, outer, condition },
    5 = Group { input, keys, folds },
    6 = Window { input, columns },
});

/// Columns of tables, by table.
pub type TableColumns<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

impl Fold {
    /// The value that it is about, if any.
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Rows => None,
            Self::Known(value) | Self::Distinct(value) | Self::Sum(value) | Self::Min(value) | Self::Max(value) => Some(value),
        }
    }
}

impl WindowFunction {
    /// The value that it is about and its condition, if any.
    pub fn parts(&self) -> (Option<&Value>, Option<&Condition>) {
        match self {
            Self::RowNumber | Self::Rank | Self::DenseRank => (None, None),
            Self::Shift { value, by: _ } | Self::First(value) => (Some(value), None),
            Self::Fold { fold, condition } => (fold.value(), condition.as_ref()),
        }
    }
}

impl Relation {
    /// The table, when the relation is nothing else.
    pub fn as_table(&self) -> Option<&str> {
        if let Self::Table(name) = self { Some(name) } else { None }
    }

    /// Whether each row comes of one row of a table.
    pub fn is_row_by_row(&self) -> bool {
        match self {
            Self::Table(_) => true,
            Self::Select { input, .. } => input.is_row_by_row(),
            Self::Union(inputs) => inputs.iter().all(Self::is_row_by_row),
            Self::Join { .. } | Self::Group { .. } | Self::Window { .. } => false,
        }
    }

    /// The relations that it is made of.
    pub fn inputs(&self) -> Vec<&Self> {
        match self {
            Self::Table(_) => Vec::new(),
            Self::Select { input, .. } | Self::Group { input, .. } | Self::Window { input, .. } => vec![input],
            Self::Union(inputs) => inputs.iter().collect(),
            Self::Join { left, right, .. } => vec![left, right],
        }
    }

    /// Names of the tables that it reads.
    pub fn tables(&self) -> BTreeSet<&str> {
        match self {
            Self::Table(name) => BTreeSet::from([name.as_str()]),
            other => other.inputs().into_iter().flat_map(Self::tables).collect(),
        }
    }

    /// Most rows of one person in one partition that it can have once persons are taken whole: it bounds what a person can cost.
    pub fn most_rows(&self) -> u64 {
        match self {
            row_by_row if row_by_row.is_row_by_row() => MAX_ROWS_AT_ONCE.into(),
            Self::Table(_) => MAX_ROWS_AT_ONCE.into(),
            Self::Union(inputs) => inputs.iter().fold(0, |rows, input| rows.saturating_add(input.most_rows())),
            Self::Join { left, right, .. } => {
                let side = |relation: &Self| relation.most_rows().min(MAX_JOINED_ROWS.into());
                side(left) * side(right).max(1)
            }
            Self::Group { keys, .. } if keys.is_empty() => 1,
            Self::Select { input, .. } | Self::Window { input, .. } | Self::Group { input, .. } => input.most_rows(),
        }
    }

    /// The columns that it reads of the relations that it is made of, when those in `wanted` are read of it.
    pub fn reads<'a>(&'a self, wanted: &BTreeSet<&'a str>) -> BTreeSet<&'a str> {
        match self {
            Self::Table(_) | Self::Union(_) => wanted.clone(),
            Self::Select { input: _, filter, columns } => names_read(columns.iter().map(|column| &column.value), filter),
            Self::Join { left: _, right: _, outer: _, condition } => {
                let mut names = names_read([], condition);
                names.extend(wanted);
                names
            }
            Self::Group { input: _, keys, folds } => {
                let values = keys.iter().map(|key| &key.value).chain(folds.iter().filter_map(|folded| folded.fold.value()));
                names_read(values, folds.iter().filter_map(|folded| folded.condition.as_ref()))
            }
            Self::Window { input: _, columns } => {
                let mut names: BTreeSet<&str> =
                    wanted.iter().copied().filter(|name| columns.iter().all(|column| column.name != *name)).collect();
                for Windowed { name: _, function, keys, order } in columns {
                    let (value, condition) = function.parts();
                    names.extend(names_read(value.into_iter().chain(keys).chain(order.iter().map(|key| &key.value)), condition));
                }
                names
            }
        }
    }

    /// Adds the columns that are read of its tables, when those in `wanted` are read of it.
    pub fn columns_read<'a>(&'a self, wanted: &BTreeSet<&'a str>, found: &mut TableColumns<'a>) {
        if let Self::Table(name) = self {
            found.entry(name).or_default().extend(wanted);
            return;
        }
        let below = self.reads(wanted);
        for input in self.inputs() {
            input.columns_read(&below, found);
        }
    }
}
