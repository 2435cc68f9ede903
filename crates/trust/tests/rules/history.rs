//! Attempts, failures, refunds and result releases in the log.

use commun_domain::encoding::sha256;
use commun_domain::log::{AttemptEntry, Conduct, FailureEntry, LeftOut, LogEntry, RefundEntry, ReleaseEntry};
use commun_domain::query::Query;
use commun_domain::{QueryId, Refusal, Rho, WireCode};
use commun_trust::sign::SignError;
use commun_trust::{Outcome, TrustError};

use crate::common::{Log, agency_key, permit, query, record, roster, signed_by, signed_query, stranger_key};
use crate::state::refused;
use commun_domain::Document;

fn attempt_with(change: impl FnOnce(&mut AttemptEntry)) -> LogEntry {
    let mut entry = AttemptEntry {
        query: signed_query(&query()),
        attempt: 1,
        plan: sha256(b"plan"),
        price: Rho::from_units(1000),
        roster: roster().hash(),
        refusals: Vec::new(),
        timeouts: Vec::new(),
        left_out: Vec::new(),
        records: [1, 2, 3].map(record).to_vec(),
    };
    change(&mut entry);
    LogEntry::Attempt(entry)
}

fn attempt(number: u8) -> LogEntry {
    attempt_with(|entry| entry.attempt = number)
}

fn failure(attempt: u8) -> LogEntry {
    let refusal = Refusal::new(WireCode::Unavailable, "a holder was lost", "ask again");
    LogEntry::Failure(FailureEntry {
        query: query().id(),
        attempt,
        refusal,
        refusals: Vec::new(),
        timeouts: Vec::new(),
        conduct: Conduct::default(),
    })
}

fn refund(attempt: u8, index: u32) -> LogEntry {
    LogEntry::Refund(RefundEntry { query: query().id(), attempt, index, seq: 200, record: sha256(b"refund") })
}

fn release_with(change: impl FnOnce(&mut ReleaseEntry)) -> LogEntry {
    let price = Rho::from_units(1000);
    let mut entry = ReleaseEntry {
        query: query().id(),
        attempt: 1,
        release: sha256(b"r"),
        participants: vec![1, 2, 3],
        price,
        transcript: None,
        conduct: Conduct::default(),
    };
    change(&mut entry);
    LogEntry::Release(entry)
}

fn contradiction(why: &TrustError, part: &str) {
    assert!(matches!(why, TrustError::Contradiction(text) if text.contains(part)), "{why}");
}

#[test]
fn an_attempt_is_recorded_once_under_its_number_in_the_log() {
    let log = Log::ready().and(&attempt(1));
    let logged = log.state.attempt(&query().id(), 1).unwrap();
    assert_eq!((logged.number, logged.permit), (4, permit().hash()));
    assert_eq!(log.state.attempt(&query().id(), 2), None);
    assert_eq!(refused(&log, &attempt(1)), TrustError::Known("attempt"));
    let log = log.and(&attempt(3));
    contradiction(&refused(&log, &attempt(2)), "above the query's earlier ones");
    contradiction(&refused(&log, &attempt(4)), "above the query's earlier ones");
    contradiction(&refused(&Log::ready(), &attempt(0)), "above the query's earlier ones");
}

#[test]
fn p5_only_a_query_signed_by_its_permits_key_becomes_an_attempt() {
    let log = Log::ready();
    let by = |query: &Query, keys: &[ed25519_dalek::SigningKey]| attempt_with(|entry| entry.query = signed_by(query, keys));
    contradiction(&refused(&log, &by(&query(), &[stranger_key()])), "not signed by exactly one key");
    contradiction(&refused(&log, &by(&query(), &[agency_key(), stranger_key()])), "not signed by exactly one key");
    contradiction(&refused(&log, &by(&query(), &[])), "not signed by exactly one key");
    let unknown = Query { permit: sha256(b"no permit"), ..query() };
    assert_eq!(refused(&log, &by(&unknown, &[agency_key()])), TrustError::Unknown("attempt's permit"));
    let swapped = attempt_with(|entry| {
        let other = Query { sql: "SELECT COUNT(*) FROM mobility.commute".to_owned(), ..query() };
        entry.query.bytes.0 = other.to_bytes();
    });
    assert!(matches!(refused(&log, &swapped), TrustError::Signature(SignError::Invalid(_))));
}

#[test]
fn an_attempts_records_are_of_holders_of_the_roster_in_force() {
    let log = Log::ready();
    contradiction(&refused(&log, &attempt_with(|entry| entry.roster = sha256(b"old roster"))), "another roster");
    contradiction(&refused(&log, &attempt_with(|entry| entry.records.swap(0, 1))), "sorted by index");
    contradiction(&refused(&log, &attempt_with(|entry| entry.records[1] = record(1))), "sorted by index");
    contradiction(&refused(&log, &attempt_with(|entry| entry.records.clear())), "at least one");
    contradiction(&refused(&log, &attempt_with(|entry| entry.records[2] = record(9))), "not in the roster");
}

