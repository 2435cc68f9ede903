//! The log's entries and checkpoints as this process stores them; both sides.
//!
//! Order and contiguity are kept here; the tree over the entries is `commun-tlog`'s, and what they mean `commun-trust`'s.

use commun_domain::log::MAX_ENTRY_BYTES;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::columns::{integer, unsigned};
use crate::error::StoreError;
use crate::store::{Side, Store};

/// Schema of this module.
pub(crate) const SCHEMA: &str = include_str!("schema/log.sql");

/// One stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Place in the log, from 0.
    pub number: u64,
    /// Canonical bytes.
    pub bytes: Vec<u8>,
    /// Kind in one word, as `LogEntry::kind` gives it.
    pub kind: String,
}

impl<S: Side> Store<S> {
    /// Appends one entry and returns its number.
    pub fn append_entry(&self, bytes: &[u8], kind: &str) -> Result<u64, StoreError> {
        self.run("append log entry", |tx| append(tx, bytes, kind))
    }

    /// Appends entries (canonical bytes and kind) that were read elsewhere, in one transaction; the first has number `from`.
    ///
    /// # Errors
    /// [`StoreError::LogGap`] when `from` is not the stored size.
    pub fn append_entries(&self, from: u64, entries: &[(&[u8], &str)]) -> Result<(), StoreError> {
        self.run("append log entries", |tx| {
            let size = size(tx)?;
            if from != size {
                return Err(StoreError::LogGap { got: from, size });
            }
            for (bytes, kind) in entries {
                append(tx, bytes, kind)?;
            }
            Ok(())
        })
    }

    /// At most `limit` entries with numbers from `from`, in order.
    pub fn entries(&self, from: u64, limit: u32) -> Result<Vec<StoredEntry>, StoreError> {
        self.read("read log entries", |tx| {
            let mut statement = tx.prepare("SELECT number, bytes, kind FROM log_entries WHERE number >= ?1 ORDER BY number LIMIT ?2")?;
            let rows = statement.query_and_then(params![integer(from)?, limit], |row| {
                Ok(StoredEntry { number: unsigned(row, "number")?, bytes: row.get("bytes")?, kind: row.get("kind")? })
            })?;
            rows.collect()
        })
    }

    /// Number of stored entries, which is the number of the next one.
    pub fn size(&self) -> Result<u64, StoreError> {
        self.read("read log size", size)
    }

    /// Stores a signed checkpoint; a newer one of the same size replaces the older.
    pub fn save_checkpoint(&self, size: u64, note: &str) -> Result<(), StoreError> {
        self.run("save checkpoint", |tx| {
            let sql = "INSERT INTO checkpoints (size, note) VALUES (?1, ?2) ON CONFLICT (size) DO UPDATE SET note = excluded.note";
            tx.execute(sql, params![integer(size)?, note])?;
            Ok(())
        })
    }

    /// The checkpoint of the largest size: size and note.
    pub fn latest_checkpoint(&self) -> Result<Option<(u64, String)>, StoreError> {
        self.read("read checkpoint", |tx| {
            let sql = "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1";
            let mut statement = tx.prepare(sql)?;
            let mut rows = statement.query_and_then([], |row| Ok((unsigned(row, "size")?, row.get("note")?)))?;
            rows.next().transpose()
        })
    }
}

/// Appends one entry inside a transaction.
pub(crate) fn append(tx: &Transaction<'_>, bytes: &[u8], kind: &str) -> Result<u64, StoreError> {
    if bytes.len() > MAX_ENTRY_BYTES {
        return Err(StoreError::EntryTooLarge(bytes.len()));
    }
    let number = size(tx)?;
    tx.execute("INSERT INTO log_entries (number, bytes, kind) VALUES (?1, ?2, ?3)", params![integer(number)?, bytes, kind])?;
    Ok(number)
}

fn size(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let last: Option<i64> = tx.query_row("SELECT MAX(number) FROM log_entries", [], |row| row.get(0)).optional()?.flatten();
    Ok(last.map_or(0, |number| number.unsigned_abs() + 1))
}
