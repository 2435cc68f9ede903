//! The use-cases over a real store and log, with scripted agents in memory in place of gRPC streams.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
#[path = "../../../../crates/trust/tests/common/mod.rs"]
mod common;
mod questions;
mod restarts;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use commun_domain::attempt::{Accept, Manifest, Refuse};
use commun_domain::calendar::Period;
use commun_domain::clock::FixedClock;
use commun_domain::encoding::{sha256, tag_of};
use commun_domain::log::LogEntry;
use commun_domain::query::Query;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, QueryId, Rho, WireCode};
use commun_secagg::agent::{Agent as Machine, Reply, Standing};
use commun_service::Faults;
use commun_store::{CoordinatorStore, StoreOptions};
use commun_tlog::{Frontier, leaf_hash};
use commun_trust::{OwnReserve, Pins, When, admit, check_manifest, cohort};
use futures::StreamExt;

use super::{App, Deadlines, Event, Feed};
use crate::link::{AgentInfo, FromAgent, ToAgent};
use crate::log::Log;

/// Cells of the question in `common`: three districts squared.
const CELLS: usize = 9;

const NOW_MS: u64 = common::NOW_UNIX * 1000;

/// Long enough for what must come, short enough to wait for what must not.
const DEADLINES: Deadlines = Deadlines { reply_ms: 400, manifest_ms: 5_000, slot_ms: Some(20), round_ms: 1_500 };

/// What a scripted agent does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    Answers,
    Refuses,
    SaysNothing,
    FailsAfterManifest,
    DropsAfterManifest,
    ForgesItsKeys,
    /// And then says the right ones.
    ForgesItsKeysFirst,
    SaysKeysTwice,
    /// At the message of this tag.
    FallsSilentAt(&'static str),
    AnswersAnotherShape,
    ChangesItsCells,
}

/// What R3 and R5 begin with.
const SHARE_LIST: &str = "commun/secagg-share-list/v1";
const PROOF: &str = "commun/secagg-proof/v1";

fn open(folder: &Path, faults: Faults, max_pages: Option<u32>) -> Arc<App> {
    let store = Arc::new(CoordinatorStore::open(&folder.join("coordinator.db"), StoreOptions { max_pages }).unwrap());
    let pins = Pins { bundle: common::bundle().hash() };
    let log = Log::open(store.clone(), common::log_key(), pins, Arc::new(FixedClock(NOW_MS))).unwrap();
    App::new(store, log, Arc::new(FixedClock(NOW_MS)), faults, DEADLINES, 4)
}

fn documents() -> [SignedDocument; 4] {
    [
        common::signed_by(&common::bundle(), &[common::root_key()]),
        common::signed_by(&common::roster(), &common::roster_signers()),
        common::signed_by(&common::contract(), &common::officers()),
        common::signed_by(&common::permit(), &common::officers()),
    ]
}

/// An app with everything published.
fn ready(folder: &Path, faults: Faults) -> Arc<App> {
    let app = open(folder, faults, None);
    for document in documents() {
        app.publish(&document).unwrap();
    }
    app
}

/// A question with this nonce, signed.
fn question(nonce: u8) -> SignedDocument {
    common::signed_query(&Query { nonce: [nonce; 16], ..common::query() })
}

/// As [`question`], and no stored release is new enough for it.
fn fresh_question(nonce: u8) -> SignedDocument {
    let tomorrow = i32::try_from(common::NOW_UNIX / 86_400 + 1).unwrap();
    common::signed_query(&Query {
        nonce: [nonce; 16],
        snapshot: commun_domain::query::SnapshotRule::NotBefore(tomorrow),
        ..common::query()
    })
}

fn id(question: &SignedDocument) -> QueryId {
    question.document_hash().into()
}

/// The noisy cells of a holder: any integers do.
fn partial(index: u8) -> Vec<i64> {
    let cell = |cell: usize| i64::try_from(cell).unwrap() * 1_000_003 * i64::from(index) - (i64::from(index) << 30);
    (0..CELLS).map(cell).collect()
}

/// What an agent was told, in words.
type Seen = Arc<Mutex<Vec<&'static str>>>;

