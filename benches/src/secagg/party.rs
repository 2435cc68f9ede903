//! One party of an aggregation, the coordinator or a real agent, in a process of its own: its CPU time and its memory are then its own, and what
//! drives it and the generated members do not count.
//!
//! This program is started again with the party's job. Requests and answers go over its standard input and output; reading and writing them is
//! outside of what is timed.

use std::collections::BTreeMap;
use std::io::{BufReader, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail, ensure};
use commun_secagg::agent::{Agent, Reply, Standing};
use commun_secagg::coordinator::Coordinator;
use serde_json::{Value, json};

use super::codec::{get_bytes, get_cells, get_u32, put_bytes, put_cells, put_u32};
use super::{Job, Said, identity, key};
use crate::usage::{cpu_ms, forget_peak, peak_kib, resident_kib};

/// Which party a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Adds up.
    Coordinator,
    /// One real member.
    Agent,
}

/// Requests; the first is an agent's alone, the next two the coordinator's.
const KEYS: u32 = 1;
const TAKE: u32 = 2;
const CLOSE: u32 = 3;
/// What a member is to be sent; or, of an agent, a message of the coordinator.
const TELL: u32 = 4;
/// The end: what it took, as JSON.
const FINISH: u32 = 5;

/// A party's process, seen from outside.
pub(super) struct Party {
    child: Child,
    stdin: BufWriter<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Party {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Party {
    /// Starts it; `index` is an agent's own.
    pub(super) fn start(part: Part, job: &Job, index: u32) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--aggregate-as", if part == Part::Agent { "agent" } else { "coordinator" }]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = BufWriter::new(child.stdin.take().context("no standard input")?);
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut party = Self { child, stdin, stdout };
        let job = json!({ "members": job.members, "colluders": job.colluders, "cells": job.cells, "keep": job.keep, "index": index });
        put_bytes(&mut party.stdin, job.to_string().as_bytes())?;
        Ok(party)
    }

    fn ask(&mut self, request: u32) -> anyhow::Result<()> {
        put_u32(&mut self.stdin, request)
    }

    fn answer(&mut self) -> anyhow::Result<Vec<u8>> {
        self.stdin.flush()?;
        get_bytes(&mut self.stdout).context("a party has ended")
    }

    /// An agent's first message.
    pub(super) fn keys(&mut self) -> anyhow::Result<Said> {
        self.ask(KEYS)?;
        self.stdin.flush()?;
        Said::read(&mut self.stdout)
    }

    /// An agent's answer to a message.
    pub(super) fn receive(&mut self, message: &[u8]) -> anyhow::Result<Said> {
        self.ask(TELL)?;
        put_bytes(&mut self.stdin, message)?;
        self.stdin.flush()?;
        Said::read(&mut self.stdout)
    }

    /// What the coordinator has for these members in this round; empty where there is nothing.
    pub(super) fn told(&mut self, members: &[u32]) -> anyhow::Result<Vec<Vec<u8>>> {
        self.ask(TELL)?;
        put_u32(&mut self.stdin, u32::try_from(members.len())?)?;
        members.iter().try_for_each(|member| put_u32(&mut self.stdin, *member))?;
        self.stdin.flush()?;
        members.iter().map(|_| get_bytes(&mut self.stdout).context("the coordinator has ended")).collect()
    }

    /// Messages for the coordinator, which has all of them in memory before it takes the first.
    pub(super) fn take(&mut self, said: &[(u32, Said)]) -> anyhow::Result<()> {
        self.ask(TAKE)?;
        put_u32(&mut self.stdin, u32::try_from(said.len())?)?;
        for (from, said) in said {
            put_u32(&mut self.stdin, *from)?;
            said.write(&mut self.stdin)?;
        }
        self.answer().map(drop)
    }

    /// The coordinator goes on to the next round.
    pub(super) fn close(&mut self) -> anyhow::Result<()> {
        self.ask(CLOSE)?;
        self.answer().map(drop)
    }

    /// What it took.
    pub(super) fn finish(mut self) -> anyhow::Result<Value> {
        self.ask(FINISH)?;
        Ok(serde_json::from_slice(&self.answer()?)?)
    }
}

impl Said {
    fn write(&self, out: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::Message(message) => {
                put_u32(out, 0)?;
                put_bytes(out, message)
            }
            Self::Cells(head, cells) => {
                put_u32(out, 1)?;
                put_bytes(out, head)?;
                put_cells(out, cells)
            }
        }
    }

    fn read(from: &mut impl Read) -> anyhow::Result<Self> {
        match get_u32(from).context("a party has ended")? {
            0 => Ok(Self::Message(get_bytes(from)?)),
            _ => Ok(Self::Cells(get_bytes(from)?, get_cells(from)?)),
        }
    }
}

/// Adds the CPU time of `work` to `sum`.
fn timed<T>(sum: &mut f64, work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let start = cpu_ms()?;
    let value = work();
    *sum += cpu_ms()? - start;
    Ok(value)
}

