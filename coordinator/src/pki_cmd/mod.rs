//! `commun-coordinator pki`: makes a federation's first keys and certificates as files, offline.
//!
//! It runs on the machine of whoever starts the federation, never inside the daemon. Afterwards each folder goes to its party and the root's
//! and the CA's leave the machine. Existing files are never overwritten.

mod describe;
mod init;
mod issue;
mod sign;
#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use commun_identity::{KeyFileError, Name, PkiError, SpiffeError, TrustDomain, keyfile};
use commun_trust::SignError;

use crate::config::SetupError;

/// Permissions of folders with keys.
const FOLDER_MODE: u32 = 0o700;

/// What to make.
#[derive(Subcommand)]
pub enum PkiCommand {
    /// Make a CA, every party's keys and certificates, trust bundle 1 and roster 1 (both unsigned yet), and the pins
    Init(InitArgs),
    /// Show what a *.signed file says and add a signature to it
    Sign(SignArgs),
    /// Issue keys and certificate for one more party
    Issue(IssueArgs),
}

/// Of `pki init`.
#[derive(clap::Args)]
pub struct InitArgs {
    /// Folder to make; it must be empty or not exist
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// SPIFFE trust domain, for example commun.example
    #[arg(long, value_name = "TD")]
    pub trust_domain: TrustDomain,
    /// Holders, for example telco-a,telco-b
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    pub holders: Vec<Name>,
    /// Offices of the authorising officers
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    pub officers: Vec<Name>,
    /// Agencies and their users, for example statbel/analyst
    #[arg(long, value_delimiter = ',', value_name = "AGENCY/USER")]
    pub agencies: Vec<String>,
    /// Operators of the coordinator
    #[arg(long, visible_alias = "operator", value_delimiter = ',', value_name = "NAMES")]
    pub operators: Vec<Name>,
    /// How many different officers must sign
    #[arg(long, default_value_t = 2, value_name = "K")]
    pub threshold: u32,
    /// Data contracts that every holder answers
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAMES")]
    pub datasets: Vec<String>,
    /// Validity of certificates and roster, in days
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
}

/// Of `pki sign`.
#[derive(clap::Args)]
pub struct SignArgs {
    /// Ed25519 key, PKCS#8 PEM
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The *.signed file, which is rewritten
    #[arg(value_name = "DOC")]
    pub document: PathBuf,
}

/// Of `pki issue`.
#[derive(clap::Args)]
pub struct IssueArgs {
    /// Folder with ca.key and ca.crt
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    /// Role, as in the SPIFFE id: coordinator, holder/NAME, officer/NAME, operator/NAME or agency/AGENCY/user/USER
    #[arg(long, value_name = "ROLE")]
    pub role: String,
    /// Folder for tls.key, tls.crt and, where the role signs, its Ed25519 key
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Validity, in days
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
}

/// Why nothing, or not all, was made.
#[derive(Debug, thiserror::Error)]
pub enum PkiCmdError {
    /// The folder holds something.
    #[error("{} is not empty, and keys are never overwritten; give a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// A combination that no federation accepts.
    #[error("{0}")]
    Usage(String),
    /// Names.
    #[error(transparent)]
    Name(#[from] SpiffeError),
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Keys.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// A *.signed file.
    #[error(transparent)]
    Signed(#[from] SetupError),
    /// Signing.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Runs one command.
pub fn run(command: &PkiCommand) -> Result<(), PkiCmdError> {
    match command {
        PkiCommand::Init(args) => init::init(args),
        PkiCommand::Sign(args) => sign::sign_file(args),
        PkiCommand::Issue(args) => issue::issue(args),
    }
}

fn make_folder(path: &Path) -> Result<(), PkiCmdError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .map_err(|source| PkiCmdError::Io { path: path.to_owned(), source })
}

fn write_public(path: &Path, text: &str) -> Result<(), PkiCmdError> {
    use std::io::Write as _;
    let io = |source| PkiCmdError::Io { path: path.to_owned(), source };
    let mut file = std::fs::File::create_new(path).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)
}

fn new_key(path: &Path) -> Result<commun_domain::PublicKey, PkiCmdError> {
    let key = keyfile::new_signing_key()?;
    keyfile::write_signing_key(path, &key)?;
    Ok(commun_trust::sign::public_key(&key))
}

#[expect(clippy::print_stderr, reason = "what a command did is for people; stdout is for data, and there is none")]
fn say(text: &str) {
    eprintln!("{text}");
}
