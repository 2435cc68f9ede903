//! What this process or thread has used, as Linux tells it.

use anyhow::Context;

/// CPU time of this thread, from its start, in milliseconds. The kernel brings its count up to date when the thread yields.
pub(crate) fn cpu_ms() -> anyhow::Result<f64> {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").context("CPU time is read from Linux's schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().context("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e6)
}

fn of_status(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).with_context(|| format!("no {name}"))?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// The highest resident memory of this process.
pub(crate) fn peak_kib() -> anyhow::Result<u64> {
    of_status("VmHWM")
}

/// Resident memory of this process now.
pub(crate) fn resident_kib() -> anyhow::Result<u64> {
    of_status("VmRSS")
}

/// From now on [`peak_kib`] is that of what follows (proc(5), `clear_refs`).
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("clear_refs")
}