/// The process of a party.
pub(crate) fn serve(part: Part) -> anyhow::Result<()> {
    let mut requests = BufReader::new(std::io::stdin().lock());
    let mut answers = BufWriter::new(std::io::stdout().lock());
    let job: Value = serde_json::from_slice(&get_bytes(&mut requests)?)?;
    let number = |name: &str| job[name].as_u64().with_context(|| format!("a job without {name}"));
    let index = u32::try_from(number("index")?)?;
    let job = Job {
        members: u32::try_from(number("members")?)?,
        colluders: u32::try_from(number("colluders")?)?,
        cells: usize::try_from(number("cells")?)?,
        keep: job["keep"] == true,
    };
    match part {
        Part::Coordinator => coordinator(&job, &mut requests, &mut answers),
        Part::Agent => agent(&job, index, &mut requests, &mut answers),
    }
}

fn agent(job: &Job, index: u32, requests: &mut impl Read, answers: &mut impl Write) -> anyhow::Result<()> {
    let attempt = job.attempt()?;
    forget_peak()?;
    let before_kib = resident_kib()?;
    let mut agent = Agent::accepted(identity(), index, key(index));
    let (mut cpu_ms, cells) = (0.0, vec![1; job.cells]);
    timed(&mut cpu_ms, || agent.manifest(attempt))??;
    loop {
        let reply = match get_u32(requests)? {
            KEYS => timed(&mut cpu_ms, || agent.keys(&cells, 0, Standing::Clear))??,
            TELL => {
                let message = get_bytes(requests)?;
                timed(&mut cpu_ms, || agent.receive(&message, Standing::Clear))??
            }
            _ => break,
        };
        match &reply {
            Reply::Message(message) => {
                put_u32(answers, 0)?;
                put_bytes(answers, message)?;
            }
            Reply::Cells { head, cells } => {
                put_u32(answers, 1)?;
                put_bytes(answers, head)?;
                put_cells(answers, cells)?;
            }
        }
        answers.flush()?;
    }
    let took = json!({ "cpu_ms": cpu_ms, "before_kib": before_kib, "peak_kib": peak_kib()? });
    put_bytes(answers, took.to_string().as_bytes())?;
    Ok(answers.flush()?)
}

/// As the shipped coordinator's rounds do it: a survivor's masked cells stay in memory from when they came until the result is stored.
fn coordinator(job: &Job, requests: &mut impl Read, answers: &mut impl Write) -> anyhow::Result<()> {
    let attempt = job.attempt()?;
    forget_peak()?;
    let before_kib = resident_kib()?;
    let mut coordinator = Coordinator::new(attempt);
    let (mut round_ms, mut kept) = (Vec::new(), BTreeMap::new());
    let mut cpu_ms = 0.0;
    loop {
        match get_u32(requests)? {
            TAKE => {
                let mut said = Vec::new();
                for _ in 0..get_u32(requests)? {
                    said.push((get_u32(requests)?, Said::read(requests)?));
                }
                timed(&mut cpu_ms, || said.into_iter().try_for_each(|(from, said)| take(&mut coordinator, &mut kept, from, said)))??;
                put_bytes(answers, &[])?;
            }
            TELL => {
                let count = get_u32(requests)?;
                let members = (0..count).map(|_| get_u32(requests)).collect::<Result<Vec<_>, _>>()?;
                let told = timed(&mut cpu_ms, || members.iter().map(|member| coordinator.message_for(*member)).collect::<Vec<_>>())?;
                for message in told {
                    put_bytes(answers, message.as_deref().unwrap_or_default())?;
                }
            }
            CLOSE => {
                timed(&mut cpu_ms, || coordinator.close_round())?.map_err(|failed| failed.reason)?;
                round_ms.push(std::mem::take(&mut cpu_ms));
                put_bytes(answers, &[])?;
            }
            FINISH => break,
            other => bail!("there is no request {other}"),
        }
        answers.flush()?;
    }
    round_ms.push(std::mem::take(&mut cpu_ms));
    let outcome = timed(&mut cpu_ms, || coordinator.finish(NonZeroUsize::MIN))?.map_err(|failed| failed.reason)?;
    round_ms.push(cpu_ms);
    let sum = outcome.cells.first().copied().context("no cells")?;
    ensure!(outcome.cells.iter().all(|cell| *cell == sum), "cells that should be equal are not");
    let peak = peak_kib()?;
    let keeping = if job.keep { super::keeping::measure(&outcome, &kept)? } else { Value::Null };
    let took = json!({ "round_ms": round_ms, "sum": sum, "before_kib": before_kib, "peak_kib": peak, "keeping": keeping });
    put_bytes(answers, took.to_string().as_bytes())?;
    Ok(answers.flush()?)
}

fn take(coordinator: &mut Coordinator, kept: &mut BTreeMap<u32, Vec<u64>>, from: u32, said: Said) -> anyhow::Result<()> {
    match said {
        Said::Message(message) => coordinator.receive(from, &message).map(drop)?,
        Said::Cells(head, cells) => {
            coordinator.receive_cells(from, &head, &cells)?;
            kept.entry(from).or_insert(cells);
        }
    }
    Ok(())
}
