//! What makes a trust bundle, roster, data contract or permit valid. Pure functions; `TrustState` keeps what passes.
//!
//! No rule looks at a clock: whether something is in force at a moment is for `admit` and `manifest` to say, so that all who fold
//! the same entries hold the same state, whenever they fold them.

use std::collections::BTreeSet;

use commun_domain::bundle::{Roster, RosterHolder, TrustBundle};
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::check_contract;
use commun_domain::permit::Permit;
use commun_domain::permit_toml::check_permit;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, PublicKey};

use super::TrustError;
use crate::sign;

/// Fewest officers who must sign (k): with one, that one officer alone could make every holder answer (P5).
pub const MIN_OFFICER_THRESHOLD: u32 = 2;

/// Longest name of a holder, in bytes: as in its SPIFFE id.
const MAX_HOLDER_NAME_BYTES: usize = 63;

pub(super) fn decode<D: Document>(what: &'static str, signed: &SignedDocument) -> Result<D, TrustError> {
    D::from_bytes(&signed.bytes.0).map_err(|why| TrustError::Decode { what, why })
}

/// Collects the faults of one document.
struct Faults(Vec<String>);

impl Faults {
    fn require(&mut self, holds: bool, fault: impl Into<String>) {
        if !holds {
            self.0.push(fault.into());
        }
    }

    fn finish(self, what: &'static str) -> Result<(), TrustError> {
        if self.0.is_empty() { Ok(()) } else { Err(TrustError::Rules { what, faults: self.0 }) }
    }
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>, count: usize) -> bool {
    items.collect::<BTreeSet<_>>().len() == count
}

/// Whether at least k different officers of `bundle` have signed.
pub(super) fn by_officers(what: &'static str, signed: &SignedDocument, bundle: &TrustBundle) -> Result<(), TrustError> {
    let keys: Vec<PublicKey> = bundle.officers.iter().map(|officer| officer.key).collect();
    let found = sign::signers(signed, &keys)?.len();
    let needed = usize::try_from(bundle.threshold).unwrap_or(usize::MAX);
    if found < needed { Err(TrustError::Officers { what, needed, found }) } else { Ok(()) }
}

fn by_root(what: &'static str, signed: &SignedDocument, root: &PublicKey) -> Result<(), TrustError> {
    if sign::signers(signed, std::slice::from_ref(root))?.is_empty() { Err(TrustError::NotByRoot(what)) } else { Ok(()) }
}

/// Trust bundle 1: the pinned one, signed by its root.
pub(super) fn first_bundle(signed: &SignedDocument, pinned: Hash32) -> Result<TrustBundle, TrustError> {
    let found = signed.document_hash();
    if found != pinned {
        return Err(TrustError::Pin { pinned, found });
    }
    let bundle: TrustBundle = decode("trust bundle", signed)?;
    if bundle.version != 1 {
        return Err(TrustError::Number { what: "trust bundle", expected: "1".to_owned(), found: bundle.version });
    }
    if bundle.previous.is_some() {
        return Err(TrustError::Contradiction("trust bundle 1 follows no other; leave `previous` out"));
    }
    by_root("trust bundle", signed, &bundle.root)?;
    bundle_rules(&bundle)?;
    Ok(bundle)
}

/// Trust bundle v+1: names v's hash, signed by the root of v and k officers of v.
pub(super) fn next_bundle(signed: &SignedDocument, current: &TrustBundle, current_hash: Hash32) -> Result<TrustBundle, TrustError> {
    let bundle: TrustBundle = decode("trust bundle", signed)?;
    if Some(bundle.version) != current.version.checked_add(1) {
        let expected = format!("{}", u64::from(current.version) + 1);
        return Err(TrustError::Number { what: "trust bundle", expected, found: bundle.version });
    }
    if bundle.previous != Some(current_hash) {
        return Err(TrustError::Previous(current.version));
    }
    by_root("trust bundle", signed, &current.root)?;
    by_officers("trust bundle", signed, current)?;
    bundle_rules(&bundle)?;
    Ok(bundle)
}

fn bundle_rules(bundle: &TrustBundle) -> Result<(), TrustError> {
    let mut faults = Faults(Vec::new());
    let officers = bundle.officers.len();
    let threshold = usize::try_from(bundle.threshold).unwrap_or(usize::MAX);
    let key_taken = |key: &PublicKey| bundle.officers.iter().any(|officer| officer.key == *key);
    faults.require(
        bundle.threshold >= MIN_OFFICER_THRESHOLD,
        format!("threshold: must be at least {MIN_OFFICER_THRESHOLD}, or one officer alone could permit"),
    );
    faults.require(threshold <= officers, format!("threshold: {threshold} officers must sign but there are {officers}"));
    faults.require(distinct(bundle.officers.iter().map(|o| o.key), officers), "officers: two offices share a key");
    faults.require(distinct(bundle.officers.iter().map(|o| &o.office), officers), "officers: an office stands twice");
    faults.require(!key_taken(&bundle.root), "root: must not be an officer's key");
    // The log key lives at the coordinator, and the operator holds no approving key.
    faults.require(!key_taken(&bundle.log_key) && bundle.log_key != bundle.root, "log_key: must not be the root's or an officer's key");
    let witnesses = bundle.witnesses.len();
    faults.require(distinct(bundle.witnesses.iter().map(|w| w.key), witnesses), "witnesses: two witnesses share a key");
    faults.require(
        usize::try_from(bundle.witness_threshold).is_ok_and(|threshold| threshold <= witnesses),
        format!("witness_threshold: more witnesses must cosign than the {witnesses} that there are"),
    );
    faults.finish("trust bundle")
}

