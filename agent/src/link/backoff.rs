//! Pauses between connections: doubled from [`FIRST`] to [`LONGEST`], each shortened by a random part, so that the agents of a
//! coordinator that comes back do not all dial at once.

use std::time::Duration;

/// First pause.
const FIRST: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(30);

/// The pauses of one link.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The connection worked: start from the first pause again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// The next pause: between half of it and all of it.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(LONGEST);
        let mut random = [0; 2];
        // Without entropy the pause is whole; nothing secret depends on it.
        let _ = getrandom::fill(&mut random);
        whole.saturating_sub(whole / 2 * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_never_shorter_than_half() {
        let mut backoff = Backoff::new();
        let mut whole = FIRST;
        for _ in 0..20 {
            let pause = backoff.next();
            assert!(pause <= whole && pause >= whole / 2, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(LONGEST);
        }
        assert_eq!(whole, LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
