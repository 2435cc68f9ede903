//! The manifest, and what holders send back.

use commun_domain::attempt::{AnswerHead, Refuse, encode_values};
use commun_domain::bundle::Roster;
use commun_domain::encoding::sha256;
use commun_domain::log::{Conduct, FailureEntry, HolderRefusal, LogEntry, RefundEntry};
use commun_domain::query::Query;
use commun_domain::{Delta, Document, Refusal, Rho, WireCode};
use commun_trust::manifest::MAX_SLOT_MS;
use commun_trust::{Reply, check_answer, check_reply};

use crate::common::{
    NOW_UNIX, Run, accept, attempt_entry, holder, holder_key, permit, query, root_key, roster, signed_by, signed_query, stranger_key,
};

type Change = fn(&mut Run);

#[track_caller]
fn refused(run: &Run, code: WireCode, part: &str) {
    says(&run.check().expect_err(part), code, part);
}

#[track_caller]
fn says(refusal: &Refusal, code: WireCode, part: &str) {
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.message.contains(part) && !refusal.hint.is_empty(), "{refusal}");
}

/// The untouched manifest passes; each change alone is refused for its own reason.
fn each_alone(changes: &[(Change, WireCode, &str)]) {
    assert_eq!(Run::new().check(), Ok(()));
    for (change, code, part) in changes {
        let mut run = Run::new();
        change(&mut run);
        refused(&run, *code, part);
    }
}

#[test]
fn p4_no_number_of_the_manifest_is_believed() {
    const NO: WireCode = WireCode::NotPermitted;
    each_alone(&[
        (|run| run.manifest.plan = sha256(b"another plan"), NO, "not what the signed text means"),
        (|run| run.manifest.cells += 1, NO, "number of cells"),
        (|run| run.first_noise().s2 -= 1, NO, "noise"),
        (|run| run.first_noise().s2 += 1, NO, "noise"),
        (|run| run.first_noise().d -= 1, NO, "noise"),
        (|run| run.first_noise().gamma_log2 += 1, NO, "noise"),
        (|run| run.manifest.noise.clear(), NO, "noise"),
        (|run| run.manifest.price = Rho::from_units(run.manifest.price.units() - 1), NO, "price"),
        (|run| run.own.price = Rho::from_units(run.own.price.units() - 1), NO, "price"),
        (|run| run.manifest.delta = Delta::from_units(1), NO, "delta"),
        (|run| run.manifest.threshold = 2, NO, "2T > n + c"),
        (|run| run.manifest.threshold = 4, NO, "2T > n + c"),
        (|run| run.manifest.colluders = 0, NO, "2T > n + c"),
        (|run| run.manifest.colluders = 2, NO, "T, c and h"),
        (|run| run.manifest.colluders = 3, NO, "2T > n + c"),
        (|run| run.manifest.honest = 1, NO, "T, c and h"),
        (|run| run.manifest.honest = 3, NO, "T, c and h"),
        (|run| run.manifest.honest = 0, NO, "T, c and h"),
        (|run| run.manifest.roster = sha256(b"another roster"), NO, "another roster"),
    ]);
}

#[test]
fn p4_the_logged_plan_and_price_are_the_agents_too() {
    refused(&Run::with_entry(|entry| entry.plan = sha256(b"another plan")), WireCode::NotPermitted, "plan is not the logged one");
    refused(&Run::with_entry(|entry| entry.price = Rho::from_units(1)), WireCode::NotPermitted, "price is not the logged one");
}

#[test]
fn p5_another_text_under_the_agencys_signature_is_not_the_one_that_was_offered() {
    let mut run = Run::new();
    let other = Query { nonce: [8; 16], ..query() };
    let mut entry = attempt_entry(&run.admitted);
    entry.query = signed_query(&other);
    run.log = run.log.and(&LogEntry::Attempt(entry));
    run.manifest.query = other.id();
    run.manifest.checkpoint_size = run.log.state.entries();
    refused(&run, WireCode::NotPermitted, "another query");
}

#[test]
fn p6_only_what_is_in_the_log_that_was_read_is_answered() {
    each_alone(&[
        (|run| run.manifest.attempt = 2, WireCode::NotPermitted, "not in the log"),
        (|run| run.manifest.checkpoint_size -= 1, WireCode::NotPermitted, "does not contain the attempt"),
        (|run| run.manifest.checkpoint_size += 1, WireCode::NotPermitted, "has not read"),
        (|run| run.manifest.checkpoint_root = sha256(b"another log"), WireCode::NotPermitted, "another log"),
        (|run| run.own_root = sha256(b"another log"), WireCode::NotPermitted, "another log"),
        (|run| run.log = crate::common::Log::ready(), WireCode::NotPermitted, "not in the log"),
    ]);
}

