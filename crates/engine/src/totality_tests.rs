//! Nothing in a row makes an evaluation fail, whatever the binding computes from it; and nothing is opened before it is asked for.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use crate::testing::{DIRECT, Row, binding, contract, csv, evaluate, options, plan};
use crate::{Binding, DataFusionEngine, EngineError};

fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

async fn over_text(text: &[u8], sql: &str) -> Vec<Vec<i128>> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.csv"), text).unwrap();
    let plan = plan(&contract(), &["2011-01"], &["home"], 1);
    evaluate(binding("csv", "raw.csv", sql), folder.path(), options(2, 4), &plan, 1).await.unwrap().outputs
}

#[tokio::test]
async fn a_missing_file_fails_only_when_it_is_read() {
    for format in ["csv", "parquet"] {
        let binding: Binding = binding(format, "absent.file", DIRECT);
        let _engine = DataFusionEngine::new(binding.clone(), "/nowhere");
        let plan = plan(&contract(), &["2011-01"], &["home"], 1);
        let error = evaluate(binding, Path::new("/nowhere"), options(1, 8), &plan, 1).await.unwrap_err();
        assert!(matches!(&error, EngineError::Source { source_name, .. } if source_name == "raw"), "{error}");
    }
}

#[tokio::test]
async fn extreme_values_in_parquet_are_read_without_error() {
    let folder = tempfile::tempdir().unwrap();
    let floats = vec![Some(f64::NAN), Some(f64::INFINITY), Some(f64::MAX), Some(f64::MIN), None, Some(-0.0), Some(1.25)];
    let home = vec![Some("A"), Some("A"), Some("A"), Some("B"), Some("B"), None, Some("C")];
    let integers = vec![Some(i64::MIN), Some(i64::MAX), Some(0), Some(-1), None, Some(1), Some(2)];
    write_parquet(
        &folder.path().join("raw.parquet"),
        vec![
            ("person", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), Some(0), Some(-1), Some(1), Some(2), Some(3)]))),
            ("day", Arc::new(Date32Array::from(vec![14975; 7]))),
            ("home", Arc::new(StringArray::from(home))),
            ("km", Arc::new(Float64Array::from(floats))),
            ("whole", Arc::new(Int64Array::from(integers))),
            ("train", Arc::new(BooleanArray::from(vec![None; 7]))),
        ],
    );
    let plan = plan(&contract(), &["2011-01"], &["home"], 1);
    let run = async |km: &str| {
        let sql = format!("SELECT person, to_char(day, '%Y-%m') AS month, home, {km} AS km, train FROM raw");
        evaluate(binding("parquet", "raw.parquet", &sql), folder.path(), options(2, 3), &plan, 1).await.unwrap().outputs
    };
    assert_eq!(run("km").await, [[3, 2, 1], [3, 2, 1], [1000, -50, 13]]);
    // i64::MIN saturates at the lower bound, i64::MAX at the upper, and 0 adds nothing.
    assert_eq!(run("whole").await[2], [950, -10, 20]);
    // What overflows is NULL, for its row only.
    assert_eq!(run("whole * 2").await[2], [0, -20, 40]);
    assert_eq!(run("whole + 1").await[2], [-50 + 10, 0, 30]);
    assert_eq!(run("CAST(home AS BIGINT)").await[2], [0, 0, 0]);
    assert_eq!(run("CASE WHEN home = 5 THEN 1 ELSE 2 END").await[2], [60, 40, 20]);
}

#[tokio::test]
async fn broken_rows_in_csv_are_read_without_error() {
    let mut text = csv(&[Row::new("a", "2011-01", "A", "1", "true"), Row::new("b", "2011-01", "B", "2", "true")]).into_bytes();
    text.extend_from_slice(b"c,2011-01,C,3,true,one,two,many\n");
    text.extend_from_slice(b"d,2011-01\n\n,,,,\n");
    text.extend_from_slice(b"\xff\xfe,2011-01,A,1,true\ne,2011-01,\xff,1,true\n");
    text.extend_from_slice(b"f,2011-01,A,");
    text.extend_from_slice(&vec![b'9'; 100_000]);
    text.extend_from_slice(b",true\n");
    text.extend_from_slice(&vec![b'u'; 100_000]);
    text.extend_from_slice(b",2011-01,A,1,true\n\"g\"\"\",2011-01,C,-1,maybe\n\"open,2011-01");
    let outputs = over_text(&text, DIRECT).await;
    assert_eq!(outputs, [[2, 1, 2], [2, 1, 2], [10, 20, 30 - 10]]);
}

#[tokio::test]
async fn an_expression_that_fails_on_one_row_is_null_on_that_row_only() {
    let days = ["2011-01-05", "2011-02-31", "not a date", "", "9999999999-01-01", "2011-01-31", "2011-01-01T00:00:00"];
    let rows: Vec<Row> = days.iter().enumerate().map(|(n, day)| Row::new(&format!("p{n}"), day, "A", "1", "true")).collect();
    let month = |sql: &str| format!("SELECT person, {sql} AS month, home, km, train FROM raw");
    let text = csv(&rows).into_bytes();
    let found = over_text(&text, &month("to_char(CAST(month AS DATE), '%Y-%m')")).await[1][0];
    assert!((2..=3).contains(&found), "{found}");
    assert_eq!(over_text(&text, &month("substr(month, 1, 7)")).await[1][0], 3);
}

