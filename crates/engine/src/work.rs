//! What the root of a physical plan does: evaluates every batch that it is given, bounds each person and adds up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::task::JoinSet;

use crate::EngineError;
use crate::bound::{Dealer, Disorder, Hasher, Radix, Room, SharedShape, SortedRun, Totals};
use crate::lower::Lowering;
use crate::objections::Objectors;
use crate::person::{Sender, Stage};
use crate::read::UnitKind;

/// The number of a leaf and a stream of its rows.
pub(crate) type LeafStream = (usize, SendableRecordBatchStream);

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

/// Where an evaluation spent its time, added up over threads, waiting included. For benchmarks of made-up data: times depend on the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Until there was a batch: reading, decoding, and the binding's SQL.
    pub read: Duration,
    /// Filter, keys, conditions and values.
    pub evaluate: Duration,
    /// Dealing rows into parts; for sorted input, bounding and adding up.
    pub deal: Duration,
    /// Bounding and adding up after the last row.
    pub finish: Duration,
}

impl Times {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            read: self.read + other.read,
            evaluate: self.evaluate + other.evaluate,
            deal: self.deal + other.deal,
            finish: self.finish + other.finish,
        }
    }
}

/// `Times` while threads add to them, in nanoseconds.
#[derive(Default)]
struct Clock {
    read: AtomicU64,
    evaluate: AtomicU64,
    deal: AtomicU64,
}

