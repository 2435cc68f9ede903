//! Who may connect, and as what: certificates that are missing, past, another's, or of another role.

use std::sync::Arc;
use std::time::Duration;

use commun_domain::WireCode;
use commun_domain::clock::{Clock as _, SystemClock};
use commun_identity::{Ca, Validity, keyfile};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::child::run;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, TRUST_DOMAIN, commutes, text};

/// Issues a certificate by a CA into a folder of `pki/`.
fn issue(federation: &Federation, ca: &Ca, role: &str, validity: Validity, folder: &str) {
    let issued = ca.issue(&format!("spiffe://{TRUST_DOMAIN}/{role}").parse().unwrap(), validity).unwrap();
    let folder = federation.path("pki").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    keyfile::write_private(&folder.join("tls.key"), issued.key_pem.as_bytes()).unwrap();
    std::fs::write(folder.join("tls.crt"), issued.cert_pem).unwrap();
}

#[test]
fn a_certificate_of_another_role_may_not_call_and_is_told_which_may() {
    let mut federation = Federation::running(Setup::default());
    let question = federation.signed_question("0.01", &commutes(MONTH));
    for (profile, party) in [("officer", "officers/apd-1"), ("holder", "holders/telco-1"), ("operator", "operators/operator")] {
        federation.write_profile(profile, party, None);
        let refusal = federation.submit_as(profile, &question).unwrap_err();
        assert_eq!(refusal.code, WireCode::NotPermitted, "{profile}");
        assert!(refusal.hint.contains("agency"), "{profile}: {}", refusal.hint);
    }
    let permit = text(&federation.path("permit.signed"));
    federation.commun(&["permit", "publish", &permit]).refuses(2, "NOT_PERMITTED", &["officer"]);
    federation.commun(&["status"]).refuses(2, "NOT_PERMITTED", &["operator"]);
    federation.commun_as("operator", &["status"]).done();
    federation.commun_as("operator", &["permit", "publish", &permit]).refuses(2, "NOT_PERMITTED", &["officer"]);
    // The right role of another agency: the permit is not its own.
    federation.write_profile("other", "agencies/other/analyst", None);
    assert_eq!(federation.submit_as("other", &question).unwrap_err().code, WireCode::NotPermitted);
    federation.stop();
    assert!(federation.journal(0).is_empty(), "the holder was asked");
}

#[test]
fn an_agent_with_somebody_elses_certificate_does_not_start() {
    let federation = Federation::build(Setup { holders: 2, ..Setup::default() });
    let config = federation.write_agent(0);
    let good = std::fs::read_to_string(&config).unwrap();
    for other in ["holders/telco-2", "agencies/statbel/analyst"] {
        let tls = |text: &str| text.replace("pki/holders/telco-1/tls", &format!("pki/{other}/tls"));
        std::fs::write(&config, tls(&good)).unwrap();
        run("commun-agent", ["run", "--config", &text(&config)]).says(64, &["spiffe://sandbox.commun/holder/telco-1"]);
    }
}

#[test]
fn a_certificate_that_is_past_or_of_another_ca_does_not_get_in() {
    let mut federation = Federation::running(Setup::default());
    let ca = Ca::from_files(&federation.path("pki/ca/ca.crt"), &federation.path("pki/ca/ca.key")).unwrap();
    let now = SystemClock.now_unix();
    let day = Validity::days(now, 1);
    let past = Validity { not_before_unix: now - 7200, not_after_unix: now - 3600 };
    let stranger = Ca::create(&TRUST_DOMAIN.parse().unwrap(), day).unwrap();
    issue(&federation, &ca, "agency/statbel/user/analyst", day, "good");
    issue(&federation, &ca, "agency/statbel/user/analyst", past, "past");
    issue(&federation, &stranger, "agency/statbel/user/analyst", day, "forged");
    let key = Some("pki/agencies/statbel/analyst/query.key");
    for (party, code) in [("good", 0), ("past", 1), ("forged", 1)] {
        federation.write_profile(party, party, key);
        let asked = federation.commun_as(party, &["query", "--rho", "0.01", &commutes(MONTH)]);
        assert_eq!(asked.code, Some(code), "{party}: {}", asked.err);
        if code != 0 {
            asked.refuses(1, "UNAVAILABLE", &["cannot be reached", "certificate"]);
        }
    }
    federation.assert_runs();
}

/// Whether the coordinator keeps a TLS connection open and says something on it.
fn is_let_in(federation: &Federation, own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>) -> bool {
    let ca = std::fs::read(federation.path("pki/ca/ca.crt")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = TRUST_DOMAIN.parse::<commun_identity::TrustDomain>().unwrap().coordinator_dns_name();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(federation.address()).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let Ok(mut stream) = connector.connect(ServerName::try_from(name).unwrap(), tcp).await else { return false };
        // In TLS 1.3 the client is done before the server has judged it: only what comes back tells. HTTP/2 begins with a preface.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        if stream.write_all(preface).await.is_err() {
            return false;
        }
        let mut first = [0; 9];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut first)).await;
        read.expect("neither an answer nor the end of the connection").is_ok()
    })
}

#[test]
fn p11_a_client_without_a_certificate_is_shut_out_and_the_same_with_one_is_not() {
    let mut federation = Federation::build(Setup::default());
    federation.start_coordinator(None);
    assert!(!is_let_in(&federation, None));
    let folder = federation.path("pki/agencies/statbel/analyst");
    let chain = vec![CertificateDer::from_pem_file(folder.join("tls.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("tls.key")).unwrap();
    assert!(is_let_in(&federation, Some((chain, key))));
    federation.assert_runs();
}
