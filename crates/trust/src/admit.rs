//! Admission: whether a signed query may be answered at all, and what it means and costs.
//!
//! The coordinator calls it when a query comes in, and every agent calls it again on the same bytes: the text is compiled and priced
//! anew each time, from the data contract in the log, so that no plan and no number has to be believed (P4), and the coordinator's word opens
//! nothing (P5). Everything that a refusal says comes from the question, the permit, the contract and the roster (P9).
//!
//! What is not asked here: a holder's own policy and ledger (the agent), whether the query is known already (the store), and
//! whether it is in the log (`manifest`).

use std::collections::BTreeSet;

use commun_domain::attempt::{ManifestKind, OutputNoise};
use commun_domain::bundle::Roster;
use commun_domain::contract::DataContract;
use commun_domain::encoding::{Bytes, Encode, sha256};
use commun_domain::permit::{Permit, QueryClass};
use commun_domain::plan::{Aggregate, Estimate, PrivatePlan};
use commun_domain::query::{MAX_QUERY_LIFETIME_S, PriceRequest, Query};
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Document, Hash32, QueryId, Refusal, Rho, WireCode};
use commun_privacy::accountant::{epsilon_for_rho, rho_for_epsilon};
use commun_privacy::ledger::Loss;
use commun_privacy::price::{self, PriceError};

use crate::cohort::Shape;
use crate::sign;
use crate::state::TrustState;

/// The one attempt that releases names, and the one that then releases numbers, of a question with an open group key.
pub const NAMES_ATTEMPT: u8 = 1;
/// See [`NAMES_ATTEMPT`].
pub const NUMBERS_ATTEMPT: u8 = 2;

/// A query that may be answered, with all that follows from its text, its data contract and its permit: of a question with an open group key its first
/// attempt, which releases names; [`crate::names::admit_numbers`] makes the second of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// As signed.
    pub query: Query,
    /// SHA-256 of the signed bytes.
    pub id: QueryId,
    /// Agency of the permit.
    pub agency: String,
    /// Permit.
    pub permit: Permit,
    /// Hash of the permit.
    pub permit_hash: Hash32,
    /// Data contract.
    pub contract: DataContract,
    /// Compiled from the signed text.
    pub plan: PrivatePlan,
    /// Hash of the plan.
    pub plan_hash: Hash32,
    /// What this attempt releases.
    pub kind: ManifestKind,
    /// Privacy loss asked for, per partition at one holder.
    pub rho: Rho,
    /// What the whole question costs per partition at one holder.
    pub whole: Loss,
    /// What this attempt is charged per partition at one holder.
    pub price: Rho,
    /// Delta that this attempt is charged per partition at one holder.
    pub delta: Delta,
    /// Holders that the roster in force lists for the data contract.
    pub listed: u32,
}

impl Admitted {
    /// What this attempt is charged per partition at one holder.
    pub fn loss(&self) -> Loss {
        Loss { rho: self.price, delta: self.delta }
    }

    /// What this attempt and those that must follow are charged: what a budget must have room for now.
    pub fn ahead(&self) -> Loss {
        if self.releases_names() { self.whole } else { self.loss() }
    }

    /// Whether this attempt releases names.
    pub fn releases_names(&self) -> bool {
        matches!(self.kind, ManifestKind::Names { .. })
    }

    /// Lattice and noise of each output at each of `agents` members, of which the noise of `honest` (h) surely counts.
    ///
    /// # Errors
    /// `NOT_PRIVATE` when there is none, or the sum would not fit 64 bits.
    pub fn noise(&self, agents: u32, honest: u32) -> Result<Vec<OutputNoise>, Refusal> {
        price::noise(&self.plan, self.rho, agents, honest).map_err(|why| unpriced(&why))
    }

