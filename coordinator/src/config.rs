//! The coordinator's configuration file. `deploy/config/coordinator.toml` is a documented sample.
//!
//! Paths are relative to the file's own folder. Checking it (`--check-config`) reads every file that it names, and starts nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use commun_domain::Hash32;
use commun_domain::log::LogEntry;
use commun_domain::signed::{SignedDocument, SignedFileError};
use commun_identity::{KeyFileError, PeerIdentity, Role, SpiffeError, TlsError, keyfile, server_config};
use commun_service::{ConfigError, load_config};
use commun_trust::manifest::MAX_SLOT_MS;
use commun_trust::{Pins, TrustState};
use ed25519_dalek::SigningKey;
use rustls::ServerConfig;
use serde::Deserialize;

use crate::app::{Deadlines, MAX_OPEN_QUERIES};

/// Longest wait for a manifest that agents accept, in milliseconds: a reserve must not hang for longer.
const MAX_MANIFEST_MS: u64 = 600_000;

/// Longest wait from a manifest to its slot, in milliseconds: half of the hour that agents accept.
const MAX_SLOT_WAIT_MS: u64 = MAX_SLOT_MS / 2;

/// Longest round, in milliseconds: five of them take less than the other half.
const MAX_ROUND_MS: u64 = 300_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: String,
    trust_domain: String,
    state_dir: PathBuf,
    ca_certificate: PathBuf,
    bundle: PathBuf,
    roster: PathBuf,
    keys: Keys,
    pins: FilePins,
    #[serde(default)]
    deadlines: FileDeadlines,
    #[serde(default)]
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    tls_key: PathBuf,
    tls_certificate: PathBuf,
    log_key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePins {
    bundle_sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "a quantity's name ends in its unit, in the file too")]
struct FileDeadlines {
    reply_ms: u64,
    manifest_ms: u64,
    slot_ms: Option<u64>,
    round_ms: u64,
}

