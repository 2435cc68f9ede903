//! `commun try`: a question on one machine, offline and free: the same compiler, engine, noise and margins as in a federation, over rows
//! made up from the data contract alone, or over a table of one's own.
//!
//! It is no way around noise: the numbers carry the full noise of one holder. It signs nothing, asks nobody, and charges nothing.

use std::io::Write;
use std::path::{Path, PathBuf};

use commun_domain::attempt::ManifestKind;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::plan::PrivatePlan;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::release::{OutputSums, ResultRelease};
use commun_domain::{Document, Epsilon, Hash32, QueryId, Rho};
use commun_engine::binding::{Source, SourceFormat, TableBinding};
use commun_engine::{Binding, DataFusionEngine, Engine};
use commun_privacy::accountant::rho_for_epsilon;
use commun_privacy::{answer, price};
use commun_sql::{compile, strip_explain};
use commun_trust::names::no_name;

use crate::args::TryArgs;
use crate::documents;
use crate::error::{CliError, read};
use crate::output::{notes, write_answer};
use crate::settings;

mod dummy;
mod repeat;

/// Privacy loss when none is named: the customary first guess.
const DEFAULT_EPSILON: &str = "1";

/// `commun try`
pub async fn try_out(args: &TryArgs) -> Result<(), CliError> {
    let contract = load_contract(&args.contract)?;
    let text = args.sql.as_deref().map_or_else(|| args.file.as_deref().map_or_else(stdin, read), |sql| Ok(sql.to_owned()))?;
    let (set, sql) = settings::split(&text)?;
    let sql = strip_explain(sql).1;
    let price = requested(args, &set)?;
    let settings = QuerySettings {
        price,
        max_groups_per_person: args.max_groups_per_person.or(set.max_groups_per_person).unwrap_or(1),
        intervals: set.intervals.unwrap_or(true),
    };
    let plan = compile(&sql, &contract, &settings)?;
    let rho = match price {
        PriceRequest::Rho(rho) => rho,
        PriceRequest::Epsilon(epsilon) => rho_for_epsilon(epsilon, contract.delta_conv).map_err(|e| CliError::Usage(e.to_string()))?,
    };

    let folder = tempfile::tempdir().map_err(CliError::Runtime)?;
    let (binding, mark) = if let Some(data) = &args.data {
        (bind(&contract, &plan, data)?, "LOCAL: your own table")
    } else {
        let path = folder.path().join("dummy.csv");
        dummy::write(&contract, &plan, args.persons, &path)?;
        (bind(&contract, &plan, &path)?, "DUMMY: rows made up from the data contract; the numbers mean nothing")
    };
    let engine = DataFusionEngine::new(binding, PathBuf::new());
    let query = QueryId::from_bytes(*plan.hash().as_bytes());
    let plan = with_names(plan, rho, &engine, &query, &contract).await?;
    let cells = engine.evaluate(&plan, &query, &contract).await.map_err(|e| CliError::Document(e.to_string()))?;
    let release = |run: u64| -> Result<ResultRelease, CliError> { released(&contract, &plan, rho, &cells, run) };

    let first = release(0)?;
    let table = answer::table(&first, settings.intervals).map_err(|e| CliError::Document(e.to_string()))?;
    let mut out = std::io::stdout().lock();
    write_answer(&mut out, &table, plan.keys.len(), args.format)?;
    out.flush().map_err(CliError::Output)?;
    eprintln!("{mark}");
    for note in notes(&first, false).into_iter().filter(|note| !note.starts_with("query ")) {
        eprintln!("{}", note.replace("charged to", "would be charged to"));
    }
    if let (Some(runs), Some(path)) = (args.repeat, &args.out) {
        repeat::write(path, runs, &first, release)?;
        eprintln!("{runs} answers, each with its own noise, are in {}", path.display());
    }
    Ok(())
}

