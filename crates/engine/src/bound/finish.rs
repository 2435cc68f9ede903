//! Adds up the parts that rows were dealt into (`radix`).
//!
//! First those that are in memory, or whose rows come back from their file into memory. Then, when nothing else is in memory, those of which there are
//! groups in files, or too many rows (`merge`).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::gather::Gather;
use super::merge::Merge;
use super::radix::{Chunks, PARTS, Radix, Stored, bytes_of};
use super::shape::Totals;
use super::spill::Spill;
use super::table::Table;

/// How many rows a person has when memory is asked for: as few as can be, then more.
const ROWS_PER_PERSON: [usize; 2] = [1, 16];

/// What a thread adds up with.
struct Worker {
    totals: Totals,
    table: Table,
    gather: Option<Gather>,
}

impl Radix {
    /// Adds up everything that the dealers have finished.
    pub(crate) fn finish(&self, totals: &Mutex<Totals>) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        let left: Vec<Vec<Stored>> = self.on_threads(|| self.add_parts(&next, totals))?;
        let left: Vec<Mutex<Option<Stored>>> = left.into_iter().flatten().map(|stored| Mutex::new(Some(stored))).collect();
        let next = AtomicUsize::new(0);
        let room = self.room.bytes.map_or(usize::MAX, |bytes| bytes / 8 * 5 / self.threads());
        let Self { shape, kind, hasher, meter, .. } = self;
        let merge = Merge { shape, kind: *kind, hasher: *hasher, folder: &self.room.folder, room, meter, totals };
        self.on_threads(|| {
            while let Some(stored) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.room.go_on()?;
                if let Some(Stored { rows, groups, .. }) = stored.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    merge.run(rows, groups, 1)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn threads(&self) -> usize {
        self.room.threads.clamp(1, PARTS)
    }

    /// Does something on every thread.
    fn on_threads<T: Send>(&self, work: impl Fn() -> io::Result<T> + Sync) -> io::Result<Vec<T>> {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads()).map(|_| scope.spawn(&work)).collect();
            workers.into_iter().map(|worker| worker.join().map_err(|_| io::Error::other("a worker stopped"))?).collect()
        })
    }

    /// Adds up parts that fit the memory. What is left in memory of the others goes to their files, which are returned.
    fn add_parts(&self, next: &AtomicUsize, totals: &Mutex<Totals>) -> io::Result<Vec<Stored>> {
        let gather = Gather::serves(&self.shape, self.kind).then(|| Gather::new(self.shape.clone(), self.kind, self.hasher));
        let mut worker = Worker { totals: Totals::zero(&self.shape), table: self.table(), gather };
        self.meter.change(0, worker.gather.as_ref().map_or(0, Gather::bytes));
        let mut left = Vec::new();
        while let Some(part) = self.parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            self.room.go_on()?;
            let stored = std::mem::take(&mut *part.stored.lock().unwrap_or_else(PoisonError::into_inner));
            left.extend(self.add_part(part.take_chunks(), stored, &mut worker)?);
        }
        let Worker { totals: mut mine, table, gather } = worker;
        self.meter.change(table.bytes() + gather.as_ref().map_or(0, Gather::bytes), 0);
        if let Some(gather) = gather {
            gather.total(&mut mine);
        }
        totals.lock().unwrap_or_else(PoisonError::into_inner).merge(&mine);
        Ok(left)
    }

    /// Adds up a part, or returns what is left of it in files.
    fn add_part(&self, mut chunks: Chunks, mut stored: Stored, worker: &mut Worker) -> io::Result<Option<Stored>> {
        let files = stored.groups.is_some() || stored.rows.is_some();
        if files && let Some(table) = stored.table.take() {
            self.store_groups(table, &mut stored)?;
        }
        if stored.groups.is_some() || !self.read_rows(&mut stored.rows, &mut chunks)? {
            self.store_rows(chunks, &mut stored)?;
            return Ok(Some(stored));
        }
        if stored.table.is_none() {
            let Some(back) = self.gather(chunks, worker) else { return Ok(None) };
            chunks = back;
        }
        if let Some(started) = stored.table {
            self.meter.change(worker.table.bytes(), 0);
            worker.table = started;
        }
        self.add_chunks(&mut worker.table, chunks);
        worker.table.total(&mut worker.totals);
        let before = worker.table.bytes();
        worker.table.clear();
        self.meter.change(before, worker.table.bytes());
        Ok(None)
    }

    /// Reads a file of rows if they fit the memory, and says whether none are left in it.
    fn read_rows(&self, spill: &mut Option<Spill>, chunks: &mut Chunks) -> io::Result<bool> {
        let Some(bytes) = spill.as_ref().map(Spill::bytes) else { return Ok(true) };
        // Once more, for putting them into the order of persons.
        let fits = self.room.bytes.is_none_or(|limit| self.meter.now().saturating_add(bytes.saturating_mul(2)) <= limit);
        if !fits || !self.meter.take(bytes, self.room.bytes) {
            return Ok(false);
        }
        let Some(spill) = spill.take() else { return Ok(true) };
        let held = bytes_of(chunks);
        spill.read::<io::Error>(|chunk| {
            chunks.push(chunk.to_vec());
            Ok(())
        })?;
        self.meter.change(bytes, bytes_of(chunks) - held);
        Ok(true)
    }

    /// Adds up rows person by person; gives them back where that cannot be done or there is no memory for it.
    fn gather(&self, mut chunks: Chunks, worker: &mut Worker) -> Option<Chunks> {
        let Some(gather) = &mut worker.gather else { return Some(chunks) };
        for rows_per_person in ROWS_PER_PERSON {
            let (before, most) = (gather.bytes(), gather.bytes_for(&chunks, rows_per_person));
            if !self.meter.take(most - before, self.room.bytes) {
                continue;
            }
            let waited = bytes_of(&chunks);
            let outcome = gather.add(chunks, most, &mut worker.totals);
            self.meter.change(most, gather.bytes());
            match outcome {
                Ok(()) => {
                    self.meter.change(waited, 0);
                    return None;
                }
                Err(back) => chunks = back,
            }
        }
        Some(chunks)
    }
}
