//! Prices and noise of small plans, by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{
    MAX_HISTOGRAM_VALUES_PER_PERSON, PriceError, Sensitivity, Statement, as_epsilon, charges, guarantees, loss_over_a_lifetime,
    loss_over_partitions, names, noise, numbers, price, sensitivity, statement,
};
use crate::answer::AnswerError;
use crate::fixture::{column, counting, measured, open_key, output, plan, plan_of, rows, sum};
use crate::lattice::LatticeError;
use crate::ledger::Loss;
use commun_domain::attempt::{NamesLaw, OutputNoise};
use commun_domain::plan::{Aggregate, Clipped, Estimate, Key, KeySource, MAX_BINS_LOG2, PrivatePlan};
use commun_domain::{Delta, Rho};
use proptest::prelude::*;

/// Epsilon 1 at delta 1e-9.
const RHO: Rho = Rho::from_units(16_463_051_015);

fn once(delta: u64) -> Sensitivity {
    Sensitivity { delta, levels: 1 }
}

fn centred(lo: i64, hi: i64, max_rows_per_person: u32) -> Aggregate {
    Aggregate::CentredSum { measured: measured(lo, hi, 2), max_rows_per_person }
}

fn squares(lo: i64, hi: i64, max_rows_per_person: u32) -> Aggregate {
    Aggregate::CentredSquares { measured: measured(lo, hi, 2), max_rows_per_person }
}

fn histogram(lo: i64, hi: i64, bins_log2: u8, max_rows_per_person: u32) -> Aggregate {
    Aggregate::Histogram { measured: measured(lo, hi, 0), bins_log2, max_rows_per_person }
}

#[test]
fn sensitivities_follow_the_bounds() {
    assert_eq!(sensitivity(&Aggregate::CountUnits), Some(once(1)));
    assert_eq!(sensitivity(&rows(7)), Some(once(7)));
    assert_eq!(sensitivity(&sum(0, 100, 3)), Some(once(300)));
    assert_eq!(sensitivity(&sum(-500, 100, 3)), Some(once(1500)));
    // All values between 50 and 100, but a person without rows sums to 0.
    assert_eq!(sensitivity(&sum(50, 100, 1)), Some(once(100)));
    assert_eq!(sensitivity(&sum(-100, -50, 1)), Some(once(100)));
    assert_eq!(sensitivity(&sum(i64::MIN, 0, 1)), Some(once(1 << 63)));
    assert_eq!(sensitivity(&sum(i64::MIN, 0, 2)), None);
    assert_eq!(sensitivity(&sum(1, 0, 1)), None);
}

#[test]
fn sensitivities_of_means_and_variances_follow_the_range_not_the_place() {
    assert_eq!(sensitivity(&centred(0, 100, 3)), Some(once(300 << 20)));
    assert_eq!(sensitivity(&centred(-1_000_000, -999_900, 3)), Some(once(300 << 20)));
    assert_eq!(sensitivity(&squares(-50, 50, 3)), Some(once(30_000 << 20)));
    // R = 2^22 - 1 is the widest whose square, refined, fits 64 bits.
    assert_eq!(sensitivity(&squares(0, (1 << 22) - 1, 1)), Some(once(((1 << 22) - 1u64).pow(2) << 20)));
    assert_eq!(sensitivity(&squares(0, 1 << 22, 1)), None);
    assert_eq!(sensitivity(&squares(i64::MIN, i64::MAX, 1)), None);
    assert_eq!(sensitivity(&centred(i64::MIN, i64::MAX, 1)), None);
    assert_eq!(sensitivity(&centred(0, (1 << 44) - 1, 1)), Some(once(((1 << 44) - 1) << 20)));
    for (lo, hi) in [(5, 5), (6, 5)] {
        assert_eq!(sensitivity(&centred(lo, hi, 1)), None);
        assert_eq!(sensitivity(&squares(lo, hi, 1)), None);
        assert_eq!(sensitivity(&histogram(lo, hi, 3, 1)), None);
    }
}

