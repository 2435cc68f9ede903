//! SELECT and GROUP BY: which columns are group keys, which aggregates are asked, and how they are called in the answer.

use commun_domain::Refusal;
use commun_domain::contract::{ColumnType, Table};
use commun_domain::error::Position;
use commun_domain::plan::Aggregate;
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, SelectItem, Value,
};

use crate::names::{Name, Scope, plain_name};
use crate::predicate::unsupported;
use crate::refuse::{bare, invalid, not_private, place_of, place_of_name};

/// One item of SELECT.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) alias: Option<String>,
    pub(crate) at: Option<Position>,
}

/// What an item is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// The partition or a column.
    Key(Name<'a>),
    /// A sum or a count, and the name it gets without an alias.
    Aggregate(Aggregate, String),
}

/// Reads one item.
pub(crate) fn item<'a>(scope: &Scope<'a>, item: &SelectItem, select: Option<Position>) -> Result<Item<'a>, Refusal> {
    let (expr, alias): (&Expr, Option<&Ident>) = match item {
        SelectItem::UnnamedExpr(expr) => (expr, None),
        SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
        SelectItem::ExprWithAliases { expr, aliases: _ } => {
            return Err(invalid(place_of(expr), "one item has several names", "write one name after AS"));
        }
        SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
            return Err(not_private(
                select,
                "* asks for rows, and rows never leave a holder",
                "ask for counts and sums: COUNT(*), COUNT(DISTINCT unit), SUM(column)",
            ));
        }
    };
    let alias = alias.map(plain_name).transpose()?;
    let at = place_of(expr).or(select);
    let kind = match bare(expr) {
        Expr::Function(function) => aggregate(scope, function)?,
        other => match scope.column(other)? {
            Some(name) => Kind::Key(key(scope, name, at)?),
            None => return Err(unsupported(other)),
        },
    };
    Ok(Item { kind, alias, at })
}

/// Checks that a column may be a group key.
fn key<'a>(scope: &Scope<'a>, name: Name<'a>, at: Option<Position>) -> Result<Name<'a>, Refusal> {
    match name {
        Name::Unit => Err(not_private(
            at,
            format!("{} names people, so it is neither a group key nor part of an answer", scope.contract.unit_column),
            format!("count people: COUNT(DISTINCT {})", scope.contract.unit_column),
        )),
        Name::Column(column) if matches!(column.column_type, ColumnType::Number { .. }) => Err(not_private(
            at,
            format!("{} is a number: its values are no declared group keys", column.name),
            format!("ask SUM({}), or group by a column with a code list (classes of the number)", column.name),
        )),
        Name::Column(_) | Name::Partition => Ok(name),
    }
}

