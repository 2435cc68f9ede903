//! What privacy rests on, on the engine's integers and through the real reading path: neighbouring databases give answers within the
//! sensitivity that is priced, and nothing about batches, order or threads changes a result.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use commun_domain::plan::{CompareOp, Condition, PrivatePlan, Value};
use commun_privacy::price;
use proptest::prelude::*;

use crate::Cells;
use crate::model::Case;
use crate::model::random::Dice;
use crate::model::run::{KINDS, Way};
use crate::testing::{LINF, Row, contract, options, over_csv, plan, rich_plan};

const MONTHS: [&str; 2] = ["2011-01", "2011-02"];

/// Squared sensitivity of one cell, per output of the test plans: rows, persons, sum of [-50, 1000].
const DELTA_SQUARED: [i128; 3] = [(LINF as i128).pow(2), 1, (LINF as i128 * 1000).pow(2)];

fn run(rows: &[Row], plan: &PrivatePlan) -> Cells {
    tokio::runtime::Runtime::new().unwrap().block_on(over_csv(rows, plan, options(2, 16)))
}

fn row() -> impl Strategy<Value = Row> {
    let km = prop::sample::select(vec!["", "x", "NaN", "1e300", "-1e300", "99.95", "-3", "0", "5"]);
    let month = prop::sample::select(vec!["2011-01", "2011-02", "2011-03", ""]);
    let home = prop::sample::select(vec!["A", "B", "C", "Z", ""]);
    let train = prop::sample::select(vec!["true", "false", "", "7"]);
    (0..4u8, month, home, km, train).prop_map(|(person, month, home, km, train)| Row::new(&format!("p{person}"), month, home, km, train))
}

fn heavy() -> Vec<Row> {
    let mut rows = Vec::new();
    for number in 0..200 {
        let home = ["A", "B", "C"][number % 3];
        rows.push(Row::new("p0", MONTHS[number % 2], home, ["1e9", "-1e9", ""][number / 7 % 3], ["true", "false"][number / 2 % 2]));
    }
    rows
}

fn km_above_0() -> Condition {
    Condition::Compare { op: CompareOp::Gt, left: Box::new(Value::column("km")), right: Box::new(Value::Constant(0)) }
}

fn filter() -> impl Strategy<Value = Option<Condition>> {
    let not_at_a = Condition::Not(Box::new(Condition::InSet { value: Box::new(Value::column("home")), set: vec![0] }));
    prop::sample::select(vec![None, Some(km_above_0()), Some(not_at_a)])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn removing_one_person_in_one_partition_moves_each_output_by_at_most_its_sensitivity(
        mut rows in prop::collection::vec(row(), 0..40),
        with_heavy in any::<bool>(),
        keys in prop::sample::subsequence(vec!["home", "train", "month"], 0..=3),
        max_groups in 1u32..=3,
        filter in filter(),
        removed in 0..2usize,
    ) {
        if with_heavy {
            rows.extend(heavy());
        }
        let contract = contract();
        let mut plan = rich_plan(&contract, &MONTHS, &keys, max_groups);
        plan.filter = filter;
        let without: Vec<Row> = rows.iter().filter(|row| row.person != "p0" || row.month != MONTHS[removed]).cloned().collect();
        let (all, fewer) = (run(&rows, &plan), run(&without, &plan));
        for (number, output) in plan.outputs.iter().enumerate() {
            let (all, fewer) = (&all.outputs[number], &fewer.outputs[number]);
            prop_assert_eq!(all.len(), fewer.len());
            let distance: i128 = all.iter().zip(fewer).map(|(a, b)| (a - b).pow(2)).sum();
            let priced = price::sensitivity(&output.aggregate).unwrap();
            let most = i128::from(max_groups) * i128::from(priced.levels) * i128::from(priced.delta).pow(2);
            prop_assert!(distance <= most, "{}: {} is above {}", &output.name, distance, most);
            // No number of a cell moves by more than its own sensitivity, and no more groups than L0 move.
            let width = usize::try_from(output.aggregate.width()).unwrap();
            let moved = all.chunks(width).zip(fewer.chunks(width)).filter(|(a, b)| a != b).count();
            prop_assert!(moved <= usize::try_from(max_groups).unwrap());
            prop_assert!(all.iter().zip(fewer).all(|(a, b)| (a - b).unsigned_abs() <= u128::from(priced.delta)));
        }
    }
}

