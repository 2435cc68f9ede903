//! Margins of error for people: the only floating point that looks at noise, and only at its public scale.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "a figure to be shown; nothing is drawn or charged with it")]

use crate::accountant::ln;

/// Standard deviations on each side of the mean that hold 95 % of a normal law.
pub(crate) const Z_95: f64 = 1.96;

/// Standard deviations on each side that so many intervals need to hold all at once in 95 % of all cases, however they depend on each other
/// (Bonferroni: each misses in a share of 5 % only). At least [`Z_95`].
pub(crate) fn z_of_all(intervals: u64) -> f64 {
    (-normal_quantile(0.025 / intervals.max(1) as f64)).max(Z_95)
}

/// Half the width of a 95 % interval around one noisy cell, in native units: `1.96 sqrt(n s2) 2^gamma_log2`.
///
/// `n`: agents whose noise is in the sum (before payment the cohort, afterwards the survivors). Clipping bias is not in it.
pub fn margin_95(n: u32, s2: u64, gamma_log2: i32) -> f64 {
    Z_95 * (f64::from(n) * s2 as f64).sqrt() * 2f64.powi(gamma_log2)
}

/// Half the width of an interval of `z` standard deviations around a number whose noise has this variance.
pub(crate) fn margin_of_variance(variance: f64, z: f64) -> f64 {
    z * variance.sqrt()
}

/// Half the width, on the larger side, of Fieller's interval of `z` standard deviations around `above / below`; `None` where that interval has no end, because
/// the one of `below` holds 0.
///
/// `variances`: of the two numbers; `covariance`: between them. Fieller 1954, "Some Problems in Interval Estimation": the quotient `r` is in
/// the interval if `(above - r below)^2 <= z^2 Var(above - r below)`. It is written for the distance from `above / below`, which keeps all digits
/// where the quotient is known well.
pub(crate) fn fieller(above: f64, below: f64, variances: (f64, f64), covariance: f64, z: f64) -> Option<f64> {
    let z2 = z * z;
    let lead = below * below - z2 * variances.1;
    let known = below != 0.0 && lead > 0.0;
    let ratio = above / below;
    // Variance of above - ratio below, and its covariance with below. Rounding must not make a variance negative.
    let residual = (variances.0 - 2.0 * ratio * covariance + ratio * ratio * variances.1).max(0.0);
    let along = z2 * (covariance - ratio * variances.1);
    let half = (along.abs() + (along * along + lead * z2 * residual).sqrt()) / lead;
    (known && half.is_finite()).then_some(half)
}

/// The normal quantile to about seven digits: Wichura 1988, algorithm AS 241, PPND7.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        let above = ((59.109_374_720 * r + 159.291_132_02) * r + 50.434_271_938) * r + 3.387_132_717_9;
        let below = ((67.187_563_600 * r + 78.757_757_664) * r + 17.895_169_469) * r + 1.0;
        return q * above / below;
    }
    let r = (-ln(if q < 0.0 { p } else { 1.0 - p })).sqrt();
    let tail = if r <= 5.0 {
        let r = r - 1.6;
        let above = ((0.170_238_211_03 * r + 1.306_728_481_6) * r + 2.756_815_390_0) * r + 1.423_437_277_7;
        above / ((0.120_211_329_75 * r + 0.737_001_642_50) * r + 1.0)
    } else {
        let r = r - 5.0;
        let above = ((0.017_337_203_997 * r + 0.428_682_943_37) * r + 3.081_226_386_0) * r + 6.657_905_115_0;
        above / ((0.012_258_202_635 * r + 0.241_978_942_25) * r + 1.0)
    };
    if q < 0.0 { -tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::{Z_95, fieller, margin_95, normal_quantile, z_of_all};

    #[test]
    fn fieller_s_interval_is_the_solution_of_its_equation_and_ends_where_the_denominator_may_be_zero() {
        // r in [R - half, R + half] touches (a - r b)^2 = z^2 (v - 2 r c + r^2 w) at one end and lies outside or on it at the other.
        for (a, b, v, w, c) in [(30.0, 100.0, 40.0, 90.0, 0.0), (-70.0, 50.0, 9.0, 16.0, 5.0), (70.0, -50.0, 9.0, 16.0, -5.0)] {
            let half = fieller(a, b, (v, w), c, Z_95).unwrap_or(f64::NAN);
            let excess = |r: f64| (a - r * b) * (a - r * b) - 1.96 * 1.96 * (v - 2.0 * r * c + r * r * w);
            let ends = [excess(a / b - half), excess(a / b + half)];
            assert!(ends.iter().all(|end| *end > -1e-6) && ends.iter().any(|end| end.abs() < 1e-6), "{ends:?}");
        }
        // Without noise below, it is the interval of the numerator, scaled.
        assert!((fieller(10.0, 5.0, (4.0, 0.0), 0.0, Z_95).unwrap_or(0.0) - 1.96 * 2.0 / 5.0).abs() < 1e-12);
        assert_eq!(fieller(10.0, 0.0, (4.0, 0.0), 0.0, Z_95), None);
        assert_eq!(fieller(10.0, 1.95, (4.0, 1.0), 0.0, Z_95), None);
        assert!(fieller(10.0, -1.97, (4.0, 1.0), 0.0, Z_95).is_some());
        assert_eq!(fieller(f64::NAN, 2.0, (4.0, 0.0), 0.0, Z_95), None);
    }

    #[test]
    fn the_demo_s_margins_are_those_of_one_and_of_three_full_noises() {
        assert!((margin_95(1, 535, -2) - 11.33).abs() < 0.01);
        assert!((margin_95(3, 535, -2) - 19.63).abs() < 0.01);
        assert!((margin_95(4, 400, 3) - 1.96 * 40.0 * 8.0).abs() < 1e-9);
    }

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        // Of R's qnorm.
        for (p, quantile) in [
            (0.5, 0.0),
            (0.6, 0.253_347_103_1),
            (0.9, 1.281_551_565_5),
            (0.975, 1.959_963_984_5),
            (0.999, 3.090_232_306_2),
            (1e-5, -4.264_890_793_9),
            (1e-12, -7.034_483_825_5),
            (1e-15, -7.941_345_326_0),
        ] {
            let found = normal_quantile(p);
            assert!((found - quantile).abs() < 2e-6, "{p}: {found}");
        }
    }

    #[test]
    fn more_intervals_at_once_are_wider_ones() {
        // Bonferroni: R's qnorm(1 - 0.025 / m).
        for (intervals, z) in [(0, 1.96), (1, 1.96), (2, 2.241_402_7), (40, 3.227_218_4), (1_000_000, 5.451_310_4)] {
            assert!((z_of_all(intervals) - z).abs() < 1e-5, "{intervals}: {}", z_of_all(intervals));
        }
    }
}
