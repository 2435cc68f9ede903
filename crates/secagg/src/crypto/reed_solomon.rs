//! The secret from shares of which some are wrong: shares are a Reed-Solomon code word, decoded by Gao's algorithm
//! (S. Gao, "A new algorithm for decoding Reed-Solomon codes", 2003).
//!
//! With m shares at threshold T up to `(m - T) / 2` wrong ones are found, in O(m^2); with more there is no answer, and no subsets are
//! searched. Shares are public to the coordinator by now, so time may depend on them.

use curve25519_dalek::Scalar;

use super::shamir::{differences, evaluate};
use super::wide::limbs;

/// What [`decode`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Value of the polynomial at 0.
    pub(crate) secret: Scalar,
    /// Positions of the wrong shares, ascending.
    pub(crate) wrong: Vec<usize>,
}

/// The polynomial of degree below `threshold` that all but at most `(m - threshold) / 2` of the m shares lie on, if there is one.
///
/// `xs`: distinct, none 0; as many as `shares`.
pub(crate) fn decode(xs: &[u32], shares: &[Scalar], threshold: usize) -> Option<Decoded> {
    let count = xs.len();
    if threshold == 0 || count < threshold || shares.len() != count {
        return None;
    }
    let through_zero = vanishing(xs);
    let (mut above, mut below) = (through_zero.clone(), interpolate(xs, shares, &through_zero));
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

/// The polynomial of degree below m through all shares.
fn interpolate(xs: &[u32], shares: &[Scalar], through_zero: &[Scalar]) -> Coefficients {
    let mut inverses: Vec<Scalar> = differences(xs).collect();
    Scalar::invert_batch_alloc(&mut inverses);
    // `differences` has x_j - x_i where the formula has x_i - x_j: one sign for each of the m - 1 others.
    let sign = if xs.len().is_multiple_of(2) { -Scalar::ONE } else { Scalar::ONE };
    let mut sum = vec![Scalar::ZERO; xs.len()];
    for ((&x, share), inverse) in xs.iter().zip(shares).zip(&inverses) {
        let (root, weight) = (Scalar::from(x), share * inverse * sign);
        // Synthetic division of through_zero by x - x_k, from the top.
        let mut quotient = Scalar::ZERO;
        for (place, coefficient) in sum.iter_mut().enumerate().rev() {
            quotient = quotient * root + through_zero[place + 1];
            *coefficient += quotient * weight;
        }
    }
    trimmed(sum)
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
