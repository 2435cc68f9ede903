//! Who is at the other end: SPIFFE ids, the built-in CA, key files, and TLS 1.3 on both sides.
//!
//! A connection that this crate hands out has an authenticated peer. That authorises nothing: what the peer may do is decided
//! by signatures on queries and permits (`commun-trust`) and by the handler that is called. What is not here: revocation lists,
//! renewal and enrolment; the acceptor takes its configuration from a `watch`, so they can come without replacing anything.

pub mod acceptor;
pub mod connect;
pub mod keyfile;
pub mod pki;
pub mod spiffe;
pub mod tls;

#[cfg(test)]
mod handshake_tests;

pub use acceptor::{Conn, Incoming, PeerInfo, incoming};
pub use connect::{ConnectError, channel, connect_tls};
pub use keyfile::KeyFileError;
pub use pki::{Ca, Issued, PkiError, Validity};
pub use spiffe::{Name, PeerIdentity, Role, SpiffeError, SpiffeId, TrustDomain};
pub use tls::{ClientTls, TlsError, server_config, server_config_from_files};
