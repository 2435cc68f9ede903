//! The question in SQL of databases, over the view `payments`: without any bound, and with the bound written in SQL.

use super::table::{MAX_AMOUNT, MAX_GROUPS, MAX_ROWS, MONTH};

/// The question without a bound.
pub(super) fn plain() -> String {
    format!("SELECT municipality, count(*), sum(amount) FROM ({}) GROUP BY municipality", rows())
}

/// Ways to write the bound on groups in SQL; those that add up before also bound rows.
pub(super) fn bounded() -> Vec<(&'static str, String)> {
    let rows = rows();
    let groups = format!(
        "SELECT person, municipality, count(*) AS n, sum(amount) AS total, hash(person, municipality) AS h FROM ({rows}) GROUP BY person, municipality"
    );
    let total = format!("SELECT municipality, sum(least(n, {MAX_ROWS})), sum(least(total, {})) FROM", u64::from(MAX_ROWS) * MAX_AMOUNT);
    vec![
        (
            "dense_rank over rows",
            format!(
                "SELECT municipality, count(*), sum(amount) FROM (SELECT * FROM ({rows}) QUALIFY dense_rank() OVER \
                 (PARTITION BY person ORDER BY hash(person, municipality), municipality) <= {MAX_GROUPS}) GROUP BY municipality"
            ),
        ),
        (
            "row_number over groups",
            format!(
                "{total} (SELECT * FROM ({groups}) QUALIFY row_number() OVER (PARTITION BY person ORDER BY h) <= {MAX_GROUPS}) \
                 GROUP BY municipality"
            ),
        ),
        (
            "arg_min over groups",
            format!(
                "{total} (SELECT g.municipality, g.n, g.total FROM (SELECT unnest(arg_min({{'municipality': municipality, 'n': n, 'total': total}}, \
                 h, {MAX_GROUPS})) AS g FROM ({groups}) GROUP BY person)) GROUP BY municipality"
            ),
        ),
    ]
}

/// The same in `DataFusion`, which has no hash of a row: the choice is random, and cannot be made over rows.
pub(super) fn in_datafusion() -> String {
    format!(
        "SELECT municipality, sum(least(n, {MAX_ROWS})), sum(least(total, {})) FROM (SELECT municipality, n, total, row_number() OVER \
         (PARTITION BY person ORDER BY h) AS place FROM (SELECT person, municipality, count(*) AS n, sum(amount) AS total, random() AS h \
         FROM ({}) AS r GROUP BY person, municipality) AS g) AS p WHERE place <= {MAX_GROUPS} GROUP BY municipality",
        u64::from(MAX_ROWS) * MAX_AMOUNT,
        rows()
    )
}

fn rows() -> String {
    format!("SELECT person, municipality, least(greatest(amount, 0), {MAX_AMOUNT}) AS amount FROM payments WHERE month = '{MONTH}'")
}
