//! One attempt, from offer to release or failure.

use commun_domain::bundle::Roster;
use commun_domain::log::Conduct;
use commun_domain::release::ResultRelease;
use commun_tlog::Checkpoint;

use super::*;
use crate::app::Step;

#[tokio::test]
async fn the_release_is_the_exact_sum_of_the_holders_partials_and_is_charged_and_logged() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers; 3]);
    let feed = app.submit("statistics", question(1).to_bytes()).await.unwrap();
    let mut events = feed.listen().collect::<Vec<_>>().await;
    let Some(Event::Released { release: bytes, stored: false }) = events.pop() else { panic!("{events:?}") };
    let release = ResultRelease::from_bytes(&bytes).unwrap();
    let expected: Vec<i64> = (0..CELLS).map(|cell| (1..=3).map(|index| partial(index)[cell]).sum()).collect();
    assert_eq!(release.sums[0].cells, expected);
    assert_eq!(release.participants, ["holder-1", "holder-2", "holder-3"]);
    assert_eq!((release.listed, release.members, release.threshold, release.colluders, release.unmasked), (3, 3, 3, 1, false));
    assert_eq!((release.rho, release.released_at_ms), (price(), NOW_MS));
    assert_eq!(kinds(&app), ["attempt", "release"]);
    let Some(LogEntry::Release(entry)) = entries(&app).pop() else { panic!("no release entry") };
    assert_eq!((entry.release, entry.participants), (sha256(&bytes), vec![1, 2, 3]));
    assert!(entry.transcript.is_some() && entry.transcript == release.transcript);
    assert_eq!(entry.conduct, Conduct::default());
    for index in 1..=3 {
        assert_eq!(spent(&app, index), price());
    }
    let steps: Vec<_> = events.iter().map(|event| if let Event::Progress { step, .. } = event { *step } else { panic!() }).collect();
    let mut distinct = steps.clone();
    distinct.dedup();
    assert_eq!(distinct, [Step::Received, Step::Offered, Step::Logged, Step::Reading, Step::Released]);
}

#[tokio::test]
async fn the_checkpoint_after_every_entry_is_the_root_of_all_entries_under_the_log_key() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers; 3]);
    ask(&app, &question(1)).await.unwrap();
    let checkpoint = Checkpoint::open(&app.log.head().note, &common::bundle().log_origin, &common::log_key().verifying_key()).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root, checkpoint.time_unix), (6, *root_at(&app, 6).as_bytes(), common::NOW_UNIX));
}

#[tokio::test]
async fn one_refusal_ends_the_attempt_names_the_holder_and_charges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    let seen = three(&app, [Script::SaysNothing, Script::Refuses, Script::SaysNothing]);
    let Event::Failed { refusal, charged } = ask(&app, &question(1)).await.unwrap() else { panic!("released") };
    assert_eq!(refusal.code, WireCode::RefusedByHolder);
    assert_eq!(refusal.message, "holder-2 refused: NOT_PERMITTED: not accepted here");
    assert!(refusal.hint.contains("data@holder.test"), "{}", refusal.hint);
    assert!(!charged);
    assert_eq!(spent(&app, 1), Rho::ZERO);
    let Some(LogEntry::Failure(entry)) = entries(&app).pop() else { panic!("no failure entry") };
    assert_eq!((entry.attempt, entry.refusals[0].index, entry.refusals[0].code), (0, 2, WireCode::NotPermitted));
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    for seen in seen {
        assert_eq!(*seen.lock().unwrap(), ["offer", "cancel"]);
    }
}

#[tokio::test]
async fn a_holder_that_is_not_connected_ends_the_query_before_anyone_reserves() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    let seen = [agent(&app, 1, Script::Answers), agent(&app, 3, Script::Answers)];
    let Event::Failed { refusal, charged: false } = ask(&app, &question(1)).await.unwrap() else { panic!("not refused") };
    assert_eq!((refusal.code, refusal.message.as_str()), (WireCode::TooFewHolders, "not connected: holder-2"));
    let Some(LogEntry::Failure(entry)) = entries(&app).pop() else { panic!("no failure entry") };
    assert_eq!(entry.timeouts, [2]);
    for seen in seen {
        assert!(!seen.lock().unwrap().contains(&"offer"));
    }
}

