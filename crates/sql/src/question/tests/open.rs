//! Group keys of open text.

use commun_domain::Delta;
use commun_domain::plan::OpenKey;
use commun_domain::plan::open::MAX_NAMES;

use super::*;

const OPEN: &str =
    "SELECT employer, COUNT(DISTINCT subscriber_id) AS people FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY employer";

fn open(sql: &str) -> OpenKey {
    plan(sql).open_key().unwrap().clone()
}

#[test]
fn open_text_is_a_group_key_without_values_that_takes_a_share_of_rho_and_a_delta() {
    let found = open(OPEN);
    let expected = OpenKey {
        column: "employer".into(),
        max_bytes: 64,
        max_names: MAX_NAMES,
        delta: Delta::from_units(1_000_000_000),
        share_num: 1,
        share_den: 2,
        names: None,
    };
    assert_eq!(found, expected);
    let whole = plan(OPEN);
    assert_eq!((whole.outputs[0].share_num, whole.outputs[0].share_den), (1, 2));
    assert!(whole.columns_read().contains("employer"));
    let three = plan(&OPEN.replace("COUNT(DISTINCT", "SUM(km), COUNT(*), COUNT(DISTINCT"));
    assert_eq!(three.open_key().map(|open| (open.share_num, open.share_den)), Some((1, 4)));
    assert!(three.outputs.iter().all(|output| output.share_den == 4));
}

#[test]
fn names_go_through_subqueries_aliases_and_the_answer() {
    let sql = "WITH jobs AS (SELECT employer AS boss, mode, ref_month, km FROM mobility.commute WHERE ref_month = '2011-01')
        SELECT boss, mode, COUNT(*) AS trips FROM jobs GROUP BY ROLLUP (mode, boss) HAVING COUNT(*) > 10 ORDER BY boss, trips DESC LIMIT 5";
    let found = plan(sql);
    assert_eq!((found.keys[0].name.as_str(), found.open_key().unwrap().column.as_str()), ("boss", "employer"));
    assert_eq!(values(&found)[0], AnswerValue::Key(0));
}

#[test]
fn other_keys_and_histograms_leave_room_for_names() {
    // 4 modes and 501 distances of whole kilometres: 2,004 cells, and room for 499 names in a million.
    let room =
        open(&OPEN.replace("SELECT employer", "SELECT mode, employer, FLOOR(km / 1)").replace("BY employer", "BY mode, employer, 3"));
    assert!((16..MAX_NAMES).contains(&room.max_names), "{}", room.max_names);
    let histogram = plan(&OPEN.replace("COUNT(DISTINCT subscriber_id)", "MEDIAN(km)"));
    assert!(histogram.cells().is_some());
    assert!(histogram.output_cells(&histogram.outputs[0]).unwrap() <= MAX_CELLS);
}

#[test]
fn open_text_is_nothing_but_a_key() {
    let count = |what: &str, condition: &str| format!("SELECT {what} FROM mobility.commute WHERE ref_month = '2011-01'{condition}");
    for (sql, column) in [
        (count("COUNT(*)", "\nAND employer = 'Bpost'"), 5),
        (count("COUNT(*)", "\nAND employer IN ('a', 'b')"), 5),
        (count("COUNT(*)", "\nAND employer LIKE 'B%'"), 5),
        (count("COUNT(*)", "\nAND employer IS NULL"), 5),
        (count("COUNT(*)", "\nAND employer"), 5),
        (count("COUNT(*) FILTER (WHERE mode = 'car' AND\nemployer <> 'x')", ""), 1),
        (count("COUNT(\nemployer)", ""), 1),
        (count("SUM(\nemployer)", ""), 1),
        (count("COUNT(*),\nUPPER(employer)", " GROUP BY 2"), 7),
        (count("COUNT(*), CASE WHEN works THEN\nemployer END", " GROUP BY 2"), 1),
        (count("COUNT(*),\nCOALESCE(employer, 'none')", " GROUP BY 2"), 10),
        (count("COUNT(*),\nemployer || 'x'", " GROUP BY 2"), 1),
    ] {
        let found = refusal(&sql);
        check(&found, UNSAFE, (2, column), "group by it alone");
    }
    // Distinct values are counted in the answer, as of every other column.
    assert_eq!(refusal(&count("COUNT(DISTINCT employer)", "")).code, UNSAFE);
}

