//! Signatures.

use commun_domain::encoding::sha256;
use commun_domain::signed::{Signature, SignedDocument};
use commun_domain::{Document, PublicKey};
use commun_trust::sign::{SignError, public_key, sign, signed, signers, verify};
use ed25519_dalek::Verifier;

use crate::common::{agency_key, officer_key, officers, permit, query, signed_by, stranger_key};

#[test]
fn a_signature_belongs_to_one_key_and_one_document() {
    let document = signed(&permit(), &officer_key(1));
    assert!(verify(&document, &public_key(&officer_key(1))));
    assert!(!verify(&document, &public_key(&officer_key(2))));
    let mut other = SignedDocument::unsigned(&query());
    other.signatures.clone_from(&document.signatures);
    assert!(!verify(&other, &public_key(&officer_key(1))));
}

#[test]
fn what_is_signed_is_the_prefix_and_the_hash_of_the_bytes() {
    let document = signed(&permit(), &officer_key(1));
    let signature = ed25519_dalek::Signature::from_bytes(&document.signatures[0].signature);
    let message = [b"commun-signature/v1\0".as_slice(), sha256(&permit().to_bytes()).as_bytes()].concat();
    let key = officer_key(1).verifying_key();
    assert!(key.verify(&message, &signature).is_ok());
    assert!(key.verify(&permit().to_bytes(), &signature).is_err());
}

#[test]
fn no_changed_byte_keeps_a_signature() {
    let good = signed(&query(), &agency_key());
    let key = public_key(&agency_key());
    assert!(verify(&good, &key));
    for place in (0..good.bytes.0.len()).step_by(11) {
        let mut changed = good.clone();
        changed.bytes.0[place] ^= 1;
        assert!(!verify(&changed, &key), "byte {place} of the document");
    }
    for place in 0..64 {
        let mut changed = good.clone();
        changed.signatures[0].signature[place] ^= 0x10;
        assert!(!verify(&changed, &key), "byte {place} of the signature");
    }
}

#[test]
fn a_key_does_not_sign_twice_and_counts_once() {
    let mut document = signed_by(&permit(), &officers());
    assert_eq!(sign(&mut document, &officer_key(1)), Err(SignError::Twice(public_key(&officer_key(1)).id())));
    assert_eq!(document.signatures.len(), 2);
    document.signatures.push(document.signatures[0].clone());
    let keys = [1, 2, 3].map(|n| public_key(&officer_key(n)));
    assert_eq!(signers(&document, &keys).unwrap().into_iter().collect::<Vec<_>>().len(), 2);
}

#[test]
fn one_false_signature_spoils_the_document_and_a_strangers_counts_for_nothing() {
    let keys = [1, 2, 3].map(|n| public_key(&officer_key(n)));
    let document = signed_by(&permit(), &[officer_key(1), officer_key(2), stranger_key()]);
    assert_eq!(signers(&document, &keys).unwrap().len(), 2);
    let mut spoilt = document;
    spoilt.signatures.push(Signature { key: keys[2].id(), signature: spoilt.signatures[0].signature });
    assert_eq!(signers(&spoilt, &keys), Err(SignError::Invalid(keys[2].id())));
}

#[test]
fn a_key_of_small_order_signs_nothing() {
    // The identity point: with R the identity and s = 0, the equation of RFC 8032 holds for every message.
    let mut identity = [0; 32];
    identity[0] = 1;
    let key = PublicKey::from_bytes(identity);
    let mut forged = SignedDocument::unsigned(&permit());
    let mut signature = [0; 64];
    signature[0] = 1;
    forged.signatures.push(Signature { key: key.id(), signature });
    let lenient = ed25519_dalek::VerifyingKey::from_bytes(&identity).unwrap();
    let message = [b"commun-signature/v1\0".as_slice(), sha256(&permit().to_bytes()).as_bytes()].concat();
    assert!(lenient.verify(&message, &ed25519_dalek::Signature::from_bytes(&signature)).is_ok(), "the attack works on plain verification");
    assert!(!verify(&forged, &key));
}
