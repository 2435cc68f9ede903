//! Time as a parameter.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from: the system, or a test.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01 UTC.
    fn now_ms(&self) -> u64;

    /// Seconds since 1970-01-01 UTC.
    fn now_unix(&self) -> u64 {
        self.now_ms() / 1000
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still, for tests of rules that depend on the time.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(
    /// Milliseconds since 1970-01-01 UTC.
    pub u64,
);

impl Clock for FixedClock {
    fn now_ms(&self) -> u64 {
        self.0
    }
}
