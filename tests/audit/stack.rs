//! From a question's text to exact cells, below the noise: the shipped compiler and engine, in this process.

use std::collections::HashMap;

use commun_domain::Refusal;
use commun_domain::contract::DataContract;
use commun_domain::ids::QueryId;
use commun_domain::plan::PrivatePlan;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::units::Rho;
use commun_engine::{Binding, Cells, DataFusionEngine, Engine, EngineError, EngineOptions, NameCounts};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::table::{Format, Row, contract};

/// L0 that the contract allows.
const MAX_GROUPS: u32 = 4;

/// See the module. Each thread has its own.
pub(crate) struct Stack {
    runtime: Runtime,
    contracts: HashMap<u32, DataContract>,
}

/// A holder's files.
pub(crate) struct Files {
    binding: Binding,
    folder: TempDir,
}

impl Files {
    pub(crate) fn of(rows: &[Row], format: Format) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binding = format.write(rows, folder.path());
        Self { binding, folder }
    }
}

impl Stack {
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, contracts: HashMap::new() }
    }

    /// The contract that lets so many rows of a person count in a cell.
    pub(crate) fn contract(&mut self, linf: u32) -> &DataContract {
        self.contracts.entry(linf).or_insert_with(|| contract(linf, MAX_GROUPS))
    }

    pub(crate) fn compile(&mut self, sql: &str, linf: u32, max_groups_per_person: u32) -> Result<PrivatePlan, Refusal> {
        self.compile_with(sql, linf, max_groups_per_person, false)
    }

    /// The same, with the number of clipped people or without.
    pub(crate) fn compile_with(&mut self, sql: &str, linf: u32, max_groups_per_person: u32, clipped: bool) -> Result<PrivatePlan, Refusal> {
        let price = PriceRequest::Rho(Rho::from_units(1 << 36));
        let settings = QuerySettings { price, max_groups_per_person, intervals: true, clipped };
        commun_sql::compile(sql, self.contract(linf), &settings)
    }

    pub(crate) fn evaluate(
        &mut self,
        plan: &PrivatePlan,
        linf: u32,
        query: &QueryId,
        files: &Files,
        options: EngineOptions,
    ) -> Result<Cells, EngineError> {
        self.contract(linf);
        let engine = DataFusionEngine::new(files.binding.clone(), files.folder.path()).with_options(options);
        self.runtime.block_on(engine.evaluate(plan, query, &self.contracts[&linf]))
    }

    /// People behind each text of an open group key.
    pub(crate) fn names(
        &mut self,
        plan: &PrivatePlan,
        linf: u32,
        query: &QueryId,
        files: &Files,
        options: EngineOptions,
    ) -> Result<NameCounts, EngineError> {
        self.contract(linf);
        let engine = DataFusionEngine::new(files.binding.clone(), files.folder.path()).with_options(options);
        self.runtime.block_on(engine.names(plan, query, &self.contracts[&linf]))
    }
}
