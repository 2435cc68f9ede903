//! The attempt itself: two manifests, reuse, replay, lateness, freezes, refunds.

use std::collections::BTreeSet;

use commun_domain::Document;
use commun_domain::encoding::sha256;

use super::super::adversary::assert_no_leak;
use super::super::fixture::{SLOT_MS, attempt, identity, key, terms};
use super::super::stage::{CELLS, Passed, Stage};
use crate::Refused;
use crate::agent::{Agent, Reply, Standing};
use crate::attempt::{Attempt, Terms};
use crate::wire::{KeyEntry, Keys, MaskedHead, Message, Unmask};

fn accepted(index: u32) -> Agent {
    Agent::accepted(identity(1), index, key(index))
}

#[test]
fn p3_a_second_manifest_ends_the_attempt_even_if_it_is_equal() {
    let first = attempt(&[1, 2, 3], 3, 1, CELLS);
    let other = Attempt::new(Terms { manifest: sha256(b"another"), ..terms(&[1, 2, 3], 3, 1, CELLS) }).unwrap();
    for second in [first.clone(), other] {
        let mut agent = accepted(1);
        assert_eq!(agent.manifest(first.clone()), Ok(()));
        assert_eq!(agent.manifest(second.clone()), Err(Refused::SecondManifest));
        assert_eq!(agent.keys(&[7; CELLS], SLOT_MS, Standing::Clear), Err(Refused::Ended));
        // Also after the keys.
        let mut agent = accepted(1);
        agent.manifest(first.clone()).unwrap();
        agent.keys(&[7; CELLS], SLOT_MS, Standing::Clear).unwrap();
        assert_eq!(agent.manifest(second), Err(Refused::SecondManifest));
        assert_eq!(agent.newest(Standing::Clear), Err(Refused::Ended));
        assert_eq!(agent.manifest(first.clone()), Err(Refused::Ended));
    }
}

#[test]
fn p3_a_manifest_of_another_attempt_or_without_this_holders_key_is_refused() {
    let refused = |terms: Terms| accepted(1).manifest(Attempt::new(terms).unwrap()).unwrap_err();
    let good = || terms(&[1, 2, 3], 3, 1, CELLS);
    assert_eq!(refused(Terms { identity: identity(2), ..good() }), Refused::OtherAttempt);
    assert_eq!(refused(terms(&[2, 3, 4], 3, 1, CELLS)), Refused::NotAMember);
    let mut sybil = good();
    sybil.members[0].key = super::super::fixture::member(9).key;
    assert_eq!(refused(sybil), Refused::NotAMember);
}

#[test]
fn p3_different_manifests_for_different_members_end_the_attempt() {
    // 1 is given another manifest than 2 and 3, as with another T or noise.
    let mut stage = Stage::new(4, 4, 2, &[3, 4]);
    let other = Attempt::new(Terms { manifest: sha256(b"another"), ..terms(&[1, 2, 3, 4], 4, 2, CELLS) }).unwrap();
    let mut agent = accepted(1);
    agent.manifest(other).unwrap();
    stage.agents.insert(1, agent);
    let mut list = stage.key_list();
    assert_eq!(stage.give(2, &list), Err(Refused::Signature));
    list.manifest = sha256(b"another");
    assert_eq!(stage.give(1, &list), Err(Refused::Signature));
    assert_no_leak(&stage);
}

