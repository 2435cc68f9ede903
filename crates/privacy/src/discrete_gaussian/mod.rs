//! Exact discrete Gaussian noise (Canonne, Kamath and Steinke 2020, algorithms 1 to 3), in integers only.
//!
//! `N_Z(0, s2)` gives the integer `x` a probability proportional to `exp(-x^2 / (2 s2))`. No rounding happens anywhere, so the attacks
//! on floating-point noise (Mironov 2012 and later) have nothing to hold on to. The proof is in `PROOF.md` beside this file.
//!
//! This module never seeds: the caller passes a generator (in the agent, `ChaCha20` seeded from the operating system). It is not
//! constant time: the fixed slot of an agent's message hides how long sampling took.
//!
//! # How random bytes are used
//! An independent script (`tests/vectors/discrete_gaussian.py`) repeats these rules, so they are part of the interface.
//! - `uniform(n)`: let `bits` be the bit length of `n - 1`. Ask the generator for `ceil(bits / 8)` bytes with ONE `fill_bytes` call, read them
//!   little endian, keep the lowest `bits` bits; if the number is not below `n`, start again. `uniform(1)` is 0 and uses no bytes.
//! - `bernoulli_exp(x, y)`, true with probability `exp(-x/y)`: first `floor(x/y)` times `unit(1, 1)`, stopping with false at the first
//!   false; then `unit(x mod y, y)`.
//! - `unit(x, y)` for `x <= y`: true without bytes if `x = 0`. Else for `K = 1, 2, ...`: go on to the next `K` if `uniform(K) = 0` and then
//!   `uniform(y) < x` (the second is not drawn if the first fails); otherwise the answer is "`K` is odd".
//! - `laplace(t)`: `u = uniform(t)`; start again if not `unit(u, t)`; `v` = number of times that `unit(1, 1)` is true before it is false;
//!   `negative = uniform(2) = 1`; start again if `negative` and `u + t v = 0`.
//! - `gaussian(s2)`: `t = floor(sqrt(s2)) + 1`; `y = laplace(t)`; accept with `bernoulli_exp((|y| t - s2)^2, 2 s2 t^2)`, else start again.

mod uniform;

use rand_core::RngCore;
use uniform::Below;

/// Largest variance that is sampled: a standard deviation of 2^28. The denominators grow as `s^4` and must fit 128 bits.
pub const MAX_S2: u64 = 1 << 56;

/// Largest scale of [`laplace`]; the Gaussian needs at most 2^28 + 1.
pub const MAX_LAPLACE_SCALE: u64 = 1 << 32;

/// Why no noise was drawn. None of these depends on data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplerError {
    /// Noise of variance or scale 0 would be no noise.
    #[error("noise of scale 0 is no noise")]
    Zero,
    /// Above [`MAX_S2`] or [`MAX_LAPLACE_SCALE`].
    #[error("noise parameter {0} is above the sampler's limit; use a coarser lattice")]
    TooLarge(u64),
    /// `exp(-x/y)` with `y = 0`.
    #[error("exp(-x/y) needs y above 0")]
    ZeroDenominator,
    /// An intermediate number does not fit 128 bits. For the Gaussian the chance is below `exp(-180)` a draw.
    #[error("a number of the noise sampler does not fit 128 bits")]
    Overflow,
}

/// A discrete Gaussian with everything prepared that does not depend on randomness.
#[derive(Clone, Copy, Debug)]
pub struct DiscreteGaussian {
    s2: u64,
    t: u64,
    below_t: Below,
    below_denominator: Below,
}

impl DiscreteGaussian {
    /// Prepares `N_Z(0, s2)`; `s2` is in squared lattice units. Refuses 0 and more than [`MAX_S2`].
    pub fn new(s2: u64) -> Result<Self, SamplerError> {
        if s2 == 0 {
            return Err(SamplerError::Zero);
        }
        if s2 > MAX_S2 {
            return Err(SamplerError::TooLarge(s2));
        }
        let t = s2.isqrt() + 1;
        let denominator = checked_product(&[2, u128::from(s2), u128::from(t), u128::from(t)])?;
        Ok(Self { s2, t, below_t: Below::new(u128::from(t)), below_denominator: Below::new(denominator) })
    }

    /// The variance parameter.
    pub const fn s2(&self) -> u64 {
        self.s2
    }

    /// Draws one sample, in lattice units.
    pub fn sample<R: RngCore + ?Sized>(&self, rng: &mut R) -> Result<i64, SamplerError> {
        loop {
            let candidate = laplace_with(&self.below_t, rng)?;
            let scaled = u128::from(candidate.unsigned_abs()) * u128::from(self.t);
            let difference = scaled.abs_diff(u128::from(self.s2));
            let numerator = difference.checked_mul(difference).ok_or(SamplerError::Overflow)?;
            if bernoulli_exp_with(numerator, &self.below_denominator, rng) {
                return Ok(candidate);
            }
        }
    }
}

