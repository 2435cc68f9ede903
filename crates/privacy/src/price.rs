//! From a plan and a requested rho to a price and to the noise of each output.
//!
//! Holder and coordinator call the same functions on the same plan, so that no number of the other is trusted (P4). The price is known
//! before the cohort is; the noise depends on how many agents' noise counts.

use commun_domain::attempt::{NamesLaw, OutputNoise};
use commun_domain::plan::{Aggregate, KeySource, MAX_BINS_LOG2, OpenKey, PrivatePlan};
use commun_domain::{Delta, Rho};

use crate::answer::{self, AnswerError};
use crate::lattice::{Lattice, LatticeError, lattice};
use crate::ledger::{Charge, Loss};
use crate::threshold::{ThresholdError, names_law};

mod sensitivity;
mod statement;
mod target;

pub use commun_domain::plan::MAX_HISTOGRAM_VALUES_PER_PERSON;
pub use sensitivity::{Sensitivity, sensitivity};
pub use statement::{Guarantees, Statement, as_epsilon, guarantees, loss_over_a_lifetime, loss_over_partitions, statement};
pub use target::{MarginPrice, MarginTarget, TargetError, margin_at, rho_for_margin};

/// Covers, in units of 2^-40, by how much a sum of discrete Gaussians can lose more than one discrete Gaussian
/// (Kairouz, Liu and Steinke 2021, proposition 14: under 1e-100 at 16 steps; see `lattice/PROOF.md`).
const SUM_OF_GAUSSIANS: Rho = Rho::from_units(1);

/// Why a plan has no price or no noise. All of it follows from public parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// The plan counts nothing.
    #[error("the plan has no output or no partition")]
    Empty,
    /// The shares of outputs and names do not add up to 1.
    #[error("the outputs' shares of rho do not add up to 1")]
    Shares,
    /// The plan's bounds are impossible or leave nothing to sum.
    #[error("the bounds of output \"{0}\" leave nothing to add up; use lo below hi, not both 0, and at least one row a person")]
    Bounds(String),
    /// More bins than a histogram may have.
    #[error("the histogram of output \"{0}\" has more than 2^{MAX_BINS_LOG2} bins")]
    Bins(String),
    /// The sensitivity of an output does not fit its integer.
    #[error(
        "one person could move output \"{0}\" too far to be priced; clamp it to narrower bounds, to fewer decimal digits or to fewer rows a person"
    )]
    Sensitivity(String),
    /// The price does not fit its integer.
    #[error("the requested rho is too large to be priced; ask for less")]
    TooLarge,
    /// Nobody could make a table of the answer, so nobody is charged for it.
    #[error(transparent)]
    Unreadable(#[from] AnswerError),
    /// More than one open group key, or one that cannot be what it says.
    #[error("a question has at most one open group key, of at least one name")]
    OpenKey,
    /// Nobody can be clipped, or who is depends on names.
    #[error("clipped people are counted where a bound can cut something, and not beside an open group key")]
    Clipped,
    /// Names of the open group key have no threshold.
    #[error("names of the open group key: {0}")]
    Names(#[from] ThresholdError),
    /// More noise shares than agents, or none.
    #[error("{honest} of {agents} agents cannot add the noise that counts")]
    Cohort {
        /// Agents in the cohort.
        agents: u32,
        /// h.
        honest: u32,
    },
    /// An output has no lattice.
    #[error("output \"{name}\": {reason}")]
    Output {
        /// Name of the output.
        name: String,
        /// Why.
        #[source]
        reason: LatticeError,
    },
}

/// What one partition is charged at each holder for the whole question: the requested rho plus one unit of 2^-40, and where it has an open
/// group key one unit more, and delta. Declared group keys spend no delta.
pub fn price(plan: &PrivatePlan, requested: Rho) -> Result<Loss, PriceError> {
    let numbers = numbers(plan, requested)?;
    match names(plan, requested)? {
        None => Ok(numbers),
        Some(names) => names.loss.plus(numbers).ok_or(PriceError::TooLarge),
    }
}

/// The first attempt of a question with an open group key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names {
    /// Noise and threshold of names, in each partition.
    pub law: NamesLaw,
    /// What one partition is charged at each holder.
    pub loss: Loss,
}

/// Noise, threshold and price of the names of an open group key: its share of rho, rounded up to whole units, and its delta. `None` without one.
pub fn names(plan: &PrivatePlan, requested: Rho) -> Result<Option<Names>, PriceError> {
    check_plan(plan)?;
    let Some(open) = plan.open_key() else { return Ok(None) };
    let rho = share_of(open, requested).checked_add(Rho::from_units(1)).ok_or(PriceError::TooLarge)?;
    Ok(Some(Names { law: names_law(plan.max_groups_per_person, rho, open.delta)?, loss: Loss { rho, delta: open.delta } }))
}

/// [`names`] of a question whose whole price is known, as in a result release.
pub fn names_at_price(plan: &PrivatePlan, whole: Rho) -> Result<Option<Names>, PriceError> {
    // One unit is that of names, one that of sums of noise.
    names(plan, whole.checked_sub(Rho::from_units(2)).unwrap_or_default())
}

