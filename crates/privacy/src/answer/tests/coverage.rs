//! How often 95 % margins hold the truth: thousands of cells with real noise and known numbers underneath, for each way a margin is made.
//!
//! Seeds are fixed, so that a pass is a pass for ever. With a fresh seed a test would fail a right program once in more than 10,000 times: the
//! tolerance is 3.9 binomial deviations, plus what a method is known to be off by where that is said.

use super::super::{Intervals, table};
use crate::discrete_gaussian::DiscreteGaussian;
use crate::fixture::{boxed, column, constant, divide, key, key_column, measured, plan_of, release, rows};
use commun_domain::attempt::OutputNoise;
use commun_domain::plan::{Aggregate, Estimate, GroupingSet, KeyKind, PrivatePlan};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

/// Holders that add noise.
const HOLDERS: usize = 3;

/// Rows of a table of `cells` cells, each of which holds `exact` (one list of numbers for each output), with real noise.
fn noisy_rows(plan: PrivatePlan, noise: &[OutputNoise], exact: &[Vec<i64>], cells: usize, seed: u8) -> Vec<Vec<String>> {
    let labels: Vec<String> = (0..cells).map(|cell| cell.to_string()).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let plan = PrivatePlan { keys: vec![key("cell", &labels, KeyKind::Number)], ..plan };
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let sums = exact.iter().zip(noise).map(|(exact, noise)| {
        let gaussian = DiscreteGaussian::new(noise.s2).unwrap();
        let mut with_noise = |exact: i64| (0..HOLDERS).fold(exact, |sum, _| sum + gaussian.sample(&mut rng).unwrap());
        (0..cells).flat_map(|_| exact).map(|exact| with_noise(*exact)).collect()
    });
    let sums = sums.collect();
    let mut release = release(plan, noise.to_vec(), sums);
    release.participants = vec![String::new(); HOLDERS];
    table(&release, true).unwrap().rows
}

/// Part of the rows whose interval (columns `at` and `at + 1`) holds the truth. A missing margin is an interval without an end.
fn coverage(rows: &[Vec<String>], at: usize, truth: f64) -> f64 {
    let holds = |row: &&Vec<String>| {
        let value: f64 = row[at].parse().unwrap();
        row[at + 1].parse::<f64>().map_or(true, |margin| (value - truth).abs() <= margin)
    };
    rows.iter().filter(holds).count() as f64 / rows.len() as f64
}

/// 95 % within 3.9 binomial deviations, and `below` and `above` that.
fn assert_covers(rows: &[Vec<String>], at: usize, truth: f64, (below, above): (f64, f64)) {
    let tolerance = 3.9 * (0.95 * 0.05 / rows.len() as f64).sqrt();
    let found = coverage(rows, at, truth);
    assert!((0.95 - tolerance - below..=0.95 + tolerance + above).contains(&found), "column {at} covers {found}, tolerance {tolerance}");
}

fn noise(s2: u64, gamma_log2: i32) -> OutputNoise {
    OutputNoise { gamma_log2, d: 1, s2 }
}

/// 1,000 people of mean 30 within 0 to 100, deviation 12. Noise: 28 people; 28 times the range, and its square.
fn people() -> (PrivatePlan, Vec<OutputNoise>, Vec<Vec<i64>>) {
    let m = || measured(0, 100, 0);
    let plan = plan_of(vec![
        rows(1),
        Aggregate::CentredSum { measured: m(), max_rows_per_person: 1 },
        Aggregate::CentredSquares { measured: m(), max_rows_per_person: 1 },
    ]);
    // v = 2x - 100 has mean -40 and second moment 1,600 + 4 * 144; 2 v^2 - R^2.
    let s1 = (1000 * -40) << 20;
    let s2 = (1000i64 * (2 * (1_600 + 576) - 10_000)) << 20;
    (plan, vec![noise(265, 0), noise(265 * 10_000, 20), noise(265 * 10_000, 20 + 7)], vec![vec![1000], vec![s1 >> 20], vec![s2 >> 27]])
}

