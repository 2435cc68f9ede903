//! The last checks before data are read: does the manifest say exactly what the log, the roster and this agent's own computation say?
//!
//! Every field of a manifest is compared with something that the agent holds itself (the protocol page, MANIFEST). The cohort of numbers is those who
//! accepted, by the rules of [`crate::cohort`]; names of an open group key, and the numbers of one holder alone, leave unmasked and need every listed holder.
//! [`check_public`] is the same without an agent's own part: for whoever adds a result up again. The coordinator uses `check_reply` and `check_answer`
//! on what comes back.
//!
//! What is not here: that an attempt gets one manifest only, and that it is alive in this process (the agent remembers that);
//! cosignatures of the checkpoint (witnesses come later).

use commun_domain::attempt::{Accept, AnswerHead, Manifest, ROUNDS, Refuse};
use commun_domain::bundle::RosterHolder;
use commun_domain::encoding::{sha256, tag_of};
use commun_domain::log::HolderRecord;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, QueryId, Refusal, Rho, WireCode};
use commun_secagg::cohort::Wish;

use crate::admit::{Admitted, in_time, roster_in_force};
use crate::cohort::{self, Shape};
use crate::sign;
use crate::state::{AttemptState, TrustState};

/// Longest time from a manifest's arrival to its deadline, in milliseconds (one hour): an agent is not kept waiting for ever.
pub const MAX_SLOT_MS: u64 = 3_600_000;

/// Longest round, in milliseconds (ten minutes).
pub const MAX_ROUND_MS: u64 = 600_000;

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
    /// `min_survivors` of the ACCEPT that was sent.
    pub min_survivors: u32,
}

/// When a manifest is checked, by this agent's clock: milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    /// Now.
    pub now_ms: u64,
    /// The earliest slot that this agent takes: when the manifest came, and its own floor.
    pub least_slot_ms: u64,
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

/// Checks a manifest against this agent's own view. `own_root` is the root that this agent computed from the entries it has read, at the size
/// `manifest.checkpoint_size`. Returns n, T, c and h, recomputed.
///
/// # Errors
/// The first thing that differs.
pub fn check_manifest(
    state: &TrustState,
    admitted: &Admitted,
    own: &OwnReserve,
    manifest: &Manifest,
    own_root: &Hash32,
    when: When,
) -> Result<Shape, Refusal> {
    in_time(&admitted.query, &admitted.permit, when.now_ms / 1000)?;
    require(manifest.query == admitted.id, "the manifest is for another query than the one that was offered")?;
    require(state.outcome(&manifest.query).is_none(), "the log says that the query has ended")?;
    require(state.refund(&manifest.query, manifest.attempt, own.index).is_none(), "this holder has taken its charge back")?;
    require(manifest.price == own.price, "the manifest's price is not the one that was reserved")?;
    let attempt = logged_attempt(state, admitted, manifest, own_root)?;
    let record = HolderRecord { index: own.index, seq: own.seq, record: own.record };
    require(attempt.entry.records.contains(&record), "the logged attempt does not hold this agent's own record")?;
    let shape = check_public(state, admitted, manifest, own_root, when.now_ms / 1000)?;
    own_acceptance(own, manifest)?;
    slot(manifest, &shape, when)?;
    Ok(shape)
}

