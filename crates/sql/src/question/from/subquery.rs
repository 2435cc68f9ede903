//! Subqueries: SELECT over what FROM makes visible, and UNION ALL of several.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::Value;
use commun_domain::plan::relation::{Computed, Relation};
use sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, TableAlias, WildcardAdditionalOptions};
use sqlparser::keywords::Keyword;

use super::close::Closing;
use super::{From, Named};
use crate::clauses::{self, BareSelect, Construct, bare_query, bare_select};
use crate::question::scope::{Meaning, Scope, Source, plain_name};
use crate::question::types::{Type, Typed, unify};
use crate::refuse::{bare, invalid, not_private, place_of};
use crate::text::start_of;

/// A SELECT inside FROM that is read: its columns stand for expressions over the scope.
struct Read<'a> {
    scope: Scope<'a>,
    columns: Vec<(String, Meaning)>,
    at: Option<Position>,
}

impl<'q, 'a> From<'q, 'a> {
    pub(super) fn subquery(
        &self,
        query: &'q Query,
        alias: Option<String>,
        names: &[Named<'q>],
        depth: usize,
    ) -> Result<Scope<'a>, Refusal> {
        let mut branches = Vec::new();
        self.branches(bare_query(query).map_err(|construct| self.refused(construct))?, &mut branches, depth)?;
        let mut read = Vec::new();
        for select in branches {
            // The first SELECT names the columns of all.
            let read_one = self.select(select, names, depth, read.is_empty())?;
            read.push(read_one);
        }
        let Read { scope, columns, at: _ } = match read.pop() {
            Some(only) if read.is_empty() => only,
            Some(last) => {
                read.push(last);
                self.union(&read)?
            }
            None => return Err(self.refused(clauses::SUBQUERY)),
        };
        let qualifiers = alias.map_or_else(Vec::new, |alias| vec![vec![alias]]);
        Ok(scope.with_sources(vec![Source { qualifiers, columns, merged: Vec::new() }], Vec::new()))
    }

    /// The SELECTs of a UNION ALL, in order.
    fn branches(&self, body: &'q SetExpr, into: &mut Vec<&'q Select>, depth: usize) -> Result<(), Refusal> {
        // The left side of a chain is walked in a loop, so that its length is no depth.
        let (mut body, mut rights) = (body, Vec::new());
        while let SetExpr::SetOperation { left, op: SetOperator::Union, set_quantifier: SetQuantifier::All, right } = body {
            rights.push(&**right);
            body = left;
        }
        match body {
            SetExpr::Select(select) => into.push(select),
            SetExpr::Query(query) if depth < super::MAX_NESTING => {
                self.branches(bare_query(query).map_err(|construct| self.refused(construct))?, into, depth + 1)?;
            }
            SetExpr::SetOperation { .. } => return Err(self.refused(clauses::SET_OPERATION)),
            _ => return Err(self.refused(clauses::SUBQUERY)),
        }
        rights.into_iter().rev().try_for_each(|right| self.branches(right, into, depth + 1))
    }

