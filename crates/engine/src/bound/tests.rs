//! Bounding against the plain interpreter of a plan (`model`): the same integers for random plans over random rows, whatever the order, the
//! batches, the threads and the memory, by either way of reading.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use commun_domain::plan::Aggregate;

use crate::model::random::Dice;
use crate::model::run::{KINDS, Way};
use crate::model::{Case, Raw};
use crate::read::UnitKind;

/// Long ids that begin alike, of several alphabets.
fn with_long_ids(case: &mut Case) {
    for person in case.rows.iter_mut().filter_map(|row| row.person.as_mut()) {
        *person = format!("a person with a name, number {}{person}", "é".repeat(person.len()));
    }
}

#[test]
fn random_plans_give_the_integers_of_the_plain_interpreter() {
    let (mut bounded, mut moved) = (0, 0);
    for seed in 0..900 {
        let dice = &mut Dice::new(seed);
        let (rows, persons) = (dice.below(160), 1 + dice.below(12));
        let mut case = Case::random(dice, rows, persons);
        let kind = dice.of(&KINDS);
        if kind == UnitKind::Text && dice.one_in(2) {
            with_long_ids(&mut case);
        }
        let expected = case.answer();
        let way = Way { batch_rows: 1 + dice.below(70), ..Way::plain(kind) };
        assert!(case.radix(way).outputs == expected, "seed {seed}: {:?}", case.plan);
        bounded += u32::from(case.groups().values().any(|groups| groups.len() > case.plan.max_groups_per_person as usize));
        moved += u32::from(expected.iter().flatten().any(|cell| *cell != 0));
    }
    assert!(bounded > 300 && moved > 500, "{bounded} {moved}");
}

#[test]
fn the_usual_sums_are_those_of_the_plain_interpreter_for_every_number_of_groups() {
    let mut bounded = 0;
    for seed in 0..240 {
        let dice = &mut Dice::new(9_000 + seed);
        let mut case = Case::random(dice, 700, 40);
        case.plan.max_groups_per_person = dice.of(&[1, 2, 3, 4, 5, 6, 9]);
        let linf = dice.of(&[1, 3, 50]);
        let mut sum = case.plan.outputs[0].clone();
        sum.condition = None;
        sum.aggregate = Aggregate::Sum { measured: crate::testing::km(), max_rows_per_person: linf };
        let count = Aggregate::CountRows { max_rows_per_person: linf };
        case.plan.outputs = vec![commun_domain::plan::Output { aggregate: count, ..sum.clone() }];
        if dice.one_in(2) {
            case.plan.outputs.push(sum);
        }
        let kind = dice.of(&KINDS);
        let expected = case.answer();
        bounded += u32::from(case.groups().values().any(|groups| groups.len() > case.plan.max_groups_per_person as usize));
        for bytes in [None, Some(20_000)] {
            let ran = case.radix(Way { batch_rows: 1 + dice.below(300), threads: 2, bytes, ..Way::plain(kind) });
            assert!(ran.outputs == expected, "seed {seed}, {bytes:?}: {:?}", case.plan);
        }
        sort(&mut case.rows, kind);
        let found = case.sorted(&cut(&case.rows, dice), kind, 1 + dice.below(300));
        assert!(found.is_ok_and(|found| found == expected), "seed {seed}, sorted: {:?}", case.plan);
    }
    assert!(bounded > 80, "{bounded}");
}

#[test]
fn a_person_is_the_same_whether_ids_are_integers_or_text() {
    for seed in 0..40 {
        let case = Case::random(&mut Dice::new(seed), 200, 5);
        let [text, signed, unsigned] = KINDS.map(|kind| case.radix(Way::plain(kind)).outputs);
        assert!(text == signed && signed == unsigned, "seed {seed}");
    }
}

#[test]
fn order_batches_threads_and_memory_never_change_a_result() {
    let mut spills = 0;
    for seed in 0..30 {
        let dice = &mut Dice::new(seed);
        let mut case = Case::random(dice, 4_000, 1_500);
        let kind = dice.of(&KINDS);
        if kind == UnitKind::Text {
            with_long_ids(&mut case);
        }
        let expected = case.answer();
        for bytes in [None, Some(400_000), Some(100_000), Some(20_000)] {
            dice.shuffle(&mut case.rows);
            let way = Way { kind, batch_rows: dice.of(&[7, 256, 8192]), threads: 1 + dice.below(4), bytes };
            let ran = case.radix(way);
            assert!(ran.outputs == expected, "seed {seed}, {way:?}");
            spills += ran.spills;
        }
    }
    assert!(spills > 1_000, "{spills}");
}

