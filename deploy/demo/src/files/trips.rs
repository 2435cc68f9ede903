//! The operators' files about trips, and the bindings to the second data contract.
//!
//! Again one clean Parquet file, one CSV export with commas as decimal points, and a CSV file that is joined with the customers' file of the
//! first data contract.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Decimal128Array, TimestampSecondArray};

use super::{MONTH, home_and_work, numbers, texts, write_parquet};
use crate::census::Census;
use crate::deal::Persons;
use crate::trips::Trip;

/// A Tuesday of the month, in seconds since 1970: 2011-01-11.
const DAY_S: i64 = 1_294_704_000;

/// Operator 1: one clean Parquet file.
pub(super) fn parquet_form(folder: &Path, persons: &Persons, trips: &[Trip], census: &Census) -> anyhow::Result<String> {
    let columns = ["subscriber", "month", "home_nis", "left_home", "km"];
    write_parquet(&folder.join("trips.parquet"), &columns, persons.len(), |column, range| match column {
        0 => numbers(range),
        1 => texts(range.map(|_| MONTH)),
        2 => texts(persons[range].iter().map(|cell| home_and_work(*cell, census).0)),
        3 => Arc::new(trips[range].iter().map(|trip| Some(DAY_S + 60 * i64::from(trip.minute))).collect::<TimestampSecondArray>()),
        _ => {
            let tenths = trips[range].iter().map(|trip| Some(i128::from(trip.tenths))).collect::<Decimal128Array>();
            // Four digits are enough for every distance.
            Arc::new(tenths.with_data_type(arrow::datatypes::DataType::Decimal128(4, 1)))
        }
    })?;
    Ok(r#"# One Parquet file whose columns are almost those of the data contract.
contract = "trips"

[[source]]
name = "trips"
format = "parquet"
path = "trips.parquet"

[[table]]
name = "trip"
sql = """
SELECT subscriber AS subscriber_id, month AS ref_month, home_nis AS home_arr, left_home AS departure, km
FROM trips
"""
"#
    .to_owned())
}

/// Operator 2: one CSV file; `12,5` is a distance.
pub(super) fn csv_form(folder: &Path, persons: &Persons, trips: &[Trip], census: &Census) -> anyhow::Result<String> {
    let mut file = BufWriter::new(File::create(folder.join("trips.csv"))?);
    writeln!(file, "msisdn_hash;zone_night;day;time;distance_km")?;
    for (row, (cell, Trip { minute, tenths })) in persons.iter().zip(trips).enumerate() {
        let home = &home_and_work(*cell, census).0[..2];
        writeln!(file, "S{row:07};BE-{home};11/01/2011;{:02}:{:02};{},{}", minute / 60, minute % 60, tenths / 10, tenths % 10)?;
    }
    file.flush()?;
    Ok(r#"# An export of another system: CSV with semicolons, dates as dd/mm/yyyy, decimal commas.
contract = "trips"

[[source]]
name = "trips"
format = "csv"
path = "trips.csv"
delimiter = ";"

[[table]]
name = "trip"
sql = """
SELECT msisdn_hash AS subscriber_id,
       substr(day, 7, 4) || '-' || substr(day, 4, 2) AS ref_month,
       substr(zone_night, 4, 2) || '000' AS home_arr,
       substr(day, 7, 4) || '-' || substr(day, 4, 2) || '-' || substr(day, 1, 2) || ' ' || time || ':00' AS departure,
       replace(distance_km, ',', '.') AS km
FROM trips
"""
"#
    .to_owned())
}

/// Operator 3: trips in metres, joined with the customers' homes.
pub(super) fn joined_form(folder: &Path, trips: &[Trip]) -> anyhow::Result<String> {
    let mut file = BufWriter::new(File::create(folder.join("trips.csv"))?);
    writeln!(file, "customer_no,departed,metres")?;
    for (row, Trip { minute, tenths }) in trips.iter().enumerate() {
        writeln!(file, "{},2011-01-11T{:02}:{:02}:00,{}", row + 500, minute / 60, minute % 60, u32::from(*tenths) * 100)?;
    }
    file.flush()?;
    Ok(r#"# Two systems that share the customer's number.
contract = "trips"

[[source]]
name = "customers"
format = "parquet"
path = "customers.parquet"

[[source]]
name = "trips"
format = "csv"
path = "trips.csv"

[[table]]
name = "trip"
sql = """
SELECT c.customer_no AS subscriber_id,
       substr(t.departed, 1, 7) AS ref_month,
       c.nis_domicile AS home_arr,
       t.departed AS departure,
       CAST(t.metres AS DECIMAL(9, 1)) / 1000 AS km
FROM customers c
JOIN trips t ON c.customer_no = t.customer_no
"""
"#
    .to_owned())
}
