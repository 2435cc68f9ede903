//! A supervisor adds a result up again from the record and the masked cells, and notices every change.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use commun_domain::Document;
use commun_domain::encoding::sha256;
use proptest::prelude::*;

use super::fixture::{attempt, key, terms};
use super::whole::{Left, Run};
use crate::Refused;
use crate::agent::Round;
use crate::attempt::{Attempt, Terms};
use crate::cells::cells_hash;
use crate::context::context;
use crate::crypto::sign::sign;
use crate::record::{Readded, Record, readd};
use crate::wire::MaskedStatement;

/// An attempt, its record, and the kept cells.
type Kept = (Attempt, Vec<u8>, BTreeMap<u32, Arc<Vec<u64>>>);

fn finished() -> (Attempt, Left) {
    let attempt = attempt(&[1, 2, 3, 4, 5, 6], 4, 1, 3);
    let mut run = Run::new(attempt.clone());
    run.silent_from = [(2, Round::Cells), (5, Round::Shares)].into();
    (attempt, run.run(1).unwrap())
}

fn readd_from(attempt: &Attempt, record: &[u8], cells: &BTreeMap<u32, Arc<Vec<u64>>>) -> Result<Readded, Refused> {
    readd(attempt, record, |index| cells.get(&index).map(|cells| cells.to_vec()), NonZeroUsize::MIN)
}

#[test]
fn a_result_is_added_up_again_from_what_is_kept() {
    let (attempt, left) = finished();
    let readded = readd_from(&attempt, &left.outcome.record, &left.cells).unwrap();
    assert_eq!(readded.cells, left.outcome.cells);
    assert_eq!(readded.survivors, [1, 3, 4, 6]);
    assert_eq!(readded.transcript, left.outcome.transcript);
}

#[test]
fn other_cells_or_another_attempt_are_noticed() {
    let (attempt, left) = finished();
    let record = &left.outcome.record;
    let mut cells = left.cells.clone();
    cells.insert(3, Arc::new(vec![0; 3]));
    assert_eq!(readd_from(&attempt, record, &cells), Err(Refused::CellsHash));
    cells.insert(3, Arc::new(vec![0; 2]));
    assert_eq!(readd_from(&attempt, record, &cells), Err(Refused::CellCount));
    cells.remove(&3);
    assert_eq!(readd_from(&attempt, record, &cells), Err(Refused::CellCount));
    let other = Attempt::new(Terms { manifest: sha256(b"another"), ..terms(&[1, 2, 3, 4, 5, 6], 4, 1, 3) }).unwrap();
    assert_eq!(readd_from(&other, record, &left.cells), Err(Refused::OtherContext));
}

#[test]
fn a_colluder_cannot_choose_its_cells_when_the_sum_is_known() {
    // The coordinator knows the sum and wants another: member 6 signs cells that give it.
    let (attempt, left) = finished();
    let mut record = Record::from_bytes(&left.outcome.record).unwrap();
    let context = context(&record.keys, record.keys.hash(), &record.senders);
    let mut cells = left.cells.clone();
    let chosen: Vec<u64> = cells[&6].iter().map(|cell| cell.wrapping_add(1_000_000)).collect();
    let part = record.parts.iter_mut().find(|part| part.index == 6).unwrap();
    part.cells = cells_hash(&chosen);
    part.signature = sign(&MaskedStatement { context, index: 6, cells: part.cells }, &key(6));
    cells.insert(6, Arc::new(chosen));
    // The other survivors signed what 6 had sent.
    assert_eq!(readd_from(&attempt, &record.to_bytes(), &cells), Err(Refused::Signature));
}

#[test]
fn every_part_of_a_record_is_checked() {
    let (attempt, left) = finished();
    let refused = |change: &dyn Fn(&mut Record)| {
        let mut record = Record::from_bytes(&left.outcome.record).unwrap();
        change(&mut record);
        readd_from(&attempt, &record.to_bytes(), &left.cells).err()
    };
    assert_eq!(refused(&|_| ()), None);
    assert_eq!(refused(&|record| record.parts[0].b[0] ^= 1), Some(Refused::Seed));
    assert_eq!(refused(&|record| record.parts[0].b = [0xff; 32]), Some(Refused::ShareValue));
    assert_eq!(refused(&|record| record.dropped[0].u[0] ^= 1), Some(Refused::Seed));
    assert_eq!(refused(&|record| record.dropped.clear()), Some(Refused::Record));
    assert_eq!(refused(&|record| record.parts.truncate(3)), Some(Refused::BelowThreshold));
    assert_eq!(refused(&|record| record.senders.truncate(4)), Some(Refused::Stranger));
    assert_eq!(refused(&|record| record.parts[1].signature[0] ^= 1), Some(Refused::Signature));
    assert_eq!(refused(&|record| record.consents[0].signature[0] ^= 1), Some(Refused::Signature));
    assert_eq!(refused(&|record| record.consents.truncate(3)), Some(Refused::SignatureCount));
    assert_eq!(refused(&|record| record.keys.entries[0].signature[0] ^= 1), Some(Refused::Signature));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_byte_of_a_record_can_be_changed(place: prop::sample::Index, flip in 1u8..) {
        static FINISHED: std::sync::OnceLock<Kept> = std::sync::OnceLock::new();
        let (attempt, record, cells) = FINISHED.get_or_init(|| {
            let (attempt, left) = finished();
            (attempt, left.outcome.record, left.cells)
        });
        let mut changed = record.clone();
        changed[place.index(record.len())] ^= flip;
        prop_assert!(readd_from(attempt, &changed, cells).is_err());
    }
}
