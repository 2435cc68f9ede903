//! Names of an open group key: the answers of a first attempt, their entry in the log, and the second attempt over their union.
//!
//! Each holder's list stays as the holder signed it. It goes into the offer of the second attempt, so that no holder has to believe this coordinator's union;
//! `commun-trust` makes and checks it, here as there.

use std::collections::BTreeMap;
use std::sync::Arc;

use commun_domain::attempt::{HolderNames, NameLists, decode_names, encode_names};
use commun_domain::encoding::sha256;
use commun_domain::log::NamesEntry;
use commun_domain::{Document, Refusal, WireCode};
use commun_trust::names::no_name;
use commun_trust::{NUMBERS_ATTEMPT, admit_numbers};

use super::super::blocking;
use super::super::feed::Step;
use super::{Attempt, Ended, Named, Reading, Received, Run, too_few};
use crate::log::LogError;

impl Attempt<Reading> {
    pub(super) async fn named(self) -> Result<Attempt<Named>, Ended> {
        let open = self.run.admitted.plan.open_key().cloned();
        let open = open.ok_or_else(|| Ended::after_log(not_asked()))?;
        let manifest = Arc::clone(&self.state.manifest);
        let mut lists = BTreeMap::new();
        let run = self
            .each_answer(
                move |values| {
                    decode_names(values, &open).ok_or_else(|| malformed("its names are not sorted, stand twice, or are too many"))
                },
                |index, head, names| drop(lists.insert(index, HolderNames { head, names })),
            )
            .await?;
        let lists = NameLists { manifest: (*manifest).clone(), lists: lists.into_values().collect() };
        Ok(Attempt { run, state: Named { lists } })
    }
}

pub(super) fn malformed(message: &str) -> Refusal {
    Refusal::new(WireCode::InvalidQuery, message, "update the holder's agent")
}

fn not_asked() -> Refusal {
    Refusal::new(WireCode::Internal, "names came for a question without an open group key", "tell the coordinator's operator")
}

impl Attempt<Named> {
    /// Logs what was released and makes the second attempt, which nobody has been asked for yet.
    pub(super) async fn second(self) -> Result<Attempt<Received>, Ended> {
        let (run, Named { lists }) = (self.run, self.state);
        run.app.faults.at("coordinator.before_names");
        let writer = Arc::clone(&run);
        let second = blocking(move || log_names(&writer, &lists)).await.and_then(|second| second).map_err(Ended::after_log)?;
        run.app.faults.at("coordinator.after_names");
        let names = second.admitted.plan.open_key().and_then(|open| open.names.as_ref()).map_or(0, Vec::len);
        run.progress(Step::Logged, &format!("{names} group(s) have enough people; their numbers are asked next"), run.listed.len());
        Ok(Attempt::new(second))
    }
}

fn log_names(run: &Arc<Run>, lists: &NameLists) -> Result<Run, Refusal> {
    let (app, first) = (&run.app, &run.admitted);
    let open = first.plan.open_key().ok_or_else(not_asked)?;
    let names = lists.union(open);
    let bytes: Arc<[u8]> = lists.to_bytes().into();
    let entry = NamesEntry {
        query: first.id,
        attempt: run.attempt,
        lists: sha256(&bytes),
        names: sha256(&encode_names(&names)),
        participants: run.listed.iter().map(|holder| holder.index).collect(),
        price: first.price,
        delta: first.delta,
    };
    app.log.names(entry).map_err(|error: LogError| Refusal::from(error))?;
    if names.is_empty() {
        return Err(no_name(first.kind));
    }
    let now_unix = app.now_ms() / 1000;
    let admitted = app.log.read(|state| {
        if state.trust.roster_hash() == Some(run.roster_hash) {
            admit_numbers(&state.trust, first, lists, now_unix)
        } else {
            Err(too_few("the roster changed while holders answered".to_owned()))
        }
    })?;
    Ok(Run {
        app: Arc::clone(app),
        feed: Arc::clone(&run.feed),
        signed: run.signed.clone(),
        admitted,
        listed: run.listed.clone(),
        roster_hash: run.roster_hash,
        roster_epoch: run.roster_epoch,
        received_ms: run.received_ms,
        attempt: NUMBERS_ATTEMPT,
        lists: Some(bytes),
        left_out: Vec::new(),
    })
}
