//! How many people a group key of open text must have before its name leaves a holder.
//!
//! A name that only one person has used is in the data or not, with that person: noise on its count alone would give it away, because no name
//! leaves where there is nothing to count. So a name leaves only if its noisy count of distinct people reaches t*, the least integer `t` with
//!
//! ```text
//! 1 - (1 - P[N_Z(0, s2) >= t - 1])^L0 <= delta
//! ```
//!
//! which bounds the chance that any of the at most L0 names that a person alone has in a partition leaves. The count of every other name moves
//! by one, and its noise pays for that. `PROOF.md` beside this file proves both, and that every rounding here makes `t` larger, never
//! smaller. The comparison is inclusive (`count + noise >= t`) and the law is the discrete one that is drawn, not its continuous cousin.
//!
//! What is not here: counting people, and drawing the noise (the engine).

use commun_domain::attempt::NamesLaw;
use commun_domain::units::{DELTA_UNITS_PER_ONE, RHO_UNITS_PER_ONE};
use commun_domain::{Delta, Rho};

use crate::lattice::wide::Wide;

/// Largest variance for which a threshold is worked out: beyond it more than a hundred thousand people would have to share a name, and whoever
/// asks must not make a holder work for long.
pub const MAX_NAMES_S2: u64 = 1 << 28;

/// Binary digits after the point of all numbers here.
const DIGITS: u32 = 120;

/// 1.
const ONE: u128 = 1 << DIGITS;

/// Weights are summed one by one down to this one, 2^-100; the rest is bounded as a geometric series.
const LAST_WEIGHT: u128 = 1 << (DIGITS - 100);

/// Digits that a sum of weights gives up, as it may reach 2^16.
const SUM_SHIFT: u32 = 16;

/// Why there is no threshold. None of it depends on data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// No loss, or no failure, is allowed, or nobody counts.
    #[error("names need a rho, a delta and a number of groups above 0, and a delta of at most 1e-3")]
    Empty,
    /// The noise would be too large.
    #[error(
        "so little rho for names would need more than a hundred thousand people behind each; ask for more rho or fewer groups a person"
    )]
    TooNoisy,
}

/// Greatest delta: half of all names with nobody else behind them is no threshold.
const MAX_DELTA: Delta = Delta::from_units(DELTA_UNITS_PER_ONE / 1000);

/// Noise and threshold of one partition: `s2 = ceil(L0 / (2 rho))`, and t* for it. `rho` is what names may cost, `delta` how likely a failure
/// may be, `groups` is L0.
pub fn names_law(groups: u32, rho: Rho, delta: Delta) -> Result<NamesLaw, ThresholdError> {
    if groups == 0 || rho == Rho::ZERO {
        return Err(ThresholdError::Empty);
    }
    let numerator = u128::from(groups) * u128::from(RHO_UNITS_PER_ONE / 2);
    let s2 = u64::try_from(numerator.div_ceil(u128::from(rho.units()))).map_err(|_| ThresholdError::TooNoisy)?;
    Ok(NamesLaw { s2, threshold: threshold(s2, groups, delta)? })
}

/// t* for noise of variance parameter `s2` in squared people.
pub fn threshold(s2: u64, groups: u32, delta: Delta) -> Result<u64, ThresholdError> {
    if s2 == 0 || groups == 0 || delta == Delta::ZERO || delta > MAX_DELTA {
        return Err(ThresholdError::Empty);
    }
    if s2 > MAX_NAMES_S2 {
        return Err(ThresholdError::TooNoisy);
    }
    let Weights { upper, beyond, total } = Weights::of(s2);
    let most = Wide::product(most_chance(groups, delta), total).checked_shr(DIGITS - SUM_SHIFT);
    let (most, _) = most.filter(|(most, _)| beyond <= *most).ok_or(ThresholdError::TooNoisy)?;
    // From the far end inwards: the sum over all x >= k, as long as it is small enough.
    let (mut tail, mut least) = (beyond, upper.len());
    for (x, weight) in upper.iter().enumerate().rev() {
        tail = tail.saturating_add(*weight);
        if tail > most {
            break;
        }
        least = x;
    }
    // t - 1 = least; the weight of 0 is never in the tail, as half of the law would be.
    u64::try_from(least).map_or(Err(ThresholdError::TooNoisy), |least| Ok(least.saturating_add(1)))
}

