//! Processes that die at the worst moment. Each test asserts that its child died at the very point, starts it again, and compares what the
//! ledgers say with what was revealed.

use std::time::Duration;

use commun_domain::log::LogEntry;
use commun_domain::{Refusal, Rho, WireCode};
use commun_store::agent::Decision;

use crate::harness::child::{Fault, run, wait_for};
use crate::harness::client::{Outcome, rho};
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes};

/// What each question asks for.
const RHO: &str = "0.1";

/// The price: the requested rho and one unit.
fn price() -> Rho {
    Rho::from_units(rho(RHO).units() + 1)
}

/// A month of its own for each case, so that its charges are told apart.
fn month(case: usize) -> (String, i32) {
    (format!("2010-{:02}", case + 1), 2010 * 12 + i32::try_from(case).unwrap())
}

#[test]
fn p8_an_agent_that_is_killed_at_any_point_comes_back_charged_and_ends_the_query() {
    // Point, what the holder's ledger and the coordinator's hold afterwards, and whether the answer may have arrived.
    let cases = [
        ("agent.before_reserve", Rho::ZERO, Rho::ZERO, false),
        ("agent.after_reserve", price(), Rho::ZERO, false),
        ("agent.before_read", price(), price(), false),
        ("agent.reading", price(), price(), false),
        ("agent.after_release", price(), price(), false),
        ("agent.keys", price(), price(), false),
        ("agent.masked", price(), price(), false),
        ("agent.unmasking", price(), price(), false),
        ("agent.after_send", price(), price(), true),
    ];
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    for (case, (point, _, coordinator, may_arrive)) in cases.iter().enumerate() {
        federation.take_agent(0).stop();
        // What died with a logged attempt open is for a person to look at.
        federation.resume(0);
        let fault = Fault::die(point, federation.fault_folder());
        federation.start_agent(0, Some(&fault));
        federation.wait_ready();
        let question = federation.signed_question(RHO, &commutes(&month(case).0));
        let outcome = federation.submit(&question).unwrap();
        federation.take_agent(0).died_at(&fault);
        match outcome {
            Outcome::Failed(refusal, charged) => {
                assert_eq!(refusal.code, WireCode::TooFewHolders, "{point}: {refusal}");
                assert!(refusal.message.contains("telco-1"), "{point}: {refusal}");
                assert_eq!(charged, *coordinator > Rho::ZERO, "{point}");
            }
            Outcome::Released(..) => assert!(may_arrive, "{point}: answered by a process that had died"),
        }
        federation.start_agent(0, None);
        federation.wait_ready();
        // The outcome stays what it was: nothing is started again for the same bytes.
        match federation.submit(&question).unwrap() {
            Outcome::Failed(refusal, _) => assert_eq!(refusal.code, WireCode::TooFewHolders, "{point}"),
            Outcome::Released(_, stored) => assert!(*may_arrive && stored, "{point}"),
        }
    }
    federation.query(RHO, &commutes("2011-05")).done();
    federation.stop();
    assert!(federation.unfinished().is_empty());
    federation.assert_nothing_undercharged(2);
    let (own, theirs, journal) = (federation.agent_spent(0), federation.coordinator_spent(0), federation.journal(0));
    for (case, (point, at_holder, at_coordinator, _)) in cases.iter().enumerate() {
        let at = |spent: &crate::harness::ledgers::Spent| spent.get(&month(case).1).copied().unwrap_or_default();
        assert_eq!(at(&own), *at_holder, "{point}: the holder's ledger");
        assert_eq!(at(&theirs), *at_coordinator, "{point}: the coordinator's ledger");
    }
    let restarted =
        journal.iter().filter(|line| line.decision == Decision::Failed && line.reason.contains("the process restarted")).count();
    assert_eq!(restarted, 6, "each attempt that was open at a death is in the journal; one had not begun, two had ended: {journal:?}");
}

