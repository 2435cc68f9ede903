//! From zCDP to approximate differential privacy and back: the only place where privacy loss touches floating point.
//!
//! `delta = min over a > 1 of exp((a-1)(a rho - epsilon) + a ln(1 - 1/a)) / (a-1)` (Canonne, Kamath and Steinke 2020, proposition 12), solved
//! for epsilon: `epsilon = min of a rho + ln(1 - 1/a) - ln(a delta) / (a-1)`. Every `a > 1` gives a valid bound, so that a search that stops a
//! little beside the minimum can only show a larger epsilon, never a smaller one.
//!
//! Coordinator and agents compute the price of one request each for themselves and must get the same number on every machine. The logarithm
//! is therefore our own, made of the four operations and square roots that IEEE 754 fixes to the last bit; those of system libraries differ.
#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "the conversion between rho and epsilon is real analysis; noise and charges stay integers"
)]

mod logarithm;

use commun_domain::units::{DELTA_UNITS_PER_ONE, EPSILON_UNITS_PER_ONE, RHO_UNITS_PER_ONE};
use commun_domain::{Delta, Epsilon, Rho};
use logarithm::ln_1p;

pub(crate) use logarithm::ln;

/// Room for rounding, relative to the sum of the terms' sizes: some hundred times what the operations can lose.
const ROUNDING: f64 = 1e-13;

/// Least and greatest `a - 1` that are tried: 2^-40 and 2^60.
const ORDERS: (f64, f64) = (1.0 / (1u64 << 40) as f64, (1u64 << 60) as f64);

/// Halvings of the (geometric) interval [`ORDERS`]: then its ends agree to 13 digits.
const HALVINGS: u32 = 60;

/// Why there is no rho for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountantError {
    /// A Gaussian answer has no finite epsilon at delta 0, and at delta 1 every epsilon holds.
    #[error("the data contract's delta must lie between 0 and 1")]
    Delta,
    /// Not even one unit of rho keeps within the epsilon.
    #[error("epsilon {0} is too small for any answer; ask for more")]
    TooSmall(Epsilon),
}

/// The largest rho whose epsilon at `delta` is at most the requested one.
pub fn rho_for_epsilon(epsilon: Epsilon, delta: Delta) -> Result<Rho, AccountantError> {
    if delta == Delta::ZERO || delta.units() >= DELTA_UNITS_PER_ONE {
        return Err(AccountantError::Delta);
    }
    let wanted = epsilon.units() as f64 / EPSILON_UNITS_PER_ONE as f64;
    let within = |units: u64| epsilon_for_rho(Rho::from_units(units), delta) <= wanted;
    if !within(1) {
        return Err(AccountantError::TooSmall(epsilon));
    }
    let (mut low, mut high) = (1, u64::MAX);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if within(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Rho::from_units(low))
}

/// The epsilon of `rho` at `delta`, rounded up: infinite at delta 0, and 0 for no loss.
pub fn epsilon_for_rho(rho: Rho, delta: Delta) -> f64 {
    if rho == Rho::ZERO || delta.units() >= DELTA_UNITS_PER_ONE {
        return 0.0;
    }
    if delta == Delta::ZERO {
        return f64::INFINITY;
    }
    let rho = rho.units() as f64 / RHO_UNITS_PER_ONE as f64;
    let ln_delta = ln(delta.units() as f64 / DELTA_UNITS_PER_ONE as f64);
    // The derivative in a is rho + ln(a delta) / (a-1)^2; times (a-1)^2 it only rises, so that its one zero is the minimum.
    let (mut low, mut high) = ORDERS;
    for _ in 0..HALVINGS {
        let middle = (low * high).sqrt();
        if rho * middle * middle + ln_1p(middle) + ln_delta < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    bound(rho, ln_delta, high).max(0.0)
}

/// The bound that `a = 1 + x` gives, with room for rounding.
fn bound(rho: f64, ln_delta: f64, x: f64) -> f64 {
    let loss = rho * (1.0 + x);
    // ln(1 - 1/a) = -ln(1 + 1/x), which keeps all digits for small and large x.
    let gain = ln_1p(1.0 / x);
    let ln_a = ln_1p(x);
    let tail = -(ln_a + ln_delta) / x;
    // The two logarithms of the tail may cancel, so its size before that counts.
    let size = loss + gain + (ln_a + ln_delta.abs()) / x;
    loss - gain + tail + ROUNDING * size
}

#[cfg(test)]
mod tests;
