//! What is believed and why: signatures, the fold over the log, admission of a query, and the checks on a manifest.
//!
//! Coordinator and agents run the same functions of this crate over the same entries and the same signed texts, so they agree without
//! having to believe each other (P4, P5). Nothing here trusts a plan, a price or a number that came from the other side: each is computed again.
//!
//! Pure: the time is a parameter, and there is no I/O. What is not here: ledgers (`commun-privacy`), a holder's own policy (the
//! agent), TLS identity (`commun-identity`), which alone authorises nothing.

pub mod admit;
pub mod charged;
pub mod cohort;
pub mod manifest;
pub mod names;
pub mod sign;
pub mod slot;
pub mod state;

pub use admit::{Admitted, NAMES_ATTEMPT, NUMBERS_ATTEMPT, admit, covers, replay_key, within_limit};
pub use charged::{Charged, charged};
pub use cohort::Shape;
pub use manifest::{OwnReserve, Reply, When, check_answer, check_manifest, check_public, check_reply};
pub use names::admit_numbers;
pub use sign::{SignError, sign, signers, verify};
pub use state::{AttemptState, Outcome, Pins, TrustError, TrustState};
