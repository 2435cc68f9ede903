//! What is answered: the decisions of an agent, synchronous, over its store, its ledger and its reading of the log.
//!
//! OFFER: known before? log intact? deadlines possible? `trust::admit`; the holder's policy; its ledger; then attempt, RESERVE and line of the
//! journal on the disk, all or none; only then ACCEPT. MANIFEST: of an attempt alive in this process, the first one only; then every number compared. Each refusal is signed, has a
//! public reason, and stands in the journal with what an engineer needs to know. Nothing here reads data; `run` does, after this.

use std::collections::BTreeMap;
use std::sync::Arc;

use commun_domain::attempt::{Accept, Manifest, Refuse};
use commun_domain::clock::Clock;
use commun_domain::query::{MAX_SQL_BYTES, Query};
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, Refusal, WireCode};
use commun_engine::Engine;
use commun_secagg::cohort::colluders_feared;
use commun_service::Faults;
use commun_store::AgentStore;
use commun_store::agent::{Decision, JournalLine};
use commun_store::error::StoreError;
use commun_store::incidents::IncidentKind;
use commun_trust::{Admitted, OwnReserve, Shape, When, admit, admit_numbers, check_manifest};
use ed25519_dalek::SigningKey;

use super::attempt::{About, Accepted, AttemptKey, Bound, Live};
use super::book::Book;
use super::incidents::{Incidents, incidents};
use super::logbook::{LogFault, Logbook};
use super::lost::Recall;
use super::message::{Failure, Offer, Outgoing, Refused, failed, local_fault, not_ready, refusal_failure, shortened};
use crate::health::Health;

/// Most attempts that are alive at once: one is worked on, the others wait.
pub const MAX_OPEN_ATTEMPTS: usize = 8;

/// Longest time from an offer to its manifest deadline, in milliseconds: until then a reserve without manifest stays charged.
pub const MAX_MANIFEST_WAIT_MS: u64 = 600_000;

/// What the holder decided in its configuration.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Holder's name.
    pub(crate) holder: String,
    /// Permits that it accepts.
    pub(crate) accept_permits: Vec<Hash32>,
    /// Holders that it counts as independent of itself.
    pub(crate) independent: Vec<String>,
    /// Own minimum of c.
    pub(crate) min_colluders: u32,
    /// Own minimum of T.
    pub(crate) min_survivors: u32,
    /// Own floor of the time from a manifest to its slot, in milliseconds; else the public rule.
    pub(crate) slot_ms: Option<u64>,
}

/// What this holder states in an acceptance.
struct Stated {
    index: u32,
    min_colluders: u32,
    min_survivors: u32,
}

/// The guard's state.
pub(crate) struct Core {
    pub(crate) store: Arc<AgentStore>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) log: Logbook,
    pub(crate) book: Book,
    pub(crate) policy: Policy,
    pub(crate) key: SigningKey,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) faults: Faults,
    pub(crate) health: Arc<Health>,
    pub(crate) live: BTreeMap<AttemptKey, Live>,
    /// What a person has to look at.
    pub(crate) incidents: Incidents,
    /// Whether every record of this holder that the log shows is known.
    pub(crate) recall: Recall,
    /// Last number of the ledger when a person decided last, if that was after a stop.
    pub(crate) decided_at: Option<u64>,
    /// When this process started, milliseconds since 1970.
    pub(crate) started_ms: u64,
}

impl Core {
    /// Ends what the process before left behind: it stays charged, and nobody can say what it had sent (P8).
    ///
    /// Where the log that it had read shows the attempt, the data may have been read, and what ended the process may have come from them.
    pub(crate) fn close_open_attempts(&mut self) -> Result<(), StoreError> {
        let now_ms = self.clock.now_ms();
        let open = self.store.open_attempts()?;
        let records = if open.is_empty() { Vec::new() } else { self.store.ledger_load()? };
        for open in open {
            let key = AttemptKey { query: open.query, attempt: open.attempt };
            let reserve = records.iter().find(|record| (record.query_id, record.attempt) == (open.query, open.attempt));
            let reserve = reserve.filter(|_| self.log.state().attempt(&open.query, open.attempt).is_some());
            let lapse = reserve.map_or_else(Vec::new, |reserve| incidents(IncidentKind::Lapse, now_ms, key, reserve));
            let reason = "the process restarted; the charge stays".to_owned();
            let code = Some(WireCode::Unavailable);
            self.store.attempt_end(&line(now_ms, key, &About::default(), Decision::Failed, code, reason, 0), &lapse)?;
            self.incidents.count(lapse);
        }
        Ok(())
    }

