//! Tests of the whole protocol: honest runs, scripted attacks with a checker of what the adversary learns, encodings, records.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adversary;
mod attacks;
mod controls;
mod coordinator;
mod encoding;
mod fixture;
mod puppet;
mod records;
mod stage;
mod whole;
