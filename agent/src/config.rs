//! The agent's configuration: one TOML file, checked as a whole before anything starts, every fault reported at once.
//!
//! Relative paths are relative to that file. Trust starts from what stands here: the CA's certificate and the hash of trust bundle 1;
//! the default policy accepts no permit. No source of data is opened by reading or checking a configuration.

use std::path::{Path, PathBuf};

use commun_domain::{Hash32, PublicKey};
use commun_engine::Binding;
use commun_identity::{ClientTls, KeyFileError, Role, TlsError, TrustDomain, keyfile};
use commun_service::ConfigError;
use ed25519_dalek::SigningKey;
use serde::Deserialize;

/// Most bindings.
pub const MAX_BINDINGS: usize = 256;

/// Most permits that a policy may list.
pub const MAX_ACCEPTED_PERMITS: usize = 10_000;

/// Most holders on an independence list.
pub const MAX_INDEPENDENT: usize = 10_000;

/// Why the agent cannot start from its configuration. Always exit code 64.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file cannot be read or has keys that it should not have.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// Values that cannot be; all of them.
    #[error("the configuration {} has {} fault(s):\n  - {}", .path.display(), .faults.len(), .faults.join("\n  - "))]
    Values {
        /// The file.
        path: PathBuf,
        /// One line each.
        faults: Vec<String>,
    },
    /// A key or certificate file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A certificate or key that does not fit.
    #[error("the TLS key, certificate or CA cannot be used: {0}")]
    Tls(#[from] TlsError),
    /// The certificate is somebody else's.
    #[error("{path} is the certificate of {found}, not of {expected}; check `holder`, `trust_domain` and `tls_certificate`", path = .path.display())]
    WrongIdentity {
        /// The certificate.
        path: PathBuf,
        /// Its id.
        found: String,
        /// The id that the configuration asks for.
        expected: String,
    },
    /// The binding cannot be used.
    #[error("the binding {} cannot be used: {reason}", .path.display())]
    Binding {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    holder: String,
    coordinator: String,
    trust_domain: String,
    state_dir: PathBuf,
    ca_certificate: PathBuf,
    binding: OneOrMany,
    pins: RawPins,
    keys: RawKeys,
    #[serde(default)]
    policy: RawPolicy,
    #[serde(default)]
    limits: RawLimits,
}

/// One path, or a list of them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a path, or a list of paths")]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPins {
    bundle_sha256: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    tls_key: PathBuf,
    tls_certificate: PathBuf,
    holder_key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    #[serde(default)]
    accept_permits: Vec<String>,
    #[serde(default)]
    independent: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    memory_mb: Option<u32>,
    #[serde(default)]
    min_colluders: u32,
    #[serde(default)]
    min_survivors: u32,
    slot_ms: Option<u64>,
    max_store_pages: Option<u32>,
}

/// A checked configuration; all paths are resolved.
#[derive(Clone, Debug)]
pub struct Config {
    /// The holder's name, as in its SPIFFE id and in the roster.
    pub holder: String,
    /// `host:port` of the coordinator.
    pub coordinator: String,
    /// Trust domain of the federation.
    pub trust_domain: TrustDomain,
    /// Folder of the store and the status socket.
    pub state_dir: PathBuf,
    /// The CA's certificate: the pin of the CA.
    pub ca_certificate: PathBuf,
    /// Bindings of the holder's tables, each to a data contract of its own; at least one.
    pub bindings: Vec<PathBuf>,
    /// SHA-256 of trust bundle 1.
    pub bundle_sha256: Hash32,
    /// TLS private key.
    pub tls_key: PathBuf,
    /// TLS certificate.
    pub tls_certificate: PathBuf,
    /// Ed25519 key that signs acceptances and answers.
    pub holder_key: PathBuf,
    /// Hashes of the permits that the holder accepts. Empty: everything is refused.
    pub accept_permits: Vec<Hash32>,
    /// Memory that a query may use, in MiB; `None`: the engine's own choice.
    pub memory_mb: Option<u32>,
    /// Holders that this one counts as independent of itself: they would not collude with the coordinator.
    pub independent: Vec<String>,
    /// Own minimum of c, the colluding agents against which the holder wants protection; 0: what the roster gives.
    pub min_colluders: u32,
    /// Own minimum of T, the members whose answers are in a sum; 0: what the roster gives.
    pub min_survivors: u32,
    /// Shortest time from a manifest to its slot that is taken, in milliseconds; `None`: the public rule of the data contract.
    pub slot_ms: Option<u64>,
    /// Most pages of the store: a cap on the disk that it takes.
    pub max_store_pages: Option<u32>,
}

