//! X25519 (RFC 7748): key pairs, which public keys are accepted, and the key that two members derive for one use.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};

use super::{Secret, derive};
use crate::refused::Refused;

/// 2^255 - 19, little endian.
const PRIME: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
};

/// Canonical u-coordinates of order 1, 2, 4 or 8 on the curve or its twist: 0, 1, two of order 8, and p - 1
/// (as listed by Bernstein, "Curve25519", and checked in the tests by multiplying).
const SMALL_ORDER: [[u8; 32]; 5] = {
    let (mut one, mut minus_one) = ([0; 32], PRIME);
    one[0] = 1;
    minus_one[0] -= 1;
    [
        [0; 32],
        one,
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c,
            0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58,
            0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
        minus_one,
    ]
};

/// Refuses an encoding that is not below p, and a point of small order: every pair of accepted keys has a shared secret, and every point has
/// one encoding, so that equal keys are equal bytes.
pub(crate) fn check_public(key: &[u8; 32]) -> Result<(), Refused> {
    if key.iter().rev().cmp(PRIME.iter().rev()).is_ge() {
        return Err(Refused::KeyEncoding);
    }
    if SMALL_ORDER.contains(key) { Err(Refused::SmallOrder) } else { Ok(()) }
}

/// An X25519 private key. The library wipes its copy when it is dropped.
pub(crate) struct ExchangeKey(PrivateKey);

impl ExchangeKey {
    /// From 32 secret bytes, which X25519 clamps.
    pub(crate) fn new(secret: &Secret) -> Result<Self, Refused> {
        PrivateKey::from_private_key(&X25519, secret.as_ref()).map(Self).map_err(|_| Refused::Fault)
    }

    /// The public key, canonical.
    pub(crate) fn public(&self) -> Result<[u8; 32], Refused> {
        let public = self.0.compute_public_key().map_err(|_| Refused::Fault)?;
        public.as_ref().try_into().map_err(|_| Refused::Fault)
    }

    /// A key that the owners of both keys can derive, for the one use that `info` names. An all-zero shared secret is refused.
    pub(crate) fn derive_with(&self, public: &[u8; 32], info: &[u8]) -> Result<Secret, Refused> {
        agree(&self.0, UnparsedPublicKey::new(&X25519, public), Refused::SmallOrder, |shared| derive(shared, info))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::random_secret;
    use super::*;
    use curve25519_dalek::MontgomeryPoint;

    fn plus(number: &[u8; 32], mut addend: u16) -> [u8; 32] {
        let mut sum = *number;
        for byte in &mut sum {
            addend += u16::from(*byte);
            *byte = addend.to_le_bytes()[0];
            addend >>= 8;
        }
        sum
    }

    #[test]
    fn keys_of_small_order_and_other_encodings_are_refused() {
        let key = ExchangeKey::new(&random_secret().unwrap()).unwrap();
        for point in SMALL_ORDER {
            assert_eq!(check_public(&point), Err(Refused::SmallOrder));
            // 2^254 times the point: the clamped zero scalar, which every clamped one is a multiple of 8 like.
            assert_eq!(MontgomeryPoint(point).mul_clamped([0; 32]).0, [0; 32]);
            assert_eq!(key.derive_with(&point, b"").err(), Some(Refused::SmallOrder));
        }
        for addend in 0..19 {
            assert_eq!(check_public(&plus(&PRIME, addend)), Err(Refused::KeyEncoding));
        }
        let mut high_bit = key.public().unwrap();
        assert_eq!(check_public(&high_bit), Ok(()));
        high_bit[31] |= 0x80;
        assert_eq!(check_public(&high_bit), Err(Refused::KeyEncoding));
        assert_eq!(check_public(&[0xff; 32]), Err(Refused::KeyEncoding));
    }

    #[test]
    fn both_sides_derive_one_key_for_each_use_as_another_library_does() {
        let (secret_a, secret_b) = (random_secret().unwrap(), random_secret().unwrap());
        let (a, b) = (ExchangeKey::new(&secret_a).unwrap(), ExchangeKey::new(&secret_b).unwrap());
        let public_a = MontgomeryPoint::mul_base_clamped(*secret_a).0;
        assert_eq!(a.public().unwrap(), public_a);
        let key = a.derive_with(&b.public().unwrap(), b"use").unwrap();
        assert_eq!(b.derive_with(&public_a, b"use").unwrap(), key);
        assert_ne!(b.derive_with(&public_a, b"another").unwrap(), key);
        let shared = MontgomeryPoint(public_a).mul_clamped(*secret_b).0;
        assert_eq!(derive(&shared, b"use").unwrap(), key);
    }
}
