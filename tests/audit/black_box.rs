//! An attacker who knows everything but one person's rows, and sees nothing but the tables that are released: compiled, read, bounded, noised,
//! combined and computed by the shipped code in this process, thousands of times on each of two neighbouring databases.
//!
//! The person lies at every bound, so the price is what the attacker can learn: `mu = sqrt(2 rho)` standard deviations between the two laws
//! (Dong, Roth and Su 2022: a Gaussian mechanism; any test with false-alarm rate a has power at most `Phi(mu - Phi^-1(1 - a))`). The attacker
//! decides by the best statistic at a threshold that is fixed beforehand. Exact intervals for both rates say how much was learnt at least.

#![expect(clippy::cast_precision_loss, reason = "counts and totals are far below 2^52")]

use commun_domain::Delta;
use commun_domain::attempt::OutputNoise;
use commun_domain::ids::{Hash32, QueryId};
use commun_domain::plan::PrivatePlan;
use commun_domain::release::{OutputSums, ResultRelease};
use commun_domain::units::Rho;
use commun_engine::{Cells, EngineOptions, release};
use commun_privacy::answer::table;
use commun_privacy::price;

use crate::dice::Dice;
use crate::stack::{Files, Stack};
use crate::statistics::{Trials, normal_above, normal_point};
use crate::table::{AREAS, Amount, Format, MONTHS, Row};

/// Runs on each of the two databases.
const RUNS: usize = 3_000;

/// Standard deviations between the two laws that are priced.
const MU: f64 = 0.5;

/// mu^2 / 2.
const RHO_UNITS: u64 = 1 << 37;

/// Most that a sound run alarms.
const SIZE: f64 = 1e-6;

const LINF: u32 = 2;

const L0: u32 = 2;

const SQL: &str = "SELECT area, COUNT(*) AS n, SUM(amount) AS total FROM audit.trip WHERE month = '2024-01' GROUP BY area";

/// What the attacker asks: is the person in it?
struct Attack {
    plan: PrivatePlan,
    /// Of each number of the table, row by row.
    known: Vec<Known>,
}

/// A number of the table: what it is without the person, by how much the person moves it, and the variance of its noise.
struct Known {
    without: f64,
    moved: f64,
    variance: f64,
}

/// Three rows in each group, one more than count, each at the end of its range.
fn person() -> Vec<Row> {
    let row =
        |area| Row { area: Some(area), amount: Amount::Huge { negative: false }, ..Row::random(&mut Dice::new(4), Some(9), MONTHS[0]) };
    AREAS.iter().flat_map(|area| [row(*area), row(*area), row(*area)]).collect()
}

/// The table as the agency gets it, as numbers.
fn table_of(plan: &PrivatePlan, cells: &Cells, noise: &[OutputNoise]) -> Vec<f64> {
    // One holder: what is combined is its answer.
    let sums = release(cells, noise).unwrap().into_iter().map(|cells| OutputSums { cells }).collect();
    let released = ResultRelease {
        query: QueryId::default(),
        attempt: 1,
        permit: Hash32::default(),
        plan: plan.clone(),
        noise: noise.to_vec(),
        sums,
        participants: vec!["one".into()],
        listed: 1,
        members: 1,
        threshold: 1,
        colluders: 0,
        unmasked: true,
        transcript: None,
        rho: Rho::from_units(RHO_UNITS + 1),
        delta: Delta::ZERO,
        delta_conv: Delta::from_units(1_000_000_000),
        max_holders_per_person: 1,
        roster_epoch: 1,
        released_at_ms: 0,
    };
    let rows = table(&released, false).unwrap().rows;
    rows.iter().flat_map(|row| row[1..].iter().map(|text| text.parse::<f64>().unwrap())).collect()
}

impl Attack {
    /// Standard deviations between the two laws.
    fn distance(&self) -> f64 {
        self.known.iter().map(|known| known.moved * known.moved / known.variance).sum::<f64>().sqrt()
    }

    /// The best statistic: a standard normal without the person, and as far above with it as the distance is.
    fn of(&self, table: &[f64]) -> f64 {
        assert_eq!(table.len(), self.known.len());
        let weighed = table.iter().zip(&self.known).map(|(number, known)| (number - known.without) * known.moved / known.variance);
        weighed.sum::<f64>() / self.distance()
    }
}

