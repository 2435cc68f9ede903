//! Groups of a table as records, for files and for other tables, and what they contribute in the end.

use std::convert::Infallible;

use super::{Group, NONE, Table};
use crate::bound::bins::Bins;
use crate::bound::shape::{CELL_BITS, Groups, SharedShape, Totals, cell_of, partition_of, text_words};
use crate::read::UnitKind;

/// Blocks that are totalled for one output after the other.
const TOTALLED: usize = 64;

impl Table {
    /// Adds a group as [`Table::export`] writes it, without the leading length.
    pub(crate) fn add_group(&mut self, record: &[u64]) {
        let (unit, place, sums_end) = (record[0], record[1], 2 + self.sum_words);
        let text_end = if self.kind == UnitKind::Text { sums_end + text_words(&record[sums_end..]) } else { sums_end };
        let person = self.person(unit, partition_of(place), &record[sums_end..text_end]);
        let Some(group) = self.group(person, cell_of(place)) else { return };
        let shape = SharedShape::clone(&self.shape);
        shape.add_sums(self.sums_of(group), &record[2..sums_end]);
        let (mut rest, mut grown) = (&record[text_end..], 0);
        for bins in self.bins_of(group) {
            let count = usize::try_from(rest[0]).unwrap_or(0);
            grown += bins.add_entries(&rest[1..=count]);
            rest = &rest[1 + count..];
        }
        self.bin_bytes += grown;
    }

    /// Writes every group as a record: its length in words, unit, place, sums, text, bins.
    pub(crate) fn export<E>(&mut self, mut write: impl FnMut(&[u64]) -> Result<(), E>) -> Result<(), E> {
        let mut record = Vec::new();
        self.each_group(|table, person, group| {
            let (unit, partition) = table.who(person);
            record.clear();
            record.extend_from_slice(&[0, unit, u64::from(partition) << CELL_BITS | u64::from(table.cell(group))]);
            record.extend_from_slice(table.sums_of(group));
            record.extend_from_slice(table.text(person));
            for bins in table.bins_of(group) {
                bins.compact();
                record.push(bins.entries().len() as u64);
                record.extend_from_slice(bins.entries());
            }
            record[0] = record.len() as u64 - 1;
            write(&record)
        })
    }

    /// Adds what everybody contributes.
    pub(crate) fn total(&mut self, totals: &mut Totals) {
        let shape = SharedShape::clone(&self.shape);
        if shape.bin_lanes.is_empty() {
            // Whose a group is makes no difference.
            let Self { stride, cells_at, sums_at, sum_words, .. } = *self;
            for blocks in self.blocks.chunks(TOTALLED * stride) {
                totals.add_all(&shape, Groups { blocks, stride, cells_at, sums_at, sum_words });
            }
            return;
        }
        let Ok(()) = self.each_group(|table, person, group| {
            let cell = table.cell(group);
            totals.add(&shape, cell, table.sums_of(group));
            // Outside of the table meanwhile, as the key of the person is made from it.
            let mut bins: Vec<Bins> = table.bins_of(group).iter_mut().map(std::mem::take).collect();
            let (unit, partition) = table.who(person);
            let key = || shape.person_key(table.kind, unit, table.text(person), partition);
            totals.add_bins(&shape, table.cell(group), &mut bins, key);
            table.bins_of(group).iter_mut().zip(bins).for_each(|(place, bins)| *place = bins);
            Ok::<_, Infallible>(())
        });
    }

    /// Calls `take` with every group and the first block of its person.
    fn each_group<E>(&mut self, mut take: impl FnMut(&mut Self, u32, Group) -> Result<(), E>) -> Result<(), E> {
        for person in 0..self.len_blocks() {
            let mut block = if self.is_first(person) { person } else { NONE };
            while block != NONE {
                for place in 0..self.places {
                    let group = Group { block, place };
                    if self.cell(group) == NONE {
                        break;
                    }
                    take(self, person, group)?;
                }
                block = self.next(block);
            }
        }
        Ok(())
    }
}
