//! Subqueries, windows, joins and UNION ALL over one person's rows.

use commun_domain::plan::relation::{Fold, Relation, WindowFunction};

use super::*;

const FROM: &str = "mobility.commute";
const BY: &str = "subscriber_id, ref_month";

/// A count over a subquery, in January 2011.
fn over(subquery: &str) -> String {
    format!("SELECT COUNT(*) FROM ({subquery}) AS p WHERE ref_month = '2011-01'")
}

fn places_of_columns(relation: &Relation) -> Vec<String> {
    let mut found = commun_domain::plan::TableColumns::new();
    relation.columns_read(&std::collections::BTreeSet::new(), &mut found);
    found.into_iter().flat_map(|(table, columns)| columns.into_iter().map(move |column| format!("{table}.{column}"))).collect()
}

#[test]
fn one_row_a_person_needs_noise_for_one_row_and_what_is_not_read_is_not_in_the_plan() {
    let plan = plan(&over(&format!(
        "SELECT {BY}, COUNT(*) AS n, SUM(km) AS s, MAX(trips) AS m FROM {FROM} WHERE works GROUP BY {BY} HAVING COUNT(*) > 1"
    )));
    assert_eq!(plan.outputs[0].aggregate, Aggregate::CountRows { max_rows_per_person: 1 });
    let Relation::Group { input, keys, folds } = &plan.relation else { panic!("{:?}", plan.relation) };
    assert!(keys.is_empty());
    assert_eq!(folds.iter().map(|folded| folded.fold.clone()).collect::<Vec<_>>(), [Fold::Rows]);
    assert!(matches!(&**input, Relation::Select { filter: Some(_), columns, .. } if columns.is_empty()));
    assert_eq!(places_of_columns(&plan.relation), ["commute.works"]);
    // HAVING is a condition on the row that a person has.
    assert!(plan.filter.is_some());
}

#[test]
fn what_a_person_folds_has_the_range_of_linf_rows() {
    // Four rows count, km from 0.0 to 200.0.
    let values = |item: &str| {
        let sql = format!("SELECT SUM(x) FROM (SELECT {BY}, {item} AS x FROM {FROM} GROUP BY {BY}) AS p WHERE ref_month = '2011-01'");
        let Aggregate::Sum { measured, max_rows_per_person: 1 } = plan(&sql).outputs[0].aggregate.clone() else { panic!("{sql}") };
        (measured.lo, measured.hi, measured.scale)
    };
    let km = match &contract().tables[0].column("km").unwrap().column_type {
        ColumnType::Number { lo, hi, scale } => (*lo, *hi, *scale),
        other => panic!("{other:?}"),
    };
    assert_eq!(values("COUNT(*)"), (0, 4, 0));
    assert_eq!(values("COUNT(DISTINCT mode)"), (0, 4, 0));
    assert_eq!(values("SUM(km)"), (4 * km.0.min(0), 4 * km.1, km.2));
    assert_eq!(values("AVG(km)"), (km.0 * 10_000, km.1 * 10_000, km.2 + 4));
    assert_eq!(values("MIN(km)"), km);
    assert_eq!(values("MAX(km) - MIN(km)"), (km.0 - km.1, km.1 - km.0, km.2));
}

#[test]
fn windows_joins_and_unions_become_relations() {
    let window = plan(
        &over(
            &format!(
                "SELECT {BY}, km, LAG(km, 2) OVER (PARTITION BY {BY} ORDER BY departure) AS before, \
         RANK() OVER (PARTITION BY ref_month, subscriber_id, mode ORDER BY km DESC) AS r FROM {FROM}"
            )
            .replace(") AS p", ") AS p"),
        )
        .replace("WHERE", "WHERE km > before AND"),
    );
    let Relation::Window { columns, .. } = &window.relation else { panic!("{:?}", window.relation) };
    // The rank is not read.
    assert!(matches!(columns.as_slice(), [only] if matches!(only.function, WindowFunction::Shift { by: -2, .. })), "{columns:?}");
    let join = plan(&format!(
        "SELECT a.mode, COUNT(*) FROM {FROM} AS a LEFT JOIN {FROM} AS b ON a.ref_month = b.ref_month AND b.subscriber_id = a.subscriber_id AND a.km < b.km \
         WHERE a.ref_month = '2011-01' GROUP BY a.mode"
    ));
    assert!(matches!(join.relation, Relation::Join { outer: true, condition: Some(_), .. }));
    assert_eq!(join.outputs[0].aggregate, Aggregate::CountRows { max_rows_per_person: 16 });
    let union = plan(&over(&format!("SELECT {BY}, mode FROM {FROM} UNION ALL SELECT {BY}, 'none' FROM {FROM} WHERE mode IS NULL")));
    assert!(matches!(&union.relation, Relation::Union(inputs) if inputs.len() == 2) && union.relation.is_row_by_row());
    assert_eq!(union.outputs[0].aggregate, Aggregate::CountRows { max_rows_per_person: 8 });
}

