//! Bounds what one person may contribute, and adds up in integers: `BoundPerPerson` and the final aggregate of a plan, fused.
//!
//! Per (unit, partition) at most L0 groups are kept, chosen by a pseudo-random number of the group (`prf`); per group rows are counted and
//! clamped values summed (`table`); each output makes a bounded contribution of that (`contribution`). All of it depends on that person's rows only, as a
//! multiset: neither their order nor how they were batched, dealt, spilled or shared among threads can change the result.
//! Rows come by one of two ways: `radix` for any order, `sorted` for input that is declared sorted by person.

mod beyond;
mod bins;
mod choice;
mod contribution;
mod deal;
mod field;
mod finish;
mod gather;
mod hash;
mod merge;
mod names;
mod prf;
mod radix;
mod room;
mod rows;
mod shape;
mod sorted;
mod spill;
mod table;
mod whole;
mod words;

pub(crate) use contribution::Contribution;
pub(crate) use deal::Dealer;
pub(crate) use field::{Field, Flag};
pub(crate) use hash::Hasher;
pub(crate) use names::Names;
pub(crate) use prf::Key as PrfKey;
pub(crate) use radix::Radix;
pub(crate) use room::{Meter, Room};
pub(crate) use rows::{Kept, Rows};
#[cfg(test)]
pub(crate) use shape::HEAD_WORDS;
pub(crate) use shape::{BinLane, CELL_BITS, Lane, PARTITION_BITS, Shape, SharedShape, Totals};
pub(crate) use sorted::{Disorder, SortedRun};
pub(crate) use spill::{Records, Spill};

#[cfg(test)]
mod tests;
