//! Expressions over one row: SQL to typed integer expressions, total by construction.
//!
//! What each construct means stands in the module that reads it; what is not on the list is refused with a hint. Depth and size are
//! limited, because a question comes from outside.

mod arithmetic;
mod condition;
mod function;
mod text;
mod times;

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::{Branch, CompareOp, Condition, Rounding, Value};
use sqlparser::ast::{CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, ExactNumberInfo, Expr, UnaryOperator, Value as Literal};

use super::literal::decimal;
use super::scope::{Meaning, Scope};
use super::types::{MAX_SCALE, Type, Typed, unify};
use crate::refuse::{bare, invalid, not_private, place_of};

pub use condition::MAX_LIST_ITEMS;
pub(crate) use condition::{compare, compare_op, operands, refuse_ambiguous};
pub use function::{FUNCTIONS, MAX_BUCKETS};
pub(crate) use function::{arguments, called, is_not_null};

/// Deepest nesting of an expression after parentheses and chains of AND and OR are flattened.
pub const MAX_PREDICATE_DEPTH: usize = 24;

/// Longest text that a question may make up, as the name of a class.
pub const MAX_LABEL_CHARS: usize = 64;

impl Scope<'_> {
    /// An expression that has a value.
    pub(crate) fn typed(&self, expr: &Expr, depth: usize) -> Result<Typed, Refusal> {
        let at = place_of(expr);
        // A condition of the greatest depth still has operands.
        if depth > MAX_PREDICATE_DEPTH + 1 {
            return Err(invalid(at, format!("the expression is nested deeper than {MAX_PREDICATE_DEPTH}"), "write it flat"));
        }
        let expr = bare(expr);
        let typed = match self.column(expr)? {
            Some(Meaning::Typed(typed)) => typed,
            Some(Meaning::Open(open)) => return Err(open.refused(at)),
            Some(Meaning::Unit) => {
                let unit = &self.contract.unit_column;
                return Err(not_private(
                    at,
                    format!("{unit} names people, and an expression on it would single one out"),
                    format!("remove it; COUNT(DISTINCT {unit}) counts people"),
                ));
            }
            Some(Meaning::Partition) => {
                return Err(not_private(
                    at,
                    "the partition is restricted once, at the top of WHERE, by =, IN or BETWEEN, or is a group key",
                    format!("write {}, joined to the rest by AND", self.partition_example()),
                ));
            }
            None => self.operation(expr, depth, at)?,
        };
        self.effort.spend(typed.effort(), at)?;
        typed.within_size(at)
    }

    fn operation(&self, expr: &Expr, depth: usize, at: Option<Position>) -> Result<Typed, Refusal> {
        match expr {
            Expr::Value(value) => literal(&value.value, at),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } => {
                let inner = self.typed(inner, depth + 1)?;
                arithmetic::negate(inner, at)
            }
            Expr::UnaryOp { op: UnaryOperator::Plus, expr: inner } => {
                let inner = self.typed(inner, depth + 1)?;
                inner.range(at)?;
                Ok(inner)
            }
            Expr::BinaryOp { left, op, right } if arithmetic::is_arithmetic(op) => {
                let (left, right) = (self.typed(left, depth + 1)?, self.typed(right, depth + 1)?);
                arithmetic::binary(left, op, right, at)
            }
            Expr::BinaryOp { left, op: sqlparser::ast::BinaryOperator::StringConcat, right } => {
                let parts = vec![self.typed(left, depth + 1)?, self.typed(right, depth + 1)?];
                text::concat(parts, at)
            }
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), depth, at)
            }
            Expr::Cast {
                kind: CastKind::Cast | CastKind::TryCast | CastKind::SafeCast | CastKind::DoubleColon,
                expr: inner,
                data_type,
                array: false,
                format: None,
            } => {
                let inner = self.typed(inner, depth + 1)?;
                cast(inner, data_type, at)
            }
            Expr::TypedString(typed) if !typed.uses_odbc_syntax => {
                let text = literal(&typed.value.value, at)?;
                cast(text, &typed.data_type, at)
            }
            Expr::Extract { field, syntax: _, expr: inner } => {
                let inner = self.typed(inner, depth + 1)?;
                times::extract(&field.to_string(), inner, at)
            }
            Expr::Floor { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.typed(inner, depth + 1)?.rounded_to_integer(Rounding::Floor, at)
            }
            Expr::Ceil { expr: inner, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.typed(inner, depth + 1)?.rounded_to_integer(Rounding::Ceil, at)
            }
            Expr::Substring { expr: inner, substring_from, substring_for, special: _, shorthand: _ } => {
                let inner = self.typed(inner, depth + 1)?;
                let from = substring_from.as_deref().map(text::position).transpose()?;
                let length = substring_for.as_deref().map(text::length).transpose()?;
                text::substring(&inner, from.unwrap_or(1), length, at)
            }
            Expr::Trim { trim_where, trim_what: None, expr: inner, trim_characters: None } => {
                let inner = self.typed(inner, depth + 1)?;
                text::trim(&inner, trim_where.as_ref(), at)
            }
            Expr::Function(function) => self.function(function, depth, at),
            // A condition is a truth value.
            Expr::BinaryOp { .. }
            | Expr::UnaryOp { op: UnaryOperator::Not, .. }
            | Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::ILike { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..) => {
                let condition = self.condition(expr, depth + 1)?;
                Ok(Typed { value: Value::Truth(Box::new(condition)), of: Type::Boolean })
            }
            other => Err(unsupported(other)),
        }
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        depth: usize,
        at: Option<Position>,
    ) -> Result<Typed, Refusal> {
        let tested = operand.map(|operand| self.typed(operand, depth + 1)).transpose()?;
        let (mut whens, mut results) = (Vec::new(), Vec::new());
        for CaseWhen { condition, result } in conditions {
            whens.push(match &tested {
                None => self.condition(condition, depth + 1)?,
                Some(tested) => {
                    let with = self.typed(condition, depth + 1)?;
                    self.effort.spend(tested.effort(), at)?;
                    self.compare_at(tested.clone(), CompareOp::Eq, with, place_of(condition), condition)?
                }
            });
            results.push(self.label(result, depth + 1)?);
        }
        results.push(otherwise.map_or_else(|| Ok(Typed::null()), |otherwise| self.label(otherwise, depth + 1))?);
        let (mut values, of) = unify(results, at)?;
        let otherwise = Box::new(values.pop().unwrap_or(Value::Null));
        let branches = whens.into_iter().zip(values).map(|(condition, value)| Branch { condition, value }).collect();
        Ok(Typed { value: Value::Case { branches, otherwise }, of })
    }

    /// A result of CASE or COALESCE: there a text may be made up, as the name of a class.
    pub(super) fn label(&self, expr: &Expr, depth: usize) -> Result<Typed, Refusal> {
        match bare(expr) {
            Expr::Value(value) => match &value.value {
                Literal::SingleQuotedString(text) if text.chars().count() <= MAX_LABEL_CHARS => {
                    Ok(Typed::text(Value::Constant(0), vec![text.clone()]))
                }
                Literal::SingleQuotedString(_) => {
                    let hint = format!("write at most {MAX_LABEL_CHARS} characters");
                    Err(invalid(place_of(expr), "this text is too long to be the name of a class", hint))
                }
                other => literal(other, place_of(expr)),
            },
            _ => self.typed(expr, depth),
        }
    }
}

