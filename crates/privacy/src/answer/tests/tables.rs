//! Tables of small releases, by hand.

use super::super::{
    AnswerError, AnswerTable, Cell, ColumnKind, clipped_people, consistent_table, expected_clipped_margin, expected_margins,
    expected_rank_margins, margin, table, typed_table,
};
use crate::fixture::{boxed, column, constant, counting, divide, key, key_column, measured, plan_of, release, rows, set, sum, ten};
use commun_domain::attempt::OutputNoise;
use commun_domain::plan::{
    Aggregate, AnswerColumn, AnswerCondition, AnswerValue, Clipped, CompareOp, Estimate, Key, KeyKind, KeySource, Nulls, PrivatePlan,
    SortKey,
};
use commun_domain::release::ResultRelease;

/// Region and age, 2 by 3 cells: people and their kilometres, tenths in quarter steps.
fn grid() -> PrivatePlan {
    PrivatePlan {
        keys: vec![key("region", &["b", "a"], KeyKind::Text), key("age", &["9", "10", "11"], KeyKind::Number)],
        columns: vec![key_column("region", 0), key_column("age", 1), column("n", Estimate::Output(0)), column("km", Estimate::Output(1))],
        ..plan_of(vec![Aggregate::CountUnits, sum(0, 100, 1)])
    }
}

fn of_grid(plan: PrivatePlan) -> ResultRelease {
    release(plan, vec![ten(0), ten(-2)], vec![vec![10, 20, 30, 40, 50, 60], vec![-13, 0, 4, 400, 2, 1]])
}

fn texts(table: &AnswerTable) -> Vec<String> {
    table.rows.iter().map(|row| row.join("|")).collect()
}

fn rows_of(plan: PrivatePlan) -> Vec<String> {
    texts(&table(&of_grid(plan), false).unwrap())
}

fn order(value: AnswerValue, descending: bool, nulls: Nulls) -> SortKey {
    SortKey { value, descending, nulls }
}

fn compare(op: CompareOp, left: Estimate, right: Estimate) -> AnswerCondition {
    AnswerCondition::Compare { op, left, right }
}

#[test]
fn raw_numbers_are_written_exactly_in_grid_order_with_their_margins() {
    let table = table(&of_grid(grid()), true).unwrap();
    assert_eq!(table.columns, ["region", "age", "n", "n_moe", "km", "km_moe"]);
    assert_eq!(table.rows[0], ["b", "9", "10", "19.6", "-0.325", "0.49"]);
    assert_eq!(table.rows[3], ["a", "9", "40", "19.6", "10", "0.49"]);
    assert_eq!(table.rows[5], ["a", "11", "60", "19.6", "0.025", "0.49"]);
    assert_eq!(table.rows.len(), 6);
    // Four holders: twice the deviation.
    let four = ResultRelease { participants: vec![String::new(); 4], ..of_grid(grid()) };
    assert_eq!(super::super::table(&four, true).unwrap().rows[0][3], "39.2");
    assert_eq!(margin(&four, 1, 4).map(|margin| (margin * 1e6).round()), Some(980_000.0));
    assert_eq!(margin(&four, 2, 4), None);
}

#[test]
fn a_typed_table_has_the_same_rows_and_says_what_they_are() {
    let typed = typed_table(&of_grid(grid()), true).unwrap();
    let kinds: Vec<ColumnKind> = typed.columns.iter().map(|column| column.kind).collect();
    let estimate = [ColumnKind::Estimate, ColumnKind::Margin];
    assert_eq!(kinds, [&[ColumnKind::Key(KeyKind::Text), ColumnKind::Key(KeyKind::Number)][..], &estimate, &estimate].concat());
    assert_eq!(typed.texts(), table(&of_grid(grid()), true).unwrap());
    assert!(matches!(typed.rows[0][4], Cell::Exact(exact) if (exact.to_f64() + 0.325).abs() < 1e-15));
}

