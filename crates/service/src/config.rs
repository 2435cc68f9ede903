//! Configuration files: TOML into a typed struct, or one error that says file, line, key and what to do.
//!
//! Structs deny unknown keys (`#[serde(deny_unknown_fields)]`): a misspelt limit must not silently become a default.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Largest configuration file, in bytes (1 MiB).
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Why a configuration was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; give an existing file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Larger than [`MAX_CONFIG_BYTES`].
    #[error("the configuration {} is larger than {MAX_CONFIG_BYTES} bytes; is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The text is not TOML, or a key is missing, unknown or of the wrong kind.
    #[error("{}{}: {message}; {hint}", path.display(), place(*line, key))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1, where it is known.
        line: Option<usize>,
        /// Path of the key (`policy.accept[0].permit`); empty at the top.
        key: String,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: &'static str,
    },
}

fn place(line: Option<usize>, key: &str) -> String {
    let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
    if key.is_empty() { line } else { format!("{line}, key {key}") }
}

/// Loads a configuration.
pub fn load_config<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(read)?.len() > MAX_CONFIG_BYTES {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    parse(path, &text)
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let invalid = |error: &toml::de::Error, key: String, hint| ConfigError::Invalid {
        path: path.to_owned(),
        line: error.span().map(|span| line_of(text, span.start)),
        key,
        message: error.message().trim_end_matches('.').to_owned(),
        hint,
    };
    let deserializer = toml::Deserializer::parse(text)
        .map_err(|error| invalid(&error, String::new(), "the file must be TOML: key = \"value\" under [section]"))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = match error.path().to_string().as_str() {
            "." => String::new(),
            key => key.to_owned(),
        };
        let message = error.inner().message();
        let hint = if message.starts_with("unknown field") {
            "check its spelling, or remove it"
        } else if message.starts_with("missing field") {
            "add it; the sample configuration describes every key"
        } else {
            "the sample configuration shows what this key takes"
        };
        invalid(error.inner(), key, hint)
    })
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is a failed test")]
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Config {
        listen: String,
        policy: Policy,
    }
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Policy {
        accept: Vec<Rule>,
    }
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        permit: String,
        most: u8,
    }

    const GOOD: &str = "listen = \"[::]:0\"\n\n[policy]\n[[policy.accept]]\npermit = \"ab\"\nmost = 3\n";

    fn error(text: &str) -> String {
        parse::<Config>(Path::new("agent.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_is_loaded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), GOOD).unwrap();
        let config: Config = load_config(file.path()).unwrap();
        let rule = Rule { permit: "ab".into(), most: 3 };
        assert_eq!(config, Config { listen: "[::]:0".into(), policy: Policy { accept: vec![rule] } });
    }

    #[test]
    fn an_unknown_key_is_refused_with_line_path_and_hint() {
        let text = error(&GOOD.replace("most = 3", "most = 3\nmosst = 4"));
        assert!(text.starts_with("agent.toml, line 7, key policy.accept[0].mosst: unknown field `mosst`"), "{text}");
        assert!(text.ends_with("check its spelling, or remove it"), "{text}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_line_and_path() {
        let text = error(&GOOD.replace("most = 3", "most = 300"));
        assert!(text.starts_with("agent.toml, line 6, key policy.accept[0].most: "), "{text}");
    }

    #[test]
    fn a_missing_key_is_named_with_its_section() {
        let text = error(&GOOD.replace("most = 3\n", ""));
        assert!(text.contains("key policy.accept[0]: missing field `most`; add it"), "{text}");
        let text = error(&GOOD.replace("listen = \"[::]:0\"", ""));
        assert!(text.contains("missing field `listen`"), "{text}");
    }

    #[test]
    fn what_is_not_toml_is_refused_with_its_line() {
        let text = error("listen = \"a\"\nlisten: b\n");
        assert!(text.starts_with("agent.toml, line 2: "), "{text}");
        assert!(text.contains("must be TOML"), "{text}");
    }

    #[test]
    fn a_missing_and_an_oversized_file_are_refused_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let missing = load_config::<Config>(&folder.path().join("none.toml")).unwrap_err().to_string();
        assert!(missing.ends_with("give an existing file with --config"), "{missing}");
        let large = folder.path().join("large.toml");
        std::fs::File::create(&large).unwrap().set_len(MAX_CONFIG_BYTES + 1).unwrap();
        assert!(matches!(load_config::<Config>(&large), Err(ConfigError::TooLarge { .. })));
    }
}
