//! Catalog: the public entries of the log from which an agency's client builds and checks a question, starting from its own pin.
//!
//! In the order of the log, because order carries meaning: a data contract that the officers of trust bundle 1 signed holds under bundle 2
//! too, if it stands before it.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::bundle::{Roster, TrustBundle};
use commun_domain::{Document, Hash32, Refusal, WireCode};
use commun_proto::{MAX_CATALOG_BYTES, MAX_CATALOG_ENTRIES};
use commun_trust::TrustState;

use super::App;

/// Canonical bytes of log entries, by their number.
pub type Catalog = BTreeMap<u64, Vec<u8>>;

impl App {
    /// The catalog of an agency: every trust bundle and roster, its permits, in force or not, the data contracts that they name, and the
    /// newest data contract of each name.
    pub fn catalog(&self, agency: &str) -> Result<Catalog, Refusal> {
        let catalog = self.log.read(|state| {
            let chosen = chosen(&state.trust, agency);
            state.published.entries(|hash, tag| tag == TrustBundle::TAG || tag == Roster::TAG || chosen.contains(hash))
        });
        within_limits(&catalog, MAX_CATALOG_ENTRIES, MAX_CATALOG_BYTES)?;
        Ok(catalog)
    }
}

/// Hashes of permits and data contracts.
fn chosen(trust: &TrustState, agency: &str) -> BTreeSet<Hash32> {
    let permits = trust.permits().filter(|(_, permit)| permit.agency == agency);
    let named = permits.flat_map(|(hash, permit)| [*hash, permit.contract]);
    let is_newest = |name: &str, version| trust.latest_contract(name).is_some_and(|latest| latest.version == version);
    let newest = trust.contracts().filter(|(_, contract)| is_newest(&contract.name, contract.version)).map(|(hash, _)| *hash);
    named.chain(newest).collect()
}

fn within_limits(catalog: &Catalog, entries: usize, bytes: usize) -> Result<(), Refusal> {
    if catalog.len() <= entries && catalog.values().map(Vec::len).sum::<usize>() <= bytes {
        return Ok(());
    }
    Err(Refusal::new(
        WireCode::Unavailable,
        "the catalog is larger than one message may be",
        "tell the operator: this version sends the catalog in one message",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_is_as_large_as_its_limits_and_no_larger() {
        let catalog: Catalog = (0..3).map(|number| (number, vec![0; 10])).collect();
        assert!(within_limits(&catalog, 3, 30).is_ok());
        for (entries, bytes) in [(2, 30), (3, 29)] {
            assert!(within_limits(&catalog, entries, bytes).is_err_and(|refusal| refusal.code == WireCode::Unavailable));
        }
    }
}
