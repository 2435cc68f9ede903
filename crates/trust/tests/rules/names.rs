//! Questions with an open group key: what permits them, and that the second attempt's grid is what the holders released.

use commun_domain::attempt::{AnswerHead, HolderNames, Manifest, ManifestKind, NameLists, decode_names, encode_names};
use commun_domain::contract::{Column, ColumnType, DataContract};
use commun_domain::encoding::sha256;
use commun_domain::log::{AttemptEntry, LogEntry, NamesEntry, RefundEntry};
use commun_domain::permit::{Permit, QueryClass};
use commun_domain::query::Query;
use commun_domain::titles::Titles;
use commun_domain::{Delta, Document, Hash32, Refusal, Rho, WireCode};
use commun_privacy::price;
use commun_trust::{Admitted, TrustError, admit, admit_numbers, charged, covers, replay_key, within_limit};

use crate::common::{HOLDERS, Log, NOW_UNIX, Run, attempt_entry, holder_key, officers, record, signed_by, signed_query};
use crate::state::refused;

const NANO: Delta = Delta::from_units(1_000_000_000);

const SQL: &str =
    "SELECT employer, COUNT(DISTINCT subscriber_id) AS people FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY employer";

/// The world's contract with a column of open text.
fn contract() -> DataContract {
    let mut contract = DataContract { delta_keys: Delta::from_units(3 * NANO.units()), ..crate::common::contract() };
    let titles = Titles::default();
    contract.tables[0].columns.push(Column { name: "employer".to_owned(), column_type: ColumnType::OpenText { max_bytes: 32 }, titles });
    contract
}

/// A permit that allows the question.
fn permit() -> Permit {
    let mut permit = Permit { contract: contract().hash(), delta_cap: Delta::from_units(2 * NANO.units()), ..crate::common::permit() };
    permit.query_classes.push(QueryClass::OpenKeys);
    permit.tables[0].columns.push("employer".to_owned());
    permit
}

fn query_under(permit: &Permit) -> Query {
    Query { sql: SQL.to_owned(), contract: contract().hash(), permit: permit.hash(), ..crate::common::query() }
}

fn log_with(permit: &Permit) -> Log {
    Log::with_roster().and(&LogEntry::Contract(signed_by(&contract(), &officers()))).and(&LogEntry::Permit(signed_by(permit, &officers())))
}

fn admitted_under(permit: &Permit) -> Result<Admitted, Refusal> {
    admit(&log_with(permit).state, &signed_query(&query_under(permit)), NOW_UNIX)
}

fn not_permitted(why: &Refusal, part: &str) {
    assert!(why.code == WireCode::NotPermitted && why.message.contains(part), "{part}: {why:?}");
}

#[test]
fn an_open_key_needs_its_class_its_column_and_a_delta() {
    let first = admitted_under(&permit()).unwrap();
    assert!(first.releases_names());
    assert_eq!((first.delta, first.whole.delta), (NANO, NANO));
    // Half of the requested rho and one unit; the rest and one unit are the numbers'.
    let half = first.rho.units() / 2;
    assert_eq!(first.price, Rho::from_units(half + 1));
    assert_eq!(first.whole.rho, Rho::from_units(first.rho.units() + 2));
    assert_eq!(first.ahead(), first.whole);

    let without = |change: fn(&mut Permit)| {
        let mut permit = permit();
        change(&mut permit);
        admitted_under(&permit).unwrap_err()
    };
    not_permitted(&without(|permit| permit.query_classes.retain(|class| *class != QueryClass::OpenKeys)), "open_keys");
    not_permitted(&without(|permit| permit.tables[0].columns.retain(|column| column != "employer")), "employer");
    // Nothing is owed to a permit that says nothing: the default is no.
    assert!(covers(&Permit { contract: contract().hash(), ..crate::common::permit() }, &first.plan).is_err());
    // A permit of that class without delta is not signed into the log at all.
    let bare = Permit { delta_cap: Delta::ZERO, ..permit() };
    let log = Log::with_roster().and(&LogEntry::Contract(signed_by(&contract(), &officers())));
    assert!(matches!(refused(&log, &LogEntry::Permit(signed_by(&bare, &officers()))), TrustError::Rules { .. }));
}

