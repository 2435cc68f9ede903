//! Precision as the user thinks of it: a margin is asked for, its price is said, signed and charged, and EXPLAIN shows coarser groups.

use crate::harness::child::run;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes, text};

const ROOT: &str = "..";

#[test]
fn a_margin_is_turned_into_its_price_before_the_question_is_signed() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let report = federation.path("report.json");
    let ask =
        |margin: &str| federation.commun(&["query", "--margin", margin, "--format", "csv", "--report", &text(&report), &commutes(MONTH)]);
    let answered = ask("commuters=5");
    answered.says(0, &["a margin of ±5.00 for commuters costs rho 0.15", "with 2 holder(s)"]);
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    let margin = report["outputs"][0]["margin_95"].as_f64().unwrap();
    assert!((4.99..=5.0).contains(&margin), "{margin}");
    // Asked again it is the same question, and free.
    ask("5").says(0, &["stored result release"]);
    ask("3").refuses(
        2,
        "OVER_BUDGET",
        &["±3 for commuters", "more than the permit's whole budget (rho 0.4)", "hint: for rho 0.4 it is ±3.1"],
    );
    ask("nobody=3").says(64, &["name one of commuters"]);
    federation.commun(&["query", "--margin", "5", "--max-rho", "0.1", &commutes(MONTH)]).refuses(
        2,
        "OVER_BUDGET",
        &["more than the highest price that you accept"],
    );
    federation.commun(&["query", "--margin", "5", "--rho", "0.1", &commutes(MONTH)]).says(64, &["cannot be used with"]);
    let set = format!("SET commun.margin = 5; {}", commutes(MONTH));
    let explained = federation.commun(&["explain", &set]).done();
    for part in ["±5.00", "stored", "commuters, asked so", "without home_arr", "added up from this question"] {
        assert!(explained.contains(part), "{part:?} is not in: {explained}");
    }
    federation.stop();
    assert_eq!(federation.agent_spent(0).len(), 1, "one question was charged");
}

#[test]
fn explain_shows_coarser_groups_without_any_federation() {
    let contract = format!("{ROOT}/deploy/demo/data/trips.toml");
    let sql = "EXPLAIN SELECT home_arr, EXTRACT(hour FROM departure) AS hour, COUNT(*) AS n FROM trips.trip \
        WHERE ref_month = '2011-01' GROUP BY 1, 2";
    let explained = run("commun", ["try", "--contract", &contract, "--holders", "3", "--margin", "50", sql]);
    explained.says(0, &["a margin of ±49.98 for n costs rho 0.00115", "with 3 holder(s)"]);
    let lines: Vec<Vec<&str>> = explained.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let line = |start: &[&str]| lines.iter().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{}", explained.out));
    // Noise is drawn in steps, so the margin is a little below the target. The noise of a cell is the same; that of eight arrondissements added up is the root of eight times as large.
    assert_eq!(line(&["home_arr", "by", "arrondissement.province"])[3..], ["264", "±49.98", "±141.36"]);
    assert_eq!(line(&["home_arr", "by", "arrondissement.region"])[3..], ["72", "±49.98", "±234.43"]);
    assert_eq!(line(&["without", "hour"])[2..], ["43", "±49.98", "±244.85"]);
    let free = run("commun", ["try", "--contract", &contract, "--margin", "0.5", sql]);
    free.refuses(2, "OVER_BUDGET", &["the data contract's whole budget"]);
}
