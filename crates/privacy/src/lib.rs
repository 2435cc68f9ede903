//! The auditable core of Commun's privacy: what a plan costs, how much noise it needs, the noise itself, and the ledger's rules.
//!
//! Pure: no I/O, no async, no clock, no SQL text, no seed of any noise ([`answer`] draws margins of error from a public one, after the
//! release). All of it is integers; floating point is denied by a lint in the whole crate and allowed only where rho becomes an epsilon
//! ([`accountant`]) and after the release, where estimates and margins of error are computed from noisy numbers ([`intervals`], [`answer`]).
//! Each mechanism is one folder with its code, its `PROOF.md` and its tests.
#![deny(clippy::float_arithmetic)]

pub mod accountant;
pub mod answer;
pub mod discrete_gaussian;
pub mod intervals;
pub mod lattice;
pub mod ledger;
pub mod price;
pub mod threshold;

#[cfg(test)]
mod fixture;
