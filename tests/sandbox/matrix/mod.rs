//! A fault matrix: one process of a federation is killed at the entry of each fsync, send and read of a source that it makes for a query.
//!
//! The points come from the trace of a whole query, recorded from the same process beforehand; how many sends there are differs a little from one query to
//! the next, as frames are put together by chance, so that the last ones are not always reached. After each kill the process comes back, the same bytes
//! are asked again, and the query must have an end: the stored release, or a failure with its code and hint. When all are done everything is judged
//! (`judge`), and an ordinary question must have its right answer.
//!
//! What a kill leaves behind is what the kernel has: this is no loss of power, in which what was not synced is gone.
//! The tests take some points of each kind; `COMMUN_MATRIX=all` takes every one, `COMMUN_MATRIX=5` five of each kind.

mod judge;
mod points;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use commun_domain::signed::SignedDocument;
use commun_domain::{QueryId, Refusal, WireCode};

use self::points::{Kind, Points, counts, spread};
use crate::harness::child::{Daemon, run};
use crate::harness::client::Outcome;
use crate::harness::relay::Relay;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes, text};

/// How long after the outcome a process may take to get to its point: the last ones come after it.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// How long a reserve waits for its manifest, and how long a kill takes at least: no holder ever has as many attempts open as it allows.
const MANIFEST_MS: u32 = 8_000;
const PACE: Duration = Duration::from_millis(1_500);

/// Points of each kind, where no number is named.
const SOME: usize = 2;

/// Whom the kill meets.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Agent(usize),
    Coordinator,
}

struct Matrix {
    federation: Federation,
    relay: Relay,
    points: Points,
    /// Each question, and by which kill it was met.
    asked: BTreeMap<QueryId, String>,
    /// Points that were reached, and that were not.
    reached: [usize; 2],
}

impl Matrix {
    fn running(holders: usize) -> Self {
        let mut federation = Federation::build(Setup { holders, manifest_ms: MANIFEST_MS, ..Setup::default() });
        federation.start_coordinator(None);
        let relay = Relay::start(&federation);
        federation.through(&relay);
        for holder in 0..holders {
            federation.start_agent(holder, None);
        }
        federation.publish("contract").done();
        federation.publish("permit").done();
        federation.wait_ready();
        let points = Points::build(federation.fault_folder());
        Self { federation, relay, points, asked: BTreeMap::new(), reached: [0; 2] }
    }

    /// A question that nobody has asked yet, over a month without rows: another price each, or the stored release would be its answer.
    fn question(&mut self, label: &str) -> SignedDocument {
        let number = self.asked.len();
        let sql = commutes(&format!("2010-{:02}", number % 12 + 1));
        let question = self.federation.signed_question(&format!("0.00{:04}", 1000 + number), &sql);
        self.asked.insert(question.document_hash().into(), label.to_owned());
        question
    }

    fn take(&mut self, victim: Victim) -> Daemon {
        match victim {
            Victim::Agent(holder) => self.federation.take_agent(holder),
            Victim::Coordinator => self.federation.take_coordinator(),
        }
    }

    /// A new process in place of the one that was taken, and everyone ready: what stands between two kills.
    fn come_back(&mut self, victim: Victim) {
        match victim {
            Victim::Agent(holder) => {
                // What died with an attempt open is for a person to look at, and after two of them the holder refuses.
                self.federation.resume(holder);
                let fault = self.points.fault(&self.federation.path(&format!("{}/rows.", Federation::holder_name(holder))));
                self.federation.start_agent(holder, Some(&fault));
            }
            Victim::Coordinator => {
                let fault = self.points.fault(&self.federation.path("no source"));
                self.federation.start_coordinator(Some(&fault));
            }
        }
        self.federation.wait_ready();
    }

    /// The points of a whole query that is answered.
    fn record(&mut self, victim: Victim) -> BTreeMap<Kind, usize> {
        self.take(victim).stop();
        self.come_back(victim);
        self.points.arm(None);
        let question = self.question(&format!("{victim:?}, recorded"));
        self.federation.submit(&question).unwrap().released();
        std::thread::sleep(AFTERWARDS / 2);
        let trace = self.points.trace();
        eprintln!("{victim:?}: a query's points are\n  {}", trace.join("\n  "));
        self.take(victim).stop();
        self.come_back(victim);
        counts(&trace)
    }

    /// One kill, and what becomes of its query.
    fn kill(&mut self, victim: Victim, kind: Kind, number: usize) {
        let (label, begun) = (format!("{victim:?} at {} {number}", kind.name()), Instant::now());
        self.points.arm(Some((kind, number)));
        let question = self.question(&label);
        let first = self.federation.submit(&question);
        let mut daemon = self.take(victim);
        let reached = daemon.was_killed(AFTERWARDS);
        // One that was not reached would be later, in another query.
        drop(daemon);
        let last = self.points.trace().pop().unwrap_or_default();
        self.come_back(victim);
        let second = self.federation.submit(&question).unwrap_or_else(|refusal| panic!("{label}: {refusal} ({})", refusal.hint));
        eprintln!("{label}{}: {}, then {}; {last}", if reached { "" } else { " (not reached)" }, told(first.as_ref()), told(Ok(&second)));
        assert_ended(&label, victim, &first, &second);
        self.reached[usize::from(!reached)] += 1;
        std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
    }

