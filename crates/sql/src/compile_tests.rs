#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use commun_domain::plan::{CompareOp, Literal, Predicate};

use super::*;
use crate::fixture::{contract, settings};
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
fn filtered(condition: &str) -> Predicate {
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

fn compare(column: &str, op: CompareOp, literal: Literal) -> Predicate {
    Predicate::Compare { column: column.to_owned(), op, literal }
}

use WireCode::{InvalidQuery as INVALID, NotPrivate as UNSAFE};

#[test]
fn the_commuting_question_compiles() {
    let plan = plan(GOOD);
    assert_eq!(plan.table, "commute");
    assert_eq!(plan.partitions.iter().map(|p| plan.calendar.format(*p)).collect::<Vec<_>>(), ["2011-01"]);
    assert_eq!(plan.filter, None);
    assert_eq!(plan.keys.len(), 1);
    assert_eq!(plan.keys[0].values(&plan), ["21000", "11000", "62000"]);
    assert_eq!((plan.outputs[0].name.as_str(), &plan.outputs[0].aggregate), ("commuters", &Aggregate::CountUnits));
    assert_eq!(plan.columns, [AnswerColumn::Key(0), AnswerColumn::Output(0)]);
    assert_eq!(plan.contract, contract().hash());
}

#[test]
fn p4_trivial_differences_of_the_text_give_the_same_bytes() {
    let bytes = plan(GOOD).to_bytes();
    for sql in [
        "select home_arr , count( distinct SUBSCRIBER_ID ) commuters\nfrom Mobility.Commute where Ref_Month='2011-01' group by HOME_ARR ;",
        "SELECT c.home_arr, COUNT(DISTINCT c.subscriber_id) AS commuters FROM mobility.commute AS c WHERE c.ref_month = '2011-01' GROUP BY c.home_arr",
        "SELECT (home_arr), COUNT(DISTINCT (subscriber_id)) AS Commuters FROM mobility.commute WHERE (('2011-01' = ref_month)) GROUP BY (1)",
        "SELECT /* a */ home_arr, -- b\n COUNT(DISTINCT commute.subscriber_id) AS commuters FROM mobility.commute WHERE ref_month IN ('2011-01', '2011-01') GROUP BY mobility.commute.home_arr;;",
        "SELECT \"home_arr\", COUNT(DISTINCT \"subscriber_id\") AS \"commuters\" FROM \"mobility\".\"commute\" WHERE ref_month BETWEEN '2011-01' AND '2011-01' GROUP BY \"home_arr\"",
        &strip_explain(&format!("EXPLAIN {GOOD}")).1,
    ] {
        assert_eq!(plan(sql).to_bytes(), bytes, "{sql}");
    }
}

#[test]
fn keys_and_outputs_stand_in_the_order_of_select_whatever_group_by_says() {
    let sql = "SELECT SUM(km), works, COUNT(*), ref_month AS month, mode FROM mobility.commute WHERE ref_month IN ('2011-03', '2011-01') GROUP BY mode, 4, works";
    let plan = plan(sql);
    assert_eq!(plan.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["works", "month", "mode"]);
    assert_eq!(plan.keys[1].values(&plan), ["2011-01", "2011-03"]);
    assert_eq!(plan.cells(), Some(2 * 2 * 4));
    let order = [AnswerColumn::Output(0), AnswerColumn::Key(0), AnswerColumn::Output(1), AnswerColumn::Key(1), AnswerColumn::Key(2)];
    assert_eq!(plan.columns, order);
    let sum = Aggregate::Sum { column: "km".to_owned(), lo: 0, hi: 5000, scale: 1, max_rows_per_person: 4 };
    assert_eq!(plan.outputs[0].aggregate, sum);
    assert_eq!(plan.outputs[1].aggregate, Aggregate::CountRows { max_rows_per_person: 4 });
    assert!(plan.outputs.iter().all(|output| (output.share_num, output.share_den) == (1, 2)));
}

#[test]
fn an_alias_of_a_key_may_be_grouped_by_but_a_column_comes_first() {
    let plan = plan("SELECT home_arr AS home, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY home");
    assert_eq!(plan.keys[0].name, "home");
    let sql = "SELECT home_arr AS mode, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY mode";
    check(&refusal(sql), INVALID, (1, 94), "not selected");
}

#[test]
fn outputs_without_alias_get_names_that_do_not_clash() {
    let sql = "SELECT COUNT(*), COUNT(*), COUNT(*) AS count_3, COUNT(*), SUM(km), COUNT(DISTINCT subscriber_id), SUM(trips) AS sum_km_moe FROM mobility.commute WHERE ref_month = '2011-01'";
    let names: Vec<String> = plan(sql).outputs.into_iter().map(|output| output.name).collect();
    assert_eq!(names, ["count", "count_2", "count_3", "count_4", "sum_km_2", "count_distinct", "sum_km_moe"]);
}

#[test]
fn names_that_would_clash_with_each_other_or_with_a_margin_are_refused() {
    let sql = "SELECT COUNT(*) AS n, SUM(km) AS n FROM mobility.commute WHERE ref_month = '2011-01'";
    check(&refusal(sql), INVALID, (1, 23), "another name");
    let sql = "SELECT COUNT(*) AS n, SUM(km) AS n_moe FROM mobility.commute WHERE ref_month = '2011-01'";
    check(&refusal(sql), INVALID, (1, 23), "x_moe");
}

#[test]
fn groups_per_person_are_bounded_by_the_cells_of_one_partition() {
    let bound = |items: &str, group_by: &str, asked: u32| {
        let sql = format!("SELECT {items} COUNT(*) FROM mobility.commute WHERE ref_month IN ('2011-01', '2011-02') {group_by}");
        compile(&sql, &contract(), &settings(asked)).unwrap().max_groups_per_person
    };
    assert_eq!(bound("", "", 3), 1);
    assert_eq!(bound("ref_month,", "GROUP BY ref_month", 3), 1);
    assert_eq!(bound("works,", "GROUP BY works", 3), 2);
    assert_eq!(bound("ref_month, works,", "GROUP BY ref_month, works", 3), 2);
    assert_eq!(bound("home_arr, works,", "GROUP BY home_arr, works", 3), 3);
    assert_eq!(bound("home_arr, works,", "GROUP BY home_arr, works", 1), 1);
}

#[test]
fn groups_per_person_outside_the_contract_are_refused() {
    for asked in [0, 4, u32::MAX] {
        let refusal = compile(GOOD, &contract(), &settings(asked)).unwrap_err();
        assert_eq!((refusal.code, refusal.position), (INVALID, None));
        assert!(refusal.hint.contains("1 to 3"), "{refusal:?}");
    }
}

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
    check(&place("ref_month = '2010-12'"), INVALID, (2, 13), "2011-01 to 2013-12");
    check(&place("ref_month BETWEEN '2011-01' AND '2014-01'"), INVALID, (2, 33), "2011-01 to 2013-12");
    check(&place("ref_month BETWEEN '2011-02' AND '2011-01'"), INVALID, (2, 19), "after");
    check(&place("ref_month = home_arr"), UNSAFE, (2, 13), "not read");
}

