//! Names of a question: which column an identifier means, folded to lower case as SQL does without quotes.

use commun_domain::Refusal;
use commun_domain::contract::{Column, DataContract, Table};
use commun_domain::error::Position;
use commun_domain::ids::is_name;
use sqlparser::ast::{Expr, Ident, ObjectNamePart};

use crate::refuse::{bare, invalid};
use crate::text::start_of;

/// The one table of a question and how it is called there.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) contract: &'a DataContract,
    pub(crate) table: &'a Table,
    alias: Option<String>,
}

/// What an identifier means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    /// The privacy unit's column.
    Unit,
    /// The partition's column.
    Partition,
    /// A column of the table.
    Column(&'a Column),
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
    /// Finds the table that `FROM` names.
    pub(crate) fn new(
        contract: &'a DataContract,
        name: &[ObjectNamePart],
        alias: Option<&Ident>,
        from: Option<Position>,
    ) -> Result<Self, Refusal> {
        let at = name.first().and_then(ObjectNamePart::as_ident).and_then(|ident| start_of(ident.span)).or(from);
        let tables = || {
            let names: Vec<String> = contract.tables.iter().map(|table| format!("{}.{}", contract.name, table.name)).collect();
            format!("write FROM with one of: {}", names.join(", "))
        };
        let parts: Vec<String> = name
            .iter()
            .map(|part| part.as_ident().ok_or_else(|| invalid(at, "this is not the name of a table", tables())).and_then(plain_name))
            .collect::<Result<_, _>>()?;
        let [schema, table] = parts.as_slice() else {
            return Err(invalid(at, "a table is named by its data contract and its own name", tables()));
        };
        if *schema != contract.name {
            return Err(invalid(at, format!("the data contract is {}, not {schema}", contract.name), tables()));
        }
        let table = contract.table(table).ok_or_else(|| invalid(at, format!("there is no table {schema}.{table}"), tables()))?;
        Ok(Self { contract, table, alias: alias.map(plain_name).transpose()? })
    }

    /// The column of this lower-case name.
    pub(crate) fn lookup(&self, name: &str) -> Option<Name<'a>> {
        if name == self.contract.unit_column {
            Some(Name::Unit)
        } else if name == self.contract.partition_column {
            Some(Name::Partition)
        } else {
            self.table.column(name).map(Name::Column)
        }
    }

    /// What a column's name in SQL is.
    pub(crate) fn text(&self, name: Name<'a>) -> &'a str {
        match name {
            Name::Unit => &self.contract.unit_column,
            Name::Partition => &self.contract.partition_column,
            Name::Column(column) => &column.name,
        }
    }

    /// The column that an expression is; `None` when it is not a column at all.
    pub(crate) fn column(&self, expr: &Expr) -> Result<Option<Name<'a>>, Refusal> {
        let (qualifier, ident): (&[Ident], &Ident) = match bare(expr) {
            Expr::Identifier(ident) => (&[], ident),
            Expr::CompoundIdentifier(parts) => match parts.split_last() {
                Some((ident, qualifier)) => (qualifier, ident),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let qualifiers: Vec<String> = qualifier.iter().map(plain_name).collect::<Result<_, _>>()?;
        let known = match (qualifiers.as_slice(), &self.alias) {
            ([], _) => true,
            ([one], Some(alias)) => one == alias,
            ([one], None) => *one == self.table.name,
            ([schema, table], None) => *schema == self.contract.name && *table == self.table.name,
            _ => false,
        };
        if !known {
            let called = self.alias.as_deref().unwrap_or(&self.table.name);
            let at = qualifier.first().and_then(|ident| start_of(ident.span));
            return Err(invalid(at, "this is not how the table is called here", format!("write {called}.column, or the column alone")));
        }
        let name = plain_name(ident)?;
        self.lookup(&name).map(Some).ok_or_else(|| {
            invalid(start_of(ident.span), format!("{}.{} has no column {name}", self.contract.name, self.table.name), self.columns())
        })
    }

    fn columns(&self) -> String {
        let own = self.table.columns.iter().map(|column| column.name.as_str());
        let names: Vec<&str> = own.chain([self.contract.partition_column.as_str(), self.contract.unit_column.as_str()]).collect();
        format!("its columns are: {}", names.join(", "))
    }
}