#[tokio::test]
async fn empty_files_and_columns_of_null_give_zeros() {
    let zeros = vec![vec![0; 3]; 3];
    assert_eq!(over_text(b"person,month,home,km,train\n", DIRECT).await, zeros);
    assert_eq!(over_text(b"person,month,home,km,train\n,,,,\n,,,,\n", DIRECT).await, zeros);
    let all_null = "SELECT person, month, NULL AS home, NULL AS km, NULL AS train FROM raw";
    assert_eq!(over_text(b"person,month\np,2011-01\n", all_null).await, zeros);
    let folder = tempfile::tempdir().unwrap();
    let none: ArrayRef = Arc::new(StringArray::from(Vec::<Option<&str>>::new()));
    write_parquet(&folder.path().join("raw"), ["person", "month", "home", "km", "train"].map(|name| (name, Arc::clone(&none))).to_vec());
    let plan = plan(&contract(), &["2011-01"], &["home"], 1);
    assert_eq!(evaluate(binding("parquet", "raw", DIRECT), folder.path(), options(2, 8), &plan, 1).await.unwrap().outputs, zeros);
}

#[tokio::test]
async fn two_files_are_joined_on_the_person() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("trips.csv"), "line;month;km\n1;2011-01;3\n2;2011-01;4\n3;2011-01;5\n").unwrap();
    std::fs::write(folder.path().join("lines.csv"), "line,person,home\n1,a,A\n2,b,B\n4,c,C\n").unwrap();
    let binding = Binding::parse(
        r#"
contract = "mobility"
source = [
  { name = "trips", format = "csv", path = "trips.csv", delimiter = ";" },
  { name = "lines", format = "csv", path = "lines.csv" },
]
[[table]]
name = "trips"
sql = "SELECT l.person AS person, t.month AS month, l.home AS home, t.km AS km, true AS train FROM trips t JOIN lines l ON t.line = l.line"
"#,
    )
    .unwrap();
    let plan = plan(&contract(), &["2011-01"], &["home"], 1);
    let outputs = evaluate(binding, folder.path(), options(2, 8), &plan, 1).await.unwrap().outputs;
    assert_eq!(outputs, [[1, 1, 0], [1, 1, 0], [30, 40, 0]]);
}

#[tokio::test]
async fn a_binding_that_does_not_fit_is_refused_with_a_hint_and_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [Row::new("secret", "2011-01", "A", "1", "true")];
    std::fs::write(folder.path().join("raw.csv"), csv(&rows)).unwrap();
    let plan = plan(&contract(), &["2011-01"], &["home"], 1);
    for (sql, hint) in [
        ("SELECT person, month, home, km FROM raw", "add `... AS train`"),
        ("SELECT person, month, home, km, train, 1 AS more FROM raw", "column more is not in the data contract"),
        ("SELECT person, month, home, CAST(month AS DATE) AS km, train FROM raw", "column km: a Date32 cannot be read as a number"),
        ("SELECT who AS person, month, home, km, train FROM raw", "who"),
    ] {
        let error = evaluate(binding("csv", "raw.csv", sql), folder.path(), options(1, 8), &plan, 1).await.unwrap_err().to_string();
        assert!(error.contains(hint) && !error.contains("secret"), "{error}");
    }
    let mut other = contract();
    other.name = "another".to_owned();
    assert!(crate::check(&binding("csv", "raw.csv", DIRECT), folder.path(), &other).await.is_ok_and(|report| !report.usable()));
}

#[tokio::test]
async fn a_plan_that_does_not_fit_the_contract_is_refused_before_a_file_is_opened() {
    let contract = contract();
    let good = plan(&contract, &["2011-01"], &["home"], 1);
    let run = async |change: &dyn Fn(&mut commun_domain::plan::PrivatePlan)| {
        let mut plan = good.clone();
        change(&mut plan);
        evaluate(binding("csv", "absent.csv", DIRECT), Path::new("/nowhere"), options(1, 8), &plan, 1).await.unwrap_err()
    };
    assert!(matches!(run(&|_| {}).await, EngineError::Source { .. }));
    assert!(matches!(run(&|plan| plan.relation = commun_domain::plan::Relation::Table("other".to_owned())).await, EngineError::Plan(_)));
    assert!(matches!(run(&|plan| plan.outputs.clear()).await, EngineError::Plan(_)));
    assert!(matches!(run(&|plan| plan.partitions.push(plan.partitions[0])).await, EngineError::Plan(_)));
    assert!(matches!(run(&|plan| plan.max_groups_per_person = 0).await, EngineError::Plan(_)));
    assert!(matches!(run(&|plan| plan.unit_column = "home".to_owned()).await, EngineError::Plan(_)));
}
