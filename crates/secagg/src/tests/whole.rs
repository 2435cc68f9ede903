//! Honest runs through both state machines: the unmasked sum is the plain sum, whoever drops out when.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use commun_domain::Document;
use curve25519_dalek::Scalar;
use proptest::prelude::*;

use super::fixture::{SLOT_MS, attempt, identity, key};
use crate::Refused;
use crate::agent::{Agent, Reply, Round, Standing};
use crate::attempt::Attempt;
use crate::cohort::Cohort;
use crate::coordinator::{Coordinator, Failed, Outcome, Receipt};
use crate::crypto::seal::canonical;
use crate::wire::Unmask;

/// A run: who is silent from which round on, and whose opened shares are wrong.
pub(crate) struct Run {
    pub(crate) attempt: Attempt,
    pub(crate) plain: BTreeMap<u32, Vec<i64>>,
    pub(crate) silent_from: BTreeMap<u32, Round>,
    pub(crate) liars: Vec<u32>,
}

/// What a run leaves.
pub(crate) struct Left {
    pub(crate) outcome: Outcome,
    /// Masked cells of those whose cells were taken.
    pub(crate) cells: BTreeMap<u32, Arc<Vec<u64>>>,
    pub(crate) agents: BTreeMap<u32, Agent>,
}

impl Run {
    pub(crate) fn new(attempt: Attempt) -> Self {
        let value = |index: u32, cell: usize| i64::from(index) * 31 - i64::try_from(cell * cell).unwrap();
        let plain = attempt.indices().map(|index| (index, (0..attempt.cells()).map(|cell| value(index, cell)).collect())).collect();
        Self { attempt, plain, silent_from: BTreeMap::new(), liars: Vec::new() }
    }

    fn speaks(&self, index: u32, round: Round) -> bool {
        self.silent_from.get(&index).is_none_or(|silent| round < *silent)
    }

    /// Everyone that speaks in a round, by the rules of dropping out for good.
    pub(crate) fn left_after(&self, round: Round) -> Vec<u32> {
        self.attempt.indices().filter(|index| self.speaks(*index, round)).collect()
    }

    pub(crate) fn run(&self, workers: usize) -> Result<Left, Failed> {
        let mut coordinator = Coordinator::new(self.attempt.clone());
        let mut agents = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for index in self.attempt.indices() {
            let mut agent = Agent::accepted(identity(1), index, key(index));
            agent.manifest(self.attempt.clone())?;
            agents.insert(index, agent);
        }
        for round in [Round::Keys, Round::Shares, Round::Cells, Round::Consent, Round::Unmask] {
            assert_eq!(coordinator.round(), Some(round));
            for (&index, agent) in &mut agents {
                let told = coordinator.message_for(index);
                if !self.speaks(index, round) {
                    continue;
                }
                let reply = match told {
                    None => agent.keys(&self.plain[&index], SLOT_MS, Standing::Clear)?,
                    Some(message) => agent.receive(&message, Standing::Clear)?,
                };
                let receipt = match reply {
                    Reply::Cells { head, cells } => {
                        let receipt = coordinator.receive_cells(index, &head, &cells)?;
                        kept.insert(index, cells);
                        receipt
                    }
                    Reply::Message(message) if round == Round::Unmask && self.liars.contains(&index) => {
                        coordinator.receive(index, &lie(&message))?
                    }
                    Reply::Message(message) => coordinator.receive(index, &message)?,
                };
                assert_eq!(receipt, Receipt::Taken);
            }
            if round < Round::Unmask {
                coordinator.close_round()?;
            }
        }
        let outcome = coordinator.finish(NonZeroUsize::new(workers).unwrap())?;
        Ok(Left { outcome, cells: kept, agents })
    }
}

/// The message with every share wrong.
fn lie(message: &[u8]) -> Vec<u8> {
    let mut unmask = Unmask::from_bytes(message).unwrap();
    for share in &mut unmask.shares {
        *share = (canonical(share).unwrap() + Scalar::ONE).to_bytes();
    }
    unmask.to_bytes()
}

