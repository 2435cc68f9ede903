//! Expressions over aggregates, HAVING and ORDER BY: what the answer computes from noisy outputs, free.
//!
//! Numbers are noisy decimals here, never integers, so that `/` is exact division.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::{AnswerCondition, AnswerValue, CompareOp, Estimate, Nulls, SortKey};
use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, OrderByExpr, OrderByOptions, UnaryOperator, Value,
};

use super::aggregate::{Outputs, is_aggregate};
use super::expression::{MAX_LIST_ITEMS, MAX_PREDICATE_DEPTH, arguments, called, compare_op, operands, refuse_ambiguous, unsupported};
use super::items::{Item, Kind, Questions};
use super::literal::{Written, decimal, fixed_point, written};
use super::scope::plain_name;
use super::types::{MAX_NODES, MAX_SCALE};
use crate::refuse::{bare, invalid, not_private, place_of, place_of_name};

/// Most keys of one GROUPING: a bit each.
const MAX_GROUPING_KEYS: usize = 32;

fn size(estimate: &Estimate) -> usize {
    let mut nodes = 0;
    estimate.visit(&mut |_| nodes += 1);
    nodes
}

impl Questions<'_, '_> {
    /// A number computed from aggregates and constants. `named`: the column of the answer that first needs it.
    pub(crate) fn estimate(&self, expr: &Expr, outputs: &mut Outputs, named: &str, depth: usize) -> Result<Estimate, Refusal> {
        let at = place_of(expr);
        if depth > MAX_PREDICATE_DEPTH {
            return Err(invalid(at, format!("the expression is nested deeper than {MAX_PREDICATE_DEPTH}"), "write it flat"));
        }
        let estimate = self.estimate_of(bare(expr), outputs, named, depth, at)?;
        let nodes = size(&estimate);
        self.scope.effort.spend(nodes, at)?;
        if nodes > MAX_NODES { Err(super::types::too_large(at)) } else { Ok(estimate) }
    }

    fn estimate_of(
        &self,
        expr: &Expr,
        outputs: &mut Outputs,
        named: &str,
        depth: usize,
        at: Option<Position>,
    ) -> Result<Estimate, Refusal> {
        let mut part = |expr: &Expr| self.estimate(expr, outputs, named, depth + 1).map(Box::new);
        match expr {
            Expr::Value(_) => constant(expr, at),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
                if written(expr).is_some() {
                    return constant(expr, at);
                }
                Ok(Estimate::Subtract(Box::new(Estimate::Constant { units: 0, scale: 0 }), part(inner)?))
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => Ok(*part(inner)?),
            Expr::BinaryOp { left, op, right } => {
                let (left, right) = (part(left)?, part(right)?);
                match op {
                    BinaryOperator::Plus => Ok(Estimate::Add(left, right)),
                    BinaryOperator::Minus => Ok(Estimate::Subtract(left, right)),
                    BinaryOperator::Multiply => Ok(Estimate::Multiply(left, right)),
                    BinaryOperator::Divide => Ok(Estimate::Divide(left, right)),
                    _ => Err(not_private(at, "this operator on aggregates is not read", "use + - * /")),
                }
            }
            // Noisy numbers are decimals already; a scale rounds them.
            Expr::Cast {
                kind: CastKind::Cast | CastKind::TryCast | CastKind::SafeCast | CastKind::DoubleColon,
                expr: inner,
                data_type,
                array: false,
                format: None,
            } => {
                let inner = part(inner)?;
                match data_type {
                    DataType::Real
                    | DataType::Double(_)
                    | DataType::DoublePrecision
                    | DataType::Float(_)
                    | DataType::Numeric(ExactNumberInfo::None)
                    | DataType::Decimal(ExactNumberInfo::None) => Ok(*inner),
                    DataType::Numeric(ExactNumberInfo::PrecisionAndScale(_, scale))
                    | DataType::Decimal(ExactNumberInfo::PrecisionAndScale(_, scale)) => {
                        let digits = u8::try_from(*scale).ok().filter(|scale| *scale <= MAX_SCALE);
                        let digits = digits
                            .ok_or_else(|| invalid(at, "the digits after the point are 0 to 9 here", "write for example DECIMAL(18, 2)"))?;
                        Ok(Estimate::Round(inner, digits))
                    }
                    DataType::Int(None) | DataType::Integer(None) | DataType::BigInt(None) => Ok(Estimate::Round(inner, 0)),
                    _ => Err(not_private(at, "this CAST of an aggregate is not read", "use DOUBLE PRECISION, DECIMAL(p, s) or BIGINT")),
                }
            }
            Expr::Function(function) => self.estimate_function(function, outputs, named, depth),
            Expr::Identifier(ident) => {
                let name = plain_name(ident)?;
                match self.items.iter().find(|item| item.name() == Some(name.as_str())) {
                    Some(Item { kind: Kind::Estimate(estimate), .. }) => Ok(estimate.clone()),
                    _ => Err(self.not_an_estimate(expr)),
                }
            }
            Expr::CompoundIdentifier(_) => Err(self.not_an_estimate(expr)),
            other => Err(unsupported(other)),
        }
    }

