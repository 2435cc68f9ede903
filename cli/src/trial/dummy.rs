//! Rows made up from a data contract alone: every column uniform over its declared values, a few NULLs, some persons with many rows.
//!
//! The same contract and question always give the same rows, so that examples are repeatable; only the noise differs.

use std::path::Path;

use commun_domain::contract::{ColumnType, DataContract, Table};
use commun_domain::plan::{PrivatePlan, time};

use super::Files;
use crate::error::CliError;

/// Different rare names of open text.
const RARE_NAMES: u64 = 500;

/// One value in so many is NULL.
const NULL_IN: u64 = 50;

/// `SplitMix64` (Steele, Lea and Flood 2014): enough for rows that mean nothing.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of `count` numbers from 0; the slight unevenness is of no matter here.
    fn below(&mut self, count: u64) -> u64 {
        self.next() % count.max(1)
    }
}

/// Writes the rows of the question's tables as CSV into a folder.
pub(super) fn write(contract: &DataContract, plan: &PrivatePlan, persons: u64, folder: &Path) -> Result<Files, CliError> {
    let mut files = Files::new();
    for (number, name) in plan.relation.tables().into_iter().enumerate() {
        let table = contract.table(name).ok_or_else(|| CliError::Document(format!("there is no table {name}")))?;
        let path = folder.join(format!("{number}.csv"));
        // Tables of one question have the same persons and other rows.
        write_table(contract, plan, table, persons, &mut Numbers(number as u64), &path)?;
        files.insert(name.to_owned(), path);
    }
    Ok(files)
}

fn write_table(
    contract: &DataContract,
    plan: &PrivatePlan,
    table: &Table,
    persons: u64,
    numbers: &mut Numbers,
    path: &Path,
) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_path(path).map_err(fault)?;
    let names = [contract.unit_column.as_str(), contract.partition_column.as_str()];
    writer.write_record(names.into_iter().chain(table.columns.iter().map(|column| column.name.as_str()))).map_err(fault)?;
    for period in &plan.partitions {
        let period = contract.calendar.format(*period);
        for person in 0..persons {
            for _ in 0..rows_of(table, numbers) {
                let mut record = vec![format!("person-{person}"), period.clone()];
                record.extend(table.columns.iter().map(|column| value(contract, &column.column_type, numbers)));
                writer.write_record(&record).map_err(fault)?;
            }
        }
    }
    writer.flush().map_err(CliError::Output)
}

fn fault(error: csv::Error) -> CliError {
    CliError::Output(std::io::Error::other(error))
}

/// Mostly one or two; one person in twenty has up to twice as many as count.
fn rows_of(table: &Table, numbers: &mut Numbers) -> u64 {
    let most = u64::from(table.max_rows_per_person).min(100);
    if numbers.below(20) == 0 { 1 + numbers.below(2 * most) } else { 1 + numbers.below(most.min(2)) }
}

/// A name: half of all are the first, a quarter the second, and so on; one in ten is rare.
fn name(max_bytes: u16, numbers: &mut Numbers) -> String {
    let number = if numbers.below(10) == 0 { 100 + numbers.below(RARE_NAMES) } else { u64::from(numbers.next().trailing_zeros()) };
    let long = format!("name {number}");
    if long.len() <= usize::from(max_bytes) { long } else { (number % 10).to_string() }
}

fn value(contract: &DataContract, column_type: &ColumnType, numbers: &mut Numbers) -> String {
    if numbers.below(NULL_IN) == 0 {
        return String::new();
    }
    match column_type {
        ColumnType::Code { list, version } => {
            let codes = contract.code_list(list, version).map_or(&[][..], |list| list.codes.as_slice());
            let place = usize::try_from(numbers.below(u64::try_from(codes.len()).unwrap_or(1))).unwrap_or(0);
            codes.get(place).map_or_else(String::new, |code| code.code.clone())
        }
        ColumnType::Number { lo, hi, scale } => {
            let units = i128::from(*lo) + i128::from(numbers.below(hi.abs_diff(*lo).saturating_add(1)));
            if *scale == 0 { units.to_string() } else { format!("{units}e-{scale}") }
        }
        ColumnType::Boolean => (numbers.below(2) == 0).to_string(),
        ColumnType::OpenText { max_bytes } => name(*max_bytes, numbers),
        ColumnType::Time { lo, hi } => {
            let offset = i64::try_from(numbers.below(hi.abs_diff(*lo).saturating_add(1))).unwrap_or(0);
            time::format(lo.saturating_add(offset), false)
        }
    }
}