#[test]
fn a_histogram_moves_in_every_level_and_the_root_counts() {
    assert_eq!(sensitivity(&histogram(0, 99, 10, 4)), Some(Sensitivity { delta: 4, levels: 11 }));
    assert_eq!(sensitivity(&histogram(0, 99, 0, 4)), Some(Sensitivity { delta: 4, levels: 1 }));
    assert_eq!(sensitivity(&histogram(0, 99, MAX_BINS_LOG2 + 1, 4)), None);
    assert_eq!(sensitivity(&histogram(0, 99, 3, MAX_HISTOGRAM_VALUES_PER_PERSON + 1)), None);
    // PRIVACY: 1,024 bins at rho = .01 at one centre: sigma^2 = 11 / (2 * .01) = 550.
    let rho = Rho::parse("0.01").unwrap();
    let median = plan(vec![output(histogram(0, 99_999, 10, 1), 1, 1)]);
    assert_eq!(noise(&median, rho, 1, 1), Ok(vec![OutputNoise { gamma_log2: 0, d: 1, s2: 551 }]));
    // Two groups a person: twice the levels.
    let two = PrivatePlan { max_groups_per_person: 2, ..median };
    assert_eq!(noise(&two, rho, 1, 1).unwrap()[0].s2, 1_101);
    let many = PrivatePlan { max_groups_per_person: u32::MAX / 11 + 1, ..two };
    assert_eq!(noise(&many, rho, 1, 1), Err(PriceError::Sensitivity("x".into())));
}

proptest! {
    /// One person's values fall into many nodes of a level, and rounding would move each of them: see `PROOF.md`.
    #[test]
    fn a_histogram_is_never_rounded_to_its_lattice(
        linf in 1..=MAX_HISTOGRAM_VALUES_PER_PERSON, bins_log2 in 0..=MAX_BINS_LOG2, units in 1u64..1 << 50, groups in 1u32..100, honest in 1u32..50,
    ) {
        let plan = PrivatePlan { max_groups_per_person: groups, ..plan(vec![output(histogram(0, 1 << 30, bins_log2, linf), 1, 1)]) };
        if let Ok(noise) = noise(&plan, Rho::from_units(units), 50, honest) {
            prop_assert!(noise[0].gamma_log2 <= 0, "{:?}", noise);
        }
    }

    #[test]
    fn no_bounds_make_pricing_panic(
        lo: i64, hi: i64, linf: u32, bins_log2: u8, scale: u8, which in 0usize..6, groups: u32, units: u64, share: (u32, u32), agents: u32, honest: u32,
    ) {
        let measured = measured(lo, hi, scale);
        let aggregate = [
            rows(linf),
            Aggregate::CountUnits,
            Aggregate::Sum { measured: measured.clone(), max_rows_per_person: linf },
            Aggregate::CentredSum { measured: measured.clone(), max_rows_per_person: linf },
            Aggregate::CentredSquares { measured: measured.clone(), max_rows_per_person: linf },
            Aggregate::Histogram { measured, bins_log2, max_rows_per_person: linf },
        ][which].clone();
        let found = sensitivity(&aggregate);
        let hostile = PrivatePlan { max_groups_per_person: groups, ..plan(vec![output(aggregate.clone(), share.0, share.1)]) };
        prop_assert!(noise(&hostile, Rho::from_units(units), agents, honest).is_err() || share.0 == share.1);
        let whole = PrivatePlan { outputs: vec![output(aggregate, 1, 1)], ..hostile };
        if noise(&whole, Rho::from_units(units), agents, honest).is_ok() {
            prop_assert!(found.is_some_and(|found| found.delta > 0 && found.levels > 0));
            prop_assert!(lo < hi || which < 3);
        }
    }
}

