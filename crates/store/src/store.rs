//! Opening a store, its lock, its migrations, and named transactions.
//!
//! The atomic rule: [`Store::run`] does all of a transaction or nothing of it, and returns `Ok` only when the commit is on the disk.
//! All access goes through one connection behind a mutex, so that a check and the write that follows it are one step.

use std::fs::{File, OpenOptions};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use rustix::fs::FlockOperation;

use crate::error::StoreError;

/// How long a statement waits for an auditor's `sqlite3` that reads or holds a lock.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A transaction that takes longer than this is written to the local log as slow.
pub const SLOW_TRANSACTION: Duration = Duration::from_millis(500);

/// Mode of the files: a journal holds SQL texts and reasons that are the holder's own.
const FILE_MODE: u32 = 0o600;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::agent::Agent {}
    impl Sealed for crate::coordinator::Coordinator {}
}

/// Whose store it is: [`crate::agent::Agent`] or [`crate::coordinator::Coordinator`].
pub trait Side: sealed::Sealed {
    /// In words, for errors.
    const NAME: &'static str;
    /// `PRAGMA application_id`, so that one side's file is never opened as the other's.
    const APPLICATION_ID: i32;
    /// Scripts in order; the version of a file (`PRAGMA user_version`) is how many of them it has seen. Append, never edit.
    const MIGRATIONS: &'static [&'static str];

    /// What is done once when a store is opened for writing.
    fn tidy(_store: &Store<Self>) -> Result<(), StoreError>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// How to open a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreOptions {
    /// Most pages of the file (`PRAGMA max_page_count`): beyond it, a write is refused as on a full disk. `None`: as large as the disk.
    pub max_pages: Option<u32>,
}

/// One side's durable state. Shared between threads behind an `Arc`.
#[derive(Debug)]
pub struct Store<S> {
    // Dropped in this order: the lock is let go after the connection is closed.
    connection: Mutex<Connection>,
    _lock: Option<FileLock>,
    path: PathBuf,
    side: PhantomData<S>,
}

impl<S: Side> Store<S> {
    /// Opens the file, or makes it, and takes its lock.
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let at_path = |source| StoreError::Open { path: path.to_owned(), source };
        create(path).map_err(at_path)?;
        // By its real path, so that a symbolic link does not lead around the lock.
        let path = path.canonicalize().map_err(at_path)?;
        let lock = lock(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags)?;
        configure(&connection, options)?;
        migrate::<S>(&mut connection, &path)?;
        let store = Self { connection: Mutex::new(connection), _lock: Some(lock), path, side: PhantomData };
        S::tidy(&store)?;
        Ok(store)
    }

    /// Opens an existing file for reading alone, also while its daemon runs: every writing transaction fails.
    pub fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let path = path.canonicalize().map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "query_only", true)?;
        let application_id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let (found, known) = (usize::try_from(version).unwrap_or(usize::MAX), S::MIGRATIONS.len());
        if application_id != S::APPLICATION_ID {
            return Err(StoreError::OtherKind { path, expected: S::NAME });
        }
        if found != known {
            return Err(StoreError::Newer { path, found, known });
        }
        Ok(Self { connection: Mutex::new(connection), _lock: None, path, side: PhantomData })
    }

    /// The file, by its real path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a writing transaction. When it returns `Ok`, the commit is on the disk; when it returns an error, nothing was written.
    pub fn run<T>(&self, name: &'static str, body: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.transaction(name, TransactionBehavior::Immediate, body)
    }

    /// Runs a reading transaction: all its statements see one state.
    pub fn read<T>(&self, name: &'static str, body: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.transaction(name, TransactionBehavior::Deferred, body)
    }

    /// Pages of the file now; what [`StoreOptions::max_pages`] counts.
    pub fn page_count(&self) -> Result<u32, StoreError> {
        self.read("page count", |tx| Ok(tx.pragma_query_value(None, "page_count", |row| row.get(0))?))
    }

    fn transaction<T>(
        &self,
        name: &'static str,
        behavior: TransactionBehavior,
        body: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // A panic in an earlier body rolled its transaction back: the connection is sound.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        // Dropping the transaction without a commit rolls it back, also when SQLite itself already did (as it may on a full disk).
        let result = connection.transaction_with_behavior(behavior).map_err(StoreError::from).and_then(|tx| {
            let value = body(&tx)?;
            tx.commit()?;
            Ok(value)
        });
        let elapsed = start.elapsed();
        if elapsed > SLOW_TRANSACTION {
            tracing::warn!(transaction = name, elapsed_ms = elapsed.as_millis(), "slow transaction of the store");
        }
        result.map_err(|error| error.in_transaction(name))
    }
}

/// Makes the file with a narrow mode; `SQLite` gives its write-ahead log the same one.
fn create(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(path).map(drop)
}

/// A held OS lock.
#[derive(Debug)]
struct FileLock(File);

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that was just forked shares it until it has started its own program. If unlocking
        // fails, closing does what can still be done.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Takes the OS lock on `<file>.lock`. The kernel lets it go when the process ends, however it ends; the file itself stays.
fn lock(path: &Path) -> Result<FileLock, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let at_path = |source| StoreError::Open { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(name).map_err(at_path)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(FileLock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(errno) => Err(at_path(errno.into())),
    }
}

fn configure(connection: &Connection, options: StoreOptions) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Damaged { what: format!("the file system gives journal mode \"{mode}\" instead of a write-ahead log") });
    }
    // FULL: the write-ahead log is synced to the disk at every commit (NORMAL would sync at checkpoints only, and lose charges).
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))?;
    }
    Ok(())
}

fn migrate<S: Side>(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let application_id: i32 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let fresh = application_id == 0 && version == 0 && objects == 0;
    if !fresh && application_id != S::APPLICATION_ID {
        return Err(StoreError::OtherKind { path: path.to_owned(), expected: S::NAME });
    }
    let known = S::MIGRATIONS.len();
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(missing) = S::MIGRATIONS.get(found..) else {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    };
    if missing.is_empty() {
        return Ok(());
    }
    for script in missing {
        tx.execute_batch(script)?;
    }
    tx.pragma_update(None, "application_id", S::APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", i64::try_from(known).unwrap_or(i64::MAX))?;
    tx.commit()?;
    tracing::info!(store = %path.display(), from = found, to = known, "store migrated");
    Ok(())
}