#[test]
fn clipped_people_are_read_beside_the_table_and_change_nothing_in_it() {
    let asked = PrivatePlan { clipped: Some(Clipped { share_num: 1, share_den: 20 }), ..grid() };
    let plain = of_grid(grid());
    let sums = |clipped: Vec<i64>| vec![plain.sums[0].cells.clone(), plain.sums[1].cells.clone(), clipped];
    let with = release(asked.clone(), vec![ten(0), ten(-2), ten(-1)], sums(vec![-7]));
    assert_eq!(table(&with, true), table(&plain, true));
    let people = |release: &ResultRelease| {
        let found = clipped_people(release).unwrap().into_iter();
        found.map(|clipped| (clipped.period, clipped.people, (clipped.margin * 1e3).round())).collect::<Vec<_>>()
    };
    // Half steps of a standard deviation of ten: ± 1.96 times five.
    assert_eq!(people(&with), [(None, -3.5, 9_800.0)]);
    let four = ResultRelease { participants: vec![String::new(); 4], ..with.clone() };
    assert_eq!(people(&four), [(None, -3.5, 19_600.0)]);
    assert_eq!(people(&plain), []);
    assert_eq!(expected_clipped_margin(&asked, &with.noise, 4).map(|margin| (margin * 1e3).round()), Some(19_600.0));
    assert_eq!(expected_clipped_margin(&plain.plan, &with.noise, 4), None);
    for bad in [sums(vec![]), sums(vec![1, 2]), plain.sums.iter().map(|sums| sums.cells.clone()).collect()] {
        let bad = release(asked.clone(), vec![ten(0), ten(-2), ten(-1)], bad);
        assert!(matches!(clipped_people(&bad), Err(AnswerError::Shape(_))), "{bad:?}");
    }
    let too_fine = release(asked.clone(), vec![ten(0), ten(-2), ten(-200)], sums(vec![1]));
    assert!(matches!(clipped_people(&too_fine), Err(AnswerError::Shape(_))));
    // By period, where the table is.
    let month = Key { name: "month".into(), source: KeySource::Partition };
    let by_month = PrivatePlan { keys: vec![month], ..PrivatePlan { clipped: asked.clipped, ..counting() } };
    let by_month = release(by_month, vec![ten(0), ten(0)], vec![vec![1, 2], vec![30, 40]]);
    assert_eq!(people(&by_month), [(Some("2011-01".to_owned()), 30.0, 19_600.0), (Some("2011-02".to_owned()), 40.0, 19_600.0)]);
}

#[test]
fn grouping_sets_add_up_cells_and_their_noise_and_leave_other_keys_null() {
    let mut plan = PrivatePlan { grouping_sets: vec![set(&[0]), set(&[1]), set(&[]), set(&[0, 1])], ..grid() };
    plan.columns.push(AnswerColumn { name: "g".into(), value: AnswerValue::Grouping(vec![0, 1]) });
    let table = table(&of_grid(plan), true).unwrap();
    assert_eq!(table.rows.len(), 2 + 3 + 1 + 6);
    let n = |row: usize| table.rows[row][..4].to_vec();
    // Three cells: sqrt(3) times 19.6; two; six.
    assert_eq!(n(0), ["b", "", "60", "33.948196"]);
    assert_eq!(n(1), ["a", "", "150", "33.948196"]);
    assert_eq!(n(3), ["", "10", "70", "27.718586"]);
    assert_eq!(n(5), ["", "", "210", "48.009999"]);
    assert_eq!(n(6), ["b", "9", "10", "19.6"]);
    assert_eq!(table.rows[1][4], "10.075");
    let groupings: Vec<&str> = table.rows.iter().map(|row| row[6].as_str()).collect();
    assert_eq!(groupings, ["1", "1", "2", "2", "2", "3", "0", "0", "0", "0", "0", "0"]);
}

