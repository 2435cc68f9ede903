//! Decoding against brute force over all subsets for small cases, and at the sizes of large cohorts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use proptest::prelude::*;

use super::super::random_scalars;
use super::super::shamir::{Polynomial, combine, weights_at_zero};
use super::*;

fn decode(xs: &[u32], shares: &[Scalar], threshold: usize) -> Option<Decoded> {
    Code::new(xs).decode(shares, threshold)
}

fn shared(xs: &[u32], threshold: usize) -> (Scalar, Vec<Scalar>) {
    let secret = random_scalars(1).unwrap()[0];
    let polynomial = Polynomial::hiding(&secret, threshold).unwrap();
    (secret, xs.iter().map(|&x| polynomial.at(x)).collect())
}

/// Every polynomial through `threshold` of the shares, by Lagrange, that at most `(m - T) / 2` shares do not lie on: its value at 0 and those.
fn brute_force(xs: &[u32], shares: &[Scalar], threshold: usize) -> Option<Decoded> {
    let value = |chosen: &[usize], x: u32| -> Scalar {
        let term = |&k: &usize| {
            let others = chosen.iter().filter(|&&j| j != k);
            let ratio = |&j: &usize| (Scalar::from(x) - Scalar::from(xs[j])) * (Scalar::from(xs[k]) - Scalar::from(xs[j])).invert();
            shares[k] * others.map(ratio).product::<Scalar>()
        };
        chosen.iter().map(term).sum()
    };
    (0u32..1 << xs.len()).filter(|subset| subset.count_ones() as usize == threshold).find_map(|subset| {
        let chosen: Vec<usize> = (0..xs.len()).filter(|place| subset >> place & 1 == 1).collect();
        let wrong: Vec<usize> = (0..xs.len()).filter(|&place| value(&chosen, xs[place]) != shares[place]).collect();
        (wrong.len() <= (xs.len() - threshold) / 2).then(|| Decoded { secret: value(&chosen, 0), wrong })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn decoding_agrees_with_brute_force_over_all_subsets(
        xs in prop::collection::btree_set(1u32..40, 2..8), threshold: prop::sample::Index,
        errors in prop::collection::vec((any::<prop::sample::Index>(), 1u64..4), 0..6),
    ) {
        let xs: Vec<u32> = xs.into_iter().collect();
        let threshold = 1 + threshold.index(xs.len());
        let (_, mut shares) = shared(&xs, threshold);
        for (place, error) in errors {
            shares[place.index(xs.len())] += Scalar::from(error);
        }
        prop_assert_eq!(decode(&xs, &shares, threshold), brute_force(&xs, &shares, threshold));
    }

    #[test]
    fn as_many_wrong_shares_as_the_code_allows_are_found_and_one_more_is_not_hidden(
        count in 3usize..60, threshold: prop::sample::Index, start: prop::sample::Index,
    ) {
        let xs: Vec<u32> = (1..).step_by(7).take(count).collect();
        let threshold = 1 + threshold.index(count);
        let (secret, mut shares) = shared(&xs, threshold);
        let allowed = (count - threshold) / 2;
        let mut wrong: Vec<usize> = (0..allowed).map(|k| (start.index(count) + k) % count).collect();
        wrong.sort_unstable();
        for &place in &wrong {
            shares[place] += random_scalars(1).unwrap()[0];
        }
        prop_assert_eq!(decode(&xs, &shares, threshold), Some(Decoded { secret, wrong: wrong.clone() }));
        if threshold < count {
            let place = (0..count).find(|place| !wrong.contains(place)).unwrap();
            shares[place] += Scalar::ONE;
            // Random errors beyond half the distance lie near no other code word, except with negligible probability.
            prop_assert_eq!(decode(&xs, &shares, threshold), None);
        }
    }
}

#[test]
fn a_thousand_shares_with_ten_wrong_ones_are_decoded() {
    let xs: Vec<u32> = (1..=1_000).collect();
    let (secret, mut shares) = shared(&xs, 980);
    let weights = weights_at_zero(&xs[..980]);
    let first: Vec<_> = shares[..980].iter().map(limbs).collect();
    assert_eq!(combine(&weights, &first), secret);
    let wrong: Vec<usize> = (0..10).map(|k| 99 * k).collect();
    for &place in &wrong {
        shares[place] = Scalar::ZERO;
    }
    assert_eq!(decode(&xs, &shares, 980), Some(Decoded { secret, wrong }));
}

#[test]
fn no_input_makes_it_panic() {
    assert_eq!(decode(&[], &[], 1), None);
    assert_eq!(decode(&[1], &[Scalar::ONE], 0), None);
    assert_eq!(decode(&[1, 2], &[Scalar::ONE], 1), None);
    assert_eq!(decode(&[1, 2], &[Scalar::ZERO; 2], 1), Some(Decoded { secret: Scalar::ZERO, wrong: vec![] }));
}
