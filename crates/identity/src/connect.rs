//! A client's way in: one TCP connection to the coordinator, TLS, and a gRPC channel over it.
//!
//! Used by the agent's link and by `commun`. When [`connect_tls`] returns, the server has proved to be the coordinator. The reverse
//! is not so: in TLS 1.3 the server judges our certificate after our side is done, so a refused certificate shows as an error of
//! the first read or call. Reconnecting and its pace are for the caller.

use std::error::Error;
use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::tls::{ALPN_H2, ClientTls, explain};

/// How long TCP and TLS may take together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often an HTTP/2 ping is sent, also while nothing is asked: firewalls forget silent connections after minutes.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long the answer to a ping may take before the connection counts as lost.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("cannot reach the coordinator at {addr}: {source}; check the address, and that it runs")]
    Tcp {
        /// Host and port.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// No TLS handshake, or not with the coordinator.
    #[error("{addr} is not accepted as the coordinator: {reason}", reason = explain(source))]
    Tls {
        /// Host and port.
        addr: String,
        /// What the TLS library said.
        source: io::Error,
    },
    /// [`CONNECT_TIMEOUT`] passed.
    #[error("the coordinator at {0} did not answer within {seconds} s", seconds = CONNECT_TIMEOUT.as_secs())]
    Timeout(String),
    /// The server chose no protocol.
    #[error("{0} does not speak HTTP/2 (ALPN h2); something else listens there")]
    NotHttp2(String),
    /// A trust domain that is no host name; a checked one always is.
    #[error("{0} is not a host name")]
    HostName(String),
    /// HTTP/2 over the connection, with its causes.
    #[error("no gRPC channel: {0}")]
    Channel(String),
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        let kind = match &error {
            ConnectError::Tcp { source, .. } | ConnectError::Tls { source, .. } => source.kind(),
            ConnectError::Timeout(_) => io::ErrorKind::TimedOut,
            ConnectError::NotHttp2(_) | ConnectError::HostName(_) | ConnectError::Channel(_) => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Connects to `host:port` and verifies that the coordinator of our trust domain answers there.
pub async fn connect_tls(addr: &str, tls: &ClientTls) -> Result<TlsStream<TcpStream>, ConnectError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, connect(addr, tls)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Timeout(addr.to_owned())),
    }
}

async fn connect(addr: &str, tls: &ClientTls) -> Result<TlsStream<TcpStream>, ConnectError> {
    let tcp_error = |source| ConnectError::Tcp { addr: addr.to_owned(), source };
    let tcp = TcpStream::connect(addr).await.map_err(tcp_error)?;
    tcp.set_nodelay(true).map_err(tcp_error)?;
    // The name is the coordinator's own, not the address: where it runs may change, and its certificate need not.
    let name = tls.trust_domain().coordinator_dns_name();
    let server_name = ServerName::try_from(name.clone()).map_err(|_| ConnectError::HostName(name))?;
    let stream = TlsConnector::from(tls.config())
        .connect(server_name, tcp)
        .await
        .map_err(|source| ConnectError::Tls { addr: addr.to_owned(), source })?;
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_H2) { Ok(stream) } else { Err(ConnectError::NotHttp2(addr.to_owned())) }
}

/// A gRPC channel over one such connection, with keep-alive. The first connection is made before it returns; a lost one is made
/// again at the next call.
pub async fn channel(addr: &str, tls: &ClientTls) -> Result<Channel, ConnectError> {
    let name = tls.trust_domain().coordinator_dns_name();
    let endpoint = Endpoint::from_shared(format!("https://{name}"))
        .map_err(|_| ConnectError::HostName(name))?
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let (addr, tls) = (addr.to_owned(), tls.clone());
    let connector = service_fn(move |_| {
        let (addr, tls) = (addr.clone(), tls.clone());
        async move { connect_tls(&addr, &tls).await.map(TokioIo::new) }
    });
    endpoint.connect_with_connector(connector).await.map_err(|error| ConnectError::Channel(causes(&error)))
}

/// An error and its causes in one line: tonic's own text is only "transport error". Ours says it all.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(own) = cause.downcast_ref::<ConnectError>() {
            return own.to_string();
        }
        texts.push(cause.to_string());
        next = cause.source();
    }
    // Wrappers that repeat what is inside them.
    texts.dedup();
    texts.join(": ")
}
