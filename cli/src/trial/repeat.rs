//! Many independent noisy answers to one question as Parquet, for whoever wants to test the noise.
//!
//! One row for each answer, cell and output: `run`, `output`, `cell` and `value`, in native units (people, rows, 10^-scale of a sum). Clipped people, if they are asked for,
//! are an output of one cell, or of one for each period where that is a key.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray, UInt64Array};
use arrow::record_batch::RecordBatch;
use commun_domain::release::ResultRelease;
use parquet::arrow::ArrowWriter;

use crate::error::CliError;

/// Writes `runs` answers; the first one is given.
pub(super) fn write(
    path: &Path,
    runs: u64,
    first: &ResultRelease,
    mut release: impl FnMut() -> Result<ResultRelease, CliError>,
) -> Result<(), CliError> {
    let fault = |e: &dyn std::fmt::Display| CliError::Output(std::io::Error::other(e.to_string()));
    let file = File::create(path).map_err(|source| CliError::File { path: path.display().to_string(), source })?;
    let mut batch = batch(first, 0).map_err(|e| fault(&e))?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).map_err(|e| fault(&e))?;
    for run in 1..=runs {
        writer.write(&batch).map_err(|e| fault(&e))?;
        if run < runs {
            batch = self::batch(&release()?, run).map_err(|e| fault(&e))?;
        }
    }
    writer.close().map_err(|e| fault(&e))?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "noisy numbers for a statistical test; the exact ones are in a release")]
fn batch(release: &ResultRelease, run: u64) -> Result<RecordBatch, arrow::error::ArrowError> {
    let (mut outputs, mut cells, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let names = release.plan.outputs.iter().map(|output| output.name.as_str()).chain(release.plan.clipped.map(|_| "clipped people"));
    for ((name, sums), noise) in names.zip(&release.sums).zip(&release.noise) {
        for (cell, sum) in (0u64..).zip(&sums.cells) {
            outputs.push(name);
            cells.push(cell);
            values.push(*sum as f64 * 2f64.powi(noise.gamma_log2));
        }
    }
    let runs: ArrayRef = Arc::new(UInt64Array::from(vec![run; cells.len()]));
    RecordBatch::try_from_iter([
        ("run", runs),
        ("output", Arc::new(StringArray::from(outputs)) as ArrayRef),
        ("cell", Arc::new(UInt64Array::from(cells))),
        ("value", Arc::new(Float64Array::from(values))),
    ])
}
