//! What an expression is: its integer form and its static type, with the range of values that it can have.
//!
//! Ranges follow from the data contract and are never asked of data. They exclude overflow before a row is read, give sums their bounds,
//! and give group keys their declared values.

use std::sync::Arc;

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::time::Truncation;
use commun_domain::plan::{Rounding, Value};

use crate::refuse::{invalid, not_private};

/// Most nodes of one expression: a name that stands for an expression is put in wherever it is used.
pub const MAX_NODES: usize = 20_000;

/// Numbers of an expression lie within 2^62 units, so that no sum or difference of two leaves 64 bits.
const LIMIT: i128 = 1 << 62;

/// Most decimal digits of a number.
pub(crate) const MAX_SCALE: u8 = 9;

/// A static type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Units of 10^-scale within [lo, hi].
    Number { lo: i64, hi: i64, scale: u8 },
    /// 0 or 1.
    Boolean,
    /// A place in a list of texts. `list` names the code list that they are, if they are one.
    Text { values: Arc<Vec<String>>, list: Option<ListRef> },
    /// Seconds since 1970 within [lo, hi]; `grain` when only the beginnings of such periods occur; `date` when it was cast to DATE.
    Time { lo: i64, hi: i64, grain: Option<Truncation>, date: bool },
    /// Only NULL.
    Null,
}

/// Name and version of a code list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListRef {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// An expression that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) value: Value,
    pub(crate) of: Type,
}

impl Type {
    /// For people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Number { .. } => "a number",
            Self::Boolean => "true or false",
            Self::Text { .. } => "a text",
            Self::Time { .. } => "a time",
            Self::Null => "NULL",
        }
    }
}

impl Typed {
    pub(crate) fn null() -> Self {
        Self { value: Value::Null, of: Type::Null }
    }

    /// A number whose range is known; refused when it does not fit.
    pub(crate) fn number(value: Value, (lo, hi): (i128, i128), scale: u8, at: Option<Position>) -> Result<Self, Refusal> {
        if lo < -LIMIT || hi > LIMIT {
            return Err(invalid(
                at,
                "the numbers that this could give do not fit 62 bits",
                "bound its parts first, by LEAST(GREATEST(x, low), high)",
            ));
        }
        let (Ok(lo), Ok(hi)) = (i64::try_from(lo), i64::try_from(hi)) else {
            return Err(invalid(at, "this number does not fit", "use smaller numbers"));
        };
        // A range of one value that cannot be NULL is that value; only constants cannot be NULL.
        Ok(Self { value, of: Type::Number { lo, hi, scale } })
    }

    /// A text by its place in `values`.
    pub(crate) fn text(value: Value, values: Vec<String>) -> Self {
        Self { value, of: Type::Text { values: Arc::new(values), list: None } }
    }

    /// The constant, if it is one.
    pub(crate) fn as_constant(&self) -> Option<i64> {
        if let Value::Constant(units) = self.value { Some(units) } else { None }
    }

    /// Range and scale of a number.
    pub(crate) fn range(&self, at: Option<Position>) -> Result<(i128, i128, u8), Refusal> {
        match self.of {
            Type::Number { lo, hi, scale } => Ok((i128::from(lo), i128::from(hi), scale)),
            // NULL is a number too: every result with it is NULL.
            Type::Null => Ok((0, 0, 0)),
            ref other => Err(invalid(at, format!("this is {}, not a number", other.name()), "use a number column, or CAST")),
        }
    }

    /// The same number with more decimal digits.
    pub(crate) fn rescaled(self, to: u8, at: Option<Position>) -> Result<Self, Refusal> {
        let (lo, hi, scale) = self.range(at)?;
        if to <= scale || self.of == Type::Null {
            return Ok(self);
        }
        let factor = 10i64.pow(u32::from(to - scale));
        let value = match self.value {
            Value::Constant(units) => Value::Constant(units.saturating_mul(factor)),
            value => Value::Multiply(Box::new(value), Box::new(Value::Constant(factor))),
        };
        Self::number(value, (lo * i128::from(factor), hi * i128::from(factor)), to, at)
    }

    /// The same number with fewer decimal digits.
    pub(crate) fn rounded(self, to: u8, rounding: Rounding, at: Option<Position>) -> Result<Self, Refusal> {
        let (lo, hi, scale) = self.range(at)?;
        if to >= scale || self.of == Type::Null {
            return Ok(self);
        }
        let factor = 10i64.pow(u32::from(scale - to));
        let round = |units: i128| rounding.divide(units, i128::from(factor)).unwrap_or(0);
        let range = (round(lo), round(hi));
        let value = match self.value {
            Value::Constant(units) => Value::Constant(i64::try_from(round(i128::from(units))).unwrap_or(0)),
            value => Value::Divide { left: Box::new(value), right: Box::new(Value::Constant(factor)), shift: 0, rounding },
        };
        Self::number(value, range, to, at)
    }

    /// Refuses an expression that has grown too large.
    pub(crate) fn within_size(self, at: Option<Position>) -> Result<Self, Refusal> {
        if self.value.size() > MAX_NODES { Err(too_large(at)) } else { Ok(self) }
    }

    /// The texts that it can be and the code list that they are.
    pub(crate) fn as_text(&self) -> Option<(&Arc<Vec<String>>, Option<&ListRef>)> {
        if let Type::Text { values, list } = &self.of { Some((values, list.as_ref())) } else { None }
    }

    /// Each text replaced by what a function makes of it; `None` is NULL.
    pub(crate) fn map_text(&self, function: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let (values, _) = self.as_text()?;
        let mut found: Vec<String> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let table: Vec<Option<i64>> = values
            .iter()
            .map(|text| {
                let text = function(text)?;
                let place = *places.entry(text.clone()).or_insert_with(|| {
                    found.push(text);
                    found.len() - 1
                });
                i64::try_from(place).ok()
            })
            .collect();
        Some(Self::text(lookup(self.value.clone(), table), found))
    }

