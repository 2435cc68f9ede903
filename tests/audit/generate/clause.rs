//! Everything of a question that is no expression: FROM, WHERE, GROUP BY and what is computed from the answer.

use std::fmt::Write;

use super::Draft;
use super::scalar::Kind;
use crate::table::MONTHS;

/// Clauses and forms that must occur beside [`SOURCES`], as the reference page calls them.
pub(super) const CLAUSES: &[&str] = &[
    "partition =",
    "partition IN",
    "partition BETWEEN",
    "WHERE",
    "key of codes",
    "key of a thousand codes",
    "key of an expression",
    "partition as key",
    "two keys",
    "no key",
    "ordinal",
    "ROLLUP",
    "CUBE",
    "GROUPING SETS",
    "GROUPING",
    "COUNT(DISTINCT unit)",
    "FILTER",
    "arithmetic on aggregates",
    "functions of aggregates",
    "HAVING",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "FETCH FIRST",
    "max_groups_per_person",
];

/// A question's text, and L0.
pub(super) fn question(draft: &mut Draft<'_>) -> (String, u32) {
    let from = draft.from();
    let (partitions, several) = draft.partitions();
    let keys = draft.keys(several);
    let margins = draft.margins(keys.len());
    let most = if margins.is_none() && draft.takes("max_groups_per_person", 3) { draft.dice.of(&[2, 3, 4]) } else { 1 };
    // A wanted expression becomes a key, a condition, or the number of an aggregate.
    let mut number = None;
    let mut keys = keys;
    let mut conditions = Vec::new();
    for (kind, text) in draft.wanted_expressions() {
        match (kind, draft.dice.below(3)) {
            (Kind::Number | Kind::Small, 0) if number.is_none() => number = Some(format!("LEAST(GREATEST({text}, -60), 90)")),
            (Kind::Small | Kind::Text | Kind::Truth, 1) if margins.is_none() && keys.len() < 2 => keys.push(text),
            _ => conditions.push(draft.condition_on(kind, &text)),
        }
    }
    if draft.takes("WHERE", 4) {
        conditions.push(draft.expression(Kind::Truth));
    }
    let mut items: Vec<String> = keys.iter().enumerate().map(|(place, key)| format!("{key} AS k{place}")).collect();
    if margins.is_some() && draft.takes("GROUPING", 2) {
        items.push("GROUPING(k0) AS level".to_owned());
    }
    let aggregates = 2 + draft.dice.below(2);
    for place in 0..aggregates {
        let item = draft.item(number.take(), several && !keys.iter().any(|key| key == "month"), place);
        items.push(format!("{item} AS a{place}"));
    }
    let mut sql = format!("{}SELECT {} FROM {} WHERE {partitions}", from.with, items.join(", "), from.relation);
    for condition in conditions {
        // Else most questions would be about nobody.
        let often = if draft.dice.once_in(3) { "" } else { " OR amount > -60 OR amount IS NULL" };
        write!(sql, " AND ({condition}{often})").unwrap();
    }
    if !keys.is_empty() {
        let names: Vec<String> = (0..keys.len()).map(|place| format!("k{place}")).collect();
        let list = match margins {
            Some(margins) => margins,
            None if draft.takes("ordinal", 6) => (1..=keys.len()).map(|place| place.to_string()).collect::<Vec<_>>().join(", "),
            None => names.join(", "),
        };
        write!(sql, " GROUP BY {list}").unwrap();
    }
    (sql + &draft.ending(), most)
}

/// What stands after FROM, and before SELECT.
struct From {
    with: String,
    relation: String,
}

