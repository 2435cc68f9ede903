//! People behind texts of an open group key: judged by a plain count over rows in memory, in every way that must make no difference.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::num::NonZeroUsize;

use commun_domain::calendar::Period;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::plan::{Computed, Key, KeySource, OpenKey, PrivatePlan, Relation, Value};
use proptest::prelude::*;

use crate::bound::PrfKey;
use crate::testing::{self, options, query_id};
use crate::{Binding, DataFusionEngine, Engine, EngineError, EngineOptions, HolderEngine, NameCounts};

const MONTHS: [&str; 2] = ["2011-01", "2011-02"];

const BINDING: &str = "contract = \"mobility\"\n[[source]]\nname = \"raw\"\nformat = \"csv\"\npath = \"raw.csv\"\n[[table]]\nname = \"trips\"\nsql = 'SELECT person, month, home, km, train, employer FROM raw'\n";

/// The tests' contract with a column of open text of at most 12 bytes.
fn contract() -> DataContract {
    let text = testing::CONTRACT.replacen("delta_conv = \"1e-9\"", "delta_conv = \"1e-9\", delta_keys = \"1e-8\"", 1);
    let titles = "titles = { en = \"t\", fr = \"t\", nl = \"t\", de = \"t\" }";
    let column = format!("[[table.column]]\nname = \"employer\"\ntype = \"open_text\"\nmax_bytes = 12\n{titles}\n[[code_list]]");
    parse_contract(&text.replacen("[[code_list]]", &column, 1)).unwrap()
}

fn open(names: Option<&[&str]>) -> Key {
    let names = names.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let delta = commun_domain::Delta::from_units(1_000_000_000);
    let open = OpenKey { column: "employer".to_owned(), max_bytes: 12, max_names: 100, delta, share_num: 1, share_den: 2, names };
    Key { name: "employer".to_owned(), source: KeySource::Open(open) }
}

fn plan(contract: &DataContract, max_groups: u32) -> PrivatePlan {
    PrivatePlan { keys: vec![open(None)], ..testing::plan(contract, &MONTHS, &[], max_groups) }
}

/// Person, month, employer, home.
type Row = (String, String, String, String);

fn row(person: &str, month: &str, employer: &str) -> Row {
    (person.to_owned(), month.to_owned(), employer.to_owned(), "A".to_owned())
}

fn engine(folder: &std::path::Path, rows: &[Row], options: EngineOptions) -> DataFusionEngine {
    let mut text = "person,month,home,km,train,employer\n".to_owned();
    for (person, month, employer, home) in rows {
        writeln!(text, "{person},{month},{home},1,true,{employer}").unwrap();
    }
    std::fs::write(folder.join("raw.csv"), text).unwrap();
    DataFusionEngine::new(Binding::parse(BINDING).unwrap(), folder).with_options(options)
}

async fn names(rows: &[Row], plan: &PrivatePlan, options: EngineOptions) -> Result<NameCounts, EngineError> {
    let folder = tempfile::tempdir().unwrap();
    engine(folder.path(), rows, options).names(plan, &query_id(1), &contract()).await
}

/// By partition and name. Texts that everybody drops for others do not stand there.
fn sorted(counts: &NameCounts) -> Vec<BTreeMap<String, i128>> {
    counts.partitions.iter().map(|texts| texts.iter().cloned().collect()).collect()
}