    /// Cells and noise as a manifest of this attempt states them, for its cohort: names have none.
    ///
    /// # Errors
    /// As [`Admitted::noise`].
    pub fn manifest_noise(&self, shape: &Shape) -> Result<(u64, Vec<OutputNoise>), Refusal> {
        if self.releases_names() {
            return Ok((0, Vec::new()));
        }
        Ok((self.plan.cells().unwrap_or(0), self.noise(shape.members, shape.honest)?))
    }
}

fn refuse<T>(code: WireCode, message: impl Into<String>, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(code, message, hint))
}

/// Decides on a signed query at a moment, in seconds since 1970.
///
/// # Errors
/// The first rule that it breaks, with what to do about it.
pub fn admit(state: &TrustState, signed: &SignedDocument, now_unix: u64) -> Result<Admitted, Refusal> {
    let query = Query::from_bytes(&signed.bytes.0).or_else(|why| {
        refuse(WireCode::InvalidQuery, format!("this is not a signed query: {why}"), "sign the query with a client of this version")
    })?;
    let permit = signed_under_permit(state, signed, &query)?;
    in_time(&query, permit, now_unix)?;
    let contract = contract_of(state, &query, permit)?;
    let plan = commun_sql::compile(&query.sql, contract, &query.settings)?;
    covers(permit, &plan)?;
    let rho = requested_rho(&query, contract)?;
    let whole = price::price(&plan, rho).map_err(|why| unpriced(&why))?;
    within_caps(whole, &query, permit, contract)?;
    let names = price::names(&plan, rho).map_err(|why| unpriced(&why))?;
    let (kind, Loss { rho: price, delta }) = match names {
        None => (ManifestKind::Numbers { names: None }, whole),
        Some(names) => (ManifestKind::Names { law: names.law }, names.loss),
    };
    let listed = listed(roster_in_force(state, now_unix)?, contract)?;
    honest_shares(&query, permit, listed)?;
    let admitted = Admitted {
        id: signed.document_hash().into(),
        agency: permit.agency.clone(),
        permit: permit.clone(),
        permit_hash: query.permit,
        contract: contract.clone(),
        plan_hash: plan.hash(),
        plan,
        kind,
        rho,
        whole,
        price,
        delta,
        listed,
        query,
    };
    // Of every cohort that there could be, these two have most noise, and the finest lattice: a question that some cohort could not sum is not asked.
    admitted.noise(listed, 1)?;
    admitted.noise(listed, most_honest(listed))?;
    Ok(admitted)
}

/// The permit, if it is in the log and one of its keys, and nothing else, has signed.
fn signed_under_permit<'a>(state: &'a TrustState, signed: &SignedDocument, query: &Query) -> Result<&'a Permit, Refusal> {
    let Some(permit) = state.permit(&query.permit) else {
        return refuse(
            WireCode::NotPermitted,
            format!("the permit {} is not in the log", query.permit.short()),
            "use a permit that the register shows, or ask the supervisor's officers to sign and log this one",
        );
    };
    // Counted first: a document with ten thousand copies of one signature must not cost ten thousand checks.
    if signed.signatures.len() != 1 || !sign::signers(signed, &permit.query_keys).is_ok_and(|keys| keys.len() == 1) {
        return refuse(
            WireCode::NotPermitted,
            format!("the query is not signed by exactly one of the keys that permit {} names", permit.reference),
            "sign with the key that the agency gave for this permit; a new key needs a new permit",
        );
    }
    Ok(permit)
}

/// The price of this attempt and of all before it is within what the query accepts: its limit counts over all attempts.
pub fn within_limit(admitted: &Admitted, attempt: u8) -> Result<(), Refusal> {
    if admitted.plan.open_key().is_some() {
        // Its two attempts are priced together, when it is admitted.
        let expected = if admitted.releases_names() { NAMES_ATTEMPT } else { NUMBERS_ATTEMPT };
        if attempt == expected {
            return Ok(());
        }
        let message = format!("attempt {attempt} was offered of a question with an open group key, where attempt {expected} comes next");
        return refuse(WireCode::NotPermitted, message, "attempt 1 releases names and attempt 2 numbers over them; sign a new query");
    }
    let total = admitted.price.checked_mul(u64::from(attempt));
    if total.is_some_and(|total| total <= admitted.query.max_price) {
        return Ok(());
    }
    refuse(
        WireCode::OverBudget,
        format!("with attempt {attempt} the question could cost {attempt} times its price, which is more than it accepts"),
        "sign a new query, or one that accepts a higher price",
    )
}

