#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::*;

fn sources() -> Vec<String> {
    vec!["trips".to_owned(), "people".to_owned()]
}

fn accepted(sql: &str) {
    check_binding(sql, &sources()).unwrap_or_else(|fault| panic!("{sql}\n{fault}"));
    rewrite_binding(sql).unwrap_or_else(|fault| panic!("{sql}\n{fault}"));
}

/// The fault, whose text must speak of `says`.
fn fault(sql: &str, says: &str) -> BindingFault {
    let fault = match check_binding(sql, &sources()) {
        Ok(()) => panic!("not refused: {sql}"),
        Err(fault) => fault,
    };
    assert!(fault.to_string().contains(says), "{says}: {fault}");
    assert!(!fault.what.is_empty() && !fault.why.is_empty() && fault.at.is_some(), "{fault:?}");
    fault
}

#[test]
fn a_plain_binding_passes() {
    accepted("SELECT id AS subscriber_id, month AS ref_month, lower(trim(home)) AS home_arr FROM trips WHERE km > 0");
    accepted("SELECT * FROM trips");
    accepted("SELECT t.*, p.\"Home Code\" FROM trips t LEFT JOIN people AS p ON t.id = p.id AND (p.month = t.month)");
    accepted("SELECT a FROM \"people\" INNER JOIN TRIPS ON (\"people\".a = trips.b)");
    accepted("SELECT a, b FROM trips UNION ALL SELECT a, c FROM people UNION ALL SELECT a, d FROM trips;");
}

#[test]
fn total_scalar_expressions_pass() {
    for expr in [
        "lower(a)",
        "UPPER(a)",
        "trim(a)",
        "trim(BOTH 'x' FROM a)",
        "btrim(a, 'x')",
        "ltrim(a)",
        "rtrim(a, '0')",
        "substr(a, 1, 4)",
        "substring(a FROM 2 FOR 3)",
        "concat(a, '-', b)",
        "a || '-' || b",
        "coalesce(a, b, 'x')",
        "nullif(a, '')",
        "replace(a, '.', '')",
        "lpad(a, 5, '0')",
        "rpad(a, 5)",
        "left(a, 2)",
        "right(a, 2)",
        "length(a)",
        "character_length(a)",
        "split_part(a, '-', 1)",
        "date_part('year', a)",
        "EXTRACT(MONTH FROM a)",
        "date_trunc('month', a)",
        "to_char(a, '%Y-%m')",
        "floor(a)",
        "ceil(a)",
        "round(a)",
        "round(a, 2)",
        "CASE a WHEN '1' THEN 'x' ELSE NULL END",
        "CASE WHEN a < 0 THEN -a ELSE a END",
        "CAST(a AS BIGINT)",
        "a::date",
        "TRY_CAST(a AS DECIMAL(10, 2))",
        "a + b * 2 - 1",
        "a / 100",
        "a % 10",
        "a IN ('x', 'y')",
        "a NOT BETWEEN 1 AND 2",
        "a LIKE 'x%'",
        "a IS NOT NULL",
        "a IS TRUE",
        "a IS DISTINCT FROM b",
        "DATE '2011-01-01'",
        "NOT (a = 1 OR b <> 2)",
        "NULL",
    ] {
        accepted(&format!("SELECT {expr} AS x FROM trips WHERE {expr} IS NOT NULL"));
    }
}

#[test]
fn what_looks_at_other_rows_is_refused_with_its_reason() {
    for (sql, says) in [
        ("SELECT COUNT(*) FROM trips", "many people"),
        ("SELECT max(km) FROM trips", "many people"),
        ("SELECT a FROM trips GROUP BY a", "GROUP BY"),
        ("SELECT a FROM trips GROUP BY ALL", "GROUP BY ALL"),
        ("SELECT a FROM trips HAVING a > 1", "HAVING"),
        ("SELECT DISTINCT a FROM trips", "DISTINCT"),
        ("SELECT a FROM trips ORDER BY a", "ORDER BY"),
        ("SELECT a FROM trips LIMIT 5", "LIMIT"),
        ("SELECT a FROM trips OFFSET 5", "LIMIT"),
        ("SELECT a FROM trips FETCH FIRST 5 ROWS ONLY", "FETCH"),
        ("SELECT row_number() OVER (ORDER BY a) FROM trips", "window"),
        ("SELECT lower(a) OVER () FROM trips", "window"),
        ("SELECT a FROM trips WHERE EXISTS (SELECT 1 FROM people)", "subquery"),
        ("SELECT a FROM trips WHERE a IN (SELECT a FROM people)", "subquery"),
        ("SELECT (SELECT max(a) FROM people) FROM trips", "subquery"),
        ("SELECT CASE WHEN a = (SELECT 1) THEN 1 END FROM trips", "subquery"),
        ("SELECT a FROM (SELECT a FROM trips) t", "subquery"),
        ("SELECT a FROM LATERAL (SELECT a FROM trips) t", "subquery"),
        ("WITH t AS (SELECT a FROM trips) SELECT a FROM t", "WITH"),
        ("SELECT a FROM trips UNION SELECT a FROM people", "UNION"),
        ("SELECT a FROM trips EXCEPT SELECT a FROM people", "UNION ALL"),
        ("SELECT a FROM trips UNION ALL (SELECT a FROM people LIMIT 1)", "subquery"),
        ("SELECT a FROM trips TABLESAMPLE BERNOULLI (10)", "plain table name"),
    ] {
        fault(sql, says);
    }
}