#[test]
fn comparisons_keep_their_meaning_on_either_side() {
    assert_eq!(filtered("km < 12.5"), compare("km", CompareOp::Lt, Literal::Number(125)));
    assert_eq!(filtered("12.5 > km"), compare("km", CompareOp::Lt, Literal::Number(125)));
    assert_eq!(filtered("-3 <= trips"), compare("trips", CompareOp::Ge, Literal::Number(-3)));
    assert_eq!(filtered("trips != +3"), compare("trips", CompareOp::Ne, Literal::Number(3)));
    assert_eq!(filtered("mode = 'o''neil'"), compare("mode", CompareOp::Eq, Literal::Code("o'neil".to_owned())));
    assert_eq!(filtered("FALSE <> works"), compare("works", CompareOp::Ne, Literal::Boolean(false)));
    assert_eq!(filtered("works"), compare("works", CompareOp::Eq, Literal::Boolean(true)));
}

#[test]
fn lists_ranges_and_nulls_become_predicates() {
    let codes = |codes: &[&str]| codes.iter().map(|code| Literal::Code((*code).to_owned())).collect();
    let in_list = Predicate::InList { column: "mode".to_owned(), literals: codes(&["car", "bike"]) };
    assert_eq!(filtered("mode IN ('car', 'bike')"), in_list);
    assert_eq!(filtered("mode NOT IN ('car', 'bike')"), Predicate::Not(Box::new(in_list)));
    let range = Predicate::And(vec![compare("km", CompareOp::Ge, Literal::Number(0)), compare("km", CompareOp::Le, Literal::Number(100))]);
    assert_eq!(filtered("km BETWEEN 0 AND 10"), range);
    assert_eq!(filtered("km NOT BETWEEN 0 AND 10.0"), Predicate::Not(Box::new(range)));
    let is_null = Predicate::IsNull { column: "works".to_owned() };
    assert_eq!(filtered("works IS NULL"), is_null);
    assert_eq!(filtered("works IS NOT NULL"), Predicate::Not(Box::new(is_null)));
    assert_eq!(filtered("TRUE"), Predicate::Constant(true));
}

