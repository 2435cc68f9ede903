//! Incidents, what a person decides about them, and records that were lost.

use commun_privacy::ledger::{LedgerRecord, RecordKind};

use super::{Place, accept, line_of, record};
use crate::agent::{Agent, Decision};
use crate::error::StoreError;
use crate::incidents::{Incident, IncidentKind};

/// A lapse in the first partition of a record.
pub(super) fn lapse(reserve: &LedgerRecord) -> Incident {
    Incident {
        time_ms: 5,
        kind: IncidentKind::Lapse,
        domain: reserve.domain.clone(),
        period: reserve.charges[0].period,
        query: reserve.query_id,
        attempt: reserve.attempt,
    }
}

#[test]
fn an_incident_stands_with_the_end_of_its_attempt_until_a_person_decides() {
    let place = Place::new();
    let store = place.open::<Agent>();
    let first = record("a", None, 1, RecordKind::Reserve);
    accept(&store, &first).unwrap();
    store.attempt_end(&line_of(&first, Decision::Failed), &[lapse(&first)]).unwrap();
    // An attempt ends once, and what is refused leaves no incident.
    assert!(store.attempt_end(&line_of(&first, Decision::Failed), &[lapse(&first)]).is_err());
    let second = record("a", Some(&first), 2, RecordKind::Reserve);
    accept(&store, &second).unwrap();
    let left_out = Incident { kind: IncidentKind::LeftOut, ..lapse(&second) };
    let refund = record("a", Some(&second), 2, RecordKind::Refund);
    store.attempt_refund(&refund, &line_of(&refund, Decision::Refunded), std::slice::from_ref(&left_out)).unwrap();
    drop(store);
    let store = place.open::<Agent>();
    assert_eq!(store.incidents().unwrap(), [lapse(&first), left_out]);
    assert_eq!(store.last_decision().unwrap(), None);
    store.decide(7, "a slow disk", true).unwrap();
    assert_eq!(store.incidents().unwrap(), []);
    let decision = store.last_decision().unwrap().unwrap();
    assert_eq!((decision.time_ms, decision.reason.as_str(), decision.ledger_seq), (7, "a slow disk", 3));
    // What comes later is not settled by it. A decision without a stop permits nothing about the ledger.
    let third = record("a", Some(&refund), 3, RecordKind::Reserve);
    accept(&store, &third).unwrap();
    store.attempt_end(&line_of(&third, Decision::Failed), &[lapse(&third)]).unwrap();
    assert_eq!(store.incidents().unwrap(), [lapse(&third)]);
    store.decide(8, "a slow disk again", false).unwrap();
    assert_eq!((store.incidents().unwrap(), store.last_decision().unwrap().unwrap().ledger_seq), (vec![], 0));
}

#[test]
fn p8_lost_records_are_charged_all_or_none_and_their_attempts_are_known() {
    let store = Place::new().open::<Agent>();
    let reserve = record("a", None, 1, RecordKind::Reserve);
    accept(&store, &reserve).unwrap();
    let lost = |before: &LedgerRecord, number| {
        let reset = record("a", Some(before), number, RecordKind::Reset);
        let line = line_of(&reset, Decision::Charged);
        (reset, line)
    };
    let first = lost(&reserve, 2);
    let second = lost(&first.0, 3);
    // The second does not continue the ledger: neither is written.
    assert!(matches!(store.charge_lost(&[first.clone(), lost(&reserve, 3)]), Err(StoreError::NotNext { .. })));
    let (other, line) = (record("a", Some(&reserve), 2, RecordKind::Reserve), line_of(&first.0, Decision::Charged));
    assert!(matches!(store.charge_lost(&[(other, line)]), Err(StoreError::OtherRecord { .. })));
    let failed = line_of(&first.0, Decision::Failed);
    assert!(matches!(store.charge_lost(&[(first.0.clone(), failed)]), Err(StoreError::OtherLine { .. })));
    assert_eq!((store.ledger_load().unwrap().len(), store.journal_tail(9).unwrap().len()), (1, 1));
    store.charge_lost(&[first.clone(), second.clone()]).unwrap();
    assert_eq!(store.ledger_load().unwrap(), [reserve.clone(), first.0.clone(), second.0.clone()]);
    assert!(store.attempt_known(&first.0.query_id, 1).unwrap() && store.open_attempts().unwrap().len() == 1);
    // An attempt that is known keeps its state: another record of it was lost than the one that this store has.
    let known = lost(&second.0, 1);
    store.charge_lost(std::slice::from_ref(&known)).unwrap();
    assert_eq!(store.open_attempts().unwrap().len(), 1);
    assert!(matches!(store.charge_lost(&[lost(&known.0, 1)]), Err(StoreError::AlreadyRecorded { .. })));
}
