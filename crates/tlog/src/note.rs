//! Signed notes with Ed25519 (C2SP `signed-note`): a text, an empty line, and signature lines that anyone may add to.
//!
//! It formats and opens notes with one key at a time. It knows no key format ("vkey") and no cosignatures (algorithm 0x04): a
//! line of another name or key is ignored, as the specification asks, so witnesses can add theirs later.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// Longest note that is read, in bytes: a checkpoint with a hundred cosignatures is below it.
pub const MAX_NOTE_BYTES: usize = 16 * 1024;
/// Most signature lines that are read; the rest of a longer note is not skipped, the note is refused.
pub const MAX_SIGNATURE_LINES: usize = 100;

/// C2SP signed-note: the signature type of plain Ed25519.
const ALGORITHM_ED25519: u8 = 0x01;
/// What a signature line starts with: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";
/// Bytes of a key hash, before the signature in a signature line.
const KEY_HASH_BYTES: usize = 4;

/// Why a note cannot be written or is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// A key's name that would break the format.
    #[error("the key name {0:?} is empty, or has a space, a plus sign or a control character; use for example log.example/2026")]
    Name(String),
    /// A text that would break the format.
    #[error("a note's text must be lines that end in a line feed, without control characters")]
    Text,
    /// More than [`MAX_NOTE_BYTES`].
    #[error("the note has {0} bytes; at most {MAX_NOTE_BYTES} are read")]
    TooLong(usize),
    /// More than [`MAX_SIGNATURE_LINES`].
    #[error("the note has more than {MAX_SIGNATURE_LINES} signature lines")]
    TooManySignatures,
    /// No empty line, or a line after it that is no signature line.
    #[error("not a signed note: expected a text, an empty line, and lines \"\u{2014} name base64\"")]
    Malformed,
    /// No line of the key that was asked for.
    #[error("the note has no signature of key {name}+{key_hash}; check that the pinned log key is the right one", key_hash = hex8(*.key_hash))]
    NotSigned {
        /// The key's name.
        name: String,
        /// The key's hash, as signature lines carry it.
        key_hash: [u8; KEY_HASH_BYTES],
    },
    /// A line of that key which does not verify.
    #[error("a signature of key {0} does not verify: the note was changed")]
    BadSignature(String),
}

fn hex8(key_hash: [u8; KEY_HASH_BYTES]) -> String {
    format!("{:08x}", u32::from_be_bytes(key_hash))
}

/// The key's hash in signature lines: SHA-256(name || 0x0A || 0x01 || public key), first four bytes.
pub fn key_hash(name: &str, key: &VerifyingKey) -> [u8; KEY_HASH_BYTES] {
    let digest = Sha256::new().chain_update(name).chain_update([b'\n', ALGORITHM_ED25519]).chain_update(key.as_bytes()).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Signs a text (lines, each ended by a line feed) as a note with one signature line.
pub fn sign_note(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    if !is_name(name) {
        return Err(NoteError::Name(name.to_owned()));
    }
    if !is_text(text) {
        return Err(NoteError::Text);
    }
    let mut blob = key_hash(name, &key.verifying_key()).to_vec();
    blob.extend_from_slice(&key.sign(text.as_bytes()).to_bytes());
    let note = format!("{text}\n{SIGNATURE_PREFIX}{name} {}\n", STANDARD.encode(blob));
    if note.len() > MAX_NOTE_BYTES { Err(NoteError::TooLong(note.len())) } else { Ok(note) }
}

/// The text of a note that the key signed, with its last line feed.
///
/// Lines of other names or keys are ignored. Every line of this key must verify, and there must be one.
pub fn open_note<'a>(note: &'a str, name: &str, key: &VerifyingKey) -> Result<&'a str, NoteError> {
    if note.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong(note.len()));
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = (&note[..=split], &note[split + 2..]);
    if !is_text(text) {
        return Err(NoteError::Text);
    }
    let lines = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let wanted = key_hash(name, key);
    let mut verified = false;
    for (index, line) in lines.split('\n').enumerate() {
        if index == MAX_SIGNATURE_LINES {
            return Err(NoteError::TooManySignatures);
        }
        let (line_name, hash, signature) = parse_signature_line(line).ok_or(NoteError::Malformed)?;
        if line_name != name || hash != wanted {
            continue;
        }
        let bad = || NoteError::BadSignature(name.to_owned());
        let bytes: [u8; SIGNATURE_LENGTH] = signature.try_into().map_err(|_| bad())?;
        key.verify_strict(text.as_bytes(), &Signature::from_bytes(&bytes)).map_err(|_| bad())?;
        verified = true;
    }
    if verified { Ok(text) } else { Err(NoteError::NotSigned { name: name.to_owned(), key_hash: wanted }) }
}

