//! The local window: a Unix socket of mode 0600 in the state folder, on which the running agent says how it is.
//!
//! One request a connection, one line: `status`, `journal N` or `contract NAME`; one JSON document back. It is the only thing the agent listens on
//! (P11), it changes nothing, and only the agent's own user can open it.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use commun_domain::QueryId;
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use commun_store::AgentStore;
use commun_store::agent::JournalLine;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::config::Config;
use crate::guard::{Guard, Report};
use crate::health::Health;

/// Longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 256;
/// Largest reply that a client reads, in bytes.
const MAX_REPLY_BYTES: u64 = 64 << 20;
/// Most journal lines in one reply.
pub const MAX_JOURNAL_LINES: u32 = 10_000;
/// How long a client may take, and a command waits for the agent.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Connections served at once.
const MAX_CONNECTIONS: usize = 16;

/// Everything that `status` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Holder.
    pub holder: String,
    /// Coordinator's address.
    pub coordinator: String,
    /// Version of this software.
    pub software: String,
    /// Whether the link is up.
    pub connected: bool,
    /// Since when, milliseconds since 1970.
    pub connected_since_ms: Option<u64>,
    /// The coordinator's clock minus the own one, in seconds, at the last connection.
    pub clock_skew_s: Option<i64>,
    /// Last second of the TLS certificate, seconds since 1970; `None` when it cannot be read.
    pub certificate_expires_unix: Option<i64>,
    /// When the last error or refusal was, milliseconds since 1970.
    pub last_error_ms: Option<u64>,
    /// The last error or refusal, in full.
    pub last_error: Option<String>,
    /// Log, permits, budgets, attempts.
    #[serde(flatten)]
    pub report: Report,
}

/// One line of the journal, as `journal` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Number, from 1.
    pub number: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// Query.
    pub query: String,
    /// Attempt.
    pub attempt: u8,
    /// Agency.
    pub agency: Option<String>,
    /// Permit.
    pub permit: Option<String>,
    /// SQL text.
    pub sql: String,
    /// Decision.
    pub decision: String,
    /// Code.
    pub code: Option<String>,
    /// Reason.
    pub reason: String,
    /// Bytes of answer that left.
    pub bytes_sent: u64,
    /// What was reserved for the attempt in each of its periods, as rho in units of 2^-40; `None` when nothing was.
    #[serde(default)]
    pub rho_units: Option<u64>,
    /// In how many periods.
    #[serde(default)]
    pub periods: usize,
}

impl JournalEntry {
    fn new((number, line): (u64, JournalLine), reserves: &BTreeMap<(QueryId, u8), LedgerRecord>) -> Self {
        let charges = reserves.get(&(line.query, line.attempt)).map_or(&[][..], |record| record.charges.as_slice());
        Self {
            number,
            rho_units: charges.iter().map(|charge| charge.rho.units()).max(),
            periods: charges.len(),
            time_ms: line.time_ms,
            query: line.query.to_string(),
            attempt: line.attempt,
            agency: line.agency,
            permit: line.permit.map(|permit| permit.to_string()),
            sql: line.sql,
            decision: line.decision.as_str().to_owned(),
            code: line.code.map(|code| code.as_str().to_owned()),
            reason: line.reason,
            bytes_sent: line.bytes_sent,
        }
    }
}

/// The last lines of the journal, from the store itself.
pub(crate) fn journal(store: &AgentStore, count: u32) -> Result<Vec<JournalEntry>, commun_store::StoreError> {
    let lines = store.journal_tail(count.min(MAX_JOURNAL_LINES))?;
    let reserves = store.ledger_load()?.into_iter().filter(|record| record.kind == RecordKind::Reserve);
    let reserves = reserves.map(|record| ((record.query_id, record.attempt), record)).collect();
    Ok(lines.into_iter().map(|line| JournalEntry::new(line, &reserves)).collect())
}

/// What the socket's server knows.
pub(crate) struct Window {
    pub(crate) config: Config,
    pub(crate) guard: Arc<Guard>,
    pub(crate) store: Arc<AgentStore>,
    pub(crate) health: Arc<Health>,
}

/// Makes the socket: bound in a folder that only this user may enter, narrowed there, and only then moved to its place.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    let private = path.with_extension("new");
    // What an earlier process left behind; the store's lock says that none is running.
    let _ = std::fs::remove_dir_all(&private);
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let socket = private.join("s");
    let listener = UnixListener::bind(&socket)?;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&socket, path)?;
    std::fs::remove_dir(&private)?;
    Ok(listener)
}

/// Answers requests, for ever.
pub(crate) async fn serve(listener: UnixListener, window: Arc<Window>) {
    let places = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let window = Arc::clone(&window);
                tokio::spawn(async move {
                    // Whoever asked has gone: nobody is left to tell.
                    let _ = tokio::time::timeout(TIMEOUT, answer(stream, &window)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!("status socket: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, window: &Window) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new((&mut stream).take(MAX_REQUEST_BYTES)).read_line(&mut request).await?;
    let reply = match request.trim().split_once(' ').unwrap_or((request.trim(), "")) {
        ("status", "") => serde_json::to_vec(&status(window).await)?,
        ("journal", count) => {
            let (store, count) = (Arc::clone(&window.store), count.parse().unwrap_or(0));
            let lines = tokio::task::spawn_blocking(move || journal(&store, count)).await.map_err(io::Error::other)?;
            serde_json::to_vec(&lines.map_err(io::Error::other)?)?
        }
        ("contract", name) => serde_json::to_vec(&window.guard.contract_bytes(name.to_owned()).await)?,
        _ => b"null".to_vec(),
    };
    stream.write_all(&reply).await?;
    stream.shutdown().await
}

async fn status(window: &Window) -> Status {
    let health = window.health.state();
    let (last_error_ms, last_error) = health.last_error.unzip();
    Status {
        holder: window.config.holder.clone(),
        coordinator: window.config.coordinator.clone(),
        software: env!("CARGO_PKG_VERSION").to_owned(),
        connected: health.connected_since_ms.is_some(),
        connected_since_ms: health.connected_since_ms,
        clock_skew_s: health.clock_skew_s,
        certificate_expires_unix: window.config.tls().ok().map(|tls| tls.own().not_after_unix),
        last_error_ms,
        last_error,
        report: window.guard.report().await,
    }
}

/// Why a running agent was not asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nothing listens there.
    #[error("no agent is running with its status socket at {}; start it, or check --config ({source})", .path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No or no good reply.
    #[error("the agent gave no reply: {0}")]
    Reply(#[from] io::Error),
    /// Another version runs.
    #[error("the reply of the agent cannot be read ({0}); is it the same version as this command?")]
    Json(#[from] serde_json::Error),
}

/// Asks the running agent. Synchronous: this is a command's side.
pub(crate) fn ask<T: serde::de::DeserializeOwned>(path: &Path, request: &str) -> Result<T, AskError> {
    let not_running = |source| AskError::NotRunning { path: path.to_owned(), source };
    let mut stream = std::os::unix::net::UnixStream::connect(path).map_err(not_running)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    writeln!(stream, "{request}")?;
    let mut reply = Vec::new();
    stream.take(MAX_REPLY_BYTES).read_to_end(&mut reply)?;
    Ok(serde_json::from_slice(&reply)?)
}
