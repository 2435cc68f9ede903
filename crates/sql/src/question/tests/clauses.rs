//! Keys, names, clauses, statements and limits.

use super::*;

#[test]
fn the_commuting_question_compiles() {
    let plan = plan(GOOD);
    assert_eq!(plan.relation.as_table(), Some("commute"));
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
        (format!("SELECT COUNT(*) {from}\nWINDOW w AS (ORDER BY km)"), UNSAFE, (2, 1), "WINDOW"),
        ("SELECT COUNT(*) FROM mobility.commute a\nJOIN mobility.commute b ON a.km = b.km".to_owned(), UNSAFE, (2, 1), "join"),
        ("SELECT COUNT(*) FROM mobility.commute, mobility.commute".to_owned(), UNSAFE, (1, 17), "join"),
        ("SELECT COUNT(*) FROM (SELECT 1) AS t".to_owned(), INVALID, (1, 17), "no FROM"),
        ("SELECT COUNT(*) FROM (SELECT * FROM mobility.commute LIMIT 3) AS t".to_owned(), UNSAFE, (1, 54), "LIMIT"),
        ("SELECT COUNT(*) FROM (SELECT DISTINCT mode FROM mobility.commute) AS t".to_owned(), UNSAFE, (1, 30), "DISTINCT"),
        (
            "SELECT COUNT(*) FROM (SELECT mode, COUNT(*) AS n FROM mobility.commute GROUP BY mode) AS t".to_owned(),
            UNSAFE,
            (1, 23),
            "the rows of one person",
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
