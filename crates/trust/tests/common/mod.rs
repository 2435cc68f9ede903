//! A small world that obeys every rule: keys, documents, a log, an admitted query and its attempt. A test changes one thing in it.
//!
//! All keys are fixed and known to everyone: never use this outside tests.
#![allow(dead_code, reason = "each test binary uses its own part")]

use commun_domain::attempt::{Accept, Manifest, ManifestKind, OutputNoise};
use commun_domain::bundle::{OfficerKey, Roster, RosterHolder, TrustBundle, WitnessKey};
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::encoding::sha256;
use commun_domain::log::{AttemptEntry, HolderRecord, LogEntry};
use commun_domain::permit::{Permit, PermitTable, QueryClass};
use commun_domain::query::{PriceRequest, Query, QuerySettings, SnapshotRule};
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Document, Epsilon, Hash32, PublicKey, Refusal, Rho};
use commun_trust::sign::public_key;
use commun_trust::{Admitted, OwnReserve, Pins, Shape, TrustState, When, admit, check_manifest, sign};
use ed25519_dalek::SigningKey;

/// The moment at which the world is looked at, in seconds since 1970.
pub(crate) const NOW_UNIX: u64 = 1_800_000_000;

/// Holders of the world.
pub(crate) const HOLDERS: u8 = 3;

/// A question that the world's permit allows.
pub(crate) const SQL: &str = "SELECT home_arr, work_arr, COUNT(DISTINCT subscriber_id) AS commuters \
     FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY home_arr, work_arr";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn root_key() -> SigningKey {
    key(1)
}

/// Officer 1, 2 or 3; any two of them must sign.
pub(crate) fn officer_key(number: u8) -> SigningKey {
    key(10 + number)
}

pub(crate) fn log_key() -> SigningKey {
    key(2)
}

/// Holder with roster index 1, 2 or 3.
pub(crate) fn holder_key(index: u8) -> SigningKey {
    key(30 + index)
}

pub(crate) fn agency_key() -> SigningKey {
    key(50)
}

/// A key that no document names.
pub(crate) fn stranger_key() -> SigningKey {
    key(99)
}

/// A document signed by some keys in order.
pub(crate) fn signed_by(document: &impl Document, keys: &[SigningKey]) -> SignedDocument {
    let mut signed = SignedDocument::unsigned(document);
    for key in keys {
        sign(&mut signed, key).expect("each key signs once");
    }
    signed
}

pub(crate) fn officers() -> [SigningKey; 2] {
    [officer_key(1), officer_key(2)]
}

pub(crate) fn bundle() -> TrustBundle {
    TrustBundle {
        version: 1,
        previous: None,
        trust_domain: "commun.test".to_owned(),
        root: public_key(&root_key()),
        officers: (1..=3).map(|n| OfficerKey { office: format!("officer-{n}"), key: public_key(&officer_key(n)) }).collect(),
        threshold: 2,
        log_origin: "commun.test/log".to_owned(),
        log_key: public_key(&log_key()),
        witnesses: vec![WitnessKey { name: "witness".to_owned(), key: public_key(&key(60)) }],
        witness_threshold: 0,
    }
}

pub(crate) fn holder(index: u8) -> RosterHolder {
    RosterHolder {
        index: u32::from(index),
        name: format!("holder-{index}"),
        key: public_key(&holder_key(index)),
        datasets: vec!["mobility".to_owned()],
        contact: "data@holder.test".to_owned(),
        min_survivors: 3,
        min_colluders: 1,
    }
}

pub(crate) fn roster() -> Roster {
    let holders = (1..=HOLDERS).map(holder).collect();
    Roster { epoch: 1, holders, valid_from_unix: NOW_UNIX - 1000, valid_until_unix: NOW_UNIX + 1_000_000 }
}

/// Root and all holders.
pub(crate) fn roster_signers() -> Vec<SigningKey> {
    std::iter::once(root_key()).chain((1..=HOLDERS).map(holder_key)).collect()
}

pub(crate) fn contract() -> DataContract {
    parse_contract(include_str!("contract.toml")).expect("the contract is clean")
}

pub(crate) fn permit() -> Permit {
    let table = PermitTable { table: "commute".to_owned(), columns: vec!["home_arr".to_owned(), "work_arr".to_owned()] };
    Permit {
        reference: "APD-2027-1".to_owned(),
        agency: "statistics".to_owned(),
        query_keys: vec![public_key(&agency_key())],
        purpose: "planning of public transport".to_owned(),
        legal_basis: "act of 2026, article 3".to_owned(),
        decision_ref: "decision 12/2026".to_owned(),
        decision_sha256: sha256(b"decision"),
        controller: "federal mobility office".to_owned(),
        prohibited_uses: vec!["decisions about single persons".to_owned()],
        contract_name: "mobility".to_owned(),
        contract: contract().hash(),
        tables: vec![table],
        query_classes: vec![QueryClass::CountUnits],
        rho_cap: Rho::parse("0.05").expect("a rho"),
        delta_cap: Delta::ZERO,
        unmasked: true,
        publication_delay_days: 0,
        valid_from_unix: NOW_UNIX - 1000,
        valid_until_unix: NOW_UNIX + 100_000,
    }
}

pub(crate) fn query() -> Query {
    let settings = QuerySettings {
        price: PriceRequest::Epsilon(Epsilon::from_units(1_000_000)),
        max_groups_per_person: 1,
        intervals: true,
        clipped: false,
    };
    Query {
        sql: SQL.to_owned(),
        settings,
        contract: contract().hash(),
        permit: permit().hash(),
        max_price: Rho::parse("0.02").expect("a rho"),
        least_honest: 1,
        snapshot: SnapshotRule::Any,
        nonce: [7; 16],
        expiry_unix: NOW_UNIX + 3600,
    }
}

