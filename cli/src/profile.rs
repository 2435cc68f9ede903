//! The profile: where the coordinator is, who we are, what we trust.

use std::fmt;
use std::path::{Path, PathBuf};

use commun_domain::{Epsilon, Hash32};
use commun_identity::keyfile;
use commun_identity::tls::ClientTls;
use ed25519_dalek::SigningKey;
use serde::Deserialize;

use crate::error::CliError;

/// The file's form. Paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProfile {
    coordinator: String,
    ca_certificate: PathBuf,
    keys: RawKeys,
    pins: RawPins,
    #[serde(default)]
    permit: Option<String>,
    #[serde(default)]
    epsilon: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    tls_key: PathBuf,
    tls_certificate: PathBuf,
    #[serde(default)]
    query_key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPins {
    bundle_sha256: String,
}

/// A profile, read and checked.
pub struct Profile {
    /// `host:port`.
    pub coordinator: String,
    /// TLS identity and the pinned CA.
    pub tls: ClientTls,
    /// Key that signs questions; officers have none.
    pub query_key: Option<SigningKey>,
    /// Pin of trust bundle 1.
    pub bundle: Hash32,
    /// Permit to use when none is named: its hash or first digits.
    pub permit: Option<String>,
    /// Epsilon to ask for when none is named.
    pub epsilon: Option<Epsilon>,
}

impl fmt::Debug for Profile {
    /// Without keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("coordinator", &self.coordinator).field("bundle", &self.bundle).finish_non_exhaustive()
    }
}

impl Profile {
    /// Reads the profile at `path`, or at the default place.
    pub fn load(path: Option<&Path>) -> Result<Self, CliError> {
        let path = path.map_or_else(default_path, |path| Ok(path.to_owned()))?;
        let raw: RawProfile = commun_service::load_config(&path).map_err(|e| CliError::Config(e.to_string()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        let config = |e: &dyn std::fmt::Display| CliError::Config(e.to_string());
        let certificate = keyfile::read_public(&base.join(&raw.keys.tls_certificate)).map_err(|e| config(&e))?;
        let ca = keyfile::read_public(&base.join(&raw.ca_certificate)).map_err(|e| config(&e))?;
        let key = keyfile::read_private(&base.join(&raw.keys.tls_key)).map_err(|e| config(&e))?;
        let tls = ClientTls::new(&certificate, &key, &ca).map_err(|e| config(&e))?;
        let query_key = raw.keys.query_key.map(|path| keyfile::read_signing_key(&base.join(path))).transpose().map_err(|e| config(&e))?;
        let bundle = Hash32::from_hex(&raw.pins.bundle_sha256).ok_or_else(|| {
            CliError::Config("pins.bundle_sha256: must be 64 hexadecimal digits, from the supervisor's pins.toml".to_owned())
        })?;
        let epsilon = raw.epsilon.map(|text| Epsilon::parse(&text)).transpose().map_err(|e| CliError::Config(format!("epsilon: {e}")))?;
        Ok(Self { coordinator: raw.coordinator, tls, query_key, bundle, permit: raw.permit, epsilon })
    }

    /// The key that signs questions.
    pub fn signing_key(&self) -> Result<&SigningKey, CliError> {
        self.query_key.as_ref().ok_or_else(|| {
            CliError::Config(
                "the profile names no keys.query_key; make one with `commun key new` and have a permit name its public half".to_owned(),
            )
        })
    }
}

fn default_path() -> Result<PathBuf, CliError> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        .ok_or_else(|| CliError::Usage("no profile: name one with --config FILE".to_owned()))?;
    Ok(base.join("commun/profile.toml"))
}

#[cfg(test)]
mod tests {
    use super::RawProfile;

    #[test]
    fn the_documented_sample_is_read() {
        let sample = "../deploy/config/profile.toml";
        let read = commun_service::load_config::<RawProfile>(std::path::Path::new(sample));
        assert!(read.is_ok_and(|profile| profile.keys.query_key.is_some()));
    }
}
