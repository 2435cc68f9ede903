//! Offers: what is refused, what is accepted, and what is durable before it is told.

use super::*;

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
fn an_accepted_offer_is_signed_reserved_and_journaled() {
    let world = World::ready();
    let accept = Accept::from_bytes(&accepted(world.offer(&signed_query(&question(1)))).bytes.0).unwrap();
    let record = world.records().pop().unwrap();
    assert_eq!((accept.index, accept.seq, accept.record, accept.min_colluders, accept.min_survivors), (1, record.seq, record.hash(), 1, 3));
    assert_eq!((record.kind, record.charges[0].rho), (RecordKind::Reserve, accept.price));
    let line = world.last_line();
    assert_eq!((line.decision, line.agency.as_deref(), line.bytes_sent), (Decision::Accepted, Some("statistics"), 0));
}

#[test]
fn p8_every_partition_that_a_question_reads_is_charged() {
    let world = World::ready();
    let mut query = cheap(1);
    query.sql = "SELECT ref_month, COUNT(DISTINCT subscriber_id) AS people FROM mobility.commute \
         WHERE ref_month IN ('2011-01', '2011-02', '2011-03') GROUP BY ref_month"
        .to_owned();
    let accept = Accept::from_bytes(&accepted(world.offer(&signed_query(&query))).bytes.0).unwrap();
    let charges = world.records().pop().unwrap().charges;
    let mut periods: Vec<_> = charges.iter().map(|charge| charge.period).collect();
    periods.dedup();
    assert_eq!(periods.len(), 3);
    assert!(charges.iter().all(|charge| (charge.rho, charge.delta) == (accept.price, commun_domain::Delta::ZERO)), "{charges:?}");
}

/// Who is not on the list counts as colluding; without a list that is everyone else.
#[test]
fn p3_an_acceptance_says_against_how_many_others_it_wants_protection() {
    for (independent, feared) in [(vec![], 2), (vec![2], 1), (vec![3], 1), (vec![2, 3], 1)] {
        let world = World::with(Setup { independent, ..Setup::default() });
        let accept = Accept::from_bytes(&accepted(world.offer(&signed_query(&question(1)))).bytes.0).unwrap();
        assert_eq!(accept.min_colluders, feared);
    }
}

#[test]
fn p9_an_offer_of_a_slot_nearer_than_the_own_floor_is_refused_and_charges_nothing() {
    // 200 ms and a million rows, by the public rule.
    for (floor, wait_ms) in [(Some(500), 499), (None, 1_199)] {
        let world = World::with(Setup { slot_ms: floor, ..Setup::default() });
        let offered = |nonce, slot_wait_ms| Offer { slot_wait_ms, ..offer(&signed_query(&question(nonce))) };
        let (code, message) = refused(&world.core(|core| core.offer(&offered(1, wait_ms))).unwrap());
        assert!(code == WireCode::NotPermitted && message.contains("at least"), "{message}");
        assert!(world.records().is_empty());
        accepted(world.core(|core| core.offer(&offered(2, wait_ms + 1))).unwrap());
    }
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
    let times = [(NOW_MS, MANIFEST_MS), (MANIFEST_MS + 1, MANIFEST_MS), (NOW_MS + 1, NOW_MS + crate::guard::MAX_MANIFEST_WAIT_MS + 1)];
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
