//! What is computed of whole persons depends on those persons' rows as a multiset, and on nothing else. (What it means is judged by another
//! database in `tests/slt`.)
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use commun_domain::plan::PrivatePlan;
use commun_domain::plan::relation::{MAX_JOINED_ROWS, MAX_ROWS_AT_ONCE, Relation};
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::units::Rho;
use commun_privacy::price;

use super::Stage;
use super::evaluate::cost;
use super::kept::Kept;
use super::runs::Runs;
use crate::EngineOptions;
use crate::bound::{PrfKey, Radix, Room, Totals};
use crate::lower::{Lowering, Node};
use crate::model::random::Dice;
use crate::read::UnitKind;
use crate::testing::{Row, contract, options, over_csv, query_id};

const MONTHS: [&str; 2] = ["2011-01", "2011-02"];

/// One question for each operator, and one for all of them.
const QUESTIONS: [&str; 6] = [
    "SELECT home, month, COUNT(*), SUM(n), SUM(total), AVG(LEAST(most, 20)) FROM (SELECT person, month, home, COUNT(*) AS n, SUM(km) AS total, \
     MAX(km) AS most, COUNT(DISTINCT train) AS d FROM mobility.trips GROUP BY person, month, home) AS g \
     WHERE month IN ('2011-01', '2011-02') AND d > 0 GROUP BY home, month",
    "SELECT home, COUNT(*), SUM(change) FROM (SELECT person, month, home, km - LAG(km) OVER (PARTITION BY person, month ORDER BY km, train) AS change, \
     ROW_NUMBER() OVER (PARTITION BY person, month, home ORDER BY train DESC) AS nth, COUNT(*) OVER (PARTITION BY person, month ORDER BY km) AS c \
     FROM mobility.trips) AS w WHERE month IN ('2011-01', '2011-02') AND nth <= 2 AND c >= 1 GROUP BY home",
    "SELECT a.home, COUNT(*), SUM(b.km) FROM mobility.trips AS a JOIN mobility.trips AS b ON a.person = b.person AND a.month = b.month AND a.km < b.km \
     WHERE a.month IN ('2011-01', '2011-02') GROUP BY a.home",
    "SELECT a.train, COUNT(*), COUNT(b.km) FROM mobility.trips AS a LEFT JOIN mobility.trips AS b ON a.person = b.person AND a.month = b.month \
     AND a.home = b.home AND b.km > 50 WHERE a.month IN ('2011-01', '2011-02') GROUP BY a.train",
    "SELECT home, COUNT(*), SUM(km) FROM (SELECT person, month, home, km FROM mobility.trips WHERE train UNION ALL \
     SELECT person, month, home, -km FROM mobility.trips) AS u WHERE month IN ('2011-01', '2011-02') GROUP BY home",
    "WITH g AS (SELECT person, month, home, COUNT(*) AS n FROM mobility.trips GROUP BY person, month, home), \
     r AS (SELECT person, month, home, n, RANK() OVER (PARTITION BY person, month ORDER BY n DESC) AS r FROM g), \
     u AS (SELECT person, month, home, n FROM r WHERE r = 1 UNION ALL SELECT person, month, home, 1 FROM mobility.trips) \
     SELECT u.home, COUNT(*), SUM(u.n), SUM(t.km) FROM u LEFT JOIN mobility.trips AS t ON u.person = t.person AND u.month = t.month AND t.train \
     WHERE u.month IN ('2011-01', '2011-02') GROUP BY u.home",
];

fn plan(sql: &str, max_groups_per_person: u32) -> PrivatePlan {
    let settings =
        QuerySettings { price: PriceRequest::Rho(Rho::from_units(1 << 34)), max_groups_per_person, intervals: true, clipped: false };
    commun_sql::compile(sql, &contract(), &settings).unwrap_or_else(|refusal| panic!("{sql}\n{refusal:?}"))
}

