//! The guard as a unit: offers, manifests, refunds, restarts, the log.
#![allow(clippy::unwrap_used, clippy::panic, clippy::similar_names, clippy::type_complexity, reason = "a test fails by panicking")]

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commun_domain::attempt::{Accept, Manifest, decode_values};
use commun_domain::log::LogEntry;
use commun_domain::{Document, Hash32, Rho, WireCode};
use commun_privacy::ledger::RecordKind;
use commun_service::Faults;
use commun_store::agent::Decision;
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::core::{Core, MAX_OPEN_ATTEMPTS, REFUND_RETRY_MS};
use super::fixture::common::{self, signed_by, signed_query};
use super::fixture::{CELLS, DATUM, EXACT, LIST, MANIFEST_MS, NOW_MS, Setup, World, accepted, cheap, offer, question, refused};
use super::lock;
use super::message::{Offer, Outgoing};

/// Longest wait for what must come.
const SOON: Duration = Duration::from_secs(20);
/// Wait for what must not come.
const A_WHILE: Duration = Duration::from_millis(300);

async fn next(link: &mut mpsc::Receiver<Outgoing>) -> Outgoing {
    tokio::time::timeout(SOON, link.recv()).await.unwrap().unwrap()
}

async fn nothing(link: &mut mpsc::Receiver<Outgoing>) {
    let came = tokio::time::timeout(A_WHILE, link.recv()).await;
    assert!(came.is_err(), "{came:?}");
}

fn failed(outgoing: &Outgoing) -> WireCode {
    let Outgoing::Failed { code, .. } = outgoing else { panic!("not failed: {outgoing:?}") };
    *code
}

#[test]
fn p7_the_default_policy_refuses_and_the_journal_says_how_to_accept() {
    let world = World::with(Setup { accept: Vec::new(), ..Setup::default() });
    let (code, message) = refused(&world.offer(&signed_query(&question(1))));
    assert_eq!(code, WireCode::NotPermitted);
    assert!(message.contains("policy"), "{message}");
    let line = world.last_line();
    assert_eq!((line.decision, line.code), (Decision::Refused, Some(WireCode::NotPermitted)));
    assert!(line.reason.contains(&common::permit().hash().to_string()) && line.reason.contains("accept_permits"), "{}", line.reason);
    assert_eq!(line.sql, common::SQL);
    assert!(world.records().is_empty());
}

#[test]
fn p7_without_its_list_of_objections_nothing_is_answered_and_nothing_charged() {
    let world = World::ready();
    assert_eq!(world.core(|core| core.report()).not_ready, Vec::<String>::new());
    world.engine.listless.store(true, Ordering::SeqCst);
    let (code, message) = refused(&world.offer(&signed_query(&question(1))));
    assert_eq!(code, WireCode::Unavailable);
    assert!(!message.contains("objection") && !message.contains(LIST), "{message}");
    let line = world.last_line();
    assert!(line.reason.contains(LIST) && line.reason.contains("no question is answered without it"), "{}", line.reason);
    assert!(world.records().is_empty() && world.reads() == 0);
    let faults = world.core(|core| core.report()).not_ready;
    assert!(faults.len() == 1 && faults[0].contains(LIST), "{faults:?}");
    // It is back, and so are answers.
    world.engine.listless.store(false, Ordering::SeqCst);
    accepted(world.offer(&signed_query(&question(2))));
}

#[test]
fn a_key_that_the_roster_does_not_name_is_noticed_when_the_roster_comes() {
    let world = World::with(Setup { key: common::holder_key(9), ..Setup::default() });
    let faults = world.core(|core| core.report()).not_ready;
    assert!(faults.len() == 1 && faults[0].contains("configure the key that the roster names"), "{faults:?}");
    let noted = world.health.state().last_error.unwrap().1;
    assert_eq!(noted, faults[0]);
    assert!(noted.contains(&common::holder(1).key.to_string()) && noted.contains(&common::holder_public(9).to_string()), "{noted}");
}

