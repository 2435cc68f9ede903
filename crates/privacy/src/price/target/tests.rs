#![allow(clippy::unwrap_used, reason = "tests")]

use commun_domain::plan::{Aggregate, Estimate, KeyKind, PrivatePlan};
use proptest::prelude::*;

use super::*;
use crate::fixture::{column, counting, divide, key, measured, plan_of, rows, set, sum};

fn asked(column: Option<&str>, margin: f64) -> MarginTarget {
    MarginTarget { column: column.map(str::to_owned), margin }
}

/// A count of rows, a sum and their mean.
fn several() -> PrivatePlan {
    let columns = vec![
        column("each", divide(Estimate::Output(1), Estimate::Output(0))),
        column("n", Estimate::Output(0)),
        column("total", Estimate::Output(1)),
        column("tens", Estimate::Round(Box::new(Estimate::Output(0)), 0)),
    ];
    PrivatePlan { columns, ..plan_of(vec![rows(3), sum(0, 1000, 3)]) }
}

fn count() -> PrivatePlan {
    PrivatePlan { columns: vec![column("people", Estimate::Output(0))], ..counting() }
}

#[test]
fn a_count_s_price_is_that_of_the_gaussian_law() {
    // 1.96 sqrt(3 sigma^2) = 19.6 and rho = 1 / (2 sigma^2): sigma^2 = 100 / 3, rho = 0.015.
    let priced = rho_for_margin(&count(), &asked(None, 19.6), 3, 1).unwrap();
    let rho = priced.rho.to_f64();
    assert!(priced.column == "people" && priced.margin <= 19.6 && (0.014_999..0.015_06).contains(&rho), "{priced:?}, rho {rho}");
}

#[test]
fn the_first_count_or_sum_is_meant_unless_one_is_named() {
    let plan = several();
    let of = |name: Option<&str>| rho_for_margin(&plan, &asked(name, 500.0), 2, 1);
    assert_eq!(of(None).unwrap().column, "n");
    // One person moves a sum by 300.0 and a count by 3: the sum costs a hundred times a hundred as much.
    let (count, sum) = (of(Some("n")).unwrap().rho.to_f64(), of(Some("total")).unwrap().rho.to_f64());
    assert!((sum / count / 10_000.0 - 1.0).abs() < 0.01, "{count} {sum}");
    let error = of(Some("each")).unwrap_err().to_string();
    assert!(error.contains("each") && error.contains("name one of n, total, tens"), "{error}");
    assert_eq!(
        of(Some("nothing")).unwrap_err().to_string(),
        "the margin of nothing cannot be known before it is asked; name one of n, total, tens"
    );
    let averages = PrivatePlan { columns: vec![column("each", divide(Estimate::Output(1), Estimate::Output(0)))], ..several() };
    assert_eq!(rho_for_margin(&averages, &asked(None, 1.0), 1, 1), Err(TargetError::NoColumn));
}

#[test]
fn every_row_keeps_the_margin_also_the_one_that_adds_up_everything() {
    let keys = vec![key("home", &["A", "B", "C", "D"], KeyKind::Text)];
    let cells = PrivatePlan { keys, ..count() };
    let total = PrivatePlan { grouping_sets: vec![set(&[0]), set(&[])], ..cells.clone() };
    let of = |plan: &PrivatePlan| rho_for_margin(plan, &asked(None, 10.0), 1, 1).unwrap().rho.to_f64();
    assert!((of(&total) / of(&cells) - 4.0).abs() < 0.05);
}

#[test]
fn what_cannot_be_reached_is_said() {
    for margin in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(rho_for_margin(&count(), &asked(None, margin), 1, 1), Err(TargetError::Margin));
    }
    // Rounding to whole numbers moves by a half.
    let tens = asked(Some("tens"), 0.5);
    assert_eq!(rho_for_margin(&several(), &tens, 1, 1), Err(TargetError::Unreachable { column: "tens".to_owned() }));
    let nothing = PrivatePlan { outputs: vec![], ..count() };
    assert_eq!(rho_for_margin(&nothing, &asked(None, 1.0), 1, 1), Err(TargetError::Price(PriceError::Empty)));
    assert!(matches!(rho_for_margin(&count(), &asked(None, 1.0), 0, 1), Err(TargetError::Price(_))));
}

proptest! {
    #[test]
    fn it_is_the_least_price(kind in 0usize..4, linf in 1u32..50, groups in 1u32..6, margin in 0.5f64..1e6, agents in 1u32..20) {
        let aggregate = match kind {
            0 => Aggregate::CountUnits,
            1 => rows(linf),
            2 => sum(-7, 1_000_003, linf),
            _ => Aggregate::Sum { measured: measured(0, 3, 0), max_rows_per_person: linf },
        };
        let plan = PrivatePlan { columns: vec![column("x", Estimate::Output(0))], max_groups_per_person: groups, ..plan_of(vec![aggregate]) };
        let target = asked(None, margin);
        // Of wide bounds a very small margin may cost more than any rho that is looked at.
        if let Ok(priced) = rho_for_margin(&plan, &target, agents, 1) {
            prop_assert!(priced.margin <= margin);
            prop_assert_eq!(margin_at(&plan, "x", priced.rho, agents, 1), Some(priced.margin));
            let less = Rho::from_units(priced.rho.units() - 1);
            prop_assert!(margin_at(&plan, "x", less, agents, 1).is_none_or(|wider| wider > margin));
            // Nor does any much lower price do: margins fall as prices rise.
            for part in [2, 3, 10, 1000] {
                let less = Rho::from_units(priced.rho.units() / part);
                prop_assert!(margin_at(&plan, "x", less, agents, 1).is_none_or(|wider| wider > margin));
            }
        } else {
            prop_assert!(kind == 2 || margin < 30.0, "margin {} was not found", margin);
        }
    }
}
