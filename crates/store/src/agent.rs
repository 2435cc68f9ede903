//! The agent's own tables: the journal of what it was asked, and the attempts that it knows.
//!
//! The journal is for whoever runs the holder's side. It holds nothing that comes from data: of a
//! fault in reading the agent journals the class, never what the query engine says of it.
//!
//! The atomic rule (P8): a decision is one transaction with everything that it changes, its line of the journal too. So there is no RESERVE
//! that the journal does not show, and nothing has to be undone when a part of a decision cannot be written.

use commun_domain::{Hash32, QueryId, WireCode};
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use rusqlite::{Row, Transaction, params};

use crate::columns::{self, attempt, integer, optional_hash, query_id, unsigned, word, words};
use crate::error::StoreError;
use crate::incidents::Incident;
use crate::store::{Side, Store};
use crate::{incidents, ledger, log};

/// The agent's side.
#[derive(Debug)]
pub enum Agent {}

impl Side for Agent {
    const NAME: &'static str = "agent";
    const APPLICATION_ID: i32 = i32::from_be_bytes(*b"CmAg");
    const MIGRATIONS: &'static [&'static str] = &[log::SCHEMA, ledger::SCHEMA, include_str!("schema/agent.sql"), incidents::SCHEMA];
}

/// The agent's store.
pub type AgentStore = Store<Agent>;

words!(
    /// What the agent did, one line of the journal each.
    Decision {
        /// Reserved the price and said so.
        Accepted = "accepted",
        /// Refused, before any data were read.
        Refused = "refused",
        /// Sent its noisy cells under masks.
        Masked = "masked",
        /// Sent its noisy answer, or the shares that unmask a sum with it.
        Answered = "answered",
        /// Ended the attempt without an answer; the charge stays.
        Failed = "failed",
        /// Took its charge back.
        Refunded = "refunded",
        /// Charged what an earlier state of this store, or a copy of it, had reserved: the log shows it.
        Charged = "charged",
    }
);

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// When the agent decided, milliseconds since 1970.
    pub time_ms: u64,
    /// Query.
    pub query: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
    /// Agency that the permit names; `None` when the offer did not get that far.
    pub agency: Option<String>,
    /// Hash of the permit; `None` when the offer names none.
    pub permit: Option<Hash32>,
    /// SQL text as signed; empty when the offer could not be read.
    pub sql: String,
    /// What the agent did.
    pub decision: Decision,
    /// Stable code of a refusal or failure.
    pub code: Option<WireCode>,
    /// Reason in words, never from data; of a fault in reading or computing its class only.
    pub reason: String,
    /// Bytes of answer that left the agent.
    pub bytes_sent: u64,
}

/// An attempt that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Query.
    pub query: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
    /// When it began, milliseconds since 1970.
    pub begun_ms: u64,
}

impl AgentStore {
    /// Appends a line that changes no attempt, and returns its number, from 1.
    pub fn journal_append(&self, line: &JournalLine) -> Result<u64, StoreError> {
        self.run("journal", |tx| journal(tx, line))
    }

    /// The last `count` lines of the journal with their numbers, oldest first.
    pub fn journal_tail(&self, count: u32) -> Result<Vec<(u64, JournalLine)>, StoreError> {
        self.read("read journal", |tx| {
            let mut statement = tx.prepare("SELECT * FROM journal ORDER BY id DESC LIMIT ?1")?;
            let lines: Result<Vec<_>, StoreError> = statement.query_and_then([count], journal_line)?.collect();
            lines.map(|mut lines| {
                lines.reverse();
                lines
            })
        })
    }

    /// Whether an attempt has begun or was refused before: nothing is started twice.
    pub fn attempt_known(&self, query: &QueryId, attempt: u8) -> Result<bool, StoreError> {
        self.read("read attempt", |tx| known(tx, query, attempt))
    }

