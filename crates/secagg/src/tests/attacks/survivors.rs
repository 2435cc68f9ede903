//! R4 and R5: false dropouts, two sets of survivors, forged proofs, and shares of both kinds.

use commun_domain::Document;

use super::super::adversary::{PairNames, assert_no_leak, everything};
use super::super::stage::Stage;
use crate::Refused;
use crate::wire::{Context, Proof, SurvivorSet};

/// Honest 1 to 3, puppets 4 and 5, T = 4, h = 2, after R3.
fn masked() -> (Stage, Context) {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let (_, context) = stage.up_to_cells();
    (stage, context)
}

#[test]
fn p3_a_false_dropout_claim_unmasks_the_others_sum_only() {
    let (mut stage, context) = masked();
    // The coordinator has 3's cells and says that 3 dropped out.
    let set = stage.set(context, &[1, 2, 4, 5]);
    assert_eq!(stage.give(3, &set), Err(Refused::LeftOut));
    let signatures = stage.consents(&[1, 2], &set);
    let proof = stage.proof(&set, signatures);
    for index in [1, 2] {
        stage.unmask(index, &proof).unwrap();
    }
    // u_3 is known now, and b_3 never will be: 3's cells keep their own mask.
    let learned = everything(&stage, PairNames::WithIndices);
    assert_eq!(learned.len(), 1);
    assert_eq!(learned[0].members, [(1, 1), (2, 1)].into());
    assert!(learned[0].is_true(&stage));
    assert_no_leak(&stage);
}

/// 1 and 2 are shown one set, 3 is shown another, and all sign. What 3 says to the proof that `make` puts together of the signatures on the
/// larger and on the smaller set.
fn third_after_two_sets(make: impl Fn(&SurvivorSet, Proof, Proof) -> Proof) -> Refused {
    let (mut stage, context) = masked();
    let all = stage.set(context, &[1, 2, 3, 4, 5]);
    let fewer = stage.set(context, &[1, 2, 4, 5]);
    let (of_fewer, of_all) = (stage.consents(&[1, 2], &fewer), stage.consents(&[3], &all));
    let (of_fewer, of_all) = (stage.proof(&fewer, of_fewer), stage.proof(&all, of_all));
    // The smaller set is proved to those who signed it; the larger one has 3 signatures of the 4 that it needs.
    stage.unmask(1, &of_fewer).unwrap();
    stage.unmask(2, &of_fewer).unwrap();
    assert_eq!(of_all.signatures.len(), 3);
    let refused = stage.give(3, &make(&all, of_all, of_fewer)).unwrap_err();
    assert_no_leak(&stage);
    refused
}

#[test]
fn p3_inconsistent_sets_of_survivors_cannot_both_be_proved() {
    assert_eq!(third_after_two_sets(|_, of_all, _| of_all), Refused::SignatureCount);
    assert_eq!(third_after_two_sets(|_, _, of_fewer| of_fewer), Refused::OtherSurvivors);
    let renamed = |all: &SurvivorSet, _, of_fewer| Proof { survivors: all.hash(), ..of_fewer };
    assert_eq!(third_after_two_sets(renamed), Refused::Signature);
    let mixed = |_: &SurvivorSet, mut of_all: Proof, of_fewer: Proof| {
        of_all.signatures.insert(0, of_fewer.signatures[0]);
        of_all
    };
    assert_eq!(third_after_two_sets(mixed), Refused::Signature);
}

#[test]
fn p3_a_second_set_of_survivors_ends_the_attempt_before_and_after_unmasking() {
    let (mut stage, context) = masked();
    let all = stage.set(context, &[1, 2, 3, 4, 5]);
    let fewer = stage.set(context, &[1, 2, 4, 5]);
    let signatures = stage.consents(&[1, 2, 3], &all);
    let proof = stage.proof(&all, signatures);
    assert_eq!(stage.give(1, &fewer), Err(Refused::OtherInput));
    assert_eq!(stage.unmask(1, &proof), Err(Refused::Ended));
    let first = stage.unmask(2, &proof).unwrap();
    // The same proof again is the same bytes; another one, or another set, is the end.
    assert_eq!(stage.unmask(2, &proof), Ok(first));
    assert_eq!(stage.give(2, &fewer), Err(Refused::OtherInput));
    assert_eq!(stage.unmask(2, &proof), Err(Refused::Ended));
    assert_no_leak(&stage);
}

