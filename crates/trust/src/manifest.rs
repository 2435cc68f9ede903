//! The last checks before data are read: does the manifest say exactly what the log, the roster and this agent's own computation say?
//!
//! Every field of a manifest is compared with something that the agent holds itself. Without secure aggregation the cohort is every
//! holder that the roster lists for the dataset: c = n - 1, T = n, h = 1, so one refusal or loss ends the attempt (the protocol page, MANIFEST).
//! The coordinator uses `check_reply` and `check_answer` on what comes back.
//!
//! What is not here: that an attempt gets one manifest only, and that it is alive in this process (the agent remembers that);
//! cosignatures of the checkpoint (witnesses come later).

use std::collections::BTreeMap;

use commun_domain::attempt::{Accept, AnswerHead, Manifest, Refuse};
use commun_domain::bundle::RosterHolder;
use commun_domain::encoding::{sha256, tag_of};
use commun_domain::log::HolderRecord;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, QueryId, Refusal, Rho, WireCode};

use crate::admit::{Admitted, HONEST_SHARES, in_time, roster_in_force};
use crate::sign;
use crate::state::{AttemptState, TrustState};

/// Longest time from a manifest's arrival to its deadline, in milliseconds (one hour): an agent is not kept waiting for ever.
pub const MAX_SLOT_MS: u64 = 3_600_000;

/// What this agent reserved for the attempt, as it stands in its own ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnReserve {
    /// The holder's roster index.
    pub index: u32,
    /// Number of the RESERVE record.
    pub seq: u64,
    /// Hash of the RESERVE record.
    pub record: Hash32,
    /// Price reserved per partition.
    pub price: Rho,
    /// `min_colluders` of the ACCEPT that was sent.
    pub min_colluders: u32,
}

fn refuse<T>(code: WireCode, message: impl Into<String>, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, message, hint))
}

/// A manifest that says something else than what this agent knows: a fault or an attack, in both cases not the asker's to mend.
pub(crate) fn require(holds: bool, message: &str) -> Result<(), Refusal> {
    if holds {
        return Ok(());
    }
    let hint = "the attempt ends here and stays charged; the holder should tell the supervisor if it happens again";
    refuse(WireCode::NotPermitted, message, hint)
}

/// Checks a manifest against this agent's own view, at `now_ms` milliseconds since 1970. `own_root` is the root that this agent
/// computed from the entries it has read, at the size `manifest.checkpoint_size`.
///
/// # Errors
/// The first thing that differs.
pub fn check_manifest(
    state: &TrustState,
    admitted: &Admitted,
    own: &OwnReserve,
    manifest: &Manifest,
    own_root: &Hash32,
    now_ms: u64,
) -> Result<(), Refusal> {
    let now_unix = now_ms / 1000;
    in_time(&admitted.query, &admitted.permit, now_unix)?;
    let roster = roster_in_force(state, now_unix)?;
    let attempt = logged_attempt(state, admitted, own, manifest, own_root)?;
    recomputed(admitted, own, manifest)?;
    require(manifest.plan == attempt.entry.plan, "the manifest's plan is not the logged one")?;
    require(manifest.price == attempt.entry.price, "the manifest's price is not the logged one")?;
    let hash = state.roster_hash();
    require(
        Some(manifest.roster) == hash && Some(attempt.entry.roster) == hash,
        "the manifest is for another roster than the one in force",
    )?;
    let listed: Vec<&RosterHolder> = roster.for_dataset(&admitted.contract.name).collect();
    accounted_for(&listed, attempt)?;
    cohort(&listed, own, manifest, attempt)?;
    parameters(&listed, manifest)?;
    slot(manifest, now_ms)
}

