//! Joins to public dimension tables: lookups by the table's key.

use commun_domain::Refusal;
use commun_domain::contract::{Column, ColumnType, Dimension};
use commun_domain::error::Position;
use commun_domain::plan::Value;
use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint, ObjectNamePart};

use super::From;
use crate::question::expression::is_not_null;
use crate::question::scope::{Meaning, Scope, Source, code_type, plain_name, qualifiers};
use crate::question::types::{Type, Typed};
use crate::refuse::{bare, invalid, place_of};

impl<'a> From<'_, 'a> {
    pub(super) fn look_up(
        &self,
        scope: &mut Scope<'a>,
        dimension: &Dimension,
        alias: Option<String>,
        constraint: &JoinConstraint,
        (outer, at): (bool, Option<Position>),
    ) -> Result<(), Refusal> {
        let called = qualifiers(self.contract, &dimension.name, alias);
        scope.refuse_second(&called, at)?;
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
        let merged = if matches!(constraint, JoinConstraint::Using(_)) { vec![dimension.key.clone()] } else { Vec::new() };
        scope.sources.push(Source { merged, ..self.lookup(dimension, called, &key, at)? });
        Ok(())
    }

    /// A dimension's columns as lookups of a key.
    fn lookup(&self, dimension: &Dimension, called: Vec<Vec<String>>, key: &Typed, at: Option<Position>) -> Result<Source, Refusal> {
        let mut columns = vec![(dimension.key.clone(), Meaning::Typed(key.clone()))];
        for attribute in &dimension.attributes {
            let of = code_type(self.contract, &attribute.list, &attribute.version);
            let places: std::collections::HashMap<&str, i64> = match &of {
                Type::Text { values, .. } => values.iter().map(String::as_str).zip(0..).collect(),
                _ => std::collections::HashMap::new(),
            };
            let table = attribute.values.iter().map(|code| places.get(code.as_str()).copied()).collect();
            let value = Value::Map { value: Box::new(key.value.clone()), first: 0, table };
            let typed = Typed { value, of };
            self.effort.spend(typed.effort(), at)?;
            columns.push((attribute.name.clone(), Meaning::Typed(typed)));
        }
        Ok(Source { qualifiers: called, columns, merged: Vec::new() })
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
        let fits = |column: &&Column| matches!(&column.column_type, ColumnType::Code { list, version } if *list == dimension.list && *version == dimension.version);
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
}
