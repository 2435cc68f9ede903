//! What each hash and key derivation covers: a tag, `H_M` and, once they exist, H(U1) and H(U2), and the indices of whom it concerns.

use commun_domain::encoding::{Encode, sha256};
use commun_domain::{Document, Hash32};
use curve25519_dalek::Scalar;
use sha2::{Digest, Sha256};

use crate::crypto::{Secret, derive};
use crate::refused::Refused;
use crate::wire::{Context, KeyEntry, KeyList, KeyStatement, SenderSet, info};

/// `Hb_i`: the commitment to b that is signed in R1. b is uniform over 2^252 values, so the hash hides it.
pub(crate) fn commitment(manifest: Hash32, index: u32, b: &Scalar) -> Hash32 {
    let mut hasher = Sha256::new();
    hasher.update(info("commun/secagg-commitment/v1", &[&manifest, &index]));
    hasher.update(b.as_bytes());
    Hash32::from_bytes(hasher.finalize().into())
}

/// The X25519 secret for pair masks, from its seed u.
pub(crate) fn mask_secret(manifest: Hash32, index: u32, u: &Scalar) -> Result<Secret, Refused> {
    derive(u.as_bytes(), &info("commun/secagg-mask-key/v1", &[&manifest, &index]))
}

/// Names the key that seals the shares of `from` for `to`.
pub(crate) fn seal_info(manifest: Hash32, keys: Hash32, from: u32, to: u32) -> Vec<u8> {
    info("commun/secagg-share-box/v1", &[&manifest, &keys, &from, &to])
}

/// Names the pair mask of two members, the same at both ends.
pub(crate) fn pair_info(context: &Context, one: u32, other: u32) -> Vec<u8> {
    info("commun/secagg-pair/v1", &[context, &one.min(other), &one.max(other)])
}

/// The key of a member's own mask, from b.
pub(crate) fn self_key(context: &Context, index: u32, b: &Scalar) -> Result<Secret, Refused> {
    derive(b.as_bytes(), &info("commun/secagg-self/v1", &[context, &index]))
}

/// What a member signs in R1.
pub(crate) fn key_statement(manifest: Hash32, entry: &KeyEntry) -> KeyStatement {
    let KeyEntry { index, seal_key, mask_key, commitment, .. } = *entry;
    KeyStatement { manifest, index, seal_key, mask_key, commitment }
}

/// The view after R2, from H(U1) and U2.
pub(crate) fn context(list: &KeyList, keys: Hash32, senders: &[u32]) -> Context {
    let set = SenderSet { manifest: list.manifest, keys, senders: senders.to_vec() };
    Context { manifest: list.manifest, keys, senders: set.hash() }
}

/// H(transcript): `H_M`, H(U1), H(U2) and H(U3). Agents and coordinator compute it, and it is published with the result, so that every
/// survivor can see that its view is the published one.
pub(crate) fn transcript(context: &Context, survivors: &Hash32) -> Hash32 {
    let mut bytes = Vec::with_capacity(192);
    "commun/secagg-transcript/v1".encode(&mut bytes);
    context.encode(&mut bytes);
    survivors.encode(&mut bytes);
    sha256(&bytes)
}
