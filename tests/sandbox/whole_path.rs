//! From the agency's command line to the table, with one, two and three holders.

use commun_domain::Rho;
use commun_domain::log::LogEntry;
use commun_store::agent::Decision;

use crate::harness::child::run;
use crate::harness::documents::PermitSpec;
use crate::harness::rows::{MONTH, NIGHTS};
use crate::harness::{Federation, Setup, commutes, text};

/// What the question asks for: one holder's noise has a standard deviation of 1.6 persons.
const RHO: &str = "0.2";

/// Persons in each cell over all holders, in the order of the grid.
fn truth(federation: &Federation) -> Vec<f64> {
    let cells = federation.counts[0].len();
    (0..cells).map(|cell| federation.counts.iter().map(|counts| f64::from(counts[cell])).sum()).collect()
}

fn numbers(rows: &[csv::StringRecord], column: usize) -> Vec<f64> {
    rows.iter().map(|row| row[column].parse().unwrap()).collect()
}

/// Every number is within three margins (six standard deviations) of the truth, and not all are equal to it.
#[track_caller]
fn assert_noisy(answers: &[f64], truth: &[f64], margin: f64) {
    assert_eq!(answers.len(), truth.len());
    for (answer, truth) in answers.iter().zip(truth) {
        assert!((answer - truth).abs() <= 3.0 * margin, "{answer} is too far from {truth}");
    }
    assert!(answers.iter().zip(truth).any(|(answer, truth)| (answer - truth).abs() > 1e-9), "there is no noise");
}

fn answers(holders: usize) {
    let mut federation = Federation::running(Setup { holders, ..Setup::default() });
    let (rows, report) = federation.answered(RHO, &commutes(MONTH));
    let margin = report["outputs"][0]["margin_95"].as_f64().unwrap();
    let holder_count = f64::from(u32::try_from(holders).unwrap());
    // T = n and c = 1: the noise of all but one surely counts; one holder adds all of it.
    let honest = (holder_count - 1.0).max(1.0);
    let expected = 1.96 * (holder_count / honest / (2.0 * 0.2)).sqrt();
    assert!((margin / expected - 1.0).abs() < 0.05, "margin {margin}, expected about {expected}");
    assert_noisy(&numbers(&rows, 2), &truth(&federation), margin);
    assert!(rows.iter().all(|row| row[3].parse::<f64>().is_ok_and(|moe| (moe - margin).abs() < 1e-3)), "{rows:?}");
    let names: Vec<String> = (0..holders).map(Federation::holder_name).collect();
    assert_eq!(report["holders"], serde_json::json!(names));
    assert_eq!(report["stored"], serde_json::json!(false));

    federation.stop();
    let price = Rho::from_units(report["rho_units"].as_u64().unwrap());
    for holder in 0..holders {
        assert_eq!(federation.agent_spent(holder).into_values().collect::<Vec<_>>(), [price]);
        assert_eq!(federation.coordinator_spent(holder), federation.agent_spent(holder));
        let journal = federation.journal(holder);
        let decisions: Vec<Decision> = journal.iter().map(|line| line.decision).collect();
        let rounds = [Decision::Accepted, Decision::Masked, Decision::Answered];
        assert_eq!(decisions, if holders == 1 { vec![Decision::Accepted, Decision::Answered] } else { rounds.to_vec() });
        assert_eq!(journal[1].bytes_sent, 9 * 8);
        assert_eq!(journal[1].sql, commutes(MONTH));
    }
    let kinds: Vec<&str> = federation.log().iter().map(LogEntry::kind).collect();
    assert_eq!(kinds, ["bundle", "roster", "contract", "permit", "attempt", "release"]);
    // A supervisor adds it up again from the store; of one holder alone there is nothing to add.
    let (query, config) = (report["query_id"].as_str().unwrap(), text(&federation.path("coordinator/coordinator.toml")));
    let readded = run("commun-coordinator", ["readd", "--config", &config, query]);
    match holders {
        1 => readded.says(1, &["nothing is kept of query"]),
        _ => assert!(readded.done().contains("9 cells of"), "added up"),
    }
}

/// Of the record only signed things are believed: another number in it, or in the release, is noticed.
#[test]
fn a_result_whose_masked_cells_or_numbers_were_changed_afterwards_does_not_add_up() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let (_, report) = federation.answered(RHO, &commutes(MONTH));
    let (query, config) = (report["query_id"].as_str().unwrap().to_owned(), text(&federation.path("coordinator/coordinator.toml")));
    let readd = || run("commun-coordinator", ["readd", "--config", &config, &query]);
    // Also beside a coordinator that runs.
    let done = readd().done();
    for part in ["every signature, commitment and hash holds", "9 cells of 2 holder(s) add up to the released numbers"] {
        assert!(done.contains(part), "{part:?} is not in: {done}");
    }
    federation.stop();
    // The last cell in the file: one of the second survivor's.
    let file = federation.path("coordinator/state/coordinator.db.cells").join(format!("{query}.cells"));
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    readd().says(1, &["the record does not hold", "CELLS_HASH"]);
    let unknown = "00".repeat(32);
    run("commun-coordinator", ["readd", "--config", &config, &unknown]).says(1, &["nothing is kept of query"]);
}

#[test]
fn one_holder_answers_and_everyone_has_charged_and_logged_it() {
    answers(1);
}

