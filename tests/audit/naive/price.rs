//! The arithmetic of sensitivity, noise and price in exact fractions of any size, from the formulas of `docs/concepts/privacy.md`.

use commun_domain::attempt::OutputNoise;
use commun_domain::plan::{Aggregate, PrivatePlan};
use num_bigint::{BigInt, BigUint};

/// `numerator / denominator`, at least 0, not reduced.
#[derive(Clone, Debug)]
pub(crate) struct Fraction(BigUint, BigUint);

impl Fraction {
    pub(crate) fn of(numerator: impl Into<BigUint>, denominator: impl Into<BigUint>) -> Self {
        Self(numerator.into(), denominator.into())
    }

    pub(crate) fn whole(number: impl Into<BigUint>) -> Self {
        Self::of(number, 1u8)
    }

    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(&self.0 * &other.1 + &other.0 * &self.1, &self.1 * &other.1)
    }

    pub(crate) fn times(&self, other: &Self) -> Self {
        Self(&self.0 * &other.0, &self.1 * &other.1)
    }

    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(&self.0 * &other.1, &self.1 * &other.0)
    }

    pub(crate) fn at_most(&self, other: &Self) -> bool {
        &self.0 * &other.1 <= &other.0 * &self.1
    }

    fn floor(&self) -> BigUint {
        &self.0 / &self.1
    }

    fn ceil(&self) -> BigUint {
        (&self.0 + &self.1 - 1u8) / &self.1
    }
}

/// 2^power.
fn two_to(power: i64) -> Fraction {
    let shifted = BigUint::from(1u8) << power.unsigned_abs();
    if power < 0 { Fraction::of(1u8, shifted) } else { Fraction::whole(shifted) }
}

/// How far one person in one partition moves one number of an output, and in how many numbers of a cell.
pub(crate) fn sensitivity(aggregate: &Aggregate) -> (BigUint, u32) {
    let range = |lo: i64, hi: i64| BigUint::from(hi.abs_diff(lo));
    let mean = |linf: u32, reach: BigUint| (reach * linf) << 20;
    match aggregate {
        Aggregate::CountUnits => (1u8.into(), 1),
        Aggregate::CountRows { max_rows_per_person: linf } => ((*linf).into(), 1),
        Aggregate::Sum { measured: of, max_rows_per_person: linf } => {
            (BigUint::from(of.lo.min(0).unsigned_abs().max(of.hi.max(0).unsigned_abs())) * *linf, 1)
        }
        Aggregate::CentredSum { measured: of, max_rows_per_person: linf } => (mean(*linf, range(of.lo, of.hi)), 1),
        Aggregate::CentredSquares { measured: of, max_rows_per_person: linf } => (mean(*linf, range(of.lo, of.hi).pow(2)), 1),
        // Each value counts once in each level, the root's included.
        Aggregate::Histogram { bins_log2, max_rows_per_person: linf, .. } => ((*linf).into(), u32::from(*bins_log2) + 1),
    }
}

/// L0 Delta^2 in each level: squared, how far one person in one partition moves each output, and the number of clipped people.
pub(crate) fn squared(plan: &PrivatePlan) -> Vec<BigUint> {
    let one = |(delta, levels): (BigUint, u32)| delta.pow(2) * levels * plan.max_groups_per_person;
    let outputs = plan.outputs.iter().map(|output| one(sensitivity(&output.aggregate)));
    outputs.chain(plan.clipped.map(|_| BigUint::from(1u8))).collect()
}

