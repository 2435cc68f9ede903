//! From a plan to exact integer cells.
//!
//! [`Engine`] is a seam: [`DataFusionEngine`] reads a holder's files, simulations put fixed cells in its place. Exact cells never leave
//! the process; only what [`release`](mod@crate::release) makes of them does (P1).

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use commun_domain::contract::DataContract;
use commun_domain::ids::QueryId;
use commun_domain::plan::PrivatePlan;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::physical_plan::{ExecutionPlan, execute_stream, execute_stream_partitioned};
use datafusion::prelude::{Expr, SessionContext};
use futures::StreamExt;
use futures::future::BoxFuture;

use crate::binding::Binding;
use crate::bound::{Room, Shape, SortedRun, Totals};
use crate::error::EngineError;
use crate::lower::{Lowering, Needed};
use crate::objections::{self, Broken, Objectors};
use crate::physical::{self, BoundExec};
use crate::read::{Reading, UnitKind, readable};
use crate::work::{Outcome, Times, Work};
use crate::{source, total};

/// Exact totals in native units. Neither printable nor serialisable: they must not leave the process.
#[derive(Clone, PartialEq, Eq)]
pub struct Cells {
    /// Per output of the plan, its cells in grid order; then, where the plan asks for it, the number of clipped people: one, or one for each partition where that is a key.
    pub outputs: Vec<Vec<i128>>,
}

impl std::fmt::Debug for Cells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cells = self.outputs.first().map_or(0, Vec::len);
        write!(f, "Cells({} output(s) of {cells}, hidden)", self.outputs.len())
    }
}

/// How many different people stand behind each text, exactly. Neither printable nor serialisable: it must not leave the process.
#[derive(Clone, PartialEq, Eq)]
pub struct NameCounts {
    /// Per partition of the plan, texts that at least one person keeps and their people, each text once.
    pub partitions: Vec<Vec<(String, i128)>>,
}

impl std::fmt::Debug for NameCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NameCounts({} partition(s), hidden)", self.partitions.len())
    }
}

/// Computes the bounded exact aggregate of a plan.
pub trait Engine: Send + Sync {
    /// What can be known before anything is charged, without reading a row: whether there is a binding for this data contract, and whether
    /// its list of objections can be opened. Blocks for as long as opening a file takes.
    fn ready(&self, contract: &str) -> Result<(), EngineError>;

    /// Reads the holder's data. The caller has charged its ledger before (P8). The error never tells the requester anything but that
    /// there is no answer.
    fn evaluate<'a>(
        &'a self,
        plan: &'a PrivatePlan,
        query_id: &'a QueryId,
        contract: &'a DataContract,
    ) -> BoxFuture<'a, Result<Cells, EngineError>>;

    /// Counts the people behind each text of the plan's open group key, for the attempt that releases names. The same holds for it.
    fn names<'a>(
        &'a self,
        plan: &'a PrivatePlan,
        query_id: &'a QueryId,
        contract: &'a DataContract,
    ) -> BoxFuture<'a, Result<NameCounts, EngineError>>;
}

/// How the machine is used. None of it changes a result.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Threads that read and compute.
    pub threads: NonZeroUsize,
    /// Rows of one batch.
    pub batch_rows: NonZeroUsize,
    /// Most memory, in bytes. Half of it is for bounding, which goes to a file when it needs more; of that half a list of objections takes at most a half and
    /// different texts of an open group key a quarter, and more is a failure. Three eighths are for the binding's SQL, where a join that needs more fails, and the
    /// rest for batches on their way. `None` sets no limit, and nothing goes to a file.
    pub memory_bytes: Option<NonZeroUsize>,
    /// Folder for what does not fit the memory: unnamed files, encrypted with keys that no disk has seen.
    pub spill_folder: PathBuf,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let one = NonZeroUsize::MIN;
        Self {
            threads: std::thread::available_parallelism().unwrap_or(one),
            batch_rows: NonZeroUsize::new(8192).unwrap_or(one),
            memory_bytes: None,
            spill_folder: std::env::temp_dir(),
        }
    }
}

impl EngineOptions {
    /// Bytes for the binding's own SQL.
    pub(crate) fn sql_bytes(&self) -> Option<usize> {
        self.memory_bytes.map(|bytes| bytes.get() / 8 * 3)
    }

    /// Most bytes for the different texts of an open group key: a quarter of the half that bounding has.
    fn texts_bytes(&self) -> Option<usize> {
        self.memory_bytes.map(|bytes| bytes.get() / 8)
    }

    /// What bounding may use beside so many bytes: a list of objections, and texts of an open group key.
    fn room(&self, taken_bytes: usize) -> Room {
        let bytes = self.memory_bytes.map(|bytes| (bytes.get() / 2).saturating_sub(taken_bytes));
        Room { bytes, folder: self.spill_folder.clone(), threads: self.threads.get(), stopped: Arc::default() }
    }
}

