//! The law of the noise, as it leaves the agents: real processes read real files, and a recording coordinator keeps every partial.

use commun_domain::Epsilon;
use commun_domain::attempt::decode_values;
use commun_domain::log::LogEntry;
use commun_domain::query::PriceRequest;
use commun_privacy::intervals::margin_95;
use commun_trust::sign;

use crate::harness::documents::DEMO_CONTRACT;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes};
use crate::recording::{End, Recording};

/// Cells of the demo's question: 43 by 43.
const CELLS: usize = 1849;

/// Standard deviation of one holder's noise at epsilon 1, in persons.
const SD_ONE: f64 = 5.78;

/// Standard deviation of three holders' noise together.
const SD_THREE: f64 = 10.0;

/// Its 95 % margin.
const MARGIN_THREE: f64 = 19.6;

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

#[test]
fn p1_p2_each_holders_answer_carries_its_own_full_fresh_noise_and_no_other() {
    let mut federation = Federation::build(Setup { holders: 3, contract: DEMO_CONTRACT, ..Setup::default() });
    let mut coordinator = Recording::start(&mut federation, 3);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    let epsilon = PriceRequest::Epsilon(Epsilon::parse("1").unwrap());
    let mut runs = Vec::new();
    for _ in 0..2 {
        let question = sign::signed(&federation.question(epsilon, &commutes(MONTH)), &federation.agency_key());
        let accepted = coordinator.accepted(&question);
        coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &accepted)));
        let manifest = coordinator.manifest(&question, &accepted);
        let noise = manifest.noise[0];
        assert_eq!((noise.gamma_log2, noise.d), (-2, 4), "cells are multiples of a quarter of a person");
        near(margin_95(3, noise.s2, noise.gamma_log2), MARGIN_THREE, 0.5 / MARGIN_THREE);
        let ends = coordinator.run(&manifest);
        let residuals = |(name, end): (String, End)| {
            let End::Answer(bytes) = end else { panic!("{name}: {end:?}") };
            let holder = usize::from(name.as_bytes()[name.len() - 1] - b'1');
            let values = decode_values(&bytes, &[CELLS]).unwrap().remove(0);
            let exact = federation.counts[holder].iter().map(|count| i64::from(*count) * 4);
            let lattice: Vec<i64> = values.into_iter().zip(exact).map(|(value, exact)| value - exact).collect();
            assert!(lattice.iter().any(|r| r % 4 != 0), "noise is not drawn on the whole lattice");
            lattice.into_iter().map(|residual| float(residual) / 4.0).collect::<Vec<f64>>()
        };
        let partials: Vec<Vec<f64>> = ends.into_iter().map(residuals).collect();

        for partial in &partials {
            near(sd(partial), SD_ONE, 0.08);
        }
        let sums: Vec<f64> = (0..CELLS).map(|cell| partials.iter().map(|partial| partial[cell]).sum()).collect();
        near(sd(&sums), SD_THREE, 0.08);
        let covered = sums.iter().filter(|residual| residual.abs() <= MARGIN_THREE).count();
        let percent = 100.0 * float(i64::try_from(covered).unwrap()) / float(i64::try_from(CELLS).unwrap());
        assert!((92.5..=97.5).contains(&percent), "{percent} % of the cells lie within the margin");
        if runs.is_empty() {
            // The three holders of one attempt: each pair passes by chance with all but 2 in 100,000.
            for (number, one) in partials.iter().enumerate() {
                for other in &partials[..number] {
                    let found = correlation(one, other);
                    assert!(found.abs() < 0.1, "two holders' draws correlate by {found}");
                }
            }
        }
        runs.extend(partials);
    }
    // Six draws: three holders, twice. None has anything to do with another. (Fifteen pairs at .1 would fail once in some 4,000 runs.)
    for (number, one) in runs.iter().enumerate() {
        for other in &runs[..number] {
            let found = correlation(one, other);
            assert!(found.abs() < 0.12, "two draws correlate by {found}");
        }
    }
}
