//! Adds up the groups and rows of files: in one go if they fit, else dealt into finer parts by the next bits of the hash, some of which go to files again.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::hash::Hasher;
use super::radix::each_row;
use super::room::Meter;
use super::shape::{SharedShape, Totals, partition_of};
use super::spill::Spill;
use super::table::Table;
use crate::read::UnitKind;

/// Finer parts of a part.
const FINER: usize = 16;

/// Bits of the hash that chose the part, and those of every step below.
const FIRST_BITS: u32 = 8;
const FINER_BITS: u32 = FINER.trailing_zeros();

/// Steps; below them a table may be as large as it likes, which 2^28 parts do not come to.
const MAX_DEPTH: u32 = 5;

/// See the module.
pub(super) struct Merge<'a> {
    pub(super) shape: &'a SharedShape,
    pub(super) kind: UnitKind,
    pub(super) hasher: Hasher,
    pub(super) folder: &'a Path,
    /// Most bytes of all tables of one step.
    pub(super) room: usize,
    pub(super) meter: &'a Meter,
    pub(super) totals: &'a Mutex<Totals>,
}

/// The finer parts of one step.
struct Step {
    tables: Vec<Table>,
    spills: Vec<Option<Spill>>,
    sizes: Vec<usize>,
    held: usize,
}

impl Step {
    /// Takes note of the size of a table.
    fn measure(&mut self, number: usize, meter: &Meter) {
        let (before, after) = (self.sizes[number], self.tables[number].bytes());
        if before != after {
            self.held = self.held - before + after;
            self.sizes[number] = after;
            meter.change(before, after);
        }
    }
}

impl Merge<'_> {
    fn table(&self) -> Table {
        Table::new(self.shape.clone(), self.kind, self.hasher)
    }

    /// Adds up the files of a part. `depth` counts the steps from 1.
    pub(super) fn run(&self, rows: Option<Spill>, groups: Option<Spill>, depth: u32) -> io::Result<()> {
        let mut step = Step {
            tables: (0..FINER).map(|_| self.table()).collect(),
            spills: (0..FINER).map(|_| None).collect(),
            sizes: vec![0; FINER],
            held: 0,
        };
        (0..FINER).for_each(|number| step.measure(number, self.meter));
        if let Some(rows) = rows {
            rows.read::<io::Error>(|chunk| {
                each_row(self.shape, self.kind, chunk, |row, text| {
                    let hash = self.hasher.person(row[row.len() - 1], partition_of(row[0]));
                    self.add(&mut step, hash, depth, |table| table.add_row(row, text))
                })
            })?;
        }
        if let Some(groups) = groups {
            groups.read::<io::Error>(|record| self.add(&mut step, self.hasher.group(record), depth, |table| table.add_group(record)))?;
        }
        for number in 0..FINER {
            if step.spills[number].is_some() {
                self.export(&mut step, number)?;
            } else {
                step.tables[number].total(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
        self.meter.change(step.held, 0);
        let Step { tables, spills, .. } = step;
        drop(tables);
        spills.into_iter().flatten().try_for_each(|spill| self.run(None, Some(spill), depth + 1))
    }

    /// Adds something to the table of a finer part, and makes room if that is too much.
    fn add(&self, step: &mut Step, hash: u64, depth: u32, add: impl FnOnce(&mut Table)) -> io::Result<()> {
        let number = usize::try_from(hash >> (64 - FIRST_BITS - depth * FINER_BITS)).unwrap_or(0) & (FINER - 1);
        add(&mut step.tables[number]);
        step.measure(number, self.meter);
        while step.held > self.room && depth < MAX_DEPTH {
            let Some((_, largest)) = step.sizes.iter().copied().zip(0..).max() else { break };
            if step.tables[largest].len() == 0 {
                break;
            }
            self.export(step, largest)?;
        }
        Ok(())
    }

    /// Writes a finer part's groups to its file; its table begins anew.
    fn export(&self, step: &mut Step, number: usize) -> io::Result<()> {
        let file = match &mut step.spills[number] {
            Some(file) => file,
            none => none.insert(Spill::create(self.folder)?),
        };
        step.tables[number].export(|record| file.write(record))?;
        file.rest()?;
        step.tables[number] = self.table();
        step.measure(number, self.meter);
        Ok(())
    }
}
