//! SQL text and a public schema in, a bounded typed plan out, or a refusal that says what to do instead.
//!
//! [`compile()`] reads an agency's question against a data contract; [`check_binding`] and [`rewrite_binding`] read a holder's binding.
//! Both work by an allow-list over the syntax tree of `sqlparser` (the version that `DataFusion` uses): every struct of the tree is taken
//! apart field by field, so that a field that a new version brings breaks the build instead of being ignored. Agents and coordinator compile the
//! same text to the same bytes (P4). Pure: no I/O, no clock, no data, no `DataFusion`.
//!
//! What is not here: prices and noise (`commun-privacy`), permits (`commun-trust`), and running anything (`commun-engine`).

mod binding;
mod clauses;
mod question;
mod refuse;
mod text;

pub use binding::{BindingFault, MAX_BRANCHES, check_binding, rewrite_binding};
pub use question::{
    AGGREGATES, FUNCTIONS, MAX_BUCKETS, MAX_KEY_VALUES, MAX_LABEL_CHARS, MAX_LIST_ITEMS, MAX_NODES, MAX_PARTITIONS, MAX_PREDICATE_DEPTH,
    MAX_SELECT_ITEMS, WINDOW_FUNCTIONS, compile,
};
pub use text::{MAX_PARENTHESES, MAX_TOKENS, strip_explain};

#[cfg(test)]
mod page_tests;
