//! Masks: AES-256-CTR under a key that serves one mask, added to or taken from cells modulo 2^64.
//!
//! A mask is a stream of little-endian `u64`, started anywhere, so that a vector can be worked on in parts. The counter starts at 0 in
//! every stream; a key has one stream.

use std::num::NonZeroUsize;

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use zeroize::Zeroizing;

use super::Secret;
use crate::refused::Refused;

/// Bytes of the stream that are made at a time: they stay in the first cache.
const BLOCK_BYTES: usize = 8_192;

/// Cells in one block of AES.
const CELLS_IN_COUNTER: usize = 2;

/// Most threads of one call.
const MAX_WORKERS: usize = 64;

/// Which way a mask goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Added.
    Plus,
    /// Taken away.
    Minus,
}

/// Applies the mask of `key` to cells of which the first is number `first`, an even number, of the vector.
pub(crate) fn apply(key: &Secret, sign: Sign, first: usize, cells: &mut [u64]) -> Result<(), Refused> {
    let key = UnboundCipherKey::new(&AES_256, key.as_ref()).and_then(EncryptingKey::ctr).map_err(|_| Refused::Fault)?;
    let mut stream = Zeroizing::new([0; BLOCK_BYTES]);
    for (number, block) in cells.chunks_mut(BLOCK_BYTES / 8).enumerate() {
        let used = &mut stream[..block.len() * 8];
        used.fill(0);
        let counter = (first + number * (BLOCK_BYTES / 8)) / CELLS_IN_COUNTER;
        let context = EncryptionContext::Iv128((counter as u128).to_be_bytes().into());
        key.less_safe_encrypt(used, context).map_err(|_| Refused::Fault)?;
        let words = used.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        match sign {
            Sign::Plus => block.iter_mut().zip(words).for_each(|(cell, word)| *cell = cell.wrapping_add(word)),
            Sign::Minus => block.iter_mut().zip(words).for_each(|(cell, word)| *cell = cell.wrapping_sub(word)),
        }
    }
    Ok(())
}

/// Cells of each part, for at most `workers` and [`MAX_WORKERS`] parts, which start at a block of the stream.
fn cells_of_part(cells: usize, workers: NonZeroUsize) -> usize {
    cells.div_ceil(workers.get().min(MAX_WORKERS)).next_multiple_of(BLOCK_BYTES / 8)
}

/// Applies many masks to a whole vector, on `workers` threads (at most 64) that each take a part of it. A thread that cannot be started is a
/// [`Refused::Fault`].
pub(crate) fn apply_all(masks: &[(Secret, Sign)], cells: &mut [u64], workers: NonZeroUsize) -> Result<(), Refused> {
    let part = cells_of_part(cells.len(), workers);
    let one_part = |number: usize, cells: &mut [u64]| masks.iter().try_for_each(|(key, sign)| apply(key, *sign, number * part, cells));
    if workers.get() == 1 {
        return one_part(0, cells);
    }
    std::thread::scope(|scope| {
        let mut started = Vec::new();
        for (number, cells) in cells.chunks_mut(part).enumerate() {
            let worker = std::thread::Builder::new().spawn_scoped(scope, move || one_part(number, cells));
            started.push(worker.map_err(|_| Refused::Fault)?);
        }
        started.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(Refused::Fault)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_stream_is_aes_256_in_counter_mode() {
        // AES-256 of the all-zero block under the all-zero key, a known answer.
        let mut cells = [0; 2];
        apply(&Secret::default(), Sign::Plus, 0, &mut cells).unwrap();
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
        assert_eq!(bytes, [0xdc, 0x95, 0xc0, 0x78, 0xa2, 0x40, 0x89, 0x89, 0xad, 0x48, 0xa2, 0x14, 0x92, 0x84, 0x20, 0x87]);
    }

    #[test]
    fn no_number_of_workers_starts_more_threads_than_the_limit() {
        for workers in [1, 63, 64, 65, 100_000, usize::MAX] {
            let part = cells_of_part(1 << 24, NonZeroUsize::new(workers).unwrap());
            assert!((1usize << 24).div_ceil(part) <= workers.min(MAX_WORKERS));
        }
    }

    #[test]
    fn a_mask_cancels_and_is_the_same_in_parts() {
        let key = Secret::new([7; 32]);
        let plain: Vec<u64> = (0..5_001).collect();
        let mut whole = plain.clone();
        apply(&key, Sign::Plus, 0, &mut whole).unwrap();
        assert!(whole.iter().zip(&plain).all(|(masked, cell)| masked != cell));
        let mut parts = plain.clone();
        let (head, tail) = parts.split_at_mut(1_110);
        apply(&key, Sign::Plus, 1_110, tail).unwrap();
        apply(&key, Sign::Plus, 0, head).unwrap();
        assert_eq!(parts, whole);
        for workers in 1..9 {
            let mut threaded = plain.clone();
            let masks = [(key.clone(), Sign::Plus), (Secret::new([8; 32]), Sign::Plus), (Secret::new([8; 32]), Sign::Minus)];
            apply_all(&masks, &mut threaded, NonZeroUsize::new(workers).unwrap()).unwrap();
            assert_eq!(threaded, whole);
        }
        apply(&key, Sign::Minus, 0, &mut whole).unwrap();
        assert_eq!(whole, plain);
    }
}
