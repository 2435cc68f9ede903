//! R4 and R5: the set of survivors, one member's signature on it, and the proof that T members signed one set.

use commun_domain::Hash32;

use super::{same, set};
use crate::attempt::Attempt;
use crate::crypto::sign::verify;
use crate::refused::Refused;
use crate::wire::{Consent, ConsentStatement, Context, Proof, SignedBy, Survivor, SurvivorSet};

/// Of this view, within U2, at least T. `own`: an agent, which sent its vector in time and must be in it, with the cells that it signed.
pub(crate) fn survivor_set(
    context: &Context,
    senders: &[u32],
    message: &SurvivorSet,
    threshold: usize,
    own: Option<&Survivor>,
) -> Result<(), Refused> {
    same(&message.context, context, Refused::OtherContext)?;
    set(&message.indices(), senders.iter().copied(), threshold)?;
    let Some(own) = own else { return Ok(()) };
    let listed = message.survivors.iter().find(|survivor| survivor.index == own.index).ok_or(Refused::LeftOut)?;
    same(listed, own, Refused::OwnCells)
}

fn signed(attempt: &Attempt, context: &Context, survivors: Hash32, by: &SignedBy) -> Result<(), Refused> {
    let key = attempt.key(by.index).ok_or(Refused::Stranger)?;
    verify(&ConsentStatement { context: *context, survivors, index: by.index }, &by.signature, key)
}

/// Of this view, these survivors and this sender, signed by it.
pub(crate) fn consent(attempt: &Attempt, context: &Context, survivors: Hash32, message: &Consent, from: u32) -> Result<(), Refused> {
    same(&message.context, context, Refused::OtherContext)?;
    same(&message.survivors, &survivors, Refused::OtherSurvivors)?;
    same(&message.index, &from, Refused::WrongSender)?;
    signed(attempt, context, survivors, &SignedBy { index: from, signature: message.signature })
}

/// Exactly T distinct members of U3 signed this very set. `survivors`: U3 and its hash, as this party knows them.
pub(crate) fn proof(attempt: &Attempt, context: &Context, survivors: (&[u32], Hash32), message: &Proof) -> Result<(), Refused> {
    same(&message.context, context, Refused::OtherContext)?;
    same(&message.survivors, &survivors.1, Refused::OtherSurvivors)?;
    same(&message.signatures.len(), &attempt.threshold(), Refused::SignatureCount)?;
    let signers: Vec<u32> = message.signatures.iter().map(|by| by.index).collect();
    set(&signers, survivors.0.iter().copied(), attempt.threshold())?;
    message.signatures.iter().try_for_each(|by| signed(attempt, context, survivors.1, by))
}