    /// Accepts: the attempt begins, its price is reserved, and the journal says so. All of it is on the disk when this returns, and not
    /// before; data may be read only after it.
    ///
    /// # Errors
    /// [`StoreError::AttemptKnown`] when the attempt is known, ended or not; [`StoreError::NotNext`] when the record does not continue the
    /// ledger; [`StoreError::OtherRecord`] and [`StoreError::OtherLine`] when record and line are not those of an acceptance;
    /// [`StoreError::Full`] on a full disk. In each case nothing is begun, charged or journaled.
    pub fn attempt_accept(&self, reserve: &LedgerRecord, line: &JournalLine) -> Result<(), StoreError> {
        self.run("accept attempt", |tx| {
            ledger::expect_kind(reserve, RecordKind::Reserve)?;
            expect_line(line, &[Decision::Accepted], (reserve.query_id, reserve.attempt))?;
            insert(tx, line, OPEN, "")?;
            ledger::append(tx, reserve)?;
            journal(tx, line).map(drop)
        })
    }

    /// Refuses an attempt that was never begun: it is known from now on, and the journal says why.
    ///
    /// # Errors
    /// [`StoreError::AttemptKnown`] when the attempt is known.
    pub fn attempt_refuse(&self, line: &JournalLine) -> Result<(), StoreError> {
        self.run("refuse attempt", |tx| {
            expect_line(line, &[Decision::Refused], (line.query, line.attempt))?;
            insert(tx, line, line.decision.as_str(), &line.reason)?;
            journal(tx, line).map(drop)
        })
    }

    /// Ends an open attempt, with its answer or without one; the charge stays. With it stands what a person has to look at.
    ///
    /// # Errors
    /// [`StoreError::AttemptNotOpen`] when it has not begun or has ended.
    pub fn attempt_end(&self, line: &JournalLine, incidents: &[Incident]) -> Result<(), StoreError> {
        self.run("end attempt", |tx| {
            expect_line(line, &[Decision::Answered, Decision::Failed], (line.query, line.attempt))?;
            end(tx, line)?;
            incidents::append(tx, incidents)?;
            journal(tx, line).map(drop)
        })
    }

    /// Ends an open attempt and takes its charge back. With it stands what a person has to look at.
    ///
    /// # Errors
    /// [`StoreError::AttemptNotOpen`] when it has not begun or has ended; [`StoreError::NotNext`] when the record does not continue the ledger.
    pub fn attempt_refund(&self, refund: &LedgerRecord, line: &JournalLine, incidents: &[Incident]) -> Result<(), StoreError> {
        self.run("refund attempt", |tx| {
            ledger::expect_kind(refund, RecordKind::Refund)?;
            expect_line(line, &[Decision::Refunded], (refund.query_id, refund.attempt))?;
            end(tx, line)?;
            incidents::append(tx, incidents)?;
            ledger::append(tx, refund)?;
            journal(tx, line).map(drop)
        })
    }

    /// Charges attempts of which the log has a record of this holder that this store does not have, all or none. Each is known from then on, so
    /// that it is not begun again; one that is known already, as after a restored copy of the newest days, keeps the state that it has.
    ///
    /// # Errors
    /// [`StoreError::OtherRecord`] and [`StoreError::OtherLine`] when a record is no RESET or a line not its own; [`StoreError::NotNext`] when a
    /// record does not continue the ledger.
    pub fn charge_lost(&self, lost: &[(LedgerRecord, JournalLine)]) -> Result<(), StoreError> {
        self.run("charge lost records", |tx| {
            for (reset, line) in lost {
                ledger::expect_kind(reset, RecordKind::Reset)?;
                expect_line(line, &[Decision::Charged], (reset.query_id, reset.attempt))?;
                if !known(tx, &line.query, line.attempt)? {
                    insert(tx, line, Decision::Failed.as_str(), &line.reason)?;
                }
                ledger::append(tx, reset)?;
                journal(tx, line)?;
            }
            Ok(())
        })
    }

