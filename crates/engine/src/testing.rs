//! What the tests of this crate share: a small contract, plans over it, and files made of rows.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fmt::Write;
use std::num::NonZeroUsize;
use std::path::Path;

use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::ids::QueryId;
use commun_domain::plan::{
    Aggregate, CompareOp, Condition, Key, KeyKind, KeySource, Measured, Output, PLAN_VERSION, PrivatePlan, Relation, Value,
};
use commun_domain::{Document, Hash32};

use crate::{Binding, Cells, DataFusionEngine, Engine, EngineError, EngineOptions};

pub(crate) const LINF: u32 = 3;

pub(crate) const CONTRACT: &str = r#"
name = "mobility"
version = 1
max_groups_per_person = 4
max_holders_per_person = 2
titles = { en = "t", fr = "t", nl = "t", de = "t" }
unit = { kind = "person", column = "person" }
partition = { column = "month", calendar = "month", first = "2011-01", last = "2011-12" }
budget = { domain = "trips", rho_cap = "1", delta_conv = "1e-9" }
[[table]]
name = "trips"
titles = { en = "t", fr = "t", nl = "t", de = "t" }
max_rows_per_person = 3
max_rows = 1000000
[[table.column]]
name = "home"
type = "code"
list = "area"
version = "1"
titles = { en = "t", fr = "t", nl = "t", de = "t" }
[[table.column]]
name = "km"
type = "number"
lo = -50
hi = 1000
scale = 1
titles = { en = "t", fr = "t", nl = "t", de = "t" }
[[table.column]]
name = "train"
type = "boolean"
titles = { en = "t", fr = "t", nl = "t", de = "t" }
[[code_list]]
name = "area"
version = "1"
valid_from = "2011-01"
valid_to = "2011-12"
codes = [
  { code = "A", titles = { en = "t", fr = "t", nl = "t", de = "t" } },
  { code = "B", titles = { en = "t", fr = "t", nl = "t", de = "t" } },
  { code = "C", titles = { en = "t", fr = "t", nl = "t", de = "t" } },
]
"#;

pub(crate) fn contract() -> DataContract {
    parse_contract(CONTRACT).unwrap()
}

pub(crate) fn query_id(byte: u8) -> QueryId {
    QueryId::from_bytes([byte; 32])
}

/// A row of `trips`, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) person: String,
    pub(crate) month: String,
    pub(crate) home: String,
    pub(crate) km: String,
    pub(crate) train: String,
}

impl Row {
    pub(crate) fn new(person: &str, month: &str, home: &str, km: &str, train: &str) -> Self {
        let own = str::to_owned;
        Self { person: own(person), month: own(month), home: own(home), km: own(km), train: own(train) }
    }
}

pub(crate) const DIRECT: &str = "SELECT person, month, home, km, train FROM raw";

pub(crate) fn binding(format: &str, file: &str, sql: &str) -> Binding {
    let source = format!("[[source]]\nname = \"raw\"\nformat = \"{format}\"\npath = \"{file}\"\n");
    Binding::parse(&format!("contract = \"mobility\"\n{source}[[table]]\nname = \"trips\"\nsql = '''{sql}'''\n")).unwrap()
}

pub(crate) fn csv(rows: &[Row]) -> String {
    let mut text = "person,month,home,km,train\n".to_owned();
    for Row { person, month, home, km, train } in rows {
        writeln!(text, "{person},{month},{home},{km},{train}").unwrap();
    }
    text
}

fn column(name: &str) -> Value {
    Value::column(name)
}

