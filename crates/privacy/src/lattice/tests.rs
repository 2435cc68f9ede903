//! Properties of the lattice, judged by plain big-integer arithmetic that shares nothing with the code.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Lattice, LatticeError, dequantise, lattice};
use crate::discrete_gaussian::MAX_S2;
use commun_domain::Rho;
use proptest::prelude::*;
use std::cmp::Ordering;

/// A product as 32-bit limbs, least first, without leading zeros.
fn product(factors: &[u128]) -> Vec<u64> {
    let mut out = vec![1u64];
    for factor in factors {
        let mut next = vec![0u64; out.len() + 4];
        for (i, x) in out.iter().enumerate() {
            let mut carry = 0;
            for j in 0..4 {
                let y = u64::try_from((factor >> (32 * j)) & 0xffff_ffff).unwrap();
                let sum = next[i + j] + x * y + carry;
                next[i + j] = sum & 0xffff_ffff;
                carry = sum >> 32;
            }
            next[i + 4] = carry;
        }
        while next.len() > 1 && next.last() == Some(&0) {
            next.pop();
        }
        out = next;
    }
    out
}

fn compare(left: &[u128], right: &[u128]) -> Ordering {
    let (left, right) = (product(left), product(right));
    left.len().cmp(&right.len()).then_with(|| left.iter().rev().cmp(right.iter().rev()))
}

/// The loss `l0 d^2 / (2 h s2)` against `a rho`: both sides times all denominators.
fn loss_against_rho(l0: u32, d: u64, s2: u64, share: (u32, u32), rho: Rho, h: u32) -> Ordering {
    compare(&[l0.into(), d.into(), d.into(), share.1.into(), 1 << 39], &[share.0.into(), rho.units().into(), h.into(), s2.into()])
}

prop_compose! {
    fn shares()(den in 1u32..1000)(num in 1..=den, den in Just(den)) -> (u32, u32) { (num, den) }
}

/// Numbers of every size, so that both branches and both refusals are met.
fn any_size(bits: u32) -> impl Strategy<Value = u64> {
    (0..bits, any::<u64>()).prop_map(|(shift, x)| (x | 1 << 63) >> (63 - shift))
}

fn narrow(x: u64) -> u32 {
    u32::try_from(x).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_loss_is_at_most_the_requested_rho_for_every_h_and_the_noise_no_larger_than_needed(
        l0 in any_size(16), delta in any_size(50), share in shares(), units in any_size(44), h in any_size(14),
    ) {
        let (l0, rho, h) = (narrow(l0), Rho::from_units(units), narrow(h));
        if let Ok(found) = lattice(l0, delta, share, rho, h) {
            prop_assert_ne!(loss_against_rho(l0, found.d, found.s2, share, rho, h), Ordering::Greater);
            if found.s2 > 1 {
                prop_assert_eq!(loss_against_rho(l0, found.d, found.s2 - 1, share, rho, h), Ordering::Greater);
            }
            prop_assert!(found.s2 <= MAX_S2);
            prop_assert!(found.s2 >= 256, "s below 16 steps: {:?}", found);
        }
    }

    #[test]
    fn two_totals_one_person_apart_are_at_most_d_steps_apart(
        delta in any_size(40), units in any_size(44), total in -(1i128 << 60)..(1i128 << 60), part in 0u64..=1000,
    ) {
        if let Ok(found) = lattice(1, delta, (1, 1), Rho::from_units(units), 1) {
            let apart = i128::from(delta) * i128::from(part) / 1000;
            if let (Ok(one), Ok(other)) = (found.quantise(total), found.quantise(total + apart)) {
                prop_assert!(other.abs_diff(one) <= found.d);
            }
        }
    }

    #[test]
    fn decimals_are_exact(sum: i64, bits in 0u32..=19) {
        let gamma_log2 = -i32::try_from(bits).unwrap();
        let text = dequantise(sum, gamma_log2);
        let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
        prop_assert!(!fraction.ends_with('0'));
        let digits: i128 = format!("{whole}{fraction}").parse().unwrap();
        // digits / 10^k = sum / 2^bits
        let k = u32::try_from(fraction.len()).unwrap();
        let left = product(&[digits.unsigned_abs(), 1 << bits]);
        let right = product(&[sum.unsigned_abs().into(), 10u128.pow(k)]);
        prop_assert_eq!(left, right);
        prop_assert_eq!(text.starts_with('-'), sum < 0);
    }
}

/// A count at epsilon 1 and delta 1e-9.
const DEMO_RHO: Rho = Rho::from_units(16_463_051_015);

#[test]
fn the_demo_counts_in_quarters_with_variance_535() {
    assert_eq!(lattice(1, 1, (1, 1), DEMO_RHO, 1), Ok(Lattice { gamma_log2: -2, d: 4, s2: 535 }));
    // Three shares: a third of the variance, so one refinement more.
    assert_eq!(lattice(1, 1, (1, 1), DEMO_RHO, 3), Ok(Lattice { gamma_log2: -3, d: 8, s2: 713 }));
}

