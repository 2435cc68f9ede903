//! `commun-agent check`: how a holder's data meet a data contract. Local only: the report quotes data and exact counts, and must not leave
//! the holder's machine.
//!
//! It reads every row once, as a query would, and changes nothing.

mod report;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use commun_domain::contract::{DataContract, Table};
use commun_domain::plan::open::is_open_name;
use futures::StreamExt;
use tokio::task::JoinSet;

pub use report::{CheckReport, ColumnReport, TableReport};

use crate::binding::Binding;
use crate::engine::{bound_sql, check_type, column_faults, stream, unlike_units};
use crate::objections::Objectors;
use crate::read::{Codes, Reading, Texts, UnitKind, Units, booleans, exact_numbers, is_unit, seconds, unpacked};
use crate::{EngineError, EngineOptions, source};

/// Different unknown codes or partitions that are told apart in a column; later ones are counted together.
const MAX_EXAMPLES_TRACKED: usize = 10_000;

/// Checks every table of the contract. Only faults that keep it from reading at all are errors; the rest stands in the report.
pub async fn check(binding: &Binding, folder: &Path, contract: &DataContract) -> Result<CheckReport, EngineError> {
    let context = source::open(binding, folder, &EngineOptions::default()).await?;
    let mut tables = Vec::new();
    let mut kind: Option<(UnitKind, &str)> = None;
    for table in &contract.tables {
        let mut report = TableReport::new(&table.name, table.max_rows, table.max_rows_per_person);
        match bound_sql(binding, contract, &table.name) {
            Ok(sql) => {
                let found = check_table(&context, (binding, folder), contract, table, &sql, &mut report).await?;
                // Tables are joined and put together by the unit, whatever a question asks.
                if let Some(found) = found {
                    let (known, other) = *kind.get_or_insert((found, table.name.as_str()));
                    match known.with(found) {
                        Some(both) => kind = Some((both, other)),
                        None => report.faults.push(unlike_units(contract, other, &table.name).to_string()),
                    }
                }
            }
            Err(error) => report.faults.push(error.to_string()),
        }
        tables.push(report);
    }
    Ok(CheckReport { contract: format!("{} version {}", contract.name, contract.version), tables })
}

/// The kind of the table's units, if they can be read.
async fn check_table(
    context: &datafusion::prelude::SessionContext,
    (binding, folder): (&Binding, &Path),
    contract: &DataContract,
    table: &Table,
    sql: &str,
    report: &mut TableReport,
) -> Result<Option<UnitKind>, EngineError> {
    let bound = match source::bound_plan(context, &table.name, sql).await {
        Ok(bound) => bound,
        Err(error) => {
            report.faults.push(error.to_string());
            return Ok(None);
        }
    };
    report.faults.extend(column_faults(bound.schema().fields().iter().map(|field| field.name().as_str()), contract, &table.name));
    // The calendar decides about partitions: their texts are looked at as they are.
    let no_codes = || Reading::Code(Codes::new(std::iter::empty()));
    let mut columns = vec![
        Checked { name: contract.unit_column.clone(), reading: Reading::Unit },
        Checked { name: contract.partition_column.clone(), reading: no_codes() },
    ];
    columns.extend(table.columns.iter().map(|column| Checked {
        name: column.name.clone(),
        reading: Reading::of(&column.column_type, |list, version| contract.code_list(list, version)).unwrap_or_else(no_codes),
    }));
    columns.retain(|column| {
        let Ok(field) = bound.schema().field_with_unqualified_name(&column.name) else { return false };
        report.columns.push(ColumnReport::new(&column.name, field.data_type(), &column.reading));
        match check_type(&table.name, &column.name, field.data_type(), &column.reading) {
            Ok(()) => true,
            Err(error) => {
                report.faults.push(error.to_string());
                false
            }
        }
    });
    report.columns.retain(|reported| columns.iter().any(|column| column.name == reported.name));
    if columns.len() < 2 || columns[0].name != contract.unit_column || columns[1].name != contract.partition_column {
        // Nothing can be said of rows without unit and partition; the faults say which is missing.
        return Ok(None);
    }
    let kind =
        bound.schema().field_with_unqualified_name(&contract.unit_column).map_or(UnitKind::Text, |field| UnitKind::of(field.data_type()));
    let objectors = match Objectors::read(binding.objections.as_ref(), folder, &EngineOptions::default(), kind, None).await {
        Ok(objectors) => objectors,
        Err(error) => {
            report.faults.push(error.to_string());
            return Ok(Some(kind));
        }
    };
    report.objections = binding.objections.is_some().then(|| u64::try_from(objectors.len()).unwrap_or(u64::MAX));
    let streams = match stream(context, bound, columns.iter().map(|column| column.name.as_str())).await {
        Ok(streams) => streams,
        Err(message) => {
            report.faults.push(message);
            return Ok(Some(kind));
        }
    };
    let shared = Arc::new(Shared { columns, contract: contract.clone(), hasher: RandomState::new(), kind, objectors });
    let mut readers = JoinSet::new();
    for mut stream in streams {
        let shared = Arc::clone(&shared);
        readers.spawn(async move {
            let mut seen = Seen::new(shared.columns.len());
            while let Some(batch) = stream.next().await {
                shared.look(&batch.map_err(EngineError::execution)?, &mut seen)?;
                tokio::task::yield_now().await;
            }
            Ok::<_, EngineError>(seen)
        });
    }
    let mut seen = Seen::new(shared.columns.len());
    while let Some(reader) = readers.join_next().await {
        seen.merge(reader.map_err(EngineError::execution)??);
    }
    seen.write(report);
    Ok(Some(kind))
}

