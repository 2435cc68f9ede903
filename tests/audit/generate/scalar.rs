//! Expressions over a row.

use super::{Draft, filled};

/// What an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A number of few values, which can be a group key.
    Small,
    Text,
    Time,
    Truth,
}

use Kind::{Number, Small, Text, Time, Truth};

/// One way to write an expression.
pub(super) struct Template {
    /// As the reference page and the compiler's tables call it.
    pub(super) construct: &'static str,
    pub(super) makes: Kind,
    takes: &'static [Kind],
    /// `{}` stands for each operand in turn.
    text: &'static str,
}

const fn t(construct: &'static str, makes: Kind, takes: &'static [Kind], text: &'static str) -> Template {
    Template { construct, makes, takes, text }
}

/// Every way that is not a column or a literal.
pub(super) const TEMPLATES: &[Template] = &[
    t("+", Number, &[Number, Number], "({} + {})"),
    t("-", Number, &[Number, Number], "({} - {})"),
    t("*", Number, &[Number, Small], "({} * {})"),
    t("/", Number, &[Number, Number], "({} / {})"),
    t("/", Number, &[Number], "({} / 3)"),
    t("%", Number, &[Number, Small], "({} % {})"),
    t("unary -", Number, &[Number], "(- {})"),
    t("abs", Number, &[Number], "ABS({})"),
    t("sign", Small, &[Number], "SIGN({})"),
    t("ceil", Number, &[Number], "CEIL({})"),
    t("ceiling", Number, &[Number], "CEILING({})"),
    t("floor", Number, &[Number], "FLOOR({})"),
    t("round", Number, &[Number], "ROUND({}, 1)"),
    t("round", Number, &[Number], "ROUND({})"),
    t("trunc", Number, &[Number], "TRUNC({})"),
    t("trunc", Number, &[Number], "TRUNC({}, 1)"),
    t("mod", Number, &[Number, Small], "MOD({}, {})"),
    t("least", Number, &[Number], "LEAST({}, 100)"),
    t("least", Number, &[Number, Number], "LEAST({}, {})"),
    t("greatest", Number, &[Number], "GREATEST({}, -20.5)"),
    t("greatest", Small, &[Small, Small], "GREATEST({}, {})"),
    t("width_bucket", Small, &[Number], "WIDTH_BUCKET({}, -20, 120, 7)"),
    t("lower", Text, &[Text], "LOWER({})"),
    t("upper", Text, &[Text], "UPPER({})"),
    t("trim", Text, &[Text], "TRIM({})"),
    t("left", Text, &[Text], "LEFT({}, 2)"),
    t("right", Text, &[Text], "RIGHT({}, 2)"),
    t("substr", Text, &[Text], "SUBSTR({}, 2)"),
    t("substr", Text, &[Text], "SUBSTR({}, 2, 2)"),
    t("substring", Text, &[Text], "SUBSTRING({} FROM 2 FOR 3)"),
    t("substring", Text, &[Text], "SUBSTRING({}, 1, 3)"),
    t("replace", Text, &[Text], "REPLACE({}, 'r', 'oo')"),
    t("concat", Text, &[Text, Text], "CONCAT({}, {})"),
    t("||", Text, &[Text, Text], "({} || {})"),
    t("length", Small, &[Text], "LENGTH({})"),
    t("char_length", Small, &[Text], "CHAR_LENGTH({})"),
    t("character_length", Small, &[Text], "CHARACTER_LENGTH({})"),
    t("EXTRACT", Small, &[Time], "EXTRACT(hour FROM {})"),
    t("EXTRACT", Small, &[Time], "EXTRACT(week FROM {})"),
    t("EXTRACT", Small, &[Time], "EXTRACT(isodow FROM {})"),
    t("EXTRACT", Number, &[Time], "EXTRACT(epoch FROM {})"),
    t("date_part", Small, &[Time], "DATE_PART('dow', {})"),
    t("date_part", Small, &[Time], "DATE_PART('doy', {})"),
    t("date_part", Small, &[Time], "DATE_PART('quarter', {})"),
    t("date_part", Small, &[Time], "DATE_PART('second', {})"),
    t("date_part", Small, &[Time], "DATE_PART('year', {})"),
    t("date_trunc", Time, &[Time], "DATE_TRUNC('month', {})"),
    t("date_trunc", Time, &[Time], "DATE_TRUNC('week', {})"),
    t("date_trunc", Time, &[Time], "DATE_TRUNC('quarter', {})"),
    t("date_trunc", Time, &[Time], "DATE_TRUNC('hour', {})"),
    t("CASE", Number, &[Truth, Number, Number], "CASE WHEN {} THEN {} ELSE {} END"),
    t("CASE", Text, &[Truth, Truth], "CASE WHEN {} THEN 'first' WHEN {} THEN 'it''s' ELSE 'rest' END"),
    t("CASE", Small, &[Small, Small], "CASE {} WHEN 1 THEN 10 WHEN {} THEN 20 END"),
    t("coalesce", Number, &[Number, Number], "COALESCE({}, {})"),
    t("coalesce", Text, &[Text], "COALESCE({}, 'none')"),
    t("coalesce", Small, &[Small], "COALESCE({}, 5)"),
    t("nullif", Number, &[Number, Small], "NULLIF({}, {})"),
    t("nullif", Small, &[Small], "NULLIF({}, 3)"),
    t("CAST", Number, &[Number], "CAST({} AS BIGINT)"),
    t("CAST", Number, &[Number], "CAST({} AS DECIMAL(5, 1))"),
    t("CAST", Small, &[Truth], "CAST({} AS INT)"),
    t("CAST", Time, &[Time], "CAST({} AS DATE)"),
    t("CAST", Text, &[Truth], "CAST({} AS TEXT)"),
    t("TRY_CAST", Number, &[Number], "TRY_CAST({} AS SMALLINT)"),
    t("TRY_CAST", Number, &[Text], "TRY_CAST({} AS DECIMAL)"),
    t("TRY_CAST", Time, &[], "TRY_CAST(area AS DATE)"),
    t("::", Number, &[Number], "({})::DECIMAL(18, 3)"),
    t("::", Truth, &[Number], "({})::BOOLEAN"),
    t("=", Truth, &[Number, Number], "{} = {}"),
    t("=", Truth, &[], "mode = 'car'"),
    t("<>", Truth, &[], "area <> 'north-2'"),
    t("<>", Truth, &[Number, Small], "{} <> {}"),
    t("<", Truth, &[Number, Number], "{} < {}"),
    t("<=", Truth, &[Time], "{} <= '2024-02-14 12:00'"),
    t(">", Truth, &[Number], "{} > 1.5"),
    t(">=", Truth, &[Time, Time], "{} >= {}"),
    t("IN", Truth, &[], "mode IN ('rail', 'bike')"),
    t("IN", Truth, &[Small], "{} IN (1, 2, 3, 5, 8)"),
    t("IN", Truth, &[], "area NOT IN ('it''s', '12.5')"),
    t("BETWEEN", Truth, &[Number, Number], "{} BETWEEN -5 AND {}"),
    t("BETWEEN", Truth, &[Time], "{} NOT BETWEEN '2024-01-10' AND '2024-01-20'"),
    t("LIKE", Truth, &[], "area LIKE 'n%_2'"),
    t("LIKE", Truth, &[], "mode NOT LIKE '%a%'"),
    t("ILIKE", Truth, &[], "area ILIKE '%NORTH%'"),
    t("IS NULL", Truth, &[Number], "{} IS NULL"),
    t("IS NULL", Truth, &[Text], "{} IS NOT NULL"),
    t("IS TRUE", Truth, &[Truth], "({}) IS NOT FALSE"),
    t("IS TRUE", Truth, &[Truth], "({}) IS TRUE"),
    t("IS UNKNOWN", Truth, &[Truth], "({}) IS UNKNOWN"),
    t("IS DISTINCT FROM", Truth, &[Number, Number], "{} IS DISTINCT FROM {}"),
    t("IS DISTINCT FROM", Truth, &[Small], "{} IS NOT DISTINCT FROM 4"),
    t("AND", Truth, &[Truth, Truth], "(({}) AND ({}))"),
    t("OR", Truth, &[Truth, Truth], "(({}) OR ({}))"),
    t("NOT", Truth, &[Truth], "NOT ({})"),
];