#[test]
fn two_holders_with_unlike_files_answer_as_one() {
    answers(2);
}

#[test]
fn three_holders_answer_as_one() {
    answers(3);
}

#[test]
fn sums_and_counts_of_another_table_come_in_one_answer() {
    let tables = vec![("stay", &["arr", "nights"] as &[&str])];
    let setup = Setup { permit: PermitSpec { tables, ..PermitSpec::default() }, ..Setup::default() };
    let federation = Federation::running(setup);
    let sql = format!("SELECT arr, SUM(nights) AS nights, COUNT(*) AS stays FROM mobility.stay WHERE ref_month = '{MONTH}' GROUP BY arr");
    let (rows, report) = federation.answered("0.3", &sql);
    let counts = &federation.counts[0];
    let stays: Vec<f64> = (0..3).map(|work| (0..3).map(|home| f64::from(counts[home * 3 + work])).sum()).collect();
    #[expect(clippy::cast_precision_loss, reason = "it is 3")]
    let nights: Vec<f64> = stays.iter().map(|stays| stays * NIGHTS as f64).collect();
    let margin = |output: usize| report["outputs"][output]["margin_95"].as_f64().unwrap();
    assert_noisy(&numbers(&rows, 1), &nights, margin(0));
    assert_noisy(&numbers(&rows, 3), &stays, margin(1));
}

/// Who works where he does not live is in two groups, of which one counts.
#[test]
fn how_many_people_the_bounds_cut_comes_with_the_answer_and_adds_up_again() {
    let mut federation = Federation::running(Setup { holders: 3, ..Setup::default() });
    let sql = format!(
        "SELECT arr, COUNT(DISTINCT subscriber_id) AS people FROM (SELECT subscriber_id, ref_month, home_arr AS arr FROM mobility.commute \
         UNION ALL SELECT subscriber_id, ref_month, work_arr FROM mobility.commute) AS t WHERE ref_month = '{MONTH}' GROUP BY arr"
    );
    let (rows, report) = federation.answered("0.3", &format!("SET commun.clipped = on; {sql}"));
    assert_eq!(rows.len(), 3);
    let [clipped] = &report["clipped"].as_array().unwrap()[..] else { panic!("{report:#}") };
    let moving = federation.counts.iter().flat_map(|counts| counts.iter().enumerate()).filter(|(cell, _)| cell / 3 != cell % 3);
    let (truth, margin) = (moving.map(|(_, count)| f64::from(*count)).sum::<f64>(), clipped["margin_95"].as_f64().unwrap());
    assert!(truth > 10.0 * margin, "{truth} ±{margin} would show nothing");
    assert_noisy(&[clipped["people"].as_f64().unwrap()], &[truth], margin);
    federation.stop();
    let (query, config) = (report["query_id"].as_str().unwrap(), text(&federation.path("coordinator/coordinator.toml")));
    let readded = run("commun-coordinator", ["readd", "--config", &config, query]).done();
    assert!(readded.contains("4 cells of 3 holder(s) add up"), "{readded}");
}

#[test]
fn explain_says_price_margin_and_budget_and_is_free() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let explained = federation.commun(&["explain", "--rho", RHO, &commutes(MONTH)]).done();
    for part in
        ["rho 0.2", "2 listed, 2 connected", "rho 0.4 of this permit, rho 0.5 of the data contract", "commuters  ", "at half the price"]
    {
        assert!(explained.contains(part), "{part:?} is not in: {explained}");
    }
    federation.stop();
    assert!(federation.agent_spent(0).is_empty() && federation.coordinator_spent(0).is_empty());
    assert!(federation.journal(0).is_empty());
}

#[test]
fn an_agent_shows_its_budget_and_how_its_files_meet_the_data_contract() {
    let federation = Federation::running(Setup::default());
    federation.query("0.1", &commutes(MONTH)).done();
    let status: serde_json::Value = serde_json::from_str(&federation.agent_command(0, "status", &["--json"]).done()).unwrap();
    assert_eq!(status["connected"], serde_json::json!(true));
    assert_eq!(status["budgets"][0]["partition"], serde_json::json!(MONTH));
    assert_eq!(status["budgets"][0]["cap_rho_units"], serde_json::json!(1u64 << 39));
    assert_eq!(status["accepted_permits"][0]["in_force"], serde_json::json!(true));
    federation.agent_command(0, "check", &[]).done();
    let journal = federation.agent_command(0, "journal", &[]).done();
    assert_eq!(journal.matches("rho 0.1 in each of 1 period(s)").count(), 2, "accepted and answered: {journal}");
}

#[test]
fn an_officer_reads_the_whole_log_in_words_and_it_is_verified_to_its_signed_root() {
    let federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    federation.query("0.1", &commutes(MONTH)).done();
    let read = federation.commun_as("officer", &["log"]);
    read.says(0, &["their root is the one that the log key"]);
    for part in ["bundle: version 1", "roster: epoch 1, 2 holder(s)", "permit: ", "COUNT(DISTINCT", "2 holder(s) in the sum"] {
        assert!(read.out.contains(part), "{part:?} is not in: {}", read.out);
    }
    // An agency reads its own questions' outcomes, not the whole log.
    federation.commun(&["log"]).refuses(2, "NOT_PERMITTED", &[]);
}
