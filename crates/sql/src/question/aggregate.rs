//! Aggregate functions: what each needs from the holders, and how the answer is computed from that.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::{Aggregate, Condition, Estimate, MAX_BINS_LOG2, MAX_HISTOGRAM_VALUES_PER_PERSON, MEAN_DIGITS, Measured};
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, OrderByExpr, OrderByOptions,
};

use super::expression::{called, is_not_null};
use super::literal::{Written, fixed_point, written};
use super::scope::{Meaning, Scope};
use super::types::{Type, Typed};
use crate::refuse::{bare, invalid, not_private, place_of, place_of_name};

/// Every aggregate function that is read, and what it is called in an answer without an alias.
pub const AGGREGATES: &[(&str, &str)] = &[
    ("approx_median", "median"),
    ("approx_percentile_cont", "quantile"),
    ("avg", "avg"),
    ("count", "count"),
    ("mean", "avg"),
    ("median", "median"),
    ("percentile_cont", "quantile"),
    ("quantile_cont", "quantile"),
    ("stddev", "stddev"),
    ("stddev_pop", "stddev_pop"),
    ("stddev_samp", "stddev"),
    ("sum", "sum"),
    ("var", "var"),
    ("var_pop", "var_pop"),
    ("var_samp", "var"),
    ("variance", "var"),
];

/// log2 of the bins of a histogram, where its range and the number of cells allow them.
const BINS_LOG2: u8 = 10;

/// Numbers that are aggregated lie within 2^40 units, as the columns of a contract do.
const LIMIT: i64 = 1 << 40;

/// What leaves the holders, each thing once: two columns of the answer may need the same.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    pub(crate) all: Vec<(Aggregate, Option<Condition>, String)>,
}

impl Outputs {
    fn index(&mut self, aggregate: Aggregate, condition: Option<Condition>, name: &str) -> u16 {
        let known = self.all.iter().position(|(other, with, _)| *other == aggregate && *with == condition);
        let index = known.unwrap_or_else(|| {
            self.all.push((aggregate, condition, name.to_owned()));
            self.all.len() - 1
        });
        u16::try_from(index).unwrap_or(u16::MAX)
    }

    /// The greatest number of bins that leaves the grid of `cells` cells within its limit.
    pub(crate) fn fit_histograms(&mut self, cells: u64) {
        for (aggregate, ..) in &mut self.all {
            if let Aggregate::Histogram { bins_log2, .. } = aggregate {
                while *bins_log2 > 1 && cells.saturating_mul((2u64 << *bins_log2) - 1) > commun_domain::plan::MAX_CELLS {
                    *bins_log2 -= 1;
                }
            }
        }
    }
}

