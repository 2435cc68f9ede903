//! `commun log`: the whole log as an officer or operator reads it, verified from the pin.
//!
//! Every entry is folded by the function that agents fold with, the root is recomputed, and it must be the one that the log key has
//! signed. So what is printed is what agents see, or this says that it is not.

use std::io::Write;
use std::path::Path;

use commun_domain::log::LogEntry;
use commun_domain::query::Query;
use commun_domain::{Document, Refusal, Rho, WireCode};
use commun_privacy::accountant::epsilon_for_rho;
use commun_tlog::{Checkpoint, Frontier, leaf_hash};
use commun_trust::state::{Pins, TrustState};
use ed25519_dalek::VerifyingKey;

use crate::client::Client;
use crate::error::CliError;
use crate::output::one_line;
use crate::profile::Profile;

/// `commun log`
pub async fn log(config: Option<&Path>, from: u64) -> Result<(), CliError> {
    let profile = Profile::load(config)?;
    let client = Client::connect(&profile).await?;
    let mut state = TrustState::new(Pins { bundle: profile.bundle });
    let mut tree = Frontier::new();
    let mut out = std::io::stdout().lock();
    let checkpoint = loop {
        let reply = client.log(tree.size()).await?;
        let target = first_size(&reply.checkpoint)?;
        for bytes in &reply.entries {
            let number = tree.size();
            // The checkpoint may be older than the newest entries: those wait for the next one.
            if number >= target {
                break;
            }
            tree.append(leaf_hash(bytes));
            let line = match LogEntry::from_bytes(bytes) {
                Ok(entry) => match state.apply(number, &entry) {
                    Ok(()) => describe(&entry, &state),
                    Err(error) => format!("{}: counts for nothing: {error}", entry.kind()),
                },
                Err(error) => {
                    state.skip(number).map_err(|e| CliError::Document(e.to_string()))?;
                    format!("cannot be read by this version: {error}")
                }
            };
            if number >= from {
                writeln!(out, "{number:>6}  {line}").map_err(CliError::Output)?;
            }
        }
        if tree.size() >= target {
            break reply.checkpoint;
        }
        if reply.entries.is_empty() {
            return Err(not_the_log("it does not hold as many entries as it has signed").into());
        }
    };
    let bundle = state.bundle().ok_or_else(|| not_the_log("its trust bundle is not the one pinned in the profile"))?;
    let key = VerifyingKey::from_bytes(bundle.log_key.as_bytes()).map_err(|_| not_the_log("the bundle's log key is no key"))?;
    let checkpoint = Checkpoint::open(&checkpoint, &bundle.log_origin, &key).map_err(|e| not_the_log(&e.to_string()))?;
    if checkpoint.size != tree.size() || checkpoint.root != tree.root() {
        return Err(not_the_log("its entries do not have the root that the log key has signed").into());
    }
    eprintln!("{} entries; their root is the one that the log key {} has signed", tree.size(), bundle.log_key.id().short());
    Ok(())
}

fn not_the_log(why: &str) -> Refusal {
    Refusal::new(
        WireCode::Internal,
        format!("this is not the log that it should be: {why}"),
        "keep what was printed, and tell the supervisor: agents stop on such a log",
    )
}

/// The size that a checkpoint states, before its signature can be checked: its second line.
fn first_size(note: &str) -> Result<u64, Refusal> {
    note.lines().nth(1).and_then(|line| line.parse().ok()).ok_or_else(|| not_the_log("its checkpoint cannot be read"))
}

/// One entry in words.
fn describe(entry: &LogEntry, state: &TrustState) -> String {
    let what = match entry {
        LogEntry::Bundle(document) | LogEntry::Roster(document) | LogEntry::Contract(document) | LogEntry::Permit(document) => {
            let hash = document.document_hash();
            let named = match entry {
                LogEntry::Permit(_) => state
                    .permit(&hash)
                    .map(|permit| format!("{} for {}: {}; {}", permit.reference, permit.agency, permit.purpose, permit.decision_ref)),
                LogEntry::Contract(_) => state.contract(&hash).map(|contract| format!("{} version {}", contract.name, contract.version)),
                LogEntry::Roster(_) => state.roster().map(|roster| format!("epoch {}, {} holder(s)", roster.epoch, roster.holders.len())),
                _ => state.bundle().map(|bundle| format!("version {}", bundle.version)),
            };
            format!("{}  {hash}", named.unwrap_or_default())
        }
        LogEntry::Attempt(attempt) => {
            let query = Query::from_bytes(&attempt.query.bytes.0).ok();
            let permit = query.as_ref().and_then(|query| state.permit(&query.permit));
            let contract = query.as_ref().and_then(|query| state.contract(&query.contract));
            let asked = permit.map_or_else(String::new, |permit| format!("{} under {}, ", permit.agency, permit.reference));
            let price = contract.map_or_else(|| format!("rho {}", attempt.price), |contract| stated(attempt.price, contract.delta_conv));
            let sql = query.as_ref().map_or_else(String::new, |query| one_line(&query.sql));
            format!("{asked}{price} for each holder and period: {sql}  {}#{}", attempt.query.document_hash(), attempt.attempt)
        }
        LogEntry::Failure(failure) => format!("{}  {}#{}", failure.refusal.message, failure.query, failure.attempt),
        LogEntry::Refund(refund) => format!("holder {} took its charge back  {}#{}", refund.index, refund.query, refund.attempt),
        LogEntry::Names(names) => format!(
            "{} holder(s) released names, at rho {} and delta {} for each holder and period, lists {}  {}#{}",
            names.participants.len(),
            names.price,
            names.delta,
            names.lists,
            names.query,
            names.attempt
        ),
        LogEntry::Release(release) => {
            format!(
                "{} holder(s) in the sum, release {}  {}#{}",
                release.participants.len(),
                release.release,
                release.query,
                release.attempt
            )
        }
    };
    format!("{}: {}", entry.kind(), one_line(&what))
}

fn stated(rho: Rho, delta: commun_domain::Delta) -> String {
    format!("rho {rho} (epsilon {:.4})", epsilon_for_rho(rho, delta))
}
