//! Trust bundles, rosters, data contracts and permits in the log.

use commun_domain::bundle::{Roster, TrustBundle};
use commun_domain::calendar::{Calendar, Period};
use commun_domain::contract::DataContract;
use commun_domain::encoding::sha256;
use commun_domain::log::LogEntry;
use commun_domain::permit::Permit;
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Document, Rho};
use commun_trust::sign::{SignError, public_key};
use commun_trust::{Pins, TrustError, TrustState};
use ed25519_dalek::SigningKey;

use crate::common::{
    Log, bundle, contract, holder, holder_key, log_key, officer_key, officers, permit, root_key, roster, roster_signers, signed_by,
    stranger_key,
};

/// Why an entry is refused; the state must be the same afterwards but for the count.
pub(crate) fn refused(log: &Log, entry: &LogEntry) -> TrustError {
    let mut after = log.state.clone();
    let why = after.apply(log.state.entries(), entry).expect_err("the entry must be refused");
    assert_eq!(after.entries(), log.state.entries() + 1);
    assert_eq!(everything(&after), everything(&log.state), "a refused entry changed something");
    why
}

fn everything(state: &TrustState) -> String {
    let text = format!("{state:?}");
    text.replace(&format!("entries: {}", state.entries()), "entries: _")
}

fn rule_of(why: &TrustError) -> String {
    match why {
        TrustError::Rules { faults, .. } => faults.join("; "),
        other => panic!("not a broken rule: {other}"),
    }
}

fn first(bundle: &TrustBundle, keys: &[SigningKey]) -> (Log, LogEntry) {
    let log = Log { state: TrustState::new(Pins { bundle: bundle.hash() }) };
    (log, LogEntry::Bundle(signed_by(bundle, keys)))
}

#[test]
fn trust_starts_from_the_pinned_bundle_signed_by_its_root() {
    let good = LogEntry::Bundle(signed_by(&bundle(), &[root_key()]));
    assert_eq!(Log::empty().and(&good).state.bundle_hash(), Some(bundle().hash()));
    let other = TrustBundle { trust_domain: "other.test".to_owned(), ..bundle() };
    let why = refused(&Log::empty(), &LogEntry::Bundle(signed_by(&other, &[root_key()])));
    assert_eq!(why, TrustError::Pin { pinned: bundle().hash(), found: other.hash() });
    let why = refused(&Log::empty(), &LogEntry::Bundle(signed_by(&bundle(), &officers())));
    assert_eq!(why, TrustError::NotByRoot("trust bundle"));
}

#[test]
fn nothing_is_believed_before_the_first_bundle() {
    for entry in [
        LogEntry::Roster(signed_by(&roster(), &roster_signers())),
        LogEntry::Contract(signed_by(&contract(), &officers())),
        LogEntry::Permit(signed_by(&permit(), &officers())),
    ] {
        assert_eq!(refused(&Log::empty(), &entry), TrustError::NoBundle);
    }
}

#[test]
fn a_bundle_obeys_its_own_rules() {
    type Change = fn(&mut TrustBundle);
    let changes: [(Change, &str); 8] = [
        (|b| b.threshold = 1, "threshold: must be at least 2"),
        (|b| b.threshold = 0, "threshold: must be at least 2"),
        (|b| b.threshold = 4, "4 officers must sign but there are 3"),
        (|b| b.officers[2].key = b.officers[0].key, "two offices share a key"),
        (|b| b.officers[2].office = "officer-1".to_owned(), "an office stands twice"),
        (|b| b.root = public_key(&officer_key(1)), "root: must not be an officer's key"),
        (|b| b.log_key = public_key(&officer_key(1)), "log_key: must not be"),
        (|b| b.witness_threshold = 2, "witness_threshold"),
    ];
    for (change, expected) in changes {
        let mut bundle = bundle();
        change(&mut bundle);
        let root = if bundle.root == public_key(&officer_key(1)) { officer_key(1) } else { root_key() };
        let (log, entry) = first(&bundle, &[root]);
        let why = rule_of(&refused(&log, &entry));
        assert!(why.contains(expected), "{why}");
    }
    let (log, entry) = first(&TrustBundle { version: 2, ..bundle() }, &[root_key()]);
    assert!(matches!(refused(&log, &entry), TrustError::Number { .. }));
    let (log, entry) = first(&TrustBundle { previous: Some(sha256(b"x")), ..bundle() }, &[root_key()]);
    assert!(matches!(refused(&log, &entry), TrustError::Contradiction(_)));
}

