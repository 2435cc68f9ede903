//! Conditions in three-valued logic: comparisons, lists, ranges, patterns, NULL tests.
//!
//! A text in a question must be a declared code of the column beside it: questions are public for ever, and a free text could name a
//! person. Comparisons of codes become sets of places in the list, so that equal conditions have equal plans.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::{CompareOp, Condition, Value};
use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::{MAX_PREDICATE_DEPTH, text, times, unsupported};
use crate::question::literal::{Codes, Written, written};
use crate::question::scope::{Meaning, Scope};
use crate::question::types::{MAX_NODES, Type, Typed, too_large, unify};
use crate::refuse::{bare, invalid, not_private, place_of};

/// Most items of one `IN (...)`.
pub const MAX_LIST_ITEMS: usize = 5_000;

impl Scope<'_> {
    /// An expression that is true, false or unknown.
    pub(crate) fn condition(&self, expr: &Expr, depth: usize) -> Result<Condition, Refusal> {
        let at = place_of(expr);
        if depth > MAX_PREDICATE_DEPTH {
            return Err(invalid(at, format!("the condition is nested deeper than {MAX_PREDICATE_DEPTH}"), "write it flat"));
        }
        let condition = self.logic(bare(expr), depth, at)?;
        if condition.size() > MAX_NODES { Err(too_large(at)) } else { Ok(condition) }
    }

    fn logic(&self, expr: &Expr, depth: usize, at: Option<Position>) -> Result<Condition, Refusal> {
        refuse_ambiguous(expr)?;
        match expr {
            Expr::BinaryOp { left: _, op: op @ (BinaryOperator::And | BinaryOperator::Or), right: _ } => {
                let parts = operands(expr, op).into_iter().map(|part| self.condition(part, depth + 1)).collect::<Result<_, _>>()?;
                Ok(if *op == BinaryOperator::And { Condition::And(parts) } else { Condition::Or(parts) })
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(not(self.condition(expr, depth + 1)?)),
            Expr::BinaryOp { left, op, right } if compare_op(op).is_some() => {
                let op = compare_op(op).unwrap_or(CompareOp::Eq);
                self.refuse_people(&[left, right])?;
                if let Some(null) = [right, left].into_iter().find(|side| matches!(written(side), Some(Written::Null))) {
                    return Err(invalid(place_of(null), "a comparison with NULL is never true", "write IS NULL or IS NOT NULL"));
                }
                let (left_typed, right_typed) = (self.typed(left, depth + 1)?, self.typed(right, depth + 1)?);
                // A literal stands on the right, so that its place is that of the refusal.
                if is_literal_text(&left_typed, left) && !is_literal_text(&right_typed, right) {
                    self.compare_at(right_typed, mirrored(op), left_typed, place_of(right), left)
                } else {
                    self.compare_at(left_typed, op, right_typed, at, right)
                }
            }
            Expr::InList { expr: tested, list, negated } => {
                self.refuse_people(&[tested])?;
                let inside = self.in_list(tested, list, depth)?;
                Ok(if *negated { not(inside) } else { inside })
            }
            Expr::Between { expr: tested, negated, low, high } => {
                self.refuse_people(&[tested])?;
                let value = self.typed(tested, depth + 1)?;
                let (low_typed, high_typed) = (self.typed(low, depth + 1)?, self.typed(high, depth + 1)?);
                let inside = Condition::And(vec![
                    self.compare_at(value.clone(), CompareOp::Ge, low_typed, at, low)?,
                    self.compare_at(value, CompareOp::Le, high_typed, at, high)?,
                ]);
                Ok(if *negated { not(inside) } else { inside })
            }
            Expr::Like { negated, any: false, expr: tested, pattern, escape_char: None } => {
                self.pattern(tested, pattern, *negated, str::to_owned, depth)
            }
            Expr::ILike { negated, any: false, expr: tested, pattern, escape_char: None } => {
                self.pattern(tested, pattern, *negated, str::to_lowercase, depth)
            }
            Expr::IsNull(tested) => self.is_null(tested, depth),
            Expr::IsNotNull(tested) => self.is_null(tested, depth).map(not),
            Expr::IsTrue(inner) => self.is(inner, Some(true), depth),
            Expr::IsNotTrue(inner) => self.is(inner, Some(true), depth).map(not),
            Expr::IsFalse(inner) => self.is(inner, Some(false), depth),
            Expr::IsNotFalse(inner) => self.is(inner, Some(false), depth).map(not),
            Expr::IsUnknown(inner) => self.is(inner, None, depth),
            Expr::IsNotUnknown(inner) => self.is(inner, None, depth).map(not),
            Expr::IsDistinctFrom(left, right) => self.is_distinct(left, right, depth),
            Expr::IsNotDistinctFrom(left, right) => self.is_distinct(left, right, depth).map(not),
            Expr::Identifier(_)
            | Expr::CompoundIdentifier(_)
            | Expr::Value(_)
            | Expr::Case { .. }
            | Expr::Cast { .. }
            | Expr::Function(_) => self.typed(expr, depth + 1)?.into_condition(at),
            other => Err(unsupported(other)),
        }
    }

    /// `left op right`, where `right` may be a literal.
    pub(super) fn compare_at(
        &self,
        left: Typed,
        op: CompareOp,
        right: Typed,
        at: Option<Position>,
        right_expr: &Expr,
    ) -> Result<Condition, Refusal> {
        if let Some(text) = literal_text(&right, right_expr) {
            let right_at = place_of(right_expr);
            if left.as_constant().is_some() && left.as_text().is_some() {
                return Err(not_private(right_at, "two texts are compared", "compare a column with a code"));
            }
            match &left.of {
                Type::Text { .. } => {
                    let place = Codes::of(self.contract, &left).place(text, right_at)?;
                    return match op {
                        CompareOp::Eq => Ok(in_set(left.value, vec![place])),
                        CompareOp::Ne => Ok(not(in_set(left.value, vec![place]))),
                        _ => Err(no_order(&left.of, at)),
                    };
                }
                Type::Time { date, .. } => {
                    let seconds = times::read(text, *date, right_at)?;
                    let right = Box::new(Value::Constant(seconds));
                    return Ok(Condition::Compare { op, left: Box::new(left.value), right });
                }
                Type::Number { .. } => {
                    return Err(invalid(right_at, "a number is compared with a text", "write a number without quotes, like 12 or 0.5"));
                }
                Type::Boolean => {
                    return Err(invalid(right_at, "a truth value is compared with a text", "write TRUE or FALSE without quotes"));
                }
                Type::Null => return Ok(Condition::Constant(None)),
            }
        }
        if left.as_text().is_some() && !matches!(right.of, Type::Text { .. } | Type::Null) {
            return Err(invalid(place_of(right_expr), "this is compared with codes", "write a code in single quotes, like 'A1'"));
        }
        compare(left, op, right, place_of(right_expr).or(at))
    }

    fn is(&self, inner: &Expr, truth: Option<bool>, depth: usize) -> Result<Condition, Refusal> {
        Ok(Condition::Is(Box::new(self.condition(inner, depth + 1)?), truth))
    }

    fn is_null(&self, tested: &Expr, depth: usize) -> Result<Condition, Refusal> {
        self.refuse_people(&[tested])?;
        Ok(Condition::IsNull(Box::new(self.typed(tested, depth + 1)?.value)))
    }

    fn is_distinct(&self, left: &Expr, right: &Expr, depth: usize) -> Result<Condition, Refusal> {
        self.refuse_people(&[left, right])?;
        let at = place_of(left);
        let (first, second) = (self.typed(left, depth + 1)?, self.typed(right, depth + 1)?);
        let (first, second) = (self.beside(first.clone(), left, &second)?, self.beside(second, right, &first)?);
        let (values, _) = unify(vec![first, second], at)?;
        let [left, right] = values.try_into().unwrap_or([Value::Null, Value::Null]);
        Ok(Condition::IsDistinct(Box::new(left), Box::new(right)))
    }

    fn in_list(&self, tested: &Expr, list: &[Expr], depth: usize) -> Result<Condition, Refusal> {
        let at = place_of(tested);
        if !(1..=MAX_LIST_ITEMS).contains(&list.len()) {
            let message = format!("IN (...) takes 1 to {MAX_LIST_ITEMS} values");
            return Err(invalid(at, message, "use a coarser code list, or NOT IN with the others"));
        }
        let value = self.typed(tested, depth + 1)?;
        if value.as_text().is_some() {
            let codes = Codes::of(self.contract, &value);
            let mut set = Vec::with_capacity(list.len());
            for item in list {
                let Some(Written::Text(text)) = written(item) else {
                    return Err(invalid(
                        place_of(item),
                        "the list holds something other than codes",
                        "write codes in single quotes, like 'A1'",
                    ));
                };
                set.push(codes.place(text, place_of(item))?);
            }
            return Ok(in_set(value.value, set));
        }
        // Numbers finer than the value make it finer.
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            let typed = self.typed(item, depth + 1)?;
            items.push(match (&value.of, literal_text(&typed, item)) {
                (Type::Time { date, .. }, Some(text)) => {
                    let seconds = times::read(text, *date, place_of(item))?;
                    Typed { value: Value::Constant(seconds), of: Type::Time { lo: seconds, hi: seconds, grain: None, date: *date } }
                }
                _ if typed.of == Type::Null => {
                    return Err(invalid(place_of(item), "NULL is in no list", "write IS NULL for it"));
                }
                _ => {
                    check_comparable(&value.of, &typed.of, place_of(item))?;
                    typed
                }
            });
        }
        let (mut values, _) = unify(std::iter::once(value).chain(items).collect(), at)?;
        let items = values.split_off(1);
        let tested = values.pop().unwrap_or(Value::Null);
        let constants: Option<Vec<i64>> =
            items.iter().map(|item| if let Value::Constant(units) = item { Some(*units) } else { None }).collect();
        Ok(if let Some(set) = constants {
            in_set(tested, set)
        } else {
            let equal = |item| Condition::Compare { op: CompareOp::Eq, left: Box::new(tested.clone()), right: Box::new(item) };
            Condition::Or(items.into_iter().map(equal).collect())
        })
    }

    fn pattern(&self, tested: &Expr, pattern: &Expr, negated: bool, fold: fn(&str) -> String, depth: usize) -> Result<Condition, Refusal> {
        self.refuse_people(&[tested])?;
        let value = self.typed(tested, depth + 1)?;
        let Some((values, _)) = value.as_text() else {
            return Err(invalid(
                place_of(tested),
                format!("a pattern is for texts, and this is {}", value.of.name()),
                "compare it by = or <",
            ));
        };
        let pattern = fold(text::plain(pattern)?);
        if pattern.contains('\\') {
            return Err(invalid(place_of(tested), "a pattern has no escape here", "list the codes: IN ('...', '...')"));
        }
        let set = values.iter().zip(0..).filter(|(text, _)| text::like(&fold(text), &pattern)).map(|(_, place)| place).collect();
        let inside = in_set(value.value, set);
        Ok(if negated { not(inside) } else { inside })
    }

    /// A literal text as a code of the expression beside it; anything else as it is.
    pub(super) fn beside(&self, typed: Typed, expr: &Expr, other: &Typed) -> Result<Typed, Refusal> {
        match (literal_text(&typed, expr), other.as_text()) {
            (Some(text), Some(_)) => {
                if other.as_constant().is_some() {
                    return Err(not_private(place_of(expr), "two texts are compared", "compare a column with a code"));
                }
                let place = Codes::of(self.contract, other).place(text, place_of(expr))?;
                Ok(Typed { value: Value::Constant(place), of: other.of.clone() })
            }
            _ => Ok(typed),
        }
    }

    /// A condition on the unit would single a person out.
    fn refuse_people(&self, parts: &[&Expr]) -> Result<(), Refusal> {
        for part in parts {
            if let Some(Meaning::Unit) = self.column(part)? {
                return Err(not_private(
                    place_of(part),
                    format!("{} names people, and a condition on it would single one out", self.contract.unit_column),
                    "remove the condition; COUNT(DISTINCT unit) counts people",
                ));
            }
        }
        Ok(())
    }
}