#[test]
fn p8_a_coordinator_that_is_killed_at_any_point_comes_back_and_every_query_has_an_outcome() {
    // Point, whether the attempt was logged and so charged here, whether the answer was stored.
    let cases = [
        ("coordinator.received", false, false),
        ("coordinator.offered", false, false),
        ("coordinator.before_log", false, false),
        ("coordinator.after_log", true, false),
        ("coordinator.after_manifest", true, false),
        ("coordinator.before_release", true, false),
        ("coordinator.after_release", true, true),
    ];
    let mut federation = Federation::running(Setup::default());
    for (case, (point, logged, answered)) in cases.iter().enumerate() {
        federation.take_coordinator().stop();
        let fault = Fault::die(point, federation.fault_folder());
        federation.start_coordinator(Some(&fault));
        federation.wait_ready();
        let question = federation.signed_question(RHO, &commutes(&month(case).0));
        let lost = federation.submit(&question);
        assert!(lost.as_ref().is_err_and(|refusal| refusal.code == WireCode::Unavailable), "{point}: {lost:?}");
        federation.take_coordinator().died_at(&fault);
        federation.start_coordinator(None);
        federation.wait_ready();
        let outcome = federation.submit(&question).unwrap();
        if *answered {
            let (release, stored) = outcome.released();
            assert!(stored && release.query == question.document_hash().into(), "{point}");
        } else {
            let (refusal, charged) = outcome.failed();
            assert_eq!((refusal.code, charged), (WireCode::Unavailable, *logged), "{point}: {refusal}");
            assert!(refusal.message.contains("restarted") && !refusal.hint.is_empty(), "{point}: {refusal}");
        }
    }
    federation.query(RHO, &commutes("2011-05")).done();
    federation.stop();
    assert!(federation.unfinished().is_empty());
    federation.assert_nothing_undercharged(1);
    let (own, theirs) = (federation.agent_spent(0), federation.coordinator_spent(0));
    for (case, (point, logged, _)) in cases.iter().enumerate() {
        let at = |spent: &crate::harness::ledgers::Spent| spent.get(&month(case).1).copied().unwrap_or_default();
        assert_eq!(at(&theirs), if *logged { price() } else { Rho::ZERO }, "{point}: the coordinator's ledger");
        // What the coordinator charged, the holder had reserved before.
        assert!(at(&own) >= at(&theirs), "{point}: the holder's ledger");
        assert!(*point != "coordinator.before_log" || at(&own) == price(), "{point}: the holder had reserved");
    }
}

/// The shares of everyone are in its hands, and nothing is added up yet: what could be unmasked stays charged, and nobody unmasks it a second time.
#[test]
fn p8_a_coordinator_that_is_killed_before_it_unmasks_releases_nothing_and_everyone_stays_charged() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    federation.take_coordinator().stop();
    let fault = Fault::die("coordinator.before_unmask", federation.fault_folder());
    federation.start_coordinator(Some(&fault));
    federation.wait_ready();
    let question = federation.signed_question(RHO, &commutes(&month(0).0));
    let lost = federation.submit(&question);
    assert!(lost.as_ref().is_err_and(|refusal| refusal.code == WireCode::Unavailable), "{lost:?}");
    federation.take_coordinator().died_at(&fault);
    federation.start_coordinator(None);
    federation.wait_ready();
    let (refusal, charged) = federation.submit(&question).unwrap().failed();
    assert_eq!((refusal.code, charged), (WireCode::Unavailable, true), "{refusal}");
    assert!(refusal.message.contains("restarted") && !refusal.hint.is_empty(), "{refusal}");
    federation.query(RHO, &commutes("2011-05")).done();
    federation.stop();
    assert!(federation.unfinished().is_empty());
    for holder in 0..2 {
        let at = |spent: crate::harness::ledgers::Spent| spent.get(&month(0).1).copied();
        assert_eq!((at(federation.agent_spent(holder)), at(federation.coordinator_spent(holder))), (Some(price()), Some(price())));
        let decisions: Vec<Decision> = federation.journal(holder).iter().map(|line| line.decision).collect();
        let each = [Decision::Accepted, Decision::Masked, Decision::Answered];
        assert_eq!(decisions, [each, each].concat());
    }
    let kinds: Vec<&str> = federation.log().iter().map(LogEntry::kind).collect();
    assert_eq!(kinds[4..], ["attempt", "failure", "attempt", "release"]);
}

