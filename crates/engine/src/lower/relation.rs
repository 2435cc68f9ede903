//! A plan's relation made executable: what is read of which table, and what is computed of whole persons.
//!
//! A part of the relation that is row by row becomes leaves, one for each table that it reads; the rest becomes a program over parts.

use std::collections::BTreeSet;

use commun_domain::contract::DataContract;
use commun_domain::plan::relation::{Computed, Fold, Folded, MAX_NUMBERS_AT_ONCE, Relation, RowOrder, WindowFunction, Windowed};
use commun_domain::plan::{Condition, PrivatePlan, Value, names_read};

use super::{Needed, check, fault};
use crate::EngineError;
use crate::read::{Codes, Reading};

/// What is computed of each row of a leaf before anything else, from the table upwards.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) filter: Option<Condition>,
    pub(crate) columns: Vec<Computed>,
}

/// A table as one part of the relation reads it.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) table: String,
    /// The unit first, the partition second, then the others, each once.
    pub(crate) needed: Vec<Needed>,
    pub(crate) steps: Vec<Step>,
    /// The part of the program that its rows belong to.
    pub(crate) part: usize,
}

/// What is computed of the rows of whole persons.
#[derive(Debug)]
pub(crate) enum Node {
    /// The rows of a part.
    Part(usize),
    Select {
        input: Box<Node>,
        filter: Option<Condition>,
        columns: Vec<Computed>,
    },
    Union(Vec<Node>),
    /// `number`: of the two sides, for the choice of rows.
    Join {
        left: Box<Node>,
        right: Box<Node>,
        outer: bool,
        condition: Option<Condition>,
        number: u32,
    },
    Group {
        input: Box<Node>,
        keys: Vec<Computed>,
        folds: Vec<Folded>,
    },
    Window {
        input: Box<Node>,
        columns: Vec<Windowed>,
    },
}

/// See [`Node`].
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) root: Node,
    /// Names of each part's columns, in order.
    pub(crate) parts: Vec<Vec<String>>,
    /// See [`Relation::most_numbers`].
    pub(crate) most_numbers: u64,
}

/// A relation, lowered.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) leaves: Vec<Leaf>,
    /// `None`: the leaves' rows are the relation's.
    pub(crate) program: Option<Program>,
}

struct Builder<'p> {
    plan: &'p PrivatePlan,
    contract: &'p DataContract,
    leaves: Vec<Leaf>,
    parts: Vec<Vec<String>>,
    joins: u32,
}

type Names<'p> = BTreeSet<&'p str>;

/// A step above what is being read.
type Above<'r> = (Option<&'r Condition>, &'r [Computed]);

/// The error depends on plan and contract alone.
pub(super) fn inputs(plan: &PrivatePlan, contract: &DataContract) -> Result<Inputs, EngineError> {
    let wanted = plan.columns_read();
    let mut builder = Builder { plan, contract, leaves: Vec::new(), parts: Vec::new(), joins: 0 };
    if let Some(table) = plan.relation.as_table() {
        let needed = builder.needed(table, wanted)?;
        return Ok(Inputs { leaves: vec![Leaf { table: table.to_owned(), needed, steps: Vec::new(), part: 0 }], program: None });
    }
    if plan.open_key().is_some() {
        return Err(fault("an open group key is a column of a table itself"));
    }
    let columns = columns(&plan.relation)?;
    if let Some(name) = wanted.into_iter().find(|name| !columns.contains(name)) {
        return Err(no_column(name));
    }
    if plan.relation.is_row_by_row() {
        builder.leaves_of(&plan.relation, Vec::new(), 0)?;
        return Ok(Inputs { leaves: builder.leaves, program: None });
    }
    if plan.relation.most_numbers() > MAX_NUMBERS_AT_ONCE {
        return Err(fault("one person could have too many numbers in it"));
    }
    let root = builder.node(&plan.relation)?;
    let Builder { leaves, parts, .. } = builder;
    Ok(Inputs { leaves, program: Some(Program { root, parts, most_numbers: plan.relation.most_numbers() }) })
}

fn no_column(name: &str) -> EngineError {
    fault(format!("there is no column {name}"))
}

/// The columns of a relation that is no table, each once; all that its expressions read is there.
fn columns(relation: &Relation) -> Result<Names<'_>, EngineError> {
    let mut found = Names::new();
    match relation {
        Relation::Table(_) => return Err(fault("a table stands where only computed rows may")),
        Relation::Select { input, filter, columns: computed } => {
            if input.as_table().is_none() {
                let below = columns(input)?;
                computed.iter().try_for_each(|column| reads(&below, Some(&column.value), None))?;
                reads(&below, None, filter.as_ref())?;
            }
            filter.iter().try_for_each(check::condition)?;
            computed.iter().try_for_each(|column| check::value(&column.value))?;
            add(&mut found, computed.iter().map(|column| column.name.as_str()))?;
        }
        Relation::Union(inputs) => {
            let Some((first, rest)) = inputs.split_first() else { return Err(fault("a union of nothing")) };
            found = columns(first)?;
            for other in rest {
                if columns(other)? != found {
                    return Err(fault("the inputs of a union have other columns"));
                }
            }
        }
        Relation::Join { left, right, outer: _, condition } => {
            add(&mut found, columns(left)?)?;
            add(&mut found, columns(right)?)?;
            condition.iter().try_for_each(check::condition)?;
            reads(&found, None, condition.as_ref())?;
        }
        Relation::Group { input, keys, folds } => {
            let below = columns(input)?;
            for Computed { name: _, value } in keys {
                check::value(value)?;
                reads(&below, Some(value), None)?;
            }
            for Folded { name: _, fold, condition } in folds {
                check_fold(fold, condition.as_ref(), &below)?;
            }
            add(&mut found, keys.iter().map(|key| key.name.as_str()))?;
            add(&mut found, folds.iter().map(|fold| fold.name.as_str()))?;
        }
        Relation::Window { input, columns: windows } => {
            let below = columns(input)?;
            for Windowed { name: _, function, keys, order } in windows {
                for value in keys.iter().chain(order.iter().map(|RowOrder { value, .. }| value)) {
                    check::value(value)?;
                    reads(&below, Some(value), None)?;
                }
                match function {
                    WindowFunction::RowNumber | WindowFunction::Rank | WindowFunction::DenseRank => {}
                    WindowFunction::Shift { value, by: _ } | WindowFunction::First(value) => {
                        check::value(value)?;
                        reads(&below, Some(value), None)?;
                    }
                    WindowFunction::Fold { fold, condition } => check_fold(fold, condition.as_ref(), &below)?,
                }
            }
            found = below;
            add(&mut found, windows.iter().map(|column| column.name.as_str()))?;
        }
    }
    Ok(found)
}

