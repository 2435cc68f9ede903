//! `PrivatePlan`: what a compiled question means, bounded and typed, independent of any binding and of any engine.
//!
//! Meaning, in order: take the rows of the relation ([`relation`]) in `partitions`; keep those for which `filter` is true (SQL's three-valued logic: NULL is not
//! true); drop rows whose unit, partition or a key is NULL or outside its declared values; per (unit, partition, keys) work out each
//! output's contribution, bounded; per (unit, partition) keep at most `max_groups_per_person` groups; per cell of the declared grid add up
//! each output. A cell without rows is 0. What leaves is that, with noise, and where the plan says so the number of people whom the bounds cut ([`clipped`]). The rest ([`answer`]) is computed from what has left:
//! grouping sets by adding up cells, columns, HAVING, ORDER BY, LIMIT.

pub mod answer;
pub mod clipped;
pub mod open;
pub mod relation;
pub mod time;
pub mod value;

use std::collections::BTreeSet;

use crate::calendar::{Calendar, Period};
use crate::encoding::Document;
use crate::ids::Hash32;
use crate::{canonical_enum, canonical_struct, canonical_union};

pub use answer::{AnswerColumn, AnswerCondition, AnswerValue, Estimate, GroupingSet, Nulls, SortKey};
pub use clipped::{CLIPPED_SHARE, Clipped};
pub use open::OpenKey;
pub use relation::{Computed, Relation, TableColumns};
pub use value::{Branch, CompareOp, Condition, Rounding, Value, names_read};

/// Most cells of one output in one answer; for a histogram its nodes count.
pub const MAX_CELLS: u64 = 1_000_000;

/// Version of the meaning above.
pub const PLAN_VERSION: u16 = 4;

/// Greatest log2 of the number of a histogram's bins.
pub const MAX_BINS_LOG2: u8 = 16;

/// Most values of one person that a histogram may count in one cell. Up to here a histogram's lattice step is at most one value, so that its
/// nodes are never rounded: rounding would move every node that a person touches by up to one more step, not one node a level.
pub const MAX_HISTOGRAM_VALUES_PER_PERSON: u32 = 1 << 16;

/// Binary digits by which centred sums and squares are refined, so that integer division does not pull a mean to the midpoint.
pub const MEAN_DIGITS: u32 = 20;

/// What the values of a key are, which decides how they are ordered and typed in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Text, ordered by its bytes.
    Text,
    /// Numbers, ordered as the grid is.
    Number,
    /// `false`, `true`.
    Boolean,
    /// Times, ordered as the grid is.
    Time,
}
canonical_enum!(KeyKind { Text = 1, Number = 2, Boolean = 3, Time = 4 });

/// Where a group key comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// The partition itself: the plan's partitions in order.
    Partition,
    /// An expression over its declared values. Other values and NULL are off the grid.
    Values {
        /// The expression.
        value: Value,
        /// The declared values in grid order, ascending.
        values: Vec<i64>,
        /// As they stand in the answer, one for each of `values`, distinct.
        labels: Vec<String>,
        /// What they are.
        kind: KeyKind,
    },
    /// A column of open text. Its values are the names that holders release first; other texts and NULL are off the grid.
    Open(OpenKey),
}
canonical_union!(KeySource { 1 = Partition, 2 = Values { value, values, labels, kind }, 3 = Open(key) });

/// One group key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Name, for people and errors.
    pub name: String,
    /// Source and declared values.
    pub source: KeySource,
}
canonical_struct!(Key { name, source });

/// A number to aggregate: an expression in units of 10^-scale, clamped to [lo, hi] before anything else. NULL contributes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Measured {
    /// The expression.
    pub value: Value,
    /// Least value, in units of 10^-scale.
    pub lo: i64,
    /// Greatest value, in units of 10^-scale.
    pub hi: i64,
    /// Decimal digits after the point.
    pub scale: u8,
}
canonical_struct!(Measured { value, lo, hi, scale });

