//! From a result release to the table that a statistician reads: post-processing of noisy cells, free.
//!
//! Raw values are written exactly (multiples of the lattice step, never rounded to integers), because unbiased estimates are made of
//! them; margins are 95 % margins of the noise alone. What is not here: rounding to integers, consistency between margins.

use commun_domain::plan::{Aggregate, AnswerColumn};
use commun_domain::release::ResultRelease;

use crate::intervals::margin_95;
use crate::lattice::dequantise;

/// A table of texts, rows in grid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerTable {
    /// Names; an output `x` is followed by `x_moe` when margins are wanted.
    pub columns: Vec<String>,
    /// As many texts a row as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// Why a release cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Cells, noise and plan do not fit together.
    #[error("the result release does not fit its own plan: {0}")]
    Shape(&'static str),
}

/// The table of a result release. `margins` adds `x_moe` after each output `x`.
pub fn table(release: &ResultRelease, margins: bool) -> Result<AnswerTable, AnswerError> {
    let plan = &release.plan;
    let cells = plan.cells().and_then(|cells| usize::try_from(cells).ok()).ok_or(AnswerError::Shape("too many cells"))?;
    if release.sums.len() != plan.outputs.len() || release.noise.len() != plan.outputs.len() {
        return Err(AnswerError::Shape("number of outputs"));
    }
    if release.sums.iter().any(|sums| sums.cells.len() != cells) {
        return Err(AnswerError::Shape("number of cells"));
    }
    let survivors = u32::try_from(release.participants.len()).map_err(|_| AnswerError::Shape("number of holders"))?;
    let keys: Vec<Vec<String>> = plan.keys.iter().map(|key| key.values(plan)).collect();
    let margin_texts: Vec<String> = (0..plan.outputs.len()).map(|output| margin_text(release, output, survivors)).collect();

    let mut columns = Vec::new();
    for column in &plan.columns {
        match *column {
            AnswerColumn::Key(key) => columns.push(plan.keys.get(usize::from(key)).ok_or(AnswerError::Shape("key"))?.name.clone()),
            AnswerColumn::Output(output) => {
                let name = &plan.outputs.get(usize::from(output)).ok_or(AnswerError::Shape("output"))?.name;
                columns.push(name.clone());
                if margins {
                    columns.push(format!("{name}_moe"));
                }
            }
        }
    }

    let rows = (0..cells)
        .map(|cell| {
            let indices = key_indices(cell, &keys);
            let mut row = Vec::with_capacity(columns.len());
            for column in &plan.columns {
                match *column {
                    AnswerColumn::Key(key) => row.push(keys[usize::from(key)][indices[usize::from(key)]].clone()),
                    AnswerColumn::Output(output) => {
                        let output = usize::from(output);
                        let raw = dequantise(release.sums[output].cells[cell], release.noise[output].gamma_log2);
                        row.push(shift_point(&raw, scale(&plan.outputs[output].aggregate)));
                        if margins {
                            row.push(margin_texts[output].clone());
                        }
                    }
                }
            }
            row
        })
        .collect();
    Ok(AnswerTable { columns, rows })
}

/// Which value of each key a cell stands for: the row-major order of `PrivatePlan::cells`.
fn key_indices(mut cell: usize, keys: &[Vec<String>]) -> Vec<usize> {
    let mut indices = vec![0; keys.len()];
    for (index, values) in indices.iter_mut().zip(keys).rev() {
        *index = cell % values.len();
        cell /= values.len();
    }
    indices
}

fn scale(aggregate: &Aggregate) -> u8 {
    match aggregate {
        Aggregate::Sum { scale, .. } => *scale,
        Aggregate::CountRows { .. } | Aggregate::CountUnits => 0,
    }
}

/// The 95 % margin of one output of a release, in its native unit (persons, rows, units of the summed column).
pub fn margin(release: &ResultRelease, output: usize, survivors: u32) -> f64 {
    let noise = &release.noise[output];
    native_margin(margin_95(survivors, noise.s2, noise.gamma_log2), &release.plan.outputs[output].aggregate)
}

/// A margin in units of 10^-scale as one in native units.
#[expect(clippy::float_arithmetic, reason = "post-processing: margins of error are shown, nothing is released by them")]
pub fn native_margin(margin: f64, aggregate: &Aggregate) -> f64 {
    margin / 10f64.powi(i32::from(scale(aggregate)))
}

fn margin_text(release: &ResultRelease, output: usize, survivors: u32) -> String {
    let text = format!("{:.6}", margin(release, output, survivors));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Moves the decimal point of an exact decimal `scale` digits to the left.
fn shift_point(text: &str, scale: u8) -> String {
    if scale == 0 {
        return text.to_owned();
    }
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::from(scale);
    let padded = format!("{whole:0>width$}", width = scale + 1);
    let (whole, moved) = padded.split_at(padded.len() - scale);
    let fraction = format!("{moved}{fraction}");
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_point_moves_exactly() {
        for (text, scale, expected) in
            [("-3.25", 0, "-3.25"), ("12345", 2, "123.45"), ("-5", 2, "-0.05"), ("1200", 2, "12"), ("0.75", 3, "0.00075"), ("0", 4, "0")]
        {
            assert_eq!(shift_point(text, scale), expected);
        }
    }

    #[test]
    fn cells_are_row_major() {
        let keys = vec![vec![String::new(); 2], vec![String::new(); 3]];
        assert_eq!(key_indices(0, &keys), [0, 0]);
        assert_eq!(key_indices(2, &keys), [0, 2]);
        assert_eq!(key_indices(5, &keys), [1, 2]);
    }
}
