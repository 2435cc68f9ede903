//! What each durable write of a small query costs: every `fsync` and `fdatasync` of all processes, traced by `strace`, which slows the processes down; so this is
//! a run of its own, and only the time of the call itself is looked at.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{Asked, Demo, STEPS, ask};
use crate::Figure;

/// A write that was forced to the disk.
#[derive(Clone, Debug, PartialEq)]
struct Sync {
    /// When the call began, since 1970.
    at: Duration,
    took_ms: f64,
    /// From the federation's folder.
    file: String,
}

/// For each process the writes of a query in order: in which step each begins, and how long it takes.
pub(crate) fn measure(queries: u32) -> anyhow::Result<Vec<Figure>> {
    let trace = tempfile::NamedTempFile::new()?;
    let path = trace.path().to_str().context("path")?;
    // `-D`: the demo itself is our child, and strace beside it.
    let strace = format!("strace -D -f -q -y -ttt -T -e trace=fsync,fdatasync -e signal=none -o {path}");
    let under: Vec<String> = strace.split(' ').map(str::to_owned).collect();
    let demo = Demo::start(&under).context("strace is needed")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(ask(demo.path(), queries))?;
    let folder = demo.path().canonicalize()?;
    drop(demo);
    let syncs = read(&std::fs::read_to_string(trace.path())?, &folder);
    ensure!(!syncs.is_empty(), "strace saw no write");
    Ok(figures(&asked, &syncs))
}

/// Lines of `strace -f -y -ttt -T`, also of calls that another thread's line interrupted.
fn read(trace: &str, folder: &Path) -> Vec<Sync> {
    let mut begun: BTreeMap<&str, (Duration, String)> = BTreeMap::new();
    let mut syncs = Vec::new();
    for line in trace.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(thread), Some(at)) = (words.next(), words.next().and_then(|at| at.parse().ok())) else { continue };
        let at = Duration::from_secs_f64(at);
        let took_ms = || line.rsplit_once('<')?.1.strip_suffix('>')?.parse().ok().map(|seconds: f64| seconds * 1e3);
        let file = || {
            let path = Path::new(line.split_once('<')?.1.split_once('>')?.0);
            path.strip_prefix(folder).ok()?.to_str().map(str::to_owned)
        };
        if line.contains("resumed>") {
            if let Some(((at, file), took_ms)) = begun.remove(thread).zip(took_ms()) {
                syncs.push(Sync { at, took_ms, file });
            }
        } else if let Some(file) = file() {
            if line.ends_with("<unfinished ...>") {
                begun.insert(thread, (at, file));
            } else if let Some(took_ms) = took_ms() {
                syncs.push(Sync { at, took_ms, file });
            }
        }
    }
    syncs.sort_by_key(|sync| sync.at);
    syncs
}

/// The file that most of these writes are of; those that are named after a query are one.
fn usual_file(writes: &[(&Asked, &Sync)]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (_, sync) in writes {
        let file = match sync.file.rsplit_once('/') {
            Some((folder, name)) if name.len() > 64 => format!("{folder}/<query>"),
            _ => sync.file.clone(),
        };
        *counts.entry(file).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or_else(String::new, |(file, _)| file)
}

/// Writes of one query in each process's folder, in order.
fn of_query<'a>(query: &Asked, syncs: &'a [Sync]) -> BTreeMap<&'a str, Vec<&'a Sync>> {
    let end = query.called + Duration::from_secs_f64(query.answered_ms / 1e3);
    let mut writes: BTreeMap<&str, Vec<&Sync>> = BTreeMap::new();
    for sync in syncs.iter().filter(|sync| (query.called..end).contains(&sync.at)) {
        writes.entry(sync.file.split('/').next().unwrap_or("")).or_default().push(sync);
    }
    writes
}

fn figures(asked: &[Asked], syncs: &[Sync]) -> Vec<Figure> {
    let mut by_place: BTreeMap<(&str, usize), Vec<(&Asked, &Sync)>> = BTreeMap::new();
    let mut counts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for query in asked {
        for (process, writes) in of_query(query, syncs) {
            #[expect(clippy::cast_precision_loss, reason = "a few")]
            counts.entry(process).or_default().push(writes.len() as f64);
            for (place, sync) in writes.into_iter().enumerate() {
                by_place.entry((process, place)).or_default().push((query, sync));
            }
        }
    }
    let mut figures: Vec<Figure> = counts
        .into_iter()
        .map(|(process, counts)| Figure::new(format!("durable writes of a query, {process}"), "writes", counts))
        .collect();
    for ((_, place), writes) in by_place {
        // What only a few queries have is no step of a query.
        if writes.len() * 2 < asked.len() {
            continue;
        }
        let offsets = writes.iter().map(|(query, sync)| (sync.at.saturating_sub(query.called)).as_secs_f64() * 1e3);
        let begins = Figure::new("", "ms", offsets.collect()).median();
        let (file, step) = (usual_file(&writes), step_at(asked, begins));
        let name = format!("durable write {} of {file}, from {begins:.1} ms on ({step})", place + 1);
        figures.push(Figure::new(name, "ms", writes.iter().map(|(_, sync)| sync.took_ms).collect()));
    }
    figures
}

/// The step that is under way so long after the call, by the medians of its ends at the client.
fn step_at(asked: &[Asked], offset_ms: f64) -> &'static str {
    let ends = |place: usize| Figure::new("", "ms", asked.iter().map(|query| query.ends_ms[place]).collect()).median();
    STEPS.iter().enumerate().find(|(place, _)| ends(*place) > offset_ms).map_or("after the answer", |(_, (step, _))| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_whole_and_in_two_parts() {
        let trace = "\
            12 1764350000.500000 fdatasync(7</tmp/x/coordinator/state/c.db-wal>) = 0 <0.001500>\n\
            13 1764350000.100000 fsync(9</tmp/x/holder/state/a.db-wal> <unfinished ...>\n\
            14 1764350000.200000 fsync(9</elsewhere/file>) = 0 <0.5>\n\
            13 1764350000.103000 <... fsync resumed>) = 0 <0.003000>\n";
        let found: Vec<(String, f64)> = read(trace, Path::new("/tmp/x")).into_iter().map(|sync| (sync.file, sync.took_ms)).collect();
        assert_eq!(found, [("holder/state/a.db-wal".to_owned(), 3.0), ("coordinator/state/c.db-wal".to_owned(), 1.5)]);
    }
}
