//! The restart rule and refunds. A step is cut short by a panic at a fault point; then the store is opened again, as a new process would.

use commun_domain::Refusal;

use super::*;

/// Runs one question into a fault point, and lets everything of that "process" go.
fn cut_short_at(folder: &Path, point: &'static str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let faults = Faults::new(Arc::new(move |reached| assert!(reached != point, "cut short here, as the test wants")));
    let app = ready(folder, faults);
    runtime.block_on(async {
        three(&app, [Script::Answers; 3]);
        match app.submit("statistics", question(1).to_bytes()).await {
            // What a listener is told at that moment says nothing about the outcome but that there is one.
            Ok(feed) => assert!(outcome(&feed).await.is_outcome()),
            Err(refusal) => assert_eq!(refusal.code, WireCode::Internal),
        }
    });
}

fn refund(app: &App, index: u8) -> Result<(), Refusal> {
    app.refunded(&common::holder(index).name, id(&question(1)), 1, 8, sha256(b"refund"))
}

#[test]
fn p8_after_a_restart_every_query_is_finished_and_what_was_logged_is_charged() {
    let cases = [
        ("coordinator.received", false),
        ("coordinator.offered", false),
        ("coordinator.before_log", false),
        ("coordinator.after_log", true),
        ("coordinator.after_manifest", true),
        ("coordinator.before_release", true),
    ];
    for (point, charged_there) in cases {
        let folder = tempfile::tempdir().unwrap();
        cut_short_at(folder.path(), point);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let app = open(folder.path(), Faults::none(), None);
        assert_eq!(app.restart().unwrap(), 1, "{point}");
        assert_eq!(app.restart().unwrap(), 0, "{point}");
        let Event::Failed { refusal, charged } = runtime.block_on(ask(&app, &question(1))).unwrap() else { panic!("{point}: released") };
        assert_eq!((refusal.code, charged), (WireCode::Unavailable, charged_there), "{point}");
        assert_eq!(refusal.message, "the coordinator was restarted before the query ended");
        let spent_there = if charged_there { price() } else { Rho::ZERO };
        for index in 1..=3 {
            assert_eq!(spent(&app, index), spent_there, "{point}");
        }
        assert_eq!(kinds(&app).last(), Some(&"failure"), "{point}");
    }
}

#[test]
fn after_a_restart_a_released_query_still_has_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    cut_short_at(folder.path(), "coordinator.after_release");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let app = open(folder.path(), Faults::none(), None);
    assert_eq!(app.restart().unwrap(), 0);
    assert!(matches!(runtime.block_on(ask(&app, &question(1))).unwrap(), Event::Released { stored: true, .. }));
    assert_eq!((kinds(&app), spent(&app, 2)), (vec!["attempt", "release"], price()));
}

#[test]
fn a_query_whose_task_died_is_ended_when_it_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let faults = Faults::new(Arc::new(|reached| assert!(reached != "coordinator.offered", "cut short here, as the test wants")));
    let app = ready(folder.path(), faults);
    runtime.block_on(async {
        three(&app, [Script::Answers; 3]);
        let first = ask(&app, &question(1)).await.unwrap();
        assert!(matches!(first, Event::Failed { refusal, .. } if refusal.code == WireCode::Internal));
        while app.live().contains_key(&id(&question(1))) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let again = ask(&app, &question(1)).await.unwrap();
        assert!(matches!(again, Event::Failed { refusal, charged: false } if refusal.code == WireCode::Unavailable));
    });
}

#[test]
fn a_refund_lowers_the_own_ledger_once_and_is_logged_once() {
    let folder = tempfile::tempdir().unwrap();
    cut_short_at(folder.path(), "coordinator.after_log");
    let app = open(folder.path(), Faults::none(), None);
    app.restart().unwrap();
    refund(&app, 2).unwrap();
    refund(&app, 2).unwrap();
    assert_eq!((spent(&app, 1), spent(&app, 2)), (price(), Rho::ZERO));
    assert_eq!(kinds(&app), ["attempt", "failure", "refund"]);
    drop(app);
    let app = open(folder.path(), Faults::none(), None);
    assert_eq!((spent(&app, 1), spent(&app, 2)), (price(), Rho::ZERO));
}

#[test]
fn a_refund_of_an_attempt_that_was_never_logged_is_logged_and_lowers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    cut_short_at(folder.path(), "coordinator.before_log");
    let app = open(folder.path(), Faults::none(), None);
    app.restart().unwrap();
    refund(&app, 1).unwrap();
    assert_eq!((kinds(&app), spent(&app, 1)), (vec!["failure", "refund"], Rho::ZERO));
}

#[test]
fn p8_no_refund_is_taken_for_a_released_answer_an_unknown_query_or_a_stranger() {
    let folder = tempfile::tempdir().unwrap();
    cut_short_at(folder.path(), "coordinator.after_release");
    let app = open(folder.path(), Faults::none(), None);
    assert_eq!(refund(&app, 1).unwrap_err().code, WireCode::NotPermitted);
    let unknown = app.refunded("holder-1", id(&question(77)), 1, 8, sha256(b"refund"));
    assert_eq!(unknown.unwrap_err().code, WireCode::NotPermitted);
    let stranger = app.refunded("nobody", id(&question(1)), 1, 8, sha256(b"refund"));
    assert_eq!(stranger.unwrap_err().code, WireCode::NotPermitted);
    assert_eq!((kinds(&app), spent(&app, 1)), (vec!["attempt", "release"], price()));
}
