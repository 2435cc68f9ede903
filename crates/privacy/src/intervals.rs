//! Margins of error for people: the only floating point that looks at noise, and only at its public scale.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a figure to be shown; nothing is drawn or charged with it")]

/// Standard deviations on each side of the mean that hold 95 % of a normal law.
const Z_95: f64 = 1.96;

/// Half the width of a 95 % interval around one noisy cell, in native units: `1.96 sqrt(n s2) 2^gamma_log2`.
///
/// `n`: agents whose noise is in the sum (before payment the cohort, afterwards the survivors). Clipping bias is not in it.
pub fn margin_95(n: u32, s2: u64, gamma_log2: i32) -> f64 {
    Z_95 * (f64::from(n) * s2 as f64).sqrt() * 2f64.powi(gamma_log2)
}

#[cfg(test)]
mod tests {
    use super::margin_95;

    #[test]
    fn the_demo_s_margins_are_those_of_one_and_of_three_full_noises() {
        assert!((margin_95(1, 535, -2) - 11.33).abs() < 0.01);
        assert!((margin_95(3, 535, -2) - 19.63).abs() < 0.01);
        assert!((margin_95(4, 400, 3) - 1.96 * 40.0 * 8.0).abs() < 1e-9);
    }
}
