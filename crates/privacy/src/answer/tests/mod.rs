//! Answers of small releases, answers of hostile ones, and how often a 95 % margin holds the truth.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "statistics of tests, not noise")]

mod coverage;
mod formulas;
mod hostile;
mod tables;
