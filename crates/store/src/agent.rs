//! The agent's own tables: the journal of what it was asked, and the attempts that it knows.
//!
//! The journal is for whoever runs the holder's side. It holds nothing that comes from data.

use commun_domain::{Hash32, QueryId, WireCode};
use rusqlite::{OptionalExtension, Row, params};

use crate::columns::{self, attempt, integer, optional_hash, query_id, unsigned, word, words};
use crate::error::StoreError;
use crate::store::{Side, Store};
use crate::{ledger, log};

/// The agent's side.
#[derive(Debug)]
pub enum Agent {}

impl Side for Agent {
    const NAME: &'static str = "agent";
    const APPLICATION_ID: i32 = i32::from_be_bytes(*b"CmAg");
    const MIGRATIONS: &'static [&'static str] = &[log::SCHEMA, ledger::SCHEMA, include_str!("schema/agent.sql")];
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
        /// Sent its noisy answer.
        Answered = "answered",
        /// Ended the attempt without an answer; the charge stays.
        Failed = "failed",
        /// Took its charge back.
        Refunded = "refunded",
    }
);

words!(
    /// How an attempt ended.
    AttemptEnd {
        /// The noisy answer was sent.
        Answered = "answered",
        /// No answer was sent; the charge stays.
        Failed = "failed",
        /// No answer was sent; the charge was taken back.
        Refunded = "refunded",
        /// Refused before anything was charged.
        Refused = "refused",
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
    /// Reason in words, never from data.
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
    /// Appends a line to the journal and returns its number, from 1.
    pub fn journal_append(&self, line: &JournalLine) -> Result<u64, StoreError> {
        self.run("journal", |tx| {
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
        })
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

    /// Begins an attempt.
    ///
    /// # Errors
    /// [`StoreError::AttemptKnown`] when it has begun before, ended or not: nothing is started twice.
    pub fn attempt_begin(&self, query: &QueryId, attempt: u8, now_ms: u64) -> Result<(), StoreError> {
        self.run("begin attempt", |tx| {
            let known = tx
                .query_row("SELECT 1 FROM attempts WHERE query_id = ?1 AND attempt = ?2", params![query.as_bytes(), attempt], |_| Ok(()))
                .optional()?;
            if known.is_some() {
                return Err(StoreError::AttemptKnown { query: *query, attempt });
            }
            tx.execute(
                "INSERT INTO attempts (query_id, attempt, state, reason, updated_ms) VALUES (?1, ?2, 'open', '', ?3)",
                params![query.as_bytes(), attempt, integer(now_ms)?],
            )?;
            Ok(())
        })
    }

    /// Ends an open attempt.
    ///
    /// # Errors
    /// [`StoreError::AttemptNotOpen`] when it has not begun or has ended.
    pub fn attempt_end(&self, query: &QueryId, attempt: u8, end: AttemptEnd, reason: &str, now_ms: u64) -> Result<(), StoreError> {
        self.run("end attempt", |tx| {
            let changed = tx.execute(
                "UPDATE attempts SET state = ?3, reason = ?4, updated_ms = ?5 WHERE query_id = ?1 AND attempt = ?2 AND state = 'open'",
                params![query.as_bytes(), attempt, end.as_str(), reason, integer(now_ms)?],
            )?;
            if changed == 1 { Ok(()) } else { Err(StoreError::AttemptNotOpen { query: *query, attempt }) }
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
