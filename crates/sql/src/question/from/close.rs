//! A scope becomes a relation: its conditions filter, its expressions become columns. What follows starts from those columns.

use commun_domain::plan::relation::{Computed, Relation};
use commun_domain::plan::{CompareOp, Condition, Value};
use sqlparser::ast::Expr;

use crate::question::scope::{Meaning, Scope, Source};
use crate::question::types::{Type, Typed};

/// Collects the columns of the relation. Equal expressions are one column.
pub(super) struct Closing {
    prefix: &'static str,
    pub(super) columns: Vec<Computed>,
}

impl Closing {
    /// Columns are called by the prefix and a number.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self { prefix, columns: Vec::new() }
    }

    /// An expression as a column.
    pub(super) fn value(&mut self, value: &Value) -> Value {
        if *value == Value::Null {
            return Value::Null;
        }
        let known = self.columns.iter().position(|column| column.value == *value);
        let index = known.unwrap_or_else(|| {
            let name = format!("{}{}", self.prefix, self.columns.len());
            self.columns.push(Computed { name, value: value.clone() });
            self.columns.len() - 1
        });
        Value::Column(self.columns[index].name.clone())
    }

    pub(super) fn typed(&mut self, typed: &Typed) -> Typed {
        Typed { value: self.value(&typed.value), of: typed.of.clone() }
    }

    /// A condition on one row as a column that is 1 where it is true.
    pub(super) fn condition(&mut self, condition: &Condition) -> Condition {
        let truth = self.value(&Value::Truth(Box::new(condition.clone())));
        Condition::Compare { op: CompareOp::Eq, left: Box::new(truth), right: Box::new(Value::Constant(1)) }
    }

    pub(super) fn sources(&mut self, scope: &Scope<'_>) -> Vec<Source> {
        let column = |closing: &mut Self, (name, meaning): &(String, Meaning)| {
            let meaning = match meaning {
                Meaning::Typed(typed) => Meaning::Typed(closing.typed(typed)),
                other => other.clone(),
            };
            (name.clone(), meaning)
        };
        let source = |source: &Source| Source {
            qualifiers: source.qualifiers.clone(),
            columns: source.columns.iter().map(|named| column(self, named)).collect(),
            merged: source.merged.clone(),
        };
        scope.sources.iter().map(source).collect()
    }

    pub(super) fn computed(&mut self, scope: &Scope<'_>) -> Vec<(Expr, Typed)> {
        scope.computed.iter().map(|(expr, typed)| (expr.clone(), self.typed(typed))).collect()
    }

    /// The relation of the collected columns.
    pub(super) fn select(self, scope: &Scope<'_>) -> Relation {
        Relation::Select { input: Box::new(scope.relation.clone()), filter: scope.all_conditions(), columns: self.columns }
    }
}

/// The number of values that an expression can have, if it is known to be small.
pub(super) fn values_of(of: &Type) -> Option<u32> {
    match of {
        Type::Boolean => Some(2),
        Type::Text { values, .. } => u32::try_from(values.len()).ok(),
        Type::Number { lo, hi, .. } => u32::try_from(hi.abs_diff(*lo)).ok()?.checked_add(1),
        Type::Time { .. } => None,
        Type::Null => Some(0),
    }
}
