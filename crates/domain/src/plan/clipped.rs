//! Clipped people: how many did not count in full, because of L0 or Linf.
//!
//! Margins are about noise; what bounds cut off is a bias that they do not show. A question may therefore release one number more: the people, in each
//! partition apart, who have rows in more than L0 groups, or more rows in a group than an output lets count. One person moves it by 1 in a partition, whatever the question is.
//! Values outside the bounds that the data contract declares are put within them when they are read, and are not seen here.

use super::relation::{Computed, Fold, Folded, Relation};
use super::value::{CompareOp, Condition, Value};
use super::{Aggregate, KeySource, Measured, PrivatePlan};
use crate::canonical_struct;

/// Share of rho that the number of clipped people takes, as a fraction: 5 %.
pub const CLIPPED_SHARE: (u32, u32) = (1, 20);

/// The number of clipped people leaves beside the outputs, after all of them: one cell, or one for each partition where that is a group key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Clipped {
    /// Share of rho: `share_num / share_den`. With those of the outputs it adds up to 1.
    pub share_num: u32,
    /// See `share_num`.
    pub share_den: u32,
}
canonical_struct!(Clipped { share_num, share_den });

/// A bound on the rows of one person in one group.
struct Bound {
    fold: Fold,
    condition: Option<Condition>,
    least: i64,
    most: i64,
}

impl PrivatePlan {
    /// The question whose one output is the number of clipped people; `None` unless this one releases it. What a person has in each
    /// group is worked out over whole persons, as `relation` says, so of a person with very many rows some are left out.
    #[must_use]
    pub fn counting_clipped(&self) -> Option<Self> {
        self.clipped?;
        let over = |name: &str, most: i64| compare(CompareOp::Gt, Value::column(name), most);
        Some(Self {
            relation: self.bounds_by_person(),
            filter: Some(Condition::Or(vec![over("groups", i64::from(self.max_groups_per_person)), over("over", 0)])),
            // Where periods are apart in the outputs they are apart here, so that a person in several moves each by 1 and not one by several.
            keys: self.keys.iter().filter(|key| key.source == KeySource::Partition).cloned().collect(),
            max_groups_per_person: 1,
            ..self.counting_people("clipped")
        })
    }

    /// How many numbers of clipped people leave; 0 unless the plan releases them.
    pub fn clipped_cells(&self) -> usize {
        match self.clipped {
            None => 0,
            Some(_) if self.partition_is_key() => self.partitions.len(),
            Some(_) => 1,
        }
    }

    /// Whether L0 or Linf can cut anything off, by how many groups and rows one person can have in a partition.
    pub fn can_clip(&self) -> bool {
        let of = |key: &super::Key| if key.source == KeySource::Partition { 1 } else { key.cardinality(self) as u64 };
        let rows = if self.relation.is_row_by_row() { u64::MAX } else { self.relation.most_rows() };
        let groups = self.keys.iter().map(of).fold(1, u64::saturating_mul).min(rows);
        u64::from(self.max_groups_per_person) < groups
            || self.outputs.iter().any(|output| output.aggregate.max_rows_per_person().is_some_and(|most| u64::from(most) < rows))
    }

