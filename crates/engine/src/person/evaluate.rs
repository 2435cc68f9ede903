//! Runs a program over the rows of several persons.

use commun_domain::plan::Condition;
use commun_domain::plan::relation::{Computed, MAX_JOINED_ROWS};

use super::frame::Frame;
use crate::bound::PrfKey;
use crate::eval::Batch;
use crate::lower::Node;

/// The rows of each part, and who they are about.
pub(super) struct Persons<'a> {
    pub(super) parts: Vec<Frame>,
    /// The key of a person's choice of rows.
    pub(super) key: &'a dyn Fn(usize) -> PrfKey,
}

impl Persons<'_> {
    pub(super) fn evaluate(&self, node: &Node) -> Frame {
        match node {
            Node::Part(part) => self.parts.get(*part).cloned().unwrap_or_else(|| Frame { starts: vec![0], columns: Vec::new() }),
            Node::Select { input, filter, columns } => select(&self.evaluate(input), filter.as_ref(), columns),
            Node::Union(inputs) => {
                let frames: Vec<Frame> = inputs.iter().map(|input| self.evaluate(input)).collect();
                union(&frames)
            }
            Node::Join { left, right, outer, condition, number } => {
                self.join(&self.evaluate(left), &self.evaluate(right), *outer, condition.as_ref(), *number)
            }
            Node::Group { input, keys, folds } => super::group::group(&self.evaluate(input), keys, folds),
            Node::Window { input, columns } => super::window::window(&self.evaluate(input), columns),
        }
    }
}

/// Most rows that a node makes of so many rows in each part, for one person.
pub(super) fn cost(node: &Node, rows: &[usize]) -> usize {
    match node {
        Node::Part(part) => rows.get(*part).copied().unwrap_or(0),
        Node::Select { input, .. } | Node::Group { input, .. } | Node::Window { input, .. } => cost(input, rows),
        Node::Union(inputs) => inputs.iter().map(|input| cost(input, rows)).sum(),
        Node::Join { left, right, .. } => {
            let side = |node: &Node| cost(node, rows).min(MAX_JOINED_ROWS as usize);
            cost(left, rows) + cost(right, rows) + side(left) * side(right)
        }
    }
}

/// Those rows for which `kept` holds.
pub(super) fn retain(frame: &Frame, kept: impl Fn(usize) -> bool) -> Frame {
    let (mut rows, mut starts) = (Vec::new(), vec![0]);
    for range in frame.ranges() {
        rows.extend(range.filter(|row| kept(*row)).map(Some));
        starts.push(rows.len());
    }
    Frame { starts, columns: frame.gathered(&rows) }
}

fn select(frame: &Frame, filter: Option<&Condition>, columns: &[Computed]) -> Frame {
    let kept;
    let frame = match filter {
        None => frame,
        Some(filter) => {
            let yes = Batch { rows: frame.rows(), columns: &frame.find() }.condition(filter).yes;
            kept = retain(frame, |row| yes.value(row));
            &kept
        }
    };
    let find = frame.find();
    let batch = Batch { rows: frame.rows(), columns: &find };
    let columns = columns.iter().map(|Computed { name, value }| (name.clone(), batch.value(value))).collect();
    Frame { starts: frame.starts.clone(), columns }
}

fn union(frames: &[Frame]) -> Frame {
    let Some(first) = frames.first() else { return Frame { starts: vec![0], columns: Vec::new() } };
    let (mut places, mut starts) = (Vec::new(), vec![0]);
    for person in 0..first.persons() {
        for (number, frame) in frames.iter().enumerate() {
            places.extend((frame.starts[person]..frame.starts[person + 1]).map(|row| (number, row)));
        }
        starts.push(places.len());
    }
    let column = |name: &str| {
        let columns: Vec<_> = frames.iter().map(|frame| (frame.find())(name)).collect();
        crate::eval::Ints::from_rows(places.len(), |row| {
            let (number, row) = places[row];
            columns[number].as_ref().and_then(|column| column.get(row))
        })
    };
    let columns = first.columns.iter().map(|(name, _)| (name.clone(), column(name))).collect();
    Frame { starts, columns }
}
