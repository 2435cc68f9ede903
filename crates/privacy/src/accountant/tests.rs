//! The conversion against published figures, an independent library, and itself.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{AccountantError, epsilon_for_rho, rho_for_epsilon};
use commun_domain::{Delta, Epsilon, Rho};
use proptest::prelude::*;
use serde_json::Value;

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/accountant.json"));
const NANO: Delta = Delta::from_units(1_000_000_000);

#[test]
fn the_published_table_holds() {
    for (rho, epsilon, digit) in [
        ("0.001", 0.245, 5e-4),
        ("0.005", 0.565, 5e-4),
        ("0.01", 0.810, 5e-4),
        ("0.05", 1.88, 5e-3),
        ("0.1", 2.72, 5e-3),
        ("0.5", 6.47, 5e-3),
    ] {
        let found = epsilon_for_rho(Rho::parse(rho).unwrap(), NANO);
        assert!((found - epsilon).abs() <= digit, "rho {rho}: {found}");
    }
    let rho = rho_for_epsilon(Epsilon::parse("1").unwrap(), NANO).unwrap();
    assert!((rho.to_f64() - 0.01497).abs() < 5e-6, "{rho}");
}

#[test]
fn it_agrees_with_dp_accounting() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() >= 30);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap();
        let expected = case["epsilon"].as_f64().unwrap();
        let found = epsilon_for_rho(Rho::from_units(number("rho_units")), Delta::from_units(number("delta_units")));
        assert!((found - expected).abs() <= 1e-6 * expected.max(1e-3), "{case}: {found}");
    }
}

#[test]
fn the_demo_s_price_is_one_number_on_every_machine() {
    // The rho of epsilon 1 at delta 1e-9, to the last unit of 2^-40.
    assert_eq!(rho_for_epsilon(Epsilon::from_units(1_000_000), NANO), Ok(Rho::from_units(DEMO_RHO_UNITS)));
}
/// Found again by bisection in 40-digit arithmetic.
const DEMO_RHO_UNITS: u64 = 16_463_051_015;

#[test]
fn impossible_requests_are_refused() {
    let one = Epsilon::from_units(1_000_000);
    assert_eq!(rho_for_epsilon(one, Delta::ZERO), Err(AccountantError::Delta));
    assert_eq!(rho_for_epsilon(one, Delta::from_units(1_000_000_000_000_000_000)), Err(AccountantError::Delta));
    assert_eq!(rho_for_epsilon(Epsilon::ZERO, NANO), Err(AccountantError::TooSmall(Epsilon::ZERO)));
    assert!(epsilon_for_rho(Rho::from_units(1), Delta::ZERO).is_infinite());
    assert!(epsilon_for_rho(Rho::ZERO, NANO).abs() < f64::MIN_POSITIVE);
}

proptest! {
    #[test]
    fn the_rho_of_an_epsilon_is_the_largest_that_keeps_within_it(
        epsilon in 1_000u64..20_000_000, delta in 1u64..100_000_000_000_000_000,
    ) {
        let delta = Delta::from_units(delta);
        let epsilon = Epsilon::from_units(epsilon);
        let rho = rho_for_epsilon(epsilon, delta).unwrap();
        prop_assert!(epsilon_for_rho(rho, delta) <= epsilon.to_f64());
        prop_assert!(epsilon_for_rho(Rho::from_units(rho.units() + 1), delta) > epsilon.to_f64());
    }

    #[test]
    fn more_rho_is_more_epsilon_and_more_delta_is_less(rho in 1u64..1 << 42, delta in 1u64..1_000_000_000_000_000) {
        let of = |rho, delta| epsilon_for_rho(Rho::from_units(rho), Delta::from_units(delta));
        prop_assert!(of(rho + (1 << 12), delta) >= of(rho, delta));
        prop_assert!(of(rho, delta * 2) <= of(rho, delta));
    }
}
