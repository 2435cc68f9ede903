//! Brings the rows of all parts together by person, and runs the program over them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::StringViewArray;
use arrow::buffer::ScalarBuffer;
use commun_domain::calendar::Period;
use commun_domain::plan::relation::MAX_ROWS_AT_ONCE;

use super::evaluate::{Persons, cost};
use super::frame::Frame;
use super::kept::Kept;
use super::record::{content_words, push_content, push_unit, unit_bytes, unit_words, value_of};
use super::runs::Runs;
use crate::bound::{Dealer, Hasher, Meter, Radix, Room};
use crate::eval::Ints;
use crate::lower::{Columns, Lowering, Program, Sourced};
use crate::read::{Texts, UnitKind, Units};

/// Parts of the data by a hash of the person.
const SHARDS: usize = 16;

/// Words that a sender collects for a shard before it hands them in.
const CHUNK_WORDS: usize = 4 * 1024;

/// Rows that a program is given or makes at a time, about: whole persons, at least one.
const ROWS_AT_A_TIME: usize = 16 * 1024;

/// See the module.
pub(crate) struct Stage {
    lowering: Arc<Lowering>,
    kind: UnitKind,
    hasher: Hasher,
    /// What rows may take here. What comes out goes on to be bounded, which has as much again.
    room: Room,
    shards: Vec<Mutex<Runs>>,
    meter: Meter,
}

/// Hands in the rows of one reader.
pub(crate) struct Sender {
    stage: Arc<Stage>,
    chunks: Vec<Vec<u64>>,
}

impl Stage {
    pub(crate) fn new(lowering: Arc<Lowering>, kind: UnitKind, room: Room) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { lowering, kind, hasher: Hasher::new(), room, shards, meter: Meter::default() }
    }

    fn take(&self, number: usize, chunk: &[u64]) -> io::Result<()> {
        let mut shard = self.shards[number].lock().unwrap_or_else(PoisonError::into_inner);
        let before = shard.bytes();
        shard.extend(chunk);
        self.meter.change(before, shard.bytes());
        drop(shard);
        let Some(limit) = self.room.bytes else { return Ok(()) };
        while self.meter.now() > limit / 2 {
            // Growing takes twice the room for a moment, hence the half.
            let held = |shard: &Mutex<Runs>| shard.lock().unwrap_or_else(PoisonError::into_inner).bytes();
            let Some((most, largest)) = self.shards.iter().map(held).zip(0..).max() else { break };
            if most == 0 {
                break;
            }
            let mut shard = self.shards[largest].lock().unwrap_or_else(PoisonError::into_inner);
            let before = shard.bytes();
            shard.spill(&self.room.folder)?;
            self.meter.change(before, shard.bytes());
        }
        Ok(())
    }

    /// Runs the program over everything that was handed in, and deals what comes out to be bounded.
    pub(crate) fn finish(&self, radix: &Arc<Radix>) -> io::Result<()> {
        let Some(program) = &self.lowering.inputs.program else { return Ok(()) };
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let work = || -> io::Result<()> {
                let mut dealer = Dealer::new(Arc::clone(radix));
                while let Some(shard) = self.shards.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let runs = std::mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner));
                    let held = runs.bytes();
                    let mut passing = Passing::new(self, program, &mut dealer);
                    runs.each(|record| passing.add(record))?;
                    passing.end_person()?;
                    passing.run()?;
                    self.meter.change(held, 0);
                }
                dealer.finish()
            };
            let workers: Vec<_> = (0..self.room.threads.clamp(1, SHARDS)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a worker stopped"))?)
        })
    }
}

impl Sender {
    pub(crate) fn new(stage: Arc<Stage>) -> Self {
        Self { stage, chunks: vec![Vec::new(); SHARDS] }
    }

    /// Hands in the rows of a leaf of a part.
    pub(crate) fn send(&mut self, part: usize, sourced: &Sourced<'_>) -> io::Result<()> {
        let Some(names) = self.stage.lowering.inputs.program.as_ref().and_then(|program| program.parts.get(part)) else { return Ok(()) };
        let column = |name: &String| sourced.columns.find(name).unwrap_or_else(|| Ints::null(sourced.rows));
        let columns: Vec<Ints> = names.iter().map(column).collect();
        let mut record = Vec::new();
        for row in 0..sourced.rows {
            if sourced.kept.as_ref().is_some_and(|kept| !kept.value(row)) {
                continue;
            }
            record.clear();
            record.push(0);
            push_unit(&sourced.units, row, &mut record);
            let hash = self.stage.hasher.text(&record[1..]);
            record.push(sourced.partitions.number(row).cast_unsigned());
            record.push(part as u64);
            push_content(columns.iter(), row, &mut record);
            record[0] = record.len() as u64 - 1;
            let number = usize::try_from(hash >> (64 - SHARDS.trailing_zeros())).unwrap_or(0);
            let chunk = &mut self.chunks[number];
            chunk.extend_from_slice(&record);
            if chunk.len() >= CHUNK_WORDS {
                self.stage.take(number, chunk)?;
                chunk.clear();
            }
        }
        Ok(())
    }

    /// Hands in what is left.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.chunks.iter().enumerate().try_for_each(|(number, chunk)| self.stage.take(number, chunk))
    }
}

/// One person in one partition.
struct Who {
    unit: Vec<u64>,
    partition: u64,
}

