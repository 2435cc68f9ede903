//! The plan's expressions as SQL of `PostgreSQL`, over `numeric`, which is exact: the second reading of `commun_domain::plan::value`.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use commun_domain::contract::{ColumnType, DataContract, Table};
use commun_domain::plan::time::{Field, Truncation};
use commun_domain::plan::{CompareOp, Condition, Rounding, Value};

use crate::dataset::in_units;

/// Functions that the SQL of this module calls, and aggregates that questions have and `PostgreSQL` has under another name.
pub(crate) const FUNCTIONS: &str = "
CREATE FUNCTION public.divided(n numeric, d numeric, rounding text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN d <> 0 THEN div(n, d) + CASE
        WHEN mod(n, d) = 0 THEN 0
        WHEN rounding = 'floor' AND (n < 0) <> (d < 0) THEN -1
        WHEN rounding = 'ceil' AND (n < 0) = (d < 0) THEN 1
        WHEN rounding = 'half' AND 2 * abs(mod(n, d)) >= abs(d) THEN CASE WHEN (n < 0) = (d < 0) THEN 1 ELSE -1 END
        ELSE 0 END END
$$;
CREATE FUNCTION public.clamped(v numeric, lo numeric, hi numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN v IS NOT NULL THEN LEAST(GREATEST(v, lo), hi) END
$$;
CREATE FUNCTION public.moment(seconds numeric) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
    SELECT timestamp '1970-01-01' + seconds::double precision * interval '1 second'
$$;
CREATE FUNCTION public.collected(state numeric[], v numeric, fraction numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN v IS NULL THEN state ELSE COALESCE(state, ARRAY[fraction]) || v END
$$;
CREATE FUNCTION public.collected(state numeric[], v numeric) RETURNS numeric[] LANGUAGE sql IMMUTABLE AS $$
    SELECT collected(state, v, 0.5)
$$;
CREATE FUNCTION public.ranked(state numeric[]) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
    SELECT percentile_cont(state[1]) WITHIN GROUP (ORDER BY v) FROM unnest(state[2:]) AS v
$$;
CREATE AGGREGATE public.approx_percentile_cont(numeric, numeric) (SFUNC = collected, STYPE = numeric[], FINALFUNC = ranked);
CREATE AGGREGATE public.quantile_cont(numeric, numeric) (SFUNC = collected, STYPE = numeric[], FINALFUNC = ranked);
CREATE AGGREGATE public.median(numeric) (SFUNC = collected, STYPE = numeric[], FINALFUNC = ranked);
CREATE AGGREGATE public.approx_median(numeric) (SFUNC = collected, STYPE = numeric[], FINALFUNC = ranked);
";

/// Writes expressions over one table of a contract, or over a relation whose columns are integers already.
pub(crate) struct Meaning<'a> {
    pub(crate) contract: &'a DataContract,
    pub(crate) table: Option<&'a Table>,
}

impl Meaning<'_> {
    /// A numeric expression.
    pub(crate) fn value(&self, value: &Value) -> Result<String> {
        let list = |values: &[Value]| -> Result<String> {
            Ok(values.iter().map(|value| self.value(value)).collect::<Result<Vec<_>>>()?.join(", "))
        };
        Ok(match value {
            Value::Null => "NULL::numeric".to_owned(),
            Value::Constant(units) => format!("({units}::numeric)"),
            Value::Column(name) => self.column(name)?,
            Value::Add(left, right) => format!("({} + {})", self.value(left)?, self.value(right)?),
            Value::Subtract(left, right) => format!("({} - {})", self.value(left)?, self.value(right)?),
            Value::Multiply(left, right) => format!("({} * {})", self.value(left)?, self.value(right)?),
            Value::Divide { left, right, shift, rounding } => {
                let rounding = match rounding {
                    Rounding::Truncate => "truncate",
                    Rounding::HalfAway => "half",
                    Rounding::Floor => "floor",
                    Rounding::Ceil => "ceil",
                };
                format!("divided({} * 1{}::numeric, {}, '{rounding}')", self.value(left)?, "0".repeat((*shift).into()), self.value(right)?)
            }
            Value::Modulo(left, right) => format!("mod({}, nullif({}, 0))", self.value(left)?, self.value(right)?),
            Value::Abs(value) => format!("abs({})", self.value(value)?),
            Value::Sign(value) => format!("sign({})", self.value(value)?),
            Value::Least(values) => format!("LEAST({})", list(values)?),
            Value::Greatest(values) => format!("GREATEST({})", list(values)?),
            Value::Coalesce(values) => format!("COALESCE({})", list(values)?),
            Value::NullIf(left, right) => format!("NULLIF({}, {})", self.value(left)?, self.value(right)?),
            Value::Clamp { value, lo, hi } => format!("clamped({}, {lo}, {hi})", self.value(value)?),
            Value::Case { branches, otherwise } => {
                let mut text = "CASE".to_owned();
                for branch in branches {
                    write!(text, " WHEN {} THEN {}", self.condition(&branch.condition)?, self.value(&branch.value)?)?;
                }
                format!("({text} ELSE {} END)", self.value(otherwise)?)
            }
            Value::Map { value, first, table } => {
                let entries: Vec<String> = table.iter().map(|entry| entry.map_or("NULL".to_owned(), |entry| entry.to_string())).collect();
                format!("((ARRAY[{}]::numeric[])[({} - {first} + 1)::int])", entries.join(", "), self.value(value)?)
            }
            Value::Extract { field, value } => {
                let field = match field {
                    Field::Year => "year",
                    Field::Quarter => "quarter",
                    Field::Month => "month",
                    Field::Week => "week",
                    Field::Day => "day",
                    Field::DayOfWeek => "dow",
                    Field::IsoDayOfWeek => "isodow",
                    Field::DayOfYear => "doy",
                    Field::Hour => "hour",
                    Field::Minute => "minute",
                    Field::Second => "second",
                };
                format!("floor(extract({field} FROM moment({})))", self.value(value)?)
            }
            Value::Truncate { to, value } => {
                let to = match to {
                    Truncation::Year => "year",
                    Truncation::Quarter => "quarter",
                    Truncation::Month => "month",
                    Truncation::Week => "week",
                    Truncation::Day => "day",
                    Truncation::Hour => "hour",
                    Truncation::Minute => "minute",
                };
                format!("extract(epoch FROM date_trunc('{to}', moment({})))", self.value(value)?)
            }
            Value::Truth(condition) => {
                let condition = self.condition(condition)?;
                format!("(CASE WHEN {condition} THEN 1::numeric WHEN NOT {condition} THEN 0::numeric END)")
            }
        })
    }

    /// A truth value.
    pub(crate) fn condition(&self, condition: &Condition) -> Result<String> {
        let all = |parts: &[Condition], word: &str, neutral: &str| -> Result<String> {
            let parts: Vec<String> = parts.iter().map(|part| self.condition(part)).collect::<Result<_>>()?;
            Ok(if parts.is_empty() { neutral.to_owned() } else { format!("({})", parts.join(word)) })
        };
        Ok(match condition {
            Condition::Constant(None) => "NULL::boolean".to_owned(),
            Condition::Constant(Some(truth)) => truth.to_string(),
            Condition::And(parts) => all(parts, " AND ", "TRUE")?,
            Condition::Or(parts) => all(parts, " OR ", "FALSE")?,
            Condition::Not(part) => format!("(NOT {})", self.condition(part)?),
            Condition::Compare { op, left, right } => {
                let op = match op {
                    CompareOp::Eq => "=",
                    CompareOp::Ne => "<>",
                    CompareOp::Lt => "<",
                    CompareOp::Le => "<=",
                    CompareOp::Gt => ">",
                    CompareOp::Ge => ">=",
                };
                format!("({} {op} {})", self.value(left)?, self.value(right)?)
            }
            Condition::InSet { value, set } => {
                let set: Vec<String> = set.iter().map(ToString::to_string).collect();
                let value = self.value(value)?;
                if set.is_empty() {
                    format!("(CASE WHEN {value} IS NOT NULL THEN FALSE END)")
                } else {
                    format!("({value} IN ({}))", set.join(", "))
                }
            }
            Condition::IsNull(value) => format!("({} IS NULL)", self.value(value)?),
            Condition::Is(part, truth) => {
                let truth = truth.map_or("UNKNOWN", |truth| if truth { "TRUE" } else { "FALSE" });
                format!("({} IS {truth})", self.condition(part)?)
            }
            Condition::IsDistinct(left, right) => format!("({} IS DISTINCT FROM {})", self.value(left)?, self.value(right)?),
        })
    }

    fn column(&self, name: &str) -> Result<String> {
        let Some(table) = self.table else { return Ok(named(name)) };
        let column = table.column(name).context("the plan names an unknown column")?;
        Ok(match &column.column_type {
            ColumnType::Number { lo, hi, scale } => format!("({})", in_units(name, *lo, *hi, *scale)),
            ColumnType::Boolean => format!("(CASE WHEN {name} THEN 1::numeric WHEN NOT {name} THEN 0::numeric END)"),
            ColumnType::Code { list, version } => {
                let list = self.contract.code_list(list, version).context("the contract names an unknown list")?;
                let codes: Vec<String> = list.codes.iter().map(|code| quoted(&code.code)).collect();
                format!("(array_position(ARRAY[{}]::text[], {name}::text) - 1)::numeric", codes.join(", "))
            }
            ColumnType::OpenText { .. } => bail!("{name} is open text, which is no expression"),
            ColumnType::Time { lo, hi } => {
                if lo > hi {
                    bail!("{name} has crossed bounds");
                }
                let seconds = format!("floor(extract(epoch FROM {name}::timestamp))");
                format!("(CASE WHEN {seconds} BETWEEN {lo} AND {hi} THEN {seconds} END)")
            }
        })
    }
}

/// A column of a relation.
pub(crate) fn named(name: &str) -> String {
    format!("\"{name}\"")
}

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