/// `exp(-x^2 / (2 s2))` for x = 0, 1, ...
struct Weights {
    /// Upper bounds, down to [`LAST_WEIGHT`].
    upper: Vec<u128>,
    /// Upper bound of the sum of all that follow.
    beyond: u128,
    /// Lower bound of the sum over all integers, with [`SUM_SHIFT`] digits fewer.
    total: u128,
}

/// A number between two bounds.
#[derive(Clone, Copy)]
struct Between {
    lower: u128,
    upper: u128,
}

impl Between {
    fn times(self, other: Self) -> Self {
        Self { lower: scaled(self.lower, other.lower), upper: scaled_up(self.upper, other.upper) }
    }
}

impl Weights {
    fn of(s2: u64) -> Self {
        // The ratio of the weights of x + 1 and x is exp(-(2x + 1) / (2 s2)); it shrinks by exp(-1 / s2) each time.
        let mut ratio = exp_minus_inverse(2 * u128::from(s2));
        let shrink = ratio.times(ratio);
        let mut weight = Between { lower: ONE, upper: ONE };
        let mut total = ONE >> SUM_SHIFT;
        let mut upper = vec![ONE];
        loop {
            weight = weight.times(ratio);
            if weight.upper <= LAST_WEIGHT {
                break;
            }
            upper.push(weight.upper);
            total += (weight.lower >> SUM_SHIFT) * 2;
            ratio = ratio.times(shrink);
        }
        // What follows shrinks at least as fast as a geometric series of this ratio, which is below 1.
        let beyond = weight.upper.saturating_mul(ONE.div_ceil((ONE - ratio.upper).max(1)));
        Self { upper, beyond, total }
    }
}

/// `exp(-1/n)` for `n >= 2`, by its alternating series.
fn exp_minus_inverse(n: u128) -> Between {
    let mut term = Between { lower: ONE, upper: ONE };
    let mut sum = term;
    for step in 1u128.. {
        let divisor = n * step;
        term = Between { lower: term.lower / divisor, upper: term.upper.div_ceil(divisor) };
        sum = if step % 2 == 1 {
            Between { lower: sum.lower - term.upper, upper: sum.upper - term.lower }
        } else {
            Between { lower: sum.lower + term.lower, upper: sum.upper + term.upper }
        };
        if term.upper <= 1 {
            break;
        }
    }
    // The terms that are left alternate and shrink, so together they are at most as large as the last one, which is at most one digit.
    Between { lower: sum.lower - 1, upper: (sum.upper + 1).min(ONE) }
}

/// The greatest chance of one name with which the chance of any of `groups` names stays within `delta`: a lower bound.
fn most_chance(groups: u32, delta: Delta) -> u128 {
    let keeps = |chance: u128| {
        let none = power(ONE - chance, groups);
        let (scale, left) = (u128::from(DELTA_UNITS_PER_ONE), u128::from(DELTA_UNITS_PER_ONE - delta.units()));
        Wide::product(none, scale) >= Wide::product(left, ONE)
    };
    let (mut within, mut beyond) = (0, ONE);
    while beyond - within > 1 {
        let middle = within + (beyond - within) / 2;
        if keeps(middle) {
            within = middle;
        } else {
            beyond = middle;
        }
    }
    within
}

/// A lower bound of `base^exponent`, for a base of at most 1.
fn power(mut base: u128, mut exponent: u32) -> u128 {
    let mut product = ONE;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product = scaled(product, base);
        }
        base = scaled(base, base);
        exponent /= 2;
    }
    product
}

/// `a b`, rounded down, for factors of at most 1.
fn scaled(a: u128, b: u128) -> u128 {
    Wide::product(a, b).checked_shr(DIGITS).map_or(0, |(quotient, _)| quotient)
}

/// `a b`, rounded up.
fn scaled_up(a: u128, b: u128) -> u128 {
    Wide::product(a, b).checked_shr(DIGITS).map_or(u128::MAX, |(quotient, rest)| quotient.saturating_add(u128::from(rest)))
}

#[cfg(test)]
mod tests;
