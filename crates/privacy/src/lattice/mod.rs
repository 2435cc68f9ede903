//! The lattice of one output: how fine the integers are on which noise is drawn, how much one person moves a cell, how much noise.
//!
//! Noise on whole people would be too coarse when it is split between agents, so cells are counted in steps of `gamma = 2^gamma_log2`
//! native units, fine enough that each agent's standard deviation is at least 16 steps. Everything is an exact rational number, compared
//! in 256 bits; the noise is only ever rounded up. `PROOF.md` beside this file shows that the loss is at most the requested rho.
//!
//! What this is not: it draws nothing (`discrete_gaussian`) and knows no plan (`price`).

pub(crate) mod wide;

use commun_domain::Rho;
use wide::Wide;

use crate::discrete_gaussian::MAX_S2;

/// Native sensitivity times 2^S up to which the lattice refines whole units; above, it follows the size of the noise.
const MAX_FINE_SENSITIVITY: u64 = 1 << 16;

/// Least variance of one agent's noise in squared lattice steps: a standard deviation of 16, where rounding `s^2` up costs under .2 %.
const MIN_S2: u128 = 256;

/// Extra binary digits of the coarse branch below `2^e`: the lattice step is about a thousandth of noise or sensitivity.
const COARSE_DIGITS: i32 = 10;

/// People in one cell of one holder that the modulus leaves room for: 2^33, more than live.
const MAX_PEOPLE_LOG2: u32 = 33;

/// Least and greatest exponent of a step that [`lattice`] returns.
pub const GAMMA_LOG2_RANGE: std::ops::RangeInclusive<i32> = -64..=64;

/// Exponents of two that [`dequantise`] writes as decimals: those of a lattice, and of a centred sum or square on it (23 digits finer).
/// A fraction of 100 binary digits times ten still fits 128.
const TEXT_LOG2_RANGE: std::ops::RangeInclusive<i32> = -100..=64;

/// Noise and scale of one output at one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lattice {
    /// The lattice step is `2^gamma_log2` native units.
    pub gamma_log2: i32,
    /// Most by which one person moves one cell, in lattice steps.
    pub d: u64,
    /// Variance of each agent's discrete Gaussian, in squared lattice steps.
    pub s2: u64,
}

/// Why an output has no lattice. All of it follows from public parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LatticeError {
    /// L0, sensitivity, rho or h is 0: the noise would be none or without bound.
    #[error("groups per person, sensitivity, rho and the number of noise shares must be above 0")]
    Zero,
    /// The share of rho is not in (0, 1].
    #[error("the share {0}/{1} of rho is not above 0 and at most 1")]
    Share(u32, u32),
    /// The noise is above the sampler's limit, or the numbers do not fit.
    #[error("the noise would be too large to draw; ask for more rho, or for narrower bounds")]
    NoiseTooLarge,
    /// A cell total does not fit the modulus 2^64.
    #[error("a cell total does not fit 64 bits at this precision; ask for narrower bounds or less rho")]
    TotalTooLarge,
    /// An exponent that [`lattice`] never returns.
    #[error("the lattice step 2^{0} is outside the range of the protocol")]
    Step(i32),
}

/// `sigma^2 = l0 delta^2 / (2 a rho h)` as a fraction of integers: `numerator / denominator`.
struct Variance {
    numerator: Wide,
    denominator: u128,
}

impl Variance {
    fn new(l0: u32, delta: u64, share: (u32, u32), rho: Rho, h: u32) -> Option<Self> {
        // 1 / (2 rho) = 2^40 / (2 units) = 2^39 / units. The factors have at most 64, 128 and 39 bits, then 32, 64 and 32.
        let groups = u128::from(l0) * u128::from(share.1);
        let square = u128::from(delta) * u128::from(delta);
        let numerator = Wide::product(groups, square).checked_shl(39)?;
        let denominator = u128::from(share.0).checked_mul(u128::from(rho.units()))?.checked_mul(u128::from(h))?;
        Some(Self { numerator, denominator })
    }

