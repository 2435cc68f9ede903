//! The coordinator's own tables: queries and result releases, and the transactions that tie them to ledgers and log.
//!
//! The atomic rule: what must be true together is one transaction. A charge never stands without its attempt in the log, and a result
//! release is never stored without its entry and the state of its query. After a crash, [`Store::unfinished_queries`] says which queries
//! were cut short; what then happens to them is the restart rule of the coordinator.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::encoding::sha256;
use commun_domain::{Hash32, QueryId};
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use rusqlite::{Row, Transaction, params};

use crate::columns::{attempt, hash, integer, optional_hash, query_id, unsigned, word, words};
use crate::error::StoreError;
use crate::masked_cells::{CellFiles, KeptCells};
use crate::store::{Side, Store};
use crate::{ledger, log};

/// The coordinator's side.
#[derive(Debug)]
pub enum Coordinator {}

impl Side for Coordinator {
    const NAME: &'static str = "coordinator";
    const APPLICATION_ID: i32 = i32::from_be_bytes(*b"CmCo");
    const MIGRATIONS: &'static [&'static str] =
        &[log::SCHEMA, ledger::SCHEMA, include_str!("schema/coordinator.sql"), include_str!("schema/coordinator_cells.sql")];

    /// Removes masked cells that a crash left behind, of results that were not stored or are forgotten.
    fn tidy(store: &CoordinatorStore) -> Result<(), StoreError> {
        let kept: BTreeSet<QueryId> = store.read("kept aggregations", |tx| {
            let mut statement = tx.prepare("SELECT query_id FROM aggregations")?;
            statement.query_and_then([], query_id)?.collect()
        })?;
        store.cell_files().tidy(|query| kept.contains(query))
    }
}

/// The coordinator's store.
pub type CoordinatorStore = Store<Coordinator>;

words!(
    /// The step of a query that is durably done.
    QueryState {
        /// Stored; nobody was asked yet.
        Received = "received",
        /// Offered to holders.
        Offered = "offered",
        /// Charged, and its attempt written into the log.
        Logged = "logged",
        /// Answered by a result release.
        Released = "released",
        /// Ended without an answer.
        Failed = "failed",
    }
);

/// A query as it is first received.
#[derive(Clone, Copy, Debug)]
pub struct NewQuery<'a> {
    /// Its id.
    pub query: QueryId,
    /// The signed query, canonical bytes.
    pub signed: &'a [u8],
    /// Agency whose client sent it.
    pub agency: &'a str,
    /// Now, milliseconds since 1970.
    pub now_ms: u64,
}

/// A stored query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryRow {
    /// Its id.
    pub query: QueryId,
    /// The signed query, canonical bytes.
    pub signed: Vec<u8>,
    /// Agency whose client sent it.
    pub agency: String,
    /// Step that is durably done.
    pub state: QueryState,
    /// What the caller was told when it failed, canonical bytes.
    pub refusal: Option<Vec<u8>>,
    /// The result release that answers it.
    pub release: Option<Hash32>,
    /// First received, milliseconds since 1970.
    pub created_ms: u64,
    /// Last change of state, milliseconds since 1970.
    pub updated_ms: u64,
}

/// What became of [`Store::query_insert`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was new and is stored.
    New,
    /// It is known: this is its stored outcome so far, and nothing may be started for it.
    Known(QueryRow),
}

/// A result release to store.
#[derive(Clone, Copy, Debug)]
pub struct NewRelease<'a> {
    /// Query that it answers first.
    pub query: QueryId,
    /// The result release, canonical bytes; its hash is taken here.
    pub bytes: &'a [u8],
    /// Equal for questions that it answers too.
    pub replay_key: [u8; 32],
    /// Its own time, milliseconds since 1970.
    pub released_at_ms: u64,
    /// What its aggregation left to be added up again; `None` where nothing was aggregated.
    pub aggregation: Option<NewAggregation<'a>>,
}

