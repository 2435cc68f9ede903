//! Times: EXTRACT, `date_trunc`, casts and literals.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::Value;
use commun_domain::plan::time::{self, Field, Truncation};

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
    let of = Type::Time { lo: to.of(lo), hi: to.of(hi), grain: Some(to), date: false };
    Ok(Typed { value: Value::Truncate { to, value: Box::new(inner.value) }, of })
}

/// A cast to DATE or TIMESTAMP.
pub(super) fn to_time(inner: Typed, date: bool, at: Option<Position>) -> Result<Typed, Refusal> {
    let cut = |seconds: i64| if date { Truncation::Day.of(seconds) } else { seconds };
    match &inner.of {
        Type::Time { .. } if date => {
            let Typed { value, of } = truncate("day", inner, at)?;
            let Type::Time { lo, hi, grain, .. } = of else { return Ok(Typed { value, of }) };
            Ok(Typed { value, of: Type::Time { lo, hi, grain, date } })
        }
        Type::Time { lo, hi, grain, .. } => {
            let of = Type::Time { lo: *lo, hi: *hi, grain: *grain, date: false };
            Ok(Typed { value: inner.value, of })
        }
        Type::Null => Ok(Typed { value: Value::Null, of: Type::Time { lo: 0, hi: 0, grain: None, date } }),
        Type::Text { values, list: None } if inner.as_constant().is_some() && values.len() == 1 => {
            let seconds = cut(read(&values[0], false, at)?);
            Ok(Typed { value: Value::Constant(seconds), of: Type::Time { lo: seconds, hi: seconds, grain: None, date } })
        }
        Type::Text { .. } => match inner.map_number(0, |text| time::parse(text).map(cut), at) {
            Some(Ok(Typed { value, of: Type::Number { lo, hi, .. } })) => Ok(Typed { value, of: Type::Time { lo, hi, grain: None, date } }),
            Some(Err(refusal)) => Err(refusal),
            _ => Ok(Typed::null()),
        },
        other => Err(invalid(at, format!("{} is not cast to a time", other.name()), "use a column of type time")),
    }
}

/// A literal beside a time or a date. Times are whole seconds, and a date has no clock: what would be cut off is refused.
pub(super) fn read(text: &str, date: bool, at: Option<Position>) -> Result<i64, Refusal> {
    let seconds = time::parse(text).ok_or_else(|| invalid(at, "this is no time", "write it like '2011-01-31' or '2011-01-31 13:00:00'"))?;
    let fraction = text.split_once('.').is_some_and(|(_, fraction)| fraction.bytes().any(|byte| (b'1'..=b'9').contains(&byte)));
    if fraction {
        return Err(invalid(at, "times are whole seconds here", "write it without a fraction"));
    }
    if date && seconds.rem_euclid(time::DAY_S) != 0 {
        return Err(invalid(at, "a date is compared with a time of a day", "write it like '2011-01-31', or do not cast to DATE"));
    }
    Ok(seconds)
}
