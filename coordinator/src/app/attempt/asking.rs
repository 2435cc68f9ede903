//! Offer, replies, charge and log: everything before data are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commun_domain::attempt::Accept;
use commun_domain::bundle::RosterHolder;
use commun_domain::log::{AttemptEntry, HolderRecord, HolderRefusal};
use commun_domain::{Document, Refusal, WireCode};
use commun_privacy::ledger::{LedgerRecord, RecordKind};
use commun_privacy::price;
use commun_trust::{Reply, check_reply};
use tokio::time::{Instant, timeout_at};

use super::super::feed::Step;
use super::super::{blocking, within_budgets};
use super::{Accepted, Attempt, Ended, Logged, Offered, Received, Run, count, excerpt, lost, too_few};
use crate::link::{FromAgent, Offer, ToAgent};
use crate::log::{LogError, State};

impl Attempt<Received> {
    pub(super) async fn offer(self) -> Result<Attempt<Offered>, Ended> {
        let (run, Received) = (self.run, self.state);
        let app = run.app.clone();
        let absent: Vec<_> = run.listed.iter().filter(|holder| !app.agents.is_connected(&holder.name)).collect();
        if !absent.is_empty() {
            let refusal = too_few(format!("not connected: {}", Run::names(absent.iter().copied())));
            return Err(Ended::before_log(refusal).lost(absent.iter().map(|holder| holder.index)));
        }
        minima(&run.listed).map_err(Ended::before_log)?;
        let (id, store, again) = (run.admitted.id, app.clone(), run.lists.is_some());
        let stored = blocking(move || if again { Ok(()) } else { store.store.query_offered(&id, store.now_ms()) }).await;
        stored.and_then(|stored| stored.map_err(|error| LogError::from(error).into())).map_err(Ended::before_log)?;
        // Opened before the offer, so that the fastest reply finds it.
        let inbox = app.agents.open(id, run.attempt, run.listed.iter().map(|holder| holder.name.as_str()));
        let (now, now_ms) = (Instant::now(), app.now_ms());
        let offer = Offer {
            query: run.signed.to_bytes(),
            attempt: run.attempt,
            names: run.lists.clone(),
            reply_deadline_ms: now_ms.saturating_add(app.deadlines.reply_ms),
            manifest_deadline_ms: now_ms.saturating_add(app.deadlines.manifest_ms),
            slot_ms: run.received_ms,
        };
        let unreached = run.send_all(&ToAgent::Offer(Arc::new(offer)));
        app.faults.at("coordinator.offered");
        if !unreached.is_empty() {
            let refusal = too_few(format!("could not be asked: {}", Run::names(unreached.iter().copied())));
            return Err(Ended::before_log(refusal).lost(unreached.iter().map(|holder| holder.index)));
        }
        run.progress(Step::Offered, "every holder was asked", 0);
        let after = |ms| now + Duration::from_millis(ms);
        let state = Offered { inbox, reply_until: after(app.deadlines.reply_ms), manifest_until: after(app.deadlines.manifest_ms) };
        Ok(Attempt { run, state })
    }
}

/// Whether a cohort of all listed holders satisfies each of them, as the roster states their minima.
fn minima(listed: &[RosterHolder]) -> Result<(), Refusal> {
    let (n, c) = (count(listed.len()), count(listed.len()).saturating_sub(1));
    match listed.iter().find(|holder| holder.min_survivors > n || holder.min_colluders > c) {
        Some(holder) => Err(too_few(format!("{} answers only in a larger cohort than the {n} listed holders", holder.name))),
        None => Ok(()),
    }
}

