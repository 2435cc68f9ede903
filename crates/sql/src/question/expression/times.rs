//! Times: EXTRACT, `date_trunc`, casts and literals.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::time::{self, Field, Truncation};
use commun_domain::plan::{CompareOp, Condition, Value};

use crate::question::types::{Type, Typed};
use crate::refuse::invalid;

fn field(name: &str) -> Option<Field> {
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => Field::Year,
        "quarter" => Field::Quarter,
        "month" => Field::Month,
        "week" => Field::Week,
        "day" => Field::Day,
        "dow" | "dayofweek" => Field::DayOfWeek,
        "isodow" => Field::IsoDayOfWeek,
        "doy" | "dayofyear" => Field::DayOfYear,
        "hour" => Field::Hour,
        "minute" => Field::Minute,
        "second" => Field::Second,
        _ => return None,
    })
}

fn period(name: &str) -> Option<Truncation> {
    Some(match name.to_ascii_lowercase().as_str() {
        "year" => Truncation::Year,
        "quarter" => Truncation::Quarter,
        "month" => Truncation::Month,
        "week" => Truncation::Week,
        "day" => Truncation::Day,
        "hour" => Truncation::Hour,
        "minute" => Truncation::Minute,
        _ => return None,
    })
}

fn bounds(inner: &Typed, at: Option<Position>) -> Result<(i64, i64), Refusal> {
    match inner.of {
        Type::Time { lo, hi, .. } => Ok((lo, hi)),
        ref other => Err(invalid(at, format!("this is {}, not a time", other.name()), "use a column of type time")),
    }
}

/// `EXTRACT(field FROM time)` and `date_part('field', time)`.
pub(super) fn extract(name: &str, inner: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let (lo, hi) = bounds(&inner, at)?;
    if name.eq_ignore_ascii_case("epoch") {
        return Typed::number(inner.value, (lo.into(), hi.into()), 0, at);
    }
    let field = field(name).ok_or_else(|| {
        invalid(
            at,
            "this field of a time is not read",
            "use year, quarter, month, week, day, dow, isodow, doy, hour, minute, second or epoch",
        )
    })?;
    let (least, most) = field.range(lo, hi);
    Typed::number(Value::Extract { field, value: Box::new(inner.value) }, (least.into(), most.into()), 0, at)
}

/// `date_trunc('period', time)`.
pub(super) fn truncate(name: &str, inner: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let (lo, hi) = bounds(&inner, at)?;
    let to = period(name).ok_or_else(|| invalid(at, "this period is not read", "use year, quarter, month, week, day, hour or minute"))?;
    let of = Type::Time { lo: to.of(lo), hi: to.of(hi), grain: Some(to) };
    Ok(Typed { value: Value::Truncate { to, value: Box::new(inner.value) }, of })
}

/// A cast to DATE or TIMESTAMP.
pub(super) fn to_time(inner: Typed, date: bool, at: Option<Position>) -> Result<Typed, Refusal> {
    match &inner.of {
        Type::Time { .. } if date => truncate("day", inner, at),
        Type::Time { .. } => Ok(inner),
        Type::Null => Ok(Typed { value: Value::Null, of: Type::Time { lo: 0, hi: 0, grain: None } }),
        Type::Text { values, list: None } if inner.as_constant().is_some() && values.len() == 1 => {
            let seconds = read(&values[0], at)?;
            let seconds = if date { Truncation::Day.of(seconds) } else { seconds };
            Ok(Typed { value: Value::Constant(seconds), of: Type::Time { lo: seconds, hi: seconds, grain: None } })
        }
        Type::Text { .. } => {
            let parsed = inner.map_number(0, time::parse, at);
            match parsed {
                Some(Ok(Typed { value, of: Type::Number { lo, hi, .. } })) => Ok(Typed { value, of: Type::Time { lo, hi, grain: None } }),
                Some(Err(refusal)) => Err(refusal),
                _ => Ok(Typed::null()),
            }
        }
        other => Err(invalid(at, format!("{} is not cast to a time", other.name()), "use a column of type time")),
    }
}

/// A literal beside a time.
pub(super) fn read(text: &str, at: Option<Position>) -> Result<i64, Refusal> {
    time::parse(text).ok_or_else(|| invalid(at, "this is no time", "write it like '2011-01-31' or '2011-01-31 13:00:00'"))
}

/// `time op 'literal'`.
pub(super) fn compare_literal(value: Value, op: CompareOp, text: &str, at: Option<Position>) -> Result<Condition, Refusal> {
    Ok(Condition::Compare { op, left: Box::new(value), right: Box::new(Value::Constant(read(text, at)?)) })
}
