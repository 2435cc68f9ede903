//! Building refusals: code, message, hint and place in one call; and where an expression starts.

use commun_domain::error::Position;
use commun_domain::{Refusal, WireCode};
use sqlparser::ast::{Expr, ObjectName};

use crate::text::start_of;

/// A refusal at a place.
pub(crate) fn refuse(code: WireCode, at: Option<Position>, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
    let refusal = Refusal::new(code, message, hint);
    match at {
        Some(Position { line, column }) => refusal.at(line, column),
        None => refusal,
    }
}

/// The text is wrong: syntax, names, types, values.
pub(crate) fn invalid(at: Option<Position>, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
    refuse(WireCode::InvalidQuery, at, message, hint)
}

/// The text is right, but cannot be answered privately as it stands.
pub(crate) fn not_private(at: Option<Position>, message: impl Into<String>, hint: impl Into<String>) -> Refusal {
    refuse(WireCode::NotPrivate, at, message, hint)
}

/// Where an expression starts. Walks down its left edge in a loop: `sqlparser`'s own `span()` recurses through the whole tree.
pub(crate) fn place_of(expr: &Expr) -> Option<Position> {
    let mut expr = expr;
    loop {
        expr = match expr {
            Expr::Identifier(ident) => return start_of(ident.span),
            Expr::CompoundIdentifier(parts) => return parts.first().and_then(|ident| start_of(ident.span)),
            Expr::Value(value) => return start_of(value.span),
            Expr::Function(function) => return place_of_name(&function.name),
            Expr::Case { case_token, .. } => return start_of(case_token.0.span),
            Expr::Wildcard(token) | Expr::QualifiedWildcard(_, token) => return start_of(token.0.span),
            Expr::Exists { subquery, .. } | Expr::Subquery(subquery) => {
                return subquery.body.as_select().and_then(|select| start_of(select.select_token.0.span));
            }
            Expr::BinaryOp { left, .. } | Expr::AnyOp { left, .. } | Expr::AllOp { left, .. } => left,
            Expr::IsDistinctFrom(inner, _)
            | Expr::IsNotDistinctFrom(inner, _)
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsNotTrue(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner)
            | Expr::Nested(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::InList { expr: inner, .. }
            | Expr::InSubquery { expr: inner, .. }
            | Expr::InUnnest { expr: inner, .. }
            | Expr::Between { expr: inner, .. }
            | Expr::Like { expr: inner, .. }
            | Expr::ILike { expr: inner, .. }
            | Expr::SimilarTo { expr: inner, .. }
            | Expr::RLike { expr: inner, .. }
            | Expr::Cast { expr: inner, .. }
            | Expr::Convert { expr: inner, .. }
            | Expr::Extract { expr: inner, .. }
            | Expr::Ceil { expr: inner, .. }
            | Expr::Floor { expr: inner, .. }
            | Expr::Position { expr: inner, .. }
            | Expr::Substring { expr: inner, .. }
            | Expr::Trim { expr: inner, .. }
            | Expr::Overlay { expr: inner, .. }
            | Expr::Collate { expr: inner, .. }
            | Expr::AtTimeZone { timestamp: inner, .. }
            | Expr::CompoundFieldAccess { root: inner, .. }
            | Expr::JsonAccess { value: inner, .. } => inner,
            Expr::Tuple(items) => items.first()?,
            Expr::TypedString(typed) => return start_of(typed.value.span),
            _ => return None,
        }
    }
}

/// Where a name starts.
pub(crate) fn place_of_name(name: &ObjectName) -> Option<Position> {
    name.0.first().and_then(|part| part.as_ident()).and_then(|ident| start_of(ident.span))
}

/// The expression inside any number of parentheses.
pub(crate) fn bare(expr: &Expr) -> &Expr {
    let mut expr = expr;
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}
