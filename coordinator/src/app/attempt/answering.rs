//! Manifest, answers that leave unmasked, and release.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use commun_domain::attempt::{Manifest, ROUNDS, decode_values};
use commun_domain::encoding::sha256;
use commun_domain::log::{Conduct, ReleaseEntry};
use commun_domain::release::{OutputSums, ResultRelease};
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Refusal, WireCode};
use commun_store::coordinator::{NewAggregation, NewRelease};
use commun_trust::{check_answer, replay_key};
use tokio::time::{Instant, timeout_at};

use super::super::blocking;
use super::super::feed::Step;
use super::asking::reason;
use super::naming::malformed;
use super::{Answered, Attempt, Ended, Logged, Reading, Run, count, lost, too_few};
use crate::link::{FromAgent, ToAgent};
use crate::log::{Head, LogError};

impl Attempt<Logged> {
    pub(super) fn manifest(self) -> Result<Attempt<Reading>, Ended> {
        let (run, Logged { inbox, manifest_until, cohort, refusals, timeouts, members, shape, cells, noise, head, way_ms, turn }) =
            (self.run, self.state);
        let now = Instant::now();
        if now >= manifest_until {
            // Holders refund from that moment on; a manifest now would only meet attempts that are over.
            let message = "writing the attempt down took longer than holders wait for it";
            return Err(Ended::after_log(Refusal::new(WireCode::Unavailable, message, "sign a new query; holders take their charge back")));
        }
        let (admitted, wait_ms, round_ms) = (&run.admitted, run.slot_wait_ms(way_ms), run.app.deadlines.round_ms);
        let slot_ms = run.app.now_ms().saturating_add(wait_ms);
        let rounds = if shape.aggregated { ROUNDS } else { 1 };
        let manifest = Manifest {
            query: admitted.id,
            attempt: run.attempt,
            kind: admitted.kind,
            plan: admitted.plan_hash,
            cells,
            noise,
            price: admitted.price,
            delta: admitted.delta,
            cohort,
            refusals,
            timeouts,
            threshold: shape.threshold,
            colluders: shape.colluders,
            honest: shape.honest,
            roster: run.roster_hash,
            slot_ms,
            round_ms,
            deadline_ms: slot_ms.saturating_add(round_ms.saturating_mul(u64::from(rounds))),
            checkpoint_size: head.size,
            checkpoint_root: head.root,
        };
        let unreached = run.send_all(&members, &ToAgent::Manifest(manifest.to_bytes().into()));
        run.app.faults.at("coordinator.after_manifest");
        run.progress(Step::Reading, "holders compute their noisy answers", 0);
        let fallen = unreached.into_iter().map(|index| (index, "could not be sent the manifest".to_owned())).collect();
        let slot = now + Duration::from_millis(wait_ms);
        Ok(Attempt { run, state: Reading { inbox, manifest: Arc::new(manifest), members, shape, slot, fallen, turn } })
    }
}

impl Attempt<Reading> {
    pub(super) async fn answers(self) -> Result<Attempt<Answered>, Ended> {
        if self.state.shape.aggregated {
            return self.aggregated().await;
        }
        let (shape, manifest) = (self.state.shape, self.state.manifest.clone());
        let members: Vec<u32> = self.state.members.iter().map(|holder| holder.index).collect();
        let lengths = self.run.admitted.plan.lengths().unwrap_or_default();
        let mut sums: Vec<Vec<i64>> = lengths.iter().map(|length| vec![0; *length]).collect();
        let run = self
            .each_answer(
                move |values| decode_values(values, &lengths).ok_or_else(|| malformed("it has another shape than the manifest")),
                |_, _, partial| {
                    for (sum, value) in sums.iter_mut().flatten().zip(partial.into_iter().flatten()) {
                        // Modulus 2^64: that it cannot wrap was asked at planning, and a wrap would cost utility, never privacy.
                        *sum = sum.wrapping_add(value);
                    }
                },
            )
            .await?;
        let answered = Answered { sums, participants: members, manifest, shape, aggregation: None, conduct: Conduct::default() };
        Ok(Attempt { run, state: answered })
    }

