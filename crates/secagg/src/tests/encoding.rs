//! Every message has one encoding, a largest size that n members reach and do not pass, and no bytes make a reader panic.

use commun_domain::encoding::Encode;
use commun_domain::{Document, Hash32};
use proptest::prelude::*;

use super::fixture::{attempt, identity, key};
use super::stage::CELLS;
use crate::Refused;
use crate::agent::{Agent, Reply, Standing};
use crate::coordinator::{Coordinator, Outcome};
use crate::record::{Dropped, Part, Record};
use crate::wire::{
    Consent, Context, KeyEntry, KeyList, Keys, MaskedHead, Message, Proof, ShareList, Shares, SignedBy, Survivor, SurvivorSet, Unmask, read,
};

const ZERO: Hash32 = Hash32::from_bytes([0; 32]);
const CONTEXT: Context = Context { manifest: ZERO, keys: ZERO, senders: ZERO };

fn entry(index: u32) -> KeyEntry {
    KeyEntry { index, seal_key: [1; 32], mask_key: [2; 32], commitment: ZERO, signature: [3; 64] }
}

/// Exactly the largest size for n members, read back as it is, and refused where fewer members are expected.
fn fits<M: Message + PartialEq + std::fmt::Debug>(members: usize, message: &M, depends_on_members: bool) {
    let bytes = message.to_bytes();
    assert!(bytes.len() <= M::max_bytes(members), "{}: {} bytes, {} allowed", M::TAG, bytes.len(), M::max_bytes(members));
    assert_eq!(&read::<M>(&bytes, members).unwrap(), message);
    if depends_on_members {
        assert!(bytes.len() > M::max_bytes(members - 2), "{}", M::TAG);
        assert_eq!(read::<M>(&bytes, members - 2), Err(Refused::TooLarge));
    }
}

#[test]
fn messages_reach_their_largest_size_and_do_not_pass_it() {
    for n in [2u32, 3, 17, 2_048] {
        let members = usize::try_from(n).unwrap();
        let (all, signatures): (Vec<u32>, _) = ((1..=n).collect(), (1..=n).map(|index| SignedBy { index, signature: [4; 64] }).collect());
        let (manifest, keys) = (ZERO, ZERO);
        fits(members, &Keys { manifest, entry: entry(1) }, false);
        fits(members, &KeyList { manifest, entries: all.iter().copied().map(entry).collect() }, true);
        fits(members, &Shares { manifest, keys, index: 1, boxes: vec![[5; 80]; members - 1] }, true);
        fits(members, &ShareList { manifest, keys, recipient: 1, senders: all.clone(), boxes: vec![[5; 80]; members - 1] }, true);
        fits(members, &MaskedHead { context: CONTEXT, index: 1, cells: ZERO, signature: [6; 64] }, false);
        fits(
            members,
            &SurvivorSet { context: CONTEXT, survivors: all.iter().map(|&index| Survivor { index, cells: ZERO }).collect() },
            true,
        );
        fits(members, &Consent { context: CONTEXT, survivors: ZERO, index: 1, signature: [7; 64] }, false);
        fits(members, &Proof { context: CONTEXT, survivors: ZERO, signatures }, true);
        fits(members, &Unmask { context: CONTEXT, survivors: ZERO, index: 1, shares: vec![[8; 32]; members] }, true);
    }
}

#[test]
fn a_record_of_all_members_fits() {
    let list = KeyList { manifest: ZERO, entries: (1..=9).map(entry).collect() };
    let record = Record {
        keys: list,
        senders: (1..=9).collect(),
        parts: (1..=9).map(|index| Part { index, cells: ZERO, signature: [1; 64], b: [2; 32] }).collect(),
        dropped: (1..=9).map(|index| Dropped { index, u: [3; 32] }).collect(),
        consents: (1..=9).map(|index| SignedBy { index, signature: [4; 64] }).collect(),
    };
    fits(9, &record, true);
}