/// What a supervisor needs to add a result up again.
#[derive(Clone, Copy, Debug)]
pub struct NewAggregation<'a> {
    /// Attempt that was released.
    pub attempt: u8,
    /// The manifest, canonical bytes.
    pub manifest: &'a [u8],
    /// What holders released before, canonical bytes: of a question with an open group key.
    pub lists: Option<&'a [u8]>,
    /// Opened seeds, keys and signatures: a `commun/secagg-record/v1`.
    pub record: &'a [u8],
    /// Masked cells of the survivors, from [`Store::keep_cells`].
    pub cells: &'a KeptCells,
}

/// What was kept of an aggregation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAggregation {
    /// Attempt that was released.
    pub attempt: u8,
    /// The manifest, canonical bytes.
    pub manifest: Vec<u8>,
    /// What holders released before, canonical bytes.
    pub lists: Option<Vec<u8>>,
    /// A `commun/secagg-record/v1`.
    pub record: Vec<u8>,
}

/// A stored result release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRelease {
    /// SHA-256 of the bytes.
    pub hash: Hash32,
    /// Canonical bytes.
    pub bytes: Vec<u8>,
    /// Milliseconds since 1970.
    pub released_at_ms: u64,
}

impl CoordinatorStore {
    /// Stores a query in state `received`, unless it is known.
    pub fn query_insert(&self, new: &NewQuery<'_>) -> Result<Inserted, StoreError> {
        self.run("insert query", |tx| {
            if let Some(row) = find(tx, &new.query)? {
                return Ok(Inserted::Known(row));
            }
            tx.execute(
                "INSERT INTO queries (query_id, signed, agency, state, created_ms, updated_ms) VALUES (?1, ?2, ?3, 'received', ?4, ?4)",
                params![new.query.as_bytes(), new.signed, new.agency, integer(new.now_ms)?],
            )?;
            Ok(Inserted::New)
        })
    }

    /// A stored query.
    pub fn query(&self, query: &QueryId) -> Result<Option<QueryRow>, StoreError> {
        self.read("read query", |tx| find(tx, query))
    }

    /// Writes down that the holders are being asked.
    pub fn query_offered(&self, query: &QueryId, now_ms: u64) -> Result<(), StoreError> {
        self.run("query offered", |tx| advance(tx, query, &[QueryState::Received], QueryState::Offered, None, None, now_ms))
    }

    /// Charges each holder's ledger and appends the attempt to the log, in one transaction; returns the entry's number.
    pub fn log_attempt(&self, query: &QueryId, entry: &[u8], records: &[LedgerRecord], now_ms: u64) -> Result<u64, StoreError> {
        self.run("log attempt", |tx| {
            for record in records {
                ledger::expect_kind(record, RecordKind::Reserve)?;
                ledger::append(tx, record)?;
            }
            // From `logged` too: another attempt, after members fell out of the one before.
            let from = [QueryState::Received, QueryState::Offered, QueryState::Logged];
            advance(tx, query, &from, QueryState::Logged, None, None, now_ms)?;
            log::append(tx, entry, "attempt")
        })
    }

    /// Appends the names of an open group key to the log; the holders are asked again, so that a second attempt may be logged. One transaction; returns
    /// the entry's number.
    pub fn log_names(&self, query: &QueryId, entry: &[u8], now_ms: u64) -> Result<u64, StoreError> {
        self.run("log names", |tx| {
            advance(tx, query, &[QueryState::Logged], QueryState::Offered, None, None, now_ms)?;
            log::append(tx, entry, "names")
        })
    }

    /// Writes the masked cells of a query's survivors, by roster index, before its release is stored; takes as long as the disk does.
    pub fn keep_cells(&self, query: &QueryId, cells: &BTreeMap<u32, Vec<u64>>) -> Result<KeptCells, StoreError> {
        self.cell_files().write(query, cells)
    }

