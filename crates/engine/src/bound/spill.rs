//! What does not fit the memory: groups of one part of the data in a file that has no name.
//!
//! The content is personal data. So the file is made with `O_TMPFILE` where the file system can (else unlinked at once), with mode 0600, and is
//! gone when the process ends, however it ends. It is encrypted with `ChaCha20` under a key of its own that comes from the operating system, lives
//! only in this process, and encrypts this one stream once: what a disk keeps of it is noise. It is not authenticated, because
//! whoever can write an unnamed file of this process can write its memory too.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

/// Words that are encrypted and written at a time.
const BLOCK_WORDS: usize = 8 * 1024;

/// A file of records, each with its length in words before it.
pub(crate) struct Spill {
    file: File,
    key: Zeroizing<[u8; 32]>,
    stream: Stream,
    buffer: Vec<u64>,
    words: usize,
}

/// The keystream, and the bytes that it makes of words.
struct Stream {
    cipher: ChaCha20Rng,
    bytes: Vec<u8>,
}

impl Stream {
    fn new(key: &[u8; 32]) -> Self {
        Self { cipher: ChaCha20Rng::from_seed(*key), bytes: Vec::new() }
    }

    fn encrypt(&mut self, words: &[u64]) -> &[u8] {
        self.bytes.resize(words.len() * 8, 0);
        self.cipher.fill_bytes(&mut self.bytes);
        for (bytes, word) in self.bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = (u64::from_le_bytes(*bytes) ^ word).to_le_bytes();
        }
        &self.bytes
    }

    fn decrypt(&mut self, bytes: &[u8], words: &mut Vec<u64>) {
        self.bytes.resize(bytes.len(), 0);
        self.cipher.fill_bytes(&mut self.bytes);
        let pairs = bytes.as_chunks::<8>().0.iter().zip(self.bytes.as_chunks::<8>().0);
        words.extend(pairs.map(|(bytes, key)| u64::from_le_bytes(*bytes) ^ u64::from_le_bytes(*key)));
    }
}

impl Spill {
    /// An empty file in a folder.
    pub(crate) fn create(folder: &Path) -> io::Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(io::Error::other)?;
        let stream = Stream::new(&key);
        Ok(Self { file: tempfile::tempfile_in(folder)?, key, stream, buffer: Vec::new(), words: 0 })
    }

    /// Bytes that were appended.
    pub(crate) fn bytes(&self) -> usize {
        self.words * 8
    }

    /// Appends a record, or the next words of one: its first word is the length of the rest.
    pub(crate) fn write(&mut self, record: &[u64]) -> io::Result<()> {
        self.words += record.len();
        self.buffer.extend_from_slice(record);
        if self.buffer.len() >= BLOCK_WORDS { self.flush() } else { Ok(()) }
    }

    /// Ends a run of records: nothing stays in memory, of which hundreds of files would need as much as all tables.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        self.flush()?;
        (self.buffer, self.stream.bytes) = (Vec::new(), Vec::new());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(self.stream.encrypt(&self.buffer))?;
        self.buffer.clear();
        Ok(())
    }

    /// Calls `take` with every record, in order, without its length. The file ends with it.
    pub(crate) fn read<E: From<io::Error>>(self, mut take: impl FnMut(&[u64]) -> Result<(), E>) -> Result<(), E> {
        let mut records = self.records()?;
        while let Some(record) = records.next()? {
            take(record)?;
        }
        Ok(())
    }

    /// The records, one by one.
    pub(crate) fn records(mut self) -> io::Result<Records> {
        self.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        let bytes = Zeroizing::new(vec![0u8; BLOCK_WORDS * 8]);
        Ok(Records { stream: Stream::new(&self.key), file: self.file, bytes, words: Vec::new(), at: 0 })
    }
}

/// Reads a file of records.
pub(crate) struct Records {
    file: File,
    stream: Stream,
    bytes: Zeroizing<Vec<u8>>,
    /// What is decrypted, and up to where it was given out.
    words: Vec<u64>,
    at: usize,
}

impl Records {
    /// The next record, without its length; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u64]>> {
        loop {
            let length = self.words.get(self.at).and_then(|length| usize::try_from(*length).ok());
            if let Some(length) = length
                && self.words.len() - self.at > length
            {
                let start = self.at + 1;
                self.at = start + length;
                return Ok(self.words.get(start..self.at));
            }
            self.words.drain(..self.at);
            self.at = 0;
            let read = fill(&mut self.file, &mut self.bytes)?;
            self.stream.decrypt(&self.bytes[..read], &mut self.words);
            if read == 0 {
                return Ok(None);
            }
        }
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    fn record(number: u64) -> Vec<u64> {
        let length = number * 37 % 500;
        std::iter::once(length).chain((0..length).map(|word| word * number)).collect()
    }

    #[test]
    fn records_come_back_as_they_were_written() {
        let mut spill = Spill::create(&std::env::temp_dir()).unwrap();
        (0..2000).for_each(|number| spill.write(&record(number)).unwrap());
        spill
            .write(&{
                let mut long = vec![7; 100_001];
                long[0] = 100_000;
                long
            })
            .unwrap();
        let mut number = 0;
        spill
            .read::<io::Error>(|found| {
                if number < 2000 {
                    assert_eq!(found, &record(number)[1..]);
                } else {
                    assert_eq!(found, vec![7; 100_000]);
                }
                number += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(number, 2001);
    }

    #[test]
    fn a_file_has_no_name_and_its_bytes_say_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = Spill::create(folder.path()).unwrap();
        let secret = u64::from_le_bytes(*b"a person");
        (0..BLOCK_WORDS).for_each(|_| spill.write(&[1, secret]).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let mut bytes = Vec::new();
        spill.file.seek(SeekFrom::Start(0)).unwrap();
        spill.file.read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() >= BLOCK_WORDS * 8 && !bytes.windows(8).any(|window| window == b"a person"));
        // A file and its rest are encrypted with one stream: no two blocks are equal although their content is.
        assert_ne!(bytes[..1024], bytes[1024..2048]);
    }
}