/// What one person contributes to one cell of an output, over that person's rows in one partition and group that satisfy the output's
/// condition. Linf is `max_rows_per_person`. All of it is integer arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// `COUNT`: min(Linf, rows).
    CountRows {
        /// Linf.
        max_rows_per_person: u32,
    },
    /// `COUNT(DISTINCT unit)`: 1 if there is a row; across holders, person-holder pairs.
    CountUnits,
    /// `SUM`: the sum of clamped values, itself clamped to [Linf min(lo,0), Linf max(hi,0)].
    Sum {
        /// What is summed.
        measured: Measured,
        /// Linf.
        max_rows_per_person: u32,
    },
    /// Numerator of a mean. With v = 2x - (lo + hi) over the values that are not NULL, n their number and b = min(Linf, n):
    /// trunc(2^20 b sum(v) / n), or 0 without values. Native unit 10^-scale / 2^21.
    CentredSum {
        /// What is averaged.
        measured: Measured,
        /// Linf.
        max_rows_per_person: u32,
    },
    /// Second numerator of a variance: trunc(2^20 b sum(2 v^2 - R^2) / n) with R = hi - lo. Native unit 10^-2scale / 2^23.
    CentredSquares {
        /// What is spread.
        measured: Measured,
        /// Linf.
        max_rows_per_person: u32,
    },
    /// Counts of values in the nodes of a binary tree over [lo, hi]: the root is node 0, the children of node i are 2i + 1 and 2i + 2, and
    /// bin j of 2^`bins_log2` is leaf 2^`bins_log2` - 1 + j; a value x lies in bin floor((x - lo) 2^`bins_log2` / (hi - lo + 1)). At most
    /// Linf values of a person in a group count, chosen before any node is.
    Histogram {
        /// What is ranked.
        measured: Measured,
        /// log2 of the number of bins, at most [`MAX_BINS_LOG2`].
        bins_log2: u8,
        /// Linf.
        max_rows_per_person: u32,
    },
}
canonical_union!(Aggregate {
    1 = CountRows { max_rows_per_person },
    2 = CountUnits,
    3 = Sum { measured, max_rows_per_person },
    4 = CentredSum { measured, max_rows_per_person },
    5 = CentredSquares { measured, max_rows_per_person },
    6 = Histogram { measured, bins_log2, max_rows_per_person },
});

/// One thing that leaves the holders, with noise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// Name, for people and errors.
    pub name: String,
    /// What it is.
    pub aggregate: Aggregate,
    /// `FILTER (WHERE …)`: rows for which this is not true contribute nothing to this output. They still make a group.
    pub condition: Option<Condition>,
    /// Share of rho: `share_num / share_den`; all shares of a plan add up to 1.
    pub share_num: u32,
    /// See `share_num`.
    pub share_den: u32,
}
canonical_struct!(Output { name, aggregate, condition, share_num, share_den });

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
    /// Whose rows are asked about.
    pub relation: Relation,
    /// Column of the unit.
    pub unit_column: String,
    /// Column of the partition.
    pub partition_column: String,
    /// Calendar of the partitions.
    pub calendar: Calendar,
    /// Partitions read and charged, sorted, distinct, at least one.
    pub partitions: Vec<Period>,
    /// Condition beside the partitions; `None` keeps all rows.
    pub filter: Option<Condition>,
    /// Group keys; none gives one cell.
    pub keys: Vec<Key>,
    /// L0: most groups of one person in one partition that count.
    pub max_groups_per_person: u32,
    /// What leaves the holders; at least one.
    pub outputs: Vec<Output>,
    /// Whether the number of clipped people leaves too, after the outputs.
    pub clipped: Option<Clipped>,
    /// Which sums over keys the answer shows; empty shows every cell of the grid.
    pub grouping_sets: Vec<GroupingSet>,
    /// Columns of the answer.
    pub columns: Vec<AnswerColumn>,
    /// Which rows of the answer are shown.
    pub having: Option<AnswerCondition>,
    /// Their order.
    pub order: Vec<SortKey>,
    /// Rows of the answer that are passed over first.
    pub offset: u64,
    /// Most rows of the answer.
    pub limit: Option<u64>,
}
canonical_struct!(PrivatePlan {
    version,
    contract,
    contract_name,
    budget_domain,
    relation,
    unit_column,
    partition_column,
    calendar,
    partitions,
    filter,
    keys,
    max_groups_per_person,
    outputs,
    clipped,
    grouping_sets,
    columns,
    having,
    order,
    offset,
    limit,
});

impl Document for PrivatePlan {
    const TAG: &'static str = "commun/plan/v4";
}

impl Key {
    /// The declared values as they stand in the answer, in grid order.
    pub fn values(&self, plan: &PrivatePlan) -> Vec<String> {
        match &self.source {
            KeySource::Values { labels, .. } => labels.clone(),
            KeySource::Open(open) => open.names.clone().unwrap_or_default(),
            KeySource::Partition => plan.partitions.iter().map(|period| plan.calendar.format(*period)).collect(),
        }
    }

    /// How many declared values it has; of an open key without names, how many it may have.
    pub fn cardinality(&self, plan: &PrivatePlan) -> usize {
        match &self.source {
            KeySource::Values { labels, .. } => labels.len(),
            KeySource::Open(open) => open.names.as_ref().map_or(usize::try_from(open.max_names).unwrap_or(usize::MAX), Vec::len),
            KeySource::Partition => plan.partitions.len(),
        }
    }

    /// What its values are. Periods are text whose order is that of time.
    pub fn kind(&self) -> KeyKind {
        match &self.source {
            KeySource::Values { kind, .. } => *kind,
            KeySource::Open(_) | KeySource::Partition => KeyKind::Text,
        }
    }
}