fn check_fold(fold: &Fold, condition: Option<&Condition>, below: &Names<'_>) -> Result<(), EngineError> {
    fold.value().into_iter().try_for_each(check::value)?;
    condition.into_iter().try_for_each(check::condition)?;
    reads(below, fold.value(), condition)
}

fn add<'p>(found: &mut Names<'p>, names: impl IntoIterator<Item = &'p str>) -> Result<(), EngineError> {
    names.into_iter().try_for_each(|name| if found.insert(name) { Ok(()) } else { Err(fault(format!("two columns are called {name}"))) })
}

fn reads(columns: &Names<'_>, value: Option<&Value>, condition: Option<&Condition>) -> Result<(), EngineError> {
    match names_read(value, condition).into_iter().find(|name| !columns.contains(name)) {
        None => Ok(()),
        Some(name) => Err(no_column(name)),
    }
}

impl Builder<'_> {
    /// The columns of a table that are read, all of them declared.
    fn needed<'n>(&self, table: &str, names: impl IntoIterator<Item = &'n str>) -> Result<Vec<Needed>, EngineError> {
        let (plan, contract) = (self.plan, self.contract);
        let table = contract.table(table).ok_or_else(|| fault(format!("there is no table {table}")))?;
        let periods: Vec<String> = plan.partitions.iter().map(|period| plan.calendar.format(*period)).collect();
        let mut needed = vec![
            Needed { name: plan.unit_column.clone(), reading: Reading::Unit },
            Needed { name: plan.partition_column.clone(), reading: Reading::Code(Codes::new(periods.iter().map(String::as_str))) },
        ];
        for name in names {
            let declared = table.column(name).ok_or_else(|| no_column(name))?;
            // Once the names of an open group key are known they are its codes.
            let names = plan.open_key().filter(|open| open.column == name).and_then(|open| open.names.as_ref());
            let reading = match names {
                Some(names) => Some(Reading::Code(Codes::new(names.iter().map(String::as_str)))),
                None => Reading::of(&declared.column_type, |list, version| contract.code_list(list, version)),
            };
            let reading = reading.ok_or_else(|| fault(format!("there is no code list for {name}")))?;
            needed.push(Needed { name: name.to_owned(), reading });
        }
        Ok(needed)
    }

    /// The leaves of a part that is row by row; `above` holds the steps after it, the last first.
    fn leaves_of<'r>(&mut self, relation: &'r Relation, mut above: Vec<Above<'r>>, part: usize) -> Result<(), EngineError> {
        match relation {
            Relation::Select { input, filter, columns } => {
                above.push((filter.as_ref(), columns));
                let Some(table) = input.as_table() else { return self.leaves_of(input, above, part) };
                let needed = self.needed(table, names_read(columns.iter().map(|column| &column.value), filter))?;
                let step = |(filter, columns): Above<'_>| Step { filter: filter.cloned(), columns: columns.to_vec() };
                let steps = above.into_iter().rev().map(step).collect();
                self.leaves.push(Leaf { table: table.to_owned(), needed, steps, part });
                Ok(())
            }
            Relation::Union(inputs) => inputs.iter().try_for_each(|input| self.leaves_of(input, above.clone(), part)),
            _ => Err(fault("a part is not row by row")),
        }
    }

    fn node(&mut self, relation: &Relation) -> Result<Node, EngineError> {
        if relation.is_row_by_row() {
            let part = self.parts.len();
            self.parts.push(columns(relation)?.into_iter().map(str::to_owned).collect());
            self.leaves_of(relation, Vec::new(), part)?;
            return Ok(Node::Part(part));
        }
        Ok(match relation {
            Relation::Table(_) => return Err(fault("a table stands where only computed rows may")),
            Relation::Select { input, filter, columns } => {
                Node::Select { input: Box::new(self.node(input)?), filter: filter.clone(), columns: columns.clone() }
            }
            Relation::Union(inputs) => Node::Union(inputs.iter().map(|input| self.node(input)).collect::<Result<_, _>>()?),
            Relation::Join { left, right, outer, condition } => {
                let (left, right) = (Box::new(self.node(left)?), Box::new(self.node(right)?));
                self.joins += 1;
                Node::Join { left, right, outer: *outer, condition: condition.clone(), number: self.joins }
            }
            Relation::Group { input, keys, folds } => {
                Node::Group { input: Box::new(self.node(input)?), keys: keys.clone(), folds: folds.clone() }
            }
            Relation::Window { input, columns } => Node::Window { input: Box::new(self.node(input)?), columns: columns.clone() },
        })
    }
}
