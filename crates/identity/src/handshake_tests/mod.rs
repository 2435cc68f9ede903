//! Both ends of a connection against each other, on loopback: who gets in, who does not, and by which reason.
//!
//! Every refusal is asserted by its TLS alert or error, beside a client that the same server accepts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod tls12;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use rustls::{AlertDescription, CertificateError, ClientConfig, NamedGroup, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use crate::acceptor::{Conn, Incoming, PeerInfo, incoming, incoming_with};
use crate::connect::{ConnectError, channel, connect_tls};
use crate::keyfile::{self, KeyFileError};
use crate::pki::{self, Ca, Issued, Validity};
use crate::spiffe::{PeerIdentity, SpiffeId, TrustDomain};
use crate::tls::{self, ClientTls, TlsError, server_config, server_config_from_files};

const COORDINATOR: &str = "spiffe://commun.example/coordinator";
const HOLDER: &str = "spiffe://commun.example/holder/a";
/// No step of a test on loopback takes this long unless it hangs.
const SOON: Duration = Duration::from_secs(20);

fn now_unix() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn valid() -> Validity {
    Validity::days(now_unix(), 1)
}

fn expired() -> Validity {
    Validity { not_before_unix: now_unix() - 7200, not_after_unix: now_unix() - 3600 }
}

fn trust_domain() -> TrustDomain {
    "commun.example".parse().unwrap()
}

fn new_ca() -> Ca {
    Ca::create(&trust_domain(), valid()).unwrap()
}

fn issue(ca: &Ca, uri: &str) -> Issued {
    ca.issue(&uri.parse().unwrap(), valid()).unwrap()
}

fn client(ca: &Ca, own: &Issued) -> ClientTls {
    ClientTls::new(&own.cert_pem, &own.key_pem, ca.cert_pem()).unwrap()
}

fn coordinator(ca: &Ca) -> Arc<ServerConfig> {
    let own = issue(ca, COORDINATOR);
    server_config(&own.cert_pem, &own.key_pem, ca.cert_pem()).unwrap()
}

struct Server {
    addr: SocketAddr,
    incoming: Incoming,
    config: watch::Sender<Arc<ServerConfig>>,
}

impl Server {
    async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, receiver) = watch::channel(config);
        Self { addr, incoming: incoming(listener, receiver), config: sender }
    }

    async fn next(&mut self) -> Conn {
        tokio::time::timeout(SOON, self.incoming.next()).await.unwrap().unwrap().unwrap()
    }

    /// Connects, and shows that bytes pass and that the server sees this peer.
    async fn accepts(&mut self, tls: &ClientTls) -> (TlsStream<TcpStream>, Conn) {
        let mut ours = connect_tls(&self.addr.to_string(), tls).await.unwrap();
        let mut theirs = self.next().await;
        assert_eq!(*theirs.peer(), *tls.own());
        ours.write_all(b"?").await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), b'?');
        theirs.write_all(b"!").await.unwrap();
        theirs.flush().await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'!');
        (ours, theirs)
    }

    /// Connects by a raw configuration and returns what the server answered in the end, if it was an alert.
    async fn alert_for(&self, config: Arc<ClientConfig>) -> Option<AlertDescription> {
        let name = trust_domain().coordinator_dns_name().try_into().unwrap();
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        let error = match TlsConnector::from(config).connect(name, tcp).await {
            Ok(mut stream) => tokio::time::timeout(SOON, stream.read_u8()).await.unwrap().unwrap_err(),
            Err(error) => error,
        };
        match tls_error(&error) {
            Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
            _ => None,
        }
    }
}

fn tls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// What a client says of a server that it refuses.
async fn client_refuses(server: &Server, tls: &ClientTls) -> rustls::Error {
    match connect_tls(&server.addr.to_string(), tls).await {
        Err(ConnectError::Tls { source, .. }) => tls_error(&source).unwrap().clone(),
        other => panic!("expected a TLS error, got {other:?}"),
    }
}