impl Aggregate {
    /// Numbers that it makes for each cell of the grid: 1, or the nodes of a histogram.
    pub fn width(&self) -> u64 {
        match self {
            Self::Histogram { bins_log2, .. } => (2u64 << (*bins_log2).min(MAX_BINS_LOG2)) - 1,
            Self::CountRows { .. } | Self::CountUnits | Self::Sum { .. } | Self::CentredSum { .. } | Self::CentredSquares { .. } => 1,
        }
    }

    /// Linf: most rows of one person in one group that count in full; `None` where a person counts or not.
    pub fn max_rows_per_person(&self) -> Option<u32> {
        match self {
            Self::CountUnits => None,
            Self::CountRows { max_rows_per_person }
            | Self::Sum { max_rows_per_person, .. }
            | Self::CentredSum { max_rows_per_person, .. }
            | Self::CentredSquares { max_rows_per_person, .. }
            | Self::Histogram { max_rows_per_person, .. } => Some(*max_rows_per_person),
        }
    }

    /// The number that it aggregates, if any.
    pub fn measured(&self) -> Option<&Measured> {
        match self {
            Self::CountRows { .. } | Self::CountUnits => None,
            Self::Sum { measured, .. }
            | Self::CentredSum { measured, .. }
            | Self::CentredSquares { measured, .. }
            | Self::Histogram { measured, .. } => Some(measured),
        }
    }
}

impl PrivatePlan {
    /// Cells of the declared grid: the product of the keys' cardinalities, 1 without keys. The cell of key values (i0, i1, …) is
    /// row-major: `(i0 * card1 + i1) * card2 + …`. `None` past [`MAX_CELLS`], where the widest output counts.
    pub fn cells(&self) -> Option<u64> {
        let mut cells: u64 = 1;
        for key in &self.keys {
            cells = cells.checked_mul(u64::try_from(key.cardinality(self)).ok()?)?;
            if cells > MAX_CELLS {
                return None;
            }
        }
        let width = self.outputs.iter().map(|output| output.aggregate.width()).max().unwrap_or(1);
        (cells.checked_mul(width)? <= MAX_CELLS).then_some(cells)
    }

    /// Numbers of one output that leave a holder: cells times its width, cell by cell. `None` as [`PrivatePlan::cells`].
    pub fn output_cells(&self, output: &Output) -> Option<u64> {
        self.cells()?.checked_mul(output.aggregate.width())
    }

    /// How many numbers each vector has that leaves a holder: those of the outputs in order, then that of clipped people; `None` as [`PrivatePlan::cells`].
    pub fn lengths(&self) -> Option<Vec<usize>> {
        let outputs = self.outputs.iter().map(|output| usize::try_from(self.output_cells(output)?).ok());
        outputs.chain(self.clipped.map(|_| Some(self.clipped_cells()))).collect()
    }

    /// How many vectors leave a holder: one for each output, and one for clipped people.
    pub fn vectors(&self) -> usize {
        self.outputs.len() + usize::from(self.clipped.is_some())
    }

    /// How many different people there are in each group of these rows, and nothing of the answer: what is asked for names and of clipped people.
    fn counting_people(&self, name: &str) -> Self {
        let people = Output { name: name.to_owned(), aggregate: Aggregate::CountUnits, condition: None, share_num: 1, share_den: 1 };
        Self {
            outputs: vec![people],
            clipped: None,
            grouping_sets: Vec::new(),
            columns: Vec::new(),
            having: None,
            order: Vec::new(),
            offset: 0,
            limit: None,
            ..self.clone()
        }
    }

    /// Whether the partition is a group key.
    pub fn partition_is_key(&self) -> bool {
        self.keys.iter().any(|key| key.source == KeySource::Partition)
    }

    /// Names of the relation's columns that the plan reads, beside unit and partition.
    pub fn columns_read(&self) -> BTreeSet<&str> {
        let keys = self.keys.iter().filter_map(|key| match &key.source {
            KeySource::Values { value, .. } => Some(value),
            KeySource::Open(_) | KeySource::Partition => None,
        });
        let measured = self.outputs.iter().filter_map(|output| output.aggregate.measured()).map(|measured| &measured.value);
        let conditions = self.filter.iter().chain(self.outputs.iter().filter_map(|output| output.condition.as_ref()));
        let mut found = names_read(keys.chain(measured), conditions);
        found.extend(self.open_key().map(|open| open.column.as_str()));
        found
    }

    /// Names of the columns that the plan reads of each table, beside unit and partition.
    pub fn table_columns(&self) -> TableColumns<'_> {
        let mut found = TableColumns::new();
        self.relation.columns_read(&self.columns_read(), &mut found);
        found
    }

    /// Calls `visit` with every estimate that the answer shows, filters or sorts by.
    pub fn estimates<'a>(&'a self, visit: &mut impl FnMut(&'a Estimate)) {
        for value in self.columns.iter().map(|column| &column.value).chain(self.order.iter().map(|key| &key.value)) {
            if let AnswerValue::Estimate(estimate) = value {
                visit(estimate);
            }
        }
        if let Some(having) = &self.having {
            having.estimates(visit);
        }
    }
}
