//! The coordinator's transactions: what must be true together is written together or not at all.

use std::collections::BTreeMap;

use commun_domain::encoding::sha256;
use commun_domain::log::MAX_ENTRY_BYTES;
use commun_privacy::ledger::RecordKind;

use super::{Place, query, record};
use crate::coordinator::{
    Coordinator, CoordinatorStore, Inserted, NewAggregation, NewQuery, NewRelease, QueryRow, QueryState, StoredAggregation,
};
use crate::error::StoreError;

/// An entry that the log refuses, so that a transaction fails in its last step.
fn too_large() -> Vec<u8> {
    vec![0; MAX_ENTRY_BYTES + 1]
}

pub(super) fn insert(store: &CoordinatorStore, number: u8) {
    let new = NewQuery { query: query(number), signed: b"signed", agency: "statbel", now_ms: u64::from(number) };
    assert_eq!(store.query_insert(&new).unwrap(), Inserted::New);
}

fn state(store: &CoordinatorStore, number: u8) -> QueryState {
    store.query(&query(number)).unwrap().unwrap().state
}

pub(super) fn release(number: u8, bytes: &[u8]) -> NewRelease<'_> {
    NewRelease { query: query(number), bytes, replay_key: [5; 32], released_at_ms: 1000 + u64::from(number), aggregation: None }
}

fn answer(store: &CoordinatorStore, number: u8, bytes: &[u8]) {
    insert(store, number);
    store.query_offered(&query(number), 100).unwrap();
    store.log_attempt(&query(number), b"attempt", &[], 101).unwrap();
    store.finish_with_release(&release(number, bytes), b"release entry", 102).unwrap();
}

#[test]
fn a_known_query_gives_its_stored_outcome_and_changes_nothing() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    insert(&store, 1);
    store.finish_with_failure(&query(1), b"refusal", Some(b"entry"), 9).unwrap();
    drop(store);
    let store = place.open::<Coordinator>();
    let again = NewQuery { query: query(1), signed: b"other", agency: "other", now_ms: 50 };
    let row = QueryRow {
        query: query(1),
        signed: b"signed".to_vec(),
        agency: "statbel".to_owned(),
        state: QueryState::Failed,
        refusal: Some(b"refusal".to_vec()),
        release: None,
        created_ms: 1,
        updated_ms: 9,
    };
    assert_eq!(store.query_insert(&again).unwrap(), Inserted::Known(row.clone()));
    assert_eq!(store.query(&query(1)).unwrap(), Some(row));
}

#[test]
fn p8_charge_attempt_entry_and_state_are_one_transaction() {
    let store = Place::new().open::<Coordinator>();
    insert(&store, 1);
    store.query_offered(&query(1), 2).unwrap();
    let a = record("a", None, 1, RecordKind::Reserve);
    let b = record("b", None, 1, RecordKind::Reserve);
    let mut broken = b.clone();
    broken.seq = 4;
    let refund = record("b", None, 1, RecordKind::Refund);
    for (records, entry) in
        [(vec![a.clone(), broken], b"entry".to_vec()), (vec![a.clone(), refund], b"entry".to_vec()), (vec![a.clone()], too_large())]
    {
        store.log_attempt(&query(1), &entry, &records, 3).unwrap_err();
        assert_eq!((store.ledger_load().unwrap().len(), store.size().unwrap(), state(&store, 1)), (0, 0, QueryState::Offered));
    }
    assert_eq!(store.log_attempt(&query(1), b"entry", &[a.clone(), b.clone()], 3).unwrap(), 0);
    assert_eq!(store.ledger_load().unwrap(), [a, b]);
    assert_eq!(state(&store, 1), QueryState::Logged);
    assert_eq!(store.entries(0, 10).unwrap()[0].kind, "attempt");
}

#[test]
fn a_result_release_its_entry_and_its_query_are_one_transaction() {
    let store = Place::new().open::<Coordinator>();
    insert(&store, 1);
    store.log_attempt(&query(1), b"attempt", &[], 3).unwrap();
    store.finish_with_release(&release(1, b"table"), &too_large(), 4).unwrap_err();
    assert_eq!((store.size().unwrap(), state(&store, 1)), (1, QueryState::Logged));
    assert_eq!(store.release_by_query(&query(1)).unwrap(), None);
    assert_eq!(store.release_by_key(&[5; 32]).unwrap(), []);

    assert_eq!(store.finish_with_release(&release(1, b"table"), b"entry", 4).unwrap(), 1);
    let stored = store.release_by_query(&query(1)).unwrap().unwrap();
    assert_eq!((stored.hash, stored.bytes.as_slice(), stored.released_at_ms), (sha256(b"table"), b"table".as_slice(), 1001));
    assert_eq!(store.entries(1, 10).unwrap()[0].kind, "release");
}

