//! Attempts and keys for tests.

use commun_domain::encoding::sha256;
use commun_domain::{PublicKey, QueryId};
use ed25519_dalek::SigningKey;

use crate::Refused;
use crate::attempt::{Attempt, Identity, Member, OutputCells, Terms};

pub(crate) const SLOT_MS: u64 = 1_000;
const BOUND: u64 = 1 << 50;

pub(crate) fn key(index: u32) -> SigningKey {
    SigningKey::from_bytes(sha256(&index.to_be_bytes()).as_bytes())
}

pub(crate) fn identity(attempt: u8) -> Identity {
    Identity { query: QueryId::from(sha256(b"query")), attempt }
}

pub(crate) fn terms(indices: &[u32], threshold: u32, colluders: u32, cells: usize) -> Terms {
    Terms {
        identity: identity(1),
        manifest: sha256(b"manifest"),
        members: indices.iter().map(|&index| member(index)).collect(),
        threshold,
        colluders,
        outputs: vec![OutputCells { cells, bound: BOUND }],
        slot_ms: SLOT_MS,
    }
}

pub(crate) fn member(index: u32) -> Member {
    Member { index, key: PublicKey::from_bytes(key(index).verifying_key().to_bytes()) }
}

pub(crate) fn attempt(indices: &[u32], threshold: u32, colluders: u32, cells: usize) -> Attempt {
    Attempt::new(terms(indices, threshold, colluders, cells)).unwrap()
}

#[test]
fn an_attempt_outside_the_rules_is_refused() {
    let good = || terms(&[1, 2, 5, 9], 3, 1, 4);
    assert!(Attempt::new(good()).is_ok());
    let refused = |change: fn(&mut Terms)| {
        let mut terms = good();
        change(&mut terms);
        Attempt::new(terms).err()
    };
    // A cohort below its minimum, an index of 0 (the share would be the secret), a holder that stands there twice, a sybil with the same key.
    assert_eq!(refused(|terms| terms.members.truncate(1)), Some(Refused::OneHolder));
    assert_eq!(refused(|terms| terms.members.truncate(2)), Some(Refused::Threshold));
    assert_eq!(refused(|terms| terms.threshold = 5), Some(Refused::Threshold));
    assert_eq!(refused(|terms| terms.colluders = 2), Some(Refused::Threshold));
    assert_eq!(refused(|terms| terms.colluders = 0), Some(Refused::Threshold));
    assert_eq!(refused(|terms| terms.members[0].index = 0), Some(Refused::MemberList));
    assert_eq!(refused(|terms| terms.members[1].index = 1), Some(Refused::MemberList));
    assert_eq!(refused(|terms| terms.members.swap(1, 2)), Some(Refused::MemberList));
    assert_eq!(refused(|terms| terms.members[1].key = terms.members[0].key), Some(Refused::MemberList));
    assert_eq!(refused(|terms| terms.members[1].key = PublicKey::from_bytes([0; 32])), Some(Refused::MemberList));
    assert_eq!(refused(|terms| terms.outputs.clear()), Some(Refused::Shape));
    assert_eq!(refused(|terms| terms.outputs[0].cells = 0), Some(Refused::Shape));
    assert_eq!(refused(|terms| terms.outputs[0].cells = usize::MAX), Some(Refused::Shape));
    assert_eq!(refused(|terms| terms.outputs[0].bound = 0), Some(Refused::Shape));
    assert_eq!(refused(|terms| terms.outputs[0].bound = 1 << 63), Some(Refused::Shape));
}
