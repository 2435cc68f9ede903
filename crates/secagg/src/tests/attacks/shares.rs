//! R2 and R3: swapped, changed and missing shares, and different sets of senders.

use commun_domain::Document;

use super::super::adversary::assert_no_leak;
use super::super::stage::Stage;
use crate::Refused;
use crate::wire::ShareList;

/// What member 1 says to a share list that the coordinator has changed.
fn refused(change: impl Fn(&mut ShareList)) -> Refused {
    complaint(change).0
}

/// The same, and of whom member 1 complains.
fn complaint(change: impl Fn(&mut ShareList)) -> (Refused, Option<u32>) {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let list = stage.key_list();
    let shares = stage.shares(&list);
    let mut told = Stage::share_list(&list, &shares, &[1, 2, 3, 4, 5], 1);
    change(&mut told);
    let refused = stage.give(1, &told).unwrap_err();
    assert_eq!(stage.agents[&1].ended(), Some(refused));
    assert_no_leak(&stage);
    (refused, stage.agents[&1].complaint())
}

#[test]
fn a_garbled_box_names_its_dealer_and_not_the_holder_that_cannot_open_it() {
    // Boxes are those of 2 to 5.
    assert_eq!(complaint(|told| told.boxes[2][7] ^= 1), (Refused::Sealed, Some(4)));
    assert_eq!(complaint(|told| told.boxes[3][79] ^= 1), (Refused::Sealed, Some(5)));
    // Whoever made the list wrong is no dealer.
    assert_eq!(complaint(|told| told.boxes.truncate(3)), (Refused::ShareCount, None));
    // A box that opens, and holds no scalar.
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let list = stage.key_list();
    let mut shares = stage.shares(&list);
    shares.get_mut(&5).unwrap().boxes[0] = stage.puppets[&5].sealed(&list, 1, &[0xff; 64]);
    let told = Stage::share_list(&list, &shares, &[1, 2, 3, 4, 5], 1);
    assert_eq!(stage.give(1, &told), Err(Refused::ShareValue));
    assert_eq!(stage.agents[&1].complaint(), Some(5));
}

#[test]
fn p3_swapped_or_changed_shares_are_refused() {
    assert_eq!(refused(|told| told.boxes.swap(0, 1)), Refused::Sealed);
    assert_eq!(refused(|told| told.boxes[2] = told.boxes[3]), Refused::Sealed);
    assert_eq!(refused(|told| told.boxes[0][0] ^= 1), Refused::Sealed);
    assert_eq!(refused(|told| told.boxes[3][79] ^= 1), Refused::Sealed);
    assert_eq!(refused(|told| told.boxes.truncate(3)), Refused::ShareCount);
    assert_eq!(refused(|told| told.boxes.push([0; 80])), Refused::ShareCount);
}

#[test]
fn p3_a_members_own_shares_sent_back_to_it_are_refused() {
    // The two directions of a pair have different keys, or one key would seal two boxes under one nonce.
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let list = stage.key_list();
    let shares = stage.shares(&list);
    let mut told = Stage::share_list(&list, &shares, &[1, 2, 3, 4, 5], 1);
    told.boxes[0] = shares[&1].boxes[0];
    assert_eq!(stage.give(1, &told), Err(Refused::Sealed));
    assert_no_leak(&stage);
}

#[test]
fn p3_shares_for_another_member_are_refused() {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let list = stage.key_list();
    let shares = stage.shares(&list);
    let mut told = Stage::share_list(&list, &shares, &[1, 2, 3, 4, 5], 2);
    assert_eq!(stage.give(1, &told), Err(Refused::WrongSender));
    // The same boxes, said to be for 3, who cannot open what 1 sealed for 2.
    told.recipient = 3;
    assert_eq!(stage.give(3, &told), Err(Refused::Sealed));
    assert_no_leak(&stage);
}

#[test]
fn p3_senders_that_are_too_few_or_strange_are_refused() {
    let keep = |told: &mut ShareList, senders: &[u32]| {
        told.senders = senders.to_vec();
        told.boxes.truncate(senders.len().saturating_sub(1));
    };
    assert_eq!(refused(|told| keep(told, &[1, 2, 3])), Refused::BelowThreshold);
    assert_eq!(refused(|told| keep(told, &[])), Refused::BelowThreshold);
    assert_eq!(refused(|told| keep(told, &[2, 3, 4, 5])), Refused::LeftOut);
    assert_eq!(refused(|told| keep(told, &[1, 2, 3, 3, 5])), Refused::NotAscending);
    assert_eq!(refused(|told| keep(told, &[1, 2, 3, 4, 6])), Refused::Stranger);
}

#[test]
fn p3_different_sets_of_senders_for_different_members_give_garbage_and_no_leak() {
    let mut stage = Stage::new(5, 4, 2, &[4, 5]);
    let list = stage.key_list();
    let shares = stage.shares(&list);
    let (all, fewer) = (vec![1, 2, 3, 4, 5], vec![1, 2, 4, 5]);
    stage.give(1, &Stage::share_list(&list, &shares, &fewer, 1)).unwrap();
    for index in [2, 3] {
        stage.give(index, &Stage::share_list(&list, &shares, &all, index)).unwrap();
    }
    for index in [4, 5] {
        let told = stage.tell_puppet(Stage::share_list(&list, &shares, &all, index));
        assert_eq!(told.len(), 5);
    }
    let context = |senders: &[u32]| crate::context::context(&list, list.hash(), senders);
    // 1 signs for its own view only, and there are at most 3 signatures for either view where 4 are needed.
    let of_all = stage.set(context(&all), &all);
    assert_eq!(stage.give(1, &of_all), Err(Refused::OtherContext));
    let signatures = stage.consents(&[2, 3], &of_all);
    let proof = stage.proof(&of_all, signatures);
    for index in [2, 3] {
        stage.unmask(index, &proof).unwrap();
    }
    // The shares of 2 and 3 with those of the puppets are enough for every b; 1's masks with 2 and 3 are of another view.
    assert_no_leak(&stage);
}
