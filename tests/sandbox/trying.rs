//! `commun try`: every example of the reference page runs without a federation, with noise and margins; and own rows are counted.

use crate::harness::child::run;

const ROOT: &str = "..";
const PAGE: &str = include_str!("../../docs/reference/sql.md");

fn contract() -> String {
    format!("{ROOT}/docs/reference/mobility.toml")
}

#[test]
fn every_question_of_the_reference_page_runs_on_made_up_rows() {
    let mut examples = 0;
    for block in PAGE.split("```sql ok\n").skip(1) {
        let sql = block.split("```").next().unwrap();
        let tried = run("commun", ["try", "--contract", &contract(), "--persons", "400", "--format", "csv", sql]);
        tried.says(0, &["DUMMY", "would be charged to each holder and period"]);
        let header = tried.out.lines().next().unwrap();
        assert!(header.contains("_moe"), "{sql}\n{header}");
        examples += 1;
    }
    assert!(examples >= 11, "the page has lost examples: {examples}");
}

#[test]
fn own_rows_are_counted_with_noise_that_differs_from_answer_to_answer() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("rows.csv");
    let mut rows = "subscriber_id,ref_month,home_arr,home_arr_2013,mode,km,trips,employer,works,departure\n".to_owned();
    for person in 0..3000 {
        // Two thirds go by car; one code is none of the list, so it counts nowhere.
        let mode = if person % 3 == 0 { "train" } else { "car" };
        let km = person % 100;
        rows.extend([
            format!("p{person},2011-01,21000,,{mode},{km},1,Bpost,true,2011-01-05 08:00\n"),
            format!("p{person},2011-01,21000,,boat,5,1,Bpost,true,2011-01-05 08:00\n"),
        ]);
    }
    std::fs::write(&data, rows).unwrap();
    let sql = "SELECT mode, COUNT(DISTINCT subscriber_id) AS people, AVG(km) AS km FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY mode";
    let ask = || {
        let (contract, data) = (contract(), data.display().to_string());
        let tried = run("commun", ["try", "--contract", &contract, "--data", &data, "--epsilon", "2", "--format", "csv", sql]);
        tried.says(0, &["LOCAL"]);
        tried.out
    };
    let (first, second) = (ask(), ask());
    assert_ne!(first, second);
    let cell = |row: usize, column: usize| -> f64 {
        let mut reader = csv::Reader::from_reader(first.as_bytes());
        reader.records().nth(row).unwrap().unwrap()[column].parse().unwrap()
    };
    // car, train, bike, o'neil: within three margins (six standard deviations).
    for (row, truth) in [2000.0, 1000.0, 0.0, 0.0].into_iter().enumerate() {
        assert!((cell(row, 1) - truth).abs() < 3.0 * cell(row, 2), "{first}");
    }
    assert!((cell(0, 3) - 49.5).abs() < 3.0 * cell(0, 4).max(1.0), "{first}");
}

