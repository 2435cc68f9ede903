//! Input that is declared sorted by person: nothing waits. One small table holds the persons that are passing, and is emptied where the person
//! changes.
//!
//! The claim is checked as far as it is used: within a reader's rows the unit never becomes smaller, and the readers' ranges do not
//! overlap, except that the last person of one may be the first of another. The first disorder ends this path, and the query begins again on
//! the radix path, silently: neither time limits nor results depend on the claim.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use super::hash::Hasher;
use super::rows::Rows;
use super::shape::{SharedShape, Totals, partition_of, text_bytes};
use super::table::Table;
use crate::read::{UnitKind, Units};

/// Persons that are held before the table is emptied: enough to make it rare, few enough for the fastest cache.
const PERSONS: usize = 128;

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
    shape: SharedShape,
    kind: UnitKind,
    hasher: Hasher,
    table: Table,
    /// The first person, who may have rows in another run, as those have who are in the table at the end.
    edge: Table,
    at_first: bool,
    first: Option<Unit>,
    last: Option<Unit>,
    /// The word and the text of the last unit.
    word: u64,
    text: Vec<u64>,
    /// The partition of the last row, and the place of its person in its table.
    passing: Option<(u32, u32)>,
    /// Rows of a batch, one behind the other.
    integers: Vec<u64>,
    totals: Totals,
}

impl SortedRun {
    /// All runs of a query have one hasher: their edges are added up in one table.
    pub(crate) fn new(shape: &SharedShape, kind: UnitKind, hasher: Hasher) -> Self {
        Self {
            shape: shape.clone(),
            kind,
            hasher,
            table: Table::new(shape.clone(), kind, hasher),
            edge: Table::new(shape.clone(), kind, hasher),
            at_first: false,
            first: None,
            last: None,
            word: 0,
            text: Vec::new(),
            passing: None,
            integers: Vec::new(),
            totals: Totals::zero(shape),
        }
    }

    /// Adds the rows of a batch.
    pub(crate) fn add(&mut self, rows: &Rows) -> Result<(), Disorder> {
        let mut integers = std::mem::take(&mut self.integers);
        integers.clear();
        match &rows.units {
            Units::Signed(units, _) => rows.integers(|row| units[row].cast_unsigned(), &mut integers),
            Units::Unsigned(units, _) => rows.integers(|row| units[row], &mut integers),
            Units::Text(texts) => rows.texts(texts, self.hasher, |row, text| self.add_rows(row, text))?,
        }
        let (words, mut rest) = (self.shape.row_words, integers.as_slice());
        while let Some(first) = rest.get(..words) {
            let same = |row: &&[u64]| row[0] == first[0] && partition_of(row[1]) == partition_of(first[1]);
            let (rows, behind) = rest.split_at(rest.chunks_exact(words).take_while(same).count() * words);
            self.add_rows(rows, &[])?;
            rest = behind;
        }
        self.integers = integers;
        Ok(())
    }

    /// Adds rows of one person.
    fn add_rows(&mut self, rows: &[u64], text: &[u64]) -> Result<(), Disorder> {
        if self.word != rows[0] || self.text != text || self.last.is_none() {
            self.next_unit(rows[0], text)?;
        }
        let partition = partition_of(rows[1]);
        let table = if self.at_first { &mut self.edge } else { &mut self.table };
        let person = match self.passing {
            Some((last, person)) if last == partition => person,
            _ => table.person(self.word, partition, &self.text),
        };
        self.passing = Some((partition, person));
        table.add_rows_of(person, rows);
        Ok(())
    }

    fn next_unit(&mut self, word: u64, text: &[u64]) -> Result<(), Disorder> {
        let unit = match self.kind {
            UnitKind::Signed => Unit::Signed(word.cast_signed()),
            UnitKind::Unsigned => Unit::Unsigned(word),
            UnitKind::Text => Unit::Text(text_bytes(text)),
        };
        if self.last.as_ref().is_some_and(|last| *last >= unit) {
            return Err(Disorder);
        }
        if self.table.len() >= PERSONS {
            self.table.total(&mut self.totals);
            self.table.clear();
        }
        self.at_first = self.first.is_none();
        if self.at_first {
            self.first = Some(unit.clone());
        }
        self.last = Some(unit);
        self.word = word;
        self.text.clear();
        self.text.extend_from_slice(text);
        self.passing = None;
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
            totals.merge(&run.totals);
            let edges = edges.get_or_insert_with(|| Table::new(run.shape, run.kind, run.hasher));
            for mut table in [run.edge, run.table] {
                let Ok(()) = table.export(|record| {
                    edges.add_group(&record[1..]);
                    Ok::<_, Infallible>(())
                });
            }
        }
        if let Some(mut edges) = edges {
            edges.total(&mut totals);
        }
        Ok(())
    }
}