impl Config {
    /// Reads and checks a configuration file.
    pub fn load(path: &Path) -> Result<Self, SetupError> {
        let raw: RawConfig = commun_service::load_config(path)?;
        Self::check(raw, path)
    }

    fn check(raw: RawConfig, path: &Path) -> Result<Self, SetupError> {
        let mut faults = Vec::new();
        let base = path.parent().unwrap_or(Path::new(""));
        let holder: Option<commun_identity::Name> = fault(&mut faults, "holder", raw.holder.parse());
        let trust_domain: Option<TrustDomain> = fault(&mut faults, "trust_domain", raw.trust_domain.parse());
        if raw.coordinator.rsplit_once(':').is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
            faults.push(format!("coordinator: \"{}\" is not \"host:port\"", raw.coordinator));
        }
        let bundle_sha256 = hash(&mut faults, "pins.bundle_sha256", &raw.pins.bundle_sha256);
        if raw.policy.accept_permits.len() > MAX_ACCEPTED_PERMITS {
            faults.push(format!("policy.accept_permits: more than {MAX_ACCEPTED_PERMITS} permits"));
        }
        let permit_hash = |(index, text): (usize, &String)| hash(&mut faults, &format!("policy.accept_permits[{index}]"), text);
        let accept_permits: Vec<Hash32> = raw.policy.accept_permits.iter().enumerate().filter_map(permit_hash).collect();
        let bindings = match raw.binding {
            OneOrMany::One(path) => vec![path],
            OneOrMany::Many(paths) => paths,
        };
        if !(1..=MAX_BINDINGS).contains(&bindings.len()) {
            faults.push(format!("binding: 1 to {MAX_BINDINGS} files are needed"));
        }
        if raw.policy.independent.len() > MAX_INDEPENDENT || raw.policy.independent.contains(&raw.holder) {
            faults.push(format!("policy.independent: at most {MAX_INDEPENDENT} other holders, as the roster names them"));
        }
        for (index, name) in raw.policy.independent.iter().enumerate() {
            fault(&mut faults, &format!("policy.independent[{index}]"), name.parse::<commun_identity::Name>());
        }
        if raw.limits.memory_mb == Some(0) {
            faults.push("limits.memory_mb: must be at least 1; leave it out for no limit of yours".to_owned());
        }
        match (holder, trust_domain, bundle_sha256) {
            (Some(_), Some(trust_domain), Some(bundle_sha256)) if faults.is_empty() => Ok(Self {
                holder: raw.holder,
                coordinator: raw.coordinator,
                trust_domain,
                state_dir: base.join(raw.state_dir),
                ca_certificate: base.join(raw.ca_certificate),
                bindings: bindings.into_iter().map(|path| base.join(path)).collect(),
                bundle_sha256,
                tls_key: base.join(raw.keys.tls_key),
                tls_certificate: base.join(raw.keys.tls_certificate),
                holder_key: base.join(raw.keys.holder_key),
                accept_permits,
                memory_mb: raw.limits.memory_mb,
                independent: raw.policy.independent,
                min_colluders: raw.limits.min_colluders,
                min_survivors: raw.limits.min_survivors,
                slot_ms: raw.limits.slot_ms,
                max_store_pages: raw.limits.max_store_pages,
            }),
            _ => Err(SetupError::Values { path: path.to_owned(), faults }),
        }
    }

    /// The TLS identity. Read again for every connection, so that a renewed certificate is used without a restart.
    pub fn tls(&self) -> Result<ClientTls, SetupError> {
        let certificate = keyfile::read_public(&self.tls_certificate)?;
        let tls = ClientTls::new(&certificate, &keyfile::read_private(&self.tls_key)?, &keyfile::read_public(&self.ca_certificate)?)?;
        let own = &tls.own().id;
        let is_holder = matches!(&own.role, Role::Holder(name) if name.as_str() == self.holder);
        if is_holder && own.trust_domain == self.trust_domain {
            Ok(tls)
        } else {
            Err(SetupError::WrongIdentity {
                path: self.tls_certificate.clone(),
                found: own.to_string(),
                expected: format!("spiffe://{}/holder/{}", self.trust_domain, self.holder),
            })
        }
    }

    /// The key that signs acceptances and answers.
    pub fn signing_key(&self) -> Result<SigningKey, SetupError> {
        Ok(keyfile::read_signing_key(&self.holder_key)?)
    }

    /// The bindings, each with the folder in which its paths begin. Opens no data.
    pub fn load_bindings(&self) -> Result<Vec<(Binding, PathBuf)>, SetupError> {
        let load =
            |path: &PathBuf| Binding::load(path).map_err(|error| SetupError::Binding { path: path.clone(), reason: error.to_string() });
        self.bindings.iter().map(load).collect()
    }

    /// The store's file.
    pub fn store_path(&self) -> PathBuf {
        self.state_dir.join("agent.sqlite")
    }

    /// The status socket.
    pub fn socket_path(&self) -> PathBuf {
        self.state_dir.join("status.sock")
    }
}

