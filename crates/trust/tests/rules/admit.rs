//! Admission of a signed query.

use commun_domain::bundle::{Roster, RosterHolder};
use commun_domain::contract::{ColumnType, DataContract};
use commun_domain::encoding::sha256;
use commun_domain::log::LogEntry;
use commun_domain::permit::{Permit, PermitTable, QueryClass};
use commun_domain::query::{MAX_QUERY_LIFETIME_S, PriceRequest, Query, SnapshotRule};
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Document, Epsilon, PublicKey, Refusal, Rho, WireCode};
use commun_privacy::accountant::rho_for_epsilon;
use commun_trust::{Admitted, admit, covers, replay_key, within_limit};

use crate::common::{
    Log, NOW_UNIX, admit_query, agency_key, contract, holder, officer_key, officers, permit, query, root_key, roster, signed_by,
    signed_query, stranger_key,
};

/// The refusal of a changed query; every refusal has a hint.
fn refusal(log: &Log, query: &Query) -> Refusal {
    hinted(admit_query(log, query))
}

fn hinted(result: Result<Admitted, Refusal>) -> Refusal {
    let refusal = result.expect_err("the query must be refused");
    assert!(!refusal.hint.is_empty() && !refusal.message.is_empty(), "{refusal}");
    refusal
}

#[track_caller]
fn says(refusal: &Refusal, code: WireCode, part: &str) {
    assert_eq!(refusal.code, code, "{refusal}");
    assert!(refusal.message.contains(part), "{refusal}");
}

/// A query under a permit that differs from the world's in one thing.
fn under(change: impl FnOnce(&mut Permit)) -> (Log, Query) {
    let mut permit = permit();
    change(&mut permit);
    let query = Query { permit: permit.hash(), ..query() };
    (Log::with_permit(&permit), query)
}

fn with_sql(sql: &str) -> Query {
    Query { sql: sql.to_owned(), ..query() }
}

#[test]
fn p4_plan_noise_and_price_follow_from_the_signed_text_and_the_contract() {
    let admitted = admit_query(&Log::ready(), &query()).unwrap();
    let rho = rho_for_epsilon(Epsilon::from_units(1_000_000), contract().delta_conv).unwrap();
    assert_eq!((admitted.rho, admitted.price.units(), admitted.delta), (rho, rho.units() + 1, Delta::ZERO));
    assert_eq!((admitted.id, admitted.agency.as_str(), admitted.permit_hash), (query().id(), "statistics", permit().hash()));
    assert_eq!((admitted.plan.cells(), admitted.plan.contract), (Some(9), contract().hash()));
    assert_eq!(admitted.plan_hash, admitted.plan.hash());
    // By hand: rho = .01497, sigma^2 = 1 / (2 rho) = 33.4; S = 2 is the least with 4^S sigma^2 >= 256; s^2 = ceil(16 sigma^2).
    let noises = admitted.noise(3, 1).unwrap();
    let noise = noises[0];
    assert_eq!((admitted.listed, noises.len(), noise.gamma_log2, noise.d), (3, 1, -2, 4));
    let exact = (16u128 << 39).div_ceil(u128::from(rho.units()));
    assert_eq!((u128::from(noise.s2), exact), (exact, 535));
    // Where two shares count, each is half of it.
    assert_eq!(u128::from(admitted.noise(3, 2).unwrap()[0].s2), (16u128 << 39).div_ceil(2 * u128::from(rho.units())));
}

#[test]
fn bytes_that_are_no_query_are_refused() {
    let signed = signed_by(&permit(), &[agency_key()]);
    says(&hinted(admit(&Log::ready().state, &signed, NOW_UNIX)), WireCode::InvalidQuery, "not a signed query");
}

#[test]
fn p5_only_a_key_of_the_permit_asks() {
    let log = Log::ready();
    let by = |keys: &[ed25519_dalek::SigningKey]| admit(&log.state, &signed_by(&query(), keys), NOW_UNIX);
    assert!(by(&[agency_key()]).is_ok());
    for keys in [vec![], vec![stranger_key()], vec![officer_key(1)], vec![root_key()], vec![agency_key(), stranger_key()]] {
        says(&hinted(by(&keys)), WireCode::NotPermitted, "not signed by exactly one");
    }
}

#[test]
fn p5_another_text_under_an_agencys_signature_is_refused() {
    let mut swapped = signed_query(&query());
    swapped.bytes.0 = with_sql("SELECT COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month = '2011-02'").to_bytes();
    says(&hinted(admit(&Log::ready().state, &swapped, NOW_UNIX)), WireCode::NotPermitted, "not signed by exactly one");
}

