//! What the coordinator does, as plain functions over domain types: catalog, explain, submit, publish, status, refund.
//!
//! It knows no transport: a gRPC handler authenticates, converts, and calls one of these. Errors are [`Refusal`]s, which a caller may see;
//! what only the operator may see goes to the local log where it happens.

mod attempt;
mod catalog;
mod explain;
mod feed;
mod outcome;
mod refund;
mod status;
mod submit;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use commun_domain::bundle::RosterHolder;
use commun_domain::clock::Clock;
use commun_domain::signed::SignedDocument;
use commun_domain::{QueryId, Refusal, WireCode};
use commun_privacy::ledger::{Caps, Loss};
use commun_service::Faults;
use commun_store::CoordinatorStore;
use commun_trust::Admitted;
use tokio::sync::Semaphore;

use crate::link::Agents;
use crate::log::{Log, Publication, State};

pub use catalog::Catalog;
pub use explain::{Explained, PartitionLeft};
pub use feed::{Event, Feed, MAX_EVENTS, Step};
pub use status::{Account, Holder, Status};

/// Queries that may be under way at once, unless the configuration says otherwise. Each agent works on one at a time.
pub const MAX_OPEN_QUERIES: usize = 16;

/// How long masked cells and opened seeds are kept after their release, in milliseconds (seven days): so long a result can be added up again.
pub const KEPT_MS: u64 = 7 * 24 * 3600 * 1000;

/// What is added to the way of a manifest, for whatever holds a message up, in milliseconds.
pub(crate) const SPARE_WAY_MS: u64 = 10;

/// Most that the slot is put off for the way of a manifest, in milliseconds.
pub(crate) const MAX_WAY_MS: u64 = 250;

/// Most that the slot is put off for an agent whose clock is ahead, in milliseconds.
pub(crate) const MAX_SKEW_MS: u64 = 250;

/// How long the parts of an attempt may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the offer until every holder has replied.
    pub reply_ms: u64,
    /// From the offer until the manifest is sent; longer than `reply_ms`.
    pub manifest_ms: u64,
    /// From the manifest to the slot; `None`: the public rule of the data contract, and what the manifest's way takes, measured by the replies.
    pub slot_ms: Option<u64>,
    /// Each round from the slot on.
    pub round_ms: u64,
}

/// The coordinator without its transport.
pub struct App {
    /// The log and what follows from it.
    pub log: Log,
    /// Connected agents.
    pub agents: Agents,
    store: Arc<CoordinatorStore>,
    clock: Arc<dyn Clock>,
    faults: Faults,
    deadlines: Deadlines,
    open: Arc<Semaphore>,
    /// Held from an offer to the slot: each agent reads for one query at a time, and must be ready at the slot.
    turn: Arc<Semaphore>,
    live: Mutex<HashMap<QueryId, Arc<Feed>>>,
}

impl App {
    /// Over an opened store and log.
    pub fn new(
        store: Arc<CoordinatorStore>,
        log: Log,
        clock: Arc<dyn Clock>,
        faults: Faults,
        deadlines: Deadlines,
        max_open_queries: usize,
    ) -> Arc<Self> {
        let open = Arc::new(Semaphore::new(max_open_queries));
        Arc::new(Self {
            log,
            agents: Agents::default(),
            store,
            clock,
            faults,
            deadlines,
            open,
            turn: Arc::new(Semaphore::new(1)),
            live: Mutex::default(),
        })
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Publishes a signed document into the log, or finds it there: its entry's number and its hash.
    pub fn publish(&self, document: &SignedDocument) -> Result<Publication, Refusal> {
        let published = self.log.publish(document)?;
        let Publication { entry, hash, known } = published;
        tracing::info!(number = entry, %hash, known, "document published");
        Ok(published)
    }

    /// Forgets what aggregations left once it is older than [`KEPT_MS`].
    pub fn forget_aggregations(&self) -> Result<usize, commun_store::StoreError> {
        self.store.forget_aggregations(self.now_ms().saturating_sub(KEPT_MS))
    }

    /// Admits a query for the agency that asks it.
    fn admit(&self, agency: &str, signed: &SignedDocument) -> Result<Admitted, Refusal> {
        let admitted = self.log.read(|state| commun_trust::admit(&state.trust, signed, self.clock.now_unix()))?;
        if admitted.agency == agency {
            return Ok(admitted);
        }
        Err(Refusal::new(
            WireCode::NotPermitted,
            format!("permit {} is another agency's", admitted.permit.reference),
            "ask with a certificate of the agency that the permit names",
        ))
    }
}

/// Runs work that touches the disk away from the threads that serve connections.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a task of the coordinator ended early");
        Refusal::new(
            WireCode::Internal,
            "the coordinator failed in this call",
            "ask again; the operator finds the cause in the coordinator's own log",
        )
    })
}

/// The caps that a query's price must keep within.
fn caps(admitted: &Admitted) -> Caps {
    Caps {
        contract: Loss { rho: admitted.contract.rho_cap, delta: admitted.contract.delta_keys },
        permit: Loss { rho: admitted.permit.rho_cap, delta: admitted.permit.delta_cap },
    }
}

/// Whether this coordinator's own ledger allows the price at every listed holder in every partition.
fn within_budgets(state: &State, admitted: &Admitted, listed: &[RosterHolder]) -> Result<(), Refusal> {
    let price = admitted.ahead();
    for holder in listed {
        for period in &admitted.plan.partitions {
            let checked =
                state.ledger.check(&holder.name, &admitted.plan.budget_domain, *period, admitted.permit_hash, price, caps(admitted));
            checked.map_err(|over| {
                let partition = admitted.plan.calendar.format(over.period);
                let message = format!("the {}'s budget for {partition} at {} does not allow it: {}", over.cap, holder.name, over.amounts());
                Refusal::new(
                    WireCode::OverBudget,
                    message,
                    "ask for less epsilon, for another partition, or for a release that is stored already",
                )
            })?;
        }
    }
    Ok(())
}

/// What is left of a cap.
fn left(cap: Loss, spent: Loss) -> Loss {
    Loss { rho: cap.rho.checked_sub(spent.rho).unwrap_or_default(), delta: cap.delta.checked_sub(spent.delta).unwrap_or_default() }
}