/// What everyone with the log can check of a manifest: it says what the log, the roster in force at `now_unix` and the signed text say.
///
/// # Errors
/// The first thing that differs.
pub fn check_public(
    state: &TrustState,
    admitted: &Admitted,
    manifest: &Manifest,
    own_root: &Hash32,
    now_unix: u64,
) -> Result<Shape, Refusal> {
    require(manifest.query == admitted.id, "the manifest is for another query")?;
    let roster = roster_in_force(state, now_unix)?;
    let attempt = logged_attempt(state, admitted, manifest, own_root)?;
    require(manifest.plan == admitted.plan_hash, "the manifest's plan is not what the signed text means")?;
    require(manifest.plan == attempt.entry.plan, "the manifest's plan is not the logged one")?;
    require(manifest.kind == admitted.kind, "the manifest releases something else than this attempt of the question does")?;
    require(manifest.price == admitted.price, "the manifest's price is not the one of the plan")?;
    require(manifest.price == attempt.entry.price, "the manifest's price is not the logged one")?;
    require(manifest.delta == admitted.delta, "the manifest's delta is not the one of the plan")?;
    let hash = state.roster_hash();
    require(
        Some(manifest.roster) == hash && Some(attempt.entry.roster) == hash,
        "the manifest is for another roster than the one in force",
    )?;
    let listed: Vec<&RosterHolder> = roster.for_dataset(&admitted.contract.name).collect();
    accounted_for(&listed, attempt)?;
    let wishes = cohort_of(&listed, manifest, attempt)?;
    let shape = if admitted.releases_names() {
        everyone(&listed, &wishes, manifest)?
    } else {
        cohort::check(manifest, &wishes, listed.len(), admitted.query.least_honest)?
    };
    // Every number that decides privacy is the one that is computed here from the signed text.
    let (cells, noise) = admitted.manifest_noise(&shape)?;
    require(manifest.cells == cells, "the manifest has another number of cells than the plan")?;
    require(manifest.noise == noise, "the manifest's noise is not what the price and the cohort need")?;
    Ok(shape)
}

/// The attempt's entry, as it was read, at a size whose root was recomputed.
fn logged_attempt<'a>(
    state: &'a TrustState,
    admitted: &Admitted,
    manifest: &Manifest,
    own_root: &Hash32,
) -> Result<&'a AttemptState, Refusal> {
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
    let read = attempt.number < manifest.checkpoint_size && manifest.checkpoint_size <= state.entries();
    require(read, "the manifest's checkpoint does not contain the attempt, or has entries that this agent has not read")?;
    require(manifest.checkpoint_root == *own_root, "the log's root is not the one that this agent computed: it was shown another log")?;
    Ok(attempt)
}

/// Acceptors, refusals, timeouts and those that were left out are the roster's list for the dataset, each holder once.
fn accounted_for(listed: &[&RosterHolder], attempt: &AttemptState) -> Result<(), Refusal> {
    let entry = &attempt.entry;
    let accepted = entry.records.iter().map(|record| record.index);
    let refused = entry.refusals.iter().map(|refusal| refusal.index);
    let left_out = entry.left_out.iter().map(|left| left.index);
    let mut all: Vec<u32> = accepted.chain(refused).chain(entry.timeouts.iter().copied()).chain(left_out).collect();
    all.sort_unstable();
    let expected = listed.iter().map(|holder| holder.index);
    require(all.iter().copied().eq(expected), "acceptors, refusals and timeouts are not the roster's holders of the dataset, each once")
}

/// One valid ACCEPT of every logged acceptor, in order, and one valid REFUSE of each that refused; what the acceptors ask for.
fn cohort_of(listed: &[&RosterHolder], manifest: &Manifest, attempt: &AttemptState) -> Result<Vec<Wish>, Refusal> {
    let entry = &attempt.entry;
    let holder_of = |index: u32| listed.iter().copied().find(|holder| holder.index == index);
    let read = |index: u32, signed: &SignedDocument| {
        let Some(holder) = holder_of(index) else { return require(false, "a holder of the cohort is not listed").map(|()| None) };
        check_reply(signed, &manifest.query, manifest.attempt, manifest.price, holder).map(|reply| Some((holder, reply)))
    };
    require(manifest.timeouts == entry.timeouts, "the manifest's timeouts are not the logged ones")?;
    require(manifest.refusals.len() == entry.refusals.len(), "the manifest's refusals are not the logged ones")?;
    for (logged, signed) in entry.refusals.iter().zip(&manifest.refusals) {
        let Some((_, Reply::Refuse(refuse))) = read(logged.index, signed)? else {
            return require(false, "an acceptance stands among the refusals").map(|()| Vec::new());
        };
        require(refuse.code == logged.code, "a refusal has another code than the logged one")?;
    }
    require(manifest.cohort.len() == entry.records.len(), "the cohort is not those whose records are logged")?;
    let mut wishes = Vec::with_capacity(manifest.cohort.len());
    for (record, signed) in entry.records.iter().zip(&manifest.cohort) {
        let Some((holder, Reply::Accept(accept))) = read(record.index, signed)? else {
            return require(false, "the cohort holds a refusal").map(|()| Vec::new());
        };
        let logged = HolderRecord { index: accept.index, seq: accept.seq, record: accept.record };
        require(*record == logged, "an acceptance names another record than the logged one")?;
        wishes.push(cohort::wish(&accept, holder));
    }
    Ok(wishes)
}