fn random_row(dice: &mut Dice, person: &str) -> Row {
    let km = ["", "x", "NaN", "1e300", "99.95", "-3", "0", "5", "7.3"];
    Row::new(
        person,
        dice.of(&["2011-01", "2011-02", "2011-02", "2011-03"]),
        dice.of(&["A", "B", "C", "Z", ""]),
        dice.of(&km),
        dice.of(&["true", "false", ""]),
    )
}

/// Some persons, and `p0` with many rows, most of them equal to others.
fn rows(dice: &mut Dice, of_p0: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for _ in 0..80 {
        let person = format!("p{}", 1 + dice.below(12));
        rows.push(random_row(dice, &person));
    }
    rows.extend((0..of_p0).map(|_| random_row(dice, "p0")));
    rows
}

fn run(rows: &[Row], plan: &PrivatePlan, options: EngineOptions) -> Vec<Vec<i128>> {
    tokio::runtime::Runtime::new().unwrap().block_on(over_csv(rows, plan, options)).outputs
}

#[test]
fn neither_order_nor_batches_nor_threads_nor_memory_change_what_is_made_of_persons() {
    let dice = &mut Dice::new(1);
    for (number, sql) in QUESTIONS.into_iter().enumerate() {
        let plan = plan(sql, 2);
        // Beyond the rows of a join; and, once, beyond the rows of a person.
        let of_p0 = if number == 0 { MAX_ROWS_AT_ONCE as usize * 4 } else { MAX_JOINED_ROWS as usize * 3 };
        let mut rows = rows(dice, of_p0);
        let expected = run(&rows, &plan, options(2, 8192));
        assert!(expected.iter().flatten().any(|cell| *cell != 0), "{sql}");
        for (threads, batch_rows, memory) in [(1, 7, None), (3, 1000, Some(3_000_000)), (2, 64, Some(100_000))] {
            for place in (1..rows.len()).rev() {
                rows.swap(place, dice.below(place + 1));
            }
            let options = EngineOptions { memory_bytes: memory.and_then(NonZeroUsize::new), ..options(threads, batch_rows) };
            assert!(run(&rows, &plan, options) == expected, "{threads} {batch_rows} {memory:?} {sql}");
        }
    }
}

/// Linf is 3.
#[test]
fn p1_clipped_people_are_those_who_are_over_a_bound_in_a_partition() {
    let of =
        |person: &str, month: &str, home: &str, km: &str, train: &str, times: usize| vec![Row::new(person, month, home, km, train); times];
    let (january, february) = (MONTHS[0], MONTHS[1]);
    let rows = [
        of("within", january, "A", "1", "true", 3),
        of("within", february, "B", "1", "true", 3),
        // Off the grid is no group, and rows of another month are in no partition.
        of("strays", january, "A", "1", "true", 2),
        of("strays", january, "Z", "1", "true", 9),
        of("strays", "2011-05", "A", "1", "true", 9),
        of("rows", january, "A", "1", "true", 4),
        of("rows", february, "A", "1", "true", 3),
        of("groups", february, "A", "1", "true", 1),
        of("groups", february, "B", "1", "true", 1),
        // Four rows of which two are by train; four of which the sum is too far.
        of("by train", february, "C", "2", "true", 2),
        of("by train", february, "C", "2", "false", 2),
        of("far", january, "C", "999", "false", 4),
        of("unknown", january, "C", "", "true", 3),
        of("very many", february, "B", "1", "true", MAX_ROWS_AT_ONCE as usize * 2),
        of("", january, "A", "1", "true", 9),
    ]
    .concat();
    let clipped = |columns: &str, from: &str, by_month: bool, most: u32| {
        let (key, by) = if by_month { ("month, ", "month, ") } else { ("", "") };
        let sql = format!("SELECT {key}home, {columns} FROM {from} WHERE month IN ('{january}', '{february}') GROUP BY {by}home");
        let price = PriceRequest::Rho(Rho::from_units(1 << 34));
        let settings = QuerySettings { price, max_groups_per_person: most, intervals: true, clipped: true };
        let asked = commun_sql::compile(&sql, &contract(), &settings).unwrap_or_else(|refusal| panic!("{sql}\n{refusal:?}"));
        let all = run(&rows, &asked, options(2, 100));
        let without = PrivatePlan { clipped: None, ..asked.clone() };
        assert!(all[..asked.outputs.len()] == run(&rows, &without, options(2, 100)), "{sql}");
        all.last().unwrap().clone()
    };
    let table = "mobility.trips";
    // rows, far | groups, by train, very many.
    assert_eq!(clipped("COUNT(*)", table, true, 1), [2, 3]);
    assert_eq!(clipped("COUNT(*)", table, false, 1), [5]);
    assert_eq!(clipped("COUNT(*)", table, true, 2), [2, 2]);
    assert_eq!(clipped("COUNT(*) FILTER (WHERE train)", table, true, 2), [1, 1]);
    assert_eq!(clipped("COUNT(km)", table, true, 2), [2, 2]);
    // Four kilometres of four rows are within three rows' worth; 3,996 are not, nor are those of very many rows.
    assert_eq!(clipped("SUM(km)", table, true, 2), [1, 1]);
    assert_eq!(clipped("AVG(km)", table, true, 2), [2, 2]);
    assert_eq!(clipped("MEDIAN(km)", table, true, 2), [2, 2]);
    assert_eq!(clipped("COUNT(DISTINCT person)", table, true, 1), [0, 1]);
    // A row a person and home: nobody has more.
    let grouped = "(SELECT person, month, home, COUNT(*) AS n FROM mobility.trips GROUP BY person, month, home) AS g";
    assert_eq!(clipped("COUNT(*), SUM(n)", grouped, true, 1), [0, 1]);
}