/// The same, said as plainly as it can be: each person keeps the L0 texts of a partition with the smallest numbers.
fn naive(rows: &[Row], plan: &PrivatePlan) -> Vec<BTreeMap<String, i128>> {
    let query = PrfKey::of_query(&query_id(1));
    let of_month = |(month, period): (&str, &Period)| {
        let mut texts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (person, of, employer, _) in rows {
            if of == month && !person.is_empty() && (1..=12).contains(&employer.len()) {
                texts.entry(person).or_default().insert(employer);
            }
        }
        let mut counts: BTreeMap<String, i128> = BTreeMap::new();
        for (person, texts) in texts {
            let key = query.of_person(*period, person.as_bytes());
            let rank = |text: &&str| {
                let (first, second) = query.text(text.as_bytes());
                (key.name(first, second), first)
            };
            let mut texts: Vec<&str> = texts.into_iter().collect();
            texts.sort_by_key(rank);
            texts.truncate(plan.max_groups_per_person as usize);
            for text in texts {
                *counts.entry(text.to_owned()).or_default() += 1;
            }
        }
        counts
    };
    MONTHS.into_iter().zip(&plan.partitions).map(of_month).collect()
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let person = prop_oneof![9 => (0..6u32).prop_map(|number| format!("p{number}")), 1 => Just(String::new())];
    let month = prop_oneof![4 => Just("2011-01"), 3 => Just("2011-02"), 1 => Just("2011-03")];
    let employer = prop_oneof![
        8 => (0..8u32).prop_map(|number| format!("e{number}")),
        1 => Just(String::new()),
        1 => Just("thirteen byte".to_owned()),
        1 => Just("twelve bytes".to_owned()),
    ];
    prop::collection::vec((person, month, employer).prop_map(|(person, month, employer)| row(&person, month, &employer)), 0..60)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn engine_names_are_those_of_the_plain_count_in_any_order(rows in rows(), max_groups in 1u32..=3, seed: u64) {
        let contract = contract();
        let plan = plan(&contract, max_groups);
        let expected = naive(&rows, &plan);
        prop_assert_eq!(&sorted(&block_on(names(&rows, &plan, options(1, 8192))).unwrap()), &expected);
        // Another order of rows gives every text another number, and must change nothing else.
        let mut other = rows.clone();
        other.sort_by_key(|row| (seed.wrapping_mul(row.0.len() as u64 + 1) ^ row.2.bytes().map(u64::from).sum::<u64>().wrapping_mul(seed | 1), row.clone()));
        prop_assert_eq!(&sorted(&block_on(names(&other, &plan, options(3, 7))).unwrap()), &expected);
    }

    #[test]
    fn engine_names_one_person_moves_at_most_l0_texts_of_one_partition_by_one(rows in rows(), max_groups in 1u32..=3, person in 0u32..6) {
        let contract = contract();
        let plan = plan(&contract, max_groups);
        let person = format!("p{person}");
        let without: Vec<Row> = rows.iter().filter(|row| row.0 != person || row.1 != "2011-01").cloned().collect();
        let (with, without) = (block_on(names(&rows, &plan, options(2, 16))).unwrap(), block_on(names(&without, &plan, options(2, 16))).unwrap());
        let (with, without) = (sorted(&with), sorted(&without));
        prop_assert_eq!(&with[1], &without[1]);
        let texts: BTreeSet<&String> = with[0].keys().chain(without[0].keys()).collect();
        let moved: Vec<i128> = texts.iter().map(|text| with[0].get(*text).unwrap_or(&0) - without[0].get(*text).unwrap_or(&0)).collect();
        prop_assert!(moved.iter().all(|moved| (0..=1).contains(moved)), "{:?}", moved);
        prop_assert!(moved.iter().sum::<i128>() <= i128::from(max_groups));
    }
}

#[test]
fn engine_names_with_too_little_memory_spill_people_and_fail_on_texts() {
    let contract = contract();
    let plan = plan(&contract, 2);
    // Many people of few employers: the people go to a file, and nothing changes.
    let few: Vec<Row> = (0..60_000).map(|number| row(&format!("person-{number}"), "2011-01", &format!("e{}", number % 7))).collect();
    let limited = |bytes| EngineOptions { memory_bytes: NonZeroUsize::new(bytes), ..options(2, 1024) };
    let counts = sorted(&block_on(names(&few, &plan, limited(8 << 20))).unwrap());
    assert_eq!(counts, naive(&few, &plan));
    // Many employers: more than fit an eighth of the memory.
    let many: Vec<Row> = (0..60_000).map(|number| row(&format!("p{number}"), "2011-01", &format!("e{number}"))).collect();
    assert!(matches!(block_on(names(&many, &plan, limited(8 << 20))), Err(EngineError::Execution { .. })));
}

#[test]
fn engine_names_rows_off_the_grid_of_another_key_count_for_no_name() {
    let contract = contract();
    let mut plan = plan(&contract, 1);
    plan.keys.push(testing::key("home"));
    let mut rows = vec![row("p1", "2011-01", "here"), row("p2", "2011-01", "gone")];
    rows[1].3 = "Z".to_owned();
    let counts = sorted(&block_on(names(&rows, &plan, options(1, 8))).unwrap());
    assert_eq!(counts, [BTreeMap::from([("here".to_owned(), 1)]), BTreeMap::new()]);
}

