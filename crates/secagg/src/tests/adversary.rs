//! What an adversary who is the coordinator and the puppets can compute, derived from the captured bytes alone.
//!
//! Each vector of masked cells is an equation: the holder's noisy cells, plus masks. A mask whose seed the adversary can compute is known;
//! every other mask is an unknown, named by what determines it (the two public keys and the derivation's info, or the member and its view).
//! Equal names are the same stream, different names are independent ones. The adversary learns exactly the combinations of equations in
//! which all unknown masks cancel; a leak is such a combination of fewer than h honest members. Coefficients are counted modulo the prime
//! 2^61 - 1: masks have coefficients of plus and minus 1, so nothing hides in 2^64's lack of inverses.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::{Document, Hash32};
use curve25519_dalek::Scalar;

use super::stage::{Passed, Stage};
use crate::checks::{b_fits, u_fits};
use crate::context::{pair_info, self_key};
use crate::crypto::exchange::ExchangeKey;
use crate::crypto::masks::{Sign, apply};
use crate::crypto::seal::canonical;
use crate::crypto::shamir::{combine, weights_at_zero};
use crate::crypto::wide::{Limbs, limbs};
use crate::graph::peers;
use crate::wire::{KeyEntry, KeyList, MaskedHead, ShareList, SurvivorSet, Unmask};

/// A combination of captured vectors in which every unknown mask cancels.
#[derive(Debug)]
pub(crate) struct Learned {
    /// Honest members with their coefficients.
    pub(crate) members: BTreeMap<u32, i64>,
    /// The combination of their noisy cells, computed from the captured bytes.
    pub(crate) cells: Vec<i64>,
}

/// How pair masks are named in the build that is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairNames {
    WithIndices,
    WithoutIndices,
}

/// Combinations of fewer than h honest members that the adversary can compute. Empty is what the protocol promises.
pub(crate) fn leaks(stage: &Stage, names: PairNames) -> Vec<Learned> {
    let equations = Knowledge::derive(stage).equations(stage, names);
    let honest: Vec<u32> = stage.plain.keys().copied().collect();
    let few = usize::try_from(stage.attempt.cohort().honest()).unwrap() - 1;
    let subsets = (0u32..1 << honest.len()).filter(|subset| subset.count_ones() as usize == few.min(honest.len()));
    let members = |subset: u32| honest.iter().enumerate().filter(move |(place, _)| subset >> place & 1 == 1).map(|(_, member)| *member);
    subsets.flat_map(|subset| learned(&equations, &members(subset).collect())).collect()
}

/// All that the adversary can compute about honest members: for an attempt that ends well, the sum of the honest survivors.
pub(crate) fn everything(stage: &Stage, names: PairNames) -> Vec<Learned> {
    learned(&Knowledge::derive(stage).equations(stage, names), &stage.plain.keys().copied().collect())
}

/// Asserts that nothing about fewer than h honest members can be computed.
pub(crate) fn assert_no_leak(stage: &Stage) {
    let leaks = leaks(stage, PairNames::WithIndices);
    assert!(leaks.is_empty(), "the adversary learns {leaks:?}");
}

/// Shares by the subject, each by the index of its holder.
type Shares = BTreeMap<u32, BTreeMap<u32, Scalar>>;

#[derive(Default)]
struct Knowledge {
    lists: BTreeMap<Hash32, KeyList>,
    /// U2 by its hash.
    senders: BTreeMap<Hash32, Vec<u32>>,
    b: BTreeMap<u32, Scalar>,
    /// Private keys by the public mask key.
    mask_keys: BTreeMap<[u8; 32], ExchangeKey>,
}

