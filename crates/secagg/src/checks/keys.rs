//! R1: keys of one member, and the list of all.

use super::{same, set};
use crate::attempt::Attempt;
use crate::context::key_statement;
use crate::crypto::exchange::check_public;
use crate::crypto::sign::verify;
use crate::refused::Refused;
use crate::wire::{KeyEntry, KeyList};

/// A member of U0 signed these keys for this manifest; both are canonical and not of small order.
pub(crate) fn key_entry(attempt: &Attempt, entry: &KeyEntry) -> Result<(), Refused> {
    let key = attempt.key(entry.index).ok_or(Refused::Stranger)?;
    check_public(&entry.seal_key)?;
    check_public(&entry.mask_key)?;
    verify(&key_statement(attempt.manifest(), entry), &entry.signature, key)
}

/// No two keys are the same bytes, be it for sealing or for masks. (A copied mask key would make two masks cancel if their derivation lacked
/// the indices; this refuses the copy as well. It does not see a key to which a point of small order was added, which agrees on the same
/// secret: against that the indices stand alone.)
pub(crate) fn keys_differ<'a>(entries: impl Iterator<Item = &'a KeyEntry>) -> Result<(), Refused> {
    let mut keys: Vec<&[u8; 32]> = entries.flat_map(|entry| [&entry.seal_key, &entry.mask_key]).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair[0] == pair[1]) { Err(Refused::CopiedKey) } else { Ok(()) }
}

/// At least T members of U0, each with its own signed keys. `own`: the entry that an agent made itself, which must
/// stand in the list as it was made.
pub(crate) fn key_list(attempt: &Attempt, list: &KeyList, own: Option<&KeyEntry>) -> Result<(), Refused> {
    same(&list.manifest, &attempt.manifest(), Refused::OtherContext)?;
    let indices: Vec<u32> = list.entries.iter().map(|entry| entry.index).collect();
    set(&indices, attempt.indices(), attempt.threshold())?;
    if let Some(own) = own
        && !list.entries.contains(own)
    {
        return Err(Refused::OwnKeys);
    }
    list.entries.iter().try_for_each(|entry| key_entry(attempt, entry))
}
