//! Bindings: a holder's own SQL from its files to a data contract's table, checked for person-locality.
//!
//! A binding is private and trusted not to be hostile; the rules keep it from breaking what privacy rests on: each output row derives from
//! one source row (and rows looked up by equality), by total expressions. Which columns are unit and partition, and that joins are on
//! them, is not checked in this version: the holder attests it (see the threat model, "Assumed").

mod scalar;

use commun_domain::error::Position;
use commun_domain::ids::is_name;
use sqlparser::ast::{
    BinaryOperator, CastKind, Expr, Ident, Join, JoinConstraint, JoinOperator, SelectItem, SetExpr, SetOperator, SetQuantifier,
    TableFactor, TableWithJoins, WildcardAdditionalOptions, visit_expressions_mut,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;

use crate::clauses::{self, BareSelect, Construct, bare_query, bare_select, bare_table};
use crate::refuse::{bare, place_of, place_of_name};
use crate::text::{MAX_RECURSION, Parsed, on_deep_stack, parse, start_of};

/// Why a text may not be a binding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a binding cannot have {what}: {why}{}", .at.map_or(String::new(), |at| format!(" (line {}, column {})", at.line, at.column)))]
pub struct BindingFault {
    /// What stands there.
    pub what: String,
    /// Why it may not, or what to write instead.
    pub why: String,
    /// Where it stands.
    pub at: Option<Position>,
}

impl BindingFault {
    pub(crate) fn new(at: Option<Position>, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), at }
    }
}

/// Most SELECTs of one UNION ALL.
pub const MAX_BRANCHES: usize = 64;

/// Checks a binding: one SELECT or a UNION ALL of SELECTs over the named sources, joined on equal columns, with total scalar expressions.
///
/// # Errors
/// The first fault, with its place and the reason.
pub fn check_binding(sql: &str, sources: &[String]) -> Result<(), BindingFault> {
    parse_checked(sql, Some(sources)).map(drop)
}

fn parse_checked(sql: &str, sources: Option<&[String]>) -> Result<Parsed, BindingFault> {
    let parsed = parse(sql).map_err(|fault| BindingFault::new(fault.at, format!("this text ({})", fault.message), fault.hint))?;
    for branch in branches(&parsed)? {
        check_branch(&parsed, &branch, sources)?;
    }
    Ok(parsed)
}

/// The binding as the engine runs it: every CAST and `::` becomes `TRY_CAST`, so that a cell that does not fit gives NULL and no error that
/// shows it. The text is printed from the checked syntax tree and read again with the engine's own dialect: nothing that only one of
/// the two readings sees can stand in it.
///
/// # Errors
/// Whatever [`check_binding`] refuses, but for the names of sources; and a text that the engine's dialect would read otherwise.
pub fn rewrite_binding(sql: &str) -> Result<String, BindingFault> {
    let mut query = parse_checked(sql, None)?.query;
    let _: std::ops::ControlFlow<()> = visit_expressions_mut(&mut query, |expr| {
        if let Expr::Cast { kind: kind @ (CastKind::Cast | CastKind::DoubleColon | CastKind::SafeCast), .. } = expr {
            *kind = CastKind::TryCast;
        }
        std::ops::ControlFlow::Continue(())
    });
    let again = on_deep_stack(|| {
        let text = query.to_string();
        // Our own limits first: the engine's dialect takes exponential time over what is nested too deeply.
        let printed = parse(&text).ok()?.query.to_string();
        if printed != text {
            return None;
        }
        let mut engine = Parser::new(&GenericDialect {}).with_recursion_limit(MAX_RECURSION).try_with_sql(&text).ok()?;
        (*engine.parse_query().ok()? == query).then_some(text)
    });
    again.flatten().ok_or_else(|| {
        let why = "nest less, or write it more plainly; the reference lists what is read";
        BindingFault::new(None, "SQL that the engine reads otherwise or not at all", why)
    })
}

fn refused(parsed: &Parsed, construct: &Construct) -> BindingFault {
    BindingFault::new(construct.place(parsed), construct.name, construct.why)
}

