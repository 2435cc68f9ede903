//! Another attempt where members fell out of an aggregation: with fresh keys, masks and noise, charged again.
//!
//! It keeps the cohort, less the members that fell out, each with its reason in the log; it never adds one. So no coordinator can choose cohorts and subtract
//! their sums. It is made only if the query accepts its price over all attempts, and those who are left can be a cohort.

use std::sync::Arc;

use commun_domain::attempt::MAX_ATTEMPTS;
use commun_domain::bundle::RosterHolder;
use commun_domain::log::LeftOut;
use commun_trust::state::MAX_REASON_BYTES;

use super::super::feed::Step;
use super::{Attempt, Ended, Received, Run, excerpt};
use crate::link::ToAgent;

/// Runs further attempts as long as one ends with members to leave out. `run` is then the last one.
pub(super) async fn again(run: &mut Arc<Run>, mut outcome: Result<Arc<[u8]>, Ended>) -> Result<Arc<[u8]>, Ended> {
    loop {
        let ended = match outcome {
            Err(ended) => ended,
            released => return released,
        };
        let Some(next) = next(run, &ended) else { return Err(ended) };
        let (query, attempt) = (run.admitted.id, run.attempt);
        run.send_all(&run.listed, &ToAgent::Cancel { query, attempt, refusal: ended.refusal.clone() });
        run.progress(Step::Offered, &format!("attempt {attempt} ended ({}); trying again without who fell out", ended.refusal.message), 0);
        let next = Attempt::<Received>::new(next);
        *run = next.run.clone();
        outcome = next.steps().await;
    }
}

fn next(run: &Arc<Run>, ended: &Ended) -> Option<Run> {
    if !ended.logged || ended.parts.fallen.is_empty() || run.attempt >= MAX_ATTEMPTS || run.admitted.plan.open_key().is_some() {
        return None;
    }
    let attempt = run.attempt + 1;
    commun_trust::within_limit(&run.admitted, attempt).ok()?;
    let records =
        run.app.log.read(|state| state.trust.attempt(&run.admitted.id, run.attempt).map(|logged| logged.entry.records.clone()))?;
    let left_out = |holder: &RosterHolder| {
        let before = || run.left_out.iter().find(|left| left.index == holder.index).map(|left| left.reason.clone());
        let reason = match ended.parts.fallen.get(&holder.index) {
            Some(reason) => reason.clone(),
            None if records.iter().any(|record| record.index == holder.index) => return None,
            None => before().unwrap_or_else(|| "not in the attempt before".to_owned()),
        };
        Some(LeftOut { index: holder.index, reason: cut(&excerpt(&reason)) })
    };
    let left_out: Vec<LeftOut> = run.listed.iter().filter_map(left_out).collect();
    let kept: Vec<&RosterHolder> = run.listed.iter().filter(|holder| left_out.iter().all(|left| left.index != holder.index)).collect();
    run.cohort_of(kept.iter().copied(), &std::collections::BTreeMap::new()).ok()?;
    Some(Run {
        app: Arc::clone(&run.app),
        feed: Arc::clone(&run.feed),
        signed: run.signed.clone(),
        admitted: run.admitted.clone(),
        listed: run.listed.clone(),
        roster_hash: run.roster_hash,
        roster_epoch: run.roster_epoch,
        received_ms: run.received_ms,
        attempt,
        lists: None,
        left_out,
    })
}

/// As much of a text as an entry of the log takes.
fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_REASON_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
