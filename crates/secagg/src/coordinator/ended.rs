//! The end of an attempt: seeds from shares, the sum, and what is kept.

use std::num::NonZeroUsize;

use commun_domain::{Document, Hash32};

use super::reconstruct::Shares;
use super::{Coordinator, Failed, Proven, State, WrongShare};
use crate::attempt::Attempt;
use crate::checks;
use crate::context::transcript;
use crate::record::{Dropped, Part, Record};
use crate::refused::Refused;
use crate::sum::Seeds;

/// What an attempt ended with.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The sum over the survivors: outputs in plan order, cells in grid order, in lattice steps.
    pub cells: Vec<i64>,
    /// U3, ascending.
    pub survivors: Vec<u32>,
    /// H(transcript), to be published with the result.
    pub transcript: Hash32,
    /// A [`Record`], to be kept with the survivors' masked cells.
    pub record: Vec<u8>,
    /// Signed R4 and opened no share: to be logged, and left out of retries.
    pub withheld: Vec<u32>,
    /// Wrong shares, by dealer and holder: the lie of the one and that of the other look alike.
    pub wrong_shares: Vec<WrongShare>,
}

/// Without the record, which holds seeds, and without cells.
impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Outcome");
        shown.field("survivors", &self.survivors).field("transcript", &self.transcript);
        shown.field("withheld", &self.withheld).field("wrong_shares", &self.wrong_shares).finish_non_exhaustive()
    }
}

impl Coordinator {
    /// R5 is over: reconstructs seeds, removes masks on `workers` threads, and ends the attempt. Without a sum it says who is named.
    pub fn finish(mut self, workers: NonZeroUsize) -> Result<Outcome, Failed> {
        let withheld = self.awaited();
        match self.state {
            State::Ended(_) => Err(Refused::Ended.into()),
            State::Unmask(ref mut proven, ref mut rows) => {
                if rows.len() < self.attempt.threshold() {
                    return Err(Failed { withheld, ..Failed::from(Refused::BelowThreshold) });
                }
                let mut shares = Shares::new(std::mem::take(rows).into_iter(), &proven.summed.sent.senders, self.attempt.cohort());
                let sum = std::mem::take(&mut proven.summed.sum);
                match proven.outcome(&self.attempt, &mut shares, sum, workers) {
                    Ok(outcome) => Ok(Outcome { withheld, wrong_shares: shares.wrong(), ..outcome }),
                    Err(reason) => Err(Failed { withheld, dealer: shares.dealer(), wrong_shares: shares.wrong(), ..Failed::from(reason) }),
                }
            }
            _ => Err(Refused::OutOfOrder.into()),
        }
    }
}

impl Proven {
    /// The outcome, as yet without names.
    fn outcome(&self, attempt: &Attempt, shares: &mut Shares, sum: Vec<u64>, workers: NonZeroUsize) -> Result<Outcome, Refused> {
        let (summed, sent) = (&self.summed, &self.summed.sent);
        let (context, survivors) = (&sent.context, summed.set.indices());
        let mut seeds = Seeds { survivors: Vec::new(), dropped: Vec::new() };
        for (place, &member) in sent.senders.iter().enumerate() {
            let entry = sent.listed.list.entry(member).ok_or(Refused::Fault)?;
            if survivors.binary_search(&member).is_ok() {
                seeds.survivors.push((entry, shares.secret(place, |b| Ok(checks::b_fits(context.manifest, entry, b)))?));
            } else {
                let fits = |u: &_| checks::u_fits(context.manifest, entry, u).map(|key| key.is_some());
                seeds.dropped.push((entry, shares.secret(place, fits)?));
            }
        }
        let parts = seeds.survivors.iter().zip(summed.heads.values()).map(|((entry, b), head)| Part {
            index: entry.index,
            cells: head.cells,
            signature: head.signature,
            b: b.to_bytes(),
        });
        let dropped = seeds.dropped.iter().map(|(entry, u)| Dropped { index: entry.index, u: u.to_bytes() });
        let record = Record {
            keys: sent.listed.list.clone(),
            senders: sent.senders.clone(),
            parts: parts.collect(),
            dropped: dropped.collect(),
            consents: self.proof.signatures.clone(),
        };
        Ok(Outcome {
            cells: seeds.unmask(attempt, context, sum, workers)?,
            survivors,
            transcript: transcript(context, &summed.hash),
            record: record.to_bytes(),
            withheld: Vec::new(),
            wrong_shares: Vec::new(),
        })
    }
}