#[test]
fn p8_the_log_holds_this_agents_own_record() {
    each_alone(&[
        (|run| run.own.seq += 1, WireCode::NotPermitted, "own record"),
        (|run| run.own.record = sha256(b"another record"), WireCode::NotPermitted, "own record"),
        (|run| run.own.index = 9, WireCode::NotPermitted, "own record"),
    ]);
    let run = Run::with_entry(|entry| entry.records[0].seq += 1);
    refused(&run, WireCode::NotPermitted, "own record");
}

#[test]
fn an_attempt_that_has_ended_or_was_refunded_is_not_answered() {
    let mut run = Run::new();
    let refusal = Refusal::new(WireCode::Unavailable, "a holder was lost", "ask again");
    let (refusals, timeouts) = (Vec::new(), Vec::new());
    let failure = FailureEntry { query: query().id(), attempt: 1, refusal, refusals, timeouts, conduct: Conduct::default() };
    run.log = run.log.and(&LogEntry::Failure(failure));
    refused(&run, WireCode::NotPermitted, "has ended");
    let mut run = Run::new();
    let refund = RefundEntry { query: query().id(), attempt: 1, index: 1, seq: 200, record: sha256(b"refund") };
    run.log = run.log.and(&LogEntry::Refund(refund));
    refused(&run, WireCode::NotPermitted, "taken its charge back");
}

#[test]
fn the_cohort_is_one_signed_acceptance_of_every_holder_whose_record_is_logged() {
    const NO: WireCode = WireCode::NotPermitted;
    each_alone(&[
        (|run| drop(run.manifest.cohort.pop()), NO, "whose records are logged"),
        (|run| run.manifest.cohort.swap(1, 2), NO, "not signed by exactly the key"),
        (|run| run.manifest.cohort[1] = run.manifest.cohort[0].clone(), NO, "not signed by exactly the key"),
        (|run| run.manifest.cohort[1] = signed_by(&accept(&run.admitted, 2), &[stranger_key()]), NO, "not signed by exactly the key"),
        (|run| run.manifest.cohort[1].signatures[0].signature[0] ^= 1, NO, "not signed by exactly the key"),
        (|run| run.manifest.cohort[1].signatures.clear(), NO, "not signed by exactly the key"),
        (|run| run.re_accept(2, |accept| accept.query = Query { nonce: [8; 16], ..query() }.id()), NO, "another offer"),
        (|run| run.re_accept(2, |accept| accept.attempt = 2), NO, "another offer"),
        (|run| run.re_accept(2, |accept| accept.price = Rho::from_units(1)), NO, "another price"),
        (|run| run.re_accept(2, |accept| accept.index = 3), NO, "names another holder"),
        (|run| run.re_accept(2, |accept| accept.seq += 1), NO, "another record than the logged one"),
        (|run| run.re_accept(2, |accept| accept.record = sha256(b"x")), NO, "another record than the logged one"),
        (|run| run.re_accept(2, |accept| accept.min_colluders = 2), WireCode::TooFewHolders, "WISH"),
        (|run| run.re_accept(2, |accept| accept.min_survivors = 4), WireCode::TooFewHolders, "WISH"),
        (|run| run.re_accept(1, |accept| accept.min_colluders = 0), NO, "not the one that it sent"),
    ]);
    let mut run = Run::new();
    let refuse = Refuse { query: query().id(), attempt: 1, index: 2, code: WireCode::NotPermitted, message: "no".to_owned() };
    run.manifest.cohort[1] = signed_by(&refuse, &[holder_key(2)]);
    refused(&run, NO, "holds a refusal");
    let mut run = Run::new();
    run.re_accept(2, |accept| accept.min_colluders = 0);
    assert_eq!(run.check(), Ok(()));
}