#[test]
fn p3_shares_of_both_b_and_u_of_one_member_are_never_given() {
    let (mut stage, context) = masked();
    let all = stage.set(context, &[1, 2, 3, 4, 5]);
    let without_3 = stage.set(context, &[1, 2, 4, 5]);
    let signatures = stage.consents(&[1, 2, 3], &all);
    let proof = stage.proof(&all, signatures);
    let given = stage.unmask(1, &proof).unwrap();
    assert_eq!(given.shares.len(), 5);
    let other = Proof { survivors: without_3.hash(), ..proof.clone() };
    assert_eq!(stage.give(1, &other), Err(Refused::OtherInput));
    // Before R5 the other set's proof is no proof of what was signed.
    assert_eq!(stage.give(2, &other), Err(Refused::OtherSurvivors));
    assert_no_leak(&stage);
}

#[test]
fn p3_a_proof_needs_t_distinct_survivors_signatures() {
    let refused = |survivors: &[u32], change: &dyn Fn(&Stage, &mut Proof)| {
        let (mut stage, context) = masked();
        let set = stage.set(context, survivors);
        let honest: Vec<u32> = survivors.iter().copied().filter(|index| *index <= 3).collect();
        let signatures = stage.consents(&honest, &set);
        let mut proof = stage.proof(&set, signatures);
        change(&stage, &mut proof);
        let refused = stage.give(1, &proof).unwrap_err();
        assert_no_leak(&stage);
        refused
    };
    let all = [1, 2, 3, 4, 5];
    assert_eq!(refused(&all, &|_, proof| proof.signatures.truncate(3)), Refused::SignatureCount);
    assert_eq!(refused(&all, &|_, proof| proof.signatures[3] = proof.signatures[2]), Refused::NotAscending);
    assert_eq!(refused(&all, &|_, proof| proof.signatures[3].index = 5), Refused::Signature);
    assert_eq!(refused(&all, &|_, proof| proof.signatures[3].index = 6), Refused::Stranger);
    assert_eq!(refused(&all, &|_, proof| proof.signatures[0].signature[5] ^= 1), Refused::Signature);
    // Puppet 5 is not a survivor; its signature does not count.
    let with_outsider = |stage: &Stage, proof: &mut Proof| {
        proof.signatures[3] = stage.puppets[&5].signature(proof.context, proof.survivors);
    };
    assert_eq!(refused(&[1, 2, 3, 4], &with_outsider), Refused::Stranger);
    let one_too_many = |stage: &Stage, proof: &mut Proof| {
        proof.signatures.push(stage.puppets[&5].signature(proof.context, proof.survivors));
    };
    assert_eq!(refused(&all, &one_too_many), Refused::SignatureCount);
}

#[test]
fn p3_a_set_with_other_cells_of_this_holder_is_refused() {
    let (mut stage, context) = masked();
    let mut set = stage.set(context, &[1, 2, 3, 4, 5]);
    set.survivors[0].cells = set.survivors[1].cells;
    assert_eq!(stage.give(1, &set), Err(Refused::OwnCells));
    assert_no_leak(&stage);
}

#[test]
fn p3_other_cells_of_a_colluder_are_another_set_of_survivors() {
    // 1 and 2 signed the sum with one vector of puppet 5; the coordinator asks 3 to unmask it with another.
    let (mut stage, context) = masked();
    let first = stage.set(context, &[1, 2, 3, 4, 5]);
    let mut second = first.clone();
    second.survivors[4].cells = crate::cells::cells_hash(&[1, 2, 3]);
    let (of_first, of_second) = (stage.consents(&[1, 2], &first), stage.consents(&[3], &second));
    let (of_first, of_second) = (stage.proof(&first, of_first), stage.proof(&second, of_second));
    assert_eq!(stage.give(3, &of_first), Err(Refused::OtherSurvivors));
    assert_eq!(stage.give(1, &of_second), Err(Refused::OtherSurvivors));
    assert_no_leak(&stage);
}

#[test]
fn p3_a_set_of_survivors_that_is_too_small_or_strange_is_refused() {
    let refused = |survivors: &[u32]| {
        let (mut stage, context) = masked();
        let refused = stage.give(1, &stage.set(context, survivors)).unwrap_err();
        assert_no_leak(&stage);
        refused
    };
    assert_eq!(refused(&[1, 2, 3]), Refused::BelowThreshold);
    assert_eq!(refused(&[2, 3, 4, 5]), Refused::LeftOut);
    assert_eq!(refused(&[1, 2, 3, 6]), Refused::Stranger);
    assert_eq!(refused(&[1, 2, 2, 3]), Refused::NotAscending);
}