/// A client that verifies the server as ours do, but has no certificate.
fn without_certificate(ca: &Ca, alpn: &[&[u8]]) -> ClientConfig {
    let provider = tls::provider();
    let verifier = tls::coordinator_verifier(ca.cert_pem(), &trust_domain(), provider.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_and_the_same_one_with_it_is_not() {
    let ca = new_ca();
    let mut server = Server::start(coordinator(&ca)).await;
    let anonymous = Arc::new(without_certificate(&ca, &[b"h2"]));
    assert_eq!(server.alert_for(anonymous).await, Some(AlertDescription::CertificateRequired));
    // The first connection that the stream yields is the second client's: the refusal was dropped and ended nothing.
    server.accepts(&client(&ca, &issue(&ca, HOLDER))).await;
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused() {
    let (ca, other) = (new_ca(), new_ca());
    let mut server = Server::start(coordinator(&ca)).await;
    // Trusts the right server, presents a certificate of the wrong CA.
    let stranger = client(&ca, &issue(&other, HOLDER));
    let alert = server.alert_for(stranger.config()).await;
    assert_eq!(alert, Some(AlertDescription::UnknownCA));
    server.accepts(&client(&ca, &issue(&ca, HOLDER))).await;
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused_by_the_client() {
    let (ca, other) = (new_ca(), new_ca());
    let server = Server::start(coordinator(&other)).await;
    let tls = client(&ca, &issue(&ca, HOLDER));
    let error = client_refuses(&server, &tls).await;
    assert_eq!(error, rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
    let text = connect_tls(&server.addr.to_string(), &tls).await.unwrap_err().to_string();
    assert!(text.ends_with("not of the CA that is configured here"), "{text}");
}

#[tokio::test]
async fn an_expired_client_is_refused() {
    let ca = new_ca();
    let mut server = Server::start(coordinator(&ca)).await;
    let late = client(&ca, &ca.issue(&HOLDER.parse().unwrap(), expired()).unwrap());
    assert_eq!(server.alert_for(late.config()).await, Some(AlertDescription::CertificateExpired));
    server.accepts(&client(&ca, &issue(&ca, HOLDER))).await;
}

#[tokio::test]
async fn an_expired_server_is_refused_by_the_client() {
    let ca = new_ca();
    let own = ca.issue(&COORDINATOR.parse().unwrap(), expired()).unwrap();
    let server = Server::start(server_config(&own.cert_pem, &own.key_pem, ca.cert_pem()).unwrap()).await;
    let error = client_refuses(&server, &client(&ca, &issue(&ca, HOLDER))).await;
    let expired = matches!(error, rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }));
    assert!(expired, "{error:?}");
}

#[tokio::test]
async fn a_holder_that_poses_as_the_coordinator_is_refused_by_the_client() {
    let ca = new_ca();
    let honest = client(&ca, &issue(&ca, HOLDER));
    // Its own certificate, as issued: neither a server's nor of the right name.
    let own = issue(&ca, HOLDER);
    assert!(matches!(server_config(&own.cert_pem, &own.key_pem, ca.cert_pem()), Err(TlsError::NotCoordinator(_))));
    let posing = tls::build_server(&own.cert_pem, &own.key_pem, ca.cert_pem(), trust_domain()).unwrap();
    let server = Server::start(posing).await;
    let error = client_refuses(&server, &honest).await;
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");

    // One that a careless CA made for servers and with the coordinator's DNS name: only the SPIFFE id tells them apart.
    let posing = pose_as_server(&ca, HOLDER);
    let server = Server::start(posing).await;
    let error = channel(&server.addr.to_string(), &honest).await.unwrap_err().to_string();
    assert!(error.ends_with(&format!("the server is {HOLDER}, not {COORDINATOR}; check the address")), "{error}");

    // The same certificate with the right id is accepted, so nothing else refused it.
    let mut server = Server::start(pose_as_server(&ca, COORDINATOR)).await;
    server.accepts(&honest).await;
}

fn pose_as_server(ca: &Ca, uri: &str) -> Arc<ServerConfig> {
    let mut params = pki::params("pose", valid()).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names =
        vec![SanType::URI(uri.try_into().unwrap()), SanType::DnsName(trust_domain().coordinator_dns_name().try_into().unwrap())];
    let own = ca.sign(&params).unwrap();
    tls::build_server(&own.cert_pem, &own.key_pem, ca.cert_pem(), trust_domain()).unwrap()
}

#[tokio::test]
async fn a_client_whose_certificate_has_no_id_or_another_domains_is_refused() {
    let ca = new_ca();
    let mut server = Server::start(coordinator(&ca)).await;
    for uris in [&[][..], &["spiffe://other.example/holder/a"], &[HOLDER, "https://commun.example/"]] {
        let mut params = pki::params("client", valid()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::DnsName("client.example".try_into().unwrap())];
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        let own = ca.sign(&params).unwrap();
        let (provider, alpn) = (tls::provider(), b"h2".to_vec());
        let verifier = tls::coordinator_verifier(ca.cert_pem(), &trust_domain(), provider.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(tls::chain(&own.cert_pem).unwrap(), tls::key(&own.key_pem).unwrap())
            .unwrap();
        config.alpn_protocols = vec![alpn];
        let alert = server.alert_for(Arc::new(config)).await;
        assert_eq!(alert, Some(AlertDescription::CertificateUnknown), "{uris:?}");
    }
    server.accepts(&client(&ca, &issue(&ca, HOLDER))).await;
}

#[test]
fn a_tls_key_file_that_others_may_read_is_refused_by_both_ends() {
    let ca = new_ca();
    let own = issue(&ca, COORDINATOR);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (cert, key, roots) = (path("own.pem"), path("own.key"), path("ca.pem"));
    std::fs::write(&cert, &own.cert_pem).unwrap();
    std::fs::write(&roots, ca.cert_pem()).unwrap();
    keyfile::write_private(&key, own.key_pem.as_bytes()).unwrap();
    server_config_from_files(&cert, &key, &roots).unwrap();
    ClientTls::from_files(&cert, &key, &roots).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = |result: Result<(), TlsError>| matches!(result, Err(TlsError::File(KeyFileError::TooWide { .. })));
    assert!(refused(server_config_from_files(&cert, &key, &roots).map(drop)));
    assert!(refused(ClientTls::from_files(&cert, &key, &roots).map(drop)));
}

#[test]
fn a_key_of_another_certificate_is_refused_at_start() {
    let ca = new_ca();
    let (own, other) = (issue(&ca, COORDINATOR), issue(&ca, COORDINATOR));
    let mixed = server_config(&own.cert_pem, &other.key_pem, ca.cert_pem());
    assert!(matches!(mixed, Err(TlsError::Rustls(rustls::Error::InconsistentKeys(_)))), "{mixed:?}");
    let mixed = ClientTls::new(&own.cert_pem, &other.key_pem, ca.cert_pem()).map(drop);
    assert!(matches!(mixed, Err(TlsError::Rustls(rustls::Error::InconsistentKeys(_)))), "{mixed:?}");
}

#[tokio::test]
async fn the_negotiated_version_is_tls_1_3_and_the_group_x25519mlkem768() {
    let ca = new_ca();
    let mut server = Server::start(coordinator(&ca)).await;
    let (ours, theirs) = server.accepts(&client(&ca, &issue(&ca, HOLDER))).await;
    assert_eq!(ours.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let group = |group: Option<&dyn rustls::crypto::SupportedKxGroup>| group.unwrap().name();
    assert_eq!(group(ours.get_ref().1.negotiated_key_exchange_group()), NamedGroup::X25519MLKEM768);
    assert_eq!(group(theirs.session().negotiated_key_exchange_group()), NamedGroup::X25519MLKEM768);
    assert_eq!(theirs.session().alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn another_application_protocol_or_none_is_refused() {
    let ca = new_ca();
    let mut server = Server::start(coordinator(&ca)).await;
    let own = issue(&ca, HOLDER);
    for (protocols, alert) in [(vec![b"http/1.1".to_vec()], Some(AlertDescription::NoApplicationProtocol)), (vec![], None)] {
        let mut config = (*client(&ca, &own).config()).clone();
        config.alpn_protocols = protocols;
        // Without a protocol the handshake ends well, and then the server hangs up: no alert.
        assert_eq!(server.alert_for(Arc::new(config)).await, alert);
    }
    server.accepts(&client(&ca, &own)).await;
}

#[tokio::test]
async fn a_new_configuration_applies_to_the_next_connection_only() {
    let ca = new_ca();
    let first = issue(&ca, COORDINATOR);
    let second = issue(&ca, COORDINATOR);
    let tls = client(&ca, &issue(&ca, HOLDER));
    let seen =
        |stream: &TlsStream<TcpStream>| PeerIdentity::from_leaf(&stream.get_ref().1.peer_certificates().unwrap()[0]).unwrap().cert_sha256;
    let of = |own: &Issued| PeerIdentity::from_pem(&own.cert_pem).unwrap().cert_sha256;
    let config = |own: &Issued| server_config(&own.cert_pem, &own.key_pem, ca.cert_pem()).unwrap();
    let mut server = Server::start(config(&first)).await;
    let (mut old, mut old_end) = server.accepts(&tls).await;
    assert_eq!(seen(&old), of(&first));
    // The acceptor reads the configuration after it has the connection, so this one must see the new one.
    server.config.send(config(&second)).unwrap();
    let (new, _new_end) = server.accepts(&tls).await;
    assert_eq!(seen(&new), of(&second));
    old.write_all(b"x").await.unwrap();
    assert_eq!(old_end.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_client_that_would_resume_must_show_its_certificate_again() {
    let ca = new_ca();
    let mut server = Server::start(coordinator(&ca)).await;
    let mut config = (*client(&ca, &issue(&ca, HOLDER)).config()).clone();
    config.resumption = rustls::client::Resumption::default();
    let config = Arc::new(config);
    for _ in 0..2 {
        let name = trust_domain().coordinator_dns_name().try_into().unwrap();
        let tcp = TcpStream::connect(server.addr).await.unwrap();
        let mut ours = TlsConnector::from(config.clone()).connect(name, tcp).await.unwrap();
        let mut theirs = server.next().await;
        // A ticket would come before these bytes.
        theirs.write_all(b"!").await.unwrap();
        theirs.flush().await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'!');
        assert_eq!(theirs.session().handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[tokio::test]
async fn a_silent_client_holds_its_slot_only_until_the_timeout() {
    let ca = new_ca();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let (_sender, receiver) = watch::channel(coordinator(&ca));
    let timeout = Duration::from_millis(300);
    let mut one_at_a_time = incoming_with(listener, receiver, 1, timeout);
    let mut silent = TcpStream::connect(&addr).await.unwrap();
    let started = std::time::Instant::now();
    let tls = client(&ca, &issue(&ca, HOLDER));
    // With one slot, the good client must wait for the silent one; both the bound and the timeout show.
    let both = async { tokio::join!(connect_tls(&addr, &tls), one_at_a_time.next()) };
    let (ours, theirs) = tokio::time::timeout(SOON, both).await.unwrap();
    assert!(ours.is_ok() && theirs.unwrap().is_ok());
    assert!(started.elapsed() >= timeout);
    assert_eq!(tokio::time::timeout(SOON, silent.read(&mut [0; 1])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_silent_client_does_not_delay_another() {
    let ca = new_ca();
    let mut server = Server::start(coordinator(&ca)).await;
    let _silent = TcpStream::connect(server.addr).await.unwrap();
    let tls = client(&ca, &issue(&ca, HOLDER));
    let accepted = tokio::time::timeout(crate::acceptor::HANDSHAKE_TIMEOUT / 2, server.accepts(&tls)).await;
    assert!(accepted.is_ok());
}

/// The smallest service: it answers with the id that the handler finds in the request.
#[derive(Clone)]
struct WhoAmI;

impl NamedService for WhoAmI {
    const NAME: &'static str = "test.WhoAmI";
}

impl Service<http::Request<Body>> for WhoAmI {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let peer: &PeerInfo = request.extensions().get().unwrap();
        let response = http::Response::builder().header("who", peer.id().to_string()).body(Body::empty());
        std::future::ready(Ok(response.unwrap()))
    }
}

#[tokio::test]
async fn a_handler_finds_the_peer_of_its_own_channel() {
    let ca = new_ca();
    let server = Server::start(coordinator(&ca)).await;
    let addr = server.addr.to_string();
    let serving = tokio::spawn(tonic::transport::Server::builder().add_service(WhoAmI).serve_with_incoming(server.incoming));
    for uri in [HOLDER, "spiffe://commun.example/agency/statbel/user/a"] {
        let mut channel = channel(&addr, &client(&ca, &issue(&ca, uri))).await.unwrap();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
        let request = http::Request::post("/test.WhoAmI/Ask").body(Body::empty()).unwrap();
        let response = tokio::time::timeout(SOON, channel.call(request)).await.unwrap().unwrap();
        let who: SpiffeId = response.headers()["who"].to_str().unwrap().parse().unwrap();
        assert_eq!(who, uri.parse().unwrap());
    }
    serving.abort();
}

#[tokio::test]
async fn a_channel_to_nowhere_says_what_to_check() {
    let ca = new_ca();
    // Bound and never listening again: nobody answers at this port.
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let error = channel(&addr, &client(&ca, &issue(&ca, HOLDER))).await.unwrap_err().to_string();
    assert!(error.contains(&format!("cannot reach the coordinator at {addr}")), "{error}");
    assert!(error.contains("check the address"), "{error}");
}