/// Roster 1: by the root and all its holders. Epoch e+1: by the root and more than c holders of epoch e, where c is the largest
/// `min_colluders` in e, so that neither coordinator nor root alone can add holders of their own.
pub(super) fn roster(signed: &SignedDocument, bundle: &TrustBundle, current: Option<&Roster>) -> Result<Roster, TrustError> {
    let roster: Roster = decode("roster", signed)?;
    let expected = current.map_or(1, |current| u64::from(current.epoch) + 1);
    if u64::from(roster.epoch) != expected {
        return Err(TrustError::Number { what: "roster", expected: expected.to_string(), found: roster.epoch });
    }
    by_root("roster", signed, &bundle.root)?;
    let voters = current.unwrap_or(&roster);
    let keys: Vec<PublicKey> = voters.holders.iter().map(|holder| holder.key).collect();
    let found = sign::signers(signed, &keys)?.len();
    let needed = match current {
        None => roster.holders.len(),
        Some(current) => current.holders.iter().map(colluders).max().unwrap_or(0).saturating_add(1),
    };
    if found < needed {
        return Err(TrustError::Holders { needed, found });
    }
    roster_rules(&roster)?;
    Ok(roster)
}

fn colluders(holder: &RosterHolder) -> usize {
    usize::try_from(holder.min_colluders).unwrap_or(usize::MAX)
}

fn roster_rules(roster: &Roster) -> Result<(), TrustError> {
    let mut faults = Faults(Vec::new());
    let holders = &roster.holders;
    let count = holders.len();
    faults.require(count > 0, "holders: at least one is needed");
    faults.require(roster.valid_from_unix < roster.valid_until_unix, "valid_until: must be after valid_from");
    faults.require(holders.iter().all(|holder| holder.index > 0), "index: must be at least 1 (a secret share at 0 is the secret)");
    faults.require(holders.windows(2).all(|pair| pair[0].index < pair[1].index), "index: holders must be sorted by index, each index once");
    faults.require(distinct(holders.iter().map(|holder| &holder.name), count), "name: two holders share a name");
    faults.require(distinct(holders.iter().map(|holder| holder.key), count), "key: two holders share a key");
    for holder in holders {
        faults
            .require(is_holder_name(&holder.name), format!("name: \"{}\" must be 1 to 63 of a-z, 0-9 and -", holder.name.escape_default()));
        // Otherwise no cohort could ever satisfy it, and no later roster could replace this one.
        faults.require(colluders(holder) < count, format!("min_colluders: {} asks for more than there are other holders", holder.name));
    }
    faults.finish("roster")
}

fn is_holder_name(name: &str) -> bool {
    (1..=MAX_HOLDER_NAME_BYTES).contains(&name.len()) && name.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// A data contract: k officers, clean, a version above the latest of its name, and never another meaning or a higher cap of an old
/// budget domain.
/// `known` are all data contracts in the log.
pub(super) fn contract<'a>(
    signed: &SignedDocument,
    bundle: &TrustBundle,
    latest: Option<&DataContract>,
    known: impl Iterator<Item = &'a DataContract>,
) -> Result<DataContract, TrustError> {
    let contract: DataContract = decode("data contract", signed)?;
    by_officers("data contract", signed, bundle)?;
    let mut faults = Faults(check_contract(&contract));
    if let Some(latest) = latest {
        if contract.version <= latest.version {
            let expected = format!("more than {}", latest.version);
            return Err(TrustError::Number { what: "data contract", expected, found: contract.version });
        }
        faults.require(
            contract.budget_domain == latest.budget_domain,
            format!("budget.domain: must stay \"{}\": the same rows' budget never starts again", latest.budget_domain),
        );
    }
    // The first of a domain fixes its unit and its calendar for ever: else one person in one period would be charged under two names.
    for other in known.filter(|other| other.budget_domain == contract.budget_domain) {
        faults.require(contract.unit == other.unit, "unit.kind: is another than in the earlier contracts of this budget domain");
        faults.require(
            contract.calendar == other.calendar,
            "partition.calendar: is another than in the earlier contracts of this budget domain",
        );
        faults.require(
            contract.unit_column == other.unit_column && contract.partition_column == other.partition_column,
            "unit.column and partition.column: must stay those of the earlier contracts of this budget domain",
        );
        faults.require(
            contract.rho_cap <= other.rho_cap && contract.delta_keys <= other.delta_keys,
            "budget: the caps of a budget domain never rise: the same rows' budget never starts again",
        );
    }
    faults.finish("data contract")?;
    Ok(contract)
}

/// A permit: k officers, for a known data contract, clean.
pub(super) fn permit<'a>(
    signed: &SignedDocument,
    bundle: &TrustBundle,
    contract: impl Fn(&Hash32) -> Option<&'a DataContract>,
) -> Result<Permit, TrustError> {
    let permit: Permit = decode("permit", signed)?;
    by_officers("permit", signed, bundle)?;
    let contract = contract(&permit.contract).ok_or(TrustError::Unknown("permit's data contract"))?;
    let mut faults = Faults(check_permit(&permit, contract));
    faults.require(permit.contract_name == contract.name, "contract_name: is not the name of the data contract with this hash");
    faults.require(distinct(permit.query_keys.iter(), permit.query_keys.len()), "query_keys: a key stands twice");
    faults.finish("permit")?;
    Ok(permit)
}
