//! The agent's journal and attempts.

use commun_domain::{Hash32, WireCode};

use super::{Place, query};
use crate::agent::{Agent, AttemptEnd, Decision, JournalLine, OpenAttempt};
use crate::error::StoreError;

fn line(number: u8, decision: Decision) -> JournalLine {
    JournalLine {
        time_ms: u64::from(number) * 1000,
        query: query(number),
        attempt: 1,
        agency: Some("statbel".to_owned()),
        permit: Some(Hash32::from_bytes([8; 32])),
        sql: "SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01'".to_owned(),
        decision,
        code: None,
        reason: String::new(),
        bytes_sent: 14_792,
    }
}

#[test]
fn the_journal_gives_back_its_last_lines_oldest_first() {
    let place = Place::new();
    let store = place.open::<Agent>();
    let refused = JournalLine {
        agency: None,
        permit: None,
        code: Some(WireCode::NotPermitted),
        reason: "the policy accepts no permit".to_owned(),
        bytes_sent: 0,
        ..line(3, Decision::Refused)
    };
    let lines = [line(1, Decision::Accepted), line(1, Decision::Answered), refused];
    for (line, number) in lines.iter().zip(1..) {
        assert_eq!(store.journal_append(line).unwrap(), number);
    }
    drop(store);
    let store = place.open::<Agent>();
    let [_, second, third] = lines;
    assert_eq!(store.journal_tail(2).unwrap(), [(2, second), (3, third)]);
    assert_eq!(store.journal_tail(100).unwrap().len(), 3);
    assert_eq!(store.journal_tail(0).unwrap(), []);
}

#[test]
fn an_attempt_begins_once_for_ever() {
    let place = Place::new();
    let store = place.open::<Agent>();
    store.attempt_begin(&query(1), 1, 10).unwrap();
    let known = |error| matches!(error, Err(StoreError::AttemptKnown { attempt: 1, .. }));
    assert!(known(store.attempt_begin(&query(1), 1, 11)));
    store.attempt_end(&query(1), 1, AttemptEnd::Answered, "", 12).unwrap();
    assert!(known(store.attempt_begin(&query(1), 1, 13)));
    drop(store);
    assert!(known(place.open::<Agent>().attempt_begin(&query(1), 1, 14)));
}

#[test]
fn an_attempt_ends_once() {
    let store = Place::new().open::<Agent>();
    let not_open = |error| matches!(error, Err(StoreError::AttemptNotOpen { attempt: 1, .. }));
    assert!(not_open(store.attempt_end(&query(1), 1, AttemptEnd::Failed, "never begun", 10)));
    store.attempt_begin(&query(1), 1, 10).unwrap();
    store.attempt_end(&query(1), 1, AttemptEnd::Failed, "the link dropped", 11).unwrap();
    assert!(not_open(store.attempt_end(&query(1), 1, AttemptEnd::Answered, "", 12)));
}

#[test]
fn attempts_left_open_by_an_earlier_process_are_found_after_a_restart() {
    let place = Place::new();
    let store = place.open::<Agent>();
    for (number, now_ms) in [(2, 10), (1, 20), (3, 30)] {
        store.attempt_begin(&query(number), 1, now_ms).unwrap();
    }
    store.attempt_end(&query(3), 1, AttemptEnd::Refunded, "no manifest came", 40).unwrap();
    drop(store);
    let open = |number, begun_ms| OpenAttempt { query: query(number), attempt: 1, begun_ms };
    assert_eq!(place.open::<Agent>().open_attempts().unwrap(), [open(2, 10), open(1, 20)]);
}