    /// Whether `4^power sigma^2 >= bound`; `bound` is small.
    fn reaches(&self, power: i32, bound: u128) -> bool {
        let wanted = Wide::product(self.denominator, bound);
        let shift = power.unsigned_abs() * 2;
        if power >= 0 {
            // What does not fit is larger than any denominator.
            self.numerator.checked_shl(shift).is_none_or(|scaled| scaled >= wanted)
        } else {
            wanted.checked_shl(shift).is_some_and(|scaled| self.numerator >= scaled)
        }
    }

    /// Least integer that is at least `sigma^2`, by bisection; `None` above the sampler's limit.
    fn ceil(&self) -> Option<u64> {
        let enough = |s2: u64| Wide::product(self.denominator, u128::from(s2)) >= self.numerator;
        if !enough(MAX_S2) {
            return None;
        }
        let (mut low, mut high) = (1, MAX_S2);
        while low < high {
            let middle = low + (high - low) / 2;
            if enough(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Some(low)
    }
}

/// The lattice of one output.
///
/// `l0`: most groups of one person, times the levels of a histogram; `delta`: most by which one person moves one cell, in native units (people, or 10^-scale of a
/// sum's unit); `share`: numerator and denominator of the output's part of `rho`; `h`: agents whose noise counts.
pub fn lattice(l0: u32, delta: u64, share: (u32, u32), rho: Rho, h: u32) -> Result<Lattice, LatticeError> {
    if l0 == 0 || delta == 0 || h == 0 || rho == Rho::ZERO {
        return Err(LatticeError::Zero);
    }
    if share.0 == 0 || share.0 > share.1 {
        return Err(LatticeError::Share(share.0, share.1));
    }
    let variance = Variance::new(l0, delta, share, rho, h).ok_or(LatticeError::NoiseTooLarge)?;
    let (gamma_log2, d) = match fine_refinement(&variance, delta) {
        Some((refinement, d)) => (-refinement, d),
        None => coarse_step(&variance, delta).ok_or(LatticeError::NoiseTooLarge)?,
    };
    let s2 = Variance::new(l0, d, share, rho, h).and_then(|variance| variance.ceil()).ok_or(LatticeError::NoiseTooLarge)?;
    Ok(Lattice { gamma_log2, d, s2 })
}

/// The least `S >= 0` with `4^S sigma^2 >= 256` and `2^S delta`, if that stays at most 2^16.
fn fine_refinement(variance: &Variance, delta: u64) -> Option<(i32, u64)> {
    let mut d = delta;
    let mut refinement = 0;
    while d <= MAX_FINE_SENSITIVITY {
        if variance.reaches(refinement, MIN_S2) {
            return Some((refinement, d));
        }
        refinement += 1;
        d *= 2;
    }
    None
}

/// `gamma = 2^(e - 10)` with the greatest `e` such that `4^e <= min(sigma^2, delta^2)`, and `floor(delta / gamma) + 1`: rounding a
/// total to the lattice moves a difference by less than one step.
fn coarse_step(variance: &Variance, delta: u64) -> Option<(i32, u64)> {
    let mut e = i32::try_from(delta.ilog2()).ok()?;
    while !variance.reaches(-e, 1) {
        e -= 1;
        if e < *GAMMA_LOG2_RANGE.start() {
            return None;
        }
    }
    let gamma_log2 = e - COARSE_DIGITS;
    if !GAMMA_LOG2_RANGE.contains(&gamma_log2) {
        return None;
    }
    // 64 bits shifted by at most 64.
    let steps = if gamma_log2 >= 0 { u128::from(delta >> gamma_log2) } else { u128::from(delta) << gamma_log2.unsigned_abs() };
    Some((gamma_log2, u64::try_from(steps + 1).ok()?))
}

impl Lattice {
    /// The most that a cell of the sum of `n` agents can be, either way, in lattice steps: `n 2^33 d + 12 sqrt(n) s`, the root rounded up.
    /// `None` when it does not fit 63 bits. A sum of masked cells beyond it is no sum, and is not released.
    ///
    /// `n`: agents in the cohort; `d_cell`: most by which one person moves one cell, in lattice steps.
    pub fn largest_sum(n: u32, d_cell: u64, s2: u64) -> Option<u64> {
        let totals = (u128::from(n) << MAX_PEOPLE_LOG2).checked_mul(u128::from(d_cell))?;
        // 12 sqrt(n) s = sqrt(144 n s^2), at most 104 bits under the root.
        let noise = (144 * u128::from(n) * u128::from(s2)).isqrt() + 1;
        let sum = totals.checked_add(noise).filter(|sum| *sum < 1 << 63)?;
        u64::try_from(sum).ok()
    }

    /// Whether `n` agents' totals and noise stay in 63 bits: [`Lattice::largest_sum`] exists. A plan that does not fit is refused.
    pub fn fits_modulus(n: u32, d_cell: u64, s2: u64) -> bool {
        Self::largest_sum(n, d_cell, s2).is_some()
    }

    /// One cell's total, in native units, on this lattice: exact for steps of at most one unit, otherwise rounded once, halves up.
    ///
    /// An error would tell something about data, so the caller checks [`Lattice::fits_modulus`] when it plans: then no cell of up to
    /// 2^33 people can cause one.
    pub fn quantise(&self, cell_total: i128) -> Result<i64, LatticeError> {
        let step = self.gamma_log2.unsigned_abs();
        if !GAMMA_LOG2_RANGE.contains(&self.gamma_log2) {
            return Err(LatticeError::Step(self.gamma_log2));
        }
        let steps = if self.gamma_log2 <= 0 {
            cell_total.checked_mul(1i128 << step)
        } else {
            cell_total.checked_add(1i128 << (step - 1)).map(|total| total >> step)
        };
        steps.and_then(|steps| i64::try_from(steps).ok()).ok_or(LatticeError::TotalTooLarge)
    }
}

/// A sum of lattice steps in native units, exactly, as a decimal text: -13 at `gamma_log2 = -2` is `-3.25`.
///
/// For an exponent outside -100 to 64, which no number of this crate has, the exact text is a product: `-13*2^-130`.
pub fn dequantise(sum: impl Into<i128>, gamma_log2: i32) -> String {
    let sum: i128 = sum.into();
    if !TEXT_LOG2_RANGE.contains(&gamma_log2) {
        return format!("{sum}*2^{gamma_log2}");
    }
    let magnitude = sum.unsigned_abs();
    let sign = if sum < 0 { "-" } else { "" };
    if gamma_log2 >= 0 {
        return format!("{sign}{}", doubled(magnitude, gamma_log2.unsigned_abs()));
    }
    let bits = gamma_log2.unsigned_abs();
    let mut fraction = magnitude & ((1 << bits) - 1);
    let mut text = format!("{sign}{}", magnitude >> bits);
    if fraction != 0 {
        text.push('.');
    }
    while fraction != 0 {
        fraction *= 10;
        text.push(char::from(b'0' + u8::try_from(fraction >> bits).unwrap_or(0)));
        fraction &= (1 << bits) - 1;
    }
    text
}

/// `magnitude 2^times` in decimal digits, of any size.
fn doubled(magnitude: u128, times: u32) -> String {
    if times <= magnitude.leading_zeros() && times < u128::BITS {
        return (magnitude << times).to_string();
    }
    let mut digits: Vec<u8> = magnitude.to_string().bytes().rev().map(|digit| digit - b'0').collect();
    for _ in 0..times {
        let mut carry = 0;
        for digit in &mut digits {
            let twice = *digit * 2 + carry;
            *digit = twice % 10;
            carry = twice / 10;
        }
        if carry > 0 {
            digits.push(carry);
        }
    }
    digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect()
}

#[cfg(test)]
mod tests;