/// Step, sensitivity in steps and variance of each output, and of the number of clipped people, where the noise of `honest` agents counts.
pub(crate) fn noise(plan: &PrivatePlan, rho_units: u64, honest: u32) -> Vec<OutputNoise> {
    let rho = Fraction::of(rho_units, 1u64 << 40);
    let of = |delta: BigUint, numbers: u32, share: Fraction| {
        // L0 x^2 / (2 a rho h) for a sensitivity x.
        let variance = |x: &BigUint| {
            let twice = Fraction::whole(2 * honest).times(&share).times(&rho);
            Fraction::whole(x.pow(2) * numbers).over(&twice)
        };
        let sigma2 = variance(&delta);
        let enough = |s: i64| Fraction::whole(256u16).at_most(&two_to(2 * s).times(&sigma2));
        let fine = (0..17).find(|s| enough(*s)).filter(|s| &delta << *s <= BigUint::from(1u32 << 16));
        let (gamma_log2, d) = if let Some(s) = fine {
            (-s, &delta << s)
        } else {
            let below = |e: i64| two_to(2 * e).at_most(&sigma2) && two_to(2 * e).at_most(&Fraction::whole(delta.pow(2)));
            let e = (-64..=64).rev().find(|e| below(*e)).unwrap();
            (e - 10, Fraction::whole(delta).over(&two_to(e - 10)).floor() + 1u8)
        };
        let s2 = variance(&d).ceil();
        OutputNoise { gamma_log2: i32::try_from(gamma_log2).unwrap(), d: d.try_into().unwrap(), s2: s2.try_into().unwrap() }
    };
    let outputs = plan.outputs.iter().map(|output| {
        let (delta, levels) = sensitivity(&output.aggregate);
        of(delta, levels * plan.max_groups_per_person, Fraction::of(output.share_num, output.share_den))
    });
    // A person is clipped in a partition or not.
    let clipped = plan.clipped.map(|clipped| of(1u8.into(), 1, Fraction::of(clipped.share_num, clipped.share_den)));
    outputs.chain(clipped).collect()
}

/// What names of an open group key cost in units of 2^-40, and the variance of their noise: an equal share, rounded down, and one unit; then
/// `ceil(L0 / (2 rho))`.
pub(crate) fn names(plan: &PrivatePlan, rho_units: u64) -> (u64, u64) {
    let rho = rho_units / (plan.outputs.len() as u64 + 1) + 1;
    let variance = Fraction::of(plan.max_groups_per_person, 1u8).over(&Fraction::of(BigUint::from(rho) * 2u8, 1u64 << 40));
    (rho, variance.ceil().try_into().unwrap())
}

/// A total in lattice steps, to the nearest.
fn on_lattice(total: i128, gamma_log2: i32) -> BigInt {
    let total = BigInt::from(total);
    if gamma_log2 <= 0 { total << gamma_log2.unsigned_abs() } else { (total + (BigInt::from(1) << (gamma_log2 - 1))) >> gamma_log2 }
}

/// What the two answers of a pair tell apart, as rho: of each output the squared distance on its lattice, over twice the variance of the noise.
pub(crate) fn loss(noise: &[OutputNoise], one: &[Vec<i128>], other: &[Vec<i128>]) -> Fraction {
    let mut loss = Fraction::whole(0u8);
    for ((noise, one), other) in noise.iter().zip(one).zip(other) {
        let apart = |(a, b): (&i128, &i128)| {
            let apart = (on_lattice(*a, noise.gamma_log2) - on_lattice(*b, noise.gamma_log2)).magnitude().pow(2);
            if a == b { BigUint::ZERO } else { apart }
        };
        let distance: BigUint = one.iter().zip(other).map(apart).sum();
        loss = loss.plus(&Fraction::of(distance, 2 * u128::from(noise.s2)));
    }
    loss
}

/// Squared distance of two answers, output by output, in native units.
pub(crate) fn distances(one: &[Vec<i128>], other: &[Vec<i128>]) -> Vec<BigUint> {
    let apart = |a: &i128, b: &i128| BigUint::from(a.abs_diff(*b)).pow(2);
    one.iter().zip(other).map(|(a, b)| a.iter().zip(b).filter(|(a, b)| a != b).map(|(a, b)| apart(a, b)).sum()).collect()
}
