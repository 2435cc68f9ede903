//! What becomes of one query, for whoever listens: the steps so far and, last, its outcome.
//!
//! A feed keeps its whole history (a few events per holder), so that a listener who comes late or reads slowly misses nothing, no queue
//! grows, and an attempt never waits for a listener.

use std::sync::{Arc, Mutex, PoisonError};

use commun_domain::Refusal;
use futures::Stream;
use tokio::sync::watch;

/// Most events of one query. Progress beyond it is left out, the outcome never.
pub const MAX_EVENTS: usize = 4096;

/// A step of a query's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Admitted and stored.
    Received,
    /// Holders are being asked; replies arrive.
    Offered,
    /// Charged and logged.
    Logged,
    /// Holders read; answers arrive.
    Reading,
    /// Result release stored and logged.
    Released,
}

impl Step {
    /// As it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Offered => "offered",
            Self::Logged => "logged",
            Self::Reading => "reading",
            Self::Released => "released",
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Progress.
    Progress {
        /// Step.
        step: Step,
        /// For people.
        message: String,
        /// Milliseconds since the query was received.
        elapsed_ms: u64,
        /// Holders done in this step.
        done: u32,
        /// Holders asked.
        total: u32,
    },
    /// Answered.
    Released {
        /// Canonical bytes of the result release.
        release: Arc<[u8]>,
        /// Whether it was stored before this question.
        stored: bool,
    },
    /// Not answered.
    Failed {
        /// What to tell the caller.
        refusal: Refusal,
        /// Whether some holder's budget stays charged.
        charged: bool,
    },
}

impl Event {
    /// Whether nothing follows it.
    pub fn is_outcome(&self) -> bool {
        !matches!(self, Self::Progress { .. })
    }
}

/// See the module.
pub struct Feed {
    agency: String,
    events: Mutex<Vec<Event>>,
    count: watch::Sender<usize>,
}

impl Feed {
    /// A feed of a query of this agency.
    pub fn new(agency: &str) -> Arc<Self> {
        Arc::new(Self { agency: agency.to_owned(), events: Mutex::new(Vec::new()), count: watch::channel(0).0 })
    }

    /// The feed of a query that has ended.
    pub fn ended(agency: &str, outcome: Event) -> Arc<Self> {
        let feed = Self::new(agency);
        feed.push(outcome);
        feed
    }

    /// Agency that asked.
    pub fn agency(&self) -> &str {
        &self.agency
    }

    /// Adds an event; after the outcome nothing is added.
    pub fn push(&self, event: Event) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let room = events.len() < MAX_EVENTS || event.is_outcome();
        if room && !events.last().is_some_and(Event::is_outcome) {
            events.push(event);
            self.count.send_replace(events.len());
        }
    }

    /// The outcome, once there is one.
    pub fn outcome(&self) -> Option<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).last().filter(|event| event.is_outcome()).cloned()
    }

    /// All events from the first one, ending with the outcome.
    pub fn listen(self: &Arc<Self>) -> impl Stream<Item = Event> + Send + 'static {
        let start = (Some(self.clone()), self.count.subscribe(), 0);
        futures::stream::unfold(start, |(feed, mut count, position)| async move {
            let feed = feed?;
            count.wait_for(|count| *count > position).await.ok()?;
            let event = feed.events.lock().unwrap_or_else(PoisonError::into_inner).get(position).cloned()?;
            let next = if event.is_outcome() { None } else { Some(feed) };
            Some((event, (next, count, position + 1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use commun_domain::WireCode;
    use futures::StreamExt;

    use super::*;

    fn progress(done: u32) -> Event {
        Event::Progress { step: Step::Reading, message: String::new(), elapsed_ms: 0, done, total: 3 }
    }

    #[tokio::test]
    async fn every_listener_gets_every_event_in_order_and_then_the_end() {
        let feed = Feed::new("statbel");
        let early = feed.listen();
        feed.push(progress(1));
        let failed = Event::Failed { refusal: Refusal::new(WireCode::Internal, "m", "h"), charged: true };
        feed.push(failed.clone());
        feed.push(progress(2));
        let late = feed.listen();
        drop(feed);
        for events in [early.collect::<Vec<_>>().await, late.collect::<Vec<_>>().await] {
            assert_eq!(events, [progress(1), failed.clone()]);
        }
    }

    #[tokio::test]
    async fn a_long_history_is_bounded_and_keeps_its_outcome() {
        let feed = Feed::new("statbel");
        for done in 0..2 * u32::try_from(MAX_EVENTS).unwrap_or(u32::MAX) {
            feed.push(progress(done));
        }
        let released = Event::Released { release: Arc::from([1u8].as_slice()), stored: false };
        feed.push(released.clone());
        let events = feed.listen().collect::<Vec<_>>().await;
        assert_eq!(events.len(), MAX_EVENTS + 1);
        assert_eq!(events.last(), Some(&released));
    }
}