#[test]
fn an_accepted_offer_is_signed_reserved_and_journaled() {
    let world = World::ready();
    let accept = Accept::from_bytes(&accepted(world.offer(&signed_query(&question(1)))).bytes.0).unwrap();
    let record = world.records().pop().unwrap();
    assert_eq!((accept.index, accept.seq, accept.record, accept.min_colluders), (1, record.seq, record.hash(), 2));
    assert_eq!((record.kind, record.charges[0].rho), (RecordKind::Reserve, accept.price));
    let line = world.last_line();
    assert_eq!((line.decision, line.agency.as_deref(), line.bytes_sent), (Decision::Accepted, Some("statistics"), 0));
}

#[test]
fn p8_reserve_is_durable_before_it_is_told() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let points = seen.clone();
    let faults = Faults::new(Arc::new(move |point| lock(&points).push(point)));
    let world = World::with(Setup { faults, ..Setup::default() });
    accepted(world.offer(&signed_query(&question(1))));
    assert_eq!(*lock(&seen), ["agent.before_reserve", "agent.after_reserve"]);
    // Dies right before it: nothing is known, and nothing has to be mended.
    let dies = Faults::new(Arc::new(|point| assert!(point != "agent.before_reserve", "killed")));
    let world = World::with(Setup { faults: dies, ..Setup::default() });
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.offer(&signed_query(&question(1)))));
    assert!(told.is_err());
    let world = world.restarted(Setup::default());
    assert!(world.records().is_empty() && world.store.journal_tail(9).unwrap().is_empty());
    // Dies right after the reserve, before anything is told: the charge and the attempt are known to the next process.
    let dies = Faults::new(Arc::new(|point| assert!(point != "agent.after_reserve", "killed")));
    let world = World::with(Setup { faults: dies, ..Setup::default() });
    let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.offer(&signed_query(&question(1)))));
    assert!(told.is_err());
    let world = world.restarted(Setup::default());
    assert!(world.spent() > Rho::ZERO);
    assert!(world.last_line().reason.contains("the charge stays"), "{}", world.last_line().reason);
    assert_eq!(refused(&world.offer(&signed_query(&question(1)))).0, WireCode::NotPermitted);
    assert_eq!(world.records().len(), 1);
}

#[test]
fn p8_an_attempt_that_was_offered_before_starts_nothing() {
    let world = World::ready();
    let query = signed_query(&question(1));
    accepted(world.offer(&query));
    let spent = world.spent();
    let (code, message) = refused(&world.offer(&query));
    assert_eq!(code, WireCode::NotPermitted);
    assert!(message.contains("before"), "{message}");
    assert_eq!((world.records().len(), world.spent()), (1, spent));
    // It refuses the second offer, not the attempt: the first one still gets its refund.
    world.clock.set(MANIFEST_MS);
    assert_eq!(world.core(Core::refund_due).len(), 1);
}

#[test]
fn a_refused_attempt_is_not_accepted_when_it_is_offered_again() {
    let world = World::with(Setup { accept: Vec::new(), ..Setup::default() });
    let query = signed_query(&question(1));
    refused(&world.offer(&query));
    let world = world.restarted(Setup::default());
    assert!(refused(&world.offer(&query)).1.contains("before"));
}

#[test]
fn p8_a_question_over_the_permits_budget_is_refused_and_charges_nothing() {
    // The permit's cap is .05 and a question costs .015: three fit.
    let world = World::ready();
    for nonce in 1..=3 {
        accepted(world.offer(&signed_query(&question(nonce))));
    }
    let spent = world.spent();
    let (code, message) = refused(&world.offer(&signed_query(&question(4))));
    assert_eq!(code, WireCode::OverBudget);
    assert!(message.contains("2011-01") && message.contains("permit"), "{message}");
    assert_eq!(world.spent(), spent);
}

#[test]
fn p5_a_query_signed_by_a_key_outside_the_permit_is_refused() {
    let world = World::ready();
    let reply = world.offer(&signed_by(&question(1), &[common::stranger_key()]));
    assert_eq!(refused(&reply).0, WireCode::NotPermitted);
    assert!(world.records().is_empty());
}

