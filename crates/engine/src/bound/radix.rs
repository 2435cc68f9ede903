//! Input in any order: rows are dealt into parts by a hash of the person, so that each part's persons fit the cache, and every part is
//! aggregated by itself (`finish`).
//!
//! Rows wait in chunks. As long as they fit, each part is aggregated once, at the end, person by person (`gather`). When memory
//! runs short, the rows of the largest parts are added to tables of their own, which grow with groups, not with rows. Where that makes little of
//! them, because persons have few rows to a group, rows go to files as they are from then on: that is less work and hardly more bytes. What a
//! table holds goes to a file too when it becomes too large. None of it changes a result: sums are exact, and see `table` for the groups that are kept.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::hash::Hasher;
use super::room::{Meter, Room};
use super::shape::{Shape, SharedShape, text_words};
use super::spill::Spill;
use super::table::Table;
use crate::read::UnitKind;

/// Parts of the data, by the highest bits of the hash. A million persons make 4,000 a part: some hundred kilobytes.
pub(super) const PARTS: usize = 256;

/// Words of a chunk when memory is plentiful.
const CHUNK_WORDS: usize = 4 * 1024;

/// Words of the smallest chunk.
const LEAST_CHUNK_WORDS: usize = 64;

/// Tables that held more than half of what their rows did, before rows go to files as they are.
const TRIED: usize = 4;

/// Rows that wait, one behind the other.
pub(super) type Chunks = Vec<Vec<u64>>;

#[derive(Default)]
pub(super) struct Part {
    chunks: Mutex<Chunks>,
    pub(super) stored: Mutex<Stored>,
    /// Bytes of chunks and table, readable without a lock.
    bytes: AtomicUsize,
}

/// What became of rows that could not wait.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) table: Option<Table>,
    /// Files of rows and of groups.
    pub(super) rows: Option<Spill>,
    pub(super) groups: Option<Spill>,
}

/// See the module.
pub(crate) struct Radix {
    pub(super) shape: SharedShape,
    pub(super) kind: UnitKind,
    pub(super) hasher: Hasher,
    pub(super) room: Room,
    pub(super) chunk_words: usize,
    pub(super) parts: Vec<Part>,
    pub(super) meter: Meter,
    /// How many tables became much smaller than their rows, and how many did not.
    small: AtomicUsize,
    large: AtomicUsize,
    /// How often rows or groups went to a file.
    spills: AtomicUsize,
}

impl Radix {
    /// `dealers`: how many readers deal rows at a time, which may be more than threads.
    pub(crate) fn new(shape: SharedShape, kind: UnitKind, room: Room, dealers: usize) -> Self {
        // The chunks that are being filled, one a part and dealer, take at most an eighth of the memory.
        let fitting = room.bytes.map_or(CHUNK_WORDS, |bytes| bytes / (64 * PARTS * dealers.max(1)));
        Self {
            shape,
            kind,
            hasher: Hasher::new(),
            chunk_words: fitting.clamp(LEAST_CHUNK_WORDS, CHUNK_WORDS),
            room,
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            meter: Meter::default(),
            small: AtomicUsize::new(0),
            large: AtomicUsize::new(0),
            spills: AtomicUsize::new(0),
        }
    }

    /// An empty table, which counts as held from here on.
    pub(super) fn table(&self) -> Table {
        let table = Table::new(self.shape.clone(), self.kind, self.hasher);
        self.meter.change(0, table.bytes());
        table
    }

    pub(super) fn take_chunk(&self, number: usize, chunk: Vec<u64>) -> io::Result<()> {
        let (part, bytes) = (&self.parts[number], chunk.capacity() * 8);
        // Counted before anybody can take it away and count that.
        part.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.meter.change(0, bytes);
        part.chunks.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
        let Some(limit) = self.room.bytes else { return Ok(()) };
        if self.meter.now() > limit - limit / 4 {
            // Down to five eighths, so that this is not done for every chunk.
            while self.meter.now() > limit / 8 * 5 {
                let Some((part, stored)) = self.largest() else { break };
                self.relieve(part, stored)?;
            }
        }
        Ok(())
    }