/// The attempt's entry, read by this agent, at a size whose root it recomputed, with its own record in it.
fn logged_attempt<'a>(
    state: &'a TrustState,
    admitted: &Admitted,
    own: &OwnReserve,
    manifest: &Manifest,
    own_root: &Hash32,
) -> Result<&'a AttemptState, Refusal> {
    require(manifest.query == admitted.id, "the manifest is for another query than the one that was offered")?;
    let Some(attempt) = state.attempt(&manifest.query, manifest.attempt) else {
        return refuse(
            WireCode::NotPermitted,
            "the attempt is not in the log, and only a query that is public already is answered",
            "the coordinator must log the attempt and send the entry before the manifest",
        );
    };
    // The query's id is the hash of the bytes, so equal ids are equal texts; the state accepted the entry under this id.
    require(attempt.entry.query.bytes.0 == admitted.query.to_bytes(), "the logged query is not the one that was offered")?;
    require(attempt.permit == admitted.permit_hash, "the logged query is under another permit")?;
    require(state.outcome(&manifest.query).is_none(), "the log says that the query has ended")?;
    require(state.refund(&manifest.query, manifest.attempt, own.index).is_none(), "this holder has taken its charge back")?;
    let read = attempt.number < manifest.checkpoint_size && manifest.checkpoint_size <= state.entries();
    require(read, "the manifest's checkpoint does not contain the attempt, or has entries that this agent has not read")?;
    require(manifest.checkpoint_root == *own_root, "the log's root is not the one that this agent computed: it was shown another log")?;
    let record = HolderRecord { index: own.index, seq: own.seq, record: own.record };
    require(attempt.entry.records.contains(&record), "the logged attempt does not hold this agent's own record")?;
    Ok(attempt)
}

/// Every number that decides privacy is the one that this agent computed from the signed text.
fn recomputed(admitted: &Admitted, own: &OwnReserve, manifest: &Manifest) -> Result<(), Refusal> {
    require(manifest.plan == admitted.plan_hash, "the manifest's plan is not what the signed text means")?;
    require(manifest.kind == admitted.kind, "the manifest releases something else than this attempt of the question does")?;
    let (cells, noise) = admitted.manifest_noise();
    require(manifest.cells == cells, "the manifest has another number of cells than the plan")?;
    require(manifest.noise == noise, "the manifest's noise is not what the price needs")?;
    require(manifest.price == admitted.price && manifest.price == own.price, "the manifest's price is not the one that was reserved")?;
    require(manifest.delta == admitted.delta, "the manifest's delta is not the one of the plan")
}

/// Acceptors, refusals and timeouts together are the roster's list for the dataset, each holder once.
fn accounted_for(listed: &[&RosterHolder], attempt: &AttemptState) -> Result<(), Refusal> {
    let entry = &attempt.entry;
    let accepted = entry.records.iter().map(|record| record.index);
    let refused = entry.refusals.iter().map(|refusal| refusal.index);
    let mut all: Vec<u32> = accepted.chain(refused).chain(entry.timeouts.iter().copied()).collect();
    all.sort_unstable();
    let expected = listed.iter().map(|holder| holder.index);
    require(all.iter().copied().eq(expected), "acceptors, refusals and timeouts are not the roster's holders of the dataset, each once")
}

/// One valid ACCEPT of every listed holder, in order, equal to the logged records, this agent's own as it was sent.
fn cohort(listed: &[&RosterHolder], own: &OwnReserve, manifest: &Manifest, attempt: &AttemptState) -> Result<(), Refusal> {
    if manifest.cohort.len() != listed.len() || attempt.entry.records.len() != listed.len() {
        return refuse(
            WireCode::TooFewHolders,
            format!("{} of {} holders are in the cohort, and without aggregation all must be", manifest.cohort.len(), listed.len()),
            "ask again when every holder is connected and willing",
        );
    }
    let records: BTreeMap<u32, &HolderRecord> = attempt.entry.records.iter().map(|record| (record.index, record)).collect();
    let mut own_is_in = false;
    for (holder, signed) in listed.iter().zip(&manifest.cohort) {
        let Reply::Accept(accept) = check_reply(signed, &manifest.query, manifest.attempt, manifest.price, holder)? else {
            return require(false, "the cohort holds a refusal");
        };
        let logged = HolderRecord { index: accept.index, seq: accept.seq, record: accept.record };
        require(records.get(&holder.index) == Some(&&logged), "an acceptance names another record than the logged one")?;
        require(manifest.colluders >= accept.min_colluders, "a holder of the cohort wants protection against more colluding holders")?;
        if holder.index == own.index {
            let sent = accept.seq == own.seq && accept.record == own.record && accept.min_colluders == own.min_colluders;
            require(sent, "this agent's acceptance in the cohort is not the one that it sent")?;
            own_is_in = true;
        }
    }
    require(own_is_in, "this holder is not in the cohort")
}