struct Checked {
    name: String,
    reading: Reading,
}

struct Shared {
    columns: Vec<Checked>,
    contract: DataContract,
    hasher: RandomState,
    kind: UnitKind,
    objectors: Objectors,
}

/// Texts that do not belong, counted.
#[derive(Default)]
struct Strangers {
    rows: u64,
    examples: HashMap<String, u64>,
}

impl Strangers {
    fn add(&mut self, text: &str, rows: u64) {
        self.rows += rows;
        if let Some(count) = self.examples.get_mut(text) {
            *count += rows;
        } else if self.examples.len() < MAX_EXAMPLES_TRACKED {
            self.examples.insert(text.to_owned(), rows);
        }
    }

    fn merge(&mut self, other: Self) {
        let counted: u64 = other.examples.values().sum();
        for (text, rows) in other.examples {
            self.add(&text, rows);
        }
        self.rows += other.rows - counted;
    }
}

#[derive(Default)]
struct SeenColumn {
    nulls: u64,
    unreadable: u64,
    out_of_range: u64,
    strangers: Strangers,
}

struct Seen {
    left_out: u64,
    rows: u64,
    null_units: u64,
    partitions: HashMap<String, u64>,
    columns: Vec<SeenColumn>,
    /// A hash of each row's unit and partition: enough to count rows a person for a report.
    persons: Vec<u64>,
}

impl Shared {
    fn look(&self, batch: &RecordBatch, seen: &mut Seen) -> Result<(), EngineError> {
        let others = self.objectors.others(&Units::read(batch.column(0), self.kind), batch.num_rows());
        let kept = others.map(|others| filter_record_batch(batch, &BooleanArray::new(others, None)));
        let kept = kept.transpose().map_err(EngineError::execution)?;
        seen.left_out += u64::try_from(batch.num_rows() - kept.as_ref().unwrap_or(batch).num_rows()).unwrap_or(u64::MAX);
        self.look_at(kept.as_ref().unwrap_or(batch), seen);
        Ok(())
    }

