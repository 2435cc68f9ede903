//! Means and variances against rational recomputation from the rows (`tests/vectors/answer.py`), without noise.

use super::super::estimate::Row;
use super::super::{estimate, table};
use crate::fixture::{column, measured, plan_of, release, rows, ten, vectors};
use commun_domain::plan::{Aggregate, Estimate, PrivatePlan};

fn averages(lo: i64, hi: i64, scale: u8) -> PrivatePlan {
    let m = || measured(lo, hi, scale);
    plan_of(vec![
        rows(1),
        Aggregate::CentredSum { measured: m(), max_rows_per_person: 1 },
        Aggregate::CentredSquares { measured: m(), max_rows_per_person: 1 },
    ])
}

fn spread(sample: bool, root: bool) -> Estimate {
    Estimate::Variance { count: 0, centred: 1, squares: 2, sample, root }
}

const MEAN: Estimate = Estimate::Mean { count: 0, centred: 1 };

#[test]
fn means_and_variances_are_those_of_the_rows() {
    for case in vectors("moments") {
        let number = |name: &str| case[name].as_f64();
        let (lo, hi) = (case["lo"].as_i64().unwrap(), case["hi"].as_i64().unwrap());
        let plan = averages(lo, hi, 0);
        // Native units: 2^-21 and 2^-23.
        let raw = [number("count").unwrap(), number("centred").unwrap() / 2f64.powi(21), number("squares").unwrap() / 2f64.powi(23)];
        let row = Row { shown: &raw, raw: &raw, trees: &[] };
        let value = |estimate: &Estimate| estimate::value(estimate, &plan, row);
        let range = (hi - lo) as f64;
        // Each person's truncation is under one unit: 2^-21 of a mean, about range / 2^20 of a variance; floats hold 2^-53 of range^2.
        let near = |found: Option<f64>, exact: Option<f64>, room: f64| match (found, exact) {
            (Some(found), Some(exact)) => assert!((found - exact).abs() <= room, "{case}: {found}"),
            (found, exact) => assert_eq!(found, exact, "{case}"),
        };
        near(value(&MEAN), number("mean"), 2f64.powi(-20) + 1e-15 * number("mean").unwrap().abs());
        let room = (range + 1.0) / 2f64.powi(20) + 1e-15 * range * range;
        near(value(&spread(false, false)), number("variance"), room);
        near(value(&spread(true, false)), number("sample"), 2.0 * room);
        near(value(&spread(true, true)).map(|root| root * root), number("sample"), 3.0 * room);
    }
}

#[test]
fn decimals_and_the_lattice_scale_a_mean_and_a_deviation() {
    // 10.25 and 11.75 euros in cents within 0 to 20: v = 50, 350 and R = 2,000, on steps of 4.
    let columns = vec![column("avg", MEAN), column("sd", spread(false, true)), column("var", spread(true, false))];
    let plan = PrivatePlan { columns, ..averages(0, 2000, 2) };
    let s1 = (1i64 << 20) * (50 + 350);
    let s2 = (1i64 << 20) * (2 * (2_500 + 122_500) - 2 * 4_000_000);
    let release = release(plan, vec![ten(0), ten(2), ten(2)], vec![vec![2], vec![s1 / 4], vec![s2 / 4]]);
    assert_eq!(table(&release, false).unwrap().rows, [["11", "0.75", "1.125"]]);
}

#[test]
fn without_people_there_is_no_mean_and_with_one_no_variance_of_a_sample() {
    let columns = vec![column("avg", MEAN), column("pop", spread(false, false)), column("samp", spread(true, false))];
    let plan = PrivatePlan { columns, ..averages(0, 100, 0) };
    let shown = |count: i64| {
        // Squares far below what any rows have: a variance is never negative.
        table(&release(plan.clone(), vec![ten(0); 3], vec![vec![count], vec![0], vec![-(1 << 40)]]), false).unwrap().rows.remove(0)
    };
    assert_eq!(shown(0), ["", "", ""]);
    assert_eq!(shown(-3), ["", "", ""]);
    assert_eq!(shown(1), ["50", "0", ""]);
    assert_eq!(shown(2), ["50", "0", "0"]);
}