#[tokio::test]
async fn a_holder_that_does_not_reply_in_time_is_named_as_a_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers, Script::Answers, Script::SaysNothing]);
    let Event::Failed { refusal, charged: false } = ask(&app, &question(1)).await.unwrap() else { panic!("not refused") };
    assert_eq!((refusal.code, refusal.message.as_str()), (WireCode::TooFewHolders, "did not reply in time: holder-3"));
    let Some(LogEntry::Failure(entry)) = entries(&app).pop() else { panic!("no failure entry") };
    assert_eq!(entry.timeouts, [3]);
    assert_eq!(spent(&app, 1), Rho::ZERO);
}

#[tokio::test]
async fn p8_a_holder_lost_after_the_manifest_ends_an_attempt_that_needs_all_and_every_charge_stays_until_it_is_taken_back() {
    let cases = [
        (Script::FailsAfterManifest, "holder-2 failed: INTERNAL: the engine stopped"),
        (Script::DropsAfterManifest, "the link of holder-2 dropped"),
        (Script::ForgesItsKeys, "holder-2: its keys do not count: a signature does not hold (SIGNATURE)"),
        (Script::ForgesItsKeysFirst, "holder-2: its keys do not count: a signature does not hold (SIGNATURE)"),
        (Script::FallsSilentAt(SHARE_LIST), "holder-2: sent no masked cells in time"),
        (
            Script::AnswersAnotherShape,
            "holder-2: its masked cells do not count: the vector does not have the attempt's number of cells (CELL_COUNT)",
        ),
        (Script::ChangesItsCells, "holder-2: its masked cells do not count: the cells are not those that were signed (CELLS_HASH)"),
        (Script::FallsSilentAt(PROOF), "holder-2: sent no opened shares in time"),
    ];
    for (script, message) in cases {
        let folder = tempfile::tempdir().unwrap();
        let app = ready(folder.path(), Faults::none());
        three(&app, [Script::Answers, script, Script::Answers]);
        let Event::Failed { refusal, charged } = ask(&app, &question(1)).await.unwrap() else { panic!("{script:?} was released") };
        assert_eq!((refusal.code, refusal.message.as_str()), (WireCode::TooFewHolders, message), "{script:?}");
        assert!(charged);
        assert_eq!(kinds(&app), ["attempt", "failure"], "{script:?}");
        let Some(LogEntry::Failure(entry)) = entries(&app).pop() else { panic!("no failure entry") };
        assert_eq!((entry.attempt, entry.timeouts), (1, vec![2]), "{script:?}");
        let withheld = if script == Script::FallsSilentAt(PROOF) { vec![2] } else { Vec::new() };
        assert_eq!(entry.conduct.withheld, withheld, "{script:?}");
        for index in 1..=3 {
            assert_eq!(spent(&app, index), price(), "{script:?}");
        }
    }
}

#[tokio::test]
async fn the_same_message_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::SaysKeysTwice, Script::Answers, Script::Answers]);
    assert!(matches!(ask(&app, &question(1)).await.unwrap(), Event::Released { .. }));
}

/// Nobody insists on three, and four would outlive a dropout; here three do not, so that the two that are left are asked once more.
fn modest(app: &App) {
    let mut next = Roster { epoch: 2, ..common::roster() };
    next.holders.iter_mut().for_each(|holder| holder.min_survivors = 1);
    let signers = [common::root_key(), common::holder_key(1), common::holder_key(2)];
    app.publish(&common::signed_by(&next, &signers)).unwrap();
}

/// A question that accepts the price of so many attempts.
fn for_attempts(nonce: u8, attempts: u64) -> SignedDocument {
    let max_price = price().checked_mul(attempts).unwrap();
    common::signed_query(&Query { nonce: [nonce; 16], max_price, ..common::query() })
}

