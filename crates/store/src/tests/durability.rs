//! P8 on the disk: what was told is there after `kill -9`, and a full disk charges nothing and stops nobody.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use commun_domain::Document;
use commun_privacy::ledger::{LedgerRecord, RecordKind};

use super::{Place, accept, record};
use crate::agent::{Agent, AgentStore, Decision};
use crate::error::StoreError;
use crate::store::{Store, StoreOptions};

/// Set in the child that the next test starts: the path of the store.
const CHILD: &str = "COMMUN_STORE_TEST_CHILD";
/// How many reserves the parent waits to hear of.
const TOLD: usize = 25;
const SIGKILL: i32 = 9;

/// Reserves for ever, and tells the hash of each record as soon as the acceptance is written.
fn reserve_and_tell(path: &Path) {
    let store: AgentStore = Store::open(path, StoreOptions::default()).unwrap();
    let mut before: Option<LedgerRecord> = None;
    for number in 1..=u8::MAX {
        let next = record("a", before.as_ref(), number, RecordKind::Reserve);
        accept(&store, &next).unwrap();
        writeln!(std::io::stdout(), "\ntold {}", next.hash()).unwrap();
        before = Some(next);
    }
    std::thread::sleep(std::time::Duration::from_mins(1));
}

#[test]
fn p8_reserve_is_durable_before_it_is_told() {
    if let Some(path) = std::env::var_os(CHILD) {
        return reserve_and_tell(Path::new(&path));
    }
    let place = Place::new();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::durability::p8_reserve_is_durable_before_it_is_told", "--nocapture"])
        .env(CHILD, place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = lines.filter_map(|line| line.unwrap().strip_prefix("told ").map(str::to_owned));
    let mut heard: Vec<String> = told.by_ref().take(TOLD).collect();
    let second = Store::<Agent>::open(&place.path(), StoreOptions::default());
    assert!(matches!(second, Err(StoreError::InUse { .. })), "a second process must not get the store");
    child.kill().unwrap();
    heard.extend(told);
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL));
    assert!(heard.len() >= TOLD);

    let store = place.open::<Agent>();
    let stored: Vec<String> = store.ledger_load().unwrap().iter().map(|record| record.hash().to_string()).collect();
    // One more may be stored than was told: killed between the commit and the telling. Never one fewer.
    assert_eq!(stored[..heard.len()], heard);
    assert!(stored.len() <= heard.len() + 1);
    assert_whole(&store, stored.len());
}

/// Reserves until the store refuses; returns the records that were told, and the refusal.
fn fill(store: &AgentStore) -> (Vec<LedgerRecord>, StoreError) {
    let mut told: Vec<LedgerRecord> = store.ledger_load().unwrap();
    for number in u8::try_from(told.len()).unwrap() + 1..=u8::MAX {
        let next = record("a", told.last(), number, RecordKind::Reserve);
        match accept(store, &next) {
            Ok(()) => told.push(next),
            Err(error) => return (told, error),
        }
    }
    panic!("the disk never became full");
}

/// Each RESERVE has its attempt and its line of the journal, and nothing else has one.
#[track_caller]
fn assert_whole(store: &AgentStore, accepted: usize) {
    let charged: Vec<_> = store.ledger_load().unwrap().iter().map(|record| record.query_id).collect();
    let journaled: Vec<_> = store.journal_tail(1000).unwrap().into_iter().map(|(_, line)| (line.query, line.decision)).collect();
    assert_eq!(charged.len(), accepted);
    assert_eq!(journaled, charged.iter().map(|query| (*query, Decision::Accepted)).collect::<Vec<_>>());
    assert_eq!(store.open_attempts().unwrap().len(), accepted);
}

#[test]
fn p8_on_a_full_disk_nothing_is_charged_and_the_store_stays_usable() {
    let place = Place::new();
    let pages = place.open::<Agent>().page_count().unwrap();
    let options = StoreOptions { max_pages: Some(pages + 4) };
    let store: AgentStore = Store::open(&place.path(), options).unwrap();
    let (told, error) = fill(&store);
    assert!(matches!(error, StoreError::Full { transaction: "accept attempt" }), "{error}");
    assert!(error.to_string().contains("free some space"));
    assert!(!told.is_empty());
    assert_eq!(store.ledger_load().unwrap(), told, "what was refused must not be charged");
    assert_whole(&store, told.len());

    // The same connection still reads and refuses cleanly, and writes what needs no new page.
    let (again, error) = fill(&store);
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(again, told);
    store.run("more room", |tx| Ok(tx.pragma_update_and_check(None, "max_page_count", pages + 100, |_| Ok(()))?)).unwrap();
    let next = record("a", told.last(), 200, RecordKind::Reserve);
    accept(&store, &next).unwrap();
    drop(store);
    let store = place.open::<Agent>();
    assert_eq!(store.ledger_load().unwrap().last(), Some(&next));
    assert_whole(&store, told.len() + 1);
}