/// Names leave unmasked, each list with its holder's full noise, whoever colludes: every listed holder, and as many as each one insists on.
fn everyone(listed: &[&RosterHolder], wishes: &[Wish], manifest: &Manifest) -> Result<Shape, Refusal> {
    let shape = Shape::unmasked(listed.len());
    if wishes.len() != listed.len() || wishes.iter().any(|wish| wish.min_survivors > shape.members) {
        return refuse(
            WireCode::TooFewHolders,
            format!(
                "{} of {} holders are in the cohort; names need every listed holder, and the minima of each",
                wishes.len(),
                listed.len()
            ),
            "ask again when every holder is connected and willing",
        );
    }
    let stated = (manifest.threshold, manifest.colluders, manifest.honest);
    require(stated == (shape.threshold, shape.colluders, shape.honest), "T, c and h of names are all holders, all but one, and 1")?;
    Ok(shape)
}

fn own_acceptance(own: &OwnReserve, manifest: &Manifest) -> Result<(), Refusal> {
    let accepts = manifest.cohort.iter().filter_map(|signed| Accept::from_bytes(&signed.bytes.0).ok());
    let sent = |accept: &Accept| {
        (accept.seq, accept.record, accept.min_colluders, accept.min_survivors)
            == (own.seq, own.record, own.min_colluders, own.min_survivors)
    };
    match accepts.into_iter().find(|accept| accept.index == own.index) {
        Some(accept) => require(sent(&accept), "this agent's acceptance in the cohort is not the one that it sent"),
        None => require(false, "this holder is not in the cohort"),
    }
}

/// The deadline is the slot and as many rounds as there are, within an hour; the slot is no nearer than the agent's own floor.
fn slot(manifest: &Manifest, shape: &Shape, when: When) -> Result<(), Refusal> {
    let hint = "the coordinator must run another attempt; check the clocks";
    let rounds = if shape.aggregated { u64::from(ROUNDS) } else { 1 };
    let Manifest { slot_ms, round_ms, deadline_ms, .. } = *manifest;
    if deadline_ms <= when.now_ms {
        return refuse(WireCode::Expired, "the manifest's deadline is past", hint);
    }
    let ends = round_ms.checked_mul(rounds).and_then(|all| slot_ms.checked_add(all));
    require((1..=MAX_ROUND_MS).contains(&round_ms) && ends == Some(deadline_ms), "the manifest's rounds do not end at its deadline")?;
    if deadline_ms - when.now_ms > MAX_SLOT_MS {
        return refuse(WireCode::NotPermitted, format!("the manifest's slot does not end within {MAX_SLOT_MS} ms"), hint);
    }
    if slot_ms < when.least_slot_ms {
        return refuse(
            WireCode::NotPermitted,
            format!("the slot is {} ms nearer than this holder takes", when.least_slot_ms - slot_ms),
            "the coordinator's operator sets a longer deadlines.slot_ms; a near slot would tell how long reading takes",
        );
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
