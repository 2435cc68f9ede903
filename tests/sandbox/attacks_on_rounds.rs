//! A coordinator that lies about a cohort, a slot or survivors, through the real link: two of three holders are its own, and the third is the shipped agent.

use commun_domain::attempt::{Accept, Manifest};
use commun_domain::log::LogEntry;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document as _, WireCode};
use commun_proto::v1::ManifestMessage;
use commun_proto::v1::coordinator_message::Message as ToAgent;
use commun_secagg::wire::{Proof, SurvivorSet};
use commun_store::agent::Decision;
use ed25519_dalek::SigningKey;

use crate::aggregation::puppets;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, SLOT_MS, Setup, commutes};
use crate::recording::{Recording, Said};

const RHO: &str = "0.005";

/// The holder whose agent is real, and the keys of the two others.
fn two_of_three(without_source: bool) -> (Federation, Recording, Vec<SigningKey>) {
    let mut federation = Federation::build(Setup { holders: 3, ..Setup::default() });
    if without_source {
        std::fs::remove_file(federation.path("telco-1/rows.csv")).unwrap();
    }
    let mut coordinator = Recording::start(&mut federation, 1);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    let keys = puppets(&federation, &[1, 2]);
    (federation, coordinator, keys)
}

type Accepted = Vec<(SignedDocument, Accept)>;

/// Everyone's acceptance; the played ones fear so many others.
fn accepted(federation: &Federation, coordinator: &mut Recording, keys: &[SigningKey], feared: u32) -> (SignedDocument, Accepted) {
    let question = federation.signed_question(RHO, &commutes(MONTH));
    let mut accepted = coordinator.accepted(&question);
    accepted.extend(keys.iter().map(|key| coordinator.forged(&question, key, feared)));
    (question, accepted)
}

#[track_caller]
fn refused(coordinator: &mut Recording, manifest: &Manifest, code: WireCode, part: &str) {
    coordinator.say(&ToAgent::Manifest(ManifestMessage { manifest: manifest.to_bytes() }));
    let (_, said) = coordinator.said();
    assert!(matches!(&said, Said::Failed(found, message) if *found == code && message.contains(part)), "{part}: {said:?}");
}

/// The holder's source does not exist: whatever reads it ends with INTERNAL.
#[test]
fn p3_p4_a_cohort_below_its_rules_or_a_slot_too_near_ends_the_attempt_unread() {
    let (federation, mut coordinator, keys) = two_of_three(true);
    // T = 2 of 3 with c = 1: two different sets of survivors could be signed. Even with the noise of h = 1.
    let (question, all) = accepted(&federation, &mut coordinator, &keys, 1);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &all)));
    let mut low = coordinator.manifest(&question, &all);
    (low.threshold, low.honest) = (2, 1);
    low.noise = coordinator.admit(&question).noise(3, 1).unwrap();
    refused(&mut coordinator, &low, WireCode::NotPermitted, "2T > n + c");
    // c below what an acceptor asks for.
    let (question, all) = accepted(&federation, &mut coordinator, &keys, 2);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &all)));
    let mut wary = coordinator.manifest(&question, &all);
    assert_eq!((wary.colluders, wary.honest), (2, 1));
    (wary.colluders, wary.honest) = (1, 2);
    wary.noise = coordinator.admit(&question).noise(3, 2).unwrap();
    refused(&mut coordinator, &wary, WireCode::TooFewHolders, "WISH");
    // Half of the noise that its h asks for.
    let (question, all) = accepted(&federation, &mut coordinator, &keys, 1);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &all)));
    let mut quiet = coordinator.manifest(&question, &all);
    quiet.noise[0].s2 /= 2;
    refused(&mut coordinator, &quiet, WireCode::NotPermitted, "noise");
    // The two others are said to be away, so that the holder would be alone.
    let (question, mut all) = accepted(&federation, &mut coordinator, &keys, 1);
    let whole = coordinator.manifest(&question, &all);
    all.truncate(1);
    let mut entry = coordinator.attempt_entry(&question, &all);
    entry.timeouts = vec![2, 3];
    coordinator.log(&LogEntry::Attempt(entry));
    let (checkpoint_size, checkpoint_root) = coordinator.checkpoint();
    let cohort = vec![all[0].0.clone()];
    let mut alone = Manifest { cohort, timeouts: vec![2, 3], checkpoint_size, checkpoint_root, ..whole };
    (alone.threshold, alone.colluders, alone.honest) = (1, 0, 1);
    alone.noise = coordinator.admit(&question).noise(1, 1).unwrap();
    refused(&mut coordinator, &alone, WireCode::TooFewHolders, "ONE_HOLDER");
    // A slot a millisecond away, three times: what took how long would show in who misses it.
    for _ in 0..3 {
        let (question, all) = accepted(&federation, &mut coordinator, &keys, 1);
        coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &all)));
        let mut near = coordinator.manifest(&question, &all);
        near.slot_ms -= SLOT_MS - 1;
        near.deadline_ms -= SLOT_MS - 1;
        refused(&mut coordinator, &near, WireCode::NotPermitted, "nearer than this holder takes");
    }
    coordinator.slot_wait_ms = 1;
    let refuse = coordinator.refused(&federation.signed_question(RHO, &commutes(MONTH)));
    assert!(refuse.code == WireCode::NotPermitted && refuse.message.contains("at least"), "{}", refuse.message);
    coordinator.slot_wait_ms = SLOT_MS;
    // The true one gets as far as reading.
    let (question, all) = accepted(&federation, &mut coordinator, &keys, 1);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &all)));
    let honest = coordinator.manifest(&question, &all);
    refused(&mut coordinator, &honest, WireCode::Internal, "could not compute");
}

