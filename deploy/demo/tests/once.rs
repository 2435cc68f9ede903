//! The demo as a newcomer runs it, with few persons: both questions are answered through real processes, and a second run in the same folder
//! returns both stored releases and spends nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

fn run(state: &Path) -> (String, serde_json::Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_commun-demo"))
        .args(["--once", "--persons", "4000", "--holders", "2", "--state"])
        .arg(state)
        .output()
        .expect("the demo starts");
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    (out, serde_json::from_str(&std::fs::read_to_string(state.join("report.json")).unwrap()).unwrap())
}

/// Answers that left the operators at a price, from their journals.
fn answers(state: &Path) -> usize {
    ["operator-1", "operator-2"]
        .iter()
        .map(|holder| {
            let journal = Command::new(env!("CARGO_BIN_EXE_commun-demo"))
                .args(["commun-agent", "journal", "--json", "--config"])
                .arg(state.join(holder).join("agent.toml"))
                .output()
                .unwrap();
            let lines: Vec<serde_json::Value> = serde_json::from_slice(&journal.stdout).unwrap();
            lines.iter().filter(|line| line["decision"] == "answered" && line["rho_units"].as_u64() > Some(0)).count()
        })
        .sum()
}

#[test]
fn two_questions_under_two_contracts_are_answered_and_a_second_run_returns_them_free() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("demo");
    let (out, report) = run(&state);
    for part in ["cells (", "Trips to work by province and hour", "counts (", "means (", "medians (", "too noisy"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(!out.contains("stored result release"), "{out}");
    // Two operators that fear one other each: T = 2, c = 1, so that h = 1 and each adds the noise of one centre.
    assert!(out.contains("noise of one trusted centre x 1.41"), "{out}");
    assert!((report["median_margin"].as_f64().unwrap() - 16.0).abs() < 0.5, "{report}");
    assert_eq!((&report["stored"], &report["trips"]["stored"]), (&false.into(), &false.into()));
    assert_eq!((report["cells"].as_u64(), report["trips"]["cells"].as_u64()), (Some(1849), Some(264)));
    // With 264 cells a margin of 95 % covers at least 231 of them but once in a million times.
    assert!(report["trips"]["trips"]["covered"].as_u64() >= Some(231), "{report}");
    assert!(report["covered"].as_u64() >= Some(1700), "{report}");
    assert_eq!(answers(&state), 4, "two questions at two operators");

    let (again, second) = run(&state);
    assert_eq!(again.matches("stored result release").count(), 2, "{again}");
    for report in [&second, &second["trips"]] {
        assert_eq!(report["stored"], true);
    }
    assert_eq!((&second["query_id"], &second["trips"]["query_id"]), (&report["query_id"], &report["trips"]["query_id"]));
    assert_eq!(second["trips"]["median_km"], report["trips"]["median_km"]);
    assert_eq!(answers(&state), 4, "nothing was spent again");
}