#[test]
fn p3_every_attempt_has_fresh_keys_masks_and_commitments() {
    let entry = |number: u8| -> KeyEntry {
        let mut agent = Agent::accepted(identity(number), 1, key(1));
        agent.manifest(Attempt::new(Terms { identity: identity(number), ..terms(&[1, 2, 3], 3, 1, CELLS) }).unwrap()).unwrap();
        let Reply::Message(keys) = agent.keys(&[7; CELLS], SLOT_MS, Standing::Clear).unwrap() else { panic!() };
        // Keys are made once.
        assert_eq!(agent.keys(&[7; CELLS], SLOT_MS, Standing::Clear), Err(Refused::OutOfOrder));
        assert_eq!(agent.newest(Standing::Clear), Ok(Some(&Reply::Message(keys.clone()))));
        Keys::from_bytes(&keys).unwrap().entry
    };
    let entries: Vec<KeyEntry> = (1..=3).map(entry).collect();
    let keys: BTreeSet<[u8; 32]> =
        entries.iter().flat_map(|entry| [entry.seal_key, entry.mask_key, *entry.commitment.as_bytes()]).collect();
    assert_eq!(keys.len(), 9);
    // The same cells of the same members are masked by another stream in another run.
    let masked = || {
        let mut stage = Stage::new(3, 3, 1, &[]);
        stage.up_to_cells();
        let found = stage.passed.into_iter().find_map(|passed| if let Passed::Cells(1, _, cells) = passed { Some(cells) } else { None });
        found.unwrap()
    };
    assert!(masked().iter().zip(masked().iter()).all(|(one, other)| one != other));
}

#[test]
fn p3_keys_do_not_leave_before_the_slot() {
    let mut agent = accepted(1);
    assert_eq!(agent.keys(&[7; CELLS], SLOT_MS, Standing::Clear), Err(Refused::OutOfOrder));
    agent.manifest(attempt(&[1, 2, 3], 3, 1, CELLS)).unwrap();
    assert_eq!(agent.keys(&[7; CELLS], SLOT_MS - 1, Standing::Clear), Err(Refused::BeforeSlot));
    assert!(agent.keys(&[7; CELLS], SLOT_MS, Standing::Clear).is_ok());
    let mut agent = accepted(1);
    agent.manifest(attempt(&[1, 2, 3], 3, 1, CELLS)).unwrap();
    assert_eq!(agent.keys(&[7; CELLS + 1], SLOT_MS, Standing::Clear), Err(Refused::CellCount));
    assert_eq!(agent.ended(), Some(Refused::CellCount));
}

/// A whole run of three honest members; every message that member 1 was given, in order.
fn messages_to_one() -> (Stage, Vec<Vec<u8>>) {
    let mut stage = Stage::new(3, 3, 1, &[]);
    let (_, context) = stage.up_to_cells();
    let set = stage.set(context, &stage.everyone());
    let signatures = stage.consents(&[1, 2, 3], &set);
    let proof = stage.proof(&set, signatures);
    for index in [1, 2, 3] {
        stage.unmask(index, &proof).unwrap();
    }
    let messages = stage.passed.iter().filter_map(|passed| if let Passed::To(1, bytes) = passed { Some(bytes.clone()) } else { None });
    let messages = messages.collect();
    (stage, messages)
}

#[test]
fn p3_a_resend_is_answered_with_the_same_bytes_and_another_input_ends_the_attempt() {
    let (mut stage, messages) = messages_to_one();
    assert_eq!(messages.len(), 4);
    let agent = stage.agents.get_mut(&1).unwrap();
    let first: Vec<Reply> = messages.iter().map(|message| agent.receive(message, Standing::Clear).unwrap()).collect();
    let again: Vec<Reply> = messages.iter().rev().map(|message| agent.receive(message, Standing::Clear).unwrap()).collect();
    assert!(first.iter().eq(again.iter().rev()));
    assert!(agent.transcript().is_some());
    assert_eq!(agent.newest(Standing::Clear), Ok(first.last()));
    // One flipped bit in a message of a finished round.
    let mut changed = messages[1].clone();
    *changed.last_mut().unwrap() ^= 1;
    let transcript = agent.transcript();
    assert_eq!(agent.receive(&changed, Standing::Clear), Err(Refused::OtherInput));
    assert_eq!(agent.receive(&messages[1], Standing::Clear), Err(Refused::Ended));
    assert_eq!(agent.newest(Standing::Clear), Err(Refused::Ended));
    // Its shares are out: what it agreed to can still be compared with what is published.
    assert!(transcript.is_some() && agent.transcript() == transcript);
}

