//! Offer, replies, cohort, charge and log: everything before data are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commun_domain::attempt::Accept;
use commun_domain::bundle::RosterHolder;
use commun_domain::log::{AttemptEntry, HolderRecord, HolderRefusal};
use commun_domain::{Document, Refusal, WireCode};
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use commun_privacy::price;
use commun_trust::{Reply, Shape, check_reply, cohort, slot};
use tokio::time::{Instant, timeout_at};

use super::super::feed::Step;
use super::super::{MAX_SKEW_MS, MAX_WAY_MS, SPARE_WAY_MS, blocking, within_budgets};
use super::{Accepted, Attempt, Ended, Logged, Offered, Received, Refused, Run, excerpt, too_few};
use crate::link::{FromAgent, Offer, ToAgent};
use crate::log::{LogError, State};

impl Attempt<Received> {
    pub(super) async fn offer(self) -> Result<Attempt<Offered>, Ended> {
        let (run, Received) = (self.run, self.state);
        let app = run.app.clone();
        // Agents read for one query at a time and must be ready at its slot, so the next is not offered before.
        let turn =
            app.turn.clone().acquire_owned().await.map_err(|_| Ended::before_log(too_few("the coordinator is closing".to_owned())))?;
        let (asked, absent): (Vec<RosterHolder>, Vec<RosterHolder>) =
            run.candidates().cloned().partition(|holder| app.agents.is_connected(&holder.name));
        let timeouts: Vec<u32> = absent.iter().map(|holder| holder.index).collect();
        if run.cohort_of(asked.iter(), &BTreeMap::new()).is_err() {
            let refusal = if absent.is_empty() { run.too_small() } else { too_few(format!("not connected: {}", Run::names(&absent))) };
            return Err(Ended::before_log(refusal).lost(timeouts));
        }
        let (id, store, again) = (run.admitted.id, app.clone(), run.lists.is_some() || !run.left_out.is_empty());
        let stored = blocking(move || if again { Ok(()) } else { store.store.query_offered(&id, store.now_ms()) }).await;
        stored.and_then(|stored| stored.map_err(|error| LogError::from(error).into())).map_err(Ended::before_log)?;
        // Opened before the offer, so that the fastest reply finds it.
        let inbox = app.agents.open(id, run.attempt, asked.iter().map(|holder| holder.name.as_str()));
        let (now, now_ms) = (Instant::now(), app.now_ms());
        let offer = Offer {
            query: run.signed.to_bytes(),
            attempt: run.attempt,
            names: run.lists.clone(),
            reply_deadline_ms: now_ms.saturating_add(app.deadlines.reply_ms),
            manifest_deadline_ms: now_ms.saturating_add(app.deadlines.manifest_ms),
            slot_wait_ms: run.slot_wait_ms(0),
        };
        let unreached = run.send_all(&asked, &ToAgent::Offer(Arc::new(offer)));
        app.faults.at("coordinator.offered");
        run.progress(Step::Offered, "every connected holder was asked", 0);
        let after = |ms| now + Duration::from_millis(ms);
        let timeouts = timeouts.into_iter().chain(unreached).collect();
        let (reply_until, manifest_until) = (after(app.deadlines.reply_ms), after(app.deadlines.manifest_ms));
        Ok(Attempt { run, state: Offered { inbox, since: now, reply_until, manifest_until, asked, timeouts, turn } })
    }
}

impl Run {
    /// Holders that may be asked: listed, and not left out.
    fn candidates(&self) -> impl Iterator<Item = &RosterHolder> {
        self.listed.iter().filter(|holder| self.left_out.iter().all(|left| left.index != holder.index))
    }

    /// From a manifest to its slot, if the manifest is so long on its way.
    pub(super) fn slot_wait_ms(&self, way_ms: u64) -> u64 {
        let by_rule = || slot::wait_ms(&self.admitted.plan, &self.admitted.contract).saturating_add(way_ms);
        self.app.deadlines.slot_ms.unwrap_or_else(by_rule)
    }

    /// The cohort of these holders; of one that has not accepted yet, by what the roster says of it. Names need every listed holder.
    pub(super) fn cohort_of<'a>(
        &self,
        holders: impl ExactSizeIterator<Item = &'a RosterHolder>,
        accepted: &BTreeMap<u32, Accept>,
    ) -> Result<Shape, Refusal> {
        let count = holders.len();
        let wish = |holder: &RosterHolder| match accepted.get(&holder.index) {
            Some(accept) => cohort::wish(accept, holder),
            None => cohort::roster_wish(holder),
        };
        let wishes: Vec<_> = holders.map(wish).collect();
        let listed = self.listed.len();
        if !self.admitted.releases_names() {
            return cohort::of_acceptors(&wishes, listed, self.admitted.query.least_honest);
        }
        let shape = Shape::unmasked(listed);
        let enough = count == listed && wishes.iter().all(|wish| wish.min_survivors <= shape.members);
        if enough { Ok(shape) } else { Err(self.too_small()) }
    }

    /// What is told when those who are left cannot be a cohort and nobody is to be named for it.
    pub(super) fn too_small(&self) -> Refusal {
        too_few(format!(
            "the {} listed holders, or those of them who accept, are fewer than what one of them or the query asks for",
            self.listed.len()
        ))
    }
}

