//! Projections against vectors in rational numbers, and what must hold for all of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::projected;
use crate::fixture::vectors;
use proptest::prelude::*;
use serde_json::Value;

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|x| x.as_i64().unwrap()).collect()
}

#[test]
fn projections_are_those_of_the_rational_implementation() {
    for case in vectors("projections") {
        let found = projected(&integers(&case["steps"]), case["per_unit"].as_i64().unwrap().into());
        let expected: Vec<i128> = integers(&case["whole"]).into_iter().map(i128::from).collect();
        assert_eq!(found, expected, "{case}");
    }
}

fn any_steps() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(prop_oneof![-50i64..50, 0i64..5000, any::<i64>()], 1..60)
}

proptest! {
    #[test]
    fn cells_are_whole_none_is_negative_and_the_total_is_the_rounded_one(steps in any_steps(), bits in 0u32..=64) {
        let per_unit = 1i128 << bits;
        let whole = projected(&steps, per_unit);
        prop_assert!(whole.iter().all(|x| *x >= 0 && i64::try_from(*x).is_ok()));
        let total = steps.iter().map(|x| i128::from(*x)).sum::<i128>().max(0);
        let sum: i128 = whole.iter().sum();
        // |total / per_unit - sum| <= 1/2
        prop_assert!((2 * (total - sum * per_unit)).abs() <= per_unit);
    }

    #[test]
    fn counts_that_are_consistent_already_stay(counts in prop::collection::vec(0i64..1 << 40, 1..60), bits in 0u32..20) {
        let steps: Vec<i64> = counts.iter().map(|count| count << bits).collect();
        let expected: Vec<i128> = counts.into_iter().map(i128::from).collect();
        prop_assert_eq!(projected(&steps, 1 << bits), expected);
    }

    #[test]
    fn a_larger_noisy_cell_is_never_shown_smaller(steps in any_steps()) {
        let whole = projected(&steps, 4);
        for (one, shown) in steps.iter().zip(&whole) {
            for (other, beside) in steps.iter().zip(&whole) {
                prop_assert!(one <= other || shown >= beside);
            }
        }
    }
}
