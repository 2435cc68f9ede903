//! The sandbox: whole federations as real processes with real mutual TLS on loopback, and what is promised about them.
//!
//! Each test builds the federation that it needs through the public command lines, in a temporary folder, with rows that it knows. Daemons
//! are the shipped code in the binary `commun-node`, which alone has fault points. Tests that defend a promise carry its number.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aggregation;
mod attacks;
mod attacks_on_rounds;
mod bad_input;
mod bundles;
mod certificates;
mod faults;
mod full_disk;
mod harness;
mod matrix;
mod names;
mod noise;
mod objections;
mod pages;
mod precision;
mod quiet;
mod recording;
mod recovery;
mod trying;
mod whole_path;