#[test]
fn p5_a_permit_counts_only_once_two_officers_signed_it_in_the_log() {
    says(&refusal(&Log::with_contract(), &query()), WireCode::NotPermitted, "not in the log");
    let mut log = Log::with_contract();
    let one = LogEntry::Permit(signed_by(&permit(), &[officer_key(1)]));
    assert!(log.state.apply(log.state.entries(), &one).is_err());
    says(&refusal(&log, &query()), WireCode::NotPermitted, "not in the log");
    let mut twice: SignedDocument = signed_by(&permit(), &[officer_key(1)]);
    twice.signatures.push(twice.signatures[0].clone());
    assert!(log.state.apply(log.state.entries(), &LogEntry::Permit(twice)).is_err());
    says(&refusal(&log, &query()), WireCode::NotPermitted, "not in the log");
    let log = log.and(&LogEntry::Permit(signed_by(&permit(), &officers())));
    assert!(admit_query(&log, &query()).is_ok());
}

#[test]
fn a_permit_is_good_from_its_first_second_to_its_last() {
    let log = Log::ready();
    let at = |now: u64| admit(&log.state, &signed_query(&Query { expiry_unix: now + 10, ..query() }), now);
    let (from, until) = (permit().valid_from_unix, permit().valid_until_unix);
    assert!(at(from).is_ok() && at(until - 1).is_ok());
    says(&hinted(at(from - 1)), WireCode::Expired, "not valid yet");
    says(&hinted(at(until)), WireCode::Expired, "was valid until");
}

#[test]
fn a_query_is_good_until_its_expiry_and_at_most_a_day() {
    let log = Log::ready();
    let expiring = |expiry_unix| Query { expiry_unix, ..query() };
    assert!(admit_query(&log, &expiring(NOW_UNIX + 1)).is_ok());
    assert!(admit_query(&log, &expiring(NOW_UNIX + MAX_QUERY_LIFETIME_S)).is_ok());
    says(&refusal(&log, &expiring(NOW_UNIX)), WireCode::Expired, "was to be answered before");
    says(&refusal(&log, &expiring(NOW_UNIX + MAX_QUERY_LIFETIME_S + 1)), WireCode::InvalidQuery, "later than");
    says(&refusal(&log, &expiring(u64::MAX)), WireCode::InvalidQuery, "later than");
}

#[test]
fn p4_the_contract_is_the_permits() {
    let other = Query { contract: sha256(b"another contract"), ..query() };
    says(&refusal(&Log::ready(), &other), WireCode::NotPermitted, "is for data contract");
}

#[test]
fn a_text_that_does_not_compile_is_refused_with_the_compilers_code() {
    assert_eq!(refusal(&Log::ready(), &with_sql("SELECT")).code, WireCode::InvalidQuery);
    let private = with_sql("SELECT MAX(distance_km) FROM mobility.commute WHERE ref_month = '2011-01'");
    assert_eq!(refusal(&Log::ready(), &private).code, WireCode::NotPrivate);
}

#[test]
fn a_permit_covers_its_tables_columns_and_classes_only() {
    let log = Log::ready();
    let where_distance = "SELECT COUNT(DISTINCT subscriber_id) FROM mobility.commute WHERE ref_month = '2011-01' AND NOT (home_arr = '21000' OR distance_km > 5)";
    let count_rows = "SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01'";
    let sum = "SELECT SUM(distance_km) FROM mobility.commute WHERE ref_month = '2011-01'";
    let trips = "SELECT COUNT(DISTINCT subscriber_id) FROM mobility.trip WHERE ref_month = '2011-01'";
    says(&refusal(&log, &with_sql(where_distance)), WireCode::NotPermitted, "column distance_km");
    says(&refusal(&log, &with_sql(count_rows)), WireCode::NotPermitted, "query class count_rows");
    says(&refusal(&log, &with_sql(sum)), WireCode::NotPermitted, "column distance_km");
    says(&refusal(&log, &with_sql(trips)), WireCode::NotPermitted, "table trip");
    let (log, query) = under(|permit| permit.tables[0].columns.retain(|column| column != "work_arr"));
    says(&refusal(&log, &query), WireCode::NotPermitted, "column work_arr");
    // Each is refused for want of the permit alone.
    let wide = |permit: &mut Permit| {
        permit.tables[0].columns.push("distance_km".to_owned());
        permit.tables.push(PermitTable { table: "trip".to_owned(), columns: Vec::new() });
        permit.query_classes = vec![QueryClass::CountRows, QueryClass::CountUnits, QueryClass::Sum];
    };
    let (log, base) = under(wide);
    for sql in [where_distance, count_rows, sum, trips] {
        admit_query(&log, &Query { sql: sql.to_owned(), ..base.clone() }).unwrap();
    }
    // Clipped people are people.
    let clipped = |base: &Query| {
        let mut query = Query { sql: count_rows.to_owned(), ..base.clone() };
        query.settings.clipped = true;
        query
    };
    admit_query(&log, &clipped(&base)).unwrap();
    let (log, base) = under(|permit| permit.query_classes = vec![QueryClass::CountRows]);
    says(&refusal(&log, &clipped(&base)), WireCode::NotPermitted, "query class count_units");
}

