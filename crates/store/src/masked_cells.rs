//! Masked cells of a result's survivors, kept for a supervisor in a file of their own beside the database.
//!
//! A thousand holders and a hundred thousand cells are 800 MB. In a database they are written twice (write-ahead log, then the file), in pages of 4 KiB; in
//! a file once.
//!
//! The atomic rule: a file counts only if the database has a row of its query. It is on the disk before the transaction that writes the row, and it is removed
//! after the transaction that deletes the row; what a crash leaves in between has no row, and is removed when the store is opened for writing. Nothing here
//! is believed: who adds up again compares each holder's cells with the hash that the holder signed.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use commun_domain::{Hash32, QueryId};

use crate::error::StoreError;

/// First bytes of a file. After them, little endian: the number of holders (32 bits); of each the index (32 bits) and its number of cells (64 bits), ascending;
/// then their cells in the same order, 64 bits each.
const MAGIC: &[u8; 16] = b"commun-cells/v1\n";
/// Bytes of a holder's line at the head of a file.
const LINE: usize = 12;
/// Bytes that are written at once.
const CHUNK: usize = 1 << 18;
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
const SUFFIX: &str = ".cells";

/// The folder beside a database.
#[derive(Debug)]
pub(crate) struct CellFiles {
    folder: PathBuf,
}

impl CellFiles {
    /// Of the database at a path. Touches nothing.
    pub(crate) fn beside(database: &Path) -> Self {
        let mut folder = database.as_os_str().to_owned();
        folder.push(SUFFIX);
        Self { folder: folder.into() }
    }

    /// Makes the folder where it is missing, and removes the files that no row stands for. What is no such file is left alone.
    pub(crate) fn tidy(&self, kept: impl Fn(&QueryId) -> bool) -> Result<(), StoreError> {
        match DirBuilder::new().mode(FOLDER_MODE).create(&self.folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(at(&self.folder, source)),
        }
        // Also when it was there: an earlier start may have ended before.
        self.folder.parent().map_or(Ok(()), sync_folder).map_err(|source| at(&self.folder, source))?;
        for file in std::fs::read_dir(&self.folder).map_err(|source| at(&self.folder, source))? {
            let file = file.map_err(|source| at(&self.folder, source))?;
            match query_of(&file.path()) {
                Some(query) if kept(&query) => {}
                Some(query) => self.discard(&query),
                None => tracing::warn!(file = %file.path().display(), "no file of masked cells, left alone"),
            }
        }
        Ok(())
    }

    /// Writes the cells of a query, by holder index. When it returns `Ok`, they are on the disk; when it returns an error, it left no file.
    pub(crate) fn write(self, query: &QueryId, cells: &BTreeMap<u32, Vec<u64>>) -> Result<KeptCells, StoreError> {
        let path = self.path(query);
        // Never over a file that is there: it would be that of a result that is stored.
        let mut new = OpenOptions::new();
        let file = new.write(true).create_new(true).mode(FILE_MODE).open(&path).map_err(|source| at(&path, source))?;
        let kept = KeptCells { files: self, query: *query, has_row: AtomicBool::new(false) };
        let written = write(file, cells).and_then(|()| sync_folder(&kept.files.folder));
        written.map(|()| kept).map_err(|source| at(&path, source))
    }

    /// The cells of one holder; `None` where the file has none of it.
    pub(crate) fn read(&self, query: &QueryId, index: u32) -> Result<Option<Vec<u64>>, StoreError> {
        let path = self.path(query);
        read(&path, index).map_err(|source| match source.kind() {
            ErrorKind::NotFound => {
                at(&path, io::Error::new(ErrorKind::NotFound, "it is not there, as in a database that was copied without this folder"))
            }
            _ => at(&path, source),
        })
    }

    /// Removes the file of a query whose row is gone, or was never written. If that fails, the next start does it.
    pub(crate) fn discard(&self, query: &QueryId) {
        let path = self.path(query);
        match std::fs::remove_file(&path) {
            Ok(()) => {
                tracing::info!(file = %path.display(), "masked cells of a result that is not, or no more, to be added up again are removed");
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::error!(%error, file = %path.display(), "masked cells were not removed; the next start will try again");
            }
            Err(_) => {}
        }
    }