#[test]
fn two_open_keys_or_too_large_a_grid_are_refused() {
    let wide = OPEN.replace("SELECT employer", "SELECT ref_month, home_arr, mode, FLOOR(km / 1), trips, employer");
    let wide = wide.replace("= '2011-01'", "BETWEEN '2011-01' AND '2011-12'").replace("BY employer", "BY 1, 2, 3, 4, 5, 6");
    assert_eq!(refusal(&wide).code, INVALID);
    let two = crate::question::fixture::CONTRACT.replacen(
        "name = \"mode\"\ntype = \"code\"\nlist = \"mode\"\nversion = \"1\"",
        "name = \"mode\"\ntype = \"open_text\"\nmax_bytes = 9",
        1,
    );
    let contract = commun_domain::contract_toml::parse_contract(&two).unwrap();
    let sql = "SELECT employer, mode, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY 1, 2";
    let found = compile(sql, &contract, &settings(1)).unwrap_err();
    assert!(found.code == UNSAFE && found.message.contains("at most one"), "{found:?}");
}

#[test]
fn people_count_once_in_a_rollup_of_names_only_in_one_group() {
    let sql = OPEN.replace("GROUP BY employer", "GROUP BY ROLLUP (employer)");
    assert!(compile(&sql, &contract(), &settings(1)).is_ok());
    assert_eq!(compile(&sql, &contract(), &settings(2)).unwrap_err().code, UNSAFE);
}

/// Where rows of a person are brought together first they are integers, which a text that nobody has declared is not.
#[test]
fn open_text_goes_through_no_relation_of_persons() {
    let month = "WHERE ref_month = '2011-01'";
    let rows = "SELECT subscriber_id, ref_month, employer FROM mobility.commute";
    let over = "OVER (PARTITION BY subscriber_id, ref_month";
    for (from, text) in [
        (format!("({rows} UNION ALL {rows})"), "employer"),
        (format!("({rows} GROUP BY subscriber_id, ref_month, employer)"), "employer"),
        ("(SELECT subscriber_id, ref_month, employer, COUNT(*) AS n FROM mobility.commute GROUP BY 1, 2, 3)".to_owned(), "employer"),
        (format!("(SELECT subscriber_id, ref_month, employer, ROW_NUMBER() {over} ORDER BY km) AS n FROM mobility.commute)"), "employer"),
        (format!("(SELECT subscriber_id, ref_month, mode, COUNT(*) {over}, employer) AS n FROM mobility.commute)"), "n > 1"),
        (
            "(SELECT a.subscriber_id, a.ref_month, a.employer FROM mobility.commute AS a JOIN mobility.commute AS b USING (subscriber_id, ref_month))".to_owned(),
            "employer",
        ),
        (
            "(SELECT a.subscriber_id, a.ref_month, b.employer FROM mobility.commute AS a LEFT JOIN mobility.commute AS b USING (subscriber_id, ref_month))".to_owned(),
            "employer",
        ),
    ] {
        let found = refusal(&format!("SELECT {text} AS k, COUNT(*) FROM {from} AS s {month} GROUP BY 1"));
        assert!(
            found.code == UNSAFE && found.message.contains("of a table's own rows") && found.hint.contains("ask about one table"),
            "{from}: {found:?}"
        );
        assert!(found.position.is_some(), "{from}");
    }
    // What is no key of such a subquery is no column of it, as for any other.
    let found = refusal(&format!(
        "SELECT employer, COUNT(*) FROM (SELECT subscriber_id, ref_month, SUM(km) AS km FROM mobility.commute GROUP BY 1, 2) AS s {month} GROUP BY 1"
    ));
    assert!(found.code == INVALID && found.message.contains("no column employer"), "{found:?}");
    // Rows of a join of persons by an open text would be pairs that a condition on it chose.
    let found = refusal(&format!(
        "SELECT COUNT(*) FROM mobility.commute AS a JOIN mobility.commute AS b ON a.subscriber_id = b.subscriber_id AND a.ref_month = b.ref_month AND a.employer = b.employer {month}"
    ));
    assert!(found.code == UNSAFE && found.message.contains("open text"), "{found:?}");
    // A lookup leaves a table's rows as they are.
    let found = plan(&format!(
        "SELECT employer, d.region, COUNT(*) FROM mobility.commute AS c JOIN mobility.district AS d ON c.home_arr = d.code {month} GROUP BY 1, 2"
    ));
    assert!(found.open_key().is_some() && found.relation.as_table() == Some("commute"));
}
