//! Physical plans that must be refused before anything is read.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;

use datafusion::physical_plan::limit::GlobalLimitExec;

use super::*;
use crate::bound::Room;
use crate::lower::Lowering;
use crate::objections::Objectors;
use crate::read::UnitKind;
use crate::testing::{contract, query_id, rich_plan};

fn bounded(plan: &PrivatePlan, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let (lowering, shape) = Lowering::new(plan, &query_id(1), &contract()).unwrap();
    let room = Room { bytes: None, folder: PathBuf::new(), threads: NonZeroUsize::MIN.get() };
    let (lowering, shape, outcome) = (Arc::new(lowering), Arc::new(shape), Mutex::default());
    let (kind, objectors) = (UnitKind::Text, Arc::new(Objectors::none(UnitKind::Text)));
    Arc::new(BoundExec::new(vec![input], Arc::new(Work { lowering, shape, kind, objectors, room, sorted: false, outcome })))
}

fn empty() -> Arc<dyn ExecutionPlan> {
    Arc::new(EmptyExec::new(Arc::new(Schema::empty())))
}

fn why(physical: &Arc<dyn ExecutionPlan>, plan: &PrivatePlan) -> String {
    check(physical, plan).err().map_or_else(String::new, |error| error.to_string())
}

#[test]
fn a_plan_is_accepted_only_with_the_bounds_that_are_priced() {
    let contract = contract();
    let plan = rich_plan(&contract, &["2011-01"], &["home"], 2);
    let physical = bounded(&plan, empty());
    assert_eq!(why(&physical, &plan), "");
    let priced = |change: &dyn Fn(&mut PrivatePlan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        why(&physical, &plan)
    };
    assert!(priced(&|plan| plan.max_groups_per_person = 1).contains("another number of groups"));
    assert!(priced(&|plan| drop(plan.outputs.pop())).contains("another number of outputs"));
    for number in 0..plan.outputs.len() {
        let other = usize::from(number != 1);
        let why = priced(&|plan| plan.outputs[number].aggregate = plan.outputs[other].aggregate.clone());
        // The two counts of persons have one sensitivity.
        assert!(number == 4 || why.contains("was priced as"), "{number}: {why}");
    }
}

#[test]
fn nothing_may_stand_above_the_bound_or_limit_rows_below_it() {
    let contract = contract();
    let plan = rich_plan(&contract, &["2011-01"], &[], 1);
    let above: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(bounded(&plan, empty())));
    assert!(why(&above, &plan).contains("its root is CoalescePartitionsExec"));
    let limited = bounded(&plan, Arc::new(GlobalLimitExec::new(empty(), 0, Some(5))));
    assert!(why(&limited, &plan).contains("GlobalLimitExec is no node of a binding"));
    let few = bounded(&plan, Arc::new(CoalescePartitionsExec::new(empty()).with_fetch(Some(3))));
    assert!(why(&few, &plan).contains("limits the number of rows"));
}