#[test]
fn margins_of_counts_and_of_sums_of_counts_cover() {
    let (plan, noise, exact) = people();
    let n = || boxed(Estimate::Output(0));
    let columns =
        vec![column("n", Estimate::Output(0)), column("half", divide(Estimate::Subtract(n(), boxed(constant(100))), constant(2)))];
    let rows = noisy_rows(PrivatePlan { columns, ..plan }, &noise, &exact, 20_000, 1);
    assert_covers(&rows, 0, 1000.0, (0.0, 0.0));
    assert_covers(&rows, 2, 450.0, (0.0, 0.0));
}

#[test]
fn margins_of_rows_that_add_up_many_cells_cover() {
    let labels: Vec<String> = (0..4000).map(|group| group.to_string()).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let plan = PrivatePlan {
        keys: vec![key("group", &labels, KeyKind::Number), key("part", &labels[..20], KeyKind::Number)],
        grouping_sets: vec![GroupingSet { keys: vec![0] }],
        columns: vec![key_column("group", 0), column("n", Estimate::Output(0))],
        ..plan_of(vec![rows(1)])
    };
    let gaussian = DiscreteGaussian::new(265).unwrap();
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let cells = (0..80_000).map(|_| 1000 + gaussian.sample(&mut rng).unwrap()).collect();
    let table = table(&release(plan, vec![noise(265, 0)], vec![cells]), true).unwrap();
    assert_covers(&table.rows, 1, 20_000.0, (0.0, 0.0));
}

#[test]
fn simultaneous_margins_cover_all_cells_at_once() {
    let labels: Vec<String> = (0..20).map(|group| group.to_string()).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let half = divide(Estimate::Output(0), constant(2));
    // LIMIT picks rows by their noise, so the margins are for all of them.
    let plan = PrivatePlan {
        keys: vec![key("group", &labels, KeyKind::Number)],
        columns: vec![key_column("group", 0), column("n", Estimate::Output(0)), column("half", half)],
        limit: Some(15),
        ..plan_of(vec![rows(1)])
    };
    let gaussian = DiscreteGaussian::new(265).unwrap();
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let held = |intervals: Intervals, rng: &mut ChaCha20Rng| {
        let cells = (0..20).map(|_| 1000 + gaussian.sample(rng).unwrap()).collect();
        let table = table(&release(plan.clone(), vec![noise(265, 0)], vec![cells]), intervals).unwrap();
        let number = |text: &str| text.parse::<f64>().unwrap();
        let holds =
            |row: &Vec<String>| (number(&row[1]) - 1000.0).abs() <= number(&row[2]) && (number(&row[3]) - 500.0).abs() <= number(&row[4]);
        assert_eq!(table.rows.len(), 15);
        table.rows.iter().all(holds)
    };
    let share = |intervals: Intervals, rng: &mut ChaCha20Rng| (0..2_000).filter(|_| held(intervals, rng)).count() as f64 / 2_000.0;
    // Half of a count holds whenever the count does, so Bonferroni's 95 % over 40 intervals are more over 15 rows: (1 - 0.05 / 40)^15 = 0.981.
    let all = share(Intervals::All, &mut rng);
    assert!((0.968..0.994).contains(&all), "{all}");
    // 0.95^15 = 0.463.
    let each = share(Intervals::Each, &mut rng);
    assert!((0.41..0.52).contains(&each), "{each}");
}

#[test]
fn fieller_s_margins_of_means_and_ratios_cover() {
    let (plan, noise, exact) = people();
    let mean = || Estimate::Mean { count: 0, centred: 1 };
    let above = Estimate::Multiply(boxed(constant(3)), boxed(Estimate::Subtract(boxed(mean()), boxed(constant(20)))));
    let share = divide(Estimate::Output(1), Estimate::Output(0));
    let columns = vec![column("avg", mean()), column("above", above), column("share", share)];
    let rows = noisy_rows(PrivatePlan { columns, ..plan }, &noise, &exact, 20_000, 3);
    // The larger side is taken for both, which holds a little more than 95 %.
    assert_covers(&rows, 0, 30.0, (0.0, 0.005));
    assert_covers(&rows, 2, 30.0, (0.0, 0.005));
    assert_covers(&rows, 4, -20.0, (0.0, 0.005));
    // The margin is worth having: about 1.96 * 28 * 100 / 2 / 1000.
    let margin: f64 = rows[0][1].parse().unwrap();
    assert!((2.0..4.0).contains(&margin), "{margin}");
}

