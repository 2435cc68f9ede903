//! Random plans and random rows, and the rows as batches of Arrow.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, DictionaryArray, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampSecondArray,
    UInt64Array,
};
use arrow::datatypes::Int32Type;
use commun_domain::contract::{Column, ColumnType};
use commun_domain::plan::time::{Field, Truncation};
use commun_domain::plan::{Aggregate, Branch, CompareOp, Condition, Key, KeyKind, KeySource, Measured, Output, Rounding, Value};

use super::{Case, Raw};
use crate::read::UnitKind;
use crate::testing;

/// 2011-01-01 00:00.
const YEAR_START: i64 = 1_293_840_000;
const MONTHS: [&str; 4] = ["2011-01", "2011-02", "2011-03", "2011-04"];

/// A stream of pseudo-random numbers (splitmix64): a case is its seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    fn within(&mut self, lo: i64, hi: i64) -> i64 {
        lo + i64::try_from(self.below(usize::try_from(hi - lo + 1).unwrap())).unwrap()
    }

    fn linf(&mut self) -> u32 {
        self.of(&[1, 2, 3])
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for place in (1..list.len()).rev() {
            list.swap(place, self.below(place + 1));
        }
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "an operand stands in a box")]
fn column(name: &str) -> Box<Value> {
    Box::new(Value::column(name))
}

/// The shared contract with a time in it.
pub(crate) fn contract() -> commun_domain::contract::DataContract {
    let mut contract = testing::contract();
    let titles = contract.tables[0].columns[0].titles.clone();
    let column_type = ColumnType::Time { lo: YEAR_START, hi: YEAR_START + 120 * 86_400 };
    contract.tables[0].columns.push(Column { name: "at".to_owned(), column_type, titles });
    contract
}

fn number(dice: &mut Dice) -> Value {
    let constant = Box::new(Value::Constant(dice.within(-30, 60)));
    match dice.below(8) {
        0 => Value::Abs(column("km")),
        1 => Value::Add(column("km"), constant),
        2 => Value::Multiply(column("km"), column("home")),
        3 => Value::Coalesce(vec![Value::column("km"), *constant]),
        4 => Value::Divide { left: column("km"), right: column("home"), shift: 1, rounding: Rounding::HalfAway },
        5 => Value::Case { branches: vec![Branch { condition: condition(dice, 1), value: *constant }], otherwise: column("km") },
        _ => Value::column("km"),
    }
}

fn measured(dice: &mut Dice) -> Measured {
    let lo = dice.of(&[-50, -7, 0, 3, -1_000_000]);
    let hi = lo + dice.of(&[1, 4, 60, 1050, 2_000_000]);
    Measured { value: number(dice), lo, hi, scale: 1 }
}

fn condition(dice: &mut Dice, depth: usize) -> Condition {
    let op = dice.of(&[CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge]);
    if depth > 0 && dice.one_in(2) {
        let parts = vec![condition(dice, depth - 1), condition(dice, depth - 1)];
        return match dice.below(3) {
            0 => Condition::And(parts),
            1 => Condition::Or(parts),
            _ => Condition::Not(Box::new(parts[0].clone())),
        };
    }
    match dice.below(6) {
        0 | 1 => Condition::Compare { op, left: column("km"), right: Box::new(Value::Constant(dice.within(-60, 300))) },
        2 => Condition::InSet { value: column("home"), set: dice.of(&[vec![0], vec![1, 2], vec![0, 2], vec![]]) },
        3 => Condition::IsNull(column(dice.of(&["km", "train", "at"]))),
        4 => Condition::Compare { op: CompareOp::Eq, left: column("train"), right: Box::new(Value::Constant(1)) },
        _ => Condition::IsDistinct(column("home"), Box::new(Value::Constant(1))),
    }
}

fn values(name: &str, value: Value, values: Vec<i64>, kind: KeyKind) -> Key {
    let labels = values.iter().map(|value| format!("v{value}")).collect();
    Key { name: name.to_owned(), source: KeySource::Values { value, values, labels, kind } }
}

/// A key of every kind.
fn key(dice: &mut Dice, number: usize) -> Key {
    let month_starts = || (1..=4).map(|month| commun_domain::plan::time::Date { year: 2011, month, day: 1 }.to_day() * 86_400).collect();
    match number {
        0 => testing::key("month"),
        1 => testing::key("home"),
        2 => testing::key("train"),
        3 => {
            let table = vec![Some(7), None, Some(3)];
            values("area", Value::Map { value: column("home"), first: 0, table }, vec![3, 7], KeyKind::Text)
        }
        4 => {
            let by_ten = Value::Divide { left: column("km"), right: Box::new(Value::Constant(100)), shift: 0, rounding: Rounding::Floor };
            values("width", by_ten, vec![-1, 0, 2, 3, 10], KeyKind::Number)
        }
        5 => values("hour", Value::Extract { field: Field::Hour, value: column("at") }, vec![0, 6, 7, 23], KeyKind::Number),
        // So far apart that places are looked for, not tabled.
        6 => values("begin", Value::Truncate { to: Truncation::Month, value: column("at") }, month_starts(), KeyKind::Time),
        _ => values("known", Value::Truth(Box::new(condition(dice, 1))), vec![0, 1], KeyKind::Boolean),
    }
}

