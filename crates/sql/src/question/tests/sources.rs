//! FROM, WITH, public tables, partitions and versions of code lists.

use super::*;

#[test]
fn partitions_are_read_from_equality_list_and_range() {
    let partitions = |restriction: &str| {
        let plan = plan(&format!("SELECT COUNT(*) FROM mobility.commute WHERE works AND {restriction}"));
        plan.partitions.iter().map(|p| plan.calendar.format(*p)).collect::<Vec<_>>()
    };
    assert_eq!(partitions("ref_month = '2013-12'"), ["2013-12"]);
    assert_eq!(partitions("ref_month IN ('2011-12', '2011-02', '2011-12')"), ["2011-02", "2011-12"]);
    assert_eq!(partitions("ref_month BETWEEN '2011-12' AND '2012-02'"), ["2011-12", "2012-01", "2012-02"]);
}

#[test]
fn a_question_without_a_restriction_of_the_partition_is_not_private() {
    check(&refusal("SELECT COUNT(*)\nFROM mobility.commute"), UNSAFE, (2, 1), "ref_month = '2011-01'");
    check(&refusal("SELECT COUNT(*) FROM mobility.commute\n  WHERE works"), UNSAFE, (2, 3), "ref_month");
}

#[test]
fn the_partition_is_restricted_once_at_the_top_of_where_and_in_no_other_way() {
    let place = |condition: &str| refusal(&format!("SELECT COUNT(*) FROM mobility.commute WHERE\n{condition}"));
    check(&place("ref_month = '2011-01' OR works"), UNSAFE, (2, 1), "top of WHERE");
    check(&place("ref_month > '2011-01'"), UNSAFE, (2, 1), "top of WHERE");
    check(&place("ref_month <> '2011-01'"), UNSAFE, (2, 1), "top of WHERE");
    check(&place("ref_month NOT IN ('2011-01')"), UNSAFE, (2, 1), "top of WHERE");
    check(&place("NOT ref_month = '2011-01'"), UNSAFE, (2, 5), "top of WHERE");
    check(&place("ref_month IS NULL"), UNSAFE, (2, 1), "top of WHERE");
    check(&place("ref_month = '2011-01' AND ref_month = '2011-02'"), INVALID, (2, 27), "twice");
    check(&place("ref_month = '2011-1'"), INVALID, (2, 13), "'2011-01'");
    check(&place("ref_month = 2011"), INVALID, (2, 13), "'2011-01'");
    check(&place("ref_month = 2011-01"), INVALID, (2, 13), "in single quotes");
    check(&place("ref_month = \"2011-01\""), INVALID, (2, 13), "in single quotes");
    check(&place("ref_month = '2010-12'"), INVALID, (2, 13), "2011-01 to 2013-12");
    check(&place("ref_month BETWEEN '2011-01' AND '2014-01'"), INVALID, (2, 33), "2011-01 to 2013-12");
    check(&place("ref_month BETWEEN '2011-02' AND '2011-01'"), INVALID, (2, 19), "after");
    check(&place("ref_month = home_arr"), UNSAFE, (2, 13), "not read");
}

#[test]
fn names_are_checked_against_the_contract() {
    check(&refusal("SELECT COUNT(*) FROM commute"), INVALID, (1, 22), "mobility.commute");
    check(&refusal("SELECT COUNT(*) FROM other.commute"), INVALID, (1, 22), "mobility.commute");
    check(&refusal("SELECT COUNT(*) FROM mobility.other"), INVALID, (1, 22), "mobility.commute");
    check(&refusal("SELECT COUNT(*) FROM a.mobility.commute"), INVALID, (1, 22), "mobility.commute");
    check(&refusal("SELECT COUNT(*) FROM \"Mobility\".commute"), INVALID, (1, 22), "plain name");
    check(&filter_refused("nothing = 1"), INVALID, (2, 1), "home_arr");
    check(&filter_refused("other.km = 1"), INVALID, (2, 1), "commute.column");
    check(&filter_refused("\"KM\" = 1"), INVALID, (2, 1), "plain name");
    let sql = "SELECT COUNT(*) FROM mobility.commute c WHERE ref_month = '2011-01' AND commute.works";
    check(&refusal(sql), INVALID, (1, 73), "c.column");
    check(&refusal("SELECT COUNT(*) AS \"n m\" FROM mobility.commute"), INVALID, (1, 20), "plain name");
}

