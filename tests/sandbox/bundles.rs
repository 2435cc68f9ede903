//! A second trust bundle while everything runs: what was signed before it stays good, and the new officers decide from then on.

use commun_cli::client::Client;
use commun_cli::profile::Profile;
use commun_domain::Document as _;
use commun_domain::bundle::TrustBundle;
use commun_domain::log::LogEntry;
use commun_domain::signed::SignedDocument;
use commun_trust::sign;
use ed25519_dalek::SigningKey;

use crate::harness::documents::PermitSpec;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes};

/// Trust bundle 2, in which another person holds the office apd-2, signed as the rules want it.
fn second_bundle(federation: &Federation, successor: &SigningKey) -> SignedDocument {
    let first = federation.signed("pki/bundle-1");
    let bundle = TrustBundle::from_bytes(&first.bytes.0).unwrap();
    let mut next = TrustBundle { version: 2, previous: Some(first.document_hash()), ..bundle };
    let office = next.officers.iter_mut().find(|officer| officer.office == "apd-2").unwrap();
    office.key = sign::public_key(successor);
    let mut signed = SignedDocument::unsigned(&next);
    for name in ["root/root.key", "officers/apd-1/officer.key", "officers/apd-2/officer.key"] {
        commun_trust::sign(&mut signed, &federation.key(name)).unwrap();
    }
    signed
}

/// Publishes with the certificate of officer apd-1; the number of the entry.
fn publish(federation: &Federation, document: &SignedDocument) -> u64 {
    let profile = Profile::load(Some(&federation.path("officer.toml"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Client::connect(&profile).await?.publish(document).await }).unwrap().entry
}

#[test]
fn after_a_second_trust_bundle_older_documents_are_still_folded_and_answered_by_everyone() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let successor = SigningKey::from_bytes(&[41; 32]);
    assert_eq!(publish(&federation, &second_bundle(&federation, &successor)), 4);
    federation.wait_ready();
    // Client, coordinator and agents hold the permit of the officers before, in the log's order.
    let shown = federation.commun(&["catalog"]).done();
    assert!(shown.contains(&federation.permit.to_string()), "{shown}");
    let asked = federation.query("0.1", &commutes(MONTH));
    assert!(!asked.err.contains("not accepted"), "{}", asked.err);
    asked.done();

    // A permit that the officers of bundle 1 sign now counts for nothing; one of the officers of bundle 2 does.
    let spec = PermitSpec { reference: "SANDBOX-2", ..PermitSpec::default() };
    let permit = federation.sign_permit("permit-2", &spec, &["apd-1", "apd-2"]);
    federation.publish("permit-2").refuses(2, "NOT_PERMITTED", &["1 different officer"]);
    let mut signed = federation.signed("permit-2");
    signed.signatures.truncate(1);
    commun_trust::sign(&mut signed, &successor).unwrap();
    publish(&federation, &signed);
    federation.accept(permit);
    for holder in 0..2 {
        federation.take_agent(holder).stop();
        federation.start_agent(holder, None);
    }
    federation.wait_ready();
    let hash = permit.to_string();
    federation.commun(&["query", "--rho", "0.1", "--permit", &hash, "--format", "csv", &commutes("2010-03")]).done();

    federation.stop();
    let kinds: Vec<&str> = federation.log().iter().map(LogEntry::kind).collect();
    assert_eq!(kinds, ["bundle", "roster", "contract", "permit", "bundle", "attempt", "release", "permit", "attempt", "release"]);
    federation.assert_nothing_undercharged(2);
}
