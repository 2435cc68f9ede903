//! Both attempts of questions with an open group key, judged by the naive model: the people behind names and how far one person moves them, noise and
//! threshold, then the numbers over a grid of names. `COMMUN_AUDIT_CASES` makes it longer, `COMMUN_AUDIT_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use commun_domain::Delta;
use commun_domain::ids::QueryId;
use commun_domain::plan::PrivatePlan;
use commun_domain::units::Rho;
use commun_engine::{EngineOptions, NameCounts};
use commun_privacy::ledger::Loss;
use commun_privacy::price as shipped;

use crate::dice::Dice;
use crate::distance::within;
use crate::fuzz::{rows, seed, setting};
use crate::naive::names::{People, people};
use crate::naive::price::{Fraction, loss, names};
use crate::naive::{judge, month};
use crate::stack::{Files, Stack};
use crate::table::{FORMATS, Format, MONTHS, Row};

/// Questions when nothing else is asked for.
const CASES: u64 = 160;

/// Delta of the contract, and in each partition of names.
const DELTA: Delta = Delta::from_units(1_000_000_000);

#[derive(Debug, Default)]
struct Seen {
    cut: u64,
    moved: u64,
    /// Pairs in which one person moves as many names as may be.
    reached: u64,
    numbers_moved: u64,
}

#[test]
fn one_person_moves_names_and_numbers_of_an_open_group_key_by_at_most_what_is_priced_and_the_naive_model_agrees() {
    // A tenth of those of other questions.
    let cases = setting("COMMUN_AUDIT_CASES", || CASES * 10) / 10;
    let (mut dice, mut stack, mut seen) = (Dice::new(seed()), Stack::new(), Seen::default());
    for _ in 0..cases {
        case(&mut stack, &mut dice, &mut seen);
    }
    eprintln!("{seen:#?}");
    assert!(seen.cut > cases / 3 && seen.moved > cases && seen.reached > cases / 4 && seen.numbers_moved > cases / 4, "{seen:?}");
}

fn question(dice: &mut Dice) -> String {
    let several = dice.once_in(2);
    let months = if several { format!("month IN ('{}', '{}')", MONTHS[0], MONTHS[2]) } else { format!("month = '{}'", MONTHS[0]) };
    let condition = dice.of(&["", "", " AND (flag OR small > 2)", " AND amount > -20"]);
    let other = dice.of(&["", "", "mode, ", "month, "]);
    let people = if several && other != "month, " { "" } else { ", COUNT(DISTINCT person)" };
    let numbers = dice.of(&["COUNT(*)", "SUM(amount)", "COUNT(*), AVG(small) FILTER (WHERE flag)"]);
    format!("SELECT {other}maker, {numbers}{people} FROM audit.trip WHERE {months}{condition} GROUP BY {other}maker")
}

fn counted(counts: NameCounts) -> Vec<BTreeMap<String, i128>> {
    counts.partitions.into_iter().map(|texts| texts.into_iter().collect()).collect()
}

