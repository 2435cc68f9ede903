//! Opening: one process at a time, the right kind of file, the durable settings, migrations.

use std::os::unix::fs::PermissionsExt;

use commun_privacy::ledger::RecordKind;
use rusqlite::Connection;

use super::{Place, accept, line_of, record};
use crate::agent::{Agent, AgentStore, Decision};
use crate::coordinator::Coordinator;
use crate::error::StoreError;
use crate::store::{Side, Store, StoreOptions};

fn open_error<S: Side>(path: &std::path::Path) -> StoreError {
    match Store::<S>::open(path, StoreOptions::default()) {
        Ok(_) => panic!("the store must not open"),
        Err(error) => error,
    }
}

#[test]
fn a_store_is_open_once_also_through_a_symbolic_link() {
    let place = Place::new();
    let store = place.open::<Agent>();
    let link = place.folder.path().join("link.sqlite");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    for path in [&place.path(), &link] {
        let error = open_error::<Agent>(path);
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("in use by another process"));
    }
    drop(store);
    place.open::<Agent>();
}

#[test]
fn p8_every_commit_is_synced_to_the_disk() {
    let store = Place::new().open::<Agent>();
    let pragma = |name: &str| store.read("settings", |tx| Ok(tx.pragma_query_value(None, name, |row| row.get::<_, i64>(0))?)).unwrap();
    let full = 2;
    assert_eq!(pragma("synchronous"), full);
    assert_eq!(pragma("foreign_keys"), 1);
    let mode = store.read("settings", |tx| Ok(tx.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))?)).unwrap();
    assert_eq!(mode, "wal");
}

#[test]
fn no_file_of_the_store_is_readable_by_others() {
    let place = Place::new();
    let _store = place.open::<Agent>();
    let mut names = Vec::new();
    for file in std::fs::read_dir(place.folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal", "store.sqlite.lock"]);
}

#[test]
fn the_other_sides_file_and_a_foreign_database_are_refused() {
    let place = Place::new();
    drop(place.open::<Agent>());
    let error = open_error::<Coordinator>(&place.path());
    assert!(matches!(error, StoreError::OtherKind { expected: "coordinator", .. }), "{error}");

    let foreign = place.folder.path().join("foreign.sqlite");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    let error = open_error::<Agent>(&foreign);
    assert!(matches!(error, StoreError::OtherKind { expected: "agent", .. }), "{error}");
}

#[test]
fn a_folder_that_does_not_exist_is_said_with_a_hint() {
    let place = Place::new();
    let error = open_error::<Agent>(&place.folder.path().join("none/store.sqlite"));
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains("check that its folder exists"));
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let place = Place::new();
    drop(place.open::<Agent>());
    Connection::open(place.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = open_error::<Agent>(&place.path());
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_file_of_an_earlier_version_gets_the_missing_scripts_and_keeps_its_rows() {
    let place = Place::new();
    let old = Connection::open(place.path()).unwrap();
    old.execute_batch(Agent::MIGRATIONS[0]).unwrap();
    old.execute_batch("INSERT INTO log_entries VALUES (0, x'01', 'bundle')").unwrap();
    old.pragma_update(None, "application_id", Agent::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let store = place.open::<Agent>();
    assert_eq!(store.size().unwrap(), 1);
    accept(&store, &record("a", None, 1, RecordKind::Reserve)).unwrap();
}

#[test]
fn the_journal_of_an_earlier_version_keeps_its_lines_and_takes_the_new_word() {
    let place = Place::new();
    let old = Connection::open(place.path()).unwrap();
    for script in &Agent::MIGRATIONS[..3] {
        old.execute_batch(script).unwrap();
    }
    old.execute_batch("INSERT INTO journal VALUES (1, 5, zeroblob(32), 1, NULL, NULL, 'SELECT', 'refused', NULL, 'no permit', 0)").unwrap();
    old.pragma_update(None, "application_id", Agent::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 3).unwrap();
    drop(old);
    let store = place.open::<Agent>();
    let lines = store.journal_tail(9).unwrap();
    assert_eq!((lines.len(), lines[0].0, lines[0].1.reason.as_str()), (1, 1, "no permit"));
    let reset = record("a", None, 1, RecordKind::Reset);
    store.charge_lost(&[(reset.clone(), line_of(&reset, Decision::Charged))]).unwrap();
    assert_eq!(store.journal_tail(1).unwrap()[0].0, 2);
}

fn insert_then(store: &AgentStore, then: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
    store.run("test", |tx| {
        tx.execute_batch("INSERT INTO log_entries VALUES (0, x'01', 'bundle')")?;
        then()
    })
}

#[test]
fn an_error_or_a_panic_in_a_transaction_leaves_nothing_and_the_store_usable() {
    let store = Place::new().open::<Agent>();
    assert!(insert_then(&store, || Err(StoreError::TooLarge(1))).is_err());
    assert_eq!(store.size().unwrap(), 0);

    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| insert_then(&store, || panic!("in the test"))));
    assert!(panicked.is_err());
    assert_eq!(store.size().unwrap(), 0);
    insert_then(&store, || Ok(())).unwrap();
    assert_eq!(store.size().unwrap(), 1);
}

#[test]
fn an_error_names_its_transaction() {
    let store = Place::new().open::<Agent>();
    let error = store.run("odd work", |tx| Ok(tx.execute_batch("SELECT nothing FROM nowhere")?)).unwrap_err();
    assert!(error.to_string().starts_with("the transaction \"odd work\" failed and wrote nothing"), "{error}");
}
