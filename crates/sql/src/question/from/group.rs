//! GROUP BY in a subquery: one row for each person, partition and combination of keys.
//!
//! A count or sum of a person's rows is clamped here as it would be in an answer: to Linf rows' worth. So its range, and with it the noise of what is
//! asked of it outside, does not depend on how many rows a person could have at the very most.

use std::ops::ControlFlow;

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::relation::{Computed, Fold, Folded, Relation};
use commun_domain::plan::{Condition, Rounding, Value};
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, SelectItem,
    Value as Literal, visit_expressions,
};

use super::From;
use super::close::{Closing, values_of};
use crate::question::aggregate::is_aggregate;
use crate::question::expression::called;
use crate::question::scope::{Meaning, Scope, Source, plain_name};
use crate::question::types::{MAX_SCALE, Type, Typed};
use crate::refuse::{bare, invalid, not_private, place_of, place_of_name};

/// Decimal digits that a mean has more than what it is of.
const MEAN_SCALE: u8 = 4;

/// What is folded, and the columns that it is folded from.
pub(super) struct Folds {
    pub(super) closing: Closing,
    pub(super) all: Vec<Folded>,
}

impl Folds {
    pub(super) fn new() -> Self {
        Self { closing: Closing::new("c"), all: Vec::new() }
    }

    fn column(&mut self, fold: Fold, condition: Option<Condition>) -> Value {
        let known = self.all.iter().position(|other| other.fold == fold && other.condition == condition);
        let index = known.unwrap_or_else(|| {
            self.all.push(Folded { name: format!("f{}", self.all.len()), fold, condition });
            self.all.len() - 1
        });
        Value::Column(self.all[index].name.clone())
    }
}

/// A fold's expression, over columns that `column` names.
type Named<'f> = dyn FnMut(&mut Folds, Fold, Option<Condition>) -> Value + 'f;

impl<'a> From<'_, 'a> {
    /// The scope after GROUP BY; the same scope when there is none.
    pub(super) fn grouped(
        &self,
        mut inner: Scope<'a>,
        items: &[SelectItem],
        group_by: &[Expr],
        having: Option<&Expr>,
        at: Option<Position>,
    ) -> Result<Scope<'a>, Refusal> {
        let calls = calls(items.iter().filter_map(expression_of).chain(having), |function| {
            function.over.is_none() && called(function).is_some_and(|name| is_aggregate(&name))
        });
        if group_by.is_empty() && calls.is_empty() && having.is_none() {
            return Ok(inner);
        }
        let mut folds = Folds::new();
        let (mut unit, mut partition) = (false, false);
        let mut keys: Vec<(&Expr, Typed, Computed)> = Vec::new();
        for written in group_by {
            let expr = key_of(written, items, &inner)?;
            let typed = match inner.column(expr)? {
                Some(Meaning::Unit) => {
                    unit = true;
                    continue;
                }
                Some(Meaning::Partition) => {
                    partition = true;
                    continue;
                }
                Some(Meaning::Open(open)) => return Err(open.refused_of_persons(place_of(expr).or(at))),
                Some(Meaning::Typed(typed)) => typed,
                None => inner.label(expr, 1)?,
            };
            let value = folds.closing.value(&typed.value);
            let computed = Computed { name: format!("k{}", keys.len()), value };
            keys.push((expr, typed, computed));
        }
        if !unit || !partition {
            let (unit, partition) = (&self.contract.unit_column, &self.contract.partition_column);
            return Err(not_private(
                at,
                "a subquery with aggregates is about the rows of one person in one partition",
                format!(
                    "write GROUP BY {unit}, {partition} in it, with further keys if you like; other aggregates stand in the outermost SELECT"
                ),
            ));
        }
        let mut computed: Vec<(Expr, Typed)> = Vec::new();
        for function in calls {
            let typed = inner.fold(&function, &mut folds, &mut |folds, fold, condition| folds.column(fold, condition))?;
            computed.push((Expr::Function(function), typed));
        }
        let key =
            |(_, typed, computed): &(&Expr, Typed, Computed)| Typed { value: Value::Column(computed.name.clone()), of: typed.of.clone() };
        let sources = visible(&inner, |column| keys.iter().find(|(_, typed, _)| typed == column).map(key));
        computed.extend(keys.iter().map(|found| (bare(found.0).clone(), key(found))));
        let max_rows = keys.iter().try_fold(1u32, |rows, (_, typed, _)| {
            // NULL is a key too.
            rows.checked_mul(values_of(&typed.of)?.checked_add(1)?)
        });
        let max_rows = max_rows.map_or(inner.max_rows, |rows| rows.min(inner.max_rows));
        let Folds { closing, all } = folds;
        let keys = keys.into_iter().map(|(.., computed)| computed).collect();
        let relation = Relation::Group { input: Box::new(closing.select(&inner)), keys, folds: all };
        inner = inner.replaced(relation, max_rows).with_sources(sources, computed);
        if let Some(having) = having {
            let condition = inner.condition(having, 2)?;
            inner.filter.push(condition);
        }
        Ok(inner)
    }
}

