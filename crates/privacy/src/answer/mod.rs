//! From a result release to the table that a statistician reads: post-processing of noisy cells, free.
//!
//! Rows are those of the grouping sets, whose cells are added up exactly; columns are estimates with 95 % margins of the noise alone; then
//! HAVING, ORDER BY, OFFSET and LIMIT. Raw noisy numbers are written exactly, because unbiased estimates are made of them;
//! [`consistent_table`] gives non-negative integers instead to who asks for them. `PROOF.md` beside this file derives formulas and margins.
//!
//! A release may come from anywhere: whatever it holds, the result is a table or an [`AnswerError`].

mod clipped;
mod consistent;
mod estimate;
mod expected;
mod layout;
mod linear;
mod margin;
mod moments;
mod quantile;
mod resample;
mod rows;
mod sums;
mod typed;

use std::sync::Arc;

use commun_domain::Document;
use commun_domain::plan::{Aggregate, AnswerColumn, AnswerValue, Estimate, PrivatePlan};
use commun_domain::release::ResultRelease;

use estimate::Row;
use layout::Layout;
use margin::Margins;
use rows::{KeyOrders, SortValue};
use sums::Sums;

pub use clipped::{ClippedPeople, clipped_people, expected_clipped_margin};
pub use consistent::consistent_table;
pub use expected::{expected_margins, expected_rank_margins, widest_margins};
pub use layout::{MAX_ANSWER_NUMBERS, MAX_KEYS, MAX_SCALE, check};
pub use typed::{AnswerTable, Cell, Column, ColumnKind, Exact, Table};

/// Why an answer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Cells, noise and plan do not fit together.
    #[error("the result release does not fit its own plan: {0}")]
    Shape(&'static str),
    /// The plan's answer refers to what is not there.
    #[error("the plan has {0}")]
    Plan(&'static str),
    /// More rows or columns than an answer may have.
    #[error("the answer would have too many numbers; group by fewer keys, by fewer grouping sets, or ask for fewer columns")]
    TooLarge,
}

/// Which margins of error an answer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Intervals {
    /// None.
    None,
    /// Each interval holds the truth in 95 % of all cases, for itself.
    #[default]
    Each,
    /// All intervals of the answer hold at once in 95 % of all cases (Bonferroni over all rows before HAVING and LIMIT, and all estimates). What a
    /// bootstrap would be needed for, variances and quantiles, has none.
    All,
}

impl From<bool> for Intervals {
    fn from(each: bool) -> Self {
        if each { Self::Each } else { Self::None }
    }
}

/// The table of a result release as texts. With margins, `x_moe` stands after each estimate `x`.
pub fn table(release: &ResultRelease, margins: impl Into<Intervals>) -> Result<AnswerTable, AnswerError> {
    typed_table(release, margins).map(|table| table.texts())
}

/// The table of a result release. With margins, `x_moe` stands after each estimate `x`.
pub fn typed_table(release: &ResultRelease, margins: impl Into<Intervals>) -> Result<Table, AnswerError> {
    let intervals = margins.into();
    let layout = Layout::of(&release.plan)?;
    let numbers = sums::numbers(release, &layout)?;
    let shown = Sums::of(&layout, &numbers);
    let survivors = survivors(release)?;
    let reading = Reading { plan: &release.plan, layout: &layout, shown: &shown, raw: &shown };
    let kept = reading.kept_rows();
    let margins = (intervals != Intervals::None).then(|| {
        let estimates = release.plan.columns.iter().filter_map(estimate_of);
        let variances = margin::cell_variances(&release.plan, &release.noise, survivors);
        let each = Margins::new(&release.plan, estimates, variances, kept.len(), || release.hash());
        // HAVING and LIMIT have looked at the noise: every row could have been shown.
        let rows = layout.sets.iter().map(|set| set.rows).sum();
        if intervals == Intervals::All { each.all_at_once(rows) } else { each }
    });
    Ok(reading.table(&kept, margins.as_ref()))
}

/// The 95 % margin of one cell of an output of a release, in the units that people read; `None` where there is no such output.
pub fn margin(release: &ResultRelease, output: usize, survivors: u32) -> Option<f64> {
    let variances = margin::cell_variances(&release.plan, &release.noise, survivors);
    variances.get(output).map(|variance| crate::intervals::margin_of_variance(*variance, crate::intervals::Z_95))
}

/// Holders whose noise is in the sums.
fn survivors(release: &ResultRelease) -> Result<u32, AnswerError> {
    match u32::try_from(release.participants.len()) {
        Ok(0) | Err(_) => Err(AnswerError::Shape("number of holders")),
        Ok(survivors) => Ok(survivors),
    }
}

fn estimate_of(column: &AnswerColumn) -> Option<&Estimate> {
    match &column.value {
        AnswerValue::Estimate(estimate) => Some(estimate),
        AnswerValue::Key(_) | AnswerValue::Grouping(_) => None,
    }
}

/// A plan whose layout has been checked, and the sums that its estimates read.
#[derive(Clone, Copy, Debug)]
struct Reading<'a> {
    plan: &'a PrivatePlan,
    layout: &'a Layout,
    /// What bare outputs show.
    shown: &'a Sums,
    /// What means, variances and quantiles are computed from.
    raw: &'a Sums,
}

