//! The fold against a naive model that keeps the records and adds up from scratch, and each rule by name.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::{CapKind, Caps, Charge, Ledger, LedgerError, LedgerRecord, Loss, RecordKind};
use commun_domain::calendar::Period;
use commun_domain::{Delta, Document, Hash32, QueryId, Rho};
use proptest::prelude::*;

const MAY: Period = Period(24_136);
const JUNE: Period = Period(24_137);

fn permit(number: u8) -> Hash32 {
    Hash32::from_bytes([number; 32])
}

fn charge(period: Period, rho: u64) -> Charge {
    Charge { period, rho: Rho::from_units(rho), delta: Delta::from_units(rho / 2) }
}

/// The next record of holder "a" for query `query`, attempt 1, permit 1, in May.
fn record(ledger: &Ledger, kind: RecordKind, query: u8, rho: u64) -> LedgerRecord {
    let (seq, previous) = ledger.next("a");
    LedgerRecord {
        holder: "a".into(),
        domain: "mobility".into(),
        seq,
        previous,
        query_id: QueryId::from_bytes([query; 32]),
        attempt: 1,
        kind,
        permit: permit(1),
        charges: vec![charge(MAY, rho)],
    }
}

fn loss(rho: u64) -> Loss {
    Loss { rho: Rho::from_units(rho), delta: Delta::from_units(rho / 2) }
}

fn caps(contract: u64, permit: u64) -> Caps {
    Caps { contract: loss(contract), permit: loss(permit) }
}

fn reserved(rho: u64) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.apply(&record(&ledger, RecordKind::Reserve, 1, rho)).unwrap();
    ledger
}

#[test]
fn p8_a_reserve_counts_against_both_caps_from_its_writing() {
    let ledger = reserved(60);
    assert_eq!(ledger.spent("a", "mobility", MAY, None), loss(60));
    assert_eq!(ledger.check("a", "mobility", MAY, permit(1), loss(40), caps(100, 100)), Ok(()));
    let over = ledger.check("a", "mobility", MAY, permit(1), loss(42), caps(100, 1000)).unwrap_err();
    assert_eq!((over.cap, over.spent, over.limit), (CapKind::Contract, loss(60), loss(100)));
    let over = ledger.check("a", "mobility", MAY, permit(1), loss(42), caps(1000, 100)).unwrap_err();
    assert_eq!(over.cap, CapKind::Permit);
    // Another permit has its own sub-account but shares the contract's cap; another partition, domain or holder shares nothing.
    assert_eq!(ledger.check("a", "mobility", MAY, permit(2), loss(100), caps(160, 100)), Ok(()));
    assert!(ledger.check("a", "mobility", MAY, permit(2), loss(100), caps(159, 100)).is_err());
    for (holder, domain, period) in [("b", "mobility", MAY), ("a", "energy", MAY), ("a", "mobility", JUNE)] {
        assert_eq!(ledger.check(holder, domain, period, permit(1), loss(100), caps(100, 100)), Ok(()));
    }
}

#[test]
fn p8_delta_alone_or_an_overflow_is_over_budget() {
    let ledger = reserved(60);
    let price = Loss { rho: Rho::ZERO, delta: Delta::from_units(21) };
    assert!(ledger.check("a", "mobility", MAY, permit(1), price, caps(100, 100)).is_err());
    let price = Loss { rho: Rho::from_units(u64::MAX), delta: Delta::ZERO };
    assert!(ledger.check("a", "mobility", MAY, permit(1), price, caps(u64::MAX, u64::MAX)).is_err());
}

#[test]
fn p8_one_attempt_is_reserved_once_even_after_its_refund() {
    let mut ledger = reserved(60);
    let twice = |ledger: &Ledger| LedgerError::Twice { query: record(ledger, RecordKind::Reserve, 1, 1).query_id, attempt: 1 };
    assert_eq!(ledger.clone().apply(&record(&ledger, RecordKind::Reserve, 1, 60)), Err(twice(&ledger)));
    ledger.apply(&record(&ledger, RecordKind::Refund, 1, 60)).unwrap();
    assert_eq!(ledger.spent("a", "mobility", MAY, None), Loss::default());
    assert_eq!(ledger.clone().apply(&record(&ledger, RecordKind::Reserve, 1, 60)), Err(twice(&ledger)));
    let mut second = record(&ledger, RecordKind::Reserve, 1, 60);
    second.attempt = 2;
    assert_eq!(ledger.apply(&second), Ok(()));
}

