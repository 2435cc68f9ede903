//! Submit: known questions get their stored outcome, answered ones a stored release, new ones an attempt of their own.
//!
//! Everything that is decided here is decided before anybody is asked and anything is charged. A refusal at this stage stores nothing, so
//! that the same signed bytes may be sent again when its reason is gone.

use std::collections::hash_map::Entry;
use std::sync::{Arc, MutexGuard, PoisonError};

use commun_domain::plan::open::MAX_NAMES_BYTES;
use commun_domain::query::SnapshotRule;
use commun_domain::release::ResultRelease;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, QueryId, Refusal, WireCode};
use commun_proto::{MAX_MESSAGE_BYTES, convert};
use commun_store::StoreError;
use commun_store::coordinator::{Inserted, NewQuery, StoredRelease};
use commun_trust::{Admitted, replay_key};
use tokio::runtime::Handle;

use super::attempt::{Attempt, Received, Run};
use super::feed::{Event, Feed, Step};
use super::{App, HashMap, blocking, within_budgets};
use crate::log::LogError;

/// Room that a result release needs beside its cells and its plan, in bytes.
const RELEASE_OVERHEAD_BYTES: usize = 256 * 1024;

/// Number of a query's first attempt.
const FIRST_ATTEMPT: u8 = 1;

/// Room that the acceptance and the signed head of one holder need among lists of names, in bytes.
const ACCEPT_BYTES: usize = 1024;

const DAY_MS: u64 = 24 * 3600 * 1000;

impl App {
    /// Takes a signed question of an agency and returns its feed. The attempt runs as a task of its own: nobody has to listen.
    pub async fn submit(self: &Arc<Self>, agency: &str, bytes: Vec<u8>) -> Result<Arc<Feed>, Refusal> {
        let (app, agency) = (self.clone(), agency.to_owned());
        // The attempt is spawned inside, so that a caller who leaves now does not leave a query that nobody works on.
        blocking(move || app.begin(&agency, &bytes)).await?
    }

    fn begin(self: &Arc<Self>, agency: &str, bytes: &[u8]) -> Result<Arc<Feed>, Refusal> {
        let signed: SignedDocument = convert::document("query", bytes)?;
        let id: QueryId = signed.document_hash().into();
        if let Some(feed) = self.known(&id, agency)? {
            return Ok(feed);
        }
        let admitted = self.admit(agency, &signed)?;
        let new = NewQuery { query: id, signed: bytes, agency, now_ms: self.now_ms() };
        if let Some(release) = self.stored_release(&admitted)? {
            self.remember_replay(&new, &release);
            return Ok(Feed::ended(agency, Event::Released { release: release.bytes.into(), stored: true }));
        }
        let run = self.log.read(|state| {
            let listed = state.listed(&admitted.contract.name);
            fits_one_message(&admitted, listed.len())?;
            within_budgets(state, &admitted, &listed)?;
            let missing = || Refusal::new(WireCode::Unavailable, "there is no roster yet", "ask again when the roster is published");
            let (roster, roster_hash) = state.trust.roster().zip(state.trust.roster_hash()).ok_or_else(missing)?;
            Ok::<_, Refusal>(Run {
                app: self.clone(),
                feed: Feed::new(agency),
                listed,
                roster_hash,
                roster_epoch: roster.epoch,
                signed,
                admitted,
                received_ms: new.now_ms,
                attempt: FIRST_ATTEMPT,
                left_out: Vec::new(),
                lists: None,
            })
        })?;
        let slot = self.open.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(WireCode::Unavailable, "the coordinator has as many queries under way as it takes", "ask again in a minute")
        })?;
        {
            // Held over the insertion: whoever finds the query in the store also finds its feed.
            let mut live = self.live();
            if let Entry::Occupied(known) = live.entry(id) {
                return of_agency(known.get().clone(), agency);
            }
            if let Inserted::Known(_) = self.store.query_insert(&new).map_err(LogError::from)? {
                drop(live);
                return self.known(&id, agency)?.ok_or_else(|| super::outcome::no_outcome(&id));
            }
            live.insert(id, run.feed.clone());
        }
        let feed = run.feed.clone();
        let live = Live { app: self.clone(), id, feed: feed.clone() };
        run.progress(Step::Received, "admitted and stored", 0);
        self.faults.at("coordinator.received");
        Handle::current().spawn(async move {
            Attempt::<Received>::new(run).run().await;
            drop((live, slot));
        });
        Ok(feed)
    }

    pub(super) fn live(&self) -> MutexGuard<'_, HashMap<QueryId, Arc<Feed>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The feed of a query that was asked before.
    fn known(&self, id: &QueryId, agency: &str) -> Result<Option<Arc<Feed>>, Refusal> {
        let row = {
            // Held over the reading: a query that begins between the two looks would be taken for one that a restart has ended.
            let live = self.live();
            if let Some(feed) = live.get(id).cloned() {
                return of_agency(feed, agency).map(Some);
            }
            self.store.query(id).map_err(LogError::from)?
        };
        let Some(row) = row else { return Ok(None) };
        of_agency(Feed::ended(&row.agency, self.stored_outcome(&row)?), agency).map(Some)
    }

    /// The newest stored release that may answer this question, free: same plan, price and roster, new enough, and public or the agency's own.
    pub(super) fn stored_release(&self, admitted: &Admitted) -> Result<Option<StoredRelease>, Refusal> {
        let Some(epoch) = self.log.read(|state| state.trust.roster().map(|roster| roster.epoch)) else { return Ok(None) };
        let key = replay_key(admitted, epoch);
        let releases = self.store.release_by_key(key.as_bytes()).map_err(LogError::from)?;
        Ok(releases.into_iter().find(|release| self.may_answer(release, admitted)))
    }

    fn may_answer(&self, stored: &StoredRelease, admitted: &Admitted) -> bool {
        let new_enough = match admitted.query.snapshot {
            SnapshotRule::Any => true,
            SnapshotRule::NotBefore(day) => i64::try_from(stored.released_at_ms / DAY_MS).is_ok_and(|released| released >= i64::from(day)),
        };
        let Ok(release) = ResultRelease::from_bytes(&stored.bytes) else { return false };
        // Under another agency's permit a release is as secret as its publication delay says.
        let public = self.log.read(|state| {
            state.trust.permit(&release.permit).is_some_and(|permit| {
                let delay_ms = u64::from(permit.publication_delay_days).saturating_mul(DAY_MS);
                permit.agency == admitted.agency || self.now_ms() >= stored.released_at_ms.saturating_add(delay_ms)
            })
        });
        // `admit` has asked that the caller's own permit covers the plan, which is part of the key.
        // More honest noise shares than asked for are more noise than asked for, and no less secret.
        new_enough && public && release.honest() >= admitted.query.least_honest
    }

    /// Remembers which release a query was given, so that its id stays answered. Without that nothing is lost: it would be found again.
    fn remember_replay(&self, new: &NewQuery<'_>, release: &StoredRelease) {
        // Held over both steps: in between the query would look like one that nobody works on.
        let live = self.live();
        let remembered = self.store.query_insert(new).and_then(|inserted| match inserted {
            Inserted::New => self.store.finish_with_stored_release(&new.query, &release.hash, new.now_ms),
            Inserted::Known(_) => Ok(()),
        });
        drop(live);
        if let Err(error) = remembered {
            report(&new.query, &error);
        }
    }
}

