//! Constants: a literal of the SQL text as an exact value of a column's type.
//!
//! Refusals never repeat a literal: a question may become public, and a text outside the declared codes was never meant to.

use commun_domain::Refusal;
use commun_domain::contract::{CodeList, DataContract};
use commun_domain::error::Position;
use sqlparser::ast::{Expr, UnaryOperator, Value};

use super::types::{ListRef, MAX_SCALE, Typed};
use crate::refuse::{bare, invalid, not_private};

/// Most codes that a hint names.
const MAX_HINTED_CODES: usize = 3;

/// A literal as it is written.
#[derive(Debug)]
pub(crate) enum Written<'a> {
    /// `'text'`
    Text(&'a str),
    /// `-12.50`
    Number {
        /// Digits, perhaps with a point.
        digits: &'a str,
        /// Whether a minus stands before it.
        negative: bool,
    },
    /// `TRUE` or `FALSE`
    Boolean,
    /// `NULL`
    Null,
}

/// The literal that an expression is; `None` when it is something else, or a literal of a kind that is not read.
pub(crate) fn written(expr: &Expr) -> Option<Written<'_>> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(Written::Text(text)),
            Value::Number(digits, false) => Some(Written::Number { digits, negative: false }),
            Value::Boolean(_) => Some(Written::Boolean),
            Value::Null => Some(Written::Null),
            _ => None,
        },
        Expr::UnaryOp { op, expr } => {
            let sign = match op {
                UnaryOperator::Minus => true,
                UnaryOperator::Plus => false,
                _ => return None,
            };
            match &**expr {
                Expr::Value(value) => match &value.value {
                    Value::Number(digits, false) => Some(Written::Number { digits, negative: sign }),
                    _ => None,
                },
                _ => None,
            }
        }
        _ => None,
    }
}

/// The texts that an expression can be, found once for many literals.
#[derive(Debug)]
pub(crate) struct Codes<'a> {
    values: &'a [String],
    places: std::collections::HashMap<&'a str, i64>,
    list: Option<&'a ListRef>,
    /// The list with its titles, for hints.
    titled: Option<&'a CodeList>,
}

impl<'a> Codes<'a> {
    /// Prepares for literals beside this expression.
    pub(crate) fn of(contract: &'a DataContract, typed: &'a Typed) -> Self {
        let (values, list) = typed.as_text().map_or((&[][..], None), |(values, list)| (values.as_slice(), list));
        let titled = list.and_then(|list| contract.code_list(&list.name, &list.version));
        Self { values, places: values.iter().map(String::as_str).zip(0..).collect(), list, titled }
    }

    /// The place of a literal.
    pub(crate) fn place(&self, text: &str, at: Option<Position>) -> Result<i64, Refusal> {
        if let Some(place) = self.places.get(text) {
            return Ok(*place);
        }
        let has_title = |code: &str| {
            self.titled.and_then(|list| list.code(code)).is_some_and(|code| {
                [&code.titles.fr, &code.titles.nl, &code.titles.de, &code.titles.en].iter().any(|title| same(text, title))
            })
        };
        let near = self.values.iter().filter(|code| is_near(text, code) || has_title(code));
        let near: Vec<String> = near.take(MAX_HINTED_CODES).map(|code| format!("'{code}'")).collect();
        let hint = if near.is_empty() {
            let first: Vec<String> = self.values.iter().take(MAX_HINTED_CODES).map(|code| format!("'{code}'")).collect();
            format!("use its codes, for example {}; commun catalog lists them", first.join(", "))
        } else {
            format!("perhaps {}", near.join(" or "))
        };
        let of = self.list.map_or_else(|| "this expression".to_owned(), |list| format!("{} {}", list.name, list.version));
        Err(not_private(at, format!("this is no code of {of}: questions are public, so they hold declared codes only"), hint))
    }
}

fn same(text: &str, title: &str) -> bool {
    !title.is_empty() && text.trim().to_lowercase() == title.to_lowercase()
}

/// Equal but for case and outer blanks, a beginning of at least two characters, or one edit apart.
fn is_near(text: &str, code: &str) -> bool {
    let text = text.trim();
    if text.eq_ignore_ascii_case(code) || (text.len() >= 2 && code.starts_with(text)) {
        return true;
    }
    let (a, b): (Vec<char>, Vec<char>) = (text.chars().collect(), code.chars().collect());
    if a.len().abs_diff(b.len()) > 1 || a.len() < 2 {
        return false;
    }
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    head + tail + 1 >= a.len().max(b.len())
}

/// A number as it is written: units and decimal digits. Zeros after the point count, as in SQL: `2.0` is no whole number, and divides as
/// a decimal does.
pub(crate) fn decimal(digits: &str, negative: bool, at: Option<Position>) -> Result<(i64, u8), Refusal> {
    let fraction = digits.split_once('.').map_or("", |(_, fraction)| fraction);
    let needed = fraction.trim_end_matches('0').len();
    if needed > usize::from(MAX_SCALE) {
        let hint = format!("write at most {MAX_SCALE} digits after the point");
        return Err(invalid(at, "this number is too fine", hint));
    }
    let scale = u8::try_from(fraction.len()).unwrap_or(u8::MAX).min(MAX_SCALE);
    let units = fixed_point(digits, negative, scale).map_err(|(message, hint)| invalid(at, message, hint))?;
    Ok((units, scale))
}

/// A decimal as an integer of 10^-scale units, exactly; else what is wrong and what to do.
pub(crate) fn fixed_point(digits: &str, negative: bool, scale: u8) -> Result<i64, (String, String)> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(("this number is not plain decimal".to_owned(), "write it without an exponent, like 1500 or 0.5".to_owned()));
    }
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::from(scale);
    if fraction.len() > scale {
        let message = format!("this number is finer than the column, which has {scale} decimal digits");
        return Err((message, format!("write at most {scale} digits after the point")));
    }
    let too_large =
        || ("this number does not fit".to_owned(), format!("the column's numbers lie within {} units of 10^-{scale}", i64::MAX));
    let all = format!("{whole}{fraction:0<scale$}");
    let all = all.trim_start_matches('0');
    let magnitude: i128 = if all.is_empty() { 0 } else { all.parse().map_err(|_| too_large())? };
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_become_exact_units_or_nothing() {
        for (digits, negative, scale, units) in [
            ("12", false, 0, 12),
            ("12.5", false, 2, 1250),
            ("12.500", true, 1, -125),
            (".5", false, 1, 5),
            ("5.", false, 1, 50),
            ("000", true, 3, 0),
            ("9223372036854775808", true, 0, i64::MIN),
        ] {
            assert_eq!(fixed_point(digits, negative, scale), Ok(units), "{digits}");
        }
        for (digits, scale) in [("0.05", 1), ("9223372036854775808", 0), ("1e3", 0), ("922337203685477580.8", 2), (&"9".repeat(500), 0)] {
            assert!(fixed_point(digits, false, scale).is_err(), "{digits}");
        }
    }

    #[test]
    fn near_codes_are_one_edit_away_or_begin_alike() {
        for (text, code) in [("2100", "21000"), ("21001", "21000"), ("be1", "BE1"), ("1200", "21200"), ("21", "21000")] {
            assert!(is_near(text, code), "{text} {code}");
        }
        for (text, code) in [("jean", "21000"), ("", "21000"), ("2", "21000"), ("12000", "21000")] {
            assert!(!is_near(text, code), "{text} {code}");
        }
    }
}