impl Attempt<Offered> {
    pub(super) async fn replies(self) -> Result<Attempt<Accepted>, Ended> {
        let (run, Offered { mut inbox, since, reply_until, manifest_until, asked, mut timeouts, turn }) = (self.run, self.state);
        let (id, price) = (run.admitted.id, run.admitted.price);
        let (mut signed, mut accepted, mut refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::<u32, Refused>::new());
        let (mut last_reason, mut slowest) = (None, Duration::ZERO);
        let shape = loop {
            let open = |holder: &&RosterHolder| !refused.contains_key(&holder.index) && !timeouts.contains(&holder.index);
            let possible: Vec<&RosterHolder> = asked.iter().filter(open).collect();
            let shape = run.cohort_of(possible.iter().copied(), &accepted);
            let waiting = possible.iter().any(|holder| !accepted.contains_key(&holder.index));
            match shape {
                Ok(shape) if !waiting => break shape,
                Ok(_) => {}
                Err(too_small) => {
                    // Nobody's reply could make it a cohort any more.
                    let first = refused.first_key_value().and_then(|(index, refused)| Some((run.listed_at(*index)?, refused)));
                    let refusal = match (first, last_reason) {
                        (Some((holder, no)), _) => refusal_of(holder, no.code, &no.message),
                        (None, Some(reason)) => too_few(reason),
                        (None, None) => too_small,
                    };
                    let refusals = refused.values().map(|no| HolderRefusal { index: no.index, code: no.code }).collect();
                    let mut ended = Ended::before_log(refusal).lost(timeouts);
                    ended.parts.refusals = refusals;
                    return Err(ended);
                }
            }
            let Ok(Some((name, message))) = timeout_at(reply_until, inbox.next()).await else {
                let missing: Vec<&RosterHolder> = possible.into_iter().filter(|holder| !accepted.contains_key(&holder.index)).collect();
                last_reason = Some(format!("did not reply in time: {}", Run::names(missing.iter().copied())));
                timeouts.extend(missing.iter().map(|holder| holder.index));
                continue;
            };
            let Some(holder) = asked.iter().find(|holder| holder.name == name && !timeouts.contains(&holder.index)) else { continue };
            let reply = match message {
                FromAgent::Reply(reply) => check_reply(&reply, &id, run.attempt, price, holder)
                    .map(|read| (reply, read))
                    .map_err(|why| format!("the reply of {name} does not count: {}", why.message)),
                other => Err(reason(holder, &other)),
            };
            match reply {
                Ok((document, Reply::Accept(accept))) => {
                    // A message is made once; the first one counts.
                    if !refused.contains_key(&holder.index) && accepted.insert(holder.index, accept).is_none() {
                        signed.insert(holder.index, document);
                        slowest = since.elapsed();
                        run.progress(Step::Offered, &format!("{name} accepts"), accepted.len());
                    }
                }
                Ok((document, Reply::Refuse(refuse))) if !accepted.contains_key(&holder.index) => {
                    let (index, code) = (holder.index, refuse.code);
                    refused.entry(index).or_insert(Refused { index, code, message: refuse.message, document });
                }
                Ok(_) => {}
                Err(reason) => {
                    accepted.remove(&holder.index);
                    signed.remove(&holder.index);
                    last_reason = Some(reason);
                    timeouts.push(holder.index);
                }
            }
        };
        timeouts.sort_unstable();
        let skews = asked.iter().filter(|holder| accepted.contains_key(&holder.index));
        let skew_ms = skews.filter_map(|holder| run.app.agents.info(&holder.name)).map(|info| info.clock_skew_ms).max();
        let way_ms = way_ms(slowest, skew_ms.unwrap_or(0));
        let replies = signed.into_iter().zip(accepted.into_values()).map(|((index, document), accept)| (index, (document, accept)));
        let state = Accepted {
            inbox,
            manifest_until,
            replies: replies.collect(),
            refusals: refused.into_values().collect(),
            timeouts,
            shape,
            way_ms,
            turn,
        };
        Ok(Attempt { run, state })
    }
}

/// What a manifest may take until the last member has it, by that one's clock: what offer and reply took, which is the way there and back and more work than
/// a manifest is, and how far the clock that is furthest ahead is. Both have an upper limit, so that nobody can put the slot off for long; an agent
/// lets more pass (`commun_trust::slot::left_ms`).
fn way_ms(slowest_reply: Duration, skew_ms: i64) -> u64 {
    let way = u64::try_from(slowest_reply.as_millis()).unwrap_or(u64::MAX).saturating_add(SPARE_WAY_MS);
    way.min(MAX_WAY_MS) + u64::try_from(skew_ms).unwrap_or(0).min(MAX_SKEW_MS)
}