/// Deepest nesting.
const DEPTH: usize = 3;

impl Draft<'_> {
    /// A random expression.
    pub(super) fn expression(&mut self, makes: Kind) -> String {
        self.nested(makes, DEPTH)
    }

    /// The wanted constructs that are expressions, and what they are.
    pub(super) fn wanted_expressions(&mut self) -> Vec<(Kind, String)> {
        let mut written = Vec::new();
        for wanted in self.wanted.clone() {
            let fitting: Vec<&Template> = TEMPLATES.iter().filter(|template| template.construct == wanted).collect();
            if !fitting.is_empty() {
                let template = self.dice.of(&fitting);
                written.push((template.makes, self.write(template, 1)));
            }
        }
        written
    }

    /// A condition that says something of an expression, and is often true.
    pub(super) fn condition_on(&mut self, kind: Kind, expression: &str) -> String {
        let patterns: &[&str] = match kind {
            Number | Small => &["{} >= -3", "{} IS NOT NULL", "{} <> 7"],
            Text => &["{} IS NOT NULL", "COALESCE({}, 'x') <> 'x'"],
            Time => &["{} >= '2024-01-05'", "{} IS NOT NULL", "{} < '2024-03-20 12:00:00'"],
            Truth => &["({})", "({}) IS NOT FALSE", "NOT ({})"],
        };
        filled(self.dice.of(patterns), &[expression.to_owned()])
    }

    fn nested(&mut self, makes: Kind, depth: usize) -> String {
        if depth == 0 || self.dice.once_in(2) {
            return self.leaf(makes);
        }
        let fits = |template: &&Template| template.makes == makes || (makes == Number && template.makes == Small);
        let fitting: Vec<&Template> = TEMPLATES.iter().filter(fits).collect();
        let template = self.dice.of(&fitting);
        self.write(template, depth - 1)
    }

    fn write(&mut self, template: &Template, depth: usize) -> String {
        self.used.insert(template.construct);
        let operands: Vec<String> = template.takes.iter().map(|kind| self.nested(*kind, depth)).collect();
        filled(template.text, &operands)
    }

    fn leaf(&mut self, makes: Kind) -> String {
        let leaves: &[&str] = match makes {
            Number => &["amount", "amount", "whole", "small", "small", "2", "0.5", "-7"],
            Small => &["small"],
            Text => return self.dice.of(&self.texts.clone()).to_owned(),
            Time => &["at"],
            Truth => &["flag", "flag", "small > 2", "amount < 50", "mode = 'car'"],
        };
        self.dice.of(leaves).to_owned()
    }
}