    fn not_an_estimate(&self, expr: &Expr) -> Refusal {
        match self.scope.column(expr) {
            Err(refusal) => refusal,
            Ok(_) => invalid(place_of(expr), "a column stands beside aggregates", "aggregate it, or put the condition into WHERE"),
        }
    }

    fn estimate_function(&self, function: &Function, outputs: &mut Outputs, named: &str, depth: usize) -> Result<Estimate, Refusal> {
        let at = place_of_name(&function.name);
        let name = called(function).unwrap_or_default();
        if is_aggregate(&name) {
            return self.scope.aggregate(function, outputs, named);
        }
        let Some(args) = arguments(function) else {
            return Err(not_private(at, "this form of a function is not read", "write its arguments alone"));
        };
        let mut part = |expr: &Expr| self.estimate(expr, outputs, named, depth + 1);
        match (name.as_str(), args.as_slice()) {
            ("round", [value]) => Ok(Estimate::Round(Box::new(part(value)?), 0)),
            ("round", [value, digits]) => {
                let read = match written(digits) {
                    Some(Written::Number { digits, negative: false }) => fixed_point(digits, false, 0).ok(),
                    _ => None,
                };
                let digits = read.and_then(|digits| u8::try_from(digits).ok()).filter(|digits| *digits <= MAX_SCALE);
                let digits = digits.ok_or_else(|| invalid(at, "the number of digits is a plain whole number", "write 0 to 9"))?;
                Ok(Estimate::Round(Box::new(part(value)?), digits))
            }
            ("coalesce", [_, ..]) => args.iter().map(|arg| part(arg)).collect::<Result<_, _>>().map(Estimate::Coalesce),
            ("least", [_, ..]) => args.iter().map(|arg| part(arg)).collect::<Result<_, _>>().map(Estimate::Least),
            ("greatest", [_, ..]) => args.iter().map(|arg| part(arg)).collect::<Result<_, _>>().map(Estimate::Greatest),
            ("nullif", [left, right]) => Ok(Estimate::NullIf(Box::new(part(left)?), Box::new(part(right)?))),
            _ => Err(not_private(
                at,
                "this function is not read here",
                format!(
                    "the aggregates are COUNT, SUM, AVG, VARIANCE, STDDEV, MEDIAN, PERCENTILE_CONT; people are counted by COUNT(DISTINCT {})",
                    self.scope.contract.unit_column
                ),
            )),
        }
    }