/// The engine over a holder's files. [`Engine::ready`] opens the list of objections; nothing else is opened before [`Engine::evaluate`].
#[derive(Clone, Debug)]
pub struct DataFusionEngine {
    binding: Arc<Binding>,
    folder: PathBuf,
    options: EngineOptions,
    broken: Broken,
}

impl DataFusionEngine {
    /// `folder`: where relative paths of the binding begin.
    pub fn new(binding: Binding, folder: impl Into<PathBuf>) -> Self {
        Self { binding: Arc::new(binding), folder: folder.into(), options: EngineOptions::default(), broken: Broken::default() }
    }

    /// The same engine with other options.
    #[must_use]
    pub fn with_options(mut self, options: EngineOptions) -> Self {
        self.options = options;
        self
    }

    async fn objectors(&self, kind: UnitKind) -> Result<Objectors, EngineError> {
        let limit = self.options.room(0).bytes.map(|bytes| bytes / 2);
        let read = Objectors::read(self.binding.objections.as_ref(), &self.folder, &self.options, kind, limit).await;
        if let (Err(error), Some(list)) = (&read, &self.binding.objections) {
            self.broken.note(list, &self.folder, error);
        }
        read
    }

    /// [`Engine::evaluate`], and where the time went. For benchmarks.
    pub async fn evaluate_timed(
        &self,
        plan: &PrivatePlan,
        query_id: &QueryId,
        contract: &DataContract,
    ) -> Result<(Cells, Times), EngineError> {
        self.run(plan, query_id, contract).await.map(|(cells, _, times)| (cells, times))
    }

    /// The cells, how often the data were read for them, and where the time went.
    async fn run(&self, plan: &PrivatePlan, query_id: &QueryId, contract: &DataContract) -> Result<(Cells, u32, Times), EngineError> {
        if plan.open_key().is_some_and(|open| open.names.is_none()) {
            return Err(EngineError::Plan("the names of its open group key are not known yet".to_owned()));
        }
        // Refused before anything is read, should it be.
        let clipped = plan.counting_clipped().map(|people| Lowering::new(&people, query_id, contract).map(|lowered| (people, lowered)));
        let clipped = clipped.transpose()?;
        let mut list = None;
        let (totals, mut passes, mut times) = self.totals(plan, contract, Lowering::new(plan, query_id, contract)?, &mut list).await?;
        let mut outputs = totals.outputs;
        if let Some((people, lowered)) = clipped {
            // The data are read once more, person by person, without the same objectors.
            let (totals, more, longer) = self.totals(&people, contract, lowered, &mut list).await?;
            outputs.extend(totals.outputs);
            passes += more;
            times = times.and(longer);
        }
        Ok((Cells { outputs }, passes, times))
    }

    /// The different people behind each text of the plan's open group key, in each partition apart.
    async fn count_names(&self, plan: &PrivatePlan, query_id: &QueryId, contract: &DataContract) -> Result<NameCounts, EngineError> {
        let plan = plan.counting_names();
        let (limit, threads) = (self.options.texts_bytes(), self.options.threads.get());
        let (lowering, shape, names) = Lowering::counting_names(&plan, query_id, contract, limit, threads)?;
        let (totals, ..) = self.totals(&plan, contract, (lowering, shape), &mut None).await?;
        if names.is_full() {
            return Err(EngineError::execution("the column of open text has more different texts than fit the memory"));
        }
        let counts = totals.outputs.into_iter().next().unwrap_or_default();
        let people = |number: u32| counts.get(number as usize).copied().unwrap_or(0);
        // A text that everybody has dropped for others is not in the data: a person may have any number of those.
        let counted = |(text, number): (Box<str>, u32)| Some((text.into_string(), people(number))).filter(|(_, people)| *people > 0);
        let of_partition = |texts: HashMap<Box<str>, u32>| texts.into_iter().filter_map(counted);
        Ok(NameCounts { partitions: names.take().into_iter().map(|texts| of_partition(texts).collect()).collect() })
    }

