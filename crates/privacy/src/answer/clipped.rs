//! The number of clipped people, which leaves after the outputs.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing of released numbers")]

use commun_domain::attempt::OutputNoise;
use commun_domain::plan::PrivatePlan;
use commun_domain::release::ResultRelease;

use super::layout::Layout;
use super::{AnswerError, sums, survivors};
use crate::intervals::{Z_95, margin_of_variance};
use crate::lattice::GAMMA_LOG2_RANGE;

/// How many people did not count in full, and by how much that is uncertain.
#[derive(Clone, Debug, PartialEq)]
pub struct ClippedPeople {
    /// The period, where the answer is by period; else all of them together.
    pub period: Option<String>,
    /// Noisy number of (person, partition, holder) that were over L0 or Linf; it may be negative.
    pub people: f64,
    /// 95 % margin of its noise.
    pub margin: f64,
}

/// What a release says of clipped people; nothing where it was not asked.
///
/// # Errors
/// A release that does not fit its own plan.
pub fn clipped_people(release: &ResultRelease) -> Result<Vec<ClippedPeople>, AnswerError> {
    let plan = &release.plan;
    if plan.clipped.is_none() {
        return Ok(Vec::new());
    }
    sums::numbers(release, &Layout::of(plan)?)?;
    let (Some(sums), Some(noise)) = (release.sums.last(), release.noise.last()) else {
        return Err(AnswerError::Shape("number of outputs"));
    };
    if sums.cells.len() != plan.clipped_cells() {
        return Err(AnswerError::Shape("number of cells"));
    }
    if !GAMMA_LOG2_RANGE.contains(&noise.gamma_log2) {
        return Err(AnswerError::Shape("lattice step"));
    }
    let margin = margin(noise, survivors(release)?);
    let period = |cell: usize| plan.partitions.get(cell).filter(|_| plan.partition_is_key()).map(|period| plan.calendar.format(*period));
    let people = |(cell, steps): (usize, &i64)| ClippedPeople { period: period(cell), people: *steps as f64 * step(noise), margin };
    Ok(sums.cells.iter().enumerate().map(people).collect())
}

/// The 95 % margin that the number of clipped people would have with so much noise of each of `agents` agents; `None` where it is not asked.
pub fn expected_clipped_margin(plan: &PrivatePlan, noise: &[OutputNoise], agents: u32) -> Option<f64> {
    plan.clipped?;
    noise.get(plan.outputs.len()).map(|noise| margin(noise, agents))
}

fn step(noise: &OutputNoise) -> f64 {
    2f64.powi(noise.gamma_log2)
}

fn margin(noise: &OutputNoise, agents: u32) -> f64 {
    margin_of_variance(f64::from(agents) * noise.s2 as f64 * step(noise) * step(noise), Z_95)
}