#[test]
fn the_bound_is_reached_so_the_test_above_can_fail() {
    let plan = plan(&contract(), &MONTHS, &["home"], 2);
    let rows: Vec<Row> = heavy().into_iter().map(|row| Row { km: "1e9".to_owned(), ..row }).collect();
    let cells = run(&rows, &plan);
    for (output, delta_squared) in cells.outputs.iter().zip(DELTA_SQUARED) {
        // Two partitions, in each two groups that are as large as they may be.
        let total: i128 = output.iter().sum();
        assert_eq!(total.pow(2), 16 * delta_squared);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn order_batches_and_threads_never_change_a_result() {
    let mut rows = heavy();
    for number in 0..3000 {
        let (month, home) = (MONTHS[number % 2], ["A", "B", "C", "Z"][number * 7 % 4]);
        rows.push(Row::new(&format!("q{}", number * 31 % 700), month, home, &format!("{}.{}", number % 90, number % 10), "true"));
    }
    let plan = plan(&contract(), &MONTHS, &["home"], 1);
    let expected = over_csv(&rows, &plan, options(1, 8192)).await;
    assert!(expected.outputs.iter().all(|output| output.iter().all(|cell| *cell != 0)));
    for (number, stride) in [1usize, 7, 1009].into_iter().enumerate() {
        let mut shuffled: Vec<Row> = (0..rows.len()).map(|place| rows[place * stride % rows.len()].clone()).collect();
        if number % 2 == 1 {
            shuffled.reverse();
        }
        for (threads, batch) in [(1, 1), (2, 100), (5, 8192)] {
            assert!(over_csv(&shuffled, &plan, options(threads, batch)).await == expected, "{stride} {threads} {batch}");
        }
    }
}

#[tokio::test]
async fn a_filter_is_three_valued_and_off_grid_rows_are_dropped() {
    let rows = [
        Row::new("a", "2011-01", "A", "5", "true"),
        Row::new("b", "2011-01", "A", "", "true"),
        Row::new("c", "2011-01", "Z", "5", "true"),
        Row::new("", "2011-01", "A", "5", "true"),
        Row::new("  ", "2011-01", "A", "5", "true"),
        Row::new("d", "2011-03", "A", "5", "true"),
        Row::new("e", "2011-01", "B", "-5", "true"),
    ];
    let mut plan = plan(&contract(), &["2011-01"], &["home"], 1);
    assert_eq!(over_csv(&rows, &plan, options(1, 8)).await.outputs[1], [2, 1, 0]);
    plan.filter = Some(km_above_0());
    assert_eq!(over_csv(&rows, &plan, options(1, 8)).await.outputs, [[1, 0, 0], [1, 0, 0], [50, 0, 0]]);
    plan.filter = Some(Condition::Not(Box::new(km_above_0())));
    assert_eq!(over_csv(&rows, &plan, options(1, 8)).await.outputs, [[0, 1, 0], [0, 1, 0], [0, -50, 0]]);
}

/// Squared distance, output by output, that is priced for one partition: L0 Delta^2 in each level.
fn priced(plan: &PrivatePlan) -> Vec<i128> {
    let squared = |output: &commun_domain::plan::Output| {
        let priced = price::sensitivity(&output.aggregate).unwrap();
        i128::from(plan.max_groups_per_person) * i128::from(priced.levels) * i128::from(priced.delta).pow(2)
    };
    plan.outputs.iter().map(squared).collect()
}

fn distances(a: &[Vec<i128>], b: &[Vec<i128>]) -> Vec<i128> {
    a.iter().zip(b).map(|(a, b)| a.iter().zip(b).map(|(a, b)| (a - b).pow(2)).sum()).collect()
}

/// A question, and whether L0 and Linf bind for the person "0" in a partition.
fn case_with_a_heavy_person(seed: u64) -> (Case, bool, bool) {
    let dice = &mut Dice::new(seed);
    let (rows, persons) = (20 + dice.below(120), 1 + dice.below(4));
    let mut case = Case::random(dice, rows, persons);
    // Squares of what remains fit 128 bits with all their factors.
    case.plan.outputs.retain(|output| price::sensitivity(&output.aggregate).unwrap().delta < 1 << 55);
    if case.plan.outputs.is_empty() {
        case.plan.outputs = plan(&case.contract, &MONTHS, &[], 1).outputs;
    }
    let mine: Vec<_> = case.groups().into_iter().filter(|((person, _), _)| person == "0").collect();
    let l0 = mine.iter().any(|(_, groups)| groups.len() > case.plan.max_groups_per_person as usize);
    let linf = mine.iter().any(|(_, groups)| groups.values().any(|rows| rows.len() > 3));
    (case, l0, linf)
}

#[test]
fn one_person_in_one_partition_moves_a_random_plan_by_at_most_what_is_priced() {
    let (mut l0_binds, mut linf_binds, mut moved, mut reached) = (0, 0, 0, 0);
    for seed in 0..600 {
        let (mut case, l0, linf) = case_with_a_heavy_person(1_000 + seed);
        let way = Way::plain(KINDS[usize::try_from(seed % 3).unwrap()]);
        let all = case.radix(way).outputs;
        let rows = case.rows.clone();
        for period in &case.plan.partitions.clone() {
            let month = case.plan.calendar.format(*period);
            case.rows =
                rows.iter().filter(|row| row.person.as_deref() != Some("0") || row.month.as_deref() != Some(&month)).cloned().collect();
            let fewer = case.radix(way).outputs;
            for (distance, most) in distances(&all, &fewer).into_iter().zip(priced(&case.plan)) {
                assert!(distance <= most, "seed {seed}: {distance} is above {most}: {:?}", case.plan);
                moved += u32::from(distance > 0);
                reached += u32::from(distance == most);
            }
        }
        l0_binds += u32::from(l0);
        linf_binds += u32::from(linf);
    }
    assert!(l0_binds > 200 && linf_binds > 200 && moved > 2_000 && reached > 200, "{l0_binds} {linf_binds} {moved} {reached}");
}

#[test]
fn one_person_in_all_partitions_moves_a_random_plan_by_at_most_p_squared_times_or_p_times_where_the_partition_is_a_key() {
    let (mut l0_binds, mut as_key, mut beyond_one) = (0, 0, 0);
    for seed in 0..600 {
        let (mut case, l0, _) = case_with_a_heavy_person(5_000 + seed);
        let way = Way::plain(KINDS[usize::try_from(seed % 3).unwrap()]);
        let all = case.radix(way).outputs;
        case.rows.retain(|row| row.person.as_deref() != Some("0"));
        let fewer = case.radix(way).outputs;
        let partitions = i128::try_from(case.plan.partitions.len()).unwrap();
        let times = if case.plan.partition_is_key() { partitions } else { partitions.pow(2) };
        for (distance, one) in distances(&all, &fewer).into_iter().zip(priced(&case.plan)) {
            assert!(distance <= times * one, "seed {seed}: {distance} is above {times} times {one}: {:?}", case.plan);
            beyond_one += u32::from(distance > one);
        }
        l0_binds += u32::from(l0);
        as_key += u32::from(case.plan.partition_is_key() && partitions > 1);
    }
    assert!(l0_binds > 200 && as_key > 60 && beyond_one > 300, "{l0_binds} {as_key} {beyond_one}");
}