/// The whole question must be within what it accepts, and its attempts are one of each kind.
#[test]
fn the_limit_counts_both_attempts_and_neither_is_offered_out_of_turn() {
    let permit = permit();
    let log = log_with(&permit);
    let first = admitted_under(&permit).unwrap();
    assert_eq!(within_limit(&first, 1), Ok(()));
    not_permitted(&within_limit(&first, 2).unwrap_err(), "attempt 1 comes next");
    let mut poor = query_under(&permit);
    poor.max_price = Rho::from_units(first.whole.rho.units() - 1);
    assert_eq!(admit(&log.state, &signed_query(&poor), NOW_UNIX).unwrap_err().code, WireCode::OverBudget);
}

/// The log after attempt 1, and what the holders released in it.
struct Released {
    log: Log,
    first: Admitted,
    lists: NameLists,
}

fn names(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn list(manifest: &Manifest, index: u8, texts: &[&str]) -> HolderNames {
    let names = names(texts);
    let head = AnswerHead { manifest: manifest.hash(), index: index.into(), values: sha256(&encode_names(&names)) };
    HolderNames { head: signed_by(&head, &[holder_key(index)]), names }
}

fn entry(first: &Admitted, lists: &NameLists) -> NamesEntry {
    let union = first.plan.open_key().map(|open| lists.union(open)).unwrap();
    NamesEntry {
        query: first.id,
        attempt: 1,
        lists: lists.hash(),
        names: sha256(&encode_names(&union)),
        participants: (1..=u32::from(HOLDERS)).collect(),
        price: first.price,
        delta: first.delta,
    }
}

impl Released {
    fn new() -> Self {
        let permit = permit();
        let log = log_with(&permit);
        let first = admitted_under(&permit).unwrap();
        let log = log.and(&LogEntry::Attempt(AttemptEntry { query: signed_query(&first.query), ..attempt_entry(&first) }));
        let manifest = Manifest {
            query: first.id,
            kind: first.kind,
            plan: first.plan_hash,
            cells: 0,
            noise: vec![],
            threshold: 3,
            colluders: 2,
            honest: 1,
            ..Run::new().manifest
        };
        let lists = vec![list(&manifest, 1, &["Bpost", "Infrabel"]), list(&manifest, 2, &["Bpost"]), list(&manifest, 3, &["Aldi"])];
        Self { log, first, lists: NameLists { manifest, lists } }
    }

    /// What an agent says when the log shows these lists.
    fn logged(self) -> Result<Admitted, Refusal> {
        let log = self.log.and(&LogEntry::Names(entry(&self.first, &self.lists)));
        admit_numbers(&log.state, &self.first, &self.lists, NOW_UNIX)
    }
}

#[test]
fn the_second_attempt_is_over_the_union_of_what_the_holders_signed() {
    let released = Released::new();
    let (first, key) = (released.first.clone(), replay_key(&released.first, 1));
    let second = released.logged().unwrap();
    let union = names(&["Aldi", "Bpost", "Infrabel"]);
    assert_eq!(second.plan, first.plan.with_names(&union));
    assert_eq!(second.plan_hash, second.plan.hash());
    assert_eq!(second.kind, ManifestKind::Numbers { names: Some(sha256(&encode_names(&union))) });
    assert_eq!((second.price, second.delta), (Rho::from_units(first.whole.rho.units() - first.price.units()), Delta::ZERO));
    assert_eq!((second.whole, second.ahead()), (first.whole, second.loss()));
    assert_eq!(within_limit(&second, 2), Ok(()));
    not_permitted(&within_limit(&second, 1).unwrap_err(), "attempt 2 comes next");
    // What was released does not tell two askings of the same question apart.
    assert_eq!(replay_key(&second, 1), key);
}

/// One untrue thing about what was released.
type Lie = (&'static str, fn(&mut Released));

#[test]
fn p4_a_union_that_is_not_the_holders_own_is_refused() {
    let lies: [Lie; 13] = [
        ("a name added", |r| r.lists.lists[0].names.push("Zorro".to_owned())),
        ("a name added and the list signed by another", |r| {
            let mut added = list(&r.lists.manifest, 1, &["Bpost", "Infrabel", "Zorro"]);
            added.head = list(&r.lists.manifest, 2, &["Bpost", "Infrabel", "Zorro"]).head;
            r.lists.lists[0] = added;
        }),
        ("a name exchanged", |r| r.lists.lists[2].names = names(&["Lidl"])),
        ("a name taken away", |r| r.lists.lists[0].names.truncate(1)),
        ("a list in another holder's place", |r| r.lists.lists.swap(1, 2)),
        ("a list left out", |r| drop(r.lists.lists.pop())),
        ("a list twice", |r| r.lists.lists.push(r.lists.lists[0].clone())),
        ("no signature", |r| r.lists.lists[1].head.signatures.clear()),
        ("names that are not sorted, signed", |r| r.lists.lists[0] = list(&r.lists.manifest, 1, &["b", "a"])),
        ("a name twice, signed", |r| r.lists.lists[0] = list(&r.lists.manifest, 1, &["a", "a"])),
        ("a name that is none, signed", |r| r.lists.lists[0] = list(&r.lists.manifest, 1, &["a\u{1b}[2J"])),
        ("lists for another threshold", |r| {
            if let ManifestKind::Names { law } = &mut r.lists.manifest.kind {
                law.threshold -= 1;
            }
            for (index, list) in (1..).zip(&mut r.lists.lists) {
                let texts: Vec<&str> = list.names.iter().map(String::as_str).collect();
                *list = self::list(&r.lists.manifest, index, &texts);
            }
        }),
        ("lists of another query", |r| {
            r.lists.manifest.query = Hash32::from_bytes([9; 32]).into();
            for (index, list) in (1..).zip(&mut r.lists.lists) {
                let texts: Vec<&str> = list.names.iter().map(String::as_str).collect();
                *list = self::list(&r.lists.manifest, index, &texts);
            }
        }),
    ];
    for (what, lie) in lies {
        let mut released = Released::new();
        lie(&mut released);
        // The coordinator logs what it lies about, as far as the log takes it.
        let why = released.logged().expect_err(what);
        assert_eq!(why.code, WireCode::NotPermitted, "{what}: {why:?}");
    }
    assert!(Released::new().logged().is_ok());
}

#[test]
fn p6_names_that_the_log_does_not_show_as_they_are_make_no_second_attempt() {
    let released = Released::new();
    not_permitted(&admit_numbers(&released.log.state, &released.first, &released.lists, NOW_UNIX).unwrap_err(), "not in the log");
    let lies: [fn(&mut NamesEntry); 3] =
        [|e| e.lists = Hash32::from_bytes([7; 32]), |e| e.names = Hash32::from_bytes([7; 32]), |e| e.delta = Delta::ZERO];
    for lie in lies {
        let Released { log, first, lists } = Released::new();
        let mut entry = entry(&first, &lists);
        lie(&mut entry);
        let log = log.and(&LogEntry::Names(entry));
        assert_eq!(admit_numbers(&log.state, &first, &lists, NOW_UNIX).unwrap_err().code, WireCode::NotPermitted);
    }
    // Nobody's names: the question ends, and says how many people a name needs.
    let mut none = Released::new();
    none.lists.lists = (1..=HOLDERS).map(|index| list(&none.lists.manifest, index, &[])).collect();
    let why = none.logged().unwrap_err();
    assert!(why.code == WireCode::NotPrivate && why.message.contains("about 51 are needed"), "{why:?}");
    // A question without an open key has none.
    let run = Run::new();
    not_permitted(&admit_numbers(&run.log.state, &run.admitted, &Released::new().lists, NOW_UNIX).unwrap_err(), "no open group key");
}

#[test]
fn names_are_logged_once_for_the_last_attempt_and_all_who_accepted_it() {
    let Released { log, first, lists } = Released::new();
    let with = |change: fn(&mut NamesEntry)| {
        let mut entry = entry(&first, &lists);
        change(&mut entry);
        LogEntry::Names(entry)
    };
    for bad in [with(|e| e.attempt = 2), with(|e| e.price = Rho::from_units(1)), with(|e| e.participants.truncate(2))] {
        assert!(matches!(refused(&log, &bad), TrustError::Unknown(_) | TrustError::Contradiction(_)));
    }
    let log = log.and(&with(|_| {}));
    assert_eq!(refused(&log, &with(|_| {})), TrustError::Known("names"));
    // The second attempt follows, and a failure names it.
    let second =
        AttemptEntry { attempt: 2, records: [1, 2, 3].map(record).to_vec(), query: signed_query(&first.query), ..attempt_entry(&first) };
    log.and(&LogEntry::Attempt(second));
}

#[test]
fn p8_what_a_logged_attempt_is_charged_follows_from_its_text_for_names_and_for_numbers() {
    let Released { log, first, lists } = Released::new();
    let of = |log: &Log, attempt: u8| charged(&log.state, log.state.attempt(&first.id, attempt).unwrap()).unwrap();
    let names = of(&log, 1);
    assert_eq!(names.charges, price::charges(&first.plan, first.loss()));
    assert_eq!((names.domain, names.permit), (first.plan.budget_domain.clone(), first.permit_hash));
    let log = log.and(&LogEntry::Names(entry(&first, &lists)));
    let numbers = admit_numbers(&log.state, &first, &lists, NOW_UNIX).unwrap();
    let second =
        AttemptEntry { attempt: 2, records: [1, 2, 3].map(record).to_vec(), query: signed_query(&first.query), ..attempt_entry(&first) };
    let log = log.and(&LogEntry::Attempt(second));
    assert_eq!(of(&log, 2).charges, price::charges(&first.plan, numbers.loss()));
    // Names that are logged by now do not change what the attempt at names was charged.
    assert_eq!(of(&log, 1).charges, price::charges(&first.plan, first.loss()));
    assert_ne!(first.loss(), numbers.loss());
}

#[test]
fn p8_names_that_left_stay_charged_and_a_charge_that_was_taken_back_releases_none() {
    let refund = |first: &Admitted| RefundEntry { query: first.id, attempt: 1, index: 2, seq: 200, record: Hash32::from_bytes([7; 32]) };
    let contradicts = |log: &Log, entry: &LogEntry, part: &str| {
        let why = refused(log, entry);
        assert!(matches!(why, TrustError::Contradiction(said) if said.contains(part)), "{why}");
    };
    for names_first in [true, false] {
        let Released { log, first, lists } = Released::new();
        let (names, refund) = (LogEntry::Names(entry(&first, &lists)), LogEntry::Refund(refund(&first)));
        if names_first {
            contradicts(&log.and(&names), &refund, "names were released");
        } else {
            contradicts(&log.and(&refund), &names, "took its charge back");
        }
    }
}

#[test]
fn bytes_of_names_are_read_only_as_they_are_written() {
    let first = admitted_under(&permit()).unwrap();
    let open = first.plan.open_key().unwrap();
    let bytes = encode_names(&names(&["a", "b"]));
    assert_eq!(decode_names(&bytes, open), Some(names(&["a", "b"])));
    assert_eq!(decode_names(&[bytes.as_slice(), &[0]].concat(), open), None);
    assert_eq!(decode_names(&bytes[..bytes.len() - 1], open), None);
    assert_eq!(decode_names(&encode_names(&names(&["b", "a"])), open), None);
    assert_eq!(decode_names(&vec![0; 1 << 17], open), None);
    let many: Vec<String> = (0..1025).map(|number| format!("{number:04}")).collect();
    assert_eq!(decode_names(&encode_names(&many[..1024]), open).map(|names| names.len()), Some(1024));
    assert_eq!(decode_names(&encode_names(&many), open), None);
}