    /// Attempts that have begun and not ended, oldest first; after a start they are what the process before left behind.
    pub fn open_attempts(&self) -> Result<Vec<OpenAttempt>, StoreError> {
        self.read("read open attempts", |tx| {
            let mut statement = tx.prepare("SELECT * FROM attempts WHERE state = 'open' ORDER BY updated_ms, query_id, attempt")?;
            let rows = statement.query_and_then([], |row| {
                Ok(OpenAttempt { query: query_id(row)?, attempt: attempt(row)?, begun_ms: unsigned(row, "updated_ms")? })
            })?;
            rows.collect()
        })
    }
}

/// State of an attempt that has not ended.
const OPEN: &str = "open";

/// Refuses a line of another decision or another attempt than the call is for.
fn expect_line(line: &JournalLine, decisions: &[Decision], of: (QueryId, u8)) -> Result<(), StoreError> {
    let fits = decisions.contains(&line.decision) && (line.query, line.attempt) == of;
    if fits { Ok(()) } else { Err(StoreError::OtherLine { decision: line.decision.as_str() }) }
}

fn known(tx: &Transaction<'_>, query: &QueryId, attempt: u8) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM attempts WHERE query_id = ?1 AND attempt = ?2)";
    Ok(tx.query_row(sql, params![query.as_bytes(), attempt], |row| row.get(0))?)
}

fn insert(tx: &Transaction<'_>, line: &JournalLine, state: &str, reason: &str) -> Result<(), StoreError> {
    let JournalLine { query, attempt, time_ms, .. } = line;
    if known(tx, query, *attempt)? {
        return Err(StoreError::AttemptKnown { query: *query, attempt: *attempt });
    }
    tx.execute(
        "INSERT INTO attempts (query_id, attempt, state, reason, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![query.as_bytes(), attempt, state, reason, integer(*time_ms)?],
    )?;
    Ok(())
}

fn end(tx: &Transaction<'_>, line: &JournalLine) -> Result<(), StoreError> {
    let JournalLine { query, attempt, time_ms, decision, reason, .. } = line;
    let changed = tx.execute(
        "UPDATE attempts SET state = ?3, reason = ?4, updated_ms = ?5 WHERE query_id = ?1 AND attempt = ?2 AND state = ?6",
        params![query.as_bytes(), attempt, decision.as_str(), reason, integer(*time_ms)?, OPEN],
    )?;
    if changed == 1 { Ok(()) } else { Err(StoreError::AttemptNotOpen { query: *query, attempt: *attempt }) }
}

/// Appends a line inside a transaction.
fn journal(tx: &Transaction<'_>, line: &JournalLine) -> Result<u64, StoreError> {
    let id: i64 = tx.query_row("SELECT COALESCE(MAX(id), 0) + 1 FROM journal", [], |row| row.get(0))?;
    tx.execute(
        "INSERT INTO journal (id, time_ms, query_id, attempt, agency, permit, sql, decision, code, reason, bytes_sent) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            id,
            integer(line.time_ms)?,
            line.query.as_bytes(),
            line.attempt,
            line.agency,
            line.permit.as_ref().map(Hash32::as_bytes),
            line.sql,
            line.decision.as_str(),
            line.code.map(WireCode::as_str),
            line.reason,
            integer(line.bytes_sent)?,
        ],
    )?;
    Ok(id.unsigned_abs())
}

fn journal_line(row: &Row<'_>) -> Result<(u64, JournalLine), StoreError> {
    let code: Option<String> = row.get("code")?;
    let line = JournalLine {
        time_ms: unsigned(row, "time_ms")?,
        query: query_id(row)?,
        attempt: attempt(row)?,
        agency: row.get("agency")?,
        permit: optional_hash(row, "permit")?,
        sql: row.get("sql")?,
        decision: word(row, "decision", Decision::parse)?,
        code: code.map(|code| WireCode::parse(&code).ok_or_else(|| columns::damaged("code"))).transpose()?,
        reason: row.get("reason")?,
        bytes_sent: unsigned(row, "bytes_sent")?,
    };
    Ok((unsigned(row, "id")?, line))
}