#[test]
fn an_output_that_occurs_twice_is_one_number() {
    let n = || boxed(Estimate::Output(0));
    let km = || boxed(Estimate::Output(1));
    let zero = Estimate::Subtract(n(), n());
    let twice = Estimate::Add(n(), n());
    let both = Estimate::Subtract(boxed(Estimate::Multiply(boxed(constant(3)), n())), boxed(Estimate::Add(n(), km())));
    let one = divide(Estimate::Output(0), Estimate::Output(0));
    let plan =
        PrivatePlan { columns: vec![column("zero", zero), column("twice", twice), column("both", both), column("one", one)], ..grid() };
    let table = table(&of_grid(plan), true).unwrap();
    // A ratio of a number with itself has no error where it is known not to be 0: 30 +- 19.6 is.
    assert_eq!(table.rows[2], ["0", "0", "60", "39.2", "59.9", "39.203062", "1", "0"]);
    assert_eq!(table.rows[0][6..], ["1", ""]);
}

#[test]
fn a_ratio_too_noisy_to_tell_has_a_value_and_no_margin_and_one_without_a_value_has_neither() {
    let share = || divide(Estimate::Output(1), Estimate::Output(0));
    let percent = Estimate::Round(boxed(Estimate::Multiply(boxed(constant(100)), boxed(share()))), 1);
    let plan = PrivatePlan { columns: vec![column("share", share()), column("percent", percent)], ..grid() };
    let mut release = of_grid(plan);
    release.sums[0].cells = vec![0, 10, 200, 200, -100, 1000];
    release.sums[1].cells = vec![400, 400, 400, 2000, 400, 400];
    let table = table(&release, true).unwrap();
    assert_eq!(table.rows[0], ["", "", "", ""]);
    assert_eq!(table.rows[1], ["1", "", "100", ""]);
    // 10 / 200 with deviations .25 and 10.
    let half = crate::intervals::fieller(10.0, 200.0, (0.0625, 100.0), 0.0, 1.96).unwrap();
    assert_eq!(table.rows[2][0], "0.05");
    assert!((table.rows[2][1].parse::<f64>().unwrap() - half).abs() < 1e-6);
    // Rounding to a tenth moves it by half a tenth more.
    assert_eq!(table.rows[2][2], "5");
    assert!((table.rows[2][3].parse::<f64>().unwrap() - (100.0 * half + 0.05)).abs() < 1e-5);
}

#[test]
fn rows_are_those_for_which_having_is_true_not_unknown() {
    let n = Estimate::Output(0);
    let unknown = || compare(CompareOp::Gt, divide(constant(1), constant(0)), constant(0));
    let large = || compare(CompareOp::Gt, n.clone(), constant(30));
    let shown = |having| rows_of(PrivatePlan { having: Some(having), columns: vec![column("n", n.clone())], ..grid() });
    assert_eq!(shown(large()), ["40", "50", "60"]);
    assert_eq!(shown(AnswerCondition::Not(Box::new(large()))), ["10", "20", "30"]);
    let none: [&str; 0] = [];
    assert_eq!(shown(unknown()), none);
    assert_eq!(shown(AnswerCondition::Not(Box::new(unknown()))), none);
    assert_eq!(shown(AnswerCondition::Or(vec![unknown(), large()])), ["40", "50", "60"]);
    assert_eq!(shown(AnswerCondition::And(vec![unknown(), large()])), none);
    let not_both = AnswerCondition::Not(Box::new(AnswerCondition::And(vec![unknown(), large()])));
    assert_eq!(shown(not_both), ["10", "20", "30"]);
    assert_eq!(shown(AnswerCondition::And(vec![])).len(), 6);
    assert_eq!(shown(AnswerCondition::Or(vec![])), none);
    assert_eq!(shown(AnswerCondition::IsNull(Estimate::NullIf(boxed(n.clone()), boxed(constant(20))))), ["20"]);
    let sets = vec![set(&[0]), set(&[])];
    let total = AnswerCondition::Grouping { keys: vec![0, 1], op: CompareOp::Eq, value: 3 };
    let plan = PrivatePlan { grouping_sets: sets, having: Some(total), columns: vec![column("n", n.clone())], ..grid() };
    assert_eq!(rows_of(plan), ["210"]);
}

