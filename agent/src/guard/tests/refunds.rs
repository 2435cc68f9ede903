//! Charges that are taken back, or stay.

use super::*;

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
    let key = crate::guard::attempt::AttemptKey { query: query.document_hash().into(), attempt: 1 };
    assert_eq!(world.core(|core| core.cancelled(key, WireCode::RefusedByHolder)), []);
    assert_eq!(world.core(Core::link_lost), []);
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