/// Four holders outlive one that dies before its cells leave: T = 3 and c = 1. Nobody is asked again, and what is left of the dead one is taken out of the sum.
#[test]
fn a_member_that_dies_between_its_shares_and_its_cells_is_left_out_of_the_sum_and_the_query_is_answered() {
    let mut federation = Federation::running(Setup { holders: 4, ..Setup::default() });
    federation.take_agent(0).stop();
    let fault = Fault::die("agent.masked", federation.fault_folder());
    federation.start_agent(0, Some(&fault));
    federation.wait_ready();
    let question = federation.signed_question("0.2", &commutes(MONTH));
    let (release, _) = federation.submit(&question).unwrap().released();
    federation.take_agent(0).died_at(&fault);
    assert_eq!((release.attempt, release.members, release.threshold, release.colluders), (1, 4, 3, 1));
    assert_eq!(release.participants, ["telco-2", "telco-3", "telco-4"]);
    let scale = f64::from(1 << release.noise[0].gamma_log2.unsigned_abs());
    let truth = |cell: usize| (1..4).map(|holder| f64::from(federation.counts[holder][cell])).sum::<f64>();
    // Three halves of a noise: sigma^2 = 3 / (4 rho), six of which are 11.6 persons.
    for (cell, noisy) in release.sums[0].cells.iter().enumerate() {
        let noisy = f64::from(i32::try_from(*noisy).unwrap()) / scale;
        assert!((noisy - truth(cell)).abs() < 12.0, "cell {cell}: {noisy} is not near {}", truth(cell));
    }
    // The record holds the seed of the one that fell out, and it all adds up.
    let config = crate::harness::text(&federation.path("coordinator/coordinator.toml"));
    let readded = run("commun-coordinator", ["readd", "--config", &config, &release.query.to_string()]).done();
    assert!(readded.contains("of 3 holder(s) add up"), "{readded}");
    federation.start_agent(0, None);
    federation.wait_ready();
    federation.stop();
    // Its process had reserved and is gone: it stays charged, as they all are.
    for holder in 0..4 {
        assert_eq!(federation.agent_spent(holder).into_values().max(), Some(Rho::from_units(rho("0.2").units() + 1)));
    }
    let kinds: Vec<&str> = federation.log().iter().map(LogEntry::kind).collect();
    assert_eq!(kinds[4..], ["attempt", "release"]);
}

#[test]
fn a_reserve_for_which_no_manifest_came_is_taken_back_and_logged() {
    let mut federation = Federation::running(Setup { manifest_ms: 4000, ..Setup::default() });
    federation.take_coordinator().stop();
    let fault = Fault::die("coordinator.before_log", federation.fault_folder());
    federation.start_coordinator(Some(&fault));
    federation.wait_ready();
    let question = federation.signed_question(RHO, &commutes(&month(0).0));
    federation.submit(&question).unwrap_err();
    federation.take_coordinator().died_at(&fault);
    federation.start_coordinator(None);
    federation.wait_ready();
    // bundle, roster, contract, permit, failure, refund
    wait_for("the refund is in the log", Duration::from_secs(30), || (federation.log_size() == Some(6)).then_some(()));
    federation.wait_ready();
    federation.stop();
    let log = federation.log();
    assert!(matches!(log.last(), Some(LogEntry::Refund(refund)) if refund.query == question.document_hash().into()), "{log:?}");
    let decisions: Vec<Decision> = federation.journal(0).iter().map(|line| line.decision).collect();
    assert_eq!(decisions, [Decision::Accepted, Decision::Refunded]);
    assert_eq!(federation.agent_spent(0).into_values().max(), Some(Rho::ZERO));
}

