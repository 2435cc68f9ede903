//! Adds up the groups of a file: in one go if they fit, else dealt into finer parts by the next bits of the hash, some of which go to files again.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::rows::hash_of;
use super::shape::{SharedShape, Totals};
use super::spill::Spill;
use super::table::{Hasher, Table};
use crate::read::UnitKind;

/// Finer parts of a part.
const FINER: usize = 16;

/// Bits of the hash that chose the part, and those of every step below.
const FIRST_BITS: u32 = 8;
const FINER_BITS: u32 = FINER.trailing_zeros();

/// Steps; below them a table may be as large as it likes, which 2^28 parts do not come to.
const MAX_DEPTH: u32 = 5;

/// See the module. `room`: most bytes of all tables of this step.
#[expect(clippy::too_many_arguments, reason = "a recursion whose arguments all differ")]
pub(crate) fn merge(
    shape: &SharedShape,
    kind: UnitKind,
    hasher: Hasher,
    folder: &Path,
    room: usize,
    spill: Spill,
    depth: u32,
    totals: &Mutex<Totals>,
) -> io::Result<()> {
    let mut tables: Vec<Table> = (0..FINER).map(|_| Table::new(shape.clone(), kind, hasher)).collect();
    let mut spills: Vec<Option<Spill>> = (0..FINER).map(|_| None).collect();
    let mut sizes: Vec<usize> = tables.iter().map(Table::bytes).collect();
    let mut held: usize = sizes.iter().sum();
    spill.read::<io::Error>(|record| {
        let shift = 64 - FIRST_BITS - depth * FINER_BITS;
        let number = usize::try_from(hash_of(hasher, record) >> shift).unwrap_or(0) & (FINER - 1);
        tables[number].add_group(record);
        held -= sizes[number];
        sizes[number] = tables[number].bytes();
        held += sizes[number];
        while held > room && depth < MAX_DEPTH {
            let Some((_, largest)) = sizes.iter().copied().zip(0..).max() else { break };
            if tables[largest].len() == 0 {
                break;
            }
            let file = match &mut spills[largest] {
                Some(file) => file,
                none => none.insert(Spill::create(folder)?),
            };
            tables[largest].export(|record| file.write(record), |_, _| true)?;
            tables[largest] = Table::new(shape.clone(), kind, hasher);
            held -= sizes[largest];
            sizes[largest] = tables[largest].bytes();
            held += sizes[largest];
        }
        Ok(())
    })?;
    for (table, spill) in tables.iter_mut().zip(&mut spills) {
        match spill {
            Some(file) => table.export(|record| file.write(record), |_, _| true)?,
            None => table.total(&mut totals.lock().unwrap_or_else(PoisonError::into_inner), |_, _| false),
        }
    }
    drop(tables);
    for spill in spills.into_iter().flatten() {
        merge(shape, kind, hasher, folder, room, spill, depth + 1, totals)?;
    }
    Ok(())
}