/// A comparison without parentheses inside another, or before IN, BETWEEN or LIKE: SQL's own precedence is another than the parser's, and
/// few readers know either.
pub(crate) fn refuse_ambiguous(expr: &Expr) -> Result<(), Refusal> {
    let is_condition = |part: &Expr| match part {
        Expr::BinaryOp { op, .. } => compare_op(op).is_some(),
        Expr::InList { .. } | Expr::Between { .. } | Expr::Like { .. } | Expr::ILike { .. } => true,
        _ => false,
    };
    let parts: Vec<&Expr> = match expr {
        Expr::BinaryOp { left, op, right } if compare_op(op).is_some() => vec![left, right],
        Expr::InList { expr: tested, .. } | Expr::Like { expr: tested, .. } | Expr::ILike { expr: tested, .. } => vec![tested],
        Expr::Between { expr: tested, low, high, .. } => vec![tested, low, high],
        _ => return Ok(()),
    };
    match parts.into_iter().find(|part| is_condition(part)) {
        None => Ok(()),
        Some(part) => {
            Err(invalid(place_of(part), "two conditions stand beside each other without parentheses", "put one of them into parentheses"))
        }
    }
}

fn is_literal_text(typed: &Typed, expr: &Expr) -> bool {
    literal_text(typed, expr).is_some()
}

