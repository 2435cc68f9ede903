//! What secure aggregation costs: CPU time, bytes and memory of an agent and of the coordinator, without dropouts and for each dropout.
//!
//! Three agents and the coordinator are the shipped state machines, each in a process of its own (`party`). The other members are generated (`peers`): they say
//! what honest members say, at a small part of the price, because a thousand full agents would need many minutes. Masks between two generated
//! members cancel in the sum, so neither adds them; masks with the three agents and with those who will drop out are there. The sum is
//! compared with the plain one. One thread each; the clock is the thread's own CPU time.

mod bytes;
mod codec;
pub(crate) mod flower;
mod keeping;
pub(crate) mod party;
mod peers;

use std::ops::RangeInclusive;

use anyhow::{Context, anyhow, ensure};
use commun_domain::encoding::sha256;
use commun_domain::{Document, PublicKey, QueryId};
use commun_secagg::agent::Round;
use commun_secagg::attempt::{Attempt, Identity, Member, OutputCells, Terms};
use commun_secagg::cohort::{Protocol, Wish, choose};
use commun_secagg::wire::{KeyList, SurvivorSet};
use ed25519_dalek::SigningKey;
use serde_json::Value;

use self::party::{Part, Party};
use self::peers::Peer;
use crate::Figure;

/// Members whose agents are real.
const AGENTS: u32 = 3;

/// Members, colluders feared, cells.
const SIZES: [(u32, u32, usize); 7] = [
    (10, 2, 1_000),
    (10, 2, 100_000),
    (10, 2, 1_000_000),
    (100, 10, 1_000),
    (100, 10, 100_000),
    (1_000, 100, 1_000),
    (1_000, 100, 100_000),
];

/// Most members that drop out where the cost of a dropout is measured.
const MOST_DROPOUTS: u32 = 5;

/// Messages of generated members that are made at a time: so many bytes, or one.
const BATCH_BYTES: usize = 8 << 20;

/// One attempt's size, and whether the coordinator stores the result at the end.
#[derive(Clone, Copy)]
pub(crate) struct Job {
    pub(crate) members: u32,
    pub(crate) colluders: u32,
    pub(crate) cells: usize,
    pub(crate) keep: bool,
}

/// Figures for every size. Each repetition is an attempt without dropouts and one with some.
pub(crate) fn measure(repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (members, colluders, cells) in SIZES {
        let job = Job { members, colluders, cells, keep: true };
        let mut all = Samples::default();
        for _ in 0..repetitions {
            all.add(&job)?;
        }
        figures.extend(all.figures(&format!("aggregation, {members} members, {cells} cells")));
    }
    for members in [10, 100, 1_000] {
        let (manifest, entry) = bytes::around(members);
        let name = |what: &str| format!("aggregation, {members} members: {what}");
        figures.push(Figure::new(name("manifest, to each agent"), "MB", vec![manifest / 1e6]));
        figures.push(Figure::new(name("entry of the attempt in the log, to each agent"), "MB", vec![entry / 1e6]));
    }
    Ok(figures)
}

/// What the attempts of one size took.
#[derive(Default)]
struct Samples {
    agent_ms: Vec<f64>,
    agent_mb: Vec<f64>,
    agent_mib: Vec<f64>,
    agent_more_mib: Vec<f64>,
    coordinator_ms: Vec<f64>,
    dropout_ms: Vec<f64>,
    coordinator_mib: Vec<f64>,
    coordinator_more_mib: Vec<f64>,
    rounds_ms: [Vec<f64>; 6],
    keeping_ms: Vec<f64>,
    keeping_elapsed_ms: Vec<f64>,
    keeping_mib: Vec<f64>,
}

