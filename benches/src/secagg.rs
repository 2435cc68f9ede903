//! What secure aggregation costs: CPU time and bytes of an agent, CPU time of the coordinator, without dropouts and for each dropout.
//!
//! Three agents and the coordinator are the shipped ones. The other members are generated (`peers`): they say what honest members say, at
//! a small part of the price, because a thousand full agents would need many minutes. Masks between two generated members cancel in the
//! sum, so neither adds them; masks with the three agents and with those who will drop out are there. The sum is compared with the plain one.
//! One thread; the clock is the thread's own CPU time.

mod peers;

use std::num::NonZeroUsize;

use anyhow::{Context, anyhow, ensure};
use commun_domain::encoding::sha256;
use commun_domain::{Document, PublicKey, QueryId};
use commun_secagg::Refused;
use commun_secagg::agent::{Agent, Reply, Round, Standing};
use commun_secagg::attempt::{Attempt, Identity, Member, OutputCells, Terms};
use commun_secagg::cohort::{Protocol, Wish, choose};
use commun_secagg::coordinator::Coordinator;
use commun_secagg::wire::{KeyList, SurvivorSet};
use ed25519_dalek::SigningKey;

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

/// Repetitions of each size are at most so many.
const MOST_REPETITIONS: u32 = 3;

/// What one run took.
#[derive(Default)]
struct Cost {
    agent_ms: f64,
    agent_bytes: f64,
    coordinator_ms: f64,
}

/// Figures for every size.
pub(crate) fn measure(repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (members, colluders, cells) in SIZES {
        let (mut agent, mut bytes, mut coordinator, mut dropout) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..repetitions.min(MOST_REPETITIONS) {
            let whole = run(members, colluders, cells, 0)?;
            let dropped = run(members, colluders, cells, 1)?;
            agent.push(whole.agent_ms);
            bytes.push(whole.agent_bytes / 1e6);
            dropout.push(dropped.coordinator_ms - whole.coordinator_ms);
            coordinator.push(whole.coordinator_ms);
        }
        let name = |what: &str| format!("aggregation, {members} members, {cells} cells: {what}");
        figures.push(Figure::new(name("an agent"), "ms of CPU", agent));
        figures.push(Figure::new(name("an agent"), "MB", bytes));
        figures.push(Figure::new(name("coordinator"), "ms of CPU", coordinator));
        figures.push(Figure::new(name("coordinator, more for a dropout"), "ms of CPU", dropout));
    }
    Ok(figures)
}

/// CPU time of this thread, from its start, in milliseconds. The kernel brings its count up to date when the thread yields.
fn cpu_ms() -> anyhow::Result<f64> {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("CPU time is read from Linux's schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().context("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e6)
}

/// Adds the CPU time of `work` to `sum`.
fn timed<T>(sum: &mut f64, work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let start = cpu_ms()?;
    let value = work();
    *sum += cpu_ms()? - start;
    Ok(value)
}

fn key(index: u32) -> SigningKey {
    SigningKey::from_bytes(sha256(&index.to_be_bytes()).as_bytes())
}

fn attempt(members: u32, colluders: u32, cells: usize) -> anyhow::Result<Attempt> {
    let wishes = vec![Wish { colluders, min_survivors: 1 }; usize::try_from(members)?];
    let Protocol::Aggregated(cohort) = choose(&wishes, 1)? else { return Err(anyhow!("one holder does not aggregate")) };
    let member = |index| Member { index, key: PublicKey::from_bytes(key(index).verifying_key().to_bytes()) };
    Ok(Attempt::new(Terms {
        identity: identity(),
        manifest: sha256(b"manifest"),
        members: (1..=members).map(member).collect(),
        threshold: cohort.threshold(),
        colluders,
        outputs: vec![OutputCells { cells, bound: 1 << 40 }],
        slot_ms: 0,
    })?)
}

fn identity() -> Identity {
    Identity { query: QueryId::from(sha256(b"query")), attempt: 1 }
}

/// What a member sends in a round.
enum Said {
    Message(Vec<u8>),
    Cells(Vec<u8>, Vec<u64>),
}

/// Generated members whose messages are held at a time.
const BATCH: usize = 64;