    /// Each text replaced by a number.
    pub(crate) fn map_number(
        &self,
        scale: u8,
        function: impl Fn(&str) -> Option<i64>,
        at: Option<Position>,
    ) -> Option<Result<Self, Refusal>> {
        let (values, _) = self.as_text()?;
        let table: Vec<Option<i64>> = values.iter().map(|text| function(text)).collect();
        let range = |least: fn(i64, i64) -> i64| table.iter().flatten().copied().reduce(least).map_or(0, i128::from);
        let range = (range(i64::min), range(i64::max));
        Some(Self::number(lookup(self.value.clone(), table), range, scale, at))
    }
}

pub(crate) fn too_large(at: Option<Position>) -> Refusal {
    not_private(
        at,
        format!("the expression has more than {MAX_NODES} parts"),
        "write it more simply; a name stands for its whole expression",
    )
}

/// A lookup by place; an identity is left out, and a constant is looked up now.
fn lookup(value: Value, table: Vec<Option<i64>>) -> Value {
    let identity = table.iter().zip(0..).all(|(entry, place)| *entry == Some(place));
    match value {
        value if identity => value,
        Value::Constant(place) => {
            let found = usize::try_from(place).ok().and_then(|place| table.get(place).copied().flatten());
            found.map_or(Value::Null, Value::Constant)
        }
        value => Value::Map { value: Box::new(value), first: 0, table },
    }
}

/// Brings several expressions to one type: numbers to the finest scale, texts to one list, NULL to anything.
pub(crate) fn unify(parts: Vec<Typed>, at: Option<Position>) -> Result<(Vec<Value>, Type), Refusal> {
    let Some(first) = parts.iter().find(|part| part.of != Type::Null).map(|part| part.of.clone()) else {
        return Ok((parts.into_iter().map(|part| part.value).collect(), Type::Null));
    };
    if let Some(other) =
        parts.iter().find(|part| part.of != Type::Null && std::mem::discriminant(&part.of) != std::mem::discriminant(&first))
    {
        let message = format!("one part is {}, another {}", first.name(), other.of.name());
        return Err(invalid(at, message, "make all parts of one type"));
    }
    match first {
        Type::Number { .. } => unify_numbers(parts, at),
        Type::Boolean => Ok((parts.into_iter().map(|part| part.value).collect(), Type::Boolean)),
        Type::Text { .. } => Ok(unify_texts(parts)),
        Type::Time { .. } => {
            let times = |part: &Typed| if let Type::Time { lo, hi, grain, date } = part.of { Some((lo, hi, grain, date)) } else { None };
            let all: Vec<_> = parts.iter().filter_map(times).collect();
            let lo = all.iter().map(|(lo, ..)| *lo).min().unwrap_or(0);
            let hi = all.iter().map(|(_, hi, ..)| *hi).max().unwrap_or(0);
            let grain =
                all.first().and_then(|(_, _, grain, _)| *grain).filter(|grain| all.iter().all(|(_, _, other, _)| other == &Some(*grain)));
            let date = all.iter().all(|(.., date)| *date);
            Ok((parts.into_iter().map(|part| part.value).collect(), Type::Time { lo, hi, grain, date }))
        }
        Type::Null => Ok((Vec::new(), Type::Null)),
    }
}

fn unify_numbers(parts: Vec<Typed>, at: Option<Position>) -> Result<(Vec<Value>, Type), Refusal> {
    let scale =
        parts.iter().filter_map(|part| if let Type::Number { scale, .. } = part.of { Some(scale) } else { None }).max().unwrap_or(0);
    let parts = parts.into_iter().map(|part| part.rescaled(scale, at)).collect::<Result<Vec<_>, _>>()?;
    let ranges: Vec<(i64, i64)> =
        parts.iter().filter_map(|part| if let Type::Number { lo, hi, .. } = part.of { Some((lo, hi)) } else { None }).collect();
    let lo = ranges.iter().map(|(lo, _)| *lo).min().unwrap_or(0);
    let hi = ranges.iter().map(|(_, hi)| *hi).max().unwrap_or(0);
    Ok((parts.into_iter().map(|part| part.value).collect(), Type::Number { lo, hi, scale }))
}

fn unify_texts(parts: Vec<Typed>) -> (Vec<Value>, Type) {
    let lists: Vec<(Arc<Vec<String>>, Option<ListRef>)> =
        parts.iter().filter_map(|part| part.as_text().map(|(values, list)| (Arc::clone(values), list.cloned()))).collect();
    if let Some((values, list)) = lists.first()
        && lists.iter().all(|(other, _)| other == values)
    {
        let list = list.clone().filter(|list| lists.iter().all(|(_, other)| other.as_ref() == Some(list)));
        let of = Type::Text { values: Arc::clone(values), list };
        return (parts.into_iter().map(|part| part.value).collect(), of);
    }
    let mut places = std::collections::HashMap::new();
    let mut all: Vec<String> = Vec::new();
    for text in lists.iter().flat_map(|(values, _)| values.iter()) {
        places.entry(text.clone()).or_insert_with(|| {
            all.push(text.clone());
            i64::try_from(all.len() - 1).unwrap_or(i64::MAX)
        });
    }
    let values = parts
        .into_iter()
        .map(|part| match part.as_text() {
            Some((values, _)) => {
                let table = values.iter().map(|text| places.get(text).copied()).collect();
                lookup(part.value.clone(), table)
            }
            None => part.value,
        })
        .collect();
    (values, Type::Text { values: Arc::new(all), list: None })
}