#[test]
fn a_failure_keeps_what_the_caller_was_told_and_its_entry_together() {
    let store = Place::new().open::<Coordinator>();
    insert(&store, 1);
    store.finish_with_failure(&query(1), b"refusal", Some(&too_large()), 4).unwrap_err();
    assert_eq!((store.size().unwrap(), state(&store, 1)), (0, QueryState::Received));
    assert_eq!(store.finish_with_failure(&query(1), b"refusal", Some(b"entry"), 4).unwrap(), Some(0));
    insert(&store, 2);
    assert_eq!(store.finish_with_failure(&query(2), b"refusal", None, 4).unwrap(), None);
    assert_eq!((store.size().unwrap(), state(&store, 2)), (1, QueryState::Failed));
}

#[test]
fn names_are_logged_after_an_attempt_and_are_no_answer() {
    let store = Place::new().open::<Coordinator>();
    insert(&store, 1);
    store.log_names(&query(1), b"names", 2).unwrap_err();
    store.log_attempt(&query(1), b"attempt 1", &[], 3).unwrap();
    assert_eq!(store.log_names(&query(1), b"names", 4).unwrap(), 1);
    assert_eq!(state(&store, 1), QueryState::Offered);
    store.log_names(&query(1), b"names", 4).unwrap_err();
    // Without the numbers there is no answer.
    store.finish_with_release(&release(1, b"table"), b"entry", 5).unwrap_err();
    assert_eq!(store.log_attempt(&query(1), b"attempt 2", &[], 5).unwrap(), 2);
    store.finish_with_release(&release(1, b"table"), b"entry", 6).unwrap();
    assert_eq!((store.size().unwrap(), state(&store, 1)), (4, QueryState::Released));
}

#[test]
fn a_query_takes_no_step_twice_and_none_out_of_order() {
    let store = Place::new().open::<Coordinator>();
    let refused = |result: Result<(), StoreError>, from| {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::QueryState { from: found, .. } if found == from), "{error}");
    };
    refused(store.query_offered(&query(1), 2), "unknown");
    insert(&store, 1);
    refused(store.finish_with_release(&release(1, b"table"), b"entry", 2).map(drop), "received");
    store.log_attempt(&query(1), b"attempt", &[], 3).unwrap();
    refused(store.query_offered(&query(1), 3), "logged");
    store.finish_with_release(&release(1, b"table"), b"entry", 4).unwrap();
    refused(store.finish_with_failure(&query(1), b"refusal", Some(b"entry"), 5).map(drop), "released");
    refused(store.log_attempt(&query(1), b"attempt", &[], 5).map(drop), "released");
    assert_eq!(store.size().unwrap(), 2);
    insert(&store, 2);
    store.finish_with_failure(&query(2), b"refusal", None, 5).unwrap();
    refused(store.log_attempt(&query(2), b"attempt", &[], 6).map(drop), "failed");
}

#[test]
fn p8_a_refund_and_its_entry_are_one_transaction() {
    let store = Place::new().open::<Coordinator>();
    insert(&store, 1);
    let reserve = record("a", None, 1, RecordKind::Reserve);
    store.log_attempt(&query(1), b"attempt", std::slice::from_ref(&reserve), 3).unwrap();
    let refund = record("a", Some(&reserve), 1, RecordKind::Refund);
    store.refund(&refund, &too_large()).unwrap_err();
    assert_eq!((store.ledger_load().unwrap().len(), store.size().unwrap()), (1, 1));
    let second = record("a", Some(&reserve), 2, RecordKind::Reserve);
    assert!(matches!(store.refund(&second, b"entry"), Err(StoreError::OtherRecord { .. })));
    assert_eq!(store.refund(&refund, b"entry").unwrap(), 1);
    assert_eq!(store.ledger_load().unwrap(), [reserve, refund]);
}

#[test]
fn releases_with_one_replay_key_come_newest_first() {
    let store = Place::new().open::<Coordinator>();
    answer(&store, 1, b"older");
    answer(&store, 2, b"newer");
    let found: Vec<_> =
        store.release_by_key(&[5; 32]).unwrap().into_iter().map(|release| (release.bytes, release.released_at_ms)).collect();
    assert_eq!(found, [(b"newer".to_vec(), 1002), (b"older".to_vec(), 1001)]);
    assert_eq!(store.release_by_key(&[6; 32]).unwrap(), []);
}

