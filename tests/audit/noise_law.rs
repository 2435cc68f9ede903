//! The law of the noise of whole answers: one question of a hundred thousand cells and two outputs, released by three agents in two attempts, as
//! they release it. Each agent's noise has the stated law, a standard deviation that is 2 % off is noticed, and no draw has to do with another.

#![expect(clippy::cast_precision_loss, reason = "residuals and counts are far below 2^52")]

use commun_domain::attempt::OutputNoise;
use commun_domain::ids::QueryId;
use commun_domain::units::Rho;
use commun_engine::{Cells, EngineOptions, release};
use commun_privacy::price;

use crate::dice::Dice;
use crate::stack::{Files, Stack};
use crate::statistics::{chi_square_score, normal_above};
use crate::table::{Format, MONTHS, Row};

const AGENTS: u32 = 3;

const ATTEMPTS: u32 = 2;

const CELLS: usize = 100_000;

/// Alarm beyond so many standard errors.
const ALARM: f64 = 5.5;

/// The noise of one output of one agent in one attempt, in lattice steps.
type Residuals = Vec<i64>;

fn answer() -> (Cells, Vec<OutputNoise>) {
    let (mut stack, mut dice) = (Stack::new(), Dice::new(2));
    let sql = "SELECT place, WIDTH_BUCKET(amount, -100, 250, 98) AS band, COUNT(*), SUM(whole) FROM audit.trip
               WHERE month = '2024-01' GROUP BY 1, 2";
    let plan = stack.compile(sql, 2, 1).unwrap();
    assert_eq!(plan.lengths(), Some(vec![CELLS; 2]));
    let rows: Vec<Row> = (0..5_000).map(|person| Row::random(&mut dice, Some(person), MONTHS[0])).collect();
    let files = Files::of(&rows, Format::Integers);
    let cells = stack.evaluate(&plan, 2, &QueryId::from_bytes([1; 32]), &files, EngineOptions::default()).unwrap();
    // The first output's lattice is finer than its unit, the second's is coarser.
    let noise = price::noise(&plan, Rho::from_units(1 << 36), AGENTS, 1).unwrap();
    assert!(noise[0].gamma_log2 < 0 && noise[1].gamma_log2 > 0, "{noise:?}");
    (cells, noise)
}

/// What was added to each cell; `noise` is what the agent is told.
fn residuals(cells: &Cells, noise: &[OutputNoise]) -> Vec<Residuals> {
    let on_lattice = |total: i128, gamma_log2: i32| {
        let step = 1i128 << gamma_log2.unsigned_abs();
        i64::try_from(if gamma_log2 < 0 { total * step } else { (total + step / 2).div_euclid(step) }).unwrap()
    };
    let released = release(cells, noise).unwrap();
    let outputs = released.into_iter().zip(&cells.outputs).zip(noise);
    outputs
        .map(|((released, exact), noise)| {
            released.into_iter().zip(exact).map(|(value, exact)| value - on_lattice(*exact, noise.gamma_log2)).collect()
        })
        .collect()
}

/// Standard errors by which the mean square is off what it should be.
fn variance_score(residuals: &[i64], s2: u64) -> f64 {
    let squares: f64 = residuals.iter().map(|r| (*r as f64).powi(2)).sum();
    let n = residuals.len() as f64;
    (squares / n / s2 as f64 - 1.0) * (n / 2.0).sqrt()
}

fn mean_score(residuals: &[i64], s2: u64) -> f64 {
    residuals.iter().map(|r| *r as f64).sum::<f64>() / (residuals.len() as f64 * s2 as f64).sqrt()
}

/// Chi-square against the exact law, in classes of a sixteenth of a standard deviation within three, and two tails.
fn law_score(residuals: &[i64], s2: u64) -> f64 {
    let s = i64::try_from(s2.isqrt()).unwrap();
    let (width, reach) = ((s / 16).max(1), 3 * s);
    let class = |x: i64| usize::try_from((x.clamp(-reach - 1, reach + 1) + reach + width).div_euclid(width)).unwrap();
    let classes = class(i64::MAX / 2) + 1;
    let (mut expected, mut found) = (vec![0.0; classes], vec![0.0; classes]);
    for x in -14 * s..=14 * s {
        expected[class(x)] += (-(x as f64).powi(2) / (2.0 * s2 as f64)).exp();
    }
    let scale = residuals.len() as f64 / expected.iter().sum::<f64>();
    for residual in residuals {
        found[class(*residual)] += 1.0;
    }
    let chi_square: f64 = expected.iter().map(|expected| expected * scale).zip(found).map(|(e, f)| (f - e).powi(2) / e).sum();
    assert!(expected.iter().all(|expected| expected * scale > 5.0), "a class is too small for a chi-square");
    chi_square_score(chi_square, classes - 1)
}

