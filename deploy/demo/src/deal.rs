//! Draws persons from the census matrix and deals each to exactly one operator.
//!
//! With all persons drawn the operators' shares add up to the matrix, exactly. The generator's seed is fixed: the rows are public and
//! synthetic, and a run can be compared with another. Noise has nothing to do with it; agents draw theirs from the OS.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::census::Census;

/// Percent of the persons at each of three operators.
const SHARES_OF_THREE: [u64; 3] = [45, 32, 23];

/// Seed of the synthetic rows.
const SEED: [u8; 32] = *b"commun demo: synthetic commuters";

/// Cells (home, work) of one operator's subscribers, one entry a person.
pub(crate) type Persons = Vec<u16>;

/// What was dealt, and the truth about it.
#[derive(Debug)]
pub(crate) struct Deal {
    /// One list of persons for each operator.
    pub(crate) operators: Vec<Persons>,
    /// Persons drawn, by cell.
    pub(crate) truth: Vec<u64>,
}

/// Draws `persons` of the census without replacement and deals them out to `holders` operators.
pub(crate) fn deal(census: &Census, holders: u32, persons: u64) -> anyhow::Result<Deal> {
    let mut cells: Persons = Vec::with_capacity(usize::try_from(census.total())?);
    for (cell, count) in census.counts.iter().enumerate() {
        cells.extend(std::iter::repeat_n(u16::try_from(cell)?, usize::try_from(*count)?));
    }
    shuffle(&mut cells, &mut ChaCha20Rng::from_seed(SEED));
    cells.truncate(usize::try_from(persons)?);
    let mut truth = vec![0; census.counts.len()];
    for cell in &cells {
        truth[usize::from(*cell)] += 1;
    }
    let weights: Vec<u64> = if holders == 3 { SHARES_OF_THREE.to_vec() } else { vec![1; usize::try_from(holders)?] };
    let total: u64 = weights.iter().sum();
    let mut operators = Vec::with_capacity(weights.len());
    let (mut start, mut cumulated) = (0, 0);
    for weight in &weights {
        cumulated += weight;
        let end = usize::try_from(persons * cumulated / total)?;
        operators.push(cells[start..end].to_vec());
        start = end;
    }
    Ok(Deal { operators, truth })
}

/// Fisher and Yates, with rejection so that every order is equally likely.
fn shuffle(items: &mut [u16], rng: &mut impl RngCore) {
    for last in (1..items.len()).rev() {
        let bound = last as u64 + 1;
        let zone = u64::MAX - u64::MAX % bound;
        let draw = loop {
            let draw = rng.next_u64();
            if draw < zone {
                break draw % bound;
            }
        };
        items.swap(last, usize::try_from(draw).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_person_goes_to_exactly_one_operator_and_the_truth_is_the_census() {
        let census = Census::read().expect("census");
        assert_eq!(census.total(), 4_304_172);
        let deal = deal(&census, 3, census.total()).expect("deal");
        assert_eq!(deal.truth, census.counts);
        let mut sum = vec![0u64; census.counts.len()];
        for cell in deal.operators.iter().flatten() {
            sum[usize::from(*cell)] += 1;
        }
        assert_eq!(sum, census.counts);
        let share = deal.operators[0].len() * 100 / usize::try_from(census.total()).expect("usize");
        assert!((44..=45).contains(&share));
    }

    #[test]
    fn a_part_of_the_persons_has_its_own_truth() {
        let census = Census::read().expect("census");
        let deal = deal(&census, 2, 1_001).expect("deal");
        assert_eq!(deal.truth.iter().sum::<u64>(), 1_001);
        assert_eq!(deal.operators.iter().map(Vec::len).sum::<usize>(), 1_001);
    }
}
