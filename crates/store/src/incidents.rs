//! What a person at the holder has to look at before more is answered, and what that person decided.
//!
//! An incident is written in one transaction with the end of its attempt (see [`crate::agent`]), so that none is lost in between. A decision
//! settles every incident before it. What follows from unsettled ones is the agent's to say.

use commun_domain::QueryId;
use commun_domain::calendar::Period;
use rusqlite::{Row, Transaction, params};

use crate::agent::AgentStore;
use crate::columns::{attempt, damaged, integer, query_id, unsigned, word, words};
use crate::error::StoreError;

/// Schema of this module, and the journal's wider set of words.
pub(crate) const SCHEMA: &str = include_str!("schema/incidents.sql");

words!(
    /// What happened.
    IncidentKind {
        /// The agent missed its slot, or failed once it had begun to read.
        Lapse = "lapse",
        /// The holder answered in time and was not counted.
        LeftOut = "left_out",
    }
);

/// One incident in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// When it was noticed, milliseconds since 1970.
    pub time_ms: u64,
    /// What happened.
    pub kind: IncidentKind,
    /// Budget domain of the question.
    pub domain: String,
    /// Partition that it read.
    pub period: Period,
    /// Query.
    pub query: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
}

/// What a person decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonsDecision {
    /// When, milliseconds since 1970.
    pub time_ms: u64,
    /// What the person wrote.
    pub reason: String,
    /// Last number of the ledger then, if it was after a stop; else 0.
    pub ledger_seq: u64,
}

impl AgentStore {
    /// Incidents that no decision has settled, oldest first.
    pub fn incidents(&self) -> Result<Vec<Incident>, StoreError> {
        self.read("read incidents", |tx| {
            let mut statement =
                tx.prepare("SELECT * FROM incidents WHERE id > (SELECT COALESCE(MAX(incident), 0) FROM decisions) ORDER BY id")?;
            let rows = statement.query_and_then([], incident)?;
            rows.collect()
        })
    }

    /// Settles every incident so far. `after_stop`: the person has also looked at a stop.
    pub fn decide(&self, time_ms: u64, reason: &str, after_stop: bool) -> Result<(), StoreError> {
        self.run("decide", |tx| {
            tx.execute(
                "INSERT INTO decisions (id, time_ms, reason, incident, ledger_seq) SELECT \
                 (SELECT COALESCE(MAX(id), 0) + 1 FROM decisions), ?1, ?2, \
                 (SELECT COALESCE(MAX(id), 0) FROM incidents), (SELECT COALESCE(MAX(seq), 0) FROM ledger_records WHERE ?3)",
                params![integer(time_ms)?, reason, after_stop],
            )?;
            Ok(())
        })
    }

    /// The last decision.
    pub fn last_decision(&self) -> Result<Option<PersonsDecision>, StoreError> {
        self.read("read decision", |tx| {
            let mut statement = tx.prepare("SELECT * FROM decisions ORDER BY id DESC LIMIT 1")?;
            let mut rows = statement.query_and_then([], |row| {
                let (time_ms, ledger_seq) = (unsigned(row, "time_ms")?, unsigned(row, "ledger_seq")?);
                Ok(PersonsDecision { time_ms, reason: row.get("reason")?, ledger_seq })
            })?;
            rows.next().transpose()
        })
    }
}

/// Appends incidents inside a transaction.
pub(crate) fn append(tx: &Transaction<'_>, incidents: &[Incident]) -> Result<(), StoreError> {
    for incident in incidents {
        let Incident { time_ms, kind, domain, period, query, attempt } = incident;
        tx.execute(
            "INSERT INTO incidents (id, time_ms, kind, domain, period, query_id, attempt) \
             SELECT COALESCE(MAX(id), 0) + 1, ?1, ?2, ?3, ?4, ?5, ?6 FROM incidents",
            params![integer(*time_ms)?, kind.as_str(), domain, period.0, query.as_bytes(), attempt],
        )?;
    }
    Ok(())
}

fn incident(row: &Row<'_>) -> Result<Incident, StoreError> {
    let period: i64 = row.get("period")?;
    Ok(Incident {
        time_ms: unsigned(row, "time_ms")?,
        kind: word(row, "kind", IncidentKind::parse)?,
        domain: row.get("domain")?,
        period: Period(i32::try_from(period).map_err(|_| damaged("period"))?),
        query: query_id(row)?,
        attempt: attempt(row)?,
    })
}