/// The public half of the holder's key, as the roster names it.
pub fn public_key(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.verifying_key().to_bytes())
}

fn fault<T, E: std::fmt::Display>(faults: &mut Vec<String>, key: &str, value: Result<T, E>) -> Option<T> {
    value.map_err(|error| faults.push(format!("{key}: {error}"))).ok()
}

fn hash(faults: &mut Vec<String>, key: &str, text: &str) -> Option<Hash32> {
    let hash = Hash32::from_hex(text);
    if hash.is_none() {
        faults.push(format!("{key}: \"{}\" is not a SHA-256 of 64 hexadecimal digits", text.chars().take(80).collect::<String>()));
    }
    hash
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const SAMPLE: &str = include_str!("../../deploy/config/agent.toml");

    fn load(text: &str) -> Result<Config, SetupError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    #[test]
    fn the_documented_sample_is_a_valid_configuration_that_accepts_nothing() {
        let config = load(SAMPLE).unwrap();
        assert_eq!(config.holder, "telco-a");
        assert!(config.accept_permits.is_empty());
        assert_eq!(config.min_colluders, 0);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = load(&SAMPLE.replace("[limits]", "[limits]\nmemory = 3")).unwrap_err().to_string();
        assert!(error.contains("memory"), "{error}");
    }

    #[test]
    fn nobody_is_independent_of_itself() {
        let with = |list: &str| load(&SAMPLE.replace("independent = []", &format!("independent = {list}")));
        assert_eq!(with("[\"telco-b\"]").unwrap().independent, ["telco-b"]);
        for (bad, part) in [("[\"telco-a\"]", "other holders"), ("[\"Telco B\"]", "policy.independent[0]")] {
            assert!(with(bad).unwrap_err().to_string().contains(part), "{bad}");
        }
    }

    #[test]
    fn every_wrong_value_is_reported_at_once() {
        let text = SAMPLE
            .replace("holder = \"telco-a\"", "holder = \"Telco A\"")
            .replace("accept_permits = []", "accept_permits = [\"12\"]")
            .replace("coordinator = \"127.0.0.1:7443\"", "coordinator = \"nowhere\"");
        let error = load(&text).unwrap_err().to_string();
        for part in ["holder", "policy.accept_permits[0]", "coordinator"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn there_may_be_several_bindings_and_not_none() {
        let with = |bindings: &str| load(&SAMPLE.replace("binding = \"binding.toml\"", &format!("binding = {bindings}")));
        assert_eq!(with("[\"a.toml\", \"b/c.toml\"]").unwrap().bindings.len(), 2);
        for (bad, part) in [("[]", "binding: 1 to 256"), ("3", "a path, or a list of paths")] {
            let error = with(bad).unwrap_err().to_string();
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn relative_paths_start_at_the_configuration_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, SAMPLE).unwrap();
        assert_eq!(Config::load(&path).unwrap().holder_key, folder.path().join("holder.key"));
    }
}
