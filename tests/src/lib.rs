#![allow(clippy::doc_markdown, reason = "names of programs are not code")]
//! The tests that need more than one crate. Unit tests lie beside their code; what is here drives whole parts of Commun.
//!
//! Layers, each a test binary or a folder of data (README.md says how to add a case):
//! - `slt/`: SQL questions as text, in sqllogictest's format. Refused with code, place and hint as written, or computed in process below the
//!   noise and compared with `PostgreSQL`.
//! - `sandbox/`: a whole federation as processes on loopback, with mutual TLS and faults.
//! - `vectors/`: known answers for noise and accounting, with the programs that made them; `crates/privacy` reads them.
//!
//! The library itself is empty. `tests/run` runs everything.