#[test]
fn only_named_sources_are_read() {
    for sql in [
        "SELECT a FROM other",
        "SELECT a FROM db.trips",
        "SELECT a FROM \"TRIPS\"",
        "SELECT a FROM '/etc/passwd'",
        "SELECT a FROM trips JOIN secrets ON trips.a = secrets.a",
        "SELECT a FROM trips UNION ALL SELECT a FROM other",
    ] {
        fault(sql, "the sources are: trips, people");
    }
    // What no source may be called, also where no sources are named: this loses an L each time it is printed.
    for odd in ["@022LL\nSE2222@2", "@trips", "\"Odd Name\""] {
        let sql = format!("SELECT a FROM {odd}");
        fault(&sql, "the sources are: trips, people");
        assert!(rewrite_binding(&sql).is_err(), "{sql}");
    }
    fault("SELECT a FROM read_csv('/etc/passwd')", "plain table name");
    fault("SELECT a FROM generate_series(1, 10)", "plain table name");
    fault("SELECT a FROM UNNEST(ARRAY[1]) t", "");
}

#[test]
fn joins_are_on_equal_columns_only() {
    for sql in [
        "SELECT a FROM trips, people",
        "SELECT a FROM trips CROSS JOIN people",
        "SELECT a FROM trips NATURAL JOIN people",
        "SELECT a FROM trips JOIN people USING (id)",
        "SELECT a FROM trips JOIN people",
        "SELECT a FROM trips RIGHT JOIN people ON trips.id = people.id",
        "SELECT a FROM trips FULL JOIN people ON trips.id = people.id",
        "SELECT a FROM trips LEFT SEMI JOIN people ON trips.id = people.id",
        "SELECT a FROM trips LEFT ANTI JOIN people ON trips.id = people.id",
        "SELECT a FROM (trips JOIN people ON trips.id = people.id)",
    ] {
        fault(sql, "INNER and LEFT JOIN");
    }
    for condition in
        ["trips.id < people.id", "trips.id = people.id OR trips.b = people.b", "TRUE", "trips.id = 1", "lower(trips.id) = people.id"]
    {
        fault(&format!("SELECT a FROM trips JOIN people ON {condition}"), "equal columns");
    }
}

#[test]
fn what_can_fail_on_a_cell_or_change_between_runs_is_refused() {
    for (expr, says) in [
        ("random()", "same values"),
        ("uuid()", "same values"),
        ("now()", "clock"),
        ("CURRENT_DATE", "clock"),
        ("current_timestamp", "clock"),
        ("current_user", "session"),
        ("my_udf(a)", "my_udf"),
        ("schema.lower(a)", "function"),
        ("a / b", "division"),
        ("a / 0", "division"),
        ("a % -1", "division"),
        ("a / 0.00", "division"),
        ("to_date(a)", "CAST"),
        ("abs(a)", "CASE WHEN"),
        ("repeat(a, 3)", "memory"),
        ("sqrt(a)", "fixed-point"),
        ("regexp_replace(a, 'x', 'y')", "pattern"),
        ("substr(a, b)", "number from 1"),
        ("substr(a, 1, -1)", "number from 1"),
        ("substr(a, 0)", "number from 1"),
        ("lpad(a, 2000000, '0')", "number from 1"),
        ("lpad(a, 5, b)", "text literal"),
        ("split_part(a, '-', 0)", "number from 1"),
        ("split_part(a, b, 1)", "text literal"),
        ("date_trunc(a, b)", "text literal"),
        ("a LIKE b", "literal pattern"),
        ("a ILIKE 'x'", "never to fail"),
        ("a SIMILAR TO 'x'", "never to fail"),
        ("a ~ 'x'", "operator"),
        ("a & 1", "operator"),
        ("CAST(a AS BYTEA)", "CAST to this type"),
        ("CAST(a AS my_type)", "CAST to this type"),
        ("INTERVAL '1' DAY", "not read"),
        ("$1", "parameter"),
        ("lower(a, b)", "arguments"),
        ("lower()", "arguments"),
        ("lower(*)", "named argument or *"),
        ("lower(DISTINCT a)", "form of lower"),
        ("lower(a) FILTER (WHERE b)", "form of lower"),
        ("lower(random())", "same values"),
        ("coalesce(a, CASE WHEN b THEN now() END)", "clock"),
        ("ceil(a TO DAY)", ""),
    ] {
        let result = check_binding(&format!("SELECT {expr} AS x FROM trips"), &sources());
        let message = result.map_or_else(|fault| fault.to_string(), |()| panic!("not refused: {expr}"));
        assert!(message.contains(says), "{expr}: {message}");
        let result = check_binding(&format!("SELECT a FROM trips WHERE ({expr}) IS NULL"), &sources());
        assert!(result.is_err(), "{expr} in WHERE");
    }
}