impl Clock {
    fn add(counter: &AtomicU64, from: Instant, to: Instant) {
        counter.fetch_add(u64::try_from((to - from).as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A batch has been read, evaluated, and, now, dealt.
    fn batch(&self, start: Instant, read: Instant, evaluated: Instant) {
        Self::add(&self.read, start, read);
        Self::add(&self.evaluate, read, evaluated);
        Self::add(&self.deal, evaluated, Instant::now());
    }

    fn times(&self, finish: Duration) -> Times {
        let of = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        Times { read: of(&self.read), evaluate: of(&self.evaluate), deal: of(&self.deal), finish }
    }
}

/// Tells threads that nobody waits for them any more, also when the evaluation is given up half-way.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How an evaluation ended.
pub(crate) enum Outcome {
    Done(Totals, Times),
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
        let _stop = Stop(Arc::clone(&self.room.stopped));
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
        let (mut readers, clock) = (JoinSet::new(), Arc::new(Clock::default()));
        for (leaf, mut stream) in streams {
            let (lowering, kind, clock) = (Arc::clone(&self.lowering), self.kind, Arc::clone(&clock));
            let objectors = Arc::clone(&self.objectors);
            let mut dealer = Dealer::new(Arc::clone(&radix));
            readers.spawn(async move {
                let mut start = Instant::now();
                while let Some(batch) = stream.next().await {
                    let read = Instant::now();
                    let batch = batch.map_err(EngineError::execution)?;
                    let rows = lowering.rows(lowering.inputs.leaves[leaf].read(&batch, kind, &objectors));
                    let evaluated = Instant::now();
                    dealer.deal(&rows).map_err(EngineError::execution)?;
                    clock.batch(start, read, evaluated);
                    tokio::task::yield_now().await;
                    start = Instant::now();
                }
                dealer.finish().map_err(EngineError::execution)
            });
        }
        while let Some(reader) = readers.join_next().await {
            reader.map_err(EngineError::execution)??;
        }
        self.total(radix, &clock, |_| Ok(())).await
    }

    /// Rows of whole persons: brought together first, then computed, then bounded.
    async fn by_person(&self, streams: Vec<LeafStream>) -> Result<Outcome, EngineError> {
        // Half for the rows, half for bounding what is made of them.
        let room = Room { bytes: self.room.bytes.map(|bytes| bytes / 2), ..self.room.clone() };
        let stage = Arc::new(Stage::new(Arc::clone(&self.lowering), self.kind, room.clone()));
        let radix = Arc::new(Radix::new(SharedShape::clone(&self.shape), self.kind, room, self.room.threads));
        let (mut readers, clock) = (JoinSet::new(), Arc::new(Clock::default()));
        for (leaf, mut stream) in streams {
            let (lowering, kind, clock) = (Arc::clone(&self.lowering), self.kind, Arc::clone(&clock));
            let objectors = Arc::clone(&self.objectors);
            let mut sender = Sender::new(Arc::clone(&stage));
            readers.spawn(async move {
                let leaf = &lowering.inputs.leaves[leaf];
                let mut start = Instant::now();
                while let Some(batch) = stream.next().await {
                    let read = Instant::now();
                    let batch = batch.map_err(EngineError::execution)?;
                    let sourced = leaf.read(&batch, kind, &objectors);
                    let evaluated = Instant::now();
                    sender.send(leaf.part, &sourced).map_err(EngineError::execution)?;
                    clock.batch(start, read, evaluated);
                    tokio::task::yield_now().await;
                    start = Instant::now();
                }
                sender.finish().map_err(EngineError::execution)
            });
        }
        while let Some(reader) = readers.join_next().await {
            reader.map_err(EngineError::execution)??;
        }
        self.total(radix, &clock, move |radix| stage.finish(radix)).await
    }

    /// Does what has to be done before, and adds up.
    async fn total(
        &self,
        radix: Arc<Radix>,
        clock: &Clock,
        before: impl FnOnce(&Arc<Radix>) -> std::io::Result<()> + Send + 'static,
    ) -> Result<Outcome, EngineError> {
        let (start, threads) = (Instant::now(), u32::try_from(self.room.threads).unwrap_or(u32::MAX));
        let totals = Mutex::new(Totals::zero(&self.shape));
        let finished = tokio::task::spawn_blocking(move || before(&radix).and_then(|()| radix.finish(&totals)).map(|()| totals)).await;
        let totals = finished.map_err(EngineError::execution)?.map_err(EngineError::execution)?;
        let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Outcome::Done(totals, clock.times(start.elapsed().saturating_mul(threads))))
    }

    async fn sorted(&self, streams: Vec<LeafStream>) -> Result<Outcome, EngineError> {
        let hasher = Hasher::new();
        let (mut readers, clock) = (JoinSet::new(), Arc::new(Clock::default()));
        for (leaf, mut stream) in streams {
            let (lowering, kind, clock) = (Arc::clone(&self.lowering), self.kind, Arc::clone(&clock));
            let objectors = Arc::clone(&self.objectors);
            let mut run = SortedRun::new(&self.shape, kind, hasher);
            readers.spawn(async move {
                let mut start = Instant::now();
                while let Some(batch) = stream.next().await {
                    let read = Instant::now();
                    let batch = batch.map_err(EngineError::execution)?;
                    let rows = lowering.rows(lowering.inputs.leaves[leaf].read(&batch, kind, &objectors));
                    let evaluated = Instant::now();
                    if run.add(&rows).is_err() {
                        return Ok(Err(Disorder));
                    }
                    clock.batch(start, read, evaluated);
                    tokio::task::yield_now().await;
                    start = Instant::now();
                }
                Ok::<_, EngineError>(Ok(run))
            });
        }
        let mut runs = Vec::new();
        while let Some(reader) = readers.join_next().await {
            let Ok(run) = reader.map_err(EngineError::execution)?? else {
                // What the other readers hold is wanted for the second reading.
                readers.shutdown().await;
                return Ok(Outcome::Disorder);
            };
            runs.push(run);
        }
        let start = Instant::now();
        let totals = Mutex::new(Totals::zero(&self.shape));
        let finished = tokio::task::spawn_blocking(move || SortedRun::finish(runs, &totals).map(|()| totals)).await;
        Ok(match finished.map_err(EngineError::execution)? {
            Ok(totals) => Outcome::Done(totals.into_inner().unwrap_or_else(PoisonError::into_inner), clock.times(start.elapsed())),
            Err(Disorder) => Outcome::Disorder,
        })
    }
}