#[test]
fn rows_are_ordered_by_the_kind_of_key_with_nulls_as_said_and_ties_in_grid_order() {
    let ordered =
        |order, sets| rows_of(PrivatePlan { order, grouping_sets: sets, columns: vec![key_column("r", 0), key_column("a", 1)], ..grid() });
    // Text by its bytes, numbers as the grid has them ("9" before "10").
    let by_region = order(AnswerValue::Key(0), false, Nulls::Last);
    let by_age = order(AnswerValue::Key(1), true, Nulls::First);
    assert_eq!(ordered(vec![by_region.clone(), by_age.clone()], vec![]), ["a|11", "a|10", "a|9", "b|11", "b|10", "b|9"]);
    assert_eq!(ordered(vec![by_age.clone()], vec![]), ["b|11", "a|11", "b|10", "a|10", "b|9", "a|9"]);
    let sets = || vec![set(&[0]), set(&[1]), set(&[])];
    assert_eq!(ordered(vec![by_region], sets()), ["a|", "b|", "|9", "|10", "|11", "|"]);
    assert_eq!(ordered(vec![by_age], sets()), ["b|", "a|", "|", "|11", "|10", "|9"]);
    let by_level = order(AnswerValue::Grouping(vec![1, 0]), true, Nulls::Last);
    assert_eq!(ordered(vec![by_level], sets()), ["|", "b|", "a|", "|9", "|10", "|11"]);
}

#[test]
fn the_largest_rows_are_sorted_then_skipped_then_limited() {
    let by_km = order(AnswerValue::Estimate(Estimate::Output(1)), true, Nulls::Last);
    let top = |offset, limit| {
        let columns = vec![column("km", Estimate::Output(1))];
        rows_of(PrivatePlan { order: vec![by_km.clone()], offset, limit, columns, ..grid() })
    };
    assert_eq!(top(0, Some(3)), ["10", "0.1", "0.05"]);
    assert_eq!(top(1, Some(2)), ["0.1", "0.05"]);
    assert_eq!(top(5, None), ["-0.325"]);
    assert!(top(6, None).is_empty() && top(0, Some(0)).is_empty() && top(u64::MAX, Some(u64::MAX)).is_empty());
    let nulls = |nulls| {
        let value = Estimate::NullIf(boxed(Estimate::Output(0)), boxed(constant(20)));
        let order = vec![order(AnswerValue::Estimate(value.clone()), true, nulls)];
        rows_of(PrivatePlan { order, columns: vec![column("n", value)], ..grid() })
    };
    assert_eq!(nulls(Nulls::First), ["", "60", "50", "40", "30", "10"]);
    assert_eq!(nulls(Nulls::Last), ["60", "50", "40", "30", "10", ""]);
}

#[test]
fn partitions_are_keys_in_their_own_order() {
    let partition = Key { name: "month".into(), source: KeySource::Partition };
    let by_month = order(AnswerValue::Key(0), true, Nulls::Last);
    let columns = vec![key_column("month", 0), column("n", Estimate::Output(0))];
    let plan = PrivatePlan { keys: vec![partition], columns, order: vec![by_month], ..counting() };
    let release = release(plan, vec![ten(0)], vec![vec![5, 7]]);
    assert_eq!(texts(&table(&release, false).unwrap()), ["2011-02|7", "2011-01|5"]);
}

