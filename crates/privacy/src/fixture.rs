//! Small plans and releases for the tests of this crate.

use commun_domain::attempt::OutputNoise;
use commun_domain::calendar::{Calendar, Period};
use commun_domain::plan::{
    Aggregate, AnswerColumn, AnswerValue, Estimate, GroupingSet, Key, KeyKind, KeySource, Measured, OpenKey, Output, PLAN_VERSION,
    PrivatePlan, Value,
};
use commun_domain::release::{OutputSums, ResultRelease};
use commun_domain::{Delta, Hash32, QueryId, Rho};

pub(crate) fn output(aggregate: Aggregate, share_num: u32, share_den: u32) -> Output {
    Output { name: "x".into(), aggregate, condition: None, share_num, share_den }
}

pub(crate) fn measured(lo: i64, hi: i64, scale: u8) -> Measured {
    Measured { value: Value::column("km"), lo, hi, scale }
}

pub(crate) fn rows(max_rows_per_person: u32) -> Aggregate {
    Aggregate::CountRows { max_rows_per_person }
}

pub(crate) fn sum(lo: i64, hi: i64, max_rows_per_person: u32) -> Aggregate {
    Aggregate::Sum { measured: measured(lo, hi, 1), max_rows_per_person }
}

pub(crate) fn plan(outputs: Vec<Output>) -> PrivatePlan {
    PrivatePlan {
        version: PLAN_VERSION,
        contract: Hash32::default(),
        contract_name: "mobility".into(),
        budget_domain: "mobility".into(),
        relation: commun_domain::plan::Relation::Table("commute".into()),
        unit_column: "subscriber_id".into(),
        partition_column: "ref_month".into(),
        calendar: Calendar::Month,
        partitions: vec![Period(24_132), Period(24_133)],
        filter: None,
        keys: vec![],
        max_groups_per_person: 1,
        outputs,
        clipped: None,
        grouping_sets: vec![],
        columns: vec![],
        having: None,
        order: vec![],
        offset: 0,
        limit: None,
    }
}

/// A plan of these outputs in equal shares.
pub(crate) fn plan_of(aggregates: Vec<Aggregate>) -> PrivatePlan {
    let shares = u32::try_from(aggregates.len()).unwrap_or(1);
    plan(aggregates.into_iter().map(|aggregate| output(aggregate, 1, shares)).collect())
}

pub(crate) fn counting() -> PrivatePlan {
    plan_of(vec![Aggregate::CountUnits])
}

pub(crate) fn key(name: &str, labels: &[&str], kind: KeyKind) -> Key {
    let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    let values = (0..).take(labels.len()).collect();
    Key { name: name.into(), source: KeySource::Values { value: Value::column(name), values, labels, kind } }
}

/// A column of open text as a key without names; at most 100 names of at most 32 bytes, at delta 1e-9.
pub(crate) fn open_key(column: &str, share_num: u32, share_den: u32) -> Key {
    let delta = Delta::from_units(1_000_000_000);
    let open = OpenKey { column: column.into(), max_bytes: 32, max_names: 100, delta, share_num, share_den, names: None };
    Key { name: column.into(), source: KeySource::Open(open) }
}

pub(crate) fn column(name: &str, estimate: Estimate) -> AnswerColumn {
    AnswerColumn { name: name.into(), value: AnswerValue::Estimate(estimate) }
}

pub(crate) fn key_column(name: &str, key: u16) -> AnswerColumn {
    AnswerColumn { name: name.into(), value: AnswerValue::Key(key) }
}

pub(crate) fn set(keys: &[u16]) -> GroupingSet {
    GroupingSet { keys: keys.to_vec() }
}

/// Noise of standard deviation 10 in steps of `2^gamma_log2`.
pub(crate) fn ten(gamma_log2: i32) -> OutputNoise {
    OutputNoise { gamma_log2, d: 1, s2: 100 }
}

pub(crate) fn release(plan: PrivatePlan, noise: Vec<OutputNoise>, sums: Vec<Vec<i64>>) -> ResultRelease {
    ResultRelease {
        query: QueryId::default(),
        attempt: 1,
        permit: Hash32::default(),
        plan,
        noise,
        sums: sums.into_iter().map(|cells| OutputSums { cells }).collect(),
        participants: vec!["telco-a".into()],
        listed: 1,
        members: 1,
        threshold: 1,
        colluders: 0,
        unmasked: false,
        transcript: None,
        rho: Rho::from_units(1),
        delta: Delta::ZERO,
        delta_conv: Delta::from_units(1_000_000_000),
        max_holders_per_person: 1,
        roster_epoch: 1,
        released_at_ms: 0,
    }
}

pub(crate) fn boxed(estimate: Estimate) -> Box<Estimate> {
    Box::new(estimate)
}

pub(crate) fn constant(units: i64) -> Estimate {
    Estimate::Constant { units, scale: 0 }
}

pub(crate) fn divide(left: Estimate, right: Estimate) -> Estimate {
    Estimate::Divide(boxed(left), boxed(right))
}

/// Vectors of `tests/vectors/answer.py`.
pub(crate) fn vectors(name: &str) -> Vec<serde_json::Value> {
    const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/answer.json"));
    let all: serde_json::Value = serde_json::from_str(VECTORS).unwrap_or_default();
    let found = all[name].as_array().cloned().unwrap_or_default();
    assert!(!found.is_empty(), "no vectors of {name}");
    found
}
