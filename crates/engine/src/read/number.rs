//! Any number of a source as an integer of 10^-scale units: exact, halves away from zero, saturating, never an error.
//!
//! Floating-point numbers are taken apart into mantissa and exponent, so that no result depends on how a machine rounds.

/// Longest text that is read as a number, in bytes; a longer one counts as unreadable.
const MAX_NUMBER_BYTES: usize = 128;

/// An integer with `from_scale` decimal digits after its point, in units of 10^-scale.
pub(crate) fn from_decimal(value: i128, from_scale: i8, scale: u8) -> i128 {
    let shift = i32::from(scale) - i32::from(from_scale);
    match (10i128.checked_pow(shift.unsigned_abs()), shift >= 0) {
        (Some(power), true) => value.saturating_mul(power),
        (Some(power), false) => divide_half_away(value, power),
        (None, true) => saturated(value.signum()),
        // 10^39 is more than twice the largest value.
        (None, false) => 0,
    }
}

/// A floating-point number; `None` for NaN and infinities.
pub(crate) fn from_float(value: f64, scale: u8) -> Option<i128> {
    if !value.is_finite() {
        return None;
    }
    let bits = value.to_bits();
    let stored = i32::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    let fraction = bits & ((1 << 52) - 1);
    let mantissa = if stored == 0 { fraction } else { fraction | (1 << 52) };
    let exponent = stored.max(1) - 1075;
    // At most 53 + 30 bits for scales up to 9.
    let scaled = i128::from(mantissa).saturating_mul(10i128.checked_pow(u32::from(scale)).unwrap_or(i128::MAX));
    let magnitude = if scaled == 0 {
        0
    } else if exponent >= 0 {
        if scaled.leading_zeros() > exponent.unsigned_abs() + 1 { scaled << exponent } else { i128::MAX }
    } else if exponent > -126 {
        divide_half_away(scaled, 1 << -exponent)
    } else {
        0
    };
    Some(if value.is_sign_negative() { -magnitude } else { magnitude })
}

/// A decimal text such as ` -12.50 ` or `1e3`; `None` for anything else.
pub(crate) fn from_text(text: &str, scale: u8) -> Option<i128> {
    let text = text.trim_matches(' ');
    if text.len() > MAX_NUMBER_BYTES {
        return None;
    }
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, small_exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    let significant = &digits[leading..];
    // How many of the significant digits stand before the point of the result.
    let kept = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()? + exponent + i64::from(scale);
    let magnitude = if significant.is_empty() || kept < 0 {
        0
    } else if kept > 38 {
        i128::MAX
    } else {
        let kept = usize::try_from(kept).ok()?;
        let digit = |place: usize| significant.get(place).map_or(0, |digit| i128::from(digit - b'0'));
        let truncated = (0..kept).fold(0i128, |value, place| value.saturating_mul(10).saturating_add(digit(place)));
        truncated.saturating_add(i128::from(digit(kept) >= 5))
    };
    Some(if negative { -magnitude } else { magnitude })
}

fn small_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // What does not fit decides the result by its sign alone.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX).min(1_000_000);
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

fn saturated(sign: i128) -> i128 {
    match sign {
        0 => 0,
        1.. => i128::MAX,
        _ => -i128::MAX,
    }
}

/// `divisor` is above 0.
fn divide_half_away(value: i128, divisor: i128) -> i128 {
    let remainder = (value % divisor).unsigned_abs();
    let up = remainder >= divisor.unsigned_abs() - remainder;
    value / divisor + if up { value.signum() } else { 0 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_away_from_zero() {
        assert_eq!(from_text("2.5", 0), Some(3));
        assert_eq!(from_text("-2.5", 0), Some(-3));
        assert_eq!(from_text("2.4999999999999999999999999999999999999999999", 0), Some(2));
        assert_eq!(from_float(-0.5, 0), Some(-1));
        assert_eq!(from_float(0.49, 0), Some(0));
        assert_eq!(from_decimal(-125, 2, 1), -13);
        assert_eq!(from_decimal(124, 2, 1), 12);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", " ", "-", ".", "e5", "1e", "1e+", "nan", "inf", "0x10", "1_000", "1,5", "1.2.3", "١"] {
            assert_eq!(from_text(text, 2), None, "{text}");
        }
        assert_eq!(from_text(&"9".repeat(1000), 0), None);
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(from_float(value, 2), None);
        }
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(from_float(f64::MAX, 9), Some(i128::MAX));
        assert_eq!(from_float(f64::MIN, 9), Some(-i128::MAX));
        assert_eq!(from_float(f64::MIN_POSITIVE, 9), Some(0));
        assert_eq!(from_text("-1e99999999999999999999", 0), Some(-i128::MAX));
        assert_eq!(from_text("0e99999999999999999999", 0), Some(0));
        assert_eq!(from_text("1e-99999999999999999999", 9), Some(0));
        assert_eq!(from_decimal(i128::MIN, -128, 9), -i128::MAX);
        assert_eq!(from_decimal(i128::MIN, 127, 0), 0);
        assert_eq!(from_decimal(i128::MAX, 0, 9), i128::MAX);
    }

    proptest! {
        #[test]
        fn text_and_integer_agree(value in any::<i64>(), scale in 0u8..=9) {
            let units = i128::from(value) * 10i128.pow(u32::from(scale));
            prop_assert_eq!(from_text(&value.to_string(), scale), Some(units));
            prop_assert_eq!(from_decimal(i128::from(value), 0, scale), units);
        }

        #[test]
        fn text_and_decimal_agree(value in any::<i64>(), digits in 0i8..=18, scale in 0u8..=9) {
            let text = format!("{value}e-{digits}");
            prop_assert_eq!(from_text(&text, scale), Some(from_decimal(i128::from(value), digits, scale)));
        }

        #[test]
        fn floats_that_are_integers_are_exact(value in -(1i64 << 52)..(1i64 << 52), scale in 0u8..=9) {
            #[expect(clippy::cast_precision_loss, reason = "52 bits fit")]
            let float = value as f64;
            prop_assert_eq!(from_float(float, scale), Some(from_decimal(i128::from(value), 0, scale)));
        }

        #[test]
        fn no_text_and_no_float_panics(text in ".{0,20}", bits in any::<u64>(), scale in 0u8..=9) {
            let _ = from_text(&text, scale);
            let _ = from_float(f64::from_bits(bits), scale);
        }
    }
}
