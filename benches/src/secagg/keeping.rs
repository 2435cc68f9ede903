//! What a coordinator pays to keep an aggregation for the supervisor: masked cells go into their file, and the record into its store with the
//! result release, as the shipped coordinator does it.

use std::collections::BTreeMap;
use std::time::Instant;

use commun_secagg::coordinator::Outcome;
use commun_store::StoreOptions;
use commun_store::coordinator::{CoordinatorStore, NewAggregation, NewQuery, NewRelease};
use serde_json::{Value, json};

use super::identity;
use crate::usage::{cpu_ms, forget_peak, peak_kib};

/// Writes it into a fresh store on the file system of temporary files.
pub(super) fn measure(outcome: &Outcome, cells: &BTreeMap<u32, Vec<u64>>) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let store = CoordinatorStore::open(&folder.path().join("coordinator.db"), StoreOptions::default())?;
    let query = identity().query;
    store.query_insert(&NewQuery { query, signed: b"query", agency: "agency", now_ms: 1 })?;
    store.log_attempt(&query, b"attempt", &[], 1)?;
    let sum: Vec<u8> = outcome.cells.iter().flat_map(|cell| cell.to_le_bytes()).collect();
    forget_peak()?;
    let (start, used) = (Instant::now(), cpu_ms()?);
    let cells = store.keep_cells(&query, cells)?;
    let kept = NewAggregation { attempt: 1, manifest: b"manifest", lists: None, record: &outcome.record, cells: &cells };
    let release = NewRelease { query, bytes: &sum, replay_key: [0; 32], released_at_ms: 1, aggregation: Some(kept) };
    store.finish_with_release(&release, b"release", 1)?;
    Ok(json!({ "cpu_ms": cpu_ms()? - used, "ms": start.elapsed().as_secs_f64() * 1e3, "peak_kib": peak_kib()? }))
}
