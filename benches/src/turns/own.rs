//! This program as a system under measure: our engine, or `DataFusion` with its own settings.

use std::io::{BufRead, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use commun_domain::contract_toml::parse_contract;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::{Document, Epsilon};
use commun_engine::{Binding, DataFusionEngine, EngineOptions};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::System;

/// What our engine is asked.
pub(crate) struct Question<'a> {
    pub(crate) contract: &'a str,
    pub(crate) binding: &'a str,
    pub(crate) sql: &'a str,
    pub(crate) max_groups: u32,
    /// Memory that it is given.
    pub(crate) memory_bytes: Option<usize>,
    /// Whether the cells are wanted, as texts: all data of benches are made up.
    pub(crate) cells: bool,
}

/// Our engine over the files of a folder, where it may also put what does not fit the memory.
pub(crate) fn engine(name: &str, folder: &Path, question: &Question<'_>) -> anyhow::Result<System> {
    let job = json!({
        "system": "engine",
        "folder": folder,
        "contract": question.contract,
        "binding": question.binding,
        "sql": question.sql,
        "max_groups": question.max_groups,
        "memory_bytes": question.memory_bytes,
        "cells": question.cells,
    });
    system(name, job)
}

/// `DataFusion` over views of files.
pub(crate) fn datafusion(name: &str, views: &Value, sql: &str) -> anyhow::Result<System> {
    system(name, json!({ "system": "datafusion", "views": views, "sql": sql }))
}

fn system(name: &str, job: Value) -> anyhow::Result<System> {
    Ok(System { name: name.to_owned(), program: std::env::current_exe()?, arguments: vec!["--answer-by-turns".into()], job })
}

/// The other end: answers until standard input ends.
pub(crate) fn serve() -> anyhow::Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let job: Value = serde_json::from_str(&lines.next().context("no job")??)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (version, mut ask): (&str, Box<dyn FnMut() -> anyhow::Result<Value> + '_>) = match text(&job, "system")? {
        "engine" => (env!("CARGO_PKG_VERSION"), Box::new(our_engine(&job, &runtime)?)),
        "datafusion" => (datafusion::DATAFUSION_VERSION, Box::new(plain_datafusion(&job, &runtime)?)),
        other => bail!("there is no system {other}"),
    };
    say(&json!({ "version": version }))?;
    for line in lines {
        line?;
        let (start, used) = (Instant::now(), processor_seconds()?);
        let mut answer = ask()?;
        answer["seconds"] = start.elapsed().as_secs_f64().into();
        answer["processor_seconds"] = (processor_seconds()? - used).into();
        answer["peak_kib"] = crate::usage::peak_kib()?.into();
        say(&answer)?;
    }
    Ok(())
}

fn say(line: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

fn text<'a>(job: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    job[name].as_str().with_context(|| format!("a job without {name}"))
}

fn our_engine<'a>(job: &Value, runtime: &'a Runtime) -> anyhow::Result<impl FnMut() -> anyhow::Result<Value> + use<'a>> {
    let (contract, folder) = (parse_contract(text(job, "contract")?)?, text(job, "folder")?);
    let max_groups_per_person = u32::try_from(job["max_groups"].as_u64().context("a job without max_groups")?)?;
    let price = PriceRequest::Epsilon(Epsilon::from_units(1_000_000));
    let plan = commun_sql::compile(
        text(job, "sql")?,
        &contract,
        &QuerySettings { price, max_groups_per_person, intervals: false, clipped: false },
    )?;
    let memory_bytes = job["memory_bytes"].as_u64().and_then(|bytes| NonZeroUsize::new(usize::try_from(bytes).ok()?));
    let options = EngineOptions { memory_bytes, spill_folder: folder.into(), ..EngineOptions::default() };
    let engine = DataFusionEngine::new(Binding::parse(text(job, "binding")?)?, folder).with_options(options);
    let id = commun_domain::encoding::sha256(&plan.to_bytes()).into();
    let wants_cells = job["cells"] == true;
    Ok(move || {
        let (cells, times) = runtime.block_on(engine.evaluate_timed(&plan, &id, &contract))?;
        let seconds = |time: Duration| time.as_secs_f64();
        let parts = [seconds(times.read), seconds(times.evaluate), seconds(times.deal), seconds(times.finish)];
        let of_cells = |cells: &Vec<i128>| cells.iter().map(i128::to_string).collect::<Vec<_>>();
        let shown: Vec<Vec<String>> = if wants_cells { cells.outputs.iter().map(of_cells).collect() } else { Vec::new() };
        let kept = cells.outputs.first().map_or(0, |counts| counts.iter().sum::<i128>());
        Ok(json!({
            "groups": cells.outputs.first().map_or(0, Vec::len), "kept": i64::try_from(kept).ok(), "parts": parts, "cells": shown,
        }))
    })
}

fn plain_datafusion<'a>(job: &Value, runtime: &'a Runtime) -> anyhow::Result<impl FnMut() -> anyhow::Result<Value> + use<'a>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(threads));
    for (name, path) in job["views"].as_object().context("a job without views")? {
        let path = path.as_str().context("a view without a path")?;
        runtime.block_on(context.register_parquet(name, path, ParquetReadOptions::default()))?;
    }
    let sql = text(job, "sql")?.to_owned();
    Ok(move || {
        let batches = runtime.block_on(async { context.sql(&sql).await?.collect().await })?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let counts = batches.iter().flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().iter().flatten());
        Ok(json!({ "groups": rows, "kept": counts.sum::<i64>() }))
    })
}

/// What all threads of this process have used of the processors: ticks of a hundredth of a second (proc(5)).
fn processor_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the name, which may hold anything, in parentheses.
    let (_, fields) = stat.rsplit_once(')').context("stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(f64::from(ticks.sum::<Result<u32, _>>()?) / 100.0)
}