    /// Decides on an offer. The reply is signed; nothing is told before it is on the disk.
    pub(crate) fn offer(&mut self, offer: &Offer) -> Option<Outgoing> {
        let key = AttemptKey { query: offer.query.document_hash().into(), attempt: offer.attempt };
        let mut about = about_unadmitted(&offer.query);
        let decided = self.decide(offer, key, &mut about);
        match decided {
            Ok(accept) => {
                tracing::info!(query = %key.query, attempt = key.attempt, "accepted");
                Some(Outgoing::Accept(accept))
            }
            Err(refused) => self.refuse(key, &about, &refused),
        }
    }

    fn decide(&mut self, offer: &Offer, key: AttemptKey, about: &mut About) -> Result<SignedDocument, Refused> {
        let now_ms = self.clock.now_ms();
        // First, so that no second decision on the same attempt is ever taken, whatever the first one was.
        if self.store.attempt_known(&key.query, key.attempt).map_err(|error| Refused::now(local_fault(&error)))? {
            return Err(Refused::known(key));
        }
        if let Some(reason) = self.log.stopped() {
            let public = "this holder's agent has stopped answering until a person at the holder decides";
            return Err(Refused::now(Failure { local: reason.to_owned(), ..refusal_failure(WireCode::Unavailable, public) }));
        }
        self.knows_its_records().map_err(Refused::now)?;
        deadlines(offer, now_ms)?;
        if self.live.len() >= MAX_OPEN_ATTEMPTS {
            let message = format!("this holder has {MAX_OPEN_ATTEMPTS} attempts open already");
            return Err(Refusal::new(WireCode::Unavailable, message, "ask again when they have ended").into());
        }
        let admitted = admit(self.log.state(), &offer.query, now_ms / 1000)?;
        let admitted = match &offer.names {
            None => admitted,
            Some(lists) => admit_numbers(self.log.state(), &admitted, lists, now_ms / 1000)?,
        };
        *about = About::admitted(&admitted);
        commun_trust::within_limit(&admitted, key.attempt)?;
        self.by_policy(&admitted)?;
        let Stated { index, min_colluders, min_survivors } = self.cohort_minimum(&admitted)?;
        let floor_ms = self.policy.slot_ms.unwrap_or_else(|| commun_trust::slot::wait_ms(&admitted.plan, &admitted.contract));
        slot_not_too_near(offer, floor_ms)?;
        self.incidents.check(&admitted.plan).map_err(Refused::now)?;
        self.book.check(&admitted)?;
        // Without its list of objections no question is answered, and none is charged.
        self.engine.ready(&admitted.contract.name).map_err(|error| Refused::now(not_ready(&error)))?;

        let reason = "within the permit, the policy and the ledger; the price is reserved".to_owned();
        let line = line(now_ms, key, about, Decision::Accepted, None, reason, 0);
        self.faults.at("agent.before_reserve");
        let reserve = self.book.accept(&self.store, &admitted, key.attempt, &line).map_err(|error| Refused::now(local_fault(&error)))?;
        self.faults.at("agent.after_reserve");

        let own = OwnReserve { index, seq: reserve.seq, record: reserve.hash(), price: admitted.price, min_colluders, min_survivors };
        let accepted = Accepted { admitted, own, reserve, manifest_deadline_ms: offer.manifest_deadline_ms, floor_ms };
        let (seq, record, price) = (own.seq, own.record, own.price);
        let accept = Accept { query: key.query, attempt: key.attempt, index, seq, record, price, min_colluders, min_survivors };
        self.live.insert(key, Live::Accepted(Box::new(accepted)));
        Ok(commun_trust::sign::signed(&accept, &self.key))
    }

    fn by_policy(&self, admitted: &Admitted) -> Result<(), Refused> {
        if self.policy.accept_permits.contains(&admitted.permit_hash) {
            return Ok(());
        }
        Err(Refused::now(Failure {
            code: WireCode::NotPermitted,
            public: format!("the holder's policy does not accept permit {}", admitted.permit.reference),
            local: format!(
                "the policy does not list this permit ({}, {}); to accept it, add \"{}\" to accept_permits under [policy] and restart the agent",
                admitted.permit.reference, admitted.permit.purpose, admitted.permit_hash
            ),
            detail: None,
            lapse: false,
        }))
    }

    /// What is wrong with the holder's key, if the roster in force names another one: no question can be answered so.
    pub(crate) fn key_fault(&self) -> Option<String> {
        let own = crate::config::public_key(&self.key);
        let listed = self.log.state().roster()?.holder(&self.policy.holder).filter(|holder| holder.key != own)?;
        let (name, named) = (&self.policy.holder, &listed.key);
        Some(format!(
            "the roster in force names the key {named} for {name}, and holder_key is {own}; configure the key that the roster names, or have a new roster signed"
        ))
    }