/// How much was learnt at least, by counts of "yes" with and without the person.
struct Judge {
    trials: Trials,
    /// Of each count the least chance that allows it, each at half of [`SIZE`].
    least: Vec<f64>,
}

impl Judge {
    fn new() -> Self {
        let trials = Trials::new(RUNS);
        let least = (0..=RUNS).map(|count| trials.least_chance(count, SIZE / 2.0)).collect();
        Self { trials, least }
    }

    /// Whether more was learnt than `MU`: the least power that the counts allow, at the greatest false-alarm rate that they allow.
    fn alarms(&self, with: usize, without: usize) -> bool {
        let (power, false_alarm) = (self.least[with], 1.0 - self.least[RUNS - without]);
        power > normal_above(normal_point(false_alarm) - MU)
    }

    /// The chance of an alarm when the laws are truly `mu` apart and the attacker's threshold lies at `at` standard deviations.
    fn chance_of_alarm(&self, mu: f64, at: f64) -> f64 {
        let [with, without] = [normal_above(at - mu), normal_above(at)];
        let (mut fewest, mut chance) = (0, 0.0);
        for count in 0..=RUNS {
            // The more "yes" without the person, the more it takes with it.
            while fewest <= RUNS && !self.alarms(fewest, count) {
                fewest += 1;
            }
            if fewest <= RUNS {
                chance += self.trials.exactly(count, without) * self.trials.at_least(fewest, with);
            }
        }
        chance
    }
}

#[test]
fn an_attacker_learns_from_released_tables_no_more_than_is_priced_and_a_halved_sigma_is_noticed() {
    let judge = Judge::new();
    let (sound, halved) = (judge.chance_of_alarm(MU, MU / 2.0), judge.chance_of_alarm(2.0 * MU, MU));
    eprintln!("a sound run alarms with chance {sound:.1e}; a halved sigma is noticed with chance {halved:.9}");
    assert!(sound < SIZE && halved > 0.999_999);

    let (mut stack, mut dice) = (Stack::new(), Dice::new(5));
    let others: Vec<Row> = (0..40).map(|other| Row::random(&mut dice, Some(100 + other / 2), MONTHS[0])).collect();
    let all: Vec<Row> = others.iter().cloned().chain(person()).collect();
    let [with, without] = [&all, &others].map(|rows| Files::of(rows, Format::Integers));
    let query = QueryId::from_bytes([4; 32]);
    let mut stacked = |files: &Files| {
        let plan = stack.compile(SQL, LINF, L0).unwrap();
        let cells = stack.evaluate(&plan, LINF, &query, files, EngineOptions::default()).unwrap();
        let noise = price::noise(&plan, Rho::from_units(RHO_UNITS), 1, 1).unwrap();
        (plan, cells, noise)
    };
    let (plan, cells_with, _) = stacked(&with);
    let (_, cells_without, noise) = stacked(&without);
    let mut known = Vec::new();
    for cell in 0..AREAS.len() {
        for (output, hundredths) in [1.0, 100.0].into_iter().enumerate() {
            let [with, without] = [&cells_with, &cells_without].map(|cells| cells.outputs[output][cell] as f64 / hundredths);
            let step = f64::exp2(f64::from(noise[output].gamma_log2)) / hundredths;
            known.push(Known { without, moved: with - without, variance: noise[output].s2 as f64 * step * step });
        }
    }
    let attack = Attack { plan, known };
    assert!((attack.distance() - MU).abs() < 0.002, "the person does not lie at every bound: {}", attack.distance());

    let mut told = [0, 0];
    for (side, files) in [&with, &without].into_iter().enumerate() {
        for _ in 0..RUNS {
            let (plan, cells, noise) = stacked(files);
            told[side] += usize::from(attack.of(&table_of(&plan, &cells, &noise)) > MU / 2.0);
        }
    }
    eprintln!("of {RUNS} runs a side the attacker says yes in {told:?}");
    assert!(!judge.alarms(told[0], told[1]), "the attacker learns more than mu = {MU}: {told:?}");

    // The same with half the standard deviation, from the same cells.
    let half: Vec<OutputNoise> = noise.iter().map(|noise| OutputNoise { s2: noise.s2 / 4, ..*noise }).collect();
    let told = [&cells_with, &cells_without]
        .map(|cells| (0..RUNS).filter(|_| attack.of(&table_of(&attack.plan, cells, &half)) > MU / 2.0).count());
    assert!(judge.alarms(told[0], told[1]), "a halved sigma is not noticed: {told:?}");
}