#[test]
fn the_price_is_the_requested_rho_and_one_unit_in_each_partition() {
    let plan = counting();
    let one = price(&plan, RHO).unwrap();
    assert_eq!((one.rho, one.delta), (Rho::from_units(16_463_051_016), Delta::ZERO));
    let charged = charges(&plan, one);
    assert_eq!(charged.iter().map(|charge| charge.period).collect::<Vec<_>>(), plan.partitions);
    assert!(charged.iter().all(|charge| charge.rho == one.rho && charge.delta == Delta::ZERO));
    assert_eq!(price(&plan, Rho::from_units(u64::MAX)), Err(PriceError::TooLarge));
}

#[test]
fn the_noise_of_the_demo_is_the_same_for_every_size_of_cohort_without_aggregation() {
    let expected = vec![OutputNoise { gamma_log2: -2, d: 4, s2: 535 }];
    assert_eq!(noise(&counting(), RHO, 3, 1), Ok(expected.clone()));
    assert_eq!(noise(&counting(), RHO, 1, 1), Ok(expected));
}

#[test]
fn each_output_gets_its_share_of_rho() {
    let half = plan(vec![output(Aggregate::CountUnits, 1, 2), output(sum(0, 100, 1), 1, 2)]);
    let found = noise(&half, RHO, 1, 1).unwrap();
    // Half of rho: twice the variance of the demo, 66.8, and one refinement is enough.
    assert_eq!(found[0], OutputNoise { gamma_log2: -1, d: 2, s2: 268 });
    assert_eq!(found[1], OutputNoise { gamma_log2: 0, d: 100, s2: 667_867 });
}

#[test]
fn the_noise_grows_with_the_groups_that_one_person_may_be_in() {
    // Five times the variance of the demo, 167.0: one refinement, 4 * 167.0 rounded up.
    let five = PrivatePlan { max_groups_per_person: 5, ..counting() };
    assert_eq!(noise(&five, RHO, 1, 1), Ok(vec![OutputNoise { gamma_log2: -1, d: 2, s2: 668 }]));
}

#[test]
fn plans_that_no_compiler_writes_are_refused() {
    let shares = |shares: &[(u32, u32)]| {
        let outputs = shares.iter().map(|(num, den)| output(Aggregate::CountUnits, *num, *den)).collect();
        price(&plan(outputs), RHO).map(|_| ())
    };
    assert_eq!(shares(&[(1, 3), (1, 6), (1, 2)]), Ok(()));
    for bad in [&[(1, 2)][..], &[(1, 2), (2, 3)], &[(0, 1), (1, 1)], &[(1, 0)], &[(2, 1)]] {
        assert_eq!(shares(bad), Err(PriceError::Shares), "{bad:?}");
    }
    assert_eq!(price(&plan(vec![]), RHO), Err(PriceError::Empty));
    assert_eq!(price(&PrivatePlan { partitions: vec![], ..counting() }, RHO), Err(PriceError::Empty));
    let impossible = [centred(1, 1, 1), centred(0, 1, 0), squares(2, 1, 1), squares(0, 1, 0), histogram(7, 7, 2, 1), histogram(0, 1, 1, 0)];
    for aggregate in [sum(0, 0, 1), sum(2, 1, 1), sum(0, 1, 0), rows(0)].into_iter().chain(impossible) {
        assert_eq!(price(&plan(vec![output(aggregate, 1, 1)]), RHO), Err(PriceError::Bounds("x".into())));
    }
    for aggregate in [squares(0, 1 << 22, 1), sum(i64::MIN, 0, 2), histogram(0, 9, 3, u32::MAX)] {
        assert_eq!(price(&plan(vec![output(aggregate, 1, 1)]), RHO), Err(PriceError::Sensitivity("x".into())));
    }
    assert_eq!(price(&plan(vec![output(histogram(0, 9, 17, 1), 1, 1)]), RHO), Err(PriceError::Bins("x".into())));
    let unreadable = PrivatePlan { columns: vec![column("n", Estimate::Output(1))], ..counting() };
    assert!(matches!(price(&unreadable, RHO), Err(PriceError::Unreadable(AnswerError::Plan(_)))));
    for (agents, honest) in [(3, 0), (3, 4), (0, 0)] {
        assert_eq!(noise(&counting(), RHO, agents, honest), Err(PriceError::Cohort { agents, honest }));
    }
    let reason = LatticeError::Zero;
    let refused = Err(PriceError::Output { name: "x".into(), reason });
    assert_eq!(noise(&counting(), Rho::ZERO, 1, 1), refused);
    assert_eq!(noise(&PrivatePlan { max_groups_per_person: 0, ..counting() }, RHO, 1, 1), refused);
}

