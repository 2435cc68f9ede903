//! Durable ledger records; both sides.
//!
//! The atomic rule (P8): a record is checked against the stored head of its holder's chain and written in one transaction, and the call
//! returns only when the commit is on the disk. Two callers that built their records on one head cannot both succeed: the second gets
//! [`StoreError::NotNext`], reads again and asks the budget again. What a record does to the accounts, and whether a budget allows it, is
//! `commun_privacy::ledger`'s: apply a record to a copy of the folded ledger before it is written here.

use commun_domain::encoding::sha256;
use commun_domain::{Document, Hash32};
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use rusqlite::{Row, Transaction, params};

use crate::columns::{hash, integer, unsigned};
use crate::error::StoreError;
use crate::store::{Side, Store};

/// Schema of this module.
pub(crate) const SCHEMA: &str = include_str!("schema/ledger.sql");

impl<S: Side> Store<S> {
    /// Appends a record alone. Only tests may: the daemons write each record in one transaction with what it belongs to
    /// (`AgentStore::attempt_accept` and `attempt_refund`, `CoordinatorStore::log_attempt` and `refund`).
    ///
    /// # Errors
    /// [`StoreError::NotNext`] when it does not continue its holder's chain; [`StoreError::AlreadyRecorded`] when the attempt has a
    /// record of this kind.
    #[cfg(test)]
    pub(crate) fn ledger_append(&self, record: &LedgerRecord) -> Result<(), StoreError> {
        self.run("append ledger record", |tx| append(tx, record))
    }

    /// All records in the order of their writing. Every hash and every link of every chain is checked.
    pub fn ledger_load(&self) -> Result<Vec<LedgerRecord>, StoreError> {
        self.read("load ledger", |tx| {
            let mut heads = std::collections::BTreeMap::<String, (u64, Hash32)>::new();
            let mut statement = tx.prepare("SELECT * FROM ledger_records ORDER BY position")?;
            let rows = statement.query_and_then([], |row| {
                let record = record(row)?;
                let hash = record.hash();
                let (seq, previous) = heads.insert(record.holder.clone(), (record.seq, hash)).unwrap_or_default();
                if record.previous != previous || seq.checked_add(1) != Some(record.seq) {
                    return Err(broken(&record.holder, record.seq, "does not follow the record before it"));
                }
                Ok(record)
            })?;
            rows.collect()
        })
    }

    /// Number and hash of a holder's last record: what the next one counts on from and names as its previous. Zero and the zero hash
    /// when it has none.
    pub fn ledger_head(&self, holder: &str) -> Result<(u64, Hash32), StoreError> {
        self.read("read ledger head", |tx| head(tx, holder))
    }
}

/// Appends a record inside a transaction.
pub(crate) fn append(tx: &Transaction<'_>, record: &LedgerRecord) -> Result<(), StoreError> {
    let kind = kind_text(record.kind);
    let sql = "SELECT EXISTS (SELECT 1 FROM ledger_records WHERE holder = ?1 AND query_id = ?2 AND attempt = ?3 AND kind = ?4)";
    let known: bool = tx.query_row(sql, params![record.holder, record.query_id.as_bytes(), record.attempt, kind], |row| row.get(0))?;
    if known {
        let (holder, query, attempt) = (record.holder.clone(), record.query_id, record.attempt);
        return Err(StoreError::AlreadyRecorded { holder, query, attempt, kind });
    }
    let (seq, hash) = head(tx, &record.holder)?;
    let next = seq.saturating_add(1);
    if record.seq != next || record.previous != hash {
        return Err(StoreError::NotNext { holder: record.holder.clone(), seq: record.seq, next });
    }
    let bytes = record.to_bytes();
    tx.execute(
        "INSERT INTO ledger_records (position, holder, domain, seq, hash, bytes, kind, query_id, attempt) \
         SELECT COALESCE(MAX(position), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM ledger_records",
        params![
            record.holder,
            record.domain,
            integer(record.seq)?,
            sha256(&bytes).as_bytes(),
            bytes,
            kind,
            record.query_id.as_bytes(),
            record.attempt,
        ],
    )?;
    Ok(())
}

/// Refuses a record of another kind than the call is for.
pub(crate) fn expect_kind(record: &LedgerRecord, expected: RecordKind) -> Result<(), StoreError> {
    if record.kind == expected {
        Ok(())
    } else {
        Err(StoreError::OtherRecord { expected: kind_text(expected), got: kind_text(record.kind) })
    }
}

fn head(tx: &Transaction<'_>, holder: &str) -> Result<(u64, Hash32), StoreError> {
    let mut statement = tx.prepare("SELECT seq, hash FROM ledger_records WHERE holder = ?1 ORDER BY seq DESC LIMIT 1")?;
    let mut rows = statement.query_and_then([holder], |row| Ok((unsigned(row, "seq")?, hash(row, "hash")?)))?;
    rows.next().unwrap_or(Ok((0, Hash32::default())))
}

/// Reads a record from its bytes; the other columns are there for people and constraints, and must agree.
fn record(row: &Row<'_>) -> Result<LedgerRecord, StoreError> {
    let (holder, seq): (String, u64) = (row.get("holder")?, unsigned(row, "seq")?);
    let bytes: Vec<u8> = row.get("bytes")?;
    if sha256(&bytes) != hash(row, "hash")? {
        return Err(broken(&holder, seq, "has another hash than its bytes"));
    }
    let record = LedgerRecord::from_bytes(&bytes).map_err(|_| broken(&holder, seq, "cannot be read"))?;
    let kind: String = row.get("kind")?;
    let domain: String = row.get("domain")?;
    let key = (crate::columns::query_id(row)?, crate::columns::attempt(row)?);
    let agrees = record.holder == holder && record.seq == seq && record.domain == domain && kind_text(record.kind) == kind;
    if agrees && (record.query_id, record.attempt) == key {
        Ok(record)
    } else {
        Err(broken(&holder, seq, "has columns that differ from its bytes"))
    }
}

fn broken(holder: &str, seq: u64, what: &str) -> StoreError {
    StoreError::Damaged { what: format!("ledger record {seq} of {holder} {what}") }
}

fn kind_text(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Reserve => "reserve",
        RecordKind::Refund => "refund",
        RecordKind::Reset => "reset",
    }
}