#[test]
fn p3_two_manifests_two_sets_of_survivors_and_a_set_without_the_holder_end_the_attempt() {
    let (mut federation, mut coordinator, keys) = two_of_three(false);
    // Two manifests for one attempt, each with its own slot.
    let (question, all) = accepted(&federation, &mut coordinator, &keys, 1);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &all)));
    let first = coordinator.manifest(&question, &all);
    let mut second = first.clone();
    (second.slot_ms, second.deadline_ms) = (first.slot_ms + 1, first.deadline_ms + 1);
    coordinator.say(&ToAgent::Manifest(ManifestMessage { manifest: first.to_bytes() }));
    refused(&mut coordinator, &second, WireCode::NotPermitted, "second manifest");

    // As far as the consent of all three.
    let consented = |federation: &Federation, coordinator: &mut Recording| {
        let (question, all) = accepted(federation, coordinator, &keys, 1);
        coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &all)));
        let manifest = coordinator.manifest(&question, &all);
        let mut rounds = coordinator.begin(&question, &manifest, &keys);
        coordinator.next(&mut rounds);
        coordinator.next(&mut rounds);
        rounds
    };
    let set_of = |bytes: &[u8]| SurvivorSet::from_bytes(bytes).unwrap();
    // It signs one set; a second one, though it is in it, ends the attempt. Its cells had left; its shares had not, so it takes its charge back.
    let mut rounds = consented(&federation, &mut coordinator);
    let sent = coordinator.close(&mut rounds);
    coordinator.send_round(&sent[0].0, &rounds.manifest, sent[0].1.clone());
    assert!(matches!(coordinator.said().1, Said::Round(_)));
    let mut fewer = set_of(&sent[0].1);
    fewer.survivors.retain(|survivor| survivor.index != 3);
    coordinator.send_round(&sent[0].0, &rounds.manifest, fewer.to_bytes());
    ended(&mut coordinator, WireCode::NotPermitted, "OTHER_INPUT");
    // A set without it, and one below T.
    for left_out in [1, 2] {
        let mut rounds = consented(&federation, &mut coordinator);
        let sent = coordinator.close(&mut rounds);
        let mut lie = set_of(&sent[0].1);
        lie.survivors.retain(|survivor| survivor.index != left_out);
        coordinator.send_round(&sent[0].0, &rounds.manifest, lie.to_bytes());
        let (name, said) = coordinator.said();
        assert!(matches!(said, Said::Failed(WireCode::NotPermitted | WireCode::TooFewHolders, _)), "{name}: {said:?}");
        assert!(matches!(coordinator.said().1, Said::Refunded));
    }
    // A proof that was signed by the played members alone, in place of T.
    let mut rounds = consented(&federation, &mut coordinator);
    coordinator.next(&mut rounds);
    let sent = coordinator.close(&mut rounds);
    let mut proof = Proof::from_bytes(&sent[0].1).unwrap();
    proof.signatures.remove(0);
    coordinator.send_round(&sent[0].0, &rounds.manifest, proof.to_bytes());
    ended(&mut coordinator, WireCode::NotPermitted, "SIGNATURE_COUNT");
    federation.stop();
    // Nothing was opened: no attempt was answered, and all but the first were taken back.
    let journal = federation.journal(0);
    assert!(journal.iter().all(|line| line.decision != Decision::Answered), "{journal:?}");
    assert_eq!(journal.iter().filter(|line| line.decision == Decision::Refunded).count(), 4);
}

#[track_caller]
fn ended(coordinator: &mut Recording, code: WireCode, part: &str) {
    let (_, said) = coordinator.said();
    assert!(matches!(&said, Said::Failed(found, message) if *found == code && message.contains(part)), "{part}: {said:?}");
    assert!(matches!(coordinator.said().1, Said::Refunded));
}
