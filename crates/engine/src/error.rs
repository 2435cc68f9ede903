//! Why no exact cells were computed.
//!
//! An error of a row does not exist: every row is read totally. What is left follows from the plan, the binding, the types in the files,
//! or from the machine. Nothing of this leaves the holder: the agent answers with a fixed text.

use std::path::PathBuf;

/// Faults of an evaluation.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A source file is missing, unreadable or not of its declared format.
    #[error("source \"{source_name}\": {message}; check its path and format in the binding")]
    Source {
        /// Name in the binding.
        source_name: String,
        /// What went wrong, with the path.
        message: String,
    },
    /// The list of objections cannot be used as it is, so nothing is answered.
    #[error("the list of objections {}: {message}; no question is answered without it", .path.display())]
    Objections {
        /// The list.
        path: PathBuf,
        /// What is wrong, by line or row; never an id.
        message: String,
    },
    /// The binding does not fit the data contract.
    #[error("binding: {0}")]
    Binding(String),
    /// A column of the binding has a type that the contract's column cannot be read from.
    #[error("table {table}, column {column}: a {found} cannot be read as {expected}; convert it in the binding's SQL")]
    ColumnType {
        /// Table of the contract.
        table: String,
        /// Column of the contract.
        column: String,
        /// Type that the binding's SQL gives.
        found: String,
        /// Type that the contract wants.
        expected: &'static str,
    },
    /// The plan does not fit the data contract; only a fault of ours makes one.
    #[error("the plan does not fit the data contract: {0}")]
    Plan(String),
    /// Reading or computing failed after it began. The detail may quote data, so it is not part of the text.
    #[error("the evaluation failed while reading; see the detail on this machine")]
    Execution {
        /// For this machine's own eyes only.
        detail: LocalDetail,
    },
}

/// A text that may quote data: neither `Display` nor `Debug` shows it.
pub struct LocalDetail(String);

impl LocalDetail {
    /// The text. Never send it anywhere, and never write it where it may leave the holder.
    pub fn expose_locally(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for LocalDetail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalDetail(hidden)")
    }
}

impl EngineError {
    /// A failure after reading began.
    pub(crate) fn execution(detail: impl std::fmt::Display) -> Self {
        Self::Execution { detail: LocalDetail(detail.to_string()) }
    }
}