/// The text of a plain literal.
fn literal_text<'e>(typed: &Typed, expr: &'e Expr) -> Option<&'e str> {
    match written(expr) {
        Some(Written::Text(text)) if typed.as_text().is_some() => Some(text),
        _ => None,
    }
}

/// `left op right` for two expressions.
pub(crate) fn compare(left: Typed, op: CompareOp, right: Typed, at: Option<Position>) -> Result<Condition, Refusal> {
    check_comparable(&left.of, &right.of, at)?;
    let ordered = !matches!(op, CompareOp::Eq | CompareOp::Ne);
    if ordered && matches!(left.of, Type::Text { .. } | Type::Boolean) {
        return Err(no_order(&left.of, at));
    }
    let (left, right, op) = if left.as_constant().is_some() && right.as_constant().is_none() && left.as_text().is_none() {
        (right, left, mirrored(op))
    } else {
        (left, right, op)
    };
    let (values, of) = unify(vec![left, right], at)?;
    let [left, right] = values.try_into().unwrap_or([Value::Null, Value::Null]);
    Ok(match (&of, &right, op) {
        (Type::Text { .. }, Value::Constant(place), CompareOp::Eq) => in_set(left, vec![*place]),
        (Type::Text { .. }, Value::Constant(place), CompareOp::Ne) => not(in_set(left, vec![*place])),
        _ => Condition::Compare { op, left: Box::new(left), right: Box::new(right) },
    })
}

