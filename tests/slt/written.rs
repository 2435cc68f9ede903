//! The question's own text in `PostgreSQL`: the judge of how it was compiled.
//!
//! The text knows no bound on a person, so it is held against the plan without bounds, both computed by `PostgreSQL`; the engine has no
//! part in it. Counts and sums must be equal to the last digit. Means, variances and arithmetic on aggregates are computed here once more,
//! in floating point, and quantiles are looked for in the plan's bins. Rows of the answer are all cells of the grid, so a row that the
//! text does not have must be empty, and a row off the grid is passed over.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "numbers of a few rows, compared within a tolerance"
)]

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use commun_domain::QueryId;
use commun_domain::plan::answer::FRACTION_DIGITS;
use commun_domain::plan::{Aggregate, AnswerCondition, AnswerValue, CompareOp, Estimate, PrivatePlan};

use crate::dataset::Dataset;
use crate::oracle::{self, label, scale_of, units};
use crate::postgres::Postgres;

/// More rows and groups than any person of the tests has.
const NO_BOUND: u32 = 1_000_000;

/// How far two computations in floating point may lie apart, of the greater one.
const TOLERANCE: f64 = 1e-7;

/// A row of the answer: of each key its place, or none where the row adds up over it.
type Place = Vec<Option<usize>>;

/// What a row adds up.
struct Sums {
    outputs: Vec<i128>,
    /// Bins of those outputs that are histograms.
    bins: Vec<Option<Vec<i128>>>,
}

/// What differs between the text and the plan, if anything.
pub(crate) fn difference(sql: &str, plan: &PrivatePlan, dataset: &Dataset, postgres: &Postgres) -> Result<Option<String>> {
    let rows = without_bounds(plan, dataset, postgres)?;
    let printed = match postgres.run(&dataset.name, &format!("{};", sql.trim().trim_end_matches(';'))) {
        Ok(printed) => printed,
        Err(error) => return Ok(Some(format!("PostgreSQL does not run the text: {error:#}"))),
    };
    let labels: Vec<HashMap<String, usize>> = plan.keys.iter().map(|key| key.values(plan).into_iter().zip(0..).collect()).collect();
    let mut seen: HashSet<Place> = HashSet::new();
    for line in printed.lines() {
        let values: Vec<&str> = line.split('\t').collect();
        ensure!(values.len() == plan.columns.len(), "the text has {} columns, the plan {}", values.len(), plan.columns.len());
        let mut place: Place = vec![None; plan.keys.len()];
        let mut off_grid = false;
        for (value, column) in values.iter().zip(&plan.columns) {
            let AnswerValue::Key(key) = column.value else { continue };
            let key = usize::from(key);
            place[key] = labels[key].get(&label(value, plan.keys[key].kind())).copied();
            off_grid |= place[key].is_none() && (*value != "NULL" || plan.grouping_sets.is_empty());
        }
        let Some(sums) = rows.get(&place).filter(|_| !off_grid) else { continue };
        if !seen.insert(place.clone()) {
            return Ok(Some(format!("two rows of the text stand for one of the answer: {line}; keep NULL out of the keys")));
        }
        if plan.having.as_ref().is_some_and(|having| sums.holds(plan, having) != Some(true)) {
            return Ok(Some(format!("HAVING does not hold for the text's row {line}")));
        }
        for (value, column) in values.iter().zip(&plan.columns) {
            if let Some(ours) = sums.differs(plan, &column.value, value, &place)? {
                return Ok(Some(format!("{}: the text has {value} in the row {line}, the plan {ours}", column.name)));
            }
        }
    }
    if plan.limit.is_none() && plan.offset == 0 {
        for (place, sums) in rows.iter().filter(|(place, _)| !seen.contains(*place)) {
            let shown = plan.having.as_ref().is_none_or(|having| sums.holds(plan, having) == Some(true));
            if shown && sums.outputs.iter().any(|total| *total != 0) {
                return Ok(Some(format!("the text has no row {place:?}, the plan has {:?}", sums.outputs)));
            }
        }
    }
    Ok(None)
}

