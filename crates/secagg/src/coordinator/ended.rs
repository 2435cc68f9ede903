//! The end of an attempt: seeds from shares, the sum, and what is kept.

use std::num::NonZeroUsize;

use commun_domain::{Document, Hash32};

use super::reconstruct::Shares;
use super::{Coordinator, Proven, State};
use crate::checks;
use crate::context::transcript;
use crate::record::{Dropped, Part, Record};
use crate::refused::Refused;
use crate::sum::Seeds;

/// What an attempt ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Opened a share that did not fit, or was dealt one: the dealer's lie and the holder's look alike.
    pub wrong_shares: Vec<u32>,
}

impl Coordinator {
    /// R5 is over: reconstructs seeds, removes masks on `workers` threads, and ends the attempt.
    pub fn finish(mut self, workers: NonZeroUsize) -> Result<Outcome, Refused> {
        let withheld = self.awaited();
        match self.state {
            State::Ended(_) => Err(Refused::Ended),
            State::Unmask(ref mut proven, ref mut rows) => {
                if rows.len() < self.attempt.threshold() {
                    return Err(Refused::BelowThreshold);
                }
                let shares = Shares::new(std::mem::take(rows).into_iter(), self.attempt.threshold());
                let sum = std::mem::take(&mut proven.summed.sum);
                proven.outcome(&self.attempt, shares, sum, withheld, workers)
            }
            _ => Err(Refused::OutOfOrder),
        }
    }
}

impl Proven {
    fn outcome(
        &self,
        attempt: &crate::attempt::Attempt,
        mut shares: Shares,
        sum: Vec<u64>,
        withheld: Vec<u32>,
        workers: NonZeroUsize,
    ) -> Result<Outcome, Refused> {
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
            withheld,
            wrong_shares: shares.wrong(),
        })
    }
}