impl Draft<'_> {
    /// Whether to write a FROM: when it is wanted, else by chance if no other is.
    fn takes_source(&mut self, construct: &'static str, once_in: usize) -> bool {
        (self.wants(construct) || !self.wants_one_of(SOURCES)) && self.takes(construct, once_in)
    }

    fn from(&mut self) -> From {
        let plain = |relation: &str| From { with: String::new(), relation: relation.to_owned() };
        // One question has one FROM: which of those that are wanted is left to chance.
        let wanted: Vec<&'static str> = self.wanted.iter().copied().filter(|construct| SOURCES.contains(construct)).collect();
        if !wanted.is_empty() {
            let chosen = self.dice.of(&wanted);
            self.wanted.retain(|construct| *construct == chosen || !SOURCES.contains(construct));
        }
        if self.takes_source("JOIN", 10) {
            self.texts.push("kind");
            return plain("audit.trip JOIN audit.way ON mode = way.code");
        }
        if self.takes_source("LEFT JOIN", 10) {
            self.texts.push("w.kind");
            return plain("audit.trip AS t LEFT JOIN audit.way AS w ON t.mode = w.code");
        }
        if self.takes_source("USING", 10) {
            self.texts.push("land");
            return plain("audit.trip JOIN audit.zone USING (place)");
        }
        if self.takes_source("WITH", 12) {
            return From { with: "WITH w AS (SELECT *, small * 2 AS twice FROM audit.trip) ".to_owned(), relation: "w".to_owned() };
        }
        if self.takes_source("subquery", 12) {
            return plain("(SELECT * FROM audit.trip) AS s");
        }
        if self.takes_source("subquery that filters and computes", 12) {
            let condition = self.expression(Kind::Truth);
            let columns = "person, month, mode, area, place, amount * 2 AS amount, whole, small, flag, at";
            return plain(&format!("(SELECT {columns} FROM audit.trip WHERE {condition}) AS s"));
        }
        if let Some(relation) = self.of_persons() {
            return relation;
        }
        plain(if self.takes_source("alias", 4) { "audit.trip AS t" } else { "audit.trip" })
    }

    /// What is made of whole persons, with the columns that the table has.
    fn of_persons(&mut self) -> Option<From> {
        let by = "person, month, mode, area, place, flag";
        let over = "OVER (PARTITION BY person, month";
        let rest = "person, month, mode, area, place, flag, at, whole";
        let plain = |relation: String| Some(From { with: String::new(), relation });
        if self.wants_one_of(&["COUNT, AVG, MIN and MAX of a person", "HAVING of a person"])
            || self.takes_source("GROUP BY of a person", 14)
        {
            self.used.insert("GROUP BY of a person");
            let having = if self.takes("HAVING of a person", 3) { " HAVING COUNT(*) > 1 OR MAX(small) > 3" } else { "" };
            let condition = self.expression(Kind::Truth);
            let (amount, small) = if self.takes("COUNT, AVG, MIN and MAX of a person", 2) {
                ("AVG(amount) + MIN(amount)", "COUNT(small) - COUNT(DISTINCT small)")
            } else {
                ("SUM(amount) FILTER (WHERE flag OR small > 2)", "COUNT(*)")
            };
            return plain(format!(
                "(SELECT {by}, {amount} AS amount, {small} AS small, MAX(whole) AS whole, MIN(at) AS at FROM audit.trip \
                 WHERE {condition} GROUP BY {by}{having}) AS s"
            ));
        }
        if self.takes_source("window that numbers", 14) {
            let function = self.dice.of(&["ROW_NUMBER()", "RANK()", "DENSE_RANK()"]);
            return plain(format!(
                "(SELECT {rest}, amount, LEAST({function} {over}, mode ORDER BY small DESC, area), 9) AS small FROM audit.trip) AS s"
            ));
        }
        if self.takes_source("window that looks away", 14) {
            let function = self.dice.of(&["LAG(amount)", "LEAD(amount, 2)", "FIRST_VALUE(amount)"]);
            return plain(format!(
                "(SELECT {rest}, small, amount - {function} {over} ORDER BY small NULLS FIRST, flag DESC) AS amount FROM audit.trip) AS s"
            ));
        }
        if self.takes_source("window that adds up", 14) {
            let order = self.dice.of(&["", " ORDER BY small", ", flag ORDER BY amount DESC"]);
            let function = self.dice.of(&["SUM(amount)", "AVG(amount)", "MAX(amount)"]);
            return plain(format!(
                "(SELECT {rest}, {function} {over}{order}) AS amount, COUNT(small) {over}{order}) AS small FROM audit.trip) AS s"
            ));
        }
        if self.takes_source("window over GROUP BY", 14) {
            return plain(format!(
                "(SELECT {by}, SUM(amount) AS amount, LEAST(RANK() {over} ORDER BY COUNT(*) DESC, MIN(small)), 9) AS small, MAX(whole) AS whole, \
                 MIN(at) AS at FROM audit.trip GROUP BY {by}) AS s"
            ));
        }
        let inner = self.takes_source("JOIN of persons", 14);
        if inner || self.takes_source("LEFT JOIN of persons", 14) {
            let (kind, more) = if inner { ("JOIN", "") } else { ("LEFT JOIN", " AND a.mode = b.mode AND a.small < b.small") };
            return plain(format!(
                "(SELECT a.person, a.month, a.mode, b.area, a.place, a.flag, a.at, a.whole, b.amount, a.small FROM audit.trip AS a {kind} audit.trip AS b \
                 ON a.person = b.person AND b.month = a.month{more}) AS s"
            ));
        }
        if self.takes_source("UNION ALL", 14) {
            return plain(format!(
                "(SELECT {rest}, amount, small FROM audit.trip WHERE flag UNION ALL SELECT {rest}, -amount, NULL FROM audit.trip WHERE small > 1) AS s"
            ));
        }
        None
    }

    /// The restriction of the partition, and whether it leaves several.
    fn partitions(&mut self) -> (String, bool) {
        if !self.wants_one_of(&["partition IN", "partition BETWEEN"]) && self.takes("partition =", 2) {
            return (format!("month = '{}'", self.dice.of(&MONTHS)), false);
        }
        if !self.wants("partition BETWEEN") && self.takes("partition IN", 2) {
            return (format!("month IN ('{}', '{}')", MONTHS[0], MONTHS[2]), true);
        }
        self.used.insert("partition BETWEEN");
        (format!("month BETWEEN '{}' AND '{}'", MONTHS[0], MONTHS[1 + self.dice.below(2)]), true)
    }

    fn keys(&mut self, several: bool) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        if !self.wants_one_of(WITH_KEYS) && self.takes("no key", 12) {
            return keys;
        }
        if self.takes("partition as key", if several { 3 } else { 12 }) {
            keys.push("month".to_owned());
        }
        // A column that USING joins has two names there, so it is written by neither.
        if !self.texts.contains(&"land") && self.takes("key of a thousand codes", 12) {
            keys.push("place".to_owned());
            return keys;
        }
        if self.takes("key of an expression", 3) {
            let kind = self.dice.of(&[Kind::Small, Kind::Text, Kind::Truth]);
            let expression = self.expression(kind);
            keys.push(expression);
        }
        let fewest = if self.takes("two keys", 3) || self.wants_one_of(&["ROLLUP", "CUBE", "GROUPING SETS", "GROUPING"]) { 2 } else { 1 };
        while keys.len() < fewest || (self.wants("key of codes") && !self.used.contains("key of codes")) {
            let code = self.dice.of(&self.texts.clone()).to_owned();
            if !keys.contains(&code) {
                self.used.insert("key of codes");
                keys.push(code);
            }
        }
        if keys.len() > 1 {
            self.used.insert("two keys");
        }
        keys
    }

    /// ROLLUP, CUBE or GROUPING SETS over all keys.
    fn margins(&mut self, keys: usize) -> Option<String> {
        if !(2..=3).contains(&keys) {
            return None;
        }
        let names = (0..keys).map(|place| format!("k{place}")).collect::<Vec<_>>().join(", ");
        let any = self.wants("GROUPING");
        if self.takes("ROLLUP", 12) || any {
            self.used.insert("ROLLUP");
            return Some(format!("ROLLUP ({names})"));
        }
        if self.takes("CUBE", 12) {
            return Some(format!("CUBE ({names})"));
        }
        self.takes("GROUPING SETS", 12).then(|| format!("GROUPING SETS (({names}), (k0), ())"))
    }

    /// One column of the answer.
    fn item(&mut self, number: Option<String>, people_are_split: bool, place: usize) -> String {
        if number.is_none() && place == 0 && self.wants("COUNT(DISTINCT unit)")
            || (!people_are_split && number.is_none() && self.dice.once_in(6))
        {
            self.used.insert("COUNT(DISTINCT unit)");
            return "COUNT(DISTINCT person)".to_owned();
        }
        let first = self.aggregate(number);
        if self.takes("arithmetic on aggregates", 6) {
            let second = self.aggregate(None);
            return format!("100.0 * {first} / NULLIF({second} + 1, 0)");
        }
        if self.takes("functions of aggregates", 6) {
            return format!("ROUND(COALESCE({first}, 0), 1)");
        }
        first
    }

    fn ending(&mut self) -> String {
        let mut sql = String::new();
        if self.takes("HAVING", 8) {
            sql += " HAVING COUNT(*) > 3";
        }
        if self.takes("ORDER BY", 5) {
            sql += " ORDER BY a0 DESC NULLS LAST";
        }
        if self.wants("FETCH FIRST") {
            self.used.insert("FETCH FIRST");
            return sql + " FETCH FIRST 4 ROWS ONLY";
        }
        if self.takes("LIMIT", 6) {
            sql += " LIMIT 5";
        }
        if self.takes("OFFSET", 8) {
            sql += " OFFSET 1";
        }
        sql
    }
}

/// What stands after FROM, and what stands in it.
pub(super) const SOURCES: &[&str] = &[
    "alias",
    "JOIN",
    "LEFT JOIN",
    "USING",
    "WITH",
    "subquery",
    "subquery that filters and computes",
    "GROUP BY of a person",
    "COUNT, AVG, MIN and MAX of a person",
    "HAVING of a person",
    "window that numbers",
    "window that looks away",
    "window that adds up",
    "JOIN of persons",
    "LEFT JOIN of persons",
    "UNION ALL",
    "window over GROUP BY",
];

/// What only questions with keys have.
const WITH_KEYS: &[&str] = &[
    "key of codes",
    "key of a thousand codes",
    "key of an expression",
    "partition as key",
    "two keys",
    "ordinal",
    "ROLLUP",
    "CUBE",
    "GROUPING SETS",
    "GROUPING",
];