#[test]
fn the_same_text_in_other_words_gives_the_same_plan() {
    let texts = [
        format!(
            "SELECT COUNT(*) FROM (SELECT {BY}, mode, COUNT(*) AS n FROM {FROM} GROUP BY {BY}, mode) AS p WHERE ref_month = '2011-01' AND n > 1"
        ),
        format!(
            "WITH p AS (SELECT t.{}, t.mode, COUNT(*) AS n FROM {FROM} AS t GROUP BY 1, t.ref_month, 3) SELECT COUNT(*) FROM p WHERE n > 1 AND p.ref_month = '2011-01'",
            BY.replace(", ", ", t.")
        ),
    ];
    let [first, second] = texts.map(|sql| plan(&sql));
    assert_eq!(first, second);
}

#[test]
fn what_looks_across_people_or_partitions_is_refused_at_its_place() {
    let unsafe_ = [
        (format!("SELECT subscriber_id, COUNT(*) AS n FROM {FROM} GROUP BY subscriber_id"), "one person in one partition"),
        (format!("SELECT ref_month, COUNT(*) AS n FROM {FROM} GROUP BY ref_month"), "one person in one partition"),
        (
            format!("SELECT {BY}, ROW_NUMBER() OVER (PARTITION BY subscriber_id ORDER BY km) AS n FROM {FROM}"),
            "one person in one partition",
        ),
        (format!("SELECT {BY}, SUM(km) OVER () AS n FROM {FROM}"), "one person in one partition"),
        (format!("SELECT {BY}, SUM(km) OVER (PARTITION BY {BY} ORDER BY km ROWS 2 PRECEDING) AS n FROM {FROM}"), "frame"),
        (format!("SELECT {BY}, MEDIAN(km) AS n FROM {FROM} GROUP BY {BY}"), "over one person's rows"),
        (format!("SELECT DISTINCT {BY} FROM {FROM}"), "DISTINCT"),
        (format!("SELECT {BY} FROM {FROM} UNION SELECT {BY} FROM {FROM}"), "UNION"),
        (format!("SELECT {BY} FROM {FROM} EXCEPT SELECT {BY} FROM {FROM}"), "UNION"),
        (
            format!("SELECT {BY} FROM {FROM} WHERE ref_month = '2011-01' UNION ALL SELECT {BY} FROM {FROM} WHERE ref_month = '2011-02'"),
            "other partitions",
        ),
        (
            format!("SELECT a.{} FROM {FROM} AS a JOIN {FROM} AS b ON a.subscriber_id = b.subscriber_id", BY.replace(", ", ", a.")),
            "unit and the partition",
        ),
        (format!("SELECT a.{} FROM {FROM} AS a JOIN {FROM} AS b USING (ref_month)", BY.replace(", ", ", a.")), "unit and the partition"),
        (
            format!(
                "SELECT a.{} FROM {FROM} AS a JOIN {FROM} AS b ON subscriber_id = subscriber_id AND ref_month = ref_month",
                BY.replace(", ", ", a.")
            ),
            "unit and the partition",
        ),
    ];
    for (subquery, says) in unsafe_ {
        let refusal = refusal(&over(&subquery));
        assert_eq!(refusal.code, WireCode::NotPrivate, "{subquery}\n{refusal:?}");
        assert!(refusal.position.is_some() && !refusal.hint.is_empty(), "{refusal:?}");
        assert!(refusal.message.contains(says) || refusal.hint.contains(says), "{says}: {subquery}\n{refusal:?}");
    }
    let invalid = [
        (format!("SELECT {BY}, RANK() OVER (PARTITION BY {BY}) AS n FROM {FROM}"), "order"),
        (format!("SELECT {BY}, LAG(km, 0) OVER (PARTITION BY {BY} ORDER BY km) AS n FROM {FROM}"), "rows away"),
        (format!("SELECT {BY}, AVG(CAST(trips AS DECIMAL(18, 9)) * 1000000) AS n FROM {FROM} GROUP BY {BY}"), "62 bits"),
        (format!("SELECT {BY}, MAX(mode) AS n FROM {FROM} GROUP BY {BY}"), "a text"),
        (format!("SELECT {BY}, mode FROM {FROM} UNION ALL SELECT {BY}, km FROM {FROM}"), "one type"),
        (format!("SELECT {BY}, mode FROM {FROM} UNION ALL SELECT {BY} FROM {FROM}"), "columns"),
        (format!("SELECT {BY}, mode FROM {FROM} UNION ALL SELECT mode, {BY} FROM {FROM}"), "same kind"),
        (format!("SELECT {BY}, km, COUNT(*) AS n FROM {FROM} GROUP BY {BY}"), "no column km"),
    ];
    for (subquery, says) in invalid {
        let refusal = refusal(&over(&subquery));
        assert_eq!(refusal.code, WireCode::InvalidQuery, "{subquery}\n{refusal:?}");
        assert!(refusal.message.contains(says) || refusal.hint.contains(says), "{says}: {subquery}\n{refusal:?}");
    }
}

