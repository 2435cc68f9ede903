//! All bindings of a holder, one for each data contract: the engine of an agent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use commun_domain::contract::DataContract;
use commun_domain::ids::QueryId;
use commun_domain::plan::PrivatePlan;
use futures::future::BoxFuture;

use crate::{Binding, Cells, DataFusionEngine, Engine, EngineError, EngineOptions, NameCounts};

/// See the module. Opens nothing before it is asked.
#[derive(Clone, Debug)]
pub struct HolderEngine {
    engines: BTreeMap<String, DataFusionEngine>,
}

impl HolderEngine {
    /// From bindings with the folders in which their relative paths begin. Two of one data contract are refused: which one is meant?
    pub fn new(bindings: impl IntoIterator<Item = (Binding, PathBuf)>, options: &EngineOptions) -> Result<Self, EngineError> {
        let mut engines = BTreeMap::new();
        for (binding, folder) in bindings {
            let contract = binding.contract.clone();
            let engine = DataFusionEngine::new(binding, folder).with_options(options.clone());
            if engines.insert(contract.clone(), engine).is_some() {
                return Err(EngineError::Binding(format!("there are two for the data contract {contract}; keep one")));
            }
        }
        Ok(Self { engines })
    }

    /// Data contracts that have a binding, in order.
    pub fn contracts(&self) -> impl Iterator<Item = &str> {
        self.engines.keys().map(String::as_str)
    }

    fn of(&self, contract: &str) -> Result<&DataFusionEngine, EngineError> {
        let known = || self.engines.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        self.engines
            .get(contract)
            .ok_or_else(|| EngineError::Binding(format!("there is none for the data contract {contract}, only for {}", known())))
    }
}

impl Engine for HolderEngine {
    fn ready(&self, contract: &str) -> Result<(), EngineError> {
        self.of(contract)?.ready(contract)
    }

    fn evaluate<'a>(
        &'a self,
        plan: &'a PrivatePlan,
        query_id: &'a QueryId,
        contract: &'a DataContract,
    ) -> BoxFuture<'a, Result<Cells, EngineError>> {
        match self.of(&contract.name) {
            Ok(engine) => engine.evaluate(plan, query_id, contract),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn names<'a>(
        &'a self,
        plan: &'a PrivatePlan,
        query_id: &'a QueryId,
        contract: &'a DataContract,
    ) -> BoxFuture<'a, Result<NameCounts, EngineError>> {
        match self.of(&contract.name) {
            Ok(engine) => engine.names(plan, query_id, contract),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::testing::{DIRECT, Row, binding, contract, csv, plan, query_id};

    fn bound(contract: &str) -> (Binding, PathBuf) {
        (Binding { contract: contract.to_owned(), ..binding("csv", "raw.csv", DIRECT) }, PathBuf::new())
    }

    #[tokio::test]
    async fn each_question_is_answered_through_the_binding_of_its_data_contract() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for (folder, count) in folders.iter().zip(1..) {
            let rows: Vec<Row> = (0..count).map(|person| Row::new(&person.to_string(), "2011-01", "A", "1", "true")).collect();
            std::fs::write(folder.path().join("raw.csv"), csv(&rows)).unwrap();
        }
        let at = |contract: &str, folder: &tempfile::TempDir| (bound(contract).0, folder.path().to_owned());
        let engine = HolderEngine::new([at("mobility", &folders[0]), at("trips", &folders[1])], &EngineOptions::default()).unwrap();
        assert!(engine.contracts().eq(["mobility", "trips"]));
        for (name, persons) in [("mobility", 1), ("trips", 2)] {
            let contract = DataContract { name: name.to_owned(), ..contract() };
            let plan = plan(&contract, &["2011-01"], &[], 1);
            engine.ready(name).unwrap();
            assert_eq!(engine.evaluate(&plan, &query_id(1), &contract).await.unwrap().outputs[0], [persons]);
        }
        let error = engine.ready("health").unwrap_err().to_string();
        assert!(error.contains("none for the data contract health, only for mobility, trips"), "{error}");
    }

    #[test]
    fn two_bindings_of_one_data_contract_are_refused() {
        let error = HolderEngine::new([bound("mobility"), bound("mobility")], &EngineOptions::default()).unwrap_err().to_string();
        assert!(error.contains("two for the data contract mobility"), "{error}");
    }
}
