//! The secret from shares of which some are wrong: shares are a Reed-Solomon code word, decoded by Gao's algorithm
//! (S. Gao, "A new algorithm for decoding Reed-Solomon codes", 2003).
//!
//! With m shares at threshold T up to `(m - T) / 2` wrong ones are found, in O(m^2); with more there is no answer, and no subsets are
//! searched. Shares are public to the coordinator by now, so time may depend on them.

use curve25519_dalek::Scalar;

use super::shamir::{differences, evaluate};
use super::wide::limbs;

/// What [`Code::decode`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Value of the polynomial at 0.
    pub(crate) secret: Scalar,
    /// Positions of the wrong shares, ascending.
    pub(crate) wrong: Vec<usize>,
}

/// What all decodings at the same places have in common.
pub(crate) struct Code {
    xs: Vec<u32>,
    /// The product of `x - x_k`.
    through_zero: Coefficients,
    /// For each k the inverse of the product of `x_k - x_j` over the others.
    inverses: Vec<Scalar>,
}

impl Code {
    /// `xs`: distinct, none 0.
    pub(crate) fn new(xs: &[u32]) -> Self {
        let mut inverses: Vec<Scalar> = differences(xs).collect();
        Scalar::invert_batch_alloc(&mut inverses);
        // `differences` has x_j - x_k where the formula has x_k - x_j: one sign for each of the m - 1 others.
        if xs.len().is_multiple_of(2) {
            for inverse in &mut inverses {
                *inverse = -*inverse;
            }
        }
        Self { xs: xs.to_vec(), through_zero: vanishing(xs), inverses }
    }

    /// The polynomial of degree below `threshold` that all but at most `(m - threshold) / 2` of the m shares lie on, if there is one.
    ///
    /// `shares`: one for each place.
    pub(crate) fn decode(&self, shares: &[Scalar], threshold: usize) -> Option<Decoded> {
        let (xs, count) = (&self.xs, self.xs.len());
        if threshold == 0 || count < threshold || shares.len() != count {
            return None;
        }
        let (mut above, mut below) = (self.through_zero.clone(), self.interpolate(shares));
        let (mut cofactor_above, mut cofactor) = (Vec::new(), vec![Scalar::ONE]);
        // Euclid's algorithm until the degree is below (m + T) / 2; `below = .. * through_zero + cofactor * interpolated` throughout.
        while below.len() > 1 && 2 * (below.len() - 1) >= count + threshold {
            let (quotient, rest) = divide(above, &below);
            let next = subtract(cofactor_above, &multiply(&quotient, &cofactor));
            (above, below) = (below, rest);
            (cofactor_above, cofactor) = (cofactor, next);
        }
        let (message, rest) = divide(below, &cofactor);
        if !rest.is_empty() || message.len() > threshold {
            return None;
        }
        let coefficients: Vec<_> = message.iter().map(limbs).collect();
        let wrong: Vec<usize> = (0..count).filter(|&place| evaluate(&coefficients, xs[place]) != shares[place]).collect();
        let secret = message.first().copied().unwrap_or(Scalar::ZERO);
        (wrong.len() <= (count - threshold) / 2).then_some(Decoded { secret, wrong })
    }

    /// The polynomial of degree below m through all shares.
    fn interpolate(&self, shares: &[Scalar]) -> Coefficients {
        let mut sum = vec![Scalar::ZERO; self.xs.len()];
        for ((&x, share), inverse) in self.xs.iter().zip(shares).zip(&self.inverses) {
            let (root, weight) = (Scalar::from(x), share * inverse);
            // Synthetic division of through_zero by x - x_k, from the top.
            let mut quotient = Scalar::ZERO;
            for (place, coefficient) in sum.iter_mut().enumerate().rev() {
                quotient = quotient * root + self.through_zero[place + 1];
                *coefficient += quotient * weight;
            }
        }
        trimmed(sum)
    }
}

/// Coefficients of 1, x, x^2 and so on; the last is not 0, and 0 is empty.
type Coefficients = Vec<Scalar>;

fn trimmed(mut polynomial: Coefficients) -> Coefficients {
    while polynomial.last() == Some(&Scalar::ZERO) {
        polynomial.pop();
    }
    polynomial
}

/// The product of `x - x_k`.
fn vanishing(xs: &[u32]) -> Coefficients {
    let mut product = vec![Scalar::ONE];
    for &x in xs {
        let root = Scalar::from(x);
        product.insert(0, Scalar::ZERO);
        for place in 1..product.len() {
            let shifted = product[place] * root;
            product[place - 1] -= shifted;
        }
    }
    product
}

/// Quotient and rest. `divisor` is not 0.
fn divide(dividend: Coefficients, divisor: &[Scalar]) -> (Coefficients, Coefficients) {
    let mut rest = dividend;
    let (Some(lead), Some(places)) = (divisor.last(), (rest.len() + 1).checked_sub(divisor.len())) else {
        return (Vec::new(), rest);
    };
    let inverse = lead.invert();
    let mut quotient = vec![Scalar::ZERO; places];
    for place in (0..places).rev() {
        let factor = rest[place + divisor.len() - 1] * inverse;
        for (offset, coefficient) in divisor.iter().enumerate() {
            rest[place + offset] -= factor * coefficient;
        }
        quotient[place] = factor;
    }
    (trimmed(quotient), trimmed(rest))
}

fn multiply(left: &[Scalar], right: &[Scalar]) -> Coefficients {
    let mut product = vec![Scalar::ZERO; (left.len() + right.len()).saturating_sub(1)];
    for (place, a) in left.iter().enumerate() {
        for (offset, b) in right.iter().enumerate() {
            product[place + offset] += a * b;
        }
    }
    trimmed(product)
}

fn subtract(mut left: Coefficients, right: &[Scalar]) -> Coefficients {
    left.resize(left.len().max(right.len()), Scalar::ZERO);
    for (a, b) in left.iter_mut().zip(right) {
        *a -= b;
    }
    trimmed(left)
}

#[cfg(test)]
mod tests;