#[test]
fn opened_shares_are_wiped_with_their_message_and_kept_answer() {
    fn wiped(_: &impl zeroize::ZeroizeOnDrop) {}
    let mut stage = messages_to_one().0;
    let Ok(Some(Reply::Message(kept))) = stage.agents.get_mut(&1).unwrap().newest(Standing::Clear) else { panic!() };
    wiped(kept);
    wiped(&Unmask::from_bytes(kept).unwrap());
    assert!(kept.len() <= Unmask::max_bytes(3) && kept.capacity() == Unmask::max_bytes(3), "written in one piece");
}

#[test]
fn p3_a_message_before_its_round_or_of_another_attempt_is_refused() {
    let (_, messages) = messages_to_one();
    for done in 0..4 {
        for (early, message) in messages.iter().enumerate() {
            // A fresh run: the messages of the old one are replayed into it.
            let mut stage = Stage::new(3, 3, 1, &[]);
            let list = stage.key_list();
            if done > 0 {
                let shares = stage.shares(&list);
                if done > 1 {
                    let context = stage.masked(&list, &shares, &[1, 2, 3]);
                    if done > 2 {
                        stage.consents(&[1], &stage.set(context, &[1, 2, 3]));
                    }
                }
            }
            let expected = match early.cmp(&done) {
                std::cmp::Ordering::Less => Refused::OtherInput,
                std::cmp::Ordering::Greater => Refused::OutOfOrder,
                // The old list has other keys of this very member under the same manifest; later messages name the old view.
                std::cmp::Ordering::Equal if done == 0 => Refused::OwnKeys,
                std::cmp::Ordering::Equal => Refused::OtherContext,
            };
            assert_eq!(stage.give_bytes(1, message.clone()), Err(expected), "message {early} after {done}");
            assert_no_leak(&stage);
        }
    }
}

/// What ends an attempt.
type End<'a> = &'a dyn Fn(&mut Agent);

#[test]
fn p3_nothing_leaves_after_a_deadline_a_freeze_or_garbage() {
    let (mut stage, messages) = messages_to_one();
    // Done stays done.
    let agent = stage.agents.get_mut(&1).unwrap();
    agent.deadline_passed();
    assert!(agent.transcript().is_some());
    assert_eq!(agent.receive(&messages[3], Standing::Frozen), Err(Refused::Frozen));
    assert_eq!(agent.receive(&messages[3], Standing::Clear), Err(Refused::Ended));
    for round in 0..3 {
        let ends: [(End, Refused); 4] = [
            (&|agent| agent.deadline_passed(), Refused::Late),
            (&|agent| assert!(agent.receive(b"", Standing::Frozen).is_err()), Refused::Frozen),
            (&|agent| assert!(agent.receive(b"garbage", Standing::Clear).is_err()), Refused::Malformed),
            (&|agent| assert!(agent.receive(&vec![0; 1 << 20], Standing::Clear).is_err()), Refused::Malformed),
        ];
        for (end, reason) in ends {
            let mut stage = Stage::new(3, 3, 1, &[]);
            let list = stage.key_list();
            if round > 0 {
                let shares = stage.shares(&list);
                if round > 1 {
                    stage.masked(&list, &shares, &[1, 2, 3]);
                }
            }
            let agent = stage.agents.get_mut(&1).unwrap();
            end(agent);
            assert_eq!(agent.ended(), Some(reason));
            assert_eq!(agent.newest(Standing::Clear), Err(Refused::Ended));
            assert_eq!(stage.give(1, &list), Err(Refused::Ended));
        }
    }
}