/// The rows of the answer, all of everyone's rows and groups counted.
fn without_bounds(plan: &PrivatePlan, dataset: &Dataset, postgres: &Postgres) -> Result<HashMap<Place, Sums>> {
    let mut unbounded = PrivatePlan { max_groups_per_person: NO_BOUND, ..plan.clone() };
    for output in &mut unbounded.outputs {
        match &mut output.aggregate {
            Aggregate::CountUnits => {}
            Aggregate::CountRows { max_rows_per_person: most }
            | Aggregate::Sum { max_rows_per_person: most, .. }
            | Aggregate::CentredSum { max_rows_per_person: most, .. }
            | Aggregate::CentredSquares { max_rows_per_person: most, .. }
            | Aggregate::Histogram { max_rows_per_person: most, .. } => *most = NO_BOUND,
        }
    }
    let cells = oracle::groups(&unbounded, dataset, postgres)?.bounded(&unbounded, &QueryId::from_bytes([0; 32]))?.cells;
    let leaves = unbounded.outputs.iter().map(|output| oracle::leaves(&unbounded, output, dataset, postgres));
    let leaves = leaves.collect::<Result<Vec<_>>>()?;
    let whole: Vec<u16> = (0..plan.keys.len()).map(u16::try_from).collect::<Result<_, _>>()?;
    let sets: Vec<&[u16]> =
        if plan.grouping_sets.is_empty() { vec![&whole] } else { plan.grouping_sets.iter().map(|set| set.keys.as_slice()).collect() };
    let mut rows: HashMap<Place, Sums> = HashMap::new();
    for set in sets.into_iter().collect::<HashSet<_>>() {
        for cell in 0..usize::try_from(plan.cells().context("the grid is too large")?)? {
            let (mut rest, mut place) = (cell, vec![None; plan.keys.len()]);
            for (index, key) in plan.keys.iter().enumerate().rev() {
                place[index] = set.iter().any(|grouped| usize::from(*grouped) == index).then_some(rest % key.cardinality(plan));
                rest /= key.cardinality(plan);
            }
            let bins_of = |leaves: &Option<oracle::Leaves>| leaves.as_ref().map(|leaves| vec![0; leaves.cells[cell].len()]);
            let sums =
                rows.entry(place).or_insert_with(|| Sums { outputs: vec![0; cells.len()], bins: leaves.iter().map(bins_of).collect() });
            for (sum, output) in sums.outputs.iter_mut().zip(&cells) {
                *sum += output[cell];
            }
            for (bins, leaves) in sums.bins.iter_mut().flatten().zip(leaves.iter().flatten()) {
                for (sum, count) in bins.iter_mut().zip(&leaves.cells[cell]) {
                    *sum += count;
                }
            }
        }
    }
    Ok(rows)
}

impl Sums {
    /// What the plan has, if that is not what `PostgreSQL` prints.
    fn differs(&self, plan: &PrivatePlan, column: &AnswerValue, printed: &str, place: &Place) -> Result<Option<String>> {
        Ok(match column {
            AnswerValue::Key(_) => None,
            AnswerValue::Grouping(keys) => {
                let bits = keys.iter().fold(0u64, |bits, key| 2 * bits + u64::from(place[usize::from(*key)].is_none()));
                (printed.parse() != Ok(bits)).then(|| bits.to_string())
            }
            AnswerValue::Estimate(Estimate::Output(output)) => {
                let output = usize::from(*output);
                let (ours, scale) = (self.outputs[output], scale_of(&plan.outputs[output].aggregate));
                (units(printed, scale) != Some(ours)).then(|| format!("{ours} of scale {scale}"))
            }
            AnswerValue::Estimate(Estimate::Quantile { histogram, fraction }) => {
                self.quantile_differs(plan, usize::from(*histogram), *fraction, printed)?
            }
            AnswerValue::Estimate(estimate) => {
                let ours = self.number(plan, estimate);
                let theirs = if printed == "NULL" { None } else { Some(printed.parse::<f64>()?) };
                let same = match (ours, theirs) {
                    (Some(ours), Some(theirs)) => close(ours, theirs),
                    (None, None) => true,
                    _ => false,
                };
                (!same).then(|| format!("{ours:?}"))
            }
        })
    }

