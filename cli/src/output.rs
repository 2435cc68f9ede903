//! Answers on standard output.

use std::io::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use commun_domain::release::ResultRelease;
use commun_privacy::accountant::epsilon_for_rho;
use commun_privacy::answer::{AnswerTable, Intervals, clipped_people, consistent_table, margin, table};

use crate::args::{Format, ShownArgs};
use crate::error::CliError;
use crate::notes::{centre_factor, numbers_guarantees};

/// Most rows that the table for people shows; CSV shows all.
pub const MAX_TABLE_ROWS: usize = 200;

/// How the numbers of an answer are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As they were released, which is what sums and averages are made of.
    Raw(Intervals),
    /// Counts as whole numbers that add up.
    Consistent,
}

impl Shown {
    /// What the flags say or, without one, the setting before the question.
    pub fn of(args: ShownArgs, set: Option<Intervals>) -> Self {
        let ShownArgs { no_intervals, simultaneous, consistent } = args;
        match (no_intervals, simultaneous, consistent) {
            (_, _, true) => Self::Consistent,
            (_, true, _) => Self::Raw(Intervals::All),
            (true, ..) => Self::Raw(Intervals::None),
            _ => Self::Raw(set.unwrap_or_default()),
        }
    }

    /// Whether there are columns with margins of error.
    pub fn has_margins(self) -> bool {
        matches!(self, Self::Raw(Intervals::Each | Intervals::All))
    }

    /// The table of a release.
    ///
    /// # Errors
    /// A release that does not fit its own plan.
    pub fn table(self, release: &ResultRelease) -> Result<AnswerTable, CliError> {
        let shown = match self {
            Self::Raw(intervals) => table(release, intervals),
            Self::Consistent => consistent_table(release).map(|table| table.texts()),
        };
        shown.map_err(|e| CliError::Document(e.to_string()))
    }

    pub(crate) fn note(self) -> Option<&'static str> {
        match self {
            Self::Raw(Intervals::All) => Some("all margins hold at once in 95 % of all cases; variances and quantiles have none"),
            Self::Consistent => Some(
                "counts are made consistent: small cells are too high on average and large ones too low, so sum and average the released numbers instead",
            ),
            Self::Raw(Intervals::Each | Intervals::None) => None,
        }
    }
}

/// Writes an answer.
pub fn write_answer(out: &mut impl Write, table: &AnswerTable, keys: usize, format: Format) -> Result<(), CliError> {
    match format {
        Format::Csv => {
            let mut writer = csv::Writer::from_writer(out);
            let fault = |e: csv::Error| CliError::Output(std::io::Error::other(e));
            writer.write_record(&table.columns).map_err(fault)?;
            for row in &table.rows {
                writer.write_record(row).map_err(fault)?;
            }
            writer.flush().map_err(CliError::Output)
        }
        Format::Table => {
            let mut view = plain_table();
            view.set_header(&table.columns);
            for row in table.rows.iter().take(MAX_TABLE_ROWS) {
                view.add_row(row);
            }
            for column in view.column_iter_mut().skip(keys) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            writeln!(out, "{view}").map_err(CliError::Output)?;
            if table.rows.len() > MAX_TABLE_ROWS {
                writeln!(out, "… {} more rows; --format csv shows all", table.rows.len() - MAX_TABLE_ROWS).map_err(CliError::Output)?;
            }
            Ok(())
        }
    }
}

/// A table without heavy lines.
pub fn plain_table() -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// The same facts for programs.
pub fn report(release: &ResultRelease, stored: bool) -> serde_json::Value {
    let survivors = u32::try_from(release.participants.len()).unwrap_or(u32::MAX);
    let outputs: Vec<_> = release
        .plan
        .outputs
        .iter()
        .enumerate()
        .map(|(index, output)| serde_json::json!({ "name": output.name, "margin_95": margin(release, index, survivors) }))
        .collect();
    let clipped = clipped_people(release).unwrap_or_default().into_iter();
    let clipped =
        clipped.map(|clipped| serde_json::json!({ "period": clipped.period, "people": clipped.people, "margin_95": clipped.margin }));
    let clipped: Vec<_> = clipped.collect();
    let lost = numbers_guarantees(release, survivors).filter(|_| !release.unmasked).map(|lost| {
        serde_json::json!({
            "coordinator_alone_rho": lost.coordinator_alone.to_f64(),
            "with_colluders_rho": lost.with_colluders.to_f64(),
            "all_others_rho": lost.all_others.to_f64(),
        })
    });
    serde_json::json!({
        "query_id": release.query.to_string(),
        "stored": stored,
        "cells": release.plan.cells(),
        "holders": release.participants,
        "holders_listed": release.listed,
        "threshold": release.threshold,
        "colluders": release.colluders,
        "members": release.members,
        "honest": release.honest(),
        "unmasked": release.unmasked,
        "centre_factor": centre_factor(release, survivors),
        "guarantees": lost,
        "transcript": release.transcript.map(|transcript| transcript.to_string()),
        "rho": release.rho.to_f64(),
        "rho_units": release.rho.units(),
        "epsilon": epsilon_for_rho(release.rho, release.delta_conv),
        "delta": release.delta_conv.to_f64(),
        "delta_names": release.delta.to_f64(),
        "outputs": outputs,
        "clipped": clipped,
        "released_at_ms": release.released_at_ms,
    })
}

/// A text on one line, without signs that a terminal would obey.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect()
}