#[test]
fn the_next_bundle_is_signed_by_root_and_k_officers_of_the_one_before() {
    let log = Log::with_roster();
    let mut next = TrustBundle { version: 2, previous: Some(bundle().hash()), root: public_key(&stranger_key()), ..bundle() };
    next.officers[0].key = public_key(&log_key());
    next.log_key = public_key(&holder_key(9));
    let entry = |bundle: &TrustBundle, keys: &[SigningKey]| LogEntry::Bundle(signed_by(bundle, keys));
    let good = [root_key(), officer_key(1), officer_key(2)];
    assert_eq!(Log::with_roster().and(&entry(&next, &good)).state.bundle().unwrap().version, 2);
    assert_eq!(refused(&log, &entry(&next, &officers())), TrustError::NotByRoot("trust bundle"));
    // The new root and a new officer have no say in their own appointment.
    assert_eq!(refused(&log, &entry(&next, &[stranger_key(), officer_key(1), officer_key(2)])), TrustError::NotByRoot("trust bundle"));
    let one = TrustError::Officers { what: "trust bundle", needed: 2, found: 1 };
    assert_eq!(refused(&log, &entry(&next, &[root_key(), officer_key(1), log_key()])), one);
    let skipped = TrustBundle { version: 3, ..next.clone() };
    assert!(matches!(refused(&log, &entry(&skipped, &good)), TrustError::Number { .. }));
    let forked = TrustBundle { previous: Some(sha256(b"another")), ..next.clone() };
    assert_eq!(refused(&log, &entry(&forked, &good)), TrustError::Previous(1));
    let weak = TrustBundle { threshold: 1, ..next.clone() };
    assert!(rule_of(&refused(&log, &entry(&weak, &good))).contains("threshold"));
    // From then on the new officers decide.
    let log = Log::with_roster().and(&entry(&next, &good));
    let contract_by = |keys: &[SigningKey]| LogEntry::Contract(signed_by(&contract(), keys));
    assert!(matches!(refused(&log, &contract_by(&officers())), TrustError::Officers { found: 1, .. }));
    let _ = log.and(&contract_by(&[log_key(), officer_key(2)]));
}

#[test]
fn the_first_roster_is_signed_by_root_and_all_its_holders() {
    let log = Log::empty().and(&LogEntry::Bundle(signed_by(&bundle(), &[root_key()])));
    let without = |left_out: usize| {
        let mut keys = roster_signers();
        keys.remove(left_out);
        refused(&log, &LogEntry::Roster(signed_by(&roster(), &keys)))
    };
    assert_eq!(Log::with_roster().state.roster_hash(), Some(roster().hash()));
    assert_eq!(without(0), TrustError::NotByRoot("roster"));
    assert_eq!(without(3), TrustError::Holders { needed: 3, found: 2 });
    let wrong_epoch = Roster { epoch: 2, ..roster() };
    assert!(matches!(refused(&log, &LogEntry::Roster(signed_by(&wrong_epoch, &roster_signers()))), TrustError::Number { .. }));
}

#[test]
fn the_next_roster_needs_root_and_more_holders_than_may_collude() {
    let log = Log::with_roster();
    let mut next = Roster { epoch: 2, ..roster() };
    next.holders.push(holder(4));
    let entry = |roster: &Roster, keys: &[SigningKey]| LogEntry::Roster(signed_by(roster, keys));
    assert_eq!(Log::with_roster().and(&entry(&next, &[root_key(), holder_key(1), holder_key(3)])).state.roster().unwrap().epoch, 2);
    assert_eq!(refused(&log, &entry(&next, &[holder_key(1), holder_key(2)])), TrustError::NotByRoot("roster"));
    let few = TrustError::Holders { needed: 2, found: 1 };
    // The newcomer has no vote: a root could else bring in as many as it needs.
    assert_eq!(refused(&log, &entry(&next, &[root_key(), holder_key(1), holder_key(4)])), few);
    let mut twice = signed_by(&next, &[root_key(), holder_key(1)]);
    twice.signatures.push(twice.signatures[1].clone());
    assert_eq!(refused(&log, &LogEntry::Roster(twice)), few);
    let again = Roster { epoch: 1, ..next };
    assert!(matches!(refused(&log, &entry(&again, &roster_signers())), TrustError::Number { .. }));
}