#[test]
fn p5_a_permit_that_one_officer_signed_twice_is_no_permit() {
    let mut permit = common::permit();
    permit.reference = "APD-2027-2".to_owned();
    let world = World::with(Setup { accept: vec![permit.hash()], ..Setup::default() });
    let mut signed = signed_by(&permit, &[common::officer_key(1)]);
    signed.signatures.push(signed.signatures[0].clone());
    world.log(&[LogEntry::Permit(signed)]);
    let query = commun_domain::query::Query { permit: permit.hash(), ..question(1) };
    assert_eq!(refused(&world.offer(&signed_query(&query))).0, WireCode::NotPermitted);
    assert!(world.core(|core| core.log.last_invalid().cloned()).is_some_and(|(number, _)| number == 4));
}

#[test]
fn deadlines_that_are_past_or_out_of_order_or_far_are_refused() {
    let world = World::ready();
    let times = [(NOW_MS, MANIFEST_MS), (MANIFEST_MS + 1, MANIFEST_MS), (NOW_MS + 1, NOW_MS + super::MAX_MANIFEST_WAIT_MS + 1)];
    for (nonce, (reply_deadline_ms, manifest_deadline_ms)) in (1..).zip(times) {
        let offer = super::Offer { reply_deadline_ms, manifest_deadline_ms, ..offer(&signed_query(&question(nonce))) };
        assert_eq!(refused(&world.core(|core| core.offer(&offer)).unwrap()).0, WireCode::Expired);
    }
    assert!(world.records().is_empty());
}

#[test]
fn more_open_attempts_than_the_limit_are_refused() {
    let world = World::ready();
    let nonces = 1..=u8::try_from(MAX_OPEN_ATTEMPTS).unwrap();
    for nonce in nonces {
        accepted(world.offer(&signed_query(&cheap(nonce))));
    }
    assert_eq!(refused(&world.offer(&signed_query(&cheap(100)))).0, WireCode::Unavailable);
}

#[test]
fn p8_a_reserve_is_taken_back_only_at_its_deadline_and_only_without_a_manifest() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    accepted(world.offer(&signed_query(&question(2))));
    let both = world.spent();
    world.clock.set(MANIFEST_MS - 1);
    assert!(world.core(Core::refund_due).is_empty());
    assert!(world.core(|core| core.bind(&manifest.to_bytes())).is_ok());
    world.clock.set(MANIFEST_MS + 1_000_000);
    let refunds = world.core(Core::refund_due);
    let refund = world.records().pop().unwrap();
    let query = signed_query(&question(2)).document_hash().into();
    assert_eq!(refunds, [Outgoing::Refunded { query, attempt: 1, seq: refund.seq, record: refund.hash() }]);
    assert_eq!(refund.kind, RecordKind::Refund);
    assert_eq!(both.units(), 2 * world.spent().units());
    assert_eq!(world.last_line().decision, Decision::Refunded);
    assert!(world.core(Core::refund_due).is_empty());
}

#[test]
fn p8_a_manifest_after_the_deadline_is_not_answered_but_refunded() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    world.clock.set(MANIFEST_MS);
    let outgoing = world.core(|core| core.bind(&manifest.to_bytes())).unwrap_err();
    assert!(matches!(outgoing[..], [Outgoing::Refunded { .. }]), "{outgoing:?}");
    assert_eq!(world.spent(), Rho::ZERO);
}

#[test]
fn p8_a_refund_that_cannot_be_written_opens_nothing_for_a_late_manifest_and_is_tried_again() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let charged = world.spent();
    world.fill_the_disk();
    world.clock.set(MANIFEST_MS);
    assert!(world.core(Core::refund_due).is_empty());
    assert_eq!((world.records().len(), world.core(|core| core.report().refunds_due)), (1, 1));
    assert!(world.health.state().last_error.is_some_and(|(_, text)| text.contains("cannot refund") && text.contains("full")));
    // Not even when the clock is set back before the deadline.
    for now_ms in [MANIFEST_MS, NOW_MS] {
        world.clock.set(now_ms);
        let outgoing = world.core(|core| core.bind(&manifest.to_bytes())).unwrap_err();
        assert_eq!(outgoing.iter().map(failed).collect::<Vec<_>>(), [WireCode::Expired]);
    }
    assert_eq!((world.spent(), world.reads()), (charged, 0));
    world.make_room();
    world.clock.set(MANIFEST_MS + REFUND_RETRY_MS);
    let refunds = world.core(Core::refund_due);
    assert!(matches!(refunds[..], [Outgoing::Refunded { .. }]), "{refunds:?}");
    assert_eq!((world.spent(), world.last_line().decision), (Rho::ZERO, Decision::Refunded));
    let outgoing = world.core(|core| core.bind(&manifest.to_bytes())).unwrap_err();
    assert_eq!(failed(&outgoing[0]), WireCode::NotPermitted);
}