/// Permit and query are both in force now. Asked again when a manifest comes.
pub(crate) fn in_time(query: &Query, permit: &Permit, now_unix: u64) -> Result<(), Refusal> {
    if now_unix < permit.valid_from_unix {
        let from = permit.valid_from_unix;
        return refuse(
            WireCode::Expired,
            format!("permit {} is not valid yet; it becomes so at {from} seconds since 1970, now is {now_unix}", permit.reference),
            "ask again later, and check this machine's clock",
        );
    }
    if now_unix >= permit.valid_until_unix {
        let until = permit.valid_until_unix;
        return refuse(
            WireCode::Expired,
            format!("permit {} was valid until {until} seconds since 1970, now is {now_unix}", permit.reference),
            "ask the supervisor for a new permit",
        );
    }
    if now_unix >= query.expiry_unix {
        return refuse(
            WireCode::Expired,
            format!("the query was to be answered before {} seconds since 1970, now is {now_unix}", query.expiry_unix),
            "sign it again with a later expiry, and check the clocks",
        );
    }
    if query.expiry_unix - now_unix > MAX_QUERY_LIFETIME_S {
        return refuse(
            WireCode::InvalidQuery,
            format!("the query expires in {} s, later than the {MAX_QUERY_LIFETIME_S} s that are allowed", query.expiry_unix - now_unix),
            "sign it with an earlier expiry, and check the clocks",
        );
    }
    Ok(())
}

pub(crate) fn contract_of<'a>(state: &'a TrustState, query: &Query, permit: &Permit) -> Result<&'a DataContract, Refusal> {
    if query.contract != permit.contract {
        return refuse(
            WireCode::NotPermitted,
            format!(
                "permit {} is for data contract {}, the query for {}",
                permit.reference,
                permit.contract.short(),
                query.contract.short()
            ),
            "ask for the version of the data contract that the permit names",
        );
    }
    state.contract(&query.contract).ok_or_else(|| {
        Refusal::new(
            WireCode::NotPermitted,
            format!("the data contract {} is not in the log", query.contract.short()),
            "use a data contract that the register shows",
        )
    })
}

/// Whether a permit allows a plan: its data contract, table, columns and classes of statistic. Also asked when a stored result
/// release is to be returned to another permit's agency.
///
/// # Errors
/// `NOT_PERMITTED` with the first thing that the permit does not name.
pub fn covers(permit: &Permit, plan: &PrivatePlan) -> Result<(), Refusal> {
    let not_covered = |what: String, allowed: String| {
        let hint = format!("{allowed}; anything else needs a new permit");
        refuse(WireCode::NotPermitted, format!("permit {} does not allow {what}", permit.reference), hint)
    };
    if plan.contract != permit.contract {
        let allowed = format!("it allows {} of hash {}", permit.contract_name, permit.contract.short());
        return not_covered(format!("data contract {}", plan.contract.short()), allowed);
    }
    for (table, columns) in plan.table_columns() {
        let entries: Vec<_> = permit.tables.iter().filter(|entry| entry.table == table).collect();
        if entries.is_empty() {
            let tables: Vec<&str> = permit.tables.iter().map(|entry| entry.table.as_str()).collect();
            return not_covered(format!("table {table}"), format!("it allows the tables {}", tables.join(", ")));
        }
        let allowed: BTreeSet<&str> = entries.iter().flat_map(|entry| &entry.columns).map(String::as_str).collect();
        if let Some(column) = columns.into_iter().find(|column| !allowed.contains(column)) {
            let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
            return not_covered(format!("column {column} of {table}"), format!("it allows the columns {allowed}"));
        }
    }
    if let Some(class) = used_classes(plan).into_iter().find(|class| !permit.query_classes.contains(class)) {
        let allowed: Vec<&str> = permit.query_classes.iter().map(|class| class.as_str()).collect();
        return not_covered(format!("the query class {}", class.as_str()), format!("it allows {}", allowed.join(", ")));
    }
    Ok(())
}

