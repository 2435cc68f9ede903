#![allow(clippy::format_push_string, clippy::unwrap_used, reason = "a test that cannot go on fails")]

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

#[test]
fn the_commuting_question_compiles() {
    let plan = plan(GOOD);
    assert_eq!(plan.table, "commute");
    assert_eq!(plan.partitions.iter().map(|p| plan.calendar.format(*p)).collect::<Vec<_>>(), ["2011-01"]);
    assert_eq!(plan.filter, None);
    assert_eq!(plan.keys.len(), 1);
    assert_eq!(plan.keys[0].values(&plan), ["21000", "11000", "62000"]);
    assert_eq!((plan.outputs[0].name.as_str(), &plan.outputs[0].aggregate), ("commuters", &Aggregate::CountUnits));
    assert_eq!(values(&plan), [AnswerValue::Key(0), output(0)]);
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
    let order = [output(0), AnswerValue::Key(0), output(1), AnswerValue::Key(1), AnswerValue::Key(2)];
    assert_eq!(values(&plan), order);
    let measured = Measured { value: column("km"), lo: 0, hi: 5000, scale: 1 };
    let sum = Aggregate::Sum { measured, max_rows_per_person: 4 };
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
    let names: Vec<String> = plan(sql).columns.into_iter().map(|column| column.name).collect();
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
    assert_eq!(filtered("km < 12.5"), compare("km", CompareOp::Lt, 125));
    assert_eq!(filtered("12.5 > km"), compare("km", CompareOp::Lt, 125));
    assert_eq!(filtered("-3 <= trips"), compare("trips", CompareOp::Ge, -3));
    assert_eq!(filtered("trips != +3"), compare("trips", CompareOp::Ne, 3));
    assert_eq!(filtered("mode = 'o''neil'"), in_set("mode", &[3]));
    assert_eq!(filtered("'bike' <> mode"), not(in_set("mode", &[2])));
    assert_eq!(filtered("FALSE <> works"), compare("works", CompareOp::Ne, 0));
    assert_eq!(filtered("works"), compare("works", CompareOp::Eq, 1));
    assert_eq!(filtered("departure < '2011-01-02'"), compare("departure", CompareOp::Lt, 1_293_926_400));
    assert_eq!(filtered("departure < DATE '2011-01-02'"), compare("departure", CompareOp::Lt, 1_293_926_400));
    // A constant finer than the column makes the column finer, exactly.
    let finer = Condition::Compare {
        op: CompareOp::Gt,
        left: Box::new(Value::Multiply(Box::new(column("km")), Box::new(Value::Constant(10)))),
        right: Box::new(Value::Constant(5)),
    };
    assert_eq!(filtered("km > 0.05"), finer);
}

#[test]
fn lists_ranges_and_nulls_become_conditions() {
    assert_eq!(filtered("mode IN ('car', 'bike', 'car')"), in_set("mode", &[0, 2]));
    assert_eq!(filtered("mode NOT IN ('car', 'bike')"), not(in_set("mode", &[0, 2])));
    assert_eq!(filtered("trips IN (3, 1)"), in_set("trips", &[1, 3]));
    let range = Condition::And(vec![compare("km", CompareOp::Ge, 0), compare("km", CompareOp::Le, 100)]);
    assert_eq!(filtered("km BETWEEN 0 AND 10"), range);
    assert_eq!(filtered("km NOT BETWEEN 0 AND 10.0"), not(range));
    let is_null = Condition::IsNull(Box::new(column("works")));
    assert_eq!(filtered("works IS NULL"), is_null);
    assert_eq!(filtered("works IS NOT NULL"), not(is_null));
    assert_eq!(filtered("TRUE"), Condition::Constant(Some(true)));
    assert_eq!(filtered("works IS NOT TRUE"), not(Condition::Is(Box::new(filtered("works")), Some(true))));
    assert_eq!(filtered("mode LIKE '%a%'"), in_set("mode", &[0, 1]));
    assert_eq!(filtered("mode NOT ILIKE 'C__'"), not(in_set("mode", &[0])));
    // Both columns have the same list, so that places are compared; with another list they are looked up first.
    let equal = Condition::Compare { op: CompareOp::Eq, left: Box::new(column("home_arr")), right: Box::new(column("home_arr")) };
    assert_eq!(filtered("home_arr = home_arr"), equal);
}

