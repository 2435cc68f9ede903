//! Below the checker of bindings, which refuses most of these texts already: the second of two locks.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use arrow::util::display::array_value_to_string;
use futures::StreamExt;

use crate::engine::stream;
use crate::source::{bound_plan, open};
use crate::testing::{DIRECT, binding, options};

const ROWS: &str = "t,n\n2011-01-05,0\n2011-02-31,-9223372036854775808\nnot a date,9223372036854775807\n,x\n2011-01-31,2\n";

async fn column(expression: &str) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.csv"), ROWS).unwrap();
    let context = open(&binding("csv", "raw.csv", DIRECT), folder.path(), &options(1, 3)).await.unwrap();
    let sql = format!("SELECT {expression} AS v FROM (SELECT t, CAST(n AS BIGINT) AS n FROM raw) AS r");
    let plan = bound_plan(&context, "trips", &sql).await.map_err(|e| e.to_string())?;
    let mut values = Vec::new();
    for mut stream in stream(&context, plan, ["v"].into_iter()).await? {
        while let Some(batch) = stream.next().await {
            let array = batch.unwrap().column(0).clone();
            values.extend((0..array.len()).map(|row| array_value_to_string(&array, row).unwrap()));
        }
    }
    Ok(values)
}

#[tokio::test]
async fn what_fails_on_a_row_is_null_on_that_row() {
    let (min, max) = (i64::MIN.to_string(), i64::MAX.to_string());
    for (expression, expected) in [
        ("n", ["0", &min, &max, "", "2"]),
        ("6 / n", ["", "0", "0", "", "3"]),
        ("5 % n", ["", "5", "5", "", "1"]),
        ("n / -1", ["0", "", "-9223372036854775807", "", "-2"]),
        ("n - 1", ["-1", "", "9223372036854775806", "", "1"]),
        ("n * n", ["0", "", "", "", "4"]),
        ("abs(n)", ["0", "", &max, "", "2"]),
        ("to_date(t)", ["2011-01-05", "", "", "", "2011-01-31"]),
        ("date_part('month', to_date(t))", ["1", "", "", "", "1"]),
        ("CAST(t AS DATE)", ["2011-01-05", "", "", "", "2011-01-31"]),
        ("chr(n)", ["", "", "", "", "\u{2}"]),
        ("substr(t, 1, n)", ["", "", "not a date", "", "20"]),
        ("coalesce(to_date(t), DATE '2000-01-01')", ["2011-01-05", "2000-01-01", "2000-01-01", "2000-01-01", "2011-01-31"]),
    ] {
        let mut found = column(expression).await.unwrap();
        if expression == "chr(n)" {
            // Whether 0 is a character is not our matter.
            found[0] = String::new();
        }
        assert_eq!(found, expected, "{expression}");
    }
}

#[tokio::test]
async fn an_expression_that_fails_on_every_row_is_null_and_no_error() {
    for expression in ["to_date('never')", "CAST('x' AS BIGINT)", "1 / 0", "substr(t, 1, -7)", "lpad(t, 9999999999)"] {
        assert_eq!(column(expression).await.unwrap(), vec![""; 5], "{expression}");
    }
}

#[tokio::test]
async fn what_mixes_rows_of_several_persons_is_refused() {
    for expression in ["sum(n)", "count(*)", "row_number() OVER ()"] {
        let fault = column(expression).await.unwrap_err();
        assert!(fault.contains("mixes rows"), "{expression}: {fault}");
    }
}

#[tokio::test]
async fn a_plan_that_was_not_made_total_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.csv"), ROWS).unwrap();
    let context = open(&binding("csv", "raw.csv", DIRECT), folder.path(), &options(1, 3)).await.unwrap();
    for expression in ["CAST(n AS BIGINT)", "1 / 2", "abs(1)"] {
        let plan = bound_plan(&context, "trips", &format!("SELECT {expression} AS v FROM raw")).await.unwrap();
        assert!(super::check_total(&plan).unwrap_err().contains("may fail on a row"), "{expression}");
    }
}