#[test]
fn numbers_are_shown_as_they_are_asked_for() {
    let sql = "SELECT mode, COUNT(*) AS n FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY ROLLUP(mode)";
    let ask = |text: &str, flags: &[&str]| {
        let contract = contract();
        let tried = run("commun", [&["try", "--contract", &contract, "--persons", "50", "--format", "csv"], flags, &[text]].concat());
        tried.says(0, &["DUMMY"]);
        tried
    };
    let table = |out: &str| -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_reader(out.as_bytes());
        reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
    };
    let margin = |out: &str| table(out)[0][2].parse::<f64>().unwrap();
    let (each, all) = (ask(sql, &[]), ask(sql, &["--simultaneous"]));
    // Four codes and their total: 2.576 deviations instead of 1.96.
    assert!((margin(&all.out) / margin(&each.out) - 2.5758 / 1.96).abs() < 0.01, "{}\n{}", each.out, all.out);
    all.says(0, &["hold at once"]);
    let set = ask(&format!("SET commun.intervals = simultaneous; {sql}"), &[]);
    assert!((margin(&set.out) - margin(&all.out)).abs() < 1e-9);
    let consistent = ask(sql, &["--consistent"]);
    consistent.says(0, &["consistent"]);
    let counts: Vec<(String, u64)> = table(&consistent.out).into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
    let total: u64 = counts.iter().filter(|(mode, _)| mode.is_empty()).map(|(_, n)| n).sum();
    assert_eq!(counts.iter().map(|(_, n)| n).sum::<u64>(), 2 * total, "{}", consistent.out);
    // The margin beside the table says whose it is.
    let plain = sql.replace("ROLLUP(mode)", "mode");
    ask(&plain, &["--simultaneous"]).says(0, &["for itself"]);
    ask(&plain, &["--consistent"]).says(0, &["of the released number"]);
    run("commun", ["try", "--contract", &contract(), "--consistent", "--simultaneous", sql]).says(64, &["cannot be used with"]);
}

/// Made-up persons have one to four rows, so over four modes nearly everyone has more than one group.
#[test]
fn how_many_people_the_bounds_cut_is_told_to_who_asks_and_that_they_do_to_everyone() {
    let sql = "SELECT mode, COUNT(*) AS n FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY mode";
    let ask = |flags: &[&str], text: &str| {
        let contract = contract();
        run("commun", [&["try", "--contract", &contract, "--persons", "2000", "--rho", "0.5"], flags, &[text]].concat())
    };
    ask(&[], sql).says(0, &["margins do not show what the bounds cut off", "--clipped"]);
    let tried = ask(&["--clipped"], sql);
    tried.says(0, &["did not count in full", "of a person count at most 1 group and "]);
    let note = tried.err.lines().find(|line| line.contains("did not count in full")).unwrap();
    let number = |from: &str| note.split(from).nth(1).unwrap().split_whitespace().next().unwrap().parse::<f64>().unwrap();
    let (people, margin) = (number("full: "), number("±"));
    assert!(people > 200.0 && people < 2_000.0 && margin > 5.0 && margin < 20.0, "{note}");
    ask(&[], &format!("SET commun.clipped = on; {sql}")).says(0, &["did not count in full"]);
    let explained = ask(&["--clipped"], &format!("EXPLAIN {sql}")).done();
    assert!(explained.contains("clipped people") && explained.contains("for 5 % of the price"), "{explained}");
    let nobody = ask(&["--clipped"], "SELECT COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month = '2011-01'");
    nobody.refuses(2, "NOT_PRIVATE", &["nobody is clipped"]);
}

#[test]
fn a_price_that_no_budget_can_pay_is_tried_and_said_to_be_one() {
    let sql = "SELECT mode, COUNT(*) AS n, MEDIAN(km) AS km FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY mode";
    let ask = |rho: &str, text: &str| run("commun", ["try", "--contract", &contract(), "--persons", "50", "--rho", rho, text]);
    let beyond = "more than the data contract's whole budget for a period, rho 0.5";
    ask("0.6", sql).says(0, &["DUMMY", "the price is ", beyond]);
    let explained = ask("0.6", &format!("EXPLAIN {sql}")).done();
    assert!(["too dear", beyond, "rank ±", "may stand N places off"].iter().all(|said| explained.contains(said)), "{explained}");
    let payable = ask("0.4", sql);
    assert!(!payable.err.contains("whole budget"), "{}", payable.err);
}

#[test]
fn what_a_federation_would_refuse_is_refused_here_too() {
    let refused = run("commun", ["try", "--contract", &contract(), "SELECT MAX(km) FROM mobility.commute WHERE ref_month = '2011-01'"]);
    refused.refuses(2, "NOT_PRIVATE", &["quantile"]);
    run("commun", ["try", "--contract", "/nowhere.toml", "SELECT 1"]).says(1, &["nowhere.toml"]);
}
