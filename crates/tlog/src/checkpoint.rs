//! Checkpoints (C2SP `tlog-checkpoint`): the signed statement "at this time the log had this many entries and this root".
//!
//! The text is the origin, the size, the root, and one extension line of ours, `time <unix seconds>`: an agent refuses a
//! checkpoint that is too old, so the time must be under the signature. Exactly one text stands for each checkpoint. How old is
//! too old, and whether the origin is the pinned log's, is for the caller to judge.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{SigningKey, VerifyingKey};

use crate::note::{self, NoteError};
use crate::tree::Hash;

/// Longest origin, in bytes.
pub const MAX_ORIGIN_BYTES: usize = 255;

/// The log's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's unique name, for example `commun.example/log`: one line, not empty, at most [`MAX_ORIGIN_BYTES`].
    pub origin: String,
    /// Number of entries.
    pub size: u64,
    /// RFC 6962 root of those entries.
    pub root: Hash,
    /// When it was signed, in seconds since 1970-01-01 UTC.
    pub time_unix: u64,
}

/// Why a checkpoint cannot be written or is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// An origin that would break the format.
    #[error("the log's origin {0:?} must be one line of 1 to {MAX_ORIGIN_BYTES} bytes without control characters")]
    Origin(String),
    /// Signed, but not a text of this form.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
}

impl Checkpoint {
    /// The text that is signed, with its last line feed.
    pub fn to_note_text(&self) -> String {
        format!("{}\n{}\n{}\ntime {}\n", self.origin, self.size, STANDARD.encode(self.root), self.time_unix)
    }

    /// Signs it with the log key of this name.
    pub fn sign(&self, name: &str, key: &SigningKey) -> Result<String, CheckpointError> {
        if !is_origin(&self.origin) {
            return Err(CheckpointError::Origin(self.origin.clone()));
        }
        Ok(note::sign_note(&self.to_note_text(), name, key)?)
    }

    /// Opens a note that the log key of this name must have signed.
    pub fn open(note: &str, name: &str, key: &VerifyingKey) -> Result<Self, CheckpointError> {
        Self::parse_text(note::open_note(note, name, key)?)
    }

    fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        let mut next = |missing| lines.next().ok_or(CheckpointError::Malformed(missing));
        let origin = next("no origin line")?;
        let size = next("no size line")?;
        let root = next("no root line")?;
        let time = next("no time line")?;
        if lines.next().is_some() {
            return Err(CheckpointError::Malformed("more lines than origin, size, root and time"));
        }
        if !is_origin(origin) {
            return Err(CheckpointError::Origin(origin.chars().take(MAX_ORIGIN_BYTES).collect()));
        }
        let size = canonical_number(size).ok_or(CheckpointError::Malformed("the size is not a plain decimal number"))?;
        // The engine refuses missing padding and stray bits, so one root has one spelling.
        let root = STANDARD.decode(root).ok().and_then(|bytes| Hash::try_from(bytes).ok());
        let root = root.ok_or(CheckpointError::Malformed("the root is not 32 bytes in base64"))?;
        let time_unix = time.strip_prefix("time ").and_then(canonical_number);
        let time_unix = time_unix.ok_or(CheckpointError::Malformed("the time line is not \"time <unix seconds>\""))?;
        Ok(Self { origin: origin.to_owned(), size, root, time_unix })
    }
}

fn is_origin(origin: &str) -> bool {
    (1..=MAX_ORIGIN_BYTES).contains(&origin.len()) && !origin.chars().any(char::is_control)
}

/// Digits only, no leading zero, at most `u64::MAX`.
fn canonical_number(text: &str) -> Option<u64> {
    let number = text.parse::<u64>().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::tree::empty_root;

    const NAME: &str = "log.example";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "log.example/commun".to_owned(), size: 42, root: empty_root(), time_unix: 1_800_000_000 }
    }

    /// Signs any text as the log would, to reach the parser behind the signature.
    fn open_text(text: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&note::sign_note(text, NAME, &key()).unwrap(), NAME, &key().verifying_key())
    }

    #[test]
    fn the_text_is_origin_size_root_and_time() {
        assert_eq!(checkpoint().to_note_text(), "log.example/commun\n42\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\ntime 1800000000\n");
    }

    #[test]
    fn what_was_signed_is_what_opens() {
        for size in [0, 1, u64::MAX] {
            let checkpoint = Checkpoint { size, ..checkpoint() };
            let note = checkpoint.sign(NAME, &key()).unwrap();
            assert_eq!(Checkpoint::open(&note, NAME, &key().verifying_key()), Ok(checkpoint));
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let note = checkpoint().sign(NAME, &key()).unwrap();
        for position in 0..note.len() {
            let mut bytes = note.clone().into_bytes();
            bytes[position] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                assert!(Checkpoint::open(&changed, NAME, &key().verifying_key()).is_err(), "byte {position}");
            }
        }
    }

    #[test]
    fn a_signed_text_that_is_not_canonical_is_refused() {
        let good = checkpoint().to_note_text();
        assert_eq!(open_text(&good), Ok(checkpoint()));
        for (from, to) in [
            ("\n42\n", "\n042\n"),
            ("\n42\n", "\n+42\n"),
            ("\n42\n", "\n42 \n"),
            ("\n42\n", "\n-1\n"),
            ("\n42\n", "\n18446744073709551616\n"),
            ("\n42\n", "\n\n"),
            ("SuFU=", "SuFU"),
            ("SuFU=", "SuFV="),
            ("47DEQ", "EQ"),
            ("time 1800000000", "time 01800000000"),
            ("time 1800000000", "time  1800000000"),
            ("time 1800000000", "when 1800000000"),
            ("time 1800000000\n", ""),
            ("time 1800000000\n", "time 1800000000\nmore\n"),
        ] {
            let text = good.replace(from, to);
            assert_ne!(text, good);
            assert!(matches!(open_text(&text), Err(CheckpointError::Malformed(_))), "{text:?}");
        }
        assert!(matches!(open_text(&good.replace("log.example/commun", "")), Err(CheckpointError::Origin(_))));
    }

    #[test]
    fn an_origin_that_breaks_the_format_is_not_signed() {
        for origin in ["", "a\n7", &"x".repeat(MAX_ORIGIN_BYTES + 1)] {
            let checkpoint = Checkpoint { origin: origin.to_owned(), ..checkpoint() };
            assert_eq!(checkpoint.sign(NAME, &key()), Err(CheckpointError::Origin(origin.to_owned())));
        }
    }
}
