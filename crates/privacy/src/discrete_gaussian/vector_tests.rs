//! The sampler against vectors of an independent implementation in rational numbers (`tests/vectors/discrete_gaussian.py`).
#![allow(clippy::unwrap_used, reason = "a broken vector file must fail the test")]

use super::DiscreteGaussian;
use rand_core::RngCore;
use serde_json::Value;
use sha2::{Digest, Sha256};

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/discrete_gaussian.json"));

/// The script's stream of bytes: block `i` is `SHA-256(label || i)`.
struct ScriptBytes {
    label: String,
    block: u64,
    waiting: Vec<u8>,
    used: u64,
}

impl RngCore for ScriptBytes {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dst: &mut [u8]) {
        while self.waiting.len() < dst.len() {
            let mut hash = Sha256::new();
            hash.update(self.label.as_bytes());
            hash.update(self.block.to_le_bytes());
            self.waiting.extend_from_slice(&hash.finalize());
            self.block += 1;
        }
        let rest = self.waiting.split_off(dst.len());
        dst.copy_from_slice(&self.waiting);
        self.waiting = rest;
        self.used += dst.len() as u64;
    }
}

#[test]
fn p2_the_sampler_repeats_the_vectors_of_the_rational_implementation_byte_for_byte() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let s2 = case["s2"].as_u64().unwrap();
        let expected: Vec<i64> = case["samples"].as_array().unwrap().iter().map(|sample| sample.as_i64().unwrap()).collect();
        assert_eq!(expected.len(), 64);
        let mut bytes = ScriptBytes { label: case["label"].as_str().unwrap().to_owned(), block: 0, waiting: Vec::new(), used: 0 };
        let gaussian = DiscreteGaussian::new(s2).unwrap();
        let drawn: Vec<i64> = expected.iter().map(|_| gaussian.sample(&mut bytes).unwrap()).collect();
        assert_eq!(drawn, expected, "s2 = {s2}");
        assert_eq!(bytes.used, case["bytes_used"].as_u64().unwrap(), "bytes for s2 = {s2}");
    }
}
