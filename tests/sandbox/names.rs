//! Questions with an open group key, end to end: names with enough people behind them and no others, what they cost, and who may ask.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::attempt::{HolderNames, ManifestKind, NameLists, decode_names, encode_names};
use commun_domain::encoding::sha256;
use commun_domain::log::{LogEntry, NamesEntry};
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Document as _, Hash32, Rho, WireCode};
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use commun_store::agent::Decision;

use crate::harness::child::{Fault, run};
use crate::harness::client::rho;
use crate::harness::documents::{PermitSpec, jobs_contract};
use crate::harness::rows::{MONTH, employers};
use crate::harness::{Federation, Setup};
use crate::recording::{Recording, Reply};

/// What each question asks for; half of it is the names'.
const RHO: &str = "0.1";

const NANO: Delta = Delta::from_units(1_000_000_000);

fn setup(holders: usize, open_keys: Option<&'static str>) -> Setup {
    Setup { holders, contract: jobs_contract(), permit: PermitSpec::jobs(open_keys), ..Setup::default() }
}

fn people() -> String {
    format!(
        "SELECT employer, COUNT(DISTINCT subscriber_id) AS people FROM mobility.job WHERE ref_month = '{MONTH}' GROUP BY employer ORDER BY 1"
    )
}

/// The names that must be shown, and their people over all holders.
fn expected(holders: usize) -> BTreeMap<String, f64> {
    let mut expected = BTreeMap::new();
    for (name, people) in (0..holders).flat_map(employers).filter(|(name, people)| *people >= 200 && name.len() <= 24) {
        *expected.entry(name).or_default() += f64::from(people);
    }
    expected
}

/// Attempt, rho and delta of each RESERVE of a holder.
fn reserves(records: &[LedgerRecord], holder: usize) -> Vec<(u8, Rho, Delta)> {
    let own = records.iter().filter(|record| record.holder == Federation::holder_name(holder) && record.kind == RecordKind::Reserve);
    own.flat_map(|record| record.charges.iter().map(|charge| (record.attempt, charge.rho, charge.delta))).collect()
}

#[test]
fn p1_frequent_names_are_shown_with_noisy_counts_and_rare_ones_never_leave_and_everyone_has_charged_both_attempts() {
    let mut federation = Federation::running(setup(3, Some("2e-9")));
    let explained = federation.commun(&["explain", "--rho", RHO, &people()]).done();
    // t* of .05 at delta 1e-9.
    for part in ["groups of fewer than about 21 persons (t*)", "delta 1e-9 on top", "at most 1024", "delta 2e-9 and 5e-9"] {
        assert!(explained.contains(part), "{part:?} is not in: {explained}");
    }
    let (rows, report) = federation.answered(RHO, &people());
    assert_eq!((&report["stored"], &report["delta_names"]), (&serde_json::json!(false), &serde_json::json!(1e-9)));
    let margin = report["outputs"][0]["margin_95"].as_f64().unwrap();
    let expected = expected(3);
    let found: Vec<(&str, f64)> = rows.iter().map(|row| (&row[0], row[1].parse().unwrap())).collect();
    assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected.keys().map(String::as_str).collect::<Vec<_>>());
    for (name, people) in found {
        assert!((people - expected[name]).abs() < 3.0 * margin, "{name}: {people}, {margin}");
    }
    // Asked again it is the stored release, free, whatever was released on the way.
    let (again, report) = federation.answered(RHO, &people());
    assert_eq!((again, &report["stored"]), (rows, &serde_json::json!(true)));
    let status: serde_json::Value = serde_json::from_str(&federation.agent_command(0, "status", &["--json"]).done()).unwrap();
    assert_eq!(status["budgets"][0]["spent_delta_units"], serde_json::json!(NANO.units()));
    assert_eq!(status["budgets"][0]["cap_delta_units"], serde_json::json!(5 * NANO.units()));

    federation.stop();
    // .1 rounded down to units, half of it and one unit for names, the rest and one unit for numbers.
    let half = rho(RHO).units() / 2;
    let numbers = Rho::from_units(rho(RHO).units() - half + 1);
    let charged = [(1, Rho::from_units(half + 1), NANO), (2, numbers, Delta::ZERO)];
    for holder in 0..3 {
        assert_eq!(reserves(&federation.agent_store(holder).ledger_load().unwrap(), holder), charged);
        assert_eq!(reserves(&federation.coordinator_store().ledger_load().unwrap(), holder), charged);
        let decisions: Vec<Decision> = federation.journal(holder).iter().map(|line| line.decision).collect();
        assert_eq!(decisions, [Decision::Accepted, Decision::Answered, Decision::Accepted, Decision::Masked, Decision::Answered]);
    }
    let log = federation.log();
    let kinds: Vec<&str> = log.iter().map(LogEntry::kind).collect();
    assert_eq!(kinds, ["bundle", "roster", "contract", "permit", "attempt", "names", "attempt", "release"]);
    // Neither the log nor any store of the coordinator knows a name that was not released.
    let dump = std::fs::read(federation.path("coordinator/state/coordinator.db")).unwrap();
    let knows = |name: &str| dump.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(knows("Bpost") && !knows("Alone") && !knows("Twins") && !knows("A name of more than"));
    federation.assert_nothing_undercharged(3);
}

