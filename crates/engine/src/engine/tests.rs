//! From files to integers: the same as the plain interpreter's, from Parquet and CSV, whatever the options and the claim of order.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use commun_domain::plan::time::{DAY_S, Date};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::model::random::Dice;
use crate::model::{Case, Raw};
use crate::testing::options;

const NAMES: [&str; 6] = ["person", "month", "home", "km", "train", "at"];

fn write_parquet(path: &Path, rows: &[Raw], kind: UnitKind) {
    // An empty file has a schema too.
    let batches =
        if rows.is_empty() { Case::batches(&[Raw::default()], &NAMES, kind, 1) } else { Case::batches(rows, &NAMES, kind, rows.len()) };
    let properties = parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(500)).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batches[0].schema(), Some(properties)).unwrap();
    for batch in &batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
}

fn write_csv(path: &Path, rows: &[Raw]) {
    let mut text = NAMES.join(",") + "\n";
    for row in rows {
        let km = row.km.map(|km| format!("{}{}.{}", if km < 0 { "-" } else { "" }, km.unsigned_abs() / 10, km.unsigned_abs() % 10));
        let train = row.train.map(|train| train.to_string());
        let at = row.at.map(|at| {
            let (Date { year, month, day }, second) = (Date::of_day(at.div_euclid(DAY_S)), at.rem_euclid(DAY_S));
            format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
        });
        let cells = [&row.person, &row.month, &row.home, &km, &train, &at].map(|cell| cell.clone().unwrap_or_default());
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

/// `condition`: of the binding's SQL.
fn binding(format: &str, sorted: bool, condition: &str) -> Binding {
    let source = format!("[[source]]\nname = \"raw\"\nformat = \"{format}\"\npath = \"raw.file\"\n");
    let sql = format!("SELECT {} FROM raw {condition}", NAMES.join(", "));
    Binding::parse(&format!("contract = \"mobility\"\n{source}[[table]]\nname = \"trips\"\nsorted_by_unit = {sorted}\nsql = '''{sql}'''\n"))
        .unwrap()
}

/// The outputs, and how often the data were read.
async fn run(case: &Case, binding: Binding, folder: &Path, options: EngineOptions) -> (Vec<Vec<i128>>, u32) {
    let engine = DataFusionEngine::new(binding, folder).with_options(options);
    let (cells, passes, _) = engine.run(&case.plan, &case.query, &case.contract).await.unwrap();
    (cells.outputs, passes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn files_give_the_integers_of_the_plain_interpreter_whatever_the_options() {
    for seed in 0..24 {
        let dice = &mut Dice::new(seed);
        let rows = dice.of(&[0, 1, 300, 3_000]);
        let case = Case::random(dice, rows, 400);
        let expected = case.answer();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw.file");
        let format = dice.of(&["csv", "parquet"]);
        if format == "csv" {
            write_csv(&path, &case.rows);
        } else {
            write_parquet(&path, &case.rows, dice.of(&[UnitKind::Text, UnitKind::Signed]));
        }
        for memory_bytes in [None, NonZeroUsize::new(4_000_000), NonZeroUsize::new(200_000)] {
            let spill_folder = folder.path().to_owned();
            let options = options(1 + dice.below(4), dice.of(&[16, 1000, 8192]));
            let options = EngineOptions { memory_bytes, spill_folder, ..options };
            let claimed = dice.one_in(3);
            let (found, passes) =
                run(&case, binding(format, claimed, dice.of(&["", "WHERE 1 = 1 OR home = 'A'"])), folder.path(), options).await;
            assert!(found == expected, "seed {seed}, {format}, {memory_bytes:?}: {:?}", case.plan);
            assert!(passes == 1 || claimed);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn sorted_files_are_read_once_and_a_wrong_claim_costs_a_second_reading_and_no_answer() {
    for (seed, format, kind) in [(1, "parquet", UnitKind::Signed), (2, "parquet", UnitKind::Text), (3, "csv", UnitKind::Text)] {
        let dice = &mut Dice::new(seed);
        let mut case = Case::random(dice, 3_000, 900);
        case.plan.filter = None;
        case.plan.keys.clear();
        case.rows.sort_by_cached_key(|row| match (&row.person, kind) {
            (Some(person), UnitKind::Text) => (person.clone(), 0),
            (Some(person), _) => (String::new(), person.parse::<i64>().unwrap()),
            (None, _) => (String::new(), -1),
        });
        let expected = case.answer();
        let folder = tempfile::tempdir().unwrap();
        let write = |rows: &[Raw]| match format {
            "csv" => write_csv(&folder.path().join("raw.file"), rows),
            _ => write_parquet(&folder.path().join("raw.file"), rows, kind),
        };
        write(&case.rows);
        for (threads, batch_rows) in [(1, 8192), (4, 100), (3, 1000)] {
            // A filter is where batches would be dealt out among threads.
            for condition in ["", "WHERE home <> 'C' OR home = 'C' OR home IS NULL"] {
                let (found, passes) = run(&case, binding(format, true, condition), folder.path(), options(threads, batch_rows)).await;
                assert!(found == expected && passes == 1, "{format} {threads} {batch_rows} {condition}: {passes} readings");
            }
        }
        if format == "parquet" {
            // More files than readers.
            let parts = tempfile::tempdir().unwrap();
            std::fs::create_dir(parts.path().join("raw.file")).unwrap();
            for (rows, part) in case.rows.chunks(250).zip('a'..) {
                write_parquet(&parts.path().join(format!("raw.file/{part}")), rows, kind);
            }
            let (found, passes) = run(&case, binding(format, true, ""), parts.path(), options(3, 100)).await;
            assert!(found == expected && passes == 1, "of twelve files: {passes} readings");
        }
        case.rows[1_200..2_100].reverse();
        write(&case.rows);
        let (found, passes) = run(&case, binding(format, true, ""), folder.path(), options(2, 100)).await;
        assert!(found == expected && passes == 2, "{format}: {passes} readings");
    }
}