pub(crate) fn key(name: &str) -> Key {
    let values = |labels: &[&str], kind| KeySource::Values {
        value: column(name),
        values: (0..).take(labels.len()).collect(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        kind,
    };
    let source = match name {
        "home" => values(&["A", "B", "C"], KeyKind::Text),
        "train" => values(&["false", "true"], KeyKind::Boolean),
        _ => KeySource::Partition,
    };
    Key { name: name.to_owned(), source }
}

/// `km`, in tenths.
pub(crate) fn km() -> Measured {
    Measured { value: column("km"), lo: -50, hi: 1000, scale: 1 }
}

pub(crate) fn output(name: &str, aggregate: Aggregate, condition: Option<Condition>) -> Output {
    Output { name: name.to_owned(), aggregate, condition, share_num: 1, share_den: 1 }
}

/// Counts of rows and persons and a sum, keyed by home, train and the partition where wanted.
pub(crate) fn plan(contract: &DataContract, months: &[&str], keys: &[&str], max_groups: u32) -> PrivatePlan {
    PrivatePlan {
        version: PLAN_VERSION,
        contract: Hash32::from_bytes(*contract.hash().as_bytes()),
        contract_name: contract.name.clone(),
        budget_domain: contract.budget_domain.clone(),
        relation: Relation::Table("trips".to_owned()),
        unit_column: contract.unit_column.clone(),
        partition_column: contract.partition_column.clone(),
        calendar: contract.calendar,
        partitions: months.iter().map(|month| contract.calendar.parse(month).unwrap()).collect(),
        filter: None,
        keys: keys.iter().map(|name| key(name)).collect(),
        max_groups_per_person: max_groups,
        clipped: None,
        outputs: vec![
            output("n", Aggregate::CountRows { max_rows_per_person: LINF }, None),
            output("persons", Aggregate::CountUnits, None),
            output("km", Aggregate::Sum { measured: km(), max_rows_per_person: LINF }, None),
        ],
        grouping_sets: vec![],
        columns: vec![],
        having: None,
        order: vec![],
        offset: 0,
        limit: None,
    }
}

/// The same with every kind of output, some of them with a condition.
pub(crate) fn rich_plan(contract: &DataContract, months: &[&str], keys: &[&str], max_groups: u32) -> PrivatePlan {
    let mut plan = plan(contract, months, keys, max_groups);
    let by_train = Condition::Compare { op: CompareOp::Eq, left: Box::new(column("train")), right: Box::new(Value::Constant(1)) };
    let max_rows_per_person = LINF;
    plan.outputs.extend([
        output("n train", Aggregate::CountRows { max_rows_per_person }, Some(by_train.clone())),
        output("persons train", Aggregate::CountUnits, Some(by_train.clone())),
        output("centred", Aggregate::CentredSum { measured: km(), max_rows_per_person }, None),
        output("squares", Aggregate::CentredSquares { measured: km(), max_rows_per_person }, None),
        output("squares train", Aggregate::CentredSquares { measured: km(), max_rows_per_person }, Some(by_train.clone())),
        output("bins", Aggregate::Histogram { measured: km(), bins_log2: 3, max_rows_per_person }, None),
        output("bins train", Aggregate::Histogram { measured: km(), bins_log2: 1, max_rows_per_person: 1 }, Some(by_train)),
    ]);
    plan
}

pub(crate) fn options(threads: usize, batch_rows: usize) -> EngineOptions {
    let (threads, batch_rows) = (NonZeroUsize::new(threads).unwrap(), NonZeroUsize::new(batch_rows).unwrap());
    EngineOptions { threads, batch_rows, ..EngineOptions::default() }
}

pub(crate) async fn evaluate(
    binding: Binding,
    folder: &Path,
    options: EngineOptions,
    plan: &PrivatePlan,
    query: u8,
) -> Result<Cells, EngineError> {
    DataFusionEngine::new(binding, folder).with_options(options).evaluate(plan, &query_id(query), &contract()).await
}

/// The exact answer over rows in a CSV file.
pub(crate) async fn over_csv(rows: &[Row], plan: &PrivatePlan, options: EngineOptions) -> Cells {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("raw.csv"), csv(rows)).unwrap();
    evaluate(binding("csv", "raw.csv", DIRECT), folder.path(), options, plan, 1).await.unwrap()
}
