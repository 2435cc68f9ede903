//! `commun query`, `catalog` and `status`.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::time::Duration;

use commun_domain::clock::{Clock, SystemClock};
use commun_domain::query::{PriceRequest, Query, QuerySettings, SnapshotRule};
use commun_domain::signed::SignedDocument;
use commun_domain::{Delta, Hash32, Rho};
use commun_trust::sign;
use commun_trust::state::TrustState;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::{ExplainArgs, QueryArgs, QuestionArgs};
use crate::asked::{Limit, asked, rho_of};
use crate::client::Client;
use crate::error::{CliError, read, write};
use crate::explain::expected;
use crate::explain::explain_text;
use crate::notes::{Charge, notes};
use crate::output::{Shown, plain_table, report, write_answer};
use crate::profile::Profile;
use crate::settings;

/// How long a signed question stays askable, in seconds.
pub const QUERY_LIFETIME_S: u64 = 3600;

/// `commun query`
pub async fn query(config: Option<&Path>, args: &QueryArgs) -> Result<(), CliError> {
    let profile = Profile::load(config)?;
    let text = text_of(args.question.file.as_deref(), args.question.sql.as_deref())?;
    if let (true, text) = settings::without_explain(&text)? {
        let explained = ExplainArgs { question: QuestionArgs { file: None, sql: None, ..args.question.clone() }, values_per_row: None };
        return explain_text(&profile, &explained, &text).await;
    }
    // Before anything is charged: the report must have a place to go. What is there already stays until there is something better.
    if let Some(path) = &args.report {
        let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|source| CliError::File { path: path.display().to_string(), source })?;
    }
    let client = Client::connect(&profile).await?;
    let (state, ignored) = client.catalog().await?;
    warn(&ignored);
    let shown = Shown::of(args.shown, settings::split(&text)?.0.intervals);
    let question = sign_question(&profile, &state, &args.question, shown.has_margins(), &text)?;
    let admitted = Client::admit(&state, &question)?;
    let bar = spinner();
    let answer = client.ask(&question, &admitted, |step| {
        let seconds = step.elapsed_ms / 1000;
        let tenth = step.elapsed_ms % 1000 / 100;
        let count = if step.total > 0 { format!(" {}/{}", step.done, step.total) } else { String::new() };
        if bar.is_hidden() {
            eprintln!("[{seconds}.{tenth} s] {}{count}", step.message);
        } else {
            bar.set_message(format!("{}{count}", step.message));
        }
    });
    let answer = answer.await;
    bar.finish_and_clear();
    let answer = answer?;
    let table = shown.table(&answer.release)?;
    let keys = answer.release.plan.keys.len();
    let mut out = std::io::stdout().lock();
    write_answer(&mut out, &table, keys, args.format)?;
    out.flush().map_err(CliError::Output)?;
    if let Some(path) = &args.report {
        write(path, &format!("{:#}\n", report(&answer.release, answer.stored)))?;
    }
    let charge = if answer.stored { Charge::Stored } else { Charge::Charged };
    for note in notes(&answer.release, charge, shown) {
        eprintln!("{note}");
    }
    Ok(())
}

/// `commun catalog`
pub async fn catalog(config: Option<&Path>) -> Result<(), CliError> {
    let profile = Profile::load(config)?;
    let client = Client::connect(&profile).await?;
    let (state, ignored) = client.catalog().await?;
    warn(&ignored);
    let mut out = std::io::stdout().lock();
    for (hash, permit) in state.permits() {
        if let Some(contract) = state.contract(&permit.contract) {
            writeln!(out, "{}", crate::show::permit(permit, hash)).map_err(CliError::Output)?;
            writeln!(out, "{}", crate::show::contract(contract, &permit.contract)).map_err(CliError::Output)?;
        }
    }
    Ok(())
}

/// `commun status`
pub async fn status(config: Option<&Path>) -> Result<(), CliError> {
    let profile = Profile::load(config)?;
    let reply = Client::connect(&profile).await?.status().await?;
    let mut holders = plain_table();
    holders.set_header(["holder", "connected", "log read to", "clock skew", "software"]);
    for holder in &reply.holders {
        holders.add_row([
            holder.name.clone(),
            if holder.connected { "yes" } else { "no" }.to_owned(),
            format!("{} of {}", holder.log_read_to, reply.log_size),
            format!("{} ms", holder.clock_skew_ms),
            holder.software.clone(),
        ]);
    }
    let mut ledgers = plain_table();
    ledgers.set_header(["holder", "budget domain", "period", "rho spent", "rho cap", "delta spent", "delta cap"]);
    for ledger in &reply.ledgers {
        ledgers.add_row([
            ledger.holder.clone(),
            ledger.budget_domain.clone(),
            ledger.partition.clone(),
            Rho::from_units(ledger.spent_rho_units).to_string(),
            Rho::from_units(ledger.cap_rho_units).to_string(),
            Delta::from_units(ledger.spent_delta_units).to_string(),
            Delta::from_units(ledger.cap_delta_units).to_string(),
        ]);
    }
    writeln!(std::io::stdout(), "{holders}\n{ledgers}").map_err(CliError::Output)
}

pub(crate) fn warn(ignored: &[String]) {
    for reason in ignored {
        eprintln!("warning: {reason}");
    }
}

