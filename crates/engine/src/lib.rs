//! What an agent does with data: reads a holder's files through its binding, computes the bounded exact aggregate of a plan, and makes
//! it safe to leave (quantise, noise).
//!
//! The steps are apart so that each can be read alone: [`binding`] is the holder's mapping, `source` opens files, `objections` leaves out who objected, `total` makes the
//! binding's SQL unable to fail on a row, `lower` turns a plan into what is read and added up, `read` makes integers of columns, `eval` computes
//! the plan's expressions, `bound` bounds each person and adds up in integers, `physical` puts that on top of the files' scans, `work` runs it,
//! [`release`](mod@release) draws noise. Of what is shipped, this crate is the only user of `DataFusion`, and only scanning and the binding's SQL run
//! there: filter, expressions, bounds and sums are code of this crate, because they carry the privacy.
//!
//! What is not here: prices, lattices and noise laws (`commun-privacy`), whether a question may be answered (`commun-trust`).

pub mod binding;
mod bound;
pub mod check;
mod engine;
mod error;
mod eval;
mod holder;
mod lower;
mod objections;
mod person;
mod physical;
mod read;
pub mod release;
mod source;
mod total;
mod work;

pub use binding::Binding;
pub use check::{CheckReport, check};
pub use engine::{Cells, DataFusionEngine, Engine, EngineOptions, NameCounts};
pub use error::EngineError;
pub use holder::HolderEngine;
pub use release::{release, release_names};
pub use work::Times;

#[cfg(test)]
mod model;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod neighbour_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod totality_tests;