fn aggregate(dice: &mut Dice) -> Aggregate {
    let max_rows_per_person = dice.linf();
    match dice.below(6) {
        0 => Aggregate::CountRows { max_rows_per_person },
        1 => Aggregate::CountUnits,
        2 => Aggregate::Sum { measured: measured(dice), max_rows_per_person },
        3 => Aggregate::CentredSum { measured: measured(dice), max_rows_per_person },
        4 => Aggregate::CentredSquares { measured: measured(dice), max_rows_per_person },
        _ => Aggregate::Histogram { measured: measured(dice), bins_log2: dice.of(&[0, 1, 3, 6]), max_rows_per_person },
    }
}

impl Case {
    /// A question over `rows` rows of about `persons` persons.
    pub(crate) fn random(dice: &mut Dice, rows: usize, persons: usize) -> Self {
        let contract = contract();
        let mut keys: Vec<usize> = (0..8).collect();
        dice.shuffle(&mut keys);
        keys.truncate(dice.below(4));
        let months = &MONTHS[..=dice.below(3)];
        let mut plan = testing::plan(&contract, months, &[], dice.of(&[1, 2, 3]));
        plan.keys = keys.into_iter().map(|number| key(dice, number)).collect();
        plan.filter = dice.one_in(3).then(|| condition(dice, 2));
        // Now and then more flags than fit the first word of a row, and than fit the second.
        let outputs = if dice.one_in(20) { 120 } else { 1 + dice.below(6) };
        plan.outputs = (0..outputs)
            .map(|number| {
                let condition = dice.one_in(2).then(|| condition(dice, 1));
                Output { name: format!("o{number}"), aggregate: aggregate(dice), condition, share_num: 1, share_den: 1 }
            })
            .collect();
        let rows = (0..rows).map(|_| Raw::random(dice, persons)).collect();
        let byte = u8::try_from(dice.below(256)).unwrap();
        Self { contract, plan, query: testing::query_id(byte), rows }
    }

    /// `rows` as batches with the columns of a list of names.
    pub(crate) fn batches(rows: &[Raw], names: &[&str], kind: UnitKind, batch_rows: usize) -> Vec<RecordBatch> {
        rows.chunks(batch_rows).map(|rows| batch(rows, names, kind)).collect()
    }
}

impl Raw {
    /// Every fourth row is the same person's.
    pub(crate) fn random(dice: &mut Dice, persons: usize) -> Self {
        let person = if dice.one_in(4) { 0 } else { dice.below(persons) };
        let km = if dice.one_in(9) { dice.of(&[i64::MIN / 20, i64::MAX / 20, 0, -1]) } else { dice.within(-80, 1200) };
        Self {
            person: (!dice.one_in(40)).then(|| person.to_string()),
            month: (!dice.one_in(40)).then(|| dice.of(&MONTHS).to_owned()),
            home: (!dice.one_in(12)).then(|| dice.of(&["A", "B", "C", "Z"]).to_owned()),
            km: (!dice.one_in(8)).then_some(km),
            train: (!dice.one_in(8)).then(|| dice.one_in(2)),
            at: (!dice.one_in(8)).then(|| YEAR_START + dice.within(-5, 130) * 86_400 + dice.of(&[0, 6, 7, 12, 23]) * 3_600),
        }
    }
}

/// One batch; its layout of texts follows from its length, so that all of them occur.
fn batch(rows: &[Raw], names: &[&str], kind: UnitKind) -> RecordBatch {
    let texts = |of: fn(&Raw) -> Option<&str>| -> ArrayRef {
        let texts = rows.iter().map(of);
        match rows.len() % 3 {
            0 => Arc::new(texts.collect::<StringArray>()),
            1 => Arc::new(texts.collect::<StringViewArray>()),
            _ => Arc::new(texts.collect::<DictionaryArray<Int32Type>>()),
        }
    };
    let column = |name: &str| -> ArrayRef {
        match name {
            "person" => match kind {
                UnitKind::Text => texts(|row| row.person.as_deref()),
                UnitKind::Signed => Arc::new(rows.iter().map(|row| row.person.as_ref()?.parse().ok()).collect::<Int64Array>()),
                UnitKind::Unsigned => Arc::new(rows.iter().map(|row| row.person.as_ref()?.parse().ok()).collect::<UInt64Array>()),
            },
            "month" => texts(|row| row.month.as_deref()),
            "home" => texts(|row| row.home.as_deref()),
            "km" => {
                let tenths = rows.iter().map(|row| row.km.map(i128::from)).collect::<Decimal128Array>();
                Arc::new(tenths.with_precision_and_scale(38, 1).unwrap())
            }
            "train" => Arc::new(rows.iter().map(|row| row.train).collect::<BooleanArray>()),
            _ => Arc::new(rows.iter().map(|row| row.at).collect::<TimestampSecondArray>()),
        }
    };
    RecordBatch::try_from_iter_with_nullable(names.iter().map(|name| (*name, column(name), true))).unwrap()
}
