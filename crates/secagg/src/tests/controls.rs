//! Positive controls: builds that lack one rule, in which the checker finds the leak; and the honest end, where it finds the sum alone.

use super::adversary::{PairNames, assert_no_leak, everything, leaks};
use super::fixture::attempt;
use super::stage::{CELLS, Passed, Stage};
use crate::Refused;
use crate::agent::testing::Weakness;
use crate::cohort::Cohort;
use crate::wire::{Proof, SurvivorSet};

/// R4 and R5 of all honest members on one set.
fn to_the_end(stage: &mut Stage, set: &SurvivorSet) -> Proof {
    let honest = stage.honest();
    let signatures = stage.consents(&honest, set);
    let proof = stage.proof(set, signatures);
    for index in honest {
        stage.unmask(index, &proof).unwrap();
    }
    proof
}

#[test]
fn p3_an_honest_end_gives_the_sum_of_the_honest_survivors_and_nothing_else() {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let (_, context) = stage.up_to_cells();
    assert!(everything(&stage, PairNames::WithIndices).is_empty());
    let set = stage.set(context, &stage.everyone());
    to_the_end(&mut stage, &set);
    let learned = everything(&stage, PairNames::WithIndices);
    assert_eq!(learned.len(), 1);
    assert_eq!(learned[0].members, [(1, 1), (2, 1), (3, 1)].into());
    assert!(learned[0].is_true(&stage));
    assert_no_leak(&stage);
}

/// Member 3 signs a copy of 1's mask key as its own; 2 stands between them, so it adds the stream of the one and takes away that of the
/// other. To the end, if the honest members go that far.
fn copied_key(weakness: Weakness) -> (Stage, Result<(), Refused>) {
    let mut stage = Stage::new(3, 3, 1, &[3]);
    for agent in stage.agents.values_mut() {
        agent.weaken(weakness);
    }
    let mut entries = stage.honest_entries();
    let copied = entries[0].mask_key;
    entries.push(stage.puppets[&3].entry(stage.attempt.manifest(), |entry| entry.mask_key = copied));
    let list = stage.list(entries);
    if let Err(refused) = stage.give(2, &list) {
        return (stage, Err(refused));
    }
    let shares = stage.shares(&list);
    let everyone = stage.everyone();
    let context = stage.masked(&list, &shares, &everyone);
    let set = stage.set(context, &everyone);
    to_the_end(&mut stage, &set);
    (stage, Ok(()))
}

#[test]
fn p3_control_a_copied_key_exposes_a_member_when_pair_masks_lack_the_indices() {
    let (stage, end) = copied_key(Weakness { takes_copied_keys: true, pair_masks_without_indices: true });
    assert_eq!(end, Ok(()));
    let leaks = leaks(&stage, PairNames::WithoutIndices);
    assert!(leaks.iter().any(|leak| leak.members == [(2, 1)].into()), "{leaks:?}");
    assert!(leaks.iter().all(|leak| leak.is_true(&stage)));
}

#[test]
fn p3_either_of_the_two_rules_against_copied_keys_is_enough() {
    let (stage, end) = copied_key(Weakness { takes_copied_keys: true, ..Weakness::default() });
    assert_eq!(end, Ok(()));
    assert_no_leak(&stage);
    let (stage, end) = copied_key(Weakness { pair_masks_without_indices: true, ..Weakness::default() });
    assert_eq!(end, Err(Refused::CopiedKey));
    assert!(leaks(&stage, PairNames::WithoutIndices).is_empty());
}

#[test]
fn p3_control_two_signed_sets_of_survivors_expose_a_member() {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let (_, context) = stage.up_to_cells();
    // Every honest member lives twice from here on, as a copied memory would.
    let copies: Vec<_> = stage.agents.iter().map(|(index, agent)| (*index, agent.copy_after_masking().unwrap())).collect();
    let all = stage.set(context, &stage.everyone());
    to_the_end(&mut stage, &all);
    assert_no_leak(&stage);
    stage.agents = copies.into_iter().collect();
    let fewer = stage.set(context, &[1, 2, 4, 5]);
    let signatures = stage.consents(&[1, 2], &fewer);
    let proof = stage.proof(&fewer, signatures);
    stage.unmask(1, &proof).unwrap();
    assert_no_leak(&stage);
    stage.unmask(2, &proof).unwrap();
    let leaks = leaks(&stage, PairNames::WithIndices);
    assert!(leaks.iter().any(|leak| leak.members == [(3, 1)].into()), "{leaks:?}");
    assert!(leaks.iter().all(|leak| leak.is_true(&stage)));
}

#[test]
fn p3_control_two_sets_can_be_proved_when_2t_is_only_n_plus_c() {
    let attempt = attempt(&[1, 2, 3, 4, 5], 4, 1, CELLS).with_cohort(Cohort::against_the_rule(5, 3, 1));
    let mut stage = Stage::of(&attempt, &[5]);
    let (_, context) = stage.up_to_cells();
    for (half, set) in [([1, 2], vec![1, 2, 5]), ([3, 4], vec![3, 4, 5])] {
        let set = stage.set(context, &set);
        let signatures = stage.consents(&half, &set);
        let proof = stage.proof(&set, signatures);
        assert_no_leak(&stage);
        for index in half {
            stage.unmask(index, &proof).unwrap();
        }
    }
    // Each half gave shares of b of its own members and of u of the others.
    let leaks = leaks(&stage, PairNames::WithIndices);
    assert!((1..=4).all(|member| leaks.iter().any(|leak| leak.members == [(member, 1)].into())), "{leaks:?}");
    assert!(leaks.iter().all(|leak| leak.is_true(&stage)));
}

#[test]
fn p3_control_shares_of_both_b_and_u_of_one_member_expose_it() {
    let mut stage = Stage::new(4, 4, 2, &[3, 4]);
    let (_, context) = stage.up_to_cells();
    let pairs = |index: u32| {
        let pairs = stage.agents[&index].pairs_after_masking().unwrap();
        Passed::Pairs(index, pairs.into_iter().filter(|(subject, _)| *subject == 1).collect())
    };
    let (first, second) = (pairs(1), pairs(2));
    let set = stage.set(context, &stage.everyone());
    to_the_end(&mut stage, &set);
    stage.passed.push(first);
    assert_no_leak(&stage);
    stage.passed.push(second);
    let leaks = leaks(&stage, PairNames::WithIndices);
    assert!(leaks.iter().any(|leak| leak.members == [(1, 1)].into()), "{leaks:?}");
    assert!(leaks.iter().all(|leak| leak.is_true(&stage)));
}
