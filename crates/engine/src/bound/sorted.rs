//! Input that is declared sorted by person: nothing waits. One small table holds the persons that are passing, and is emptied where the person
//! changes.
//!
//! The claim is checked as far as it is used: within a reader's rows the unit never becomes smaller, and the readers' ranges do not
//! overlap, except that the last person of one may be the first of another. The first disorder ends this path, and the query begins again on
//! the radix path, silently: neither time limits nor results depend on the claim.

use std::sync::{Mutex, PoisonError};

use super::hash::Hasher;
use super::rows::Rows;
use super::shape::{SharedShape, Totals, partition_of};
use super::table::Table;
use crate::read::UnitKind;

/// Persons that are held before the table is emptied: enough to make it rare, few enough for the fastest cache.
const PERSONS: usize = 256;

/// A unit by which input is sorted: integers by their value, texts by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Signed(i64),
    Unsigned(u64),
    Text(Vec<u8>),
}

/// Rows were not sorted.
#[derive(Debug)]
pub(crate) struct Disorder;

/// The rows of one reader.
pub(crate) struct SortedRun {
    kind: UnitKind,
    hasher: Hasher,
    table: Table,
    /// The first and the last person, who may have rows in other runs.
    edges: Table,
    first: Option<Unit>,
    last: Option<Unit>,
    /// The word and the text of the last unit.
    word: u64,
    text: Vec<u64>,
    totals: Totals,
}

impl SortedRun {
    /// All runs of a query have one hasher: their edges are added up in one table.
    pub(crate) fn new(shape: &SharedShape, kind: UnitKind, hasher: Hasher) -> Self {
        Self {
            kind,
            hasher,
            table: Table::new(shape.clone(), kind, hasher),
            edges: Table::new(shape.clone(), kind, hasher),
            first: None,
            last: None,
            word: 0,
            text: Vec::new(),
            totals: Totals::zero(shape),
        }
    }

    /// Adds the rows of a batch.
    pub(crate) fn add(&mut self, rows: &Rows) -> Result<(), Disorder> {
        rows.each(self.hasher, |row, text| {
            if self.last.is_none() || self.word != row[0] || self.text != text {
                self.next_unit(row[0], text)?;
            }
            if self.first == self.last {
                self.edges.add_row(row, text);
                return Ok(());
            }
            match self.table.last_is(row[0], partition_of(row[1])) {
                Some(person) => self.table.add_row_of(person, row),
                None => self.table.add_row(row, text),
            }
            Ok(())
        })
    }

    fn next_unit(&mut self, word: u64, text: &[u64]) -> Result<(), Disorder> {
        let unit = match self.kind {
            UnitKind::Signed => Unit::Signed(word.cast_signed()),
            UnitKind::Unsigned => Unit::Unsigned(word),
            UnitKind::Text => {
                let mut bytes: Vec<u8> = text.iter().skip(1).flat_map(|word| word.to_le_bytes()).collect();
                bytes.truncate(text.first().map_or(0, |bytes| usize::try_from(*bytes).unwrap_or(0)));
                Unit::Text(bytes)
            }
        };
        if self.last.as_ref().is_some_and(|last| *last >= unit) {
            return Err(Disorder);
        }
        if self.table.len() >= PERSONS {
            self.table.total(&mut self.totals, |_, _| false);
            self.table.clear();
        }
        self.first.get_or_insert_with(|| unit.clone());
        self.last = Some(unit);
        self.word = word;
        self.text.clear();
        self.text.extend_from_slice(text);
        Ok(())
    }

    /// Adds up all runs of a query.
    pub(crate) fn finish(mut runs: Vec<Self>, totals: &Mutex<Totals>) -> Result<(), Disorder> {
        runs.retain(|run| run.first.is_some());
        runs.sort_by(|a, b| (&a.first, &a.last).cmp(&(&b.first, &b.last)));
        if runs.windows(2).any(|pair| pair[0].last > pair[1].first) {
            return Err(Disorder);
        }
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut edges: Option<Table> = None;
        for run in runs {
            let Self { mut table, edges: mut own, word, text, totals: counted, .. } = run;
            totals.merge(&counted);
            table.total(&mut totals, |unit, other| unit == word && other == text);
            own.add_groups_of(&mut table, |unit, other| unit == word && other == text);
            match &mut edges {
                None => edges = Some(own),
                Some(edges) => edges.add_groups_of(&mut own, |_, _| true),
            }
        }
        if let Some(mut edges) = edges {
            edges.total(&mut totals, |_, _| false);
        }
        Ok(())
    }
}