#[test]
fn a_roster_obeys_its_own_rules() {
    type Change = fn(&mut Roster);
    let changes: [(Change, &str); 9] = [
        (|r| r.holders[0].index = 0, "index: must be at least 1"),
        (|r| r.holders[1].index = 1, "sorted by index"),
        (|r| r.holders.swap(0, 1), "sorted by index"),
        (|r| r.holders[1].name = "holder-1".to_owned(), "two holders share a name"),
        (|r| r.holders[1].key = r.holders[0].key, "two holders share a key"),
        (|r| r.holders[1].name = "Holder/1".to_owned(), "must be 1 to 63"),
        (|r| r.holders[1].name.clear(), "must be 1 to 63"),
        (|r| r.holders[1].min_colluders = 3, "min_colluders"),
        (|r| r.valid_until_unix = r.valid_from_unix, "valid_until"),
    ];
    let log = Log::with_roster();
    for (change, expected) in changes {
        let mut roster = Roster { epoch: 2, ..roster() };
        change(&mut roster);
        let why = rule_of(&refused(&log, &LogEntry::Roster(signed_by(&roster, &roster_signers()))));
        assert!(why.contains(expected), "{why}");
    }
    let nobody = Roster { epoch: 2, holders: Vec::new(), ..roster() };
    assert!(rule_of(&refused(&log, &LogEntry::Roster(signed_by(&nobody, &roster_signers())))).contains("at least one"));
}

/// Two different officers are needed: for each document one signature, two of one officer, and one beside a stranger's are refused.
fn needs_two_officers(log: &Log, document: &impl Document, entry: fn(SignedDocument) -> LogEntry) {
    let found = |signed: SignedDocument| match refused(log, &entry(signed)) {
        TrustError::Officers { needed: 2, found, .. } => found,
        other => panic!("{other}"),
    };
    assert_eq!(found(SignedDocument::unsigned(document)), 0);
    let one = signed_by(document, &[officer_key(3)]);
    let mut twice = one.clone();
    twice.signatures.push(one.signatures[0].clone());
    assert_eq!(found(one), 1);
    assert_eq!(found(twice), 1);
    assert_eq!(found(signed_by(document, &[officer_key(3), stranger_key()])), 1);
    assert_eq!(found(signed_by(document, &[officer_key(3), root_key(), log_key()])), 1);
}

#[test]
fn p5_a_contract_or_permit_needs_two_different_officers() {
    needs_two_officers(&Log::with_roster(), &contract(), LogEntry::Contract);
    needs_two_officers(&Log::with_contract(), &permit(), LogEntry::Permit);
    let log = Log::ready();
    assert!(log.state.permit(&permit().hash()).is_some());
    assert_eq!(log.state.contract(&contract().hash()), Some(&contract()));
}

#[test]
fn p5_a_changed_byte_undoes_a_permit() {
    let log = Log::with_contract();
    let good = signed_by(&permit(), &officers());
    for place in (0..good.bytes.0.len()).step_by(7) {
        let mut changed = good.clone();
        changed.bytes.0[place] ^= 1;
        let why = refused(&log, &LogEntry::Permit(changed));
        assert!(matches!(why, TrustError::Signature(SignError::Invalid(_)) | TrustError::Decode { .. }), "byte {place}: {why}");
    }
    let mut changed = good;
    changed.signatures[1].signature[3] ^= 1;
    assert!(matches!(refused(&log, &LogEntry::Permit(changed)), TrustError::Signature(SignError::Invalid(_))));
}

#[test]
fn a_contract_is_clean_and_its_versions_rise() {
    let log = Log::with_contract();
    let next = |change: fn(&mut DataContract)| {
        let mut contract = DataContract { version: 2, ..contract() };
        change(&mut contract);
        LogEntry::Contract(signed_by(&contract, &officers()))
    };
    let again = Log::with_contract().and(&next(|c| c.version = 5));
    assert_eq!(again.state.latest_contract("mobility").unwrap().version, 5);
    assert!(again.state.contract(&contract().hash()).is_some(), "an old version stays usable by its permits");
    assert!(matches!(refused(&again, &next(|_| {})), TrustError::Number { .. }));
    assert!(matches!(refused(&log, &next(|c| c.version = 1)), TrustError::Number { .. }));
    assert!(rule_of(&refused(&log, &next(|c| c.max_groups_per_person = 0))).contains("max_groups_per_person"));
}

