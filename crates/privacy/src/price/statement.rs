//! What is said about a person's loss beside each result release: one partition, all partitions of the query, all holders, all domains.
//!
//! A price is charged for one partition at one holder, and that is what a budget counts. People are in several of both, and one noisy
//! answer about m rows of one person is one answer with m times the sensitivity: its loss grows with the square. These are statements for
//! readers; nothing is charged by them.

use commun_domain::plan::PrivatePlan;
use commun_domain::{Delta, Rho};

use super::SUM_OF_GAUSSIANS;
use crate::accountant::epsilon_for_rho;
use crate::ledger::Loss;

/// Losses of one person by one result release. `None` where the loss is beyond 2^24, which protects nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// In one partition at one holder: the price.
    pub one_partition: Loss,
    /// In all partitions of the query, at one holder.
    pub all_partitions: Option<Loss>,
    /// In all partitions, at as many holders as one person may be at.
    pub all_holders: Option<Loss>,
}

/// The statement of a release of `plan` at `price` for a person at up to `holders` holders.
pub fn statement(plan: &PrivatePlan, price: Loss, holders: u32) -> Statement {
    let partitions = u64::try_from(plan.partitions.len()).ok();
    // Each thresholding of open keys fails for one partition at one holder: failures add up, they do not square.
    let loss = |holders: u32| {
        let rho = loss_of_question(plan, price.rho, holders)?;
        let delta = price.delta.checked_mul(partitions?)?.checked_mul(u64::from(holders))?;
        Some(Loss { rho, delta })
    };
    Statement { one_partition: price, all_partitions: loss(1), all_holders: loss(holders) }
}

impl Statement {
    /// The loss of one person who is in several budget domains, one statement for each: losses add up.
    pub fn over_domains(statements: &[Self]) -> Option<Loss> {
        statements.iter().try_fold(Loss::default(), |sum, statement| {
            let Loss { rho, delta } = statement.all_holders?;
            Some(Loss { rho: sum.rho.checked_add(rho)?, delta: sum.delta.checked_add(delta)? })
        })
    }
}

/// What an aggregated release loses about one person in one partition at one holder, towards three parties. Published with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guarantees {
    /// Towards the coordinator alone, and every reader of the release: all survivors' noise counts. `rho h / survivors`.
    pub coordinator_alone: Rho,
    /// Towards the coordinator and the c members that may collude with it: h noises count. The price.
    pub with_colluders: Rho,
    /// Towards the coordinator and all members but the person's holder: one noise counts. `h rho`.
    pub all_others: Rho,
}

/// The three guarantees of a release for which `requested` was asked, with the noise of `survivors` agents in it of which that of `honest` (h)
/// was reckoned with; `None` when these are no numbers of a cohort, or the loss does not fit.
pub fn guarantees(requested: Rho, survivors: u32, honest: u32) -> Option<Guarantees> {
    if honest == 0 || honest > survivors {
        return None;
    }
    let all_others = requested.checked_mul(u64::from(honest))?;
    let coordinator_alone = Rho::from_units(all_others.units().div_ceil(u64::from(survivors)));
    let priced = |rho: Rho| rho.checked_add(SUM_OF_GAUSSIANS);
    Some(Guarantees { coordinator_alone: priced(coordinator_alone)?, with_colluders: priced(requested)?, all_others: priced(all_others)? })
}

/// The loss of one person over all the plan's partitions at up to `holders` holders, published with each result release: `P^2` times the
/// price, or `P` times where the partition is a group key, times `holders^2`.
pub fn loss_over_partitions(plan: &PrivatePlan, price: Rho, holders: u32) -> Option<Rho> {
    let partitions = u64::try_from(plan.partitions.len()).ok()?;
    let times = if plan.partition_is_key() { partitions } else { partitions.checked_mul(partitions)? };
    price.checked_mul(times)?.checked_mul(u64::from(holders).pow(2))
}

/// The loss of one person by the whole question: names leave from each partition and each holder by themselves, so their losses add up; those
/// of numbers are [`loss_over_partitions`].
fn loss_of_question(plan: &PrivatePlan, price: Rho, holders: u32) -> Option<Rho> {
    let names = match plan.open_key() {
        None => Rho::ZERO,
        // The price is the requested rho and two units, one of them the names'.
        Some(open) => super::share_of(open, price.checked_sub(Rho::from_units(2))?).checked_add(Rho::from_units(1))?,
    };
    let times = u64::try_from(plan.partitions.len()).ok()?.checked_mul(u64::from(holders))?;
    loss_over_partitions(plan, price.checked_sub(names)?, holders)?.checked_add(names.checked_mul(times)?)
}

/// The most that a domain whose cap is `cap` can ever lose about a person present in `partitions` of its partitions: `Q^2` times the cap.
pub fn loss_over_a_lifetime(cap: Rho, partitions: u32) -> Option<Rho> {
    cap.checked_mul(u64::from(partitions).pow(2))
}

/// A loss as (epsilon, delta) at the data contract's `delta_conv`; the delta of open keys comes on top.
pub fn as_epsilon(loss: Loss, delta_conv: Delta) -> Option<(f64, Delta)> {
    Some((epsilon_for_rho(loss.rho, delta_conv), delta_conv.checked_add(loss.delta)?))
}