/// c = n - 1, T = n, h = 1, and every listed holder's own minima in the roster.
fn parameters(listed: &[&RosterHolder], manifest: &Manifest) -> Result<(), Refusal> {
    let holders = u32::try_from(listed.len()).unwrap_or(u32::MAX);
    require(manifest.threshold == holders, "T must be the size of the cohort while aggregation is not in force")?;
    require(manifest.colluders == holders.saturating_sub(1), "c must be the cohort less one while aggregation is not in force")?;
    require(manifest.honest == HONEST_SHARES, "h must be 1 while aggregation is not in force")?;
    let minima = listed.iter().all(|holder| holder.min_survivors <= manifest.threshold && holder.min_colluders <= manifest.colluders);
    if minima {
        return Ok(());
    }
    refuse(
        WireCode::TooFewHolders,
        "the cohort is smaller than what one of its holders insists on in the roster",
        "ask again when more holders answer the dataset",
    )
}

fn slot(manifest: &Manifest, now_ms: u64) -> Result<(), Refusal> {
    let hint = "the coordinator must run another attempt; check the clocks";
    if manifest.deadline_ms <= now_ms {
        return refuse(WireCode::Expired, "the manifest's deadline is past", hint);
    }
    if manifest.deadline_ms - now_ms > MAX_SLOT_MS || manifest.slot_ms > manifest.deadline_ms {
        return refuse(WireCode::NotPermitted, format!("the manifest's slot does not end within {MAX_SLOT_MS} ms"), hint);
    }
    Ok(())
}

/// A holder's reply to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It has reserved and will answer.
    Accept(Accept),
    /// It will not.
    Refuse(Refuse),
}

/// Reads a holder's signed reply to an offer of this query and attempt at this price.
///
/// # Errors
/// `NOT_PERMITTED` when it is not this holder's signed reply to this very offer.
pub fn check_reply(signed: &SignedDocument, query: &QueryId, attempt: u8, price: Rho, holder: &RosterHolder) -> Result<Reply, Refusal> {
    signed_by(signed, holder, "reply")?;
    let malformed = |_| Refusal::new(WireCode::InvalidQuery, format!("the reply of {} cannot be read", holder.name), UPDATE_HINT);
    let (reply, offer, index) = if tag_of(&signed.bytes.0) == Some(Refuse::TAG) {
        let refusal = Refuse::from_bytes(&signed.bytes.0).map_err(malformed)?;
        let offer = (refusal.query, refusal.attempt);
        let index = refusal.index;
        (Reply::Refuse(refusal), offer, index)
    } else {
        let accept = Accept::from_bytes(&signed.bytes.0).map_err(malformed)?;
        require(accept.price == price, "a holder reserved another price than the query's")?;
        let offer = (accept.query, accept.attempt);
        let index = accept.index;
        (Reply::Accept(accept), offer, index)
    };
    require(offer == (*query, attempt), "a holder's reply is to another offer")?;
    require(index == holder.index, "a holder's reply names another holder")?;
    Ok(reply)
}

const UPDATE_HINT: &str = "the holder's agent and the coordinator must run versions that understand each other";

/// Checks a holder's answer: its signed head is for this manifest, and `values` are the bytes that the head names. The shape is for
/// `decode_values` to check.
///
/// # Errors
/// `NOT_PERMITTED` when it is not this holder's answer to this manifest.
pub fn check_answer(signed: &SignedDocument, manifest: &Hash32, values: &[u8], holder: &RosterHolder) -> Result<AnswerHead, Refusal> {
    signed_by(signed, holder, "answer")?;
    let head = AnswerHead::from_bytes(&signed.bytes.0)
        .map_err(|_| Refusal::new(WireCode::InvalidQuery, format!("the answer of {} cannot be read", holder.name), UPDATE_HINT))?;
    require(head.manifest == *manifest, "a holder's answer is to another manifest")?;
    require(head.index == holder.index, "a holder's answer names another holder")?;
    require(head.values == sha256(values), "a holder's answer was changed after it was signed")?;
    Ok(head)
}

fn signed_by(signed: &SignedDocument, holder: &RosterHolder, what: &str) -> Result<(), Refusal> {
    if signed.signatures.len() == 1 && sign::verify(signed, &holder.key) {
        return Ok(());
    }
    refuse(
        WireCode::NotPermitted,
        format!("the {what} is not signed by exactly the key that the roster names for {}", holder.name),
        "the holder must sign with its roster key; a new key needs a new roster",
    )
}
