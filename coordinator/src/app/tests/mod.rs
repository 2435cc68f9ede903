//! The use-cases over a real store and log, with scripted agents in memory in place of gRPC streams.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
#[path = "../../../../crates/trust/tests/common/mod.rs"]
mod common;
mod questions;
mod restarts;

use std::path::Path;
use std::sync::{Arc, Mutex};

use commun_domain::attempt::{Accept, AnswerHead, Manifest, Refuse, encode_values};
use commun_domain::calendar::Period;
use commun_domain::clock::FixedClock;
use commun_domain::encoding::sha256;
use commun_domain::log::LogEntry;
use commun_domain::query::Query;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, QueryId, Rho, WireCode};
use commun_service::Faults;
use commun_store::{CoordinatorStore, StoreOptions};
use commun_tlog::{Frontier, leaf_hash};
use commun_trust::{OwnReserve, Pins, admit, check_manifest};
use futures::StreamExt;

use super::{App, Deadlines, Event, Feed};
use crate::link::{AgentInfo, FromAgent, ToAgent};
use crate::log::Log;

/// Cells of the question in `common`: three districts squared.
const CELLS: usize = 9;

const NOW_MS: u64 = common::NOW_UNIX * 1000;

/// Long enough for what must come, short enough to wait for what must not.
const DEADLINES: Deadlines = Deadlines { reply_ms: 400, manifest_ms: 5_000, answer_ms: 5_000 };

/// What a scripted agent does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Script {
    Answers,
    Refuses,
    SaysNothing,
    FailsAfterManifest,
    DropsAfterManifest,
    AnswersAnotherShape,
    ChangesItsAnswer,
    AnswersForAnother,
    AnswersTwice,
}

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
    let cell = |cell: usize| i64::try_from(cell).unwrap() * 1_000_003 * i64::from(index) - (i64::from(index) << 40);
    (0..CELLS).map(cell).collect()
}

/// What an agent was told, in words.
type Seen = Arc<Mutex<Vec<&'static str>>>;

/// Connects a scripted agent. It checks the manifest as a real one does.
fn agent(app: &Arc<App>, index: u8, script: Script) -> Seen {
    let name = common::holder(index).name;
    let mut connection = app.agents.connect(&name, AgentInfo::default());
    let (app, seen) = (app.clone(), Seen::default());
    let told = seen.clone();
    tokio::spawn(async move {
        let key = [common::holder_key(index)];
        let mut accepted = std::collections::HashMap::new();
        while let Some(message) = connection.outgoing.recv().await {
            let say = |query, message| app.agents.deliver(&name, query, 1, message);
            match message {
                ToAgent::Offer(offer) => {
                    told.lock().unwrap().push("offer");
                    let signed = SignedDocument::from_bytes(&offer.query).unwrap();
                    let admitted = app.log.read(|state| admit(&state.trust, &signed, common::NOW_UNIX)).unwrap();
                    let query = admitted.id;
                    let record = sha256(&[index]);
                    let accept =
                        Accept { query, attempt: 1, index: u32::from(index), seq: 7, record, price: admitted.price, min_colluders: 2 };
                    match script {
                        Script::SaysNothing => {}
                        Script::Refuses => {
                            let message = "not accepted here".to_owned();
                            let refuse = Refuse { query, attempt: 1, index: u32::from(index), code: WireCode::NotPermitted, message };
                            say(query, FromAgent::Reply(common::signed_by(&refuse, &key)));
                        }
                        _ => {
                            say(query, FromAgent::Reply(common::signed_by(&accept, &key)));
                        }
                    }
                    let own = OwnReserve { index: u32::from(index), seq: 7, record, price: accept.price, min_colluders: 2 };
                    accepted.insert(query, (admitted, own));
                }
                ToAgent::Manifest(bytes) => {
                    told.lock().unwrap().push("manifest");
                    let manifest = Manifest::from_bytes(&bytes).unwrap();
                    let (admitted, own) = accepted.remove(&manifest.query).unwrap();
                    let root = root_at(&app, manifest.checkpoint_size);
                    app.log.read(|state| check_manifest(&state.trust, &admitted, &own, &manifest, &root, NOW_MS)).unwrap();
                    let query = admitted.id;
                    let mut values = encode_values(&[partial(index)]);
                    if script == Script::AnswersAnotherShape {
                        values.truncate(values.len() - 8);
                    }
                    let said = if script == Script::AnswersForAnother { u32::from(index) % 3 + 1 } else { u32::from(index) };
                    let head = AnswerHead { manifest: manifest.hash(), index: said, values: sha256(&values) };
                    let head = common::signed_by(&head, &key);
                    if script == Script::ChangesItsAnswer {
                        values[0] ^= 1;
                    }
                    match script {
                        Script::FailsAfterManifest => {
                            say(query, FromAgent::Failed { code: WireCode::Internal, message: "the engine stopped".to_owned() });
                        }
                        Script::DropsAfterManifest => return,
                        _ => {
                            if script == Script::AnswersTwice {
                                say(query, FromAgent::Answer { head: head.clone(), values: values.clone() });
                            }
                            say(query, FromAgent::Answer { head, values });
                        }
                    }
                }
                ToAgent::Cancel { .. } => told.lock().unwrap().push("cancel"),
            }
        }
    });
    seen
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
