//! Released cells added up over grouping sets, exactly: integers in lattice steps, 128 bits wide.

use std::borrow::Cow;

use commun_domain::plan::{Aggregate, MEAN_DIGITS};
use commun_domain::release::ResultRelease;

use super::AnswerError;
use super::layout::{Layout, Set};
use super::typed::Exact;
use crate::lattice::GAMMA_LOG2_RANGE;

/// The numbers of one output over the grid, and their unit `2^two 10^-ten`.
#[derive(Clone, Debug)]
pub(super) struct Numbers<'a> {
    pub(super) width: usize,
    pub(super) cells: Cow<'a, [i64]>,
    pub(super) two: i32,
    pub(super) ten: u32,
}

/// Digits of an output's native unit: `2^two 10^-ten` of the unit that people read.
pub(super) fn native_unit(aggregate: &Aggregate) -> (i32, u32) {
    // MEAN_DIGITS is 20; a centred value is twice its distance from the midpoint, and a square twice that one's square.
    let refined = i32::try_from(MEAN_DIGITS).unwrap_or(0);
    match aggregate {
        Aggregate::CountRows { .. } | Aggregate::CountUnits | Aggregate::Histogram { .. } => (0, 0),
        Aggregate::Sum { measured, .. } => (0, u32::from(measured.scale)),
        Aggregate::CentredSum { measured, .. } => (-refined - 1, u32::from(measured.scale)),
        Aggregate::CentredSquares { measured, .. } => (-refined - 3, 2 * u32::from(measured.scale)),
    }
}

/// The outputs of a release, their shapes checked.
pub(super) fn numbers<'a>(release: &'a ResultRelease, layout: &Layout) -> Result<Vec<Numbers<'a>>, AnswerError> {
    let outputs = &release.plan.outputs;
    if release.sums.len() != release.plan.vectors() || release.noise.len() != release.plan.vectors() {
        return Err(AnswerError::Shape("number of outputs"));
    }
    if release.plan.open_key().is_some_and(|open| open.names.is_none()) {
        return Err(AnswerError::Shape("names of the open group key"));
    }
    let all = outputs.iter().zip(&release.sums).zip(&release.noise).map(|((output, sums), noise)| {
        let width = usize::try_from(output.aggregate.width()).map_err(|_| AnswerError::TooLarge)?;
        if layout.cells.checked_mul(width) != Some(sums.cells.len()) {
            return Err(AnswerError::Shape("number of cells"));
        }
        if !GAMMA_LOG2_RANGE.contains(&noise.gamma_log2) {
            return Err(AnswerError::Shape("lattice step"));
        }
        let (two, ten) = native_unit(&output.aggregate);
        Ok(Numbers { width, cells: Cow::Borrowed(&sums.cells), two: noise.gamma_log2 + two, ten })
    });
    all.collect()
}

/// Sums of all outputs for all rows of all grouping sets.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    /// For each set, for each output: rows times width.
    sets: Vec<Vec<Vec<i128>>>,
    units: Vec<Unit>,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    width: usize,
    two: i32,
    ten: u32,
}

impl Sums {
    pub(super) fn of(layout: &Layout, numbers: &[Numbers<'_>]) -> Self {
        let sets = layout.sets.iter().map(|set| add_up(layout, set, numbers)).collect();
        let units = numbers.iter().map(|Numbers { width, two, ten, cells: _ }| Unit { width: *width, two: *two, ten: *ten }).collect();
        Self { sets, units }
    }

    /// One number of an output in a row of a set: the first, which is the only one but for histograms.
    pub(super) fn exact(&self, set: usize, row: usize, output: usize) -> Exact {
        let Unit { width, two, ten } = self.units[output];
        Exact { steps: self.sets[set][output][row * width], two, ten }
    }

    /// The nodes of a histogram in a row of a set, in values.
    pub(super) fn nodes(&self, set: usize, row: usize, output: usize) -> Vec<f64> {
        let Unit { width, two, ten } = self.units[output];
        let nodes = &self.sets[set][output][row * width..(row + 1) * width];
        nodes.iter().map(|steps| Exact { steps: *steps, two, ten }.to_f64()).collect()
    }
}

fn add_up(layout: &Layout, set: &Set, numbers: &[Numbers<'_>]) -> Vec<Vec<i128>> {
    let rows = layout.rows_of_cells(set);
    let add_output = |output: &Numbers<'_>| {
        let mut sums = vec![0i128; set.rows * output.width];
        for (cell, row) in output.cells.chunks_exact(output.width).zip(&rows) {
            for (sum, number) in sums[row * output.width..].iter_mut().zip(cell) {
                // At most a million numbers of 63 bits.
                *sum += i128::from(*number);
            }
        }
        sums
    };
    numbers.iter().map(add_output).collect()
}
