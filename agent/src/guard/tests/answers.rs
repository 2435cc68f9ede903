//! Manifests, answers, and what ends without one.

use super::*;
use crate::guard::fixture::SLOT_WAIT_MS;

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
async fn p4_a_manifest_that_differs_in_any_number_is_refused_before_data_are_read() {
    let changes: [(&str, fn(&mut Manifest)); 11] = [
        ("plan", |manifest| manifest.plan = Hash32::default()),
        ("s2", |manifest| manifest.noise[0].s2 -= 1),
        ("d", |manifest| manifest.noise[0].d -= 1),
        ("price", |manifest| manifest.price = Rho::from_units(manifest.price.units() - 1)),
        ("T", |manifest| manifest.threshold = 2),
        ("c", |manifest| manifest.colluders = 2),
        ("h", |manifest| manifest.honest = 3),
        ("rounds", |manifest| manifest.round_ms += 1),
        ("slot", |manifest| {
            let near_ms = NOW_MS + commun_trust::slot::left_ms(SLOT_WAIT_MS) - 1;
            (manifest.slot_ms, manifest.deadline_ms) = (near_ms, near_ms + 5 * manifest.round_ms);
        }),
        ("cohort", |manifest| drop(manifest.cohort.pop())),
        ("root", |manifest| manifest.checkpoint_root = Hash32::default()),
    ];
    for (nonce, (name, change)) in (1..).zip(changes) {
        let world = World::ready();
        let mut manifest = world.manifest(&question(nonce));
        change(&mut manifest);
        let mut link = world.link().await;
        world.clock.run();
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
        world.clock.run();
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
    let unread = Manifest { checkpoint_size: read + 1, ..manifest };
    world.clock.run();
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
    world.clock.run();
    world.guard.manifest(manifest.to_bytes()).await;
    assert_eq!(failed(&next(&mut link).await), WireCode::Expired);
    assert_eq!(world.reads(), 0);
}

/// The world's question is asked of an engine that cannot answer it. Nothing that is sent or written may hold what its error quotes.
async fn ends_without_an_answer(setup: Setup, class: &str) {
    let world = World::with(setup);
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    world.clock.run();
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
    world.clock.run();
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

#[tokio::test]
async fn a_lost_link_ends_what_is_being_read_and_leaves_it_charged() {
    let world = World::with(Setup { takes: A_WHILE / 2, ..Setup::default() });
    let manifest = world.manifest(&question(1));
    let link = world.link().await;
    world.clock.run();
    world.guard.manifest(manifest.to_bytes()).await;
    drop(link);
    world.guard.link_lost().await;
    assert_eq!(world.last_line().decision, Decision::Failed);
    let mut link = world.link().await;
    nothing(&mut link).await;
    assert!(world.spent() > Rho::ZERO);
}
