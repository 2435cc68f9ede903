//! What the agent stops for until a person decides.

use super::*;
use crate::guard::attempt::AttemptKey;
use crate::guard::incidents::{MOST_LAPSES, MOST_LEFT_OUT};

/// A cheap question whose manifest has come.
fn manifest(world: &World, nonce: u8) -> Manifest {
    let manifest = world.manifest(&cheap(nonce));
    assert!(world.core(|core| core.bind(&manifest.to_bytes())).is_ok());
    manifest
}

fn key(manifest: &Manifest) -> AttemptKey {
    AttemptKey { query: manifest.query, attempt: manifest.attempt }
}

/// Code and local reason of the refusal of a cheap question.
fn refusal(world: &World, nonce: u8) -> (WireCode, String) {
    let (code, public) = refused(&world.offer(&signed_query(&cheap(nonce))));
    assert!(!public.contains("slot") && !public.contains("in time"), "{public}");
    (code, world.last_line().reason)
}

async fn ends(setup: Setup) -> WireCode {
    let world = World::with(setup);
    let manifest = world.manifest(&cheap(1));
    let mut link = world.link().await;
    world.clock.run();
    world.guard.manifest(manifest.to_bytes()).await;
    let code = failed(&next(&mut link).await);
    assert_eq!(world.store.incidents().unwrap().len(), 1);
    assert!(world.core(|core| core.report()).incidents[0].contains("1 of at most 2 attempts in mobility"));
    code
}

#[tokio::test]
async fn p9_a_missed_slot_a_failed_reading_and_a_panic_are_each_a_lapse() {
    assert_eq!(ends(Setup { takes: Duration::from_secs(5), ..Setup::default() }).await, WireCode::Unavailable);
    assert_eq!(ends(Setup { fails: true, ..Setup::default() }).await, WireCode::Internal);
    assert_eq!(ends(Setup { panics: true, ..Setup::default() }).await, WireCode::Internal);
}

#[test]
fn p9_after_two_lapses_a_domain_is_refused_until_a_person_decides_also_after_a_restart() {
    let world = World::ready();
    for nonce in 1..=2 {
        let lapsed = manifest(&world, nonce);
        accepted(world.offer(&signed_query(&cheap(10 + nonce))));
        world.core(|core| core.fail(key(&lapsed), &crate::guard::message::late()));
    }
    assert_eq!(MOST_LAPSES, 2);
    let (code, reason) = refusal(&world, 3);
    assert!(code == WireCode::Unavailable && reason.contains("2 of at most 2") && reason.contains("commun-agent resume"), "{reason}");
    let spent = world.spent();
    let world = world.restarted(Setup::default());
    assert_eq!(refusal(&world, 4).0, WireCode::Unavailable);
    assert!(world.core(|core| core.report()).incidents[0].contains("REFUSES"));
    assert_eq!(world.spent(), spent);
    world.store.decide(NOW_MS, "the disk was slow; it is replaced", false).unwrap();
    let world = world.restarted(Setup::default());
    accepted(world.offer(&signed_query(&cheap(5))));
    // It counts from there.
    let lapsed = manifest(&world, 6);
    world.core(|core| core.fail(key(&lapsed), &crate::guard::message::late()));
    accepted(world.offer(&signed_query(&cheap(7))));
}

#[test]
fn p9_a_process_that_ends_with_a_logged_attempt_open_has_lapsed_and_with_another_one_it_has_not() {
    let world = World::ready();
    // Accepted, and not logged: nothing was read.
    for nonce in 1..=3 {
        accepted(world.offer(&signed_query(&cheap(nonce))));
    }
    let world = world.restarted(Setup::default());
    assert_eq!(world.store.incidents().unwrap(), []);
    manifest(&world, 4);
    let world = world.restarted(Setup::default());
    assert_eq!(world.store.incidents().unwrap().len(), 1);
    accepted(world.offer(&signed_query(&cheap(5))));
    manifest(&world, 6);
    let world = world.restarted(Setup::default());
    assert_eq!(refusal(&world, 7).0, WireCode::Unavailable);
}

#[test]
fn what_ends_an_attempt_before_data_are_read_or_from_outside_is_no_lapse() {
    let world = World::ready();
    for nonce in 1..=3 {
        let bound = manifest(&world, nonce);
        world.core(|core| core.cancelled(key(&bound), WireCode::TooFewHolders));
    }
    manifest(&world, 4);
    world.core(Core::link_lost);
    assert_eq!(world.store.incidents().unwrap(), []);
    accepted(world.offer(&signed_query(&cheap(5))));
}

#[test]
fn p3_whose_accepted_attempts_go_on_without_it_three_times_in_a_partition_refuses_the_fourth() {
    let world = World::ready();
    for nonce in 1..=3 {
        // Logged with its record, as an attempt that the others answer; no manifest comes.
        world.manifest(&cheap(nonce));
        accepted(world.offer(&signed_query(&cheap(10 + nonce))));
    }
    world.clock.set(MANIFEST_MS);
    let refunds = world.core(Core::refund_due);
    assert_eq!(refunds.len(), 6, "all are taken back");
    world.clock.set(NOW_MS);
    assert_eq!(MOST_LEFT_OUT, 3);
    let (code, reason) = refusal(&world, 4);
    assert!(code == WireCode::Unavailable && reason.contains("3 of at most 3") && reason.contains("2011-01"), "{reason}");
    let world = world.restarted(Setup::default());
    assert_eq!(refusal(&world, 5).0, WireCode::Unavailable);
    // Another partition of the same domain is another matter.
    let mut other = cheap(6);
    other.sql = other.sql.replace("2011-01", "2011-02");
    accepted(world.offer(&signed_query(&other)));
    world.store.decide(NOW_MS, "the link was down; the coordinator's operator explained it", false).unwrap();
    accepted(world.restarted(Setup::default()).offer(&signed_query(&cheap(7))));
}

/// Cells that left under masks, in a sum that can be unmasked without this holder.
#[test]
fn p3_cells_that_left_and_were_not_counted_are_an_incident() {
    let world = World::ready();
    let bound = manifest(&world, 1);
    world.core(|core| {
        let Some(crate::guard::attempt::Live::Bound(working)) = core.live.get_mut(&key(&bound)) else { panic!("not bound") };
        working.masked = true;
    });
    // Without a machine nothing can be taken back, as when the others need no share of this one.
    world.core(|core| core.cancelled(key(&bound), WireCode::TooFewHolders));
    let incidents = world.store.incidents().unwrap();
    assert_eq!(incidents.iter().map(|incident| incident.kind.as_str()).collect::<Vec<_>>(), ["left_out"]);
}
