#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use commun_domain::plan::{Aggregate, PrivatePlan};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::testing::{DIRECT, Row, binding, contract, csv, evaluate, options, output, plan, query_id};
use crate::{DataFusionEngine, Engine};

/// Rows of persons `1` to `4`; person 4 has the most.
fn rows() -> Vec<Row> {
    (1..=4u32).flat_map(|person| (0..person).map(move |_| Row::new(&person.to_string(), "2011-01", "A", "1", "true"))).collect()
}

/// Counts persons and rows.
fn question() -> PrivatePlan {
    let mut plan = plan(&contract(), &["2011-01"], &[], 1);
    plan.outputs =
        vec![output("persons", Aggregate::CountUnits, None), output("rows", Aggregate::CountRows { max_rows_per_person: 3 }, None)];
    plan
}

struct Holder {
    folder: tempfile::TempDir,
    binding: Binding,
}

impl Holder {
    /// With these rows, whose unit column the binding reads by `unit`, and with a list in this form.
    fn new(unit: &str, list: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("raw.csv"), csv(&rows())).unwrap();
        let mut bound = binding("csv", "raw.csv", &DIRECT.replace("person", &format!("{unit} AS person")));
        let text = format!(
            "contract = \"m\"\n[[source]]\nname = \"a\"\nformat = \"csv\"\npath = \"a\"\n[[table]]\nname = \"t\"\nsql = \"SELECT a FROM a\"\n[objections]\n{list}"
        );
        bound.objections = Binding::parse(&text).unwrap().objections;
        Self { folder, binding: bound }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Persons and rows.
    async fn counts(&self) -> Result<(i128, i128), EngineError> {
        let cells = evaluate(self.binding.clone(), self.folder.path(), options(2, 3), &question(), 1).await?;
        Ok((cells.outputs[0][0], cells.outputs[1][0]))
    }

    #[track_caller]
    fn assert_refused(counts: Result<(i128, i128), EngineError>, part: &str) {
        let error = counts.unwrap_err().to_string();
        assert!(
            error.starts_with("the list of objections") && error.contains(part) && error.contains("no question is answered"),
            "{error}"
        );
    }
}

const NUMBER: &str = "CAST(person AS BIGINT)";
const TEXT: &str = "person";
const LINES: &str = "path = \"list.txt\"\n";

