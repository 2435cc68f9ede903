//! Input in any order: rows are dealt into parts by a hash of the person, so that each part's persons fit the cache, and every part is
//! aggregated by itself.
//!
//! Rows wait in chunks. As long as they fit, each part is aggregated once, at the end, in one table that stays in the cache. When memory
//! runs short, waiting rows are added to their part's own table, which is smaller: it grows with groups, not with rows. When that does not
//! suffice, a part's groups go to a file (`spill`) and its table begins anew; at the end the file's groups are added up again, dealt finer
//! if they are too many (`merge`). None of it changes a result: sums are exact, and see `table` for the groups that are kept.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::hash::Hasher;
use super::merge::Merge;
use super::shape::{SharedShape, Totals, text_words};
use super::spill::Spill;
use super::table::Table;
use crate::read::UnitKind;

/// Parts of the data, by the highest bits of the hash. A million persons make 4,000 a part: some hundred kilobytes.
pub(super) const PARTS: usize = 256;

/// Words of a chunk when memory is plentiful.
const CHUNK_WORDS: usize = 4 * 1024;

/// Words of the smallest chunk.
const LEAST_CHUNK_WORDS: usize = 64;

/// What bounding may use of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Most memory; `None` sets no limit.
    pub(crate) bytes: Option<usize>,
    /// Where what does not fit goes.
    pub(crate) folder: PathBuf,
    pub(crate) threads: usize,
}

