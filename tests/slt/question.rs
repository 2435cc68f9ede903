//! Commun as a database of sqllogictest: each text is compiled, run in process below the noise, and judged by `PostgreSQL`.
//!
//! Two judgements: the engine's exact cells against the plan's meaning ([`crate::oracle`]), and the plan against the question's own text
//! ([`crate::written`]). `SET` is the tests' own and holds for the next question only: `SET commun.max_groups_per_person = 2`;
//! `SET oracle = groups` where L0 binds, so that another query must keep other groups; and
//! `SET text = differs` where `PostgreSQL` understands the text otherwise, or not at all. Each is refused where it is not needed.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use commun_domain::Refusal;
use commun_domain::ids::QueryId;
use commun_domain::plan::{Aggregate, AnswerColumn, AnswerValue, Estimate, Output, PrivatePlan};
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::units::Rho;
use commun_engine::{DataFusionEngine, Engine, EngineError, EngineOptions};
use sqllogictest::{DB, DBOutput, DefaultColumnType};
use tokio::runtime::Runtime;

use crate::dataset::Dataset;
use crate::oracle::{self, Grid, Leaves, scale_of};
use crate::postgres::Postgres;
use crate::written;

/// Why a text has no answer, as the case files write it.
#[derive(Debug)]
pub(crate) enum Fault {
    /// `CODE LINE:COLUMN: message | hint: ...`; a dash stands for "no place".
    Refused(Refusal),
    /// The engine and `PostgreSQL` give other cells.
    Disagree(String),
    /// Something else broke.
    Broken(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => {
                let place = refusal.position.map_or("-".to_owned(), |at| format!("{}:{}", at.line, at.column));
                write!(f, "{} {place}: {} | hint: {}", refusal.code, refusal.message, refusal.hint)
            }
            Self::Disagree(what) => write!(f, "DISAGREEMENT: {what}"),
            Self::Broken(what) => write!(f, "BROKEN: {what}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Broken(format!("{error:#}"))
    }
}

/// What the settings say about the next question.
#[derive(Clone, Copy, Debug)]
struct Settings {
    max_groups_per_person: u32,
    groups_bind: bool,
    text_differs: bool,
}

const DEFAULTS: Settings = Settings { max_groups_per_person: 1, groups_bind: false, text_differs: false };

/// The dataset that is also bounded in little memory, through a file: its binding needs none for itself.
const SPILLING: &str = "payments";

/// So many bytes that every question about it goes to a file.
const LITTLE_MEMORY: usize = 60_000;

/// See the module.
pub(crate) struct Commun {
    dataset: Arc<Dataset>,
    postgres: Arc<Postgres>,
    runtime: Arc<Runtime>,
    /// Counts answers in which a bound has cut something.
    binding: Arc<AtomicUsize>,
    settings: Settings,
}

impl Commun {
    pub(crate) fn new(dataset: Arc<Dataset>, postgres: Arc<Postgres>, runtime: Arc<Runtime>, binding: Arc<AtomicUsize>) -> Self {
        Self { dataset, postgres, runtime, binding, settings: DEFAULTS }
    }

    /// Whether a text is one of the tests' own settings, and so no case.
    pub(crate) fn is_setting(sql: &str) -> bool {
        ["SET commun.", "SET oracle", "SET text"].iter().any(|setting| sql.starts_with(setting))
    }

    fn set(&mut self, sql: &str) -> Result<(), Fault> {
        let unknown = || Fault::Broken(format!("no such setting: {sql}"));
        let (name, value) = sql.trim_start_matches("SET ").split_once('=').ok_or_else(unknown)?;
        match (name.trim(), value.trim()) {
            ("commun.max_groups_per_person", value) => self.settings.max_groups_per_person = value.parse().map_err(|_| unknown())?,
            ("oracle", "groups") => self.settings.groups_bind = true,
            ("text", "differs") => self.settings.text_differs = true,
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// The plan where more rows of a person count than anybody has: what a subquery folds is bounded in the plan's relation.
    fn wide(&self, sql: &str, settings: &QuerySettings) -> Result<PrivatePlan, Fault> {
        let mut contract = self.dataset.contract.clone();
        contract.tables.iter_mut().for_each(|table| table.max_rows_per_person = 40);
        commun_sql::compile(sql, &contract, settings).map_err(Fault::Refused)
    }

    fn ask(&self, sql: &str, with: Settings) -> Result<(PrivatePlan, Grid), Fault> {
        let price = PriceRequest::Rho(Rho::from_units(1 << 34));
        let settings = QuerySettings { price, max_groups_per_person: with.max_groups_per_person, intervals: true, clipped: false };
        let plan = commun_sql::compile(sql, &self.dataset.contract, &settings).map_err(Fault::Refused)?;
        let cells = self.evaluate(&plan, 1, EngineOptions::default())?;
        let one = NonZeroUsize::MIN;
        let small = EngineOptions { threads: one, batch_rows: one.saturating_add(6), ..EngineOptions::default() };
        let tight = EngineOptions { memory_bytes: NonZeroUsize::new(LITTLE_MEMORY), ..EngineOptions::default() };
        let spills = self.dataset.name == SPILLING && !plan.keys.is_empty();
        if self.evaluate(&plan, 1, small.clone())? != cells || spills && self.evaluate(&plan, 1, tight)? != cells {
            return Err(Fault::Disagree("the cells depend on threads, batches or memory".to_owned()));
        }
        let groups = oracle::groups(&plan, &self.dataset, &self.postgres)?;
        let bounded = groups.bounded(&plan, &query(1))?;
        let binds = bounded.groups_cut;
        compare(&plan, &cells, &bounded.cells)?;
        match (with.groups_bind, binds) {
            (true, false) => return Err(Fault::Disagree("L0 does not bind here: remove SET oracle = groups".to_owned())),
            (false, true) => return Err(Fault::Disagree("L0 binds here: write SET oracle = groups".to_owned())),
            (false, false) => {}
            (true, true) => {
                let other = self.evaluate(&plan, 2, small)?;
                compare(&plan, &other, &groups.bounded(&plan, &query(2))?.cells)?;
                if other == cells {
                    return Err(Fault::Disagree("another query keeps the same groups of everyone".to_owned()));
                }
            }
        }
        self.binding.fetch_add(usize::from(binds || bounded.rows_cut), Ordering::Relaxed);
        for (output, ours) in plan.outputs.iter().zip(&cells) {
            if let Some(leaves) = oracle::leaves(&plan, output, &self.dataset, &self.postgres)? {
                compare_leaves(output, ours, &leaves, binds)?;
            }
        }
        let judged = if plan.relation.is_row_by_row() { plan.clone() } else { self.wide(sql, &settings)? };
        match (written::difference(sql, &judged, &self.dataset, &self.postgres)?, with.text_differs) {
            (Some(what), false) => Err(Fault::Disagree(format!("the plan is not what the text says: {what}"))),
            (None, true) => Err(Fault::Disagree("the text does not differ: remove SET text = differs".to_owned())),
            _ => Ok((plan, cells)),
        }
    }

    fn evaluate(&self, plan: &PrivatePlan, query: u8, options: EngineOptions) -> Result<Grid, Fault> {
        let engine = DataFusionEngine::new(self.dataset.binding.clone(), self.dataset.folder.path()).with_options(options);
        let cells = self.runtime.block_on(engine.evaluate(plan, &self::query(query), &self.dataset.contract));
        cells.map(|cells| cells.outputs).map_err(|error| {
            // Rows of tests may be quoted.
            let detail = if let EngineError::Execution { detail } = &error { detail.expose_locally() } else { "" };
            Fault::Broken(format!("{error}\n{error:?}\n{detail}"))
        })
    }
}

fn query(number: u8) -> QueryId {
    QueryId::from_bytes([number; 32])
}

impl DB for Commun {
    type Error = Fault;
    type ColumnType = DefaultColumnType;

    /// What `skipif` names: a known fault stands in its file as it ought to be answered, and is counted apart.
    fn engine_name(&self) -> &'static str {
        "commun"
    }

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Fault> {
        if Self::is_setting(sql) {
            return self.set(sql).map(|()| DBOutput::StatementComplete(0));
        }
        let settings = std::mem::replace(&mut self.settings, DEFAULTS);
        let (plan, cells) = self.ask(sql, settings)?;
        Ok(DBOutput::Rows { types: types(&plan), rows: rows(&plan, &cells) })
    }
}

/// The numbers that the judge knows: of a histogram the root of each cell, once every node is found to be the sum of its children.
fn judged(output: &Output, ours: &[i128]) -> Result<Vec<i128>, Fault> {
    let Aggregate::Histogram { .. } = output.aggregate else { return Ok(ours.to_vec()) };
    let width = usize::try_from(output.aggregate.width()).unwrap_or(usize::MAX);
    for tree in ours.chunks(width) {
        for node in 0..width / 2 {
            if tree[node] != tree[2 * node + 1] + tree[2 * node + 2] {
                return Err(Fault::Disagree(format!("{}: node {node} is not the sum of its children", output.name)));
            }
        }
    }
    Ok(ours.iter().step_by(width).copied().collect())
}

/// The bins of a histogram: exactly the judge's, or not more than those where a bound binds.
fn compare_leaves(output: &Output, ours: &[i128], all: &Leaves, groups_bind: bool) -> Result<(), Fault> {
    let Aggregate::Histogram { max_rows_per_person, .. } = output.aggregate else { return Ok(()) };
    let exact = !groups_bind && all.most_values <= i128::from(max_rows_per_person);
    let width = usize::try_from(output.aggregate.width()).unwrap_or(usize::MAX);
    for (cell, (tree, theirs)) in ours.chunks(width).zip(&all.cells).enumerate() {
        let ours = &tree[width / 2..];
        let wrong = ours.iter().zip(theirs).position(|(ours, theirs)| if exact { ours != theirs } else { !(0..=*theirs).contains(ours) });
        if let Some(bin) = wrong {
            let (ours, theirs) = (ours[bin], theirs[bin]);
            return Err(Fault::Disagree(format!("{}, cell {cell}, bin {bin}: the engine has {ours}, PostgreSQL {theirs}", output.name)));
        }
    }
    Ok(())
}

/// The first cell in which two answers differ.
fn compare(plan: &PrivatePlan, engine: &Grid, judge: &Grid) -> Result<(), Fault> {
    for ((output, ours), theirs) in plan.outputs.iter().zip(engine).zip(judge) {
        let ours = judged(output, ours)?;
        if let Some(cell) = (0..ours.len().max(theirs.len())).find(|cell| ours.get(*cell) != theirs.get(*cell)) {
            let (ours, theirs) = (ours.get(cell), theirs.get(cell));
            return Err(Fault::Disagree(format!("{}, cell {cell}: the engine has {ours:?}, PostgreSQL {theirs:?}", output.name)));
        }
    }
    Ok(())
}

fn types(plan: &PrivatePlan) -> Vec<DefaultColumnType> {
    let type_of = |column: &AnswerColumn| match shown(column) {
        Some(output) if scale_of(&plan.outputs[output].aggregate) > 0 => DefaultColumnType::FloatingPoint,
        Some(_) => DefaultColumnType::Integer,
        None => DefaultColumnType::Text,
    };
    plan.columns.iter().map(type_of).collect()
}

/// The output that a column shows as it is.
fn shown(column: &AnswerColumn) -> Option<usize> {
    if let AnswerValue::Estimate(Estimate::Output(output)) = column.value { Some(usize::from(output)) } else { None }
}

/// The answer before noise, in grid order. What is computed from outputs stands as `computed`: its outputs are judged, not its arithmetic.
fn rows(plan: &PrivatePlan, cells: &Grid) -> Vec<Vec<String>> {
    let keys: Vec<Vec<String>> = plan.keys.iter().map(|key| key.values(plan)).collect();
    let value = |column: &AnswerColumn, cell: usize| match (&column.value, shown(column)) {
        (AnswerValue::Key(key), _) => {
            let key = usize::from(*key);
            let after: usize = keys[key + 1..].iter().map(Vec::len).product();
            keys[key][cell / after % keys[key].len()].clone()
        }
        (_, Some(output)) => decimal(cells[output][cell], scale_of(&plan.outputs[output].aggregate)),
        (_, None) => "computed".to_owned(),
    };
    let count = usize::try_from(plan.cells().unwrap_or(0)).unwrap_or(0);
    (0..count).map(|cell| plan.columns.iter().map(|column| value(column, cell)).collect()).collect()
}

fn decimal(units: i128, scale: u8) -> String {
    let width = usize::from(scale) + 1;
    let digits = format!("{:0>width$}", units.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let point = if scale > 0 { "." } else { "" };
    format!("{}{whole}{point}{fraction}", if units < 0 { "-" } else { "" })
}
