//! Flower's `SecAgg+` beside this protocol: 100 members, the same cells, each in its turn.
//!
//! Flower's client modifier and server workflow are called as they are, in one process, without a network (`peers/with_flower.py`). On the complete graph
//! with T = 95 it is the same protocol in outline, without signatures, without a signed set of survivors, with 32 bits a cell (which travel as 64) and masks
//! from numpy's Mersenne Twister under 32 bits of seed. The k-regular graph, which is what the "+" stands for, is measured too.

use anyhow::Context;
use serde_json::{Value, json};

use super::{Job, run};
use crate::Figure;
use crate::turns::by_turns;
use crate::turns::environment::FLOWER;

const MEMBERS: u32 = 100;
const COLLUDERS: u32 = 10;
const CELLS: [usize; 2] = [1_000, 100_000];

/// Shares of a secret and how many give it: the complete graph with T as here, and a graph in which everyone has 30 neighbours.
const GRAPHS: [(&str, u32, u32); 2] = [("complete graph, T = 95", 100, 95), ("30 neighbours, T = 21 of 31", 31, 21)];

/// Clients of Flower that are measured.
const REAL: u32 = 3;

/// Figures for both, and their ratios.
pub(crate) fn measure(repetitions: u32) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let Some(flower) = FLOWER.install(folder.path()) else { return Ok(Vec::new()) };
    let mut figures = Vec::new();
    for cells in CELLS {
        let job = Job { members: MEMBERS, colluders: COLLUDERS, cells, keep: false };
        let of = format!("{MEMBERS} members, {cells} cells");
        let (mut agent, mut coordinator, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..repetitions {
            let took = run(&job, 0)?;
            agent.extend(took.agents_ms()?);
            coordinator.push(took.coordinator_ms()?);
            bytes.push(took.agent_bytes / 1e6);
        }
        figures.push(Figure::new(format!("{of}: Commun, an agent"), "ms of CPU", agent));
        figures.push(Figure::new(format!("{of}: Commun, an agent"), "MB", bytes));
        figures.push(Figure::new(format!("{of}: Commun, coordinator"), "ms of CPU", coordinator));
        for (graph, shares, threshold) in GRAPHS {
            let job = json!({ "members": MEMBERS, "real": REAL, "cells": cells, "shares": shares, "threshold": threshold });
            let outcomes = by_turns(vec![flower.system(&format!(", {graph}"), job)], repetitions)?;
            for outcome in outcomes {
                let all = |name: &str, scale: f64| numbers(&outcome.answers, name, scale);
                figures.push(Figure::new(format!("{of}: {}, a client", outcome.name), "ms of CPU", all("clients", 1e3)?));
                figures.push(Figure::new(format!("{of}: {}, a client", outcome.name), "MB", all("bytes", 1e-6)?));
                figures.push(Figure::new(format!("{of}: {}, server", outcome.name), "ms of CPU", all("server", 1e3)?));
            }
        }
    }
    Ok(figures)
}

/// A number, or a list of numbers, of each answer.
fn numbers(answers: &[Value], name: &str, scale: f64) -> anyhow::Result<Vec<f64>> {
    let of = |answer: &Value| answer[name].as_array().cloned().unwrap_or_else(|| vec![answer[name].clone()]);
    answers.iter().flat_map(of).map(|value| Ok(value.as_f64().context("Flower's answer lacks a number")? * scale)).collect()
}