/// Whether an expression calls an aggregate function somewhere outside a subquery.
pub(crate) fn has_aggregate(expr: &Expr) -> bool {
    let mut found = false;
    let _ = sqlparser::ast::visit_expressions(expr, |part| {
        if let Expr::Function(function) = part {
            let name = called(function).unwrap_or_default();
            found |= is_aggregate(&name) || name == "grouping";
        }
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

pub(crate) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.iter().any(|(known, _)| *known == name) || matches!(name, "min" | "max")
}

/// A call taken apart.
struct Call<'e> {
    name: String,
    at: Option<Position>,
    distinct: bool,
    args: &'e [FunctionArg],
    within_group: &'e [OrderByExpr],
    condition: Option<Condition>,
}

impl Scope<'_> {
    /// An aggregate function as an estimate. `named` is the column of the answer that first needs it.
    pub(crate) fn aggregate(&self, function: &Function, outputs: &mut Outputs, named: &str) -> Result<Estimate, Refusal> {
        let call = self.call(function)?;
        let rows = self.max_rows;
        let unit = &self.contract.unit_column;
        let condition = call.condition.clone();
        match (call.name.as_str(), call.distinct, call.args) {
            ("count", false, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]) => {
                Ok(Estimate::Output(outputs.index(Aggregate::CountRows { max_rows_per_person: rows }, condition, named)))
            }
            ("count", true, [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]) => {
                if let Some(Meaning::Unit) = self.column(arg)? {
                    return Ok(Estimate::Output(outputs.index(Aggregate::CountUnits, condition, named)));
                }
                Err(not_private(
                    place_of(arg),
                    "only people are counted as distinct",
                    format!("write COUNT(DISTINCT {unit}), or group by the expression and count the cells of the answer"),
                ))
            }
            ("count", false, [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]) => {
                // Rows without unit or partition count nowhere, so that these two are never NULL.
                let counted = if let Some(Meaning::Unit | Meaning::Partition) = self.column(arg)? {
                    condition
                } else {
                    let value = self.typed(arg, 1)?;
                    if value.as_constant().is_some() { condition } else { Some(both(condition, is_not_null(&value.value))) }
                };
                Ok(Estimate::Output(outputs.index(Aggregate::CountRows { max_rows_per_person: rows }, counted, named)))
            }
            ("count", ..) => Err(not_private(
                call.at,
                "this form of COUNT is not read",
                format!("write COUNT(*), COUNT(column) or COUNT(DISTINCT {unit})"),
            )),
            ("sum", false, [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]) => {
                let measured = self.measured(arg)?;
                if measured.lo == 0 && measured.hi == 0 {
                    return Err(invalid(place_of(arg), "this is always 0 or NULL", "sum something else"));
                }
                Ok(Estimate::Output(outputs.index(Aggregate::Sum { measured, max_rows_per_person: rows }, condition, named)))
            }
            ("avg" | "mean", false, [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]) => {
                let (count, centred, _) = self.moments(arg, outputs, &call, named, false)?;
                Ok(Estimate::Mean { count, centred })
            }
            (
                "var" | "variance" | "var_samp" | "var_pop" | "stddev" | "stddev_samp" | "stddev_pop",
                false,
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))],
            ) => {
                let (count, centred, squares) = self.moments(arg, outputs, &call, named, true)?;
                let (sample, root) = (!call.name.ends_with("_pop"), call.name.starts_with("stddev"));
                Ok(Estimate::Variance { count, centred, squares, sample, root })
            }
            ("median" | "approx_median" | "quantile_cont" | "percentile_cont" | "approx_percentile_cont", false, _) => {
                self.quantile(&call, outputs, named)
            }
            ("min" | "max", ..) => {
                let hint = "ask a quantile: APPROX_PERCENTILE_CONT(column, 0.05) or (column, 0.95)";
                Err(not_private(call.at, "an extreme is one person's value", hint))
            }
            (name, true, _) => {
                let name = name.to_uppercase();
                Err(not_private(call.at, format!("{name} of distinct values is not read"), format!("write {name}(number)")))
            }
            (name, ..) => Err(not_private(
                call.at,
                format!("this form of {} is not read", name.to_uppercase()),
                "write it with one number column or expression",
            )),
        }
    }

    fn call<'e>(&self, function: &'e Function) -> Result<Call<'e>, Refusal> {
        let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } = function;
        let at = place_of_name(name);
        let name = called(function).unwrap_or_default();
        if over.is_some() {
            let hint = "write it in a subquery, with PARTITION BY the unit and the partition, and aggregate its result outside";
            return Err(not_private(at, "a window stands beside aggregates", hint));
        }
        let plain = !uses_odbc_syntax && matches!(parameters, FunctionArguments::None) && null_treatment.is_none();
        let (distinct, args) = match args {
            FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) if plain && clauses.is_empty() => {
                (*duplicate_treatment == Some(DuplicateTreatment::Distinct), args.as_slice())
            }
            _ => return Err(not_private(at, format!("this form of {} is not read", name.to_uppercase()), "write its arguments alone")),
        };
        let condition = filter.as_deref().map(|filter| self.condition(filter, 2)).transpose()?;
        Ok(Call { name, at, distinct, args, within_group, condition })
    }

    /// A number to aggregate and its bounds.
    fn measured(&self, arg: &Expr) -> Result<Measured, Refusal> {
        let at = place_of(arg);
        match self.column(arg)? {
            Some(Meaning::Unit) => return Err(not_private(at, "the column of the unit is not a number to add up", self.numbers())),
            Some(Meaning::Partition) => return Err(invalid(at, "the partition is not a number", self.numbers())),
            Some(Meaning::Open(open)) => return Err(open.refused(at)),
            Some(Meaning::Typed(_)) | None => {}
        }
        let Typed { value, of } = self.typed(arg, 1)?;
        let Type::Number { lo, hi, scale } = of else {
            let hint = if of == Type::Boolean { "count the rows instead: COUNT(*) FILTER (WHERE ...)".to_owned() } else { self.numbers() };
            return Err(invalid(at, format!("this is {}, not a number", of.name()), hint));
        };
        if lo < -LIMIT || hi > LIMIT {
            let hint = "bound it by LEAST(GREATEST(x, low), high): less noise is needed then, too";
            return Err(invalid(at, format!("the numbers that this could give lie outside {LIMIT} units of 10^-{scale}"), hint));
        }
        Ok(Measured { value, lo, hi, scale })
    }

    fn numbers(&self) -> String {
        let is_number = |meaning: &Meaning| matches!(meaning, Meaning::Typed(Typed { of: Type::Number { .. }, .. }));
        let columns = self.sources.iter().flat_map(|source| &source.columns).filter(|(_, meaning)| is_number(meaning));
        let names: Vec<&str> = columns.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() {
            "there is no number column here; count instead: COUNT(*)".to_owned()
        } else {
            format!("the number columns are: {}", names.join(", "))
        }
    }

    /// Count, centred sum and centred squares of a number.
    fn moments(&self, arg: &Expr, outputs: &mut Outputs, call: &Call<'_>, named: &str, squares: bool) -> Result<(u16, u16, u16), Refusal> {
        let measured = self.spread(arg)?;
        let rows = self.max_rows;
        // What one person can move must fit 64 bits: 2^20 Linf R, or R^2 (see the mechanism's proof).
        let range = measured.hi.abs_diff(measured.lo);
        let reach = if squares { range.checked_mul(range) } else { Some(range) };
        if reach.and_then(|reach| reach.checked_mul(u64::from(rows))?.checked_mul(1 << MEAN_DIGITS)).is_none() {
            let hint = "bound it by LEAST(GREATEST(x, low), high), or round it: less noise is needed then, too";
            return Err(invalid(place_of(arg), "its range is too wide for this statistic", hint));
        }
        let some = Some(both(call.condition.clone(), is_not_null(&measured.value)));
        let count = outputs.index(Aggregate::CountRows { max_rows_per_person: rows }, some, &format!("{named} (count)"));
        let sum = Aggregate::CentredSum { measured: measured.clone(), max_rows_per_person: rows };
        let centred = outputs.index(sum, call.condition.clone(), &format!("{named} (centred sum)"));
        let squares = if squares {
            let aggregate = Aggregate::CentredSquares { measured, max_rows_per_person: rows };
            outputs.index(aggregate, call.condition.clone(), &format!("{named} (centred squares)"))
        } else {
            0
        };
        Ok((count, centred, squares))
    }

    fn spread(&self, arg: &Expr) -> Result<Measured, Refusal> {
        let measured = self.measured(arg)?;
        if measured.lo == measured.hi {
            return Err(invalid(place_of(arg), "this has one value only", "ask an expression that can have several"));
        }
        Ok(measured)
    }

    fn quantile(&self, call: &Call<'_>, outputs: &mut Outputs, named: &str) -> Result<Estimate, Refusal> {
        let plain: Option<Vec<&Expr>> = call
            .args
            .iter()
            .map(|arg| if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg { Some(expr) } else { None })
            .collect();
        let is_median = call.name.ends_with("median");
        let (number, fraction, descending) = match (plain.as_deref(), call.within_group) {
            (Some([number]), []) if is_median => (*number, None, false),
            (Some([number, fraction]), []) if !is_median => (*number, Some(*fraction), false),
            (Some([fraction]), [OrderByExpr { expr, options: OrderByOptions { asc, nulls_first: None }, with_fill: None }])
                if !is_median =>
            {
                (expr, Some(*fraction), *asc == Some(false))
            }
            _ => {
                let hint =
                    "write MEDIAN(number), APPROX_PERCENTILE_CONT(number, 0.9) or PERCENTILE_CONT(0.9) WITHIN GROUP (ORDER BY number)";
                return Err(not_private(call.at, format!("this form of {} is not read", call.name.to_uppercase()), hint));
            }
        };
        let millionths = match fraction {
            None => 500_000,
            Some(expr) => {
                let read = match written(expr) {
                    Some(Written::Number { digits, negative: false }) => fixed_point(digits, false, 6).ok(),
                    _ => None,
                };
                let read = read.and_then(|fraction| u32::try_from(fraction).ok()).filter(|fraction| *fraction <= 1_000_000);
                read.ok_or_else(|| {
                    invalid(place_of(expr), "the fraction is a plain number from 0 to 1, with at most 6 digits", "write for example 0.9")
                })?
            }
        };
        let measured = self.spread(number)?;
        if self.max_rows > MAX_HISTOGRAM_VALUES_PER_PERSON {
            let message =
                format!("a quantile needs at most {MAX_HISTOGRAM_VALUES_PER_PERSON} rows a person, and this table lets more count");
            return Err(not_private(call.at, message, "ask AVG, or group by WIDTH_BUCKET and count"));
        }
        // Not more bins than values.
        let span = measured.hi.abs_diff(measured.lo);
        let needed = u8::try_from(u64::BITS - span.leading_zeros()).unwrap_or(u8::MAX);
        let bins_log2 = needed.clamp(1, BINS_LOG2.min(MAX_BINS_LOG2));
        let aggregate = Aggregate::Histogram { measured, bins_log2, max_rows_per_person: self.max_rows };
        let histogram = outputs.index(aggregate, call.condition.clone(), &format!("{named} (histogram)"));
        Ok(Estimate::Quantile { histogram, fraction: if descending { 1_000_000 - millionths } else { millionths } })
    }
}

/// The name of an aggregate's column without an alias: `sum_km`, `count`.
pub(crate) fn default_name(function: &Function) -> String {
    let name = called(function).unwrap_or_default();
    let base = AGGREGATES.iter().find(|(known, _)| *known == name).map_or("value", |(_, base)| base);
    let FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses: _ }) = &function.args else {
        return base.to_owned();
    };
    let column = args.first().or(None).and_then(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => match bare(expr) {
            Expr::Identifier(ident) => Some(ident.value.to_ascii_lowercase()),
            Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.to_ascii_lowercase()),
            _ => None,
        },
        _ => None,
    });
    match (name.as_str(), duplicate_treatment, column) {
        ("count", Some(DuplicateTreatment::Distinct), _) => "count_distinct".to_owned(),
        (_, _, Some(column)) if commun_domain::ids::is_name(&column) => format!("{base}_{column}"),
        _ => base.to_owned(),
    }
}

fn both(condition: Option<Condition>, also: Condition) -> Condition {
    match condition {
        None => also,
        Some(Condition::And(mut parts)) => {
            parts.push(also);
            Condition::And(parts)
        }
        Some(condition) => Condition::And(vec![condition, also]),
    }
}