fn parquet(path: &Path, column: &str, ids: ArrayRef) {
    let batch = RecordBatch::try_from_iter_with_nullable([(column, ids, true)]).unwrap();
    let mut writer = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[tokio::test]
async fn an_objection_counts_from_the_next_question_on_whatever_types_the_ids_have() {
    for unit in [NUMBER, TEXT] {
        let holder = Holder::new(unit, LINES);
        holder.write("list.txt", "");
        assert_eq!(holder.counts().await.unwrap(), (4, 9), "{unit}: one row of person 4 is beyond the bound");
        holder.write("list.txt", "\u{feff}4\r\n\n2\n4\n77777777777777777777777");
        assert_eq!(holder.counts().await.unwrap(), (2, 4), "{unit}");

        let csv = Holder::new(unit, "format = \"csv\"\npath = \"list.csv\"\ncolumn = \"who\"\ndelimiter = \";\"\n");
        csv.write("list.csv", "\u{feff}when;who\n2018-05-25;4\n;\"1\"\n");
        assert_eq!(csv.counts().await.unwrap(), (2, 5), "{unit}");

        let parquet_list = Holder::new(unit, "format = \"parquet\"\npath = \"list.parquet\"\ncolumn = \"who\"\n");
        let file = parquet_list.folder.path().join("list.parquet");
        parquet(&file, "who", Arc::new(Int64Array::from(vec![3, 5])));
        assert_eq!(parquet_list.counts().await.unwrap(), (3, 6), "{unit}");
        parquet(&file, "who", Arc::new(StringArray::from(vec!["4"])));
        assert_eq!(parquet_list.counts().await.unwrap(), (3, 6), "{unit}");
    }
}

#[tokio::test]
async fn texts_are_compared_as_they_are() {
    let holder = Holder::new("'S-' || person", LINES);
    holder.write("list.txt", "S-4\ns-3\nS-2 \n S-1\n");
    assert_eq!(holder.counts().await.unwrap(), (3, 6));
}

#[tokio::test]
async fn a_list_that_cannot_be_read_whole_refuses_the_question() {
    let holder = Holder::new(NUMBER, LINES);
    Holder::assert_refused(holder.counts().await, "No such file");
    for (text, part) in [
        (b"1\n04\n".to_vec(), "line 2: the unit column holds whole numbers"),
        (b"subscriber\n4\n".to_vec(), "line 1: the unit column"),
        (b"1\n \xff\n".to_vec(), "line 2 is not UTF-8"),
        (b"1\r2\r".to_vec(), "line 1: there is a control character"),
        (b"\0\0\0\0".to_vec(), "line 1: there is a control character"),
        ([b"1\n", "9".repeat(2000).as_bytes()].concat(), "line 2: there is no id, or one longer"),
        ([b"1\n", "9".repeat(2 << 20).as_bytes()].concat(), "line 2 is too long"),
    ] {
        holder.write("list.txt", text);
        Holder::assert_refused(holder.counts().await, part);
    }
    std::fs::remove_file(holder.folder.path().join("list.txt")).unwrap();
    std::fs::create_dir(holder.folder.path().join("list.txt")).unwrap();
    Holder::assert_refused(holder.counts().await, "it is no file");

    let csv = Holder::new(NUMBER, "format = \"csv\"\npath = \"list.csv\"\ncolumn = \"who\"\n");
    for (text, part) in [
        ("", "0 columns named \"who\""),
        ("id\n4\n", "0 columns named \"who\""),
        ("who,who\n4,4\n", "2 columns named \"who\""),
        ("who,when\n4\n", "line 2 has 1 fields and the header row 2"),
        ("who,when\n4,a,b\n", "line 2 has 3 fields"),
        ("who,when\n,yesterday\n", "line 2: there is no id"),
    ] {
        csv.write("list.csv", text);
        Holder::assert_refused(csv.counts().await, part);
    }

    let columns = Holder::new(NUMBER, "format = \"parquet\"\npath = \"list.parquet\"\ncolumn = \"who\"\n");
    Holder::assert_refused(columns.counts().await, "cannot open");
    let file = columns.folder.path().join("list.parquet");
    parquet(&file, "id", Arc::new(Int64Array::from(vec![4])));
    Holder::assert_refused(columns.counts().await, "no column who");
    parquet(&file, "who", Arc::new(Int64Array::from(vec![Some(4), None])));
    Holder::assert_refused(columns.counts().await, "row 2: there is no id");
    let whole = std::fs::read(&file).unwrap();
    columns.write("list.parquet", &whole[..whole.len() - 9]);
    Holder::assert_refused(columns.counts().await, "cannot read");
}

#[tokio::test]
async fn what_is_wrong_before_reading_is_known_before_reading() {
    for (form, file) in [(LINES, "list.txt"), ("format = \"csv\"\npath = \"list.csv\"\ncolumn = \"who\"\n", "list.csv")] {
        let holder = Holder::new(TEXT, form);
        let list = holder.binding.objections.as_ref();
        assert!(ready(list, holder.folder.path()).unwrap_err().to_string().contains("No such file"));
        holder.write(file, "who\nan id that no column of numbers has\n");
        ready(list, holder.folder.path()).unwrap();
        holder.write(file, "id\n");
        assert_eq!(ready(list, holder.folder.path()).is_err(), file == "list.csv");
    }
}

#[tokio::test]
async fn of_a_list_that_could_not_be_read_nothing_more_is_asked_until_it_has_changed() {
    let holder = Holder::new(NUMBER, LINES);
    holder.write("list.txt", "1\n04\n");
    let engine = DataFusionEngine::new(holder.binding.clone(), holder.folder.path());
    let (plan, contract) = (question(), contract());
    let ready = || engine.ready("mobility").map_err(|error| error.to_string());
    assert_eq!(ready(), Ok(()));
    let found = engine.evaluate(&plan, &query_id(1), &contract).await.unwrap_err().to_string();
    assert!(found.contains("line 2") && ready() == Err(found.clone()) && ready() == Err(found), "the next question is not charged for it");
    holder.write("list.txt", "1\n4\n# no");
    assert_eq!(ready(), Ok(()));
    assert!(engine.evaluate(&plan, &query_id(1), &contract).await.is_err());
    holder.write("list.txt", "1\n4\n");
    assert_eq!(ready(), Ok(()));
    assert_eq!(engine.evaluate(&plan, &query_id(1), &contract).await.unwrap().outputs[0], [2]);
}

#[tokio::test]
async fn a_folder_that_is_empty_as_one_that_is_not_mounted_is_no_list() {
    let holder = Holder::new(NUMBER, "format = \"parquet\"\npath = \"lists\"\ncolumn = \"who\"\n");
    let list = holder.binding.objections.as_ref();
    let folder = holder.folder.path().join("lists");
    std::fs::create_dir(&folder).unwrap();
    assert!(ready(list, holder.folder.path()).unwrap_err().to_string().contains("is empty"));
    let pattern = Holder::new(NUMBER, "format = \"parquet\"\npath = \"lists/*.parquet\"\ncolumn = \"who\"\n");
    assert!(ready(pattern.binding.objections.as_ref(), holder.folder.path()).is_err());
    parquet(&folder.join("a.parquet"), "who", Arc::new(Int64Array::from(vec![4])));
    assert!(ready(list, holder.folder.path()).is_ok() && ready(pattern.binding.objections.as_ref(), holder.folder.path()).is_ok());
    assert_eq!(holder.counts().await.unwrap(), (3, 6));
}

#[tokio::test]
async fn a_list_takes_its_part_of_the_memory_limit_and_no_more() {
    let holder = Holder::new(TEXT, LINES);
    let list: Vec<String> = (0..20_000).map(|number| format!("subscriber-{number}")).collect();
    holder.write("list.txt", list.join("\n") + "\n4\n");
    let with = |mb: usize| EngineOptions { memory_bytes: NonZeroUsize::new(mb << 20), ..options(1, 1000) };
    let cells = evaluate(holder.binding.clone(), holder.folder.path(), with(64), &question(), 1).await.unwrap();
    assert_eq!(cells.outputs[0][0], 3);
    let error = evaluate(holder.binding.clone(), holder.folder.path(), with(2), &question(), 1).await.unwrap_err().to_string();
    assert!(error.contains("raise limits.memory_mb"), "{error}");
}