#[test]
fn covers_asks_for_the_same_contract() {
    let plan = admit_query(&Log::ready(), &query()).unwrap().plan;
    assert_eq!(covers(&permit(), &plan), Ok(()));
    let other = Permit { contract: sha256(b"another contract"), ..permit() };
    says(&covers(&other, &plan).unwrap_err(), WireCode::NotPermitted, "data contract");
}

fn asking(price: PriceRequest, max_price: Rho) -> Query {
    let mut query = Query { max_price, ..query() };
    query.settings.price = price;
    query
}

#[test]
fn the_price_stays_within_what_the_query_accepts_and_says_both_numbers() {
    let log = Log::ready();
    let rho = Rho::from_units(1 << 34);
    let price = Rho::from_units(rho.units() + 1);
    assert_eq!(admit_query(&log, &asking(PriceRequest::Rho(rho), price)).unwrap().price, price);
    let short = refusal(&log, &asking(PriceRequest::Rho(rho), rho));
    says(&short, WireCode::OverBudget, &format!("{} units", price.units()));
    says(&short, WireCode::OverBudget, &format!("{} units", rho.units()));
}

#[test]
fn p4_the_price_limit_counts_over_all_attempts() {
    let log = Log::ready();
    let rho = Rho::from_units(1 << 34);
    let twice = Rho::from_units(2 * (rho.units() + 1));
    let admitted = admit_query(&log, &asking(PriceRequest::Rho(rho), twice)).unwrap();
    assert!(within_limit(&admitted, 1).is_ok() && within_limit(&admitted, 2).is_ok());
    says(&within_limit(&admitted, 3).unwrap_err(), WireCode::OverBudget, "attempt 3");
}

#[test]
fn the_price_stays_within_the_caps_of_permit_and_contract() {
    let log = Log::ready();
    let cap = permit().rho_cap;
    let below = Rho::from_units(cap.units() - 1);
    let ample = Rho::from_units(u64::MAX);
    assert_eq!(admit_query(&log, &asking(PriceRequest::Rho(below), ample)).unwrap().price, cap);
    says(&refusal(&log, &asking(PriceRequest::Rho(cap), ample)), WireCode::OverBudget, "the permit's whole budget");
    // The permit's cap is at most the contract's, so an epsilon far above both meets the permit's first.
    let huge = PriceRequest::Epsilon(Epsilon::from_units(50_000_000));
    says(&refusal(&log, &asking(huge, ample)), WireCode::OverBudget, "the permit's whole budget");
    says(&refusal(&log, &asking(PriceRequest::Rho(ample), ample)), WireCode::NotPrivate, "cannot be given noise");
}

#[test]
fn a_privacy_loss_of_nothing_or_too_little_is_refused() {
    let log = Log::ready();
    let ample = Rho::from_units(u64::MAX);
    says(&refusal(&log, &asking(PriceRequest::Rho(Rho::ZERO), ample)), WireCode::InvalidQuery, "answers nothing");
    says(&refusal(&log, &asking(PriceRequest::Epsilon(Epsilon::ZERO), ample)), WireCode::InvalidQuery, "too small");
}

#[test]
fn p1_one_holder_needs_a_permit_for_unmasked_answers_and_no_cohort_gives_more_honest_shares_than_it_has() {
    let log = Log::ready();
    assert!(admit_query(&log, &Query { least_honest: 2, ..query() }).is_ok());
    says(&refusal(&log, &Query { least_honest: 3, ..query() }), WireCode::TooFewHolders, "3 honest noise shares");
    let (log, query) = under(|permit| permit.unmasked = false);
    assert!(admit_query(&log, &query).is_ok(), "three holders aggregate");
    let mut one = Roster { epoch: 2, ..roster() };
    one.holders[1..].iter_mut().for_each(|holder| holder.datasets.clear());
    let keys = [root_key(), crate::common::holder_key(1), crate::common::holder_key(2)];
    let log = log.and(&LogEntry::Roster(signed_by(&one, &keys)));
    let refusal = refusal(&log, &query);
    says(&refusal, WireCode::NotPermitted, "unmasked");
    assert!(refusal.hint.contains("unmasked = true"), "{}", refusal.hint);
}

fn with_roster(change: impl FnOnce(&mut Roster)) -> Log {
    let mut next = Roster { epoch: 2, ..roster() };
    change(&mut next);
    let keys = [root_key(), crate::common::holder_key(1), crate::common::holder_key(2)];
    Log::ready().and(&LogEntry::Roster(signed_by(&next, &keys)))
}

