//! What is no plan over its contract is refused before a binding is looked at: the refusal is a function of plan and contract alone.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use commun_domain::contract::DataContract;
use commun_domain::plan::{Aggregate, Branch, CompareOp, Condition, Key, KeyKind, KeySource, Relation, Rounding, Value};

use super::*;
use crate::bound::HEAD_WORDS;
use crate::testing::{contract, km, output, plan, query_id, rich_plan};

fn lowered(plan: &PrivatePlan, contract: &DataContract) -> Result<(), String> {
    match Lowering::new(plan, &query_id(1), contract) {
        Ok(_) => Ok(()),
        Err(error @ EngineError::Plan(_)) => Err(error.to_string()),
        Err(other) => unreachable!("{other}"),
    }
}

fn good() -> PrivatePlan {
    rich_plan(&contract(), &["2011-01", "2011-02"], &["home", "month"], 2)
}

fn refused(change: impl Fn(&mut PrivatePlan)) -> String {
    let mut plan = good();
    assert_eq!(lowered(&plan, &contract()), Ok(()));
    change(&mut plan);
    lowered(&plan, &contract()).unwrap_err()
}

fn key_of(value: Value, values: Vec<i64>, labels: &[&str]) -> Key {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Key { name: "k".to_owned(), source: KeySource::Values { value, values, labels, kind: KeyKind::Number } }
}

#[expect(clippy::unnecessary_box_returns, reason = "an operand stands in a box")]
fn km_value() -> Box<Value> {
    Box::new(Value::column("km"))
}

#[test]
fn a_plan_of_another_version_contract_or_calendar_is_refused() {
    assert!(refused(|plan| plan.version = 1).contains("version"));
    assert!(refused(|plan| plan.contract_name = "other".to_owned()).contains("contract"));
    assert!(refused(|plan| plan.calendar = commun_domain::calendar::Calendar::Year).contains("calendar"));
    assert!(refused(|plan| plan.unit_column = "home".to_owned()).contains("unit"));
    assert!(refused(|plan| plan.partition_column = "home".to_owned()).contains("partition"));
    assert!(refused(|plan| plan.relation = Relation::Table("other".to_owned())).contains("no table other"));
}

#[test]
fn nothing_to_count_and_partitions_out_of_order_are_refused() {
    assert!(refused(|plan| plan.outputs.clear()).contains("must not be empty"));
    assert!(refused(|plan| plan.partitions.clear()).contains("must not be empty"));
    assert!(refused(|plan| plan.max_groups_per_person = 0).contains("must not be empty"));
    assert!(refused(|plan| plan.partitions.reverse()).contains("not in order"));
    assert!(refused(|plan| plan.partitions.push(plan.partitions[1])).contains("stand twice"));
}

#[test]
fn columns_that_are_not_declared_are_refused_wherever_they_stand() {
    let unknown = || Box::new(Value::column("age"));
    let is_null = || Condition::IsNull(unknown());
    assert!(refused(|plan| plan.filter = Some(is_null())).contains("no column age"));
    assert!(refused(|plan| plan.outputs[0].condition = Some(is_null())).contains("no column age"));
    assert!(refused(|plan| plan.keys[0] = key_of(*unknown(), vec![1], &["1"])).contains("no column age"));
    let measured = Measured { value: Value::Abs(unknown()), ..km() };
    let sum = || Aggregate::Sum { measured: measured.clone(), max_rows_per_person: 1 };
    assert!(refused(|plan| plan.outputs[0].aggregate = sum()).contains("no column age"));
    // The unit is no column of expressions.
    assert!(refused(|plan| plan.filter = Some(Condition::IsNull(Box::new(Value::column("person"))))).contains("no column person"));
}

#[test]
fn a_grid_that_is_empty_too_large_or_ambiguous_is_refused() {
    let many: Vec<i64> = (0..1001).collect();
    let labels: Vec<String> = many.iter().map(ToString::to_string).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let wide = || key_of(*km_value(), many.clone(), &labels);
    assert!(refused(|plan| plan.keys = vec![wide(), wide()]).contains("too large"));
    assert!(refused(|plan| plan.keys[0] = key_of(*km_value(), vec![], &[])).contains("empty"));
    assert!(refused(|plan| plan.keys[0] = key_of(*km_value(), vec![2, 1], &["a", "b"])).contains("not in order"));
    assert!(refused(|plan| plan.keys[0] = key_of(*km_value(), vec![1, 1], &["a", "b"])).contains("not in order"));
    assert!(refused(|plan| plan.keys[0] = key_of(*km_value(), vec![1, 2], &["a"])).contains("not as many"));
    assert!(refused(|plan| plan.keys[0] = key_of(*km_value(), vec![1, 2], &["a", "a"])).contains("one label"));
}