#[test]
fn functions_of_estimates_follow_sql() {
    let n = || Estimate::Output(0);
    let null = || divide(constant(1), constant(0));
    let half = Estimate::Constant { units: 25, scale: 1 };
    let cases = [
        (Estimate::Round(boxed(half.clone()), 0), "3"),
        (Estimate::Round(boxed(Estimate::Subtract(boxed(constant(0)), boxed(half))), 0), "-3"),
        (Estimate::Round(boxed(divide(n(), constant(3))), 2), "3.33"),
        (Estimate::Least(vec![null(), n(), constant(7)]), "7"),
        (Estimate::Greatest(vec![null(), n(), constant(7)]), "10"),
        (Estimate::Least(vec![null(), null()]), ""),
        (Estimate::Greatest(vec![]), ""),
        (Estimate::Coalesce(vec![null(), constant(4)]), "4"),
        (Estimate::Coalesce(vec![null()]), ""),
        (Estimate::NullIf(boxed(n()), boxed(constant(10))), ""),
        (Estimate::NullIf(boxed(n()), boxed(null())), "10"),
        (Estimate::Multiply(boxed(n()), boxed(n())), "100"),
        (Estimate::Add(boxed(null()), boxed(n())), ""),
    ];
    for (estimate, expected) in cases {
        let plan = PrivatePlan { columns: vec![column("x", estimate.clone())], ..grid() };
        assert_eq!(table(&of_grid(plan), true).unwrap().rows[0][0], expected, "{estimate:?}");
    }
}

#[test]
fn a_coalesced_ratio_has_the_margin_of_the_part_that_is_shown() {
    let share = || divide(Estimate::Output(1), Estimate::NullIf(boxed(Estimate::Output(0)), boxed(constant(0))));
    let not_zero = Estimate::NullIf(boxed(Estimate::Output(0)), boxed(constant(0)));
    let columns = vec![
        column("share", share()),
        column("or_zero", Estimate::Coalesce(vec![share(), constant(0)])),
        column("or_km", Estimate::Coalesce(vec![not_zero, Estimate::Output(1)])),
    ];
    let mut release = of_grid(PrivatePlan { columns, ..grid() });
    release.sums[0].cells = vec![0, 100, 100, 100, 100, 100];
    let rows = table(&release, true).unwrap().rows;
    assert_eq!(rows[0], ["", "", "0", "0", "-0.325", "0.49"]);
    assert_eq!(rows[3][..2], rows[3][2..4]);
    assert_eq!(rows[3][4..], ["100", "19.6"]);
    assert!(!rows[3][1].is_empty());
}

#[test]
fn consistent_counts_are_whole_not_negative_and_add_up_while_others_stay() {
    let mut plan = PrivatePlan { grouping_sets: vec![set(&[0, 1]), set(&[0]), set(&[])], ..grid() };
    plan.columns.push(column("each", divide(Estimate::Output(1), Estimate::Output(0))));
    let mut release = of_grid(plan);
    release.noise[0].gamma_log2 = -2;
    release.sums[0].cells = vec![-9, 41, 18, 7, 0, 22];
    let shown = consistent_table(&release).unwrap().texts();
    assert_eq!(shown.columns, ["region", "age", "n", "km", "each"]);
    let n: Vec<i64> = shown.rows.iter().map(|row| row[2].parse().unwrap()).collect();
    assert!(n.iter().all(|n| *n >= 0));
    // The total is 79 quarters: 20 people.
    assert_eq!((n[8], n[6] + n[7], n[..6].iter().sum()), (20, 20, 20));
    assert_eq!((n[6], n[7]), (n[..3].iter().sum(), n[3..6].iter().sum()));
    assert_eq!(shown.rows[0][3], "-0.325");
    // No people, so no kilometres each.
    assert_eq!((n[0], shown.rows[0][4].as_str()), (0, ""));
}

