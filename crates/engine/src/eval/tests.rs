//! Every operator against an interpreter of one row that can be read at a glance.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use commun_domain::plan::time::{Field, Truncation};
use commun_domain::plan::{Branch, CompareOp, Condition, Rounding, Value};
use proptest::prelude::*;

use super::{Batch, Ints};
use crate::model::value;

type Row = [Option<i64>; 3];

const NAMES: [&str; 3] = ["a", "b", "c"];

fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        prop::sample::select(vec![
            i64::MIN,
            i64::MIN + 1,
            -1_000_000_007,
            -3,
            -1,
            0,
            1,
            2,
            7,
            86_400,
            1_300_000_000,
            i64::MAX - 1,
            i64::MAX
        ]),
        any::<i64>(),
        -20i64..20,
    ]
}

fn field() -> impl Strategy<Value = Field> {
    prop::sample::select(vec![
        Field::Year,
        Field::Quarter,
        Field::Month,
        Field::Week,
        Field::Day,
        Field::DayOfWeek,
        Field::Hour,
        Field::Second,
    ])
}

fn period() -> impl Strategy<Value = Truncation> {
    prop::sample::select(vec![
        Truncation::Year,
        Truncation::Quarter,
        Truncation::Month,
        Truncation::Week,
        Truncation::Day,
        Truncation::Hour,
    ])
}

fn value() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        4 => number().prop_map(Value::Constant),
        12 => prop::sample::select(NAMES.to_vec()).prop_map(Value::column),
    ];
    leaf.prop_recursive(4, 32, 3, |inner| {
        let one = inner.clone().prop_map(Box::new);
        let (two, list) = ((one.clone(), one.clone()), prop::collection::vec(inner.clone(), 0..4));
        let rounding = prop::sample::select(vec![Rounding::Truncate, Rounding::HalfAway, Rounding::Floor, Rounding::Ceil]);
        let table = prop::collection::vec(prop::option::of(number()), 0..40);
        prop_oneof![
            two.clone().prop_map(|(a, b)| Value::Add(a, b)),
            two.clone().prop_map(|(a, b)| Value::Subtract(a, b)),
            two.clone().prop_map(|(a, b)| Value::Multiply(a, b)),
            (two.clone(), 0u8..=18, rounding).prop_map(|((left, right), shift, rounding)| Value::Divide { left, right, shift, rounding }),
            two.clone().prop_map(|(a, b)| Value::Modulo(a, b)),
            one.clone().prop_map(Value::Abs),
            one.clone().prop_map(Value::Sign),
            list.clone().prop_map(Value::Least),
            list.clone().prop_map(Value::Greatest),
            list.prop_map(Value::Coalesce),
            two.prop_map(|(a, b)| Value::NullIf(a, b)),
            (one.clone(), number(), number()).prop_map(|(value, a, b)| Value::Clamp { value, lo: a.min(b), hi: a.max(b) }),
            (prop::collection::vec((condition(inner.clone()), inner), 0..3), one.clone()).prop_map(|(branches, otherwise)| Value::Case {
                branches: branches.into_iter().map(|(condition, value)| Branch { condition, value }).collect(),
                otherwise,
            }),
            (one.clone(), number(), table).prop_map(|(value, first, table)| Value::Map { value, first, table }),
            (field(), one.clone()).prop_map(|(field, value)| Value::Extract { field, value }),
            (period(), one.clone()).prop_map(|(to, value)| Value::Truncate { to, value }),
            one.prop_map(|value| Value::Truth(Box::new(Condition::IsNull(value)))),
        ]
    })
    .boxed()
}

fn condition(value: impl Strategy<Value = Value> + Clone + 'static) -> BoxedStrategy<Condition> {
    let one = value.prop_map(Box::new);
    let op = prop::sample::select(vec![CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge]);
    let set = prop_oneof![prop::collection::btree_set(number(), 0..20), prop::collection::btree_set(-20i64..20, 0..20)];
    let truth = prop::sample::select(vec![Some(true), Some(false), None]);
    let leaf = prop_oneof![
        1 => truth.clone().prop_map(Condition::Constant),
        6 => (op, one.clone(), one.clone()).prop_map(|(op, left, right)| Condition::Compare { op, left, right }),
        3 => (one.clone(), set).prop_map(|(value, set)| Condition::InSet { value, set: set.into_iter().collect() }),
        2 => one.clone().prop_map(Condition::IsNull),
        2 => (one.clone(), one).prop_map(|(left, right)| Condition::IsDistinct(left, right)),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            list.clone().prop_map(Condition::And),
            list.prop_map(Condition::Or),
            inner.clone().prop_map(|part| Condition::Not(Box::new(part))),
            (inner, truth.clone()).prop_map(|(part, truth)| Condition::Is(Box::new(part), truth)),
        ]
    })
    .boxed()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let cell = || prop_oneof![1 => Just(None), 6 => number().prop_map(Some)];
    prop::collection::vec((cell(), cell(), cell()).prop_map(|(a, b, c)| [a, b, c]), 1..70)
}

fn naive(of: &Value, row: &Row) -> Option<i64> {
    value::naive(of, &|name| row[NAMES.iter().position(|other| *other == name)?])
}

fn truth(of: &Condition, row: &Row) -> Option<bool> {
    value::truth(of, &|name| row[NAMES.iter().position(|other| *other == name)?])
}

fn over<T>(rows: &[Row], evaluate: impl Fn(&Batch<'_>) -> T) -> T {
    let columns: Vec<Ints> = (0..3).map(|column| Ints::from_rows(rows.len(), |row| rows[row][column])).collect();
    let named = |name: &str| NAMES.iter().position(|other| *other == name).map(|place| columns[place].clone());
    evaluate(&Batch { rows: rows.len(), columns: &named })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_value_over_a_batch_is_what_it_is_row_by_row(value in value(), rows in rows()) {
        let found = over(&rows, |batch| batch.value(&value));
        for (number, row) in rows.iter().enumerate() {
            prop_assert_eq!(found.get(number), naive(&value, row), "{:?} of {:?}", &value, row);
        }
    }

    #[test]
    fn a_condition_over_a_batch_is_what_it_is_row_by_row(condition in condition(value()), rows in rows()) {
        let found = over(&rows, |batch| batch.condition(&condition));
        for (number, row) in rows.iter().enumerate() {
            prop_assert_eq!(found.get(number), truth(&condition, row), "{:?} of {:?}", &condition, row);
            prop_assert!(!(found.yes.value(number) && found.no.value(number)));
        }
    }
}

#[test]
fn the_deepest_expression_that_a_document_can_hold_is_evaluated() {
    let mut value = Value::column("a");
    for _ in 0..128 {
        value = Value::Add(Box::new(value), Box::new(Value::Constant(1)));
    }
    assert_eq!(over(&[[Some(5), None, None]], |batch| batch.value(&value)).get(0), Some(133));
}

#[test]
fn a_set_of_every_size_is_looked_up() {
    let row = |number| [Some(number), None, None];
    for set in [vec![], vec![3], (0..9).collect(), (0..1000).map(|n| n * 3).collect::<Vec<i64>>(), (0..9).map(|n| n << 40).collect()] {
        let rows: Vec<Row> = [-1, 0, 1, 3, 8, 9, 2997, 3000, 1 << 40, i64::MIN, i64::MAX].map(row).to_vec();
        let condition = Condition::InSet { value: Box::new(Value::column("a")), set };
        let found = over(&rows, |batch| batch.condition(&condition));
        for (number, row) in rows.iter().enumerate() {
            assert_eq!(found.get(number), truth(&condition, row));
        }
    }
}