#[test]
fn acceptors_refusals_and_timeouts_are_the_rosters_list() {
    let no = WireCode::NotPermitted;
    let hidden = Run::with_entry(|entry| entry.records.truncate(2));
    refused(&hidden, no, "each once");
    let twice = Run::with_entry(|entry| entry.timeouts = vec![3]);
    refused(&twice, no, "each once");
    let stranger = Run::with_entry(|entry| {
        entry.records.truncate(2);
        entry.timeouts = vec![9];
    });
    refused(&stranger, no, "each once");
    // Accounted for: the two that are left would be a cohort, if none of them insisted on three.
    let mut lost = Run::with_entry(|entry| {
        entry.records.truncate(2);
        entry.timeouts = vec![3];
    });
    refused(&lost, no, "timeouts are not the logged ones");
    lost.manifest.timeouts = vec![3];
    refused(&lost, no, "whose records are logged");
    lost.manifest.cohort.truncate(2);
    (lost.manifest.threshold, lost.manifest.colluders, lost.manifest.honest) = (2, 1, 1);
    refused(&lost, WireCode::TooFewHolders, "WISH");
    let mut unwilling = Run::with_entry(|entry| {
        entry.records.truncate(2);
        entry.refusals = vec![HolderRefusal { index: 3, code: WireCode::NotPermitted }];
    });
    unwilling.manifest.cohort.truncate(2);
    (unwilling.manifest.threshold, unwilling.manifest.colluders, unwilling.manifest.honest) = (2, 1, 1);
    refused(&unwilling, no, "refusals are not the logged ones");
    // A refusal that the holder did not sign, one with another code, and an acceptance in its place.
    let says_no = |code| Refuse { query: query().id(), attempt: 1, index: 3, code, message: "no".to_owned() };
    unwilling.manifest.refusals = vec![signed_by(&says_no(WireCode::NotPermitted), &[holder_key(2)])];
    refused(&unwilling, no, "not signed by exactly the key");
    unwilling.manifest.refusals = vec![signed_by(&says_no(WireCode::OverBudget), &[holder_key(3)])];
    refused(&unwilling, no, "another code");
    unwilling.manifest.refusals = vec![signed_by(&accept(&unwilling.admitted, 3), &[holder_key(3)])];
    refused(&unwilling, no, "among the refusals");
    unwilling.manifest.refusals = vec![signed_by(&says_no(WireCode::NotPermitted), &[holder_key(3)])];
    refused(&unwilling, WireCode::TooFewHolders, "WISH");
}

/// Two of three, where nobody insists on three: the third timed out, and each of the two adds the noise of one.
#[test]
fn p4_a_smaller_cohort_has_more_noise_and_a_single_one_of_several_holders_answers_nothing() {
    let of = |left: usize| {
        let mut next = Roster { epoch: 2, ..roster() };
        next.holders.iter_mut().for_each(|holder| holder.min_survivors = 1);
        let log = crate::common::Log::ready().and(&LogEntry::Roster(signed_by(&next, &[root_key(), holder_key(1), holder_key(2)])));
        let mut run = Run::new();
        let mut entry = attempt_entry(&run.admitted);
        entry.roster = next.hash();
        entry.records.truncate(left);
        entry.timeouts = (u32::try_from(left).unwrap() + 1..=3).collect();
        run.manifest.timeouts = entry.timeouts.clone();
        run.log = log.and(&LogEntry::Attempt(entry));
        run.manifest.checkpoint_size = run.log.state.entries();
        run.manifest.roster = next.hash();
        for index in 1..=3 {
            run.re_accept(index, |accept| accept.min_survivors = 1);
        }
        run.own.min_survivors = 1;
        run.manifest.cohort.truncate(left);
        run
    };
    let mut two = of(2);
    (two.manifest.threshold, two.manifest.colluders, two.manifest.honest) = (2, 1, 1);
    refused(&two, WireCode::NotPermitted, "noise");
    two.manifest.noise = two.admitted.noise(2, 1).unwrap();
    let shape = two.shape().unwrap();
    assert_eq!((shape.members, shape.threshold, shape.colluders, shape.honest, shape.aggregated), (2, 2, 1, 1, true));
    let mut one = of(1);
    (one.manifest.threshold, one.manifest.colluders, one.manifest.honest) = (1, 0, 1);
    one.manifest.noise = one.admitted.noise(1, 1).unwrap();
    refused(&one, WireCode::TooFewHolders, "ONE_HOLDER");
}

#[test]
fn a_roster_that_changed_since_the_attempt_ends_it() {
    let mut run = Run::new();
    let next = Roster { epoch: 2, ..roster() };
    run.log = run.log.and(&LogEntry::Roster(signed_by(&next, &[root_key(), holder_key(1), holder_key(2)])));
    run.manifest.checkpoint_size = run.log.state.entries();
    refused(&run, WireCode::NotPermitted, "another roster");
    run.manifest.roster = next.hash();
    refused(&run, WireCode::NotPermitted, "another roster");
}

#[test]
fn every_listed_holders_own_minimum_holds() {
    let with_minimum = |min_survivors: u32| {
        let mut next = Roster { epoch: 2, ..roster() };
        next.holders[2].min_survivors = min_survivors;
        let mut run = Run::new();
        let entry = LogEntry::Roster(signed_by(&next, &[root_key(), holder_key(1), holder_key(2)]));
        run.log = crate::common::Log::ready().and(&entry);
        let mut attempt = attempt_entry(&run.admitted);
        attempt.roster = next.hash();
        run.log = run.log.and(&LogEntry::Attempt(attempt));
        run.manifest.roster = next.hash();
        run.manifest.checkpoint_size = run.log.state.entries();
        run
    };
    assert_eq!(with_minimum(3).check(), Ok(()));
    refused(&with_minimum(4), WireCode::TooFewHolders, "WISH");
}

