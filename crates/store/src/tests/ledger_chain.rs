//! Ledger records: one chain per holder, one record of a kind per attempt.

use std::sync::Barrier;

use commun_domain::{Document, Hash32};
use commun_privacy::ledger::{Ledger, RecordKind};

use super::{Place, accept, line_of, query, record};
use crate::agent::{Agent, AgentStore, Decision};
use crate::coordinator::Coordinator;
use crate::error::StoreError;

#[test]
fn records_of_several_holders_are_loaded_in_the_order_of_their_writing_and_fold() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    let a1 = record("a", None, 1, RecordKind::Reserve);
    let b1 = record("b", None, 1, RecordKind::Reserve);
    let a2 = record("a", Some(&a1), 1, RecordKind::Refund);
    let a3 = record("a", Some(&a2), 2, RecordKind::Reserve);
    for record in [&a1, &b1, &a2, &a3] {
        store.ledger_append(record).unwrap();
    }
    assert_eq!(store.ledger_head("a").unwrap(), (3, a3.hash()));
    assert_eq!(store.ledger_head("nobody").unwrap(), (0, Hash32::default()));
    drop(store);
    let loaded = place.open::<Coordinator>().ledger_load().unwrap();
    assert_eq!(loaded, [a1, b1, a2, a3]);
    let mut ledger = Ledger::default();
    for record in &loaded {
        ledger.apply(record).unwrap();
    }
}

#[test]
fn a_record_that_does_not_continue_its_chain_is_refused_and_writes_nothing() {
    let store = Place::new().open::<Agent>();
    let first = record("a", None, 1, RecordKind::Reserve);
    store.ledger_append(&first).unwrap();
    let good = record("a", Some(&first), 2, RecordKind::Reserve);
    let mut skipped = good.clone();
    skipped.seq = 3;
    let mut again = good.clone();
    again.seq = 1;
    let mut forked = good.clone();
    forked.previous = Hash32::from_bytes([9; 32]);
    for bad in [skipped, again, forked] {
        let error = store.ledger_append(&bad).unwrap_err();
        assert!(matches!(error, StoreError::NotNext { next: 2, .. }), "{error}");
    }
    assert_eq!(store.ledger_load().unwrap(), std::slice::from_ref(&first));
    store.ledger_append(&good).unwrap();
}

#[test]
fn p8_an_attempt_is_reserved_once_and_refunded_once() {
    let store = Place::new().open::<Agent>();
    let reserve = record("a", None, 1, RecordKind::Reserve);
    accept(&store, &reserve).unwrap();
    let second = record("a", Some(&reserve), 1, RecordKind::Reserve);
    let error = accept(&store, &second).unwrap_err();
    assert!(matches!(error, StoreError::AttemptKnown { attempt: 1, .. }), "{error}");
    // Nor past the table of attempts.
    let error = store.ledger_append(&second).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyRecorded { attempt: 1, kind: "reserve", .. }), "{error}");

    let refund = record("a", Some(&reserve), 1, RecordKind::Refund);
    let refunded = line_of(&refund, Decision::Refunded);
    store.attempt_refund(&refund, &refunded, &[]).unwrap();
    let second = record("a", Some(&refund), 1, RecordKind::Refund);
    let error = store.attempt_refund(&second, &refunded, &[]).unwrap_err();
    assert!(matches!(error, StoreError::AttemptNotOpen { attempt: 1, .. }), "{error}");
    let error = store.ledger_append(&second).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyRecorded { query: of, kind: "refund", .. } if of == query(1)), "{error}");
    assert_eq!(store.ledger_load().unwrap(), [reserve, refund]);
}