#[test]
fn a_query_that_an_earlier_release_answers_points_to_it_and_logs_nothing() {
    let store = Place::new().open::<Coordinator>();
    answer(&store, 1, b"table");
    insert(&store, 2);
    let size = store.size().unwrap();
    assert!(store.finish_with_stored_release(&query(2), &sha256(b"no such release"), 8).is_err());
    assert_eq!(state(&store, 2), QueryState::Received);
    store.finish_with_stored_release(&query(2), &sha256(b"table"), 9).unwrap();
    assert_eq!(store.release_by_query(&query(2)).unwrap().unwrap().bytes, b"table");
    assert_eq!((store.size().unwrap(), state(&store, 2)), (size, QueryState::Released));
}

#[test]
fn queries_cut_short_are_found_after_a_restart_oldest_first() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    answer(&store, 1, b"table");
    for number in [5, 4, 3, 2] {
        insert(&store, number);
    }
    store.query_offered(&query(3), 9).unwrap();
    store.log_attempt(&query(4), b"attempt", &[], 9).unwrap();
    store.finish_with_failure(&query(5), b"refusal", None, 9).unwrap();
    drop(store);
    let rows = place.open::<Coordinator>().unfinished_queries().unwrap();
    let found: Vec<_> = rows.into_iter().map(|row| (row.query, row.state)).collect();
    let expected = [(query(2), QueryState::Received), (query(3), QueryState::Offered), (query(4), QueryState::Logged)];
    assert_eq!(found, expected);
}

#[test]
fn what_an_aggregation_left_is_written_with_its_release_read_beside_the_daemon_and_forgotten_in_time() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    insert(&store, 1);
    store.query_offered(&query(1), 100).unwrap();
    store.log_attempt(&query(1), b"attempt", &[], 101).unwrap();
    let cells = BTreeMap::from([(1, vec![1, u64::MAX]), (3, vec![7, 8])]);
    let finish = |entry: &[u8]| {
        let cells = store.keep_cells(&query(1), &cells).unwrap();
        let kept = NewAggregation { attempt: 1, manifest: b"manifest", lists: None, record: b"record", cells: &cells };
        store.finish_with_release(&NewRelease { aggregation: Some(kept), ..release(1, b"answer") }, entry, 102)
    };
    // All or nothing.
    assert!(finish(&too_large()).is_err());
    assert_eq!(store.aggregation(&query(1)).unwrap(), None);
    assert_eq!(super::masked_cells::files(&place), [""; 0]);
    finish(b"release entry").unwrap();
    assert_eq!(super::masked_cells::files(&place), [format!("{}.cells", query(1))]);
    let reader = CoordinatorStore::open_to_read(&place.path()).unwrap();
    let (manifest, record) = (b"manifest".to_vec(), b"record".to_vec());
    let stored = StoredAggregation { attempt: 1, manifest, lists: None, record };
    assert_eq!(reader.aggregation(&query(1)).unwrap(), Some(stored));
    assert_eq!(reader.masked_cells(&query(1), 1).unwrap(), Some(vec![1, u64::MAX]));
    assert_eq!(reader.masked_cells(&query(1), 2).unwrap(), None);
    assert!(reader.forget_aggregations(u64::MAX / 4).is_err(), "who only reads changes nothing");
    assert_eq!(store.forget_aggregations(1001).unwrap(), 0);
    assert_eq!(store.forget_aggregations(1002).unwrap(), 1);
    assert_eq!((store.aggregation(&query(1)).unwrap(), store.masked_cells(&query(1), 1).unwrap()), (None, None));
    assert!(store.release_by_query(&query(1)).unwrap().is_some());
    assert_eq!(super::masked_cells::files(&place), [""; 0]);
}

/// Another attempt is logged when members fell out of the one before.
#[test]
fn a_logged_query_may_have_another_attempt_and_an_ended_one_not() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    answer_after_two(&store);
    assert!(store.log_attempt(&query(1), b"attempt 3", &[], 105).is_err());
}

fn answer_after_two(store: &CoordinatorStore) {
    insert(store, 1);
    store.log_attempt(&query(1), b"attempt 1", &[], 101).unwrap();
    store.log_attempt(&query(1), b"attempt 2", &[], 102).unwrap();
    store.finish_with_release(&release(1, b"answer"), b"release entry", 103).unwrap();
}