    /// Stores a result release, appends its entry to the log and ends its query, in one transaction; returns the entry's number.
    pub fn finish_with_release(&self, release: &NewRelease<'_>, entry: &[u8], now_ms: u64) -> Result<u64, StoreError> {
        let release_hash = sha256(release.bytes);
        if let Some(kept) = &release.aggregation {
            kept.cells.check(&release.query)?;
        }
        let written = self.run("finish with release", |tx| {
            tx.execute(
                "INSERT INTO releases (position, release_hash, query_id, replay_key, bytes, released_at_ms) \
                 SELECT COALESCE(MAX(position), 0) + 1, ?1, ?2, ?3, ?4, ?5 FROM releases",
                params![
                    release_hash.as_bytes(),
                    release.query.as_bytes(),
                    release.replay_key,
                    release.bytes,
                    integer(release.released_at_ms)?
                ],
            )?;
            if let Some(kept) = &release.aggregation {
                keep(tx, &release.query, kept, release.released_at_ms)?;
            }
            advance(tx, &release.query, &[QueryState::Logged], QueryState::Released, None, Some(&release_hash), now_ms)?;
            log::append(tx, entry, "release")
        });
        // A commit whose write failed may be found after a crash all the same; a file too many is removed at the next start.
        if let (Ok(_) | Err(StoreError::Sqlite { .. }), Some(kept)) = (&written, &release.aggregation) {
            kept.cells.stays();
        }
        written
    }

    /// What was kept of the aggregation that answered a query; `None` once it is forgotten, or where there was none.
    pub fn aggregation(&self, query: &QueryId) -> Result<Option<StoredAggregation>, StoreError> {
        self.read("read aggregation", |tx| {
            let mut statement = tx.prepare("SELECT * FROM aggregations WHERE query_id = ?1")?;
            let found = statement.query_and_then([query.as_bytes()], |row| {
                let (manifest, lists, record) = (row.get("manifest")?, row.get("lists")?, row.get("record")?);
                Ok(StoredAggregation { attempt: attempt(row)?, manifest, lists, record })
            })?;
            found.into_iter().next().transpose()
        })
    }

    /// The masked cells of one survivor of the aggregation that answered a query; `None` once they are forgotten, or where it was no survivor.
    pub fn masked_cells(&self, query: &QueryId, index: u32) -> Result<Option<Vec<u64>>, StoreError> {
        let row = "SELECT 1 FROM aggregations WHERE query_id = ?1";
        if !self.read("kept aggregation", |tx| Ok(tx.prepare(row)?.exists([query.as_bytes()])?))? {
            return Ok(None);
        }
        self.cell_files().read(query, index)
    }

    /// Forgets what was kept of aggregations released before a moment, in milliseconds since 1970; returns how many.
    pub fn forget_aggregations(&self, before_ms: u64) -> Result<usize, StoreError> {
        let forgotten: Vec<QueryId> = self.run("forget aggregations", |tx| {
            let mut statement = tx.prepare("DELETE FROM aggregations WHERE released_at_ms < ?1 RETURNING query_id")?;
            statement.query_and_then([integer(before_ms)?], query_id)?.collect()
        })?;
        let files = self.cell_files();
        for query in &forgotten {
            files.discard(query);
        }
        Ok(forgotten.len())
    }

    fn cell_files(&self) -> CellFiles {
        CellFiles::beside(self.path())
    }

    /// Ends a query that nobody was asked for with a release that is stored already; nothing is charged and nothing is logged.
    pub fn finish_with_stored_release(&self, query: &QueryId, release: &Hash32, now_ms: u64) -> Result<(), StoreError> {
        self.run("finish with stored release", |tx| {
            advance(tx, query, &[QueryState::Received], QueryState::Released, None, Some(release), now_ms)
        })
    }

    /// Ends a query without an answer: keeps what the caller was told (canonical bytes of a refusal) and appends the failure to the log
    /// where there is an entry for it; returns the entry's number.
    pub fn finish_with_failure(
        &self,
        query: &QueryId,
        refusal: &[u8],
        entry: Option<&[u8]>,
        now_ms: u64,
    ) -> Result<Option<u64>, StoreError> {
        self.run("finish with failure", |tx| {
            let from = [QueryState::Received, QueryState::Offered, QueryState::Logged];
            advance(tx, query, &from, QueryState::Failed, Some(refusal), None, now_ms)?;
            entry.map(|entry| log::append(tx, entry, "failure")).transpose()
        })
    }

    /// Takes a holder's charge back and appends the refund to the log, in one transaction; returns the entry's number.
    pub fn refund(&self, record: &LedgerRecord, entry: &[u8]) -> Result<u64, StoreError> {
        self.run("refund", |tx| {
            ledger::expect_kind(record, RecordKind::Refund)?;
            ledger::append(tx, record)?;
            log::append(tx, entry, "refund")
        })
    }

