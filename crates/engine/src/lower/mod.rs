//! A plan made executable: which columns of the bound tables to read and how (`relation`), where a row falls in the grid, what it is worth, and the
//! bounds of all that.
//!
//! Everything here follows from plan and data contract, and so do the refusals; a batch of rows only goes through it (`batch`).

mod batch;
mod check;
mod columns;
mod grid;
mod names;
mod outputs;
mod relation;

use commun_domain::calendar::Period;
use commun_domain::contract::DataContract;
use commun_domain::ids::QueryId;
use commun_domain::plan::{Condition, KeySource, Measured, PLAN_VERSION, PrivatePlan};

use crate::EngineError;
use crate::bound::{CELL_BITS, Field, Flag, PARTITION_BITS, PrfKey, Shape};
use crate::read::Reading;

use grid::GridKey;
use names::Naming;
use outputs::Outputs;
use relation::Inputs;

pub(crate) use batch::Sourced;
pub(crate) use columns::{Columns, named};
pub(crate) use relation::{Node, Program};

/// A column of the bound table that the plan needs.
#[derive(Debug)]
pub(crate) struct Needed {
    pub(crate) name: String,
    pub(crate) reading: Reading,
}

/// What a slot of a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Slot {
    /// The clamped value.
    Value,
    /// The bin of the clamped value.
    Bin { bins_log2: u8 },
}

/// For which rows something counts: a condition is true, and a value is not NULL. Places among `conditions` and `measured`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    condition: Option<usize>,
    measured: Option<usize>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lowering {
    pub(crate) inputs: Inputs,
    partitions: Vec<Period>,
    query_key: PrfKey,
    filter: Option<Condition>,
    keys: Vec<GridKey>,
    /// Different conditions of outputs.
    conditions: Vec<Condition>,
    /// Different values of outputs; the name and the scale do not count.
    measured: Vec<Measured>,
    /// Flags of a row, in order.
    flags: Vec<Counted>,
    /// Slots of a row, in order: what counts when, as what, and where it stands.
    slots: Vec<(Counted, Slot, Field)>,
    /// Words of a row.
    row_words: usize,
    /// Texts in place of cells, where people are counted behind names.
    naming: Option<Naming>,
}

fn fault(message: impl Into<String>) -> EngineError {
    EngineError::Plan(message.into())
}

impl Lowering {
    /// Checks a plan against its contract and lowers it. The error depends on neither binding nor data.
    pub(crate) fn new(plan: &PrivatePlan, query_id: &QueryId, contract: &DataContract) -> Result<(Self, Shape), EngineError> {
        if plan.version != PLAN_VERSION || plan.contract_name != contract.name || plan.calendar != contract.calendar {
            return Err(fault("version, contract or calendar is another"));
        }
        if plan.unit_column != contract.unit_column || plan.partition_column != contract.partition_column {
            return Err(fault("unit or partition column is another"));
        }
        if plan.outputs.is_empty() || plan.partitions.is_empty() || plan.max_groups_per_person == 0 {
            return Err(fault("outputs, partitions and groups per person must not be empty"));
        }
        if !plan.partitions.is_sorted_by(|a, b| a < b) || plan.partitions.len() >= 1 << PARTITION_BITS {
            return Err(fault("the partitions are not in order, stand twice, or are too many"));
        }
        if plan.open_key().is_some_and(|open| open.names.as_ref().is_some_and(|names| !open.allows(names))) {
            return Err(fault("the names of the open group key are not in order, stand twice, or are too many"));
        }
        let cells = plan.cells().filter(|cells| (1..=1 << CELL_BITS).contains(cells)).and_then(|cells| usize::try_from(cells).ok());
        let cells = cells.ok_or_else(|| fault("the grid is empty or too large"))?;
        let inputs = relation::inputs(plan, contract)?;
        let grid = plan.keys.iter().filter(|key| !names::is_unnamed(key));
        let keys = grid.map(|key| GridKey::new(key, plan)).collect::<Result<Vec<_>, _>>()?;
        for expression in plan.keys.iter().filter_map(|key| match &key.source {
            KeySource::Values { value, .. } => Some(value),
            KeySource::Open(_) | KeySource::Partition => None,
        }) {
            check::value(expression)?;
        }
        if let Some(filter) = &plan.filter {
            check::condition(filter)?;
        }

        let mut outputs = Outputs::default();
        for output in &plan.outputs {
            outputs.add(output)?;
        }
        let (fields, row_words) = outputs.fields();
        let shape = outputs.shape(&fields, row_words, plan, query_id, cells);
        if let Some(number) = shape.outputs.iter().position(|output| output.sensitivity().is_none()) {
            return Err(fault(format!("one person could move {} too far", plan.outputs[number].name)));
        }
        let Outputs { conditions, measured, flags, slots, .. } = outputs;
        let slots = slots.into_iter().zip(fields).map(|((counted, slot), field)| (counted, slot, field)).collect();
        let lowering = Self {
            inputs,
            partitions: plan.partitions.clone(),
            query_key: Shape::query_key(query_id),
            filter: plan.filter.clone(),
            keys,
            conditions,
            measured,
            flags,
            slots,
            row_words,
            naming: None,
        };
        Ok((lowering, shape))
    }
}

impl Lowering {
    pub(crate) fn partitions(&self) -> &[Period] {
        &self.partitions
    }

    /// The key of the query's pseudo-random choices.
    pub(crate) fn query_key(&self) -> PrfKey {
        self.query_key
    }
}

/// The flag of a row for what counts.
fn flag_of(flags: &mut Vec<Counted>, counted: Counted) -> Flag {
    if counted == (Counted { condition: None, measured: None }) {
        return Flag::Always;
    }
    let number = flags.iter().position(|other| *other == counted).unwrap_or_else(|| {
        flags.push(counted);
        flags.len() - 1
    });
    Flag::at(number)
}

#[cfg(test)]
mod tests;
