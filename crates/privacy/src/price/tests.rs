//! Prices and noise of small plans, by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{PriceError, charges, loss_over_partitions, noise, price, sensitivity};
use crate::lattice::LatticeError;
use commun_domain::attempt::OutputNoise;
use commun_domain::calendar::{Calendar, Period};
use commun_domain::plan::{Aggregate, Key, KeySource, Output, PLAN_VERSION, PrivatePlan};
use commun_domain::{Delta, Hash32, Rho};

/// Epsilon 1 at delta 1e-9.
const RHO: Rho = Rho::from_units(16_463_051_015);

fn output(aggregate: Aggregate, share_num: u32, share_den: u32) -> Output {
    Output { name: "x".into(), aggregate, share_num, share_den }
}

fn sum(lo: i64, hi: i64, max_rows_per_person: u32) -> Aggregate {
    Aggregate::Sum { column: "km".into(), lo, hi, scale: 1, max_rows_per_person }
}

fn plan(outputs: Vec<Output>) -> PrivatePlan {
    PrivatePlan {
        version: PLAN_VERSION,
        contract: Hash32::default(),
        contract_name: "mobility".into(),
        budget_domain: "mobility".into(),
        table: "commute".into(),
        unit_column: "subscriber_id".into(),
        partition_column: "ref_month".into(),
        calendar: Calendar::Month,
        partitions: vec![Period(24_132), Period(24_133)],
        filter: None,
        keys: vec![],
        outputs,
        columns: vec![],
        max_groups_per_person: 1,
    }
}

fn counting() -> PrivatePlan {
    plan(vec![output(Aggregate::CountUnits, 1, 1)])
}

#[test]
fn sensitivities_follow_the_bounds() {
    assert_eq!(sensitivity(&Aggregate::CountUnits), Some(1));
    assert_eq!(sensitivity(&Aggregate::CountRows { max_rows_per_person: 7 }), Some(7));
    assert_eq!(sensitivity(&sum(0, 100, 3)), Some(300));
    assert_eq!(sensitivity(&sum(-500, 100, 3)), Some(1500));
    // All values between 50 and 100, but a person without rows sums to 0.
    assert_eq!(sensitivity(&sum(50, 100, 1)), Some(100));
    assert_eq!(sensitivity(&sum(-100, -50, 1)), Some(100));
    assert_eq!(sensitivity(&sum(i64::MIN, 0, 1)), Some(1 << 63));
    assert_eq!(sensitivity(&sum(i64::MIN, 0, 2)), None);
    assert_eq!(sensitivity(&sum(1, 0, 1)), None);
}

#[test]
fn the_price_is_the_requested_rho_and_one_unit_in_each_partition() {
    let plan = counting();
    let one = price(&plan, RHO).unwrap();
    assert_eq!((one.rho, one.delta), (Rho::from_units(16_463_051_016), Delta::ZERO));
    let charged = charges(&plan, RHO).unwrap();
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
    for aggregate in [sum(0, 0, 1), sum(2, 1, 1), sum(0, 1, 0), Aggregate::CountRows { max_rows_per_person: 0 }] {
        assert_eq!(price(&plan(vec![output(aggregate, 1, 1)]), RHO), Err(PriceError::Bounds("x".into())));
    }
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
fn the_published_loss_grows_with_the_square_of_partitions_unless_they_are_keys_and_of_holders() {
    let one = Rho::from_units(10);
    assert_eq!(loss_over_partitions(&counting(), one, 1), Some(Rho::from_units(40)));
    let keyed = PrivatePlan { keys: vec![Key { name: "m".into(), source: KeySource::Partition }], ..counting() };
    assert_eq!(loss_over_partitions(&keyed, one, 1), Some(Rho::from_units(20)));
    assert_eq!(loss_over_partitions(&counting(), one, 3), Some(Rho::from_units(360)));
    assert_eq!(loss_over_partitions(&counting(), Rho::from_units(u64::MAX), 1), None);
}
