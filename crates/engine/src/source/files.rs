//! The file system as `DataFusion` reads it: read only, into memory that is used again.
//!
//! What is read of a row group is needed until the row group has been decoded. Fresh memory for each costs more than the reading itself, as the kernel fills
//! every page of it with zeros first. So memory that is given back serves for the next row group. A query never holds more than twice of what it has once had in
//! use at a time.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::object_store::local::LocalFileSystem;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use futures::stream::{BoxStream, StreamExt};

/// Less than this is read into memory of its own.
const LEAST_BYTES: usize = 64 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: LocalFileSystem,
    memory: Arc<Mutex<Memory>>,
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("files")
    }
}

/// Buffers of a query. One never becomes shorter, so its length is the most that was asked of it.
#[derive(Default)]
struct Memory {
    free: Vec<Vec<u8>>,
    /// Bytes that are in use, and the most that were.
    wanted: usize,
    most_wanted: usize,
    /// Bytes of all buffers.
    held: usize,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("held", &self.held).finish_non_exhaustive()
    }
}

/// A buffer that goes back when nobody reads it any more.
struct Lent {
    buffer: Vec<u8>,
    bytes: usize,
    memory: Arc<Mutex<Memory>>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.bytes]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).take_back(buffer, self.bytes);
    }
}

impl Memory {
    /// A buffer of at least so many bytes.
    fn lend(&mut self, bytes: usize) -> Vec<u8> {
        self.wanted += bytes;
        self.most_wanted = self.most_wanted.max(self.wanted);
        // The smallest that is long enough, and not much too long; else the longest of the others that are not too long, which grows.
        let fits = self.free.iter().enumerate().filter(|(_, buffer)| buffer.len() <= bytes.saturating_mul(2));
        let found = fits.min_by_key(|(_, buffer)| (buffer.len() < bytes, buffer.len().abs_diff(bytes)));
        let mut buffer = found.map(|(place, _)| place).map_or_else(Vec::new, |place| self.free.swap_remove(place));
        if buffer.len() < bytes {
            self.held += bytes - buffer.len();
            buffer.reserve_exact(bytes - buffer.len());
            buffer.resize(bytes, 0);
        }
        self.shrink();
        buffer
    }

    fn take_back(&mut self, buffer: Vec<u8>, bytes: usize) {
        self.wanted -= bytes;
        self.free.push(buffer);
        self.shrink();
    }

    /// Gives free memory back to the system, until there is no more than was once in use.
    fn shrink(&mut self) {
        while self.held > self.most_wanted
            && let Some(buffer) = self.free.pop()
        {
            self.held -= buffer.len();
        }
    }
}

impl Files {
    /// Reads a part of a file.
    fn read(file: &File, range: Range<u64>, memory: &Arc<Mutex<Memory>>) -> io::Result<Bytes> {
        let bytes = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        if bytes < LEAST_BYTES {
            let mut buffer = vec![0; bytes];
            file.read_exact_at(&mut buffer, range.start)?;
            return Ok(buffer.into());
        }
        let buffer = memory.lock().unwrap_or_else(PoisonError::into_inner).lend(bytes);
        let mut lent = Lent { buffer, bytes, memory: Arc::clone(memory) };
        file.read_exact_at(&mut lent.buffer[..bytes], range.start)?;
        Ok(Bytes::from_owner(lent))
    }
}

fn fault(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "file", source: source.into() }
}

fn read_only() -> Error {
    Error::NotSupported { source: "sources are only read".into() }
}

#[async_trait]
impl ObjectStore for Files {
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (path, ranges, memory) = (self.files.path_to_filesystem(location)?, ranges.to_vec(), Arc::clone(&self.memory));
        let read = move || {
            let file = File::open(path)?;
            // Refused before there is memory for it: what a file says of itself may be wrong.
            let end = file.metadata()?.len();
            if ranges.iter().any(|range| range.end > end) {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            ranges.into_iter().map(|range| Self::read(&file, range, &memory)).collect()
        };
        tokio::task::spawn_blocking(read).await.map_err(fault)?.map_err(fault)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(read_only())
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(read_only())
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Err(read_only())).boxed()
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(read_only())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use datafusion::object_store::ObjectStoreExt;

    use super::*;

    const KIB: u64 = 1 << 10;

    /// A file of 512 KiB whose bytes say where they are, and what reads it.
    fn file() -> (tempfile::TempDir, Files, Path) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..512 * KIB).map(|at| u8::try_from(at / KIB % 251).unwrap()).collect();
        std::fs::write(&path, bytes).unwrap();
        (folder, Files::default(), Path::from_absolute_path(path).unwrap())
    }

    fn held(files: &Files) -> (usize, usize) {
        let memory = files.memory.lock().unwrap();
        (memory.held, memory.wanted)
    }

    #[tokio::test]
    async fn what_is_read_is_the_file_and_its_memory_is_used_again() {
        let (_folder, files, path) = file();
        let check = |bytes: &Bytes, range: &Range<u64>| {
            assert_eq!(bytes.len() as u64, range.end - range.start);
            assert!(bytes.iter().zip(range.start..).all(|(byte, at)| u64::from(*byte) == at / KIB % 251), "{range:?}");
        };
        let mut kept = Vec::new();
        for ranges in [
            [0..100 * KIB, 100 * KIB..300 * KIB, 5..6],
            [7..7, 200 * KIB + 1..512 * KIB, 3..90 * KIB],
            [0..80 * KIB, 1..70 * KIB, 2..512 * KIB],
            [0..65 * KIB, 1..66 * KIB, 2..67 * KIB],
        ] {
            let read = files.get_ranges(&path, &ranges).await.unwrap();
            read.iter().zip(&ranges).for_each(|(bytes, range)| check(bytes, range));
            kept.push((read[1].slice(..read[1].len().min(10)), read[1].len(), ranges[1].start));
            let (held, wanted) = held(&files);
            assert!(wanted <= held && held <= 2 * files.memory.lock().unwrap().most_wanted, "{held} {wanted}");
        }
        // A slice keeps its buffer from being used again.
        assert!(kept.iter().all(|(bytes, _, start)| bytes.iter().zip(*start..).all(|(byte, at)| u64::from(*byte) == at / KIB % 251)));
        assert_eq!(held(&files).1, kept.iter().map(|(_, bytes, _)| *bytes).filter(|bytes| *bytes >= LEAST_BYTES).sum::<usize>());
        kept.clear();
        assert_eq!(held(&files).1, 0);
    }

    #[tokio::test]
    async fn a_range_behind_the_end_costs_no_memory_and_nothing_is_written() {
        let (_folder, files, path) = file();
        assert!(files.get_ranges(&path, &[0..100 * KIB, KIB..u64::MAX / 4]).await.is_err());
        assert!(files.get_ranges(&Path::from("nowhere"), &[0..1, 2..3]).await.is_err());
        assert_eq!(held(&files), (0, 0));
        assert!(files.put(&path, "new".into()).await.is_err() && files.delete(&path).await.is_err());
        assert!(files.copy(&path, &Path::from("other")).await.is_err());
        assert_eq!(files.head(&path).await.unwrap().size, 512 * KIB);
    }
}
