//! Records in order, within the memory that there is: what does not fit goes to files in sorted runs, which are merged while they are read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::Path;

use crate::bound::{Records, Spill};

/// Most runs that are merged at a time; more are merged into one first, so that a few files suffice however large the data are.
const FAN_IN: usize = 32;

/// See the module. A record's first word is the number of words after it.
#[derive(Default)]
pub(super) struct Runs {
    words: Vec<u64>,
    spilled: Vec<Spill>,
}

impl Runs {
    /// Appends whole records.
    pub(super) fn extend(&mut self, records: &[u64]) {
        self.words.extend_from_slice(records);
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        self.words.capacity() * 8
    }

    /// Writes what is in memory to a file, in order.
    pub(super) fn spill(&mut self, folder: &Path) -> io::Result<()> {
        let words = std::mem::take(&mut self.words);
        if words.is_empty() {
            return Ok(());
        }
        let mut file = Spill::create(folder)?;
        for start in in_order(&words) {
            file.write(&words[start..=start + length(&words, start)])?;
        }
        drop(words);
        file.rest()?;
        self.spilled.push(file);
        if self.spilled.len() == FAN_IN {
            let mut whole = Spill::create(folder)?;
            let mut framed = Vec::new();
            merge(std::mem::take(&mut self.spilled), &[], |record| {
                framed.clear();
                framed.push(record.len() as u64);
                framed.extend_from_slice(record);
                whole.write(&framed)
            })?;
            whole.rest()?;
            self.spilled.push(whole);
        }
        Ok(())
    }

    /// How many files there are.
    #[cfg(test)]
    pub(super) fn files(&self) -> usize {
        self.spilled.len()
    }

    /// Calls `take` with every record in order, without its length.
    pub(super) fn each(self, mut take: impl FnMut(&[u64]) -> io::Result<()>) -> io::Result<()> {
        if self.spilled.is_empty() {
            return in_order(&self.words).into_iter().try_for_each(|start| take(body(&self.words, start)));
        }
        merge(self.spilled, &self.words, take)
    }
}

fn length(words: &[u64], start: usize) -> usize {
    usize::try_from(words[start]).unwrap_or(0)
}

fn body(words: &[u64], start: usize) -> &[u64] {
    &words[start + 1..=start + length(words, start)]
}

/// Where the records start, in their order.
fn in_order(words: &[u64]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 0);
    while at < words.len() {
        starts.push(at);
        at += 1 + length(words, at);
    }
    starts.sort_unstable_by(|a, b| body(words, *a).cmp(body(words, *b)));
    starts
}

fn merge(files: Vec<Spill>, memory: &[u64], mut take: impl FnMut(&[u64]) -> io::Result<()>) -> io::Result<()> {
    let mut files = files.into_iter().map(Spill::records).collect::<io::Result<Vec<Records>>>()?;
    let count = files.len();
    let mut starts = in_order(memory).into_iter();
    // The records that stand first in each run; the one in memory is the last run.
    let mut heap: BinaryHeap<Reverse<(Vec<u64>, usize)>> = BinaryHeap::new();
    let mut next = |run: usize, mut record: Vec<u64>| -> io::Result<Option<Vec<u64>>> {
        record.clear();
        let found = match files.get_mut(run) {
            Some(file) => file.next()?,
            None => starts.next().map(|start| body(memory, start)),
        };
        Ok(found.map(|found| {
            record.extend_from_slice(found);
            record
        }))
    };
    for run in 0..=count {
        if let Some(record) = next(run, Vec::new())? {
            heap.push(Reverse((record, run)));
        }
    }
    while let Some(Reverse((record, run))) = heap.pop() {
        take(&record)?;
        if let Some(record) = next(run, record)? {
            heap.push(Reverse((record, run)));
        }
    }
    Ok(())
}
