//! What the root of a physical plan does: evaluates every batch that it is given, bounds each person and adds up.

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::EngineError;
use crate::bound::{Dealer, Disorder, Hasher, Radix, Room, SharedShape, SortedRun, Totals};
use crate::lower::Lowering;
use crate::person::{Sender, Stage};
use crate::read::UnitKind;

/// The number of a leaf and a stream of its rows.
pub(crate) type LeafStream = (usize, SendableRecordBatchStream);

/// One evaluation.
pub(crate) struct Work {
    pub(crate) lowering: Arc<Lowering>,
    pub(crate) shape: SharedShape,
    pub(crate) kind: UnitKind,
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
    pub(crate) async fn run(&self, streams: Vec<LeafStream>) {
        let outcome = if self.sorted {
            self.sorted(streams).await
        } else if self.lowering.inputs.program.is_some() {
            self.by_person(streams).await
        } else {
            self.any_order(streams).await
        };
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }

    async fn any_order(&self, streams: Vec<LeafStream>) -> Result<Outcome, EngineError> {
        let radix = Arc::new(Radix::new(SharedShape::clone(&self.shape), self.kind, self.room.clone(), streams.len()));
        let mut readers = JoinSet::new();
        for (leaf, mut stream) in streams {
            let (lowering, kind) = (Arc::clone(&self.lowering), self.kind);
            let mut dealer = Dealer::new(Arc::clone(&radix));
            readers.spawn(async move {
                while let Some(batch) = stream.next().await {
                    let sourced = lowering.inputs.leaves[leaf].read(&batch.map_err(EngineError::execution)?, kind);
                    dealer.deal(&lowering.rows(sourced)).map_err(EngineError::execution)?;
                    tokio::task::yield_now().await;
                }
                dealer.finish().map_err(EngineError::execution)
            });
        }
        while let Some(reader) = readers.join_next().await {
            reader.map_err(EngineError::execution)??;
        }
        self.total(radix, |_| Ok(())).await
    }

    /// Rows of whole persons: brought together first, then computed, then bounded.
    async fn by_person(&self, streams: Vec<LeafStream>) -> Result<Outcome, EngineError> {
        // Half for the rows, half for bounding what is made of them.
        let room = Room { bytes: self.room.bytes.map(|bytes| bytes / 2), ..self.room.clone() };
        let stage = Arc::new(Stage::new(Arc::clone(&self.lowering), self.kind, room.clone()));
        let radix = Arc::new(Radix::new(SharedShape::clone(&self.shape), self.kind, room, self.room.threads));
        let mut readers = JoinSet::new();
        for (leaf, mut stream) in streams {
            let (lowering, kind) = (Arc::clone(&self.lowering), self.kind);
            let mut sender = Sender::new(Arc::clone(&stage));
            readers.spawn(async move {
                let leaf = &lowering.inputs.leaves[leaf];
                while let Some(batch) = stream.next().await {
                    let sourced = leaf.read(&batch.map_err(EngineError::execution)?, kind);
                    sender.send(leaf.part, &sourced).map_err(EngineError::execution)?;
                    tokio::task::yield_now().await;
                }
                sender.finish().map_err(EngineError::execution)
            });
        }
        while let Some(reader) = readers.join_next().await {
            reader.map_err(EngineError::execution)??;
        }
        self.total(radix, move |radix| stage.finish(radix)).await
    }

    /// Does what has to be done before, and adds up.
    async fn total(
        &self,
        radix: Arc<Radix>,
        before: impl FnOnce(&Arc<Radix>) -> std::io::Result<()> + Send + 'static,
    ) -> Result<Outcome, EngineError> {
        let totals = Mutex::new(Totals::zero(&self.shape));
        let finished = tokio::task::spawn_blocking(move || before(&radix).and_then(|()| radix.finish(&totals)).map(|()| totals)).await;
        let totals = finished.map_err(EngineError::execution)?.map_err(EngineError::execution)?;
        Ok(Outcome::Done(totals.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    async fn sorted(&self, streams: Vec<LeafStream>) -> Result<Outcome, EngineError> {
        let hasher = Hasher::new();
        let mut readers = JoinSet::new();
        for (leaf, mut stream) in streams {
            let (lowering, kind) = (Arc::clone(&self.lowering), self.kind);
            let mut run = SortedRun::new(&self.shape, kind, hasher);
            readers.spawn(async move {
                while let Some(batch) = stream.next().await {
                    let sourced = lowering.inputs.leaves[leaf].read(&batch.map_err(EngineError::execution)?, kind);
                    if run.add(&lowering.rows(sourced)).is_err() {
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