fn check_comparable(left: &Type, right: &Type, at: Option<Position>) -> Result<(), Refusal> {
    if *left == Type::Null || *right == Type::Null || std::mem::discriminant(left) == std::mem::discriminant(right) {
        return Ok(());
    }
    let hint = match left {
        Type::Text { .. } => "write a code in single quotes, like 'A1'",
        Type::Number { .. } => "write a number without quotes, like 12 or 0.5",
        Type::Boolean => "write TRUE or FALSE without quotes",
        Type::Time { .. } => "write it like '2011-01-31' or '2011-01-31 13:00:00'",
        Type::Null => "write IS NULL",
    };
    Err(invalid(at, format!("{} is compared with {}", left.name(), right.name()), hint))
}

/// Codes have no order that every engine agrees on (collations differ), and truth values need none.
fn no_order(of: &Type, at: Option<Position>) -> Refusal {
    match of {
        Type::Boolean => invalid(at, "truth values have no order", "write the column, or NOT and the column"),
        _ => invalid(at, "codes have no order", "list the codes: IN ('...', '...')"),
    }
}

fn in_set(value: Value, mut set: Vec<i64>) -> Condition {
    set.sort_unstable();
    set.dedup();
    Condition::InSet { value: Box::new(value), set }
}

fn not(part: Condition) -> Condition {
    Condition::Not(Box::new(part))
}

/// The operands of a chain of one operator, in order, parentheses removed. A loop, because chains are left-deep.
pub(crate) fn operands<'e>(expr: &'e Expr, chain: &BinaryOperator) -> Vec<&'e Expr> {
    let (mut todo, mut found) = (vec![expr], Vec::new());
    while let Some(next) = todo.pop() {
        match bare(next) {
            Expr::BinaryOp { left, op, right } if op == chain => todo.extend([&**right, &**left]),
            other => found.push(other),
        }
    }
    found
}

pub(crate) fn compare_op(op: &BinaryOperator) -> Option<CompareOp> {
    Some(match op {
        BinaryOperator::Eq => CompareOp::Eq,
        BinaryOperator::NotEq => CompareOp::Ne,
        BinaryOperator::Lt => CompareOp::Lt,
        BinaryOperator::LtEq => CompareOp::Le,
        BinaryOperator::Gt => CompareOp::Gt,
        BinaryOperator::GtEq => CompareOp::Ge,
        _ => return None,
    })
}

/// `5 < x` is `x > 5`.
fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
        CompareOp::Eq | CompareOp::Ne => op,
    }
}