#[test]
fn query_permit_and_slot_are_in_time_when_the_manifest_comes() {
    each_alone(&[
        (|run| run.now_ms = query().expiry_unix * 1000, WireCode::Expired, "was to be answered before"),
        (|run| run.now_ms = permit().valid_until_unix * 1000, WireCode::Expired, "was valid until"),
        (|run| run.now_ms = run.manifest.deadline_ms, WireCode::Expired, "deadline is past"),
        (|run| run.manifest.deadline_ms += 1, WireCode::NotPermitted, "do not end at its deadline"),
        (|run| run.manifest.round_ms = 0, WireCode::NotPermitted, "do not end at its deadline"),
        (|run| (run.manifest.slot_ms, run.manifest.round_ms) = (1, u64::MAX), WireCode::NotPermitted, "do not end at its deadline"),
        (|run| slot_at(run, run.now_ms + 4_999), WireCode::NotPermitted, "1 ms nearer"),
        (|run| slot_at(run, run.now_ms + MAX_SLOT_MS - 49_999), WireCode::NotPermitted, "does not end within"),
    ]);
    let mut run = Run::new();
    slot_at(&mut run, NOW_UNIX * 1000 + MAX_SLOT_MS - 50_000);
    assert_eq!(run.check(), Ok(()));
    slot_at(&mut run, NOW_UNIX * 1000 + 5_000);
    run.now_ms = run.manifest.deadline_ms - 1;
    assert_eq!(run.check(), Ok(()));
}

fn slot_at(run: &mut Run, slot_ms: u64) {
    run.manifest.slot_ms = slot_ms;
    run.manifest.deadline_ms = slot_ms + 5 * run.manifest.round_ms;
}

#[test]
fn a_reply_is_the_holders_own_to_this_offer() {
    let run = Run::new();
    let (query, price) = (run.admitted.id, run.admitted.price);
    let good = accept(&run.admitted, 2);
    let read = |signed| check_reply(&signed, &query, 1, price, &holder(2));
    assert_eq!(read(signed_by(&good, &[holder_key(2)])), Ok(Reply::Accept(good.clone())));
    let no = Refuse { query, attempt: 1, index: 2, code: WireCode::OverBudget, message: "spent".to_owned() };
    assert_eq!(read(signed_by(&no, &[holder_key(2)])), Ok(Reply::Refuse(no.clone())));
    says(&read(signed_by(&good, &[holder_key(1)])).unwrap_err(), WireCode::NotPermitted, "not signed by exactly the key");
    says(&read(signed_by(&good, &[holder_key(2), holder_key(1)])).unwrap_err(), WireCode::NotPermitted, "not signed by exactly the key");
    says(&read(signed_by(&Refuse { attempt: 2, ..no.clone() }, &[holder_key(2)])).unwrap_err(), WireCode::NotPermitted, "another offer");
    says(&read(signed_by(&Refuse { index: 1, ..no }, &[holder_key(2)])).unwrap_err(), WireCode::NotPermitted, "names another holder");
    says(&read(signed_by(&roster(), &[holder_key(2)])).unwrap_err(), WireCode::InvalidQuery, "cannot be read");
}

#[test]
fn an_answer_is_the_holders_own_to_this_manifest_unchanged() {
    let run = Run::new();
    let manifest = run.manifest.hash();
    let values = encode_values(&[vec![1, -2, 3]]);
    let good = AnswerHead { manifest, index: 2, values: sha256(&values) };
    let read =
        |head: &AnswerHead, key: u8, values: &[u8]| check_answer(&signed_by(head, &[holder_key(key)]), &manifest, values, &holder(2));
    assert_eq!(read(&good, 2, &values), Ok(good.clone()));
    says(&read(&good, 1, &values).unwrap_err(), WireCode::NotPermitted, "not signed by exactly the key");
    says(&read(&AnswerHead { index: 1, ..good.clone() }, 2, &values).unwrap_err(), WireCode::NotPermitted, "names another holder");
    let other = AnswerHead { manifest: sha256(b"another"), ..good.clone() };
    says(&read(&other, 2, &values).unwrap_err(), WireCode::NotPermitted, "another manifest");
    says(&read(&good, 2, &encode_values(&[vec![1, -2, 4]])).unwrap_err(), WireCode::NotPermitted, "changed after it was signed");
    let signed = signed_by(&accept(&run.admitted, 2), &[holder_key(2)]);
    says(&check_answer(&signed, &manifest, &values, &holder(2)).unwrap_err(), WireCode::InvalidQuery, "cannot be read");
}