/// What one partition is charged at each holder for the attempt that releases numbers.
pub fn numbers(plan: &PrivatePlan, requested: Rho) -> Result<Loss, PriceError> {
    check_plan(plan)?;
    let names = plan.open_key().map_or(Rho::ZERO, |open| share_of(open, requested));
    let rho = requested.checked_sub(names).and_then(|rho| rho.checked_add(SUM_OF_GAUSSIANS)).ok_or(PriceError::TooLarge)?;
    Ok(Loss { rho, delta: Delta::ZERO })
}

/// The names' share of rho, rounded down to whole units, so that what is left covers the outputs' shares.
fn share_of(open: &OpenKey, requested: Rho) -> Rho {
    let share = u128::from(requested.units()) * u128::from(open.share_num) / u128::from(open.share_den.max(1));
    Rho::from_units(u64::try_from(share).unwrap_or(u64::MAX))
}

/// The charges of one RESERVE: a loss in each of the plan's partitions.
pub fn charges(plan: &PrivatePlan, Loss { rho, delta }: Loss) -> Vec<Charge> {
    plan.partitions.iter().map(|period| Charge { period: *period, rho, delta }).collect()
}

/// The noise that each of `agents` agents adds to each output, in plan order, and then to the number of clipped people if that is released, when the noise of `honest` of them counts (h).
pub fn noise(plan: &PrivatePlan, requested: Rho, agents: u32, honest: u32) -> Result<Vec<OutputNoise>, PriceError> {
    check_plan(plan)?;
    if honest == 0 || honest > agents {
        return Err(PriceError::Cohort { agents, honest });
    }
    let fitted = |name: &str, moved: u32, delta: u64, share: (u32, u32)| {
        let fitted = lattice(moved, delta, share, requested, honest).and_then(|found| {
            let fits = Lattice::fits_modulus(agents, found.d, found.s2);
            if fits { Ok(found) } else { Err(LatticeError::TotalTooLarge) }
        });
        fitted.map(OutputNoise::from).map_err(|reason| PriceError::Output { name: name.to_owned(), reason })
    };
    let outputs = plan.outputs.iter().map(|output| {
        let too_far = || PriceError::Sensitivity(output.name.clone());
        let Sensitivity { delta, levels } = sensitivity(&output.aggregate).ok_or_else(too_far)?;
        // Squared distance: in each of at most L0 groups, delta^2 in each of the levels.
        let moved = plan.max_groups_per_person.checked_mul(levels).ok_or_else(too_far)?;
        fitted(&output.name, moved, delta, (output.share_num, output.share_den))
    });
    // A person is clipped in a partition or not: one number moves, by 1.
    let clipped = plan.clipped.map(|clipped| fitted("clipped people", 1, 1, (clipped.share_num, clipped.share_den)));
    outputs.chain(clipped).collect()
}

impl From<Lattice> for OutputNoise {
    fn from(Lattice { gamma_log2, d, s2 }: Lattice) -> Self {
        Self { gamma_log2, d, s2 }
    }
}

impl From<OutputNoise> for Lattice {
    fn from(OutputNoise { gamma_log2, d, s2 }: OutputNoise) -> Self {
        Self { gamma_log2, d, s2 }
    }
}

fn check_plan(plan: &PrivatePlan) -> Result<(), PriceError> {
    if plan.outputs.is_empty() || plan.partitions.is_empty() {
        return Err(PriceError::Empty);
    }
    for output in &plan.outputs {
        if sensitivity::is_empty(&output.aggregate) {
            return Err(PriceError::Bounds(output.name.clone()));
        }
        if matches!(output.aggregate, Aggregate::Histogram { bins_log2, .. } if bins_log2 > MAX_BINS_LOG2) {
            return Err(PriceError::Bins(output.name.clone()));
        }
        if sensitivity(&output.aggregate).is_none() {
            return Err(PriceError::Sensitivity(output.name.clone()));
        }
    }
    let open = plan.keys.iter().filter(|key| matches!(key.source, KeySource::Open(_))).count();
    if open > 1 || plan.open_key().is_some_and(|open| open.max_names == 0) {
        return Err(PriceError::OpenKey);
    }
    if plan.clipped.is_some() && (open > 0 || !plan.can_clip()) {
        return Err(PriceError::Clipped);
    }
    answer::check(plan)?;
    if shares_add_up_to_one(plan) { Ok(()) } else { Err(PriceError::Shares) }
}

/// Adds the shares as reduced fractions; a sum that needs more than 128 bits is no sum that a compiler of plans writes.
fn shares_add_up_to_one(plan: &PrivatePlan) -> bool {
    let mut sum: (u128, u128) = (0, 1);
    let names = plan.open_key().map(|open| (open.share_num, open.share_den));
    let clipped = plan.clipped.map(|clipped| (clipped.share_num, clipped.share_den));
    for (num, den) in plan.outputs.iter().map(|output| (output.share_num, output.share_den)).chain(names).chain(clipped) {
        let (num, den) = (u128::from(num), u128::from(den));
        if num == 0 || den == 0 {
            return false;
        }
        let added = (|| Some((sum.0.checked_mul(den)?.checked_add(num.checked_mul(sum.1)?)?, sum.1.checked_mul(den)?)))();
        let Some((num, den)) = added else {
            return false;
        };
        let divisor = greatest_common_divisor(num, den);
        sum = (num / divisor, den / divisor);
    }
    sum == (1, 1)
}

fn greatest_common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