#[tokio::test]
async fn those_who_are_left_are_asked_again_without_who_fell_out_if_the_query_accepts_the_price_of_both() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    modest(&app);
    let seen = three(&app, [Script::Answers, Script::FallsSilentAt(SHARE_LIST), Script::Answers]);
    let Event::Released { release, .. } = ask(&app, &for_attempts(1, 2)).await.unwrap() else { panic!("not released") };
    let release = ResultRelease::from_bytes(&release).unwrap();
    let expected: Vec<i64> = (0..CELLS).map(|cell| partial(1)[cell] + partial(3)[cell]).collect();
    assert_eq!((release.sums[0].cells.clone(), release.attempt), (expected, 2));
    assert_eq!((release.members, release.threshold, release.colluders), (2, 2, 1));
    assert_eq!(release.participants, ["holder-1", "holder-3"]);
    let log: Vec<LogEntry> = entries(&app).into_iter().skip(5).collect();
    let [LogEntry::Attempt(first), LogEntry::Attempt(second), LogEntry::Release(_)] = &log[..] else { panic!("{log:?}") };
    assert_eq!((first.records.len(), second.records.len(), first.left_out.len()), (3, 2, 0));
    assert_eq!((second.left_out[0].index, second.left_out[0].reason.as_str()), (2, "sent no masked cells in time"));
    assert_eq!(*seen[1].lock().unwrap(), ["offer", "manifest", "cancel"], "who fell out is not asked again");
    // Charged again, and the first attempt's charges are for holders to take back.
    assert_eq!((spent(&app, 1).units(), spent(&app, 2)), (2 * price().units(), price()));
}

#[tokio::test]
async fn a_query_that_accepts_one_price_has_one_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    modest(&app);
    three(&app, [Script::Answers, Script::DropsAfterManifest, Script::Answers]);
    let Event::Failed { refusal, charged: true } = ask(&app, &for_attempts(1, 1)).await.unwrap() else { panic!("not refused") };
    assert_eq!(refusal.message, "the link of holder-2 dropped");
    assert_eq!(kinds(&app)[1..], ["attempt", "failure"]);
}

#[tokio::test]
async fn a_refusal_and_a_holder_that_is_away_leave_a_smaller_cohort_with_more_noise_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    modest(&app);
    for (index, script) in [(1, Script::Answers), (2, Script::Refuses), (3, Script::Answers)] {
        agent(&app, index, script);
    }
    let Event::Released { release, .. } = ask(&app, &question(1)).await.unwrap() else { panic!("not released") };
    let release = ResultRelease::from_bytes(&release).unwrap();
    assert_eq!((release.members, release.listed, release.honest()), (2, 3, 1));
    let Some(LogEntry::Attempt(entry)) = entries(&app).into_iter().find(|entry| entry.kind() == "attempt") else { panic!() };
    assert_eq!((entry.refusals[0].index, entry.timeouts.len()), (2, 0));
    assert_eq!((spent(&app, 1), spent(&app, 2)), (price(), Rho::ZERO));
}

#[tokio::test]
async fn p3_one_holder_of_several_is_never_asked_alone() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    modest(&app);
    let seen = agent(&app, 1, Script::Answers);
    let Event::Failed { refusal, charged: false } = ask(&app, &question(1)).await.unwrap() else { panic!("not refused") };
    assert_eq!((refusal.code, refusal.message.as_str()), (WireCode::TooFewHolders, "not connected: holder-2, holder-3"));
    assert!(!seen.lock().unwrap().contains(&"offer"));
}

#[tokio::test]
async fn a_listener_that_leaves_does_not_stop_the_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers; 3]);
    drop(app.submit("statistics", question(1).to_bytes()).await.unwrap());
    while !kinds(&app).contains(&"release") {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(matches!(ask(&app, &question(1)).await.unwrap(), Event::Released { .. }));
}
