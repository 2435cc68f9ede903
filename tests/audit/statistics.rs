//! Tails of laws, so that false-alarm rates and powers are computed where a test states them.

#![expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

/// Chance that a standard normal is above `z`.
pub(crate) fn normal_above(z: f64) -> f64 {
    if z < 0.0 {
        return 1.0 - normal_above(-z);
    }
    let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 3.0 {
        // 1/2 - density (z + z^3/3 + z^5/15 + ...) (Abramowitz and Stegun 26.2.11).
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > 1e-17 * sum {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    // density / (z + 1/(z + 2/(z + ...))) (26.2.14).
    density / (1..200).rev().fold(z, |rest, number| z + f64::from(number) / rest)
}

/// The point that a standard normal is above with a chance.
pub(crate) fn normal_point(above: f64) -> f64 {
    bisect(-40.0, 40.0, |z| normal_above(z) < above)
}

/// The least number between two for which something holds that goes on to hold.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..48 {
        let middle = f64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

/// How far a chi-square is from what it should be, in standard deviations of a normal (Wilson and Hilferty 1931).
pub(crate) fn chi_square_score(chi_square: f64, degrees: usize) -> f64 {
    let spread = 2.0 / (9.0 * degrees as f64);
    ((chi_square / degrees as f64).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// A number of trials.
pub(crate) struct Trials {
    /// Natural logarithms of binomial coefficients.
    ways: Vec<f64>,
}

impl Trials {
    pub(crate) fn new(n: usize) -> Self {
        let mut factorials = vec![0.0];
        (1..=n).for_each(|k| factorials.push(factorials[k - 1] + (k as f64).ln()));
        Self { ways: (0..=n).map(|k| factorials[n] - factorials[k] - factorials[n - k]).collect() }
    }

    /// Chance of exactly so many successes, each of chance `p` between 0 and 1.
    pub(crate) fn exactly(&self, successes: usize, p: f64) -> f64 {
        let failures = self.ways.len() - 1 - successes;
        (self.ways[successes] + successes as f64 * p.ln() + failures as f64 * (1.0 - p).ln()).exp()
    }

    /// Chance of so many successes or more.
    pub(crate) fn at_least(&self, successes: usize, p: f64) -> f64 {
        (successes..self.ways.len()).map(|k| self.exactly(k, p)).sum()
    }

    /// Least chance of success with which so many successes or more have a chance above `size` (Clopper and Pearson 1934).
    pub(crate) fn least_chance(&self, successes: usize, size: f64) -> f64 {
        if successes == 0 { 0.0 } else { bisect(0.0, 1.0, |p| self.at_least(successes, p) > size) }
    }
}

#[test]
fn tails_are_those_of_tables() {
    // From Python: 1 - statistics.NormalDist().cdf(z), by math.erfc.
    for (z, above) in [(0.0, 0.5), (1.0, 0.158_655_253_931_457_05), (3.0, 0.001_349_898_031_630_094_6), (5.5, 1.898_956_246_588_774e-8)] {
        assert!((normal_above(z) / above - 1.0).abs() < 1e-9, "{z}");
        assert!((normal_point(above) - z).abs() < 1e-9, "{z}");
    }
    assert!((normal_above(-1.0) - 0.841_344_746_068_543).abs() < 1e-12);
    assert!((Trials::new(3_000).at_least(0, 0.3) - 1.0).abs() < 1e-9);
    // p^2 = 1/100, and 1 - (1 - p)^2 = 19/100.
    let two = Trials::new(2);
    assert!((two.least_chance(2, 0.01) - 0.1).abs() < 1e-9 && (two.least_chance(1, 0.19) - 0.1).abs() < 1e-9);
}