#[test]
fn p8_a_refund_that_was_never_written_stays_charged_after_a_restart() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let charged = world.spent();
    world.fill_the_disk();
    world.clock.set(MANIFEST_MS);
    assert!(world.core(Core::refund_due).is_empty());
    // The next process has room again.
    let world = world.restarted(Setup::default());
    world.clock.set(MANIFEST_MS + 1_000_000);
    assert!(world.core(Core::refund_due).is_empty());
    assert!(world.core(|core| core.bind(&manifest.to_bytes())).is_err());
    assert_eq!(world.spent(), charged);
}

#[test]
fn an_attempt_that_is_cancelled_or_loses_its_link_without_a_manifest_is_refunded_at_its_deadline() {
    let world = World::ready();
    let query = signed_query(&question(1));
    accepted(world.offer(&query));
    let key = super::attempt::AttemptKey { query: query.document_hash().into(), attempt: 1 };
    assert_eq!(world.core(|core| core.cancelled(key, WireCode::RefusedByHolder)), None);
    world.core(Core::link_lost);
    world.clock.set(MANIFEST_MS - 1);
    assert!(world.core(Core::refund_due).is_empty());
    world.clock.set(MANIFEST_MS);
    assert_eq!(world.core(Core::refund_due).len(), 1);
    assert_eq!(world.spent(), Rho::ZERO);
}

#[tokio::test]
async fn a_refund_that_a_late_manifest_found_due_while_the_link_was_down_is_told_on_the_next() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    world.clock.set(MANIFEST_MS);
    world.guard.manifest(manifest.to_bytes()).await;
    for _ in 0..2 {
        let mut link = world.link().await;
        assert!(matches!(next(&mut link).await, Outgoing::Refunded { .. }));
    }
}

#[test]
fn p8_a_restart_forgets_what_was_refundable() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let spent = world.spent();
    let world = world.restarted(Setup::default());
    let line = world.last_line();
    assert_eq!(line.decision, Decision::Failed);
    assert!(line.reason.contains("restarted"), "{}", line.reason);
    let outgoing = world.core(|core| core.bind(&manifest.to_bytes())).unwrap_err();
    assert_eq!(failed(&outgoing[0]), WireCode::NotPermitted);
    world.clock.set(MANIFEST_MS + 1_000_000);
    assert!(world.core(Core::refund_due).is_empty());
    assert_eq!(world.spent(), spent);
}

#[test]
fn p5_a_manifest_for_an_attempt_that_was_never_accepted_is_refused() {
    let world = World::ready();
    let known = world.manifest(&question(1));
    let unknown = Manifest { query: signed_query(&question(2)).document_hash().into(), ..known };
    let outgoing = world.core(|core| core.bind(&unknown.to_bytes())).unwrap_err();
    assert_eq!(failed(&outgoing[0]), WireCode::NotPermitted);
    assert_eq!(world.last_line().decision, Decision::Refused);
}

#[tokio::test]
async fn p1_the_answer_is_signed_noisy_and_journaled_before_it_leaves() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    world.guard.manifest(manifest.to_bytes()).await;
    let Outgoing::Answer { query, attempt, head, values } = next(&mut link).await else { panic!("no answer") };
    assert_eq!((query, attempt), (manifest.query, 1));
    commun_trust::check_answer(&head, &manifest.hash(), &values, &common::holder(1)).unwrap();
    let cells = decode_values(&values, &[CELLS]).unwrap().remove(0);
    // gamma is 1/4 and s about 23: nine times no noise at all has a chance below 1e-15.
    assert!(cells.iter().any(|cell| i128::from(*cell) != 4 * EXACT), "{cells:?}");
    assert!(cells.iter().all(|cell| (i128::from(*cell) - 4 * EXACT).abs() < 400), "{cells:?}");
    let line = world.last_line();
    assert_eq!((line.decision, line.bytes_sent), (Decision::Answered, 72));
    assert!(world.store.open_attempts().unwrap().is_empty());
}

