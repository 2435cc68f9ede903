//! Margins before payment: what the noise of a plan would do to each column, from public parameters alone.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "margins of error are shown, nothing is charged with them")]

use commun_domain::attempt::OutputNoise;
use commun_domain::plan::{Aggregate, Estimate, PrivatePlan};

use super::estimate::measured;
use super::layout::Layout;
use super::linear::Linear;
use super::margin::{Rule, cell_variances, exact_margin};
use super::moments::Span;
use super::{AnswerError, estimate_of};
use crate::intervals::{Z_95, margin_of_variance};

/// 95 % margins of the columns that are estimates, in order, for `noise` by each of `agents` agents, in a row of the grouping set that adds up
/// the fewest cells (a row of `N` times as many cells has margins of sums `sqrt(N)` times as large).
///
/// Exact for sums of outputs. For a mean, the margin that it has at most, wherever in its bounds it lies, with `values_per_row` values in the row
/// as the user assumes. `None` where the margin depends on the answer itself: other quotients, variances, quantiles (but see
/// [`expected_rank_margins`]), products, or a mean without an assumption, or one whose noisy count may be 0.
pub fn expected_margins(
    plan: &PrivatePlan,
    noise: &[OutputNoise],
    agents: u32,
    values_per_row: Option<u64>,
) -> Result<Vec<(String, Option<f64>)>, AnswerError> {
    let variances = row_variances(plan, noise, agents, Row::Finest)?;
    Ok(margins(plan, &variances, values_per_row))
}

/// The same in a row of the grouping set that adds up the most cells, without an assumption about values: what no row's margin exceeds.
pub fn widest_margins(plan: &PrivatePlan, noise: &[OutputNoise], agents: u32) -> Result<Vec<(String, Option<f64>)>, AnswerError> {
    let variances = row_variances(plan, noise, agents, Row::Widest)?;
    Ok(margins(plan, &variances, None))
}

fn margins(plan: &PrivatePlan, variances: &[f64], values_per_row: Option<u64>) -> Vec<(String, Option<f64>)> {
    let margin = |estimate: &Estimate| known(&Rule::of(estimate, plan), estimate, plan, variances, values_per_row);
    let columns = plan.columns.iter().filter_map(|column| estimate_of(column).map(|estimate| (column, estimate)));
    columns.map(|(column, estimate)| (column.name.clone(), margin(estimate))).collect()
}

/// For each column that is a quantile: by how many values its rank is off at most in 95 % of all cases, as a bound (`PROOF.md`), in the
/// same row as [`expected_margins`].
pub fn expected_rank_margins(plan: &PrivatePlan, noise: &[OutputNoise], agents: u32) -> Result<Vec<(String, f64)>, AnswerError> {
    let variances = row_variances(plan, noise, agents, Row::Finest)?;
    let rank_margin = |estimate: &Estimate| {
        let Estimate::Quantile { histogram, .. } = unrounded(estimate) else { return None };
        let place = usize::from(*histogram);
        let Aggregate::Histogram { bins_log2, .. } = plan.outputs.get(place)?.aggregate else { return None };
        let nodes = f64::from(bins_log2) + 2.0;
        Some(margin_of_variance(nodes / 4.0 * variances.get(place)?, Z_95))
    };
    let columns = plan.columns.iter().filter_map(|column| Some((column.name.clone(), rank_margin(estimate_of(column)?)?)));
    Ok(columns.collect())
}

/// Which rows of an answer are meant.
#[derive(Clone, Copy)]
enum Row {
    /// Those that add up the fewest cells.
    Finest,
    /// Those that add up the most.
    Widest,
}

fn row_variances(plan: &PrivatePlan, noise: &[OutputNoise], agents: u32, row: Row) -> Result<Vec<f64>, AnswerError> {
    let layout = Layout::of(plan)?;
    if noise.len() != plan.vectors() {
        return Err(AnswerError::Shape("number of outputs"));
    }
    let cells = layout.sets.iter().map(|set| set.cells_per_row);
    let cells = match row {
        Row::Finest => cells.min(),
        Row::Widest => cells.max(),
    };
    let cells = cells.unwrap_or(1) as f64;
    Ok(cell_variances(plan, noise, agents).into_iter().map(|variance| variance * cells).collect())
}

fn known(rule: &Rule<'_>, estimate: &Estimate, plan: &PrivatePlan, variances: &[f64], values: Option<u64>) -> Option<f64> {
    let margin = match (rule, estimate) {
        (Rule::Linear(_), _) => exact_margin(rule, &[], variances, Z_95),
        (Rule::Ratio(..), Estimate::Mean { count, centred }) => {
            // Farthest from the midpoint the count's noise moves a mean most.
            let values = values? as f64;
            let mut numbers = vec![0.0; plan.outputs.len()];
            *numbers.get_mut(usize::from(*count))? = values;
            *numbers.get_mut(usize::from(*centred))? = values * Span::of(measured(plan, *centred)?).range / 2.0;
            exact_margin(&Rule::Ratio(Linear::output(*centred), Linear::output(*count)), &numbers, variances, Z_95)
        }
        (Rule::Rounded(rule, half), Estimate::Round(part, _)) => known(rule, part, plan, variances, values).map(|margin| margin + half),
        _ => None,
    };
    margin.filter(|margin| margin.is_finite())
}

fn unrounded(mut estimate: &Estimate) -> &Estimate {
    while let Estimate::Round(part, _) = estimate {
        estimate = part;
    }
    estimate
}
