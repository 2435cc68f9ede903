//! Joins of tables of persons, ON the unit and the partition: rows of one person meet rows of the same person.

use commun_domain::Refusal;
use commun_domain::error::Position;
use commun_domain::plan::relation::{MAX_ROWS_AT_ONCE, Relation};
use commun_domain::plan::{CompareOp, Condition};
use sqlparser::ast::{BinaryOperator, Expr, Ident, JoinConstraint, ObjectNamePart};
use sqlparser::keywords::Keyword;

use super::From;
use super::close::Closing;
use crate::question::expression::{compare, operands};
use crate::question::scope::{Meaning, Scope, plain_name};
use crate::refuse::{bare, invalid, not_private};

impl<'a> From<'_, 'a> {
    pub(super) fn join_persons(
        &self,
        left: &Scope<'a>,
        right: &Scope<'a>,
        constraint: &JoinConstraint,
        outer: bool,
    ) -> Result<Scope<'a>, Refusal> {
        let at = self.parsed.find(&[Keyword::JOIN]);
        for source in &right.sources {
            left.refuse_second(&source.qualifiers, at)?;
        }
        let partitions = match (&left.partitions, &right.partitions) {
            (Some(left), Some(right)) if left != right => {
                let hint = "write the same restriction on both sides, or one in the outer WHERE alone";
                return Err(not_private(at, "the sides of the join read other partitions", hint));
            }
            (None, Some(_)) if outer => {
                let hint = "restrict the left side, or both by the outer WHERE";
                return Err(not_private(at, "the partition of a LEFT JOIN is restricted on its right side alone", hint));
            }
            (left, right) => left.clone().or_else(|| right.clone()),
        };
        let (mut left_side, mut right_side) = (Closing::new("l"), Closing::new("r"));
        let (left_sources, mut right_sources) = (left_side.sources(left), right_side.sources(right));
        let (mut same_unit, mut same_partition, mut rest) = (false, false, Vec::new());
        // ON sees both sides whole; the names of USING are those of the left side from there on.
        let mut both = Scope::of_relation(self.contract, Relation::Union(Vec::new()), 0, &self.effort);
        both.sources.extend(left_sources);
        let left_alone = both.sources.len();
        match constraint {
            JoinConstraint::On(condition) => {
                both.sources.append(&mut right_sources);
                let mut others = Vec::new();
                for conjunct in operands(condition, &BinaryOperator::And) {
                    match bare(conjunct) {
                        Expr::BinaryOp { left: a, op: BinaryOperator::Eq, right: b }
                            if is_both([left, right, &both], a, b, |meaning| matches!(meaning, Meaning::Unit)) =>
                        {
                            same_unit = true;
                        }
                        Expr::BinaryOp { left: a, op: BinaryOperator::Eq, right: b }
                            if is_both([left, right, &both], a, b, |meaning| matches!(meaning, Meaning::Partition)) =>
                        {
                            same_partition = true;
                        }
                        _ => others.push(conjunct),
                    }
                }
                if !same_unit || !same_partition {
                    return Err(self.join_by(at));
                }
                for conjunct in others {
                    rest.push(both.condition(conjunct, 2)?);
                }
            }
            JoinConstraint::Using(columns) => {
                for column in columns {
                    let [ObjectNamePart::Identifier(ident)] = column.0.as_slice() else { return Err(self.join_by(at)) };
                    let meanings = (named(left, ident)?, named(right, ident)?);
                    match meanings {
                        (Meaning::Unit, Meaning::Unit) => same_unit = true,
                        (Meaning::Partition, Meaning::Partition) => same_partition = true,
                        (Meaning::Typed(a), Meaning::Typed(b)) => {
                            let (a, b) = (left_side.typed(&a), right_side.typed(&b));
                            rest.push(compare(a, CompareOp::Eq, b, at)?);
                        }
                        _ => return Err(self.join_by(at)),
                    }
                    let name = plain_name(ident)?;
                    for source in &mut right_sources {
                        source.columns.retain(|(other, _)| *other != name);
                    }
                }
                both.sources.append(&mut right_sources);
            }
            JoinConstraint::Natural | JoinConstraint::None => return Err(self.join_by(at)),
        }
        if !same_unit || !same_partition {
            return Err(self.join_by(at));
        }
        if outer {
            // A right row may be missing: its unit and partition are those of the left row, or nothing.
            for source in &mut both.sources[left_alone..] {
                source.columns.retain(|(_, meaning)| matches!(meaning, Meaning::Typed(_) | Meaning::Open(_)));
            }
        }
        let condition = match rest.len() {
            0 => None,
            1 => rest.pop(),
            _ => Some(Condition::And(rest)),
        };
        let relation =
            Relation::Join { left: Box::new(left_side.select(left)), right: Box::new(right_side.select(right)), outer, condition };
        let max_rows = left.max_rows.saturating_mul(right.max_rows).min(MAX_ROWS_AT_ONCE);
        let mut scope =
            Scope::of_relation(self.contract, relation, max_rows, &self.effort).with_sources(std::mem::take(&mut both.sources), Vec::new());
        scope.partitions = partitions;
        for part in [left, right, &both] {
            scope.take_uses(part);
        }
        Ok(scope)
    }

    fn join_by(&self, at: Option<Position>) -> Refusal {
        let (unit, partition) = (&self.contract.unit_column, &self.contract.partition_column);
        not_private(
            at,
            "tables of persons are joined by the unit and the partition, so that no person meets another",
            format!(
                "write ON a.{unit} = b.{unit} AND a.{partition} = b.{partition}, or USING ({unit}, {partition}); further conditions by AND"
            ),
        )
    }
}

/// Whether one expression is a column of this meaning on the left and the other on the right, and neither could be the other's.
fn is_both([left, right, both]: [&Scope<'_>; 3], a: &Expr, b: &Expr, meaning: fn(&Meaning) -> bool) -> bool {
    let is = |scope: &Scope<'_>, expr: &Expr| matches!(scope.column(expr), Ok(Some(found)) if meaning(&found));
    is(both, a) && is(both, b) && ((is(left, a) && is(right, b)) || (is(left, b) && is(right, a)))
}

fn named(scope: &Scope<'_>, ident: &Ident) -> Result<Meaning, Refusal> {
    let at = crate::text::start_of(ident.span);
    scope
        .column(&Expr::Identifier(ident.clone()))?
        .ok_or_else(|| invalid(at, "USING takes names of columns", "write USING (unit, partition)"))
}
