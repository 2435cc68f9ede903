//! FROM: one table of persons, or a subquery or WITH name over one, and public dimension tables joined to it.
//!
//! A subquery here only names, computes and filters: it has no aggregate, so it treats each row alone and is put into the outer SELECT.
//! A dimension table has one row for each code of its key, so a join to it is a lookup: it neither multiplies nor mixes rows.

use commun_domain::Refusal;
use commun_domain::contract::{DataContract, Dimension};
use commun_domain::error::Position;
use commun_domain::plan::Value;
use sqlparser::ast::{
    BinaryOperator, Cte, Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart, Query, SelectItem, SetExpr, TableAlias,
    TableFactor, TableWithJoins, WildcardAdditionalOptions, With,
};
use sqlparser::keywords::Keyword;

use super::expression::is_not_null;
use super::scope::{Meaning, Scope, Source, code_type, plain_name, qualifiers};
use super::types::{Type, Typed};
use crate::clauses::{self, BareSelect, Construct, bare_query, bare_select, bare_table};
use crate::refuse::{bare, invalid, not_private, place_of};
use crate::text::{Parsed, start_of};

/// Most subqueries inside each other, and most names of WITH.
const MAX_NESTING: usize = 16;

/// One name of WITH and its query.
pub(crate) type Named<'q> = (String, &'q Query);

/// Reads FROM clauses of one question.
pub(crate) struct From<'q, 'a> {
    pub(crate) contract: &'a DataContract,
    pub(crate) parsed: &'q Parsed,
    /// Names of WITH that some FROM has read.
    pub(crate) used: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

impl<'q, 'a> From<'q, 'a> {
    /// The names of WITH, in order; each sees those before it.
    pub(crate) fn names(&self, with: Option<&'q With>) -> Result<Vec<Named<'q>>, Refusal> {
        let Some(With { with_token: _, recursive, cte_tables }) = with else { return Ok(Vec::new()) };
        if *recursive {
            return Err(self.refused(clauses::WITH));
        }
        if cte_tables.len() > MAX_NESTING {
            return Err(invalid(self.parsed.find(&[Keyword::WITH]), format!("WITH has more than {MAX_NESTING} names"), "write fewer"));
        }
        let mut names: Vec<Named<'q>> = Vec::new();
        for Cte { alias, query, from, materialized, closing_paren_token: _ } in cte_tables {
            let TableAlias { explicit: _, name, columns, at } = alias;
            if !columns.is_empty() || at.is_some() || from.is_some() || materialized.is_some() {
                return Err(invalid(start_of(name.span), "this form of WITH is not read", "write WITH name AS (SELECT ...)"));
            }
            let plain = plain_name(name)?;
            if names.iter().any(|(other, _)| *other == plain) {
                return Err(invalid(start_of(name.span), "this name stands twice in WITH", "give it another name"));
            }
            names.push((plain, query));
        }
        Ok(names)
    }

    /// What FROM makes visible.
    pub(crate) fn scope(&self, from: &'q [TableWithJoins], names: &[Named<'q>], depth: usize) -> Result<Scope<'a>, Refusal> {
        let place = self.parsed.find(&[Keyword::FROM, Keyword::SELECT]);
        let [TableWithJoins { relation, joins }] = from else {
            return Err(if from.is_empty() {
                invalid(place, "there is no FROM", format!("write FROM {}.table", self.contract.name))
            } else {
                self.refused(clauses::JOIN)
            });
        };
        let mut scope = self.relation(relation, names, depth)?;
        for join in joins {
            self.join(&mut scope, join)?;
        }
        Ok(scope)
    }

    /// Refuses names of WITH that nothing reads: no part of a question is ignored.
    pub(crate) fn check_used(&self, names: &[Named<'q>]) -> Result<(), Refusal> {
        match names.iter().find(|(name, _)| !self.used.borrow().contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                Err(invalid(self.parsed.find(&[Keyword::WITH]), format!("nothing reads {name} of WITH"), "remove it, or write FROM it"))
            }
        }
    }

