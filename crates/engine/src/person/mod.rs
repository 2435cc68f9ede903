//! What is computed of whole persons: subqueries with GROUP BY, windows, joins of tables of persons.
//!
//! Rows of all tables are brought together by person and partition (`runs`: sorted, in files when they do not fit the memory). Of each part of
//! the relation at most so many rows of a person are kept (`kept`). Then the program runs over the rows of some hundred persons at a time, in columns
//! with a boundary at each person (`frame`, `evaluate`, `group`, `window`, `join`), and what comes out is bounded like the rows of a table.
//! Each operator is a function of the multiset of one person's rows in one partition: neither order nor batches nor memory change a result.

mod evaluate;
mod frame;
mod group;
mod join;
mod kept;
mod record;
mod runs;
mod stage;
mod window;

pub(crate) use stage::{Sender, Stage};

#[cfg(test)]
mod tests;