#[test]
fn a_budget_domain_keeps_its_calendar_and_a_contract_its_domain() {
    let log = Log::with_contract();
    let yearly = |contract: &mut DataContract| {
        contract.calendar = Calendar::Year;
        (contract.first_period, contract.last_period) = (Period(2011), Period(2012));
        for list in &mut contract.code_lists {
            (list.valid_from, list.valid_to) = (Period(2011), Period(2012));
        }
    };
    let mut other = DataContract { name: "mobility_yearly".to_owned(), ..contract() };
    yearly(&mut other);
    let why = rule_of(&refused(&log, &LogEntry::Contract(signed_by(&other, &officers()))));
    assert!(why.contains("partition.calendar"), "{why}");
    // The same contract over other source tables is no matter of this domain.
    other.budget_domain = "mobility_yearly".to_owned();
    let _ = Log::with_contract().and(&LogEntry::Contract(signed_by(&other, &officers())));
    let moved = DataContract { version: 2, budget_domain: "fresh".to_owned(), ..contract() };
    let why = rule_of(&refused(&log, &LogEntry::Contract(signed_by(&moved, &officers()))));
    assert!(why.contains("budget.domain"), "{why}");
}

#[test]
fn p8_a_budget_domain_never_gets_a_higher_cap_or_other_columns() {
    let log = Log::with_contract();
    let next = |change: fn(&mut DataContract)| {
        let mut contract = DataContract { version: 2, ..contract() };
        change(&mut contract);
        LogEntry::Contract(signed_by(&contract, &officers()))
    };
    let _ = Log::with_contract().and(&next(|c| c.rho_cap = Rho::from_units(c.rho_cap.units() - 1)));
    for raised in [next(|c| c.rho_cap = Rho::from_units(c.rho_cap.units() + 1)), next(|c| c.delta_keys = Delta::from_units(1))] {
        assert!(rule_of(&refused(&log, &raised)).contains("never rise"));
    }
    // Nor by another name over the same domain, nor by a version between that was lower.
    let other = next(|c| {
        c.name = "mobility_again".to_owned();
        c.rho_cap = Rho::from_units(c.rho_cap.units() + 1);
    });
    assert!(rule_of(&refused(&log, &other)).contains("never rise"));
    let lowered = Log::with_contract().and(&next(|c| c.rho_cap = Rho::from_units(c.rho_cap.units() - 1)));
    assert!(rule_of(&refused(&lowered, &next(|c| c.version = 3))).contains("never rise"));
    for moved in [next(|c| c.unit_column = "device_id".to_owned()), next(|c| c.partition_column = "bill_month".to_owned())] {
        assert!(rule_of(&refused(&log, &moved)).contains("must stay those"));
    }
}