impl Samples {
    fn add(&mut self, job: &Job) -> anyhow::Result<()> {
        let whole = run(job, 0)?;
        let dropouts = (job.members - job.attempt()?.cohort().threshold()).min(MOST_DROPOUTS);
        let dropped = run(&Job { keep: false, ..*job }, dropouts)?;
        for agent in &whole.agents {
            self.agent_ms.push(number(&agent["cpu_ms"])?);
            self.agent_mib.push(number(&agent["peak_kib"])? / 1024.0);
            self.agent_more_mib.push((number(&agent["peak_kib"])? - number(&agent["before_kib"])?) / 1024.0);
        }
        self.agent_mb.push(whole.agent_bytes / 1e6);
        let (total, with_dropouts) = (whole.coordinator_ms()?, dropped.coordinator_ms()?);
        self.coordinator_ms.push(total);
        self.dropout_ms.push((with_dropouts - total) / f64::from(dropouts));
        let coordinator = &whole.coordinator;
        self.coordinator_mib.push(number(&coordinator["peak_kib"])? / 1024.0);
        self.coordinator_more_mib.push((number(&coordinator["peak_kib"])? - number(&coordinator["before_kib"])?) / 1024.0);
        for (values, ms) in self.rounds_ms.iter_mut().zip(whole.rounds_ms()?) {
            values.push(ms);
        }
        let keeping = &coordinator["keeping"];
        self.keeping_ms.push(number(&keeping["cpu_ms"])?);
        self.keeping_elapsed_ms.push(number(&keeping["ms"])?);
        self.keeping_mib.push(number(&keeping["peak_kib"])? / 1024.0);
        Ok(())
    }

    fn figures(self, of: &str) -> Vec<Figure> {
        let figure = |what: &str, unit, values| Figure::new(format!("{of}: {what}"), unit, values);
        let mut figures = vec![
            figure("an agent", "ms of CPU", self.agent_ms),
            figure("an agent, messages of the rounds", "MB", self.agent_mb),
            figure("an agent's process, most memory", "MiB", self.agent_mib),
            figure("an agent's process, more than before the attempt", "MiB", self.agent_more_mib),
            figure("coordinator", "ms of CPU", self.coordinator_ms),
            figure("coordinator, more for a dropout", "ms of CPU", self.dropout_ms),
            figure("coordinator's process, most memory", "MiB", self.coordinator_mib),
            figure("coordinator's process, more than before the attempt", "MiB", self.coordinator_more_mib),
        ];
        let steps = ["R1", "R2", "R3", "R4", "R5", "the end"];
        figures.extend(steps.iter().zip(self.rounds_ms).map(|(step, ms)| figure(&format!("coordinator, {step}"), "ms of CPU", ms)));
        figures.push(figure("storing the result for the supervisor", "ms of CPU", self.keeping_ms));
        figures.push(figure("storing the result for the supervisor", "ms", self.keeping_elapsed_ms));
        figures.push(figure("storing the result for the supervisor, most memory", "MiB", self.keeping_mib));
        figures
    }
}

fn number(value: &Value) -> anyhow::Result<f64> {
    value.as_f64().context("a party's figures lack a number")
}

impl Job {
    pub(crate) fn attempt(&self) -> anyhow::Result<Attempt> {
        let wishes = vec![Wish { colluders: self.colluders, min_survivors: 1 }; usize::try_from(self.members)?];
        let Protocol::Aggregated(cohort) = choose(&wishes, 1)? else { return Err(anyhow!("one holder does not aggregate")) };
        let member = |index| Member { index, key: PublicKey::from_bytes(key(index).verifying_key().to_bytes()) };
        Ok(Attempt::new(Terms {
            identity: identity(),
            manifest: sha256(b"manifest"),
            members: (1..=self.members).map(member).collect(),
            threshold: cohort.threshold(),
            colluders: self.colluders,
            outputs: vec![OutputCells { cells: self.cells, bound: 1 << 40 }],
            slot_ms: 0,
        })?)
    }
}

pub(crate) fn key(index: u32) -> SigningKey {
    SigningKey::from_bytes(sha256(&index.to_be_bytes()).as_bytes())
}

pub(crate) fn identity() -> Identity {
    Identity { query: QueryId::from(sha256(b"query")), attempt: 1 }
}

/// What a member sends in a round.
enum Said {
    Message(Vec<u8>),
    Cells(Vec<u8>, Vec<u64>),
}

impl Said {
    fn bytes(&self) -> f64 {
        match self {
            Self::Message(message) => count(message.len()),
            Self::Cells(head, cells) => count(head.len() + cells.len() * 8),
        }
    }
}

/// What one attempt took.
struct Took {
    agents: Vec<Value>,
    agent_bytes: f64,
    coordinator: Value,
}

impl Took {
    fn rounds_ms(&self) -> anyhow::Result<Vec<f64>> {
        self.coordinator["round_ms"].as_array().context("no rounds")?.iter().map(number).collect()
    }