/// The plan over the names that one holder would release. The names of one run serve all of `--repeat`.
async fn with_names(
    plan: PrivatePlan,
    rho: Rho,
    engine: &DataFusionEngine,
    query: &QueryId,
    contract: &DataContract,
) -> Result<PrivatePlan, CliError> {
    let fault = |e: &dyn std::fmt::Display| CliError::Document(e.to_string());
    let (Some(names), Some(open)) = (price::names(&plan, rho).map_err(|e| fault(&e))?, plan.open_key()) else { return Ok(plan) };
    let counts = engine.names(&plan, query, contract).await.map_err(|e| fault(&e))?;
    let released = commun_engine::release_names(&counts, &names.law, open).map_err(|e| fault(&e))?;
    if released.is_empty() {
        return Err(no_name(ManifestKind::Names { law: names.law }).into());
    }
    Ok(plan.with_names(&released))
}

fn load_contract(path: &Path) -> Result<DataContract, CliError> {
    if path.extension().is_some_and(|extension| extension == "signed") {
        return documents::open(&documents::load(path)?);
    }
    parse_contract(&read(path)?).map_err(|e| CliError::Document(e.to_string()))
}

fn stdin() -> Result<String, CliError> {
    std::io::read_to_string(std::io::stdin()).map_err(|source| CliError::File { path: "standard input".to_owned(), source })
}

fn requested(args: &TryArgs, set: &settings::Settings) -> Result<PriceRequest, CliError> {
    let usage = |e: commun_domain::units::UnitError| CliError::Usage(e.to_string());
    let (epsilon, rho) = match (&args.epsilon, &args.rho) {
        (None, None) => (set.epsilon.clone(), set.rho.clone()),
        (epsilon, rho) => (epsilon.clone(), rho.clone()),
    };
    match rho {
        Some(rho) => Rho::parse(&rho).map(PriceRequest::Rho).map_err(usage),
        None => Epsilon::parse(epsilon.as_deref().unwrap_or(DEFAULT_EPSILON)).map(PriceRequest::Epsilon).map_err(usage),
    }
}

/// A file whose columns are those of the contract's table.
fn bind(contract: &DataContract, plan: &PrivatePlan, path: &Path) -> Result<Binding, CliError> {
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => SourceFormat::Parquet,
        Some("csv") => SourceFormat::Csv,
        _ => return Err(CliError::Usage(format!("{}: name a .parquet or .csv file", path.display()))),
    };
    let path = std::path::absolute(path).map_err(CliError::Runtime)?;
    let mut columns = vec![contract.unit_column.as_str(), contract.partition_column.as_str()];
    columns.extend(contract.table(&plan.table).into_iter().flat_map(|table| &table.columns).map(|column| column.name.as_str()));
    let sql = format!("SELECT {} FROM rows", columns.join(", "));
    Ok(Binding {
        contract: contract.name.clone(),
        sources: vec![Source { name: "rows".to_owned(), format, path, delimiter: None, header: None }],
        tables: vec![TableBinding { name: plan.table.clone(), sql, sorted_by_unit: false }],
    })
}

/// What one holder would release, alone and unmasked, with its full noise.
fn released(
    contract: &DataContract,
    plan: &PrivatePlan,
    rho: Rho,
    cells: &commun_engine::Cells,
    run: u64,
) -> Result<ResultRelease, CliError> {
    let fault = |e: &dyn std::fmt::Display| CliError::Document(e.to_string());
    let loss = price::price(plan, rho).map_err(|e| fault(&e))?;
    let noise = price::noise(plan, rho, 1, 1).map_err(|e| fault(&e))?;
    let sums = commun_engine::release(cells, &noise).map_err(|e| fault(&e))?;
    Ok(ResultRelease {
        query: QueryId::from_bytes(*plan.hash().as_bytes()),
        attempt: 1,
        permit: Hash32::from_bytes([0; 32]),
        plan: plan.clone(),
        noise,
        sums: sums.into_iter().map(|cells| OutputSums { cells }).collect(),
        participants: vec!["this machine".to_owned()],
        listed: 1,
        threshold: 1,
        colluders: 0,
        unmasked: true,
        rho: loss.rho,
        delta: loss.delta,
        delta_conv: contract.delta_conv,
        max_holders_per_person: contract.max_holders_per_person,
        roster_epoch: 0,
        released_at_ms: run,
    })
}
