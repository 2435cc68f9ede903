//! Means and variances from noisy counts, centred sums and centred squares (`PROOF.md` derives the formulas).
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing of released numbers")]

use commun_domain::plan::Measured;

use super::typed::power;

/// Midpoint and range of a measured number, in the units that people read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    /// (lo + hi) / 2.
    pub(super) middle: f64,
    /// hi - lo.
    pub(super) range: f64,
}

impl Span {
    pub(super) fn of(measured: &Measured) -> Self {
        let (lo, hi) = (i128::from(measured.lo), i128::from(measured.hi));
        let unit = power(10.0, i32::from(measured.scale));
        Self { middle: (lo + hi) as f64 / 2.0 / unit, range: (hi - lo) as f64 / unit }
    }
}

/// The mean: `count` is the sum of all weights b, `centred` the sum of b (x - middle). NULL without a count above 0.
pub(super) fn mean(count: f64, centred: f64, span: Span) -> Option<f64> {
    (count > 0.0).then(|| span.middle + centred / count)
}

/// The variance: `squares` is the sum of b ((x - middle)^2 - range^2 / 8). Never below 0; NULL without a count above 0, or above 1 for
/// the variance of a sample.
pub(super) fn variance(count: f64, centred: f64, squares: f64, span: Span, sample: bool) -> Option<f64> {
    if count <= f64::from(u8::from(sample)) {
        return None;
    }
    let off = centred / count;
    let variance = (squares / count + span.range * span.range / 8.0 - off * off).max(0.0);
    Some(if sample { variance * (count / (count - 1.0)) } else { variance })
}
