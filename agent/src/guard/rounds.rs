//! This holder's part in secure aggregation: from its noisy cells at the slot to the shares that it opens.
//!
//! The rules of the protocol are `commun-secagg`'s. Here each message of it is one decision of the guard: freezes are looked up, what leaves stands in
//! the journal before it leaves, and an end takes the charge back where nothing that was sent can be unmasked.

use commun_domain::WireCode;
use commun_secagg::Refused;
use commun_secagg::agent::{Agent, Reply, Standing};
use commun_secagg::attempt::Attempt;
use commun_store::agent::Decision;
use commun_trust::cohort;

use super::attempt::{AttemptKey, Bound, Live};
use super::core::{Core, line};
use super::message::{Failure, Outgoing, RoundMessage, late, local_fault, refusal_failure};

impl Core {
    /// The attempt of a manifest that was checked, as the protocol has it.
    pub(crate) fn aggregation(&self, bound: &Bound) -> Result<Attempt, Failure> {
        let contract = &bound.admitted.contract.name;
        let listed = self.log.state().roster().into_iter().flat_map(|roster| roster.for_dataset(contract));
        Ok(cohort::aggregation(&bound.manifest, &bound.admitted.plan, listed)?)
    }

    /// R1, at the slot and never earlier: the noisy cells go into the protocol, and fresh keys leave. `None`: the attempt has ended meanwhile.
    pub(crate) fn keys(&mut self, key: AttemptKey, index: u32, attempt: Attempt, cells: &[i64]) -> Result<Option<Outgoing>, Failure> {
        let (standing, now_ms) = (self.standing(key), self.clock.now_ms());
        let Some(Live::Bound(working)) = self.live.get_mut(&key) else { return Ok(None) };
        let mut machine = Agent::accepted(attempt.identity(), index, self.key.clone());
        let made = machine.manifest(attempt).and_then(|()| machine.keys(cells, now_ms, standing));
        let reply = made.map_err(|refused| if refused == Refused::Late { late() } else { refused_failure(refused) })?;
        working.machine = Some(machine);
        self.faults.at("agent.keys");
        Ok(Some(outgoing(key, reply)))
    }

    /// R2 to R5: a message of the coordinator, and what is said to it.
    pub(crate) fn round(&mut self, key: AttemptKey, message: &[u8]) -> Vec<Outgoing> {
        let standing = self.standing(key);
        let Some(Live::Bound(working)) = self.live.get_mut(&key) else {
            tracing::info!(query = %key.query, attempt = key.attempt, "a message of aggregation for an attempt that is not alive in this process");
            return Vec::new();
        };
        let Some(machine) = working.machine.as_mut() else {
            return self.fail(key, &refusal_failure(WireCode::NotPermitted, "a message of aggregation came before the slot"));
        };
        let answered = machine.receive(message, standing).map_err(refused_failure);
        match answered.and_then(|reply| self.leaves(key, &reply).map(|()| reply)) {
            Ok(reply) => vec![outgoing(key, reply)],
            Err(failure) => self.fail(key, &failure),
        }
    }

    /// The attempt's deadline has passed.
    pub(crate) fn rounds_over(&mut self, key: AttemptKey) -> Vec<Outgoing> {
        self.fail(key, &refused_failure(Refused::Late))
    }

    /// Looked up again whenever something leaves. The log that this agent has read is all that can forbid it.
    fn standing(&self, key: AttemptKey) -> Standing {
        let ended = self.log.state().outcome(&key.query).is_some();
        if self.log.stopped().is_some() || ended { Standing::Frozen } else { Standing::Clear }
    }

    /// On the disk before it leaves: that masked cells did, and that shares were opened, which ends the attempt.
    fn leaves(&mut self, key: AttemptKey, reply: &Reply) -> Result<(), Failure> {
        let now_ms = self.clock.now_ms();
        let Some(Live::Bound(working)) = self.live.get_mut(&key) else { return Ok(()) };
        if let Reply::Cells { cells, .. } = reply
            && !working.masked
        {
            let bytes = u64::try_from(cells.len()).unwrap_or(u64::MAX).saturating_mul(8);
            let reason = "the masked cells were handed to the link".to_owned();
            let line = line(now_ms, key, &working.about, Decision::Masked, None, reason, bytes);
            self.store.journal_append(&line).map_err(|error| local_fault(&error))?;
            working.masked = true;
            self.faults.at("agent.masked");
        }
        if working.machine.as_ref().is_some_and(|machine| machine.transcript().is_some()) {
            let reason = "the shares that unmask the sum were handed to the link".to_owned();
            let line = line(now_ms, key, &working.about, Decision::Answered, None, reason, 0);
            self.store.attempt_end(&line, &[]).map_err(|error| local_fault(&error))?;
            self.live.remove(&key);
            tracing::info!(query = %key.query, attempt = key.attempt, "answered");
            self.faults.at("agent.unmasking");
        }
        Ok(())
    }
}

fn outgoing(key: AttemptKey, reply: Reply) -> Outgoing {
    let AttemptKey { query, attempt } = key;
    match reply {
        Reply::Message(message) => Outgoing::Round { query, attempt, message: RoundMessage(message) },
        Reply::Cells { head, cells } => Outgoing::Cells { query, attempt, head, cells },
    }
}

fn refused_failure(refused: Refused) -> Failure {
    cohort::refusal(refused).into()
}
