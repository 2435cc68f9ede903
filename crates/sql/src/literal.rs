//! Constants: a literal of the SQL text as an exact value of a column's type.
//!
//! Refusals never repeat a literal: a question may become public, and a text outside the declared codes was never meant to.

use commun_domain::Refusal;
use commun_domain::contract::{CodeList, Column, ColumnType};
use commun_domain::plan::Literal;
use sqlparser::ast::{Expr, UnaryOperator, Value};

use crate::names::Scope;
use crate::refuse::{bare, invalid, not_private, place_of};

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
    Boolean(bool),
    /// `NULL`
    Null,
}

/// The literal that an expression is; `None` when it is something else, or a literal of a kind that is not read.
pub(crate) fn written(expr: &Expr) -> Option<Written<'_>> {
    match bare(expr) {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(Written::Text(text)),
            Value::Number(digits, false) => Some(Written::Number { digits, negative: false }),
            Value::Boolean(value) => Some(Written::Boolean(*value)),
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

/// The codes of a column, found once for many literals.
#[derive(Debug)]
pub(crate) struct Values<'a> {
    column: &'a Column,
    list: Option<(&'a CodeList, std::collections::HashSet<&'a str>)>,
}

impl<'a> Values<'a> {
    /// Prepares for literals of this column.
    pub(crate) fn of(scope: &Scope<'a>, column: &'a Column) -> Self {
        let list = match &column.column_type {
            ColumnType::Code { list, version } => scope.contract.code_list(list, version),
            ColumnType::Number { .. } | ColumnType::Boolean => None,
        };
        Self { column, list: list.map(|list| (list, list.codes.iter().map(|code| code.code.as_str()).collect())) }
    }

    /// The literal as a value of the column.
    pub(crate) fn literal(&self, expr: &Expr) -> Result<Literal, Refusal> {
        let at = place_of(expr);
        let name = &self.column.name;
        let Some(written) = written(expr) else { return Err(crate::predicate::unsupported(expr)) };
        match (&self.column.column_type, written) {
            (_, Written::Null) => {
                Err(invalid(at, "a comparison with NULL is never true", format!("write {name} IS NULL or {name} IS NOT NULL")))
            }
            (ColumnType::Code { .. }, Written::Text(text)) => self.code(text, expr),
            (ColumnType::Number { scale, .. }, Written::Number { digits, negative }) => fixed_point(digits, negative, *scale)
                .map(Literal::Number)
                .map_err(|(message, hint)| invalid(at, format!("{name}: {message}"), hint)),
            (ColumnType::Boolean, Written::Boolean(value)) => Ok(Literal::Boolean(value)),
            (ColumnType::Code { .. }, _) => Err(invalid(at, format!("{name} holds codes"), "write a code in single quotes, like 'A1'")),
            (ColumnType::Number { .. }, _) => {
                Err(invalid(at, format!("{name} holds numbers"), "write a number without quotes, like 12 or 0.5"))
            }
            (ColumnType::Boolean, _) => Err(invalid(at, format!("{name} is true or false"), "write TRUE or FALSE without quotes")),
        }
    }

    fn code(&self, text: &str, expr: &Expr) -> Result<Literal, Refusal> {
        let Some((list, codes)) = &self.list else {
            return Err(invalid(
                place_of(expr),
                format!("{} has no code list", self.column.name),
                "ask the supervisor: the data contract is wrong",
            ));
        };
        if codes.contains(text) {
            return Ok(Literal::Code(text.to_owned()));
        }
        let near: Vec<String> = list
            .codes
            .iter()
            .filter(|code| {
                is_near(text, &code.code)
                    || [&code.titles.fr, &code.titles.nl, &code.titles.de, &code.titles.en].iter().any(|title| same(text, title))
            })
            .take(MAX_HINTED_CODES)
            .map(|code| format!("'{}'", code.code))
            .collect();
        let hint = if near.is_empty() {
            let first: Vec<String> = list.codes.iter().take(MAX_HINTED_CODES).map(|code| format!("'{}'", code.code)).collect();
            format!("use its codes, for example {}", first.join(", "))
        } else {
            format!("perhaps {}", near.join(" or "))
        };
        Err(not_private(
            place_of(expr),
            format!(
                "this is no code of {} ({} {}): questions are public, so they hold declared codes only",
                self.column.name, list.name, list.version
            ),
            hint,
        ))
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

/// A decimal as an integer of 10^-scale units, exactly; else what is wrong and what to do.
fn fixed_point(digits: &str, negative: bool, scale: u8) -> Result<i64, (String, String)> {
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