impl Typed {
    pub(super) fn rounded_to_integer(self, rounding: Rounding, at: Option<Position>) -> Result<Self, Refusal> {
        self.rounded(0, rounding, at)
    }

    /// A truth value as a condition.
    pub(crate) fn into_condition(self, at: Option<Position>) -> Result<Condition, Refusal> {
        match (self.of, self.value) {
            (Type::Boolean, Value::Truth(condition)) => Ok(*condition),
            (Type::Boolean, Value::Constant(truth)) => Ok(Condition::Constant(Some(truth != 0))),
            (Type::Boolean, value) => {
                Ok(Condition::Compare { op: CompareOp::Eq, left: Box::new(value), right: Box::new(Value::Constant(1)) })
            }
            (Type::Null, _) => Ok(Condition::Constant(None)),
            (other, _) => {
                let message = format!("{} alone is no condition", other.name());
                Err(invalid(at, message, "compare it with a value; only a boolean column stands alone"))
            }
        }
    }
}

/// A literal. A text has a meaning only beside a column or as the name of a class; see [`condition`] and [`Scope::label`].
fn literal(value: &Literal, at: Option<Position>) -> Result<Typed, Refusal> {
    match value {
        Literal::Number(digits, false) => {
            let (units, scale) = decimal(digits, false, at)?;
            Typed::number(Value::Constant(units), (units.into(), units.into()), scale, at)
        }
        Literal::Boolean(truth) => Ok(Typed { value: Value::Constant(i64::from(*truth)), of: Type::Boolean }),
        Literal::Null => Ok(Typed::null()),
        Literal::SingleQuotedString(text) if text.chars().count() <= MAX_LABEL_CHARS => {
            Ok(Typed::text(Value::Constant(0), vec![text.clone()]))
        }
        Literal::SingleQuotedString(_) => Err(invalid(at, "this text is too long", "compare a column with one of its codes")),
        Literal::Placeholder(_) => Err(not_private(at, "parameters are not read", "write the value itself")),
        _ => Err(not_private(at, "this kind of literal is not read", "write 'text' in single quotes, a plain number, TRUE, FALSE or NULL")),
    }
}