pub(crate) fn signed_query(query: &Query) -> SignedDocument {
    signed_by(query, &[agency_key()])
}

/// A log that nobody has objected to so far.
pub(crate) struct Log {
    pub(crate) state: TrustState,
}

impl Log {
    /// Nothing but the pin of the world's bundle.
    pub(crate) fn empty() -> Self {
        Self { state: TrustState::new(Pins { bundle: bundle().hash() }) }
    }

    /// Bundle 1 and roster 1.
    pub(crate) fn with_roster() -> Self {
        Self::empty()
            .and(&LogEntry::Bundle(signed_by(&bundle(), &[root_key()])))
            .and(&LogEntry::Roster(signed_by(&roster(), &roster_signers())))
    }

    /// Bundle 1, roster 1 and the data contract.
    pub(crate) fn with_contract() -> Self {
        Self::with_roster().and(&LogEntry::Contract(signed_by(&contract(), &officers())))
    }

    /// All that [`query`] needs, with this permit.
    pub(crate) fn with_permit(permit: &Permit) -> Self {
        Self::with_contract().and(&LogEntry::Permit(signed_by(permit, &officers())))
    }

    /// All that [`query`] needs.
    pub(crate) fn ready() -> Self {
        Self::with_permit(&permit())
    }

    /// Appends an entry that must be accepted.
    pub(crate) fn and(mut self, entry: &LogEntry) -> Self {
        let number = self.state.entries();
        self.state.apply(number, entry).expect("the entry is valid");
        self
    }
}

/// Admits the query as the world's agency signs it.
pub(crate) fn admit_query(log: &Log, query: &Query) -> Result<Admitted, Refusal> {
    admit(&log.state, &signed_query(query), NOW_UNIX)
}

/// The RESERVE record that a holder's ledger would hold for an attempt.
pub(crate) fn record(index: u8) -> HolderRecord {
    HolderRecord { index: u32::from(index), seq: 100 + u64::from(index), record: sha256(&[b'r', index]) }
}

/// An attempt entry in which every holder accepted.
pub(crate) fn attempt_entry(admitted: &Admitted) -> AttemptEntry {
    AttemptEntry {
        query: signed_query(&admitted.query),
        attempt: 1,
        plan: admitted.plan_hash,
        price: admitted.price,
        roster: roster().hash(),
        refusals: Vec::new(),
        timeouts: Vec::new(),
        left_out: Vec::new(),
        records: (1..=HOLDERS).map(record).collect(),
    }
}

/// The ACCEPT of a holder.
pub(crate) fn accept(admitted: &Admitted, index: u8) -> Accept {
    let HolderRecord { index, seq, record } = record(index);
    Accept { query: admitted.id, attempt: 1, index, seq, record, price: admitted.price, min_colluders: 1, min_survivors: 3 }
}

/// Holder 1's view when the manifest arrives.
pub(crate) struct Run {
    pub(crate) log: Log,
    pub(crate) admitted: Admitted,
    pub(crate) own: OwnReserve,
    pub(crate) manifest: Manifest,
    pub(crate) own_root: Hash32,
    pub(crate) now_ms: u64,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self::with_entry(|_| {})
    }

    /// A run whose logged attempt was changed before it was logged.
    pub(crate) fn with_entry(change: impl FnOnce(&mut AttemptEntry)) -> Self {
        let log = Log::ready();
        let admitted = admit_query(&log, &query()).expect("the query is admitted");
        let mut entry = attempt_entry(&admitted);
        change(&mut entry);
        let log = log.and(&LogEntry::Attempt(entry));
        let HolderRecord { index, seq, record } = record(1);
        let own = OwnReserve { index, seq, record, price: admitted.price, min_colluders: 1, min_survivors: 3 };
        let own_root = sha256(b"root of the log");
        let manifest = Manifest {
            query: admitted.id,
            attempt: 1,
            kind: ManifestKind::Numbers { names: None },
            plan: admitted.plan_hash,
            cells: 9,
            noise: admitted.noise(3, 2).expect("noise"),
            price: admitted.price,
            delta: Delta::ZERO,
            cohort: (1..=HOLDERS).map(|index| signed_by(&accept(&admitted, index), &[holder_key(index)])).collect(),
            refusals: Vec::new(),
            timeouts: Vec::new(),
            threshold: 3,
            colluders: 1,
            honest: 2,
            roster: roster().hash(),
            slot_ms: NOW_UNIX * 1000 + 10_000,
            round_ms: 10_000,
            deadline_ms: NOW_UNIX * 1000 + 60_000,
            checkpoint_size: log.state.entries(),
            checkpoint_root: own_root,
        };
        Self { log, admitted, own, manifest, own_root, now_ms: NOW_UNIX * 1000 }
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        self.shape().map(drop)
    }

    pub(crate) fn shape(&self) -> Result<Shape, Refusal> {
        let when = When { now_ms: self.now_ms, least_slot_ms: NOW_UNIX * 1000 + 5_000 };
        check_manifest(&self.log.state, &self.admitted, &self.own, &self.manifest, &self.own_root, when)
    }

    /// Replaces one holder's acceptance by a changed one with that holder's valid signature.
    pub(crate) fn re_accept(&mut self, index: u8, change: impl FnOnce(&mut Accept)) {
        let mut accept = accept(&self.admitted, index);
        change(&mut accept);
        self.manifest.cohort[usize::from(index) - 1] = signed_by(&accept, &[holder_key(index)]);
    }

    pub(crate) fn first_noise(&mut self) -> &mut OutputNoise {
        &mut self.manifest.noise[0]
    }
}

/// The public key of a holder.
pub(crate) fn holder_public(index: u8) -> PublicKey {
    public_key(&holder_key(index))
}
