//! What the coordinator believes and has charged, folded from its own log and ledgers, and the signed documents to hand out.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::bundle::{Roster, RosterHolder, TrustBundle};
use commun_domain::calendar::Period;
use commun_domain::contract::DataContract;
use commun_domain::encoding::tag_of;
use commun_domain::log::LogEntry;
use commun_domain::permit::Permit;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32};
use commun_privacy::ledger::{Ledger, LedgerError, LedgerRecord};
use commun_trust::{Pins, TrustError, TrustState};
use ed25519_dalek::SigningKey;

/// See the module.
pub struct State {
    /// The fold over the log.
    pub trust: TrustState,
    /// The coordinator's own ledger, one chain per holder.
    pub ledger: Ledger,
    /// Accepted documents with their signatures.
    pub published: Published,
    accounts: BTreeSet<(String, String, Period)>,
}

/// Accepted documents, by hash, with the number of their entry.
#[derive(Default)]
pub struct Published(BTreeMap<Hash32, (u64, SignedDocument)>);

impl Published {
    /// Entry of a document.
    pub fn number(&self, hash: &Hash32) -> Option<u64> {
        self.0.get(hash).map(|(number, _)| *number)
    }

    /// Entries of the documents chosen by hash and tag, canonical bytes by number, which is the order of the log.
    pub fn entries(&self, choose: impl Fn(&Hash32, &str) -> bool) -> BTreeMap<u64, Vec<u8>> {
        let chosen = self.0.iter().filter(|(hash, (_, document))| tag_of(&document.bytes.0).is_some_and(|tag| choose(hash, tag)));
        chosen.filter_map(|(_, (number, document))| Some((*number, entry_of(document)?.to_bytes()))).collect()
    }
}

impl State {
    pub(super) fn new(pins: Pins) -> Self {
        Self { trust: TrustState::new(pins), ledger: Ledger::default(), published: Published::default(), accounts: BTreeSet::new() }
    }

    pub(super) fn fold(&mut self, number: u64, entry: &LogEntry) -> Result<(), TrustError> {
        self.trust.apply(number, entry)?;
        if let LogEntry::Bundle(document) | LogEntry::Roster(document) | LogEntry::Contract(document) | LogEntry::Permit(document) = entry {
            self.published.0.insert(document.document_hash(), (number, document.clone()));
        }
        Ok(())
    }

    pub(super) fn charge(&mut self, record: &LedgerRecord) -> Result<(), LedgerError> {
        self.ledger.apply(record)?;
        let account = |period| (record.holder.clone(), record.domain.clone(), period);
        self.accounts.extend(record.charges.iter().map(|charge| account(charge.period)));
        Ok(())
    }

    /// Every (holder, budget domain, partition) that was ever charged.
    pub fn accounts(&self) -> impl Iterator<Item = &(String, String, Period)> {
        self.accounts.iter()
    }

    /// Holders that answer a data contract, by index.
    pub fn listed(&self, contract_name: &str) -> Vec<RosterHolder> {
        self.trust.roster().map(|roster| roster.for_dataset(contract_name).cloned().collect()).unwrap_or_default()
    }
}

/// The entry that publishes a document; `None` for a kind that is not published.
pub(super) fn entry_of(document: &SignedDocument) -> Option<LogEntry> {
    let tag = tag_of(&document.bytes.0)?;
    let wrap = [
        (TrustBundle::TAG, LogEntry::Bundle as fn(SignedDocument) -> LogEntry),
        (Roster::TAG, LogEntry::Roster),
        (DataContract::TAG, LogEntry::Contract),
        (Permit::TAG, LogEntry::Permit),
    ];
    wrap.into_iter().find(|(known, _)| *known == tag).map(|(_, wrap)| wrap(document.clone()))
}

/// Whether a bundle names our log key: without that no agent would believe a checkpoint.
pub(super) fn check_log_key(document: &SignedDocument, key: &SigningKey) -> Result<(), ()> {
    let named = TrustBundle::from_bytes(&document.bytes.0).map(|bundle| bundle.log_key);
    if named.is_ok_and(|named| named == commun_trust::sign::public_key(key)) { Ok(()) } else { Err(()) }
}
