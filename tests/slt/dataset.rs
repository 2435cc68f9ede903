//! One dataset of the tests: its data contract and binding, the holder's files for the engine, and the same rows in `PostgreSQL`.
//!
//! In `PostgreSQL` the schema `source` holds the files' rows, `bound` what the binding should make of them (a view written by hand in
//! `postgres.sql`), and the schema of the contract's name the same with each number brought into its declared range: a question's own
//! text runs on that one.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use commun_domain::contract::{ColumnType, DataContract, Dimension, Table};
use commun_domain::contract_toml::parse_contract;
use commun_engine::Binding;
use parquet::arrow::ArrowWriter;
use tempfile::TempDir;

use crate::meaning::{FUNCTIONS, quoted};
use crate::postgres::Postgres;
use crate::rows::{Kind, Source, Value, sources};

/// See the module.
pub(crate) struct Dataset {
    /// The database in `PostgreSQL` and the folder under `datasets/`.
    pub(crate) name: String,
    pub(crate) contract: DataContract,
    pub(crate) binding: Binding,
    /// Where the holder's files lie.
    pub(crate) folder: TempDir,
}

impl Dataset {
    /// Writes the files and fills a database of the dataset's name.
    pub(crate) fn load(name: &str, datasets: &Path, postgres: &Postgres) -> Result<Self> {
        let read = |file: &str| {
            let path = datasets.join(name).join(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let contract = parse_contract(&read("contract.toml")?)?;
        let binding = Binding::parse(&read("binding.toml")?)?;
        let sources = sources(name).with_context(|| format!("rows.rs makes no rows for {name}"))?;
        let folder = tempfile::tempdir()?;
        let mut script = "CREATE SCHEMA source; CREATE SCHEMA bound;\n".to_owned();
        for source in &sources {
            source.write(folder.path())?;
            source.copy_into(&mut script)?;
        }
        script.push_str(&read("postgres.sql")?);
        write!(script, "CREATE SCHEMA {};", contract.name)?;
        script.push_str(FUNCTIONS);
        for table in &contract.tables {
            script.push_str(&declared_view(&contract, table));
        }
        for dimension in &contract.dimensions {
            script.push_str(&dimension_view(&contract, dimension));
        }
        postgres.run("postgres", &format!("CREATE DATABASE {name};"))?;
        postgres.run(name, &script)?;
        Ok(Self { name: name.to_owned(), contract, binding, folder })
    }
}

/// A number of `PostgreSQL` in units of 10^-scale: halves away from zero, within its range.
pub(crate) fn in_units(column: &str, lo: i64, hi: i64, scale: u8) -> String {
    // LEAST and GREATEST pass over NULL.
    format!("CASE WHEN {column} IS NOT NULL THEN LEAST(GREATEST(round({column} * 1e{scale}), {lo}), {hi}) END")
}

fn declared_view(contract: &DataContract, table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| match &column.column_type {
            // Whole numbers are integers, so that `/` cuts as the question's does.
            ColumnType::Number { lo, hi, scale: 0 } => format!("({})::bigint AS {}", in_units(&column.name, *lo, *hi, 0), column.name),
            ColumnType::Number { lo, hi, scale } => {
                format!("({}) / 1e{scale} AS {}", in_units(&column.name, *lo, *hi, *scale), column.name)
            }
            // What is no code of the list, or no time within its bounds, is NULL.
            ColumnType::Code { list, version } => {
                let codes = contract.code_list(list, version).map_or(&[][..], |list| list.codes.as_slice());
                let codes: Vec<String> = codes.iter().map(|code| quoted(&code.code)).collect();
                format!("CASE WHEN {name} IN ({}) THEN {name} END AS {name}", codes.join(", "), name = column.name)
            }
            ColumnType::Time { lo, hi } => {
                let name = &column.name;
                let seconds = format!("date_trunc('second', {name}::timestamp)");
                format!("CASE WHEN extract(epoch FROM {seconds}) BETWEEN {lo} AND {hi} THEN {seconds} END AS {name}")
            }
            ColumnType::Boolean | ColumnType::OpenText { .. } => column.name.clone(),
        })
        .collect();
    let (unit, partition) = (&contract.unit_column, &contract.partition_column);
    format!(
        "CREATE VIEW {}.{name} AS SELECT {unit}, {partition}, {} FROM bound.{name} WHERE {unit} IS NOT NULL;\n",
        contract.name,
        columns.join(", "),
        name = table.name
    )
}

fn dimension_view(contract: &DataContract, dimension: &Dimension) -> String {
    let columns: Vec<&str> =
        std::iter::once(dimension.key.as_str()).chain(dimension.attributes.iter().map(|attribute| attribute.name.as_str())).collect();
    let codes = contract.code_list(&dimension.list, &dimension.version).map_or(&[][..], |list| list.codes.as_slice());
    let rows: Vec<String> = codes
        .iter()
        .enumerate()
        .map(|(row, code)| {
            let values = dimension.attributes.iter().filter_map(|attribute| attribute.values.get(row));
            let texts: Vec<String> = std::iter::once(&code.code).chain(values).map(|text| quoted(text)).collect();
            format!("({})", texts.join(", "))
        })
        .collect();
    format!(
        "CREATE VIEW {}.{} AS SELECT * FROM (VALUES {}) AS v ({});\n",
        contract.name,
        dimension.name,
        rows.join(", "),
        columns.join(", ")
    )
}

impl Source {
    fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(self.file);
        if Path::new(self.file).extension().is_some_and(|ending| ending == "csv") {
            let mut writer = csv::WriterBuilder::new().delimiter(self.delimiter).from_path(&path)?;
            writer.write_record(self.columns.iter().map(|(name, _)| name))?;
            for row in &self.rows {
                writer.write_record(row.iter().map(|value| value.as_deref().unwrap_or("")))?;
            }
            return Ok(writer.flush()?);
        }
        let columns: Vec<(&str, ArrayRef, bool)> = self
            .columns
            .iter()
            .enumerate()
            .map(|(place, (name, kind))| Ok((*name, self.array(place, *kind)?, true)))
            .collect::<Result<_>>()?;
        let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&path)?, batch.schema(), None)?;
        writer.write(&batch)?;
        writer.close()?;
        Ok(())
    }

    fn array(&self, place: usize, kind: Kind) -> Result<ArrayRef> {
        let values = self.rows.iter().map(|row| row.get(place).and_then(Value::as_deref));
        Ok(match kind {
            Kind::Text => Arc::new(values.collect::<StringArray>()),
            Kind::Integer => Arc::new(values.map(|value| value.map(str::parse).transpose()).collect::<Result<Int64Array, _>>()?),
            Kind::Float => Arc::new(values.map(|value| value.map(str::parse).transpose()).collect::<Result<Float64Array, _>>()?),
            Kind::Boolean => Arc::new(values.map(|value| value.map(str::parse).transpose()).collect::<Result<BooleanArray, _>>()?),
        })
    }

    /// `COPY` in its text format.
    fn copy_into(&self, script: &mut String) -> Result<()> {
        let type_of = |kind| match kind {
            Kind::Text => "text",
            Kind::Integer => "bigint",
            Kind::Float => "double precision",
            Kind::Boolean => "boolean",
        };
        let columns: Vec<String> = self.columns.iter().map(|(name, kind)| format!("{name} {}", type_of(*kind))).collect();
        writeln!(script, "CREATE TABLE source.{} ({});\nCOPY source.{} FROM STDIN;", self.name, columns.join(", "), self.name)?;
        for row in &self.rows {
            let values: Vec<&str> = row.iter().map(|value| value.as_deref().unwrap_or("\\N")).collect();
            ensure!(values.iter().all(|value| !value.contains(['\t', '\n'])), "a generated value needs escaping");
            writeln!(script, "{}", values.join("\t"))?;
        }
        script.push_str("\\.\n");
        Ok(())
    }
}
