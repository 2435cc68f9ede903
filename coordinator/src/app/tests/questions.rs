//! What is decided before anybody is asked: known queries, stored releases, budgets, limits, and the free calls.

use commun_domain::bundle::TrustBundle;
use commun_domain::contract::DataContract;
use commun_domain::{Delta, Refusal};

use super::*;
use crate::log::Publication;

fn refused(result: Result<Event, Refusal>) -> Refusal {
    result.expect_err("the query is refused")
}

#[tokio::test]
async fn a_known_query_id_returns_its_stored_outcome_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    let seen = three(&app, [Script::Answers; 3]);
    let Event::Released { release: first, .. } = ask(&app, &question(1)).await.unwrap() else { panic!("not released") };
    let Event::Released { release: second, stored: true } = ask(&app, &question(1)).await.unwrap() else { panic!("not stored") };
    assert_eq!(first, second);
    assert_eq!(*seen[0].lock().unwrap(), ["offer", "manifest"]);
    assert_eq!(spent(&app, 1), price());

    three(&app, [Script::Refuses; 3]);
    let Event::Failed { refusal: first, .. } = ask(&app, &fresh_question(2)).await.unwrap() else { panic!("not refused") };
    three(&app, [Script::Answers; 3]);
    let Event::Failed { refusal: second, charged: false } = ask(&app, &fresh_question(2)).await.unwrap() else { panic!("started again") };
    assert_eq!(first, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn askers_of_one_query_at_once_share_one_attempt() {
    // Whoever comes while another's query begins finds that query, at whatever moment: hence several times.
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let app = ready(folder.path(), Faults::none());
        let seen = three(&app, [Script::Answers; 3]);
        let question = question(1);
        let [a, b, c, d] = [(); 4].map(|()| ask(&app, &question));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        let releases = [a, b, c, d].map(|event| match event.unwrap() {
            Event::Released { release, .. } => release,
            other => panic!("not released: {other:?}"),
        });
        assert!(releases.iter().all(|release| *release == releases[0]));
        assert_eq!(*seen[0].lock().unwrap(), ["offer", "manifest"]);
    }
}

#[tokio::test]
async fn the_same_question_again_gets_the_stored_release_free_unless_it_is_too_old_for_the_asker() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers; 3]);
    let Event::Released { release: first, stored: false } = ask(&app, &question(1)).await.unwrap() else { panic!("not released") };
    let size = app.log.head().size;
    let Event::Released { release: again, stored: true } = ask(&app, &question(2)).await.unwrap() else { panic!("not stored") };
    assert_eq!(first, again);
    assert_eq!((app.log.head().size, spent(&app, 1)), (size, price()));
    let Event::Released { release: newer, stored: false } = ask(&app, &fresh_question(3)).await.unwrap() else { panic!("not asked") };
    assert_ne!(first, newer);
    assert_eq!(spent(&app, 1).units(), 2 * price().units());
}

#[tokio::test]
async fn a_query_of_another_agencys_permit_is_refused_also_when_it_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers; 3]);
    for _ in 0..2 {
        let refusal = app.submit("press", question(1).to_bytes()).await.err().unwrap();
        assert_eq!(refusal.code, WireCode::NotPermitted);
        assert_eq!(app.explain("press", &question(1).to_bytes()).unwrap_err().code, WireCode::NotPermitted);
        ask(&app, &question(1)).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_own_ledger_does_not_allow_is_refused_before_anyone_is_asked_and_may_be_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    let seen = three(&app, [Script::Answers; 3]);
    let fits = common::permit().rho_cap.units() / price().units();
    for nonce in 0..u8::try_from(fits).unwrap() {
        assert!(matches!(ask(&app, &fresh_question(nonce)).await.unwrap(), Event::Released { .. }));
    }
    let asked = seen[0].lock().unwrap().len();
    for _ in 0..2 {
        let refusal = refused(ask(&app, &fresh_question(100)).await);
        assert_eq!(refusal.code, WireCode::OverBudget);
        assert!(refusal.message.starts_with("the permit's budget for 2011-01 at holder-1"), "{}", refusal.message);
    }
    assert_eq!(seen[0].lock().unwrap().len(), asked);
    assert_eq!(spent(&app, 1).units(), fits * price().units());
}

#[tokio::test]
async fn p8_queries_at_once_never_pass_the_cap_together() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers; 3]);
    let fits = usize::try_from(common::permit().rho_cap.units() / price().units()).unwrap();
    // One more than fits, and no more than may be open at once.
    let feeds = futures::future::join_all(
        (0..=fits).map(|nonce| app.submit("statistics", fresh_question(u8::try_from(nonce).unwrap()).to_bytes())),
    );
    let mut released = 0;
    for feed in feeds.await {
        match feed {
            Ok(feed) if matches!(outcome(&feed).await, Event::Released { .. }) => released += 1,
            _ => {}
        }
    }
    assert_eq!(released, fits);
    assert_eq!(spent(&app, 1).units(), u64::try_from(fits).unwrap() * price().units());
}

