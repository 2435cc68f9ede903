//! Texts: every text is a place in a declared list, so a function of it is worked out here over the whole list, once.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::Value;
use sqlparser::ast::{Expr, TrimWhereField};

use crate::question::literal::{Written, written};
use crate::question::types::{Type, Typed};
use crate::refuse::{invalid, not_private, place_of};

/// Most combinations of a concatenation.
const MAX_COMBINATIONS: usize = 10_000;

/// Longest cut, in characters.
const MAX_LENGTH: usize = 1_000;

fn wants_text(of: &Type, at: Option<Position>) -> Refusal {
    invalid(at, format!("this is {}, not a text", of.name()), "use a column with a code list")
}

/// A function of one text.
pub(super) fn map(inner: &Typed, at: Option<Position>, function: impl Fn(&str) -> Option<String>) -> Result<Typed, Refusal> {
    if inner.of == Type::Null {
        return Ok(Typed::text(Value::Null, Vec::new()));
    }
    inner.map_text(function).ok_or_else(|| wants_text(&inner.of, at))
}

/// The number of characters.
pub(super) fn char_length(inner: &Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    inner.map_number(0, |text| i64::try_from(text.chars().count()).ok(), at).unwrap_or_else(|| Err(wants_text(&inner.of, at)))
}

/// A literal whole number from 1 to [`MAX_LENGTH`].
pub(super) fn position(expr: &Expr) -> Result<usize, Refusal> {
    length(expr).and_then(
        |length| {
            if length > 0 { Ok(length) } else { Err(invalid(place_of(expr), "a position counts from 1", "write 1 or more")) }
        },
    )
}

/// A literal whole number from 0 to [`MAX_LENGTH`].
pub(super) fn length(expr: &Expr) -> Result<usize, Refusal> {
    match written(expr) {
        Some(Written::Number { digits, negative: false }) => digits.parse().ok().filter(|length| *length <= MAX_LENGTH),
        _ => None,
    }
    .ok_or_else(|| {
        invalid(place_of(expr), "a position or length is a plain whole number here", format!("write a number up to {MAX_LENGTH}"))
    })
}

/// A literal text.
pub(super) fn plain(expr: &Expr) -> Result<&str, Refusal> {
    match written(expr) {
        Some(Written::Text(text)) => Ok(text),
        _ => Err(invalid(place_of(expr), "this is not a text in single quotes", "write it like 'text'")),
    }
}

/// `SUBSTRING(text FROM from FOR length)`, counted in characters from 1.
pub(super) fn substring(inner: &Typed, from: usize, length: Option<usize>, at: Option<Position>) -> Result<Typed, Refusal> {
    let taken = length.unwrap_or(usize::MAX);
    map(inner, at, |text| Some(text.chars().skip(from.saturating_sub(1)).take(taken).collect()))
}

/// `TRIM`, of blanks.
pub(super) fn trim(inner: &Typed, side: Option<&TrimWhereField>, at: Option<Position>) -> Result<Typed, Refusal> {
    map(inner, at, |text| {
        Some(match side {
            None | Some(TrimWhereField::Both) => text.trim_matches(' ').to_owned(),
            Some(TrimWhereField::Leading) => text.trim_start_matches(' ').to_owned(),
            Some(TrimWhereField::Trailing) => text.trim_end_matches(' ').to_owned(),
        })
    })
}

/// Texts joined; NULL where one is.
pub(super) fn concat(parts: Vec<Typed>, at: Option<Position>) -> Result<Typed, Refusal> {
    let mut parts = parts.into_iter();
    let Some(mut joined) = parts.next() else {
        return Err(invalid(at, "there is nothing to join", "write at least one text"));
    };
    for part in parts {
        joined = join(&joined, &part, at)?;
    }
    if joined.as_text().is_none() && joined.of != Type::Null { Err(wants_text(&joined.of, at)) } else { Ok(joined) }
}

fn join(left: &Typed, right: &Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    if left.of == Type::Null || right.of == Type::Null {
        return Ok(Typed::text(Value::Null, Vec::new()));
    }
    let (lefts, _) = left.as_text().ok_or_else(|| wants_text(&left.of, at))?;
    let (rights, _) = right.as_text().ok_or_else(|| wants_text(&right.of, at))?;
    match (left.as_constant(), right.as_constant()) {
        (_, Some(_)) if rights.len() == 1 => map(left, at, |text| Some(format!("{text}{}", rights[0]))),
        (Some(_), _) if lefts.len() == 1 => map(right, at, |text| Some(format!("{}{text}", lefts[0]))),
        _ => {
            if lefts.len().saturating_mul(rights.len()) > MAX_COMBINATIONS {
                return Err(not_private(
                    at,
                    format!("the texts have more than {MAX_COMBINATIONS} combinations"),
                    "group by both columns instead",
                ));
            }
            let all: Vec<String> = lefts.iter().flat_map(|a| rights.iter().map(move |b| format!("{a}{b}"))).collect();
            let width = i64::try_from(rights.len()).unwrap_or(i64::MAX);
            let place = Value::Add(
                Box::new(Value::Multiply(Box::new(left.value.clone()), Box::new(Value::Constant(width)))),
                Box::new(right.value.clone()),
            );
            // Two combinations may read the same.
            map(&Typed::text(place, all), at, |text| Some(text.to_owned()))
        }
    }
}

/// Whether a text matches a LIKE pattern: `%` is any run of characters, `_` any one. Runs on public codes only, in time
/// `text * pattern`.
pub(super) fn like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '_' || c == text[t] => {
                t += 1;
                p += 1;
            }
            _ => match star {
                // The last % takes one character more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    t = from + 1;
                    p = at + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, read off the pattern.
    fn naive(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|skipped| naive(&text[skipped..], rest)),
            Some((c, rest)) => text.split_first().is_some_and(|(first, others)| (*c == '_' || c == first) && naive(others, rest)),
        }
    }

    proptest! {
        #[test]
        fn like_is_its_definition(text in "[ab%_]{0,8}", pattern in "[ab%_]{0,6}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(like(&text, &pattern), naive(&chars(&text), &chars(&pattern)));
        }
    }
}