#[test]
fn p8_a_decision_that_is_refused_in_a_part_writes_none_of_it() {
    let store = Place::new().open::<Agent>();
    let reserve = record("a", None, 1, RecordKind::Reserve);
    let other = record("a", None, 2, RecordKind::Reserve);
    let accepted = line_of(&reserve, Decision::Accepted);
    // Another kind of record; another attempt's line; another decision's; a record that does not continue the ledger.
    let reset = record("a", None, 1, RecordKind::Reset);
    assert!(matches!(store.attempt_accept(&reset, &accepted), Err(StoreError::OtherRecord { expected: "reserve", got: "reset" })));
    assert!(matches!(store.attempt_accept(&other, &accepted), Err(StoreError::OtherLine { .. })));
    assert!(matches!(store.attempt_accept(&reserve, &line_of(&reserve, Decision::Refused)), Err(StoreError::OtherLine { .. })));
    let gap = record("a", Some(&reserve), 1, RecordKind::Reserve);
    assert!(matches!(store.attempt_accept(&gap, &accepted), Err(StoreError::NotNext { .. })));
    let nothing = |store: &AgentStore| store.ledger_load().unwrap().is_empty() && store.journal_tail(9).unwrap().is_empty();
    assert!(nothing(&store) && !store.attempt_known(&query(1), 1).unwrap());

    accept(&store, &reserve).unwrap();
    let refund = record("a", Some(&reserve), 1, RecordKind::Refund);
    let refunded = line_of(&refund, Decision::Refunded);
    let forked = record("a", None, 1, RecordKind::Refund);
    assert!(matches!(store.attempt_refund(&forked, &refunded, &[]), Err(StoreError::NotNext { .. })));
    assert!(matches!(store.attempt_refund(&reserve, &refunded, &[]), Err(StoreError::OtherRecord { .. })));
    assert!(matches!(store.attempt_refund(&refund, &accepted, &[]), Err(StoreError::OtherLine { .. })));
    assert_eq!((store.open_attempts().unwrap().len(), store.journal_tail(9).unwrap().len()), (1, 1));
    store.attempt_refund(&refund, &refunded, &[]).unwrap();
}

#[test]
fn p8_two_concurrent_reserves_on_one_head_are_never_both_written() {
    for _ in 0..10 {
        let store = Place::new().open::<Agent>();
        let start = Barrier::new(2);
        let reserve = |number| {
            let record = record("a", None, number, RecordKind::Reserve);
            start.wait();
            accept(&store, &record)
        };
        let outcomes = std::thread::scope(|scope| {
            let threads = [1, 2].map(|number| scope.spawn(move || reserve(number)));
            threads.map(|thread| thread.join().unwrap())
        });
        let refused = outcomes.iter().filter(|outcome| matches!(outcome, Err(StoreError::NotNext { .. }))).count();
        assert_eq!((refused, store.ledger_load().unwrap().len()), (1, 1), "{outcomes:?}");
        assert_eq!(store.open_attempts().unwrap().len(), 1);
    }
}

#[test]
fn a_ledger_that_was_changed_on_the_disk_is_not_loaded() {
    let damages = [
        "UPDATE ledger_records SET bytes = x'00' WHERE seq = 1",
        "UPDATE ledger_records SET kind = 'refund' WHERE seq = 1",
        "UPDATE ledger_records SET holder = 'b' WHERE seq = 1",
        "UPDATE ledger_records SET attempt = 2 WHERE seq = 1",
        "DELETE FROM ledger_records WHERE seq = 1",
    ];
    for damage in damages {
        let place = Place::new();
        let store = place.open::<Agent>();
        let first = record("a", None, 1, RecordKind::Reserve);
        accept(&store, &first).unwrap();
        accept(&store, &record("a", Some(&first), 2, RecordKind::Reserve)).unwrap();
        assert_eq!(store.ledger_load().unwrap().len(), 2);
        let drop_triggers = "DROP TRIGGER ledger_records_no_update; DROP TRIGGER ledger_records_no_delete;";
        store.run("damage", |tx| Ok(tx.execute_batch(&format!("{drop_triggers}{damage}"))?)).unwrap();
        let error = store.ledger_load().unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{damage}: {error}");
    }
}
