//! Status: holders, log and budgets, for officers and operators.

use commun_domain::calendar::Period;
use commun_domain::contract::DataContract;
use commun_privacy::ledger::Loss;

use super::App;
use crate::link::AgentInfo;
use crate::log::{Head, State};

/// State of the federation.
#[derive(Clone, Debug)]
pub struct Status {
    /// End of the log.
    pub head: Head,
    /// Holders of the roster.
    pub holders: Vec<Holder>,
    /// Every account that was ever charged, in this coordinator's own ledger.
    pub accounts: Vec<Account>,
}

/// A holder of the roster.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Roster index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// What its agent stated last; `None` when it is not connected.
    pub agent: Option<AgentInfo>,
}

/// What one partition at one holder has cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Holder.
    pub holder: String,
    /// Budget domain.
    pub domain: String,
    /// Partition.
    pub partition: String,
    /// Spent, over all permits.
    pub spent: Loss,
    /// The newest data contract's cap.
    pub cap: Loss,
}

impl App {
    /// The state now.
    pub fn status(&self) -> Status {
        let head = self.log.head();
        self.log.read(|state| {
            let holders = state.trust.roster().map(|roster| roster.holders.as_slice()).unwrap_or_default();
            let holder = |index, name: &str| Holder { index, name: name.to_owned(), agent: self.agents.info(name) };
            Status {
                head,
                holders: holders.iter().map(|known| holder(known.index, &known.name)).collect(),
                accounts: state.accounts().filter_map(|(holder, domain, period)| account(state, holder, domain, *period)).collect(),
            }
        })
    }
}

fn account(state: &State, holder: &str, domain: &str, period: Period) -> Option<Account> {
    let of_domain = state.trust.contracts().map(|(_, contract)| contract).filter(|contract| contract.budget_domain == domain);
    let contract: &DataContract = of_domain.max_by_key(|contract| contract.version)?;
    Some(Account {
        holder: holder.to_owned(),
        domain: domain.to_owned(),
        partition: contract.calendar.format(period),
        spent: state.ledger.spent(holder, domain, period, None),
        cap: Loss { rho: contract.rho_cap, delta: contract.delta_keys },
    })
}
