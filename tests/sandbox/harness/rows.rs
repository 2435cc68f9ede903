//! Rows that the test knows: how many persons of each holder commute from where to where, and its file and binding.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use commun_domain::contract::DataContract;
use parquet::arrow::ArrowWriter;

/// The month that has rows.
pub(crate) const MONTH: &str = "2011-01";

/// Nights of each stay.
pub(crate) const NIGHTS: i64 = 3;

/// Persons of one holder by (home, work), in the order of the declared grid.
pub(crate) type Counts = Vec<u32>;

/// Persons of holder `number` (from 0) in each cell: different in every holder and in neighbouring cells, and 0 in some.
pub(crate) fn counts(number: usize, cells: usize) -> Counts {
    (0..cells).map(|cell| u32::try_from((cell * 7 + number * 5) % 11 * (number + 2)).unwrap()).collect()
}

/// The codes of the list, in its order.
pub(crate) fn codes(contract: &DataContract) -> Vec<String> {
    contract.code_list("arrondissement", "2019").unwrap().codes.iter().map(|code| code.code.clone()).collect()
}

/// Writes a holder's files and binding. Odd holders have Parquet, the others CSV.
pub(crate) fn write(folder: &Path, number: usize, counts: &Counts, codes: &[String], contract: &DataContract) {
    std::fs::create_dir_all(folder).unwrap();
    let persons: Vec<(i64, &str, &str)> = counts
        .iter()
        .enumerate()
        .flat_map(|(cell, count)| std::iter::repeat_n(cell, usize::try_from(*count).unwrap()))
        .zip(1000..)
        .map(|(cell, person)| (person, codes[cell / codes.len()].as_str(), codes[cell % codes.len()].as_str()))
        .collect();
    let format = if number % 2 == 1 {
        parquet(&folder.join("rows.parquet"), &persons);
        "parquet"
    } else {
        csv(&folder.join("rows.csv"), &persons);
        "csv"
    };
    let mut binding = format!(
        r#"contract = "mobility"
[[source]]
name = "lines"
format = "{format}"
path = "rows.{format}"
[[table]]
name = "commute"
sql = "SELECT person AS subscriber_id, month AS ref_month, home AS home_arr, work AS work_arr FROM lines"
"#
    );
    if contract.table("job").is_some() {
        binding.push_str(&write_jobs(folder, number));
    }
    if contract.table("stay").is_some() {
        write!(
            binding,
            r#"[[table]]
name = "stay"
sql = "SELECT person AS subscriber_id, month AS ref_month, work AS arr, {NIGHTS} AS nights FROM lines"
"#
        )
        .unwrap();
    }
    std::fs::write(folder.join("binding.toml"), binding).unwrap();
}

/// Employers of holder `number` (from 0) and their people: two that all holders have, one of its own, one whose name is too long to be one, and many
/// who are alone.
pub(crate) fn employers(number: usize) -> Vec<(String, u32)> {
    let often = [("Bpost", 400), ("Éts Dupont & Fils", 300), ("A name of more than 24 bytes", 500), ("Twins", 2)];
    let mut employers: Vec<(String, u32)> = often.iter().map(|(name, people)| ((*name).to_owned(), *people)).collect();
    employers.push((format!("Only at {number}"), 250));
    employers.extend((0..100).map(|alone| (format!("Alone {number}-{alone}"), 1)));
    employers
}

/// Writes a holder's jobs, each of a person of its own, and returns the table of its binding.
fn write_jobs(folder: &Path, number: usize) -> String {
    let mut text = "person,month,employer\n".to_owned();
    let people = employers(number).into_iter().flat_map(|(name, people)| std::iter::repeat_n(name, usize::try_from(people).unwrap()));
    for (person, employer) in people.enumerate() {
        writeln!(text, "{person},{MONTH},{employer}").unwrap();
    }
    std::fs::write(folder.join("jobs.csv"), text).unwrap();
    r#"[[table]]
name = "job"
sql = "SELECT person AS subscriber_id, month AS ref_month, employer FROM jobs"
[[source]]
name = "jobs"
format = "csv"
path = "jobs.csv"
"#
    .to_owned()
}

fn csv(path: &Path, persons: &[(i64, &str, &str)]) {
    let mut text = "person,month,home,work\n".to_owned();
    for (person, home, work) in persons {
        writeln!(text, "{person},{MONTH},{home},{work}").unwrap();
    }
    std::fs::write(path, text).unwrap();
}

fn parquet(path: &Path, persons: &[(i64, &str, &str)]) {
    let texts = |texts: Vec<&str>| Arc::new(StringArray::from(texts)) as ArrayRef;
    let columns = [
        ("person", Arc::new(persons.iter().map(|row| row.0).collect::<Int64Array>()) as ArrayRef),
        ("month", texts(vec![MONTH; persons.len()])),
        ("home", texts(persons.iter().map(|row| row.1).collect())),
        ("work", texts(persons.iter().map(|row| row.2).collect())),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
