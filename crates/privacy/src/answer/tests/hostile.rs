//! Releases that no holder made: the result is a table of the right shape or an error.

use super::super::{AnswerError, check, consistent_table, expected_margins, expected_rank_margins, margin, table};
use crate::fixture::{boxed, column, counting, key, key_column, measured, plan_of, release, set, ten};
use commun_domain::attempt::OutputNoise;
use commun_domain::calendar::Period;
use commun_domain::plan::{
    Aggregate, AnswerColumn, AnswerCondition, AnswerValue, CompareOp, Estimate, GroupingSet, Key, KeyKind, KeySource, Nulls, PrivatePlan,
    SortKey, Value,
};
use commun_domain::release::ResultRelease;
use proptest::prelude::*;
use proptest::sample::select;

fn aggregates() -> impl Strategy<Value = Aggregate> {
    let bounds = prop_oneof![Just((0, 100)), Just((-50, 50)), Just((3, 3)), any::<(i64, i64)>()];
    (0..6usize, bounds, 0u8..20, 0u32..3, prop_oneof![0u8..4, any::<u8>()]).prop_map(|(which, (lo, hi), scale, linf, bins_log2)| {
        let (measured, max_rows_per_person) = (measured(lo, hi, scale), linf);
        match which {
            0 => Aggregate::CountUnits,
            1 => Aggregate::CountRows { max_rows_per_person },
            2 => Aggregate::Sum { measured, max_rows_per_person },
            3 => Aggregate::CentredSum { measured, max_rows_per_person },
            4 => Aggregate::CentredSquares { measured, max_rows_per_person },
            _ => Aggregate::Histogram { measured, bins_log2, max_rows_per_person },
        }
    })
}

/// Outputs that fit each other, so that every kind of estimate is met: count, centred sum, squares, histogram, sum.
fn fitting() -> Vec<Aggregate> {
    let (m, max_rows_per_person) = (measured(-20, 75, 1), 2);
    vec![
        Aggregate::CountRows { max_rows_per_person },
        Aggregate::CentredSum { measured: m.clone(), max_rows_per_person },
        Aggregate::CentredSquares { measured: m.clone(), max_rows_per_person },
        Aggregate::Histogram { measured: m, bins_log2: 3, max_rows_per_person },
        Aggregate::Sum { measured: measured(0, 9, 0), max_rows_per_person },
    ]
}

fn estimates() -> impl Strategy<Value = Estimate> {
    let leaf = prop_oneof![
        2 => select(vec![0u16, 1, 2, 4]).prop_map(Estimate::Output),
        1 => (any::<i64>(), 0u8..19).prop_map(|(units, scale)| Estimate::Constant { units, scale }),
        1 => Just(Estimate::Mean { count: 0, centred: 1 }),
        1 => any::<(bool, bool)>().prop_map(|(sample, root)| Estimate::Variance { count: 0, centred: 1, squares: 2, sample, root }),
        1 => (0u32..=1_000_000).prop_map(|fraction| Estimate::Quantile { histogram: 3, fraction }),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let pair = (inner.clone(), inner.clone()).prop_map(|(left, right)| (boxed(left), boxed(right)));
        let several = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            (0..5usize, pair).prop_map(|(which, (left, right))| match which {
                0 => Estimate::Add(left, right),
                1 => Estimate::Subtract(left, right),
                2 => Estimate::Multiply(left, right),
                3 => Estimate::Divide(left, right),
                _ => Estimate::NullIf(left, right),
            }),
            (0..3usize, several).prop_map(|(which, parts)| match which {
                0 => Estimate::Least(parts),
                1 => Estimate::Greatest(parts),
                _ => Estimate::Coalesce(parts),
            }),
            (inner, 0u8..19).prop_map(|(part, digits)| Estimate::Round(boxed(part), digits)),
        ]
    })
}

fn conditions() -> impl Strategy<Value = AnswerCondition> {
    let op = select(vec![CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge]);
    prop_oneof![
        (op.clone(), estimates(), estimates()).prop_map(|(op, left, right)| AnswerCondition::Compare { op, left, right }),
        estimates().prop_map(AnswerCondition::IsNull),
        (op, 0u64..4).prop_map(|(op, value)| AnswerCondition::Grouping { keys: vec![1, 0], op, value }),
    ]
    .prop_recursive(2, 6, 3, |inner| {
        let parts = prop::collection::vec(inner.clone(), 0..3);
        prop_oneof![
            parts.clone().prop_map(AnswerCondition::And),
            parts.prop_map(AnswerCondition::Or),
            inner.prop_map(|part| AnswerCondition::Not(Box::new(part))),
        ]
    })
}