#[test]
fn files_that_do_not_fit_are_dealt_finer_until_they_do() {
    let dice = &mut Dice::new(5);
    let mut case = Case::random(dice, 1, 1);
    case.plan.keys.clear();
    case.plan.filter = None;
    case.plan.outputs.truncate(1);
    case.plan.outputs[0].aggregate = Aggregate::CountUnits;
    case.plan.outputs[0].condition = None;
    let row = Raw { month: Some("2011-01".to_owned()), ..Raw::default() };
    let persons = 300_000u32;
    case.rows = (0..persons).map(|person| Raw { person: Some((person * 7 % persons).to_string()), ..row.clone() }).collect();
    // 300,000 persons need some 20 MB; a 256th of them is three times what a step of the merge may hold.
    let ran = case.radix(Way { kind: UnitKind::Signed, batch_rows: 8192, threads: 2, bytes: Some(60_000) });
    assert_eq!(ran.outputs, [[i128::from(persons)]]);
    assert!(ran.spills > 256, "{}", ran.spills);
}

#[test]
fn one_person_with_half_of_all_rows_stays_within_the_memory() {
    for seed in 0..6 {
        let dice = &mut Dice::new(100 + seed);
        let mut case = Case::random(dice, 60_000, 3_000);
        case.rows.iter_mut().step_by(2).for_each(|row| row.person = Some("0".to_owned()));
        let limit = 2_000_000;
        let way = Way { kind: UnitKind::Signed, batch_rows: 1024, threads: 2, bytes: Some(limit) };
        let free = case.radix(Way { bytes: None, ..way });
        let bounded = case.radix(way);
        assert!(bounded.outputs == free.outputs && free.outputs == case.answer(), "seed {seed}");
        assert!(bounded.peak <= limit, "seed {seed}: {} of {limit}, {} without a limit", bounded.peak, free.peak);
    }
}

/// The contents of the files without a name that this process has open in a folder.
fn unnamed_files(folder: &Path) -> Vec<Vec<u8>> {
    let open: Vec<PathBuf> = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path()).collect();
    let ours = open.iter().filter(|link| fs::read_link(link).is_ok_and(|target| target.starts_with(folder)));
    ours.filter_map(|link| fs::read(link).ok()).collect()
}

#[test]
fn what_goes_to_files_has_no_name_and_cannot_be_read_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut case = Case::random(&mut Dice::new(8), 20_000, 9_000);
    case.plan.filter = None;
    case.plan.keys.clear();
    with_long_ids(&mut case);
    let way = Way { kind: UnitKind::Text, batch_rows: 512, threads: 2, bytes: Some(200_000) };
    let ran = case.radix_in(folder.path(), way, || {
        let files = unnamed_files(folder.path());
        let bytes: usize = files.iter().map(Vec::len).sum();
        assert!(bytes > 100_000, "{} files, {bytes} bytes", files.len());
        let plain = b"a person with a name";
        assert!(files.iter().all(|file| file.windows(8).all(|window| !plain.windows(8).any(|part| part == window))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    });
    assert!(ran.outputs == case.answer() && ran.spills > 0);
    assert!(fs::read_dir(folder.path()).unwrap().count() == 0 && unnamed_files(folder.path()).is_empty());
}

fn sort(rows: &mut [Raw], kind: UnitKind) {
    rows.sort_by_cached_key(|row| {
        let person = row.person.clone().unwrap_or_default();
        let number = if kind == UnitKind::Text { None } else { person.parse::<i64>().ok() };
        (number, person)
    });
}

/// Cuts sorted rows into runs, anywhere, also within a person.
fn cut<'a>(rows: &'a [Raw], dice: &mut Dice) -> Vec<&'a [Raw]> {
    let mut places: Vec<usize> = (0..dice.below(4)).map(|_| dice.below(rows.len() + 1)).chain([0, rows.len()]).collect();
    places.sort_unstable();
    let mut runs: Vec<&[Raw]> = places.windows(2).map(|ends| &rows[ends[0]..ends[1]]).collect();
    dice.shuffle(&mut runs);
    runs
}

#[test]
fn sorted_input_gives_the_same_integers_and_a_disorder_is_seen() {
    let mut seen = 0;
    for seed in 0..400 {
        let dice = &mut Dice::new(seed);
        let (rows, persons) = (dice.below(1_200), 1 + dice.below(700));
        let mut case = Case::random(dice, rows, persons);
        let kind = dice.of(&KINDS);
        if kind == UnitKind::Text {
            with_long_ids(&mut case);
        }
        sort(&mut case.rows, kind);
        let expected = case.answer();
        let batch_rows = 1 + dice.below(300);
        let found = case.sorted(&cut(&case.rows, dice), kind, batch_rows);
        assert!(found.is_ok_and(|found| found == expected), "seed {seed}: {:?}", case.plan);
        // Somebody who stands apart from the own rows, in the middle: either it is seen, or it makes no difference, as when the filter drops the row.
        if rows > 2 {
            let (from, to) = (dice.below(rows), dice.below(rows));
            let row = case.rows.remove(from);
            case.rows.insert(to, row);
            match case.sorted(&cut(&case.rows, dice), kind, batch_rows) {
                Ok(found) => assert!(found == expected, "seed {seed}: a disorder changed the result"),
                Err(_) => seen += 1,
            }
        }
    }
    // Most rows that move are dropped by the filter or the grid, or are of the first person, who has many.
    assert!(seen > 60, "{seen}");
}
