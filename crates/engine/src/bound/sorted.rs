//! Input that is declared sorted by person: each is bounded when all rows are there (`whole`); what waits meanwhile are rows of one person. Who has very many
//! rows, and all where there is a histogram, pass through a small table, which is emptied from time to time. A reader's first person, who may have rows in another's
//! part, has a table apart, and it and whoever is last wait there until all readers are done.
//!
//! The claim is checked as far as it is used: within a reader's rows the unit never becomes smaller, and the readers' ranges do not
//! overlap, except that the last person of one may be the first of another. The first disorder ends this path, and the query begins again on
//! the radix path, silently: neither time limits nor results depend on the claim.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use super::hash::Hasher;
use super::prf::Key;
use super::rows::{Rows, push_text};
use super::shape::{Shape, SharedShape, Totals, partition_of};
use super::table::Table;
use super::whole::Whole;
use crate::read::{UnitKind, Units};

/// Persons that the table holds before it is emptied: enough to make it rare, few enough for the fastest cache.
const PERSONS: usize = 128;

/// Most rows of one person that wait for the others.
const MOST_WAITING: usize = 1 << 16;

/// A unit by which input is sorted: integers by their value, texts by their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Signed(i64),
    Unsigned(u64),
    Text(String),
}

/// Rows were not sorted.
#[derive(Debug)]
pub(crate) struct Disorder;

/// The rows of one reader.
pub(crate) struct SortedRun {
    shape: SharedShape,
    kind: UnitKind,
    hasher: Hasher,
    whole: Option<Whole>,
    table: Table,
    /// The first person, who may have rows in another run, as may whoever is in `table` or waits at the end.
    edge: Table,
    at_first: bool,
    first: Option<Unit>,
    last: Option<Unit>,
    /// The word and the text of the last unit.
    word: u64,
    text: Vec<u64>,
    /// The partition of the last row, and the place of its person in its table.
    passing: Option<(u32, u32)>,
    /// Where in a batch another person begins.
    turns: Vec<usize>,
    /// Rows of the last unit, unless they are in a table.
    waiting: Vec<u64>,
    totals: Totals,
}

impl SortedRun {
    /// Whether questions of this shape have this path.
    pub(crate) fn serves(shape: &Shape) -> bool {
        Whole::fits(shape)
    }

    /// All runs of a query have one hasher: their edges are added up in one table.
    pub(crate) fn new(shape: &SharedShape, kind: UnitKind, hasher: Hasher) -> Self {
        Self {
            shape: shape.clone(),
            kind,
            hasher,
            whole: shape.bin_lanes.is_empty().then(|| Whole::new(shape.clone())),
            table: Table::new(shape.clone(), kind, hasher),
            edge: Table::new(shape.clone(), kind, hasher),
            at_first: false,
            first: None,
            last: None,
            word: 0,
            text: Vec::new(),
            passing: None,
            turns: Vec::new(),
            waiting: Vec::new(),
            totals: Totals::zero(shape),
        }
    }

    /// Adds the rows of a batch.
    pub(crate) fn add(&mut self, rows: &Rows) -> Result<(), Disorder> {
        let shape = SharedShape::clone(&self.shape);
        let signed = |unit: i64, partition| Unit::Signed(unit).key(&shape, partition);
        let unsigned = |unit: u64, partition| Unit::Unsigned(unit).key(&shape, partition);
        match &rows.units {
            Units::Signed(units, _) => self.add_units(rows, &rows.kept.of(units), Unit::Signed, signed),
            Units::Unsigned(units, _) => self.add_units(rows, &rows.kept.of(units), Unit::Unsigned, unsigned),
            Units::Text(texts) => {
                let mut units = Vec::new();
                rows.kept.each(|row| units.push(texts.get(row).unwrap_or("")));
                let key = |unit: &str, partition| shape.text_key(unit.as_bytes(), partition);
                self.add_units(rows, &units, |unit| Unit::Text(unit.to_owned()), key)
            }
        }
    }

    /// Adds rows with these units. `named` makes a unit last longer than the batch, `key` gives the key of its person in a partition.
    fn add_units<U: Copy + Ord>(
        &mut self,
        rows: &Rows,
        units: &[U],
        named: impl Fn(U) -> Unit,
        key: impl Fn(U, u32) -> Key,
    ) -> Result<(), Disorder> {
        let (rows, words, mut room) = (rows.without_units(), self.shape.row_words - 1, std::mem::take(&mut self.turns));
        self.whole.iter_mut().for_each(|whole| whole.reserve(units.len(), &mut self.totals));
        for ends in turns(units, &mut room).windows(2) {
            let (start, end, unit) = (ends[0], ends[1], units[ends[0]]);
            if start > 0 && units[start - 1] > unit {
                return Err(Disorder);
            }
            let rows = &rows[start * words..end * words];
            match &mut self.whole {
                // Whoever is first or last in a batch may have rows in another one.
                Some(whole) if start > 0 && end < units.len() => {
                    whole.add_person(rows, end - start, &mut self.totals, |partition| key(unit, partition));
                }
                _ => {
                    self.turn(named(unit))?;
                    self.wait(rows);
                }
            }
        }
        self.turns = room;
        Ok(())
    }

