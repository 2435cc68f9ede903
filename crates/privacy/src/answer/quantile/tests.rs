//! The fitted tree against exact least squares, quantiles of known counts, and the error in ranks that the noise makes.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "statistics of tests, not noise")]

use super::{Bins, fit, quantile};
use crate::discrete_gaussian::DiscreteGaussian;
use crate::fixture::{measured, vectors};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn floats(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn bins(lo: i64, hi: i64, log2: u8) -> Bins {
    Bins::new(&measured(lo, hi, 0), log2)
}

/// Counts of all nodes, root first, from those of the leaves.
fn tree(leaves: &[f64]) -> Vec<f64> {
    let mut nodes = vec![0.0; leaves.len() - 1];
    nodes.extend(leaves);
    for node in (0..leaves.len() - 1).rev() {
        nodes[node] = nodes[2 * node + 1] + nodes[2 * node + 2];
    }
    nodes
}

#[test]
fn fitted_trees_are_the_exact_least_squares_solutions() {
    for case in vectors("trees") {
        let mut nodes = floats(&case["noisy"]);
        fit(&mut nodes);
        for (found, expected) in nodes.iter().zip(floats(&case["fitted"])) {
            assert!((found - expected).abs() < 1e-9, "{case}");
        }
    }
}

#[test]
fn quantiles_of_known_counts_lie_where_they_should() {
    let ages = bins(0, 7, 3);
    // One value an integer: 2 zeros, 3 ones, 5 fours.
    let counts = tree(&[2.0, 3.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]);
    for (fraction, expected) in [(0.0, 0.0), (0.2, 0.0), (0.21, 1.0), (0.5, 1.0), (0.51, 4.0), (1.0, 4.0)] {
        assert_eq!(quantile(&counts, ages, fraction), Some(expected), "{fraction}");
    }
    // Bins of ten: evenly from the first integer to the last.
    let tens = bins(100, 139, 2);
    let counts = tree(&[4.0, 0.0, 4.0, 2.0]);
    for (fraction, expected) in [(0.0, 100.0), (0.2, 104.5), (0.4, 109.0), (0.6, 124.5), (1.0, 139.0)] {
        assert!((quantile(&counts, tens, fraction).unwrap() - expected).abs() < 1e-9, "{fraction}");
    }
    assert_eq!(quantile(&tree(&[0.0, 0.0]), bins(0, 9, 1), 0.5), None);
    assert_eq!(quantile(&tree(&[1.0, -2.0]), bins(0, 9, 1), 0.5), None);
    assert_eq!(quantile(&[], bins(0, 9, 1), 0.5), None);
    assert_eq!(quantile(&[5.0], bins(3, 3, 0), 0.5), Some(3.0));
    // Fewer nodes than bins: no answer, no panic.
    assert_eq!(quantile(&[5.0], bins(0, 9, 4), 0.5), None);
}

#[test]
fn a_bin_that_holds_no_integer_is_never_the_answer() {
    // Three integers in eight bins: 0, 3 and 6.
    let few = bins(10, 12, 3);
    let noisy = tree(&[5.0, 90.0, 90.0, 5.0, 90.0, 90.0, 5.0, 90.0]);
    let all: Vec<f64> = (0..=20).map(|twentieth| quantile(&noisy, few, f64::from(twentieth) / 20.0).unwrap()).collect();
    assert!(all.iter().all(|value| [10.0, 11.0, 12.0].contains(value)), "{all:?}");
}

#[test]
fn the_widest_range_there_is_has_quantiles_within_it() {
    let wide = bins(i64::MIN, i64::MAX, 16);
    let counts = tree(&vec![1.0; 1 << 16]);
    let median = quantile(&counts, wide, 0.5).unwrap();
    assert!(median.abs() < 2f64.powi(48), "{median}");
    assert!(quantile(&counts, wide, 1.0).unwrap() <= 2f64.powi(63));
}

proptest! {
    #[test]
    fn quantiles_rise_with_the_fraction_and_stay_within_the_bounds(
        noisy in prop::collection::vec(-300.0..500.0f64, 31), lo in -100i64..100, width in 0i64..1000, one in 0.0..=1.0f64, other in 0.0..=1.0f64,
    ) {
        let mut nodes = noisy;
        fit(&mut nodes);
        let bins = bins(lo, lo + width, 4);
        let (low, high) = (one.min(other), one.max(other));
        if let (Some(low), Some(high)) = (quantile(&nodes, bins, low), quantile(&nodes, bins, high)) {
            prop_assert!(low <= high);
            prop_assert!(lo as f64 <= low && high <= (lo + width) as f64);
        } else {
            prop_assert!(nodes[0] <= 0.0);
        }
    }

    #[test]
    fn a_tree_that_adds_up_is_its_own_fit(leaves in prop::collection::vec(0.0..1e6f64, 16)) {
        let counts = tree(&leaves);
        let mut fitted = counts.clone();
        fit(&mut fitted);
        prop_assert!(counts.iter().zip(&fitted).all(|(count, fitted)| (count - fitted).abs() < 1e-6));
    }
}

/// PRIVACY: 1,024 bins at rho = .01, one value a person, one trusted centre: rank error at most 74 people in standard deviation, where a flat
/// histogram has 160. Noise of variance 551 a node (`price/tests.rs`), 40,000 people spread over the bins unevenly.
#[test]
fn ranks_are_off_by_less_than_the_claim_and_by_less_than_the_bound_shown_before_payment() {
    const TRIES: usize = 600;
    let leaves: Vec<f64> = (0..1024).map(|bin| f64::from((bin * 37) % 64) + 8.0).collect();
    let exact = tree(&leaves);
    let people = exact[0];
    let bins = bins(0, 1024 * 1000 - 1, 10);
    let rank = |value: f64| {
        // A bin counts by how much of it lies below the value.
        let below = |(count, bin): (&f64, i32)| count * (value / 1000.0 - f64::from(bin)).clamp(0.0, 1.0);
        leaves.iter().zip(0..).map(below).sum::<f64>()
    };
    let gaussian = DiscreteGaussian::new(551).unwrap();
    let mut rng = ChaCha20Rng::from_seed([42; 32]);
    let fractions = [0.05, 0.25, 0.332, 0.5, 0.66, 0.9];
    let mut squares = [0.0; 6];
    for _ in 0..TRIES {
        let mut nodes: Vec<f64> = exact.iter().map(|count| count + gaussian.sample(&mut rng).unwrap() as f64).collect();
        fit(&mut nodes);
        for (square, fraction) in squares.iter_mut().zip(fractions) {
            let off = rank(quantile(&nodes, bins, fraction).unwrap()) - fraction * people;
            *square += off * off;
        }
    }
    // A standard deviation from 600 tries is known to 2.9 %; the bound is sqrt(551 * 12 / 4) = 40.7, and 74 was claimed.
    let deviations = squares.map(|square: f64| (square / TRIES as f64).sqrt());
    assert!(deviations.iter().all(|deviation| *deviation < 40.7), "{deviations:?}");
    assert!(deviations.iter().any(|deviation| *deviation > 25.0), "there is noise: {deviations:?}");
}
