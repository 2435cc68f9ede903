//! Explain: what a question would cost and how precise its answer would be, from public parameters alone. Nothing is written.

use commun_domain::bundle::RosterHolder;
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Hash32, Refusal, Rho, WireCode};
use commun_privacy::answer::{expected_margins, expected_rank_margins};
use commun_privacy::ledger::{Caps, Loss};
use commun_proto::convert;
use commun_trust::cohort;

use super::{App, caps, left};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Hash of the plan.
    pub plan: Hash32,
    /// Price of the whole question per partition at one holder.
    pub price: Rho,
    /// Delta at which rho is stated as epsilon.
    pub delta_conv: Delta,
    /// Budget left, by partition.
    pub budgets: Vec<PartitionLeft>,
    /// Name and 95 % margin of error of each number of the answer when every listed holder answers and fears as many others as the
    /// roster says, in its own units; `None` where it depends on counts that are not known before.
    pub margins: Vec<(String, Option<f64>)>,
    /// Name and 95 % margin of error of the rank of each quantile, in values.
    pub ranks: Vec<(String, f64)>,
    /// Cells of each output; with an open group key, at most.
    pub cells: u64,
    /// Holders that the roster lists for the data contract.
    pub listed: usize,
    /// Of these, connected now.
    pub connected: usize,
    /// Whether a stored result release would answer it, free.
    pub stored: bool,
}

/// Budget left in one partition: the least over the listed holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLeft {
    /// As in the calendar.
    pub partition: String,
    /// Under the data contract's cap.
    pub contract: Loss,
    /// Under the permit's cap.
    pub permit: Loss,
}

impl App {
    /// Explains a signed question of an agency.
    pub fn explain(&self, agency: &str, bytes: &[u8]) -> Result<Explained, Refusal> {
        let signed: SignedDocument = convert::document("query", bytes)?;
        let admitted = self.admit(agency, &signed)?;
        let plan = &admitted.plan;
        let stored = self.stored_release(&admitted)?.is_some();
        let listed = self.log.read(|state| state.listed(&admitted.contract.name));
        let budgets = self.log.read(|state| {
            let of_partition = |period| {
                let least = |cap: Loss, permit: Option<Hash32>| {
                    let left = |holder: &RosterHolder| left(cap, state.ledger.spent(&holder.name, &plan.budget_domain, period, permit));
                    let all = || listed.iter().map(left);
                    Loss {
                        rho: all().map(|left| left.rho).min().unwrap_or(cap.rho),
                        delta: all().map(|left| left.delta).min().unwrap_or(cap.delta),
                    }
                };
                let Caps { contract, permit } = caps(&admitted);
                PartitionLeft {
                    partition: plan.calendar.format(period),
                    contract: least(contract, None),
                    permit: least(permit, Some(admitted.permit_hash)),
                }
            };
            plan.partitions.iter().map(|period| of_partition(*period)).collect()
        });
        let shape = cohort::expected(&listed.iter().collect::<Vec<_>>(), admitted.query.least_honest)?;
        let noise = admitted.noise(shape.members, shape.honest)?;
        // What margin a mean or a quotient will have depends on counts that nobody knows before paying.
        let margins = expected_margins(plan, &noise, shape.members, None)
            .map_err(|error| Refusal::new(WireCode::Internal, error.to_string(), "tell the coordinator's operator"))?;
        let ranks = expected_rank_margins(plan, &noise, shape.members)
            .map_err(|error| Refusal::new(WireCode::Internal, error.to_string(), "tell the coordinator's operator"))?;
        Ok(Explained {
            plan: admitted.plan_hash,
            price: admitted.whole.rho,
            delta_conv: admitted.contract.delta_conv,
            budgets,
            margins,
            ranks,
            cells: plan.cells().unwrap_or(0),
            listed: listed.len(),
            connected: listed.iter().filter(|holder| self.agents.is_connected(&holder.name)).count(),
            stored,
        })
    }
}
