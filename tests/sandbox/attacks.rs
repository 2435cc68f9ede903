//! A coordinator that lies. It holds its own TLS key, the log key and one officer's key, and says one untrue thing at a time.
//!
//! The holder's source file does not exist: whatever reads it fails with INTERNAL, so any other end shows that nothing was read. Each
//! test also asks the true question, which must get as far as reading.

use commun_domain::attempt::Manifest;
use commun_domain::contract::DataContract;
use commun_domain::log::{AttemptEntry, LogEntry};
use commun_domain::permit::Permit;
use commun_domain::query::{PriceRequest, Query};
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Document as _, Hash32, Rho, WireCode};
use commun_store::agent::Decision;
use commun_trust::sign::{self, public_key};
use ed25519_dalek::SigningKey;

use crate::harness::client::rho;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes};
use crate::recording::{End, Recording};

/// What each question of this file asks for.
const RHO: &str = "0.005";

fn without_source() -> Federation {
    let federation = Federation::build(Setup::default());
    std::fs::remove_file(federation.path("telco-1/rows.csv")).unwrap();
    federation
}

fn with_permit(federation: &mut Federation) -> Recording {
    let mut coordinator = Recording::start(federation, 1);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    coordinator
}

fn document_signed_by(document: &impl commun_domain::Document, keys: &[&SigningKey]) -> SignedDocument {
    let mut signed = SignedDocument::unsigned(document);
    for key in keys {
        sign::sign(&mut signed, key).unwrap();
    }
    signed
}

/// One key's signature twice, which `sign` would not add.
fn twice(document: &impl commun_domain::Document, key: &SigningKey) -> SignedDocument {
    let mut signed = sign::signed(document, key);
    signed.signatures.push(signed.signatures[0].clone());
    signed
}

fn only_end(coordinator: &mut Recording, manifest: &Manifest) -> End {
    coordinator.run(manifest).pop_first().unwrap().1
}

/// The true question goes as far as reading, which is what nothing else may do.
fn honest_question_reads(federation: &Federation, coordinator: &mut Recording) {
    let question = federation.signed_question(RHO, &commutes(MONTH));
    let accepted = coordinator.accepted(&question);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &accepted)));
    let manifest = coordinator.manifest(&question, &accepted);
    let end = only_end(coordinator, &manifest);
    assert!(matches!(end, End::Failed(WireCode::Internal, _)), "{end:?}");
}

/// After the test: the journal holds one attempt that tried to read, and no answer.
#[track_caller]
fn assert_only_the_honest_one_read(federation: &mut Federation) {
    federation.stop();
    let journal = federation.journal(0);
    assert!(journal.iter().all(|line| line.decision != Decision::Answered), "{journal:?}");
    let read = journal.iter().filter(|line| line.code == Some(WireCode::Internal)).count();
    assert_eq!(read, 1, "{journal:?}");
}

#[test]
fn p5_a_question_whose_very_text_the_agency_has_not_signed_is_refused_unread() {
    let mut federation = without_source();
    let mut coordinator = with_permit(&mut federation);
    let (agency, log) = (federation.agency_key(), federation.key("coordinator/log.key"));
    let officer = federation.key("officers/apd-1/officer.key");
    let question = || federation.question(PriceRequest::Rho(rho(RHO)), &commutes(MONTH));

    let mut text_changed = sign::signed(&question(), &agency);
    let other = Query { sql: commutes("2011-02"), ..question() };
    text_changed.bytes = SignedDocument::unsigned(&other).bytes;
    let mut price_changed = sign::signed(&question(), &agency);
    let dearer = Query {
        settings: commun_domain::query::QuerySettings { price: PriceRequest::Rho(rho("0.3")), ..question().settings },
        ..question()
    };
    price_changed.bytes = SignedDocument::unsigned(&dearer).bytes;
    let forged = [
        ("another text", text_changed),
        ("another price", price_changed),
        ("nobody", SignedDocument::unsigned(&question())),
        ("the log key", sign::signed(&question(), &log)),
        ("an officer", sign::signed(&question(), &officer)),
        ("the coordinator beside the agency", document_signed_by(&question(), &[&agency, &log])),
        ("the agency twice", twice(&question(), &agency)),
    ];
    for (what, forged) in forged {
        let refuse = coordinator.refused(&forged);
        assert_eq!(refuse.code, WireCode::NotPermitted, "{what}: {}", refuse.message);
    }
    honest_question_reads(&federation, &mut coordinator);
    assert_only_the_honest_one_read(&mut federation);
}