/// Why a holder is not in the attempt any more.
pub(super) fn reason(holder: &RosterHolder, message: &FromAgent) -> String {
    match message {
        FromAgent::Failed { code, message, .. } => format!("{} failed: {code}: {}", holder.name, excerpt(message)),
        FromAgent::Refunded => format!("{} took its charge back", holder.name),
        FromAgent::Disconnected => format!("the link of {} dropped", holder.name),
        FromAgent::Reply(_) | FromAgent::Answer { .. } | FromAgent::Round(_) | FromAgent::Cells { .. } => {
            format!("{} sent a message that does not belong there", holder.name)
        }
    }
}

fn refusal_of(holder: &RosterHolder, code: WireCode, message: &str) -> Refusal {
    let hint = match code {
        WireCode::OverBudget => "that holder's budget is spent there: ask for less epsilon or for another partition".to_owned(),
        WireCode::NotPermitted => format!("the holder decides for itself whether it accepts a permit: ask its contact, {}", holder.contact),
        WireCode::Unavailable => "sign a new query later".to_owned(),
        WireCode::Expired => "sign a new query with a later expiry, and check the clocks".to_owned(),
        _ => format!("the reason says what the holder objects to; its contact is {}", holder.contact),
    };
    Refusal::new(WireCode::RefusedByHolder, format!("{} refused: {code}: {}", holder.name, excerpt(message)), hint)
}

impl Attempt<Accepted> {
    /// Charges the own ledger for every member and logs the attempt, in one transaction.
    pub(super) async fn log(self) -> Result<Attempt<Logged>, Ended> {
        let (run, Accepted { inbox, manifest_until, replies, refusals, timeouts, shape, way_ms, turn }) = (self.run, self.state);
        // Before anything is charged: a cohort whose noise or sum does not fit ends here.
        let (cells, noise) = run.admitted.manifest_noise(&shape).map_err(Ended::before_log)?;
        run.app.faults.at("coordinator.before_log");
        let record = |accept: &Accept| HolderRecord { index: accept.index, seq: accept.seq, record: accept.record };
        let entry = AttemptEntry {
            query: run.signed.clone(),
            attempt: run.attempt,
            plan: run.admitted.plan_hash,
            price: run.admitted.price,
            roster: run.roster_hash,
            refusals: refusals.iter().map(|no| HolderRefusal { index: no.index, code: no.code }).collect(),
            timeouts: timeouts.clone(),
            left_out: run.left_out.clone(),
            records: replies.values().map(|(_, accept)| record(accept)).collect(),
        };
        let members: Vec<RosterHolder> = run.listed.iter().filter(|holder| replies.contains_key(&holder.index)).cloned().collect();
        let (writer, charged) = (run.clone(), members.clone());
        let logged = blocking(move || writer.app.log.attempt(entry, |state| charge(state, &writer, &charged))).await;
        let head = logged.and_then(|logged| logged.map_err(Refusal::from)).map_err(Ended::before_log)?;
        run.app.faults.at("coordinator.after_log");
        run.progress(Step::Logged, "charged and logged", members.len());
        let cohort = replies.into_values().map(|(signed, _)| signed).collect();
        let refusals = refusals.into_iter().map(|no| no.document).collect();
        let state = Logged { inbox, manifest_until, cohort, refusals, timeouts, members, shape, cells, noise, head, way_ms, turn };
        Ok(Attempt { run, state })
    }
}

/// The records that charge every member, if nothing has changed since the query was admitted.
fn charge(state: &State, run: &Run, members: &[RosterHolder]) -> Result<Vec<LedgerRecord>, Refusal> {
    let admitted = &run.admitted;
    within_budgets(state, admitted, members)?;
    if state.trust.roster_hash() != Some(run.roster_hash) {
        return Err(Refusal::new(WireCode::Unavailable, "the roster changed while holders were asked", "sign a new query"));
    }
    if let Some(holder) = members.iter().find(|holder| state.trust.refund(&admitted.id, run.attempt, holder.index).is_some()) {
        return Err(too_few(format!("{} took its charge back", holder.name)));
    }
    let charges = price::charges(&admitted.plan, admitted.loss());
    let record = |holder: &RosterHolder| {
        let (seq, previous) = state.ledger.next(&holder.name);
        LedgerRecord {
            holder: holder.name.clone(),
            domain: admitted.plan.budget_domain.clone(),
            seq,
            previous,
            query_id: admitted.id,
            attempt: run.attempt,
            kind: RecordKind::Reserve,
            permit: admitted.permit_hash,
            charges: charges.clone(),
        }
    };
    Ok(members.iter().map(record).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_put_off_by_the_way_and_the_clock_that_is_ahead_within_limits() {
        let way = |ms, skew_ms| way_ms(Duration::from_millis(ms), skew_ms);
        assert_eq!(way(0, 0), SPARE_WAY_MS);
        assert_eq!(way(5, 0), 5 + SPARE_WAY_MS);
        assert_eq!(way(5, 30), 35 + SPARE_WAY_MS);
        // A clock behind finds the slot further away.
        assert_eq!(way(5, -30), way(5, 0));
        assert_eq!(way(u64::MAX, i64::MAX), MAX_WAY_MS + MAX_SKEW_MS);
        assert_eq!(way(1_000_000, i64::MIN), MAX_WAY_MS);
    }
}
