//! What the root of a physical plan does: evaluates every batch that it is given, bounds each person and adds up.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::EngineError;
use crate::bound::{Dealer, Disorder, Hasher, Radix, Room, SharedShape, SortedRun, Totals};
use crate::lower::Lowering;
use crate::objections::Objectors;
use crate::read::UnitKind;

/// One evaluation.
pub(crate) struct Work {
    pub(crate) lowering: Arc<Lowering>,
    pub(crate) shape: SharedShape,
    pub(crate) kind: UnitKind,
    pub(crate) objectors: Arc<Objectors>,
    pub(crate) room: Room,
    /// Whether the rows are said to come sorted by unit.
    pub(crate) sorted: bool,
    /// The totals, on their way around the stream.
    pub(crate) outcome: Mutex<Option<Result<Outcome, EngineError>>>,
}

/// How an evaluation ended.
pub(crate) enum Outcome {
    Done(Totals),
    /// Rows did not come sorted: nothing of this counts, and all begins again without the claim.
    Disorder,
}

impl Work {
    pub(crate) fn shape(&self) -> &SharedShape {
        &self.shape
    }

    pub(crate) fn take_outcome(&self) -> Option<Result<Outcome, EngineError>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reads everything. The outcome goes to the slot.
    pub(crate) async fn run(&self, streams: Vec<SendableRecordBatchStream>) {
        let outcome = if self.sorted { self.sorted(streams).await } else { self.any_order(streams).await };
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    async fn any_order(&self, streams: Vec<SendableRecordBatchStream>) -> Result<Outcome, EngineError> {
        let radix = Arc::new(Radix::new(SharedShape::clone(&self.shape), self.kind, self.room.clone(), streams.len()));
        let mut readers = JoinSet::new();
        for mut stream in streams {
            let (lowering, kind, objectors) = (Arc::clone(&self.lowering), self.kind, Arc::clone(&self.objectors));
            let mut dealer = Dealer::new(Arc::clone(&radix));
            readers.spawn(async move {
                while let Some(batch) = stream.next().await {
                    let rows = lowering.rows(&batch.map_err(EngineError::execution)?, kind, &objectors);
                    dealer.deal(&rows).map_err(EngineError::execution)?;
                    tokio::task::yield_now().await;
                }
                dealer.finish().map_err(EngineError::execution)
            });
        }
        while let Some(reader) = readers.join_next().await {
            reader.map_err(EngineError::execution)??;
        }
        let totals = Mutex::new(Totals::zero(&self.shape));
        let finished = tokio::task::spawn_blocking(move || radix.finish(&totals).map(|()| totals)).await;
        let totals = finished.map_err(EngineError::execution)?.map_err(EngineError::execution)?;
        Ok(Outcome::Done(totals.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn sorted(&self, streams: Vec<SendableRecordBatchStream>) -> Result<Outcome, EngineError> {
        let hasher = Hasher::new();
        let mut readers = JoinSet::new();
        for mut stream in streams {
            let (lowering, kind, objectors) = (Arc::clone(&self.lowering), self.kind, Arc::clone(&self.objectors));
            let mut run = SortedRun::new(&self.shape, kind, hasher);
            readers.spawn(async move {
                while let Some(batch) = stream.next().await {
                    if run.add(&lowering.rows(&batch.map_err(EngineError::execution)?, kind, &objectors)).is_err() {
                        return Ok(Err(Disorder));
                    }
                    tokio::task::yield_now().await;
                }
                Ok::<_, EngineError>(Ok(run))
            });
        }
        let mut runs = Vec::new();
        while let Some(reader) = readers.join_next().await {
            match reader.map_err(EngineError::execution)?? {
                Ok(run) => runs.push(run),
                // The other readers stop with the set.
                Err(Disorder) => return Ok(Outcome::Disorder),
            }
        }
        let totals = Mutex::new(Totals::zero(&self.shape));
        let finished = tokio::task::spawn_blocking(move || SortedRun::finish(runs, &totals).map(|()| totals)).await;
        Ok(match finished.map_err(EngineError::execution)? {
            Ok(totals) => Outcome::Done(totals.into_inner().unwrap_or_else(PoisonError::into_inner)),
            Err(Disorder) => Outcome::Disorder,
        })
    }
}
