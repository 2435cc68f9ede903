//! Key files: written once with mode 0600, and refused when anyone but their owner may touch them.
//!
//! Ed25519 keys are PKCS#8 PEM (RFC 8410), which OpenSSL reads too. Nothing here overwrites a file, and no key is encrypted
//! at rest: that is for the disk or the machine's secret store.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::{SECRET_KEY_LENGTH, SigningKey, VerifyingKey};
use zeroize::{Zeroize as _, Zeroizing};

/// Largest key file that is read, in bytes.
pub const MAX_KEY_FILE_BYTES: u64 = 16 * 1024;

/// Largest certificate file that is read, in bytes: a long chain is below it.
pub const MAX_PUBLIC_FILE_BYTES: u64 = 64 * 1024;

/// The mode of a key file.
const KEY_FILE_MODE: u32 = 0o600;
/// Permission bits of group and others.
const WIDER_THAN_OWNER: u32 = 0o077;

/// Why a key was not written or not read.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is there already.
    #[error("{0} exists already and a key is never overwritten; move it away first, or use it")]
    Exists(PathBuf),
    /// The file may be read or written by others.
    #[error("{path} has mode {mode:04o}, so others than its owner may touch this key; run: chmod 600 {path}", path = .path.display())]
    TooWide {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a file of a key's or a certificate's size.
    #[error("{path} is not a regular file of at most {limit} bytes", path = .path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// The file's text is no Ed25519 key.
    #[error("{0} is not an Ed25519 private key in PKCS#8 PEM (\"BEGIN PRIVATE KEY\")")]
    NotEd25519(PathBuf),
    /// A text that is no public key.
    #[error("\"{0}\" is not an Ed25519 public key; expected 64 hexadecimal digits")]
    PublicKey(String),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Entropy(getrandom::Error),
    /// The key could not be encoded.
    #[error("the key cannot be encoded")]
    Encoding,
    /// The file system.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// Writes a new file with mode 0600, durably. Fails, and changes nothing, when there is one already.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(KEY_FILE_MODE).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(KeyFileError::Exists(path.to_owned()));
        }
        Err(error) => return Err(io(error)),
    };
    if let Err(error) = file.write_all(contents).and_then(|()| file.sync_all()) {
        // Half a key would block the next attempt by "exists already"; it is ours, so it may go.
        let _ = std::fs::remove_file(path);
        return Err(io(error));
    }
    // The name must be durable too: a key that signed something and vanished with the power cannot be made again.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Reads a file that only its owner may touch.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    // Of the open file, not of the name: what is judged is what is read.
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o7777;
    if mode & WIDER_THAN_OWNER != 0 {
        return Err(KeyFileError::TooWide { path: path.to_owned(), mode });
    }
    read_limited(file, path, MAX_KEY_FILE_BYTES).map(Zeroizing::new)
}

/// Reads a file that anyone may see, such as a certificate.
pub fn read_public(path: &Path) -> Result<String, KeyFileError> {
    let file = File::open(path).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
    read_limited(file, path, MAX_PUBLIC_FILE_BYTES)
}

fn read_limited(file: File, path: &Path, limit: u64) -> Result<String, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() || metadata.len() > limit {
        return Err(KeyFileError::NotAFile { path: path.to_owned(), limit });
    }
    let mut text = String::new();
    file.take(limit).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

/// A new Ed25519 key from the system's entropy.
pub fn new_signing_key() -> Result<SigningKey, KeyFileError> {
    let mut secret = Zeroizing::new([0; SECRET_KEY_LENGTH]);
    getrandom::fill(&mut secret[..]).map_err(KeyFileError::Entropy)?;
    Ok(SigningKey::from_bytes(&secret))
}

/// Writes an Ed25519 key as PKCS#8 PEM by [`write_private`].
pub fn write_signing_key(path: &Path, key: &SigningKey) -> Result<(), KeyFileError> {
    // Without the public key: OpenSSL reads only version 1 of the format.
    let mut bytes = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let pem = bytes.to_pkcs8_pem(LineEnding::LF);
    bytes.secret_key.zeroize();
    write_private(path, pem.map_err(|_| KeyFileError::Encoding)?.as_bytes())
}

