//! The typed table of an answer, and how its numbers are written.
//!
//! A raw noisy number is a multiple of its lattice step and is written exactly, because unbiased estimates are made of such numbers.
//! Everything else is computed and written to six digits.

use std::fmt;
use std::sync::Arc;

use commun_domain::plan::KeyKind;

use crate::lattice::dequantise;

/// A table of texts, as CSV shows it: NULL is an empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerTable {
    /// Names; an estimate `x` is followed by `x_moe` when margins are wanted.
    pub columns: Vec<String>,
    /// As many texts a row as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// A table of typed cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Columns in order.
    pub columns: Vec<Column>,
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its cells are.
    pub kind: ColumnKind,
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Labels of a group key whose values are of this kind, or NULL.
    Key(KeyKind),
    /// `GROUPING`.
    Grouping,
    /// Noisy numbers, or NULL.
    Estimate,
    /// Half the width of the 95 % interval around the estimate before it; NULL where there is none.
    Margin,
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL.
    Null,
    /// Label of a key's value.
    Text(Arc<str>),
    /// `GROUPING`, and consistent counts.
    Whole(i128),
    /// A raw noisy number.
    Exact(Exact),
    /// A computed number; finite.
    Float(f64),
}

/// A raw noisy number: `steps 2^two 10^-ten`, never rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    /// Lattice steps.
    pub steps: i128,
    /// log2 of the lattice step.
    pub two: i32,
    /// Decimal digits by which the point is moved to the left.
    pub ten: u32,
}

impl Table {
    /// As texts.
    pub fn texts(&self) -> AnswerTable {
        AnswerTable {
            columns: self.columns.iter().map(|column| column.name.clone()).collect(),
            rows: self.rows.iter().map(|row| row.iter().map(Cell::to_string).collect()).collect(),
        }
    }
}

impl Exact {
    /// The nearest floating-point number.
    #[expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing: a released number is read")]
    pub fn to_f64(self) -> f64 {
        self.steps as f64 * power(2.0, self.two) * power(10.0, -i32::try_from(self.ten).unwrap_or(i32::MAX))
    }
}

/// `base^exponent` by multiplication alone, so that all machines agree on every bit (a library's `powi` may not).
#[expect(clippy::float_arithmetic, reason = "post-processing: powers of 2 and 10 that scale released numbers")]
pub(super) fn power(base: f64, exponent: i32) -> f64 {
    // 10^308 is the last power that is finite.
    let product = (0..exponent.unsigned_abs().min(1_100)).fold(1.0, |product, _| product * base);
    if exponent < 0 { 1.0 / product } else { product }
}

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shift_point(&dequantise(self.steps, self.two), usize::try_from(self.ten).unwrap_or(0)))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Exact(number) => number.fmt(f),
            Self::Float(number) => f.write_str(&float_text(*number)),
        }
    }
}

/// Six digits after the point, or six significant ones for a number below 1, without zeros at the end.
fn float_text(number: f64) -> String {
    // In scientific notation the exponent says how many zeros follow the point.
    let scientific = format!("{number:.5e}");
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    let digits = if exponent < 0 { usize::try_from(5 - exponent).unwrap_or(6).min(30) } else { 6 };
    let text = format!("{number:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Moves the decimal point of an exact decimal `scale` digits to the left.
fn shift_point(text: &str, scale: usize) -> String {
    if scale == 0 {
        return text.to_owned();
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let padded = format!("{whole:0>width$}", width = scale + 1);
    let (whole, moved) = padded.split_at(padded.len() - scale);
    let fraction = format!("{moved}{fraction}");
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_moves_exactly() {
        for (text, scale, expected) in
            [("-3.25", 0, "-3.25"), ("12345", 2, "123.45"), ("-5", 2, "-0.05"), ("1200", 2, "12"), ("0.75", 3, "0.00075"), ("0", 4, "0")]
        {
            assert_eq!(shift_point(text, scale), expected);
        }
    }

    #[test]
    fn computed_numbers_have_six_digits_where_they_begin() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (2.0 / 3.0, "0.666667"),
            (200.0 / 3.0, "66.666667"),
            (1e6, "1000000"),
            (-1.0 / 3000.0, "-0.000333333"),
            (1.5, "1.5"),
            (1e-40, "0"),
        ] {
            assert_eq!(float_text(number), expected);
        }
    }

    #[test]
    fn raw_numbers_are_exact_in_text_and_as_close_as_floats_are() {
        let exact = Exact { steps: -13, two: -2, ten: 1 };
        assert_eq!(exact.to_string(), "-0.325");
        assert!((exact.to_f64() + 0.325).abs() < 1e-16);
        let large = Exact { steps: i128::MAX, two: 64, ten: 0 };
        assert_eq!(large.to_string(), "3138550867693340381917894711603833208032730978158307704832");
        assert!((large.to_f64() / 3.138_550_867_693_340_4e57 - 1.0).abs() < 1e-15);
        let fine = Exact { steps: 1, two: -87, ten: 36 };
        assert!(fine.to_string().starts_with("0.00000000000000000000000000000000000000000000000000000000000000646"));
    }
}