    fn relation(&self, factor: &'q TableFactor, names: &[Named<'q>], depth: usize) -> Result<Scope<'a>, Refusal> {
        let place = self.parsed.find(&[Keyword::FROM, Keyword::SELECT]);
        if depth > MAX_NESTING {
            return Err(invalid(place, format!("subqueries are nested deeper than {MAX_NESTING}"), "write them flat"));
        }
        if let TableFactor::Derived { lateral: false, subquery, alias, sample: None } = factor {
            let alias = match alias {
                None => None,
                Some(TableAlias { explicit: _, name, columns, at: None }) if columns.is_empty() => Some(plain_name(name)?),
                Some(_) => return Err(self.refused(clauses::TABLE_EXTRA)),
            };
            return self.subquery(subquery, alias, names, depth);
        }
        let (name, alias) = bare_table(factor).map_err(|construct| self.refused(construct))?;
        let alias = alias.map(plain_name).transpose()?;
        let parts = self.parts(name)?;
        if let [only] = parts.as_slice()
            && let Some(index) = names.iter().position(|(known, _)| known == only)
        {
            let (known, query) = &names[index];
            self.used.borrow_mut().insert(known.clone());
            // A name sees only those before it, so nothing refers to itself.
            return self.subquery(query, Some(alias.unwrap_or_else(|| known.clone())), &names[..index], depth);
        }
        let at = self.at(name);
        let table = self.table_name(&parts, at)?;
        match (self.contract.table(&table), self.contract.dimension(&table)) {
            (Some(table), _) => Ok(Scope::of_table(self.contract, table, alias)),
            (None, Some(_)) => Err(not_private(
                at,
                format!("{table} is a public table: it holds no persons to ask about"),
                format!("write FROM a table of persons, and JOIN {table} to it"),
            )),
            (None, None) => Err(self.no_such_table(&table, at)),
        }
    }

    fn subquery(&self, query: &'q Query, alias: Option<String>, names: &[Named<'q>], depth: usize) -> Result<Scope<'a>, Refusal> {
        let refused = |construct: &Construct| self.refused(construct);
        let SetExpr::Select(select) = bare_query(query).map_err(refused)? else { return Err(refused(clauses::SET_OPERATION)) };
        let BareSelect { items, from, filter, group_by, having } = bare_select(select).map_err(refused)?;
        let at = start_of(select.select_token.0.span);
        if !group_by.is_empty() || having.is_some() {
            let hint = "let the subquery only filter and compute, and aggregate outside";
            return Err(not_private(at, "aggregates in a subquery are not read in this version", hint));
        }
        let mut inner = self.scope(from, names, depth + 1)?;
        inner.restrict(filter)?;
        let mut columns: Vec<(String, Meaning)> = Vec::new();
        for item in items {
            let (expr, name) = match item {
                SelectItem::Wildcard(options) if is_plain(options) => {
                    let all = inner.sources.iter().flat_map(|source| source.columns.clone());
                    columns.extend(all);
                    continue;
                }
                SelectItem::UnnamedExpr(expr) => (expr, column_name(expr)?),
                SelectItem::ExprWithAlias { expr, alias } => (expr, Some(plain_name(alias)?)),
                _ => return Err(invalid(at, "this item is not read in a subquery", "name the columns one by one")),
            };
            let Some(name) = name else {
                return Err(invalid(place_of(expr), "a computed column of a subquery needs a name", "write it with AS name"));
            };
            let meaning = match inner.column(expr)? {
                Some(meaning) => meaning,
                None => Meaning::Typed(inner.label(expr, 1)?),
            };
            columns.push((name, meaning));
        }
        let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(invalid(at, "two columns of a subquery have one name", "give one another name with AS"));
        }
        let called = alias.map_or_else(Vec::new, |alias| vec![vec![alias]]);
        let mut outer = Scope::of_table(self.contract, inner.table, None);
        outer.sources = vec![Source { qualifiers: called, columns }];
        outer.partitions.clone_from(&inner.partitions);
        outer.filter.clone_from(&inner.filter);
        outer.take_uses(&inner);
        Ok(outer)
    }

    fn join(&self, scope: &mut Scope<'a>, join: &'q Join) -> Result<(), Refusal> {
        let Join { relation, global, join_operator } = join;
        let (constraint, outer) = match join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) if !global => (constraint, false),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) if !global => (constraint, true),
            _ => return Err(self.refused(clauses::JOIN)),
        };
        let (name, alias) = bare_table(relation).map_err(|construct| self.refused(construct))?;
        let at = self.at(name);
        let table = self.table_name(&self.parts(name)?, at)?;
        let Some(dimension) = self.contract.dimension(&table) else {
            if self.contract.table(&table).is_some() {
                return Err(self.refused(clauses::JOIN));
            }
            return Err(self.no_such_table(&table, at));
        };
        let called = qualifiers(self.contract, &dimension.name, alias.map(plain_name).transpose()?);
        if scope.sources.iter().any(|source| source.qualifiers.iter().any(|name| called.contains(name))) {
            return Err(invalid(at, "two tables are called the same here", "give one an alias: JOIN table AS name"));
        }
        let key = match constraint {
            JoinConstraint::On(condition) => self.join_key(scope, dimension, &called, condition)?,
            JoinConstraint::Using(columns) => match columns.as_slice() {
                [column] => match column.0.as_slice() {
                    [ObjectNamePart::Identifier(ident)] if plain_name(ident)? == dimension.key => {
                        scope.typed(&Expr::Identifier(ident.clone()), 1)?
                    }
                    _ => return Err(self.join_hint(dimension, at)),
                },
                _ => return Err(self.join_hint(dimension, at)),
            },
            JoinConstraint::Natural | JoinConstraint::None => return Err(self.join_hint(dimension, at)),
        };
        let wanted = code_type(self.contract, &dimension.list, &dimension.version);
        let Type::Text { values, .. } = &key.of else {
            return Err(invalid(at, format!("this column is {}, not a code", key.of.name()), self.key_hint(dimension)));
        };
        let Type::Text { values: keys, .. } = &wanted else { return Err(self.join_hint(dimension, at)) };
        if values != keys {
            let message =
                format!("this column has other codes than {}, whose key is {} {}", dimension.name, dimension.list, dimension.version);
            return Err(invalid(at, message, self.key_hint(dimension)));
        }
        if !outer {
            scope.filter.push(is_not_null(&key.value));
        }
        scope.sources.push(self.lookup(dimension, called, &key));
        Ok(())
    }

    /// A dimension's columns as lookups of a key.
    fn lookup(&self, dimension: &Dimension, called: Vec<Vec<String>>, key: &Typed) -> Source {
        let mut columns = vec![(dimension.key.clone(), Meaning::Typed(key.clone()))];
        for attribute in &dimension.attributes {
            let of = code_type(self.contract, &attribute.list, &attribute.version);
            let places: std::collections::HashMap<&str, i64> = match &of {
                Type::Text { values, .. } => values.iter().map(String::as_str).zip(0..).collect(),
                _ => std::collections::HashMap::new(),
            };
            let table = attribute.values.iter().map(|code| places.get(code.as_str()).copied()).collect();
            let value = Value::Map { value: Box::new(key.value.clone()), first: 0, table };
            columns.push((attribute.name.clone(), Meaning::Typed(Typed { value, of })));
        }
        Source { qualifiers: called, columns }
    }

    /// The expression of `ON expression = dimension.key`.
    fn join_key(&self, scope: &Scope<'a>, dimension: &Dimension, called: &[Vec<String>], condition: &Expr) -> Result<Typed, Refusal> {
        let at = place_of(condition);
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = bare(condition) else { return Err(self.join_hint(dimension, at)) };
        let is_key = |expr: &Expr| -> Result<bool, Refusal> {
            Ok(match bare(expr) {
                Expr::CompoundIdentifier(parts) => match parts.split_last() {
                    Some((column, qualifier)) => {
                        let qualifier: Vec<String> = qualifier.iter().map(plain_name).collect::<Result<_, _>>()?;
                        called.contains(&qualifier) && plain_name(column)? == dimension.key
                    }
                    None => false,
                },
                Expr::Identifier(column) => {
                    let name = plain_name(column)?;
                    name == dimension.key && !scope.has(&name)
                }
                _ => false,
            })
        };
        match (is_key(left)?, is_key(right)?) {
            (true, false) => scope.typed(right, 1),
            (false, true) => scope.typed(left, 1),
            _ => Err(self.join_hint(dimension, at)),
        }
    }

    fn join_hint(&self, dimension: &Dimension, at: Option<Position>) -> Refusal {
        let message = format!("{} is joined by its key alone", dimension.name);
        invalid(at, message, format!("write JOIN {}.{} AS d ON column = d.{}", self.contract.name, dimension.name, dimension.key))
    }

    fn key_hint(&self, dimension: &Dimension) -> String {
        let fits = |column: &&commun_domain::contract::Column| matches!(&column.column_type, commun_domain::contract::ColumnType::Code { list, version } if *list == dimension.list && *version == dimension.version);
        let columns: Vec<String> = self
            .contract
            .tables
            .iter()
            .flat_map(|table| table.columns.iter().filter(fits).map(move |column| format!("{}.{}", table.name, column.name)))
            .collect();
        if columns.is_empty() {
            "no column of this contract has these codes".to_owned()
        } else {
            format!("columns with these codes: {}", columns.join(", "))
        }
    }

    fn parts(&self, name: &[ObjectNamePart]) -> Result<Vec<String>, Refusal> {
        let at = self.at(name);
        name.iter()
            .map(|part| part.as_ident().ok_or_else(|| invalid(at, "this is not the name of a table", self.tables())).and_then(plain_name))
            .collect()
    }

    fn at(&self, name: &[ObjectNamePart]) -> Option<Position> {
        let first = name.first().and_then(ObjectNamePart::as_ident).and_then(|ident: &Ident| start_of(ident.span));
        first.or_else(|| self.parsed.find(&[Keyword::FROM, Keyword::SELECT]))
    }

    fn table_name(&self, parts: &[String], at: Option<Position>) -> Result<String, Refusal> {
        let [schema, table] = parts else {
            return Err(invalid(at, "a table is named by its data contract and its own name", self.tables()));
        };
        if *schema != self.contract.name {
            return Err(invalid(at, format!("the data contract is {}, not {schema}", self.contract.name), self.tables()));
        }
        Ok(table.clone())
    }

    fn no_such_table(&self, table: &str, at: Option<Position>) -> Refusal {
        invalid(at, format!("there is no table {}.{table}", self.contract.name), self.tables())
    }

    fn tables(&self) -> String {
        let persons = self.contract.tables.iter().map(|table| &table.name);
        let names: Vec<String> = persons.map(|name| format!("{}.{name}", self.contract.name)).collect();
        let public: Vec<String> = self.contract.dimensions.iter().map(|table| format!("{}.{}", self.contract.name, table.name)).collect();
        let joined = if public.is_empty() { String::new() } else { format!(", joined with: {}", public.join(", ")) };
        format!("write FROM with one of: {}{joined}", names.join(", "))
    }

    fn refused(&self, construct: &Construct) -> Refusal {
        not_private(construct.place(self.parsed), format!("{} is not read", construct.name), construct.hint)
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