    fn select(&self, select: &'q Select, names: &[Named<'q>], depth: usize, naming: bool) -> Result<Read<'a>, Refusal> {
        let refused = |construct: &Construct| self.refused(construct);
        let BareSelect { items, from, filter, group_by, having } = bare_select(select).map_err(refused)?;
        let at = start_of(select.select_token.0.span);
        let mut scope = self.scope(from, names, depth + 1)?;
        scope.restrict(filter)?;
        scope = self.grouped(scope, items, group_by, having, at)?;
        scope = scope.windowed(items, at)?;
        let mut columns: Vec<(String, Meaning)> = Vec::new();
        for item in items {
            let (expr, name) = match item {
                SelectItem::Wildcard(options) if is_plain(options) && group_by.is_empty() => {
                    for (name, meaning) in scope.sources.iter().flat_map(Source::own_columns) {
                        if let Meaning::Typed(typed) = meaning {
                            self.effort.spend(typed.effort(), at)?;
                        }
                        columns.push((name.clone(), meaning.clone()));
                    }
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => (expr, column_name(expr)?),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(plain_name(alias)?)),
                _ => return Err(invalid(at, "this item is not read in a subquery", "name the columns one by one")),
            };
            let name = if naming { name } else { Some(name.unwrap_or_default()) };
            let Some(name) = name else {
                return Err(invalid(place_of(expr), "a computed column of a subquery needs a name", "write it with AS name"));
            };
            let meaning = match scope.column(expr)? {
                Some(meaning) => meaning,
                None => Meaning::Typed(scope.label(expr, 1)?),
            };
            columns.push((name, meaning));
        }
        let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if naming && names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid(at, "two columns of a subquery have one name", "give one another name with AS"));
        }
        Ok(Read { scope, columns, at })
    }

    /// UNION ALL: column by column, by their order; the first SELECT names them.
    fn union(&self, read: &[Read<'a>]) -> Result<Read<'a>, Refusal> {
        let at = self.parsed.find(&[Keyword::UNION]);
        let Some(first) = read.first() else { return Err(self.refused(clauses::SUBQUERY)) };
        let names: Vec<String> = first.columns.iter().map(|(name, _)| name.clone()).collect();
        let partitions = first.scope.partitions.clone();
        let mut columns: Vec<(String, Meaning)> = Vec::new();
        let mut closing: Vec<Closing> = read.iter().map(|_| Closing::new("c")).collect();
        for branch in read {
            if branch.columns.len() != names.len() {
                let message = format!("the first SELECT of UNION ALL has {} columns, this one {}", names.len(), branch.columns.len());
                return Err(invalid(branch.at, message, "write the same columns in the same order"));
            }
            if branch.scope.partitions != partitions {
                let hint = "write the same restriction in each, or one in the outer WHERE alone";
                return Err(not_private(branch.at, "the SELECTs of UNION ALL read other partitions", hint));
            }
        }
        for (index, name) in names.into_iter().enumerate() {
            let meanings: Vec<&Meaning> = read.iter().map(|branch| &branch.columns[index].1).collect();
            let of = |meaning: &Meaning| if let Meaning::Typed(typed) = meaning { Some(typed.clone()) } else { None };
            let typed: Vec<Typed> = meanings.iter().filter_map(|meaning| of(meaning)).collect();
            if let Some(open) = meanings.iter().find_map(|meaning| if let Meaning::Open(open) = meaning { Some(open) } else { None }) {
                return Err(open.refused_of_persons(at));
            }
            let same = |meaning: fn(&Meaning) -> bool| meanings.iter().all(|found| meaning(found));
            let meaning = if same(|meaning| matches!(meaning, Meaning::Unit)) {
                Meaning::Unit
            } else if same(|meaning| matches!(meaning, Meaning::Partition)) {
                Meaning::Partition
            } else if typed.len() == read.len() {
                let (values, of) = unify(typed, at)?;
                let name = format!("u{index}");
                for (value, closing) in values.into_iter().zip(&mut closing) {
                    closing.columns.push(Computed { name: name.clone(), value });
                }
                Meaning::Typed(Typed { value: Value::Column(name), of })
            } else {
                let hint = "the unit and the partition stand at the same places in each SELECT of UNION ALL";
                return Err(invalid(at, format!("column {name} is not the same kind of column in each SELECT"), hint));
            };
            columns.push((name, meaning));
        }
        for typed in columns.iter().filter_map(|(_, meaning)| if let Meaning::Typed(typed) = meaning { Some(typed) } else { None }) {
            if typed.of == Type::Null {
                return Err(invalid(at, "a column of UNION ALL is NULL in each SELECT", "remove it"));
            }
        }
        let max_rows = read.iter().fold(0u32, |rows, branch| rows.saturating_add(branch.scope.max_rows));
        let relation = Relation::Union(read.iter().zip(closing).map(|(branch, closing)| closing.select(&branch.scope)).collect());
        let mut scope = Scope::of_relation(self.contract, relation, max_rows, &self.effort);
        scope.partitions = partitions;
        for branch in read {
            scope.take_uses(&branch.scope);
        }
        Ok(Read { scope, columns, at })
    }

    pub(super) fn alias_of(&self, alias: Option<&TableAlias>) -> Result<Option<String>, Refusal> {
        match alias {
            None => Ok(None),
            Some(TableAlias { explicit: _, name, columns, at: None }) if columns.is_empty() => Ok(Some(plain_name(name)?)),
            Some(_) => Err(self.refused(clauses::TABLE_EXTRA)),
        }
    }
}

fn column_name(expr: &Expr) -> Result<Option<String>, Refusal> {
    match bare(expr) {
        Expr::Identifier(ident) => plain_name(ident).map(Some),
        Expr::CompoundIdentifier(parts) => parts.last().map(plain_name).transpose(),
        _ => Ok(None),
    }
}

fn is_plain(options: &WildcardAdditionalOptions) -> bool {
    let WildcardAdditionalOptions { wildcard_token: _, opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, opt_alias } = options;
    opt_ilike.is_none()
        && opt_exclude.is_none()
        && opt_except.is_none()
        && opt_replace.is_none()
        && opt_rename.is_none()
        && opt_alias.is_none()
}