#[tokio::test]
async fn p4_a_manifest_that_differs_in_any_number_is_refused_before_data_are_read() {
    let changes: [(&str, fn(&mut Manifest)); 8] = [
        ("plan", |manifest| manifest.plan = Hash32::default()),
        ("s2", |manifest| manifest.noise[0].s2 -= 1),
        ("d", |manifest| manifest.noise[0].d -= 1),
        ("price", |manifest| manifest.price = Rho::from_units(manifest.price.units() - 1)),
        ("T", |manifest| manifest.threshold = 2),
        ("c", |manifest| manifest.colluders = 1),
        ("cohort", |manifest| drop(manifest.cohort.pop())),
        ("root", |manifest| manifest.checkpoint_root = Hash32::default()),
    ];
    for (nonce, (name, change)) in (1..).zip(changes) {
        let world = World::ready();
        let mut manifest = world.manifest(&question(nonce));
        change(&mut manifest);
        let mut link = world.link().await;
        world.guard.manifest(manifest.to_bytes()).await;
        assert!(matches!(failed(&next(&mut link).await), WireCode::NotPermitted | WireCode::TooFewHolders), "{name}");
        assert_eq!(world.reads(), 0, "{name}");
        assert!(world.spent() > Rho::ZERO, "{name}");
    }
}

#[tokio::test]
async fn p8_a_second_manifest_equal_or_not_kills_the_attempt() {
    for another in [false, true] {
        let world = World::with(Setup { takes: A_WHILE / 2, ..Setup::default() });
        let manifest = world.manifest(&question(1));
        let second = Manifest { slot_ms: manifest.slot_ms + u64::from(another), ..manifest.clone() };
        let mut link = world.link().await;
        world.guard.manifest(manifest.to_bytes()).await;
        world.guard.manifest(second.to_bytes()).await;
        assert_eq!(failed(&next(&mut link).await), WireCode::NotPermitted);
        nothing(&mut link).await;
        assert_eq!(world.last_line().decision, Decision::Failed);
        assert!(world.spent() > Rho::ZERO);
    }
}

#[tokio::test]
async fn p6_an_attempt_whose_log_entry_was_not_read_is_not_answered() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let read = manifest.checkpoint_size;
    let unread = Manifest { checkpoint_size: read + 1, deadline_ms: NOW_MS + 200, ..manifest };
    let mut link = world.link().await;
    world.guard.manifest(unread.to_bytes()).await;
    assert_eq!(failed(&next(&mut link).await), WireCode::NotPermitted);
    assert_eq!(world.reads(), 0);
}

#[tokio::test]
async fn p6_a_checkpoint_that_is_not_of_now_is_not_answered_under() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    world.clock.set(NOW_MS - 121_000);
    let mut link = world.link().await;
    world.guard.manifest(manifest.to_bytes()).await;
    assert_eq!(failed(&next(&mut link).await), WireCode::Expired);
    assert_eq!(world.reads(), 0);
}

/// The world's question is asked of an engine that cannot answer it. Nothing that is sent or written may hold what its error quotes.
async fn ends_without_an_answer(setup: Setup, class: &str) {
    let world = World::with(setup);
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    world.guard.manifest(manifest.to_bytes()).await;
    let Outgoing::Failed { code, message, .. } = next(&mut link).await else { panic!("no failure") };
    assert_eq!(code, WireCode::Internal);
    assert!(!message.contains(DATUM) && !message.contains("panic") && !message.contains(class), "{message}");
    let line = world.last_line();
    assert_eq!(line.decision, Decision::Failed);
    assert!(line.reason.contains(class) && !line.reason.contains(DATUM), "{}", line.reason);
    assert!(world.store.open_attempts().unwrap().is_empty());
    assert!(world.spent() > Rho::ZERO);
    // The engineer is told all of it, as long as this process lives.
    let told = world.health.state().last_error.unwrap().1;
    assert!(told.contains(class) && told.contains(DATUM), "{told}");
    // No file of the state folder has it.
    for file in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(DATUM.len()).any(|window| window == DATUM.as_bytes()));
    }
    let world = world.restarted(Setup::default());
    assert_eq!(world.health.state().last_error, None);
}