#[test]
fn a_total_that_could_wrap_is_refused_when_it_is_planned() {
    // Wide bounds and the most rho there is: d is the bound in fine steps, 2^29 or so, and only a few agents' totals fit 63 bits.
    let wide = plan(vec![output(sum(0, 1 << 40, 1), 1, 1)]);
    assert!(noise(&wide, Rho::from_units(u64::MAX), 1, 1).is_ok());
    let refused = Err(PriceError::Output { name: "x".into(), reason: LatticeError::TotalTooLarge });
    assert_eq!(noise(&wide, Rho::from_units(u64::MAX), 1000, 1), refused);
}

#[test]
fn p1_clipped_people_have_a_share_and_noise_of_their_own_whatever_the_groups() {
    let clipped = Some(Clipped { share_num: 1, share_den: 2 });
    let half = PrivatePlan { clipped, max_groups_per_person: 5, ..plan(vec![output(rows(3), 1, 2)]) };
    let found = noise(&half, RHO, 1, 1).unwrap();
    // Half of rho and one group: as the first of two counts of people.
    assert_eq!(found[1..], [OutputNoise { gamma_log2: -1, d: 2, s2: 268 }]);
    let one = PrivatePlan { max_groups_per_person: 5, ..plan(vec![output(rows(3), 1, 2), output(rows(3), 1, 2)]) };
    assert_eq!(found[0], noise(&one, RHO, 1, 1).unwrap()[0]);
    assert_eq!(price(&half, RHO), price(&counting(), RHO));
    // Shares without them, no bound that cuts, and names.
    let shares = PrivatePlan { clipped, ..plan(vec![output(rows(3), 1, 1)]) };
    assert_eq!(price(&shares, RHO), Err(PriceError::Shares));
    let nobody = PrivatePlan { clipped, ..plan(vec![output(Aggregate::CountUnits, 1, 2)]) };
    assert_eq!(price(&nobody, RHO), Err(PriceError::Clipped));
    let third = Some(Clipped { share_num: 1, share_den: 3 });
    let named = PrivatePlan { clipped: third, keys: vec![open_key("employer", 1, 3)], ..plan(vec![output(rows(3), 1, 3)]) };
    assert_eq!(price(&named, RHO), Err(PriceError::Clipped));
}

/// Two outputs and an open key in equal shares.
fn naming() -> PrivatePlan {
    let outputs = vec![output(Aggregate::CountUnits, 1, 3), output(sum(0, 100, 1), 1, 3)];
    PrivatePlan { keys: vec![open_key("employer", 1, 3)], ..plan(outputs) }
}