    fn look_at(&self, batch: &RecordBatch, seen: &mut Seen) {
        let rows = batch.num_rows();
        seen.rows += u64::try_from(rows).unwrap_or(u64::MAX);
        let (units, partitions) = (Texts::read(batch.column(0)), Texts::read(batch.column(1)));
        for row in 0..rows {
            let unit = units.get(row).filter(|unit| is_unit(unit));
            seen.null_units += u64::from(unit.is_none());
            let Some(partition) = partitions.get(row) else {
                seen.columns[1].nulls += 1;
                continue;
            };
            let period = self.contract.calendar.parse(partition);
            let within = period.is_some_and(|period| (self.contract.first_period..=self.contract.last_period).contains(&period));
            if !within {
                seen.columns[1].strangers.add(partition, 1);
                continue;
            }
            if let Some(count) = seen.partitions.get_mut(partition) {
                *count += 1;
            } else {
                seen.partitions.insert(partition.to_owned(), 1);
            }
            if let Some(unit) = unit {
                seen.persons.push(self.hasher.hash_one((unit, partition)));
            }
        }
        for ((column, array), seen) in self.columns.iter().zip(batch.columns()).zip(&mut seen.columns).skip(2) {
            let null = |row: usize| array.is_null(row) || *array.data_type() == arrow::datatypes::DataType::Null;
            let nulls = (0..rows).filter(|row| null(*row)).count();
            seen.nulls += u64::try_from(nulls).unwrap_or(u64::MAX);
            match &column.reading {
                Reading::Unit => {}
                Reading::Code(codes) => {
                    let texts = Texts::read(array);
                    for text in (0..rows).filter_map(|row| texts.get(row)) {
                        if codes.place(text).is_none() {
                            seen.strangers.add(text, 1);
                        }
                    }
                }
                Reading::Open { max_bytes } => {
                    let texts = Texts::read(array);
                    let unreadable = (0..rows).filter_map(|row| texts.get(row)).filter(|text| !is_open_name(text, *max_bytes)).count();
                    seen.unreadable += u64::try_from(unreadable).unwrap_or(u64::MAX);
                }
                Reading::Time { lo, hi } => {
                    // As values: a dictionary or runs are unpacked first.
                    let times = seconds(&unpacked(array));
                    for row in (0..rows).filter(|row| !null(*row)) {
                        match times.get(row) {
                            None => seen.unreadable += 1,
                            Some(time) => seen.out_of_range += u64::from(!(*lo..=*hi).contains(&time)),
                        }
                    }
                }
                Reading::Number { lo, hi, scale } => {
                    for (row, number) in exact_numbers(array, *scale).into_iter().enumerate() {
                        match number {
                            None if !null(row) => seen.unreadable += 1,
                            Some(number) if number < i128::from(*lo) || number > i128::from(*hi) => seen.out_of_range += 1,
                            _ => {}
                        }
                    }
                }
                Reading::Boolean => {
                    let read = booleans(array);
                    let unreadable = (0..rows).filter(|row| read.is_null(*row) && !null(*row)).count();
                    seen.unreadable += u64::try_from(unreadable).unwrap_or(u64::MAX);
                }
            }
        }
    }
}

impl Seen {
    fn new(columns: usize) -> Self {
        let columns = (0..columns).map(|_| SeenColumn::default()).collect();
        Self { left_out: 0, rows: 0, null_units: 0, partitions: HashMap::new(), columns, persons: Vec::new() }
    }

    fn merge(&mut self, other: Self) {
        self.left_out += other.left_out;
        self.rows += other.rows;
        self.null_units += other.null_units;
        for (partition, rows) in other.partitions {
            *self.partitions.entry(partition).or_default() += rows;
        }
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.nulls += theirs.nulls;
            mine.unreadable += theirs.unreadable;
            mine.out_of_range += theirs.out_of_range;
            mine.strangers.merge(theirs.strangers);
        }
        self.persons.extend(other.persons);
    }

    fn write(mut self, report: &mut TableReport) {
        report.left_out = self.left_out;
        report.rows = self.rows;
        report.null_units = self.null_units;
        report.rows_by_partition = self.partitions.into_iter().collect();
        for (seen, column) in self.columns.into_iter().zip(&mut report.columns) {
            column.nulls = seen.nulls;
            column.unreadable = seen.unreadable;
            column.out_of_range = seen.out_of_range;
            column.unknown = seen.strangers.rows;
            let mut examples: Vec<(String, u64)> = seen.strangers.examples.into_iter().collect();
            examples.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            examples.truncate(report::EXAMPLES);
            column.examples = examples;
        }
        self.persons.sort_unstable();
        let limit = usize::try_from(report.max_rows_per_person).unwrap_or(usize::MAX);
        for rows in self.persons.chunk_by(|a, b| a == b) {
            report.persons += 1;
            report.persons_above += u64::from(rows.len() > limit);
            report.most_rows = report.most_rows.max(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        }
    }
}

#[cfg(test)]
mod tests;
