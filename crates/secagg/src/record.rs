//! What the coordinator keeps of a finished attempt beside the masked cells, and the supervisor's verifier that adds them up again.
//!
//! The record holds no more than the coordinator knew: seeds of the survivors' own masks and of dropped members' pair masks. Together with
//! the masked cells it gives the sum and nothing of one holder, as long as no masked cells of a dropped member are kept.

use std::num::NonZeroUsize;

use commun_domain::{Document, Hash32, canonical_struct};

use crate::attempt::Attempt;
use crate::cells::cells_hash;
use crate::checks;
use crate::context::{context, transcript};
use crate::crypto::seal::canonical;
use crate::refused::Refused;
use crate::sum::{Seeds, add};
use crate::wire::{Context, KeyEntry, KeyList, MaskedHead, Message, Proof, SignedBy, Survivor, SurvivorSet};

/// A survivor's part of the sum.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Its index.
    pub index: u32,
    /// Hash of its masked cells, which are kept apart.
    pub cells: Hash32,
    /// Its signature on them.
    pub signature: [u8; 64],
    /// Seed of its own mask.
    pub b: [u8; 32],
}
canonical_struct!(Part { index, cells, signature, b });

/// Without the seed.
impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part").field("index", &self.index).field("cells", &self.cells).finish_non_exhaustive()
    }
}

/// A member that sent shares and no cells.
#[derive(Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its index.
    pub index: u32,
    /// Seed of its pair masks.
    pub u: [u8; 32],
}
canonical_struct!(Dropped { index, u });

/// Without the seed.
impl std::fmt::Debug for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dropped").field("index", &self.index).finish_non_exhaustive()
    }
}

/// Everything that is needed, beside the attempt and the masked cells, to add a result up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// U1 with keys and signatures.
    pub keys: KeyList,
    /// U2, ascending.
    pub senders: Vec<u32>,
    /// U3, ascending by index.
    pub parts: Vec<Part>,
    /// U2 without U3, ascending by index.
    pub dropped: Vec<Dropped>,
    /// T survivors' signatures on U3.
    pub consents: Vec<SignedBy>,
}
canonical_struct!(Record { keys, senders, parts, dropped, consents });

impl Document for Record {
    const TAG: &'static str = "commun/secagg-record/v1";
}

impl Message for Record {
    fn max_bytes(members: usize) -> usize {
        KeyList::max_bytes(members) + 64 + members * (4 + (4 + 32 + 64 + 32) + (4 + 32) + (4 + 64))
    }
}

/// A sum that was added up again from a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readded {
    /// The sum: outputs in plan order, cells in grid order.
    pub cells: Vec<i64>,
    /// U3.
    pub survivors: Vec<u32>,
    /// H(transcript).
    pub transcript: Hash32,
}

/// Checks every signature, commitment and hash of a record against the attempt, and computes the sum again. Whether it is the released one
/// is the caller's to compare.
///
/// `attempt`: made from the logged manifest, not from anything that the coordinator kept. `cells_of`: the masked cells of a survivor.
pub fn readd(
    attempt: &Attempt,
    record: &[u8],
    mut cells_of: impl FnMut(u32) -> Option<Vec<u64>>,
    workers: NonZeroUsize,
) -> Result<Readded, Refused> {
    let record: Record = crate::wire::read(record, attempt.members())?;
    checks::key_list(attempt, &record.keys, None)?;
    checks::keys_differ(record.keys.entries.iter())?;
    let context = context(&record.keys, record.keys.hash(), &record.senders);
    let survivors = record.check_sets(attempt, &context)?;
    let mut sum = vec![0; attempt.cells()];
    for part in &record.parts {
        let head = MaskedHead { context, index: part.index, cells: part.cells, signature: part.signature };
        checks::masked_head(attempt, &context, &head, part.index)?;
        let cells = cells_of(part.index).filter(|cells| cells.len() == sum.len()).ok_or(Refused::CellCount)?;
        if cells_hash(&cells) != part.cells {
            return Err(Refused::CellsHash);
        }
        add(&mut sum, &cells);
    }
    let hash = survivors.hash();
    let cells = record.seeds()?.unmask(attempt, &context, sum, workers)?;
    Ok(Readded { cells, survivors: survivors.indices(), transcript: transcript(&context, &hash) })
}

impl Record {
    /// U2 within U1; U3 and the dropped members together are U2; T signed U3 with these cells.
    fn check_sets(&self, attempt: &Attempt, context: &Context) -> Result<SurvivorSet, Refused> {
        checks::set(&self.senders, self.keys.entries.iter().map(|entry| entry.index), attempt.threshold())?;
        let survivors = self.parts.iter().map(|part| Survivor { index: part.index, cells: part.cells }).collect();
        let survivors = SurvivorSet { context: *context, survivors };
        let indices = survivors.indices();
        checks::survivor_set(context, &self.senders, &survivors, attempt.threshold(), None)?;
        let expected = self.senders.iter().copied().filter(|sender| indices.binary_search(sender).is_err());
        if !expected.eq(self.dropped.iter().map(|dropped| dropped.index)) {
            return Err(Refused::Record);
        }
        let hash = survivors.hash();
        let proof = Proof { context: *context, survivors: hash, signatures: self.consents.clone() };
        checks::proof(attempt, context, (&indices, hash), &proof)?;
        Ok(survivors)
    }

    fn seeds(&self) -> Result<Seeds<'_>, Refused> {
        let survivors = self.parts.iter().map(|part| Ok((self.entry(part.index)?, canonical(&part.b)?)));
        let dropped = self.dropped.iter().map(|dropped| Ok((self.entry(dropped.index)?, canonical(&dropped.u)?)));
        Ok(Seeds { survivors: survivors.collect::<Result<_, Refused>>()?, dropped: dropped.collect::<Result<_, Refused>>()? })
    }

    fn entry(&self, index: u32) -> Result<&KeyEntry, Refused> {
        self.keys.entry(index).ok_or(Refused::Record)
    }
}