    /// Bounds and adds up; how often the data were read for it, and where the time went. Reads the list of objections unless it is given.
    async fn totals(
        &self,
        plan: &PrivatePlan,
        contract: &DataContract,
        (lowering, shape): (Lowering, Shape),
        list: &mut Option<Arc<Objectors>>,
    ) -> Result<(Totals, u32, Times), EngineError> {
        let (lowering, shape) = (Arc::new(lowering), Arc::new(shape));
        let leaves = lowering.inputs.leaves.iter();
        let texts = leaves.map(|leaf| bound_sql(&self.binding, contract, &leaf.table)).collect::<Result<Vec<_>, _>>()?;
        let context = source::open(&self.binding, &self.folder, &self.options).await?;
        // Only rows of one table, as they are read, can come sorted; names are all to be known before anything is added up.
        let claimed = match lowering.inputs.leaves.as_slice() {
            [leaf] if lowering.inputs.program.is_none() && SortedRun::serves(&shape) => {
                self.binding.table(&leaf.table).is_some_and(|table| table.sorted_by_unit)
            }
            _ => false,
        };
        let texts_bytes = if shape.names.is_some() { self.options.texts_bytes().unwrap_or(0) } else { 0 };
        // A claim of order that turns out to be wrong is forgotten, and all begins again.
        for (sorted, passes) in [claimed, false].into_iter().zip(1..) {
            let mut inputs = Vec::new();
            let mut kind: Option<(UnitKind, &str)> = None;
            for (leaf, sql) in lowering.inputs.leaves.iter().zip(&texts) {
                let (input, found) = scan(&context, contract, &leaf.table, sql, &leaf.needed, sorted).await?;
                inputs.push(input);
                let (known, other) = *kind.get_or_insert((found, leaf.table.as_str()));
                let both = known.with(found).ok_or_else(|| unlike_units(contract, other, &leaf.table))?;
                kind = Some((both, other));
            }
            let kind = kind.map_or(UnitKind::Text, |(kind, _)| kind);
            let (lowering, shape) = (Arc::clone(&lowering), Arc::clone(&shape));
            let objectors = match list.as_ref() {
                Some(read) => Arc::clone(read),
                None => Arc::clone(list.insert(Arc::new(self.objectors(kind).await?))),
            };
            let room = self.options.room(objectors.bytes().saturating_add(texts_bytes));
            let work = Arc::new(Work { lowering, shape, kind, objectors, room, sorted, outcome: Mutex::default() });
            let physical: Arc<dyn ExecutionPlan> = Arc::new(BoundExec::new(inputs, Arc::clone(&work)));
            physical::check(&physical, plan)?;
            let mut state = context.state();
            // Whoever is done takes no parts of other readers, which may lie anywhere in the order.
            state.config_mut().options_mut().execution.enable_file_stream_work_stealing &= !sorted;
            let mut end = execute_stream(physical, state.task_ctx()).map_err(EngineError::execution)?;
            while let Some(batch) = end.next().await {
                batch.map_err(EngineError::execution)?;
            }
            match work.take_outcome() {
                Some(Ok(Outcome::Done(totals, times))) => return Ok((totals, passes, times)),
                Some(Ok(Outcome::Disorder)) => {}
                Some(Err(error)) => return Err(error),
                None => break,
            }
        }
        Err(EngineError::execution("the operator ended without an outcome"))
    }
}

impl Engine for DataFusionEngine {
    fn ready(&self, contract: &str) -> Result<(), EngineError> {
        is_for(&self.binding, contract)?;
        if let Some(list) = &self.binding.objections {
            self.broken.check(list, &self.folder)?;
        }
        objections::ready(self.binding.objections.as_ref(), &self.folder)
    }

    fn evaluate<'a>(
        &'a self,
        plan: &'a PrivatePlan,
        query_id: &'a QueryId,
        contract: &'a DataContract,
    ) -> BoxFuture<'a, Result<Cells, EngineError>> {
        Box::pin(async move { self.run(plan, query_id, contract).await.map(|(cells, ..)| cells) })
    }

    fn names<'a>(
        &'a self,
        plan: &'a PrivatePlan,
        query_id: &'a QueryId,
        contract: &'a DataContract,
    ) -> BoxFuture<'a, Result<NameCounts, EngineError>> {
        Box::pin(self.count_names(plan, query_id, contract))
    }
}

/// The binding's SQL of a table of this contract.
///
/// The text is the one that `commun-sql` prints from what it has checked, so that checker and engine cannot read it differently.
pub(crate) fn bound_sql(binding: &Binding, contract: &DataContract, table: &str) -> Result<String, EngineError> {
    is_for(binding, &contract.name)?;
    let bound = binding.table(table).ok_or_else(|| EngineError::Binding(format!("it has no table {table}; add a [[table]]")))?;
    commun_sql::rewrite_binding(&bound.sql).map_err(|fault| EngineError::Binding(format!("table {table}: {fault}")))
}

fn is_for(binding: &Binding, contract: &str) -> Result<(), EngineError> {
    if binding.contract == contract {
        return Ok(());
    }
    Err(EngineError::Binding(format!("it is for the contract {}, not for {contract}", binding.contract)))
}