#[test]
fn p5_a_permit_with_less_than_two_officers_signatures_opens_nothing() {
    let mut federation = without_source();
    let (log, officer) = (federation.key("coordinator/log.key"), federation.key("officers/apd-1/officer.key"));
    let (agency, second) = (federation.agency_key(), federation.key("officers/apd-2/officer.key"));
    let true_permit = Permit::from_bytes(&federation.signed("permit").bytes.0).unwrap();
    // The key that would ask is the coordinator's own: all it lacks is a permit that names it.
    let permit = |number: u32| Permit { reference: format!("FORGED-{number}"), query_keys: vec![public_key(&log)], ..true_permit.clone() };
    let mut changed = document_signed_by(&permit(5), &[&officer, &second]);
    let raised = Permit { rho_cap: rho("0.5"), ..permit(5) };
    changed.bytes = SignedDocument::unsigned(&raised).bytes;
    let forged = [
        ("one officer", document_signed_by(&permit(1), &[&officer])),
        ("one officer twice", twice(&permit(2), &officer)),
        ("one officer and the log key", document_signed_by(&permit(3), &[&officer, &log])),
        ("one officer and the agency", document_signed_by(&permit(4), &[&officer, &agency])),
        ("a byte changed after both had signed", changed),
    ];
    // The holder's own policy would let each of them pass.
    for (_, permit) in &forged {
        federation.accept(permit.document_hash());
    }
    let mut coordinator = with_permit(&mut federation);
    for (what, permit) in forged {
        let hash = permit.document_hash();
        coordinator.log(&LogEntry::Permit(permit));
        let question = Query { permit: hash, ..federation.question(PriceRequest::Rho(rho(RHO)), &commutes(MONTH)) };
        let refuse = coordinator.refused(&sign::signed(&question, &log));
        assert_eq!(refuse.code, WireCode::NotPermitted, "{what}");
        assert!(refuse.message.contains("is not in the log"), "{what}: {}", refuse.message);
    }
    honest_question_reads(&federation, &mut coordinator);
    assert_only_the_honest_one_read(&mut federation);
}

#[test]
fn p4_another_data_contract_than_the_officers_changes_no_bound_and_no_cap() {
    let mut federation = without_source();
    let officer = federation.key("officers/apd-1/officer.key");
    let mut coordinator = with_permit(&mut federation);
    let agency = federation.agency_key();
    let contract = DataContract { version: 2, rho_cap: rho("100"), ..federation.contract.clone() };
    for (what, forged) in [("one officer", sign::signed(&contract, &officer)), ("one officer twice", twice(&contract, &officer))] {
        coordinator.log(&LogEntry::Contract(forged));
        // Even with the agency on its side.
        let question = Query { contract: contract.hash(), ..federation.question(PriceRequest::Rho(rho(RHO)), &commutes(MONTH)) };
        let refuse = coordinator.refused(&sign::signed(&question, &agency));
        assert_eq!(refuse.code, WireCode::NotPermitted, "{what}: {}", refuse.message);
    }
    honest_question_reads(&federation, &mut coordinator);
    assert_only_the_honest_one_read(&mut federation);
}