#[test]
fn an_open_key_pays_its_share_one_unit_and_delta_and_leaves_the_rest_to_the_numbers() {
    let found = names(&naming(), RHO).unwrap().unwrap();
    // A third of 16,463,051,015 is 5,487,683,671.67.
    let delta = Delta::from_units(1_000_000_000);
    assert_eq!(found.loss, Loss { rho: Rho::from_units(5_487_683_672), delta });
    assert_eq!(found.law.s2, (1u64 << 39).div_ceil(5_487_683_672));
    assert_eq!(numbers(&naming(), RHO), Ok(Loss { rho: Rho::from_units(16_463_051_015 - 5_487_683_671 + 1), delta: Delta::ZERO }));
    let whole = Loss { rho: Rho::from_units(16_463_051_017), delta };
    assert_eq!(price(&naming(), RHO), Ok(whole));
    // With its names the question costs the same, and the noise of its outputs is that of their shares.
    let named = naming().with_names(&["a".to_owned()]);
    assert_eq!(price(&named, RHO), Ok(whole));
    assert_eq!(noise(&named, RHO, 1, 1), noise(&naming(), RHO, 1, 1));
    let third = plan((0..3).map(|_| output(Aggregate::CountUnits, 1, 3)).collect());
    assert_eq!(noise(&naming(), RHO, 1, 1).unwrap()[0], noise(&third, RHO, 1, 1).unwrap()[0]);
    assert_eq!(names(&counting(), RHO), Ok(None));
}

#[test]
fn a_rho_of_one_tenth_for_one_count_asks_for_21_people_behind_a_name() {
    let plan = PrivatePlan { keys: vec![open_key("employer", 1, 2)], ..plan(vec![output(Aggregate::CountUnits, 1, 2)]) };
    let rho = Rho::parse("0.1").unwrap();
    assert_eq!(names(&plan, rho).unwrap().unwrap().law, NamesLaw { s2: 10, threshold: 21 });
    let five = PrivatePlan { max_groups_per_person: 5, ..plan };
    assert_eq!(names(&five, rho).unwrap().unwrap().law, NamesLaw { s2: 50, threshold: 46 });
}

#[test]
fn open_keys_that_no_compiler_writes_are_refused() {
    let two = PrivatePlan { keys: vec![open_key("a", 1, 3), open_key("b", 1, 3)], ..naming() };
    assert_eq!(price(&two, RHO), Err(PriceError::OpenKey));
    // Shares of outputs alone that add up to 1 leave nothing for names.
    let unpaid = PrivatePlan { keys: vec![open_key("a", 1, 3)], ..counting() };
    assert_eq!(price(&unpaid, RHO), Err(PriceError::Shares));
    assert!(matches!(price(&naming(), Rho::from_units(3)), Err(PriceError::Names(_))));
    for names in [&["b", "a"][..], &["a", "a"], &[" a"], &[]] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert!(matches!(price(&naming().with_names(&names), RHO), Err(PriceError::Unreadable(_))), "{names:?}");
    }
}

#[test]
fn losses_of_names_add_up_over_partitions_and_holders_and_those_of_numbers_grow_with_the_square() {
    let plan = naming();
    let whole = price(&plan, RHO).unwrap();
    let (of_names, of_numbers) = (names(&plan, RHO).unwrap().unwrap().loss, numbers(&plan, RHO).unwrap());
    let found = statement(&plan, whole, 3);
    let expected = of_numbers.rho.units() * 4 * 9 + of_names.rho.units() * 2 * 3;
    assert_eq!(found.all_holders, Some(Loss { rho: Rho::from_units(expected), delta: Delta::from_units(6_000_000_000) }));
}

#[test]
fn the_published_loss_grows_with_the_square_of_partitions_unless_they_are_keys_and_of_holders() {
    let one = Rho::from_units(10);
    assert_eq!(loss_over_partitions(&counting(), one, 1), Some(Rho::from_units(40)));
    let keyed = PrivatePlan { keys: vec![Key { name: "m".into(), source: KeySource::Partition }], ..counting() };
    assert_eq!(loss_over_partitions(&keyed, one, 1), Some(Rho::from_units(20)));
    assert_eq!(loss_over_partitions(&counting(), one, 3), Some(Rho::from_units(360)));
    assert_eq!(loss_over_partitions(&counting(), Rho::from_units(u64::MAX), 1), None);
}

