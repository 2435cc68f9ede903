//! The law of the noise in real processes that read real files, and what a coordinator that keeps everything can read of one of them.

use commun_domain::Epsilon;
use commun_domain::log::LogEntry;
use commun_domain::query::PriceRequest;
use commun_domain::signed::SignedDocument;
use commun_privacy::intervals::margin_95;
use commun_trust::sign;

use crate::aggregation::puppets;
use crate::harness::child::run;
use crate::harness::documents::{DEMO_CONTRACT, PermitSpec};
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes};
use crate::recording::Recording;

/// Cells of the demo's question: 43 by 43.
const CELLS: usize = 1849;

/// Standard deviation of one holder's share of noise at epsilon 1, in persons: one trusted centre's is 5.78, and two shares make it.
const SD_SHARE: f64 = 4.09;

/// Standard deviation of three shares together.
const SD_THREE: f64 = 7.08;

/// Its 95 % margin.
const MARGIN_THREE: f64 = 13.9;

#[expect(clippy::cast_precision_loss, reason = "residuals and counts are small")]
fn float(value: i64) -> f64 {
    value as f64
}

/// Standard deviation of a law whose mean is 0.
fn sd(residuals: &[f64]) -> f64 {
    (residuals.iter().map(|r| r * r).sum::<f64>() / float(i64::try_from(residuals.len()).unwrap())).sqrt()
}

fn correlation(one: &[f64], other: &[f64]) -> f64 {
    let products: f64 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    products / float(i64::try_from(one.len()).unwrap()) / sd(one) / sd(other)
}

#[track_caller]
fn near(value: f64, expected: f64, relative: f64) {
    assert!((value / expected - 1.0).abs() < relative, "{value} is not within {relative} of {expected}");
}

/// The exact counts of a holder, in steps of a quarter of a person.
fn exact(federation: &Federation, holder: usize) -> Vec<i64> {
    federation.counts[holder].iter().map(|count| i64::from(*count) * 4).collect()
}

/// Persons by which a sum is off.
fn residuals(sum: &[i64], exact: &[i64]) -> Vec<f64> {
    let lattice: Vec<i64> = sum.iter().zip(exact).map(|(value, exact)| value - exact).collect();
    assert!(lattice.iter().any(|r| r % 4 != 0), "noise is not drawn on the whole lattice");
    lattice.into_iter().map(|residual| float(residual) / 4.0).collect()
}

fn asked(federation: &Federation) -> SignedDocument {
    let epsilon = PriceRequest::Epsilon(Epsilon::parse("1").unwrap());
    sign::signed(&federation.question(epsilon, &commutes(MONTH)), &federation.agency_key())
}

/// Two colluding members put in zeros, so that the sum is the third one's cells as they were before the mask: the share of noise that it draws itself protects it
/// then, and that alone. T = 3 and c = 1, so each share is half of one centre's variance.
#[test]
fn p1_p2_a_holders_own_cells_carry_their_own_fresh_share_of_noise_before_the_mask() {
    let mut federation = Federation::build(Setup { holders: 3, contract: DEMO_CONTRACT, ..Setup::default() });
    let mut coordinator = Recording::start(&mut federation, 1);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    let keys = puppets(&federation, &[1, 2]);
    let mut runs = Vec::new();
    for _ in 0..3 {
        let question = asked(&federation);
        let mut accepted = coordinator.accepted(&question);
        accepted.extend(keys.iter().map(|key| coordinator.forged(&question, key, 1)));
        coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &accepted)));
        let manifest = coordinator.manifest(&question, &accepted);
        assert_eq!((manifest.threshold, manifest.colluders, manifest.honest), (3, 1, 2));
        let (outcome, _) = coordinator.aggregate(&question, &manifest, &keys);
        let own = residuals(&outcome.cells, &exact(&federation, 0));
        near(sd(&own), SD_SHARE, 0.08);
        runs.push(own);
    }
    // Three draws. None has anything to do with another.
    for (number, one) in runs.iter().enumerate() {
        for other in &runs[..number] {
            let found = correlation(one, other);
            assert!(found.abs() < 0.12, "two draws correlate by {found}");
        }
    }
}

