//! A peer that speaks only TLS 1.2, at either end. Its messages are written by hand, because the TLS library is built without
//! that version.

use rustls::PeerIncompatible;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{HOLDER, SOON, Server, client, coordinator, issue, new_ca, tls_error};
use crate::connect::{ConnectError, connect_tls};

/// A `ClientHello` of TLS 1.2. With `tls13` it also offers TLS 1.3, without key
/// shares: then the server asks for one, which shows that the rest of the message is in order.
fn client_hello(tls13: bool) -> Vec<u8> {
    let mut extensions = vec![
        0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x1d, // supported_groups: x25519
        0x00, 0x0d, 0, 4, 0, 2, 0x04, 0x03, // signature_algorithms: ecdsa_secp256r1_sha256
        0x00, 0x10, 0, 5, 0, 3, 2, b'h', b'2', // ALPN: h2
    ];
    if tls13 {
        extensions.extend([0x00, 0x2b, 0, 3, 2, 0x03, 0x04]); // supported_versions: 1.3
        extensions.extend([0x00, 0x33, 0, 2, 0, 0]); // key_share: none
    }
    let mut body = vec![0x03, 0x03];
    body.extend([7; 32]);
    body.extend([0, 0, 4, 0xc0, 0x2b, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    record(0x01, &body)
}

/// A handshake message in one TLS record.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap();
    let mut bytes = vec![0x16, 0x03, 0x03];
    bytes.extend((length + 4).to_be_bytes());
    bytes.extend([kind, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(body);
    bytes
}

#[tokio::test]
async fn a_client_that_speaks_only_tls_1_2_is_refused() {
    let ca = new_ca();
    let server = Server::start(coordinator(&ca)).await;
    for (tls13, expected) in [(false, &[0x15, 3, 3, 0, 2, 2, 70][..]), (true, &[0x16, 3, 3])] {
        let mut tcp = TcpStream::connect(server.addr).await.unwrap();
        tcp.write_all(&client_hello(tls13)).await.unwrap();
        let mut answer = vec![0; expected.len()];
        tokio::time::timeout(SOON, tcp.read_exact(&mut answer)).await.unwrap().unwrap();
        // A fatal alert 70, protocol_version (RFC 8446, section 6); or a handshake message, for the control.
        assert_eq!(answer, expected, "TLS 1.3 offered: {tls13}");
    }
}

#[tokio::test]
async fn a_server_that_speaks_only_tls_1_2_is_refused_by_the_client() {
    let ca = new_ca();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let old_server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut hello = [0; 1024];
        assert!(tcp.read(&mut hello).await.unwrap() > 0);
        let mut body = vec![0x03, 0x03];
        body.extend([7; 32]);
        body.extend([0, 0xc0, 0x2b, 0]);
        tcp.write_all(&record(0x02, &body)).await.unwrap();
        // Until the client hangs up.
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    });
    let error = connect_tls(&addr, &client(&ca, &issue(&ca, HOLDER))).await.unwrap_err();
    let ConnectError::Tls { source, .. } = error else { panic!("{error:?}") };
    let expected = rustls::Error::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig);
    assert_eq!(tls_error(&source), Some(&expected));
    old_server.await.unwrap();
}