/// Runs, and compares with what must come out.
fn check(run: &Run) -> Result<(), TestCaseError> {
    let threshold = run.attempt.threshold();
    let rounds = [Round::Keys, Round::Shares, Round::Cells, Round::Consent, Round::Unmask];
    let starved = rounds.iter().any(|round| run.left_after(*round).len() < threshold);
    let opened = run.left_after(Round::Unmask);
    let wrong = run.liars.iter().filter(|liar| opened.contains(liar)).count();
    let left = match run.run(2) {
        Err(failed) => {
            let expected = if starved { Refused::BelowThreshold } else { Refused::WrongShares };
            prop_assert_eq!(failed.reason, expected);
            let dealer_named = failed.dealer.is_some_and(|dealer| run.attempt.indices().any(|index| index == dealer.index));
            prop_assert_eq!(dealer_named, !starved);
            // Every dealer is honest, so none is proved a liar while at most c members lie.
            let few = wrong <= usize::try_from(run.attempt.cohort().colluders()).unwrap();
            prop_assert!(!few || failed.dealer.is_none_or(|dealer| !dealer.proved));
            prop_assert!(failed.wrong_shares.is_empty());
            prop_assert!(starved || wrong > (opened.len() - threshold) / 2);
            return Ok(());
        }
        Ok(left) => left,
    };
    // More liars than can be decoded do no harm where they are not among the shares that are used.
    prop_assert!(!starved);
    let survivors = run.left_after(Round::Cells);
    let sum = (0..run.attempt.cells()).map(|cell| survivors.iter().map(|index| run.plain[index][cell]).sum::<i64>());
    prop_assert_eq!(&left.outcome.cells, &sum.collect::<Vec<i64>>());
    prop_assert_eq!(&left.outcome.survivors, &survivors);
    let consented = run.left_after(Round::Consent);
    prop_assert_eq!(left.outcome.withheld, consented.into_iter().filter(|index| !opened.contains(index)).collect::<Vec<_>>());
    prop_assert!(left.outcome.wrong_shares.iter().all(|wrong| run.liars.contains(&wrong.holder)));
    for index in opened {
        prop_assert_eq!(left.agents[&index].transcript(), Some(left.outcome.transcript));
    }
    Ok(())
}

/// n, with T and c by the rule, sparse indices, and dropouts of which there are seldom too many.
fn runs(members: impl Strategy<Value = u32>) -> impl Strategy<Value = Run> {
    let seeds = (members, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1usize..20, 1u32..1 << 20);
    seeds.prop_flat_map(|(n, colluders, threshold, cells, step)| {
        let pairs = (1..n).flat_map(|c| (c + 1..=n).map(move |t| (c, t))).filter(|(c, t)| 2 * t > n + c);
        let pairs: Vec<(u32, u32)> = pairs.collect();
        // Small c are as likely as large ones, and small T as large ones.
        let c = pairs[colluders.index(pairs.len())].0;
        let of_c: Vec<u32> = pairs.iter().filter(|pair| pair.0 == c).map(|pair| pair.1).collect();
        let t = of_c[threshold.index(of_c.len())];
        Cohort::new(n, t, c).unwrap();
        let indices: Vec<u32> = (1..=n).map(|k| 1 + (k - 1) * step.min(u32::MAX / n)).collect();
        let spare = usize::try_from(n - t).unwrap();
        let round = prop::sample::select(vec![Round::Keys, Round::Shares, Round::Cells, Round::Consent, Round::Unmask]);
        let dropouts = prop::collection::vec((prop::sample::select(indices.clone()), round), 0..=spare + 1);
        let liars = prop::collection::vec(prop::sample::select(indices.clone()), 0..=spare / 2 + 1);
        (dropouts, liars).prop_map(move |(dropouts, liars)| {
            let mut run = Run::new(attempt(&indices, t, c, cells));
            run.silent_from = dropouts.into_iter().collect();
            run.liars = liars;
            run
        })
    })
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, silent from {:?}, liars {:?}", self.attempt.cohort(), self.silent_from, self.liars)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn p3_the_unmasked_sum_is_the_plain_sum_whoever_drops_out(run in runs(2u32..=16)) {
        check(&run)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]
    #[test]
    fn p3_the_unmasked_sum_is_the_plain_sum_in_large_cohorts(run in runs(prop::sample::select(vec![40, 70, 110]))) {
        check(&run)?;
    }
}

#[test]
fn p3_two_hundred_members_of_which_some_drop_out_in_each_round_give_the_plain_sum() {
    let indices: Vec<u32> = (1..=200).map(|k| k * 21_474_836).collect();
    let mut run = Run::new(attempt(&indices, 180, 20, 2));
    let rounds = [Round::Keys, Round::Shares, Round::Cells, Round::Cells, Round::Consent, Round::Unmask];
    run.silent_from = rounds.into_iter().enumerate().map(|(k, round)| (indices[k * 33], round)).collect();
    run.liars = vec![indices[1], indices[90], indices[199]];
    check(&run).unwrap();
}

#[test]
fn p3_two_members_give_the_plain_sum_and_neither_can_drop_out() {
    let mut run = Run::new(attempt(&[3, u32::MAX], 2, 1, 5_000));
    check(&run).unwrap();
    run.silent_from.insert(3, Round::Unmask);
    let failed = run.run(1).err().unwrap();
    assert_eq!((failed.reason, failed.withheld), (Refused::BelowThreshold, vec![3]));
}

#[test]
fn both_sides_may_be_handed_to_another_thread() {
    fn may<T: Send>(_: T) {}
    may(Agent::accepted(identity(1), 1, key(1)));
    may(Coordinator::new(attempt(&[1, 2], 2, 1, 1)));
}

#[test]
fn p3_sums_wrap_modulo_2_to_the_64_and_back() {
    let mut run = Run::new(attempt(&[1, 2, 3], 3, 1, 2));
    run.plain = [(1, vec![i64::MAX, i64::MIN]), (2, vec![i64::MAX, i64::MIN]), (3, vec![12, -34])].into();
    assert_eq!(run.run(1).unwrap().outcome.cells, [10, -34]);
}
