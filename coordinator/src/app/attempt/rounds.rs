//! Secure aggregation over the members' links: five rounds from the slot on, each with its deadline, then the sum.
//!
//! The rules are `commun-secagg`'s. A round ends when nobody is awaited any more or its time is over, so that a slow holder never holds the others back; who
//! fell out is named with its reason, for the log and so that another attempt leaves it out. Masked cells are kept of survivors only, and thrown away
//! when they come late.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::time::Duration;

use commun_domain::WireCode;
use commun_domain::bundle::RosterHolder;
use commun_domain::log::{Conduct, Remark};
use commun_secagg::Refused;
use commun_secagg::agent::Round;
use commun_secagg::coordinator::{Coordinator, Failed, Outcome};
use commun_trust::cohort;
use tokio::time::{Instant, timeout_at};

use super::super::blocking;
use super::super::feed::Step;
use super::answering::Aggregation;
use super::asking::reason;
use super::{Answered, Attempt, Ended, Reading, Run, excerpt, too_few};
use crate::link::{FromAgent, Inbox, ToAgent};

/// The rounds of one attempt.
struct Rounds<'a> {
    run: &'a Run,
    members: Vec<RosterHolder>,
    inbox: Inbox,
    /// Taken out while a thread for long work has it.
    machine: Option<Coordinator>,
    cells: BTreeMap<u32, Vec<u64>>,
    /// Members that are not waited for any more, and why.
    fallen: BTreeMap<u32, String>,
    /// Those of whom a message was refused: none of theirs is read any more, so that nobody is kept busy with checks.
    refused: BTreeSet<u32>,
    conduct: Conduct,
}

impl Attempt<Reading> {
    pub(super) async fn aggregated(self) -> Result<Attempt<Answered>, Ended> {
        let (run, Reading { inbox, manifest, members, shape, slot, fallen, turn }) = (self.run, self.state);
        let attempt = cohort::aggregation(&manifest, &run.admitted.plan, run.listed.iter()).map_err(Ended::after_log)?;
        let lengths: Vec<usize> = attempt.outputs().iter().map(|output| output.cells).collect();
        let cells = attempt.cells();
        let machine = Some(Coordinator::new(attempt));
        let (cells_of, conduct) = (BTreeMap::new(), Conduct::default());
        let mut rounds = Rounds { run: &run, members, inbox, machine, cells: cells_of, fallen, refused: BTreeSet::new(), conduct };
        let round = Duration::from_millis(manifest.round_ms);
        let mut until = slot + round;
        let mut turn = Some(turn);
        loop {
            let current = rounds.machine.as_ref().and_then(Coordinator::round);
            let expected = if current == Some(Round::Cells) { Some(cells) } else { None };
            run.app.agents.expect_cells(run.admitted.id, run.attempt, expected);
            rounds.collect(until).await.map_err(|failed| rounds.ended(&failed))?;
            // The slot is over: agents may read for the next query.
            turn.take();
            // One step for each round: with many members there would be thousands.
            let sent = rounds.members.len().saturating_sub(rounds.fallen.len());
            run.progress(Step::Reading, &format!("{} are in", current.map_or("messages", said)), sent);
            if current == Some(Round::Unmask) {
                break;
            }
            rounds.next().map_err(|failed| rounds.ended(&failed))?;
            until = Instant::now() + round;
        }
        run.app.faults.at("coordinator.before_unmask");
        let outcome = rounds.finish().await.map_err(|failed| rounds.ended(&failed))?;
        let Outcome { cells: sum, survivors, transcript, record, .. } = outcome;
        let Rounds { mut cells, conduct, .. } = rounds;
        cells.retain(|index, _| survivors.contains(index));
        let mut rest = sum.as_slice();
        let sums = lengths.into_iter().map(|length| {
            let (output, more) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = more;
            output.to_vec()
        });
        let sums = sums.collect();
        let aggregation = Some(Aggregation { transcript, record, cells });
        let answered = Answered { sums, participants: survivors, manifest, shape, aggregation, conduct };
        Ok(Attempt { run, state: answered })
    }
}

