//! Margins of error: half the width of a 95 % interval for what the noise does to an estimate. What clipping does is not in it.
//!
//! Sums of outputs: exact. Quotients of sums, which means are: Fieller's interval, or none where the denominator may be 0. Everything else:
//! the parametric bootstrap, which adds the known noise to the released numbers again and looks how far the estimate moves.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing: margins of error are shown")]

use commun_domain::Hash32;
use commun_domain::attempt::OutputNoise;
use commun_domain::plan::{Estimate, PrivatePlan};

use super::estimate::{Row, value};
use super::linear::{Form, Linear, form};
use super::quantile::fit;
use super::resample::Resampler;
use super::sums::native_unit;
use super::typed::power;
use crate::intervals::{Z_95, fieller, margin_of_variance, z_of_all};

/// Draws of the bootstrap of one row, fewest and most. With 400 the 95 % point of the distances is a 94 to 96 % point in two cases of three.
const DRAWS: std::ops::RangeInclusive<u64> = 100..=400;

/// Numbers that a bootstrap of a whole answer draws before it makes do with fewer draws a row.
const MANY_NUMBERS: u64 = 200_000_000;

/// How the margin of an estimate is found.
#[derive(Clone, Debug)]
pub(super) enum Rule<'a> {
    /// A sum of outputs.
    Linear(Linear),
    /// A quotient of two.
    Ratio(Linear, Linear),
    /// That of the first part which has a value in the row.
    First(Vec<(&'a Estimate, Rule<'a>)>),
    /// That of the part, and by how much rounding moves it at most.
    Rounded(Box<Rule<'a>>, f64),
    /// Bootstrap of this estimate.
    Resample(&'a Estimate),
}

impl<'a> Rule<'a> {
    pub(super) fn of(estimate: &'a Estimate, plan: &PrivatePlan) -> Self {
        match (form(estimate, plan), estimate) {
            (Form::Linear(linear), _) => Self::Linear(linear),
            (Form::Ratio(above, below), _) => Self::Ratio(above, below),
            (Form::Other, Estimate::Round(part, digits)) => {
                Self::Rounded(Box::new(Self::of(part, plan)), 0.5 / power(10.0, i32::from(*digits)))
            }
            (Form::Other, Estimate::Coalesce(parts)) => Self::First(parts.iter().map(|part| (part, Self::of(part, plan))).collect()),
            (Form::Other, Estimate::NullIf(part, _)) => Self::of(part, plan),
            (Form::Other, other) => Self::Resample(other),
        }
    }

    fn resampled(&self, found: &mut Vec<&'a Estimate>) {
        match self {
            Self::Linear(_) | Self::Ratio(..) => {}
            Self::First(parts) => parts.iter().for_each(|(_, rule)| rule.resampled(found)),
            Self::Rounded(rule, _) => rule.resampled(found),
            Self::Resample(estimate) => found.push(estimate),
        }
    }
}

/// Variance of one cell's noise for each output, in the squared units that people read, when `agents` agents add theirs.
pub(super) fn cell_variances(plan: &PrivatePlan, noise: &[OutputNoise], agents: u32) -> Vec<f64> {
    let variance = |(output, noise): (&commun_domain::plan::Output, &OutputNoise)| {
        let (two, ten) = native_unit(&output.aggregate);
        let step = power(2.0, noise.gamma_log2.saturating_add(two)) / power(10.0, i32::try_from(ten).unwrap_or(i32::MAX));
        f64::from(agents) * noise.s2 as f64 * step * step
    };
    plan.outputs.iter().zip(noise).map(variance).collect()
}

/// The margin of a sum of outputs or of a quotient, at `z` standard deviations; `None` for all others.
pub(super) fn exact_margin(rule: &Rule<'_>, shown: &[f64], variances: &[f64], z: f64) -> Option<f64> {
    match rule {
        Rule::Linear(linear) => Some(margin_of_variance(linear.covariance(linear, variances), z)),
        Rule::Ratio(above, below) => {
            let own = |linear: &Linear| linear.covariance(linear, variances);
            fieller(above.value(shown), below.value(shown), (own(above), own(below)), above.covariance(below, variances), z)
        }
        Rule::First(_) | Rule::Rounded(..) | Rule::Resample(_) => None,
    }
}

/// The margins of an answer's rows.
#[derive(Debug)]
pub(super) struct Margins<'a> {
    plan: &'a PrivatePlan,
    rules: Vec<Rule<'a>>,
    cell_variances: Vec<f64>,
    /// Whether an output is drawn again by some rule.
    redrawn: Vec<bool>,
    seed: Hash32,
    draws: u64,
    /// Standard deviations on each side.
    z: f64,
}

impl<'a> Margins<'a> {
    /// For `estimates` in `rows` rows. `seed`: the hash of the release, if some rule resamples.
    pub(super) fn new(
        plan: &'a PrivatePlan,
        estimates: impl Iterator<Item = &'a Estimate>,
        cell_variances: Vec<f64>,
        rows: usize,
        seed: impl FnOnce() -> Hash32,
    ) -> Self {
        let rules: Vec<Rule<'a>> = estimates.map(|estimate| Rule::of(estimate, plan)).collect();
        let mut resampled = Vec::new();
        for rule in &rules {
            rule.resampled(&mut resampled);
        }
        let mut redrawn = vec![false; plan.outputs.len()];
        let mut steps = 0u64;
        for estimate in &resampled {
            estimate.visit(&mut |node| {
                steps += 1;
                for output in outputs_of(node) {
                    if let Some(redrawn) = redrawn.get_mut(usize::from(output)) {
                        *redrawn = true;
                    }
                }
            });
        }
        let widths: u64 =
            plan.outputs.iter().zip(&redrawn).filter(|(_, redrawn)| **redrawn).map(|(output, _)| output.aggregate.width()).sum();
        let numbers = u64::try_from(rows).unwrap_or(u64::MAX).saturating_mul(widths + steps).max(1);
        let draws = (MANY_NUMBERS / numbers).clamp(*DRAWS.start(), *DRAWS.end());
        let seed = if resampled.is_empty() { Hash32::default() } else { seed() };
        Self { plan, rules, cell_variances, redrawn, seed, draws, z: Z_95 }
    }