fn values() -> impl Strategy<Value = AnswerValue> {
    prop_oneof![
        2 => (0u16..2).prop_map(AnswerValue::Key),
        1 => prop::collection::vec(0u16..2, 0..3).prop_map(AnswerValue::Grouping),
        4 => estimates().prop_map(AnswerValue::Estimate),
    ]
}

fn sort_keys() -> impl Strategy<Value = SortKey> {
    (values(), any::<bool>(), select(vec![Nulls::First, Nulls::Last])).prop_map(|(value, descending, nulls)| SortKey {
        value,
        descending,
        nulls,
    })
}

prop_compose! {
    fn plans()(
        columns in prop::collection::vec(values(), 0..4),
        having in prop::option::of(conditions()),
        order in prop::collection::vec(sort_keys(), 0..3),
        sets in prop::collection::vec(select(vec![set(&[]), set(&[0]), set(&[1]), set(&[0, 1])]), 0..4),
        offset in prop_oneof![4 => 0u64..3, 1 => any::<u64>()],
        limit in prop::option::of(prop_oneof![0u64..5, any::<u64>()]),
    ) -> PrivatePlan {
        PrivatePlan {
            keys: vec![key("a", &["x", "y"], KeyKind::Text), key("b", &["1", "2", "3"], KeyKind::Number)],
            columns: columns.into_iter().map(|value| AnswerColumn { name: "c".into(), value }).collect(),
            grouping_sets: sets,
            having, order, offset, limit,
            ..plan_of(fitting())
        }
    }
}

