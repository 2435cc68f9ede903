//! R2, R3 and R5: sealed shares, masked cells and opened shares. Whether a box opens and whether a share is right is not seen here.

use commun_domain::Hash32;

use super::{same, set};
use crate::attempt::Attempt;
use crate::crypto::sign::verify;
use crate::crypto::wide::{Limbs, canonical_limbs};
use crate::refused::Refused;
use crate::wire::{Context, KeyList, MaskedHead, MaskedStatement, ShareList, Shares, Unmask};

/// Of this view and sender, one box for each other member of U1.
pub(crate) fn shares(list: &KeyList, keys: Hash32, message: &Shares, from: u32) -> Result<(), Refused> {
    same(&(message.manifest, message.keys), &(list.manifest, keys), Refused::OtherContext)?;
    same(&message.index, &from, Refused::WrongSender)?;
    same(&(message.boxes.len() + 1), &list.entries.len(), Refused::ShareCount)
}

/// Of this view, for this agent, which is in U2 itself; U2 within U1 and at least T; one box from each other member of U2.
pub(crate) fn share_list(list: &KeyList, keys: Hash32, message: &ShareList, own: u32, threshold: usize) -> Result<(), Refused> {
    same(&(message.manifest, message.keys), &(list.manifest, keys), Refused::OtherContext)?;
    same(&message.recipient, &own, Refused::WrongSender)?;
    set(&message.senders, list.entries.iter().map(|entry| entry.index), threshold)?;
    if message.senders.binary_search(&own).is_err() {
        return Err(Refused::LeftOut);
    }
    same(&(message.boxes.len() + 1), &message.senders.len(), Refused::ShareCount)
}

/// Of this view and sender, signed by it.
pub(crate) fn masked_head(attempt: &Attempt, context: &Context, head: &MaskedHead, from: u32) -> Result<(), Refused> {
    same(&head.context, context, Refused::OtherContext)?;
    same(&head.index, &from, Refused::WrongSender)?;
    let key = attempt.key(from).ok_or(Refused::Stranger)?;
    verify(&MaskedStatement { context: *context, index: from, cells: head.cells }, &head.signature, key)
}

/// Of this view, these survivors and this sender: one canonical scalar for each member of U2.
pub(crate) fn unmask(context: &Context, survivors: Hash32, message: &Unmask, from: u32, senders: usize) -> Result<Vec<Limbs>, Refused> {
    same(&message.context, context, Refused::OtherContext)?;
    same(&message.survivors, &survivors, Refused::OtherSurvivors)?;
    same(&message.index, &from, Refused::WrongSender)?;
    same(&message.shares.len(), &senders, Refused::ShareCount)?;
    message.shares.iter().map(|share| canonical_limbs(share).ok_or(Refused::ShareValue)).collect()
}