#[test]
fn a_delta_that_is_spent_refuses_the_next_open_key_of_that_month_and_not_other_questions() {
    let mut federation = Federation::running(setup(1, Some("2e-9")));
    for price in ["0.05", "0.06"] {
        federation.query(price, &people()).done();
    }
    let refused = federation.query("0.07", &people());
    refused.refuses(2, "OVER_BUDGET", &["delta 2e-9 of 2e-9 is spent on open group keys"]);
    let all = format!("SELECT COUNT(*) AS jobs FROM mobility.job WHERE ref_month = '{MONTH}'");
    federation.query("0.07", &all).done();
    federation.stop();
    federation.assert_nothing_undercharged(1);
}

#[test]
fn nobodys_names_end_the_question_and_say_how_many_people_a_name_needs() {
    let mut federation = Federation::running(setup(1, Some("2e-9")));
    // February has no rows; the noise alone makes no name.
    let refused = federation.query(RHO, &people().replace(MONTH, "2011-02"));
    refused.refuses(2, "NOT_PRIVATE", &["about 21 are needed", "stay charged"]);
    federation.stop();
    let records = federation.agent_store(0).ledger_load().unwrap();
    assert_eq!(reserves(&records, 0).len(), 1);
}

#[test]
fn p5_a_permit_without_open_keys_opens_no_name_at_client_coordinator_and_agent() {
    let mut federation = Federation::running(setup(1, None));
    federation.query(RHO, &people()).refuses(2, "NOT_PERMITTED", &["open_keys"]);
    // A client that does not look is refused by the coordinator.
    let question = federation.signed_question(RHO, &people());
    let refusal = federation.submit(&question).unwrap_err();
    assert!(refusal.code == WireCode::NotPermitted && refusal.message.contains("open_keys"), "{refusal}");
    federation.stop();
    // A coordinator that does not look is refused by the agent.
    let mut federation = Federation::build(setup(1, None));
    let mut coordinator = Recording::start(&mut federation, 1);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    let refuse = coordinator.refused(&federation.signed_question(RHO, &people()));
    assert!(refuse.code == WireCode::NotPermitted && refuse.message.contains("open_keys"), "{}", refuse.message);
    federation.stop();
    assert!(federation.agent_spent(0).is_empty());
}

/// What an honest coordinator has after attempt 1, before it tells anybody.
fn released(federation: &Federation, coordinator: &mut Recording, rho: &str) -> (SignedDocument, NameLists) {
    let question = federation.signed_question(rho, &people());
    let accepted = coordinator.accepted(&question);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &accepted)));
    let manifest = coordinator.manifest(&question, &accepted);
    assert!(matches!(manifest.kind, ManifestKind::Names { .. }) && manifest.noise.is_empty());
    let (head, values) = coordinator.answer(&manifest);
    let names = decode_names(&values, coordinator.admit(&question).plan.open_key().unwrap()).unwrap();
    (question, NameLists { manifest, lists: vec![HolderNames { head, names }] })
}

/// The log says whatever the coordinator says.
fn log_names(coordinator: &mut Recording, question: &SignedDocument, lists: &NameLists) {
    let admitted = coordinator.admit(question);
    let entry = NamesEntry {
        query: admitted.id,
        attempt: 1,
        lists: lists.hash(),
        names: sha256(&encode_names(&lists.union(admitted.plan.open_key().unwrap()))),
        participants: vec![1],
        price: admitted.price,
        delta: admitted.delta,
    };
    coordinator.log(&LogEntry::Names(entry));
}