#[test]
fn a_fault_says_where() {
    let found = fault("SELECT a,\n  random() FROM trips", "line 2, column 3");
    assert_eq!(found.at, Some(Position { line: 2, column: 3 }));
}

#[test]
fn every_cast_becomes_try_cast() {
    let sql = "select cast(a as bigint), (b::int)::text, /* x */ TRY_CAST(c AS DATE) FROM trips WHERE CASE WHEN CAST(d AS INT) = 1 THEN TRUE END UNION ALL SELECT CAST(lower(CAST(a AS TEXT)) AS INT), b, c FROM people JOIN trips ON people.a = trips.a";
    let text = rewrite_binding(sql).unwrap();
    assert_eq!(text.matches("CAST(").count(), 7, "{text}");
    assert_eq!(text.matches("TRY_CAST(").count(), 7, "{text}");
    assert!(!text.contains("::") && !text.contains("/*"), "{text}");
    assert_eq!(rewrite_binding(&text).unwrap(), text);
}

#[test]
fn a_rewritten_binding_keeps_the_meaning_of_quotes_and_precedence() {
    let sql = "SELECT \"Odd \"\" Col\", 'it''s', a - (b - c), NOT (a OR b) AND c FROM trips AS o WHERE a IN ('x', 'y')";
    assert_eq!(rewrite_binding(sql).unwrap(), sql);
}

#[test]
fn the_longest_chains_that_are_read_fit_a_small_stack() {
    // Test threads have 2 MiB, as the workers of an asynchronous runtime do.
    let chains = |length: usize| {
        [
            format!("SELECT a FROM trips WHERE {}a", "a OR ".repeat(length)),
            format!("SELECT a FROM trips WHERE a{}", " IS NULL".repeat(length)),
            format!("SELECT a FROM trips JOIN people ON {}a = b", "a = b AND ".repeat(length - 1)),
        ]
    };
    let most = crate::binding::scalar::MAX_EXPRESSION_DEPTH - 1;
    for sql in chains(most) {
        accepted(&sql);
    }
    // A chain of casts becomes nested TRY_CASTs, which the engine's parser reads to its own depth only.
    accepted(&format!("SELECT a{} FROM trips", "::int".repeat(10)));
    assert!(rewrite_binding(&format!("SELECT a{} FROM trips", "::int".repeat(most))).is_err());
    for sql in chains(most + 1) {
        fault(&sql, "deeper");
    }
    accepted(&format!("SELECT a FROM trips{}", " UNION ALL SELECT a FROM trips".repeat(MAX_BRANCHES - 1)));
    fault(&format!("SELECT a FROM trips{}", " UNION ALL SELECT a FROM trips".repeat(MAX_BRANCHES)), "64 SELECTs");
}

#[test]
fn longer_chains_are_refused_without_using_up_a_small_stack() {
    for (head, link) in
        [("WHERE a", " IS NULL"), ("WHERE a", " OR a"), ("WHERE a", "::int"), ("WHERE a", " || a"), ("", " UNION ALL SELECT a FROM t")]
    {
        let sql = format!("SELECT a FROM trips {head}{}", link.repeat(990));
        for length in [sql.len() / 4, sql.len() / 2, sql.len()] {
            let _ = check_binding(&sql[..length], &sources());
            assert!(rewrite_binding(&sql[..length]).is_err(), "{}", &sql[..40]);
            let _ = crate::compile(&sql[..length], &crate::question::fixture::contract(), &crate::question::fixture::settings(1));
        }
    }
}
