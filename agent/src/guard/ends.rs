//! How attempts end: with an answer, without one, or with their charge taken back. What an end says is on the disk before it is told.

use commun_domain::WireCode;
use commun_secagg::agent::Agent;
use commun_store::agent::Decision;
use commun_store::incidents::IncidentKind;

use super::attempt::{About, Accepted, AttemptKey, Live};
use super::core::{Core, line};
use super::incidents::incidents;
use super::message::{Failure, Outgoing, local_fault, refusal_failure, shortened};

/// How long after a refund that could not be written it is tried again, in milliseconds.
pub(super) const REFUND_RETRY_MS: u64 = 5_000;

impl Core {
    /// Ends a bound attempt without an answer. The charge stays, unless this holder was on time at its slot and nothing that it sent can be unmasked.
    pub(crate) fn fail(&mut self, key: AttemptKey, failure: &Failure) -> Vec<Outgoing> {
        // Looked at before it is taken out: an attempt without a manifest still has its refund to come.
        if !self.is_bound(key) {
            return Vec::new();
        }
        let Some(Live::Bound(mut working)) = self.live.remove(&key) else { return Vec::new() };
        tracing::warn!(query = %key.query, attempt = key.attempt, code = %failure.code, "failed");
        let now_ms = self.clock.now_ms();
        self.health.note(now_ms, format!("failed {key}: {}", failure.for_status()));
        let complaint = working.machine.as_ref().and_then(Agent::complaint);
        let message = shortened(&failure.public);
        let mut told = vec![Outgoing::Failed { query: key.query, attempt: key.attempt, code: failure.code, message, complaint }];
        // From here on no message of it is sent, whether or not the refund can be written.
        let refundable = working.machine.as_mut().is_some_and(Agent::refund);
        let mut happened = Vec::new();
        if failure.lapse {
            happened.extend(incidents(IncidentKind::Lapse, now_ms, key, &working.reserve));
        }
        // Its cells have left, the others can be unmasked without it, and nobody asked for its shares.
        if working.masked && !refundable {
            happened.extend(incidents(IncidentKind::LeftOut, now_ms, key, &working.reserve));
        }
        // Also if they cannot be written: then in this process alone, and the next one finds the attempt open.
        self.incidents.count(happened.clone());
        if refundable {
            let reason = format!("{}; nothing that was sent can be unmasked, so the charge was taken back", failure.local);
            let line = line(now_ms, key, &working.about, Decision::Refunded, None, reason, 0);
            match self.book.refund(&self.store, &working.reserve, &line, &happened) {
                Ok((seq, record)) => {
                    told.push(Outgoing::Refunded { query: key.query, attempt: key.attempt, seq, record });
                    return told;
                }
                Err(error) => self.health.note(now_ms, format!("cannot refund {key}, it stays charged: {error}")),
            }
        }
        let line = line(now_ms, key, &working.about, Decision::Failed, Some(failure.code), failure.local.clone(), 0);
        self.noted(self.store.attempt_end(&line, &happened));
        told
    }

    /// Ends a bound attempt with its answer. On the disk before the answer leaves: what left stands in the journal.
    pub(crate) fn answered(&mut self, key: AttemptKey, bytes_sent: usize) -> Result<(), Failure> {
        let Some(Live::Bound(working)) = self.live.get(&key) else {
            return Err(refusal_failure(WireCode::Cancelled, "the attempt was ended"));
        };
        let about = &working.about;
        // A log that was shown to be forked while the answer was computed ends it.
        if let Some(reason) = self.log.stopped() {
            return Err(Failure { local: reason.to_owned(), ..refusal_failure(WireCode::Unavailable, "this holder's agent has stopped") });
        }
        let now_ms = self.clock.now_ms();
        let bytes = u64::try_from(bytes_sent).unwrap_or(u64::MAX);
        let reason = "the noisy answer was handed to the link".to_owned();
        let line = line(now_ms, key, about, Decision::Answered, None, reason, bytes);
        self.store.attempt_end(&line, &[]).map_err(|error| local_fault(&error))?;
        self.live.remove(&key);
        tracing::info!(query = %key.query, attempt = key.attempt, bytes, "answered");
        Ok(())
    }

    /// Takes back every reserve whose manifest did not come in time.
    pub(crate) fn refund_due(&mut self) -> Vec<Outgoing> {
        let now_ms = self.clock.now_ms();
        let is_due = |live: &Live| live.refund_ms().is_some_and(|due_ms| due_ms <= now_ms);
        let due: Vec<AttemptKey> = self.live.iter().filter(|(_, live)| is_due(live)).map(|(key, _)| *key).collect();
        let mut outgoing = Vec::new();
        for key in due {
            if let Some(Live::Accepted(accepted) | Live::RefundDue { accepted, .. }) = self.live.remove(&key) {
                outgoing.extend(self.refund(key, *accepted));
            }
        }
        outgoing
    }

    /// The earliest time at which [`Core::refund_due`] has something to do, milliseconds since 1970.
    pub(crate) fn next_refund_ms(&self) -> Option<u64> {
        self.live.values().filter_map(Live::refund_ms).min()
    }

    /// Ends every attempt that has a manifest: its answer could not be told. Those without one wait for their deadline.
    pub(crate) fn link_lost(&mut self) -> Vec<Outgoing> {
        let bound: Vec<AttemptKey> = self.live.iter().filter(|(_, live)| matches!(live, Live::Bound(_))).map(|(key, _)| *key).collect();
        let lost = refusal_failure(WireCode::Unavailable, "the link to the coordinator was lost");
        bound.into_iter().flat_map(|key| self.fail(key, &lost)).collect()
    }

    /// The coordinator ended an attempt.
    pub(crate) fn cancelled(&mut self, key: AttemptKey, code: WireCode) -> Vec<Outgoing> {
        // Without a manifest it is refunded at its deadline, as any other.
        let message = format!("the coordinator ended the attempt with {code}");
        self.fail(key, &refusal_failure(WireCode::Cancelled, &message))
    }

    /// Takes a reserve back for good, or keeps it as due.
    pub(super) fn refund(&mut self, key: AttemptKey, accepted: Accepted) -> Option<Outgoing> {
        let reason = "no manifest came by the offer's deadline; the charge was taken back".to_owned();
        let line = line(self.clock.now_ms(), key, &About::admitted(&accepted.admitted), Decision::Refunded, None, reason, 0);
        // It accepted in time, the attempt went on, and no manifest came.
        let logged = self.log.state().attempt(&key.query, key.attempt).is_some();
        let left_out = if logged { incidents(IncidentKind::LeftOut, self.clock.now_ms(), key, &accepted.reserve) } else { Vec::new() };
        match self.book.refund(&self.store, &accepted.reserve, &line, &left_out) {
            Ok((seq, record)) => {
                tracing::info!(query = %key.query, attempt = key.attempt, "refunded");
                self.incidents.count(left_out);
                Some(Outgoing::Refunded { query: key.query, attempt: key.attempt, seq, record })
            }
            Err(error) => {
                let now_ms = self.clock.now_ms();
                self.health.note(now_ms, format!("cannot refund {key}, it stays charged until that can be written: {error}"));
                let retry_ms = now_ms.saturating_add(REFUND_RETRY_MS);
                self.live.insert(key, Live::RefundDue { accepted: Box::new(accepted), retry_ms });
                None
            }
        }
    }
}