#[test]
fn fieller_s_margins_cover_where_the_denominator_is_poorly_known() {
    // 100 people with noise of 28: the denominator is 3.5 deviations from 0, and where it is not told from 0 there is no margin.
    let (plan, noise, _) = people();
    let exact = vec![vec![100], vec![100 * -40], vec![0]];
    let columns = vec![column("avg", Estimate::Mean { count: 0, centred: 1 })];
    let rows = noisy_rows(PrivatePlan { columns, ..plan }, &noise, &exact, 20_000, 4);
    let rows: Vec<Vec<String>> = rows.into_iter().filter(|row| !row[0].is_empty()).collect();
    let without = rows.iter().filter(|row| row[1].is_empty()).count() as f64 / rows.len() as f64;
    assert!((0.03..0.12).contains(&without), "{without} without a margin");
    assert_covers(&rows, 0, 30.0, (0.0, 0.05));
}

#[test]
fn bootstrapped_margins_of_variances_deviations_and_products_cover() {
    let (plan, noise, exact) = people();
    // 20 times the people, whose deviation is then well known.
    let exact: Vec<Vec<i64>> = exact.into_iter().map(|numbers| numbers.into_iter().map(|number| number * 20).collect()).collect();
    let spread = |sample, root| Estimate::Variance { count: 0, centred: 1, squares: 2, sample, root };
    let square = Estimate::Multiply(boxed(Estimate::Output(0)), boxed(Estimate::Output(0)));
    // The sum of all values: count and mean share the count's noise, and margins that drew it twice would cover 91 %.
    let total = Estimate::Multiply(boxed(Estimate::Output(0)), boxed(Estimate::Mean { count: 0, centred: 1 }));
    let columns =
        vec![column("var", spread(true, false)), column("sd", spread(false, true)), column("square", square), column("total", total)];
    let rows = noisy_rows(PrivatePlan { columns, ..plan }, &noise, &exact, 3_000, 5);
    let variance = 144.0;
    // 400 draws: the 381st distance is the 95 % point on average, and its own spread costs .1 %.
    assert_covers(&rows, 0, variance * 20_000.0 / 19_999.0, (0.002, 0.002));
    assert_covers(&rows, 2, variance.sqrt(), (0.002, 0.002));
    assert_covers(&rows, 4, 4e8, (0.002, 0.002));
    assert_covers(&rows, 6, 600_000.0, (0.002, 0.002));
    let margin: f64 = rows[0][1].parse().unwrap();
    assert!((0.5..20.0).contains(&margin), "{margin}");
}

#[test]
fn bootstrapped_margins_of_medians_cover() {
    let histogram = Aggregate::Histogram { measured: measured(0, 31_999, 0), bins_log2: 5, max_rows_per_person: 1 };
    let median = Estimate::Quantile { histogram: 0, fraction: 500_000 };
    let plan = PrivatePlan { columns: vec![column("median", median)], ..plan_of(vec![histogram]) };
    // 32 bins of 1,000 integers, 100 to 400 people each; nodes count them all.
    let leaves: Vec<i64> = (0..32).map(|bin| 100 + (bin * 7) % 31 * 10).collect();
    let mut nodes = vec![0; 31];
    nodes.extend(&leaves);
    for node in (0..31).rev() {
        nodes[node] = nodes[2 * node + 1] + nodes[2 * node + 2];
    }
    let mut before = 0;
    let half = nodes[0] as f64 / 2.0;
    let bin = leaves.iter().position(|count| {
        before += count;
        before as f64 >= half
    });
    let bin = bin.unwrap();
    let part = (half - (before - leaves[bin]) as f64) / leaves[bin] as f64;
    let truth = bin as f64 * 1000.0 + part * 999.0;
    let rows = noisy_rows(plan, &[noise(300, 0)], &[nodes], 3_000, 6);
    assert_covers(&rows, 0, truth, (0.004, 0.004));
    let margin: f64 = rows[0][1].parse().unwrap();
    assert!((50.0..2_000.0).contains(&margin), "{margin}");
}
