//! One person's contribution to one cell, as the plan defines it, written down naively: it never exceeds the sensitivity, and can reach it.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Sensitivity, sensitivity};
use crate::fixture::{measured, rows, sum};
use commun_domain::plan::{Aggregate, Measured};
use proptest::prelude::*;

/// What a person whose values in a cell are `values` adds to its numbers.
fn contribution(aggregate: &Aggregate, values: &[i64]) -> Vec<i128> {
    let count = i128::try_from(values.len()).unwrap();
    let clamped = |measured: &Measured| -> Vec<i128> { values.iter().map(|x| (*x).clamp(measured.lo, measured.hi).into()).collect() };
    let mean_of =
        |linf: u32, terms: Vec<i128>| if count == 0 { 0 } else { (1 << 20) * count.min(linf.into()) * terms.iter().sum::<i128>() / count };
    let centred = |measured: &Measured| -> Vec<i128> {
        clamped(measured).iter().map(|x| 2 * x - i128::from(measured.lo) - i128::from(measured.hi)).collect()
    };
    match aggregate {
        Aggregate::CountUnits => vec![count.min(1)],
        Aggregate::CountRows { max_rows_per_person } => vec![count.min((*max_rows_per_person).into())],
        Aggregate::Sum { measured, max_rows_per_person } => {
            let (linf, lo, hi) = (i128::from(*max_rows_per_person), i128::from(measured.lo), i128::from(measured.hi));
            vec![clamped(measured).iter().sum::<i128>().clamp(linf * lo.min(0), linf * hi.max(0))]
        }
        Aggregate::CentredSum { measured, max_rows_per_person } => vec![mean_of(*max_rows_per_person, centred(measured))],
        Aggregate::CentredSquares { measured, max_rows_per_person } => {
            let range = i128::from(measured.hi) - i128::from(measured.lo);
            vec![mean_of(*max_rows_per_person, centred(measured).iter().map(|v| 2 * v * v - range * range).collect())]
        }
        Aggregate::Histogram { measured, bins_log2, max_rows_per_person } => {
            let leaves = 1usize << bins_log2;
            let mut nodes = vec![0; 2 * leaves - 1];
            let width = i128::from(measured.hi) - i128::from(measured.lo) + 1;
            for x in clamped(measured).iter().take(usize::try_from(*max_rows_per_person).unwrap()) {
                let bin = usize::try_from(((x - i128::from(measured.lo)) << bins_log2) / width).unwrap();
                let mut node = leaves - 1 + bin;
                nodes[node] += 1;
                while node > 0 {
                    node = (node - 1) / 2;
                    nodes[node] += 1;
                }
            }
            nodes
        }
    }
}

fn squared(numbers: &[i128]) -> u128 {
    numbers.iter().map(|x| x.unsigned_abs() * x.unsigned_abs()).sum()
}

fn bound(Sensitivity { delta, levels }: Sensitivity) -> u128 {
    u128::from(delta) * u128::from(delta) * u128::from(levels)
}

fn all(lo: i64, hi: i64, linf: u32, bins_log2: u8) -> Vec<Aggregate> {
    let (m, max_rows_per_person) = (|| measured(lo, hi, 0), linf);
    vec![
        Aggregate::CountUnits,
        rows(linf),
        sum(lo, hi, linf),
        Aggregate::CentredSum { measured: m(), max_rows_per_person },
        Aggregate::CentredSquares { measured: m(), max_rows_per_person },
        Aggregate::Histogram { measured: m(), bins_log2, max_rows_per_person },
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_rows_of_a_person_move_a_cell_farther_than_the_sensitivity(
        lo in -2000i64..2000, range in 1i64..2000, linf in 1u32..6, bins_log2 in 0u8..6,
        values in prop::collection::vec(prop_oneof![-3000i64..3000, any::<i64>(), Just(i64::MIN), Just(i64::MAX)], 0..20),
    ) {
        for aggregate in all(lo, lo + range, linf, bins_log2) {
            let moved = squared(&contribution(&aggregate, &values));
            prop_assert!(moved <= bound(sensitivity(&aggregate).unwrap()), "{:?}: {}", aggregate, moved);
        }
    }

    /// A smaller sensitivity would be wrong: many rows at the end of the range that is farther from 0 reach it.
    #[test]
    fn some_rows_of_a_person_move_a_cell_as_far_as_the_sensitivity(
        lo in -2000i64..2000, range in 1i64..2000, linf in 1u32..6, bins_log2 in 0u8..6,
    ) {
        let hi = lo + range;
        let far = if lo.abs() > hi.abs() { lo } else { hi };
        for aggregate in all(lo, hi, linf, bins_log2) {
            let moved = squared(&contribution(&aggregate, &[far; 6]));
            let expected = bound(sensitivity(&aggregate).unwrap());
            prop_assert_eq!(moved, expected, "{:?}", aggregate);
        }
    }
}