/// One attempt, of which the last `dropouts` members send shares and no cells. Every member's cells are all 1.
fn run(members: u32, colluders: u32, cells: usize, dropouts: u32) -> anyhow::Result<Cost> {
    let attempt = attempt(members, colluders, cells)?;
    let mut cost = Cost::default();
    let mut agents = Vec::new();
    for index in 1..=AGENTS {
        let mut agent = Agent::accepted(identity(), index, key(index));
        agent.manifest(attempt.clone())?;
        agents.push((index, agent));
    }
    let dropped = members - dropouts + 1..=members;
    let mut peers: Vec<Peer> = (AGENTS + 1..=members).map(|index| Peer::new(attempt.manifest(), index, key(index))).collect();
    let mut coordinator = Coordinator::new(attempt.clone());
    let ones = vec![1; cells];
    let mut list = None;
    for round in [Round::Keys, Round::Shares, Round::Cells, Round::Consent, Round::Unmask] {
        for (index, agent) in &mut agents {
            let told = timed(&mut cost.coordinator_ms, || coordinator.message_for(*index))?;
            cost.agent_bytes += count(told.as_ref().map_or(0, Vec::len));
            let reply = timed(&mut cost.agent_ms, || match told {
                None => agent.keys(&ones, 0, Standing::Clear),
                Some(message) => agent.receive(&message, Standing::Clear),
            })??;
            let said = match reply {
                Reply::Message(message) => Said::Message(message.to_vec()),
                Reply::Cells { head, cells } => Said::Cells(head, cells.to_vec()),
            };
            cost.agent_bytes += said.bytes();
            timed(&mut cost.coordinator_ms, || said.taken_by(&mut coordinator, *index))??;
        }
        if round > Round::Shares {
            peers.retain(|peer| !dropped.contains(&peer.index()));
        }
        for batch in peers.chunks_mut(BATCH) {
            let told: Vec<Option<Vec<u8>>> =
                timed(&mut cost.coordinator_ms, || batch.iter().map(|peer| coordinator.message_for(peer.index())).collect())?;
            let mut said = Vec::new();
            for (peer, told) in batch.iter_mut().zip(told) {
                let told = told.unwrap_or_default();
                said.push((
                    peer.index(),
                    match round {
                        Round::Keys => Said::Message(peer.keys()),
                        Round::Shares => {
                            let list = match &mut list {
                                Some(list) => list,
                                none => none.insert(KeyList::from_bytes(&told)?),
                            };
                            Said::Message(peer.shares(list, AGENTS)?)
                        }
                        Round::Cells => {
                            let list = list.as_ref().context("no key list")?;
                            let (head, masked) = peer.masked(list, &told, &ones, AGENTS, &dropped)?;
                            Said::Cells(head, masked)
                        }
                        Round::Consent => Said::Message(peer.consent(SurvivorSet::from_bytes(&told)?)),
                        Round::Unmask => Said::Message(peer.unmask()?),
                    },
                ));
            }
            timed(&mut cost.coordinator_ms, || said.iter().try_for_each(|(index, said)| said.taken_by(&mut coordinator, *index)))??;
        }
        if round < Round::Unmask {
            timed(&mut cost.coordinator_ms, || coordinator.close_round())??;
        }
    }
    let outcome = timed(&mut cost.coordinator_ms, || coordinator.finish(NonZeroUsize::MIN))??;
    let sum = i64::from(members - dropouts);
    ensure!(outcome.cells.iter().all(|cell| *cell == sum), "the sum is not the plain one");
    cost.agent_ms /= f64::from(AGENTS);
    cost.agent_bytes /= f64::from(AGENTS);
    Ok(cost)
}

impl Said {
    fn bytes(&self) -> f64 {
        match self {
            Self::Message(message) => count(message.len()),
            Self::Cells(head, cells) => count(head.len() + cells.len() * 8),
        }
    }

    fn taken_by(&self, coordinator: &mut Coordinator, from: u32) -> Result<(), Refused> {
        match self {
            Self::Message(message) => coordinator.receive(from, message).map(drop),
            Self::Cells(head, cells) => coordinator.receive_cells(from, head, cells).map(drop),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(bytes: usize) -> f64 {
    bytes as f64
}