#[test]
fn engine_names_make_the_grid_of_the_second_attempt_and_other_texts_are_off_it() {
    let contract = contract();
    let rows = vec![
        row("p1", "2011-01", "Bpost"),
        row("p1", "2011-01", "Bpost"),
        row("p2", "2011-02", "Bpost"),
        row("p3", "2011-01", "Éts Dupont"),
        row("p4", "2011-01", "rare"),
        row("p5", "2011-01", ""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &rows, options(1, 8));
    let unnamed = plan(&contract, 1);
    let named = unnamed.with_names(&["Bpost", "nobody", "Éts Dupont"].map(str::to_owned));
    let cells = block_on(engine.evaluate(&named, &query_id(1), &contract)).unwrap();
    // Rows and people by name.
    assert_eq!(cells.outputs[..2], [vec![3, 0, 1], vec![2, 0, 1]]);
    // Neither question is taken for the other, and no list but a canonical one is a grid.
    assert!(matches!(block_on(engine.evaluate(&unnamed, &query_id(1), &contract)), Err(EngineError::Plan(_))));
    assert!(matches!(block_on(engine.names(&named, &query_id(1), &contract)), Err(EngineError::Plan(_))));
    for names in [["b", "a"], ["a", "a"], ["a", " b"]] {
        let plan = unnamed.with_names(&names.map(str::to_owned));
        assert!(matches!(block_on(engine.evaluate(&plan, &query_id(1), &contract)), Err(EngineError::Plan(_))), "{names:?}");
    }
}

#[test]
fn engine_names_an_open_key_of_another_relation_than_a_table_is_refused() {
    let contract = contract();
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(folder.path(), &[row("p1", "2011-01", "Bpost")], options(1, 8));
    let columns = vec![Computed { name: "employer".to_owned(), value: Value::column("employer") }];
    let relation = Relation::Select { input: Box::new(Relation::Table("trips".to_owned())), filter: None, columns };
    let unnamed = PrivatePlan { relation, ..plan(&contract, 1) };
    assert!(matches!(block_on(engine.names(&unnamed, &query_id(1), &contract)), Err(EngineError::Plan(_))));
    let named = unnamed.with_names(&["Bpost".to_owned()]);
    assert!(matches!(block_on(engine.evaluate(&named, &query_id(1), &contract)), Err(EngineError::Plan(_))));
}

#[test]
fn p7_objectors_count_behind_no_name_and_in_no_number() {
    let contract = contract();
    let rows =
        vec![row("p1", "2011-01", "Bpost"), row("p2", "2011-01", "Bpost"), row("p2", "2011-02", "own firm"), row("p3", "2011-02", "Bpost")];
    let folder = tempfile::tempdir().unwrap();
    drop(engine(folder.path(), &rows, options(1, 8)));
    std::fs::write(folder.path().join("list.txt"), "p2\n").unwrap();
    let binding = Binding::parse(&format!("{BINDING}[objections]\npath = \"list.txt\"\n")).unwrap();
    let engine = HolderEngine::new([(binding, folder.path().to_owned())], &options(1, 8)).unwrap();
    let unnamed = plan(&contract, 1);
    let counts = block_on(engine.names(&unnamed, &query_id(1), &contract)).unwrap();
    let bpost = BTreeMap::from([("Bpost".to_owned(), 1)]);
    assert_eq!(sorted(&counts), [bpost.clone(), bpost]);
    let named = unnamed.with_names(&["Bpost", "own firm"].map(str::to_owned));
    let cells = block_on(engine.evaluate(&named, &query_id(1), &contract)).unwrap();
    assert_eq!(cells.outputs[..2], [vec![2, 0], vec![2, 0]]);
    // A list that cannot be read answers neither.
    std::fs::remove_file(folder.path().join("list.txt")).unwrap();
    assert!(engine.ready("mobility").is_err());
    assert!(block_on(engine.names(&unnamed, &query_id(1), &contract)).is_err());
}
