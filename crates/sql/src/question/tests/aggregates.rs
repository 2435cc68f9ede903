//! Aggregates, what they share, and what is computed from the answer.

use super::*;

#[test]
fn aggregates_say_what_leaves_and_share_what_they_can() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    let plan = plan(&format!(
        "SELECT COUNT(km), AVG(km), STDDEV(km), SUM(km) / COUNT(km) AS mean, 100.0 * COUNT(*) FILTER (WHERE works) / NULLIF(COUNT(*), 0) AS share {end}"
    ));
    let rows = Aggregate::CountRows { max_rows_per_person: 4 };
    let measured = Measured { value: column("km"), lo: 0, hi: 5000, scale: 1 };
    let kinds: Vec<(Aggregate, bool)> = plan.outputs.iter().map(|o| (o.aggregate.clone(), o.condition.is_some())).collect();
    let expected = [
        (rows.clone(), true),
        (Aggregate::CentredSum { measured: measured.clone(), max_rows_per_person: 4 }, false),
        (Aggregate::CentredSquares { measured: measured.clone(), max_rows_per_person: 4 }, false),
        (Aggregate::Sum { measured, max_rows_per_person: 4 }, false),
        (rows.clone(), true),
        (rows, false),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(values(&plan)[1], AnswerValue::Estimate(Estimate::Mean { count: 0, centred: 1 }));
    let deviation = Estimate::Variance { count: 0, centred: 1, squares: 2, sample: true, root: true };
    assert_eq!(values(&plan)[2], AnswerValue::Estimate(deviation));
    let names: Vec<&str> = plan.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["count_km", "avg_km", "stddev_km", "mean", "share"]);
    assert!(plan.outputs.iter().all(|output| (output.share_num, output.share_den) == (1, 6)));
}

#[test]
fn quantiles_have_one_histogram_and_not_more_bins_than_values() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    let sql = format!(
        "SELECT MEDIAN(km) AS m, APPROX_PERCENTILE_CONT(km, 0.9) AS p, PERCENTILE_CONT(0.1) WITHIN GROUP (ORDER BY km DESC) AS q {end}"
    );
    let plan = plan(&sql);
    assert_eq!(plan.outputs.len(), 1);
    assert!(matches!(plan.outputs[0].aggregate, Aggregate::Histogram { bins_log2: 10, .. }));
    let fractions: Vec<AnswerValue> =
        [500_000, 900_000, 900_000].map(|fraction| AnswerValue::Estimate(Estimate::Quantile { histogram: 0, fraction })).to_vec();
    assert_eq!(values(&plan), fractions);
    let bins = |sql: &str| match compile(&format!("SELECT {sql}"), &contract(), &settings(1)).unwrap().outputs[0].aggregate {
        Aggregate::Histogram { bins_log2, .. } => bins_log2,
        ref other => panic!("{other:?}"),
    };
    assert_eq!(bins(&format!("MEDIAN(trips) {end}")), 7);
    // 5001 groups of 2^k bins within a million cells.
    assert_eq!(bins(&format!("MEDIAN(trips), km {end} GROUP BY km")), 6);
}

#[test]
fn what_is_computed_from_the_answer_is_in_the_plan_and_costs_nothing() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    let sql = format!(
        "SELECT home_arr, mode, COUNT(*) AS n, GROUPING(mode) AS g {end} GROUP BY ROLLUP (home_arr, mode) \
         HAVING COUNT(*) > 10 AND NOT n > 1000 OR GROUPING(home_arr, mode) = 3 ORDER BY n DESC, home_arr NULLS FIRST LIMIT 5 OFFSET 2"
    );
    let plan = plan(&sql);
    assert_eq!(plan.outputs.len(), 1);
    assert_eq!(plan.grouping_sets.iter().map(|set| set.keys.clone()).collect::<Vec<_>>(), [vec![0, 1], vec![0], vec![]]);
    assert_eq!((plan.limit, plan.offset), (Some(5), 2));
    assert_eq!(plan.order.len(), 2);
    assert!(plan.order[0].descending && plan.order[0].nulls == commun_domain::plan::Nulls::First);
    assert_eq!(plan.order[1].value, AnswerValue::Key(0));
    assert!(matches!(plan.having, Some(commun_domain::plan::AnswerCondition::Or(ref parts)) if parts.len() == 2));
    let sets = |group_by: &str| {
        let sql = format!("SELECT home_arr, mode, works, COUNT(*) {end} GROUP BY {group_by}");
        super::compile(&sql, &contract(), &settings(1)).unwrap().grouping_sets.into_iter().map(|set| set.keys).collect::<Vec<_>>()
    };
    assert_eq!(sets("CUBE (home_arr, mode), works"), [vec![0, 1, 2], vec![0, 2], vec![1, 2], vec![2]]);
    assert_eq!(sets("GROUPING SETS ((home_arr, mode, works), (3), ())"), [vec![0, 1, 2], vec![2], vec![]]);
    assert_eq!(sets("home_arr, mode, works"), Vec::<Vec<u16>>::new());
}

