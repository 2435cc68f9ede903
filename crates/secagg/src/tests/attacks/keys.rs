//! R1: copied, small, forged, replayed and inconsistent keys.

use commun_domain::Document;
use commun_domain::encoding::sha256;

use super::super::adversary::assert_no_leak;
use super::super::fixture::{SLOT_MS, key, terms};
use super::super::stage::{CELLS, Stage};
use crate::Refused;
use crate::agent::Standing;
use crate::agent::{Agent, Reply};
use crate::attempt::Attempt;
use crate::context::key_statement;
use crate::crypto::sign::sign;
use crate::wire::{KeyEntry, KeyList, Keys};

/// Honest 1 to 3, puppets 4 and 5. Gives every honest member the list with the changed entry of puppet 4, and expects the same refusal.
fn refused_by_all(change: impl Fn(&[KeyEntry], &mut KeyEntry)) -> Refused {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let manifest = stage.attempt.manifest();
    let mut entries = stage.honest_entries();
    let others = entries.clone();
    entries.push(stage.puppets[&4].entry(manifest, |entry| change(&others, entry)));
    entries.push(stage.puppets[&5].entry(manifest, |_| ()));
    let list = stage.list(entries);
    let refusals: Vec<_> = stage.honest().into_iter().map(|index| stage.give(index, &list).unwrap_err()).collect();
    assert!(refusals.iter().all(|refused| *refused == refusals[0]), "{refusals:?}");
    assert!(stage.agents.values_mut().all(|agent| agent.ended() == Some(refusals[0]) && agent.newest(Standing::Clear).is_err()));
    assert_no_leak(&stage);
    refusals[0]
}

#[test]
fn p3_a_copied_ephemeral_key_is_refused() {
    assert_eq!(refused_by_all(|others, entry| entry.mask_key = others[0].mask_key), Refused::CopiedKey);
    assert_eq!(refused_by_all(|others, entry| entry.seal_key = others[1].seal_key), Refused::CopiedKey);
    assert_eq!(refused_by_all(|others, entry| entry.seal_key = others[1].mask_key), Refused::CopiedKey);
    assert_eq!(refused_by_all(|_, entry| entry.seal_key = entry.mask_key), Refused::CopiedKey);
}

#[test]
fn p3_a_small_order_or_non_canonical_key_is_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    assert_eq!(refused_by_all(|_, entry| entry.mask_key = [0; 32]), Refused::SmallOrder);
    assert_eq!(refused_by_all(|_, entry| entry.seal_key = one), Refused::SmallOrder);
    assert_eq!(refused_by_all(|_, entry| entry.mask_key[31] |= 0x80), Refused::KeyEncoding);
    assert_eq!(refused_by_all(|_, entry| entry.seal_key = [0xff; 32]), Refused::KeyEncoding);
}

/// What an honest member 1 says to a list that the coordinator has changed.
fn refused_by_one(change: impl Fn(&mut KeyList)) -> Refused {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let mut list = stage.key_list();
    change(&mut list);
    let refused = stage.give(1, &list).unwrap_err();
    assert_no_leak(&stage);
    refused
}

#[test]
fn p5_a_forged_member_is_refused() {
    // A sixth holder that the manifest does not list.
    let forged = |index: u32, signer: u32| {
        move |list: &mut KeyList| {
            let mut entry = list.entries[4].clone();
            entry.index = index;
            entry.seal_key = [9; 32];
            entry.mask_key = [8; 32];
            entry.signature = sign(&key_statement(list.manifest, &entry), &key(signer));
            list.entries.retain(|entry| entry.index != index.min(5));
            list.entries.push(entry);
            list.entries.sort_by_key(|entry| entry.index);
        }
    };
    assert_eq!(refused_by_one(forged(6, 6)), Refused::Stranger);
    // Keys of the adversary in the place of an honest member, signed by a puppet.
    assert_eq!(refused_by_one(forged(2, 4)), Refused::Signature);
}

#[test]
fn p3_a_list_that_is_not_the_members_own_is_refused() {
    assert_eq!(refused_by_one(|list| list.entries.truncate(3)), Refused::BelowThreshold);
    assert_eq!(refused_by_one(|list| list.entries.swap(1, 2)), Refused::NotAscending);
    assert_eq!(refused_by_one(|list| list.entries[2] = list.entries[1].clone()), Refused::NotAscending);
    assert_eq!(refused_by_one(|list| list.entries = list.entries.split_off(1)), Refused::OwnKeys);
    assert_eq!(refused_by_one(|list| list.entries[0].seal_key = [5; 32]), Refused::OwnKeys);
    assert_eq!(refused_by_one(|list| list.entries[1].signature[0] ^= 1), Refused::Signature);
    assert_eq!(refused_by_one(|list| list.entries[1].commitment = list.entries[2].commitment), Refused::Signature);
    assert_eq!(refused_by_one(|list| list.manifest = sha256(b"another")), Refused::OtherContext);
}

#[test]
fn p3_keys_that_were_signed_for_another_manifest_are_refused() {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let mut list = stage.key_list();
    // Member 2 in another attempt, whose keys are put into this one.
    let other = Attempt::new(crate::attempt::Terms { manifest: sha256(b"another"), ..terms(&[1, 2, 3, 4, 5], 4, 2, CELLS) }).unwrap();
    let mut agent = Agent::accepted(other.identity(), 2, key(2));
    agent.manifest(other).unwrap();
    let Reply::Message(keys) = agent.keys(&[0; CELLS], SLOT_MS, Standing::Clear).unwrap() else { panic!() };
    list.entries[1] = Keys::from_bytes(&keys).unwrap().entry;
    for index in [1, 3] {
        assert_eq!(stage.give(index, &list), Err(Refused::Signature));
    }
    assert_no_leak(&stage);
}

#[test]
fn p3_different_key_lists_for_different_members_end_the_attempt() {
    // Puppet 4 signs two sets of keys; 1 sees the one, 2 and 3 the other.
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let first = stage.key_list();
    let mut second = first.clone();
    second.entries[3] = stage.puppets[&4].entry(first.manifest, |entry| entry.mask_key = [3; 32]);
    stage.give(1, &first).unwrap();
    let mut shares = stage.shares_of_puppets(&second);
    for index in [2, 3] {
        let Reply::Message(message) = stage.give(index, &second).unwrap() else { panic!() };
        shares.insert(index, crate::wire::Shares::from_bytes(&message).unwrap());
    }
    // Member 1 is given the boxes of the others under its own view's name: they do not open.
    let as_first = {
        let mut list = Stage::share_list(&second, &shares, &[2, 3, 4, 5], 1);
        list.keys = first.hash();
        list.senders.insert(0, 1);
        list
    };
    assert_eq!(stage.give(1, &as_first), Err(Refused::Sealed));
    // And 2 is told of the other view.
    let mut told = Stage::share_list(&second, &shares, &[2, 3, 4, 5], 2);
    told.keys = first.hash();
    assert_eq!(stage.give(2, &told), Err(Refused::OtherContext));
    assert_no_leak(&stage);
}
