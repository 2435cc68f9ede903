//! FROM: tables of persons, subqueries and WITH names over them, and public dimension tables joined to them.
//!
//! A subquery that only names, computes and filters treats each row alone and is put into the outer SELECT (`subquery`). What looks at several
//! rows looks at those of one person in one partition, and becomes a relation of the plan: UNION ALL (`subquery`), joins of persons (`persons`),
//! GROUP BY (`group`), windows (`window`); the columns that such a relation needs are computed below it (`close`). A dimension table has one row
//! for each code of its key, so a join to it is a lookup: it neither multiplies nor mixes rows (`dimension`).

mod close;
mod dimension;
mod group;
mod persons;
mod subquery;
mod window;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use commun_domain::Refusal;
use commun_domain::contract::DataContract;
use commun_domain::error::Position;
use sqlparser::ast::{Cte, Ident, Join, JoinOperator, ObjectNamePart, Query, TableAlias, TableFactor, TableWithJoins, With};
use sqlparser::keywords::Keyword;

use super::scope::{Scope, plain_name};
use crate::clauses::{self, Construct, bare_table};
use crate::refuse::{invalid, not_private};
use crate::text::{Parsed, start_of};

pub use window::WINDOW_FUNCTIONS;

/// Most subqueries inside each other, and most names of WITH.
const MAX_NESTING: usize = 16;

/// Most tables and subqueries of one question, each counted as often as it is read: a name of WITH that is read twice costs twice.
const MAX_SOURCES: usize = 32;

/// One name of WITH and its query.
pub(crate) type Named<'q> = (String, &'q Query);

/// Reads FROM clauses of one question.
pub(crate) struct From<'q, 'a> {
    pub(crate) contract: &'a DataContract,
    pub(crate) parsed: &'q Parsed,
    /// Names of WITH that some FROM has read.
    used: RefCell<BTreeSet<String>>,
    /// How many tables and subqueries were read.
    sources: Cell<usize>,
}

impl<'q, 'a> From<'q, 'a> {
    pub(crate) fn new(contract: &'a DataContract, parsed: &'q Parsed) -> Self {
        Self { contract, parsed, used: RefCell::default(), sources: Cell::new(0) }
    }

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
            scope = self.join(scope, join, names, depth)?;
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
        self.sources.set(self.sources.get() + 1);
        if self.sources.get() > MAX_SOURCES {
            let message = format!("the question reads more than {MAX_SOURCES} tables and subqueries");
            return Err(invalid(place, message, "a name of WITH counts as often as it is read; ask several questions"));
        }
        if let TableFactor::Derived { lateral: false, subquery, alias, sample: None } = factor {
            return self.subquery(subquery, self.alias_of(alias.as_ref())?, names, depth);
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

    fn join(&self, mut scope: Scope<'a>, join: &'q Join, names: &[Named<'q>], depth: usize) -> Result<Scope<'a>, Refusal> {
        let Join { relation, global, join_operator } = join;
        let (constraint, outer) = match join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) if !global => (constraint, false),
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) if !global => (constraint, true),
            _ => return Err(self.refused(clauses::JOIN)),
        };
        if let Ok((name, alias)) = bare_table(relation) {
            let (parts, at) = (self.parts(name)?, self.at(name));
            if let [schema, table] = parts.as_slice()
                && *schema == self.contract.name
                && let Some(dimension) = self.contract.dimension(table)
            {
                let alias = alias.map(plain_name).transpose()?;
                self.look_up(&mut scope, dimension, alias, constraint, (outer, at))?;
                return Ok(scope);
            }
        }
        let right = self.relation(relation, names, depth + 1)?;
        self.join_persons(&scope, &right, constraint, outer)
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