    /// `PERCENTILE_CONT` lies between two values of neighbouring ranks, so its bin lies between theirs.
    fn quantile_differs(&self, plan: &PrivatePlan, histogram: usize, millionths: u32, printed: &str) -> Result<Option<String>> {
        let (Aggregate::Histogram { measured, bins_log2, .. }, Some(bins)) = (&plan.outputs[histogram].aggregate, &self.bins[histogram])
        else {
            return Ok(Some("no histogram".to_owned()));
        };
        let total: i128 = bins.iter().sum();
        if total == 0 || printed == "NULL" {
            return Ok((total != 0 || printed != "NULL").then(|| format!("{total} values")));
        }
        let one = 10i128.pow(FRACTION_DIGITS.into());
        let rank = i128::from(millionths) * (total - 1);
        let bin_of_rank = |rank: i128| {
            let mut before = 0;
            bins.iter().position(|count| {
                before += count;
                before > rank
            })
        };
        let (low, high) = (bin_of_rank(rank / one), bin_of_rank((rank + one - 1) / one));
        let units = printed.parse::<f64>()? * 10f64.powi(measured.scale.into());
        let width = (measured.hi - measured.lo + 1) as f64 / f64::from(1u32 << bins_log2);
        // A hair on each side, for what floating point rounds.
        let bin = |hair: f64| (((units + hair - measured.lo as f64) / width).floor().max(0.0)) as usize;
        let inside = low.is_some_and(|low| bin(1e-3) >= low) && high.is_some_and(|high| bin(-1e-3) <= high);
        Ok((!inside).then(|| format!("it in bins {low:?} to {high:?} of width {width}")))
    }

    fn holds(&self, plan: &PrivatePlan, condition: &AnswerCondition) -> Option<bool> {
        let all = |parts: &[AnswerCondition], neutral: bool| {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| self.holds(plan, part)).collect();
            if parts.contains(&Some(!neutral)) { Some(!neutral) } else { parts.iter().all(Option::is_some).then_some(neutral) }
        };
        match condition {
            AnswerCondition::And(parts) => all(parts, true),
            AnswerCondition::Or(parts) => all(parts, false),
            AnswerCondition::Not(part) => self.holds(plan, part).map(|truth| !truth),
            AnswerCondition::Compare { op, left, right } => {
                let (left, right) = (self.number(plan, left)?, self.number(plan, right)?);
                let order = if close(left, right) { std::cmp::Ordering::Equal } else { left.total_cmp(&right) };
                Some(CompareOp::holds(*op, order))
            }
            AnswerCondition::IsNull(value) => Some(self.number(plan, value).is_none()),
            AnswerCondition::Grouping { .. } => None,
        }
    }

    /// An estimate in floating point; `None` is NULL. A quantile has no number here.
    fn number(&self, plan: &PrivatePlan, estimate: &Estimate) -> Option<f64> {
        let of = |estimate: &Estimate| self.number(plan, estimate);
        let output = |index: u16| self.outputs[usize::from(index)] as f64;
        let measured = |index: u16| plan.outputs[usize::from(index)].aggregate.measured();
        let unit = |scale: u8| 10f64.powi(-i32::from(scale));
        let refined = f64::from(1u32 << commun_domain::plan::MEAN_DIGITS);
        match estimate {
            Estimate::Output(index) => Some(output(*index) * unit(scale_of(&plan.outputs[usize::from(*index)].aggregate))),
            Estimate::Constant { units, scale } => Some(*units as f64 * unit(*scale)),
            Estimate::Mean { count, centred } => {
                let (n, of) = (output(*count), measured(*centred)?);
                (n > 0.0).then(|| (output(*centred) / refined / n + of.lo as f64 + of.hi as f64) / 2.0 * unit(of.scale))
            }
            Estimate::Variance { count, centred, squares, sample, root } => {
                let (n, of) = (output(*count), measured(*centred)?);
                let range = (of.hi - of.lo) as f64;
                let mean = output(*centred) / refined / n;
                let mean_square = f64::midpoint(output(*squares) / refined / n, range * range);
                let below = if *sample { n - 1.0 } else { n };
                let variance = (mean_square - mean * mean).max(0.0) / 4.0 * unit(of.scale).powi(2) * n / below;
                (below > 0.0).then(|| if *root { variance.sqrt() } else { variance })
            }
            Estimate::Quantile { .. } => None,
            Estimate::Add(left, right) => Some(of(left)? + of(right)?),
            Estimate::Subtract(left, right) => Some(of(left)? - of(right)?),
            Estimate::Multiply(left, right) => Some(of(left)? * of(right)?),
            Estimate::Divide(left, right) => of(left).zip(of(right)).filter(|(_, right)| *right != 0.0).map(|(left, right)| left / right),
            Estimate::Round(value, digits) => of(value).map(|value| (value / unit(*digits)).round() * unit(*digits)),
            Estimate::Least(values) => values.iter().filter_map(of).min_by(f64::total_cmp),
            Estimate::Greatest(values) => values.iter().filter_map(of).max_by(f64::total_cmp),
            Estimate::Coalesce(values) => values.iter().find_map(of),
            Estimate::NullIf(left, right) => of(left).filter(|left| of(right).is_none_or(|right| !close(*left, right))),
        }
    }
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= TOLERANCE * left.abs().max(right.abs()).max(TOLERANCE)
}