#[test]
fn p8_a_refund_gives_back_exactly_its_own_reserve_and_once() {
    let ledger = reserved(60);
    let refused = |change: &dyn Fn(&mut LedgerRecord)| {
        let mut refund = record(&ledger, RecordKind::Refund, 1, 60);
        change(&mut refund);
        let mut after = ledger.clone();
        let error = after.apply(&refund).unwrap_err();
        assert_eq!(after, ledger, "a refused record changed the ledger");
        error
    };
    let differs = |error| matches!(error, LedgerError::RefundDiffers { .. });
    assert!(differs(refused(&|refund| refund.charges = vec![charge(MAY, 61)])));
    assert!(differs(refused(&|refund| refund.charges = vec![charge(JUNE, 60)])));
    assert!(differs(refused(&|refund| refund.permit = permit(2))));
    assert!(differs(refused(&|refund| refund.domain = "energy".into())));
    let nothing = |error| matches!(error, LedgerError::NothingToRefund { .. });
    assert!(nothing(refused(&|refund| refund.attempt = 2)));
    assert!(nothing(refused(&|refund| refund.query_id = QueryId::from_bytes([9; 32]))));
    let mut after = ledger.clone();
    after.apply(&record(&after, RecordKind::Refund, 1, 60)).unwrap();
    assert!(nothing(after.clone().apply(&record(&after, RecordKind::Refund, 1, 60)).unwrap_err()));
}

#[test]
fn p8_a_reset_charges_the_lost_branch_and_makes_open_reserves_final() {
    let mut ledger = reserved(60);
    ledger.apply(&record(&ledger, RecordKind::Reset, 7, 30)).unwrap();
    assert_eq!(ledger.spent("a", "mobility", MAY, Some(permit(1))), loss(90));
    let refund = ledger.clone().apply(&record(&ledger, RecordKind::Refund, 1, 60));
    assert!(matches!(refund, Err(LedgerError::NothingToRefund { .. })));
    let again = ledger.clone().apply(&record(&ledger, RecordKind::Reset, 7, 30));
    assert!(matches!(again, Err(LedgerError::Twice { .. })));
}

#[test]
fn p8_a_missing_repeated_or_changed_record_breaks_the_chain() {
    let first = record(&Ledger::default(), RecordKind::Reserve, 1, 60);
    let ledger = reserved(60);
    assert!(matches!(ledger.clone().apply(&first), Err(LedgerError::Seq { expected: 2, found: 1, .. })));
    let second = record(&ledger, RecordKind::Reserve, 2, 1);
    assert!(matches!(Ledger::default().apply(&second), Err(LedgerError::Seq { expected: 1, found: 2, .. })));
    let mut changed = Ledger::default();
    changed.apply(&LedgerRecord { charges: vec![charge(MAY, 59)], ..first }).unwrap();
    assert!(matches!(changed.apply(&second), Err(LedgerError::Previous { seq: 2, .. })));
}

#[test]
fn charges_are_sorted_distinct_and_not_empty() {
    let ledger = Ledger::default();
    for charges in [vec![], vec![charge(JUNE, 1), charge(MAY, 1)], vec![charge(MAY, 1), charge(MAY, 1)]] {
        let bad = LedgerRecord { charges, ..record(&ledger, RecordKind::Reserve, 1, 1) };
        assert_eq!(ledger.clone().apply(&bad), Err(LedgerError::Charges));
    }
    let mut full = reserved(u64::MAX);
    let both = LedgerRecord { charges: vec![charge(Period(MAY.0 - 1), 5), charge(MAY, 1)], ..record(&full, RecordKind::Reserve, 2, 1) };
    let before = full.clone();
    assert_eq!(full.apply(&both), Err(LedgerError::Overflow));
    assert_eq!(full, before);
}

#[test]
fn a_record_is_read_back_from_its_bytes_and_every_field_is_in_its_hash() {
    let one = record(&reserved(60), RecordKind::Reserve, 2, 5);
    assert_eq!(LedgerRecord::from_bytes(&one.to_bytes()), Ok(one.clone()));
    let changed = [
        LedgerRecord { holder: "b".into(), ..one.clone() },
        LedgerRecord { domain: "energy".into(), ..one.clone() },
        LedgerRecord { seq: 3, ..one.clone() },
        LedgerRecord { previous: permit(8), ..one.clone() },
        LedgerRecord { query_id: QueryId::from_bytes([3; 32]), ..one.clone() },
        LedgerRecord { attempt: 2, ..one.clone() },
        LedgerRecord { kind: RecordKind::Refund, ..one.clone() },
        LedgerRecord { permit: permit(2), ..one.clone() },
        LedgerRecord { charges: vec![charge(MAY, 6)], ..one.clone() },
    ];
    for other in changed {
        assert_ne!(other.hash(), one.hash(), "{other:?}");
    }
}