#[test]
fn removing_one_person_in_one_partition_moves_each_output_by_at_most_its_sensitivity() {
    for (seed, sql) in (0..).zip(QUESTIONS.into_iter().cycle().take(36)) {
        let dice = &mut Dice::new(seed);
        let max_groups = 1 + u32::try_from(dice.below(2)).unwrap();
        let plan = plan(sql, max_groups);
        let of_p0 = dice.of(&[3, 30, MAX_JOINED_ROWS as usize * 3]);
        let rows = rows(dice, of_p0);
        let removed = dice.of(&MONTHS);
        let without: Vec<Row> = rows.iter().filter(|row| row.person != "p0" || row.month != removed).cloned().collect();
        let (all, fewer) = (run(&rows, &plan, options(2, 50)), run(&without, &plan, options(1, 8192)));
        for (number, output) in plan.outputs.iter().enumerate() {
            let distance: i128 = all[number].iter().zip(&fewer[number]).map(|(a, b)| (a - b).pow(2)).sum();
            let priced = price::sensitivity(&output.aggregate).unwrap();
            let most = i128::from(plan.max_groups_per_person) * i128::from(priced.levels) * i128::from(priced.delta).pow(2);
            assert!(distance <= most, "{}: {distance} is above {most}: {sql}", output.name);
        }
    }
}

#[test]
fn rows_beyond_the_bound_are_chosen_by_what_they_are_and_equal_rows_one_by_one() {
    let key = PrfKey::of_query(&query_id(1));
    let keep = |most: usize, contents: &[u64]| {
        let mut kept = Kept::new(most, 1);
        for content in contents {
            kept.add(&[*content], || key);
        }
        let mut rows = Vec::new();
        assert_eq!(kept.len(), most.min(contents.len()));
        kept.take(&mut rows);
        rows.sort_unstable();
        rows
    };
    let contents: Vec<u64> = (0..200).flat_map(|content| std::iter::repeat_n(content, 1 + usize::try_from(content % 5).unwrap())).collect();
    assert_eq!(keep(1_000, &contents), contents);
    let kept = keep(60, &contents);
    // Fewer are kept of those that were kept, and who is left does not depend on who has gone.
    let fewer = keep(30, &contents);
    assert_eq!((kept.len(), fewer.len()), (60, 30));
    let left =
        |content: &u64| fewer.iter().filter(|other| *other == content).count() <= kept.iter().filter(|other| *other == content).count();
    assert!(fewer.iter().all(left));
    // Of rows that are all equal, as many as fit.
    assert_eq!(keep(7, &[5; 100]), [5; 7]);
    // Equal rows do not stand and fall together.
    let chosen = |content: u64| kept.iter().filter(|other| **other == content).count();
    assert!((0..200).any(|content| (1..=content % 5).contains(&(chosen(content) as u64))));
}