/// One untrue thing in a manifest.
type Lie = (&'static str, fn(&mut Manifest));

#[test]
fn p4_every_number_of_a_manifest_that_differs_from_the_agents_own_ends_the_attempt_unread() {
    let other = || Hash32::from_bytes([7; 32]);
    let lies: [Lie; 18] = [
        ("plan", |m| m.plan = Hash32::from_bytes([7; 32])),
        ("fewer cells", |m| m.cells -= 1),
        ("less noise", |m| m.noise[0].s2 /= 2),
        ("a smaller sensitivity", |m| m.noise[0].d = 1),
        ("a coarser lattice", |m| m.noise[0].gamma_log2 += 1),
        ("no noise", |m| m.noise.clear()),
        ("a lower price", |m| m.price = Rho::from_units(m.price.units() - 1)),
        ("a higher price", |m| m.price = Rho::from_units(m.price.units() + 1)),
        ("another delta", |m| m.delta = Delta::from_units(1)),
        ("T", |m| m.threshold = 2),
        ("c", |m| m.colluders = 1),
        ("h", |m| m.honest = 2),
        ("roster", |m| m.roster = Hash32::from_bytes([7; 32])),
        ("another log", |m| m.checkpoint_root = Hash32::from_bytes([7; 32])),
        ("a log before the attempt", |m| m.checkpoint_size -= 1),
        ("an empty cohort", |m| m.cohort.clear()),
        ("a cohort that nobody signed", |m| m.cohort[0].signatures.clear()),
        ("a deadline of more than an hour", |m| m.deadline_ms += 3_600_000),
    ];
    let mut federation = without_source();
    let mut coordinator = with_permit(&mut federation);
    for (what, lie) in lies {
        let question = federation.signed_question(RHO, &commutes(MONTH));
        let accepted = coordinator.accepted(&question);
        coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &accepted)));
        let mut manifest = coordinator.manifest(&question, &accepted);
        lie(&mut manifest);
        let End::Failed(code, message) = only_end(&mut coordinator, &manifest) else { panic!("{what} was answered") };
        assert!(matches!(code, WireCode::NotPermitted | WireCode::TooFewHolders), "{what}: {code} {message}");
    }
    // Of a query that was never offered.
    let question = federation.signed_question(RHO, &commutes(MONTH));
    let accepted = coordinator.accepted(&question);
    let manifest = Manifest { query: other().into(), ..coordinator.manifest(&question, &accepted) };
    assert!(matches!(only_end(&mut coordinator, &manifest), End::Failed(WireCode::NotPermitted, _)));
    honest_question_reads(&federation, &mut coordinator);
    assert_only_the_honest_one_read(&mut federation);
}

/// One untrue thing in the log's entry of an attempt; `None`: there is no entry.
type LogLie = (&'static str, Option<fn(&mut AttemptEntry)>);

#[test]
fn p6_an_attempt_that_the_log_does_not_show_as_it_is_ends_unread() {
    let lies: [LogLie; 5] = [
        ("no entry", None),
        ("another price", Some(|e| e.price = Rho::from_units(e.price.units() - 1))),
        ("another plan", Some(|e| e.plan = Hash32::from_bytes([7; 32]))),
        ("no record of the holder", Some(|e| e.records.clear())),
        ("another roster", Some(|e| e.roster = Hash32::from_bytes([7; 32]))),
    ];
    let mut federation = without_source();
    let mut coordinator = with_permit(&mut federation);
    for (what, lie) in lies {
        let question = federation.signed_question(RHO, &commutes(MONTH));
        let accepted = coordinator.accepted(&question);
        if let Some(lie) = lie {
            let mut entry = coordinator.attempt_entry(&question, &accepted);
            lie(&mut entry);
            coordinator.log(&LogEntry::Attempt(entry));
        }
        let manifest = coordinator.manifest(&question, &accepted);
        let End::Failed(code, message) = only_end(&mut coordinator, &manifest) else { panic!("{what} was answered") };
        assert!(matches!(code, WireCode::NotPermitted | WireCode::TooFewHolders), "{what}: {code} {message}");
    }
    honest_question_reads(&federation, &mut coordinator);
    // A record that it did not write: another process answers under its name, or the log lies.
    let question = federation.signed_question(RHO, &commutes(MONTH));
    let accepted = coordinator.accepted(&question);
    let mut entry = coordinator.attempt_entry(&question, &accepted);
    entry.records[0].seq += 1;
    coordinator.log(&LogEntry::Attempt(entry));
    let manifest = coordinator.manifest(&question, &accepted);
    let end = only_end(&mut coordinator, &manifest);
    assert!(matches!(end, End::Failed(WireCode::Unavailable, _)), "{end:?}");
    assert!(federation.agent_command(0, "status", &[]).done().contains("STOPPED"));
    assert_only_the_honest_one_read(&mut federation);
}