#[tokio::test]
async fn more_open_queries_than_the_limit_are_refused_and_stored_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::SaysNothing; 3]);
    let mut feeds = Vec::new();
    for nonce in 0..4 {
        feeds.push(app.submit("statistics", question(nonce).to_bytes()).await.unwrap());
    }
    assert_eq!(refused(ask(&app, &question(9)).await).code, WireCode::Unavailable);
    for feed in &feeds {
        outcome(feed).await;
    }
    // The place is free once the task has ended, a moment after its outcome.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(ask(&app, &question(9)).await.is_ok());
}

#[tokio::test]
async fn p8_a_full_disk_refuses_the_query_and_the_coordinator_stays_up() {
    let folder = tempfile::tempdir().unwrap();
    drop(ready(folder.path(), Faults::none()));
    // As many pages as the file has now: no question that needs some fits, beyond the few that are free in it.
    let app = open(folder.path(), Faults::none(), Some(1));
    three(&app, [Script::Answers; 3]);
    let mut full = 0;
    for nonce in 0..200 {
        let large = Query { nonce: [nonce; 16], sql: format!("{} -- {}", common::SQL, "x".repeat(60_000)), ..common::query() };
        let (Ok(Event::Failed { refusal, .. }) | Err(refusal)) = ask(&app, &common::signed_query(&large)).await else { continue };
        assert_eq!(refusal.code, WireCode::Unavailable, "{}", refusal.message);
        assert!(refusal.hint.contains("free some space"));
        full += 1;
    }
    assert!(full > 0, "the disk was never full");
    assert!(app.explain("statistics", &question(250).to_bytes()).is_ok());
    assert_eq!(app.status().holders.len(), 3);
}

#[tokio::test]
async fn explain_states_price_budget_margin_and_holders_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers, Script::Answers, Script::Answers]);
    let explained = app.explain("statistics", &question(1).to_bytes()).unwrap();
    assert_eq!((explained.price, explained.cells, explained.listed, explained.connected, explained.stored), (price(), 9, 3, 3, false));
    assert_eq!(explained.budgets[0].partition, "2011-01");
    assert_eq!((explained.budgets[0].permit.rho, explained.budgets[0].permit.delta), (common::permit().rho_cap, Delta::ZERO));
    // Three halves of a noise of sigma 5.78 at epsilon 1 and delta 1e-9.
    let (name, margin) = &explained.margins[0];
    assert!(name == "commuters" && margin.is_some_and(|margin| (margin - 13.9).abs() < 0.1), "{name} {margin:?}");
    assert_eq!(app.log.head().size, 4);
    ask(&app, &question(1)).await.unwrap();
    let explained = app.explain("statistics", &question(2).to_bytes()).unwrap();
    assert!(explained.stored);
    assert_eq!(explained.budgets[0].permit.rho.units(), common::permit().rho_cap.units() - price().units());
}

#[tokio::test]
async fn a_document_is_published_once_and_only_when_the_trust_in_force_accepts_it() {
    let folder = tempfile::tempdir().unwrap();
    let app = open(folder.path(), Faults::none(), None);
    let [bundle, roster, contract, permit] = documents();
    assert_eq!(app.publish(&roster).unwrap_err().code, WireCode::NotPermitted);
    for (number, document) in (0..).zip([&bundle, &roster, &contract]) {
        for known in [false, true] {
            assert_eq!(app.publish(document).unwrap(), Publication { entry: number, hash: document.document_hash(), known });
        }
    }
    let one = common::signed_by(&common::permit(), &[common::officer_key(1)]);
    assert_eq!(app.publish(&one).unwrap_err().code, WireCode::NotPermitted);
    assert_eq!(app.publish(&question(1)).unwrap_err().code, WireCode::NotPermitted);
    assert_eq!(app.log.head().size, 3);
    app.publish(&permit).unwrap();
    let numbers = |agency| app.catalog(agency).unwrap().into_keys().collect::<Vec<_>>();
    assert_eq!(numbers("statistics"), [0, 1, 2, 3]);
    assert_eq!(numbers("press"), [0, 1, 2], "a permit is its own agency's");
}

#[tokio::test]
async fn the_catalog_is_the_logs_own_entries_in_its_order_without_what_no_client_needs() {
    let folder = tempfile::tempdir().unwrap();
    let app = ready(folder.path(), Faults::none());
    three(&app, [Script::Answers; 3]);
    // Entries 4 and 5: an attempt and its release, which are in no catalog.
    ask(&app, &question(1)).await.unwrap();
    for (version, entry) in [(2, 6), (3, 7)] {
        let contract = DataContract { version, ..common::contract() };
        assert_eq!(app.publish(&common::signed_by(&contract, &common::officers())).unwrap().entry, entry);
    }
    let next = TrustBundle { version: 2, previous: Some(common::bundle().hash()), ..common::bundle() };
    let signers = [common::root_key(), common::officer_key(1), common::officer_key(2)];
    assert_eq!(app.publish(&common::signed_by(&next, &signers)).unwrap().entry, 8);
    let catalog = app.catalog("statistics").unwrap();
    // Not contract version 2, which no permit names and which is not the newest.
    assert_eq!(catalog.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 7, 8]);
    for (number, bytes) in &catalog {
        assert_eq!(app.log.entries(*number, 1).unwrap()[0].bytes, *bytes, "entry {number} is not the log's own");
    }
}