/// Classes of statistic that a plan asks for. An average needs a count, a variance a count and a sum: those belong to the class that
/// needs them, and to it alone. What leaves and is shown in no such way has a class of its own, so that nothing leaves without one.
fn used_classes(plan: &PrivatePlan) -> BTreeSet<QueryClass> {
    let (mut classes, mut parts) = (BTreeSet::new(), BTreeSet::new());
    plan.estimates(&mut |estimate| {
        estimate.visit(&mut |part| match part {
            Estimate::Mean { count, centred } => {
                classes.insert(QueryClass::Average);
                parts.extend([*count, *centred]);
            }
            Estimate::Variance { count, centred, squares, .. } => {
                classes.insert(QueryClass::Variance);
                parts.extend([*count, *centred, *squares]);
            }
            _ => {}
        });
    });
    // A count that is also asked for by itself is one.
    plan.estimates(&mut |estimate| {
        estimate.visit(&mut |part| {
            if let Estimate::Output(index) = part {
                parts.remove(index);
            }
        });
    });
    if plan.open_key().is_some() {
        classes.insert(QueryClass::OpenKeys);
    }
    if plan.clipped.is_some() {
        // They are people, counted.
        classes.insert(QueryClass::CountUnits);
    }
    for (output, index) in plan.outputs.iter().zip(0u16..) {
        match output.aggregate {
            Aggregate::CentredSum { .. } if !parts.contains(&index) => classes.insert(QueryClass::Average),
            Aggregate::CentredSquares { .. } if !parts.contains(&index) => classes.insert(QueryClass::Variance),
            Aggregate::Histogram { .. } => classes.insert(QueryClass::Quantile),
            Aggregate::Sum { .. } => classes.insert(QueryClass::Sum),
            Aggregate::CountUnits => classes.insert(QueryClass::CountUnits),
            Aggregate::CountRows { .. } if !parts.contains(&index) => classes.insert(QueryClass::CountRows),
            Aggregate::CountRows { .. } | Aggregate::CentredSum { .. } | Aggregate::CentredSquares { .. } => false,
        };
    }
    classes
}

pub(crate) fn requested_rho(query: &Query, contract: &DataContract) -> Result<Rho, Refusal> {
    let rho = match query.settings.price {
        PriceRequest::Rho(rho) => rho,
        PriceRequest::Epsilon(epsilon) => rho_for_epsilon(epsilon, contract.delta_conv)
            .or_else(|why| refuse(WireCode::InvalidQuery, why.to_string(), "ask for an epsilon above 0, for example 1"))?,
    };
    if rho == Rho::ZERO {
        return refuse(WireCode::InvalidQuery, "a privacy loss of 0 answers nothing", "ask for an epsilon or rho above 0");
    }
    Ok(rho)
}

/// A loss for people: rho and the epsilon that it is worth.
fn loss(rho: Rho, contract: &DataContract) -> String {
    format!("rho {rho} (epsilon {:.3})", epsilon_for_rho(rho, contract.delta_conv))
}

/// A refused price says both numbers: rounded ones could look equal, so units of 2^-40 stand beside them.
fn over(price: Rho, limit: Rho, what: &str, contract: &DataContract, hint: &str) -> Result<(), Refusal> {
    if price <= limit {
        return Ok(());
    }
    let (asked, allowed) = (loss(price, contract), loss(limit, contract));
    let (price, limit) = (price.units(), limit.units());
    refuse(WireCode::OverBudget, format!("the price is {asked}, {price} units of 2^-40; {what} is {allowed}, {limit} units"), hint)
}

