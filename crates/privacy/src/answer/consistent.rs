//! Counts as people expect them: non-negative integers whose margins add up.
//!
//! The noisy cells of each count are projected onto the numbers that are nowhere below 0 and have the same total (least squares), and then
//! rounded to integers by largest remainder. Margins are added up from those integers, so that every table of a release agrees with
//! every other. It is post-processing, free, and it has a price in accuracy: a cell that holds nobody is shown as 0 or more, never less, so
//! the expectation of small cells is too high and that of large ones too low by what the small ones gained. Sums over many small cells, and
//! averages over many releases, belong to the raw numbers, which [`super::table`] always shows.

use std::borrow::Cow;

use commun_domain::plan::Aggregate;
use commun_domain::release::ResultRelease;

use super::layout::Layout;
use super::sums::{Numbers, Sums, numbers};
use super::typed::Table;
use super::{AnswerError, Reading, survivors};

/// The table of a release with consistent counts: `COUNT`, `COUNT(DISTINCT unit)` and sums of integers of which none is below 0.
///
/// What is computed from these outputs by arithmetic follows them, and so do HAVING and ORDER BY. Means, variances, quantiles and all other
/// outputs stay as they are. There are no margins of error: those of the raw numbers are not centred here.
pub fn consistent_table(release: &ResultRelease) -> Result<Table, AnswerError> {
    let layout = Layout::of(&release.plan)?;
    let raw = numbers(release, &layout)?;
    survivors(release)?;
    let adjusted = raw
        .iter()
        .zip(&release.plan.outputs)
        .map(|(numbers, output)| if is_count(&output.aggregate) { consistent(numbers) } else { Ok(numbers.clone()) });
    let adjusted: Vec<Numbers<'_>> = adjusted.collect::<Result<_, _>>()?;
    let (shown, raw) = (Sums::of(&layout, &adjusted), Sums::of(&layout, &raw));
    let reading = Reading { plan: &release.plan, layout: &layout, shown: &shown, raw: &raw };
    Ok(reading.table(&reading.kept_rows(), None))
}

fn is_count(aggregate: &Aggregate) -> bool {
    match aggregate {
        Aggregate::CountRows { .. } | Aggregate::CountUnits => true,
        Aggregate::Sum { measured, .. } => measured.scale == 0 && measured.lo >= 0,
        Aggregate::CentredSum { .. } | Aggregate::CentredSquares { .. } | Aggregate::Histogram { .. } => false,
    }
}

fn consistent<'a>(raw: &Numbers<'_>) -> Result<Numbers<'a>, AnswerError> {
    // Steps that make one unit; a coarser lattice stays one, of whole units.
    let per_unit = 1i128 << (-raw.two).clamp(0, 64);
    let cells =
        projected(&raw.cells, per_unit).into_iter().map(i64::try_from).collect::<Result<_, _>>().map_err(|_| AnswerError::TooLarge)?;
    Ok(Numbers { width: raw.width, cells: Cow::Owned(cells), two: raw.two.max(0), ten: raw.ten })
}

/// The integers: the projection of `steps / per_unit` onto {x >= 0, sum x = max(0, total)}, rounded so that their sum is the rounded total.
///
/// The projection subtracts one number from all cells and cuts off at 0 (Held, Wolfe and Crowder 1974; Duchi et al. 2008). All of it is exact:
/// with `kept` cells above 0 and `surplus = their sum - total`, a cell is `(x kept - surplus) / (kept per_unit)`, two integers of at most 85 bits.
fn projected(steps: &[i64], per_unit: i128) -> Vec<i128> {
    let total = steps.iter().map(|x| i128::from(*x)).sum::<i128>().max(0);
    let mut descending: Vec<i128> = steps.iter().map(|x| i128::from(*x)).collect();
    descending.sort_unstable_by(|one, other| other.cmp(one));
    let (mut kept, mut surplus, mut sum) = (0, 0, 0);
    for (count, x) in (1i128..).zip(&descending) {
        sum += x;
        if x * count <= sum - total {
            break;
        }
        (kept, surplus) = (count, sum - total);
    }
    let denominator = kept.max(1) * per_unit;
    let mut integers = vec![0; steps.len()];
    let mut remainders = Vec::new();
    let mut left = (2 * total + per_unit) / (2 * per_unit);
    for (place, x) in steps.iter().enumerate() {
        let numerator = i128::from(*x) * kept - surplus;
        if numerator > 0 {
            integers[place] = numerator / denominator;
            left -= integers[place];
            remainders.push((numerator % denominator, place));
        }
    }
    // Fewer than one unit a kept cell is left. Equal remainders: the first in the grid.
    remainders.sort_by(|(one, _), (other, _)| other.cmp(one));
    for (_, place) in remainders.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        integers[place] += 1;
    }
    integers
}

#[cfg(test)]
mod tests;