    /// The own roster index, `c_i` (the own minimum, or the other listed holders that are not known to be independent), and the own minimum of T.
    fn cohort_minimum(&self, admitted: &Admitted) -> Result<Stated, Refusal> {
        let unlisted = || {
            let message = format!("the roster does not list {} for {}", self.policy.holder, admitted.contract.name);
            Refusal::new(WireCode::NotPermitted, message, "the coordinator must offer to the roster's holders only")
        };
        let roster = self.log.state().roster().ok_or_else(unlisted)?;
        let listed: Vec<_> = roster.for_dataset(&admitted.contract.name).collect();
        let own = listed.iter().find(|holder| holder.name == self.policy.holder).ok_or_else(unlisted)?;
        if own.key != crate::config::public_key(&self.key) {
            let message = format!("the roster names another key for {}", self.policy.holder);
            return Err(Refusal::new(WireCode::Unavailable, message, "the holder must configure the key that the roster names"));
        }
        let others = u32::try_from(listed.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let hint = "ask when the roster lists more holders for the dataset";
        if self.policy.min_colluders > others {
            let message = format!("the holder wants protection against {} others; {others} are listed", self.policy.min_colluders);
            return Err(Refusal::new(WireCode::TooFewHolders, message, hint));
        }
        let min_survivors = self.policy.min_survivors.max(own.min_survivors);
        if min_survivors > others.saturating_add(1) {
            let message = format!("the holder answers only in sums of {min_survivors} holders; {} are listed", listed.len());
            return Err(Refusal::new(WireCode::TooFewHolders, message, hint));
        }
        // Who is alone fears nobody: it adds the whole noise.
        let own_minimum = self.policy.min_colluders.max(own.min_colluders).min(others);
        let names = listed.iter().map(|holder| &holder.name).filter(|name| **name != self.policy.holder);
        let min_colluders = colluders_feared(own_minimum, names, |name| self.policy.independent.contains(name));
        Ok(Stated { index: own.index, min_colluders, min_survivors })
    }

    /// Signs, journals and remembers a refusal. One that cannot be written is told all the same: it charges nothing. `None` when the roster does not name this holder, so that nobody could check it.
    fn refuse(&mut self, key: AttemptKey, about: &About, refused: &Refused) -> Option<Outgoing> {
        let failure = &refused.failure;
        tracing::info!(query = %key.query, attempt = key.attempt, code = %failure.code, "refused");
        self.health.note(self.clock.now_ms(), format!("refused {key}: {}", failure.for_status()));
        let now_ms = self.clock.now_ms();
        let line = line(now_ms, key, about, Decision::Refused, Some(failure.code), failure.local.clone(), 0);
        // A known attempt keeps the state that it has.
        self.noted(if refused.known { self.store.journal_append(&line).map(drop) } else { self.store.attempt_refuse(&line) });
        let index = self.log.state().roster().and_then(|roster| roster.holder(&self.policy.holder)).map(|holder| holder.index)?;
        let refuse = Refuse { query: key.query, attempt: key.attempt, index, code: failure.code, message: shortened(&failure.public) };
        Some(Outgoing::Refuse(commun_trust::sign::signed(&refuse, &self.key)))
    }

    /// Binds the first manifest of an attempt that is alive in this process. Any other is refused; a second one kills its attempt.
    pub(crate) fn bind(&mut self, bytes: &[u8]) -> Result<Box<Bound>, Vec<Outgoing>> {
        let manifest = Manifest::from_bytes(bytes).map_err(|error| {
            self.health.note(self.clock.now_ms(), format!("a manifest cannot be read: {error}"));
            Vec::new()
        })?;
        let key = AttemptKey { query: manifest.query, attempt: manifest.attempt };
        match self.live.remove(&key) {
            Some(Live::Accepted(accepted)) if self.clock.now_ms() < accepted.manifest_deadline_ms => {
                let (bound, working) = accepted.bind(manifest, self.clock.now_ms());
                self.live.insert(key, Live::Bound(Box::new(working)));
                Ok(Box::new(bound))
            }
            Some(Live::Accepted(accepted) | Live::RefundDue { accepted, .. }) => {
                let late = || failed(key, WireCode::Expired, "the manifest came after the offer's deadline");
                Err(vec![self.refund(key, *accepted).unwrap_or_else(late)])
            }
            Some(bound @ Live::Bound(_)) => {
                self.live.insert(key, bound);
                let message = "a second manifest came for the attempt; it is ended";
                Err(self.fail(key, &refusal_failure(WireCode::NotPermitted, message)))
            }
            None => {
                let message = "a manifest came for an attempt that is not alive in this process";
                tracing::warn!(query = %key.query, attempt = key.attempt, "{message}");
                self.health.note(self.clock.now_ms(), format!("{key}: {message}"));
                let (about, code) = (About::default(), Some(WireCode::NotPermitted));
                let line = line(self.clock.now_ms(), key, &about, Decision::Refused, code, message.to_owned(), 0);
                self.noted(self.store.journal_append(&line).map(drop));
                Err(vec![failed(key, WireCode::NotPermitted, message)])
            }
        }
    }

    /// Checks a bound manifest; the log must have been read, and a checkpoint verified, up to its size (see `run`).
    pub(crate) fn check(&self, bound: &Bound) -> Result<Shape, Failure> {
        if let Some(reason) = self.log.stopped() {
            return Err(Failure { local: reason.to_owned(), ..refusal_failure(WireCode::Unavailable, "this holder's agent has stopped") });
        }
        let size = bound.manifest.checkpoint_size;
        let read = self.log.root_at(size).filter(|_| self.log.covers(size));
        let own_root = read.ok_or_else(|| {
            let message = "the log was not sent, with a signed checkpoint, up to the size that the manifest names";
            refusal_failure(WireCode::NotPermitted, message)
        })?;
        let now_ms = self.clock.now_ms();
        if !self.log.is_fresh(now_ms / 1000) {
            return Err(refusal_failure(WireCode::Expired, "the newest checkpoint of the log is not of now; check the clocks"));
        }
        let when = When { now_ms, least_slot_ms: bound.least_slot_ms };
        // A permit may have left the policy only by a restart, which ends every attempt; the ledger has the charge already.
        Ok(check_manifest(self.log.state(), &bound.admitted, &bound.own, &bound.manifest, &own_root, when)?)
    }

    /// Whether a bound attempt has not been ended meanwhile.
    pub(crate) fn is_bound(&self, key: AttemptKey) -> bool {
        matches!(self.live.get(&key), Some(Live::Bound(_)))
    }

    /// Takes log entries; the size read is told back.
    pub(crate) fn entries(&mut self, first: u64, entries: &[Vec<u8>]) -> Result<Outgoing, LogFault> {
        let roster = self.log.state().roster_hash();
        let appended = self.log.append(&self.store, first, entries);
        // Also where a checkpoint that waited for them is not believed: they are read all the same.
        let appended = self.compare_records().and(appended).and_then(|()| self.recall());
        appended.inspect_err(|fault| self.health.note(self.clock.now_ms(), fault.to_string()))?;
        if let Some(fault) = self.key_fault().filter(|_| self.log.state().roster_hash() != roster) {
            tracing::error!("{fault}");
            self.health.note(self.clock.now_ms(), fault);
        }
        Ok(Outgoing::LogReadTo(self.log.size()))
    }

    /// Takes a checkpoint.
    pub(crate) fn checkpoint(&mut self, note: &str) -> Result<(), LogFault> {
        let taken = self.log.checkpoint(&self.store, note).and_then(|()| self.recall());
        taken.inspect_err(|fault| self.health.note(self.clock.now_ms(), fault.to_string()))
    }

    pub(super) fn noted(&self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            tracing::error!("the store could not be written: {error}");
            self.health.note(self.clock.now_ms(), error.to_string());
        }
    }
}

