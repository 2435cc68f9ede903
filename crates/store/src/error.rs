//! Why the store did not do what it was asked. In every case nothing of the transaction was written, and the store stays usable.

use std::path::PathBuf;

use commun_domain::QueryId;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process (or another store of this one) has the file open.
    #[error("the store {} is in use by another process; stop that process, or give this one a store of its own", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file or its lock cannot be opened.
    #[error("cannot open the store {}: {source}; check that its folder exists and that this user may write there", path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A database of something else.
    #[error("{} is not a store of a commun {expected}; check the path in the configuration", path.display())]
    OtherKind {
        /// The database file.
        path: PathBuf,
        /// The side that was asked for.
        expected: &'static str,
    },
    /// Written by a later version of Commun.
    #[error("the store {} has schema version {found}, this program knows {known}; start a newer program on it", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// The latest version of this program.
        known: usize,
    },
    /// The disk, or the page limit of [`crate::StoreOptions`], is full.
    #[error("the disk of the store is full, so \"{transaction}\" wrote nothing; free some space and try again")]
    Full {
        /// Name of the transaction.
        transaction: &'static str,
    },
    /// Any other fault of `SQLite` or of the disk under it.
    #[error("the transaction \"{transaction}\" failed and wrote nothing: {source}")]
    Sqlite {
        /// Name of the transaction.
        transaction: &'static str,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
    /// A file of masked cells, or their folder.
    #[error("the masked cells in {} cannot be kept or read: {source}; check that the folder is this user's and whole", path.display())]
    Cells {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said, or what does not fit.
        source: std::io::Error,
    },
    /// Stored bytes are not what this program once wrote.
    #[error("the store is damaged: {what}; restore it from a copy, and read the restart rules first")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// A number that a column cannot hold.
    #[error("the number {0} is too large for the store")]
    TooLarge(u64),
    /// An entry that is larger than entries may be.
    #[error("a log entry of {0} bytes is larger than {max} bytes", max = commun_domain::log::MAX_ENTRY_BYTES)]
    EntryTooLarge(usize),
    /// Entries that do not start where the stored log ends.
    #[error("log entries from number {got} do not continue the stored log, which ends before {size}")]
    LogGap {
        /// Number of the first entry given.
        got: u64,
        /// Size of the stored log.
        size: u64,
    },
    /// A ledger record that does not continue its holder's chain: another one was written in between. Nothing was charged.
    #[error("record {seq} of {holder} does not continue the ledger, whose next number is {next}; read the ledger again")]
    NotNext {
        /// Holder.
        holder: String,
        /// Number of the record given.
        seq: u64,
        /// Number that the chain continues with.
        next: u64,
    },
    /// The attempt has a record of this kind already.
    #[error("attempt {attempt} of query {query} already has a {kind} record of {holder}")]
    AlreadyRecorded {
        /// Holder.
        holder: String,
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
        /// Kind of the record.
        kind: &'static str,
    },
    /// A ledger record of another kind than the call writes.
    #[error("this call writes a {expected} record, not a {got} record")]
    OtherRecord {
        /// Kind that the call writes.
        expected: &'static str,
        /// Kind that was given.
        got: &'static str,
    },
    /// A line of the journal that is not one of this decision or this attempt.
    #[error("this call does not write a journal line of this decision ({decision}) or attempt")]
    OtherLine {
        /// Decision of the line.
        decision: &'static str,
    },
    /// An attempt that is known already.
    #[error("attempt {attempt} of query {query} has begun before; nothing is started twice")]
    AttemptKnown {
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
    },
    /// An attempt that has not begun or has ended.
    #[error("attempt {attempt} of query {query} is not open")]
    AttemptNotOpen {
        /// Query.
        query: QueryId,
        /// Attempt.
        attempt: u8,
    },
    /// A query that is unknown or not in a state from which this step leads on.
    #[error("query {query} cannot become {to}: it is {from}")]
    QueryState {
        /// Query.
        query: QueryId,
        /// Its state, or "unknown".
        from: &'static str,
        /// State that was asked for.
        to: &'static str,
    },
}

/// Name used until [`crate::Store::run`] puts the transaction's own in.
const UNNAMED: &str = "open";

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full { transaction: UNNAMED },
            _ => Self::Sqlite { transaction: UNNAMED, source },
        }
    }
}

impl StoreError {
    /// The same error with the name of the transaction in which it happened.
    pub(crate) fn in_transaction(self, name: &'static str) -> Self {
        match self {
            Self::Full { .. } => Self::Full { transaction: name },
            Self::Sqlite { source, .. } => Self::Sqlite { transaction: name, source },
            other => other,
        }
    }
}
