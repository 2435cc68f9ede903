//! The sensitivity fuzz: random questions over random rows and their neighbours, through the shipped compiler and engine, each answer judged by the
//! naive model. `COMMUN_AUDIT_CASES` makes it longer, `COMMUN_AUDIT_SEED` repeats a run.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use commun_domain::ids::QueryId;
use commun_domain::plan::PrivatePlan;
use commun_domain::units::Rho;
use commun_domain::{Delta, Document};
use commun_engine::EngineOptions;
use commun_privacy::ledger::Loss;
use commun_privacy::price as shipped;

use crate::dice::Dice;
use crate::distance::within;
use crate::generate::{self, Question};
use crate::naive::price::{Fraction, noise};
use crate::naive::{self, Judged};
use crate::stack::{Files, Stack};
use crate::table::{FORMATS, Format, MONTHS, Row};

/// Pairs of a question and rows when nothing else is asked for.
const CASES: usize = 2_400;

/// So often each construct must occur where L0 or Linf has cut something.
const LEAST_BOUND: u32 = 200;

/// A run goes on until every construct has occurred so often, but for no more cases than this many times those asked for.
const PATIENCE: usize = 4;

/// Each has its own random numbers, so that a seed repeats a run.
const WORKERS: usize = 2;

/// Most numbers of an answer: wider grids are the heavy person's.
const MAX_NUMBERS: usize = 30_000;

/// Memory in which a crowd's groups go to a file.
const LITTLE_MEMORY: usize = 60_000;

/// What a run has seen.
#[derive(Debug, Default)]
struct Seen {
    cases: usize,
    /// Why texts were refused, with one of them.
    refused: BTreeMap<String, (u32, String)>,
    groups_bound: usize,
    rows_bound: usize,
    /// Cases in which people were clipped, and counted.
    clipped: usize,
    pairs: usize,
    moved: usize,
    /// Pairs that are as far apart as an output's price allows.
    reached: usize,
    beyond_one: usize,
    spilled: usize,
    bound: BTreeMap<&'static str, u32>,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        for (why, (count, text)) in &other.refused {
            let known = self.refused.entry(why.clone()).or_insert_with(|| (0, text.clone()));
            known.0 += count;
        }
        self.groups_bound += other.groups_bound;
        self.rows_bound += other.rows_bound;
        self.clipped += other.clipped;
        self.pairs += other.pairs;
        self.moved += other.moved;
        self.reached += other.reached;
        self.beyond_one += other.beyond_one;
        self.spilled += other.spilled;
        for (construct, count) in &other.bound {
            *self.bound.entry(construct).or_default() += count;
        }
    }
}

