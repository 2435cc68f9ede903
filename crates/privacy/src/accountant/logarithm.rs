//! The natural logarithm from operations that IEEE 754 fixes, so that all machines agree on every bit.
//!
//! `ln x = e ln 2 + 2 artanh((m-1) / (m+1))` for `x = m 2^e` and `m` near 1. Good to about 1e-15; not fast, and not for general use.
#![expect(clippy::float_arithmetic, reason = "part of the conversion between rho and epsilon")]

/// Terms of the series: the argument is at most .172, and `.172^27 / 27` is under 1e-21.
const TERMS: u32 = 13;

/// ln x for a positive, finite, normal x.
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent_bits = u32::try_from(bits >> 52).unwrap_or(0);
    let mut exponent = f64::from(exponent_bits) - 1023.0;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1.0;
    }
    exponent * std::f64::consts::LN_2 + twice_artanh((mantissa - 1.0) / (mantissa + 1.0))
}

/// ln(1 + y) for a finite y >= 0, with all digits for small y too.
pub(super) fn ln_1p(y: f64) -> f64 {
    if y < 0.25 { twice_artanh(y / (2.0 + y)) } else { ln(1.0 + y) }
}

/// `2 (s + s^3/3 + s^5/5 + ...)`, from the smallest term.
fn twice_artanh(s: f64) -> f64 {
    let square = s * s;
    let mut sum = 0.0;
    for term in (0..=TERMS).rev() {
        sum = sum * square + 1.0 / f64::from(2 * term + 1);
    }
    2.0 * s * sum
}

#[cfg(test)]
mod tests {
    use super::{ln, ln_1p};

    #[test]
    fn it_agrees_with_the_system_logarithm_to_fourteen_digits() {
        let mut x = 1e-300;
        while x < 1e300 {
            let (own, system) = (ln(x), f64::ln(x));
            assert!((own - system).abs() <= 1e-14 * system.abs().max(1e-2), "ln {x}: {own} {system}");
            let (own, system) = (ln_1p(x), f64::ln_1p(x));
            assert!((own - system).abs() <= 1e-14 * system.abs(), "ln_1p {x}: {own} {system}");
            x *= 1.0173;
        }
    }
}