fn report(query: &QueryId, error: &StoreError) {
    tracing::warn!(%query, %error, "a stored release was given out but not remembered for its query");
}

fn of_agency(feed: Arc<Feed>, agency: &str) -> Result<Arc<Feed>, Refusal> {
    if feed.agency() == agency {
        return Ok(feed);
    }
    Err(Refusal::new(WireCode::NotPermitted, "this query was asked by another agency", "sign a query of your own"))
}

/// Refuses what could be computed but neither sent nor stored in one message, before anything is charged.
fn fits_one_message(admitted: &Admitted, holders: usize) -> Result<(), Refusal> {
    let lists = holders.checked_mul(MAX_NAMES_BYTES + ACCEPT_BYTES).and_then(|bytes| bytes.checked_add(RELEASE_OVERHEAD_BYTES));
    if admitted.releases_names() && lists.is_none_or(|bytes| bytes > MAX_MESSAGE_BYTES) {
        return Err(Refusal::new(
            WireCode::InvalidQuery,
            format!("the names that {holders} holders could release would be larger than {MAX_MESSAGE_BYTES} bytes"),
            "group by a column with a code list",
        ));
    }
    let lengths = admitted.plan.lengths();
    let values = lengths.and_then(|lengths| lengths.iter().try_fold(0usize, |sum, length| sum.checked_add(length.checked_mul(8)?)));
    let bytes = values.and_then(|values| values.checked_add(admitted.plan.to_bytes().len())?.checked_add(RELEASE_OVERHEAD_BYTES));
    if bytes.is_some_and(|bytes| bytes <= MAX_MESSAGE_BYTES) {
        return Ok(());
    }
    Err(Refusal::new(
        WireCode::InvalidQuery,
        format!("the answer would be larger than {MAX_MESSAGE_BYTES} bytes"),
        "ask for fewer outputs, for fewer group keys, or for fewer partitions at once",
    ))
}

/// While it exists, its query is under way. Whatever ends the task, listeners get an outcome and the id becomes free for the store's.
struct Live {
    app: Arc<App>,
    id: QueryId,
    feed: Arc<Feed>,
}

impl Drop for Live {
    fn drop(&mut self) {
        let refusal = Refusal::new(
            WireCode::Internal,
            "the coordinator failed while the query was under way",
            "ask for this query again to learn its stored outcome; the operator finds the cause in the coordinator's own log",
        );
        // Without effect after an outcome. Whether it is charged is not known here, so the safe answer is yes.
        self.feed.push(Event::Failed { refusal, charged: true });
        self.app.live().remove(&self.id);
    }
}