    /// Hands on the answer of every member as it arrives, checked, and read by `read` away from the threads that serve connections.
    pub(super) async fn each_answer<T: Send + 'static>(
        self,
        read: impl Fn(&[u8]) -> Result<T, Refusal> + Send + Sync + 'static,
        mut take: impl FnMut(u32, SignedDocument, T),
    ) -> Result<Arc<Run>, Ended> {
        let (run, Reading { mut inbox, manifest, members, slot, fallen, turn, .. }) = (self.run, self.state);
        if let Some(index) = fallen.keys().next() {
            let names = Run::names(members.iter().filter(|holder| fallen.contains_key(&holder.index)));
            return Err(Ended::after_log(too_few(format!("could not be sent the manifest: {names}"))).lost([*index]));
        }
        let answer_until = slot + Duration::from_millis(manifest.round_ms);
        let (read, manifest) = (Arc::new(read), manifest.hash());
        let mut answered = BTreeSet::new();
        while answered.len() < members.len() {
            let Ok(Some((name, message))) = timeout_at(answer_until, inbox.next()).await else {
                let missing: Vec<_> = members.iter().filter(|holder| !answered.contains(&holder.index)).collect();
                let refusal = too_few(format!("did not answer in time: {}", Run::names(missing.iter().copied())));
                return Err(Ended::after_log(refusal).lost(missing.iter().map(|holder| holder.index)));
            };
            let Some(holder) = members.iter().find(|holder| holder.name == name) else { continue };
            let (head, values) = match message {
                FromAgent::Answer { head, values } => (head, values),
                // A reply sent twice changes nothing, and the link of a holder that has answered may drop.
                FromAgent::Reply(_) => continue,
                FromAgent::Disconnected if answered.contains(&holder.index) => continue,
                other => return Err(lost(holder, reason(holder, &other))),
            };
            if !answered.insert(holder.index) {
                return Err(lost(holder, reason(holder, &FromAgent::Answer { head, values })));
            }
            let (expected, read) = (holder.clone(), Arc::clone(&read));
            let partial = blocking(move || {
                check_answer(&head, &manifest, &values, &expected)?;
                Ok((head, read(&values)?))
            });
            let (head, partial) = partial.await.and_then(|partial| partial).map_err(|why: Refusal| {
                Ended::after_log(too_few(format!("the answer of {name} does not count: {}", why.message))).lost([holder.index])
            })?;
            take(holder.index, head, partial);
            run.progress(Step::Reading, &format!("{name} answered"), answered.len());
        }
        drop(turn);
        Ok(run)
    }
}

/// What is kept of an aggregation so that it can be added up again.
pub(super) struct Aggregation {
    pub(super) transcript: commun_domain::Hash32,
    /// Canonical bytes of `commun-secagg`'s record.
    pub(super) record: Vec<u8>,
    /// Masked cells of the survivors only.
    pub(super) cells: BTreeMap<u32, Vec<u64>>,
}

impl Attempt<Answered> {
    /// Stores the result release and its entry, in one transaction.
    pub(super) async fn release(self) -> Result<Arc<[u8]>, Ended> {
        let (run, answered) = (self.run, self.state);
        run.app.faults.at("coordinator.before_release");
        let (admitted, shape) = (&run.admitted, answered.shape);
        let in_sum = |holder: &&commun_domain::bundle::RosterHolder| answered.participants.contains(&holder.index);
        let release = ResultRelease {
            query: admitted.id,
            attempt: run.attempt,
            permit: admitted.permit_hash,
            plan: admitted.plan.clone(),
            noise: answered.manifest.noise.clone(),
            sums: answered.sums.iter().map(|cells| OutputSums { cells: cells.clone() }).collect(),
            participants: run.listed.iter().filter(in_sum).map(|holder| holder.name.clone()).collect(),
            listed: count(run.listed.len()),
            members: shape.members,
            threshold: shape.threshold,
            colluders: shape.colluders,
            unmasked: !shape.aggregated,
            transcript: answered.aggregation.as_ref().map(|kept| kept.transcript),
            rho: admitted.whole.rho,
            delta: admitted.whole.delta,
            delta_conv: admitted.contract.delta_conv,
            max_holders_per_person: admitted.contract.max_holders_per_person,
            roster_epoch: run.roster_epoch,
            released_at_ms: run.app.now_ms(),
        };
        let bytes: Arc<[u8]> = release.to_bytes().into();
        let (writer, stored) = (run.clone(), bytes.clone());
        let written = blocking(move || write_release(&writer, &stored, &answered, release.released_at_ms)).await;
        written.and_then(|written| written.map_err(Refusal::from)).map_err(Ended::after_log)?;
        Ok(bytes)
    }
}

fn write_release(run: &Run, bytes: &[u8], answered: &Answered, released_at_ms: u64) -> Result<Head, LogError> {
    let entry = ReleaseEntry {
        query: run.admitted.id,
        attempt: run.attempt,
        release: sha256(bytes),
        participants: answered.participants.clone(),
        price: run.admitted.price,
        transcript: answered.aggregation.as_ref().map(|kept| kept.transcript),
        conduct: answered.conduct.clone(),
    };
    let manifest = answered.manifest.to_bytes();
    // Before the log is taken: other queries go on while it is written.
    let aggregation = answered.aggregation.as_ref();
    let cells = aggregation.map(|kept| run.app.store.keep_cells(&run.admitted.id, &kept.cells)).transpose()?;
    let aggregation = aggregation.zip(cells.as_ref()).map(|(kept, cells)| NewAggregation {
        attempt: run.attempt,
        manifest: &manifest,
        lists: run.lists.as_deref(),
        record: &kept.record,
        cells,
    });
    let replay_key = *replay_key(&run.admitted, run.roster_epoch).as_bytes();
    run.app.log.release(&NewRelease { query: run.admitted.id, bytes, replay_key, released_at_ms, aggregation }, entry)
}
