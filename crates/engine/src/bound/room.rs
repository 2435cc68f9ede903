//! What bounding may use of the machine, and what it uses.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What bounding may use of the machine.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Most memory; `None` sets no limit.
    pub(crate) bytes: Option<usize>,
    /// Where what does not fit goes.
    pub(crate) folder: PathBuf,
    pub(crate) threads: usize,
    /// Set when nobody waits for the result any more.
    pub(crate) stopped: Arc<AtomicBool>,
}

impl Room {
    /// An error once nobody waits any more. Asked between pieces of work that are long: a thread of its own does not end with who waits for it.
    pub(crate) fn go_on(&self) -> io::Result<()> {
        if self.stopped.load(Ordering::Relaxed) { Err(io::Error::other("nobody waits for the result any more")) } else { Ok(()) }
    }
}

/// Bytes that are held now, and the most that were.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Meter {
    /// From one size of something to another.
    pub(crate) fn change(&self, before: usize, after: usize) {
        // Wrapping: the difference may be negative.
        let difference = after.wrapping_sub(before);
        let now = self.now.fetch_add(difference, Ordering::Relaxed).wrapping_add(difference);
        if after > before {
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Takes bytes if that leaves no more than a limit held, and says whether it did.
    pub(crate) fn take(&self, bytes: usize, limit: Option<usize>) -> bool {
        let fits = |now: usize| now.checked_add(bytes).filter(|after| limit.is_none_or(|limit| *after <= limit));
        let taken = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if let Ok(before) = taken {
            self.peak.fetch_max(before + bytes, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }
}