#[test]
fn a_large_sensitivity_takes_the_coarse_branch() {
    // delta = 10^6, rho = .5: sigma = 10^6 too, e = 19, a step of 2^9, d = floor(10^6 / 512) + 1.
    let found = lattice(1, 1_000_000, (1, 1), Rho::from_units(1 << 39), 1).unwrap();
    assert_eq!(found, Lattice { gamma_log2: 9, d: 1954, s2: 1954 * 1954 });
    // One that is much larger than the noise: rho = 2^13, sigma = 10^6 / 128, e = 12, a step of 4.
    let found = lattice(1, 1_000_000, (1, 1), Rho::from_units(1 << 53), 1).unwrap();
    assert_eq!(found, Lattice { gamma_log2: 2, d: 250_001, s2: 3_814_728 });
}

#[test]
fn totals_are_exact_on_fine_steps_and_rounded_half_up_on_coarse_ones() {
    let fine = Lattice { gamma_log2: -2, d: 4, s2: 535 };
    assert_eq!(fine.quantise(-3), Ok(-12));
    let coarse = Lattice { gamma_log2: 2, d: 3, s2: 535 };
    let rounded: Vec<i64> = [-7, -6, -5, -2, -1, 0, 1, 2, 5, 6].map(|x| coarse.quantise(x).unwrap()).to_vec();
    assert_eq!(rounded, [-2, -1, -1, 0, 0, 0, 0, 1, 1, 2]);
    assert_eq!(fine.quantise(i128::from(i64::MAX)), Err(LatticeError::TotalTooLarge));
    assert_eq!(coarse.quantise(i128::MAX), Err(LatticeError::TotalTooLarge));
    assert_eq!(fine.quantise(i128::MIN), Err(LatticeError::TotalTooLarge));
}

#[test]
fn sums_are_written_as_plain_decimals() {
    let cases = [(-13, -2, "-3.25"), (12, -2, "3"), (0, -2, "0"), (-1, -1, "-0.5"), (5, 3, "40"), (i64::MIN, 0, "-9223372036854775808")];
    for (sum, gamma_log2, text) in cases {
        assert_eq!(dequantise(sum, gamma_log2), text);
    }
    assert_eq!(dequantise(i64::MIN, 64), format!("-{}", 1u128 << 127));
    assert_eq!(dequantise(1, -64).len(), 66);
    assert_eq!(dequantise(1, -100).len(), 102);
    assert_eq!(dequantise(i128::MIN, 64), "-3138550867693340381917894711603833208051177722232017256448");
    assert_eq!(dequantise(1, 65), "1*2^65");
    assert_eq!(dequantise(1, -101), "1*2^-101");
    assert_eq!(dequantise(i64::MIN, i32::MIN), "-9223372036854775808*2^-2147483648");
}

#[test]
fn the_modulus_holds_the_total_and_twelve_deviations_of_noise() {
    assert!(Lattice::fits_modulus(3, 4, 535));
    // 2^63 = n 2^33 d exactly is one too many.
    assert!(!Lattice::fits_modulus(1, 1 << 30, 1));
    // 3 2^33 4, and 12 sqrt(3 * 535) = 480.7.
    assert_eq!(Lattice::largest_sum(3, 4, 535), Some((12 << 33) + 481));
    assert!(Lattice::fits_modulus(1, (1 << 30) - 1, 1));
    // Room of 2^36 steps for the noise of eight: 12 sqrt(8 s2) < 2^36 while s2 < 2^72 / 1152 = 4.0993e18.
    assert!(Lattice::fits_modulus(8, (1 << 27) - 1, 4_099_200_000_000_000_000));
    assert!(!Lattice::fits_modulus(8, (1 << 27) - 1, 4_099_300_000_000_000_000));
    assert!(!Lattice::fits_modulus(u32::MAX, u64::MAX, u64::MAX));
}

#[test]
fn what_cannot_be_protected_is_refused() {
    let rho = DEMO_RHO;
    for (l0, delta, rho, h) in [(0, 1, rho, 1), (1, 0, rho, 1), (1, 1, Rho::ZERO, 1), (1, 1, rho, 0)] {
        assert_eq!(lattice(l0, delta, (1, 1), rho, h), Err(LatticeError::Zero));
    }
    assert_eq!(lattice(1, 1, (0, 1), rho, 1), Err(LatticeError::Share(0, 1)));
    assert_eq!(lattice(1, 1, (3, 2), rho, 1), Err(LatticeError::Share(3, 2)));
    assert_eq!(lattice(u32::MAX, 1 << 16, (1, u32::MAX), Rho::from_units(1), 1), Err(LatticeError::NoiseTooLarge));
    assert_eq!(lattice(1, u64::MAX, (1, 1), Rho::from_units(u64::MAX), u32::MAX).map(|found| found.s2 <= MAX_S2), Ok(true));
}