    /// The same, wide enough that the margins of all estimates in so many rows hold at once in 95 % of all cases. What needs the bootstrap has none:
    /// it would need more draws than there are.
    pub(super) fn all_at_once(mut self, rows: usize) -> Self {
        let estimates = u64::try_from(self.rules.len()).unwrap_or(u64::MAX);
        self.z = z_of_all(estimates.saturating_mul(u64::try_from(rows).unwrap_or(u64::MAX)));
        self.draws = 0;
        self
    }

    /// Margins of a row that adds up `cells` cells of the grid; `number` tells rows apart. `None`: no interval has an end.
    pub(super) fn of_row(&self, row: Row<'_>, cells: usize, number: u64) -> Vec<Option<f64>> {
        let variances: Vec<f64> = self.cell_variances.iter().map(|variance| variance * cells as f64).collect();
        let mut samples = Vec::new();
        let found: Vec<Found> = self.rules.iter().map(|rule| self.find(rule, 0.0, row, &variances, &mut samples)).collect();
        if !samples.is_empty() {
            self.resample(row, &variances, number, &mut samples);
        }
        let margin = |found: Found| match found {
            Found::Margin(margin) => margin,
            Found::Sample(sample, rounding) => samples.get_mut(sample).and_then(Sample::margin).map(|margin| margin + rounding),
        };
        let margins = found.into_iter().map(margin);
        margins.map(|margin| margin.filter(|margin| margin.is_finite())).collect()
    }

    fn find(&self, rule: &Rule<'a>, rounding: f64, row: Row<'_>, variances: &[f64], samples: &mut Vec<Sample<'a>>) -> Found {
        match rule {
            Rule::Linear(_) | Rule::Ratio(..) => {
                Found::Margin(exact_margin(rule, row.shown, variances, self.z).map(|margin| margin + rounding))
            }
            Rule::Rounded(rule, half) => self.find(rule, rounding + half, row, variances, samples),
            Rule::First(parts) => match parts.iter().find(|(part, _)| value(part, self.plan, row).is_some()) {
                Some((_, rule)) => self.find(rule, rounding, row, variances, samples),
                None => Found::Margin(None),
            },
            Rule::Resample(_) if self.draws == 0 => Found::Margin(None),
            Rule::Resample(estimate) => match value(estimate, self.plan, row) {
                Some(centre) => {
                    samples.push(Sample { estimate, centre, distances: Vec::new() });
                    Found::Sample(samples.len() - 1, rounding)
                }
                None => Found::Margin(None),
            },
        }
    }

    fn resample(&self, row: Row<'_>, variances: &[f64], number: u64, samples: &mut [Sample<'a>]) {
        let mut resampler = Resampler::new(&self.seed, number);
        let (mut shown, mut raw, mut trees) = (row.shown.to_vec(), row.raw.to_vec(), row.trees.to_vec());
        for _ in 0..self.draws {
            for (output, deviation) in
                variances.iter().map(|variance| variance.sqrt()).enumerate().filter(|(output, _)| self.redrawn[*output])
            {
                if row.trees[output].is_empty() {
                    let noise = deviation * resampler.normal();
                    shown[output] = row.shown[output] + noise;
                    raw[output] = row.raw[output] + noise;
                } else {
                    // Fitting is linear: the fit of counts and noise is the fitted counts and the fitted noise.
                    let tree = &mut trees[output];
                    for node in tree.iter_mut() {
                        *node = deviation * resampler.normal();
                    }
                    fit(tree);
                    tree.iter_mut().zip(&row.trees[output]).for_each(|(node, fitted)| *node += fitted);
                }
            }
            let drawn = Row { shown: &shown, raw: &raw, trees: &trees };
            for sample in samples.iter_mut() {
                let distance = value(sample.estimate, self.plan, drawn).map_or(f64::INFINITY, |value| (value - sample.centre).abs());
                sample.distances.push(distance);
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Found {
    Margin(Option<f64>),
    /// Place of a sample, and what rounding adds.
    Sample(usize, f64),
}

#[derive(Debug)]
struct Sample<'a> {
    estimate: &'a Estimate,
    centre: f64,
    distances: Vec<f64>,
}

impl Sample<'_> {
    /// The distance that 95 % of the draws keep within; without a value is infinitely far.
    fn margin(&mut self) -> Option<f64> {
        let place = ((self.distances.len() + 1) * 95).div_ceil(100).checked_sub(1)?;
        if place >= self.distances.len() {
            return None;
        }
        Some(*self.distances.select_nth_unstable_by(place, f64::total_cmp).1)
    }
}

/// Outputs that one node of an estimate reads itself.
pub(super) fn outputs_of(node: &Estimate) -> Vec<u16> {
    match node {
        Estimate::Output(output) => vec![*output],
        Estimate::Mean { count, centred } => vec![*count, *centred],
        Estimate::Variance { count, centred, squares, .. } => vec![*count, *centred, *squares],
        Estimate::Quantile { histogram, .. } => vec![*histogram],
        _ => Vec::new(),
    }
}