/// A number of the environment, or what else is asked for.
pub(crate) fn setting(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).map_or_else(|_| otherwise(), |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// The seed of this run, which is printed.
pub(crate) fn seed() -> u64 {
    let fresh = || {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let seed = setting("COMMUN_AUDIT_SEED", fresh);
    eprintln!("COMMUN_AUDIT_SEED={seed} repeats this run");
    seed
}

#[test]
fn one_person_moves_any_question_by_at_most_what_is_priced_and_the_naive_model_agrees() {
    let cases = usize::try_from(setting("COMMUN_AUDIT_CASES", || CASES as u64)).unwrap();
    let mut dice = Dice::new(seed());
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS).map(|_| Dice::new(dice.next())).map(|dice| scope.spawn(move || work(dice, cases / WORKERS))).collect();
        for worker in workers {
            match worker.join() {
                Ok(found) => seen.add(&found),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    eprintln!("{seen:#?}");
    let rare: Vec<_> = seen.bound.iter().filter(|(_, count)| **count < LEAST_BOUND).collect();
    assert!(rare.is_empty(), "these constructs bound in fewer than {LEAST_BOUND} pairs of a question and rows: {rare:?}");
    // Else a generator that has lost its bite would pass.
    let tenth = seen.cases / 10;
    assert!(seen.cases >= cases && seen.groups_bound > 3 * tenth && seen.rows_bound > 5 * tenth, "{seen:?}");
    assert!(seen.clipped > 2 * tenth, "{seen:?}");
    assert!(seen.pairs == 3 * seen.cases && seen.moved > 15 * tenth, "{seen:?}");
    assert!(seen.reached > tenth && seen.beyond_one > tenth / 2 && seen.spilled > 10, "{seen:?}");
}

fn work(mut dice: Dice, cases: usize) -> Seen {
    let mut stack = Stack::new();
    let bound = generate::constructs().into_iter().map(|construct| (construct, 0)).collect();
    let mut seen = Seen { bound, ..Seen::default() };
    let enough = LEAST_BOUND.div_ceil(u32::try_from(WORKERS).unwrap());
    while seen.cases < cases || (seen.cases < cases * PATIENCE && seen.bound.values().any(|count| *count < enough)) {
        let wanted = generate::rarest(&seen.bound, &mut dice);
        let question = generate::question(&mut dice, &wanted);
        case(&mut stack, &mut dice, &question, &mut seen);
    }
    seen
}

/// Rows of a few persons, of whom one has many; sometimes of a crowd.
pub(crate) fn rows(dice: &mut Dice) -> Vec<Row> {
    let mut rows = Vec::new();
    // Few kinds of rows fill few groups, many kinds fill many.
    let many = dice.of(&[2, 4, 40]);
    let kinds: Vec<Row> = (0..many).map(|_| Row::random(dice, None, MONTHS[0])).collect();
    for person in 0..=dice.below(5) {
        for month in MONTHS {
            let count = if person == 0 { 10 + dice.below(30) } else { dice.below(8) };
            let person = Some(u32::try_from(person * 37).unwrap());
            for _ in 0..count {
                let kind = dice.of(&kinds);
                let Row { amount, whole, at, .. } = Row::random(dice, person, month);
                rows.push(if dice.once_in(8) {
                    Row::random(dice, person, month)
                } else {
                    Row { person, month, amount, whole, at, ..kind }
                });
            }
        }
    }
    // Equal rows do not stand or fall together.
    for _ in 0..dice.below(6) {
        let again = dice.of(&rows);
        rows.push(again);
    }
    for month in ["2024-01", "2024-07", "", "2024-1"] {
        let person = if month == "2024-01" { None } else { Some(0) };
        rows.push(Row::random(dice, person, month));
    }
    if dice.once_in(20) {
        for person in 1_000..1_400 {
            let month = dice.of(&MONTHS);
            rows.push(Row::random(dice, Some(person), month));
        }
    }
    dice.shuffle(&mut rows);
    rows
}

fn case(stack: &mut Stack, dice: &mut Dice, question: &Question, seen: &mut Seen) {
    let linf = dice.of(&[1, 1, 2, 3, 5]);
    let requested = Rho::from_units(1 << (30 + dice.below(12)));
    let most = question.max_groups_per_person;
    let asked = dice.once_in(3);
    let mut compiled = stack.compile_with(&question.sql, linf, most, asked);
    let clipped = asked && compiled.is_ok();
    if asked && !clipped {
        // A question of which nobody can be clipped.
        compiled = stack.compile(&question.sql, linf, most);
    }
    let refusal = match &compiled {
        Ok(plan) if plan.lengths().unwrap().iter().sum::<usize>() > MAX_NUMBERS => Some("too many cells for this test".to_owned()),
        Ok(plan) => shipped::noise(plan, requested, 1, 1).err().map(|error| error.to_string()),
        Err(refusal) => Some(refusal.message.clone()),
    };
    let (Ok(plan), None) = (&compiled, &refusal) else {
        let known = seen.refused.entry(refusal.unwrap_or_default()).or_insert_with(|| (0, question.sql.clone()));
        known.0 += 1;
        return;
    };
    let again = stack.compile_with(&question.sql, linf, most, clipped).unwrap();
    assert_eq!(again.to_bytes(), plan.to_bytes(), "one text has two plans");
    price(plan, requested, dice);

    let mut case = Case { stack, plan, linf, query: QueryId::from_bytes(std::array::from_fn(|_| dice.next().to_le_bytes()[0])), question };
    let rows = rows(dice);
    let format = dice.of(&FORMATS);
    let (all, judged) = case.judged(&rows, format, EngineOptions::default());
    case.same_whatever_the_way(&rows, &all, dice, seen);

    let person = if dice.once_in(3) { dice.of(&rows).person } else { Some(0) };
    let month = naive::month(dice.of(&plan.partitions).0);
    let without: Vec<Row> = rows.iter().filter(|row| row.person != person || row.month != month).cloned().collect();
    let (removed, _) = case.judged(&without, format, EngineOptions::default());
    case.within(&all, &removed, 1, requested, seen);

    let month = *MONTHS.iter().find(|known| **known == month).unwrap();
    let count = 1 + dice.below(30);
    let more = (0..count).map(|_| Row::random(dice, Some(777), month));
    let more: Vec<Row> = rows.iter().cloned().chain(more).collect();
    let (added, judged_more) = case.judged(&more, format, EngineOptions::default());
    case.within(&all, &added, 1, requested, seen);

    let without: Vec<Row> = rows.iter().filter(|row| row.person != Some(0)).cloned().collect();
    let (gone, _) = case.judged(&without, format, EngineOptions::default());
    let partitions = plan.partitions.len();
    case.within(&all, &gone, if plan.partition_is_key() { partitions } else { partitions.pow(2) }, requested, seen);

    seen.cases += 1;
    seen.groups_bound += usize::from(judged.groups_cut);
    seen.rows_bound += usize::from(judged.rows_cut);
    seen.clipped += usize::from(clipped && judged.outputs.last().is_some_and(|people| people.iter().any(|people| *people > 0)));
    if judged.groups_cut || judged.rows_cut || judged_more.groups_cut || judged_more.rows_cut {
        question.constructs.iter().for_each(|construct| *seen.bound.entry(construct).or_default() += 1);
    }
}

/// The shipped price and noise are the model's.
fn price(plan: &PrivatePlan, requested: Rho, dice: &mut Dice) {
    let rho = Rho::from_units(requested.units() + 1);
    let one = Loss { rho, delta: Delta::ZERO };
    assert_eq!(shipped::price(plan, requested), Ok(one));
    let charged: Vec<_> = shipped::charges(plan, one).iter().map(|charge| (charge.period, charge.rho, charge.delta)).collect();
    let expected: Vec<_> = plan.partitions.iter().map(|period| (*period, rho, Delta::ZERO)).collect();
    assert_eq!(charged, expected, "each partition is charged once");
    let honest = 1 + u32::try_from(dice.below(4)).unwrap();
    for (agents, honest) in [(1, 1), (honest + 1, honest)] {
        if let Ok(found) = shipped::noise(plan, requested, agents, honest) {
            assert_eq!(found, noise(plan, requested.units(), honest), "{agents} agents, h = {honest}");
        }
    }
    let times = plan.partitions.len();
    let times = u64::try_from(if plan.partition_is_key() { times } else { times.pow(2) }).unwrap();
    let said = shipped::statement(plan, Loss { rho, delta: Delta::ZERO }, 3);
    let [all_partitions, all_holders] = [said.all_partitions, said.all_holders].map(|loss| loss.map(|loss| loss.rho.units()));
    assert_eq!((all_partitions, all_holders), (Some(rho.units() * times), Some(rho.units() * times * 9)), "the statement");
}

struct Case<'a> {
    stack: &'a mut Stack,
    plan: &'a PrivatePlan,
    linf: u32,
    query: QueryId,
    question: &'a Question,
}

impl Case<'_> {
    fn evaluate(&mut self, rows: &[Row], format: Format, options: EngineOptions) -> Vec<Vec<i128>> {
        let files = Files::of(rows, format);
        match self.stack.evaluate(self.plan, self.linf, &self.query, &files, options) {
            Ok(cells) => cells.outputs,
            Err(error) => panic!("{}\n{error:?}", self.question.sql),
        }
    }

    /// The engine's answer, once the model has found the same.
    fn judged(&mut self, rows: &[Row], format: Format, options: EngineOptions) -> (Vec<Vec<i128>>, Judged) {
        let found = self.evaluate(rows, format, options);
        let judged = naive::judge(self.plan, &self.query, rows);
        if found != judged.outputs {
            let lengths = |outputs: &[Vec<i128>]| outputs.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(lengths(&found), lengths(&judged.outputs), "the shape of {}", self.question.sql);
            let places = found.iter().zip(&judged.outputs).enumerate().flat_map(|(output, (a, b))| {
                a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b).map(move |(cell, (a, b))| (output, cell, *a, *b))
            });
            let places: Vec<_> = places.take(5).collect();
            panic!(
                "the engine and the naive model disagree (output, cell, engine, model): {places:?}\nLinf {}, L0 {}, {format:?}\n{}\n{:#?}",
                self.linf, self.plan.max_groups_per_person, self.question.sql, self.plan.outputs
            );
        }
        (found, judged)
    }

    /// Order of rows, form of files, threads, batches and memory change nothing.
    fn same_whatever_the_way(&mut self, rows: &[Row], expected: &[Vec<i128>], dice: &mut Dice, seen: &mut Seen) {
        let (mut shuffled, mut format) = (rows.to_vec(), dice.of(&FORMATS));
        dice.shuffle(&mut shuffled);
        if dice.once_in(3) {
            // Then the claim of order holds.
            shuffled.sort_by_key(|row| (row.person.is_none(), row.person));
            format = Format::Sorted;
        }
        let number = |dice: &mut Dice, of: &[usize]| NonZeroUsize::new(dice.of(of)).unwrap();
        let mut options = EngineOptions {
            threads: number(dice, &[1, 2, 3]),
            batch_rows: number(dice, &[1, 2, 7, 33, 8_192]),
            memory_bytes: NonZeroUsize::new(LITTLE_MEMORY),
            ..EngineOptions::default()
        };
        let found = self.evaluate(&shuffled, format, options.clone());
        assert_eq!(found, expected, "{format:?}, {options:?}: {}", self.question.sql);
        if rows.len() > 400 && format != Format::Sorted {
            // With nowhere to put it, what would have gone to a file is a fault: so it did go.
            options.spill_folder = "/nonexistent".into();
            let files = Files::of(&shuffled, format);
            seen.spilled += usize::from(self.stack.evaluate(self.plan, self.linf, &self.query, &files, options).is_err());
        }
    }

    fn within(&self, one: &[Vec<i128>], other: &[Vec<i128>], times: usize, requested: Rho, seen: &mut Seen) {
        let parts = within(self.plan, requested, one, other, times).unwrap_or_else(|fault| panic!("{fault}\n{}", self.question.sql));
        let one_partition = Fraction::whole(1u8);
        seen.reached += parts.iter().filter(|part| one_partition.at_most(part)).count();
        seen.beyond_one += parts.iter().filter(|part| !part.at_most(&one_partition)).count();
        seen.pairs += 1;
        seen.moved += usize::from(one != other);
    }
}