/// Everything that a coordinator received of three real holders: no holder's cells can be read from it, nor the sum of two. All three together can.
#[test]
fn p3_what_the_coordinator_receives_shows_no_holders_partial_and_the_sum_has_the_noise_of_one_centre_times_1_22() {
    let mut federation = Federation::build(Setup { holders: 3, contract: DEMO_CONTRACT, ..Setup::default() });
    let mut coordinator = Recording::start(&mut federation, 3);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    let question = asked(&federation);
    let accepted = coordinator.accepted(&question);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &accepted)));
    let manifest = coordinator.manifest(&question, &accepted);
    let noise = manifest.noise[0];
    assert_eq!((noise.gamma_log2, noise.d), (-2, 4), "cells are multiples of a quarter of a person");
    near(margin_95(3, noise.s2, noise.gamma_log2), MARGIN_THREE, 0.5 / MARGIN_THREE);
    let (outcome, masked) = coordinator.aggregate(&question, &manifest, &[]);

    let of = |members: &[u32]| -> Vec<u64> {
        let rest = |cell: usize| {
            let masked = members.iter().fold(0u64, |sum, index| sum.wrapping_add(masked[index][cell]));
            let counts = members.iter().map(|index| &federation.counts[usize::try_from(index - 1).unwrap()]);
            masked.wrapping_sub(counts.map(|counts| u64::from(counts[cell]) * 4).sum())
        };
        (0..CELLS).map(rest).collect()
    };
    for members in [&[1u32][..], &[2], &[3], &[1, 2], &[1, 3], &[2, 3]] {
        // What is left of them without their true counts is uniform modulo 2^64: none is near 0 (once in 300,000 runs), and all first bytes are as frequent.
        let near_zero = of(members).into_iter().filter(|rest| rest.cast_signed().unsigned_abs() < 1 << 34).count();
        assert_eq!(near_zero, 0, "cells of {members:?} can be read");
        let mut first_bytes = [0.0f64; 256];
        for rest in of(members) {
            first_bytes[usize::from(rest.to_be_bytes()[0])] += 1.0;
        }
        let expected = float(i64::try_from(CELLS).unwrap()) / 256.0;
        let chi_square: f64 = first_bytes.iter().map(|count| (count - expected).powi(2) / expected).sum();
        assert!(chi_square < 255.0 + 7.0 * 22.6, "{members:?}: {chi_square}");
    }

    let total: Vec<i64> = (0..CELLS).map(|cell| (0..3).map(|holder| exact(&federation, holder)[cell]).sum()).collect();
    let sums = residuals(&outcome.cells, &total);
    near(sd(&sums), SD_THREE, 0.08);
    let covered = sums.iter().filter(|residual| residual.abs() <= MARGIN_THREE).count();
    let percent = 100.0 * float(i64::try_from(covered).unwrap()) / float(i64::try_from(CELLS).unwrap());
    assert!((92.5..=97.5).contains(&percent), "{percent} % of the cells lie within the margin");
}

/// Far more cells than one message holds: chunks, and what is kept for adding up again, through real processes.
#[test]
fn almost_a_million_cells_of_three_holders_are_summed_released_and_added_up_again() {
    let permit = PermitSpec { tables: vec![("stay", &["arr", "nights"])], ..PermitSpec::default() };
    let mut federation = Federation::running(Setup { holders: 3, permit, slot_ms: 20_000, ..Setup::default() });
    let sql = format!(
        "SELECT arr, WIDTH_BUCKET(nights, 0, 10, 575) AS one, WIDTH_BUCKET(nights, 0, 5, 575) AS other, COUNT(DISTINCT subscriber_id) AS persons \
         FROM mobility.stay WHERE ref_month = '{MONTH}' GROUP BY arr, one, other"
    );
    let (release, _) = federation.submit(&federation.signed_question("0.2", &sql)).unwrap().released();
    let cells = &release.sums[0].cells;
    assert!((990_000..=1_000_000).contains(&cells.len()), "{}", cells.len());
    assert_eq!(release.participants.len(), 3);
    // All stays are of as many nights: three cells have people in them, each as many as work there.
    let scale = f64::from(1 << release.noise[0].gamma_log2.unsigned_abs());
    let persons: Vec<f64> = cells.iter().map(|cell| float(*cell) / scale).collect();
    let sd_expected = 3.0f64.sqrt() * (u64_as_float(release.noise[0].s2)).sqrt() / scale;
    let (full, empty): (Vec<f64>, Vec<f64>) = persons.into_iter().partition(|persons| *persons > 9.0 * sd_expected);
    near(sd(&empty), sd_expected, 0.01);
    let mut at_work = [0u32; 3];
    for counts in &federation.counts {
        counts.iter().enumerate().for_each(|(cell, count)| at_work[cell % 3] += count);
    }
    assert_eq!(full.len(), 3, "{full:?}");
    for (noisy, truth) in full.iter().zip(at_work) {
        assert!((noisy - f64::from(truth)).abs() < 6.0 * sd_expected, "{noisy} is not near {truth}");
    }
    let config = crate::harness::text(&federation.path("coordinator/coordinator.toml"));
    let readded = run("commun-coordinator", ["readd", "--config", &config, &release.query.to_string()]).done();
    assert!(readded.contains("of 3 holder(s) add up"), "{readded}");
    federation.stop();
}

#[expect(clippy::cast_precision_loss, reason = "small")]
fn u64_as_float(value: u64) -> f64 {
    value as f64
}
