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

/// Longest text that a function makes, in bytes.
const MAX_BYTES: usize = 1_000;

/// A function of one text.
pub(super) fn map(inner: &Typed, at: Option<Position>, function: impl Fn(&str) -> Option<String>) -> Result<Typed, Refusal> {
    if inner.of == Type::Null {
        return Ok(Typed::text(Value::Null, Vec::new()));
    }
    let mapped = inner.map_text(function).ok_or_else(|| wants_text(&inner.of, at))?;
    match mapped.as_text() {
        Some((values, _)) if values.iter().any(|text| text.len() > MAX_BYTES) => {
            Err(not_private(at, format!("a text would have more than {MAX_BYTES} bytes"), "join fewer texts"))
        }
        _ => Ok(mapped),
    }
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

/// The same text, with an empty one for NULL.
pub(super) fn or_empty(inner: Typed, at: Option<Position>) -> Result<Typed, Refusal> {
    let Type::Text { values, .. } = &inner.of else {
        return if inner.of == Type::Null {
            Ok(Typed::text(Value::Constant(0), vec![String::new()]))
        } else {
            Err(wants_text(&inner.of, at))
        };
    };
    if inner.as_constant().is_some() {
        return Ok(inner);
    }
    let place = i64::try_from(values.len()).unwrap_or(i64::MAX);
    let texts = values.iter().cloned().chain([String::new()]).collect();
    // A list may hold the empty text already: mapping makes one place of both.
    map(&Typed::text(Value::Coalesce(vec![inner.value, Value::Constant(place)]), texts), at, |text| Some(text.to_owned()))
}

/// Sign, whole digits and digits after the point of a plain decimal, blanks around it passed over.
fn parts(text: &str) -> Option<(bool, &str, &str)> {
    let text = text.trim();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text.strip_prefix('+').unwrap_or(text)), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let plain = !(whole.is_empty() && fraction.is_empty()) && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    plain.then_some((negative, whole, fraction))
}

/// Digits after the point of a text that is a decimal.
pub(super) fn decimal_digits(text: &str) -> Option<u8> {
    parts(text).and_then(|(_, _, fraction)| u8::try_from(fraction.len()).ok())
}

/// A text that is a decimal, in units of 10^-scale, halves away from zero; `None` for any other text and for what does not fit.
pub(super) fn to_units(text: &str, scale: u8) -> Option<i64> {
    let (negative, whole, fraction) = parts(text)?;
    let scale = usize::from(scale);
    let kept = fraction.get(..scale.min(fraction.len()))?;
    let up = fraction.as_bytes().get(scale).is_some_and(|digit| *digit >= b'5');
    let digits = format!("{whole}{kept:0<scale$}");
    let digits = digits.trim_start_matches('0');
    let magnitude: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let magnitude = magnitude.checked_add(i128::from(up))?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
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

    #[test]
    fn texts_become_numbers_as_a_cast_rounds_them() {
        for (text, scale, units) in [
            ("-1.55", 1, Some(-16)),
            ("1.549", 1, Some(15)),
            (" +12 ", 2, Some(1200)),
            (".5", 0, Some(1)),
            ("5.", 0, Some(5)),
            ("-0.4", 0, Some(0)),
            ("", 0, None),
            (".", 0, None),
            ("1e3", 0, None),
            ("12a", 0, None),
            ("9223372036854775808", 0, None),
            ("99999999999999999999999999999999999999999999", 0, None),
            ("é", 0, None),
        ] {
            assert_eq!(to_units(text, scale), units, "{text}");
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
