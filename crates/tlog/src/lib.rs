//! The public log's arithmetic: the RFC 6962 tree hash, signed notes and checkpoints (C2SP).
//!
//! Pure: no I/O, no clock, no async. The coordinator appends entries and signs checkpoints with it; each agent recomputes the
//! root from the entries that it has read itself, with the same code. What is not here: what an entry means (`commun-trust` folds
//! them), where entries are stored, tiles, proofs and cosignatures of witnesses.

pub mod checkpoint;
pub mod note;
pub mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use note::NoteError;
pub use tree::{Frontier, Hash, empty_root, leaf_hash, node_hash};
