//! `commun-agent check`: how the holder's data meet a data contract. Local only; nothing is sent, nothing is charged.
//!
//! The data contract comes from a file, or from the agent's own copy of the log: from the running agent, else from its store.

use std::path::Path;

use commun_domain::Document;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::signed::SignedDocument;
use commun_engine::{EngineOptions, HolderEngine};
use commun_store::{AgentStore, StoreOptions};
use commun_trust::Pins;

use crate::config::Config;
use crate::guard::Logbook;
use crate::status::{self, AskError};

/// Largest contract file, in bytes: 16 MiB of canonical bytes as hexadecimal digits, and room for signatures.
const MAX_CONTRACT_FILE_BYTES: u64 = 40 << 20;

/// Checks the data and prints a report for each binding, or for the one of the data contract that is given. `Ok(false)`: there is something to mend.
pub(crate) fn check(config: &Config, contract: Option<&Path>) -> anyhow::Result<bool> {
    let given = contract.map(from_file).transpose()?;
    let mut bindings = config.load_bindings()?;
    // As the agent does when it starts.
    HolderEngine::new(bindings.clone(), &EngineOptions::default())?;
    let without = bindings.iter().filter(|(binding, _)| binding.objections.is_none()).count();
    let unequal = (1..bindings.len()).contains(&without);
    if let Some(given) = &given {
        let names: Vec<String> = bindings.iter().map(|(binding, _)| format!("\"{}\"", binding.contract)).collect();
        bindings.retain(|(binding, _)| binding.contract == given.name);
        anyhow::ensure!(
            !bindings.is_empty(),
            "there are bindings for {} and the data contract is \"{}\"; give one that a binding names",
            names.join(", "),
            given.name
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut usable = true;
    for (binding, folder) in bindings {
        let contract = match &given {
            Some(given) => given.clone(),
            None => from_log(config, &binding.contract)?,
        };
        let report = runtime.block_on(commun_engine::check(&binding, &folder, &contract))?;
        crate::print(&report.to_string());
        usable &= report.usable();
    }
    if unequal {
        crate::print("WARNING a list of objections counts for its own binding, and some bindings have none\n");
    }
    Ok(usable)
}

/// A data contract from a `*.signed` file or from its TOML.
fn from_file(path: &Path) -> anyhow::Result<DataContract> {
    let bytes = std::fs::metadata(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?.len();
    anyhow::ensure!(bytes <= MAX_CONTRACT_FILE_BYTES, "{} is larger than {MAX_CONTRACT_FILE_BYTES} bytes", path.display());
    let text = std::fs::read_to_string(path)?;
    if path.extension().is_some_and(|extension| extension == "signed") {
        let signed = SignedDocument::from_file_text(&text)?;
        return Ok(DataContract::from_bytes(&signed.bytes.0)?);
    }
    Ok(parse_contract(&text)?)
}

fn from_log(config: &Config, name: &str) -> anyhow::Result<DataContract> {
    let missing = || anyhow::anyhow!("the log that this agent has read has no data contract \"{name}\"; give one with --contract FILE");
    match status::ask::<Option<Vec<u8>>>(&config.socket_path(), &format!("contract {name}")) {
        Ok(bytes) => return Ok(DataContract::from_bytes(&bytes.ok_or_else(missing)?)?),
        Err(AskError::NotRunning { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if !config.store_path().exists() {
        return Err(missing());
    }
    let store = AgentStore::open(&config.store_path(), StoreOptions { max_pages: config.max_store_pages })?;
    let log = Logbook::replay(&store, Pins { bundle: config.bundle_sha256 }, &config.holder, &config.state_dir)?;
    log.state().latest_contract(name).cloned().ok_or_else(missing)
}