impl Default for FileDeadlines {
    fn default() -> Self {
        Self { reply_ms: 10_000, manifest_ms: 20_000, slot_ms: None, round_ms: 10_000 }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    max_open_queries: Option<usize>,
    max_store_pages: Option<u32>,
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// A key or certificate.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A name in the certificate.
    #[error("keys.tls_certificate: {0}")]
    Certificate(#[from] SpiffeError),
    /// A certificate for something else.
    #[error("keys.tls_certificate is for {found}, not for the coordinator of {expected}; use the files that pki init wrote for it")]
    NotOurs {
        /// Id in the certificate.
        found: String,
        /// Trust domain of the configuration.
        expected: String,
    },
    /// A value out of its range.
    #[error("{key}: {message}")]
    Value {
        /// Key in the file.
        key: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// A signed file.
    #[error("{}: {source}", path.display())]
    Signed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SignedFileError,
    },
}

/// A checked configuration with everything that its files hold.
pub struct Setup {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: String,
    /// Folder of the store and of the file `address`.
    pub state_dir: PathBuf,
    /// TLS of the door.
    pub tls: Arc<ServerConfig>,
    /// Key that signs checkpoints.
    pub log_key: SigningKey,
    /// Pin of trust bundle 1.
    pub pins: Pins,
    /// Trust bundle and roster, logged at the first start.
    pub documents: [SignedDocument; 2],
    /// Deadlines of attempts.
    pub deadlines: Deadlines,
    /// Queries under way at once.
    pub max_open_queries: usize,
    /// Most pages of the store.
    pub max_store_pages: Option<u32>,
}

/// Loads and checks a configuration and every file that it names.
pub fn load(path: &Path) -> Result<Setup, SetupError> {
    let file: File = load_config(path)?;
    let base = path.parent().unwrap_or(Path::new("."));
    let at = |relative: &Path| base.join(relative);
    let bundle = Hash32::from_hex(&file.pins.bundle_sha256)
        .ok_or_else(|| value("pins.bundle_sha256", "must be the 64 hexadecimal digits that pki init wrote into pins.toml"))?;
    let deadlines = deadlines(&file.deadlines)?;
    let max_open_queries = file.limits.max_open_queries.unwrap_or(MAX_OPEN_QUERIES);
    if max_open_queries == 0 {
        return Err(value("limits.max_open_queries", "must be at least 1"));
    }
    let certificate = keyfile::read_public(&at(&file.keys.tls_certificate))?;
    let own = PeerIdentity::from_pem(&certificate)?.id;
    if own.role != Role::Coordinator || own.trust_domain.as_str() != file.trust_domain {
        return Err(SetupError::NotOurs { found: own.to_string(), expected: file.trust_domain });
    }
    if file.listen.parse::<std::net::SocketAddr>().is_err() {
        return Err(value("listen", "must be an address and a port, for example 0.0.0.0:7443"));
    }
    let log_key = keyfile::read_signing_key(&at(&file.keys.log_key))?;
    let documents = [read_signed(&at(&file.bundle))?, read_signed(&at(&file.roster))?];
    check_documents(Pins { bundle }, &documents, &log_key)?;
    let key = keyfile::read_private(&at(&file.keys.tls_key))?;
    let tls = server_config(&certificate, &key, &keyfile::read_public(&at(&file.ca_certificate))?)?;
    Ok(Setup {
        listen: file.listen,
        state_dir: at(&file.state_dir),
        tls,
        log_key,
        pins: Pins { bundle },
        documents,
        deadlines,
        max_open_queries,
        max_store_pages: file.limits.max_store_pages,
    })
}

/// What the first start would refuse is refused here: a bundle that is not the pinned one, missing signatures, another log key.
fn check_documents(pins: Pins, [bundle, roster]: &[SignedDocument; 2], log_key: &SigningKey) -> Result<(), SetupError> {
    let mut state = TrustState::new(pins);
    state.apply(0, &LogEntry::Bundle(bundle.clone())).map_err(|e| value("bundle", e.to_string()))?;
    state.apply(1, &LogEntry::Roster(roster.clone())).map_err(|e| value("roster", e.to_string()))?;
    if state.bundle().is_none_or(|bundle| bundle.log_key != commun_trust::sign::public_key(log_key)) {
        return Err(value("keys.log_key", "is not the key that the trust bundle names as the log's"));
    }
    Ok(())
}

/// Reads a `*.signed` file.
pub fn read_signed(path: &Path) -> Result<SignedDocument, SetupError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
    SignedDocument::from_file_text(&text).map_err(|source| SetupError::Signed { path: path.to_owned(), source })
}

fn value(key: &'static str, message: impl Into<String>) -> SetupError {
    SetupError::Value { key, message: message.into() }
}

fn deadlines(file: &FileDeadlines) -> Result<Deadlines, SetupError> {
    let FileDeadlines { reply_ms, manifest_ms, slot_ms, round_ms } = *file;
    if reply_ms == 0 || reply_ms >= manifest_ms {
        return Err(value("deadlines.reply_ms", "must be above 0 and below manifest_ms"));
    }
    if manifest_ms > MAX_MANIFEST_MS {
        return Err(value("deadlines.manifest_ms", format!("must be at most {MAX_MANIFEST_MS}, which is all that agents accept")));
    }
    if slot_ms.is_some_and(|slot_ms| slot_ms > MAX_SLOT_WAIT_MS) {
        return Err(value("deadlines.slot_ms", format!("must be at most {MAX_SLOT_WAIT_MS}; agents wait no longer")));
    }
    if round_ms == 0 || round_ms > MAX_ROUND_MS {
        return Err(value("deadlines.round_ms", format!("must be above 0 and at most {MAX_ROUND_MS}; agents wait no longer")));
    }
    Ok(Deadlines { reply_ms, manifest_ms, slot_ms, round_ms })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const SAMPLE: &str = "../deploy/config/coordinator.toml";

    #[test]
    fn the_documented_sample_is_read_and_states_the_defaults() {
        let file: File = load_config(Path::new(SAMPLE)).unwrap();
        let defaults = FileDeadlines::default();
        let said = (file.deadlines.reply_ms, file.deadlines.manifest_ms, file.deadlines.slot_ms, file.deadlines.round_ms);
        assert_eq!(said, (defaults.reply_ms, defaults.manifest_ms, defaults.slot_ms, defaults.round_ms));
        assert_eq!(file.limits.max_open_queries, Some(MAX_OPEN_QUERIES));
        deadlines(&file.deadlines).unwrap();
    }

    #[test]
    fn deadlines_that_no_agent_could_meet_are_refused_by_key() {
        let cases = [
            ((0, 2, None, 3), "deadlines.reply_ms"),
            ((5, 5, None, 9), "deadlines.reply_ms"),
            ((1, 2, Some(MAX_SLOT_WAIT_MS + 1), 3), "deadlines.slot_ms"),
            ((1, 2, None, 0), "deadlines.round_ms"),
            ((1, 2, None, MAX_ROUND_MS + 1), "deadlines.round_ms"),
            ((1, MAX_MANIFEST_MS + 1, None, 9), "deadlines.manifest_ms"),
        ];
        for ((reply_ms, manifest_ms, slot_ms, round_ms), key) in cases {
            let error = deadlines(&FileDeadlines { reply_ms, manifest_ms, slot_ms, round_ms }).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