#[test]
fn chains_are_flat_and_precedence_is_that_of_sql() {
    let works = || compare("works", CompareOp::Eq, Literal::Boolean(true));
    let null = || Predicate::IsNull { column: "km".to_owned() };
    assert_eq!(filtered("works OR (works OR km IS NULL)"), Predicate::Or(vec![works(), works(), null()]));
    let expected = Predicate::Or(vec![works(), Predicate::And(vec![null(), Predicate::Not(Box::new(works()))])]);
    assert_eq!(filtered("works OR km IS NULL AND NOT works"), expected);
}

#[test]
fn conditions_on_the_unit_are_not_private() {
    for condition in [
        "subscriber_id = 'x'",
        "'x' = subscriber_id",
        "subscriber_id IN (1)",
        "subscriber_id IS NULL",
        "subscriber_id",
        "subscriber_id BETWEEN 1 AND 2",
    ] {
        let column = if condition.starts_with('\'') { 7 } else { 1 };
        check(&filter_refused(condition), UNSAFE, (2, column), "single one out");
    }
}

#[test]
fn a_code_outside_its_list_is_refused_with_near_codes_and_never_repeated() {
    check(&filter_refused("home_arr = '2100'"), UNSAFE, (2, 12), "perhaps '21000'");
    check(&filter_refused("home_arr IN ('21000', 'brussel')"), UNSAFE, (2, 23), "perhaps '21000'");
    check(&filter_refused("mode = 'CAR'"), UNSAFE, (2, 8), "perhaps 'car'");
    let refusal = filter_refused("home_arr <> 'Jean Dupont'");
    check(&refusal, UNSAFE, (2, 13), "for example '21000', '11000', '62000'");
    assert!(!format!("{refusal:?}").contains("Dupont"), "{refusal:?}");
}

#[test]
fn literals_of_another_type_are_invalid() {
    check(&filter_refused("home_arr = 21000"), INVALID, (2, 12), "single quotes");
    check(&filter_refused("km = '12'"), INVALID, (2, 6), "without quotes");
    check(&filter_refused("works = 1"), INVALID, (2, 9), "TRUE or FALSE");
    check(&filter_refused("km = NULL"), INVALID, (2, 6), "IS NULL");
    check(&filter_refused("km"), INVALID, (2, 1), "compare it");
    check(&filter_refused("'car'"), INVALID, (2, 1), "compare a column");
    check(&filter_refused("home_arr < '21000'"), INVALID, (2, 1), "IN (");
    check(&filter_refused("works >= TRUE"), INVALID, (2, 1), "NOT and the column");
    check(&filter_refused("home_arr BETWEEN '11000' AND '21000'"), INVALID, (2, 1), "no order");
    check(&filter_refused("mode = \"car\""), INVALID, (2, 8), "car");
    check(&filter_refused("mode = \"Car X\""), INVALID, (2, 8), "single quotes");
}

#[test]
fn numbers_are_exact_in_the_columns_scale() {
    check(&filter_refused("km > 0.05"), INVALID, (2, 6), "at most 1 digits");
    check(&filter_refused("trips = 1.5"), INVALID, (2, 9), "at most 0 digits");
    check(&filter_refused("trips = 9223372036854775808"), INVALID, (2, 9), "does not fit");
    check(&filter_refused("trips = 1e2"), INVALID, (2, 9), "exponent");
    assert_eq!(filtered("trips = -9223372036854775808"), compare("trips", CompareOp::Eq, Literal::Number(i64::MIN)));
}