/// The question's text: argument, file, or standard input, which an argument `-` names too.
///
/// # Errors
///
/// Nothing is given, or it cannot be read.
pub(crate) fn text_of(file: Option<&Path>, sql: Option<&str>) -> Result<String, CliError> {
    match (file, sql) {
        (Some(path), _) => read(path),
        (None, Some(sql)) if sql != "-" => Ok(sql.to_owned()),
        (None, sql) => {
            if sql.is_none() && std::io::stdin().is_terminal() {
                return Err(CliError::Usage("no question given: as an argument, with --file, or on standard input".to_owned()));
            }
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|source| CliError::File { path: "standard input".to_owned(), source })?;
            Ok(text)
        }
    }
}

/// Builds the question from text, flags, settings and profile, and signs it with the profile's key.
pub(crate) fn sign_question(
    profile: &Profile,
    state: &TrustState,
    args: &QuestionArgs,
    intervals: bool,
    text: &str,
) -> Result<SignedDocument, CliError> {
    let (set, sql) = settings::split(text)?;
    let wanted = args.permit.clone().or_else(|| set.permit.clone()).or_else(|| profile.permit.clone());
    let (permit_hash, contract_hash) = pick_permit(state, profile, wanted.as_deref(), sql)?;
    let contract = state
        .contract(&contract_hash)
        .ok_or_else(|| CliError::Document("the coordinator offers no data contract for this permit".to_owned()))?;
    let usage = |e: commun_domain::units::UnitError| CliError::Usage(e.to_string());
    let asked = asked([args.epsilon.as_ref(), args.rho.as_ref(), args.margin.as_ref()], &set, profile.epsilon)?;
    let unpriced = QuerySettings {
        price: PriceRequest::Rho(Rho::ZERO),
        max_groups_per_person: args.max_groups_per_person.or(set.max_groups_per_person).unwrap_or(1),
        intervals,
        clipped: args.clipped || set.clipped.unwrap_or(false),
    };
    let accepted = args.max_rho.as_deref().map(Rho::parse).transpose().map_err(usage)?;
    let permit = state.permit(&permit_hash);
    let mut limits = vec![Limit { of: "the data contract's whole budget", rho: contract.rho_cap }];
    limits.extend(permit.map(|permit| Limit { of: "the permit's whole budget", rho: permit.rho_cap }));
    limits.extend(accepted.map(|rho| Limit { of: "the highest price that you accept", rho }));
    let least_honest = args.least_honest.unwrap_or(1);
    let price = asked.resolve(sql, contract, unpriced, expected(state, contract, least_honest)?, &limits)?;
    let max_price = match accepted {
        Some(rho) => rho,
        None => own_price(price, contract.delta_conv)?,
    };
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|e| CliError::Runtime(std::io::Error::other(e.to_string())))?;
    let now = SystemClock.now_unix();
    let snapshot = if args.fresh { SnapshotRule::NotBefore(i32::try_from(now / 86_400).unwrap_or(i32::MAX)) } else { SnapshotRule::Any };
    let question = Query {
        sql: sql.to_owned(),
        settings: QuerySettings { price, ..unpriced },
        contract: contract_hash,
        permit: permit_hash,
        max_price,
        least_honest,
        snapshot,
        nonce,
        expiry_unix: now + QUERY_LIFETIME_S,
    };
    Ok(sign::signed(&question, profile.signing_key()?))
}

/// At least the price by the public rule: two units of 2^-40 above the request, of which a question without an open group key needs one.
fn own_price(price: PriceRequest, delta_conv: commun_domain::Delta) -> Result<Rho, CliError> {
    let rho = rho_of(price, delta_conv)?;
    rho.checked_add(Rho::from_units(2)).ok_or_else(|| CliError::Usage("the requested rho is too large".to_owned()))
}

/// The permit that is named, else the only one in force for this profile's key, else the only one of these whose data contract the text names.
fn pick_permit(state: &TrustState, profile: &Profile, wanted: Option<&str>, sql: &str) -> Result<(Hash32, Hash32), CliError> {
    let own_key = profile.query_key.as_ref().map(sign::public_key);
    let now = SystemClock.now_unix();
    let mut matching: Vec<_> = state
        .permits()
        .filter(|(hash, permit)| match wanted {
            Some(start) => hash.to_string().starts_with(&start.to_ascii_lowercase()),
            None => {
                own_key.is_some_and(|key| permit.query_keys.contains(&key))
                    && (permit.valid_from_unix..permit.valid_until_unix).contains(&now)
            }
        })
        .collect();
    if wanted.is_none() && matching.len() > 1 {
        let sql = sql.to_ascii_lowercase();
        let named = matching.iter().copied().filter(|(_, permit)| sql.contains(&format!("{}.", permit.contract_name))).collect::<Vec<_>>();
        if let [one] = named[..] {
            matching = vec![one];
        }
    }
    match matching.as_slice() {
        [(hash, permit)] => Ok((**hash, permit.contract)),
        [] => Err(CliError::Usage(match wanted {
            Some(start) => format!("no permit starts with {start}; `commun catalog` lists them"),
            None => "no permit in force names this profile's key; ask the supervisor, or see `commun catalog`".to_owned(),
        })),
        several => Err(CliError::Usage(format!("{} permits fit; name one with --permit (see `commun catalog`)", several.len()))),
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{elapsed}] {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
