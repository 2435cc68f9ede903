//! The coordinator's door: TCP connections in, authenticated TLS connections out, as the stream that tonic serves.
//!
//! Tonic's own TLS fixes its certificates at start and drops who the peer is. Here each new connection takes the newest
//! configuration of a `watch`, and each yielded one knows its peer. Handshakes run side by side, bounded in number and time, so
//! a silent or hostile client delays nobody; one that fails is logged and dropped, and never ends the stream.
//! It authorises nothing, and does not close a connection whose certificate ends while it is open.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use crate::spiffe::{PeerIdentity, SpiffeId};
use crate::tls::{ALPN_H2, explain};

/// Most handshakes at once; further connections wait in the kernel's queue.
pub const MAX_HANDSHAKES: usize = 256;
/// How long a client may take for its handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that may wait to be served, after their handshake.
const MAX_WAITING: usize = 16;
/// Pause after the system refused a connection (mostly: no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a handler finds in a request's extensions.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Who the peer is.
    pub identity: Arc<PeerIdentity>,
    /// From where it connected.
    pub remote_addr: SocketAddr,
}

impl PeerInfo {
    /// The peer's id.
    pub fn id(&self) -> &SpiffeId {
        &self.identity.id
    }
}

/// One connection whose peer has proved who it is.
#[derive(Debug)]
pub struct Conn {
    stream: TlsStream<TcpStream>,
    peer: PeerInfo,
}

impl Conn {
    /// Who the peer is.
    pub fn peer(&self) -> Arc<PeerIdentity> {
        self.peer.identity.clone()
    }

    /// The TLS session, for what was negotiated.
    pub fn session(&self) -> &rustls::ServerConnection {
        self.stream.get_ref().1
    }
}

impl Connected for Conn {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The stream of authenticated connections. It yields no errors and does not end; dropping it closes the listener.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<Conn>,
    task: JoinHandle<()>,
}

impl Stream for Incoming {
    type Item = io::Result<Conn>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Conn>>> {
        self.connections.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections on a listener with the newest configuration. Must be called inside a tokio runtime.
pub fn incoming(listener: TcpListener, config: watch::Receiver<Arc<ServerConfig>>) -> Incoming {
    incoming_with(listener, config, MAX_HANDSHAKES, HANDSHAKE_TIMEOUT)
}

/// As [`incoming`], with limits that a test can reach.
pub(crate) fn incoming_with(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    max_handshakes: usize,
    timeout: Duration,
) -> Incoming {
    let (sender, connections) = mpsc::channel(MAX_WAITING);
    let task = tokio::spawn(accept_loop(listener, config, sender, Arc::new(Semaphore::new(max_handshakes)), timeout));
    Incoming { connections, task }
}

async fn accept_loop(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    sender: mpsc::Sender<Conn>,
    slots: Arc<Semaphore>,
    timeout: Duration,
) {
    // Owned by this task, so that handshakes end with it.
    let mut handshakes = JoinSet::new();
    // A semaphore that nobody closes gives a slot sooner or later.
    while let Ok(slot) = slots.clone().acquire_owned().await {
        while handshakes.try_join_next().is_some() {}
        let (tcp, remote_addr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let config = config.borrow().clone();
        let sender = sender.clone();
        handshakes.spawn(async move {
            match tokio::time::timeout(timeout, handshake(tcp, remote_addr, config)).await {
                // An error here means that the stream is gone, and this task soon too.
                Ok(Ok(connection)) => drop(sender.send(connection).await),
                Ok(Err(error)) => tracing::info!(%remote_addr, error = explain(&error), "TLS handshake refused"),
                Err(_) => tracing::info!(%remote_addr, "TLS handshake took too long"),
            }
            drop(slot);
        });
    }
}

async fn handshake(tcp: TcpStream, remote_addr: SocketAddr, config: Arc<ServerConfig>) -> io::Result<Conn> {
    // Small messages must not wait for more: one query is a chain of them.
    tcp.set_nodelay(true)?;
    let stream = TlsAcceptor::from(config).accept(tcp).await?;
    let session = stream.get_ref().1;
    // A client that offers no protocol at all passes rustls.
    if session.alpn_protocol() != Some(ALPN_H2) {
        return Err(io::Error::other("the client does not speak HTTP/2 (ALPN h2)"));
    }
    let leaf = session.peer_certificates().and_then(<[_]>::first);
    let leaf = leaf.ok_or_else(|| io::Error::other("the client has no certificate"))?;
    let identity = Arc::new(PeerIdentity::from_leaf(leaf).map_err(io::Error::other)?);
    Ok(Conn { stream, peer: PeerInfo { identity, remote_addr } })
}
