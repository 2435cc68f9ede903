//! Rows a second of the bounded aggregate: the demo's question over one Parquet file, one row a person, 1,849 cells, file in the page cache.
//! [`bounded`] has many rows a person and a database beside it.

pub(crate) mod bounded;
pub(crate) mod persons;
mod sql;
mod table;

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use commun_domain::contract_toml::parse_contract;
use commun_domain::ids::QueryId;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::{Document, Epsilon};
use commun_engine::{Binding, DataFusionEngine, Engine};
use parquet::arrow::ArrowWriter;

use crate::Figure;

pub(crate) const CONTRACT: &str = include_str!("../../deploy/demo/data/mobility.toml");
pub(crate) const SQL: &str = "SELECT home_arr, work_arr, COUNT(DISTINCT subscriber_id) AS commuters FROM mobility.commute \
     WHERE ref_month = '2011-01' GROUP BY home_arr, work_arr";
const BINDING: &str = r#"contract = "mobility"

[[source]]
name = "subscribers"
format = "parquet"
path = "subscribers.parquet"

[[table]]
name = "commute"
sql = "SELECT subscriber AS subscriber_id, month AS ref_month, home AS home_arr, work AS work_arr FROM subscribers"
"#;
const BATCH_ROWS: usize = 65_536;

/// One figure: the demo's question.
pub(crate) fn measure(rows: usize, repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let contract = parse_contract(CONTRACT)?;
    let codes: Vec<&str> = contract.code_lists[0].codes.iter().map(|code| code.code.as_str()).collect();
    let folder = tempfile::tempdir()?;
    let fields = [("subscriber", DataType::Int64), ("month", DataType::Utf8), ("home", DataType::Utf8), ("work", DataType::Utf8)];
    let schema = Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, false)).to_vec()));
    let mut writer = ArrowWriter::try_new(File::create(folder.path().join("subscribers.parquet"))?, schema.clone(), None)?;
    let mut start = 0;
    while start < rows {
        let range = start..rows.min(start + BATCH_ROWS);
        let text = |pick: &dyn Fn(usize) -> usize| -> ArrayRef {
            Arc::new(range.clone().map(|row| Some(codes[pick(row) % codes.len()])).collect::<StringArray>())
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(range.clone().map(|row| i64::try_from(row).unwrap_or(0)).collect::<Int64Array>()),
            Arc::new(range.clone().map(|_| Some("2011-01")).collect::<StringArray>()),
            text(&|row| row.wrapping_mul(2_654_435_761) >> 7),
            text(&|row| row.wrapping_mul(40_503) >> 3),
        ];
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
        start = range.end;
    }
    writer.close()?;

    let settings = QuerySettings {
        price: PriceRequest::Epsilon(Epsilon::from_units(1_000_000)),
        max_groups_per_person: 1,
        intervals: true,
        clipped: false,
    };
    let plan = commun_sql::compile(SQL, &contract, &settings)?;
    let engine = DataFusionEngine::new(Binding::parse(BINDING)?, folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut values = Vec::new();
    for number in 0..=repetitions {
        let id: QueryId = commun_domain::encoding::sha256(&plan.to_bytes()).into();
        let start = Instant::now();
        let cells = runtime.block_on(engine.evaluate(&plan, &id, &contract))?;
        let elapsed = start.elapsed().as_secs_f64();
        let counted: i128 = cells.outputs[0].iter().sum();
        ensure!(counted == i128::try_from(rows)?, "{counted} of {rows} persons were counted");
        // The first one reads the file into the page cache.
        if number > 0 {
            #[expect(clippy::cast_precision_loss, reason = "for display")]
            values.push(rows as f64 / elapsed / 1e6);
        }
    }
    Ok(vec![Figure::new(format!("engine, the demo's question over {rows} rows"), "million rows/s", values)])
}
