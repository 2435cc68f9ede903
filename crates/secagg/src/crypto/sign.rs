//! Ed25519 signatures of members over statements of this protocol.
//!
//! What is signed is `"commun-secagg-signature/v1\0" || SHA-256(document bytes)`: a domain of its own, and the statement's tag keeps the
//! rounds apart. Verification is strict, so that all parties agree on every signature.

use commun_domain::Document;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::refused::Refused;

/// First bytes of every signed message.
const PREFIX: &[u8] = b"commun-secagg-signature/v1\0";

fn message(statement: &impl Document) -> Vec<u8> {
    [PREFIX, statement.hash().as_bytes()].concat()
}

/// Signs a statement.
pub(crate) fn sign(statement: &impl Document, key: &SigningKey) -> [u8; 64] {
    key.sign(&message(statement)).to_bytes()
}

/// Checks a signature of a statement.
pub(crate) fn verify(statement: &impl Document, signature: &[u8; 64], key: &VerifyingKey) -> Result<(), Refused> {
    key.verify_strict(&message(statement), &Signature::from_bytes(signature)).map_err(|_| Refused::Signature)
}
