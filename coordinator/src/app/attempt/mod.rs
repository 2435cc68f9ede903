//! One attempt, its states as types: each step takes the state before by value, so that none can be skipped or taken twice.
//!
//! `Received -> Offered -> Accepted -> Logged -> Reading -> Answered`, then a stored result release; or, from any of them, [`Ended`]. A question with
//! an open group key takes two: the first goes `Reading -> Named` instead, and the logged names make the second ([`naming`]). Numbers are aggregated
//! ([`rounds`]) among those who accept, if they can be a cohort; what cannot is seen before anyone is asked, or before anything is charged. Where members
//! fell out after that, another attempt may leave them out ([`retry`]). Names, and one holder's numbers, leave unmasked and need every listed holder.
//!
//! What it must never do: send a manifest before charge and entry are on the disk (one transaction), or release a sum that is not logged.

mod answering;
mod asking;
mod naming;
mod retry;
mod rounds;

use std::collections::BTreeMap;
use std::sync::Arc;

use commun_domain::attempt::{Accept, Manifest, NameLists, OutputNoise};
use commun_domain::bundle::RosterHolder;
use commun_domain::log::{Conduct, FailureEntry, HolderRefusal, LeftOut};
use commun_domain::signed::SignedDocument;
use commun_domain::{Hash32, Refusal, WireCode};
use commun_trust::{Admitted, Shape};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::feed::{Event, Feed, Step};
use super::{App, blocking};
use crate::link::{Inbox, ToAgent};
use crate::log::Head;

/// Longest reason of a holder that is repeated to the caller and into the log, in characters.
const MAX_REASON_CHARS: usize = 400;

/// What all steps of one attempt share.
pub(super) struct Run {
    pub(super) app: Arc<App>,
    pub(super) feed: Arc<Feed>,
    pub(super) signed: SignedDocument,
    pub(super) admitted: Admitted,
    /// Holders that the roster lists for the data contract, by index.
    pub(super) listed: Vec<RosterHolder>,
    pub(super) roster_hash: Hash32,
    pub(super) roster_epoch: u32,
    pub(super) received_ms: u64,
    /// Number of the attempt.
    pub(super) attempt: u8,
    /// What holders released in the attempt before, canonical bytes: of a second attempt, over an open group key.
    pub(super) lists: Option<Arc<[u8]>>,
    /// Holders that this attempt leaves out, by index: of a second or third one.
    pub(super) left_out: Vec<LeftOut>,
}

/// An attempt in state `S`.
pub(super) struct Attempt<S> {
    run: Arc<Run>,
    state: S,
}

/// Admitted and stored; nobody was asked.
pub(super) struct Received;

/// Every connected holder has been offered it.
struct Offered {
    inbox: Inbox,
    reply_until: Instant,
    manifest_until: Instant,
    /// When they were asked.
    since: Instant,
    asked: Vec<RosterHolder>,
    /// Not connected.
    timeouts: Vec<u32>,
    turn: OwnedSemaphorePermit,
}

/// A signed refusal.
struct Refused {
    index: u32,
    code: WireCode,
    message: String,
    document: SignedDocument,
}

/// Those who have durably reserved the price and said so are a cohort.
struct Accepted {
    inbox: Inbox,
    manifest_until: Instant,
    /// By roster index.
    replies: BTreeMap<u32, (SignedDocument, Accept)>,
    refusals: Vec<Refused>,
    timeouts: Vec<u32>,
    shape: Shape,
    /// From a manifest until every member has it, by its own clock, at most.
    way_ms: u64,
    turn: OwnedSemaphorePermit,
}

/// Charged here too, and in the log.
struct Logged {
    inbox: Inbox,
    manifest_until: Instant,
    cohort: Vec<SignedDocument>,
    refusals: Vec<SignedDocument>,
    timeouts: Vec<u32>,
    members: Vec<RosterHolder>,
    shape: Shape,
    cells: u64,
    noise: Vec<OutputNoise>,
    head: Head,
    way_ms: u64,
    turn: OwnedSemaphorePermit,
}

/// Every member has been sent the manifest.
struct Reading {
    inbox: Inbox,
    manifest: Arc<Manifest>,
    members: Vec<RosterHolder>,
    shape: Shape,
    slot: Instant,
    /// Members that are lost already, and why.
    fallen: BTreeMap<u32, String>,
    turn: OwnedSemaphorePermit,
}

/// Every holder's names of the open group key are here.
struct Named {
    lists: NameLists,
}

/// The sums are there.
struct Answered {
    sums: Vec<Vec<i64>>,
    /// Members in the sums, by index.
    participants: Vec<u32>,
    manifest: Arc<Manifest>,
    shape: Shape,
    aggregation: Option<answering::Aggregation>,
    conduct: Conduct,
}