fn deadlines(offer: &Offer, now_ms: u64) -> Result<(), Refusal> {
    let in_order = now_ms < offer.reply_deadline_ms && offer.reply_deadline_ms <= offer.manifest_deadline_ms;
    if in_order && offer.manifest_deadline_ms - now_ms <= MAX_MANIFEST_WAIT_MS {
        return Ok(());
    }
    Err(Refusal::new(
        WireCode::Expired,
        format!("the offer's deadlines are past or more than {MAX_MANIFEST_WAIT_MS} ms away by this holder's clock"),
        "check the clocks of the coordinator and of the holder",
    ))
}

/// A near slot would tell how long reading takes, and so something of the data.
fn slot_not_too_near(offer: &Offer, floor_ms: u64) -> Result<(), Refusal> {
    if offer.slot_wait_ms >= floor_ms {
        return Ok(());
    }
    let message = format!("the slot would come {} ms after the manifest; this holder wants at least {floor_ms} ms", offer.slot_wait_ms);
    Err(Refusal::new(WireCode::NotPermitted, message, "the coordinator's operator sets a longer deadlines.slot_ms"))
}

/// What the journal can say before a query is admitted: nothing in it is verified yet, and a text longer than any question is not kept.
fn about_unadmitted(signed: &SignedDocument) -> About {
    Query::from_bytes(&signed.bytes.0)
        .map(|query| About {
            agency: None,
            permit: Some(query.permit),
            sql: if query.sql.len() <= MAX_SQL_BYTES { query.sql } else { String::new() },
        })
        .unwrap_or_default()
}

pub(super) fn line(
    time_ms: u64,
    key: AttemptKey,
    about: &About,
    decision: Decision,
    code: Option<WireCode>,
    reason: String,
    bytes_sent: u64,
) -> JournalLine {
    let About { agency, permit, sql } = about.clone();
    JournalLine { time_ms, query: key.query, attempt: key.attempt, agency, permit, sql, decision, code, reason, bytes_sent }
}
