//! Units of privacy loss, as integers.
//!
//! Privacy loss is never a bare number: [`Rho`] is zero-concentrated DP (Bun and Steinke 2016) in units of 2^-40, [`Delta`] in
//! units of 10^-18, [`Epsilon`] in units of 10^-6. Addition is checked; a loss that does not fit is an error, not a wrap.

use std::fmt;

/// Number of [`Rho`] units in one: 2^40.
pub const RHO_UNITS_PER_ONE: u64 = 1 << 40;
/// Number of [`Delta`] units in one: 10^18.
pub const DELTA_UNITS_PER_ONE: u64 = 1_000_000_000_000_000_000;
/// Number of [`Epsilon`] units in one: 10^6.
pub const EPSILON_UNITS_PER_ONE: u64 = 1_000_000;

/// zCDP loss in units of 2^-40, rounded up wherever it is a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rho(u64);

/// The delta of approximate differential privacy in units of 10^-18.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Delta(u64);

/// A requested epsilon in units of 10^-6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epsilon(u64);

macro_rules! unit {
    ($name:ident, $per_one:expr, $doc:literal) => {
        impl $name {
            /// No loss.
            pub const ZERO: Self = Self(0);
            #[doc = concat!("From a count of ", $doc, ".")]
            pub const fn from_units(units: u64) -> Self {
                Self(units)
            }
            #[doc = concat!("As a count of ", $doc, ".")]
            pub const fn units(self) -> u64 {
                self.0
            }
            /// Sum, or `None` when it does not fit.
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }
            /// Difference, or `None` when it would be negative.
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }
            /// Product with a small count, or `None` when it does not fit.
            pub const fn checked_mul(self, count: u64) -> Option<Self> {
                match self.0.checked_mul(count) {
                    Some(units) => Some(Self(units)),
                    None => None,
                }
            }
            /// As a floating-point number, for display only.
            #[expect(clippy::cast_precision_loss, reason = "for display only")]
            pub fn to_f64(self) -> f64 {
                self.0 as f64 / $per_one as f64
            }
            /// Reads a plain or scientific decimal (`0.25`, `1e-9`), rounding down to a whole unit.
            ///
            /// # Errors
            /// Text that is not a non-negative decimal, or that does not fit.
            pub fn parse(text: &str) -> Result<Self, UnitError> {
                parse_units(text, $per_one).map(Self)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = self.to_f64();
                if value != 0.0 && value < 1e-4 {
                    write!(f, "{value:e}")
                } else {
                    let text = format!("{value:.6}");
                    f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
                }
            }
        }
    };
}

unit!(Rho, RHO_UNITS_PER_ONE, "units of 2^-40");
unit!(Delta, DELTA_UNITS_PER_ONE, "units of 10^-18");
unit!(Epsilon, EPSILON_UNITS_PER_ONE, "units of 10^-6");

/// Why a text is not a quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("\"{text}\" is not a number between 0 and {max}; write for example 0.5 or 1e-9")]
pub struct UnitError {
    text: String,
    max: u64,
}

fn parse_units(text: &str, per_one: u64) -> Result<u64, UnitError> {
    let error = || UnitError { text: text.chars().take(40).collect(), max: u64::MAX / per_one };
    let (mantissa, exponent) = match text.trim().split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| error())?),
        None => (text.trim(), 0),
    };
    if !(-40..=20).contains(&exponent) {
        return Err(error());
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(error());
    }
    let digits: u128 = digits.parse().map_err(|_| error())?;
    let scale = exponent - i32::try_from(fraction.len()).map_err(|_| error())?;
    let product = digits.checked_mul(u128::from(per_one)).ok_or_else(error)?;
    let power = 10u128.checked_pow(scale.unsigned_abs()).ok_or_else(error);
    let units = if scale >= 0 {
        product.checked_mul(power?).ok_or_else(error)?
    } else {
        // A power that does not fit is larger than any product that does.
        power.map_or(0, |power| product / power)
    };
    u64::try_from(units).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_and_rounded_down() {
        assert_eq!(Delta::parse("1e-9"), Ok(Delta::from_units(1_000_000_000)));
        assert_eq!(Epsilon::parse("1"), Ok(Epsilon::from_units(1_000_000)));
        assert_eq!(Epsilon::parse("0.81"), Ok(Epsilon::from_units(810_000)));
        assert_eq!(Rho::parse("0.5"), Ok(Rho::from_units(1 << 39)));
        assert_eq!(Rho::parse("0.1"), Ok(Rho::from_units(109_951_162_777)));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "-1", "+1", "abc", "1e99", ".", "1..2", "nan", "99999999999999999999", "1e-999999999999"] {
            assert!(Epsilon::parse(text).is_err(), "{text}");
        }
    }
}