#[test]
fn the_statement_adds_up_over_partitions_holders_and_domains() {
    let price = Loss { rho: Rho::from_units(10), delta: Delta::from_units(3) };
    let found = statement(&counting(), price, 3);
    let loss = |rho, delta| Some(Loss { rho: Rho::from_units(rho), delta: Delta::from_units(delta) });
    // Two partitions, three holders: failures of open keys add up, losses of one noisy sum grow with the square.
    assert_eq!(found, Statement { one_partition: price, all_partitions: loss(40, 6), all_holders: loss(360, 18) });
    assert_eq!(Statement::over_domains(&[found, found]), loss(720, 36));
    assert_eq!(Statement::over_domains(&[]), loss(0, 0));
    let hopeless = statement(&counting(), Loss { rho: Rho::from_units(u64::MAX / 5), ..price }, 3);
    assert_eq!((hopeless.all_partitions.is_some(), hopeless.all_holders), (true, None));
    assert_eq!(Statement::over_domains(&[found, hopeless]), None);
    assert_eq!(loss_over_a_lifetime(Rho::from_units(5), 24), Some(Rho::from_units(5 * 576)));

    let delta_conv = Delta::from_units(1_000_000_000);
    let (epsilon, delta) = as_epsilon(Loss { rho: RHO, delta: Delta::from_units(7) }, delta_conv).unwrap();
    assert!((epsilon - 1.0).abs() < 1e-5);
    assert_eq!(delta, Delta::from_units(1_000_000_007));
}

#[test]
fn three_guarantees_are_given_for_an_aggregated_release() {
    let rho = Rho::from_units(1_000_000);
    // Ten members, T = 9, c = 2, one of them dropped out.
    let given = guarantees(rho, 9, 7).unwrap();
    assert_eq!(given.coordinator_alone.units(), 777_778 + 1);
    assert_eq!(given.with_colluders.units(), 1_000_000 + 1);
    assert_eq!(given.all_others.units(), 7_000_000 + 1);
    assert_eq!((guarantees(rho, 6, 7), guarantees(rho, 6, 0)), (None, None));
    assert_eq!(guarantees(Rho::from_units(u64::MAX / 2), 3, 3), None);
}

proptest! {
    #[test]
    fn the_noise_of_k_agents_keeps_each_guarantee(units in 1u64 << 20..1 << 45, survivors in 2u32..2_000, colluders in 1u32..2_000, bound in 1u32..100_000) {
        let honest = survivors.saturating_sub(colluders).max(1);
        let rho = Rho::from_units(units);
        let (plan, given) = (plan_of(vec![rows(bound)]), guarantees(rho, survivors, honest).unwrap());
        if let Ok(noise) = noise(&plan, rho, survivors, honest) {
            let OutputNoise { d, s2, .. } = noise[0];
            for (noises, loss) in [(survivors, given.coordinator_alone), (honest, given.with_colluders), (1, given.all_others)] {
                // d^2 / (2 k s2) <= loss / 2^40, as integers.
                let (left, right) = ((u128::from(d) * u128::from(d)) << 39, u128::from(loss.units()) * u128::from(noises));
                prop_assert!(left <= right.saturating_mul(u128::from(s2)), "{noises} noises");
            }
        }
    }
}

#[test]
fn noise_against_one_trusted_centre_grows_by_the_root_of_n_over_h() {
    // Cohorts of the protocol page: n, T, c, and the factor in thousandths.
    let rho = Rho::from_units(16_460_000_000);
    let plan = counting();
    let variance = |agents: u32, honest: u32| {
        let OutputNoise { gamma_log2, s2, .. } = noise(&plan, rho, agents, honest).unwrap()[0];
        (u128::from(agents) * u128::from(s2) * 1_000_000) >> (2 * gamma_log2.unsigned_abs())
    };
    for (n, threshold, c, thousandths) in [(2, 2, 1, 1414), (3, 3, 1, 1225), (10, 9, 2, 1195), (100, 95, 10, 1085), (1000, 980, 100, 1066)]
    {
        let factor = (variance(n, threshold - c) * 1_000_000 / variance(1, 1)).isqrt();
        assert!(factor.abs_diff(thousandths) <= 3, "n = {n}: {factor}");
    }
}
