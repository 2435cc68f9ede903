//! Masked cells in their files: with their row or not at all, and never believed.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::coordinator_tables::{insert, release};
use super::{Place, query};
use crate::coordinator::{Coordinator, CoordinatorStore, NewAggregation, NewRelease};
use crate::error::StoreError;
use crate::store::Side;

/// The folder of masked cells.
fn cells_folder(place: &Place) -> PathBuf {
    place.folder.path().join("store.sqlite.cells")
}

pub(super) fn files(place: &Place) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(cells_folder(place)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn logged(store: &CoordinatorStore, number: u8) {
    insert(store, number);
    store.log_attempt(&query(number), b"attempt", &[], 101).unwrap();
}

/// Answers a query whose aggregation left cells.
fn answer(store: &CoordinatorStore, number: u8, cells: &BTreeMap<u32, Vec<u64>>) -> Result<u64, StoreError> {
    let cells = store.keep_cells(&query(number), cells)?;
    let kept = NewAggregation { attempt: 1, manifest: b"manifest", lists: None, record: b"record", cells: &cells };
    store.finish_with_release(&NewRelease { aggregation: Some(kept), ..release(number, &[number]) }, b"release entry", 102)
}

fn some_cells() -> BTreeMap<u32, Vec<u64>> {
    // More than is written at once, and not a multiple of it.
    BTreeMap::from([(0, (0..40_001).collect()), (7, vec![]), (u32::MAX, vec![u64::MAX, 1])])
}

/// A crash after the file and before its row, in the middle of the file, or after the row is deleted and before the file is: each leaves a file without a row.
#[test]
fn masked_cells_that_a_crash_left_without_a_row_are_removed_at_the_next_start_and_no_others() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    let cells = some_cells();
    for number in 1..=2 {
        logged(&store, number);
        answer(&store, number, &cells).unwrap();
    }
    drop(store);
    let file = |number: u8| cells_folder(&place).join(format!("{}.cells", query(number)));
    let whole = std::fs::read(file(1)).unwrap();
    std::fs::write(file(3), &whole).unwrap();
    std::fs::write(file(4), &whole[..whole.len() / 2]).unwrap();
    std::fs::write(cells_folder(&place).join("other"), "").unwrap();
    std::fs::create_dir(cells_folder(&place).join("lost+found")).unwrap();
    let plain = Connection::open(place.path()).unwrap();
    assert_eq!(plain.execute("DELETE FROM aggregations WHERE query_id = ?1", [query(2).as_bytes()]).unwrap(), 1);
    drop(plain);
    // Who only reads removes nothing.
    drop(CoordinatorStore::open_to_read(&place.path()).unwrap());
    assert_eq!(files(&place).len(), 6);
    let store = place.open::<Coordinator>();
    // Nor is what is not the store's.
    assert_eq!(files(&place), [format!("{}.cells", query(1)), "lost+found".to_owned(), "other".to_owned()]);
    for (index, cells) in &cells {
        assert_eq!(store.masked_cells(&query(1), *index).unwrap().as_ref(), Some(cells));
    }
    assert_eq!(store.masked_cells(&query(2), 0).unwrap(), None);
    // A file that is there when its query is to be answered is left as it is, and the query is not answered beside it.
    logged(&store, 3);
    std::fs::write(file(3), "another's").unwrap();
    let error = answer(&store, 3, &cells).unwrap_err();
    assert!(matches!(&error, StoreError::Cells { path, .. } if *path == file(3)), "{error}");
    assert_eq!(std::fs::read(file(3)).unwrap(), b"another's");
    assert!(store.release_by_query(&query(3)).unwrap().is_none());
    std::fs::remove_file(file(3)).unwrap();
    answer(&store, 3, &cells).unwrap();
    assert!(answer(&store, 3, &cells).is_err(), "a query is answered once");
    // Cells of another query are no query's; dropped without a row, they are gone.
    logged(&store, 4);
    let of_five = store.keep_cells(&query(5), &cells).unwrap();
    let kept = NewAggregation { attempt: 1, manifest: b"manifest", lists: None, record: b"record", cells: &of_five };
    let error = store.finish_with_release(&NewRelease { aggregation: Some(kept), ..release(4, b"4") }, b"entry", 102).unwrap_err();
    assert!(matches!(error, StoreError::Cells { .. }) && file(5).exists(), "{error}");
    drop(of_five);
    assert!(!file(5).exists());
    assert_eq!(store.masked_cells(&query(3), 7).unwrap(), Some(vec![]));
}

#[test]
fn without_its_masked_cells_nothing_is_released_and_damage_to_them_is_said() {
    let place = Place::new();
    let store = place.open::<Coordinator>();
    logged(&store, 1);
    let folder = cells_folder(&place);
    std::fs::remove_dir(&folder).unwrap();
    let error = answer(&store, 1, &some_cells()).unwrap_err();
    assert!(error.to_string().contains("check that the folder is this user's and whole"), "{error}");
    assert!(store.release_by_query(&query(1)).unwrap().is_none());
    drop(store);
    let store = place.open::<Coordinator>();
    answer(&store, 1, &some_cells()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = folder.join(format!("{}.cells", query(1)));
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    let whole = std::fs::read(&file).unwrap();
    let damages: [(&[u8], &str); 4] = [
        (&whole[..whole.len() - 1], "shorter than its head says"),
        (&whole[..21], "not a file of masked cells"),
        (b"something else of some length", "not a file of masked cells"),
        (&[&whole[..16], &[255; 40]].concat(), "not a file of masked cells"),
    ];
    for (bytes, said) in damages {
        std::fs::write(&file, bytes).unwrap();
        let error = store.masked_cells(&query(1), u32::MAX).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
    // A count of cells that no file could hold.
    let mut vast = whole;
    vast[24..32].fill(255);
    std::fs::write(&file, vast).unwrap();
    assert!(store.masked_cells(&query(1), 7).unwrap_err().to_string().contains("shorter than its head says"));
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(store.masked_cells(&query(1), 0), Err(StoreError::Cells { .. })));
}

/// What a table held before there were files.
#[test]
fn what_an_older_version_kept_in_a_table_is_forgotten_and_its_release_stays() {
    let place = Place::new();
    let old = Connection::open(place.path()).unwrap();
    for script in &Coordinator::MIGRATIONS[..3] {
        old.execute_batch(script).unwrap();
    }
    old.pragma_update(None, "application_id", Coordinator::APPLICATION_ID).unwrap();
    old.pragma_update(None, "user_version", 3).unwrap();
    let id = format!("x'{}'", query(1));
    let rows = format!(
        "BEGIN; INSERT INTO queries VALUES ({id}, x'00', 'statbel', 'received', NULL, NULL, 1, 1); \
         INSERT INTO releases VALUES (1, {id}, {id}, {id}, x'00', 1); INSERT INTO aggregations VALUES ({id}, 1, x'00', NULL, x'00', 1); \
         INSERT INTO masked_cells VALUES ({id}, 1, x'00'); UPDATE queries SET state = 'released', release_hash = {id}; COMMIT"
    );
    old.execute_batch(&rows).unwrap();
    drop(old);
    let store = place.open::<Coordinator>();
    assert_eq!(store.aggregation(&query(1)).unwrap(), None);
    assert!(store.release_by_query(&query(1)).unwrap().is_some());
    logged(&store, 2);
    answer(&store, 2, &some_cells()).unwrap();
    assert_eq!(store.masked_cells(&query(2), u32::MAX).unwrap(), Some(vec![u64::MAX, 1]));
}