#[test]
fn a_dimension_is_a_lookup_of_its_key() {
    let end = "WHERE ref_month = '2011-01' GROUP BY 1";
    let sql = format!("SELECT d.region, COUNT(*) FROM mobility.commute AS c JOIN mobility.district AS d ON c.home_arr = d.code {end}");
    let joined = plan(&sql);
    assert_eq!(joined.keys[0].values(&joined), ["WAL", "VLG", "BRU"]);
    let KeySource::Values { value, .. } = &joined.keys[0].source else { panic!("no values") };
    assert_eq!(*value, Value::Map { value: Box::new(column("home_arr")), first: 0, table: vec![Some(2), Some(1), Some(0)] });
    assert_eq!(joined.filter, Some(not(Condition::IsNull(Box::new(column("home_arr"))))));
    assert_eq!(plan(&sql.replace("JOIN", "LEFT JOIN")).filter, None);
    for (sql, code, says) in [
        (sql.replace("c.home_arr = d.code", "c.mode = d.code"), INVALID, "commute.home_arr"),
        (sql.replace("c.home_arr = d.code", "c.km = d.code"), INVALID, "commute.home_arr"),
        (sql.replace("c.home_arr = d.code", "c.home_arr = d.region"), INVALID, "d.code"),
        (sql.replace("c.home_arr = d.code", "c.home_arr = d.code AND c.works"), INVALID, "by its key alone"),
        (sql.replace(" ON c.home_arr = d.code", ""), INVALID, "by its key alone"),
        (sql.replace("JOIN", "CROSS JOIN").replace(" ON c.home_arr = d.code", ""), UNSAFE, "join"),
        (sql.replace("JOIN", "RIGHT JOIN"), UNSAFE, "join"),
        (sql.replace("mobility.district", "mobility.commute"), UNSAFE, "joined by the unit and the partition"),
        (sql.replace("mobility.district", "mobility.nothing"), INVALID, "mobility.district"),
        (sql.replace("AS d ON", "AS c ON"), INVALID, "called the same"),
    ] {
        let refusal = refusal(&sql);
        assert_eq!(refusal.code, code, "{sql}\n{refusal:?}");
        assert!(refusal.message.contains(says) || refusal.hint.contains(says), "{sql}\n{refusal:?}");
    }
}

#[test]
fn subqueries_and_with_that_only_filter_and_compute_are_put_into_the_question() {
    let plain =
        "SELECT left(mode, 1) AS m, SUM(km * 2) AS s FROM mobility.commute WHERE ref_month = '2011-01' AND works AND km > 1 GROUP BY 1";
    let expected = plan(plain);
    for sql in [
        "SELECT m, SUM(double) AS s FROM (SELECT left(mode, 1) AS m, km * 2 AS double, km FROM mobility.commute WHERE ref_month = '2011-01' AND works) AS t WHERE km > 1 GROUP BY m",
        "WITH w AS (SELECT * FROM mobility.commute WHERE ref_month = '2011-01' AND works), x AS (SELECT left(mode, 1) AS m, km FROM w AS v WHERE v.km > 1) SELECT m, SUM(km * 2) AS s FROM x GROUP BY x.m",
    ] {
        let found = plan(sql);
        assert_eq!(
            (&found.keys, &found.outputs, &found.partitions, &found.filter),
            (&expected.keys, &expected.outputs, &expected.partitions, &expected.filter),
            "{sql}"
        );
    }
    let people = "SELECT COUNT(DISTINCT id) FROM (SELECT subscriber_id AS id, ref_month AS m FROM mobility.commute) t WHERE m = '2011-01'";
    assert_eq!(plan(people).outputs[0].aggregate, Aggregate::CountUnits);
    let twice = "WITH w AS (SELECT * FROM mobility.commute WHERE ref_month = '2011-01') SELECT COUNT(*) FROM w WHERE ref_month = '2011-02'";
    assert!(refusal(twice).message.contains("twice"));
}

#[test]
fn a_name_that_stands_for_ever_more_is_refused_before_it_is_large() {
    let mut sql = "WITH t0 AS (SELECT ref_month, km AS x FROM mobility.commute)".to_owned();
    for level in 1..16 {
        let before = level - 1;
        sql.push_str(&format!(", t{level} AS (SELECT ref_month, least(x + x, x + x + 1, 5) AS x FROM t{before})"));
    }
    sql += " SELECT SUM(x) FROM t15 WHERE ref_month = '2011-01'";
    let refusal = refusal(&sql);
    assert!(refusal.message.contains("parts"), "{refusal:?}");
}

#[test]
fn a_code_list_is_used_only_where_its_version_is_valid_and_the_hint_names_the_right_one() {
    let sql = "SELECT home_arr, COUNT(*) FROM mobility.commute WHERE ref_month = '2013-01' GROUP BY 1";
    check(&refusal(sql), INVALID, (1, 8), "version 2013 (used by home_arr_2013)");
    let sql = "SELECT COUNT(*) FROM mobility.commute WHERE ref_month IN ('2012-12', '2013-01') AND\nhome_arr = '21000'";
    check(&refusal(sql), INVALID, (2, 1), "in 2013-01 use version 2013");
    let sql = "SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2013-07' AND\n(works OR NOT mode IS NULL)";
    check(&refusal(sql), INVALID, (2, 15), "no version of mode is valid in 2013-07");
    plan("SELECT home_arr_2013, COUNT(*) FROM mobility.commute WHERE ref_month = '2013-01' GROUP BY 1");
}

#[test]
fn a_version_that_no_column_uses_is_named_as_such() {
    let mut contract = contract();
    contract.tables[0].columns.retain(|column| column.name != "home_arr_2013");
    let sql = "SELECT home_arr, COUNT(*) FROM mobility.commute WHERE ref_month = '2013-01' GROUP BY 1";
    let refusal = compile(sql, &contract, &settings(1)).unwrap_err();
    assert!(refusal.hint.contains("version 2013 (used by no column of this table)"), "{refusal:?}");
}