fn aggregate<'a>(scope: &Scope<'a>, function: &Function) -> Result<Kind<'a>, Refusal> {
    let Function { name, uses_odbc_syntax, parameters, args, filter, null_treatment, over, within_group } = function;
    let at = place_of_name(name);
    let called = match name.0.as_slice() {
        [part] => part.as_ident().filter(|ident| ident.quote_style.is_none()).map(|ident| ident.value.to_ascii_lowercase()),
        _ => None,
    };
    if over.is_some() {
        return Err(not_private(at, "a window looks across people", "use GROUP BY"));
    }
    if filter.is_some() {
        return Err(not_private(at, "FILTER is not read", "put the condition in WHERE, one question for each"));
    }
    let plain = !uses_odbc_syntax && matches!(parameters, FunctionArguments::None) && null_treatment.is_none() && within_group.is_empty();
    let list = match args {
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment, args, clauses }) if plain && clauses.is_empty() => {
            Some((duplicate_treatment, args.as_slice()))
        }
        _ => None,
    };
    let unit = &scope.contract.unit_column;
    match (called.as_deref(), list) {
        (Some("count"), Some((None, [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]))) => {
            Ok(Kind::Aggregate(Aggregate::CountRows { max_rows_per_person: scope.table.max_rows_per_person }, "count".to_owned()))
        }
        (Some("count"), Some((Some(DuplicateTreatment::Distinct), [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]))) => {
            match scope.column(arg)? {
                Some(Name::Unit) => Ok(Kind::Aggregate(Aggregate::CountUnits, "count_distinct".to_owned())),
                Some(_) => Err(not_private(
                    place_of(arg),
                    "only people are counted as distinct",
                    format!("write COUNT(DISTINCT {unit}), or group by the column and count the cells of the answer"),
                )),
                None => Err(unsupported(arg)),
            }
        }
        (Some("count"), Some((None, [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]))) => {
            let hint = match scope.column(arg)? {
                Some(name @ Name::Column(_)) => format!("write COUNT(*) with WHERE {} IS NOT NULL", scope.text(name)),
                _ => format!("write COUNT(*) for rows or COUNT(DISTINCT {unit}) for people"),
            };
            Err(not_private(at, "COUNT of an expression is not read", hint))
        }
        (Some("sum"), Some((None, [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]))) => sum(scope, arg),
        (Some("count"), _) => Err(not_private(at, "this form of COUNT is not read", format!("write COUNT(*) or COUNT(DISTINCT {unit})"))),
        (Some("sum"), _) => Err(not_private(at, "this form of SUM is not read", "write SUM(column) with a number column")),
        (Some("avg" | "mean"), _) => {
            Err(not_private(at, "AVG is not offered", "ask SUM(column) and COUNT(*) in one question and divide them"))
        }
        (Some("min" | "max" | "median"), _) => {
            Err(not_private(at, "an extreme or a median is one person's value", "group by a column with a code list (classes) and count"))
        }
        _ => Err(not_private(
            at,
            "this function is not read",
            format!("the aggregates are COUNT(*), COUNT(DISTINCT {unit}) and SUM(column)"),
        )),
    }
}

fn sum<'a>(scope: &Scope<'a>, arg: &Expr) -> Result<Kind<'a>, Refusal> {
    let at = place_of(arg);
    let numbers = || numbers(scope.table);
    match scope.column(arg)? {
        None => Err(unsupported(arg)),
        Some(Name::Unit) => Err(not_private(at, "the column of the unit is not summed", numbers())),
        Some(Name::Partition) => Err(invalid(at, "the partition is not a number", numbers())),
        Some(Name::Column(column)) => match column.column_type {
            ColumnType::Number { lo, hi, scale } => Ok(Kind::Aggregate(
                Aggregate::Sum { column: column.name.clone(), lo, hi, scale, max_rows_per_person: scope.table.max_rows_per_person },
                format!("sum_{}", column.name),
            )),
            ColumnType::Code { .. } | ColumnType::Boolean => Err(invalid(at, format!("{} is not a number", column.name), numbers())),
        },
    }
}

fn numbers(table: &Table) -> String {
    let names: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| matches!(column.column_type, ColumnType::Number { .. }))
        .map(|column| column.name.as_str())
        .collect();
    if names.is_empty() {
        "this table has no number column; count instead: COUNT(*)".to_owned()
    } else {
        format!("the number columns are: {}", names.join(", "))
    }
}

/// Checks that GROUP BY names exactly the keys of SELECT, by column, alias or ordinal.
pub(crate) fn check_group_by<'a>(scope: &Scope<'a>, items: &[Item<'a>], group_by: &[Expr]) -> Result<(), Refusal> {
    let mut grouped = Vec::new();
    for expr in group_by {
        let at = place_of(expr);
        let name = group_key(scope, items, expr)?;
        key(scope, name, at)?;
        let name = scope.text(name);
        if !items.iter().any(|item| matches!(item.kind, Kind::Key(key) if scope.text(key) == name)) {
            return Err(invalid(at, format!("{name} is a group key but is not selected"), format!("add {name} to SELECT")));
        }
        grouped.push(name);
    }
    for (number, item) in items.iter().enumerate() {
        let Kind::Key(key) = item.kind else { continue };
        let name = scope.text(key);
        if items[..number].iter().any(|other| matches!(other.kind, Kind::Key(other) if scope.text(other) == name)) {
            return Err(invalid(item.at, format!("{name} is selected twice"), "select it once"));
        }
        if !grouped.contains(&name) {
            return Err(invalid(item.at, format!("{name} is selected but is not a group key"), format!("add GROUP BY {name}")));
        }
    }
    Ok(())
}

