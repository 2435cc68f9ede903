//! Manifest, answers and release.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use commun_domain::attempt::{Manifest, decode_values};
use commun_domain::encoding::sha256;
use commun_domain::log::ReleaseEntry;
use commun_domain::release::{OutputSums, ResultRelease};
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Refusal, WireCode};
use commun_store::coordinator::NewRelease;
use commun_trust::admit::HONEST_SHARES;
use commun_trust::{check_answer, replay_key};
use tokio::time::{Instant, timeout_at};

use super::super::blocking;
use super::super::feed::Step;
use super::naming::malformed;
use super::{Answered, Attempt, Ended, Logged, Reading, Run, count, lost, too_few};
use crate::link::{FromAgent, ToAgent};
use crate::log::{Head, LogError};

impl Attempt<Logged> {
    pub(super) fn manifest(self) -> Result<Attempt<Reading>, Ended> {
        let (run, Logged { inbox, manifest_until, cohort, head }) = (self.run, self.state);
        if Instant::now() >= manifest_until {
            // Holders refund from that moment on; a manifest now would only meet attempts that are over.
            let message = "writing the attempt down took longer than holders wait for it";
            return Err(Ended::after_log(Refusal::new(WireCode::Unavailable, message, "sign a new query; holders take their charge back")));
        }
        let (admitted, n) = (&run.admitted, count(run.listed.len()));
        let (cells, noise) = admitted.manifest_noise();
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
            threshold: n,
            colluders: n.saturating_sub(1),
            honest: HONEST_SHARES,
            roster: run.roster_hash,
            slot_ms: run.received_ms,
            deadline_ms: run.app.now_ms().saturating_add(run.app.deadlines.answer_ms),
            checkpoint_size: head.size,
            checkpoint_root: head.root,
        };
        let answer_until = Instant::now() + Duration::from_millis(run.app.deadlines.answer_ms);
        let unreached = run.send_all(&ToAgent::Manifest(manifest.to_bytes().into()));
        run.app.faults.at("coordinator.after_manifest");
        if !unreached.is_empty() {
            let refusal = too_few(format!("could not be sent the manifest: {}", Run::names(unreached.iter().copied())));
            return Err(Ended::after_log(refusal).lost(unreached.iter().map(|holder| holder.index)));
        }
        run.progress(Step::Reading, "holders compute their noisy answers", 0);
        let state = Reading { inbox, manifest: Arc::new(manifest), answer_until };
        Ok(Attempt { run, state })
    }
}

impl Attempt<Reading> {
    pub(super) async fn answers(self) -> Result<Attempt<Answered>, Ended> {
        let lengths = self.run.admitted.plan.output_lengths().unwrap_or_default();
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
        Ok(Attempt { run, state: Answered { sums } })
    }

    /// Hands on the answer of every listed holder as it arrives, checked, and read by `read` away from the threads that serve connections.
    pub(super) async fn each_answer<T: Send + 'static>(
        self,
        read: impl Fn(&[u8]) -> Result<T, Refusal> + Send + Sync + 'static,
        mut take: impl FnMut(u32, SignedDocument, T),
    ) -> Result<Arc<Run>, Ended> {
        let (run, Reading { mut inbox, manifest, answer_until }) = (self.run, self.state);
        let (read, manifest) = (Arc::new(read), manifest.hash());
        let mut answered = BTreeSet::new();
        while answered.len() < run.listed.len() {
            let Ok(Some((name, message))) = timeout_at(answer_until, inbox.next()).await else {
                let missing: Vec<_> = run.listed.iter().filter(|holder| !answered.contains(&holder.index)).collect();
                let refusal = too_few(format!("did not answer in time: {}", Run::names(missing.iter().copied())));
                return Err(Ended::after_log(refusal).lost(missing.iter().map(|holder| holder.index)));
            };
            let Some(holder) = run.holder(&name) else { continue };
            let (head, values) = match message {
                FromAgent::Answer { head, values } => (head, values),
                // A reply sent twice changes nothing, and the link of a holder that has answered may drop.
                FromAgent::Reply(_) => continue,
                FromAgent::Disconnected if answered.contains(&holder.index) => continue,
                other => return Err(lost(holder, &other, true)),
            };
            if !answered.insert(holder.index) {
                return Err(lost(holder, &FromAgent::Answer { head, values }, true));
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
        Ok(run)
    }
}

impl Attempt<Answered> {
    /// Stores the result release and its entry, in one transaction.
    pub(super) async fn release(self) -> Result<Arc<[u8]>, Ended> {
        let (run, Answered { sums }) = (self.run, self.state);
        run.app.faults.at("coordinator.before_release");
        let (admitted, n) = (&run.admitted, count(run.listed.len()));
        let release = ResultRelease {
            query: admitted.id,
            attempt: run.attempt,
            permit: admitted.permit_hash,
            plan: admitted.plan.clone(),
            noise: admitted.noise.clone(),
            sums: sums.into_iter().map(|cells| OutputSums { cells }).collect(),
            participants: run.listed.iter().map(|holder| holder.name.clone()).collect(),
            listed: n,
            threshold: n,
            colluders: n.saturating_sub(1),
            unmasked: true,
            rho: admitted.whole.rho,
            delta: admitted.whole.delta,
            delta_conv: admitted.contract.delta_conv,
            max_holders_per_person: admitted.contract.max_holders_per_person,
            roster_epoch: run.roster_epoch,
            released_at_ms: run.app.now_ms(),
        };
        let bytes: Arc<[u8]> = release.to_bytes().into();
        let (writer, stored) = (run.clone(), bytes.clone());
        let written = blocking(move || write_release(&writer, &stored, release.released_at_ms)).await;
        written.and_then(|written| written.map_err(Refusal::from)).map_err(Ended::after_log)?;
        Ok(bytes)
    }
}

fn write_release(run: &Run, bytes: &[u8], released_at_ms: u64) -> Result<Head, LogError> {
    let entry = ReleaseEntry {
        query: run.admitted.id,
        attempt: run.attempt,
        release: sha256(bytes),
        participants: run.listed.iter().map(|holder| holder.index).collect(),
        price: run.admitted.price,
    };
    let replay_key = *replay_key(&run.admitted, run.roster_epoch).as_bytes();
    run.app.log.release(&NewRelease { query: run.admitted.id, bytes, replay_key, released_at_ms }, entry)
}