#[test]
fn functions_of_codes_are_worked_out_over_the_whole_list() {
    let map = |table: &[i64]| Value::Map { value: Box::new(column("mode")), first: 0, table: table.iter().copied().map(Some).collect() };
    let key = |sql: &str| {
        let plan = plan(&format!("SELECT {sql} AS k, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY 1"));
        let KeySource::Values { value, labels, .. } = plan.keys[0].source.clone() else { panic!("no values") };
        (value, labels)
    };
    assert_eq!(key("upper(mode)"), (column("mode"), ["CAR", "TRAIN", "BIKE", "O'NEIL"].map(str::to_owned).to_vec()));
    assert_eq!(key("length(mode)").1, ["3", "4", "5", "6"]);
    assert_eq!(key("left(mode, 1)").1, ["c", "t", "b", "o"]);
    assert_eq!(key("substring(mode from 2 for 1)"), (column("mode"), ["a", "r", "i", "'"].map(str::to_owned).to_vec()));
    assert_eq!(
        key("replace(replace(mode, 'car', 'x'), 'bike', 'x')"),
        (map(&[0, 1, 0, 2]), ["x", "train", "o'neil"].map(str::to_owned).to_vec())
    );
    let (value, labels) = key("CASE WHEN mode IN ('car', 'bike') THEN 'road' WHEN mode = 'train' THEN 'rail' END");
    assert_eq!(labels, ["road", "rail"]);
    assert!(matches!(value, Value::Case { .. }));
    assert_eq!(key("mode || '/' || home_arr").1.len(), 12);
    assert_eq!(key("width_bucket(km, 0, 100, 4)").1, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(key("extract(hour from departure)").1.len(), 24);
    assert_eq!(key("date_trunc('month', departure)").1, ["2011-01-01", "2011-02-01", "2011-03-01"]);
    assert_eq!(key("km > 10").1, ["false", "true"]);
}

#[test]
fn chains_are_flat_and_precedence_is_that_of_sql() {
    let works = || compare("works", CompareOp::Eq, 1);
    let null = || Condition::IsNull(Box::new(column("km")));
    assert_eq!(filtered("works OR (works OR km IS NULL)"), Condition::Or(vec![works(), works(), null()]));
    let expected = Condition::Or(vec![works(), Condition::And(vec![null(), not(works())])]);
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
    check(&filter_refused("'car'"), INVALID, (2, 1), "compare it");
    check(&filter_refused("'car' = 'car'"), UNSAFE, (2, 9), "compare a column");
    check(&filter_refused("departure > 'January'"), INVALID, (2, 13), "2011-01-31");
    check(&filter_refused("home_arr < '21000'"), INVALID, (2, 1), "IN (");
    check(&filter_refused("works >= TRUE"), INVALID, (2, 10), "NOT and the column");
    check(&filter_refused("home_arr BETWEEN '11000' AND '21000'"), INVALID, (2, 1), "no order");
    check(&filter_refused("mode = \"car\""), INVALID, (2, 8), "car");
    check(&filter_refused("mode = \"Car X\""), INVALID, (2, 8), "single quotes");
}

#[test]
fn numbers_are_plain_and_their_arithmetic_never_leaves_64_bits() {
    check(&filter_refused("trips = 9223372036854775808"), INVALID, (2, 9), "does not fit");
    check(&filter_refused("trips = 1e2"), INVALID, (2, 9), "exponent");
    check(&filter_refused("km < 0.0000000001"), INVALID, (2, 6), "too fine");
    check(&filter_refused("km * 1000000000 * 1000000000 * 10 > 1"), INVALID, (2, 1), "LEAST");
    check(&filter_refused("km / 0 > 1"), INVALID, (2, 1), "divides by 0");
    let bounded = "SELECT SUM(LEAST(GREATEST(km * 2, 1), 30)) FROM mobility.commute WHERE ref_month = '2011-01'";
    let measured = plan(bounded).outputs[0].aggregate.measured().cloned().unwrap();
    assert_eq!((measured.lo, measured.hi, measured.scale), (10, 300, 1));
    let ranges = |sum: &str| {
        let plan = plan(&format!("SELECT SUM({sum}) FROM mobility.commute WHERE ref_month = '2011-01'"));
        let measured = plan.outputs[0].aggregate.measured().cloned().unwrap();
        (measured.lo, measured.hi, measured.scale)
    };
    assert_eq!(ranges("trips - km"), (-5050, 1000 - 50 + 50, 1));
    assert_eq!(ranges("trips * trips"), (-500, 10_000, 0));
    assert_eq!(ranges("trips % 7"), (-5, 6, 0));
    assert_eq!(ranges("trips / 3"), (-1, 33, 0));
    assert_eq!(ranges("km / 3"), (0, 16_666_667, 5));
    assert_eq!(ranges("abs(trips)"), (0, 100, 0));
    assert_eq!(ranges("round(km)"), (0, 500, 0));
    assert_eq!(ranges("CASE WHEN works THEN 1 ELSE 0 END"), (0, 1, 0));
    assert_eq!(ranges("CAST(km AS DECIMAL(10, 3))"), (0, 500_000, 3));
    assert_eq!(ranges("CAST(home_arr AS INT)"), (11_000, 62_000, 0));
}

#[test]
fn expressions_that_are_not_on_the_list_are_refused() {
    for (condition, column) in [
        ("home_arr IN (SELECT home_arr FROM mobility.commute)", 1),
        ("EXISTS (SELECT 1)", 9),
        ("km = (SELECT 1)", 7),
        ("lower(home_arr) = 'x'", 19),
        ("km = $1", 6),
        ("km = X'10'", 6),
        ("home_arr = N'21000'", 12),
        ("(home_arr, mode) IN (('21000', 'car'))", 2),
        ("random() < 1", 1),
        ("sqrt(km) < 1", 1),
        ("km::double precision < 1", 1),
        ("sum(km) > 1", 1),
        ("CASE WHEN works THEN 'a' ELSE 'b' END = 'Jean'", 41),
        ("COUNT(*) OVER () > 1", 1),
        ("home_arr SIMILAR TO '2%'", 1),
    ] {
        check(&filter_refused(condition), UNSAFE, (2, column), "");
    }
}

#[test]
fn clauses_that_are_not_on_the_list_are_refused_by_name() {
    let from = "FROM mobility.commute WHERE ref_month = '2011-01'";
    for (sql, code, place, says) in [
        (format!("WITH t AS (SELECT 1) SELECT COUNT(*) {from}"), INVALID, (1, 1), "nothing reads t"),
        (format!("WITH RECURSIVE t AS (SELECT 1) SELECT COUNT(*) {from}"), UNSAFE, (1, 1), "WITH"),
        (format!("SELECT DISTINCT COUNT(*) {from}"), UNSAFE, (1, 8), "DISTINCT"),
        (format!("SELECT ALL COUNT(*) {from}"), UNSAFE, (1, 8), "ALL"),
        (format!("SELECT COUNT(*) {from}\nLIMIT 1 + 1"), INVALID, (2, 7), "LIMIT"),
        (format!("SELECT COUNT(*) {from}\nOFFSET -1"), INVALID, (2, 9), "OFFSET"),
        (format!("SELECT COUNT(*) {from}\nFETCH FIRST ROW ONLY"), UNSAFE, (2, 1), "FETCH"),
        (format!("SELECT COUNT(*) {from}\nFOR UPDATE"), UNSAFE, (2, 1), "FOR UPDATE"),
        (format!("SELECT COUNT(*) {from}\nUNION ALL SELECT 1"), UNSAFE, (2, 1), "UNION"),
        (format!("(SELECT COUNT(*) {from})"), UNSAFE, (1, 18), "subquery"),
        (format!("SELECT COUNT(*) {from}\nGROUP BY ROLLUP (home_arr)"), INVALID, (2, 18), "add home_arr"),
        (format!("SELECT COUNT(*) {from}\nORDER BY km"), INVALID, (2, 10), "neither a group key"),
        (format!("SELECT COUNT(*) {from}\nGROUP BY ALL"), UNSAFE, (2, 1), "GROUP BY ALL"),
        (format!("SELECT COUNT(*) {from}\nWINDOW w AS (ORDER BY km)"), UNSAFE, (2, 1), "window"),
        ("SELECT COUNT(*) FROM mobility.commute a\nJOIN mobility.commute b ON a.km = b.km".to_owned(), UNSAFE, (2, 1), "join"),
        ("SELECT COUNT(*) FROM mobility.commute, mobility.commute".to_owned(), UNSAFE, (1, 17), "join"),
        ("SELECT COUNT(*) FROM (SELECT 1) AS t".to_owned(), INVALID, (1, 17), "no FROM"),
        ("SELECT COUNT(*) FROM (SELECT * FROM mobility.commute LIMIT 3) AS t".to_owned(), UNSAFE, (1, 54), "LIMIT"),
        ("SELECT COUNT(*) FROM (SELECT DISTINCT mode FROM mobility.commute) AS t".to_owned(), UNSAFE, (1, 30), "DISTINCT"),
        (
            "SELECT COUNT(*) FROM (SELECT mode, COUNT(*) AS n FROM mobility.commute GROUP BY mode) AS t".to_owned(),
            UNSAFE,
            (1, 23),
            "aggregate outside",
        ),
        ("SELECT COUNT(*) FROM mobility.district".to_owned(), UNSAFE, (1, 22), "no persons"),
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
    check(&refusal(&format!("SELECT km * 10, COUNT(*) {end} GROUP BY 1")), UNSAFE, (1, 8), "WIDTH_BUCKET");
    check(&refusal(&format!("SELECT departure, COUNT(*) {end} GROUP BY 1")), UNSAFE, (1, 8), "DATE_TRUNC");
    check(&refusal(&format!("SELECT * {end}")), UNSAFE, (1, 1), "rows");
    check(&refusal(&format!("SELECT commute.* {end}")), UNSAFE, (1, 1), "rows");
    check(&refusal(&format!("SELECT home_arr {end} GROUP BY home_arr")), UNSAFE, (1, 1), "no aggregate");
    check(&refusal(&format!("SELECT 1, COUNT(*) {end}")), UNSAFE, (1, 8), "no group key");
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
    check(&refusal(&format!("SELECT mode, COUNT(*) {end}\nGROUP BY left(mode, 1)")), INVALID, (2, 10), "add the expression");
    assert_eq!(plan(&format!("SELECT mode, COUNT(*) {end} GROUP BY mode, 1")).keys.len(), 1);
}

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
        (sql.replace("mobility.district", "mobility.commute"), UNSAFE, "tables of persons are not joined"),
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
fn forms_of_aggregates_that_are_not_read_say_what_to_write() {
    let end = "FROM mobility.commute WHERE ref_month = '2011-01'";
    for (item, code, column, says) in [
        ("COUNT()", UNSAFE, 8, "COUNT(*)"),
        ("COUNT(commute.*)", UNSAFE, 8, "COUNT(*)"),
        ("COUNT(DISTINCT home_arr)", UNSAFE, 23, "group by the expression"),
        ("COUNT(DISTINCT subscriber_id, km)", UNSAFE, 8, "COUNT(DISTINCT subscriber_id)"),
        ("COUNT(*) OVER ()", UNSAFE, 8, "GROUP BY"),
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
    let template = large.code_lists[3].codes[0].clone();
    let code = |number: usize| commun_domain::contract::Code { code: number.to_string(), ..template.clone() };
    large.code_lists[1].codes = (0..1_001).map(code).collect();
    large.code_lists[3].codes = (0..1_000).map(code).collect();
    let sql = "SELECT home_arr, mode, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY 1, 2";
    check(&compile(sql, &large, &settings(1)).unwrap_err(), INVALID, (1, 83), "1000000 combinations");
    large.code_lists[1].codes.pop();
    assert_eq!(compile(sql, &large, &settings(1)).unwrap().cells(), Some(MAX_CELLS));

    let list = |items: usize| format!("trips IN (0{})", ", 1".repeat(items - 1));
    filtered(&list(crate::MAX_LIST_ITEMS));
    check(&filter_refused(&list(crate::MAX_LIST_ITEMS + 1)), INVALID, (2, 1), "5000 values");
    let items =
        |items: usize| format!("SELECT COUNT(*){} FROM mobility.commute WHERE ref_month = '2011-01'", ", COUNT(*)".repeat(items - 1));
    assert_eq!(plan(&items(MAX_SELECT_ITEMS)).columns.len(), MAX_SELECT_ITEMS);
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