impl Knowledge {
    fn derive(stage: &Stage) -> Self {
        let mut known = Self::default();
        let (mut b_shares, mut u_shares) = (Shares::new(), Shares::new());
        let mut sets: BTreeMap<Hash32, SurvivorSet> = BTreeMap::new();
        for passed in &stage.passed {
            let Passed::To(to, bytes) = passed else { continue };
            if let Ok(list) = KeyList::from_bytes(bytes) {
                known.lists.insert(list.hash(), list);
            } else if let Ok(set) = SurvivorSet::from_bytes(bytes) {
                sets.insert(set.hash(), set);
            } else if let Ok(list) = ShareList::from_bytes(bytes) {
                let Some(keys) = known.lists.get(&list.keys) else { continue };
                let context = crate::context::context(keys, list.keys, &list.senders);
                known.senders.insert(context.senders, list.senders.clone());
                let Some(puppet) = stage.puppets.get(to) else { continue };
                for (subject, pair) in puppet.opened(keys, &list) {
                    b_shares.entry(subject).or_default().insert(*to, pair.b);
                    u_shares.entry(subject).or_default().insert(*to, pair.u);
                }
            }
        }
        for passed in &stage.passed {
            if let Passed::Pairs(from, pairs) = passed {
                for (subject, pair) in pairs {
                    b_shares.entry(*subject).or_default().insert(*from, pair.b);
                    u_shares.entry(*subject).or_default().insert(*from, pair.u);
                }
            }
            let Passed::From(from, bytes) = passed else { continue };
            let Ok(unmask) = Unmask::from_bytes(bytes) else { continue };
            let survivors = sets[&unmask.survivors].indices();
            for (subject, share) in known.senders[&unmask.context.senders].iter().zip(&unmask.shares) {
                let shares = if survivors.contains(subject) { &mut b_shares } else { &mut u_shares };
                shares.entry(*subject).or_default().insert(*from, canonical(share).unwrap());
            }
        }
        known.reconstruct(stage, &b_shares, &u_shares);
        known
    }

    /// Seeds with at least T shares, and those of the puppets.
    fn reconstruct(&mut self, stage: &Stage, b_shares: &Shares, u_shares: &Shares) {
        let (threshold, manifest) = (stage.threshold(), stage.attempt.manifest());
        let secret = |shares: &BTreeMap<u32, Scalar>| {
            let (xs, values): (Vec<u32>, Vec<Limbs>) = shares.iter().take(threshold).map(|(x, share)| (*x, limbs(share))).unzip();
            (xs.len() == threshold).then(|| combine(&weights_at_zero(&xs), &values))
        };
        let entries: Vec<KeyEntry> = self.lists.values().flat_map(|list| list.entries.clone()).collect();
        for entry in &entries {
            let b = b_shares.get(&entry.index).and_then(secret).filter(|b| b_fits(manifest, entry, b));
            let u = u_shares.get(&entry.index).and_then(secret);
            self.b.extend(b.map(|b| (entry.index, b)));
            self.mask_keys.extend(u.and_then(|u| u_fits(manifest, entry, &u).unwrap()).map(|key| (entry.mask_key, key)));
        }
        for puppet in stage.puppets.values() {
            let own = puppet.entry(manifest, |_| ());
            self.mask_keys.insert(own.mask_key, u_fits(manifest, &own, &puppet.u).unwrap().unwrap());
        }
    }

    fn equations(&self, stage: &Stage, names: PairNames) -> Vec<Equation> {
        let vectors = stage.passed.iter().filter_map(|passed| match passed {
            Passed::Cells(from, head, cells) => Some((*from, head, cells)),
            _ => None,
        });
        vectors.map(|(from, head, cells)| self.equation(from, head, cells, names)).collect()
    }

    fn equation(&self, from: u32, head: &MaskedHead, cells: &[u64], names: PairNames) -> Equation {
        let context = head.context;
        let list = &self.lists[&context.keys];
        let mut equation = Equation { terms: BTreeMap::from([(Unknown::Plain(from), 1)]), value: cells.to_vec() };
        match self.b.get(&from) {
            Some(b) => apply(&self_key(&context, from, b).unwrap(), Sign::Minus, 0, &mut equation.value).unwrap(),
            None => equation.add(Unknown::Own(from, context.senders), Sign::Plus),
        }
        let own = list.entry(from).unwrap().mask_key;
        for (peer, sign) in peers(from, &self.senders[&context.senders]) {
            let other = list.entry(peer).unwrap().mask_key;
            let info = match names {
                PairNames::WithIndices => pair_info(&context, from, peer),
                PairNames::WithoutIndices => pair_info(&context, 0, 0),
            };
            let known = self.mask_keys.get(&own).map(|key| (key, other)).or_else(|| self.mask_keys.get(&other).map(|key| (key, own)));
            match known {
                Some((key, public)) => {
                    apply(
                        &key.derive_with(&public, &info).unwrap(),
                        if sign == Sign::Plus { Sign::Minus } else { Sign::Plus },
                        0,
                        &mut equation.value,
                    )
                    .unwrap();
                }
                None => equation.add(Unknown::Pair(own.min(other), own.max(other), info), sign),
            }
        }
        equation
    }
}

