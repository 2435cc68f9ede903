//! A coordinator that shows random sets to each member and gives each one whatever proof it can put together.

use std::collections::BTreeMap;

use commun_domain::Document;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::adversary::{PairNames, assert_no_leak, everything, leaks};
use super::super::fixture::attempt;
use super::super::stage::{CELLS, Stage};
use crate::attempt::Attempt;
use crate::cohort::Cohort;
use crate::wire::{SignedBy, SurvivorSet};

/// What the adversary does, by the place of each honest member.
#[derive(Clone, Debug)]
struct Choices {
    /// Everyone is told that everyone sent shares.
    same_senders: bool,
    /// Two sets of survivors go round, instead of one for each member.
    two_sets: bool,
    senders: Vec<u32>,
    survivors: Vec<u32>,
    proofs: Vec<prop::sample::Index>,
}

fn choices() -> impl Strategy<Value = Choices> {
    let bits = || prop::collection::vec(any::<u32>(), 8);
    (any::<bool>(), any::<bool>(), bits(), bits(), prop::collection::vec(any::<prop::sample::Index>(), 8))
        .prop_map(|(same_senders, two_sets, senders, survivors, proofs)| Choices { same_senders, two_sets, senders, survivors, proofs })
}

/// Members of a set given by bits, the member itself always, and those in `sure`.
fn members(bits: u32, n: u32, own: u32, sure: &[u32]) -> Vec<u32> {
    (1..=n).filter(|member| bits >> member & 1 == 1 || *member == own || sure.contains(member)).collect()
}

fn play(attempt: &Attempt, puppets: &[u32], choices: &Choices) -> Stage {
    let mut stage = Stage::of(attempt, puppets);
    let list = stage.key_list();
    let shares = stage.shares(&list);
    let (n, everyone) = (attempt.cohort().members(), stage.everyone());
    let mut contexts = BTreeMap::new();
    for (index, bits) in stage.honest().into_iter().zip(&choices.senders) {
        let told = if choices.same_senders { everyone.clone() } else { members(*bits, n, index, puppets) };
        if stage.give(index, &Stage::share_list(&list, &shares, &told, index)).is_ok() {
            contexts.insert(index, crate::context::context(&list, list.hash(), &told));
        }
    }
    for &puppet in puppets {
        stage.tell_puppet(Stage::share_list(&list, &shares, &everyone, puppet));
    }
    // Each member is shown a set in its own view.
    let mut signed: BTreeMap<_, (SurvivorSet, Vec<SignedBy>)> = BTreeMap::new();
    for (place, (&index, &context)) in contexts.iter().enumerate() {
        let bits = choices.survivors[if choices.two_sets { place % 2 } else { place }];
        let set = stage.set(context, &members(bits, n, index, puppets));
        let signatures = stage.consents(&[index], &set);
        signed.entry(set.hash()).or_insert_with(|| (set, Vec::new())).1.extend(signatures);
    }
    let signed: Vec<(SurvivorSet, Vec<SignedBy>)> = signed.into_values().collect();
    for (&index, choice) in contexts.keys().zip(&choices.proofs) {
        // Mostly the set that it signed is proved to it, if it can be; what it refuses, it refuses.
        let own = signed.iter().find(|(_, signatures)| signatures.iter().any(|by| by.index == index));
        let (set, signatures) = if choice.index(4) > 0 { own.unwrap_or(&signed[0]) } else { &signed[choice.index(signed.len())] };
        let proof = stage.proof(set, signatures.clone());
        let _ = stage.unmask(index, &proof);
    }
    stage
}

/// n, T, c and the adversary's members.
const COHORTS: [(u32, u32, u32, &[u32]); 4] = [(5, 4, 2, &[4, 5]), (5, 4, 2, &[1, 3]), (6, 4, 1, &[3]), (7, 5, 2, &[2, 7])];

fn attempt_of(n: u32, threshold: u32, colluders: u32) -> Attempt {
    attempt(&(1..=n).collect::<Vec<_>>(), threshold, colluders, CELLS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn p3_no_choice_of_sets_and_proofs_reveals_fewer_than_h_members(cohort in prop::sample::select(&COHORTS[..]), choices in choices()) {
        let (n, threshold, colluders, puppets) = cohort;
        assert_no_leak(&play(&attempt_of(n, threshold, colluders), puppets, &choices));
    }
}

/// The same random coordinator, a fixed number of times.
fn plays(attempt: &Attempt, puppets: &[u32]) -> impl Iterator<Item = Stage> {
    let mut runner = TestRunner::deterministic();
    (0..1_000).map(move |_| play(attempt, puppets, &choices().new_tree(&mut runner).unwrap().current()))
}

#[test]
fn p3_control_random_choices_reach_the_end_and_find_the_leak_where_the_rule_does_not_hold() {
    let ends = plays(&attempt_of(5, 4, 2), &[4, 5]).find(|stage| !everything(stage, PairNames::WithIndices).is_empty());
    assert!(ends.is_some(), "no choice unmasks anything");
    let against_the_rule = attempt_of(5, 4, 1).with_cohort(Cohort::against_the_rule(5, 3, 1));
    let leak = plays(&against_the_rule, &[5]).find(|stage| !leaks(stage, PairNames::WithIndices).is_empty());
    assert!(leak.is_some(), "2T = n + c, and nothing is found");
}
