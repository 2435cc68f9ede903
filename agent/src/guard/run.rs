//! From a bound manifest to the slot: wait for the log, check, read, draw noise, and at the slot, never earlier and never later, send: the first message of
//! aggregation (`rounds` has the others), or an answer that leaves unmasked, with its full noise.
//!
//! The attempt is charged before this begins. Who is not ready at the slot sends nothing and stays charged: the time of a message tells nothing of data (P9).
//! Every step looks first whether the attempt is still alive: a second manifest, a lost link or a cancellation has ended it meanwhile.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use commun_domain::WireCode;
use commun_domain::attempt::{AnswerHead, ManifestKind, encode_names, encode_values};
use commun_domain::encoding::sha256;
use commun_engine::release::ReleaseError;
use commun_engine::{Cells, EngineError, NameCounts};
use commun_trust::Shape;
use futures::{FutureExt, TryFutureExt};
use zeroize::Zeroizing;

use super::attempt::Bound;
use super::message::{Detail, Failure, Outgoing, late};
use super::{Guard, lock};

/// Longest wait for the log entries and the checkpoint that a manifest names, if they come after it.
const LOG_WAIT: Duration = Duration::from_secs(10);

/// What is told of any fault in reading or computing. One text for all: which fault it was may depend on the data.
const NO_ANSWER: &str = "the holder could not compute an answer; its engineer finds the reason in the agent's journal and status";

/// Works on one attempt until it has ended.
pub(super) async fn run(guard: Arc<Guard>, bound: Arc<Bound>) {
    let key = bound.key();
    // In a task of its own, so that a panic ends the attempt as any other failure does and leaves nothing bound.
    let worker = tokio::spawn({
        let (guard, bound) = (guard.clone(), bound.clone());
        async move { answer(&guard, &bound).await }
    });
    let answered =
        worker.await.unwrap_or_else(|error| Err(failure_here("the work on the attempt stopped by a fault of the program", error)));
    match answered {
        Ok(Some(answer)) => {
            let aggregates = matches!(answer, Outgoing::Round { .. });
            guard.tell(answer).await;
            guard.sent().await;
            if aggregates {
                tokio::time::sleep(until(&guard, bound.manifest.deadline_ms)).await;
                let told = guard.with(move |core| core.rounds_over(key)).await;
                guard.end_told(told).await;
            } else {
                guard.faults.at("agent.after_send");
            }
        }
        // Ended meanwhile, journaled and told by whoever ended it.
        Ok(None) => {}
        Err(failure) => {
            // A fault in reading is told at the slot too: when it happened may depend on the data.
            if failure.code == WireCode::Internal {
                tokio::time::sleep(until(&guard, bound.manifest.slot_ms)).await;
            }
            let told = guard.with(move |core| core.fail(key, &failure)).await;
            guard.end_told(told).await;
        }
    }
}

async fn answer(guard: &Guard, bound: &Arc<Bound>) -> Result<Option<Outgoing>, Failure> {
    let key = bound.key();
    wait_for_log(guard, bound).await;
    checked(guard, bound).await?;
    let slot_ms = bound.manifest.slot_ms;

    let turn = tokio::time::timeout(until(guard, slot_ms), guard.reading.acquire()).await;
    let Ok(Ok(turn)) = turn else { return Err(late()) };
    // While it waited for its turn the log went on.
    let shape = checked(guard, bound).await?;
    if !guard.with(move |core| core.is_bound(key)).await {
        return Ok(None);
    }
    guard.faults.at("agent.before_read");
    let exact = tokio::time::timeout(until(guard, slot_ms), read(guard, bound)).await.map_err(|_| late())??;
    drop(turn);

    let drawing = Arc::clone(bound);
    // How many names are drawn for depends on the data, so this too ends at the slot.
    let drawn = tokio::task::spawn_blocking(move || with_noise(&exact, &drawing));
    let drawn = tokio::time::timeout(until(guard, slot_ms), drawn).await.map_err(|_| late())?;
    let released = drawn
        .map_err(|error| failure_here("drawing noise stopped by a fault of the program", error))?
        .map_err(|error| failure_here("the noise could not be drawn", error))?;
    guard.faults.at("agent.after_release");

    if guard.clock.now_ms() > slot_ms {
        return Err(late());
    }
    while guard.clock.now_ms() < slot_ms {
        tokio::time::sleep(until(guard, slot_ms)).await;
    }
    let values = match released {
        Released::Cells(cells) if shape.aggregated => {
            let bound = Arc::clone(bound);
            let keys = move |core: &mut super::core::Core| {
                let attempt = core.aggregation(&bound)?;
                core.keys(key, bound.own.index, attempt, &cells)
            };
            return guard.with(keys).await;
        }
        Released::Cells(cells) => encode_values(&[cells.to_vec()]),
        Released::Names(names) => encode_names(&names),
    };
    let head = AnswerHead { manifest: bound.hash, index: bound.own.index, values: sha256(&values) };
    let sent = values.len();
    let signed = guard.with(move |core| {
        if !core.is_bound(key) {
            return Ok(None);
        }
        let head = commun_trust::sign::signed(&head, &core.key);
        core.answered(key, sent).map(|()| Some(head))
    });
    Ok(signed.await?.map(|head| Outgoing::Answer { query: key.query, attempt: key.attempt, head, values }))
}