#[test]
fn margins_before_payment_are_those_of_the_release_for_sums_and_a_bound_for_means() {
    let measured = measured(0, 100, 0);
    let centred = Aggregate::CentredSum { measured, max_rows_per_person: 1 };
    let mean = || Estimate::Mean { count: 0, centred: 1 };
    let columns = vec![
        column("n", Estimate::Output(0)),
        column("more", Estimate::Subtract(boxed(Estimate::Output(0)), boxed(constant(5)))),
        column("avg", mean()),
        column("avg1", Estimate::Round(boxed(mean()), 1)),
        column("share", divide(Estimate::Output(0), Estimate::Output(1))),
    ];
    let plan = PrivatePlan { columns, ..plan_of(vec![rows(1), centred]) };
    // 2^20 values of 100 are 2^27 times .78; a deviation of 10 steps of 2^22 is 20 values of one from the middle.
    let noise = vec![ten(0), ten(22)];
    let found = expected_margins(&plan, &noise, 4, Some(1000)).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["n", "more", "avg", "avg1", "share"]);
    assert_eq!((found[0].1, found[1].1, found[4].1), (Some(39.2), Some(39.2), None));
    let bound = found[2].1.unwrap();
    assert!((found[3].1.unwrap() - bound - 0.05).abs() < 1e-12);
    assert_eq!(expected_margins(&plan, &noise, 4, None).unwrap()[2].1, None);
    assert_eq!(expected_margins(&plan, &noise, 4, Some(30)).unwrap()[2].1, None);
    assert_eq!(expected_margins(&plan, &noise[1..], 4, None), Err(AnswerError::Shape("number of outputs")));

    // A mean of 50, 80 or 100 of 1,000 values: s1 = 2^20 * 1000 * (2 mean - 100).
    for (mean, at_bound) in [(50i64, false), (80, false), (100, true)] {
        let sums = vec![vec![1000], vec![(1000 * (2 * mean - 100)) >> 2]];
        let release = ResultRelease { participants: vec![String::new(); 4], ..release(plan.clone(), noise.clone(), sums) };
        let row = table(&release, true).unwrap().rows.remove(0);
        assert_eq!((row[0].as_str(), row[1].as_str(), row[4].as_str()), ("1000", "39.2", mean.to_string().as_str()));
        let margin: f64 = row[5].parse().unwrap();
        assert!(margin < bound + 1e-6 && (margin > bound - 1e-6) == at_bound, "{mean}: {margin} of {bound}");
    }
}

#[test]
fn the_error_of_a_quantile_is_told_in_ranks_before_payment() {
    let histogram = Aggregate::Histogram { measured: measured(0, 999, 0), bins_log2: 10, max_rows_per_person: 1 };
    let median = || Estimate::Quantile { histogram: 0, fraction: 500_000 };
    let columns = vec![column("median", median()), column("whole", Estimate::Round(boxed(median()), 0)), column("one", constant(1))];
    let plan = PrivatePlan { columns, ..plan_of(vec![histogram]) };
    // PRIVACY: 1,024 bins at rho = .01 and one trusted centre; 1.96 times at most 40.7 people.
    let noise = vec![OutputNoise { gamma_log2: 0, d: 1, s2: 551 }];
    let ranks = expected_rank_margins(&plan, &noise, 1).unwrap();
    let names: Vec<&str> = ranks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["median", "whole"]);
    assert!(ranks.iter().all(|(_, margin)| (margin - 1.96 * 40.66).abs() < 0.01), "{ranks:?}");
    let found = expected_margins(&plan, &noise, 1, Some(1000)).unwrap();
    assert_eq!(found.into_iter().map(|(_, margin)| margin).collect::<Vec<_>>(), [None, None, Some(0.0)]);
}

#[test]
fn margins_of_sums_do_not_depend_on_who_computes_them_or_on_what_is_shown_beside() {
    let product = || Estimate::Multiply(boxed(Estimate::Output(0)), boxed(Estimate::Output(0)));
    let all = PrivatePlan { columns: vec![column("p", product())], ..grid() };
    let first = table(&of_grid(all.clone()), true).unwrap();
    assert_eq!(first, table(&of_grid(all.clone()), true).unwrap());
    assert!(first.rows.iter().all(|row| row[1].parse::<f64>().unwrap() > 0.0));
    let other_noise = OutputNoise { s2: 400, ..ten(0) };
    let noisier = ResultRelease { noise: vec![other_noise, ten(-2)], ..of_grid(all) };
    assert_ne!(first, table(&noisier, true).unwrap());
}
