//! Estimates of one row: the arithmetic of a SELECT item over numbers that have left the holders. NULL is `None`; every number is finite.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing of released numbers")]

use commun_domain::plan::{Aggregate, Estimate, Measured, PrivatePlan};

use super::moments::{Span, mean, variance};
use super::quantile::{Bins, quantile};
use super::typed::power;

/// The numbers of one row. Plan and row have been checked: indices fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    /// What a bare output shows, in the units that people read; the root of a histogram.
    pub(super) shown: &'a [f64],
    /// What means and variances are computed from: the raw numbers.
    pub(super) raw: &'a [f64],
    /// Fitted trees of the histograms; empty for other outputs.
    pub(super) trees: &'a [Vec<f64>],
}

/// The value of an estimate in a row.
pub(super) fn value(estimate: &Estimate, plan: &PrivatePlan, row: Row<'_>) -> Option<f64> {
    let value_of = |part: &Estimate| value(part, plan, row);
    let both = |left: &Estimate, right: &Estimate| Some((value_of(left)?, value_of(right)?));
    let number = match estimate {
        Estimate::Output(index) => *row.shown.get(usize::from(*index))?,
        Estimate::Constant { units, scale } => *units as f64 / power(10.0, i32::from(*scale)),
        Estimate::Mean { count, centred } => {
            let span = Span::of(measured(plan, *centred)?);
            mean(raw(row, *count)?, raw(row, *centred)?, span)?
        }
        Estimate::Variance { count, centred, squares, sample, root } => {
            let span = Span::of(measured(plan, *centred)?);
            let variance = variance(raw(row, *count)?, raw(row, *centred)?, raw(row, *squares)?, span, *sample)?;
            if *root { variance.sqrt() } else { variance }
        }
        Estimate::Quantile { histogram, fraction } => {
            let Aggregate::Histogram { measured, bins_log2, .. } = &plan.outputs.get(usize::from(*histogram))?.aggregate else {
                return None;
            };
            let fitted = row.trees.get(usize::from(*histogram))?;
            let units = quantile(fitted, Bins::new(measured, *bins_log2), f64::from(*fraction) / 1e6)?;
            units / power(10.0, i32::from(measured.scale))
        }
        Estimate::Add(left, right) => both(left, right).map(|(left, right)| left + right)?,
        Estimate::Subtract(left, right) => both(left, right).map(|(left, right)| left - right)?,
        Estimate::Multiply(left, right) => both(left, right).map(|(left, right)| left * right)?,
        Estimate::Divide(left, right) => both(left, right).filter(|(_, right)| *right != 0.0).map(|(left, right)| left / right)?,
        Estimate::Round(part, digits) => round(value_of(part)?, *digits),
        Estimate::Least(parts) => parts.iter().filter_map(value_of).reduce(f64::min)?,
        Estimate::Greatest(parts) => parts.iter().filter_map(value_of).reduce(f64::max)?,
        Estimate::Coalesce(parts) => parts.iter().find_map(value_of)?,
        Estimate::NullIf(left, right) => {
            let left = value_of(left)?;
            if value_of(right) == Some(left) {
                return None;
            }
            left
        }
    };
    number.is_finite().then_some(number)
}

/// Halves away from zero. A number too large to have such digits is round already.
fn round(number: f64, digits: u8) -> f64 {
    let scale = power(10.0, i32::from(digits));
    let rounded = (number * scale).round() / scale;
    if rounded.is_finite() { rounded } else { number }
}

/// The number that an output measures.
pub(super) fn measured(plan: &PrivatePlan, output: u16) -> Option<&Measured> {
    plan.outputs.get(usize::from(output))?.aggregate.measured()
}

fn raw(row: Row<'_>, output: u16) -> Option<f64> {
    row.raw.get(usize::from(output)).copied()
}
