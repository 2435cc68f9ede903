//! Stored outcomes, and the restart rule: a query that no task works on any more has failed, and says so.
//!
//! Nothing is resumed. Replies, manifests and answers live in memory only, and an agent's attempt dies with its link, so after a restart
//! there is nothing to go on with; what was logged stays charged until a holder says that it took its charge back.

use commun_domain::attempt::MAX_ATTEMPTS;
use commun_domain::log::{Conduct, FailureEntry};
use commun_domain::{QueryId, Refusal, WireCode};
use commun_proto::status::refusal_from_bytes;
use commun_store::coordinator::{QueryRow, QueryState};

use super::App;
use super::feed::Event;
use crate::log::LogError;

pub(super) fn no_outcome(query: &QueryId) -> Refusal {
    tracing::error!(%query, "a stored query has no outcome");
    Refusal::new(
        WireCode::Internal,
        "the stored outcome of this query cannot be read",
        "the operator finds the cause in the coordinator's own log",
    )
}

impl App {
    /// Ends every query that the process before left unfinished; returns how many. Called once, before anyone can ask.
    pub fn restart(&self) -> Result<usize, LogError> {
        let rows = self.store.unfinished_queries()?;
        for row in &rows {
            self.end_unfinished(row)?;
        }
        Ok(rows.len())
    }

    /// What became of a stored query that no task works on.
    pub(super) fn stored_outcome(&self, row: &QueryRow) -> Result<Event, Refusal> {
        match row.state {
            QueryState::Released => {
                let release = self.store.release_by_query(&row.query).map_err(LogError::from)?;
                let release = release.ok_or_else(|| no_outcome(&row.query))?;
                Ok(Event::Released { release: release.bytes.into(), stored: true })
            }
            QueryState::Failed => {
                let refusal = row.refusal.as_deref().and_then(refusal_from_bytes).ok_or_else(|| no_outcome(&row.query))?;
                Ok(Event::Failed { refusal, charged: self.is_charged(&row.query) })
            }
            // Its task ended without writing an outcome, most likely because the disk was full. It may be able to now.
            QueryState::Received | QueryState::Offered | QueryState::Logged => Ok(self.end_unfinished(row)?),
        }
    }

    /// Whether an attempt of the query was logged, and so charged. A refund may have taken some of it back since.
    pub(super) fn is_charged(&self, query: &QueryId) -> bool {
        self.last_attempt(query) > 0
    }

    /// The query's last logged attempt; 0 when none was.
    fn last_attempt(&self, query: &QueryId) -> u8 {
        self.log.read(|state| (1..=MAX_ATTEMPTS).rev().find(|attempt| state.trust.attempt(query, *attempt).is_some()).unwrap_or(0))
    }

    fn end_unfinished(&self, row: &QueryRow) -> Result<Event, LogError> {
        let attempt = self.last_attempt(&row.query);
        let charged = attempt > 0;
        let refusal = Refusal::new(
            WireCode::Unavailable,
            "the coordinator was restarted before the query ended",
            if charged {
                "its price stays charged at the holders that had begun; sign a new query to ask again"
            } else {
                "nothing was charged by the coordinator; sign a new query to ask again"
            },
        );
        let entry = FailureEntry {
            query: row.query,
            attempt,
            refusal: refusal.clone(),
            refusals: Vec::new(),
            timeouts: Vec::new(),
            conduct: Conduct::default(),
        };
        self.log.failure(entry)?;
        tracing::warn!(query = %row.query, state = ?row.state, charged, "an unfinished query was ended");
        Ok(Event::Failed { refusal, charged })
    }
}
