//! Tests of the store as a whole; each file is about one promise.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod agent_tables;
mod coordinator_tables;
mod durability;
mod incidents;
mod ledger_chain;
mod log_order;
mod masked_cells;
mod opening;
mod schema;

use std::path::PathBuf;

use commun_domain::calendar::Period;
use commun_domain::{Delta, Document, Hash32, QueryId, Rho};
use commun_privacy::ledger::{Charge, LedgerRecord, RecordKind};

use crate::agent::{AgentStore, Decision, JournalLine};
use crate::error::StoreError;
use crate::store::{Side, Store, StoreOptions};

/// A folder that is removed at the end, and a store's path in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.sqlite")
    }

    fn open<S: Side>(&self) -> Store<S> {
        Store::open(&self.path(), StoreOptions::default()).unwrap()
    }
}

fn query(number: u8) -> QueryId {
    QueryId::from_bytes([number; 32])
}

/// A record that continues the chain after `before`.
fn record(holder: &str, before: Option<&LedgerRecord>, number: u8, kind: RecordKind) -> LedgerRecord {
    LedgerRecord {
        holder: holder.to_owned(),
        domain: "subscribers".to_owned(),
        seq: before.map_or(1, |before| before.seq + 1),
        previous: before.map_or(Hash32::default(), Document::hash),
        query_id: query(number),
        attempt: 1,
        kind,
        permit: Hash32::from_bytes([7; 32]),
        charges: vec![Charge { period: Period(2011 * 12), rho: Rho::from_units(1 << 30), delta: Delta::ZERO }],
    }
}

/// A line of the journal about the attempt of a record.
fn line_of(record: &LedgerRecord, decision: Decision) -> JournalLine {
    JournalLine {
        time_ms: 1000,
        query: record.query_id,
        attempt: record.attempt,
        agency: Some("statbel".to_owned()),
        permit: Some(record.permit),
        sql: "SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01'".to_owned(),
        decision,
        code: None,
        reason: "within the budget".to_owned(),
        bytes_sent: 0,
    }
}

/// Accepts the attempt of a RESERVE.
fn accept(store: &AgentStore, reserve: &LedgerRecord) -> Result<(), StoreError> {
    store.attempt_accept(reserve, &line_of(reserve, Decision::Accepted))
}