#[test]
fn a_permit_is_clean_for_a_known_contract_and_logged_once() {
    type Change = fn(&mut Permit);
    let entry = |permit: &Permit| LogEntry::Permit(signed_by(permit, &officers()));
    assert_eq!(refused(&Log::with_roster(), &entry(&permit())), TrustError::Unknown("permit's data contract"));
    assert_eq!(refused(&Log::ready(), &entry(&permit())), TrustError::Known("permit"));
    let changes: [(Change, &str); 6] = [
        (|p| p.rho_cap = contract().rho_cap.checked_mul(2).unwrap(), "budget.rho_cap"),
        (|p| p.tables[0].columns.push("name".to_owned()), "no column name"),
        (|p| p.query_keys.clear(), "query_keys"),
        (|p| p.query_keys.push(p.query_keys[0]), "a key stands twice"),
        (|p| p.contract_name = "health".to_owned(), "contract_name"),
        (|p| p.purpose = " ".to_owned(), "purpose"),
    ];
    for (change, expected) in changes {
        let mut permit = permit();
        change(&mut permit);
        let why = rule_of(&refused(&Log::with_contract(), &entry(&permit)));
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn a_document_of_another_kind_is_not_taken_for_it() {
    let log = Log::with_contract();
    let why = refused(&log, &LogEntry::Permit(signed_by(&contract(), &officers())));
    assert!(matches!(why, TrustError::Decode { what: "permit", .. }));
}

#[test]
fn entries_are_taken_once_and_in_order_and_a_refused_one_is_counted() {
    let mut log = Log::with_contract();
    let good = LogEntry::Permit(signed_by(&permit(), &officers()));
    let before = log.state.clone();
    for number in [2, 4] {
        assert_eq!(log.state.apply(number, &good), Err(TrustError::Order { expected: 3, found: number }));
    }
    assert_eq!(log.state, before);
    assert!(log.state.apply(3, &LogEntry::Permit(signed_by(&permit(), &[officer_key(1)]))).is_err());
    assert_eq!(log.state.apply(4, &good), Ok(()));
    assert_eq!(log.state.permits().count(), 1);
}

#[test]
fn a_skipped_entry_is_counted_and_changes_no_trust() {
    let mut log = Log::with_contract();
    let before = log.state.clone();
    for number in [2, 4] {
        assert_eq!(log.state.skip(number), Err(TrustError::Order { expected: 3, found: number }));
    }
    assert_eq!(log.state, before);
    assert_eq!(log.state.skip(3), Ok(()));
    assert_eq!((log.state.entries(), log.state.skipped()), (4, 1));
    assert_eq!(everything(&log.state).replace("skipped: 1", "skipped: 0"), everything(&before));
    // What comes after it is folded in its own place.
    assert_eq!(log.state.apply(4, &LogEntry::Permit(signed_by(&permit(), &officers()))), Ok(()));
}

#[test]
fn entries_that_were_not_given_are_skipped_up_to_the_next_one_and_never_backwards() {
    let mut log = Log::with_contract();
    assert_eq!(log.state.skip_to(3), Ok(()));
    assert_eq!(log.state.skip_to(7), Ok(()));
    assert_eq!((log.state.entries(), log.state.skipped()), (7, 4));
    assert_eq!(log.state.skip_to(6), Err(TrustError::Order { expected: 7, found: 6 }));
    assert_eq!(log.state.apply(7, &LogEntry::Permit(signed_by(&permit(), &officers()))), Ok(()));
    // However far the other side says that the next one is.
    assert_eq!(log.state.skip_to(u64::MAX), Ok(()));
    assert_eq!(log.state.skip(u64::MAX), Ok(()));
    assert_eq!(log.state.permits().count(), 1);
}

/// Makes a log entry of a signed document.
type EntryOf = fn(SignedDocument) -> LogEntry;

/// The signatures of one document put over another.
fn copied(from: &SignedDocument, onto: &impl Document) -> SignedDocument {
    SignedDocument { signatures: from.signatures.clone(), ..SignedDocument::unsigned(onto) }
}

#[test]
fn p5_one_officers_signature_is_no_second_one_under_another_officers_key_id() {
    let second = public_key(&officer_key(2)).id();
    let contract = (Log::with_roster(), signed_by(&contract(), &[officer_key(1)]), LogEntry::Contract as EntryOf);
    let permit = (Log::with_contract(), signed_by(&permit(), &[officer_key(1)]), LogEntry::Permit as EntryOf);
    for (log, one, entry) in [contract, permit] {
        let mut renamed = one.clone();
        renamed.signatures.push(one.signatures[0].clone());
        renamed.signatures[1].key = second;
        assert_eq!(refused(&log, &entry(renamed)), TrustError::Signature(SignError::Invalid(second)));
        // Nor under the id of a key that is no officer's, nor three times.
        let mut strange = one.clone();
        strange.signatures.extend([one.signatures[0].clone(), one.signatures[0].clone(), one.signatures[0].clone()]);
        strange.signatures[3].key = public_key(&stranger_key()).id();
        assert!(matches!(refused(&log, &entry(strange)), TrustError::Officers { needed: 2, found: 1, .. }));
    }
}

#[test]
fn p5_signatures_over_a_data_contract_sign_no_permit_and_the_other_way_round() {
    let by_contract = signed_by(&contract(), &officers());
    let by_permit = signed_by(&permit(), &officers());
    let first = public_key(&officer_key(1)).id();
    let invalid = TrustError::Signature(SignError::Invalid(first));
    assert_eq!(refused(&Log::with_contract(), &LogEntry::Permit(copied(&by_contract, &permit()))), invalid);
    assert_eq!(refused(&Log::with_roster(), &LogEntry::Contract(copied(&by_permit, &contract()))), invalid);
    // Also where nothing but the tag differs: the same fields, signed as a document of another kind.
    let fields = permit().to_bytes().split_off(tag_len::<Permit>());
    let mut other = SignedDocument::unsigned(&contract());
    other.bytes.0.truncate(tag_len::<DataContract>());
    other.bytes.0.extend_from_slice(&fields);
    for key in officers() {
        commun_trust::sign(&mut other, &key).unwrap();
    }
    assert_eq!(refused(&Log::with_contract(), &LogEntry::Permit(copied(&other, &permit()))), invalid);
}

/// Length of the tag at the start of a document's bytes.
fn tag_len<D: Document>() -> usize {
    4 + D::TAG.len()
}
