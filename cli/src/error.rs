//! How a command fails, and how it says so.

use commun_domain::Refusal;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Arguments that do not fit together.
    #[error("{0}")]
    Usage(String),
    /// Profile, key or certificate.
    #[error("{0}")]
    Config(String),
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A document that is not what it should be.
    #[error("{0}")]
    Document(String),
    /// Refused, with a hint.
    #[error("{0}")]
    Refused(Refusal),
    /// Standard output is closed.
    #[error("standard output: {0}")]
    Output(std::io::Error),
    /// The runtime did not start.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
}

impl From<Refusal> for CliError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl CliError {
    /// 1 failed, 2 refused, 64 bad usage or configuration.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) => 64,
            Self::File { .. } | Self::Document(_) | Self::Output(_) | Self::Runtime(_) => 1,
            Self::Refused(refusal) => refusal.code.exit_code(),
        }
    }

    /// The lines for standard error.
    pub fn for_people(&self) -> String {
        match self {
            Self::Refused(refusal) => {
                let place = refusal.position.map_or_else(String::new, |p| format!(" (line {}, column {})", p.line, p.column));
                let hint = if refusal.hint.is_empty() { String::new() } else { format!("\nhint: {}", refusal.hint) };
                format!("{}: {}{place}{hint}", refusal.code, refusal.message)
            }
            other => format!("error: {other}"),
        }
    }
}

/// Reads a text file.
pub fn read(path: &std::path::Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File { path: path.display().to_string(), source })
}

/// Writes a text file through a neighbour that is renamed, so that a crash leaves the old or the new one, never half.
pub fn write(path: &std::path::Path, text: &str) -> Result<(), CliError> {
    let fault = |source| CliError::File { path: path.display().to_string(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let neighbour = path.with_file_name(name);
    std::fs::write(&neighbour, text).map_err(fault)?;
    std::fs::rename(&neighbour, path).map_err(fault)
}
