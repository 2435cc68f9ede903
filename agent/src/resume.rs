//! `commun-agent resume`: a person's decision that the agent goes on.
//!
//! It settles incidents, takes a stop away, and lets the next start charge records that contradict the log beside its own. It stands in the store for
//! ever, with its reason. The agent must not run: the store's lock says so.

use std::fmt::Write as _;

use commun_domain::clock::{Clock as _, SystemClock};
use commun_store::{AgentStore, StoreOptions};

use crate::config::Config;
use crate::guard::stop_file;

/// Longest reason, in bytes.
const MAX_REASON_BYTES: usize = 4096;

/// Writes the decision down, and says what it settles.
pub(crate) fn resume(config: &Config, reason: &str) -> anyhow::Result<String> {
    let reason = reason.trim();
    anyhow::ensure!(!reason.is_empty(), "the reason is empty; say what was found, so that whoever looks later understands the decision");
    anyhow::ensure!(reason.len() <= MAX_REASON_BYTES, "the reason has more than {MAX_REASON_BYTES} bytes");
    anyhow::ensure!(
        config.store_path().exists(),
        "there is no store at {}; check `state_dir` in the configuration",
        config.store_path().display()
    );
    let store = AgentStore::open(&config.store_path(), StoreOptions { max_pages: config.max_store_pages })?;
    let incidents = store.incidents()?;
    let stop_file = stop_file(&config.state_dir);
    let stopped = std::fs::read_to_string(&stop_file).ok();
    let stop_is_there = stop_file.exists();
    if incidents.is_empty() && !stop_is_there {
        return Ok("there is nothing to decide: no incident and no stop\n".to_owned());
    }
    // First the decision, then the end of the stop: after a crash in between it is still stopped, and may be resumed again.
    store.decide(SystemClock.now_ms(), reason, stop_is_there)?;
    if stop_is_there {
        std::fs::remove_file(&stop_file)?;
        std::fs::File::open(&config.state_dir)?.sync_all()?;
    }
    let mut text = String::from("the decision is written down; the agent answers again from its next start on\n");
    for incident in incidents {
        let _ = writeln!(
            text,
            "settled: {} in {}, query {} attempt {}",
            incident.kind.as_str(),
            incident.domain,
            incident.query,
            incident.attempt
        );
    }
    if let Some(stopped) = stopped {
        let _ = writeln!(text, "taken away: {}", stopped.trim());
    }
    Ok(text)
}
