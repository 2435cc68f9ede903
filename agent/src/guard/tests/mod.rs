//! The guard as a unit: offers, manifests, refunds, restarts, the log.
#![allow(clippy::unwrap_used, clippy::panic, clippy::similar_names, clippy::type_complexity, reason = "a test fails by panicking")]

mod answers;
mod incidents;
mod log;
mod lost;
mod offers;
mod refunds;
mod rounds;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commun_domain::attempt::{Accept, Manifest};
use commun_domain::log::LogEntry;
use commun_domain::{Document, Hash32, Rho, WireCode};
use commun_privacy::ledger::RecordKind;
use commun_service::Faults;
use commun_store::agent::Decision;
use proptest::prelude::*;
use tokio::sync::mpsc;

use super::core::{Core, MAX_OPEN_ATTEMPTS};
use super::ends::REFUND_RETRY_MS;
use super::fixture::common::{self, signed_by, signed_query};
use super::fixture::{CELLS, DATUM, EXACT, LIST, MANIFEST_MS, NOW_MS, Setup, World, accepted, cheap, offer, question, refused};
use super::lock;
use super::message::{Offer, Outgoing};

/// Longest wait for what must come.
const SOON: Duration = Duration::from_secs(20);
/// Wait for what must not come.
const A_WHILE: Duration = Duration::from_millis(300);

async fn next(link: &mut mpsc::Receiver<Outgoing>) -> Outgoing {
    tokio::time::timeout(SOON, link.recv()).await.unwrap().unwrap()
}

async fn nothing(link: &mut mpsc::Receiver<Outgoing>) {
    let came = tokio::time::timeout(A_WHILE, link.recv()).await;
    assert!(came.is_err(), "{came:?}");
}

fn failed(outgoing: &Outgoing) -> WireCode {
    let Outgoing::Failed { code, .. } = outgoing else { panic!("not failed: {outgoing:?}") };
    *code
}