/// Name, key hash and signature bytes of one signature line.
fn parse_signature_line(line: &str) -> Option<(&str, [u8; KEY_HASH_BYTES], Vec<u8>)> {
    let (name, blob) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let mut blob = STANDARD.decode(blob).ok()?;
    if !is_name(name) || blob.len() <= KEY_HASH_BYTES {
        return None;
    }
    let signature = blob.split_off(KEY_HASH_BYTES);
    Some((name, blob.try_into().ok()?, signature))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn is_text(text: &str) -> bool {
    text.ends_with('\n') && !text.chars().any(|c| c < ' ' && c != '\n')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const NAME: &str = "log.example";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    /// The key and the note of the Go implementation's own tests (`golang.org/x/mod/sumdb/note`).
    #[test]
    fn a_note_of_the_go_implementation_opens() {
        let blob = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        assert_eq!(blob[0], ALGORITHM_ED25519);
        let key = VerifyingKey::from_bytes(blob[1..].try_into().unwrap()).unwrap();
        assert_eq!(hex8(key_hash("PeterNeumann", &key)), "c74f20a3");
        let text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let note = format!(
            "{text}\n\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
        );
        assert_eq!(open_note(&note, "PeterNeumann", &key), Ok(text));
    }

    #[test]
    fn lines_of_other_keys_are_ignored_but_ours_must_be_there() {
        let ours = sign_note("a\nb\n", NAME, &key(1)).unwrap();
        let other = sign_note("a\nb\n", "witness.example", &key(2)).unwrap();
        let other_line = other.rsplit_once("\n\n").unwrap().1;
        let both = format!("{ours}{other_line}");
        assert_eq!(open_note(&both, NAME, &key(1).verifying_key()), Ok("a\nb\n"));
        assert!(matches!(open_note(&other, NAME, &key(1).verifying_key()), Err(NoteError::NotSigned { .. })));
        assert!(matches!(open_note(&ours, NAME, &key(2).verifying_key()), Err(NoteError::NotSigned { .. })));
    }

    #[test]
    fn a_changed_text_is_refused() {
        let note = sign_note("size 10\n", NAME, &key(1)).unwrap().replace("size 10", "size 11");
        assert_eq!(open_note(&note, NAME, &key(1).verifying_key()), Err(NoteError::BadSignature(NAME.to_owned())));
    }

    #[test]
    fn a_good_line_does_not_cover_a_bad_one_of_the_same_key() {
        let note = sign_note("a\n", NAME, &key(1)).unwrap();
        let other = sign_note("b\n", NAME, &key(1)).unwrap();
        let note = format!("{note}{}", other.rsplit_once("\n\n").unwrap().1);
        assert_eq!(open_note(&note, NAME, &key(1).verifying_key()), Err(NoteError::BadSignature(NAME.to_owned())));
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let good = sign_note("a\n", NAME, &key(1)).unwrap();
        let verifier = key(1).verifying_key();
        for note in [
            String::new(),
            "a\n".to_owned(),
            "a\n\n".to_owned(),
            good.trim_end().to_owned(),
            good.replace('\u{2014}', "-"),
            format!("{good}not a signature\n"),
        ] {
            assert_eq!(open_note(&note, NAME, &verifier), Err(NoteError::Malformed), "{note:?}");
        }
        assert_eq!(open_note(&good.replace("a\n", "a\r\n"), NAME, &verifier), Err(NoteError::Text));
    }

    #[test]
    fn limits_refuse_a_long_note_and_many_lines() {
        let verifier = key(1).verifying_key();
        let good = sign_note("a\n", NAME, &key(1)).unwrap();
        let long = "x".repeat(MAX_NOTE_BYTES + 1);
        assert_eq!(open_note(&long, NAME, &verifier), Err(NoteError::TooLong(MAX_NOTE_BYTES + 1)));
        let line = "\u{2014} w AAAAAAA=\n";
        let most = format!("{good}{}", line.repeat(MAX_SIGNATURE_LINES - 1));
        assert_eq!(open_note(&most, NAME, &verifier), Ok("a\n"));
        assert_eq!(open_note(&format!("{most}{line}"), NAME, &verifier), Err(NoteError::TooManySignatures));
    }

    #[test]
    fn names_and_texts_that_break_the_format_are_not_signed() {
        for name in ["", "a b", "a+b", "a\nb"] {
            assert_eq!(sign_note("a\n", name, &key(1)), Err(NoteError::Name(name.to_owned())));
        }
        for text in ["", "a", "a\tb\n"] {
            assert_eq!(sign_note(text, NAME, &key(1)), Err(NoteError::Text));
        }
    }
}
