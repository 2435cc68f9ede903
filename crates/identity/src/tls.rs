//! TLS for both ends: version 1.3 only, X25519MLKEM768 first, both certificates required, the SPIFFE id checked.
//!
//! The id is checked inside the certificate verifier, so a connection with a wrong peer never exists and no caller can forget
//! the check. The provider is named explicitly: nothing depends on a process-wide default. Resumption is off, because a resumed
//! session would skip the verifier and so outlive an expired certificate or a changed configuration.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::keyfile::{self, KeyFileError};
use crate::spiffe::{PeerIdentity, Role, SpiffeError, SpiffeId, TrustDomain};

/// The only application protocol of the port: HTTP/2, for gRPC.
pub const ALPN_H2: &[u8] = b"h2";

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM text without what it should have.
    #[error("no {0} found; expected PEM text")]
    Pem(&'static str),
    /// Names in the party's own certificate.
    #[error("the own certificate is not usable: {0}")]
    Own(#[from] SpiffeError),
    /// A server with a certificate that every client would refuse.
    #[error("a server needs the coordinator's certificate; this one is for {0}")]
    NotCoordinator(SpiffeId),
    /// The CA's certificates.
    #[error("the CA certificate is not usable: {0}")]
    Ca(rustls::client::VerifierBuilderError),
    /// A file of the party's certificate, its key or the CA.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The TLS library, for example because the key is another certificate's.
    #[error("certificate and key are not usable together: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Why a verified certificate is still not the peer that we want.
#[derive(Debug, thiserror::Error)]
enum WrongPeer {
    #[error(transparent)]
    Spiffe(#[from] SpiffeError),
    #[error("the server is {found}, not {expected}; check the address")]
    NotCoordinator { found: SpiffeId, expected: SpiffeId },
    #[error("the peer is {found}, of another trust domain than {expected}")]
    TrustDomain { found: SpiffeId, expected: TrustDomain },
}

impl From<WrongPeer> for rustls::Error {
    fn from(error: WrongPeer) -> Self {
        CertificateError::Other(OtherError(Arc::new(error))).into()
    }
}

/// A TLS error as people should read it, with what to do: the library has no hints, and shows our own reasons only in their
/// debug form.
pub(crate) fn explain(error: &io::Error) -> String {
    use CertificateError as C;
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(C::Other(reason))) => reason.to_string(),
        Some(rustls::Error::InvalidCertificate(C::UnknownIssuer)) => {
            format!("{error}; its certificate is not of the CA that is configured here")
        }
        Some(rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. })) => {
            format!("{error}; it must be renewed, if the clock here is right")
        }
        Some(rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. })) => {
            format!("{error}; check the clocks of both machines")
        }
        _ => error.to_string(),
    }
}

/// The coordinator's side: clients must present a certificate of this CA with an id of the coordinator's trust domain.
pub fn server_config(cert_pem: &str, key_pem: &str, ca_pem: &str) -> Result<Arc<ServerConfig>, TlsError> {
    let own = PeerIdentity::from_pem(cert_pem)?.id;
    if own.role != Role::Coordinator {
        return Err(TlsError::NotCoordinator(own));
    }
    build_server(cert_pem, key_pem, ca_pem, own.trust_domain)
}

/// As [`server_config`], from files; the key's must be private to its owner.
pub fn server_config_from_files(cert: &Path, key: &Path, ca: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let key_pem = keyfile::read_private(key)?;
    server_config(&keyfile::read_public(cert)?, &key_pem, &keyfile::read_public(ca)?)
}

/// As [`server_config`], whatever the certificate says: tests pose as the coordinator with it.
pub(crate) fn build_server(cert_pem: &str, key_pem: &str, ca_pem: &str, trust_domain: TrustDomain) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let inner = WebPkiClientVerifier::builder_with_provider(roots(ca_pem)?, provider.clone()).build();
    let verifier = PeerOfTrustDomain { inner: inner.map_err(TlsError::Ca)?, trust_domain };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain(cert_pem)?, key(key_pem)?)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A client's side: its certificate, and the coordinator that it accepts.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    own: PeerIdentity,
}

impl ClientTls {
    /// The server must present a certificate of this CA for `coordinator.<trust domain>` whose only URI is the coordinator's id,
    /// in the trust domain of the client's own certificate.
    pub fn new(cert_pem: &str, key_pem: &str, ca_pem: &str) -> Result<Self, TlsError> {
        let own = PeerIdentity::from_pem(cert_pem)?;
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(coordinator_verifier(ca_pem, &own.id.trust_domain, provider)?);
        let mut config = builder.with_client_auth_cert(chain(cert_pem)?, key(key_pem)?)?;
        config.alpn_protocols = vec![ALPN_H2.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), own })
    }

    /// As [`ClientTls::new`], from files; the key's must be private to its owner.
    pub fn from_files(cert: &Path, key: &Path, ca: &Path) -> Result<Self, TlsError> {
        let key_pem = keyfile::read_private(key)?;
        Self::new(&keyfile::read_public(cert)?, &key_pem, &keyfile::read_public(ca)?)
    }

    /// The configuration for one connection.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// Who we are, and until when.
    pub fn own(&self) -> &PeerIdentity {
        &self.own
    }

    /// The trust domain of both ends.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.own.id.trust_domain
    }
}

/// What a client checks of the coordinator.
pub(crate) fn coordinator_verifier(
    ca_pem: &str,
    trust_domain: &TrustDomain,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let inner = WebPkiServerVerifier::builder_with_provider(roots(ca_pem)?, provider).build();
    let expected = SpiffeId::coordinator(trust_domain);
    Ok(Arc::new(CoordinatorOnly { inner: inner.map_err(TlsError::Ca)?, expected }))
}

/// aws-lc-rs with its TLS 1.3 suites, and two key exchanges: the hybrid one first, so that recorded traffic stays closed to a
/// quantum computer, and plain X25519.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519], ..aws_lc_rs::default_provider() })
}

pub(crate) fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Pem("certificate"))
}

pub(crate) fn key(pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| TlsError::Pem("private key"))
}

fn roots(ca_pem: &str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(ca_pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// On the client: the chain, the DNS name, and that the server is this coordinator.
struct CoordinatorOnly {
    inner: Arc<WebPkiServerVerifier>,
    expected: SpiffeId,
}

impl fmt::Debug for CoordinatorOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CoordinatorOnly({})", self.expected)
    }
}

impl ServerCertVerifier for CoordinatorOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        let found = SpiffeId::from_leaf(end_entity).map_err(WrongPeer::from)?;
        if found == self.expected { Ok(verified) } else { Err(WrongPeer::NotCoordinator { found, expected: self.expected.clone() }.into()) }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// On the server: the chain, and that the client has an id of our trust domain.
struct PeerOfTrustDomain {
    inner: Arc<dyn ClientCertVerifier>,
    trust_domain: TrustDomain,
}

impl fmt::Debug for PeerOfTrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerOfTrustDomain({})", self.trust_domain)
    }
}

impl ClientCertVerifier for PeerOfTrustDomain {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let found = SpiffeId::from_leaf(end_entity).map_err(WrongPeer::from)?;
        if found.trust_domain == self.trust_domain {
            Ok(verified)
        } else {
            Err(WrongPeer::TrustDomain { found, expected: self.trust_domain.clone() }.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