#[tokio::test]
async fn p9_a_panic_while_reading_ends_the_attempt_charged_and_tells_nothing_of_it() {
    ends_without_an_answer(Setup { panics: true, ..Setup::default() }, "a fault of the program").await;
}

#[tokio::test]
async fn p9_a_fault_in_reading_is_journaled_by_its_class_and_told_in_full_to_the_status_only() {
    ends_without_an_answer(Setup { fails: true, ..Setup::default() }, "the source \"subscribers\" cannot be read").await;
}

#[tokio::test]
async fn p6_an_answer_under_way_does_not_leave_after_the_log_was_shown_to_be_forked() {
    let world = World::with(Setup { takes: A_WHILE / 2, ..Setup::default() });
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    world.guard.manifest(manifest.to_bytes()).await;
    while world.reads() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let forked = world.note(manifest.checkpoint_size, Hash32::default());
    assert!(world.core(|core| core.checkpoint(&forked)).is_err());
    assert_eq!(failed(&next(&mut link).await), WireCode::Unavailable);
    nothing(&mut link).await;
    assert!(world.spent() > Rho::ZERO);
}

#[test]
fn p4_a_second_attempt_beyond_the_price_that_the_query_accepts_is_refused() {
    let world = World::ready();
    let mut asked = question(1);
    let admitted = world.core(|core| commun_trust::admit(core.log.state(), &signed_query(&asked), common::NOW_UNIX)).unwrap();
    asked.max_price = admitted.price;
    let signed = signed_query(&asked);
    accepted(world.offer(&signed));
    let second = Offer { attempt: 2, ..offer(&signed) };
    assert_eq!(refused(&world.core(|core| core.offer(&second)).unwrap()).0, WireCode::OverBudget);
}

#[tokio::test]
async fn a_lost_link_ends_what_is_being_read_and_leaves_it_charged() {
    let world = World::with(Setup { takes: A_WHILE / 2, ..Setup::default() });
    let manifest = world.manifest(&question(1));
    let link = world.link().await;
    world.guard.manifest(manifest.to_bytes()).await;
    drop(link);
    world.guard.link_lost().await;
    assert_eq!(world.last_line().decision, Decision::Failed);
    let mut link = world.link().await;
    nothing(&mut link).await;
    assert!(world.spent() > Rho::ZERO);
}

#[tokio::test]
async fn a_refund_that_the_log_does_not_show_is_told_on_the_next_link() {
    let world = World::ready();
    accepted(world.offer(&signed_query(&question(1))));
    world.clock.set(MANIFEST_MS);
    world.guard.refund_due().await;
    for _ in 0..2 {
        let mut link = world.link().await;
        assert!(matches!(next(&mut link).await, Outgoing::Refunded { .. }));
    }
}

#[test]
fn p6_another_root_stops_the_agent_and_a_restart_does_not_forget_it() {
    let world = World::ready();
    let forked = world.note(4, Hash32::default());
    assert!(world.core(|core| core.checkpoint(&forked)).is_err());
    assert_eq!(refused(&world.offer(&signed_query(&question(1)))).0, WireCode::Unavailable);
    assert!(world.health.state().last_error.is_some_and(|(_, text)| text.contains("STOPPED")));
    let world = world.restarted(Setup::default());
    assert_eq!(refused(&world.offer(&signed_query(&question(2)))).0, WireCode::Unavailable);
    assert!(world.core(|core| core.report().stopped).is_some());
}

#[test]
fn p6_a_stop_whose_file_cannot_be_written_holds_in_this_process_and_says_so() {
    let world = World::ready();
    // Where the file is written before it is moved, something else stands.
    std::fs::create_dir(world.folder.path().join("STOPPED.new")).unwrap();
    let forked = world.note(4, Hash32::default());
    let stopped = world.core(|core| core.checkpoint(&forked)).unwrap_err().to_string();
    assert!(stopped.contains("a restart would forget this"), "{stopped}");
    assert_eq!(refused(&world.offer(&signed_query(&question(1)))).0, WireCode::Unavailable);
}