impl Rounds<'_> {
    fn machine(&mut self) -> Result<&mut Coordinator, Refused> {
        self.machine.as_mut().ok_or(Refused::Fault)
    }

    /// Members that are awaited in this round and have not fallen out.
    fn awaited(&mut self) -> Result<BTreeSet<u32>, Refused> {
        let awaited = self.machine()?.awaited();
        Ok(awaited.into_iter().filter(|index| !self.fallen.contains_key(index)).collect())
    }

    /// Takes messages until nobody is awaited or the time is over.
    async fn collect(&mut self, until: Instant) -> Result<(), Failed> {
        loop {
            let machine = self.machine.as_ref().ok_or(Refused::Fault)?;
            if !machine.awaits(|index| !self.fallen.contains_key(&index)) {
                return Ok(());
            }
            let Ok(Some((name, message))) = timeout_at(until, self.inbox.next()).await else {
                let awaited = self.awaited()?;
                let what = self.machine()?.round().map_or("message", said);
                self.fallen.extend(awaited.into_iter().map(|index| (index, format!("sent no {what} in time"))));
                return Ok(());
            };
            let Some(holder) = self.members.iter().find(|holder| holder.name == name).cloned() else { continue };
            self.take(&holder, message).await?;
        }
    }

    async fn take(&mut self, holder: &RosterHolder, message: FromAgent) -> Result<(), Failed> {
        let index = holder.index;
        let taken = match message {
            FromAgent::Round(_) | FromAgent::Cells { .. } if self.refused.contains(&index) => return Ok(()),
            FromAgent::Round(bytes) => self.machine()?.receive(index, &bytes).map(drop),
            FromAgent::Cells { head, cells } => {
                let mut machine = self.machine.take().ok_or(Refused::Fault)?;
                let worked = blocking(move || {
                    let taken = machine.receive_cells(index, &head, &cells);
                    (machine, taken, cells)
                });
                let (machine, taken, cells) = worked.await.map_err(|_| Refused::Fault)?;
                self.machine = Some(machine);
                if taken.is_ok() {
                    self.cells.entry(index).or_insert(cells);
                }
                taken.map(drop)
            }
            // A reply sent twice changes nothing.
            FromAgent::Reply(_) => return Ok(()),
            other => {
                if let FromAgent::Failed { complaint: Some(about), .. } = &other {
                    self.conduct.complaints.push(Remark { about: *about, by: index });
                }
                self.fallen.entry(index).or_insert_with(|| reason(holder, &other));
                return Ok(());
            }
        };
        match taken {
            // Of a round that is over: thrown away.
            Ok(()) | Err(Refused::Late | Refused::Ended) => {}
            Err(refused) => {
                self.refused.insert(index);
                let what = self.machine()?.round().map_or("message", said);
                self.fallen.entry(index).or_insert_with(|| format!("its {what} do not count: {refused} ({})", refused.code()));
            }
        }
        Ok(())
    }

    /// Closes the round and sends each member of the next one what it is to be sent.
    fn next(&mut self) -> Result<(), Failed> {
        self.machine()?.close_round()?;
        for holder in self.members.clone() {
            let Some(message) = self.machine()?.message_for(holder.index) else { continue };
            let (query, attempt) = (self.run.admitted.id, self.run.attempt);
            if !self.run.app.agents.send(&holder.name, ToAgent::Round { query, attempt, message }) {
                self.fallen.entry(holder.index).or_insert_with(|| format!("the link of {} dropped", holder.name));
            }
        }
        Ok(())
    }

    /// Reconstructs and unmasks, on a thread for long work.
    async fn finish(&mut self) -> Result<Outcome, Failed> {
        let machine = self.machine.take().ok_or(Refused::Fault)?;
        let workers = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let outcome = blocking(move || machine.finish(workers)).await.map_err(|_| Failed::from(Refused::Fault))?;
        let outcome = outcome.inspect_err(|failed| self.remember(failed))?;
        self.conduct.withheld.clone_from(&outcome.withheld);
        let remark = |wrong: &commun_secagg::coordinator::WrongShare| Remark { about: wrong.dealer, by: wrong.holder };
        self.conduct.wrong_shares = outcome.wrong_shares.iter().map(remark).collect();
        Ok(outcome)
    }

    fn remember(&mut self, failed: &Failed) {
        self.conduct.withheld.clone_from(&failed.withheld);
        let remark = |wrong: &commun_secagg::coordinator::WrongShare| Remark { about: wrong.dealer, by: wrong.holder };
        self.conduct.wrong_shares = failed.wrong_shares.iter().map(remark).collect();
    }

    /// The attempt's end without a sum, with whoever had a part in it.
    fn ended(&mut self, failed: &Failed) -> Ended {
        for index in &failed.missing {
            self.fallen.entry(*index).or_insert_with(|| "was missing when a round ended".to_owned());
        }
        for index in &failed.withheld {
            self.fallen.entry(*index).or_insert_with(|| "signed the survivors and opened no share".to_owned());
        }
        if let Some(dealer) = failed.dealer {
            let proved =
                if dealer.proved { "dealt shares of another secret than it signed" } else { "its secret could not be had from the shares" };
            self.fallen.entry(dealer.index).or_insert_with(|| proved.to_owned());
        }
        let name =
            |index: &u32| self.members.iter().find(|holder| holder.index == *index).map_or("a holder", |holder| holder.name.as_str());
        // Some reasons name their holder already.
        let told = |(index, reason): (&u32, &String)| {
            let name = name(index);
            if reason.contains(name) { reason.clone() } else { format!("{name}: {reason}") }
        };
        let reasons: Vec<String> = self.fallen.iter().map(told).collect();
        let why = if reasons.is_empty() { failed.reason.to_string() } else { reasons.join("; ") };
        let refusal = match failed.reason {
            Refused::BelowThreshold => too_few(excerpt(&why)),
            other => {
                let mut refusal = cohort::refusal(other);
                if !reasons.is_empty() {
                    refusal.message = excerpt(&format!("{}: {why}", refusal.message));
                }
                if refusal.code == WireCode::NotPermitted {
                    commun_domain::Refusal { code: WireCode::Internal, ..refusal }
                } else {
                    refusal
                }
            }
        };
        let mut ended = Ended::after_log(refusal).lost(self.fallen.keys().copied());
        ended.parts.fallen.clone_from(&self.fallen);
        ended.parts.conduct.clone_from(&self.conduct);
        ended
    }
}

/// What a member sends in a round, in words.
fn said(round: Round) -> &'static str {
    match round {
        Round::Keys => "keys",
        Round::Shares => "shares",
        Round::Cells => "masked cells",
        Round::Consent => "consents",
        Round::Unmask => "opened shares",
    }
}
