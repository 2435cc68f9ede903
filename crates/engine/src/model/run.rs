//! Runs the engine's lowering and bounding over rows in memory, in every way that must make no difference.

use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;

use super::{Case, Raw};
use crate::bound::{Dealer, Disorder, Hasher, Radix, Room, SharedShape, SortedRun, Totals};
use crate::lower::Lowering;
use crate::objections::Objectors;
use crate::read::UnitKind;

pub(crate) const KINDS: [UnitKind; 3] = [UnitKind::Text, UnitKind::Signed, UnitKind::Unsigned];

/// What must make no difference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) kind: UnitKind,
    pub(crate) batch_rows: usize,
    pub(crate) threads: usize,
    pub(crate) bytes: Option<usize>,
}

/// The result, the most memory that was held, and how often groups went to a file.
pub(crate) struct Ran {
    pub(crate) outputs: Vec<Vec<i128>>,
    pub(crate) peak: usize,
    pub(crate) spills: usize,
}

impl Case {
    pub(crate) fn lowered(&self) -> (Lowering, SharedShape) {
        let (lowering, shape) = Lowering::new(&self.plan, &self.query, &self.contract).unwrap();
        (lowering, Arc::new(shape))
    }

    fn lowered_batches(lowering: &Lowering, rows: &[Raw], kind: UnitKind, batch_rows: usize) -> Vec<RecordBatch> {
        let names: Vec<&str> = lowering.inputs.leaves[0].needed.iter().map(|needed| needed.name.as_str()).collect();
        Self::batches(rows, &names, kind, batch_rows)
    }

    /// The rows in any order, dealt by as many readers as there are threads. `look` is called when all is dealt and nothing is finished.
    pub(crate) fn radix_in(&self, folder: &Path, way: Way, look: impl Fn()) -> Ran {
        let (lowering, shape) = self.lowered();
        let room = Room { bytes: way.bytes, folder: folder.to_owned(), threads: way.threads };
        let radix = Arc::new(Radix::new(SharedShape::clone(&shape), way.kind, room, way.threads));
        let batches = Self::lowered_batches(&lowering, &self.rows, way.kind, way.batch_rows);
        std::thread::scope(|scope| {
            for reader in 0..way.threads {
                let (batches, lowering, radix) = (&batches, &lowering, Arc::clone(&radix));
                scope.spawn(move || {
                    let mut dealer = Dealer::new(radix);
                    let own = batches.iter().skip(reader).step_by(way.threads);
                    let none = Objectors::none(way.kind);
                    own.for_each(|batch| dealer.deal(&lowering.rows(lowering.inputs.leaves[0].read(batch, way.kind, &none))).unwrap());
                    dealer.finish().unwrap();
                });
            }
        });
        look();
        let totals = Mutex::new(Totals::zero(&shape));
        radix.finish(&totals).unwrap();
        let (peak, spills) = radix.used();
        Ran { outputs: totals.into_inner().unwrap().outputs, peak, spills }
    }

    pub(crate) fn radix(&self, way: Way) -> Ran {
        self.radix_in(&std::env::temp_dir(), way, || {})
    }

    /// The rows as they would be read from files that are said to be sorted.
    pub(crate) fn sorted(&self, runs: &[&[Raw]], kind: UnitKind, batch_rows: usize) -> Result<Vec<Vec<i128>>, Disorder> {
        let (lowering, shape) = self.lowered();
        let hasher = Hasher::new();
        let mut done = Vec::new();
        for rows in runs {
            let mut run = SortedRun::new(&shape, kind, hasher);
            for batch in Self::lowered_batches(&lowering, rows, kind, batch_rows) {
                run.add(&lowering.rows(lowering.inputs.leaves[0].read(&batch, kind, &Objectors::none(kind))))?;
            }
            done.push(run);
        }
        let totals = Mutex::new(Totals::zero(&shape));
        SortedRun::finish(done, &totals)?;
        Ok(totals.into_inner().unwrap().outputs)
    }
}

impl Way {
    pub(crate) fn plain(kind: UnitKind) -> Self {
        Self { kind, batch_rows: 64, threads: 1, bytes: None }
    }
}