/// Draws one sample of `N_Z(0, s2)`. For many samples prepare a [`DiscreteGaussian`] once.
pub fn sample<R: RngCore + ?Sized>(s2: u64, rng: &mut R) -> Result<i64, SamplerError> {
    DiscreteGaussian::new(s2)?.sample(rng)
}

/// Draws from the discrete Laplace law: probability proportional to `exp(-|x| / t)`.
pub fn laplace<R: RngCore + ?Sized>(t: u64, rng: &mut R) -> Result<i64, SamplerError> {
    if t == 0 {
        return Err(SamplerError::Zero);
    }
    if t > MAX_LAPLACE_SCALE {
        return Err(SamplerError::TooLarge(t));
    }
    laplace_with(&Below::new(u128::from(t)), rng)
}

/// True with probability exactly `exp(-x/y)`.
pub fn bernoulli_exp<R: RngCore + ?Sized>(x: u128, y: u128, rng: &mut R) -> Result<bool, SamplerError> {
    if y == 0 {
        return Err(SamplerError::ZeroDenominator);
    }
    Ok(bernoulli_exp_with(x, &Below::new(y), rng))
}

fn checked_product(factors: &[u128]) -> Result<u128, SamplerError> {
    factors.iter().try_fold(1u128, |product, factor| product.checked_mul(*factor)).ok_or(SamplerError::Overflow)
}

/// Algorithm 2 of the paper with `s = 1`.
#[inline]
fn laplace_with<R: RngCore + ?Sized>(below_t: &Below, rng: &mut R) -> Result<i64, SamplerError> {
    loop {
        let u = below_t.draw(rng);
        if !unit(u, below_t, rng) {
            continue;
        }
        let mut v: u128 = 0;
        while unit_one(rng) {
            v += 1;
        }
        let magnitude = v.checked_mul(below_t.bound()).and_then(|tv| tv.checked_add(u)).ok_or(SamplerError::Overflow)?;
        let magnitude = i64::try_from(magnitude).map_err(|_| SamplerError::Overflow)?;
        let negative = Below::new(2).draw(rng) == 1;
        if negative && magnitude == 0 {
            // Otherwise 0 would be drawn twice as often as it should.
            continue;
        }
        return Ok(if negative { -magnitude } else { magnitude });
    }
}

/// Algorithm 1 of the paper for any `x >= 0`; `below_y` holds `y`.
#[inline]
fn bernoulli_exp_with<R: RngCore + ?Sized>(x: u128, below_y: &Below, rng: &mut R) -> bool {
    let (whole, part) = divide(x, below_y.bound());
    let mut done = 0;
    while done < whole {
        if !unit_one(rng) {
            return false;
        }
        done += 1;
    }
    unit(part, below_y, rng)
}

/// Quotient and remainder; the 64-bit path is several times faster and the usual one.
#[inline]
fn divide(x: u128, y: u128) -> (u128, u128) {
    if x < y {
        return (0, x);
    }
    match (u64::try_from(x), u64::try_from(y)) {
        (Ok(x), Ok(y)) => (u128::from(x / y), u128::from(x % y)),
        _ => (x / y, x % y),
    }
}

/// Algorithm 1 of the paper for `x <= y`: the events "trial `K` succeeds" have probability `x / (y K)` each, and are drawn as two
/// independent ones, `1/K` and `x/y`, so that the product `y K` never has to fit.
#[inline]
fn unit<R: RngCore + ?Sized>(x: u128, below_y: &Below, rng: &mut R) -> bool {
    if x == 0 {
        return true;
    }
    let mut k: u64 = 1;
    while one_in(k, rng) && below_y.draw(rng) < x {
        k += 1;
    }
    k % 2 == 1
}

/// [`unit`] with `x = y = 1`: true with probability `exp(-1)`.
#[inline]
fn unit_one<R: RngCore + ?Sized>(rng: &mut R) -> bool {
    let mut k: u64 = 1;
    while one_in(k, rng) {
        k += 1;
    }
    k % 2 == 1
}

/// True with probability `1/k`.
#[inline]
fn one_in<R: RngCore + ?Sized>(k: u64, rng: &mut R) -> bool {
    k == 1 || Below::new(u128::from(k)).draw(rng) == 0
}

#[cfg(test)]
mod law_tests;
#[cfg(test)]
mod vector_tests;
