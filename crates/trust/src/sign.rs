//! Ed25519 signatures over documents, with domains kept apart.
//!
//! What is signed is `"commun-signature/v1\0" || SHA-256(document bytes)`: the prefix keeps a signature of ours from meaning anything in
//! another protocol (and the other way round), and the document's own tag, first in its bytes, keeps a permit's signature from being
//! a query's. Verification is `verify_strict` (no small-order keys, no malleable signatures), so that all parties agree on every signature.
//!
//! Who must sign what is not decided here but in `state`, `admit` and `manifest`.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::encoding::{Document, sha256};
use commun_domain::signed::{Signature, SignedDocument};
use commun_domain::{KeyId, PublicKey};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

/// First bytes of every signed message.
const PREFIX: &[u8] = b"commun-signature/v1\0";

/// Why a document cannot be signed, or its signatures do not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// This key has signed already; a second signature would count for nothing.
    #[error("the key {} has already signed this document; another person's key must sign next", .0.short())]
    Twice(KeyId),
    /// A signature that names a known key is not that key's signature of these bytes.
    #[error("the signature of key {} does not fit the document; it was changed after signing, or the signature is forged", .0.short())]
    Invalid(KeyId),
}

/// The public half of a signing key as the documents name it.
pub fn public_key(key: &SigningKey) -> PublicKey {
    PublicKey::from_bytes(key.verifying_key().to_bytes())
}

/// Adds the signature of `key`.
pub fn sign(document: &mut SignedDocument, key: &SigningKey) -> Result<(), SignError> {
    let id = public_key(key).id();
    if document.signatures.iter().any(|signature| signature.key == id) {
        return Err(SignError::Twice(id));
    }
    let signature = key.sign(&message(document)).to_bytes();
    document.signatures.push(Signature { key: id, signature });
    Ok(())
}

/// A document with the signature of one key.
pub fn signed(document: &impl Document, key: &SigningKey) -> SignedDocument {
    let mut signed = SignedDocument::unsigned(document);
    let signature = key.sign(&message(&signed)).to_bytes();
    signed.signatures.push(Signature { key: public_key(key).id(), signature });
    signed
}

/// Whether `key` has signed the document. Every signature that names the key must hold, and there must be one.
pub fn verify(document: &SignedDocument, key: &PublicKey) -> bool {
    signers(document, std::slice::from_ref(key)).is_ok_and(|keys| !keys.is_empty())
}

/// Which of `keys` have signed the document. A key counts once however often it signed; a signature that names none of `keys` counts
/// for nothing.
///
/// # Errors
/// A signature that names one of `keys` and does not hold makes the whole document invalid.
pub fn signers(document: &SignedDocument, keys: &[PublicKey]) -> Result<BTreeSet<PublicKey>, SignError> {
    let message = message(document);
    let by_id: BTreeMap<KeyId, &PublicKey> = keys.iter().map(|key| (key.id(), key)).collect();
    let mut found = BTreeSet::new();
    for signature in &document.signatures {
        let Some(&key) = by_id.get(&signature.key) else { continue };
        if found.contains(key) {
            continue;
        }
        let holds = VerifyingKey::from_bytes(key.as_bytes())
            .is_ok_and(|point| point.verify_strict(&message, &ed25519_dalek::Signature::from_bytes(&signature.signature)).is_ok());
        if !holds {
            return Err(SignError::Invalid(signature.key));
        }
        found.insert(*key);
    }
    Ok(found)
}

fn message(document: &SignedDocument) -> Vec<u8> {
    [PREFIX, sha256(&document.bytes.0).as_bytes()].concat()
}
