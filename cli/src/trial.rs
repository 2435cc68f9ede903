//! `commun try`: a question on one machine, offline and free: compiler, engine, noise and margins as at one holder of a federation, over rows
//! made up from the data contract alone, or over a table of one's own.
//!
//! It is no way around noise: the numbers carry the full noise of one holder. It signs nothing, asks nobody, and charges nothing.

use std::collections::BTreeMap;
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
use commun_privacy::price;
use commun_sql::{compile, strip_explain};
use commun_trust::cohort;
use commun_trust::names::no_name;

use crate::args::TryArgs;
use crate::asked::{Limit, asked, rho_of};
use crate::documents;
use crate::error::{CliError, read};
use crate::explain::{Explained, beyond_the_whole_budget};
use crate::notes::{Charge, notes};
use crate::output::{Shown, write_answer};
use crate::query::text_of;
use crate::settings;

mod dummy;
mod repeat;

/// Privacy loss when none is named: the customary first guess.
const DEFAULT_EPSILON: Epsilon = Epsilon::from_units(1_000_000);

/// `commun try`
pub async fn try_out(args: &TryArgs) -> Result<(), CliError> {
    let contract = load_contract(&args.contract)?;
    let text = text_of(args.file.as_deref(), args.sql.as_deref())?;
    let (set, sql) = settings::split(&text)?;
    let (explained, sql) = strip_explain(sql);
    let shown = Shown::of(args.shown, set.intervals);
    let unpriced = QuerySettings {
        price: PriceRequest::Rho(Rho::ZERO),
        max_groups_per_person: args.max_groups_per_person.or(set.max_groups_per_person).unwrap_or(1),
        intervals: shown.has_margins(),
        clipped: args.clipped || set.clipped.unwrap_or(false),
    };
    let asked = asked([args.epsilon.as_ref(), args.rho.as_ref(), args.margin.as_ref()], &set, Some(DEFAULT_EPSILON))?;
    let limits = [Limit { of: "the data contract's whole budget", rho: contract.rho_cap }];
    let shape = cohort::usual(args.holders)?;
    let price = asked.resolve(&sql, &contract, unpriced, shape, &limits)?;
    let settings = QuerySettings { price, ..unpriced };
    let plan = compile(&sql, &contract, &settings)?;
    let rho = rho_of(price, contract.delta_conv)?;
    if explained {
        let explained = Explained { contract: &contract, plan: &plan, rho, shape, values_per_row: args.values_per_row };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}\n", explained.facts()?).map_err(CliError::Output)?;
        return explained.write(&mut out);
    }

    let folder = tempfile::tempdir().map_err(CliError::Runtime)?;
    let (files, mark) = if args.data.is_empty() {
        let files = dummy::write(&contract, &plan, args.persons, folder.path())?;
        (files, "DUMMY: rows made up from the data contract; the numbers mean nothing")
    } else {
        (own_files(&plan, &args.data)?, "LOCAL: your own rows")
    };
    let binding = bind(&contract, &files)?;
    let engine = DataFusionEngine::new(binding, PathBuf::new());
    let query = QueryId::from_bytes(*plan.hash().as_bytes());
    let plan = with_names(plan, rho, &engine, &query, &contract).await?;
    let cells = engine.evaluate(&plan, &query, &contract).await.map_err(|e| CliError::Document(e.to_string()))?;
    let release = || -> Result<ResultRelease, CliError> { released(&contract, &plan, rho, &cells) };

    let first = release()?;
    let table = shown.table(&first)?;
    let mut out = std::io::stdout().lock();
    write_answer(&mut out, &table, plan.keys.len(), args.format)?;
    out.flush().map_err(CliError::Output)?;
    eprintln!("{mark}");
    if args.holders > 1 {
        eprintln!("numbers and margins are those of one holder alone; EXPLAIN shows the margins of {} together", args.holders);
    }
    for note in notes(&first, Charge::Tried, shown) {
        eprintln!("{note}");
    }
    if let Some(beyond) = beyond_the_whole_budget(&contract, first.rho) {
        eprintln!("the price is {beyond}");
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

/// Tables and their files.
type Files = BTreeMap<String, PathBuf>;

/// The files of `--data`, one for each table that the question reads.
fn own_files(plan: &PrivatePlan, data: &[String]) -> Result<Files, CliError> {
    let tables = plan.relation.tables();
    let mut files = Files::new();
    for given in data {
        let (table, file) = match (given.split_once('='), tables.first()) {
            (Some((table, file)), _) if tables.contains(table) => (table, file),
            (_, Some(only)) if tables.len() == 1 => (*only, given.as_str()),
            _ => {
                let names: Vec<String> = tables.iter().map(|table| format!("--data {table}=FILE")).collect();
                return Err(CliError::Usage(format!("--data {given}: the question reads several tables, write {}", names.join(" "))));
            }
        };
        if files.insert(table.to_owned(), PathBuf::from(file)).is_some() {
            return Err(CliError::Usage(format!("--data names two files for the table {table}")));
        }
    }
    match tables.into_iter().find(|table| !files.contains_key(*table)) {
        Some(missing) => Err(CliError::Usage(format!("the question reads the table {missing} too: add --data {missing}=FILE"))),
        None => Ok(files),
    }
}

/// Files whose columns are those of the contract's tables.
fn bind(contract: &DataContract, files: &Files) -> Result<Binding, CliError> {
    let (mut sources, mut tables) = (Vec::new(), Vec::new());
    for (table, path) in files {
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => SourceFormat::Parquet,
            Some("csv") => SourceFormat::Csv,
            _ => return Err(CliError::Usage(format!("{}: name a .parquet or .csv file", path.display()))),
        };
        let path = std::path::absolute(path).map_err(CliError::Runtime)?;
        let mut columns = vec![contract.unit_column.as_str(), contract.partition_column.as_str()];
        columns.extend(contract.table(table).into_iter().flat_map(|table| &table.columns).map(|column| column.name.as_str()));
        let name = format!("rows_of_{table}");
        let sql = format!("SELECT {} FROM {name}", columns.join(", "));
        sources.push(Source { name, format, path, delimiter: None, header: None });
        tables.push(TableBinding { name: table.clone(), sql, sorted_by_unit: false });
    }
    Ok(Binding { contract: contract.name.clone(), sources, tables, objections: None })
}

/// What one holder would release, alone and unmasked, with its full noise.
fn released(contract: &DataContract, plan: &PrivatePlan, rho: Rho, cells: &commun_engine::Cells) -> Result<ResultRelease, CliError> {
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
        members: 1,
        threshold: 1,
        colluders: 0,
        unmasked: true,
        transcript: None,
        rho: loss.rho,
        delta: loss.delta,
        delta_conv: contract.delta_conv,
        max_holders_per_person: contract.max_holders_per_person,
        roster_epoch: 0,
        released_at_ms: 0,
    })
}