#[test]
fn no_seed_share_or_answer_is_shown_by_debug() {
    // 171 stands in no index and in no hash of zeros.
    let secret = [171; 32];
    let part = Part { index: 1, cells: ZERO, signature: [4; 64], b: secret };
    let dropped = Dropped { index: 2, u: secret };
    let record = Record {
        keys: KeyList { manifest: ZERO, entries: vec![entry(1)] },
        senders: vec![1, 2],
        parts: vec![part.clone()],
        dropped: vec![dropped.clone()],
        consents: Vec::new(),
    };
    let unmask = Unmask { context: CONTEXT, survivors: ZERO, index: 1, shares: vec![secret] };
    let outcome = Outcome {
        cells: vec![171],
        survivors: vec![1],
        transcript: ZERO,
        record: record.to_bytes(),
        withheld: Vec::new(),
        wrong_shares: Vec::new(),
    };
    let message = Reply::Message(unmask.to_bytes().into());
    let cells = Reply::Cells { head: Vec::new(), cells: std::sync::Arc::new(vec![171]) };
    let shown = format!("{part:?} {dropped:?} {record:?} {unmask:?} {outcome:?} {message:?} {cells:?}");
    assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
}

#[test]
fn every_tag_is_another() {
    let tags = [
        Keys::TAG,
        KeyList::TAG,
        Shares::TAG,
        ShareList::TAG,
        MaskedHead::TAG,
        SurvivorSet::TAG,
        Consent::TAG,
        Proof::TAG,
        Unmask::TAG,
        Record::TAG,
        crate::wire::KeyStatement::TAG,
        crate::wire::MaskedStatement::TAG,
        crate::wire::ConsentStatement::TAG,
        crate::wire::SenderSet::TAG,
    ];
    assert_eq!(tags.iter().collect::<std::collections::BTreeSet<_>>().len(), tags.len());
}

#[test]
fn every_refusal_has_its_own_code_and_a_hint() {
    let codes: std::collections::BTreeSet<&str> = Refused::ALL.iter().map(|refused| refused.code()).collect();
    assert_eq!(codes.len(), Refused::ALL.len());
    for refused in Refused::ALL {
        assert!(!refused.hint().is_empty() && !refused.to_string().ends_with('.'));
    }
}

/// What reads is what encodes, for any bytes under this tag.
fn one_form<M: Message>(body: &[u8]) -> Result<(), TestCaseError> {
    let mut bytes = Vec::new();
    M::TAG.encode(&mut bytes);
    bytes.extend(body);
    if let Ok(message) = read::<M>(&bytes, 2_048) {
        prop_assert_eq!(message.to_bytes(), bytes);
    }
    Ok(())
}

const TAGS: [&str; 9] =
    [Keys::TAG, KeyList::TAG, Shares::TAG, ShareList::TAG, MaskedHead::TAG, SurvivorSet::TAG, Consent::TAG, Proof::TAG, Unmask::TAG];

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic_and_what_is_read_has_one_form(body in prop::collection::vec(any::<u8>(), 0..600)) {
        one_form::<Keys>(&body)?;
        one_form::<KeyList>(&body)?;
        one_form::<Shares>(&body)?;
        one_form::<ShareList>(&body)?;
        one_form::<MaskedHead>(&body)?;
        one_form::<SurvivorSet>(&body)?;
        one_form::<Consent>(&body)?;
        one_form::<Proof>(&body)?;
        one_form::<Unmask>(&body)?;
        one_form::<Record>(&body)?;
    }

    #[test]
    fn garbage_ends_an_agent_and_changes_nothing_at_a_coordinator(tag in prop::sample::select(&TAGS[..]), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = Vec::new();
        tag.encode(&mut bytes);
        bytes.extend(body);
        let attempt = attempt(&[1, 2, 3], 3, 1, CELLS);
        let mut agent = Agent::accepted(identity(1), 1, key(1));
        agent.manifest(attempt.clone()).unwrap();
        prop_assert!(agent.receive(&bytes, Standing::Clear).is_err());
        prop_assert!(agent.ended().is_some());
        let mut coordinator = Coordinator::new(attempt);
        prop_assert!(coordinator.receive(1, &bytes).is_err());
        prop_assert!(coordinator.receive_cells(1, &bytes, &[]).is_err());
        prop_assert_eq!(coordinator.awaited(), vec![1, 2, 3]);
    }
}
