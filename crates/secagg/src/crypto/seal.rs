//! A pair of shares for one member's eyes: ChaCha20-Poly1305 (RFC 8439) under a key that serves one pair, one direction, one attempt.
//!
//! The nonce is zero because each key seals once: the key's derivation names sender, recipient, manifest and H(U1), and an agent seals
//! once in an attempt. The same bytes are the associated data.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use curve25519_dalek::Scalar;
use zeroize::Zeroizing;

use super::Secret;
use crate::refused::Refused;
use crate::wire::BOX_BYTES;

/// Shares of one member's b and u.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharePair {
    /// Of b, which removes the member's own mask.
    pub(crate) b: Scalar,
    /// Of u, which removes its pair masks.
    pub(crate) u: Scalar,
}

impl zeroize::Zeroize for SharePair {
    fn zeroize(&mut self) {
        self.b.zeroize();
        self.u.zeroize();
    }
}

fn cipher(key: &Secret) -> Result<LessSafeKey, Refused> {
    UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).map(LessSafeKey::new).map_err(|_| Refused::Fault)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Seals a pair under a key that seals nothing else.
pub(crate) fn seal(key: &Secret, info: &[u8], pair: &SharePair) -> Result<[u8; BOX_BYTES], Refused> {
    let mut plain = Zeroizing::new([0; 64]);
    plain[..32].copy_from_slice(pair.b.as_bytes());
    plain[32..].copy_from_slice(pair.u.as_bytes());
    seal_bytes(key, info, &plain)
}

/// Seals the bytes of a pair.
pub(crate) fn seal_bytes(key: &Secret, info: &[u8], plain: &[u8; 64]) -> Result<[u8; BOX_BYTES], Refused> {
    let mut sealed = [0; BOX_BYTES];
    let (text, tag) = sealed.split_at_mut(64);
    text.copy_from_slice(plain);
    let made = cipher(key)?.seal_in_place_separate_tag(nonce(), Aad::from(info), text).map_err(|_| Refused::Fault)?;
    tag.copy_from_slice(made.as_ref());
    Ok(sealed)
}

/// Opens what [`seal`] made with the same key and info; the shares must be canonical.
pub(crate) fn open(key: &Secret, info: &[u8], sealed: &[u8; BOX_BYTES]) -> Result<SharePair, Refused> {
    let mut bytes = Zeroizing::new(*sealed);
    let text = cipher(key)?.open_in_place(nonce(), Aad::from(info), bytes.as_mut()).map_err(|_| Refused::Sealed)?;
    let (b, u) = text.split_at(32);
    Ok(SharePair { b: canonical(b)?, u: canonical(u)? })
}

/// A scalar from its one encoding.
pub(crate) fn canonical(bytes: &[u8]) -> Result<Scalar, Refused> {
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| Refused::ShareValue)?;
    Scalar::from_canonical_bytes(bytes).into_option().ok_or(Refused::ShareValue)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::{random_scalars, random_secret};
    use super::*;

    #[test]
    fn a_box_opens_with_its_key_and_context_only() {
        let scalars = random_scalars(2).unwrap();
        let pair = SharePair { b: scalars[0], u: scalars[1] };
        let (key, other) = (random_secret().unwrap(), random_secret().unwrap());
        let sealed = seal(&key, b"context", &pair).unwrap();
        assert!(open(&key, b"context", &sealed) == Ok(pair));
        assert!(open(&key, b"another", &sealed) == Err(Refused::Sealed));
        assert!(open(&other, b"context", &sealed) == Err(Refused::Sealed));
        for place in [0, 31, 63, 64, 79] {
            let mut changed = sealed;
            changed[place] ^= 1;
            assert!(open(&key, b"context", &changed) == Err(Refused::Sealed));
        }
    }

    #[test]
    fn a_share_has_one_encoding() {
        let mut largest = (Scalar::ZERO - Scalar::ONE).to_bytes();
        assert!(canonical(&largest).is_ok());
        // The order itself, a second encoding of 0.
        largest[0] += 1;
        assert_eq!(canonical(&largest), Err(Refused::ShareValue));
        assert_eq!(canonical(&[0xff; 32]), Err(Refused::ShareValue));
        assert_eq!(canonical(&[0; 31]), Err(Refused::ShareValue));
    }
}