#[test]
fn expressions_that_are_not_on_the_list_are_not_private() {
    for (condition, column) in [
        ("home_arr LIKE '2%'", 1),
        ("km + 1 > 2", 1),
        ("km = trips", 1),
        ("1 = 1", 1),
        ("works = (1 = 1)", 10),
        ("home_arr IN (SELECT home_arr FROM mobility.commute)", 1),
        ("EXISTS (SELECT 1)", 9),
        ("km = (SELECT 1)", 7),
        ("CAST(km AS INT) = 1", 6),
        ("km::int = 1", 1),
        ("lower(home_arr) = 'x'", 1),
        ("CASE WHEN works THEN TRUE ELSE FALSE END", 1),
        ("works IS TRUE", 1),
        ("works IS NOT DISTINCT FROM TRUE", 1),
        ("km = $1", 6),
        ("km = X'10'", 6),
        ("home_arr = N'21000'", 12),
        ("(home_arr, mode) IN (('21000', 'car'))", 2),
        ("- km = 1", 3),
        ("random() < 1", 1),
    ] {
        check(&filter_refused(condition), UNSAFE, (2, column), "");
    }
}

#[test]
fn clauses_that_are_not_on_the_list_are_refused_by_name() {
    let from = "FROM mobility.commute WHERE ref_month = '2011-01'";
    for (sql, code, place, says) in [
        (format!("WITH t AS (SELECT 1) SELECT COUNT(*) {from}"), UNSAFE, (1, 1), "WITH"),
        (format!("SELECT DISTINCT COUNT(*) {from}"), UNSAFE, (1, 8), "DISTINCT"),
        (format!("SELECT ALL COUNT(*) {from}"), UNSAFE, (1, 8), "ALL"),
        (format!("SELECT COUNT(*) {from}\nHAVING COUNT(*) > 1"), UNSAFE, (2, 1), "HAVING"),
        (format!("SELECT COUNT(*) {from}\nORDER BY 1"), UNSAFE, (2, 1), "ORDER BY"),
        (format!("SELECT COUNT(*) {from}\nLIMIT 1"), UNSAFE, (2, 1), "LIMIT"),
        (format!("SELECT COUNT(*) {from}\nOFFSET 1"), UNSAFE, (2, 1), "LIMIT"),
        (format!("SELECT COUNT(*) {from}\nFETCH FIRST ROW ONLY"), UNSAFE, (2, 1), "FETCH"),
        (format!("SELECT COUNT(*) {from}\nFOR UPDATE"), UNSAFE, (2, 1), "FOR UPDATE"),
        (format!("SELECT COUNT(*) {from}\nUNION ALL SELECT 1"), UNSAFE, (2, 1), "UNION"),
        (format!("(SELECT COUNT(*) {from})"), UNSAFE, (1, 18), "subquery"),
        (format!("SELECT COUNT(*) {from}\nGROUP BY ROLLUP (home_arr)"), UNSAFE, (2, 1), "ROLLUP"),
        (format!("SELECT COUNT(*) {from}\nGROUP BY ALL"), UNSAFE, (2, 1), "GROUP BY ALL"),
        (format!("SELECT COUNT(*) {from} GROUP BY GROUPING SETS ((home_arr))"), UNSAFE, (1, 67), "GROUPING SETS"),
        (format!("SELECT COUNT(*) {from}\nWINDOW w AS (ORDER BY km)"), UNSAFE, (2, 1), "window"),
        ("SELECT COUNT(*) FROM mobility.commute a\nJOIN mobility.commute b ON a.km = b.km".to_owned(), UNSAFE, (2, 1), "join"),
        ("SELECT COUNT(*) FROM mobility.commute, mobility.commute".to_owned(), UNSAFE, (1, 17), "join"),
        ("SELECT COUNT(*) FROM (SELECT 1) AS t".to_owned(), UNSAFE, (1, 17), "subquery"),
        ("SELECT COUNT(*) FROM mobility.commute(1)".to_owned(), UNSAFE, (1, 17), "plain table name"),
        ("SELECT COUNT(*) FROM mobility.commute AS c (a, b)".to_owned(), UNSAFE, (1, 17), "plain table name"),
        ("SELECT COUNT(*) FROM mobility.commute TABLESAMPLE BERNOULLI (1)".to_owned(), UNSAFE, (1, 17), "plain table name"),
        ("SELECT COUNT(*) INTO t FROM mobility.commute".to_owned(), UNSAFE, (1, 17), "INTO"),
    ] {
        check(&refusal(&sql), code, place, says);
    }
}

