//! What reading one question may cost.
//!
//! A name stands for its whole expression and is put in wherever it is used, so a short text can stand for a very large one. Each expression is
//! bounded by itself ([`MAX_NODES`](super::types::MAX_NODES)); this bounds all of them together, while they are built.

use std::cell::Cell;
use std::rc::Rc;

use commun_domain::Refusal;
use commun_domain::error::Position;

use super::types::{Type, Typed};
use crate::refuse::not_private;

/// Most nodes that are built for one question, each counted whenever it is copied or put into a larger expression.
pub const MAX_EFFORT: usize = 1_000_000;

/// Shared by all scopes of a question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effort(Rc<Cell<usize>>);

impl Effort {
    /// Counts so many nodes.
    pub(crate) fn spend(&self, nodes: usize, at: Option<Position>) -> Result<(), Refusal> {
        let spent = self.0.get().saturating_add(nodes);
        self.0.set(spent);
        if spent <= MAX_EFFORT {
            return Ok(());
        }
        Err(not_private(
            at,
            format!("the question stands for more than {MAX_EFFORT} parts of expressions"),
            "a name stands for its whole expression wherever it is used: write fewer columns, or simpler ones",
        ))
    }
}

impl Typed {
    /// Nodes, with a text's made-up values at a sixteenth for each, and for each 16 bytes.
    pub(crate) fn effort(&self) -> usize {
        let made_up = match &self.of {
            Type::Text { values, list: None } => (values.len() + values.iter().map(String::len).sum::<usize>() / 16) / 16,
            _ => 0,
        };
        self.value.size() + made_up
    }
}