/// CAST, which is `TRY_CAST` here: what cannot be converted is NULL.
fn cast(inner: Typed, to: &DataType, at: Option<Position>) -> Result<Typed, Refusal> {
    let float = || {
        not_private(
            at,
            "there are no floating-point numbers before noise is added",
            "write CAST(x AS DECIMAL(18, 4)) or another number of digits",
        )
    };
    match to {
        DataType::SmallInt(None) => within(to_number(inner, Some(0), at)?, (i16::MIN.into(), i16::MAX.into()), at),
        DataType::Int(None) | DataType::Integer(None) => within(to_number(inner, Some(0), at)?, (i32::MIN.into(), i32::MAX.into()), at),
        DataType::BigInt(None) => to_number(inner, Some(0), at),
        DataType::Decimal(info) | DataType::Numeric(info) => {
            let (precision, scale) = match *info {
                // Without digits a number keeps those that it has.
                ExactNumberInfo::None => return to_number(inner, None, at),
                ExactNumberInfo::Precision(precision) => (precision, 0),
                ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
            };
            let scale = u8::try_from(scale).ok().filter(|scale| *scale <= MAX_SCALE).ok_or_else(|| {
                invalid(at, format!("a number has 0 to {MAX_SCALE} digits after the point"), "write for example DECIMAL(18, 4)")
            })?;
            let number = to_number(inner, Some(scale), at)?;
            // 19 digits and more hold every number there is.
            match u32::try_from(precision).ok().filter(|digits| *digits < 19) {
                Some(digits) => {
                    let most = 10i64.pow(digits) - 1;
                    within(number, (-most, most), at)
                }
                None => Ok(number),
            }
        }
        DataType::Boolean => match &inner.of {
            Type::Boolean | Type::Null => Ok(Typed { of: Type::Boolean, ..inner }),
            Type::Number { .. } => {
                let zero = Box::new(Value::Constant(0));
                let condition = Condition::Compare { op: CompareOp::Ne, left: Box::new(inner.value), right: zero };
                Ok(Typed { value: Value::Truth(Box::new(condition)), of: Type::Boolean })
            }
            other => Err(invalid(at, format!("{} is not cast to a boolean", other.name()), "compare it with a value")),
        },
        DataType::Varchar(None) | DataType::Text => match &inner.of {
            Type::Text { .. } => Ok(inner),
            Type::Null => Ok(Typed::text(Value::Null, Vec::new())),
            Type::Boolean => {
                let texts = vec!["false".to_owned(), "true".to_owned()];
                Ok(Typed::text(inner.value, texts))
            }
            other => Err(not_private(
                at,
                format!("{} is not cast to a text", other.name()),
                "group by the value itself, or make classes by CASE or WIDTH_BUCKET",
            )),
        },
        DataType::Date => times::to_time(inner, true, at),
        DataType::Timestamp(None, _) => times::to_time(inner, false, at),
        DataType::Real | DataType::Double(_) | DataType::DoublePrecision | DataType::Float(_) => Err(float()),
        _ => Err(not_private(at, "CAST to this type is not read", "use BIGINT, DECIMAL(p, s), BOOLEAN, TEXT, DATE or TIMESTAMP")),
    }
}