#[test]
fn records_come_in_order_however_often_they_went_to_files() {
    let dice = &mut Dice::new(3);
    let folder = tempfile::tempdir().unwrap();
    let mut runs = Runs::default();
    let mut expected = Vec::new();
    for round in 0..70 {
        for _ in 0..dice.below(40) {
            let body: Vec<u64> = (0..=dice.below(5)).map(|_| dice.below(4) as u64).collect();
            runs.extend(&[&[body.len() as u64], body.as_slice()].concat());
            expected.push(body);
        }
        if round != 69 {
            runs.spill(folder.path()).unwrap();
        }
    }
    assert!(runs.files() < 32);
    expected.sort();
    let mut found = Vec::new();
    runs.each(|record| {
        found.push(record.to_vec());
        Ok(())
    })
    .unwrap();
    assert_eq!(found, expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn relations_that_no_compiler_makes_are_refused_before_anything_is_read() {
    let good = plan(QUESTIONS[5], 1);
    let refused = |change: &dyn Fn(&mut Relation)| {
        let mut plan = good.clone();
        change(&mut plan.relation);
        match crate::lower::Lowering::new(&plan, &query_id(1), &contract()) {
            Err(crate::EngineError::Plan(why)) => why,
            other => panic!("{:?}", other.map(|_| ())),
        }
    };
    let table = || Relation::Table("trips".to_owned());
    assert!(refused(&|relation| *relation = Relation::Union(vec![table()])).contains("a table stands"));
    assert!(refused(&|relation| *relation = Relation::Union(vec![])).contains("a union of nothing"));
    let select = |name: &str| Relation::Select {
        input: Box::new(table()),
        filter: None,
        columns: vec![commun_domain::plan::Computed { name: name.to_owned(), value: commun_domain::plan::Value::column("km") }],
    };
    assert!(refused(&|relation| *relation = select("other")).contains("no column"));
    let join = |right: &str| Relation::Join { left: Box::new(select("a")), right: Box::new(select(right)), outer: false, condition: None };
    assert!(refused(&|relation| *relation = join("a")).contains("two columns"));
    assert!(refused(&|relation| *relation = Relation::Union(vec![select("a"), select("b")])).contains("other columns"));
    assert!(
        refused(&|relation| *relation = Relation::Group { input: Box::new(table()), keys: vec![], folds: vec![] })
            .contains("a table stands")
    );
}

#[test]
fn the_cost_of_a_chain_of_joins_is_that_of_its_links() {
    let mut chain = Node::Part(0);
    for number in 0..200 {
        let condition = None;
        chain = Node::Join { left: Box::new(chain), right: Box::new(Node::Part(0)), outer: false, condition, number };
    }
    let most = MAX_JOINED_ROWS as usize;
    assert_eq!(cost(&Node::Part(0), &[3]), 3);
    assert_eq!(cost(&chain, &[most]), most + 200 * (most * most + most));
}

#[test]
fn work_for_whole_persons_stops_when_nobody_waits_for_it() {
    let plan = plan(QUESTIONS[0], 2);
    let (lowering, shape) = Lowering::new(&plan, &query_id(1), &contract()).unwrap();
    let (lowering, shape) = (Arc::new(lowering), Arc::new(shape));
    let room = Room { bytes: None, folder: std::env::temp_dir(), threads: 2, stopped: Arc::default() };
    let stage = Stage::new(lowering, UnitKind::Text, room.clone());
    let radix = Arc::new(Radix::new(shape.clone(), UnitKind::Text, room.clone(), 2));
    let totals = Mutex::new(Totals::zero(&shape));
    stage.finish(&radix).unwrap();
    radix.finish(&totals).unwrap();
    room.stopped.store(true, Ordering::Relaxed);
    assert!(stage.finish(&radix).is_err());
    assert!(radix.finish(&totals).is_err());
}