fn case(stack: &mut Stack, dice: &mut Dice, seen: &mut Seen) {
    let (linf, most, sql) = (dice.of(&[1, 2, 3]), 1 + u32::try_from(dice.below(4)).unwrap(), question(dice));
    let plan = stack.compile(&sql, linf, most).unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"));
    let requested = Rho::from_units(1 << (32 + dice.below(9)));
    let (names_rho, s2) = price(&plan, requested);
    let query = QueryId::from_bytes(std::array::from_fn(|_| dice.next().to_le_bytes()[0]));
    let options = |dice: &mut Dice| EngineOptions {
        threads: NonZeroUsize::new(1 + dice.below(3)).unwrap(),
        batch_rows: NonZeroUsize::new(dice.of(&[1, 7, 33, 8_192])).unwrap(),
        ..EngineOptions::default()
    };
    let mut counts = |rows: &[Row], dice: &mut Dice| -> People {
        let files = Files::of(rows, dice.of(&FORMATS));
        let found = stack.names(&plan, linf, &query, &files, options(dice)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let expected = people(&plan, &query, rows);
        assert_eq!(counted(found), expected.partitions, "L0 {most}: {sql}");
        expected
    };
    let rows = rows(dice);
    let all = counts(&rows, dice);
    seen.cut += u64::from(all.cut);

    // One person's rows of one partition, removed and added.
    let period = dice.of(&plan.partitions);
    let of_month = month(period.0);
    let of_month = *MONTHS.iter().find(|known| **known == of_month).unwrap();
    let without: Vec<Row> = rows.iter().filter(|row| row.person != Some(0) || row.month != of_month).cloned().collect();
    let more = (0..=dice.below(30)).map(|_| Row::random(dice, Some(777), of_month)).collect::<Vec<_>>();
    let more: Vec<Row> = rows.iter().cloned().chain(more).collect();
    for other in [&without, &more] {
        let other = counts(other, dice);
        for ((one, other), at) in all.partitions.iter().zip(&other.partitions).zip(&plan.partitions) {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let of = |counts: &BTreeMap<String, i128>, name: &String| counts.get(name).copied().unwrap_or(0);
            let moved: Vec<u64> =
                names.iter().map(|name| u64::try_from((of(one, name) - of(other, name)).abs()).unwrap()).filter(|by| *by > 0).collect();
            assert!(moved.iter().all(|by| *by == 1) && moved.len() <= most as usize, "{moved:?} of L0 {most}: {sql}");
            assert!(moved.is_empty() || at == &period, "another partition moves: {sql}");
            // Squared distance over twice the variance.
            let lost = Fraction::of(moved.len(), 2 * s2);
            assert!(lost.at_most(&Fraction::of(names_rho, 1u64 << 40)), "names tell {lost:?}: {sql}");
            seen.moved += u64::from(!moved.is_empty());
            seen.reached += u64::from(moved.len() == most as usize);
        }
    }

    // Any names may be the grid: some of these, and one that nobody here has.
    let grid: BTreeSet<String> = all.partitions.iter().flat_map(|counts| counts.keys().cloned()).filter(|_| !dice.once_in(4)).collect();
    let grid: Vec<String> = grid.into_iter().chain(["zz other".to_owned()]).collect();
    let named = plan.with_names(&grid);
    let mut numbers = |rows: &[Row], dice: &mut Dice| -> Vec<Vec<i128>> {
        let files = Files::of(rows, dice.of(&[Format::Csv, Format::Texts, Format::Sorted]));
        let found = stack.evaluate(&named, linf, &query, &files, EngineOptions::default()).unwrap().outputs;
        assert_eq!(found, judge(&named, &query, rows).outputs, "numbers over {grid:?}: {sql}");
        found
    };
    let all = numbers(&rows, dice);
    let noise = shipped::noise(&named, requested, 1, 1).unwrap();
    assert_eq!(noise, shipped::noise(&plan, requested, 1, 1).unwrap(), "names change the noise");
    let charged = Fraction::of(shipped::numbers(&named, requested).unwrap().rho.units(), 1u64 << 40);
    for other in [&without, &more] {
        let other = numbers(other, dice);
        within(&named, requested, &all, &other, 1).unwrap_or_else(|fault| panic!("{fault}\n{sql}"));
        let lost = loss(&noise, &all, &other);
        assert!(lost.at_most(&charged), "numbers tell {lost:?} and cost {charged:?}: {sql}");
        seen.numbers_moved += u64::from(all != other);
    }
}

/// Price, noise and threshold are the model's. Returns what names cost in units, and the variance of their noise.
fn price(plan: &PrivatePlan, requested: Rho) -> (u64, u64) {
    let (rho, s2) = names(plan, requested.units());
    let found = shipped::names(plan, requested).unwrap().unwrap();
    assert_eq!((found.loss, found.law.s2), (Loss { rho: Rho::from_units(rho), delta: DELTA }, s2));
    let whole = Loss { rho: Rho::from_units(requested.units() + 2), delta: DELTA };
    assert_eq!(shipped::price(plan, requested), Ok(whole));
    let numbers = Loss { rho: Rho::from_units(whole.rho.units() - rho), delta: Delta::ZERO };
    assert_eq!(shipped::numbers(plan, requested), Ok(numbers));
    let charges: Vec<_> = shipped::charges(plan, found.loss).iter().map(|charge| (charge.period, charge.rho, charge.delta)).collect();
    let expected: Vec<_> = plan.partitions.iter().map(|period| (*period, found.loss.rho, DELTA)).collect();
    assert_eq!(charges, expected, "names are charged once in each partition");
    let chance = |threshold: u64| chance(threshold, s2, plan.max_groups_per_person);
    let (now, below) = (chance(found.law.threshold), chance(found.law.threshold - 1));
    assert!(now <= 1e-9 * (1.0 + 1e-6) && below > 1e-9 * (1.0 - 1e-6), "t* {} has {now:e}, one less {below:e}", found.law.threshold);
    (rho, s2)
}

/// The chance that any of L0 names with one person behind each reaches a threshold, by the discrete law.
#[expect(clippy::cast_precision_loss, reason = "numbers of people")]
fn chance(threshold: u64, s2: u64, groups: u32) -> f64 {
    let weight = |x: u64| (-((x as f64).powi(2)) / (2.0 * s2 as f64)).exp();
    // Forty standard deviations: what is beyond them has no digit here.
    let end = threshold + 40 * (s2.isqrt() + 1);
    let total = 1.0 + 2.0 * (1..end).map(weight).sum::<f64>();
    let one = (threshold - 1..end).rev().map(weight).sum::<f64>() / total;
    -(f64::from(groups) * (-one).ln_1p()).exp_m1()
}