    /// Result releases with a replay key, newest first.
    pub fn release_by_key(&self, replay_key: &[u8; 32]) -> Result<Vec<StoredRelease>, StoreError> {
        self.read("releases by key", |tx| {
            let mut statement = tx.prepare("SELECT * FROM releases WHERE replay_key = ?1 ORDER BY position DESC")?;
            statement.query_and_then([replay_key], stored_release)?.collect()
        })
    }

    /// The result release that answers a query: its own, or the earlier one that it was given.
    pub fn release_by_query(&self, query: &QueryId) -> Result<Option<StoredRelease>, StoreError> {
        self.read("release by query", |tx| {
            let sql = "SELECT releases.* FROM queries JOIN releases USING (release_hash) WHERE queries.query_id = ?1";
            let mut statement = tx.prepare(sql)?;
            statement.query_and_then([query.as_bytes()], stored_release)?.next().transpose()
        })
    }

    /// Queries that have not ended, oldest first; after a start they are what the process before left behind.
    pub fn unfinished_queries(&self) -> Result<Vec<QueryRow>, StoreError> {
        self.read("unfinished queries", |tx| {
            let sql = "SELECT * FROM queries WHERE state IN ('received', 'offered', 'logged') ORDER BY created_ms, query_id";
            let mut statement = tx.prepare(sql)?;
            statement.query_and_then([], query_row)?.collect()
        })
    }
}

fn keep(tx: &Transaction<'_>, query: &QueryId, kept: &NewAggregation<'_>, released_at_ms: u64) -> Result<(), StoreError> {
    let NewAggregation { attempt, manifest, lists, record, cells: _ } = kept;
    tx.execute(
        "INSERT INTO aggregations (query_id, attempt, manifest, lists, record, released_at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![query.as_bytes(), attempt, manifest, lists, record, integer(released_at_ms)?],
    )?;
    Ok(())
}

/// Moves a query to its next state, or refuses when it is not in one of `from`.
fn advance(
    tx: &Transaction<'_>,
    query: &QueryId,
    from: &[QueryState],
    to: QueryState,
    refusal: Option<&[u8]>,
    release: Option<&Hash32>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let mut statement = tx.prepare("SELECT state FROM queries WHERE query_id = ?1")?;
    let state = statement.query_and_then([query.as_bytes()], |row| word(row, "state", QueryState::parse))?.next().transpose()?;
    if !state.is_some_and(|state| from.contains(&state)) {
        return Err(StoreError::QueryState { query: *query, from: state.map_or("unknown", QueryState::as_str), to: to.as_str() });
    }
    tx.execute(
        "UPDATE queries SET state = ?2, refusal = ?3, release_hash = ?4, updated_ms = ?5 WHERE query_id = ?1",
        params![query.as_bytes(), to.as_str(), refusal, release.map(Hash32::as_bytes), integer(now_ms)?],
    )?;
    Ok(())
}

fn find(tx: &Transaction<'_>, query: &QueryId) -> Result<Option<QueryRow>, StoreError> {
    let mut statement = tx.prepare("SELECT * FROM queries WHERE query_id = ?1")?;
    statement.query_and_then([query.as_bytes()], query_row)?.next().transpose()
}

fn query_row(row: &Row<'_>) -> Result<QueryRow, StoreError> {
    Ok(QueryRow {
        query: query_id(row)?,
        signed: row.get("signed")?,
        agency: row.get("agency")?,
        state: word(row, "state", QueryState::parse)?,
        refusal: row.get("refusal")?,
        release: optional_hash(row, "release_hash")?,
        created_ms: unsigned(row, "created_ms")?,
        updated_ms: unsigned(row, "updated_ms")?,
    })
}

fn stored_release(row: &Row<'_>) -> Result<StoredRelease, StoreError> {
    Ok(StoredRelease { hash: hash(row, "release_hash")?, bytes: row.get("bytes")?, released_at_ms: unsigned(row, "released_at_ms")? })
}