    /// HAVING.
    pub(crate) fn having(&self, expr: &Expr, outputs: &mut Outputs, depth: usize) -> Result<AnswerCondition, Refusal> {
        const NAMED: &str = "having";
        let at = place_of(expr);
        if depth > MAX_PREDICATE_DEPTH {
            return Err(invalid(at, format!("the condition is nested deeper than {MAX_PREDICATE_DEPTH}"), "write it flat"));
        }
        let expr = bare(expr);
        refuse_ambiguous(expr)?;
        match expr {
            Expr::BinaryOp { left: _, op: op @ (BinaryOperator::And | BinaryOperator::Or), right: _ } => {
                let parts = operands(expr, op).into_iter().map(|part| self.having(part, outputs, depth + 1)).collect::<Result<_, _>>()?;
                Ok(if *op == BinaryOperator::And { AnswerCondition::And(parts) } else { AnswerCondition::Or(parts) })
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(AnswerCondition::Not(Box::new(self.having(expr, outputs, depth + 1)?))),
            Expr::BinaryOp { left, op, right } => {
                let Some(op) = compare_op(op) else { return Err(unsupported(expr)) };
                if let Some(keys) = self.grouping(left)? {
                    let Some(Written::Number { digits, negative: false }) = written(right) else {
                        return Err(invalid(
                            place_of(right),
                            "GROUPING is compared with a whole number",
                            "write for example GROUPING(key) = 0",
                        ));
                    };
                    let value = digits.parse().map_err(|_| invalid(place_of(right), "this number does not fit", "use a small number"))?;
                    return Ok(AnswerCondition::Grouping { keys, op, value });
                }
                let left = self.estimate(left, outputs, NAMED, depth + 1)?;
                let right = self.estimate(right, outputs, NAMED, depth + 1)?;
                Ok(AnswerCondition::Compare { op, left, right })
            }
            Expr::Between { expr: tested, negated, low, high } => {
                let tested = self.estimate(tested, outputs, NAMED, depth + 1)?;
                let low = self.estimate(low, outputs, NAMED, depth + 1)?;
                let high = self.estimate(high, outputs, NAMED, depth + 1)?;
                let inside = AnswerCondition::And(vec![
                    AnswerCondition::Compare { op: CompareOp::Ge, left: tested.clone(), right: low },
                    AnswerCondition::Compare { op: CompareOp::Le, left: tested, right: high },
                ]);
                Ok(if *negated { AnswerCondition::Not(Box::new(inside)) } else { inside })
            }
            Expr::InList { expr: tested, list, negated } => {
                if !(1..=MAX_LIST_ITEMS).contains(&list.len()) {
                    return Err(invalid(at, format!("IN (...) takes 1 to {MAX_LIST_ITEMS} values"), "write fewer"));
                }
                let tested = self.estimate(tested, outputs, NAMED, depth + 1)?;
                self.scope.effort.spend(size(&tested).saturating_mul(list.len()), at)?;
                let equal = |item: &Expr, outputs: &mut Outputs| {
                    let right = self.estimate(item, outputs, NAMED, depth + 1)?;
                    Ok(AnswerCondition::Compare { op: CompareOp::Eq, left: tested.clone(), right })
                };
                let inside = AnswerCondition::Or(list.iter().map(|item| equal(item, outputs)).collect::<Result<_, _>>()?);
                Ok(if *negated { AnswerCondition::Not(Box::new(inside)) } else { inside })
            }
            Expr::IsNull(inner) => self.estimate(inner, outputs, NAMED, depth + 1).map(AnswerCondition::IsNull),
            Expr::IsNotNull(inner) => {
                let inner = self.estimate(inner, outputs, NAMED, depth + 1)?;
                Ok(AnswerCondition::Not(Box::new(AnswerCondition::IsNull(inner))))
            }
            other => Err(unsupported(other)),
        }
    }

    /// ORDER BY: by alias, by number of the item, by key or by an expression over aggregates.
    pub(crate) fn order(&self, items: &[OrderByExpr], outputs: &mut Outputs) -> Result<Vec<SortKey>, Refusal> {
        items
            .iter()
            .map(|OrderByExpr { expr, options: OrderByOptions { asc, nulls_first }, with_fill }| {
                if with_fill.is_some() {
                    return Err(not_private(place_of(expr), "WITH FILL is not read", "remove it: every declared key has its row"));
                }
                let descending = *asc == Some(false);
                let first = nulls_first.unwrap_or(descending);
                let nulls = if first { Nulls::First } else { Nulls::Last };
                Ok(SortKey { value: self.sorted_by(expr, outputs)?, descending, nulls })
            })
            .collect()
    }

    fn sorted_by(&self, expr: &Expr, outputs: &mut Outputs) -> Result<AnswerValue, Refusal> {
        let at = place_of(expr);
        let of_item = |item: &Item| match &item.kind {
            Kind::Key(key) => AnswerValue::Key(*key),
            Kind::Grouping(keys) => AnswerValue::Grouping(keys.clone()),
            Kind::Estimate(estimate) => AnswerValue::Estimate(estimate.clone()),
        };
        match bare(expr) {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, false) => {
                    let item = digits.parse::<usize>().ok().and_then(|ordinal| self.items.get(ordinal.checked_sub(1)?));
                    item.map(of_item)
                        .ok_or_else(|| invalid(at, "SELECT has no item of this number", format!("write 1 to {}", self.items.len())))
                }
                _ => Err(invalid(at, "a value is no order", "sort by keys, names or aggregates")),
            },
            Expr::Identifier(ident) => {
                let name = plain_name(ident)?;
                if let Some(item) = self.items.iter().find(|item| item.name() == Some(name.as_str())) {
                    return Ok(of_item(item));
                }
                self.key_or_estimate(expr, outputs)
            }
            _ => self.key_or_estimate(expr, outputs),
        }
    }

    fn key_or_estimate(&self, expr: &Expr, outputs: &mut Outputs) -> Result<AnswerValue, Refusal> {
        if let Some(keys) = self.grouping(expr)? {
            return Ok(AnswerValue::Grouping(keys));
        }
        if super::aggregate::has_aggregate(expr) {
            return self.estimate(expr, outputs, "order", 1).map(AnswerValue::Estimate);
        }
        self.key(expr).map(AnswerValue::Key)
    }

    /// The keys of `GROUPING(a, b)`; `None` for anything else.
    pub(crate) fn grouping(&self, expr: &Expr) -> Result<Option<Vec<u16>>, Refusal> {
        let Expr::Function(function) = bare(expr) else { return Ok(None) };
        if called(function).as_deref() != Some("grouping") {
            return Ok(None);
        }
        let at = place_of_name(&function.name);
        let args = arguments(function).filter(|args| (1..=MAX_GROUPING_KEYS).contains(&args.len()));
        let args = args.ok_or_else(|| invalid(at, "GROUPING takes keys", "write GROUPING(key)"))?;
        args.into_iter().map(|arg| self.key(arg)).collect::<Result<Vec<_>, _>>().map(Some)
    }
}

fn constant(expr: &Expr, at: Option<Position>) -> Result<Estimate, Refusal> {
    let Some(Written::Number { digits, negative }) = written(expr) else {
        return Err(invalid(at, "this is not a number", "beside aggregates stand numbers only"));
    };
    let (units, scale) = decimal(digits, negative, at)?;
    Ok(Estimate::Constant { units, scale })
}