#[test]
fn a_roster_in_force_must_list_holders_of_the_dataset() {
    assert!(admit_query(&with_roster(|_| {}), &query()).is_ok());
    let other = with_roster(|roster| roster.holders.iter_mut().for_each(|holder| holder.datasets = vec!["health".to_owned()]));
    says(&refusal(&other, &query()), WireCode::TooFewHolders, "no holder");
    let past = with_roster(|roster| roster.valid_until_unix = NOW_UNIX);
    says(&refusal(&past, &query()), WireCode::Unavailable, "no roster");
    let future = with_roster(|roster| roster.valid_from_unix = NOW_UNIX + 1);
    says(&refusal(&future, &query()), WireCode::Unavailable, "no roster");
}

#[test]
fn sums_that_this_many_holders_cannot_add_up_in_64_bits_are_refused() {
    // A budget beyond all reason, so that the noise is small beside one person's sum: Delta = 2^20, rho = 8e6, sigma = 262; e = 8,
    // gamma = 2^-2, d = 2^22 + 1. Then n 2^33 d < 2^63 for n = 255 and not for n = 256.
    let rho_cap = Rho::parse("8e6").unwrap();
    let mut wide = DataContract { name: "wide".to_owned(), budget_domain: "wide".to_owned(), rho_cap, ..contract() };
    wide.tables[0].columns[2].column_type = ColumnType::Number { lo: 0, hi: 1 << 19, scale: 0 };
    let mut allowed =
        Permit { contract_name: wide.name.clone(), contract: wide.hash(), rho_cap, query_classes: vec![QueryClass::Sum], ..permit() };
    allowed.tables[0].columns.push("distance_km".to_owned());
    let mut asked = asking(PriceRequest::Rho(Rho::from_units(rho_cap.units() - 1)), rho_cap);
    (asked.contract, asked.permit) = (wide.hash(), allowed.hash());
    asked.sql = "SELECT SUM(distance_km) FROM wide.commute WHERE ref_month = '2011-01'".to_owned();
    let with_holders = |count: u8| {
        let holders = (1..=count).map(|index| RosterHolder {
            index: u32::from(index),
            name: format!("holder-{index}"),
            key: PublicKey::from_bytes([index; 32]),
            datasets: vec!["wide".to_owned()],
            ..holder(1)
        });
        let mut holders: Vec<RosterHolder> = holders.collect();
        holders.push(RosterHolder { index: 1000, name: "last".to_owned(), datasets: vec!["wide".to_owned()], ..holder(3) });
        with_roster(|roster| roster.holders = holders)
            .and(&LogEntry::Contract(signed_by(&wide, &officers())))
            .and(&LogEntry::Permit(signed_by(&allowed, &officers())))
    };
    assert_eq!(admit_query(&with_holders(1), &asked).unwrap().noise(255, 1).unwrap()[0].d, (1 << 22) + 1);
    says(&admit_query(&with_holders(1), &asked).unwrap().noise(256, 1).unwrap_err(), WireCode::NotPrivate, "64 bits");
    // Of 16 honest shares each is a quarter as wide, on a lattice four times as fine: the largest cohort counts.
    assert!(admit_query(&with_holders(14), &asked).is_ok());
    says(&refusal(&with_holders(254), &asked), WireCode::NotPrivate, "64 bits");
}

#[test]
fn a_replay_is_the_same_plan_rho_and_roster_and_nothing_else() {
    let log = Log::ready();
    let key = |query: &Query| replay_key(&admit_query(&log, query).unwrap(), 1);
    let base = key(&query());
    let mut same = Query { nonce: [8; 16], max_price: Rho::from_units(1 << 38), snapshot: SnapshotRule::NotBefore(20_000), ..query() };
    same.settings.intervals = false;
    same.sql = query().sql.replace("SELECT", "select  ");
    assert_eq!(key(&same), base);
    assert_ne!(key(&with_sql(&query().sql.replace("2011-01", "2011-02"))), base);
    let rho = admit_query(&log, &query()).unwrap().rho;
    assert_eq!(key(&asking(PriceRequest::Rho(rho), query().max_price)), base);
    assert_ne!(key(&asking(PriceRequest::Rho(Rho::from_units(rho.units() - 1)), query().max_price)), base);
    assert_ne!(replay_key(&admit_query(&log, &query()).unwrap(), 2), base);
    // Another agency's permit for the same question finds the same release; `covers` then decides.
    let (log, other) = under(|permit| permit.reference = "APD-2027-2".to_owned());
    assert_eq!(replay_key(&admit_query(&log, &other).unwrap(), 1), base);
}