    fn path(&self, query: &QueryId) -> PathBuf {
        self.folder.join(format!("{query}{SUFFIX}"))
    }
}

fn at(path: &Path, source: io::Error) -> StoreError {
    if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) {
        StoreError::Full { transaction: "keep masked cells" }
    } else {
        StoreError::Cells { path: path.to_owned(), source }
    }
}

/// A file of masked cells that is on the disk. Dropped before its row is written, it is removed.
#[derive(Debug)]
pub struct KeptCells {
    files: CellFiles,
    query: QueryId,
    has_row: AtomicBool,
}

impl KeptCells {
    /// Of the query whose release is stored now, and of no other.
    pub(crate) fn check(&self, query: &QueryId) -> Result<(), StoreError> {
        if self.query == *query {
            return Ok(());
        }
        Err(at(&self.files.path(query), damaged("the cells are those of another query")))
    }

    /// Its row is written, or may be.
    pub(crate) fn stays(&self) {
        self.has_row.store(true, Ordering::Relaxed);
    }
}

impl Drop for KeptCells {
    fn drop(&mut self) {
        if !self.has_row.load(Ordering::Relaxed) {
            self.files.discard(&self.query);
        }
    }
}

/// The query in a file's name.
fn query_of(path: &Path) -> Option<QueryId> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    Hash32::from_hex(name).map(QueryId::from)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn write(mut file: File, cells: &BTreeMap<u32, Vec<u64>>) -> io::Result<()> {
    let holders = u32::try_from(cells.len()).map_err(|_| damaged("too many holders"))?;
    let mut bytes = Vec::with_capacity(CHUNK.max(cells.len() * LINE + MAGIC.len() + 4));
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&holders.to_le_bytes());
    for (index, cells) in cells {
        bytes.extend_from_slice(&index.to_le_bytes());
        bytes.extend_from_slice(&(cells.len() as u64).to_le_bytes());
    }
    file.write_all(&bytes)?;
    for part in cells.values().flat_map(|cells| cells.chunks(CHUNK / 8)) {
        bytes.resize(part.len() * 8, 0);
        for (place, cell) in bytes.as_chunks_mut().0.iter_mut().zip(part) {
            *place = cell.to_le_bytes();
        }
        file.write_all(&bytes)?;
    }
    file.sync_all()
}

fn read(path: &Path, index: u32) -> io::Result<Option<Vec<u64>>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut magic = [0; MAGIC.len()];
    let mut holders = [0; 4];
    file.read_exact(&mut magic)?;
    file.read_exact(&mut holders)?;
    let table = u64::from(u32::from_le_bytes(holders)) * LINE as u64;
    let body = table + (magic.len() + holders.len()) as u64;
    if magic != *MAGIC || body > length {
        return Err(damaged("not a file of masked cells"));
    }
    let mut lines = vec![0; usize::try_from(table).map_err(|_| damaged("too many holders"))?];
    file.read_exact(&mut lines)?;
    let (mut start, mut found) = (body, None);
    for line in lines.as_chunks::<LINE>().0 {
        let [a, b, c, d, count @ ..] = *line;
        let bytes = u64::from_le_bytes(count).checked_mul(8);
        let end = bytes.and_then(|bytes| start.checked_add(bytes)).filter(|end| *end <= length);
        let end = end.ok_or_else(|| damaged("shorter than its head says"))?;
        if u32::from_le_bytes([a, b, c, d]) == index {
            found = Some((start, end - start));
        }
        start = end;
    }
    let Some((start, bytes)) = found else { return Ok(None) };
    file.seek(SeekFrom::Start(start))?;
    let mut cells = vec![0; usize::try_from(bytes).map_err(|_| damaged("too many cells"))?];
    file.read_exact(&mut cells)?;
    Ok(Some(cells.as_chunks().0.iter().map(|cell| u64::from_le_bytes(*cell)).collect()))
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}
