//! Normal numbers for the parametric bootstrap of margins: the released noise, drawn again in public.
//!
//! This is NOT the noise that protects people (`discrete_gaussian`): nothing here looks at data, and nothing released depends on it. Its
//! generator is small, and its seed is the hash of the release, on purpose: everyone who reads a release computes the same margins. Only the
//! operations that IEEE 754 fixes are used, for the same reason.
#![expect(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "post-processing: margins of error are shown")]

use commun_domain::Hash32;

use crate::intervals::normal_quantile;

/// xoshiro256** (Blackman and Vigna 2021), one stream for each row of an answer.
#[derive(Clone, Debug)]
pub(super) struct Resampler {
    state: [u64; 4],
}

impl Resampler {
    pub(super) fn new(seed: &Hash32, stream: u64) -> Self {
        let bytes = seed.as_bytes();
        let mut state = [0u64; 4];
        for (word, chunk) in state.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = mixed(stream ^ chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte)));
        }
        // The one state that never changes.
        if state == [0; 4] {
            state[0] = 1;
        }
        Self { state }
    }

    fn next(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s1.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (t2, t3) = (s2 ^ s0, s3 ^ s1);
        self.state = [s0 ^ t3, s1 ^ t2, t2 ^ (s1 << 17), t3.rotate_left(45)];
        result
    }

    /// A standard normal number, by the inverse of its distribution.
    pub(super) fn normal(&mut self) -> f64 {
        // 52 bits and a half: never 0, never 1.
        normal_quantile(((self.next() >> 12) as f64 + 0.5) / (1u64 << 52) as f64)
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood 2014), so that neighbouring rows have unrelated states.
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use commun_domain::encoding::sha256;

    #[test]
    fn one_release_and_row_give_one_stream_and_others_give_others() {
        let stream = |text: &[u8], row| {
            let mut resampler = Resampler::new(&sha256(text), row);
            [resampler.next(), resampler.next()]
        };
        assert_eq!(stream(b"release", 0), stream(b"release", 0));
        assert_ne!(stream(b"release", 0), stream(b"release", 1));
        assert_ne!(stream(b"release", 0), stream(b"another", 0));
    }

    #[test]
    fn the_generator_is_xoshiro_and_its_numbers_are_normal() {
        // First outputs of the reference implementation from the state 1, 2, 3, 4.
        let mut reference = Resampler { state: [1, 2, 3, 4] };
        let found: [u64; 4] = std::array::from_fn(|_| reference.next());
        assert_eq!(found, [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240]);

        let mut resampler = Resampler::new(&sha256(b"moments"), 7);
        let numbers: Vec<f64> = (0..200_000).map(|_| resampler.normal()).collect();
        let mean = |power: i32| numbers.iter().map(|x| x.powi(power)).sum::<f64>() / numbers.len() as f64;
        // Five standard errors: sqrt(1), sqrt(2), sqrt(15), sqrt(96) over sqrt(200,000).
        for (power, moment, error) in [(1, 0.0, 0.0112), (2, 1.0, 0.0159), (3, 0.0, 0.0434), (4, 3.0, 0.11)] {
            assert!((mean(power) - moment).abs() < error, "moment {power}: {}", mean(power));
        }
    }
}