#[test]
fn statements_other_than_one_select_are_invalid() {
    for (sql, place) in [
        ("", (1, 1)),
        (" -- only a comment", (1, 1)),
        (";", (1, 1)),
        ("INSERT INTO t VALUES (1)", (1, 1)),
        ("DROP TABLE t", (1, 1)),
        ("SET x = 1", (1, 1)),
        ("  VALUES (1)", (1, 3)),
        ("SELECT 1; SELECT 2", (1, 11)),
        ("SELECT COUNT(*) FROM", (1, 21)),
        ("SELECT COUNT(*) FROM mobility.commute WHERE ref_month = ", (1, 56)),
        ("SELECT COUNT(*) FROM mobility.commute wheree ref_month", (1, 46)),
        ("SELECT 'open", (1, 8)),
        ("SELECT COUNT(*) FROM mobility.commute WHERE )", (1, 45)),
        ("SELECT 1", (1, 1)),
    ] {
        check(&refusal(sql), INVALID, place, "");
    }
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
fn the_unit_and_numbers_are_no_group_keys_and_rows_are_never_asked() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    check(&refusal(&format!("SELECT subscriber_id, COUNT(*) {end} GROUP BY 1")), UNSAFE, (1, 8), "COUNT(DISTINCT subscriber_id)");
    check(&refusal(&format!("SELECT COUNT(*) {end}\nGROUP BY subscriber_id")), UNSAFE, (2, 10), "names people");
    check(&refusal(&format!("SELECT km, COUNT(*) {end} GROUP BY km")), UNSAFE, (1, 8), "code list");
    check(&refusal(&format!("SELECT COUNT(*) {end}\nGROUP BY km")), UNSAFE, (2, 10), "code list");
    check(&refusal(&format!("SELECT * {end}")), UNSAFE, (1, 1), "rows");
    check(&refusal(&format!("SELECT commute.* {end}")), UNSAFE, (1, 1), "rows");
    check(&refusal(&format!("SELECT home_arr {end} GROUP BY home_arr")), UNSAFE, (1, 1), "no aggregate");
    check(&refusal(&format!("SELECT 1, COUNT(*) {end}")), UNSAFE, (1, 8), "not read");
}

#[test]
fn select_and_group_by_hold_the_same_keys() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    check(&refusal(&format!("SELECT COUNT(*), mode {end}")), INVALID, (1, 18), "GROUP BY mode");
    check(&refusal(&format!("SELECT COUNT(*) {end}\nGROUP BY mode")), INVALID, (2, 10), "add mode to SELECT");
    check(&refusal(&format!("SELECT mode, mode AS m, COUNT(*) {end} GROUP BY mode")), INVALID, (1, 14), "twice");
    check(&refusal(&format!("SELECT mode, COUNT(*) {end}\nGROUP BY 3")), INVALID, (2, 10), "1 to 2");
    check(&refusal(&format!("SELECT mode, COUNT(*) {end}\nGROUP BY 0")), INVALID, (2, 10), "1 to 2");
    check(&refusal(&format!("SELECT mode, COUNT(*) {end}\nGROUP BY 2")), INVALID, (2, 10), "aggregate");
    check(&refusal(&format!("SELECT mode, COUNT(*) n {end}\nGROUP BY n")), INVALID, (2, 10), "aggregate");
    check(&refusal(&format!("SELECT mode, COUNT(*) {end}\nGROUP BY nothing")), INVALID, (2, 10), "home_arr");
    check(&refusal(&format!("SELECT mode, COUNT(*) {end}\nGROUP BY lower(mode)")), UNSAFE, (2, 10), "");
    assert_eq!(plan(&format!("SELECT mode, COUNT(*) {end} GROUP BY mode, 1")).keys.len(), 1);
}

