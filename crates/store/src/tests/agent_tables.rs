//! The agent's journal and attempts.

use commun_domain::{Hash32, WireCode};
use commun_privacy::ledger::{LedgerRecord, RecordKind};

use super::{Place, accept, query, record};
use crate::agent::{Agent, Decision, JournalLine, OpenAttempt};
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
    let reserve = record("a", None, 1, RecordKind::Reserve);
    assert!(!store.attempt_known(&query(1), 1).unwrap());
    accept(&store, &reserve).unwrap();
    let again = record("a", Some(&reserve), 1, RecordKind::Reserve);
    let known = |result| matches!(result, Err(StoreError::AttemptKnown { attempt: 1, .. }));
    assert!(known(accept(&store, &again)));
    assert!(known(store.attempt_refuse(&line(1, Decision::Refused))));
    store.attempt_end(&line(1, Decision::Answered), &[]).unwrap();
    assert!(known(accept(&store, &again)));
    drop(store);
    let store = place.open::<Agent>();
    assert!(known(accept(&store, &again)) && store.attempt_known(&query(1), 1).unwrap());
}

#[test]
fn a_refused_attempt_is_known_and_never_accepted() {
    let store = Place::new().open::<Agent>();
    store.attempt_refuse(&line(1, Decision::Refused)).unwrap();
    assert!(matches!(accept(&store, &record("a", None, 1, RecordKind::Reserve)), Err(StoreError::AttemptKnown { .. })));
    assert!(matches!(store.attempt_end(&line(1, Decision::Failed), &[]), Err(StoreError::AttemptNotOpen { .. })));
    assert!(store.open_attempts().unwrap().is_empty() && store.ledger_load().unwrap().is_empty());
    assert_eq!(store.journal_tail(9).unwrap(), [(1, line(1, Decision::Refused))]);
}

#[test]
fn an_attempt_ends_once() {
    let store = Place::new().open::<Agent>();
    let not_open = |result| matches!(result, Err(StoreError::AttemptNotOpen { attempt: 1, .. }));
    assert!(not_open(store.attempt_end(&line(1, Decision::Failed), &[])), "never begun");
    accept(&store, &record("a", None, 1, RecordKind::Reserve)).unwrap();
    store.attempt_end(&line(1, Decision::Failed), &[]).unwrap();
    assert!(not_open(store.attempt_end(&line(1, Decision::Answered), &[])));
    let decisions: Vec<_> = store.journal_tail(9).unwrap().into_iter().map(|(_, line)| line.decision).collect();
    assert_eq!(decisions, [Decision::Accepted, Decision::Failed], "what was refused is not journaled");
    // Acceptances, refusals and refunds end nothing by this call.
    for decision in [Decision::Accepted, Decision::Refused, Decision::Refunded] {
        assert!(matches!(store.attempt_end(&line(1, decision), &[]), Err(StoreError::OtherLine { .. })));
    }
}

#[test]
fn attempts_left_open_by_an_earlier_process_are_found_after_a_restart() {
    let place = Place::new();
    let store = place.open::<Agent>();
    let mut before: Option<LedgerRecord> = None;
    for (number, time_ms) in [(2, 10), (1, 20), (3, 30)] {
        let reserve = record("a", before.as_ref(), number, RecordKind::Reserve);
        store.attempt_accept(&reserve, &JournalLine { time_ms, ..line(number, Decision::Accepted) }).unwrap();
        before = Some(reserve);
    }
    store.attempt_refund(&record("a", before.as_ref(), 3, RecordKind::Refund), &line(3, Decision::Refunded), &[]).unwrap();
    drop(store);
    let open = |number, begun_ms| OpenAttempt { query: query(number), attempt: 1, begun_ms };
    assert_eq!(place.open::<Agent>().open_attempts().unwrap(), [open(2, 10), open(1, 20)]);
}