    /// The part that holds most, of those that nobody else is relieving.
    fn largest(&self) -> Option<(&Part, MutexGuard<'_, Stored>)> {
        let mut parts: Vec<(usize, &Part)> = self.parts.iter().map(|part| (part.bytes.load(Ordering::Relaxed), part)).collect();
        parts.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        parts.into_iter().filter(|(bytes, _)| *bytes > 0).find_map(|(_, part)| match part.stored.try_lock() {
            Ok(stored) => Some((part, stored)),
            Err(TryLockError::Poisoned(poisoned)) => Some((part, poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// Makes a part smaller. Its lock is held meanwhile, but more rows can be handed in.
    fn relieve(&self, part: &Part, mut stored: MutexGuard<'_, Stored>) -> io::Result<()> {
        let chunks = part.take_chunks();
        let before = bytes_of(&chunks) + stored.table.as_ref().map_or(0, Table::bytes);
        if stored.table.is_none() && self.rows_are_stored() {
            self.store_rows(chunks, &mut stored)?;
        } else {
            let mut table = stored.table.take().unwrap_or_else(|| self.table());
            self.add_chunks(&mut table, chunks);
            if table.bytes() > before / 2 {
                self.large.fetch_add(1, Ordering::Relaxed);
                self.store_groups(table, &mut stored)?;
            } else {
                self.small.fetch_add(1, Ordering::Relaxed);
                stored.table = Some(table);
            }
        }
        let after = stored.table.as_ref().map_or(0, Table::bytes);
        // Wrapping: the difference is mostly negative.
        part.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        Ok(())
    }

    /// Whether rows take hardly more room than their groups.
    fn rows_are_stored(&self) -> bool {
        let large = self.large.load(Ordering::Relaxed);
        large >= TRIED && large > self.small.load(Ordering::Relaxed)
    }

    /// Writes rows to the file of their part.
    pub(super) fn store_rows(&self, chunks: Chunks, stored: &mut Stored) -> io::Result<()> {
        if chunks.is_empty() {
            return Ok(());
        }
        let spill = opened(&mut stored.rows, &self.room)?;
        for chunk in chunks {
            spill.write(&[chunk.len() as u64])?;
            spill.write(&chunk)?;
            self.meter.change(chunk.capacity() * 8, 0);
        }
        self.spills.fetch_add(1, Ordering::Relaxed);
        spill.rest()
    }

    /// Writes all groups of a table to the file of its part.
    pub(super) fn store_groups(&self, mut table: Table, stored: &mut Stored) -> io::Result<()> {
        let spill = opened(&mut stored.groups, &self.room)?;
        table.export(|record| spill.write(record))?;
        self.spills.fetch_add(1, Ordering::Relaxed);
        self.meter.change(table.bytes(), 0);
        spill.rest()
    }

    pub(super) fn add_chunks(&self, table: &mut Table, chunks: Chunks) {
        for chunk in chunks {
            let (before, freed) = (table.bytes(), chunk.capacity() * 8);
            self.add_chunk(table, &chunk);
            drop(chunk);
            self.meter.change(before + freed, table.bytes());
        }
    }

    fn add_chunk(&self, table: &mut Table, chunk: &[u64]) {
        if self.kind == UnitKind::Text {
            let Ok(()) = each_row(&self.shape, self.kind, chunk, |row, text| {
                table.add_row(row, text);
                Ok::<_, Infallible>(())
            });
        } else {
            table.add_rows(chunk);
        }
    }

    /// The most bytes that were held at a time, and how often rows or groups went to a file.
    #[cfg(test)]
    pub(crate) fn used(&self) -> (usize, usize) {
        (self.meter.peak(), self.spills.load(Ordering::Relaxed))
    }
}

impl Part {
    /// The rows that wait, which still count as held.
    pub(super) fn take_chunks(&self) -> Chunks {
        std::mem::take(&mut *self.chunks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Memory that rows hold while they wait.
pub(super) fn bytes_of(chunks: &[Vec<u64>]) -> usize {
    chunks.iter().map(|chunk| chunk.capacity() * 8).sum()
}

/// Calls `take` with every row of a chunk and the text of its unit, which is empty for integers.
pub(super) fn each_row<E>(
    shape: &Shape,
    kind: UnitKind,
    chunk: &[u64],
    mut take: impl FnMut(&[u64], &[u64]) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = chunk;
    while !rest.is_empty() {
        let (row, behind) = rest.split_at(shape.row_words);
        let (text, behind) = behind.split_at(if kind == UnitKind::Text { text_words(behind) } else { 0 });
        take(row, text)?;
        rest = behind;
    }
    Ok(())
}

fn opened<'s>(spill: &'s mut Option<Spill>, room: &Room) -> io::Result<&'s mut Spill> {
    Ok(match spill {
        Some(spill) => spill,
        none => none.insert(Spill::create(&room.folder)?),
    })
}
