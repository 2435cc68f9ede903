//! Records of this holder's ledger that the log shows and its store does not have.
//!
//! Before data are read the hash of the RESERVE stands in the log. So an agent whose store was restored from an older copy, or lost, finds in the
//! log what it has forgotten, and charges it before it answers anything: what each attempt costs follows from its signed text. It knows all of it
//! once it has read the log up to a checkpoint that was signed after its start. A record that was never logged was read for by nobody.
//!
//! Two records with one number, or a record that appears while this process runs and is not its own, mean that another process answers under this
//! holder's name, or did. That is a stop. Once a person has decided (`commun-agent resume`), the next start charges both.
//!
//! A refund that the log shows is charged too: its entry is the coordinator's word, and no ledger goes down because of one.

use commun_domain::{Hash32, QueryId, WireCode};
use commun_trust::charged;

use super::book::Known;
use super::core::Core;
use super::logbook::{LogFault, MAX_CHECKPOINT_AHEAD_S};
use super::message::{Failure, refusal_failure};

/// A record of this holder, as the entry of an attempt names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnLogged {
    /// Query.
    pub(crate) query: QueryId,
    /// Attempt.
    pub(crate) attempt: u8,
    /// Number in the holder's ledger.
    pub(crate) seq: u64,
    /// Hash of the record.
    pub(crate) record: Hash32,
}

/// How far this process has come in knowing its own records.
#[derive(Debug)]
pub(crate) enum Recall {
    /// The log was not read up to a checkpoint that was signed after the start. With what was found missing so far.
    Reading(Vec<OwnLogged>),
    /// Everything that was missing is charged.
    Done,
}

impl Core {
    /// Compares what the log newly shows of this holder with its ledger.
    pub(crate) fn compare_records(&mut self) -> Result<(), LogFault> {
        for own in self.log.take_own() {
            let known = self.book.knows(&own);
            let decided = self.decided_at == Some(self.book.last_seq());
            match (known, &mut self.recall) {
                (Known::Yes, _) => {}
                (Known::No, Recall::Reading(lost)) => lost.push(own),
                (Known::OtherThere, Recall::Reading(lost)) if decided => lost.push(own),
                (Known::No, Recall::Done) => {
                    return Err(self.log.stop(&format!(
                        "the log shows record {} of this holder, which this process did not write: another agent answers under its name",
                        own.seq
                    )));
                }
                (Known::OtherThere, _) => {
                    return Err(self.log.stop(&format!(
                        "the log shows another record {} of this holder than its ledger has: another agent answers, or answered, under its name",
                        own.seq
                    )));
                }
            }
        }
        Ok(())
    }

    /// If a checkpoint has come over the link that was signed after the start and covers all that was read, what is missing is charged.
    pub(crate) fn recall(&mut self) -> Result<(), LogFault> {
        let Recall::Reading(lost) = &self.recall else { return Ok(()) };
        let started_s = self.started_ms / 1000;
        // Two clocks may differ as they may elsewhere.
        let verified = self.log.verified().filter(|_| self.log.heard());
        let reached = verified.is_some_and(|checkpoint| {
            checkpoint.size >= self.log.size() && checkpoint.time_unix.saturating_add(MAX_CHECKPOINT_AHEAD_S) >= started_s
        });
        if !reached {
            return Ok(());
        }
        let mut priced = Vec::new();
        for own in lost.clone() {
            let attempt = self.log.state().attempt(&own.query, own.attempt);
            match attempt.map(|attempt| charged(self.log.state(), attempt)) {
                Some(Ok(charged)) => priced.push((own, charged)),
                Some(Err(why)) => {
                    return Err(self
                        .log
                        .stop(&format!("record {} of this holder is lost and cannot be priced here: {}", own.seq, why.message)));
                }
                None => {}
            }
        }
        self.book.charge_lost(&self.store, &priced, self.clock.now_ms()).map_err(LogFault::Lost)?;
        for (own, _) in &priced {
            let text = format!("record {} was missing in the ledger; the log shows it, and it is charged", own.seq);
            tracing::warn!(query = %own.query, attempt = own.attempt, "{text}");
            self.health.note(self.clock.now_ms(), text);
        }
        self.recall = Recall::Done;
        Ok(())
    }

    /// Nothing is reserved before every record of this holder is known: the next number could be one that the log has already.
    pub(crate) fn knows_its_records(&self) -> Result<(), Failure> {
        match self.recall {
            Recall::Done => Ok(()),
            Recall::Reading(_) => {
                let public = "this holder's agent has just started and has not read the log to its end";
                let local = format!("{public}: no checkpoint that was signed after its start has come");
                Err(Failure { local, ..refusal_failure(WireCode::Unavailable, public) })
            }
        }
    }
}