/// The expression that a key of GROUP BY means: a number is an item, a name an item's alias unless it is a column.
fn key_of<'e>(written: &'e Expr, items: &'e [SelectItem], scope: &Scope<'_>) -> Result<&'e Expr, Refusal> {
    let at = place_of(written);
    match bare(written) {
        Expr::Value(value) => {
            let Literal::Number(digits, false) = &value.value else { return Ok(written) };
            let item = digits.parse::<usize>().ok().and_then(|number| items.get(number.checked_sub(1)?)).and_then(expression_of);
            item.ok_or_else(|| invalid(at, "there is no item of this number", "count the items of SELECT from 1"))
        }
        Expr::Identifier(ident) => {
            let name = plain_name(ident)?;
            if scope.has(&name) {
                return Ok(written);
            }
            for item in items {
                if let SelectItem::ExprWithAlias { expr, alias } = item
                    && plain_name(alias)? == name
                {
                    return Ok(expr);
                }
            }
            Ok(written)
        }
        _ => Ok(written),
    }
}

/// The columns that are left after GROUP BY: unit, partition and those that are keys. One integer may be read in several ways, as a code of this
/// list or of that, so a column is a key's only when it is of the same type too.
fn visible(inner: &Scope<'_>, key: impl Fn(&Typed) -> Option<Typed>) -> Vec<Source> {
    let column = |(name, meaning): &(String, Meaning)| {
        let meaning = match meaning {
            Meaning::Typed(typed) => Meaning::Typed(key(typed)?),
            Meaning::Open(_) => return None,
            Meaning::Unit | Meaning::Partition => meaning.clone(),
        };
        Some((name.clone(), meaning))
    };
    let source = |source: &Source| Source {
        qualifiers: source.qualifiers.clone(),
        columns: source.columns.iter().filter_map(column).collect(),
        merged: source.merged.clone(),
    };
    inner.sources.iter().map(source).collect()
}

pub(super) fn expression_of(item: &SelectItem) -> Option<&Expr> {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    }
}

/// The different function calls of some expressions of which `wanted` holds, in the order of the text.
pub(super) fn calls<'e>(expressions: impl Iterator<Item = &'e Expr>, wanted: impl Fn(&Function) -> bool) -> Vec<Function> {
    let mut found: Vec<Function> = Vec::new();
    for expression in expressions {
        let _ = visit_expressions(expression, |part| {
            if let Expr::Function(function) = part
                && wanted(function)
                && !found.contains(function)
            {
                found.push(function.clone());
            }
            ControlFlow::<()>::Continue(())
        });
    }
    found
}