/// Bytes that are held now, and the most that were.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Meter {
    /// From one size of something to another.
    pub(crate) fn change(&self, before: usize, after: usize) {
        // Wrapping: the difference may be negative.
        let difference = after.wrapping_sub(before);
        let now = self.now.fetch_add(difference, Ordering::Relaxed).wrapping_add(difference);
        if after > before {
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct Part {
    chunks: Vec<Vec<u64>>,
    table: Option<Table>,
    spill: Option<Spill>,
}

/// See the module.
pub(crate) struct Radix {
    shape: SharedShape,
    kind: UnitKind,
    pub(super) hasher: Hasher,
    room: Room,
    pub(super) chunk_words: usize,
    parts: Vec<Mutex<Part>>,
    /// Bytes that each part holds, readable without its lock.
    part_bytes: Vec<AtomicUsize>,
    meter: Meter,
    /// How often a part's groups went to a file.
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
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            part_bytes: (0..PARTS).map(|_| AtomicUsize::new(0)).collect(),
            meter: Meter::default(),
            spills: AtomicUsize::new(0),
        }
    }

    /// An empty table, which counts as held from here on.
    fn table(&self) -> Table {
        let table = Table::new(self.shape.clone(), self.kind, self.hasher);
        self.meter.change(0, table.bytes());
        table
    }

    pub(super) fn take_chunk(&self, number: usize, chunk: Vec<u64>) -> io::Result<()> {
        let bytes = chunk.capacity() * 8;
        let mut part = self.parts[number].lock().unwrap_or_else(PoisonError::into_inner);
        part.chunks.push(chunk);
        self.meter.change(0, bytes);
        self.part_bytes[number].fetch_add(bytes, Ordering::Relaxed);
        drop(part);
        let Some(limit) = self.room.bytes else { return Ok(()) };
        if self.meter.now() <= limit - limit / 4 {
            return Ok(());
        }
        // Down to five eighths, so that this is not done for every chunk.
        while self.meter.now() > limit / 8 * 5 {
            let held = self.part_bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed));
            let Some((most, largest)) = held.zip(0..).max() else { break };
            if most == 0 {
                break;
            }
            self.relieve(largest)?;
        }
        Ok(())
    }

    /// Makes a part smaller: by adding its rows up, or, when that brought little, by writing its groups to its file.
    fn relieve(&self, number: usize) -> io::Result<()> {
        let mut part = self.parts[number].lock().unwrap_or_else(PoisonError::into_inner);
        let before = part.bytes();
        let mut table = part.table.take().unwrap_or_else(|| self.table());
        self.add_chunks(&mut table, std::mem::take(&mut part.chunks));
        if table.bytes() > before / 2 {
            self.export(table, &mut part)?;
        } else {
            part.table = Some(table);
        }
        // Wrapping: the difference is mostly negative.
        self.part_bytes[number].fetch_add(part.bytes().wrapping_sub(before), Ordering::Relaxed);
        Ok(())
    }

    /// Writes all groups of a table to the file of its part.
    fn export(&self, mut table: Table, part: &mut Part) -> io::Result<()> {
        let spill = match &mut part.spill {
            Some(spill) => spill,
            none => none.insert(Spill::create(&self.room.folder)?),
        };
        table.export(|record| spill.write(record))?;
        spill.rest()?;
        self.spills.fetch_add(1, Ordering::Relaxed);
        self.meter.change(table.bytes(), 0);
        Ok(())
    }

    fn add_chunks(&self, table: &mut Table, chunks: Vec<Vec<u64>>) {
        for chunk in chunks {
            let (before, freed) = (table.bytes(), chunk.capacity() * 8);
            self.add_chunk(table, &chunk);
            drop(chunk);
            self.meter.change(before + freed, table.bytes());
        }
    }

    fn add_chunk(&self, table: &mut Table, chunk: &[u64]) {
        if self.kind == UnitKind::Text {
            let (words, mut rest) = (self.shape.row_words, chunk);
            while !rest.is_empty() {
                let (row, behind) = rest.split_at(words);
                let (text, behind) = behind.split_at(text_words(behind));
                table.add_row(row, text);
                rest = behind;
            }
        } else {
            table.add_rows(chunk);
        }
    }

    /// Adds up everything that the dealers have finished.
    pub(crate) fn finish(&self, totals: &Mutex<Totals>) -> io::Result<()> {
        let threads = self.room.threads.clamp(1, PARTS);
        let next = AtomicUsize::new(0);
        let mut spilled = Vec::new();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work(&next, totals))).collect();
            for worker in workers {
                spilled.extend(worker.join().map_err(|_| io::Error::other("a worker stopped"))??);
            }
            Ok::<_, io::Error>(())
        })?;
        // Only now, when nothing else is in memory.
        let next = AtomicUsize::new(0);
        let room = self.room.bytes.map_or(usize::MAX, |bytes| bytes / 8 * 5 / threads);
        let Self { shape, kind, hasher, room: Room { folder, .. }, meter, .. } = self;
        let merge = Merge { shape, kind: *kind, hasher: *hasher, folder, room, meter, totals };
        std::thread::scope(|scope| {
            let work = || -> io::Result<()> {
                while let Some(number) = spilled.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    let part = std::mem::take(&mut *self.parts[number].lock().unwrap_or_else(PoisonError::into_inner));
                    part.spill.map_or(Ok(()), |spill| merge.run(spill, 1))?;
                }
                Ok(())
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a worker stopped"))?)
        })
    }

    /// Adds up parts that fit the memory. What is left in memory of the others goes to their files; they are returned.
    fn work(&self, next: &AtomicUsize, totals: &Mutex<Totals>) -> io::Result<Vec<usize>> {
        let mut spilled = Vec::new();
        let mut mine = Totals::zero(&self.shape);
        let mut table = self.table();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = self.parts.get(number) else { break };
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            let (chunks, started) = (std::mem::take(&mut part.chunks), part.table.take());
            if part.spill.is_some() {
                let mut started = started.unwrap_or_else(|| self.table());
                self.add_chunks(&mut started, chunks);
                self.export(started, &mut part)?;
                spilled.push(number);
                continue;
            }
            if let Some(started) = started {
                self.meter.change(table.bytes(), 0);
                table = started;
            }
            self.add_chunks(&mut table, chunks);
            table.total(&mut mine);
            let before = table.bytes();
            table.clear();
            self.meter.change(before, table.bytes());
        }
        self.meter.change(table.bytes(), 0);
        totals.lock().unwrap_or_else(PoisonError::into_inner).merge(&mine);
        Ok(spilled)
    }

    /// The most bytes that were held at a time, and how often groups went to a file.
    #[cfg(test)]
    pub(crate) fn used(&self) -> (usize, usize) {
        (self.meter.peak(), self.spills.load(Ordering::Relaxed))
    }
}

impl Part {
    fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * 8).sum::<usize>() + self.table.as_ref().map_or(0, Table::bytes)
    }
}
