//! The schema as an auditor meets it with `sqlite3`: explained, and append-only for ordinary statements of any program.

use rusqlite::Connection;

use super::{Place, accept, line_of, query, record};
use crate::agent::{Agent, Decision};
use crate::coordinator::{Coordinator, NewQuery, NewRelease};
use crate::store::Side;
use commun_privacy::ledger::RecordKind;

/// A connection like an auditor's: none of the store's settings.
fn plain(place: &Place) -> Connection {
    Connection::open(place.path()).unwrap()
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    connection.prepare(sql).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn assert_explained<S: Side>() {
    let place = Place::new();
    drop(place.open::<S>());
    let connection = plain(&place);
    let tables = texts(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    assert!(tables.len() >= 4, "{tables:?}");
    for table in tables {
        let sql = texts(&connection, &format!("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = '{table}'")).remove(0);
        assert!(sql.ends_with("STRICT"), "{table} is not STRICT");
        for column in texts(&connection, &format!("SELECT name FROM pragma_table_info('{table}')")) {
            let line = sql.lines().find(|line| line.trim_start().starts_with(&format!("{column} "))).unwrap();
            assert!(line.split_once("-- ").is_some_and(|(_, comment)| comment.len() > 10), "{table}.{column} is not explained");
        }
    }
}

#[test]
fn every_table_is_strict_and_every_column_explained_in_the_file_itself() {
    assert_explained::<Agent>();
    assert_explained::<Coordinator>();
}

fn assert_append_only(connection: &Connection, table: &str, changes: &[&str]) {
    let rows = |sql: &str| texts(connection, sql).len();
    let before = rows(&format!("SELECT quote(rowid) FROM {table}"));
    assert!(before > 0, "{table} is empty: the test would show nothing");
    for change in changes {
        let error = connection.execute_batch(change).unwrap_err().to_string();
        // By a trigger of ours, not by a constraint that another statement could meet.
        assert!(error.starts_with(table), "{change}: {error}");
    }
    assert_eq!(rows(&format!("SELECT quote(rowid) FROM {table}")), before);
}

#[test]
fn append_only_tables_refuse_update_delete_and_replace_by_any_program() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    let new = NewQuery { query: query(1), signed: b"signed", agency: "statbel", now_ms: 1 };
    store.query_insert(&new).unwrap();
    store.log_attempt(&query(1), b"entry", &[record("a", None, 1, RecordKind::Reserve)], 2).unwrap();
    let release = NewRelease { query: query(1), bytes: b"release", replay_key: [3; 32], released_at_ms: 3, aggregation: None };
    store.finish_with_release(&release, b"entry 2", 3).unwrap();
    drop(store);
    let connection = plain(&place);
    assert_append_only(
        &connection,
        "log_entries",
        &[
            "UPDATE log_entries SET bytes = x'00' WHERE number = 0",
            "DELETE FROM log_entries WHERE number = 1",
            "INSERT OR REPLACE INTO log_entries VALUES (0, x'00', 'attempt')",
            "INSERT INTO log_entries VALUES (7, x'00', 'attempt')",
        ],
    );
    assert_append_only(
        &connection,
        "ledger_records",
        &[
            "UPDATE ledger_records SET kind = 'refund'",
            "DELETE FROM ledger_records",
            "INSERT OR REPLACE INTO ledger_records SELECT * FROM ledger_records",
            "INSERT OR REPLACE INTO ledger_records SELECT position + 1, holder, domain, seq, hash, bytes, kind, query_id, attempt \
             FROM ledger_records",
            "INSERT OR REPLACE INTO ledger_records SELECT position + 1, holder, domain, seq + 1, randomblob(32), bytes, kind, query_id, attempt \
             FROM ledger_records",
        ],
    );
    assert_append_only(
        &connection,
        "releases",
        &[
            "UPDATE releases SET bytes = x'00'",
            "DELETE FROM releases",
            "INSERT OR REPLACE INTO releases SELECT * FROM releases",
            "INSERT OR REPLACE INTO releases SELECT position + 1, release_hash, query_id, replay_key, x'00', released_at_ms FROM releases",
        ],
    );
    assert_append_only(
        &connection,
        "queries",
        &[
            "UPDATE queries SET state = 'received', release_hash = NULL",
            "UPDATE queries SET signed = x'00'",
            "DELETE FROM queries",
            "INSERT OR REPLACE INTO queries SELECT * FROM queries",
        ],
    );
}

#[test]
fn the_journal_ended_attempts_incidents_and_decisions_refuse_every_change() {
    let place = Place::new();
    let store = place.open::<Agent>();
    let reserve = record("a", None, 1, RecordKind::Reserve);
    accept(&store, &reserve).unwrap();
    store.attempt_end(&line_of(&reserve, Decision::Failed), &[super::incidents::lapse(&reserve)]).unwrap();
    store.decide(1, "looked into", true).unwrap();
    drop(store);
    let connection = plain(&place);
    assert_append_only(
        &connection,
        "journal",
        &["UPDATE journal SET reason = 'x'", "DELETE FROM journal", "INSERT OR REPLACE INTO journal SELECT * FROM journal"],
    );
    assert_append_only(
        &connection,
        "attempts",
        &["UPDATE attempts SET state = 'open'", "DELETE FROM attempts", "INSERT OR REPLACE INTO attempts SELECT * FROM attempts"],
    );
    assert_append_only(
        &connection,
        "incidents",
        &["UPDATE incidents SET kind = 'left_out'", "DELETE FROM incidents", "INSERT OR REPLACE INTO incidents SELECT * FROM incidents"],
    );
    assert_append_only(
        &connection,
        "decisions",
        &["UPDATE decisions SET incident = 9", "DELETE FROM decisions", "INSERT OR REPLACE INTO decisions SELECT * FROM decisions"],
    );
}