/// Connects a scripted agent. It checks the manifest as a real one does, and takes part in the rounds with [`partial`] as its cells.
fn agent(app: &Arc<App>, index: u8, script: Script) -> Seen {
    let name = common::holder(index).name;
    let mut connection = app.agents.connect(&name, AgentInfo::default());
    let (app, seen) = (app.clone(), Seen::default());
    let told = seen.clone();
    tokio::spawn(async move {
        let key = [common::holder_key(index)];
        let mut accepted = HashMap::new();
        let mut machines: HashMap<(QueryId, u8), Machine> = HashMap::new();
        while let Some(message) = connection.outgoing.recv().await {
            let say = |query, attempt, message| app.agents.deliver(&name, query, attempt, message);
            match message {
                ToAgent::Offer(offer) => {
                    told.lock().unwrap().push("offer");
                    let signed = SignedDocument::from_bytes(&offer.query).unwrap();
                    let admitted = app.log.read(|state| admit(&state.trust, &signed, common::NOW_UNIX)).unwrap();
                    let (query, attempt, record) = (admitted.id, offer.attempt, sha256(&[index, offer.attempt]));
                    let (seq, price) = (6 + u64::from(attempt), admitted.price);
                    let (min_colluders, min_survivors) = (1, 1);
                    let accept = Accept { query, attempt, index: index.into(), seq, record, price, min_colluders, min_survivors };
                    match script {
                        Script::SaysNothing => {}
                        Script::Refuses => {
                            let message = "not accepted here".to_owned();
                            let refuse = Refuse { query, attempt, index: u32::from(index), code: WireCode::NotPermitted, message };
                            say(query, attempt, FromAgent::Reply(common::signed_by(&refuse, &key)));
                        }
                        _ => {
                            say(query, attempt, FromAgent::Reply(common::signed_by(&accept, &key)));
                        }
                    }
                    let own = OwnReserve { index: u32::from(index), seq, record, price, min_colluders, min_survivors };
                    accepted.insert((query, attempt), (admitted, own));
                }
                ToAgent::Manifest(bytes) => {
                    told.lock().unwrap().push("manifest");
                    let manifest = Manifest::from_bytes(&bytes).unwrap();
                    let (query, attempt) = (manifest.query, manifest.attempt);
                    let (admitted, own) = accepted.remove(&(query, attempt)).unwrap();
                    let root = root_at(&app, manifest.checkpoint_size);
                    let when = When { now_ms: NOW_MS, least_slot_ms: 0 };
                    let part = app.log.read(|state| {
                        let shape = check_manifest(&state.trust, &admitted, &own, &manifest, &root, when).unwrap();
                        assert!(shape.aggregated);
                        let listed = state.listed("mobility");
                        cohort::aggregation(&manifest, &admitted.plan, &listed).unwrap()
                    });
                    match script {
                        Script::FailsAfterManifest => {
                            let message = "the engine stopped".to_owned();
                            say(query, attempt, FromAgent::Failed { code: WireCode::Internal, message, complaint: None });
                            continue;
                        }
                        Script::DropsAfterManifest => return,
                        _ => {}
                    }
                    let mut machine = Machine::accepted(part.identity(), index.into(), key[0].clone());
                    machine.manifest(part).unwrap();
                    let keys = machine.keys(&partial(index), manifest.slot_ms, Standing::Clear).unwrap();
                    machines.insert((query, attempt), machine);
                    say(query, attempt, from(keys, script));
                    if matches!(script, Script::SaysKeysTwice | Script::ForgesItsKeysFirst) {
                        let machine = machines.get_mut(&(query, attempt)).unwrap();
                        let again = machine.newest(Standing::Clear).unwrap().cloned().unwrap();
                        say(query, attempt, from(again, Script::Answers));
                    }
                }
                ToAgent::Round { query, attempt, message } => {
                    let Some(machine) = machines.get_mut(&(query, attempt)) else { continue };
                    let round = tag_of(&message).unwrap().to_owned();
                    if matches!(script, Script::FallsSilentAt(tag) if tag == round) {
                        continue;
                    }
                    let reply = machine.receive(&message, Standing::Clear).unwrap();
                    say(query, attempt, from(reply, script));
                }
                ToAgent::Cancel { .. } => told.lock().unwrap().push("cancel"),
            }
        }
    });
    seen
}

/// As a script says it.
fn from(reply: Reply, script: Script) -> FromAgent {
    match reply {
        Reply::Message(bytes) => {
            let mut bytes = bytes.to_vec();
            if matches!(script, Script::ForgesItsKeys | Script::ForgesItsKeysFirst) {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
            }
            FromAgent::Round(bytes)
        }
        Reply::Cells { head, cells } => {
            let mut cells = cells.to_vec();
            match script {
                Script::AnswersAnotherShape => drop(cells.pop()),
                Script::ChangesItsCells => cells[0] ^= 1,
                _ => {}
            }
            FromAgent::Cells { head, cells }
        }
    }
}

/// The log's root at a size, as an agent computes it.
fn root_at(app: &App, size: u64) -> Hash32 {
    let mut frontier = Frontier::new();
    for entry in app.log.entries(0, u32::try_from(size).unwrap()).unwrap() {
        frontier.append(leaf_hash(&entry.bytes));
    }
    Hash32::from_bytes(frontier.root())
}

fn three(app: &Arc<App>, scripts: [Script; 3]) -> Vec<Seen> {
    (1..).zip(scripts).map(|(index, script)| agent(app, index, script)).collect()
}

async fn ask(app: &Arc<App>, question: &SignedDocument) -> Result<Event, commun_domain::Refusal> {
    let feed = app.submit("statistics", question.to_bytes()).await?;
    Ok(outcome(&feed).await)
}

async fn outcome(feed: &Arc<Feed>) -> Event {
    feed.listen().collect::<Vec<_>>().await.pop().unwrap()
}

fn price() -> Rho {
    let log = common::Log::ready();
    common::admit_query(&log, &common::query()).unwrap().price
}

/// Spent at a holder in the question's partition, in the coordinator's own ledger.
fn spent(app: &App, index: u8) -> Rho {
    let period: Period = common::contract().calendar.parse("2011-01").unwrap();
    let (name, domain) = (common::holder(index).name, common::contract().budget_domain);
    app.log.read(|state| state.ledger.spent(&name, &domain, period, None).rho)
}

fn entries(app: &App) -> Vec<LogEntry> {
    app.log.entries(0, 1000).unwrap().iter().map(|entry| LogEntry::from_bytes(&entry.bytes).unwrap()).collect()
}

fn kinds(app: &App) -> Vec<&'static str> {
    entries(app).iter().map(LogEntry::kind).skip(4).collect()
}