/// Persons that are passing: those of the next run of the program, and one whose rows are coming.
struct Passing<'s, 'd> {
    stage: &'s Stage,
    program: &'s Program,
    dealer: &'d mut Dealer,
    now: Option<Who>,
    kept: Vec<Kept>,
    persons: Vec<Who>,
    /// Of each part the contents of its rows and, of each person, where they end.
    contents: Vec<(Vec<u64>, Vec<usize>)>,
    cost: usize,
}

impl<'s, 'd> Passing<'s, 'd> {
    fn new(stage: &'s Stage, program: &'s Program, dealer: &'d mut Dealer) -> Self {
        let most = MAX_ROWS_AT_ONCE as usize;
        let kept = program.parts.iter().map(|columns| Kept::new(most, content_words(columns.len()))).collect();
        let contents = program.parts.iter().map(|_| (Vec::new(), vec![0])).collect();
        Self { stage, program, dealer, now: None, kept, persons: Vec::new(), contents, cost: 0 }
    }

    fn add(&mut self, record: &[u64]) -> io::Result<()> {
        let (unit, rest) = record.split_at(unit_words(record, self.stage.kind));
        let (head, content) = rest.split_at(2);
        let same = |who: &Who| who.partition == head[0] && who.unit == unit;
        if !self.now.as_ref().is_some_and(same) {
            self.end_person()?;
            self.now = Some(Who { unit: unit.to_vec(), partition: head[0] });
        }
        let part = usize::try_from(head[1]).unwrap_or(usize::MAX);
        if let (Some(kept), Some(who)) = (self.kept.get_mut(part), &self.now) {
            kept.add(content, || self.stage.key_of(who).side(u32::try_from(part).unwrap_or(0) | PART));
        }
        Ok(())
    }

    /// All rows of the person have come.
    fn end_person(&mut self) -> io::Result<()> {
        let Some(who) = self.now.take() else { return Ok(()) };
        let rows: Vec<usize> = self.kept.iter().map(Kept::len).collect();
        for ((kept, rows), (contents, ends)) in self.kept.iter_mut().zip(&rows).zip(&mut self.contents) {
            kept.take(contents);
            ends.push(ends.last().copied().unwrap_or(0) + rows);
        }
        self.persons.push(who);
        self.cost += cost(&self.program.root, &rows) + rows.iter().sum::<usize>();
        if self.cost >= ROWS_AT_A_TIME { self.run() } else { Ok(()) }
    }

    /// Runs the program over the persons that wait.
    fn run(&mut self) -> io::Result<()> {
        let persons = std::mem::take(&mut self.persons);
        self.cost = 0;
        if persons.is_empty() {
            return Ok(());
        }
        let frame = |(names, (contents, ends)): (&Vec<String>, &mut (Vec<u64>, Vec<usize>))| {
            let (contents, starts) = (std::mem::take(contents), std::mem::replace(ends, vec![0]));
            let (columns, rows) = (names.len(), starts.last().copied().unwrap_or(0));
            let width = content_words(columns);
            let column = |number: usize| Ints::from_rows(rows, |row| value_of(&contents[row * width..][..width], columns, number));
            Frame { columns: names.iter().enumerate().map(|(number, name)| (name.clone(), column(number))).collect(), starts }
        };
        let parts = self.program.parts.iter().zip(&mut self.contents).map(frame).collect();
        let key = |person: usize| self.stage.key_of(&persons[person]);
        let result = Persons { parts, key: &key }.evaluate(&self.program.root);
        self.dealer.deal(&self.stage.lowering.rows(sourced(result, &persons, self.stage.kind)))
    }
}

/// Distinguishes the choice of a part's rows from that of a join's.
const PART: u32 = 1 << 31;

impl Stage {
    /// The key of a person's choice of rows.
    fn key_of(&self, who: &Who) -> crate::bound::PrfKey {
        let partitions = self.lowering.partitions();
        let period = usize::try_from(who.partition).ok().and_then(|place| partitions.get(place).copied()).unwrap_or(Period(0));
        self.lowering.query_key().of_person(period, &unit_bytes(&who.unit, self.kind))
    }
}

/// A result as rows of a relation.
fn sourced(frame: Frame, persons: &[Who], kind: UnitKind) -> Sourced<'static> {
    let rows = frame.rows();
    let mut whose = Vec::with_capacity(rows);
    for (person, range) in frame.ranges().enumerate() {
        whose.resize(range.end, person);
    }
    let word = |person: &usize| persons[*person].unit.first().copied().unwrap_or(0);
    let units = match kind {
        UnitKind::Signed => Units::Signed(whose.iter().map(|person| word(person).cast_signed()).collect::<ScalarBuffer<i64>>(), None),
        UnitKind::Unsigned => Units::Unsigned(whose.iter().map(word).collect::<ScalarBuffer<u64>>(), None),
        UnitKind::Text => {
            let texts: Vec<String> = persons.iter().map(|who| String::from_utf8_lossy(&unit_bytes(&who.unit, kind)).into_owned()).collect();
            Units::Text(Texts::View(StringViewArray::from_iter_values(whose.iter().map(|person| texts[*person].as_str()))))
        }
    };
    let partition = |row: usize| i64::try_from(persons[whose[row]].partition).ok();
    let partitions = Ints::from_rows(rows, partition);
    Sourced { rows, units, partitions, kept: None, columns: Columns::Computed(frame.columns) }
}