impl Scope<'_> {
    /// An aggregate over a person's rows, as an expression over the columns that `named` gives its folds.
    pub(super) fn fold(&self, function: &Function, folds: &mut Folds, named: &mut Named<'_>) -> Result<Typed, Refusal> {
        let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over: _, within_group } = function;
        let at = place_of_name(name);
        let name = called(function).unwrap_or_default();
        let refuse = |hint: &str| not_private(at, format!("this form of {} is not read over one person's rows", name.to_uppercase()), hint);
        let general = "there are COUNT, SUM, AVG, MIN and MAX, with one argument; the outermost SELECT has more";
        let plain =
            !uses_odbc_syntax && matches!(parameters, FunctionArguments::None) && null_treatment.is_none() && within_group.is_empty();
        let FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) = args else {
            return Err(refuse(general));
        };
        if !plain || !clauses.is_empty() {
            return Err(refuse(general));
        }
        let distinct = *duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let condition = match filter {
            Some(filter) => {
                let condition = self.condition(filter, 2)?;
                Some(folds.closing.condition(&condition))
            }
            None => None,
        };
        let linf = i128::from(self.max_rows);
        let most_rows = i128::from(self.relation.most_rows());
        let clamped = |value: Value, (lo, hi): (i128, i128), scale: u8, at: Option<Position>| {
            let typed = Typed::number(value, (lo, hi), scale, at)?;
            let Type::Number { lo, hi, .. } = typed.of else { return Ok(typed) };
            Ok(Typed { value: Value::Clamp { value: Box::new(typed.value), lo, hi }, of: typed.of })
        };
        let count = |value: Value| clamped(value, (0, linf.min(most_rows)), 0, at);
        let argument = match args.as_slice() {
            [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] if name == "count" && !distinct => None,
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))] => Some(arg),
            _ => return Err(refuse(general)),
        };
        let Some(arg) = argument else { return count(named(folds, Fold::Rows, condition)) };
        let at_arg = place_of(arg);
        if let Some(Meaning::Unit | Meaning::Partition) = self.column(arg)? {
            let hint = "a person's rows have one unit and one partition: write COUNT(*)";
            return if name == "count" && !distinct { count(named(folds, Fold::Rows, condition)) } else { Err(refuse(hint)) };
        }
        let typed = self.typed(arg, 1)?;
        let value = folds.closing.value(&typed.value);
        match (name.as_str(), distinct) {
            ("count", false) => count(named(folds, Fold::Known(value), condition)),
            ("count", true) => {
                let most = values_of(&typed.of).map_or(linf, |values| linf.min(values.into()));
                clamped(named(folds, Fold::Distinct(value), condition), (0, most), 0, at)
            }
            ("sum", false) => {
                let (lo, hi, scale) = number(&typed, at_arg)?;
                clamped(named(folds, Fold::Sum(value), condition), (linf * lo.min(0), linf * hi.max(0)), scale, at)
            }
            ("avg" | "mean", false) => {
                let (lo, hi, scale) = number(&typed, at_arg)?;
                let shift = (MAX_SCALE - scale).min(MEAN_SCALE);
                let power = 10i128.pow(shift.into());
                // A sum is clamped, and may be cut to 64 bits before; a mean is neither, so what it divides must fit.
                Typed::number(Value::Null, (most_rows * lo.min(0), most_rows * hi.max(0)), scale, at_arg)?;
                let sum = named(folds, Fold::Sum(value.clone()), condition.clone());
                let count = named(folds, Fold::Known(value), condition);
                let mean = Value::Divide { left: Box::new(sum), right: Box::new(count), shift, rounding: Rounding::HalfAway };
                Typed::number(mean, (lo * power, hi * power), scale + shift, at)
            }
            ("min" | "max", _) => {
                let orderly = matches!(typed.of, Type::Number { .. } | Type::Time { .. });
                if !orderly {
                    return Err(invalid(
                        at_arg,
                        format!("{} has no least and greatest value here", typed.of.name()),
                        "take a number or a time",
                    ));
                }
                let fold = if name == "min" { Fold::Min(value) } else { Fold::Max(value) };
                let of = match typed.of {
                    Type::Time { lo, hi, grain, date } => Type::Time { lo, hi, grain, date },
                    of => of,
                };
                Ok(Typed { value: named(folds, fold, condition), of })
            }
            _ => Err(refuse(general)),
        }
    }
}

fn number(typed: &Typed, at: Option<Position>) -> Result<(i128, i128, u8), Refusal> {
    match typed.of {
        Type::Number { lo, hi, scale } => Ok((lo.into(), hi.into(), scale)),
        ref other => Err(invalid(at, format!("this is {}, not a number", other.name()), "use a number column or expression")),
    }
}