    /// The next rows are this unit's.
    fn turn(&mut self, unit: Unit) -> Result<(), Disorder> {
        match &self.last {
            Some(last) if *last == unit => return Ok(()),
            Some(last) if *last > unit => return Err(Disorder),
            _ => {}
        }
        self.end_waiting();
        if self.table.len() >= PERSONS {
            self.table.total(&mut self.totals);
            self.table.clear();
        }
        self.at_first = self.first.is_none();
        if self.at_first {
            self.first = Some(unit.clone());
        }
        (self.word, self.text) = unit.words(self.hasher);
        self.last = Some(unit);
        self.passing = None;
        Ok(())
    }

    /// Takes rows of the last unit, without it, of which there may be more in the next batch.
    fn wait(&mut self, rows: &[u64]) {
        let most = MOST_WAITING * (self.shape.row_words - 1);
        if self.whole.is_some() && !self.at_first && self.passing.is_none() && self.waiting.len() + rows.len() <= most {
            return self.waiting.extend_from_slice(rows);
        }
        self.pass_waiting();
        self.add_passing(rows);
    }

    /// All rows of the last unit are there.
    fn end_waiting(&mut self) {
        if let (Some(whole), Some(last)) = (&mut self.whole, &self.last)
            && !self.waiting.is_empty()
        {
            let number = self.waiting.len() / (self.shape.row_words - 1);
            whole.add_person(&self.waiting, number, &mut self.totals, |partition| last.key(&self.shape, partition));
            self.waiting.clear();
        }
    }

    /// What waits goes to a table.
    fn pass_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        self.add_passing(&waiting);
        waiting.clear();
        self.waiting = waiting;
    }

    /// Adds rows of the last unit, without it.
    fn add_passing(&mut self, rows: &[u64]) {
        let table = if self.at_first { &mut self.edge } else { &mut self.table };
        for row in rows.chunks_exact(self.shape.row_words - 1) {
            let partition = partition_of(row[0]);
            let person = match self.passing {
                Some((last, person)) if last == partition => person,
                _ => table.person(self.word, partition, &self.text),
            };
            self.passing = Some((partition, person));
            table.add_row_of(person, row);
        }
    }

    /// Adds up all runs of a query.
    pub(crate) fn finish(mut runs: Vec<Self>, totals: &Mutex<Totals>) -> Result<(), Disorder> {
        runs.retain(|run| run.first.is_some());
        // The last one may have rows in another run.
        runs.iter_mut().for_each(Self::pass_waiting);
        runs.sort_by(|a, b| (&a.first, &a.last).cmp(&(&b.first, &b.last)));
        if runs.windows(2).any(|pair| pair[0].last > pair[1].first) {
            return Err(Disorder);
        }
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut edges: Option<Table> = None;
        for run in runs {
            totals.merge(&run.totals);
            run.whole.iter().for_each(|whole| whole.total(&mut totals));
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

/// Where another unit begins than that of the row before, the first row included, and the number of rows.
fn turns<'t, U: Copy + PartialEq>(units: &[U], turns: &'t mut Vec<usize>) -> &'t [usize] {
    turns.resize(turns.len().max(units.len() + 2), 0);
    let mut found = 1;
    for (pair, row) in units.windows(2).zip(1..) {
        // Written for every row and kept for some: a branch would be guessed wrong once a person.
        turns[found] = row;
        found += usize::from(pair[0] != pair[1]);
    }
    turns[found] = units.len();
    if units.is_empty() { &[] } else { &turns[..=found] }
}

impl Unit {
    /// The key of its person in a partition.
    fn key(&self, shape: &Shape, partition: u32) -> Key {
        match self {
            Self::Signed(unit) => shape.person_key(UnitKind::Signed, unit.cast_unsigned(), &[], partition),
            Self::Unsigned(unit) => shape.person_key(UnitKind::Unsigned, *unit, &[], partition),
            Self::Text(text) => shape.text_key(text.as_bytes(), partition),
        }
    }

    /// Its word and its text, as rows and tables have them.
    fn words(&self, hasher: Hasher) -> (u64, Vec<u64>) {
        match self {
            Self::Signed(unit) => (unit.cast_unsigned(), Vec::new()),
            Self::Unsigned(unit) => (*unit, Vec::new()),
            Self::Text(text) => {
                let mut words = Vec::new();
                push_text(text, &mut words);
                (hasher.text(&words), words)
            }
        }
    }
}
