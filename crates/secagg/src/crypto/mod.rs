//! The cryptography, each piece behind a small function: nothing outside this folder calls a library's primitive, except for hashing
//! public documents.

pub(crate) mod exchange;
pub(crate) mod masks;
pub(crate) mod reed_solomon;
pub(crate) mod seal;
pub(crate) mod shamir;
pub(crate) mod sign;
pub(crate) mod wide;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use curve25519_dalek::Scalar;
use zeroize::Zeroizing;

use crate::refused::Refused;

/// A secret of 32 bytes, wiped when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// 32 bytes from the operating system.
pub(crate) fn random_secret() -> Result<Secret, Refused> {
    let mut bytes = Secret::default();
    getrandom::fill(bytes.as_mut()).map_err(|_| Refused::Fault)?;
    Ok(bytes)
}

/// Uniform scalars from the operating system: 64 bytes each, reduced.
pub(crate) fn random_scalars(count: usize) -> Result<Zeroizing<Vec<Scalar>>, Refused> {
    let mut bytes = Zeroizing::new(vec![0; 64 * count]);
    getrandom::fill(&mut bytes).map_err(|_| Refused::Fault)?;
    Ok(Zeroizing::new(bytes.as_chunks().0.iter().map(Scalar::from_bytes_mod_order_wide).collect()))
}

/// HKDF-SHA-256 (RFC 5869) without salt: a key of 32 bytes for one use, which `info` names.
pub(crate) fn derive(secret: &[u8], info: &[u8]) -> Result<Secret, Refused> {
    let mut key = Secret::default();
    let prk = Salt::none(HKDF_SHA256).extract(secret);
    let okm = prk.expand(&[info], KeyOf32).and_then(|okm| okm.fill(key.as_mut()));
    okm.map_err(|_| Refused::Fault)?;
    Ok(key)
}

/// The length that [`derive`] asks for.
struct KeyOf32;

impl KeyType for KeyOf32 {
    fn len(&self) -> usize {
        32
    }
}
