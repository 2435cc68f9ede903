//! One test for each rule of trust: the good case passes, and with one thing changed it is refused, for that reason.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics is a test that fails")]

#[path = "../common/mod.rs"]
mod common;

mod admit;
mod history;
mod manifest;
mod names;
mod sign;
mod state;
