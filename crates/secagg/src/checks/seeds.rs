//! The end: b and u that came out of shares are those that were committed to in R1.

use commun_domain::Hash32;
use curve25519_dalek::Scalar;

use crate::context::{commitment, mask_secret};
use crate::crypto::exchange::ExchangeKey;
use crate::refused::Refused;
use crate::wire::KeyEntry;

/// b is what the member committed to. Both are known to whoever asks, so time tells nothing.
pub(crate) fn b_fits(manifest: Hash32, entry: &KeyEntry, b: &Scalar) -> bool {
    commitment(manifest, entry.index, b) == entry.commitment
}

/// The private key that u gives, if it is that of the member's mask key.
pub(crate) fn u_fits(manifest: Hash32, entry: &KeyEntry, u: &Scalar) -> Result<Option<ExchangeKey>, Refused> {
    let key = ExchangeKey::new(&mask_secret(manifest, entry.index, u)?)?;
    Ok((key.public()? == entry.mask_key).then_some(key))
}