#[test]
fn a_query_ends_once() {
    let failed = Log::ready().and(&attempt(1)).and(&failure(1));
    assert!(matches!(failed.state.outcome(&query().id()), Some(Outcome::Failed(entry)) if entry.attempt == 1));
    let released = Log::ready().and(&attempt(1)).and(&release_with(|_| {}));
    assert!(matches!(released.state.outcome(&query().id()), Some(Outcome::Released(_))));
    for log in [failed, released] {
        for entry in [attempt(2), failure(1), release_with(|_| {})] {
            assert_eq!(refused(&log, &entry), TrustError::Ended(query().id()));
        }
    }
    let open = Log::ready().and(&attempt(1));
    assert_eq!(open.state.outcome(&query().id()), None);
}

#[test]
fn a_failure_names_the_last_logged_attempt() {
    let log = Log::ready().and(&attempt(1));
    contradiction(&refused(&log, &failure(0)), "last logged attempt");
    contradiction(&refused(&log, &failure(2)), "last logged attempt");
    contradiction(&refused(&Log::ready(), &failure(1)), "last logged attempt");
    let never_logged = Log::ready().and(&failure(0));
    assert_eq!(refused(&never_logged, &attempt(1)), TrustError::Ended(query().id()));
}

#[test]
fn a_failure_that_would_fill_the_memory_of_every_agent_is_not_taken() {
    let long = |bytes: usize| {
        let refusal = Refusal::new(WireCode::Unavailable, "x".repeat(bytes), "");
        LogEntry::Failure(FailureEntry {
            query: query().id(),
            attempt: 0,
            refusal,
            refusals: Vec::new(),
            timeouts: Vec::new(),
            conduct: Conduct::default(),
        })
    };
    contradiction(&refused(&Log::ready(), &long(16 * 1024 + 1)), "longer than any refusal");
    let _ = Log::ready().and(&long(16 * 1024));
}

#[test]
fn a_release_fits_its_attempt() {
    let log = Log::ready().and(&attempt_with(|entry| entry.records.truncate(2)));
    let _ = Log { state: log.state.clone() }.and(&release_with(|release| release.participants = vec![1, 2]));
    contradiction(&refused(&log, &release_with(|_| {})), "participants");
    contradiction(&refused(&log, &release_with(|release| release.participants = vec![2, 1])), "participants");
    contradiction(&refused(&log, &release_with(|release| release.participants = vec![1, 1])), "participants");
    contradiction(&refused(&log, &release_with(|release| release.participants.clear())), "participants");
    let dearer = release_with(|release| (release.participants, release.price) = (vec![1, 2], Rho::from_units(1001)));
    contradiction(&refused(&log, &dearer), "another price");
    let unknown = release_with(|release| release.query = QueryId::from_bytes([9; 32]));
    assert_eq!(refused(&log, &unknown), TrustError::Unknown("release's attempt"));
    let log = log.and(&attempt_with(|entry| (entry.attempt, entry.records) = (2, [1, 2].map(record).to_vec())));
    contradiction(&refused(&log, &release_with(|release| release.participants = vec![1, 2])), "a later one has replaced");
}

/// Cohorts that a coordinator chooses could be subtracted from each other.
#[test]
fn p3_a_later_attempt_keeps_the_cohort_or_leaves_members_out_with_a_reason() {
    let left = |index, reason: &str| LeftOut { index, reason: reason.to_owned() };
    let two = |left_out: Vec<LeftOut>| {
        attempt_with(|entry| (entry.attempt, entry.records, entry.left_out) = (2, [1, 3].map(record).to_vec(), left_out))
    };
    let log = Log::ready().and(&attempt(1));
    let _ = Log { state: log.state.clone() }.and(&two(vec![left(2, "it opened no share")]));
    let _ = Log { state: log.state.clone() }.and(&attempt(2));
    contradiction(&refused(&log, &two(vec![left(2, "")])), "short reason");
    contradiction(&refused(&log, &two(vec![left(2, &"x".repeat(513))])), "short reason");
    contradiction(&refused(&log, &two(vec![left(2, "late"), left(2, "late")])), "sorted by index");
    contradiction(&refused(&Log::ready(), &attempt_with(|entry| entry.left_out = vec![left(2, "late")])), "follows another one");
    let log = Log::ready().and(&attempt_with(|entry| entry.records = [1, 2].map(record).to_vec()));
    contradiction(&refused(&log, &two(Vec::new())), "the one before had not");
}

#[test]
fn a_refund_and_an_answer_exclude_each_other() {
    let log = Log::ready().and(&attempt(1)).and(&refund(1, 2));
    assert!(log.state.refund(&query().id(), 1, 2).is_some());
    assert_eq!(log.state.refund(&query().id(), 1, 1), None);
    assert_eq!(refused(&log, &refund(1, 2)), TrustError::Known("refund"));
    contradiction(&refused(&log, &release_with(|_| {})), "took its charge back");
    let log = log.and(&failure(1)).and(&refund(1, 3));
    contradiction(&refused(&log, &refund(1, 4)), "without an earlier record");
    let released = Log::ready().and(&attempt(1)).and(&release_with(|_| {}));
    contradiction(&refused(&released, &refund(1, 2)), "whose answer was released");
    // Accepted by one, refused by another, and so never logged.
    let unlogged = Log::ready().and(&refund(1, 2));
    contradiction(&refused(&unlogged, &attempt(1)), "refunded before");
    contradiction(&refused(&Log::ready(), &refund(1, 9)), "without an earlier record");
    contradiction(&refused(&Log::ready(), &refund(0, 2)), "an attempt that cannot be");
}
