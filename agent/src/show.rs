//! `status` and `journal` as text for people.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use commun_domain::{Delta, Rho};

use crate::status::{JournalEntry, Status};

fn time(seconds: i64) -> String {
    DateTime::<Utc>::from_timestamp(seconds, 0).map_or_else(|| seconds.to_string(), |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn time_ms(milliseconds: u64) -> String {
    time(i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX))
}

pub(crate) fn status(status: &Status) -> String {
    let report = &status.report;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<20} {value}");
    };
    line("holder", status.holder.clone());
    line("software", status.software.clone());
    if let Some(reason) = &report.stopped {
        line("STOPPED", reason.clone());
    }
    for reason in &report.not_ready {
        line("CANNOT ANSWER", reason.clone());
    }
    for incident in &report.incidents {
        line("INCIDENTS", incident.clone());
    }
    let since = status.connected_since_ms.map_or_else(|| "no".to_owned(), |since| format!("since {}", time_ms(since)));
    line("connected", format!("{since}, {}", status.coordinator));
    line("clock", status.clock_skew_s.map_or_else(|| "unknown".to_owned(), |skew| format!("{skew:+} s at the coordinator")));
    line("certificate until", status.certificate_expires_unix.map_or_else(|| "cannot be read".to_owned(), time));
    let checkpoint = report.checkpoint_size.zip(report.checkpoint_unix).map_or_else(
        || "no checkpoint yet".to_owned(),
        |(size, unix)| format!("checkpoint at {size}, {}", time_ms(unix.saturating_mul(1000))),
    );
    line("log", format!("{} entries, {checkpoint}", report.log_size));
    if report.unreadable_entries > 0 {
        let count = report.unreadable_entries;
        line(
            "unreadable entries",
            format!("{count}: leaves of the log that change no trust here; is this agent older than the coordinator?"),
        );
    }
    if let Some((number, reason)) = &report.last_invalid_entry {
        line("invalid log entry", format!("{number}: {reason}"));
    }
    let due =
        if report.refunds_due == 0 { String::new() } else { format!(", {} wait for a refund that cannot be written", report.refunds_due) };
    line("open attempts", format!("{}{due}", report.open_attempts));
    line("accepted permits", if report.accepted_permits.is_empty() { "none: every question is refused".to_owned() } else { String::new() });
    for permit in &report.accepted_permits {
        let what = match (&permit.reference, &permit.agency) {
            (Some(reference), Some(agency)) if permit.in_force => format!("{reference}, {agency}"),
            (Some(reference), Some(agency)) => format!("{reference}, {agency}, not valid now"),
            _ => "not in the log".to_owned(),
        };
        line("", format!("{} {what}", permit.permit));
    }
    line("budgets", if report.budgets.is_empty() { "nothing spent".to_owned() } else { String::new() });
    for budget in &report.budgets {
        let unknown = || "?".to_owned();
        let cap = budget.cap_rho_units.map_or_else(unknown, |units| Rho::from_units(units).to_string());
        let delta_cap = budget.cap_delta_units.map_or_else(unknown, |units| Delta::from_units(units).to_string());
        let delta = match budget.spent_delta_units {
            0 => String::new(),
            units => format!(", delta {} of {delta_cap} for open group keys", Delta::from_units(units)),
        };
        line("", format!("{} {}: rho {} of {cap}{delta}", budget.domain, budget.partition, Rho::from_units(budget.spent_rho_units)));
    }
    let last = status.last_error_ms.zip(status.last_error.as_ref());
    line("last error", last.map_or_else(|| "none".to_owned(), |(when, error)| format!("{}: {error}", time_ms(when))));
    text
}

pub(crate) fn journal(entries: &[JournalEntry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let price = entry.rho_units.map_or_else(
            || "no price reserved".to_owned(),
            |units| format!("rho {} in each of {} period(s)", Rho::from_units(units), entry.periods),
        );
        let code = entry.code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "{} {} {}{code} {} attempt {}\n  agency {}, permit {}\n  {}\n  {price}, {} bytes sent; {}",
            entry.number,
            time_ms(entry.time_ms),
            entry.decision,
            entry.query,
            entry.attempt,
            entry.agency.as_deref().unwrap_or("?"),
            entry.permit.as_deref().unwrap_or("?"),
            entry.sql.replace('\n', "\n  "),
            entry.bytes_sent,
            entry.reason
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{Budget, Report};

    #[test]
    fn status_says_that_nothing_is_accepted_and_shows_budget_and_last_error() {
        let budget = Budget {
            domain: "d".into(),
            partition: "2011-01".into(),
            spent_rho_units: 1 << 39,
            cap_rho_units: Some(1 << 40),
            spent_delta_units: 2_000_000_000,
            cap_delta_units: Some(10_000_000_000),
        };
        let report = Report {
            budgets: vec![budget],
            stopped: Some("a fork".into()),
            not_ready: vec!["no list".into()],
            incidents: vec!["1 of at most 2".into()],
            unreadable_entries: 3,
            ..Report::default()
        };
        let shown = status(&Status { last_error_ms: Some(0), last_error: Some("no route".into()), report, ..Status::default() });
        for part in [
            "every question is refused",
            "unreadable entries   3",
            "d 2011-01: rho 0.5 of 1, delta 2e-9 of 1e-8 for open group keys",
            "STOPPED",
            "CANNOT ANSWER        no list",
            "INCIDENTS            1 of at most 2",
            "1970-01-01 00:00:00 UTC: no route",
            "connected            no",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}
