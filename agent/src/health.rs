//! What the link and the guard leave for `status`: connected since when, the difference of clocks, the last error in full.
//!
//! It stays in this process: the status socket, of mode 0600, is the only reader. That is why an error's detail, which may quote data, may be
//! here and in no file.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared between the link, the guard and the status socket.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

/// One moment of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// When the link came up, milliseconds since 1970; `None` while it is down.
    pub connected_since_ms: Option<u64>,
    /// The coordinator's clock minus the own one, in seconds, at the last connection.
    pub clock_skew_s: Option<i64>,
    /// When the last error or refusal was, milliseconds since 1970, and its full text.
    pub last_error: Option<(u64, String)>,
}

impl Health {
    /// Remembers an error.
    pub fn note(&self, now_ms: u64, text: String) {
        self.lock().last_error = Some((now_ms, text));
    }

    /// The link came up.
    pub fn connected(&self, now_ms: u64, clock_skew_s: Option<i64>) {
        let mut state = self.lock();
        state.connected_since_ms = Some(now_ms);
        state.clock_skew_s = clock_skew_s.or(state.clock_skew_s);
    }

    /// The link went down.
    pub fn disconnected(&self) {
        self.lock().connected_since_ms = None;
    }

    /// What is known now.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