    fn kill_at_points_of(&mut self, victim: Victim) {
        let wanted = std::env::var("COMMUN_MATRIX").unwrap_or_else(|_| SOME.to_string());
        let wanted = if wanted == "all" { None } else { Some(wanted.parse().expect("COMMUN_MATRIX is a number or \"all\"")) };
        let counts = self.record(victim);
        assert!(counts[&Kind::Fsync] > 0 && counts[&Kind::Send] > 0, "{counts:?}");
        assert_eq!(counts[&Kind::Read] > 0, matches!(victim, Victim::Agent(_)), "{counts:?}");
        for (kind, count) in counts {
            for number in spread(count, wanted) {
                self.kill(victim, kind, number);
            }
        }
    }

    /// Judges all of it.
    fn judge(mut self) {
        let [reached, missed] = self.reached;
        eprintln!("{reached} kills; {missed} points of a recorded trace were not reached again");
        assert!(reached > 2 * missed, "{reached} kills, {missed} points that were not reached");
        self.assert_answers_rightly();
        let seen = judge::seen(&self.relay.passed());
        assert!(seen.values().any(judge::Seen::can_be_read));
        self.assert_added_up_again();
        self.federation.stop();
        judge::assert_sound(&self.federation, &seen, |query| self.asked.get(query).cloned().unwrap_or_else(|| "the last one".to_owned()));
    }

    fn assert_answers_rightly(&self) {
        let (release, stored) = self.federation.submit(&self.federation.signed_question("0.2", &commutes(MONTH))).unwrap().released();
        assert!(!stored && release.participants.len() == self.federation.holders(), "{:?}", release.participants);
        let scale = f64::from(1 << release.noise[0].gamma_log2.unsigned_abs());
        for (cell, noisy) in release.sums[0].cells.iter().enumerate() {
            let truth: f64 = self.federation.counts.iter().map(|counts| f64::from(counts[cell])).sum();
            let noisy = f64::from(i32::try_from(*noisy).unwrap()) / scale;
            // Four shares of 1 / (2 h rho), h = 2, are a variance of 5: six sigma.
            assert!((noisy - truth).abs() < 13.5, "cell {cell}: {noisy} is not near {truth}");
        }
    }

    /// Whatever was released is the sum of one set of survivors, whom T of them have signed.
    fn assert_added_up_again(&self) {
        let config = text(&self.federation.path("coordinator/coordinator.toml"));
        let released = self.federation.released();
        for query in &released {
            run("commun-coordinator", ["readd", "--config", &config, &query.to_string()]).done();
        }
        eprintln!("{} releases of {} questions add up again", released.len(), self.asked.len() + 1);
    }
}

fn told(outcome: Result<&Outcome, &Refusal>) -> String {
    match outcome {
        Ok(Outcome::Released(release, stored)) => format!("released by {} (stored: {stored})", release.participants.len()),
        Ok(Outcome::Failed(refusal, charged)) => format!("failed with {} (charged: {charged})", refusal.code),
        Err(refusal) => format!("lost with {}", refusal.code),
    }
}

/// The query has an end that stays what it is.
fn assert_ended(label: &str, victim: Victim, first: &Result<Outcome, Refusal>, second: &Outcome) {
    match (first, second) {
        (Err(refusal), _) => {
            assert!(matches!(victim, Victim::Coordinator) && refusal.code == WireCode::Unavailable, "{label}: {refusal}");
        }
        (Ok(Outcome::Released(first, _)), Outcome::Released(second, stored)) => assert!(*stored && first == second, "{label}"),
        (Ok(Outcome::Failed(first, _)), Outcome::Failed(second, _)) => assert_eq!(first.code, second.code, "{label}"),
        (first, second) => panic!("{label}: it ended twice, with {first:?} and {second:?}"),
    }
    for outcome in first.as_ref().ok().into_iter().chain([second]) {
        if let Outcome::Failed(refusal, _) = outcome {
            let of_a_death = matches!(refusal.code, WireCode::Unavailable | WireCode::TooFewHolders);
            assert!(of_a_death && !refusal.message.is_empty() && !refusal.hint.is_empty(), "{label}: {refusal} ({})", refusal.hint);
        }
    }
}

/// Four holders outlive the death of one, so that most queries are answered without it.
#[test]
fn p8_a_kill_at_an_fsync_a_send_or_a_read_of_four_holders_under_charges_nobody_and_every_query_has_an_end() {
    let mut matrix = Matrix::running(4);
    matrix.kill_at_points_of(Victim::Agent(0));
    matrix.kill_at_points_of(Victim::Coordinator);
    matrix.judge();
}

/// Three outlive none: attempts end, others take their charge back where nothing can be unmasked, and queries fail with their reason.
#[test]
fn p8_a_kill_at_an_fsync_a_send_or_a_read_of_three_holders_under_charges_nobody_and_every_query_has_an_end() {
    let mut matrix = Matrix::running(3);
    matrix.kill_at_points_of(Victim::Agent(1));
    matrix.kill_at_points_of(Victim::Coordinator);
    matrix.judge();
}
