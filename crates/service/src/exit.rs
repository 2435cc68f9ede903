//! Exit codes: a small closed set that scripts may rely on.

/// Done.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Refused by policy, permit or budget.
pub const REFUSED: u8 = 2;
/// Bad usage or configuration (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;
