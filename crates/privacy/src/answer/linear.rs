//! Estimates as sums of outputs, or quotients of two such sums, where they are: then their margins of error are exact.
//!
//! Outputs have independent noise, so the variance of `sum c_k output_k` is `sum c_k^2 V_k`. Coefficients are collected for each output first,
//! so that an output that occurs twice is counted as one number: `x - x` has no error at all.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing: margins of error are shown")]

use std::collections::BTreeMap;

use commun_domain::plan::{Estimate, PrivatePlan};

use super::estimate::measured;
use super::moments::Span;
use super::typed::power;

/// `constant + sum of coefficient * output`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Linear {
    constant: f64,
    terms: BTreeMap<u16, f64>,
}

/// What kind of function of the outputs an estimate is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// A sum of outputs.
    Linear(Linear),
    /// A quotient of two sums.
    Ratio(Linear, Linear),
    /// Anything else.
    Other,
}

impl Linear {
    fn constant(constant: f64) -> Self {
        Self { constant, terms: BTreeMap::new() }
    }

    /// One output alone.
    pub(super) fn output(output: u16) -> Self {
        Self { constant: 0.0, terms: BTreeMap::from([(output, 1.0)]) }
    }

    /// The number that it is, if no output takes part.
    fn as_constant(&self) -> Option<f64> {
        self.terms.values().all(|coefficient| *coefficient == 0.0).then_some(self.constant)
    }

    fn plus(mut self, times: f64, other: &Self) -> Self {
        self.constant += times * other.constant;
        for (output, coefficient) in &other.terms {
            *self.terms.entry(*output).or_default() += times * coefficient;
        }
        self
    }

    fn scaled(self, times: f64) -> Self {
        Self::default().plus(times, &self)
    }

    /// Its value where the outputs are `numbers`.
    pub(super) fn value(&self, numbers: &[f64]) -> f64 {
        let terms = self.terms.iter().map(|(output, coefficient)| coefficient * numbers.get(usize::from(*output)).unwrap_or(&0.0));
        self.constant + terms.sum::<f64>()
    }

    /// Its covariance with another sum where the outputs' noise has `variances`.
    pub(super) fn covariance(&self, other: &Self, variances: &[f64]) -> f64 {
        let terms = self.terms.iter().filter_map(|(output, coefficient)| {
            let other = other.terms.get(output)?;
            Some(coefficient * other * variances.get(usize::from(*output))?)
        });
        terms.sum()
    }
}

/// The form of an estimate. NULL is not in it: a form tells about the rows in which the estimate has a value.
pub(super) fn form(estimate: &Estimate, plan: &PrivatePlan) -> Form {
    match estimate {
        Estimate::Output(output) => Form::Linear(Linear::output(*output)),
        Estimate::Constant { units, scale } => Form::Linear(Linear::constant(*units as f64 / power(10.0, i32::from(*scale)))),
        Estimate::Mean { count, centred } => {
            let Some(measured) = measured(plan, *centred) else { return Form::Other };
            let count = Linear::output(*count);
            Form::Ratio(Linear::output(*centred).plus(Span::of(measured).middle, &count), count)
        }
        Estimate::Add(left, right) => add(form(left, plan), 1.0, form(right, plan)),
        Estimate::Subtract(left, right) => add(form(left, plan), -1.0, form(right, plan)),
        Estimate::Multiply(left, right) => multiply(form(left, plan), form(right, plan)),
        Estimate::Divide(left, right) => divide(form(left, plan), form(right, plan)),
        Estimate::NullIf(left, _) => form(left, plan),
        Estimate::Coalesce(parts) => match parts.first() {
            Some(first) if is_never_null(first) => form(first, plan),
            _ => Form::Other,
        },
        Estimate::Variance { .. } | Estimate::Quantile { .. } | Estimate::Round(..) | Estimate::Least(_) | Estimate::Greatest(_) => {
            Form::Other
        }
    }
}

/// Whether an estimate has a value in every row, as far as its shape tells.
fn is_never_null(estimate: &Estimate) -> bool {
    match estimate {
        Estimate::Output(_) | Estimate::Constant { .. } => true,
        Estimate::Add(left, right) | Estimate::Subtract(left, right) | Estimate::Multiply(left, right) => {
            is_never_null(left) && is_never_null(right)
        }
        Estimate::Divide(left, right) => is_never_null(left) && matches!(**right, Estimate::Constant { units, .. } if units != 0),
        Estimate::Round(part, _) => is_never_null(part),
        Estimate::Least(parts) | Estimate::Greatest(parts) | Estimate::Coalesce(parts) => parts.iter().any(is_never_null),
        Estimate::Mean { .. } | Estimate::Variance { .. } | Estimate::Quantile { .. } | Estimate::NullIf(..) => false,
    }
}

fn add(left: Form, times: f64, right: Form) -> Form {
    match (left, right) {
        (Form::Linear(left), Form::Linear(right)) => Form::Linear(left.plus(times, &right)),
        (Form::Ratio(left, below), Form::Ratio(right, other)) if below == other => Form::Ratio(left.plus(times, &right), below),
        (Form::Ratio(above, below), Form::Linear(right)) => match right.as_constant() {
            Some(constant) => Form::Ratio(above.plus(times * constant, &below), below),
            None => Form::Other,
        },
        (Form::Linear(left), Form::Ratio(above, below)) => match left.as_constant() {
            Some(constant) => Form::Ratio(above.scaled(times).plus(constant, &below), below),
            None => Form::Other,
        },
        _ => Form::Other,
    }
}

fn multiply(left: Form, right: Form) -> Form {
    match (left, right) {
        (Form::Linear(left), Form::Linear(right)) => match (left.as_constant(), right.as_constant()) {
            (Some(constant), _) => Form::Linear(right.scaled(constant)),
            (_, Some(constant)) => Form::Linear(left.scaled(constant)),
            (None, None) => Form::Other,
        },
        (Form::Linear(factor), Form::Ratio(above, below)) | (Form::Ratio(above, below), Form::Linear(factor)) => {
            match factor.as_constant() {
                Some(constant) => Form::Ratio(above.scaled(constant), below),
                None => Form::Other,
            }
        }
        _ => Form::Other,
    }
}

fn divide(left: Form, right: Form) -> Form {
    match (left, right) {
        (Form::Linear(above), Form::Linear(below)) => match below.as_constant() {
            Some(0.0) => Form::Other,
            Some(constant) => Form::Linear(above.scaled(1.0 / constant)),
            None => Form::Ratio(above, below),
        },
        (Form::Ratio(above, below), Form::Linear(divisor)) => match divisor.as_constant() {
            Some(constant) if constant != 0.0 => Form::Ratio(above.scaled(1.0 / constant), below),
            _ => Form::Other,
        },
        (Form::Linear(above), Form::Ratio(divisor, below)) => match above.as_constant() {
            Some(constant) => Form::Ratio(below.scaled(constant), divisor),
            None => Form::Other,
        },
        // Two means over the same rows.
        (Form::Ratio(above, below), Form::Ratio(divisor, other)) if below == other => Form::Ratio(above, divisor),
        _ => Form::Other,
    }
}

#[cfg(test)]
mod tests;
