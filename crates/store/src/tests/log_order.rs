//! The stored log: one order, no gaps.

use commun_domain::log::MAX_ENTRY_BYTES;

use super::Place;
use crate::agent::Agent;
use crate::error::StoreError;
use crate::log::StoredEntry;

#[test]
fn entries_are_numbered_from_zero_and_read_back_in_order() {
    let place = Place::new();
    let store = place.open::<Agent>();
    assert_eq!(store.size().unwrap(), 0);
    assert_eq!(store.append_entry(b"zero", "bundle").unwrap(), 0);
    assert_eq!(store.append_entry(b"one", "roster").unwrap(), 1);
    store.append_entries(2, &[(b"two", "contract"), (b"three", "permit")]).unwrap();
    drop(store);
    let store = place.open::<Agent>();
    assert_eq!(store.size().unwrap(), 4);
    let entry = |number, bytes: &[u8], kind: &str| StoredEntry { number, bytes: bytes.to_vec(), kind: kind.to_owned() };
    assert_eq!(store.entries(1, 2).unwrap(), [entry(1, b"one", "roster"), entry(2, b"two", "contract")]);
    assert_eq!(store.entries(3, 100).unwrap(), [entry(3, b"three", "permit")]);
    assert_eq!(store.entries(4, 100).unwrap(), []);
}

#[test]
fn entries_that_leave_a_gap_or_repeat_are_refused_whole() {
    let store = Place::new().open::<Agent>();
    store.append_entry(b"zero", "bundle").unwrap();
    for from in [0, 2] {
        let error = store.append_entries(from, &[(b"x", "permit"), (b"y", "permit")]).unwrap_err();
        assert!(matches!(error, StoreError::LogGap { got, size: 1 } if got == from), "{error}");
    }
    let large = vec![0; MAX_ENTRY_BYTES + 1];
    let error = store.append_entries(1, &[(b"x", "permit"), (&large, "permit")]).unwrap_err();
    assert!(matches!(error, StoreError::EntryTooLarge(_)), "{error}");
    assert_eq!(store.size().unwrap(), 1);
}

#[test]
fn the_latest_checkpoint_is_that_of_the_largest_size_in_its_newest_form() {
    let store = Place::new().open::<Agent>();
    assert_eq!(store.latest_checkpoint().unwrap(), None);
    store.save_checkpoint(5, "five").unwrap();
    store.save_checkpoint(3, "three").unwrap();
    assert_eq!(store.latest_checkpoint().unwrap(), Some((5, "five".to_owned())));
    store.save_checkpoint(5, "five, signed again").unwrap();
    assert_eq!(store.latest_checkpoint().unwrap(), Some((5, "five, signed again".to_owned())));
}