/// The rules once more, by scanning all records: slow, and with nothing to keep in step.
#[derive(Default)]
struct Naive(Vec<LedgerRecord>);

impl Naive {
    fn allows(&self, new: &LedgerRecord) -> bool {
        let own: Vec<&LedgerRecord> = self.0.iter().filter(|old| old.holder == new.holder).collect();
        let follows = match own.last() {
            Some(last) => new.seq == last.seq + 1 && new.previous == last.hash(),
            None => new.seq == 1 && new.previous == Hash32::default(),
        };
        let same = |old: &&&LedgerRecord| old.query_id == new.query_id && old.attempt == new.attempt;
        let count = |kind| own.iter().filter(same).filter(|old| old.kind == kind).count();
        follows
            && match new.kind {
                RecordKind::Refund => {
                    let reserve = own.iter().rposition(|old| same(&old) && old.kind == RecordKind::Reserve);
                    count(RecordKind::Refund) == 0
                        && reserve.is_some_and(|at| {
                            let old = own[at];
                            (&old.domain, old.permit, &old.charges) == (&new.domain, new.permit, &new.charges)
                                && own[at..].iter().all(|later| later.kind != RecordKind::Reset)
                        })
                }
                kind => count(kind) == 0,
            }
    }

    fn spent_rho(&self, holder: &str, domain: &str, period: Period, permit: Option<Hash32>) -> i128 {
        self.0
            .iter()
            .filter(|old| old.holder == holder && old.domain == domain && permit.is_none_or(|p| p == old.permit))
            .flat_map(|old| old.charges.iter().map(move |charge| (old.kind, charge)))
            .filter(|(_, charge)| charge.period == period)
            .map(|(kind, charge)| {
                let rho = i128::from(charge.rho.units());
                if kind == RecordKind::Refund { -rho } else { rho }
            })
            .sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn p8_the_fold_agrees_with_a_naive_model(
        steps in prop::collection::vec(
            (0u8..2, 0u8..2, 0u8..3, 1u8..3, 0u8..7, 1u8..3, 1u64..4, 0u8..20), 1..60),
    ) {
        let mut ledger = Ledger::default();
        let mut model = Naive::default();
        let name = |number: u8| if number == 0 { "a" } else { "b" };
        for (holder, domain, query, attempt, kind, of_permit, rho, damage) in steps {
            let kind = match kind { 0..3 => RecordKind::Reserve, 3..6 => RecordKind::Refund, _ => RecordKind::Reset };
            let (seq, previous) = ledger.next(name(holder));
            let new = LedgerRecord {
                holder: name(holder).into(),
                domain: name(domain).into(),
                seq: if damage == 0 { seq + 1 } else { seq },
                previous: if damage == 1 { permit(99) } else { previous },
                query_id: QueryId::from_bytes([query; 32]),
                attempt,
                kind,
                permit: permit(of_permit),
                charges: vec![charge(MAY, rho), charge(JUNE, rho + 1)],
            };
            // Refunds with the RESERVE's own terms, or most would be refused.
            let new = match model.0.iter().find(|old| kind == RecordKind::Refund && damage > 4 && old.kind == RecordKind::Reserve
                && old.holder == new.holder && old.query_id == new.query_id && old.attempt == attempt) {
                Some(old) => LedgerRecord { domain: old.domain.clone(), permit: old.permit, charges: old.charges.clone(), ..new },
                None => new,
            };
            let before = ledger.clone();
            let allowed = model.allows(&new);
            prop_assert_eq!(ledger.apply(&new).is_ok(), allowed, "{:?}", new);
            if allowed { model.0.push(new) } else { prop_assert_eq!(&before, &ledger) }
            for (h, d) in [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")] {
                for period in [MAY, JUNE] {
                    for of in [None, Some(permit(1)), Some(permit(2))] {
                        let spent = ledger.spent(h, d, period, of);
                        prop_assert_eq!(i128::from(spent.rho.units()), model.spent_rho(h, d, period, of));
                    }
                }
            }
        }
    }
}
