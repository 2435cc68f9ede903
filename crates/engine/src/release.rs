//! From exact cells to what may leave: each cell on its lattice, plus a fresh exact discrete Gaussian.
//!
//! There is no seed, no switch and no mode here: the generator is seeded from the operating system in every call (P2), and everything
//! that this function returns carries the full noise that the caller's `OutputNoise` states (P1).

use std::collections::HashMap;

use commun_domain::attempt::{NamesLaw, OutputNoise};
use commun_domain::plan::OpenKey;
use commun_privacy::discrete_gaussian::{DiscreteGaussian, SamplerError};
use commun_privacy::lattice::{Lattice, LatticeError};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::{Cells, NameCounts};

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

/// Names that may leave: those whose people plus fresh noise reach the threshold in any partition, sorted, without their counts.
///
/// Noise is drawn once for every text of every partition that somebody keeps, whatever its count: one that nobody keeps is not there, because a person may
/// have any number of those (`commun-privacy`, `threshold`). Should more names pass than a list may hold, those with the most people by their
/// noisy counts stay.
pub fn release_names(counts: &NameCounts, law: &NamesLaw, key: &OpenKey) -> Result<Vec<String>, ReleaseError> {
    let gaussian = DiscreteGaussian::new(law.s2)?;
    let mut generator = fresh_generator()?;
    let mut passed: HashMap<&str, i128> = HashMap::new();
    for (name, people) in counts.partitions.iter().flatten().filter(|(_, people)| *people > 0) {
        let noisy = people.saturating_add(i128::from(gaussian.sample(&mut generator)?));
        if noisy >= i128::from(law.threshold) {
            let most = passed.entry(name).or_insert(noisy);
            *most = noisy.max(*most);
        }
    }
    let mut ranked: Vec<(&str, i128)> = passed.into_iter().collect();
    ranked.sort_unstable_by(|one, next| next.1.cmp(&one.1).then_with(|| one.0.cmp(next.0)));
    Ok(key.fitting(ranked.into_iter().map(|(name, _)| name)))
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

    fn open_key(max_names: u32) -> OpenKey {
        let delta = commun_domain::Delta::from_units(1_000_000_000);
        OpenKey { column: "employer".to_owned(), max_bytes: 16, max_names, delta, share_num: 1, share_den: 2, names: None }
    }

    fn alone(count: usize, people: i128) -> NameCounts {
        NameCounts { partitions: vec![(0..count).map(|number| (format!("n{number:07}"), people)).collect()] }
    }

    /// The rule of the threshold as it is drawn: 1 + noise >= t passes, t itself included (opendp #2922 left it out, and used the continuous law). With `s2 = 10`
    /// and `t = 6`, 7.65 % of names with one person pass; without t itself 4.04 % would, by the continuous law from 5 on 5.69 %.
    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small integers")]
    fn p1_a_name_passes_exactly_as_often_as_the_discrete_law_says() {
        let weight = |x: i64| (-((x * x) as f64) / 20.0).exp();
        let chance = (5..200).map(weight).sum::<f64>() / (-200..200).map(weight).sum::<f64>();
        assert!((0.0764..0.0766).contains(&chance), "{chance}");
        // Lists hold at most 1,024 names, so that many small ones are drawn.
        let (rounds, each) = (400, 1_000);
        let law = NamesLaw { s2: 10, threshold: 6 };
        let passed: usize = (0..rounds).map(|_| release_names(&alone(each, 1), &law, &open_key(1024)).unwrap().len()).sum();
        let draws = (rounds * each) as f64;
        // 5.5 standard errors.
        let error = 5.5 * (chance * (1.0 - chance) / draws).sqrt();
        assert!((passed as f64 / draws - chance).abs() < error, "{passed} of {draws}");
    }

    /// A person keeps L0 texts of any number that it has; the threshold bounds the chance of L0, so the others must have none.
    #[test]
    fn p1_a_name_that_nobody_keeps_never_passes() {
        let law = NamesLaw { s2: 100, threshold: 1 };
        assert_eq!(release_names(&alone(1_000, 0), &law, &open_key(1024)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn p2_two_releases_of_the_same_names_differ() {
        let (counts, law) = (alone(1_000, 20), NamesLaw { s2: 100, threshold: 20 });
        assert_ne!(release_names(&counts, &law, &open_key(1024)).unwrap(), release_names(&counts, &law, &open_key(1024)).unwrap());
    }

    /// A cut by exact counts would leave the same names each time, and tell which of two has one person more.
    #[test]
    fn p1_a_list_that_would_be_too_long_is_cut_by_noisy_counts() {
        let counts = NameCounts { partitions: vec![(0..40).map(|number| (format!("n{number:02}"), 100_000)).collect()] };
        let law = NamesLaw { s2: 10_000, threshold: 1 };
        let released = || release_names(&counts, &law, &open_key(20)).unwrap();
        let lists: std::collections::BTreeSet<Vec<String>> = (0..4).map(|_| released()).collect();
        assert!(lists.len() > 1 && lists.iter().all(|list| list.len() == 20), "{lists:?}");
    }

    /// One draw for all would let all of them pass, or none.
    #[test]
    fn p2_each_name_has_noise_of_its_own() {
        let passed = release_names(&alone(1_000, 20), &NamesLaw { s2: 10_000, threshold: 20 }, &open_key(1024)).unwrap().len();
        // Half of a thousand, within twelve standard errors.
        assert!((310..=690).contains(&passed), "{passed}");
    }

    #[test]
    fn each_partition_has_a_threshold_of_its_own_and_one_is_enough() {
        let law = NamesLaw { s2: 4, threshold: 60 };
        let row = |name: &str, people| (name.to_owned(), people);
        let january = vec![row("often", 200), row("twice", 40), row("rare", 1)];
        let counts =
            NameCounts { partitions: vec![january, vec![row("twice", 40), row("seldom", 1)], vec![row("late", 200), row("often", 0)]] };
        // 40 in each of two partitions are no 80: ten standard deviations below the threshold, in both.
        assert_eq!(release_names(&counts, &law, &open_key(9)).unwrap(), ["late", "often"]);
    }

    #[test]
    fn a_list_that_would_be_too_long_keeps_the_names_with_most_people_and_is_sorted() {
        let counts = NameCounts { partitions: vec![(0..50).map(|number| (format!("n{:02}", 49 - number), 1000 * (number + 1))).collect()] };
        let names = release_names(&counts, &NamesLaw { s2: 4, threshold: 60 }, &open_key(3)).unwrap();
        assert_eq!(names, ["n00", "n01", "n02"]);
        assert!(open_key(3).allows(&names));
    }

    #[test]
    fn no_noise_is_refused() {
        assert!(release_names(&alone(1, 1), &NamesLaw { s2: 0, threshold: 1 }, &open_key(1)).is_err());
        assert!(release(&cells(1), &[OutputNoise { s2: 0, ..NOISE }]).is_err());
        assert!(release(&cells(1), &[]).is_err());
        assert!(release(&cells(1), &[OutputNoise { gamma_log2: -100, ..NOISE }]).is_err());
    }
}
