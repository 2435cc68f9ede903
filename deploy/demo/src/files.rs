//! The operators' files, in three unlike forms, and the binding that each operator writes for its own.
//!
//! One Parquet file with clean columns; one CSV file with dates as text and codes of its own; two files that are joined on the
//! subscriber. An operator past the third takes the forms in turn.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::census::Census;
use crate::deal::Persons;
use crate::trips::Trip;

mod trips;

/// Rows written at once.
const BATCH_ROWS: usize = 65_536;

/// The month that the census is taken to stand for.
pub(crate) const MONTH: &str = "2011-01";

/// Writes one operator's files and bindings into `folder`. `trips`: one for each person.
pub(crate) fn write(folder: &Path, number: usize, persons: &Persons, trips: &[Trip], census: &Census) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let (binding, trips) = match number % 3 {
        0 => (parquet_form(folder, persons, census)?, trips::parquet_form(folder, persons, trips, census)?),
        1 => (csv_form(folder, persons, census)?, trips::csv_form(folder, persons, trips, census)?),
        _ => (joined_form(folder, persons, census)?, trips::joined_form(folder, trips)?),
    };
    std::fs::write(folder.join("binding.toml"), binding)?;
    std::fs::write(folder.join("trips.toml"), trips)?;
    Ok(())
}

fn home_and_work(cell: u16, census: &Census) -> (&str, &str) {
    let side = census.codes.len();
    let cell = usize::from(cell);
    (&census.codes[cell / side], &census.codes[cell % side])
}

fn write_parquet(
    path: &Path,
    columns: &[&str],
    rows: usize,
    column: impl Fn(usize, std::ops::Range<usize>) -> ArrayRef,
) -> anyhow::Result<()> {
    let types = |index: usize| column(index, 0..0).data_type().clone();
    let fields: Vec<Field> = columns.iter().enumerate().map(|(index, name)| Field::new(*name, types(index), false)).collect();
    let schema = Arc::new(Schema::new(fields));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(File::create(path)?, schema.clone(), Some(properties))?;
    let mut start = 0;
    while start < rows {
        let end = rows.min(start + BATCH_ROWS);
        let arrays = (0..columns.len()).map(|index| column(index, start..end)).collect();
        writer.write(&RecordBatch::try_new(schema.clone(), arrays)?)?;
        start = end;
    }
    writer.close()?;
    Ok(())
}

/// Numbers of an operator's own series.
fn numbers(range: std::ops::Range<usize>) -> ArrayRef {
    Arc::new(range.map(|row| i64::try_from(row).unwrap_or(i64::MAX).saturating_add(1_000_000_000)).collect::<Int64Array>())
}

fn texts<'a>(items: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(items.map(Some).collect::<StringArray>())
}

/// Operator 1: one clean Parquet file.
fn parquet_form(folder: &Path, persons: &Persons, census: &Census) -> anyhow::Result<String> {
    write_parquet(
        &folder.join("subscribers.parquet"),
        &["subscriber", "month", "home_nis", "work_nis"],
        persons.len(),
        |column, range| match column {
            0 => numbers(range),
            1 => texts(range.map(|_| MONTH)),
            2 => texts(persons[range].iter().map(|cell| home_and_work(*cell, census).0)),
            _ => texts(persons[range].iter().map(|cell| home_and_work(*cell, census).1)),
        },
    )?;
    Ok(r#"# One Parquet file whose columns are almost those of the data contract.
contract = "mobility"

[[source]]
name = "subscribers"
format = "parquet"
path = "subscribers.parquet"

[[table]]
name = "commute"
sql = """
SELECT subscriber AS subscriber_id, month AS ref_month, home_nis AS home_arr, work_nis AS work_arr
FROM subscribers
"""
"#
    .to_owned())
}

/// Operator 2: one CSV file, dates as dd/mm/yyyy, arrondissements as codes of its own (`BE-11`).
fn csv_form(folder: &Path, persons: &Persons, census: &Census) -> anyhow::Result<String> {
    let mut file = BufWriter::new(File::create(folder.join("export.csv"))?);
    writeln!(file, "msisdn_hash;period;zone_night;zone_day")?;
    for (row, cell) in persons.iter().enumerate() {
        let (home, work) = home_and_work(*cell, census);
        writeln!(file, "S{row:07};01/01/2011;BE-{};BE-{}", &home[..2], &work[..2])?;
    }
    file.flush()?;
    Ok(r#"# An export of another system: CSV with semicolons, dates as dd/mm/yyyy, arrondissements as "BE-11".
contract = "mobility"

[[source]]
name = "export"
format = "csv"
path = "export.csv"
delimiter = ";"

[[table]]
name = "commute"
sql = """
SELECT msisdn_hash AS subscriber_id,
       substr(period, 7, 4) || '-' || substr(period, 4, 2) AS ref_month,
       substr(zone_night, 4, 2) || '000' AS home_arr,
       substr(zone_day, 4, 2) || '000' AS work_arr
FROM export
"""
"#
    .to_owned())
}

/// Operator 3: customers in one file, their place of work by month in another.
fn joined_form(folder: &Path, persons: &Persons, census: &Census) -> anyhow::Result<String> {
    write_parquet(&folder.join("customers.parquet"), &["customer_no", "nis_domicile"], persons.len(), |column, range| match column {
        0 => Arc::new(range.map(|row| Some((row + 500).to_string())).collect::<StringArray>()),
        _ => texts(persons[range].iter().map(|cell| home_and_work(*cell, census).0)),
    })?;
    let mut file = BufWriter::new(File::create(folder.join("workplaces.csv"))?);
    writeln!(file, "customer_no,year,month,nis_work")?;
    // In another order than the customers, as systems that never met have it.
    for (row, cell) in persons.iter().enumerate().rev() {
        writeln!(file, "{},2011,1,{}", row + 500, home_and_work(*cell, census).1)?;
    }
    file.flush()?;
    Ok(r#"# Two systems that share the customer's number.
contract = "mobility"

[[source]]
name = "customers"
format = "parquet"
path = "customers.parquet"

[[source]]
name = "workplaces"
format = "csv"
path = "workplaces.csv"

[[table]]
name = "commute"
sql = """
SELECT c.customer_no AS subscriber_id,
       w.year || '-' || lpad(w.month, 2, '0') AS ref_month,
       c.nis_domicile AS home_arr,
       w.nis_work AS work_arr
FROM customers c
JOIN workplaces w ON c.customer_no = w.customer_no
"""
"#
    .to_owned())
}
