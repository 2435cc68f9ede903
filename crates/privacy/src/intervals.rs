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

/// Half the width of a 95 % interval around a number whose noise has this variance.
pub fn margin_of_variance(variance: f64) -> f64 {
    Z_95 * variance.sqrt()
}

/// Half the width, on the larger side, of Fieller's 95 % interval around `above / below`; `None` where that interval has no end, because
/// the one of `below` holds 0.
///
/// `variances`: of the two numbers; `covariance`: between them. Fieller 1954, "Some Problems in Interval Estimation": the quotient `r` is in
/// the interval if `(above - r below)^2 <= z^2 Var(above - r below)`. It is written for the distance from `above / below`, which keeps all digits
/// where the quotient is known well.
pub fn fieller_95(above: f64, below: f64, variances: (f64, f64), covariance: f64) -> Option<f64> {
    let z2 = Z_95 * Z_95;
    let lead = below * below - z2 * variances.1;
    let known = below != 0.0 && lead > 0.0;
    let ratio = above / below;
    // Variance of above - ratio below, and its covariance with below. Rounding must not make a variance negative.
    let residual = (variances.0 - 2.0 * ratio * covariance + ratio * ratio * variances.1).max(0.0);
    let along = z2 * (covariance - ratio * variances.1);
    let half = (along.abs() + (along * along + lead * z2 * residual).sqrt()) / lead;
    (known && half.is_finite()).then_some(half)
}

#[cfg(test)]
mod tests {
    use super::{fieller_95, margin_95};

    #[test]
    fn fieller_s_interval_is_the_solution_of_its_equation_and_ends_where_the_denominator_may_be_zero() {
        // r in [R - half, R + half] touches (a - r b)^2 = z^2 (v - 2 r c + r^2 w) at one end and lies outside or on it at the other.
        for (a, b, v, w, c) in [(30.0, 100.0, 40.0, 90.0, 0.0), (-70.0, 50.0, 9.0, 16.0, 5.0), (70.0, -50.0, 9.0, 16.0, -5.0)] {
            let half = fieller_95(a, b, (v, w), c).unwrap_or(f64::NAN);
            let excess = |r: f64| (a - r * b) * (a - r * b) - 1.96 * 1.96 * (v - 2.0 * r * c + r * r * w);
            let ends = [excess(a / b - half), excess(a / b + half)];
            assert!(ends.iter().all(|end| *end > -1e-6) && ends.iter().any(|end| end.abs() < 1e-6), "{ends:?}");
        }
        // Without noise below, it is the interval of the numerator, scaled.
        assert!((fieller_95(10.0, 5.0, (4.0, 0.0), 0.0).unwrap_or(0.0) - 1.96 * 2.0 / 5.0).abs() < 1e-12);
        assert_eq!(fieller_95(10.0, 0.0, (4.0, 0.0), 0.0), None);
        assert_eq!(fieller_95(10.0, 1.95, (4.0, 1.0), 0.0), None);
        assert!(fieller_95(10.0, -1.97, (4.0, 1.0), 0.0).is_some());
        assert_eq!(fieller_95(f64::NAN, 2.0, (4.0, 0.0), 0.0), None);
    }

    #[test]
    fn the_demo_s_margins_are_those_of_one_and_of_three_full_noises() {
        assert!((margin_95(1, 535, -2) - 11.33).abs() < 0.01);
        assert!((margin_95(3, 535, -2) - 19.63).abs() < 0.01);
        assert!((margin_95(4, 400, 3) - 1.96 * 40.0 * 8.0).abs() < 1e-9);
    }
}
