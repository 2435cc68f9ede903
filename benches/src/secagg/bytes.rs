//! Bytes that reach each agent around the rounds and grow with the cohort: the manifest, with every acceptance, and the attempt's entry in the log.

use commun_domain::attempt::{Accept, Manifest, ManifestKind, OutputNoise};
use commun_domain::encoding::sha256;
use commun_domain::log::{AttemptEntry, HolderRecord, LogEntry};
use commun_domain::query::{PriceRequest, Query, QuerySettings, SnapshotRule};
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Document, Hash32, Rho};
use commun_trust::sign::signed;

use super::{count, identity, key};

/// Manifest and entry of a cohort of which nobody refused and nobody was away, in bytes.
pub(super) fn around(members: u32) -> (f64, f64) {
    let (query, attempt, hash, rho) = (identity().query, identity().attempt, sha256(b"any"), Rho::from_units(1 << 34));
    let accept = |index| Accept { query, attempt, index, seq: 1, record: hash, price: rho, min_colluders: 1, min_survivors: 1 };
    let manifest = Manifest {
        query,
        attempt,
        kind: ManifestKind::Numbers { names: None },
        plan: hash,
        cells: 1,
        noise: vec![OutputNoise { gamma_log2: -3, d: 8, s2: 300 }],
        price: rho,
        delta: Delta::ZERO,
        cohort: (1..=members).map(|index| signed(&accept(index), &key(index))).collect(),
        refusals: Vec::new(),
        timeouts: Vec::new(),
        threshold: members,
        colluders: 1,
        honest: 1,
        roster: hash,
        slot_ms: 0,
        round_ms: 0,
        deadline_ms: 0,
        checkpoint_size: 1,
        checkpoint_root: hash,
    };
    let entry = AttemptEntry {
        query: question(hash, rho),
        attempt,
        plan: hash,
        price: rho,
        roster: hash,
        refusals: Vec::new(),
        timeouts: Vec::new(),
        left_out: Vec::new(),
        records: (1..=members).map(|index| HolderRecord { index, seq: 1, record: hash }).collect(),
    };
    (count(manifest.to_bytes().len()), count(LogEntry::Attempt(entry).to_bytes().len()))
}

/// The demo's.
fn question(hash: Hash32, rho: Rho) -> SignedDocument {
    let question = Query {
        sql: crate::engine::SQL.to_owned(),
        settings: QuerySettings { price: PriceRequest::Rho(rho), max_groups_per_person: 1, intervals: true, clipped: false },
        contract: hash,
        permit: hash,
        max_price: rho,
        least_honest: 1,
        snapshot: SnapshotRule::Any,
        nonce: [0; 16],
        expiry_unix: 1,
    };
    signed(&question, &key(0))
}
