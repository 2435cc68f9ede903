//! Names of a question: which column an identifier means, folded to lower case as SQL does without quotes.
//!
//! A scope has one relation of persons and public dimension tables joined to it. Every column stands for a typed expression over the relation's
//! own columns, so that what comes after knows neither aliases nor lookups.

use std::cell::RefCell;
use std::sync::Arc;

use commun_domain::Refusal;
use commun_domain::calendar::Period;
use commun_domain::contract::{Column, ColumnType, DataContract, Table};
use commun_domain::error::Position;
use commun_domain::ids::is_name;
use commun_domain::plan::{Condition, Relation, Value};
use sqlparser::ast::{Expr, Ident};

use super::effort::Effort;
use super::types::{ListRef, Type, Typed};
use crate::refuse::{bare, invalid, not_private};
use crate::text::start_of;

/// What an identifier means.
#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    /// The privacy unit's column.
    Unit,
    /// The partition's column.
    Partition,
    /// A column of open text.
    Open(OpenColumn),
    /// An expression.
    Typed(Typed),
}

/// A column of open text: a group key, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenColumn {
    pub(crate) column: String,
    pub(crate) max_bytes: u16,
    /// Name of the data contract.
    pub(crate) contract: String,
}

impl OpenColumn {
    /// What any other use is told.
    pub(crate) fn refused(&self, at: Option<Position>) -> Refusal {
        let OpenColumn { column, .. } = self;
        not_private(
            at,
            format!("{column} is open text: nobody has declared its values, so it is a group key and nothing else"),
            format!("group by it alone: SELECT {column}, COUNT(*) ... GROUP BY {column}; for conditions use a column with a code list"),
        )
    }

    /// What it is told where the rows of a person are brought together first. They are integers there, which such a text has none of.
    pub(crate) fn refused_of_persons(&self, at: Option<Position>) -> Refusal {
        let OpenColumn { column, .. } = self;
        not_private(
            at,
            format!(
                "{column} is open text: it is a group key of a table's own rows, not of a join of persons, UNION ALL, or a subquery with GROUP BY or a window"
            ),
            format!(
                "ask about one table: SELECT {column}, COUNT(*) FROM {}.table ... GROUP BY {column}; a subquery may filter and compute",
                self.contract
            ),
        )
    }
}

/// One item of FROM and how it is called.
#[derive(Debug)]
pub(crate) struct Source {
    /// How it may be written before a column: `[alias]`, or `[table]` and `[contract, table]`.
    pub(crate) qualifiers: Vec<Vec<String>>,
    pub(crate) columns: Vec<(String, Meaning)>,
    /// Columns that USING has made one with an earlier table's: found there, unless this table is named.
    pub(crate) merged: Vec<String>,
}

/// A code list that the question uses, and where.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) list: ListRef,
    pub(crate) column: String,
    pub(crate) at: Option<Position>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) contract: &'a DataContract,
    pub(crate) relation: Relation,
    /// Linf: most rows of one person in one partition that count in one cell.
    pub(crate) max_rows: u32,
    pub(crate) sources: Vec<Source>,
    /// The partitions that a subquery has restricted itself to.
    pub(crate) partitions: Option<Vec<Period>>,
    /// Conditions of subqueries and joins, all to hold.
    pub(crate) filter: Vec<Condition>,
    /// Expressions that a GROUP BY or a window has worked out already, and what they stand for.
    pub(crate) computed: Vec<(Expr, Typed)>,
    pub(crate) effort: Effort,
    uses: RefCell<Vec<Use>>,
}

/// The name that an identifier stands for: lower-cased without quotes, as it is with them.
pub(crate) fn plain_name(ident: &Ident) -> Result<String, Refusal> {
    let Ident { value, quote_style, span } = ident;
    let name = if quote_style.is_none() { value.to_ascii_lowercase() } else { value.clone() };
    if is_name(&name) {
        return Ok(name);
    }
    Err(invalid(
        start_of(*span),
        "this is not a plain name",
        "names are letters, digits and underscores, not starting with a digit; text is written in single quotes, like 'A1'",
    ))
}