fn noise() -> impl Strategy<Value = OutputNoise> {
    (-64..=64i32, any::<u64>(), any::<u64>()).prop_map(|(gamma_log2, d, s2)| OutputNoise { gamma_log2, d, s2 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_numbers_make_a_table_of_the_plan_s_shape(
        plan in plans(),
        noise in prop::collection::vec(prop_oneof![Just(ten(-2)), noise()], 5),
        small in prop::collection::vec(-40i64..400, 30 + 90),
        wild in prop::option::of((prop::sample::Index::arbitrary(), any::<i64>())),
    ) {
        let mut cells = small;
        if let Some((place, value)) = wild {
            let place = place.index(cells.len());
            cells[place] = value;
        }
        let sums = vec![cells[..6].to_vec(), cells[6..12].to_vec(), cells[12..18].to_vec(), cells[18..108].to_vec(), cells[108..114].to_vec()];
        let estimates = plan.columns.iter().filter(|column| matches!(column.value, AnswerValue::Estimate(_))).count();
        let (columns, limit) = (plan.columns.len(), plan.limit);
        let release = release(plan, noise, sums);
        let table = table(&release, true).unwrap();
        prop_assert_eq!(table.columns.len(), columns + estimates);
        prop_assert!(table.rows.iter().all(|row| row.len() == columns + estimates));
        prop_assert!(limit.is_none_or(|limit| table.rows.len() as u64 <= limit));
        prop_assert!(!table.rows.iter().flatten().any(|cell| cell.contains("NaN") || cell.contains("inf")));
        let consistent = consistent_table(&release).unwrap();
        prop_assert!(consistent.rows.iter().all(|row| row.len() == columns));
        prop_assert!(expected_margins(&release.plan, &release.noise, 3, Some(100)).is_ok());
        prop_assert!(expected_rank_margins(&release.plan, &release.noise, 3).is_ok());
    }

    #[test]
    fn outputs_that_do_not_fit_are_errors_not_panics(
        plan in plans(), outputs in prop::collection::vec(aggregates(), 0..6), cells in prop::collection::vec(0..20usize, 0..6), value: i64,
        noise in prop::collection::vec((any::<i32>(), any::<u64>()), 0..6), participants in 0usize..3,
    ) {
        let plan = PrivatePlan { outputs: plan_of(outputs).outputs, ..plan };
        let noise = noise.into_iter().map(|(gamma_log2, s2)| OutputNoise { gamma_log2, d: 1, s2 }).collect();
        let sums = cells.into_iter().map(|cells| vec![value; cells]).collect();
        let release = ResultRelease { participants: vec![String::new(); participants], ..release(plan, noise, sums) };
        let _ = (table(&release, true), consistent_table(&release), check(&release.plan), margin(&release, 1, 3));
        let _ = (expected_margins(&release.plan, &release.noise, u32::MAX, Some(u64::MAX)), expected_rank_margins(&release.plan, &release.noise, 0));
    }
}

fn refused(plan: PrivatePlan) -> AnswerError {
    let sums = vec![vec![1; usize::try_from(plan.cells().unwrap_or(1)).unwrap()]; plan.outputs.len()];
    let noise = vec![ten(0); plan.outputs.len()];
    let error = check(&plan).unwrap_err();
    assert_eq!(table(&release(plan, noise, sums), true), Err(error.clone()));
    error
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let good = || release(counting(), vec![ten(0)], vec![vec![1]]);
    assert!(table(&good(), true).is_ok());
    for (bad, what) in [
        (release(counting(), vec![ten(0)], vec![]), "number of outputs"),
        (release(counting(), vec![], vec![vec![1]]), "number of outputs"),
        (release(counting(), vec![ten(0)], vec![vec![1, 2]]), "number of cells"),
        (release(counting(), vec![ten(65)], vec![vec![1]]), "lattice step"),
        (release(counting(), vec![ten(i32::MIN)], vec![vec![1]]), "lattice step"),
        (ResultRelease { participants: vec![], ..good() }, "number of holders"),
    ] {
        assert_eq!(table(&bad, true), Err(AnswerError::Shape(what)));
        assert_eq!(consistent_table(&bad), Err(AnswerError::Shape(what)));
    }
}

#[test]
fn plans_whose_answer_refers_to_nothing_are_refused_before_they_are_paid() {
    let of = |estimate| PrivatePlan { columns: vec![column("x", estimate)], ..plan_of(fitting()) };
    let deep = (0..200).fold(Estimate::Output(0), |inner, _| Estimate::Round(boxed(inner), 1));
    for estimate in [
        Estimate::Output(5),
        Estimate::Output(3),
        Estimate::Mean { count: 1, centred: 1 },
        Estimate::Mean { count: 0, centred: 2 },
        Estimate::Variance { count: 0, centred: 1, squares: 1, sample: true, root: false },
        Estimate::Quantile { histogram: 0, fraction: 1 },
        Estimate::Quantile { histogram: 3, fraction: 1_000_001 },
        Estimate::Round(boxed(Estimate::Output(0)), 19),
        Estimate::Constant { units: 1, scale: 19 },
        deep,
    ] {
        assert!(matches!(refused(of(estimate)), AnswerError::Plan(_)));
    }
    // A mean of people who weigh otherwise in the count.
    let mut unequal = of(Estimate::Mean { count: 0, centred: 1 });
    unequal.outputs[0].aggregate = Aggregate::CountUnits;
    assert!(matches!(refused(unequal), AnswerError::Plan(_)));

    let labelled = |values| Key {
        name: "a".into(),
        source: KeySource::Values { value: Value::Null, values, labels: vec!["x".into(), "y".into()], kind: KeyKind::Text },
    };
    let keyed = || PrivatePlan { keys: vec![key("a", &["x", "y"], KeyKind::Text)], ..counting() };
    let unknown = |keys: &[u16]| PrivatePlan { grouping_sets: vec![GroupingSet { keys: keys.to_vec() }], ..keyed() };
    for plan in [
        unknown(&[1]),
        unknown(&[0, 0]),
        PrivatePlan { columns: vec![key_column("b", 1)], ..keyed() },
        PrivatePlan { keys: vec![key("a", &[], KeyKind::Text)], ..counting() },
        PrivatePlan { keys: vec![key("a", &["x"], KeyKind::Text); 64], ..counting() },
        PrivatePlan { keys: vec![key("a", &["x", "x"], KeyKind::Text)], ..counting() },
        PrivatePlan { keys: vec![labelled(vec![1, 0])], ..counting() },
        PrivatePlan { keys: vec![labelled(vec![0, 0])], ..counting() },
        PrivatePlan { keys: vec![labelled(vec![0, 1, 2])], ..counting() },
        PrivatePlan { partitions: vec![Period(2), Period(2)], ..counting() },
        PrivatePlan { having: Some(AnswerCondition::IsNull(Estimate::Output(1))), ..counting() },
        PrivatePlan {
            having: Some((0..200).fold(AnswerCondition::And(vec![]), |part, _| AnswerCondition::Not(Box::new(part)))),
            ..counting()
        },
    ] {
        assert!(matches!(refused(plan), AnswerError::Plan(_)));
    }
}

#[test]
fn an_answer_of_too_many_numbers_is_refused() {
    let labels: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let keys = vec![key("a", &labels, KeyKind::Number), key("b", &labels, KeyKind::Number)];
    let sets = |count| PrivatePlan { keys: keys.clone(), grouping_sets: vec![set(&[0, 1]); count], ..counting() };
    assert_eq!(check(&sets(33)), Ok(()));
    assert_eq!(check(&sets(34)), Err(AnswerError::TooLarge));
    let three = PrivatePlan { keys: [keys.clone(), vec![key("c", &["x", "y"], KeyKind::Text)]].concat(), ..counting() };
    assert_eq!(check(&three), Err(AnswerError::TooLarge));
}