/// What determines a stream, or the cells of an honest member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unknown {
    Own(u32, Hash32),
    Pair([u8; 32], [u8; 32], Vec<u8>),
    Plain(u32),
}

struct Equation {
    terms: BTreeMap<Unknown, i64>,
    /// The masked cells without the masks that the adversary knows.
    value: Vec<u64>,
}

impl Equation {
    fn add(&mut self, unknown: Unknown, sign: Sign) {
        *self.terms.entry(unknown).or_default() += if sign == Sign::Plus { 1 } else { -1 };
    }
}

const PRIME: i128 = (1 << 61) - 1;

fn modulo(value: i128) -> i128 {
    value.rem_euclid(PRIME)
}

fn inverse(value: i128) -> i128 {
    // Fermat.
    let (mut power, mut base, mut exponent) = (1, value, PRIME - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = modulo(power * base);
        }
        base = modulo(base * base);
        exponent >>= 1;
    }
    power
}

/// Combinations of the equations that hold cells of `members` only: a basis, with their values.
fn learned(equations: &[Equation], members: &BTreeSet<u32>) -> Vec<Learned> {
    let inside = |unknown: &Unknown| matches!(unknown, Unknown::Plain(member) if members.contains(member));
    let columns: BTreeSet<&Unknown> = equations.iter().flat_map(|equation| equation.terms.keys()).collect();
    let (wanted, eliminated): (Vec<&Unknown>, Vec<&Unknown>) = columns.into_iter().partition(|unknown| inside(unknown));
    let coefficient = |equation: &Equation, unknown: &Unknown| modulo(equation.terms.get(unknown).copied().unwrap_or(0).into());
    // Each row: what is to be eliminated, what is wanted, and of which equations it is made.
    let mut rows: Vec<Vec<i128>> = equations
        .iter()
        .enumerate()
        .map(|(number, equation)| {
            let order = eliminated.iter().chain(&wanted).map(|unknown| coefficient(equation, unknown));
            order.chain((0..equations.len()).map(|other| i128::from(other == number))).collect()
        })
        .collect();
    let mut done = 0;
    for column in 0..eliminated.len() + wanted.len() {
        let Some(pivot) = (done..rows.len()).find(|&row| rows[row][column] != 0) else { continue };
        rows.swap(done, pivot);
        let scale = inverse(rows[done][column]);
        let pivot: Vec<i128> = rows[done].iter().map(|value| modulo(value * scale)).collect();
        rows[done].clone_from(&pivot);
        for (number, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if number != done && factor != 0 {
                row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value = modulo(*value - factor * pivot));
            }
        }
        done += 1;
    }
    let kept = rows.iter().filter(|row| row[..eliminated.len()].iter().all(|value| *value == 0));
    let kept = kept.filter(|row| row[eliminated.len()..eliminated.len() + wanted.len()].iter().any(|value| *value != 0));
    kept.map(|row| Learned::of(equations, &wanted, &row[eliminated.len()..])).collect()
}

impl Learned {
    fn of(equations: &[Equation], wanted: &[&Unknown], row: &[i128]) -> Self {
        let small = |value: i128| i64::try_from(if value > PRIME / 2 { value - PRIME } else { value }).unwrap();
        let members = wanted.iter().zip(row).filter(|(_, value)| **value != 0).map(|(unknown, value)| match unknown {
            Unknown::Plain(member) => (*member, small(*value)),
            _ => panic!("a mask is wanted"),
        });
        let mut cells = vec![0i64; equations[0].value.len()];
        for (equation, factor) in equations.iter().zip(&row[wanted.len()..]) {
            let factor = small(*factor);
            cells.iter_mut().zip(&equation.value).for_each(|(sum, cell)| *sum = sum.wrapping_add(cell.cast_signed().wrapping_mul(factor)));
        }
        Self { members: members.collect(), cells }
    }

    /// Whether the value is what the members' plain cells give: then it is no artefact of the checker.
    pub(crate) fn is_true(&self, stage: &Stage) -> bool {
        let expected = |cell: usize| {
            let terms = self.members.iter().map(|(member, factor)| stage.plain[member][cell].wrapping_mul(*factor));
            terms.fold(0, i64::wrapping_add)
        };
        (0..self.cells.len()).all(|cell| self.cells[cell] == expected(cell))
    }
}