/// What was read: exact, so it goes nowhere but through noise.
enum Exact {
    Cells(Cells),
    Names(NameCounts),
}

/// With noise: what may leave unmasked if the noise is the full one, and otherwise goes into aggregation alone.
enum Released {
    /// Outputs in plan order, cells in grid order.
    Cells(Zeroizing<Vec<i64>>),
    Names(Vec<String>),
}

/// The noise is that of the checked manifest: of h shares where the answers are aggregated, else the whole.
fn with_noise(exact: &Exact, bound: &Bound) -> Result<Released, ReleaseError> {
    let noise = &bound.manifest.noise;
    match (exact, &bound.admitted.kind, bound.admitted.plan.open_key()) {
        (Exact::Names(counts), ManifestKind::Names { law }, Some(open)) => {
            commun_engine::release_names(counts, law, open).map(Released::Names)
        }
        (Exact::Cells(cells), ManifestKind::Numbers { .. }, _) => {
            let outputs = Zeroizing::new(commun_engine::release(cells, noise)?);
            Ok(Released::Cells(Zeroizing::new(outputs.concat())))
        }
        _ => Err(ReleaseError::Shape { outputs: 0, noises: noise.len() }),
    }
}

/// The one place where data are read.
async fn read(guard: &Guard, bound: &Bound) -> Result<Exact, Failure> {
    let admitted = &bound.admitted;
    let engine = &guard.engine;
    let mut reading = if admitted.releases_names() {
        engine.names(&admitted.plan, &admitted.id, &admitted.contract).map_ok(Exact::Names).boxed()
    } else {
        engine.evaluate(&admitted.plan, &admitted.id, &admitted.contract).map_ok(Exact::Cells).boxed()
    };
    // The fault point is inside the reading: after its first step, before its last.
    let first = futures::poll!(reading.as_mut());
    guard.faults.at("agent.reading");
    let exact = match first {
        Poll::Ready(exact) => exact,
        Poll::Pending => reading.await,
    };
    let exact = exact.map_err(|error| engine_failure(&error))?;
    let fits = match &exact {
        Exact::Cells(cells) => Some(cells.outputs.iter().map(Vec::len).collect()) == admitted.plan.lengths(),
        Exact::Names(counts) => counts.partitions.len() == admitted.plan.partitions.len(),
    };
    if fits { Ok(exact) } else { Err(failure_here("the engine gave another shape than the plan's", "a fault of the program")) }
}

async fn checked(guard: &Guard, bound: &Arc<Bound>) -> Result<Shape, Failure> {
    let bound = Arc::clone(bound);
    guard.with(move |core| core.check(&bound)).await
}

/// Entries and checkpoint travel before the manifest, as a rule; the check afterwards decides.
async fn wait_for_log(guard: &Guard, bound: &Bound) {
    let size = bound.manifest.checkpoint_size;
    let mut moved = guard.log_moved.subscribe();
    let covered = async {
        while !guard.with(move |core| core.log.covers(size) || core.log.stopped().is_some()).await {
            if moved.changed().await.is_err() {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LOG_WAIT.min(until(guard, bound.manifest.slot_ms)), covered).await;
}

fn until(guard: &Guard, time_ms: u64) -> Duration {
    Duration::from_millis(time_ms.saturating_sub(guard.clock.now_ms()))
}

/// A fault on this machine. Its class may be written down; its detail may quote data.
fn failure_here(class: &str, detail: impl std::fmt::Display) -> Failure {
    Failure {
        code: WireCode::Internal,
        public: NO_ANSWER.to_owned(),
        local: class.to_owned(),
        detail: Some(Detail::new(detail)),
        lapse: true,
    }
}

/// The class of an engine's fault, with names that the holder's binding and the data contract give. What the engine itself says of a file, a
/// type or a value may come from the data, and is detail.
fn engine_failure(error: &EngineError) -> Failure {
    match error {
        EngineError::Source { source_name, .. } => failure_here(&format!("the source \"{source_name}\" cannot be read"), error),
        EngineError::Objections { .. } => failure_here("the list of objections cannot be used, so nothing is answered", error),
        EngineError::Binding(_) => failure_here("the binding does not fit the data contract or the files", error),
        EngineError::ColumnType { table, column, .. } => {
            failure_here(&format!("table {table}, column {column}: the binding gives another type than the data contract wants"), error)
        }
        EngineError::Execution { detail } => failure_here("reading or computing failed", detail.expose_locally()),
        other @ EngineError::Plan(_) => failure_here("the plan does not fit the data contract", other),
    }
}

impl Guard {
    /// Waits until the link has taken everything that was handed to it.
    pub(super) async fn sent(&self) {
        let sender = lock(&self.link).clone();
        if let Some(sender) = sender {
            let _ = sender.reserve_many(sender.max_capacity()).await;
        }
    }
}
