//! What a check found, as values and as readable text.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::DataType;

use crate::read::Reading;

/// Unknown codes that are shown of each column.
pub(super) const EXAMPLES: usize = 5;

/// Longest example that is shown, in characters.
const EXAMPLE_CHARS: usize = 40;

/// What was found in all tables. Quotes data: for the holder's eyes only.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// Name and version.
    pub contract: String,
    /// In the contract's order.
    pub tables: Vec<TableReport>,
}

/// What was found in one table.
#[derive(Clone, Debug)]
pub struct TableReport {
    /// Name in the contract.
    pub name: String,
    /// What keeps a query from being answered, each with a hint.
    pub faults: Vec<String>,
    /// Ids of the list of objections, if there is one.
    pub objections: Option<u64>,
    /// Rows of those who objected, which no other number here counts.
    pub left_out: u64,
    /// All other rows.
    pub rows: u64,
    /// Rows of each partition of the contract.
    pub rows_by_partition: BTreeMap<String, u64>,
    /// Rows without a unit; queries pass over them.
    pub null_units: u64,
    /// Persons, once per partition.
    pub persons: u64,
    /// Persons with more rows in a partition than count.
    pub persons_above: u64,
    /// Most rows of one person in one partition.
    pub most_rows: u64,
    /// The contract's Linf.
    pub max_rows_per_person: u32,
    /// The contract's limit of rows in one partition.
    pub max_rows: u64,
    /// Columns that could be read: unit, partition, then the contract's order.
    pub columns: Vec<ColumnReport>,
}

/// What was found in one column.
#[derive(Clone, Debug)]
pub struct ColumnReport {
    /// Name in the contract.
    pub name: String,
    /// Type that the binding's SQL gives.
    pub found: String,
    /// What the contract wants.
    pub expected: &'static str,
    /// Rows without a value.
    pub nulls: u64,
    /// Values that are no number, no time, no name, or neither true nor false; queries read them as NULL.
    pub unreadable: u64,
    /// Numbers outside the contract's bounds, which queries clamp; times outside, which queries read as NULL.
    pub out_of_range: u64,
    /// Whether what is outside the bounds is clamped rather than NULL.
    pub clamped: bool,
    /// Codes outside the list, or partitions outside the calendar; queries pass over such rows.
    pub unknown: u64,
    /// The most frequent unknown ones, with their rows.
    pub examples: Vec<(String, u64)>,
}

impl TableReport {
    pub(super) fn new(name: &str, max_rows: u64, max_rows_per_person: u32) -> Self {
        Self {
            name: name.to_owned(),
            faults: Vec::new(),
            objections: None,
            left_out: 0,
            rows: 0,
            rows_by_partition: BTreeMap::new(),
            null_units: 0,
            persons: 0,
            persons_above: 0,
            most_rows: 0,
            max_rows_per_person,
            max_rows,
            columns: Vec::new(),
        }
    }

    fn partitions_above(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.rows_by_partition.iter().filter(|(_, rows)| **rows > self.max_rows)
    }

    /// What makes every row fall out, though each could be read.
    fn emptied(&self) -> Vec<String> {
        if self.rows == 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        if self.persons == 0 {
            found.push("no row has a unit and a partition of the contract: every query would pass over every row".to_owned());
        }
        let rest = self.columns.iter().skip(2);
        found.extend(
            rest.filter(|column| column.nulls < self.rows && column.unknown + column.unreadable >= self.rows - column.nulls)
                .map(|column| format!("column {}: no value is one of the contract's; convert it in the binding's SQL", column.name)),
        );
        found
    }
}

impl ColumnReport {
    pub(super) fn new(name: &str, found: &DataType, reading: &Reading) -> Self {
        let (name, found) = (name.to_owned(), found.to_string());
        let (expected, clamped) = (reading.expected(), matches!(reading, Reading::Number { .. }));
        Self { name, found, expected, nulls: 0, unreadable: 0, out_of_range: 0, clamped, unknown: 0, examples: Vec::new() }
    }
}

impl CheckReport {
    /// Whether queries can be answered: no faults. Rows that are passed over or clamped do not count as faults, unless all are.
    pub fn usable(&self) -> bool {
        let usable =
            |table: &TableReport| table.faults.is_empty() && table.partitions_above().next().is_none() && table.emptied().is_empty();
        self.tables.iter().all(usable)
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "data contract {}", self.contract)?;
        for table in &self.tables {
            write!(f, "{table}")?;
        }
        let verdict = if self.usable() { "queries can be answered" } else { "queries cannot be answered until the faults are mended" };
        writeln!(f, "{verdict}")
    }
}

impl fmt::Display for TableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {}: {} rows, {} persons (counted once per partition)", self.name, self.rows, self.persons)?;
        for fault in self.faults.iter().chain(&self.emptied()) {
            writeln!(f, "  FAULT {fault}")?;
        }
        if let Some(ids) = self.objections {
            writeln!(
                f,
                "  objections: {ids} unit(s) listed; {} row(s) of theirs are left out, and counted nowhere else here",
                self.left_out
            )?;
        }
        if self.objections.is_some_and(|ids| ids > 0) && self.left_out == 0 && self.rows > 0 {
            writeln!(f, "  WARNING no row is of a unit that is listed: are the ids written as in the column of the unit?")?;
        }
        if self.rows == 0 && self.faults.is_empty() {
            writeln!(f, "  WARNING there are no rows: every answer would be noise alone")?;
        }
        for (partition, rows) in self.partitions_above() {
            writeln!(f, "  FAULT partition {partition} has {rows} rows, the contract allows {}: ask for a new version", self.max_rows)?;
        }
        for (partition, rows) in &self.rows_by_partition {
            writeln!(f, "  partition {partition}: {rows} rows")?;
        }
        if self.null_units > 0 {
            writeln!(f, "  {} rows have no unit; queries pass over them", self.null_units)?;
        }
        if self.persons_above > 0 {
            let (persons, limit) = (self.persons_above, self.max_rows_per_person);
            writeln!(f, "  {persons} persons have more than {limit} row(s) (at most {}); at most {limit} in a cell count", self.most_rows)?;
        }
        for column in &self.columns {
            write!(f, "{column}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ColumnReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  column {}: {} (wanted: {})", self.name, self.found, self.expected)?;
        if self.nulls > 0 {
            write!(f, ", {} NULL", self.nulls)?;
        }
        if self.unreadable > 0 {
            write!(f, ", {} unreadable (read as NULL)", self.unreadable)?;
        }
        if self.out_of_range > 0 {
            let read = if self.clamped { "clamped" } else { "read as NULL" };
            write!(f, ", {} outside the bounds ({read})", self.out_of_range)?;
        }
        if self.unknown > 0 {
            let shown = |(text, rows): &(String, u64)| format!("{:?} ({rows})", text.chars().take(EXAMPLE_CHARS).collect::<String>());
            let examples: Vec<String> = self.examples.iter().map(shown).collect();
            write!(f, ", {} not in the contract: {}", self.unknown, examples.join(", "))?;
        }
        writeln!(f)
    }
}