fn within_caps(Loss { rho: price, delta }: Loss, query: &Query, permit: &Permit, contract: &DataContract) -> Result<(), Refusal> {
    over(price, query.max_price, "the highest price that the query accepts", contract, "accept a higher price, or ask for less")?;
    over(price, permit.rho_cap, "the permit's whole budget", contract, "ask for less, or for a permit with a larger budget")?;
    over(price, contract.rho_cap, "the data contract's cap", contract, "ask for less; this cap never rises for the same rows")?;
    if delta > permit.delta_cap || delta > contract.delta_keys {
        let cap = permit.delta_cap.min(contract.delta_keys);
        let message = format!("names of an open group key cost delta {delta}; {cap} is allowed");
        return refuse(WireCode::OverBudget, message, "group by a column with a code list, or ask for a permit with a delta_cap");
    }
    Ok(())
}

/// The largest h of any cohort of these holders: all survive, and one may collude.
fn most_honest(listed: u32) -> u32 {
    listed.saturating_sub(1).max(1)
}

/// What this number of holders cannot give, whatever they reply. A single one is hidden by nobody.
fn honest_shares(query: &Query, permit: &Permit, listed: u32) -> Result<(), Refusal> {
    let most = most_honest(listed);
    if query.least_honest > most {
        return refuse(
            WireCode::TooFewHolders,
            format!("the query wants {} honest noise shares; {listed} holder(s) can give {most}", query.least_honest),
            "sign the query with fewer: each holder then adds more noise",
        );
    }
    if listed == 1 && !permit.unmasked {
        return refuse(
            WireCode::NotPermitted,
            format!("permit {} does not allow that the one holder's own noisy answer leaves it unmasked", permit.reference),
            "ask for a permit that says `unmasked = true`, or ask when a second holder is listed for the dataset",
        );
    }
    Ok(())
}

/// The roster, if there is one that is valid now.
pub(crate) fn roster_in_force(state: &TrustState, now_unix: u64) -> Result<&Roster, Refusal> {
    let valid = |roster: &&Roster| (roster.valid_from_unix..roster.valid_until_unix).contains(&now_unix);
    state.roster().filter(valid).ok_or_else(|| {
        Refusal::new(
            WireCode::Unavailable,
            "no roster of holders is in force now",
            "the operator must have a new roster signed and logged; check this machine's clock too",
        )
    })
}

/// How many holders answer a data contract.
fn listed(roster: &Roster, contract: &DataContract) -> Result<u32, Refusal> {
    let holders = u32::try_from(roster.for_dataset(&contract.name).count()).unwrap_or(u32::MAX);
    if holders == 0 {
        return refuse(
            WireCode::TooFewHolders,
            format!("no holder of the roster answers {}", contract.name),
            "ask for a dataset that the register shows with its holders",
        );
    }
    Ok(holders)
}

pub(crate) fn unpriced(why: &PriceError) -> Refusal {
    let hint = "ask for more rho, fewer groups per person or fewer outputs; narrower bounds need a new data contract";
    Refusal::new(WireCode::NotPrivate, format!("the question cannot be given noise as it stands: {why}"), hint)
}

/// What two askers of the same question share, so that a stored result release may answer the second, free: the plan, rho and the
/// roster's epoch. Not the permit (ask [`covers`]), not the snapshot rule and the least h (compared with the release's own),
/// and nothing of data: one erasure would turn "free" into "priced".
pub fn replay_key(admitted: &Admitted, roster_epoch: u32) -> Hash32 {
    let mut bytes = Vec::new();
    "commun/replay/v2".encode(&mut bytes);
    // Names are what was released, not what is asked.
    Bytes(admitted.plan.without_names().to_bytes()).encode(&mut bytes);
    admitted.rho.encode(&mut bytes);
    roster_epoch.encode(&mut bytes);
    sha256(&bytes)
}
