//! Conditions and expressions over one row.

use super::*;

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
fn a_decimal_is_what_it_is_written_as() {
    let ranges = |sum: &str| {
        let plan = plan(&format!("SELECT SUM({sum}) FROM mobility.commute WHERE ref_month = '2011-01'"));
        let measured = plan.outputs[0].aggregate.measured().cloned().unwrap();
        (measured.lo, measured.hi, measured.scale)
    };
    // A quotient with a decimal keeps its digits; of whole numbers it is cut.
    assert_eq!(ranges("trips / 2"), (-2, 50, 0));
    assert_eq!(ranges("trips / 2.0"), (-250_000, 5_000_000, 5));
    // Without digits a cast keeps those that there are; with digits it rounds, and what does not fit is NULL.
    assert_eq!(ranges("CAST(km AS DECIMAL)"), (0, 5_000, 1));
    assert_eq!(ranges("CAST(km AS DECIMAL(5))"), (0, 500, 0));
    assert_eq!(ranges("CAST(km * 10 AS DECIMAL(4, 1))"), (0, 9_999, 1));
    assert_eq!(ranges("CAST(trips * 1000 AS SMALLINT)"), (-5_000, 32_767, 0));
    assert_eq!(ranges("CAST(trips * 100000000 AS INT)"), (-500_000_000, 2_147_483_647, 0));
}

#[test]
fn two_conditions_without_parentheses_are_not_guessed() {
    for (condition, column) in [
        ("works = (km > 1) IN (TRUE, FALSE)", 1),
        ("works = mode LIKE 'c%'", 1),
        ("works = km BETWEEN 1 AND 2", 1),
        ("km = trips = works", 1),
        ("works = works <> works", 1),
    ] {
        check(&filter_refused(condition), INVALID, (2, column), "parentheses");
    }
    filtered("works = ((km > 1) IN (TRUE, FALSE))");
    filtered("(works = (km > 1)) IN (TRUE)");
}

#[test]
fn nothing_of_a_time_is_cut_off_in_silence() {
    check(&filter_refused("departure >= '2011-01-02 10:00:00.5'"), INVALID, (2, 14), "whole seconds");
    filtered("departure >= '2011-01-02 10:00:00.0'");
    check(&filter_refused("CAST(departure AS DATE) = '2011-01-02 13:00'"), INVALID, (2, 27), "2011-01-31");
    check(&filter_refused("departure::date IN ('2011-01-02', '2011-01-03 13:00')"), INVALID, (2, 35), "2011-01-31");
    filtered("CAST(departure AS DATE) = '2011-01-02'");
    filtered("date_trunc('day', departure) < '2011-01-02 13:00'");
}

#[test]
fn concat_passes_over_null_and_the_operator_does_not() {
    let keys = |sql: &str| {
        let plan = plan(&format!("SELECT {sql} AS k, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY 1"));
        plan.keys[0].values(&plan)
    };
    assert_eq!(keys("mode || '!'"), ["car!", "train!", "bike!", "o'neil!"]);
    assert_eq!(keys("concat(mode, '!')"), ["car!", "train!", "bike!", "o'neil!", "!"]);
    assert_eq!(keys("concat(mode, NULL, '!')"), ["car!", "train!", "bike!", "o'neil!", "!"]);
}