#[test]
fn names_that_are_read_again_and_again_have_a_limit() {
    let mut with = format!("WITH w0 AS (SELECT {BY} FROM {FROM})");
    for number in 1..12 {
        let (before, by) = (number - 1, BY.replace(", ", ", a."));
        with += &format!(", w{number} AS (SELECT a.{by} FROM w{before} AS a JOIN w{before} AS b USING ({BY}))");
    }
    let refusal = refusal(&format!("{with} SELECT COUNT(*) FROM w11 WHERE ref_month = '2011-01'"));
    assert!(refusal.message.contains("more than 32 tables"), "{refusal:?}");
}

#[test]
fn a_short_text_that_stands_for_a_very_large_question_is_refused_while_it_is_built() {
    // 8 to the fourth parts after four levels, which is allowed; then as many columns of it, which is not.
    let mut from = format!("(SELECT {BY}, trips AS x FROM {FROM}) AS l");
    for level in 0..4 {
        from = format!("(SELECT {BY}, {} AS x FROM {from}) AS l{level}", ["x"; 8].join(" + "));
    }
    plan(&format!("SELECT COUNT(*) FROM {from} WHERE ref_month = '2011-01' AND x > 0"));
    let columns: Vec<String> = (0..130).map(|number| format!("x AS c{number}")).collect();
    from = format!("(SELECT {BY}, {} FROM {from}) AS wide", columns.join(", "));
    let refusal = refusal(&format!("SELECT SUM(c0) FROM {from} WHERE ref_month = '2011-01'"));
    assert!(refusal.message.contains("parts of expressions"), "{refusal:?}");
    // Text that doubles its length at each level, with one value only.
    let mut from = format!("(SELECT {BY}, CASE WHEN works THEN 'abcdefghij' ELSE 'k' END AS t FROM {FROM}) AS l");
    for level in 0..8 {
        from = format!("(SELECT {BY}, REPLACE(REPLACE(t, 'k', 'jj'), 'j', 'kkkkkkkk') AS t FROM {from}) AS l{level}");
    }
    let refusal = super::refusal(&format!("SELECT t, COUNT(*) FROM {from} WHERE ref_month = '2011-01' GROUP BY t"));
    assert!(refusal.message.contains("1000 bytes"), "{refusal:?}");
}

#[test]
fn what_one_person_could_have_at_once_has_a_limit() {
    // Joins of joins: 65,536 pairs each.
    let joined = |times: usize| {
        let mut from = format!("(SELECT {BY}, km AS c FROM {FROM}) AS j0");
        for number in 1..times {
            from += &format!(" JOIN (SELECT {BY}, km AS c FROM {FROM}) AS j{number} USING ({BY})");
        }
        let sum = (0..times).map(|number| format!("j{number}.c")).collect::<Vec<_>>().join(" + ");
        format!("SELECT SUM({sum}) FROM {from} WHERE ref_month = '2011-01'")
    };
    plan(&joined(3));
    let refusal = refusal(&joined(14));
    assert_eq!(refusal.code, WireCode::NotPrivate, "{refusal:?}");
    assert!(refusal.message.contains("one person could have") && refusal.position.is_some(), "{refusal:?}");
}

#[test]
fn a_column_is_a_key_only_when_it_is_the_same_column() {
    // LOWER keeps the places and changes the texts: it is not the column that it is made of.
    let lower = format!("SELECT {BY}, mode, LOWER(mode) AS low FROM {FROM}");
    let refusal = refusal(&over(&format!("SELECT {BY}, mode FROM ({lower}) AS l GROUP BY {BY}, low")));
    assert!(refusal.message.contains("no column mode"), "{refusal:?}");
    plan(&over(&format!("SELECT {BY}, low FROM ({lower}) AS l GROUP BY {BY}, low")));
    plan(&over(&format!("SELECT {BY}, mode FROM ({lower}) AS l GROUP BY {BY}, mode")));
}

#[test]
fn a_code_list_in_on_is_used_only_where_its_version_is_valid() {
    let sql = |month: &str| {
        format!("SELECT COUNT(*) FROM {FROM} AS a JOIN {FROM} AS b USING ({BY}) WHERE ref_month = '{month}'")
            .replace(&format!("USING ({BY})"), "ON a.subscriber_id = b.subscriber_id AND a.ref_month = b.ref_month AND a.mode = 'car'")
            .replace("WHERE ref_month", "WHERE a.ref_month")
    };
    plan(&sql("2011-01"));
    let refusal = refusal(&sql("2013-07"));
    assert!(refusal.message.contains("mode") && refusal.message.contains("2013-07"), "{refusal:?}");
}
