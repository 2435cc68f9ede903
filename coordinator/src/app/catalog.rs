//! Catalog: the public documents from which an agency's client builds and checks a question, starting from its own pin.

use std::collections::BTreeSet;

use commun_domain::Document;
use commun_domain::bundle::{Roster, TrustBundle};
use commun_domain::signed::SignedDocument;

use super::App;

/// Signed documents, ready to be handed out, each list in the order of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The newest data contract of each name, and those that the permits name.
    pub contracts: Vec<SignedDocument>,
    /// Permits of the agency, in force or not.
    pub permits: Vec<SignedDocument>,
    /// Every trust bundle, from version 1.
    pub bundles: Vec<SignedDocument>,
    /// Every roster, from epoch 1.
    pub rosters: Vec<SignedDocument>,
}

impl App {
    /// The catalog of an agency.
    pub fn catalog(&self, agency: &str) -> Catalog {
        self.log.read(|state| {
            let trust = &state.trust;
            let mut permits = BTreeSet::new();
            let mut contracts = BTreeSet::new();
            for (hash, permit) in trust.permits().filter(|(_, permit)| permit.agency == agency) {
                permits.insert(*hash);
                contracts.insert(permit.contract);
            }
            let newest = trust
                .contracts()
                .filter(|(_, contract)| trust.latest_contract(&contract.name).is_some_and(|latest| latest.version == contract.version));
            contracts.extend(newest.map(|(hash, _)| *hash));
            Catalog {
                contracts: state.published.select(|hash, _| contracts.contains(hash)),
                permits: state.published.select(|hash, _| permits.contains(hash)),
                bundles: state.published.select(|_, tag| tag == TrustBundle::TAG),
                rosters: state.published.select(|_, tag| tag == Roster::TAG),
            }
        })
    }
}