/// A column of the table first, then an alias, as in `PostgreSQL`.
fn group_key<'a>(scope: &Scope<'a>, items: &[Item<'a>], expr: &Expr) -> Result<Name<'a>, Refusal> {
    let at = place_of(expr);
    let key_of = |item: &Item<'a>| match item.kind {
        Kind::Key(name) => Ok(name),
        Kind::Aggregate(..) => Err(invalid(at, "an aggregate is no group key", "group by the other items of SELECT")),
    };
    match bare(expr) {
        Expr::Identifier(ident) => {
            let name = plain_name(ident)?;
            match (scope.lookup(&name), items.iter().find(|item| item.alias.as_ref() == Some(&name))) {
                (Some(column), _) => Ok(column),
                (None, Some(item)) => key_of(item),
                // Says that there is no such column, and which there are.
                (None, None) => scope.column(expr)?.ok_or_else(|| unsupported(expr)),
            }
        }
        Expr::Value(value) => match &value.value {
            Value::Number(digits, false) => {
                let item = digits.parse::<usize>().ok().and_then(|ordinal| items.get(ordinal.checked_sub(1)?));
                item.ok_or_else(|| invalid(at, "SELECT has no item of this number", format!("write 1 to {}", items.len()))).and_then(key_of)
            }
            _ => Err(invalid(at, "a value is no group key", "group by columns")),
        },
        Expr::CompoundIdentifier(_) => scope.column(expr)?.ok_or_else(|| unsupported(expr)),
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => Err(not_private(
            at,
            "ROLLUP, CUBE and GROUPING SETS are not read",
            "list the key columns; ask margins as questions of their own",
        )),
        other => Err(unsupported(other)),
    }
}

/// Names of the answer's columns in SELECT order: aliases and keys as they are, other outputs made unique.
pub(crate) fn names(scope: &Scope<'_>, items: &[Item<'_>]) -> Result<Vec<String>, Refusal> {
    let mut names: Vec<Option<String>> = items
        .iter()
        .map(|item| match item.kind {
            Kind::Key(name) => Some(item.alias.clone().unwrap_or_else(|| scope.text(name).to_owned())),
            Kind::Aggregate(..) => item.alias.clone(),
        })
        .collect();
    for (number, name) in names.iter().enumerate() {
        let Some(name) = name else { continue };
        let twice = names[..number].iter().flatten().any(|other| other == name);
        let margin = items.iter().zip(&names).any(|(item, other)| {
            matches!((&item.kind, other), (Kind::Aggregate(..), Some(other)) if name.strip_suffix("_moe") == Some(other.as_str()))
        });
        if twice || margin {
            let hint = "give it another name with AS; the margin of error of an output x is called x_moe";
            return Err(invalid(items[number].at, format!("{name} names two columns of the answer"), hint));
        }
    }
    for number in 0..items.len() {
        let Kind::Aggregate(_, base) = &items[number].kind else { continue };
        if names[number].is_none() {
            let free = |candidate: &String| {
                names.iter().flatten().all(|taken| {
                    taken != candidate && taken.strip_suffix("_moe") != Some(candidate) && candidate.strip_suffix("_moe") != Some(taken)
                })
            };
            let candidates = std::iter::once(base.clone()).chain((2..).map(|suffix: u32| format!("{base}_{suffix}")));
            names[number] = candidates.into_iter().find(free);
        }
    }
    Ok(names.into_iter().flatten().collect())
}
