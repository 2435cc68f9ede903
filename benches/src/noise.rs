//! Samples a second of the exact discrete Gaussian, one thread.

use std::hint::black_box;
use std::time::Instant;

use commun_privacy::discrete_gaussian::DiscreteGaussian;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::Figure;

const SAMPLES: u32 = 1_000_000;

/// One figure for the demo's variance, one for the largest.
pub(crate) fn measure(repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    [(535, "noise, s^2 = 535 (the demo's)"), (1 << 56, "noise, s^2 = 2^56 (the largest)")]
        .into_iter()
        .map(|(s2, name)| {
            let sampler = DiscreteGaussian::new(s2)?;
            let mut rng = ChaCha20Rng::from_seed([7; 32]);
            let mut values = Vec::new();
            for _ in 0..repetitions {
                let start = Instant::now();
                for _ in 0..SAMPLES {
                    black_box(sampler.sample(&mut rng)?);
                }
                values.push(f64::from(SAMPLES) / start.elapsed().as_secs_f64() / 1e6);
            }
            Ok(Figure::new(name, "million samples/s", values))
        })
        .collect()
}
