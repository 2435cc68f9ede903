//! Durable state of the two daemons, in one `SQLite` file each: the log, the ledgers, the agent's journal and attempts, the
//! coordinator's queries and result releases. Only masked cells, which are large and forgotten after some days, are in files beside it.
//!
//! Why `SQLite`: an auditor opens the file with `sqlite3`, finds every column explained in the schema, and what must not change cannot be
//! changed by an ordinary statement. Every commit is on the disk before the call returns (write-ahead log, `synchronous = FULL`), which
//! is what P8 rests on. One process at a time: an OS lock is held as long as the [`Store`] lives.
//!
//! Synchronous: daemons call it by `spawn_blocking`, simulations inline. Not here: rules. Whether a budget allows a charge is
//! `commun_privacy::ledger`'s to say, and what an entry means `commun-trust`'s.

pub mod agent;
pub mod coordinator;
pub mod error;
pub mod incidents;
pub mod ledger;
pub mod log;
pub mod store;

mod columns;
mod masked_cells;
#[cfg(test)]
mod tests;

pub use agent::AgentStore;
pub use coordinator::CoordinatorStore;
pub use error::StoreError;
pub use masked_cells::KeptCells;
pub use store::{Side, Store, StoreOptions};