/// One row of one grouping set.
#[derive(Clone, Copy, Debug)]
struct Place {
    set: usize,
    row: usize,
    /// Its number among the rows of all sets.
    number: u64,
}

/// The numbers of one row.
struct Values {
    shown: Vec<f64>,
    raw: Vec<f64>,
    trees: Vec<Vec<f64>>,
}

impl Values {
    fn row(&self) -> Row<'_> {
        Row { shown: &self.shown, raw: &self.raw, trees: &self.trees }
    }
}

impl Reading<'_> {
    /// Rows that the answer shows, in its order.
    fn kept_rows(&self) -> Vec<Place> {
        let plan = self.plan;
        let all = self.layout.sets.iter().enumerate().flat_map(|(set, of)| (0..of.rows).map(move |row| (set, row)));
        let places = all.zip(0u64..).map(|((set, row), number)| Place { set, row, number });
        let orders = KeyOrders::of(plan);
        let mut kept: Vec<(Place, Vec<SortValue>)> = Vec::new();
        for place in places {
            if plan.having.is_none() && plan.order.is_empty() {
                kept.push((place, Vec::new()));
                continue;
            }
            let set = &self.layout.sets[place.set];
            let values = self.values(place);
            let shown = plan.having.as_ref().is_none_or(|having| rows::holds(having, plan, set, values.row()) == Some(true));
            if shown {
                kept.push((place, orders.sort_values(plan, set, &self.layout.places(set, place.row), values.row())));
            }
        }
        // Stable: equal rows keep the order of the grid.
        kept.sort_by(|(_, one), (_, other)| rows::compare_rows(&plan.order, one, other));
        let offset = usize::try_from(plan.offset).unwrap_or(usize::MAX);
        let limit = plan.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        kept.into_iter().skip(offset).take(limit).map(|(place, _)| place).collect()
    }

    fn values(&self, Place { set, row, .. }: Place) -> Values {
        let outputs = &self.plan.outputs;
        let numbers = |sums: &Sums| (0..outputs.len()).map(|output| sums.exact(set, row, output).to_f64()).collect();
        let tree = |output: usize| {
            if !matches!(outputs[output].aggregate, Aggregate::Histogram { .. }) {
                return Vec::new();
            }
            let mut nodes = self.raw.nodes(set, row, output);
            quantile::fit(&mut nodes);
            nodes
        };
        Values { shown: numbers(self.shown), raw: numbers(self.raw), trees: (0..outputs.len()).map(tree).collect() }
    }

    fn table(&self, kept: &[Place], margins: Option<&Margins<'_>>) -> Table {
        let labels: Vec<Vec<Arc<str>>> =
            self.plan.keys.iter().map(|key| key.values(self.plan).into_iter().map(Arc::from).collect()).collect();
        let rows = kept.iter().map(|place| self.cells(*place, &labels, margins)).collect();
        Table { columns: self.columns(margins.is_some()), rows }
    }

    fn columns(&self, margins: bool) -> Vec<Column> {
        let mut columns = Vec::new();
        for column in &self.plan.columns {
            let kind = match &column.value {
                AnswerValue::Key(key) => ColumnKind::Key(self.plan.keys[usize::from(*key)].kind()),
                AnswerValue::Grouping(_) => ColumnKind::Grouping,
                AnswerValue::Estimate(_) => ColumnKind::Estimate,
            };
            columns.push(Column { name: column.name.clone(), kind });
            if margins && kind == ColumnKind::Estimate {
                columns.push(Column { name: format!("{}_moe", column.name), kind: ColumnKind::Margin });
            }
        }
        columns
    }

    fn cells(&self, place: Place, labels: &[Vec<Arc<str>>], margins: Option<&Margins<'_>>) -> Vec<Cell> {
        let set = &self.layout.sets[place.set];
        let places = self.layout.places(set, place.row);
        let values = self.values(place);
        let margins = margins.map(|margins| margins.of_row(values.row(), set.cells_per_row, place.number));
        let mut margins = margins.map(Vec::into_iter);
        let mut cells = Vec::new();
        for column in &self.plan.columns {
            match &column.value {
                AnswerValue::Key(key) => {
                    let key = usize::from(*key);
                    cells.push(places[key].map_or(Cell::Null, |value| Cell::Text(Arc::clone(&labels[key][value]))));
                }
                AnswerValue::Grouping(keys) => cells.push(Cell::Whole(set.grouping(keys).into())),
                AnswerValue::Estimate(estimate) => {
                    let shown = self.estimate(estimate, place, values.row());
                    // What has no value has no error.
                    let has_value = shown != Cell::Null;
                    cells.push(shown);
                    if let Some(margins) = &mut margins {
                        let margin = margins.next().flatten().filter(|_| has_value);
                        cells.push(margin.map_or(Cell::Null, Cell::Float));
                    }
                }
            }
        }
        cells
    }

    fn estimate(&self, estimate: &Estimate, place: Place, row: Row<'_>) -> Cell {
        match estimate {
            Estimate::Output(output) => Cell::Exact(self.shown.exact(place.set, place.row, usize::from(*output))),
            other => estimate::value(other, self.plan, row).map_or(Cell::Null, Cell::Float),
        }
    }
}

#[cfg(test)]
mod tests;