/// A number, with so many digits after the point or with those that it has.
fn to_number(inner: Typed, scale: Option<u8>, at: Option<Position>) -> Result<Typed, Refusal> {
    match (&inner.of, scale) {
        (Type::Number { .. }, None) => Ok(inner),
        (Type::Number { scale: from, .. }, Some(scale)) if *from >= scale => inner.rounded(scale, Rounding::HalfAway, at),
        (Type::Number { .. }, Some(scale)) => inner.rescaled(scale, at),
        (Type::Null, _) => Ok(Typed { value: Value::Null, of: Type::Number { lo: 0, hi: 0, scale: scale.unwrap_or(0) } }),
        (Type::Boolean, _) => Typed::number(inner.value, (0, 1), 0, at)?.rescaled(scale.unwrap_or(0), at),
        (Type::Text { values, .. }, _) => {
            let finest = || values.iter().filter_map(|text| text::decimal_digits(text)).max().unwrap_or(0).min(MAX_SCALE);
            let scale = scale.unwrap_or_else(finest);
            inner.map_number(scale, |text| text::to_units(text, scale), at).unwrap_or_else(|| Ok(Typed::null()))
        }
        (Type::Time { .. }, _) => Err(invalid(at, "a time is not cast to a number", "use EXTRACT(field FROM time)")),
    }
}

/// The range of a type, in units of the number's scale: what lies outside is NULL, as what cannot be cast is.
fn within(number: Typed, (least, most): (i64, i64), at: Option<Position>) -> Result<Typed, Refusal> {
    let Type::Number { lo, hi, scale } = number.of else { return Ok(number) };
    if least <= lo && hi <= most {
        return Ok(number);
    }
    let bound = |op, bound| Condition::Compare { op, left: Box::new(number.value.clone()), right: Box::new(Value::Constant(bound)) };
    let inside = Condition::And(vec![bound(CompareOp::Ge, least), bound(CompareOp::Le, most)]);
    let branches = vec![Branch { condition: inside, value: number.value.clone() }];
    let (lo, hi) = (lo.clamp(least, most), hi.clamp(least, most));
    Typed::number(Value::Case { branches, otherwise: Box::new(Value::Null) }, (lo.into(), hi.into()), scale, at)
}

/// The refusal of an expression that is not on the list of what is read.
pub(crate) fn unsupported(expr: &Expr) -> Refusal {
    let (message, hint) = match bare(expr) {
        Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => {
            ("a subquery here looks at other people's rows", "write conditions on the table's own columns")
        }
        Expr::SimilarTo { .. } | Expr::RLike { .. } => ("these patterns are not read", "use LIKE, or list the codes: IN ('...', '...')"),
        Expr::BinaryOp { .. } | Expr::UnaryOp { .. } => ("this operator is not read", "the reference lists the operators that are read"),
        Expr::Interval(_) => ("intervals are not read", "compare EXTRACT(... FROM time) with a number"),
        _ => ("this expression is not read", "use the table's own columns and literals; the reference lists what is read"),
    };
    not_private(place_of(expr), message, hint)
}
