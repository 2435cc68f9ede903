//! Shamir's secret sharing over the scalars of curve25519 (prime order l, about 2^252), at x = roster index, which is never 0.

use curve25519_dalek::Scalar;
use zeroize::Zeroizing;

use super::random_scalars;
use super::wide::{Limbs, MAX_PRODUCTS, Wide, limbs};
use crate::refused::Refused;

/// A random polynomial whose value at 0 is the secret. Coefficients of 1, x, x^2 and so on; wiped when dropped.
pub(crate) struct Polynomial(Zeroizing<Vec<Limbs>>);

impl Polynomial {
    /// For a secret that any `threshold` shares give and fewer say nothing about.
    pub(crate) fn hiding(secret: &Scalar, threshold: usize) -> Result<Self, Refused> {
        let random = random_scalars(threshold.saturating_sub(1))?;
        Ok(Self(Zeroizing::new(std::iter::once(secret).chain(random.iter()).map(limbs).collect())))
    }

    /// The share at `x`.
    pub(crate) fn at(&self, x: u32) -> Scalar {
        evaluate(&self.0, x)
    }
}

/// Value of a polynomial at `x >= 1`, by Horner's rule. Coefficients are taken in blocks whose value is below 2^512.
pub(crate) fn evaluate(coefficients: &[Limbs], x: u32) -> Scalar {
    // A block of k coefficients is below 2^253 (1 + x + .. + x^(k-1)) <= 2^(254 + bits (k-1)) <= 2^512.
    let bits = usize::try_from(u32::BITS - x.max(1).leading_zeros()).unwrap_or(32);
    let block = 1 + 258 / bits;
    let step = power(x, block);
    let mut value = Scalar::ZERO;
    for coefficients in coefficients.chunks(block).rev() {
        let mut wide = Wide::default();
        for coefficient in coefficients.iter().rev() {
            wide.scale_and_add(x, coefficient);
        }
        value = value * step + wide.reduced();
    }
    value
}

fn power(x: u32, exponent: usize) -> Scalar {
    let x = Scalar::from(x);
    (0..exponent).fold(Scalar::ONE, |power, _| power * x)
}

/// The weight of each share in the value at 0 of the polynomial of lowest degree through all of them (Lagrange).
///
/// `xs`: distinct, none 0.
pub(crate) fn weights_at_zero(xs: &[u32]) -> Vec<Limbs> {
    let product = product_of(xs.iter().map(|&x| i64::from(x)));
    // weight_i = (product of all x_j) / (x_i times the product of x_j - x_i over j other than i).
    let mut inverses: Vec<Scalar> = differences(xs).zip(xs).map(|(differences, &x)| differences * Scalar::from(x)).collect();
    Scalar::invert_batch_alloc(&mut inverses);
    inverses.iter().map(|inverse| limbs(&(product * inverse))).collect()
}

/// For each i the product of `x_j - x_i` over all j other than i. `xs` distinct, so none is 0.
pub(crate) fn differences(xs: &[u32]) -> impl Iterator<Item = Scalar> {
    xs.iter().map(|&own| product_of(xs.iter().filter(move |&&other| other != own).map(move |&other| i64::from(other) - i64::from(own))))
}

/// Product of small integers, none 0: multiplied as integers while they fit.
fn product_of(factors: impl Iterator<Item = i64>) -> Scalar {
    let (mut product, mut small, mut negative) = (Scalar::ONE, 1u128, false);
    for factor in factors {
        negative ^= factor < 0;
        let magnitude = u128::from(factor.unsigned_abs());
        small = small.checked_mul(magnitude).unwrap_or_else(|| {
            product *= Scalar::from(small);
            magnitude
        });
    }
    product *= Scalar::from(small);
    if negative { -product } else { product }
}

/// The secret: the weighted sum of shares.
pub(crate) fn combine(weights: &[Limbs], shares: &[Limbs]) -> Scalar {
    let mut secret = Scalar::ZERO;
    for (weights, shares) in weights.chunks(MAX_PRODUCTS).zip(shares.chunks(MAX_PRODUCTS)) {
        let mut wide = Wide::default();
        for (weight, share) in weights.iter().zip(shares) {
            wide.add_product(weight, share);
        }
        secret += wide.reduced();
    }
    secret
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    fn naive(coefficients: &[Scalar], x: u32) -> Scalar {
        coefficients.iter().rev().fold(Scalar::ZERO, |value, coefficient| value * Scalar::from(x) + coefficient)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_threshold_of_shares_gives_the_secret(
            xs in prop::collection::btree_set(1u32..=u32::MAX, 2..60), size: prop::sample::Index, start: prop::sample::Index,
        ) {
            let xs: Vec<u32> = xs.into_iter().collect();
            let threshold = 1 + size.index(xs.len());
            let secret = random_scalars(1).unwrap()[0];
            let polynomial = Polynomial::hiding(&secret, threshold).unwrap();
            let some = (0..threshold).map(|k| xs[(start.index(xs.len()) + k) % xs.len()]).collect::<Vec<_>>();
            let shares: Vec<Limbs> = some.iter().map(|&x| limbs(&polynomial.at(x))).collect();
            prop_assert_eq!(combine(&weights_at_zero(&some), &shares), secret);
            if threshold > 1 {
                let fewer = combine(&weights_at_zero(&some[1..]), &shares[1..]);
                prop_assert_ne!(fewer, secret);
            }
        }

        #[test]
        fn values_are_those_of_scalar_arithmetic(count in 0usize..120, x in prop::sample::select(vec![1, 2, 3, 255, 256, 1_000, 65_536, u32::MAX])) {
            let coefficients = random_scalars(count).unwrap();
            let as_limbs: Vec<Limbs> = coefficients.iter().map(limbs).collect();
            prop_assert_eq!(evaluate(&as_limbs, x), naive(&coefficients, x));
        }
    }

    #[test]
    fn the_largest_coefficients_fit_a_block() {
        let largest = vec![limbs(&(Scalar::ZERO - Scalar::ONE)); 600];
        for x in [1, 2, 3, 7, 8, 1_023, 1_024, u32::MAX] {
            assert_eq!(evaluate(&largest, x), naive(&vec![Scalar::ZERO - Scalar::ONE; 600], x), "x = {x}");
        }
    }
}