#[test]
fn p6_a_log_that_becomes_shorter_or_changes_stops_the_agent() {
    let world = World::ready();
    let shorter = world.note(3, world.core(|core| core.log.root_at(3)).unwrap());
    assert!(world.core(|core| core.checkpoint(&shorter)).unwrap_err().to_string().contains("shorter"));
    let world = World::ready();
    assert!(world.core(|core| core.entries(3, &[b"other".to_vec()])).unwrap_err().to_string().contains("other log entries"));
    assert!(world.core(|core| core.report().stopped).is_some());
}

#[test]
fn a_checkpoint_of_a_strangers_key_is_not_believed_and_stops_nothing() {
    let world = World::ready();
    let note = world.note(4, world.root()).replace("commun.test/log", "commun.test/gol");
    assert!(world.core(|core| core.checkpoint(&note)).is_err());
    accepted(world.offer(&signed_query(&question(1))));
}

#[test]
fn an_unreadable_entry_is_stored_counted_and_gives_no_trust() {
    let world = World::ready();
    let before = world.core(|core| core.log.state().clone());
    // Of a kind that a later version writes, and broken: a permit whose end was cut off.
    let mut later = LogEntry::Permit(signed_by(&common::permit(), &common::officers())).to_bytes();
    let mut broken = later.clone();
    later[4 + LogEntry::TAG.len()] = 200;
    broken.pop();
    world.core(|core| core.entries(4, &[later, broken])).unwrap();
    let report = world.core(|core| core.report());
    assert_eq!((report.log_size, report.unreadable_entries), (6, 2));
    assert!(report.last_invalid_entry.is_some_and(|(number, reason)| number == 5 && reason.contains("cannot be read")));
    let mut expected = before;
    expected.skip_to(6).unwrap();
    assert_eq!(world.core(|core| core.log.state().clone()), expected, "nothing but the count has changed");
    accepted(world.offer(&signed_query(&question(1))));
    let root = world.root();
    let world = world.restarted(Setup::default());
    assert_eq!((world.root(), world.core(|core| core.report().unreadable_entries)), (root, 2));
}

#[test]
fn p8_a_full_disk_refuses_the_question_and_charges_nothing() {
    let world = World::ready();
    let pages = world.store.page_count().unwrap();
    let world = world.restarted(Setup { max_pages: Some(pages), ..Setup::default() });
    // Attempt and RESERVE would still fit into the last pages; the journal's line with this text does not, so none of it is written.
    let long = commun_domain::query::Query { sql: format!("{} -- {}", common::SQL, "x".repeat(60_000)), ..question(1) };
    let (code, message) = refused(&world.offer(&signed_query(&long)));
    assert_eq!(code, WireCode::Unavailable);
    assert!(message.contains("store"), "{message}");
    assert!(world.records().is_empty(), "there is nothing to take back");
    assert!(world.store.open_attempts().unwrap().is_empty());
    assert!(world.health.state().last_error.is_some_and(|(_, text)| text.contains("full")));
    // The agent is still there for a question that fits.
    accepted(world.offer(&signed_query(&question(2))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// However the entries are cut into messages, and whatever is sent twice, the root is that of the entries in order.
    #[test]
    fn the_own_root_does_not_depend_on_how_entries_arrive(
        entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 1..12),
        cuts in proptest::collection::vec((0usize..4, 1usize..5), 12),
    ) {
        let world = World::ready();
        let mut tree = commun_tlog::tree::Frontier::new();
        for entry in world.store.entries(0, 100).unwrap() {
            tree.append(commun_tlog::tree::leaf_hash(&entry.bytes));
        }
        let before = tree.size();
        for entry in &entries {
            tree.append(commun_tlog::tree::leaf_hash(entry));
        }
        let mut done = 0;
        for (again, count) in cuts {
            let first = done - again.min(done);
            let end = (done + count).min(entries.len());
            world.core(|core| core.entries(before + first as u64, &entries[first..end])).unwrap();
            done = end;
        }
        prop_assert_eq!(done, entries.len());
        prop_assert_eq!(world.root(), Hash32::from_bytes(tree.root()));
    }
}