    /// One row a person and partition: how many groups it has, and whether it is over a bound in one of them (0 or 1).
    fn bounds_by_person(&self) -> Relation {
        let (mut columns, mut keys, mut on_grid) = (Vec::new(), Vec::new(), Vec::new());
        for key in &self.keys {
            let KeySource::Values { value, values, .. } = &key.source else { continue };
            let name = computed(&mut columns, value.clone());
            // Rows off the grid are in no group.
            on_grid.extend(is_among(&name, values));
            // Two keys of one value make no more groups than one.
            if keys.iter().all(|key: &Computed| key.name != name) {
                keys.push(Computed { value: Value::column(&name), name });
            }
        }
        let mut bounds: Vec<Bound> = Vec::new();
        for output in &self.outputs {
            let Some((of, least, most)) = bounded(&output.aggregate) else { continue };
            let condition = output.condition.as_ref().map(|condition| {
                let truth = computed(&mut columns, Value::Truth(Box::new(condition.clone())));
                compare(CompareOp::Eq, Value::column(truth), 1)
            });
            let fold = match of {
                Of::Rows => Fold::Rows,
                Of::Known(measured) => Fold::Known(Value::column(computed(&mut columns, clamped(measured)))),
                Of::Sum(measured) => Fold::Sum(Value::column(computed(&mut columns, clamped(measured)))),
            };
            bounds.push(Bound { fold, condition, least, most });
        }
        let same = columns.iter().map(|column: &Computed| Computed { value: Value::column(&column.name), ..column.clone() }).collect();
        let rows = Relation::Select { input: Box::new(self.relation.clone()), filter: self.filter.clone(), columns };
        let rows = Relation::Select { input: Box::new(rows), filter: Some(Condition::And(on_grid)), columns: same };
        let (mut folds, mut tests) = (Vec::new(), Vec::new());
        for (number, Bound { fold, condition, least, most }) in bounds.into_iter().enumerate() {
            let name = format!("bound{number}");
            tests.push(compare(CompareOp::Gt, Value::column(&name), most));
            if least < 0 {
                tests.push(compare(CompareOp::Lt, Value::column(&name), least));
            }
            folds.push(Folded { name, fold, condition });
        }
        let groups = Relation::Group { input: Box::new(rows), keys, folds };
        // Of what is unknown nothing is over a bound.
        let is_over = Condition::Is(Box::new(Condition::Or(tests)), Some(true));
        let judged = Relation::Select {
            input: Box::new(groups),
            filter: None,
            columns: vec![Computed { name: "over".to_owned(), value: Value::Truth(Box::new(is_over)) }],
        };
        let folds = vec![
            Folded { name: "groups".to_owned(), fold: Fold::Rows, condition: None },
            Folded { name: "over".to_owned(), fold: Fold::Max(Value::column("over")), condition: None },
        ];
        Relation::Group { input: Box::new(judged), keys: Vec::new(), folds }
    }
}

/// What an output bounds of a person's rows in a group.
enum Of<'a> {
    Rows,
    Known(&'a Measured),
    Sum(&'a Measured),
}

/// What may be between which numbers, without anything being cut; `None` where a person counts or not.
fn bounded(aggregate: &Aggregate) -> Option<(Of<'_>, i64, i64)> {
    let linf = i64::from(aggregate.max_rows_per_person()?);
    Some(match aggregate {
        Aggregate::CountUnits | Aggregate::CountRows { .. } => (Of::Rows, 0, linf),
        Aggregate::Sum { measured, .. } => {
            (Of::Sum(measured), linf.saturating_mul(measured.lo.min(0)), linf.saturating_mul(measured.hi.max(0)))
        }
        Aggregate::CentredSum { measured, .. } | Aggregate::CentredSquares { measured, .. } | Aggregate::Histogram { measured, .. } => {
            (Of::Known(measured), 0, linf)
        }
    })
}

fn clamped(measured: &Measured) -> Value {
    Value::Clamp { value: Box::new(measured.value.clone()), lo: measured.lo, hi: measured.hi }
}

fn compare(op: CompareOp, left: Value, right: i64) -> Condition {
    Condition::Compare { op, left: Box::new(left), right: Box::new(Value::Constant(right)) }
}

/// A column has one of these values, which are sorted and distinct. Most keys have all that there are between two.
fn is_among(name: &str, values: &[i64]) -> Vec<Condition> {
    match values {
        [first, .., last] if last.abs_diff(*first) == values.len() as u64 - 1 => {
            vec![compare(CompareOp::Ge, Value::column(name), *first), compare(CompareOp::Le, Value::column(name), *last)]
        }
        _ => vec![Condition::InSet { value: Box::new(Value::column(name)), set: values.to_vec() }],
    }
}

/// The name of the column that holds a value; equal ones are one.
fn computed(columns: &mut Vec<Computed>, value: Value) -> String {
    if let Some(known) = columns.iter().find(|column| column.value == value) {
        return known.name.clone();
    }
    let name = format!("value{}", columns.len());
    columns.push(Computed { name: name.clone(), value });
    name
}