#[test]
fn bounds_that_bound_nothing_are_refused() {
    let with = |aggregate: Aggregate| refused(move |plan| plan.outputs[0].aggregate = aggregate.clone());
    let of = |lo, hi| Measured { lo, hi, ..km() };
    assert!(with(Aggregate::CountRows { max_rows_per_person: 0 }).contains("no row of a person"));
    assert!(with(Aggregate::Sum { measured: of(1, 0), max_rows_per_person: 1 }).contains("crossed"));
    assert!(with(Aggregate::CentredSum { measured: of(5, 5), max_rows_per_person: 1 }).contains("empty"));
    assert!(with(Aggregate::CentredSum { measured: of(i64::MIN, i64::MAX), max_rows_per_person: 1 }).contains("too wide"));
    assert!(with(Aggregate::CentredSquares { measured: of(0, 1 << 43), max_rows_per_person: 1 }).contains("too far"));
    assert!(with(Aggregate::Sum { measured: of(0, i64::MAX), max_rows_per_person: u32::MAX }).contains("too far"));
    assert!(with(Aggregate::Histogram { measured: of(0, 0), bins_log2: 1, max_rows_per_person: 1 }).contains("empty"));
    assert!(with(Aggregate::Histogram { measured: of(0, 9), bins_log2: 17, max_rows_per_person: 1 }).contains("too many bins"));
}

#[test]
fn expressions_that_evaluation_takes_for_granted_are_checked_at_any_depth() {
    let shifted = Value::Divide { left: km_value(), right: km_value(), shift: 19, rounding: Rounding::Floor };
    let crossed = Value::Clamp { value: km_value(), lo: 1, hi: 0 };
    let unsorted = Condition::InSet { value: km_value(), set: vec![2, 1] };
    let twice = Condition::InSet { value: km_value(), set: vec![1, 1] };
    let wrap = |value: &Value| {
        let compared = Condition::Compare { op: CompareOp::Eq, left: Box::new(value.clone()), right: km_value() };
        let case = Value::Case { branches: vec![Branch { condition: compared, value: Value::Null }], otherwise: km_value() };
        Value::Coalesce(vec![Value::Null, Value::Truth(Box::new(Condition::Not(Box::new(Condition::IsNull(Box::new(case))))))])
    };
    for value in [&shifted, &crossed, &wrap(&shifted), &wrap(&crossed)] {
        for why in [
            refused(|plan| plan.keys[0] = key_of(value.clone(), vec![1], &["1"])),
            refused(|plan| plan.filter = Some(Condition::IsNull(Box::new(value.clone())))),
            refused(|plan| plan.outputs[1].condition = Some(Condition::IsNull(Box::new(value.clone())))),
            refused(|plan| {
                let measured = Measured { value: value.clone(), ..km() };
                plan.outputs[2] = output("x", Aggregate::Sum { measured, max_rows_per_person: 1 }, None);
            }),
        ] {
            assert!(why.contains("shifted") || why.contains("clamp"), "{why}");
        }
    }
    for set in [unsorted, twice] {
        assert!(refused(|plan| plan.filter = Some(Condition::And(vec![set.clone()]))).contains("not in order"));
    }
}

#[test]
fn what_is_equal_in_two_outputs_is_carried_once() {
    let (lowering, shape) = Lowering::new(&good(), &query_id(1), &contract()).unwrap();
    // One number under two conditions, as a value and in two widths of bins; flags for them and for the rows under the condition.
    assert_eq!((lowering.measured.len(), lowering.conditions.len()), (1, 1));
    // Behind three flags there is room for one value, of 11 bits, and for both bins; the other value needs a word of its own.
    assert_eq!((lowering.flags.len(), lowering.slots.len(), shape.row_words), (3, 4, HEAD_WORDS + 1));
    let simple = plan(&contract(), &["2011-01"], &[], 1);
    let (_, shape) = Lowering::new(&simple, &query_id(1), &contract()).unwrap();
    // Rows and persons are one count; the sum is apart.
    assert_eq!((shape.lanes.len(), shape.row_words), (2, HEAD_WORDS));
}
