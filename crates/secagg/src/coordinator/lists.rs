//! From what each member sealed for all others to what all others sealed for each member: boxes of R2, turned over.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Sent;
use crate::refused::Refused;
use crate::wire::{BOX_BYTES, Context, ShareList, write};

/// Recipients whose lists are made at a time. Boxes for neighbours lie side by side in what a sender sent, so that a thousand members'
/// boxes come through the caches once and not box by box.
const AT_A_TIME: usize = 16;

/// The messages of R2 to U2, by recipient. `boxes`: of U2, each one's for U1 without itself.
pub(super) fn share_lists(
    sent: &Sent,
    boxes: &BTreeMap<u32, Vec<[u8; BOX_BYTES]>>,
    attempt_members: usize,
) -> Result<BTreeMap<u32, Arc<[u8]>>, Refused> {
    let Context { manifest, keys, .. } = sent.context;
    // U2 with each one's place in U1; both ascend.
    let entries = sent.listed.list.entries.iter().enumerate();
    let placed: Vec<(u32, usize)> =
        entries.map(|(place, entry)| (entry.index, place)).filter(|(index, _)| boxes.contains_key(index)).collect();
    let mut lists = BTreeMap::new();
    for recipients in placed.chunks(AT_A_TIME) {
        let mut sealed: Vec<Vec<[u8; BOX_BYTES]>> = recipients.iter().map(|_| Vec::with_capacity(placed.len())).collect();
        for (sender, boxes) in placed.iter().zip(boxes.values()) {
            for (recipient, sealed) in recipients.iter().zip(&mut sealed).filter(|(recipient, _)| *recipient != sender) {
                // A sender's boxes leave the sender itself out.
                let place = recipient.1 - usize::from(sender.1 < recipient.1);
                sealed.push(*boxes.get(place).ok_or(Refused::Fault)?);
            }
        }
        for ((recipient, _), boxes) in recipients.iter().zip(sealed) {
            let list = ShareList { manifest, keys, recipient: *recipient, senders: sent.senders.clone(), boxes };
            lists.insert(*recipient, write(&list, attempt_members).into());
        }
    }
    Ok(lists)
}