/// What is wrong with the columns of a table's SQL: missing and extra names.
pub(crate) fn column_faults<'a>(found: impl Iterator<Item = &'a str>, contract: &DataContract, table: &str) -> Vec<String> {
    let mut wanted = vec![contract.unit_column.as_str(), contract.partition_column.as_str()];
    wanted.extend(contract.table(table).into_iter().flat_map(|table| &table.columns).map(|column| column.name.as_str()));
    let found: Vec<&str> = found.collect();
    let missing = wanted.iter().filter(|name| !found.contains(name));
    let extra = found.iter().filter(|name| !wanted.contains(name));
    missing
        .map(|name| format!("column {name} is missing: add `... AS {name}`"))
        .chain(extra.map(|name| format!("column {name} is not in the data contract: remove it")))
        .collect()
}

/// Plans to read the needed columns of a bound table, in their order. Everything that can be refused is refused before a row is read.
async fn scan(
    context: &SessionContext,
    contract: &DataContract,
    table: &str,
    sql: &str,
    needed: &[Needed],
    in_order: bool,
) -> Result<(Arc<dyn ExecutionPlan>, UnitKind), EngineError> {
    let bound = source::bound_plan(context, table, sql).await?;
    let binding = |message: String| EngineError::Binding(format!("table {table}: {message}"));
    let faults = column_faults(bound.schema().fields().iter().map(|field| field.name().as_str()), contract, table);
    if !faults.is_empty() {
        return Err(binding(faults.join("; ")));
    }
    let mut kind = UnitKind::Text;
    for Needed { name, reading } in needed {
        let field = bound.schema().field_with_unqualified_name(name).map_err(|e| binding(e.strip_backtrace()))?;
        check_type(table, name, field.data_type(), reading)?;
        if matches!(reading, Reading::Unit) {
            kind = UnitKind::of(field.data_type());
        }
    }
    let physical = read_columns(context, bound, needed.iter().map(|needed| needed.name.as_str()), in_order).await.map_err(binding)?;
    let few = |needed: &Needed| matches!(&needed.reading, Reading::Code(codes) if codes.are_few());
    let codes: Vec<usize> = needed.iter().zip(0..).filter(|(needed, _)| few(needed)).map(|(_, place)| place).collect();
    let physical = source::dictionaries::keep(physical, &codes, context).await;
    Ok((physical.map_err(|error| binding(error.strip_backtrace()))?, kind))
}

/// Two tables of which one has whole numbers for units and the other has texts: `7` and `'007'` may be one person or two.
pub(crate) fn unlike_units(contract: &DataContract, one: &str, other: &str) -> EngineError {
    let unit = &contract.unit_column;
    EngineError::Binding(format!(
        "{unit} is a whole number in one of the tables {one} and {other} and a text in the other, so that nobody can tell whether 7 is 007: \
         make both of one kind in the SQL, by CAST(id AS VARCHAR) AS {unit}, as the texts are written, or by CAST(id AS BIGINT)"
    ))
}

pub(crate) fn check_type(table: &str, column: &str, found: &arrow::datatypes::DataType, reading: &Reading) -> Result<(), EngineError> {
    if readable(found, reading) {
        return Ok(());
    }
    let (table, column) = (table.to_owned(), column.to_owned());
    Err(EngineError::ColumnType { table, column, found: found.to_string(), expected: reading.expected() })
}

/// Plans to read columns of a bound plan. `in_order`: batches are not dealt out among threads, so that rows sorted in the files stay sorted.
pub(crate) async fn read_columns(
    context: &SessionContext,
    bound: datafusion::logical_expr::LogicalPlan,
    columns: impl Iterator<Item = &str>,
    in_order: bool,
) -> Result<Arc<dyn ExecutionPlan>, String> {
    let text = |e: datafusion::error::DataFusionError| e.strip_backtrace();
    let mut projection = Vec::new();
    for name in columns {
        let place = bound.schema().index_of_column_by_name(None, name).ok_or_else(|| format!("there is no column {name}"))?;
        projection.push(Expr::Column(bound.schema().columns()[place].clone()));
    }
    let plan = LogicalPlanBuilder::from(bound).project(projection).and_then(LogicalPlanBuilder::build).map_err(text)?;
    let mut state = context.state();
    state.config_mut().options_mut().optimizer.enable_round_robin_repartition = !in_order;
    let optimised = state.optimize(&plan).map_err(text)?;
    total::check_total(&optimised)?;
    state.query_planner().create_physical_plan(&optimised, &state).await.map_err(text)
}

/// Starts to read columns of a bound plan.
pub(crate) async fn stream(
    context: &SessionContext,
    bound: datafusion::logical_expr::LogicalPlan,
    columns: impl Iterator<Item = &str>,
) -> Result<Vec<SendableRecordBatchStream>, String> {
    let physical = read_columns(context, bound, columns, false).await?;
    execute_stream_partitioned(physical, context.task_ctx()).map_err(|e| e.strip_backtrace())
}

#[cfg(test)]
mod tests;
