//! `commun-coordinator readd`: a supervisor adds a result up again.
//!
//! From the log's entries alone follows who could be in the sum and under which rules; the manifest that was kept must be exactly the one that they give, and
//! its hash is in every signature of the holders. Then every signature, commitment and hash of the record is checked, the masked cells are added, and the sum must
//! be the released one. It reads the store beside a running coordinator and changes nothing.

use std::num::NonZeroUsize;
use std::path::Path;

use commun_domain::attempt::{Manifest, NameLists};
use commun_domain::encoding::sha256;
use commun_domain::log::LogEntry;
use commun_domain::release::ResultRelease;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, QueryId};
use commun_store::CoordinatorStore;
use commun_store::coordinator::StoredAggregation;
use commun_tlog::{Frontier, leaf_hash};
use commun_trust::{Admitted, Outcome, Pins, TrustState, admit, admit_numbers, check_public, cohort};

use crate::config;
use crate::server::STORE_FILE;

/// Entries read at once.
const BATCH: u32 = 256;

/// Adds up again and says what was found.
pub(crate) fn run(path: &Path, query: &str) -> anyhow::Result<String> {
    let setup = config::load(path)?;
    let hash = Hash32::from_hex(query).ok_or_else(|| anyhow::anyhow!("\"{query}\" is no query id: 64 hexadecimal digits"))?;
    let query = QueryId::from(hash);
    let store = CoordinatorStore::open_to_read(&setup.state_dir.join(STORE_FILE))?;
    let kept = store.aggregation(&query)?.ok_or_else(|| {
        anyhow::anyhow!("nothing is kept of query {query}: it was answered more than seven days ago, by one holder alone, by an earlier release, or not at all")
    })?;
    let manifest = Manifest::from_bytes(&kept.manifest)?;
    anyhow::ensure!(manifest.query == query && manifest.attempt == kept.attempt, "the kept manifest is of another query");
    let (at_manifest, root, whole) = replay(&store, setup.pins, manifest.checkpoint_size)?;
    let row = store.query(&query)?.ok_or_else(|| anyhow::anyhow!("the query is not in the store"))?;
    let admitted = admitted(&at_manifest, &SignedDocument::from_bytes(&row.signed)?, &kept, manifest.slot_ms / 1000)?;
    check_public(&at_manifest, &admitted, &manifest, &root, manifest.slot_ms / 1000)?;
    let listed = at_manifest.roster().into_iter().flat_map(|roster| roster.for_dataset(&admitted.contract.name));
    let attempt = cohort::aggregation(&manifest, &admitted.plan, listed)?;
    let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut fault = None;
    let cells_of = |index| {
        store.masked_cells(&query, index).unwrap_or_else(|error| {
            fault = Some(error);
            None
        })
    };
    let readded = commun_secagg::record::readd(&attempt, &kept.record, cells_of, workers);
    if (fault.is_some() || readded.is_err()) && store.aggregation(&query)?.is_none() {
        anyhow::bail!("what was kept of query {query} is seven days old and was deleted just now");
    }
    if let Some(error) = fault {
        return Err(error.into());
    }
    let readded = readded.map_err(|refused| anyhow::anyhow!("the record does not hold: {refused} ({})", refused.code()))?;

    let stored = store.release_by_query(&query)?.ok_or_else(|| anyhow::anyhow!("the query has no result release"))?;
    let release = ResultRelease::from_bytes(&stored.bytes)?;
    let Some(Outcome::Released(entry)) = whole.outcome(&query) else { anyhow::bail!("the log does not show a release of the query") };
    anyhow::ensure!(entry.release == sha256(&stored.bytes), "the stored release is not the logged one");
    let released: Vec<i64> = release.sums.iter().flat_map(|output| &output.cells).copied().collect();
    anyhow::ensure!(released == readded.cells, "the released numbers are NOT the sum of what the holders sent");
    anyhow::ensure!(entry.participants == readded.survivors, "the logged participants are NOT those whose cells are in the sum");
    anyhow::ensure!(entry.transcript == Some(readded.transcript), "the logged transcript is NOT the one of the record");
    Ok(format!(
        "query {query}, attempt {}\nevery signature, commitment and hash holds; {} cells of {} holder(s) add up to the released numbers\ntranscript {}\n",
        kept.attempt,
        readded.cells.len(),
        readded.survivors.len(),
        readded.transcript
    ))
}

/// What follows from the log up to a size, its root there, and what follows from all of it.
fn replay(store: &CoordinatorStore, pins: Pins, size: u64) -> anyhow::Result<(TrustState, Hash32, TrustState)> {
    let (mut state, mut frontier) = (TrustState::new(pins), Frontier::new());
    let mut at = None;
    loop {
        let entries = store.entries(frontier.size(), BATCH)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            if frontier.size() == size {
                at = Some((state.clone(), Hash32::from_bytes(frontier.root())));
            }
            let number = frontier.size();
            // What counts for nothing is in the log all the same.
            let _ = match LogEntry::from_bytes(&entry.bytes) {
                Ok(read) => state.apply(number, &read),
                Err(_) => state.skip(number),
            };
            frontier.append(leaf_hash(&entry.bytes));
        }
    }
    let (at_manifest, root) = at.ok_or_else(|| anyhow::anyhow!("the log is shorter than the manifest says"))?;
    Ok((at_manifest, root, state))
}

/// The question as it was admitted then.
fn admitted(state: &TrustState, signed: &SignedDocument, kept: &StoredAggregation, now_unix: u64) -> anyhow::Result<Admitted> {
    let first = admit(state, signed, now_unix)?;
    match &kept.lists {
        None => Ok(first),
        Some(lists) => Ok(admit_numbers(state, &first, &NameLists::from_bytes(lists)?, now_unix)?),
    }
}
