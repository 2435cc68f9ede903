//! The physical plan of a query: one operator of ours at the root, which computes what is asked of whole persons, bounds and adds up, over what
//! `DataFusion` reads of each table.
//!
//! The root is put there after all optimisers have run, so none of them can move anything above the bound or take it away. Before anything is read
//! [`check`] walks the plan: the root is that operator; every node below it is of a kind that was thought about; nothing limits
//! the number of rows; no scan brings statistics, which would let data steer the plan. From the root's own bounds the
//! sensitivity is derived anew and compared with the one that is priced. The totals leave by the side ([`Work::take_outcome`]), as they are no table.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use commun_domain::plan::PrivatePlan;
use commun_privacy::price;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, execute_stream_partitioned};
use futures::StreamExt;

use crate::EngineError;
use crate::work::Work;

/// `BoundPerPerson` and the final aggregate. Its one output stream is empty and ends when the totals are there.
pub(crate) struct BoundExec {
    /// One for each leaf of the relation.
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    work: Arc<Work>,
    properties: Arc<PlanProperties>,
}

impl BoundExec {
    pub(crate) fn new(inputs: Vec<Arc<dyn ExecutionPlan>>, work: Arc<Work>) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::new(Schema::empty())),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        Self { inputs, work, properties }
    }
}

impl fmt::Debug for BoundExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundExec").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

impl DisplayAs for BoundExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.work.shape();
        write!(f, "BoundExec: groups={}, outputs={:?}", shape.max_groups, shape.outputs)
    }
}

impl ExecutionPlan for BoundExec {
    fn name(&self) -> &'static str {
        "BoundExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.inputs.iter().collect()
    }

    fn apply_expressions(&self, _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != self.inputs.len() {
            return internal_err!("BoundExec has {} inputs", self.inputs.len());
        }
        Ok(Arc::new(Self::new(children, Arc::clone(&self.work))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("BoundExec has one output");
        }
        let mut streams = Vec::new();
        for (leaf, input) in self.inputs.iter().enumerate() {
            let of_leaf = execute_stream_partitioned(Arc::clone(input), Arc::clone(&context))?;
            streams.extend(of_leaf.into_iter().map(|stream| (leaf, stream)));
        }
        let work = Arc::clone(&self.work);
        let end = futures::stream::once(async move {
            work.run(streams).await;
            None::<Result<RecordBatch>>
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), end.filter_map(std::future::ready))))
    }
}

/// Refuses a physical plan that is not one bounded aggregate with the priced sensitivity over nodes of known kinds. Reads nothing.
pub(crate) fn check(physical: &Arc<dyn ExecutionPlan>, plan: &PrivatePlan) -> std::result::Result<(), EngineError> {
    let refuse = |why: String| Err(EngineError::Plan(format!("the physical plan is refused: {why}")));
    let Some(root) = physical.downcast_ref::<BoundExec>() else {
        return refuse(format!("its root is {}", physical.name()));
    };
    let shape = root.work.shape();
    if shape.max_groups != plan.max_groups_per_person || shape.outputs.len() != plan.outputs.len() {
        return refuse("it keeps another number of groups or has another number of outputs".to_owned());
    }
    for (output, bounded) in plan.outputs.iter().zip(&shape.outputs) {
        let priced = price::sensitivity(&output.aggregate).map(|priced| (priced.delta, priced.levels));
        if priced.is_none() || priced != bounded.sensitivity() {
            return refuse(format!("the sensitivity of {} is {:?} and was priced as {priced:?}", output.name, bounded.sensitivity()));
        }
    }
    let mut todo: Vec<_> = root.inputs.iter().collect();
    while let Some(node) = todo.pop() {
        if !known(node.as_ref()) {
            return refuse(format!("{} is no node of a binding", node.name()));
        }
        if node.fetch().is_some() {
            return refuse(format!("{} limits the number of rows", node.name()));
        }
        if node.is::<DataSourceExec>() {
            let statistics = StatisticsContext::new().compute(node.as_ref(), &StatisticsArgs::new());
            if !matches!(statistics, Ok(found) if found.num_rows == Precision::Absent) {
                return refuse("a scan has statistics".to_owned());
            }
        }
        todo.extend(node.children());
    }
    Ok(())
}

/// Nodes of a binding: scans, filters, projections, unions, joins, and what moves rows between threads.
fn known(node: &dyn ExecutionPlan) -> bool {
    node.is::<DataSourceExec>()
        || node.is::<StreamingTableExec>()
        || node.is::<EmptyExec>()
        || node.is::<PlaceholderRowExec>()
        || node.is::<FilterExec>()
        || node.is::<ProjectionExec>()
        || node.is::<UnionExec>()
        || node.is::<InterleaveExec>()
        || node.is::<HashJoinExec>()
        || node.is::<SortMergeJoinExec>()
        || node.is::<NestedLoopJoinExec>()
        || node.is::<CrossJoinExec>()
        || node.is::<SortExec>()
        || node.is::<SortPreservingMergeExec>()
        || node.is::<RepartitionExec>()
        || node.is::<CoalescePartitionsExec>()
        || node.is::<CooperativeExec>()
}

#[cfg(test)]
mod tests;