/// One untrue thing about what was released, and whether the log says it too.
type Lie = (&'static str, bool, fn(&mut NameLists));

#[test]
fn p4_a_coordinator_that_adds_or_exchanges_a_name_or_skips_the_log_gets_no_second_attempt() {
    let mut federation = Federation::build(setup(1, Some("5e-9")));
    let mut coordinator = Recording::start(&mut federation, 1);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    let lies: [Lie; 4] = [
        ("a name added", true, |lists| lists.lists[0].names.push("Éts Zorro".to_owned())),
        ("a name exchanged", true, |lists| lists.lists[0].names[0] = "Alone 0-7".to_owned()),
        ("lists of another query", true, |lists| lists.manifest.query = Hash32::from_bytes([7; 32]).into()),
        ("names that the log does not show", false, |_| {}),
    ];
    let mut prices = ["0.051", "0.052", "0.053", "0.054"].into_iter();
    for (what, logged, lie) in lies {
        let (question, mut lists) = released(&federation, &mut coordinator, prices.next().unwrap());
        assert_eq!(lists.lists[0].names, ["Bpost", "Only at 0", "Éts Dupont & Fils"]);
        lie(&mut lists);
        if logged {
            log_names(&mut coordinator, &question, &lists);
        }
        let reply = coordinator.offer_attempt(&question, 2, Some(&lists)).pop_first().unwrap().1;
        assert!(matches!(&reply, Reply::Refuse(refuse) if refuse.code == WireCode::NotPermitted), "{what}: {reply:?}");
    }
    // The true union is accepted, and the numbers' price reserved.
    let (question, lists) = released(&federation, &mut coordinator, "0.055");
    log_names(&mut coordinator, &question, &lists);
    // But not as a third attempt, nor without what was released, nor twice.
    let refused = |reply: BTreeMap<String, Reply>| matches!(reply.into_values().next(), Some(Reply::Refuse(_)));
    assert!(refused(coordinator.offer_attempt(&question, 3, Some(&lists))));
    assert!(!refused(coordinator.offer_attempt(&question, 2, Some(&lists))));
    assert!(refused(coordinator.offer_attempt(&question, 2, Some(&lists))));
    federation.stop();
    let journal = federation.journal(0);
    assert_eq!(journal.iter().filter(|line| line.decision == Decision::Answered).count(), 5);
    let attempts: Vec<u8> =
        reserves(&federation.agent_store(0).ledger_load().unwrap(), 0).into_iter().map(|(attempt, ..)| attempt).collect();
    assert_eq!(attempts, [1, 1, 1, 1, 1, 2]);
}

#[test]
fn p8_a_coordinator_that_is_killed_around_the_names_comes_back_and_what_was_released_stays_charged() {
    let mut federation = Federation::running(setup(1, Some("5e-9")));
    for point in ["coordinator.before_names", "coordinator.after_names"] {
        federation.take_coordinator().stop();
        let fault = Fault::die(point, federation.fault_folder());
        federation.start_coordinator(Some(&fault));
        federation.wait_ready();
        let question = federation.signed_question(RHO, &people());
        federation.submit(&question).unwrap_err();
        federation.take_coordinator().died_at(&fault);
        federation.start_coordinator(None);
        federation.wait_ready();
        let (refusal, charged) = federation.submit(&question).unwrap().failed();
        assert!(refusal.code == WireCode::Unavailable && charged, "{point}: {refusal}");
    }
    federation.query(RHO, &people()).done();
    federation.stop();
    assert!(federation.unfinished().is_empty());
    let attempts = |records: &[LedgerRecord]| reserves(records, 0).into_iter().map(|(attempt, ..)| attempt).collect::<Vec<_>>();
    assert_eq!(attempts(&federation.agent_store(0).ledger_load().unwrap()), [1, 1, 1, 2]);
    assert_eq!(attempts(&federation.coordinator_store().ledger_load().unwrap()), [1, 1, 1, 2]);
    federation.assert_nothing_undercharged(1);
}

#[test]
fn commun_try_shows_the_names_that_one_holder_would_release_and_no_rare_one() {
    let folder = tempfile::tempdir().unwrap();
    let (data, contract) = (folder.path().join("jobs.csv"), folder.path().join("contract.toml"));
    std::fs::write(&contract, jobs_contract()).unwrap();
    let mut text = "subscriber_id,ref_month,employer\n".to_owned();
    let rows = employers(0).into_iter().flat_map(|(name, people)| std::iter::repeat_n(name, usize::try_from(people).unwrap()));
    for (person, employer) in rows.enumerate() {
        text.push_str(&[&person.to_string(), MONTH, &employer].join(","));
        text.push('\n');
    }
    std::fs::write(&data, text).unwrap();
    let (contract, data) = (contract.display().to_string(), data.display().to_string());
    let tried = run("commun", ["try", "--contract", &contract, "--data", &data, "--rho", RHO, "--format", "csv", &people()]);
    tried.says(0, &["LOCAL", "fewer than about 21 persons", "delta 1e-9 on top"]);
    let shown: BTreeSet<String> = csv::Reader::from_reader(tried.out.as_bytes()).records().map(|row| row.unwrap()[0].to_owned()).collect();
    assert_eq!(shown, expected(1).into_keys().collect());
}
