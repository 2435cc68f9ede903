#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "an oracle that shares nothing with the code")]

use commun_domain::units::RHO_UNITS_PER_ONE;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/threshold.json"));

const NANO: Delta = Delta::from_units(1_000_000_000);

#[test]
fn thresholds_repeat_those_of_the_rational_implementation() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 56);
    for case in cases {
        let number = |name: &str| case[name].as_u64();
        let (s2, groups) = (number("s2").unwrap(), u32::try_from(number("groups").unwrap()).unwrap());
        let (delta, expected) = (Delta::from_units(number("delta_units").unwrap()), number("threshold").unwrap());
        assert_eq!(threshold(s2, groups, delta), Ok(expected), "{case}");
        if let Some(rho) = number("rho_units") {
            assert_eq!(names_law(groups, Rho::from_units(rho), delta), Ok(NamesLaw { s2, threshold: expected }), "{case}");
        }
    }
}

#[test]
fn a_rho_of_one_twentieth_needs_21_people_or_46_in_five_groups() {
    // .05 is no whole number of units: what is charged is the next one.
    let rho = Rho::from_units(RHO_UNITS_PER_ONE.div_ceil(20));
    assert_eq!(names_law(1, rho, NANO), Ok(NamesLaw { s2: 10, threshold: 21 }));
    assert_eq!(names_law(5, rho, NANO), Ok(NamesLaw { s2: 50, threshold: 46 }));
}

/// The chance that a name with one person alone leaves, of one draw: the discrete law summed in floating point, which is enough to tell
/// neighbouring thresholds apart.
fn chance(s2: u64, threshold: u64) -> f64 {
    let weight = |x: i64| (-((x * x) as f64) / (2.0 * s2 as f64)).exp();
    let end = i64::try_from((s2 * 220).isqrt() + 2).unwrap();
    let total: f64 = (-end..=end).map(weight).sum();
    let from = i64::try_from(threshold).unwrap() - 1;
    (from..=end).map(weight).sum::<f64>() / total
}

/// opendp #2922: a threshold of the continuous law, or a comparison that leaves the threshold itself out, fails more often than it says. One person
/// fewer would break the promise here, so neither can pass by being close enough.
#[test]
fn the_law_is_the_discrete_one_and_the_comparison_holds_the_threshold_itself() {
    for (s2, groups) in [(10u64, 1u32), (50, 5), (201, 3), (512, 1)] {
        let delta = 1e-9;
        let t = threshold(s2, groups, NANO).unwrap();
        let fails = |t: u64| 1.0 - (1.0 - chance(s2, t)).powi(groups.try_into().unwrap());
        assert!(fails(t) <= delta, "{s2} {groups}");
        assert!(fails(t - 1) > delta, "{s2} {groups}");
        assert!(groups == 1 || chance(s2, t - 1) * f64::from(groups) > delta);
    }
    // Where the noise is small the continuous tail is far off: for s = 1 the chance of at least 7 is six times what the integral from 7 says.
    let continuous = 1.28e-12;
    let discrete = chance(1, 8);
    assert!(discrete > 5.0 * continuous && discrete < 1e-9, "{discrete}");
}

#[test]
fn one_l0_of_many_groups_is_not_that_of_one() {
    // The noise held, more names that a person may have alone need more people behind each.
    let mut before = 0;
    for groups in [1, 10, 1000, 1_000_000] {
        let t = threshold(200, groups, NANO).unwrap();
        assert!(t > before, "{groups}");
        before = t;
    }
}

#[test]
fn what_has_no_threshold_is_refused() {
    let rho = Rho::from_units(RHO_UNITS_PER_ONE / 20);
    for (groups, rho, delta) in
        [(0, rho, NANO), (1, Rho::ZERO, NANO), (1, rho, Delta::ZERO), (1, rho, Delta::from_units(2 * MAX_DELTA.units()))]
    {
        assert_eq!(names_law(groups, rho, delta), Err(ThresholdError::Empty));
    }
    assert_eq!(names_law(1, Rho::from_units(1), NANO), Err(ThresholdError::TooNoisy));
    assert_eq!(names_law(u32::MAX, rho, NANO), Err(ThresholdError::TooNoisy));
    // The largest noise that is allowed has one.
    let t = threshold(MAX_NAMES_S2, 1, NANO).unwrap();
    assert!((98_000..99_000).contains(&t), "{t}");
    assert!(threshold(MAX_NAMES_S2, u32::MAX, Delta::from_units(1)).unwrap() > t);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_noise_more_groups_or_less_delta_never_lowers_it(s2 in 1u64..20_000, groups in 1u32..1000, delta in 1u64..1_000_000_000_000_000) {
        let t = |s2, groups, delta| threshold(s2, groups, Delta::from_units(delta)).unwrap();
        let here = t(s2, groups, delta);
        prop_assert!(here >= 2);
        prop_assert!(t(s2 + 1, groups, delta) >= here);
        prop_assert!(t(s2, groups + 1, delta) >= here);
        prop_assert!(t(s2, groups, delta + 1) <= here);
    }
}