/// Standard errors by which two series go together at a shift.
fn correlation_score(one: &[f64], other: &[f64], shift: usize) -> f64 {
    let products: f64 = one.iter().zip(&other[shift..]).map(|(a, b)| a * b).sum();
    let norm = |of: &[f64]| of.iter().map(|x| x * x).sum::<f64>() / of.len() as f64;
    products / (norm(one) * norm(other) * (other.len() - shift) as f64).sqrt()
}

#[test]
fn p1_p2_every_agents_noise_follows_the_exact_law_and_two_percent_are_noticed() {
    let (cells, noise) = answer();
    // A standard deviation off by 2 % moves the mean square by 4 %: the chance that ONE agent's output shows it, and that a sound one alarms.
    let n = CELLS as f64;
    let shift = |off: f64| ((off * off - 1.0).abs() * (n / 2.0).sqrt() - ALARM) / (off * off);
    let power = 1.0 - normal_above(shift(0.98)).max(normal_above(shift(1.02)));
    let checks = f64::from(AGENTS * ATTEMPTS) * 2.0 * 3.0;
    let false_alarm = checks * 2.0 * normal_above(ALARM);
    eprintln!("2 % off is noticed in one agent's output with chance {power:.5}; a sound run alarms with chance {false_alarm:.1e}");
    assert!(power > 0.999 && false_alarm < 2e-6);

    let mut pooled = vec![Vec::new(); noise.len()];
    for agent in 0..AGENTS * ATTEMPTS {
        for (output, (residuals, noise)) in residuals(&cells, &noise).into_iter().zip(&noise).enumerate() {
            let scores = [mean_score(&residuals, noise.s2), variance_score(&residuals, noise.s2), law_score(&residuals, noise.s2)];
            assert!(
                scores.iter().all(|score| score.abs() < ALARM),
                "agent {agent}, output {output}: mean, variance, law off by {scores:?}"
            );
            pooled[output].extend(residuals);
        }
    }
    // And it does notice: agents that are told 2 % less or more. All of them together, so that this itself fails in no run.
    for percent in [98u64, 102] {
        let off = |noise: &OutputNoise| OutputNoise { s2: (noise.s2 * percent * percent).div_ceil(10_000), ..*noise };
        let off: Vec<OutputNoise> = noise.iter().map(off).collect();
        let drawn: Vec<Vec<Residuals>> = (0..AGENTS * ATTEMPTS).map(|_| residuals(&cells, &off)).collect();
        for (output, noise) in noise.iter().enumerate() {
            let together: Residuals = drawn.iter().flat_map(|outputs| outputs[output].iter().copied()).collect();
            let score = variance_score(&together, noise.s2);
            assert!(score.abs() > 2.0 * ALARM, "{percent} % passes with {score}");
        }
    }
    // What is combined has as much variance as all agents have together.
    for (output, noise) in pooled.iter().zip(&noise) {
        let sums: Residuals = (0..CELLS).map(|cell| output.iter().skip(cell).step_by(CELLS).take(3).sum()).collect();
        let score = variance_score(&sums, 3 * noise.s2);
        assert!(score.abs() < ALARM, "the sum of three agents is off by {score}");
    }
}

#[test]
fn p2_no_draw_has_to_do_with_another_cell_output_agent_or_attempt() {
    let (cells, noise) = answer();
    let draws: Vec<Vec<f64>> = (0..AGENTS * ATTEMPTS)
        .flat_map(|_| residuals(&cells, &noise))
        .map(|residuals| residuals.into_iter().map(|residual| residual as f64).collect())
        .collect();
    let centred = |of: &[f64]| -> Vec<f64> {
        let squares = of.iter().map(|x| x * x);
        let mean = squares.clone().sum::<f64>() / of.len() as f64;
        squares.map(|square| square - mean).collect()
    };
    let squares: Vec<Vec<f64>> = draws.iter().map(|draw| centred(draw)).collect();
    let mut checks = 0;
    for series in [&draws, &squares] {
        for (number, one) in series.iter().enumerate() {
            // Neighbouring cells, and cells of neighbouring first keys (the second key has 100 values).
            for shift in [1, 2, 3, 4, 99, 100, 101] {
                let score = correlation_score(one, one, shift);
                assert!(score.abs() < ALARM, "draw {number} goes together with itself {shift} cells on: {score}");
                checks += 1;
            }
            for (earlier, other) in series[..number].iter().enumerate() {
                for shift in [0, 1] {
                    let score = correlation_score(one, other, shift);
                    assert!(score.abs() < ALARM, "draws {earlier} and {number} go together at {shift}: {score}");
                    checks += 1;
                }
            }
        }
    }
    let false_alarm = f64::from(checks) * 2.0 * normal_above(ALARM);
    eprintln!("{checks} correlations; a sound run alarms with chance {false_alarm:.1e}");
    assert!(false_alarm < 2e-5);
    // A draw that is used again goes together as nothing else.
    assert!(correlation_score(&draws[0], &draws[0], 0) > 100.0);
}
