//! What this agent stops for until a person decides: slots that it missed, failures once it had begun to read, and sums in which it was not counted.
//!
//! Whether a slot is missed, or reading fails, may depend on one person's rows: it is a bit that gets out although nothing is sent. Two of them in
//! a budget domain are all that get out between two decisions of a person (P9). Who is left out of sums again and again, although it answered in time,
//! may be helping somebody to take one sum from another: it is counted for each partition (P3).

use std::collections::BTreeSet;

use commun_domain::WireCode;
use commun_domain::calendar::Period;
use commun_domain::plan::PrivatePlan;
use commun_privacy::ledger::LedgerRecord;
use commun_store::incidents::{Incident, IncidentKind};
use commun_store::{AgentStore, StoreError};

use super::attempt::AttemptKey;
use super::message::{Failure, refusal_failure};

/// Lapses in one budget domain after which its questions are refused.
pub(crate) const MOST_LAPSES: usize = 2;

/// How often this holder may be left out in one partition; from the next time on its questions are refused.
pub(crate) const MOST_LEFT_OUT: usize = 3;

/// What a person does about it.
const RESUME: &str = "look into it, then stop the agent, run `commun-agent resume` and start it again";

/// Incidents since a person decided last.
#[derive(Debug, Default)]
pub(crate) struct Incidents(Vec<Incident>);

impl Incidents {
    pub(crate) fn load(store: &AgentStore) -> Result<Self, StoreError> {
        store.incidents().map(Self)
    }

    /// Counts incidents that are on the disk, or could not be written.
    pub(crate) fn count(&mut self, incidents: Vec<Incident>) {
        self.0.extend(incidents);
    }

    /// Whether a question may be answered before a person decides.
    pub(crate) fn check(&self, plan: &PrivatePlan) -> Result<(), Failure> {
        let refused = |what: String| {
            let public = "this holder's agent answers no question of this kind until a person at the holder decides";
            Failure { local: format!("{what}; {RESUME}"), ..refusal_failure(WireCode::Unavailable, public) }
        };
        let lapses = self.lapses(&plan.budget_domain);
        if lapses >= MOST_LAPSES {
            return Err(refused(lapsed(&plan.budget_domain, lapses)));
        }
        let often = plan.partitions.iter().find(|period| self.left_out(&plan.budget_domain, **period) >= MOST_LEFT_OUT);
        often.map_or(Ok(()), |period| {
            let times = self.left_out(&plan.budget_domain, *period);
            Err(refused(was_left_out(&plan.budget_domain, &plan.calendar.format(*period), times)))
        })
    }

    /// What a person has to look at, in words. `partition` names a period of a domain.
    pub(crate) fn report(&self, partition: impl Fn(&str, Period) -> String) -> Vec<String> {
        let domains: BTreeSet<&str> = self.of(IncidentKind::Lapse).map(|incident| incident.domain.as_str()).collect();
        let lapses = domains.into_iter().map(|domain| (lapsed(domain, self.lapses(domain)), self.lapses(domain) >= MOST_LAPSES));
        let places: BTreeSet<(&str, Period)> =
            self.of(IncidentKind::LeftOut).map(|incident| (incident.domain.as_str(), incident.period)).collect();
        let left_out = places.into_iter().map(|(domain, period)| {
            let times = self.left_out(domain, period);
            (was_left_out(domain, &partition(domain, period), times), times >= MOST_LEFT_OUT)
        });
        let text = |(what, refuses): (String, bool)| if refuses { format!("{what}: REFUSES; {RESUME}") } else { what };
        lapses.chain(left_out).map(text).collect()
    }

    fn of(&self, kind: IncidentKind) -> impl Iterator<Item = &Incident> {
        self.0.iter().filter(move |incident| incident.kind == kind)
    }

    /// Attempts that lapsed in a domain.
    fn lapses(&self, domain: &str) -> usize {
        let attempts = self.of(IncidentKind::Lapse).filter(|incident| incident.domain == domain);
        attempts.map(|incident| (incident.query, incident.attempt)).collect::<BTreeSet<_>>().len()
    }

    fn left_out(&self, domain: &str, period: Period) -> usize {
        self.of(IncidentKind::LeftOut).filter(|incident| incident.domain == domain && incident.period == period).count()
    }
}

/// One incident in each partition that an attempt has reserved for.
pub(super) fn incidents(kind: IncidentKind, time_ms: u64, key: AttemptKey, reserve: &LedgerRecord) -> Vec<Incident> {
    let domain = &reserve.domain;
    let incident = |period| Incident { time_ms, kind, domain: domain.clone(), period, query: key.query, attempt: key.attempt };
    reserve.charges.iter().map(|charge| incident(charge.period)).collect()
}

fn lapsed(domain: &str, times: usize) -> String {
    format!("{times} of at most {MOST_LAPSES} attempts in {domain} missed their slot or failed once data were read")
}

fn was_left_out(domain: &str, partition: &str, times: usize) -> String {
    format!("{times} of at most {MOST_LEFT_OUT} times this holder answered in {domain}, {partition}, in time and was not counted")
}
