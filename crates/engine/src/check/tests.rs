#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use super::*;
use crate::testing::{DIRECT, Row, binding, contract, csv};

async fn report(rows: &[Row], sql: &str) -> CheckReport {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.csv"), csv(rows)).unwrap();
    check(&binding("csv", "raw.csv", sql), folder.path(), &contract()).await.unwrap()
}

#[tokio::test]
async fn data_that_do_not_meet_the_contract_are_counted() {
    let mut rows = vec![
        Row::new("", "2011-01", "A", "1", "true"),
        Row::new("  ", "2011-01", "A", "1", "true"),
        Row::new("p", "", "A", "1", "true"),
        Row::new("p", "2011-01-05", "A", "1", "true"),
        Row::new("p", "2012-01", "A", "1", "true"),
        Row::new("p", "2011-02", "X", "far", "perhaps"),
        Row::new("p", "2011-02", "X", "1e9", ""),
        Row::new("p", "2011-02", "Y", "-5.1", "0"),
    ];
    rows.extend((0..4).map(|_| Row::new("heavy", "2011-03", "B", "3", "1")));
    let report = report(&rows, DIRECT).await;
    let table = &report.tables[0];
    assert_eq!((table.rows, table.null_units, table.persons, table.persons_above, table.most_rows), (12, 2, 2, 1, 4));
    assert_eq!(table.rows_by_partition.get("2011-02"), Some(&3));
    let [_, month, home, km, train] = &table.columns[..] else { unreachable!("five columns") };
    assert_eq!((month.nulls, month.unknown), (1, 2));
    assert_eq!((home.unknown, home.examples[0].clone()), (3, ("X".to_owned(), 2)));
    assert_eq!((km.unreadable, km.out_of_range), (1, 2));
    assert_eq!((train.unreadable, train.nulls), (1, 1));
    assert!(report.usable());
    let text = report.to_string();
    for part in ["12 rows", "\"X\" (2)", "2 rows have no unit", "more than 3 row(s)", "2 outside the bounds", "queries can be answered"] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[tokio::test]
async fn missing_and_extra_columns_are_faults_with_a_hint() {
    let report = report(&[], "SELECT person, month, home AS house, km, train FROM raw").await;
    let text = report.to_string();
    assert!(!report.usable());
    assert!(text.contains("add `... AS home`") && text.contains("column house is not in the data contract"), "{text}");
}

#[tokio::test]
async fn a_column_of_a_wrong_type_is_a_fault_and_the_rest_is_still_checked() {
    let rows = [Row::new("p", "2011-01", "A", "1", "true")];
    let report = report(&rows, "SELECT person, month, home, CAST(month AS DATE) AS km, train FROM raw").await;
    let text = report.to_string();
    assert!(!report.usable() && text.contains("column km: a Date32 cannot be read as a number"), "{text}");
    assert_eq!(report.tables[0].columns.len(), 4);
}

#[tokio::test]
async fn more_rows_than_the_contract_allows_are_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.csv"), csv(&vec![Row::new("p", "2011-01", "A", "1", "true"); 3])).unwrap();
    let mut contract = contract();
    contract.tables[0].max_rows = 2;
    let report = check(&binding("csv", "raw.csv", DIRECT), folder.path(), &contract).await.unwrap();
    assert!(!report.usable() && report.to_string().contains("partition 2011-01 has 3 rows"));
}

#[tokio::test]
async fn a_missing_file_is_said_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = check(&binding("csv", "absent.csv", DIRECT), folder.path(), &contract()).await.unwrap_err();
    assert!(error.to_string().contains("absent.csv"), "{error}");
}

#[tokio::test]
async fn rows_of_objectors_are_in_no_figure_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = vec![Row::new("p", "2011-01", "A", "1", "true"); 2];
    rows.extend((0..7).map(|_| Row::new("objector", "2011-02", "X", "far", "perhaps")));
    std::fs::write(folder.path().join("raw.csv"), csv(&rows)).unwrap();
    let mut contract = contract();
    contract.tables[0].max_rows = 2;
    let mut binding = binding("csv", "raw.csv", DIRECT);
    let list =
        crate::binding::Objections { format: crate::binding::ListFormat::Lines, path: "list.txt".into(), column: None, delimiter: None };
    binding.objections = Some(list);
    std::fs::write(folder.path().join("list.txt"), "objector\nnobody\n").unwrap();
    let report = check(&binding, folder.path(), &contract).await.unwrap();
    let (table, text) = (&report.tables[0], report.to_string());
    assert_eq!((table.rows, table.persons, table.left_out, table.objections), (2, 1, 7, Some(2)));
    assert!(report.usable() && table.columns.iter().all(|column| column.unknown + column.unreadable == 0), "{text}");
    assert!(text.contains("objections: 2 unit(s) listed; 7 row(s) of theirs are left out"), "{text}");

    std::fs::remove_file(folder.path().join("list.txt")).unwrap();
    let report = check(&binding, folder.path(), &contract).await.unwrap();
    assert!(!report.usable() && report.to_string().contains("list.txt"), "{report}");
}

#[tokio::test]
async fn it_is_a_fault_when_every_row_falls_out() {
    for (row, part) in [
        (Row::new("p", "January", "A", "1", "true"), "no row has a unit and a partition of the contract"),
        (Row::new("", "2011-01", "A", "1", "true"), "no row has a unit and a partition of the contract"),
        (Row::new("p", "2011-01", "Antwerp", "1", "true"), "column home: no value is one of the contract's"),
        (Row::new("p", "2011-01", "A", "far", "true"), "column km: no value is one of the contract's"),
    ] {
        let report = report(&[row.clone(), row], DIRECT).await;
        let text = report.to_string();
        assert!(!report.usable() && text.contains(part) && text.contains("cannot be answered"), "{text}");
    }
    let empty = report(&[Row::new("p", "2011-01", "", "", "")], DIRECT).await;
    assert!(empty.usable(), "a column without values may be as it is: {empty}");
    assert!(report(&[], DIRECT).await.to_string().contains("WARNING there are no rows"));
}
