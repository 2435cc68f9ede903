//! The sampler's law: chi-square against the exact probabilities, moments, and proof that these tests can fail.
//!
//! Seeds are fixed, so a pass is a pass for ever; the thresholds have a false-alarm rate of 1e-7 each for a fresh seed.
#![allow(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "statistics of a test, not noise")]

use super::{DiscreteGaussian, MAX_S2, SamplerError, bernoulli_exp, laplace, sample};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

const DRAWS: usize = 300_000;
/// Upper 1e-7 quantiles of chi-square.
const CHI_SQUARE_DF_16: f64 = 64.227;
const CHI_SQUARE_DF_40: f64 = 104.900;

fn generator(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn draws(s2: u64, seed: u8) -> Vec<i64> {
    let gaussian = DiscreteGaussian::new(s2).unwrap();
    let mut rng = generator(seed);
    (0..DRAWS).map(|_| gaussian.sample(&mut rng).unwrap()).collect()
}

/// Chi-square of `samples` in `2 side + 1` bins of `width` integers, centred at 0, the outer ones open, against `weight`.
fn chi_square(samples: &[i64], width: i64, side: i64, weight: impl Fn(f64) -> f64) -> f64 {
    let bin = |x: i64| usize::try_from((x + width / 2).div_euclid(width).clamp(-side, side) + side).unwrap();
    let mut expected = vec![0.0; usize::try_from(2 * side + 1).unwrap()];
    let reach = 20 * width * side;
    for x in -reach..=reach {
        expected[bin(x)] += weight(x as f64);
    }
    let total: f64 = expected.iter().sum();
    let mut observed = vec![0.0; expected.len()];
    for x in samples {
        observed[bin(*x)] += 1.0;
    }
    let n = samples.len() as f64;
    observed
        .iter()
        .zip(&expected)
        .map(|(seen, weight)| {
            let mean = n * weight / total;
            (seen - mean) * (seen - mean) / mean
        })
        .sum()
}

fn gaussian_weight(s2: f64) -> impl Fn(f64) -> f64 {
    move |x| (-x * x / (2.0 * s2)).exp()
}

#[test]
fn p2_samples_follow_the_exact_discrete_gaussian() {
    let small = chi_square(&draws(4, 1), 1, 8, gaussian_weight(4.0));
    assert!(small < CHI_SQUARE_DF_16, "s2 = 4: {small}");
    let demo = chi_square(&draws(535, 2), 3, 20, gaussian_weight(535.0));
    assert!(demo < CHI_SQUARE_DF_40, "s2 = 535: {demo}");
}

#[test]
fn a_standard_deviation_wrong_by_two_percent_would_be_caught() {
    let small = chi_square(&draws(4, 1), 1, 8, gaussian_weight(4.0 / 1.04));
    assert!(small > CHI_SQUARE_DF_16, "{small}");
    let demo = chi_square(&draws(535, 2), 3, 20, gaussian_weight(535.0 * 1.04));
    assert!(demo > CHI_SQUARE_DF_40, "{demo}");
}

#[test]
fn laplace_samples_follow_the_exact_discrete_laplace() {
    let mut rng = generator(3);
    let samples: Vec<i64> = (0..DRAWS).map(|_| laplace(2, &mut rng).unwrap()).collect();
    let found = chi_square(&samples, 1, 8, |x| (-x.abs() / 2.0).exp());
    assert!(found < CHI_SQUARE_DF_16, "{found}");
    let wrong = chi_square(&samples, 1, 8, |x| (-x.abs() / 2.04).exp());
    assert!(wrong > CHI_SQUARE_DF_16, "{wrong}");
}

#[test]
fn exponential_coins_have_the_exact_bias() {
    // Six standard deviations each: a false alarm of 2e-9.
    for (seed, (x, y)) in (10u8..).zip([(0u128, 1u128), (1, 3), (1, 1), (7, 3), (5, 1), (1 << 100, 1 << 101)]) {
        let mut rng = generator(seed);
        let n = 100_000;
        let ones = (0..n).filter(|_| bernoulli_exp(x, y, &mut rng).unwrap()).count() as f64;
        let p = (-(x as f64) / y as f64).exp();
        let n = f64::from(n);
        assert!((ones - n * p).abs() <= 6.0 * (n * p * (1.0 - p)).sqrt(), "{x}/{y}: {ones}");
    }
}

#[test]
fn mean_and_variance_are_those_asked_for_from_small_to_the_limit() {
    // At s >= 2 the variance of the discrete law is s2 to 30 digits. Six standard errors: 1/sqrt(n) and sqrt(2/n).
    for (seed, s2) in (20u8..).zip([4, 256, 535, 1_000_000, 1 << 40, MAX_S2]) {
        let gaussian = DiscreteGaussian::new(s2).unwrap();
        let mut rng = generator(seed);
        let n: u32 = 50_000;
        let scale = (s2 as f64).sqrt();
        let samples: Vec<f64> = (0..n).map(|_| gaussian.sample(&mut rng).unwrap() as f64 / scale).collect();
        let mean = samples.iter().sum::<f64>() / f64::from(n);
        let variance = samples.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 6.0 / f64::from(n).sqrt(), "s2 = {s2}: mean {mean}");
        assert!((variance - 1.0).abs() < 6.0 * (2.0 / f64::from(n)).sqrt(), "s2 = {s2}: variance {variance}");
    }
}

#[test]
fn no_noise_and_too_much_noise_are_refused() {
    let mut rng = generator(4);
    assert_eq!(sample(0, &mut rng), Err(SamplerError::Zero));
    assert!(sample(MAX_S2, &mut rng).is_ok());
    assert_eq!(sample(MAX_S2 + 1, &mut rng), Err(SamplerError::TooLarge(MAX_S2 + 1)));
    assert_eq!(laplace(0, &mut rng), Err(SamplerError::Zero));
    assert_eq!(bernoulli_exp(1, 0, &mut rng), Err(SamplerError::ZeroDenominator));
}
