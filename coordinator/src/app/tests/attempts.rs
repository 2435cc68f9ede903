//! One attempt, from offer to release or failure.

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
    assert_eq!((release.listed, release.threshold, release.colluders, release.unmasked), (3, 3, 2, true));
    assert_eq!((release.rho, release.released_at_ms), (price(), NOW_MS));
    assert_eq!(kinds(&app), ["attempt", "release"]);
    let Some(LogEntry::Release(entry)) = entries(&app).pop() else { panic!("no release entry") };
    assert_eq!((entry.release, entry.participants), (sha256(&bytes), vec![1, 2, 3]));
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
async fn p8_a_holder_lost_after_the_manifest_ends_the_attempt_and_every_charge_stays() {
    let cases = [
        (Script::FailsAfterManifest, "holder-2 failed: INTERNAL: the engine stopped"),
        (Script::DropsAfterManifest, "the link of holder-2 dropped"),
        (Script::AnswersAnotherShape, "the answer of holder-2 does not count: it has another shape than the manifest"),
        (Script::ChangesItsAnswer, "the answer of holder-2 does not count: a holder's answer was changed after it was signed"),
        (Script::AnswersForAnother, "the answer of holder-2 does not count: a holder's answer names another holder"),
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
        for index in 1..=3 {
            assert_eq!(spent(&app, index), price(), "{script:?}");
        }
    }
}

#[tokio::test]
async fn a_holder_that_answers_twice_is_in_no_sum() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    agent(&app, 1, Script::AnswersTwice);
    let slow = [agent(&app, 2, Script::Answers), agent(&app, 3, Script::SaysNothing)];
    // Holder 3 accepts by hand and never answers, so that the second answer is seen before the sum is complete.
    let query = id(&question(1));
    let feed = app.submit("statistics", question(1).to_bytes()).await.unwrap();
    while !slow[1].lock().unwrap().contains(&"offer") {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let accept = Accept { query, attempt: 1, index: 3, seq: 7, record: sha256(&[3]), price: price(), min_colluders: 2 };
    // The scripted agent 3 answers the manifest; by then the second answer of holder 1 has been queued before it.
    app.agents.deliver("holder-3", query, 1, FromAgent::Reply(common::signed_by(&accept, &[common::holder_key(3)])));
    let Event::Failed { refusal, charged: true } = outcome(&feed).await else { panic!("released") };
    assert_eq!(refusal.message, "holder-1 sent a message that does not belong there");
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