#[test]
fn only_three_forms_of_aggregates_are_read() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    for (item, code, column, says) in [
        ("COUNT(km)", UNSAFE, 8, "WHERE km IS NOT NULL"),
        ("COUNT(1)", UNSAFE, 8, "COUNT(*)"),
        ("COUNT()", UNSAFE, 8, "COUNT(*)"),
        ("COUNT(ALL km)", UNSAFE, 8, "COUNT(*)"),
        ("COUNT(commute.*)", UNSAFE, 8, "COUNT(*)"),
        ("COUNT(DISTINCT home_arr)", UNSAFE, 23, "group by the column"),
        ("COUNT(DISTINCT lower(home_arr))", UNSAFE, 23, ""),
        ("COUNT(DISTINCT subscriber_id, km)", UNSAFE, 8, "COUNT(DISTINCT subscriber_id)"),
        ("COUNT(*) FILTER (WHERE works)", UNSAFE, 8, "WHERE"),
        ("COUNT(*) OVER ()", UNSAFE, 8, "GROUP BY"),
        ("SUM(home_arr)", INVALID, 12, "km, trips"),
        ("SUM(works)", INVALID, 12, "km, trips"),
        ("SUM(ref_month)", INVALID, 12, "km, trips"),
        ("SUM(subscriber_id)", UNSAFE, 12, "km, trips"),
        ("SUM(km + 1)", UNSAFE, 12, "arithmetic"),
        ("SUM(km) + 1", UNSAFE, 8, "arithmetic"),
        ("SUM(DISTINCT km)", UNSAFE, 8, "SUM(column)"),
        ("SUM(*)", UNSAFE, 8, "SUM(column)"),
        ("SUM(km ORDER BY km)", UNSAFE, 8, "SUM(column)"),
        ("AVG(km)", UNSAFE, 8, "divide"),
        ("MAX(km)", UNSAFE, 8, "one person's value"),
        ("lower(home_arr)", UNSAFE, 8, "aggregates are"),
        ("my.sum(km)", UNSAFE, 8, "aggregates are"),
        ("\"sum\"(km)", UNSAFE, 8, "aggregates are"),
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

#[test]
fn grids_lists_and_nesting_have_limits() {
    let mut large = contract();
    let template = large.code_lists[2].codes[0].clone();
    let code = |number: usize| commun_domain::contract::Code { code: number.to_string(), ..template.clone() };
    large.code_lists[0].codes = (0..1_001).map(code).collect();
    large.code_lists[2].codes = (0..1_000).map(code).collect();
    let sql = "SELECT home_arr, mode, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY 1, 2";
    check(&compile(sql, &large, &settings(1)).unwrap_err(), INVALID, (1, 83), "1000000 combinations");
    large.code_lists[0].codes.pop();
    assert_eq!(compile(sql, &large, &settings(1)).unwrap().cells(), Some(MAX_CELLS));

    let list = |items: usize| format!("trips IN (0{})", ", 1".repeat(items - 1));
    filtered(&list(crate::MAX_LIST_ITEMS));
    check(&filter_refused(&list(crate::MAX_LIST_ITEMS + 1)), INVALID, (2, 1), "5000 values");
    let items =
        |items: usize| format!("SELECT COUNT(*){} FROM mobility.commute WHERE ref_month = '2011-01'", ", COUNT(*)".repeat(items - 1));
    assert_eq!(plan(&items(MAX_SELECT_ITEMS)).outputs.len(), MAX_SELECT_ITEMS);
    check(&refusal(&items(MAX_SELECT_ITEMS + 1)), INVALID, (1, 1), "64 items");
    let nested = |depth: usize| format!("{}works{}", "NOT (works OR ".repeat(depth), ")".repeat(depth));
    filtered(&nested(11));
    assert_eq!(filter_refused(&nested(12)).code, INVALID);
}

#[test]
fn more_partitions_than_the_limit_are_refused() {
    let mut long = contract();
    long.last_period = Period(long.first_period.0 + 5_000);
    let sql = "SELECT COUNT(*) FROM mobility.commute WHERE ref_month BETWEEN '2011-01' AND '2311-01'";
    check(&compile(sql, &long, &settings(1)).unwrap_err(), INVALID, (1, 45), "1200 partitions");
}
