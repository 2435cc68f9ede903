//! Secure aggregation: the coordinator learns the sum of the holders' noisy cells, and nothing of one holder.
//!
//! The protocol is that of Bonawitz et al. 2017 ("Practical Secure Aggregation for Privacy-Preserving Machine Learning", the variant
//! against active adversaries) on the complete graph, with every key, mask and signature bound to the manifest, to the views that were
//! agreed on, and to both identities. `docs/concepts/secure-aggregation.md` explains it.
//!
//! Both sides are state machines without I/O, clock or async: [`agent::Agent`] and [`coordinator::Coordinator`]. Every check on what
//! others say is in `checks`, each with its [`Refused`] code. [`record`] lets a supervisor add a result up again.
//!
//! What is not here: whether a manifest is right (P4), rosters and their signatures, the ledger, noise. Those are `commun-trust`'s,
//! the agent's and `commun-privacy`'s.

pub mod agent;
pub mod attempt;
pub mod cells;
mod checks;
pub mod cohort;
mod context;
pub mod coordinator;
mod crypto;
mod graph;
pub mod record;
mod refused;
mod sum;
pub mod wire;

pub use refused::Refused;

#[cfg(test)]
mod tests;
