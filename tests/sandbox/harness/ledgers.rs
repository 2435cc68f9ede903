//! Ledgers, journals and logs, read from the stores of daemons that have stopped.

use std::collections::BTreeMap;

use commun_domain::calendar::Period;
use commun_domain::log::LogEntry;
use commun_domain::release::ResultRelease;
use commun_domain::{Document as _, QueryId, Rho};
use commun_privacy::ledger::{Ledger, LedgerRecord};
use commun_store::agent::JournalLine;
use commun_store::coordinator::QueryRow;
use commun_store::{AgentStore, CoordinatorStore, StoreOptions};

use super::Federation;

/// Loss by partition, as months or years since year 0.
pub(crate) type Spent = BTreeMap<i32, Rho>;

/// What a ledger says of a holder; a chain that breaks the rules fails the test.
fn fold(records: &[LedgerRecord], holder: &str) -> Spent {
    let mut ledger = Ledger::default();
    for record in records {
        ledger.apply(record).unwrap();
    }
    let own = records.iter().filter(|record| record.holder == holder);
    let periods: Vec<Period> = own.flat_map(|record| record.charges.iter().map(|charge| charge.period)).collect();
    periods.into_iter().map(|period| (period.0, ledger.spent(holder, "mobility", period, None).rho)).collect()
}

fn log_of(store: &CoordinatorStore) -> Vec<LogEntry> {
    store.entries(0, 10_000).unwrap().into_iter().map(|entry| LogEntry::from_bytes(&entry.bytes).unwrap()).collect()
}

impl Federation {
    /// The store of an agent that does not run.
    pub(crate) fn agent_store(&self, holder: usize) -> AgentStore {
        let path = self.path(&format!("{}/state/agent.sqlite", Self::holder_name(holder)));
        AgentStore::open(&path, StoreOptions::default()).unwrap()
    }

    /// The store of a coordinator that does not run.
    pub(crate) fn coordinator_store(&self) -> CoordinatorStore {
        CoordinatorStore::open(&self.path("coordinator/state/coordinator.db"), StoreOptions::default()).unwrap()
    }

    /// The holder's own ledger.
    pub(crate) fn agent_spent(&self, holder: usize) -> Spent {
        fold(&self.agent_store(holder).ledger_load().unwrap(), &Self::holder_name(holder))
    }

    /// The coordinator's ledger of a holder.
    pub(crate) fn coordinator_spent(&self, holder: usize) -> Spent {
        fold(&self.coordinator_store().ledger_load().unwrap(), &Self::holder_name(holder))
    }

    /// The journal of a holder.
    pub(crate) fn journal(&self, holder: usize) -> Vec<JournalLine> {
        self.agent_store(holder).journal_tail(1000).unwrap().into_iter().map(|(_, line)| line).collect()
    }

    /// Every entry of the coordinator's log.
    pub(crate) fn log(&self) -> Vec<LogEntry> {
        log_of(&self.coordinator_store())
    }

    /// Loss that result releases have shown the world of a holder, by partition: of those that it is in.
    pub(crate) fn revealed(&self, holder: usize) -> Spent {
        let store = self.coordinator_store();
        let mut revealed = Spent::new();
        for entry in log_of(&store) {
            let LogEntry::Release(entry) = entry else { continue };
            // The roster counts from 1, in the order of the names.
            if !entry.participants.iter().any(|index| usize::try_from(*index).unwrap() == holder + 1) {
                continue;
            }
            let stored = store.release_by_query(&entry.query).unwrap().unwrap();
            let release = ResultRelease::from_bytes(&stored.bytes).unwrap();
            for period in &release.plan.partitions {
                let sum = revealed.entry(period.0).or_default();
                *sum = sum.checked_add(release.rho).unwrap();
            }
        }
        revealed
    }

    /// Queries whose release is in the log; the coordinator may run.
    pub(crate) fn released(&self) -> Vec<QueryId> {
        let store = CoordinatorStore::open_to_read(&self.path("coordinator/state/coordinator.db")).unwrap();
        let released = |entry| if let LogEntry::Release(entry) = entry { Some(entry.query) } else { None };
        log_of(&store).into_iter().filter_map(released).collect()
    }

    /// Queries that have no outcome.
    pub(crate) fn unfinished(&self) -> Vec<QueryRow> {
        self.coordinator_store().unfinished_queries().unwrap()
    }

    /// Asserts that no ledger, the holders' own or the coordinator's, is below what was revealed.
    #[track_caller]
    pub(crate) fn assert_nothing_undercharged(&self, holders: usize) {
        for holder in 0..holders {
            let revealed = self.revealed(holder);
            let (own, theirs) = (self.agent_spent(holder), self.coordinator_spent(holder));
            let at = |spent: &Spent, period: &i32| spent.get(period).copied().unwrap_or_default();
            for (period, rho) in &revealed {
                assert!(at(&own, period) >= *rho, "holder {holder}: {own:?} is below {revealed:?}");
                assert!(at(&theirs, period) >= *rho, "coordinator on {holder}: {theirs:?} is below {revealed:?}");
            }
        }
    }
}