impl Attempt<Offered> {
    pub(super) async fn replies(self) -> Result<Attempt<Accepted>, Ended> {
        let (run, Offered { mut inbox, reply_until, manifest_until }) = (self.run, self.state);
        let (id, price) = (run.admitted.id, run.admitted.price);
        let mut replies = BTreeMap::new();
        while replies.len() < run.listed.len() {
            let Ok(Some((name, message))) = timeout_at(reply_until, inbox.next()).await else {
                let missing: Vec<_> = run.listed.iter().filter(|holder| !replies.contains_key(&holder.index)).collect();
                let refusal = too_few(format!("did not reply in time: {}", Run::names(missing.iter().copied())));
                return Err(Ended::before_log(refusal).lost(missing.iter().map(|holder| holder.index)));
            };
            let Some(holder) = run.holder(&name) else { continue };
            let FromAgent::Reply(signed) = message else { return Err(lost(holder, &message, false)) };
            let reply = check_reply(&signed, &id, run.attempt, price, holder).map_err(|why| {
                Ended::before_log(too_few(format!("the reply of {name} does not count: {}", why.message))).lost([holder.index])
            })?;
            match reply {
                Reply::Accept(accept) => {
                    enough_protection(&accept, &run.listed, holder).map_err(Ended::before_log)?;
                    // A message is made once; the first one counts.
                    replies.entry(holder.index).or_insert((signed, accept));
                    run.progress(Step::Offered, &format!("{name} accepts"), replies.len());
                }
                Reply::Refuse(refuse) => {
                    let refusal = refused(holder, refuse.code, &refuse.message);
                    let refusals = vec![HolderRefusal { index: holder.index, code: refuse.code }];
                    return Err(Ended { refusals, ..Ended::before_log(refusal) });
                }
            }
        }
        Ok(Attempt { run, state: Accepted { inbox, manifest_until, replies } })
    }
}

/// c = n - 1 must be what this holder asks for.
fn enough_protection(accept: &Accept, listed: &[RosterHolder], holder: &RosterHolder) -> Result<(), Refusal> {
    if accept.min_colluders < count(listed.len()) {
        return Ok(());
    }
    Err(too_few(format!(
        "{} wants protection against {} colluding holders, and there are {}",
        holder.name,
        accept.min_colluders,
        listed.len()
    )))
}

fn refused(holder: &RosterHolder, code: WireCode, message: &str) -> Refusal {
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
    /// Charges the own ledger and logs the attempt, in one transaction.
    pub(super) async fn log(self) -> Result<Attempt<Logged>, Ended> {
        let (run, Accepted { inbox, manifest_until, replies }) = (self.run, self.state);
        run.app.faults.at("coordinator.before_log");
        let record = |accept: &Accept| HolderRecord { index: accept.index, seq: accept.seq, record: accept.record };
        let entry = AttemptEntry {
            query: run.signed.clone(),
            attempt: run.attempt,
            plan: run.admitted.plan_hash,
            price: run.admitted.price,
            roster: run.roster_hash,
            refusals: Vec::new(),
            timeouts: Vec::new(),
            records: replies.values().map(|(_, accept)| record(accept)).collect(),
        };
        let writer = run.clone();
        let logged = blocking(move || writer.app.log.attempt(entry, |state| charge(state, &writer))).await;
        let head = logged.and_then(|logged| logged.map_err(Refusal::from)).map_err(Ended::before_log)?;
        run.app.faults.at("coordinator.after_log");
        run.progress(Step::Logged, "charged and logged", run.listed.len());
        let cohort = replies.into_values().map(|(signed, _)| signed).collect();
        Ok(Attempt { run, state: Logged { inbox, manifest_until, cohort, head } })
    }
}

/// The records that charge every holder, if nothing has changed since the query was admitted.
fn charge(state: &State, run: &Run) -> Result<Vec<LedgerRecord>, Refusal> {
    let admitted = &run.admitted;
    within_budgets(state, admitted, &run.listed)?;
    if state.trust.roster_hash() != Some(run.roster_hash) {
        return Err(Refusal::new(WireCode::Unavailable, "the roster changed while holders were asked", "sign a new query"));
    }
    if let Some(holder) = run.listed.iter().find(|holder| state.trust.refund(&admitted.id, run.attempt, holder.index).is_some()) {
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
    Ok(run.listed.iter().map(record).collect())
}