/// An attempt that ended without an answer.
struct Ended {
    refusal: Refusal,
    parts: Box<Parts>,
    logged: bool,
}

/// Who had a part in an attempt's end.
#[derive(Default)]
struct Parts {
    refusals: Vec<HolderRefusal>,
    timeouts: Vec<u32>,
    /// Members of an aggregation that fell out, and why.
    fallen: BTreeMap<u32, String>,
    conduct: Conduct,
}

impl Ended {
    fn before_log(refusal: Refusal) -> Self {
        Self { refusal, parts: Box::default(), logged: false }
    }

    fn after_log(refusal: Refusal) -> Self {
        Self { logged: true, ..Self::before_log(refusal) }
    }

    fn lost(mut self, holders: impl IntoIterator<Item = u32>) -> Self {
        self.parts.timeouts.extend(holders);
        self
    }
}

impl Run {
    pub(super) fn progress(&self, step: Step, message: &str, done: usize) {
        let elapsed_ms = self.app.now_ms().saturating_sub(self.received_ms);
        let (done, total) = (count(done), count(self.listed.len()));
        self.feed.push(Event::Progress { step, message: message.to_owned(), elapsed_ms, done, total });
    }

    fn listed_at(&self, index: u32) -> Option<&RosterHolder> {
        self.listed.iter().find(|holder| holder.index == index)
    }

    /// Sends to these holders; returns the indices of those whom it does not reach.
    fn send_all(&self, holders: &[RosterHolder], message: &ToAgent) -> Vec<u32> {
        let unreached = holders.iter().filter(|holder| !self.app.agents.send(&holder.name, message.clone()));
        unreached.map(|holder| holder.index).collect()
    }

    /// Names for a message.
    fn names<'a>(holders: impl IntoIterator<Item = &'a RosterHolder>) -> String {
        holders.into_iter().map(|holder| holder.name.as_str()).collect::<Vec<_>>().join(", ")
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn too_few(message: String) -> Refusal {
    Refusal::new(WireCode::TooFewHolders, message, "sign a new query when more holders are connected and willing")
}

fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS).collect()
}

impl Attempt<Received> {
    pub(super) fn new(run: Run) -> Self {
        Self { run: Arc::new(run), state: Received }
    }

    /// Runs to the outcome, stores it and tells it.
    pub(super) async fn run(self) {
        let mut run = self.run.clone();
        let outcome = if run.admitted.releases_names() {
            match self.names().await {
                Ok(second) => {
                    run = second.run.clone();
                    second.steps().await
                }
                Err(ended) => Err(ended),
            }
        } else {
            self.steps().await
        };
        let outcome = retry::again(&mut run, outcome).await;
        match outcome {
            Ok(release) => {
                run.app.faults.at("coordinator.after_release");
                run.progress(Step::Released, "stored and logged", run.listed.len());
                run.feed.push(Event::Released { release, stored: false });
            }
            Err(ended) => finish(&run, ended).await,
        }
    }

    async fn steps(self) -> Result<Arc<[u8]>, Ended> {
        self.offer().await?.replies().await?.log().await?.manifest()?.answers().await?.release().await
    }

    /// The first attempt of a question with an open group key, up to the second.
    async fn names(self) -> Result<Self, Ended> {
        self.offer().await?.replies().await?.log().await?.manifest()?.named().await?.second().await
    }
}

/// The attempt's end because of one holder, after it was logged.
fn lost(holder: &RosterHolder, reason: String) -> Ended {
    Ended::after_log(too_few(reason)).lost([holder.index])
}

/// Stores the failure, tells the holders that the attempt is over, and tells the caller.
async fn finish(run: &Arc<Run>, ended: Ended) {
    let Ended { refusal, parts, logged } = ended;
    let Parts { refusals, timeouts, conduct, .. } = *parts;
    let query = run.admitted.id;
    tracing::info!(%query, code = %refusal.code, logged, "query ended without an answer");
    // Of a second attempt that was not logged, the first was.
    let attempt = if logged { run.attempt } else { run.attempt - 1 };
    let entry = FailureEntry { query, attempt, refusal: refusal.clone(), refusals, timeouts, conduct };
    let writer = run.clone();
    let written = blocking(move || writer.app.log.failure(entry)).await;
    if !matches!(written, Ok(Ok(_))) {
        // The caller is told all the same; the store learns it when the query is asked for again, or at the next start.
        let error =
            written.map_or_else(|refusal| refusal.to_string(), |result| result.err().map(|error| error.to_string()).unwrap_or_default());
        tracing::error!(%query, error, "a query's failure was not stored");
    }
    run.send_all(&run.listed, &ToAgent::Cancel { query, attempt: run.attempt, refusal: refusal.clone() });
    run.feed.push(Event::Failed { refusal, charged: attempt > 0 });
}
