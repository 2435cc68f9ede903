//! Whole questions through the compiler: what each file has in common.
#![allow(clippy::format_push_string, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod aggregates;
mod clauses;
mod clipped;
mod expressions;
mod open;
mod persons;
mod sources;

use commun_domain::plan::{CompareOp, Condition, Estimate, Measured, Value};

use super::fixture::{contract, settings};
use super::*;
use crate::text::strip_explain;

const GOOD: &str =
    "SELECT home_arr, COUNT(DISTINCT subscriber_id) AS commuters FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY home_arr";

fn plan(sql: &str) -> PrivatePlan {
    compile(sql, &contract(), &settings(1)).unwrap_or_else(|refusal| panic!("{sql}\n{refusal:?}"))
}

fn refusal(sql: &str) -> Refusal {
    match compile(sql, &contract(), &settings(1)) {
        Ok(_) => panic!("not refused: {sql}"),
        Err(refusal) => refusal,
    }
}

/// The plan of a count with this condition beside January 2011.
fn filtered(condition: &str) -> Condition {
    plan(&format!("SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' AND ({condition})")).filter.unwrap()
}

fn filter_refused(condition: &str) -> Refusal {
    refusal(&format!("SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' AND\n{condition}"))
}

/// Checks code and place, that there is a hint, and that message or hint speaks of `says`.
fn check(refusal: &Refusal, code: WireCode, place: (u32, u32), says: &str) {
    assert_eq!(refusal.code, code, "{refusal:?}");
    assert_eq!(refusal.position, Some(Position { line: place.0, column: place.1 }), "{refusal:?}");
    assert!(!refusal.hint.is_empty(), "{refusal:?}");
    assert!(refusal.message.contains(says) || refusal.hint.contains(says), "{says}: {refusal:?}");
}

fn column(name: &str) -> Value {
    Value::Column(name.to_owned())
}

fn compare(name: &str, op: CompareOp, units: i64) -> Condition {
    Condition::Compare { op, left: Box::new(column(name)), right: Box::new(Value::Constant(units)) }
}

/// A column's code is one of these places of its list.
fn in_set(name: &str, set: &[i64]) -> Condition {
    Condition::InSet { value: Box::new(column(name)), set: set.to_vec() }
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

/// An item of the answer that is an output as it is.
fn output(index: u16) -> AnswerValue {
    AnswerValue::Estimate(Estimate::Output(index))
}

fn values(plan: &PrivatePlan) -> Vec<AnswerValue> {
    plan.columns.iter().map(|column| column.value.clone()).collect()
}

use WireCode::{InvalidQuery as INVALID, NotPrivate as UNSAFE};