impl<'a> Scope<'a> {
    /// A table of persons with its own columns.
    pub(crate) fn of_table(contract: &'a DataContract, table: &'a Table, alias: Option<String>, effort: &Effort) -> Self {
        let mut columns: Vec<(String, Meaning)> =
            table.columns.iter().map(|column| (column.name.clone(), column_meaning(contract, column))).collect();
        columns.push((contract.partition_column.clone(), Meaning::Partition));
        columns.push((contract.unit_column.clone(), Meaning::Unit));
        let qualifiers = qualifiers(contract, &table.name, alias);
        let mut scope = Self::of_relation(contract, Relation::Table(table.name.clone()), table.max_rows_per_person, effort);
        scope.sources.push(Source { qualifiers, columns, merged: Vec::new() });
        scope
    }

    /// A relation of which nothing is visible yet.
    pub(crate) fn of_relation(contract: &'a DataContract, relation: Relation, max_rows: u32, effort: &Effort) -> Self {
        Self {
            contract,
            relation,
            max_rows,
            sources: Vec::new(),
            partitions: None,
            filter: Vec::new(),
            computed: Vec::new(),
            effort: effort.clone(),
            uses: RefCell::default(),
        }
    }

    /// The same rows with other columns visible.
    pub(crate) fn with_sources(self, sources: Vec<Source>, computed: Vec<(Expr, Typed)>) -> Self {
        Self { sources, computed, ..self }
    }

    /// The scope after a relation that has taken its conditions and expressions over.
    pub(crate) fn replaced(self, relation: Relation, max_rows: u32) -> Self {
        Self { relation, max_rows, filter: Vec::new(), ..self }
    }

    /// All conditions as one.
    pub(crate) fn all_conditions(&self) -> Option<Condition> {
        match self.filter.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(Condition::And(several.to_vec())),
        }
    }

    /// Refuses a second table of the same name.
    pub(crate) fn refuse_second(&self, called: &[Vec<String>], at: Option<Position>) -> Result<(), Refusal> {
        if self.sources.iter().any(|source| source.qualifiers.iter().any(|name| called.contains(name))) {
            return Err(invalid(at, "two tables are called the same here", "give one an alias: JOIN table AS name"));
        }
        Ok(())
    }

    /// What is known of the code lists that were used.
    pub(crate) fn uses(&self) -> Vec<Use> {
        self.uses.borrow().clone()
    }

    /// Notes that a code list is used.
    pub(crate) fn note_use(&self, list: ListRef, column: &str, at: Option<Position>) {
        self.uses.borrow_mut().push(Use { list, column: column.to_owned(), at });
    }

    /// A scope of which this one is a part takes over what was noted.
    pub(crate) fn take_uses(&self, other: &Self) {
        self.uses.borrow_mut().extend(other.uses());
    }

    /// The column that an expression is; `None` when it is not a column at all.
    pub(crate) fn column(&self, expr: &Expr) -> Result<Option<Meaning>, Refusal> {
        if let Some((_, typed)) = self.computed.iter().find(|(known, _)| known == bare(expr)) {
            self.effort.spend(typed.effort(), None)?;
            return Ok(Some(Meaning::Typed(typed.clone())));
        }
        let (qualifier, ident): (&[Ident], &Ident) = match bare(expr) {
            Expr::Identifier(ident) => (&[], ident),
            Expr::CompoundIdentifier(parts) => match parts.split_last() {
                Some((ident, qualifier)) => (qualifier, ident),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let qualifiers: Vec<String> = qualifier.iter().map(plain_name).collect::<Result<_, _>>()?;
        let at = start_of(ident.span);
        let sources: Vec<&Source> =
            self.sources.iter().filter(|source| qualifiers.is_empty() || source.qualifiers.contains(&qualifiers)).collect();
        if sources.is_empty() {
            let at = qualifier.first().and_then(|ident| start_of(ident.span));
            return Err(invalid(
                at,
                "this is not how a table is called here",
                format!("write {}.column, or the column alone", self.called()),
            ));
        }
        let name = plain_name(ident)?;
        let here: Vec<&Source> = sources.into_iter().filter(|source| !qualifiers.is_empty() || !source.merged.contains(&name)).collect();
        let found: Vec<&Meaning> =
            here.iter().flat_map(|source| &source.columns).filter(|(other, _)| *other == name).map(|(_, meaning)| meaning).collect();
        match found.as_slice() {
            [] => {
                // Double quotes make a name, as in SQL; who is used to other languages means a text.
                let quoted = if ident.quote_style.is_some() { "; a text stands in single quotes" } else { "" };
                Err(invalid(at, format!("there is no column {name} here"), format!("{}{quoted}", self.names())))
            }
            [Meaning::Typed(typed)] => {
                if let Type::Text { list: Some(list), .. } = &typed.of {
                    self.note_use(list.clone(), &name, at);
                }
                self.effort.spend(typed.effort(), at)?;
                Ok(Some(Meaning::Typed(typed.clone())))
            }
            [meaning] => Ok(Some((*meaning).clone())),
            _ => {
                let called: Vec<String> =
                    here.iter().filter(|s| s.columns.iter().any(|(other, _)| *other == name)).map(|s| s.called()).collect();
                let hint =
                    format!("write one of: {}", called.iter().map(|called| format!("{called}.{name}")).collect::<Vec<_>>().join(", "));
                Err(invalid(at, format!("several tables have a column {name}"), hint))
            }
        }
    }

    /// Whether a plain identifier is a column here.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.sources.iter().flat_map(|source| &source.columns).any(|(other, _)| other == name)
    }

    fn called(&self) -> String {
        self.sources.iter().map(Source::called).collect::<Vec<_>>().join(" or ")
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.sources.iter().flat_map(|source| &source.columns).map(|(name, _)| name.as_str()).collect();
        format!("the columns are: {}", names.join(", "))
    }
}

