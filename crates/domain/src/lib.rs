//! The words of Commun as types: ids, units of privacy loss, data contracts, permits, plans, queries, attempts, log entries, result
//! releases, wire errors, and the one canonical encoding in which signed things travel, are stored and are logged.
//!
//! Pure: no clock but the one passed in, no I/O, no async. What is not here: rules. Whether a permit is valid is `commun-trust`'s
//! to say, what a plan costs is `commun-privacy`'s.

pub mod attempt;
pub mod bundle;
pub mod calendar;
pub mod clock;
pub mod contract;
pub mod contract_toml;
pub mod encoding;
pub mod error;
pub mod ids;
pub mod log;
pub mod permit;
pub mod permit_toml;
pub mod plan;
pub mod query;
pub mod release;
pub mod signed;
pub mod titles;
pub mod units;

pub use encoding::Document;
pub use error::{Refusal, WireCode};
pub use ids::{Hash32, KeyId, PublicKey, QueryId};
pub use units::{Delta, Epsilon, Rho};