#[test]
fn people_add_up_only_where_each_counts_once() {
    let sql = "SELECT home_arr, COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY ROLLUP (home_arr)";
    assert_eq!(plan(sql).grouping_sets.len(), 2);
    check(&compile(sql, &contract(), &settings(2)).unwrap_err(), UNSAFE, (1, 18), "max_groups_per_person to 1");
    let sql = "SELECT ref_month, COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month IN ('2011-01', '2011-02') GROUP BY ROLLUP (ref_month)";
    check(&refusal(sql), UNSAFE, (1, 19), "every grouping set");
}

#[test]
fn forms_of_aggregates_that_are_not_read_say_what_to_write() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    for (item, code, column, says) in [
        ("COUNT()", UNSAFE, 8, "COUNT(*)"),
        ("COUNT(commute.*)", UNSAFE, 8, "COUNT(*)"),
        ("COUNT(DISTINCT home_arr)", UNSAFE, 23, "group by the expression"),
        ("COUNT(DISTINCT subscriber_id, km)", UNSAFE, 8, "COUNT(DISTINCT subscriber_id)"),
        ("COUNT(*) OVER ()", UNSAFE, 8, "in a subquery"),
        ("SUM(home_arr)", INVALID, 12, "km, trips"),
        ("SUM(works)", INVALID, 12, "FILTER"),
        ("SUM(ref_month)", INVALID, 12, "km, trips"),
        ("SUM(subscriber_id)", UNSAFE, 12, "km, trips"),
        ("SUM(0 * km)", INVALID, 12, "always 0"),
        ("SUM(km * 1000000000)", INVALID, 12, "LEAST"),
        ("AVG(CASE WHEN works THEN 1 END)", INVALID, 12, "one value"),
        ("SUM(DISTINCT km)", UNSAFE, 8, "SUM(number)"),
        ("SUM(*)", UNSAFE, 8, "number column"),
        ("SUM(km ORDER BY km)", UNSAFE, 8, "arguments alone"),
        ("MAX(km)", UNSAFE, 8, "one person's value"),
        ("MEDIAN(km, 2)", UNSAFE, 8, "MEDIAN(number)"),
        ("PERCENTILE_CONT(1.5) WITHIN GROUP (ORDER BY km)", INVALID, 24, "0 to 1"),
        ("SUM(km) + km", INVALID, 18, "aggregate it"),
        ("SUM(SUM(km))", UNSAFE, 12, "inside each other"),
        ("SUM(km) || 'x'", INVALID, 19, "not a number"),
        ("my.sum(km)", UNSAFE, 8, "not read"),
        ("\"sum\"(km)", UNSAFE, 8, "not read"),
        ("nothing", INVALID, 8, "home_arr"),
    ] {
        check(&refusal(&format!("SELECT {item} {end}")), code, (1, column), says);
    }
}

#[test]
fn people_are_not_counted_over_several_partitions_together() {
    let sql = "SELECT COUNT(*), COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month IN ('2011-01', '2011-02')";
    check(&refusal(sql), UNSAFE, (1, 18), "group by ref_month");
    let plan = plan(&sql.replace("SELECT", "SELECT ref_month,").replace(')', ") ").replace("'2011-02') ", "'2011-02') GROUP BY ref_month"));
    assert_eq!(plan.cells(), Some(2));
}

#[test]
fn a_statistic_whose_range_cannot_be_priced_is_refused_at_its_place() {
    let mut wide = contract();
    let commun_domain::contract::ColumnType::Number { lo, hi, .. } = &mut wide.tables[0].columns[4].column_type else { panic!("trips") };
    (*lo, *hi) = (-(1 << 40), 1 << 40);
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    check(&compile(&format!("SELECT STDDEV(trips) {end}"), &wide, &settings(1)).unwrap_err(), INVALID, (1, 15), "LEAST");
    // 2^20 Linf R fits where R^2 does not.
    assert!(compile(&format!("SELECT AVG(trips) {end}"), &wide, &settings(1)).is_ok());
    assert!(compile(&format!("SELECT STDDEV(LEAST(GREATEST(trips, 0), 1000)) {end}"), &wide, &settings(1)).is_ok());
    let mut many = contract();
    many.tables[0].max_rows_per_person = 1 << 17;
    check(&compile(&format!("SELECT MEDIAN(trips) {end}"), &many, &settings(1)).unwrap_err(), UNSAFE, (1, 8), "WIDTH_BUCKET");
}