impl Source {
    /// Columns that `*` stands for.
    pub(crate) fn own_columns(&self) -> impl Iterator<Item = &(String, Meaning)> {
        self.columns.iter().filter(|(name, _)| !self.merged.contains(name))
    }

    fn called(&self) -> String {
        self.qualifiers.first().map_or_else(String::new, |parts| parts.join("."))
    }
}

/// How a table of the contract may be called.
pub(crate) fn qualifiers(contract: &DataContract, table: &str, alias: Option<String>) -> Vec<Vec<String>> {
    match alias {
        Some(alias) => vec![vec![alias]],
        None => vec![vec![table.to_owned()], vec![contract.name.clone(), table.to_owned()]],
    }
}

fn column_meaning(contract: &DataContract, column: &Column) -> Meaning {
    let of = match &column.column_type {
        ColumnType::Number { lo, hi, scale } => Type::Number { lo: *lo, hi: *hi, scale: *scale },
        ColumnType::Boolean => Type::Boolean,
        ColumnType::Time { lo, hi } => Type::Time { lo: *lo, hi: *hi, grain: None, date: false },
        ColumnType::Code { list, version } => code_type(contract, list, version),
        ColumnType::OpenText { max_bytes } => {
            let (column, contract) = (column.name.clone(), contract.name.clone());
            return Meaning::Open(OpenColumn { column, max_bytes: *max_bytes, contract });
        }
    };
    Meaning::Typed(Typed { value: Value::Column(column.name.clone()), of })
}

/// The type of a column with a code list.
pub(crate) fn code_type(contract: &DataContract, list: &str, version: &str) -> Type {
    let values = contract.code_list(list, version).map(|list| list.codes.iter().map(|code| code.code.clone()).collect());
    Type::Text { values: Arc::new(values.unwrap_or_default()), list: Some(ListRef { name: list.to_owned(), version: version.to_owned() }) }
}
