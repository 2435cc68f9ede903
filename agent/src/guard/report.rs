//! What the guard knows, as `status` shows it: the log, the permits of the policy, the budgets.

use std::collections::BTreeSet;

use commun_domain::Document;
use commun_domain::calendar::Period;
use commun_domain::contract::DataContract;
use serde::{Deserialize, Serialize};

use super::attempt::Live;
use super::core::Core;
use super::message::Outgoing;

/// A permit of the policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitReport {
    /// SHA-256.
    pub permit: String,
    /// Reference in the supervisor's register; `None` while the log does not show the permit.
    pub reference: Option<String>,
    /// Agency.
    pub agency: Option<String>,
    /// Whether it is valid now.
    pub in_force: bool,
}

/// Loss in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Budget domain.
    pub domain: String,
    /// Partition.
    pub partition: String,
    /// Spent, open reserves included, in units of 2^-40.
    pub spent_rho_units: u64,
    /// Cap of the newest data contract of the domain, in units of 2^-40; `None` while the log shows none.
    pub cap_rho_units: Option<u64>,
    /// Spent on open group keys, in units of 10^-18.
    pub spent_delta_units: u64,
    /// Its cap, as that of rho.
    pub cap_delta_units: Option<u64>,
}

/// One moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Entries read.
    pub log_size: u64,
    /// Size of the newest checkpoint that was verified.
    pub checkpoint_size: Option<u64>,
    /// When it was signed, seconds since 1970.
    pub checkpoint_unix: Option<u64>,
    /// Why nothing is answered any more.
    pub stopped: Option<String>,
    /// What keeps questions under accepted permits from being answered now, each fault once.
    #[serde(default)]
    pub not_ready: Vec<String>,
    /// What a person has to look at, in words, and whether questions are refused because of it.
    #[serde(default)]
    pub incidents: Vec<String>,
    /// Entries whose bytes this agent cannot read: leaves of the tree that change no trust.
    pub unreadable_entries: u64,
    /// Number and reason of the last log entry that counts for nothing.
    pub last_invalid_entry: Option<(u64, String)>,
    /// Permits that the policy accepts.
    pub accepted_permits: Vec<PermitReport>,
    /// Every partition that was ever charged.
    pub budgets: Vec<Budget>,
    /// Attempts alive.
    pub open_attempts: usize,
    /// How many of them are over and wait for a refund that could not be written yet.
    pub refunds_due: usize,
}

impl Core {
    /// What `status` shows.
    pub(crate) fn report(&self) -> Report {
        let verified = self.log.verified();
        Report {
            log_size: self.log.size(),
            checkpoint_size: verified.map(|checkpoint| checkpoint.size),
            checkpoint_unix: verified.map(|checkpoint| checkpoint.time_unix),
            stopped: self.log.stopped().map(str::to_owned),
            not_ready: self.not_ready(),
            incidents: self.incidents.report(|domain, period| self.partition(domain, period)),
            unreadable_entries: self.log.state().skipped(),
            last_invalid_entry: self.log.last_invalid().cloned(),
            accepted_permits: self.permits(),
            budgets: self.budgets(),
            open_attempts: self.live.len(),
            refunds_due: self.live.values().filter(|live| matches!(live, Live::RefundDue { .. })).count(),
        }
    }

    /// Canonical bytes of the newest data contract of a name, for `check` while the agent runs.
    pub(crate) fn contract_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.log.state().latest_contract(name).map(Document::to_bytes)
    }

    /// Whether the log shows a refund already.
    pub(crate) fn log_shows(&self, refund: &Outgoing) -> bool {
        let Outgoing::Refunded { query, attempt, .. } = refund else { return true };
        let state = self.log.state();
        let own = state.roster().and_then(|roster| roster.holder(&self.policy.holder));
        own.is_some_and(|own| state.refund(query, *attempt, own.index).is_some())
    }

    /// Asked anew each time: a list of objections may have gone, or be back.
    fn not_ready(&self) -> Vec<String> {
        let permits = self.policy.accept_permits.iter().filter_map(|hash| self.log.state().permit(hash));
        let faults: BTreeSet<String> =
            permits.filter_map(|permit| self.engine.ready(&permit.contract_name).err()).map(|error| error.to_string()).collect();
        let reading = self.knows_its_records().err().map(|failure| failure.local);
        self.key_fault().into_iter().chain(reading).chain(faults).collect()
    }

    fn permits(&self) -> Vec<PermitReport> {
        let now_unix = self.clock.now_unix();
        let report = |hash| {
            let permit = self.log.state().permit(hash);
            PermitReport {
                permit: hash.to_string(),
                reference: permit.map(|permit| permit.reference.clone()),
                agency: permit.map(|permit| permit.agency.clone()),
                in_force: permit.is_some_and(|permit| (permit.valid_from_unix..permit.valid_until_unix).contains(&now_unix)),
            }
        };
        self.policy.accept_permits.iter().map(report).collect()
    }

    /// The newest data contract of a budget domain.
    fn contract_of(&self, domain: &str) -> Option<&DataContract> {
        let contracts = self.log.state().contracts().map(|(_, contract)| contract);
        contracts.filter(|contract| contract.budget_domain == domain).max_by_key(|contract| contract.version)
    }

    /// A partition for people.
    fn partition(&self, domain: &str, period: Period) -> String {
        self.contract_of(domain).map_or_else(|| period.0.to_string(), |contract| contract.calendar.format(period))
    }

    fn budgets(&self) -> Vec<Budget> {
        let budget = |(domain, period): &(String, Period)| {
            let contract = self.contract_of(domain);
            let spent = self.book.spent(domain, *period, None);
            Budget {
                domain: domain.clone(),
                partition: self.partition(domain, *period),
                spent_rho_units: spent.rho.units(),
                cap_rho_units: contract.map(|contract| contract.rho_cap.units()),
                spent_delta_units: spent.delta.units(),
                cap_delta_units: contract.map(|contract| contract.delta_keys.units()),
            }
        };
        self.book.accounts().map(budget).collect()
    }
}