    fn coordinator_ms(&self) -> anyhow::Result<f64> {
        Ok(self.rounds_ms()?.iter().sum())
    }

    fn agents_ms(&self) -> anyhow::Result<Vec<f64>> {
        self.agents.iter().map(|agent| number(&agent["cpu_ms"])).collect()
    }
}

/// One attempt, of which the last `dropouts` members send shares and no cells. Every member's cells are all 1.
fn run(job: &Job, dropouts: u32) -> anyhow::Result<Took> {
    let attempt = job.attempt()?;
    let starting = (1..=AGENTS).map(|index| Ok((index, Party::start(Part::Agent, job, index)?)));
    let mut agents = starting.collect::<anyhow::Result<Vec<(u32, Party)>>>()?;
    let mut coordinator = Party::start(Part::Coordinator, job, 0)?;
    let mut generated = Generated::new(job, &attempt, dropouts);
    let mut agent_bytes = 0.0;
    for round in [Round::Keys, Round::Shares, Round::Cells, Round::Consent, Round::Unmask] {
        for (index, agent) in &mut agents {
            let said = if round == Round::Keys {
                agent.keys()?
            } else {
                let told = coordinator.told(&[*index])?.swap_remove(0);
                agent_bytes += count(told.len());
                agent.receive(&told)?
            };
            agent_bytes += said.bytes();
            coordinator.take(&[(*index, said)])?;
        }
        generated.round(round, &mut coordinator)?;
        if round < Round::Unmask {
            coordinator.close()?;
        }
    }
    let coordinator = coordinator.finish()?;
    ensure!(coordinator["sum"].as_i64() == Some(i64::from(job.members - dropouts)), "the sum is not the plain one");
    let agents = agents.into_iter().map(|(_, agent)| agent.finish()).collect::<anyhow::Result<_>>()?;
    Ok(Took { agents, agent_bytes: agent_bytes / f64::from(AGENTS), coordinator })
}

/// All generated members of one attempt.
struct Generated {
    peers: Vec<Peer>,
    dropped: RangeInclusive<u32>,
    ones: Vec<i64>,
    list: Option<KeyList>,
}

impl Generated {
    fn new(job: &Job, attempt: &Attempt, dropouts: u32) -> Self {
        let peers = (AGENTS + 1..=job.members).map(|index| Peer::new(attempt.manifest(), index, key(index))).collect();
        Self { peers, dropped: job.members - dropouts + 1..=job.members, ones: vec![1; job.cells], list: None }
    }

    /// Their messages of a round, a batch at a time.
    fn round(&mut self, round: Round, coordinator: &mut Party) -> anyhow::Result<()> {
        if round > Round::Shares {
            self.peers.retain(|peer| !self.dropped.contains(&peer.index()));
        }
        let indices: Vec<u32> = self.peers.iter().map(Peer::index).collect();
        let largest = if round == Round::Cells { self.ones.len() * 8 } else { 80 * (indices.len() + 8) };
        let batch = (BATCH_BYTES / largest).max(1);
        for (number, indices) in indices.chunks(batch).enumerate() {
            let told = coordinator.told(indices)?;
            let said =
                told.iter().zip(number * batch..).map(|(told, place)| Ok((self.peers[place].index(), self.said(place, round, told)?)));
            coordinator.take(&said.collect::<anyhow::Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    /// What the peer at a place says to what it was told.
    fn said(&mut self, place: usize, round: Round, told: &[u8]) -> anyhow::Result<Said> {
        if round == Round::Shares && self.list.is_none() {
            self.list = Some(KeyList::from_bytes(told)?);
        }
        let Self { peers, dropped, ones, list } = self;
        let list = || list.as_ref().context("no key list");
        let peer = &mut peers[place];
        Ok(match round {
            Round::Keys => Said::Message(peer.keys()),
            Round::Shares => Said::Message(peer.shares(list()?, AGENTS)?),
            Round::Cells => {
                let (head, masked) = peer.masked(list()?, told, ones, AGENTS, dropped)?;
                Said::Cells(head, masked)
            }
            Round::Consent => Said::Message(peer.consent(SurvivorSet::from_bytes(told)?)),
            Round::Unmask => Said::Message(peer.unmask()?),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(bytes: usize) -> f64 {
    bytes as f64
}