#[test]
fn a_holder_whose_files_cannot_be_read_ends_the_query_charged_and_says_nothing_of_them() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let folder = federation.path(&Federation::holder_name(1));
    let data = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = data.filter(|path| path.extension().is_some_and(|kind| kind == "csv" || kind == "parquet")).collect();
    assert!(!files.is_empty(), "no source file in {}", folder.display());
    for file in &files {
        std::fs::remove_file(file).unwrap();
    }
    let (failed, charged) = federation.submit(&federation.signed_question(RHO, &commutes(&month(0).0))).unwrap().failed();
    assert_eq!((failed.code, charged), (WireCode::TooFewHolders, true), "{failed}");
    assert!(failed.message.contains(&Federation::holder_name(1)), "{failed}");
    assert!(!files.iter().any(|file| failed.message.contains(file.file_name().unwrap().to_str().unwrap())), "{failed}");
    // The other one sent nothing that could be unmasked: bundle, roster, contract, permit, attempt, failure, its refund.
    wait_for("the refund is in the log", Duration::from_secs(30), || (federation.log_size() == Some(7)).then_some(()));
    federation.stop();
    for (holder, spent) in [(0, Rho::ZERO), (1, price())] {
        assert_eq!(federation.agent_spent(holder).into_values().collect::<Vec<_>>(), [spent]);
        assert_eq!(federation.coordinator_spent(holder), federation.agent_spent(holder));
    }
    let line = federation.journal(1).pop().unwrap();
    assert_eq!(line.decision, Decision::Failed);
}

#[test]
fn p8_a_reserve_that_outlives_its_process_is_never_taken_back() {
    let mut federation = Federation::running(Setup { manifest_ms: 4000, ..Setup::default() });
    federation.take_agent(0).stop();
    let fault = Fault::die("agent.after_reserve", federation.fault_folder());
    federation.start_agent(0, Some(&fault));
    federation.wait_ready();
    federation.submit(&federation.signed_question(RHO, &commutes(&month(0).0))).unwrap().failed();
    federation.take_agent(0).died_at(&fault);
    federation.start_agent(0, None);
    federation.wait_ready();
    // Past the offer's deadline, at which a process that lives takes it back.
    std::thread::sleep(Duration::from_secs(5));
    federation.stop();
    assert_eq!(federation.agent_spent(0).into_values().collect::<Vec<_>>(), [price()]);
    assert!(federation.log().iter().all(|entry| entry.kind() != "refund"));
}

#[test]
fn p8_of_two_questions_at_once_that_the_budget_cannot_both_pay_one_is_answered() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let all = "SELECT COUNT(DISTINCT subscriber_id) AS persons FROM mobility.commute WHERE ref_month = '2010-01'";
    // The permit has 0.4.
    let questions = [federation.signed_question("0.3", &commutes("2010-01")), federation.signed_question("0.3", all)];
    let outcomes = std::thread::scope(|scope| {
        let asked = questions.each_ref().map(|question| scope.spawn(|| federation.submit(question)));
        asked.map(|asked| asked.join().unwrap())
    });
    let released = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Released(_, false)))).count();
    let over = |refusal: &Refusal| refusal.code == WireCode::OverBudget || refusal.message.contains("OVER_BUDGET");
    let refused = outcomes.iter().filter(|outcome| match outcome {
        Ok(Outcome::Failed(refusal, charged)) => over(refusal) && !charged,
        Err(refusal) => over(refusal),
        Ok(Outcome::Released(..)) => false,
    });
    assert_eq!((released, refused.count()), (1, 1), "{outcomes:?}");
    federation.stop();
    federation.assert_nothing_undercharged(2);
    let cap = rho("0.4");
    for holder in 0..2 {
        assert!(
            federation
                .agent_spent(holder)
                .into_values()
                .chain(federation.coordinator_spent(holder).into_values())
                .all(|spent| spent <= cap)
        );
    }
}
