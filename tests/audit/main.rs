//! The audit: what privacy rests on, judged from outside. Random questions over neighbouring databases against a naive model that shares no
//! code with the engine (`fuzz`, `names`, `heavy`, `naive`), the law of the noise of whole answers (`noise_law`), and an attacker who sees nothing but
//! answers (`black_box`, `attacks`). `tests/mutations` breaks the code in many ways and shows that tests notice.
//!
//! What is not here: which texts are read (`commun-sql`), what a text means (`tests/slt`), federations of processes (`tests/sandbox`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod black_box;
mod dice;
mod distance;
mod fuzz;
mod generate;
mod heavy;
mod naive;
mod names;
mod noise_law;
mod stack;
mod statistics;
mod table;