/// Reads an Ed25519 key from PKCS#8 PEM by [`read_private`].
pub fn read_signing_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let pem = read_private(path)?;
    SigningKey::from_pkcs8_pem(&pem).map_err(|_| KeyFileError::NotEd25519(path.to_owned()))
}

/// A public key as 64 hexadecimal digits.
pub fn public_key_hex(key: &VerifyingKey) -> String {
    hex::encode(key.as_bytes())
}

/// A public key from 64 hexadecimal digits. Keys of small order, for which one signature fits many texts, are refused.
pub fn parse_public_key(text: &str) -> Result<VerifyingKey, KeyFileError> {
    let mut bytes = [0; 32];
    let key = hex::decode_to_slice(text, &mut bytes).ok().and_then(|()| VerifyingKey::from_bytes(&bytes).ok());
    key.filter(|key| !key.is_weak()).ok_or_else(|| KeyFileError::PublicKey(text.chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs::{self, Permissions};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_written_key_has_mode_0600_and_reads_back() {
        let folder = folder();
        let path = folder.path().join("holder.key");
        let key = new_signing_key().unwrap();
        write_signing_key(&path, &key).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(read_signing_key(&path).unwrap().to_bytes(), key.to_bytes());
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    }

    #[test]
    fn a_key_that_others_may_touch_is_refused_with_the_command_that_helps() {
        let folder = folder();
        let path = folder.path().join("holder.key");
        write_signing_key(&path, &new_signing_key().unwrap()).unwrap();
        for mode in [0o644, 0o640, 0o620, 0o604, 0o601, 0o660] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let message = read_signing_key(&path).unwrap_err().to_string();
            assert!(message.contains(&format!("mode {mode:04o}")), "{message}");
            assert!(message.ends_with(&format!("chmod 600 {}", path.display())), "{message}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read_signing_key(&path).unwrap();
        }
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let folder = folder();
        let path = folder.path().join("holder.key");
        let first = new_signing_key().unwrap();
        write_signing_key(&path, &first).unwrap();
        let again = write_signing_key(&path, &new_signing_key().unwrap());
        assert!(matches!(again, Err(KeyFileError::Exists(_))), "{again:?}");
        assert_eq!(read_signing_key(&path).unwrap().to_bytes(), first.to_bytes());
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let folder = folder();
        let path = folder.path().join("large");
        write_private(&path, &vec![b'x'; usize::try_from(MAX_KEY_FILE_BYTES).unwrap() + 1]).unwrap();
        assert!(matches!(read_private(&path), Err(KeyFileError::NotAFile { .. })));
        assert!(matches!(read_public(folder.path()), Err(KeyFileError::NotAFile { .. })));
        let path = folder.path().join("text");
        write_private(&path, b"hello").unwrap();
        assert!(matches!(read_signing_key(&path), Err(KeyFileError::NotEd25519(_))));
        assert!(matches!(read_private(&folder.path().join("none")), Err(KeyFileError::Io { .. })));
    }

    /// RFC 8410, section 10.3: the example key, which any other tool reads as this seed.
    #[test]
    fn the_key_of_rfc_8410_is_read() {
        let folder = folder();
        let path = folder.path().join("rfc.key");
        let pem =
            "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        write_private(&path, pem.as_bytes()).unwrap();
        let key = read_signing_key(&path).unwrap();
        assert_eq!(hex::encode(key.to_bytes()), "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842");
        let copy = folder.path().join("copy.key");
        write_signing_key(&copy, &key).unwrap();
        assert_eq!(fs::read_to_string(copy).unwrap(), pem);
    }

    #[test]
    fn public_keys_are_hex_and_weak_ones_are_refused() {
        let key = new_signing_key().unwrap().verifying_key();
        assert_eq!(parse_public_key(&public_key_hex(&key)).unwrap(), key);
        let identity = format!("01{}", "00".repeat(31));
        for text in ["", "ab", &"0".repeat(63), &"g".repeat(64), identity.as_str()] {
            assert!(matches!(parse_public_key(text), Err(KeyFileError::PublicKey(_))), "{text}");
        }
    }
}