#[test]
fn p3_no_answer_is_given_again_and_no_keys_are_made_after_a_freeze() {
    let mut agent = accepted(1);
    assert_eq!(agent.newest(Standing::Clear), Ok(None));
    agent.manifest(attempt(&[1, 2, 3], 3, 1, CELLS)).unwrap();
    assert_eq!(agent.keys(&[7; CELLS], SLOT_MS, Standing::Frozen), Err(Refused::Frozen));
    assert_eq!(agent.keys(&[7; CELLS], SLOT_MS, Standing::Clear), Err(Refused::Ended));
    // Masked cells, and opened shares.
    let mut masked = Stage::new(3, 3, 1, &[]);
    masked.up_to_cells();
    for mut stage in [masked, messages_to_one().0] {
        let agent = stage.agents.get_mut(&1).unwrap();
        assert!(agent.newest(Standing::Clear).unwrap().is_some());
        assert_eq!(agent.newest(Standing::Frozen), Err(Refused::Frozen));
        assert_eq!(agent.ended(), Some(Refused::Frozen));
        assert_eq!(agent.newest(Standing::Clear), Err(Refused::Ended));
    }
}

#[test]
fn p3_a_message_larger_than_its_round_allows_is_refused() {
    let mut stage = Stage::new(3, 3, 1, &[]);
    let mut list = stage.key_list();
    list.entries.extend(list.entries.clone());
    assert_eq!(stage.give(1, &list), Err(Refused::TooLarge));
}

#[test]
fn p8_a_charge_is_taken_back_only_where_nothing_can_have_been_revealed() {
    // T = |U1|: until its own shares of R5 are sent, nothing can be unmasked without this member.
    let (_, messages) = messages_to_one();
    let mut stage = Stage::new(3, 3, 1, &[]);
    let (_, context) = stage.up_to_cells();
    let set = stage.set(context, &[1, 2, 3]);
    let signatures = stage.consents(&[1, 2, 3], &set);
    assert!(stage.agents[&1].refundable());
    let proof = stage.proof(&set, signatures);
    stage.unmask(2, &proof).unwrap();
    let agent = stage.agents.get_mut(&2).unwrap();
    assert!(!agent.refundable() && !agent.refund());
    assert!(agent.transcript().is_some(), "a refused refund changes nothing");
    let agent = stage.agents.get_mut(&1).unwrap();
    assert!(agent.refund());
    assert_eq!(agent.receive(&messages[3], Standing::Clear), Err(Refused::Ended));
    assert_eq!(agent.ended(), Some(Refused::Refunded));
    assert!(!agent.refundable() && !agent.refund(), "a charge is taken back once");
    // T < |U1|: from the moment the cells are sent the others can unmask them.
    let mut stage = Stage::new(4, 3, 1, &[]);
    let list = stage.key_list();
    let shares = stage.shares(&list);
    assert!(stage.agents[&1].refundable());
    stage.masked(&list, &shares, &[1, 2, 3, 4]);
    assert!(!stage.agents.get_mut(&1).unwrap().refund());
    // Ending for another reason changes nothing about that.
    let agent = stage.agents.get_mut(&1).unwrap();
    agent.deadline_passed();
    assert!(!agent.refund());
}

#[test]
fn the_masked_cells_are_signed_for_their_view() {
    let mut stage = Stage::new(3, 3, 1, &[]);
    let (_, context) = stage.up_to_cells();
    let heads: Vec<&MaskedHead> =
        stage.passed.iter().filter_map(|passed| if let Passed::Cells(_, head, _) = passed { Some(head) } else { None }).collect();
    assert_eq!(heads.len(), 3);
    for head in heads {
        assert_eq!(crate::checks::masked_head(&stage.attempt, &context, head, head.index), Ok(()));
        let mut other = head.clone();
        other.context.senders = sha256(b"another view");
        assert_eq!(crate::checks::masked_head(&stage.attempt, &other.context, &other, other.index), Err(Refused::Signature));
    }
}