/// The SELECTs of a UNION ALL, in order. A loop, because unions are left-deep.
fn branches(parsed: &Parsed) -> Result<Vec<BareSelect<'_>>, BindingFault> {
    let fault = |construct: &'static Construct| refused(parsed, construct);

    let mut todo = vec![bare_query(&parsed.query).map_err(fault)?];
    let mut found = Vec::new();
    while let Some(body) = todo.pop() {
        match body {
            SetExpr::Select(select) => found.push(bare_select(select).map_err(fault)?),
            SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier: SetQuantifier::All, right } => {
                todo.extend([&**right, &**left]);
            }
            SetExpr::SetOperation { .. } => return Err(fault(clauses::SET_OPERATION)),
            SetExpr::Query(_) => return Err(fault(clauses::SUBQUERY)),
            SetExpr::Values(_) | SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => {
                return Err(fault(clauses::VENDOR));
            }
        }
    }
    if found.len() > MAX_BRANCHES {
        let at = clauses::SET_OPERATION.place(parsed);
        return Err(BindingFault::new(at, format!("more than {MAX_BRANCHES} SELECTs"), "name several files as one source instead"));
    }
    Ok(found)
}

fn check_branch(parsed: &Parsed, branch: &BareSelect<'_>, sources: Option<&[String]>) -> Result<(), BindingFault> {
    let BareSelect { items, from, filter, group_by, having } = branch;
    if having.is_some() {
        return Err(refused(parsed, clauses::HAVING));
    }
    if !group_by.is_empty() {
        return Err(refused(parsed, clauses::GROUP_BY));
    }
    let [TableWithJoins { relation, joins }] = from else { return Err(refused(parsed, clauses::JOIN)) };
    check_source(parsed, relation, sources)?;
    for Join { relation, global, join_operator } in joins {
        check_source(parsed, relation, sources)?;
        let constraint = match join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
                if !global =>
            {
                constraint
            }
            _ => return Err(refused(parsed, clauses::JOIN)),
        };
        match constraint {
            JoinConstraint::On(condition) => check_join(condition)?,
            JoinConstraint::Using(_) | JoinConstraint::Natural | JoinConstraint::None => return Err(refused(parsed, clauses::JOIN)),
        }
    }
    for item in *items {
        match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, alias: _ } => scalar::check(expr)?,
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => check_wildcard(options)?,
            SelectItem::ExprWithAliases { expr, aliases: _ } => {
                return Err(BindingFault::new(place_of(expr), "several names for one item", "write one name after AS"));
            }
        }
    }
    filter.map_or(Ok(()), scalar::check)
}

fn check_wildcard(options: &WildcardAdditionalOptions) -> Result<(), BindingFault> {
    let WildcardAdditionalOptions { wildcard_token, opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, opt_alias } = options;
    let plain = opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none();
    if plain { Ok(()) } else { Err(BindingFault::new(start_of(wildcard_token.0.span), "* with options", "name the columns one by one")) }
}

fn check_source(parsed: &Parsed, factor: &TableFactor, sources: Option<&[String]>) -> Result<(), BindingFault> {
    let (name, _) = bare_table(factor).map_err(|construct| refused(parsed, construct))?;
    let known = match name {
        [part] => part.as_ident().is_some_and(|Ident { value, quote_style, span: _ }| {
            let value = if quote_style.is_none() { value.to_ascii_lowercase() } else { value.clone() };
            // What no source may be called could be read in two ways: `@1LL` loses a letter each time it is printed.
            is_name(&value) && sources.is_none_or(|sources| sources.contains(&value))
        }),
        _ => false,
    };
    if known {
        return Ok(());
    }
    let at = match factor {
        TableFactor::Table { name, .. } => place_of_name(name),
        _ => None,
    };
    let at = at.or_else(|| parsed.find(&[Keyword::FROM]));
    Err(BindingFault::new(
        at,
        "a table that is none of its sources",
        format!("the sources are: {}", sources.unwrap_or_default().join(", ")),
    ))
}

/// ON is a chain of `column = column`: anything else could pair one person's rows by looking at another's.
fn check_join(condition: &Expr) -> Result<(), BindingFault> {
    let is_column = |expr: &Expr| matches!(bare(expr), Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    scalar::check(condition)?;
    let mut todo = vec![condition];
    while let Some(next) = todo.pop() {
        match bare(next) {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => todo.extend([&**right, &**left]),
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_column(left) && is_column(right) => {}
            other => {
                let why = "write ON a.x = b.y AND ...; put other conditions into WHERE";
                return Err(BindingFault::new(place_of(other), "a join on something other than equal columns", why));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
