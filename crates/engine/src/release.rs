//! From exact cells to what may leave: each cell on its lattice, plus a fresh exact discrete Gaussian.
//!
//! There is no seed, no switch and no mode here: the generator is seeded from the operating system in every call (P2), and everything
//! that this function returns carries the full noise that the caller's `OutputNoise` states (P1).

use commun_domain::attempt::OutputNoise;
use commun_privacy::discrete_gaussian::{DiscreteGaussian, SamplerError};
use commun_privacy::lattice::{Lattice, LatticeError};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::Cells;

/// Why nothing was released. None of it depends on data.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// The operating system gave no entropy.
    #[error("the operating system gave no entropy: {0}")]
    Entropy(getrandom::Error),
    /// Not one noise per output.
    #[error("there are {outputs} outputs and {noises} noises")]
    Shape {
        /// Outputs of the cells.
        outputs: usize,
        /// Noises given.
        noises: usize,
    },
    /// The noise cannot be drawn.
    #[error("noise: {0}")]
    Noise(#[from] SamplerError),
    /// The lattice is none of the protocol's.
    #[error("lattice: {0}")]
    Lattice(#[from] LatticeError),
}

/// Quantises every cell and adds noise, per output in grid order, in lattice units.
///
/// A total that does not fit the lattice is clamped to its end, which moves no two neighbours further apart; the sum with the noise is
/// modulo 2^64, as the protocol's. `Lattice::fits_modulus` at planning keeps both from happening with up to 2^33 people in a cell.
pub fn release(cells: &Cells, noise: &[OutputNoise]) -> Result<Vec<Vec<i64>>, ReleaseError> {
    if cells.outputs.len() != noise.len() {
        return Err(ReleaseError::Shape { outputs: cells.outputs.len(), noises: noise.len() });
    }
    let laws = noise.iter().map(|noise| DiscreteGaussian::new(noise.s2)).collect::<Result<Vec<_>, _>>()?;
    let mut generator = fresh_generator()?;
    let mut released = Vec::with_capacity(noise.len());
    for ((totals, noise), law) in cells.outputs.iter().zip(noise).zip(laws) {
        let lattice = Lattice { gamma_log2: noise.gamma_log2, d: noise.d, s2: noise.s2 };
        let mut output = Vec::with_capacity(totals.len());
        for total in totals {
            let exact = match lattice.quantise(*total) {
                Err(LatticeError::TotalTooLarge) if *total < 0 => i64::MIN,
                Err(LatticeError::TotalTooLarge) => i64::MAX,
                other => other?,
            };
            output.push(exact.wrapping_add(law.sample(&mut generator)?));
        }
        released.push(output);
    }
    Ok(released)
}

fn fresh_generator() -> Result<ChaCha20Rng, ReleaseError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(ReleaseError::Entropy)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const NOISE: OutputNoise = OutputNoise { gamma_log2: -2, d: 4, s2: 534 };

    fn cells(count: usize) -> Cells {
        Cells { outputs: vec![(0..count).map(|cell| i128::try_from(cell % 1000).unwrap()).collect()] }
    }

    #[test]
    fn p2_two_releases_of_the_same_cells_differ() {
        let cells = cells(100);
        // Two equal ones would need 100 equal draws.
        assert_ne!(release(&cells, &[NOISE]).unwrap(), release(&cells, &[NOISE]).unwrap());
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small integers")]
    fn p1_what_leaves_carries_noise_of_the_stated_law() {
        let count = 100_000;
        let cells = cells(count);
        let released = release(&cells, &[NOISE]).unwrap();
        let residual = |cell: usize| released[0][cell] - i64::try_from(cells.outputs[0][cell]).unwrap() * 4;
        let residuals: Vec<f64> = (0..count).map(|cell| residual(cell) as f64).collect();
        let mean = residuals.iter().sum::<f64>() / count as f64;
        let variance = residuals.iter().map(|r| r * r).sum::<f64>() / count as f64;
        // 5.5 standard errors: a false alarm in 10^7 runs, both together.
        assert!(mean.abs() < 5.5 * (534.0 / count as f64).sqrt(), "mean {mean}");
        assert!((variance / 534.0 - 1.0).abs() < 5.5 * (2.0 / count as f64).sqrt(), "variance {variance}");
    }

    #[test]
    fn each_output_gets_its_own_noise_and_lattice() {
        let cells = Cells { outputs: vec![vec![1_000_000; 2000], vec![1_000_000; 2000]] };
        let coarse = OutputNoise { gamma_log2: 3, d: 4, s2: 1 << 20 };
        let released = release(&cells, &[NOISE, coarse]).unwrap();
        let spread = |output: &[i64], centre: i64| output.iter().map(|value| (value - centre).abs()).max().unwrap();
        assert!(spread(&released[0], 4_000_000) < 24 * 8);
        assert!((1024..1024 * 8).contains(&spread(&released[1], 125_000)));
    }

    #[test]
    fn totals_beyond_the_lattice_are_no_error() {
        let cells = Cells { outputs: vec![vec![i128::MAX, i128::MIN, 0]] };
        assert_eq!(release(&cells, &[NOISE]).unwrap()[0].len(), 3);
    }

    #[test]
    fn no_noise_is_refused() {
        assert!(release(&cells(1), &[OutputNoise { s2: 0, ..NOISE }]).is_err());
        assert!(release(&cells(1), &[]).is_err());
        assert!(release(&cells(1), &[OutputNoise { gamma_log2: -100, ..NOISE }]).is_err());
    }
}
