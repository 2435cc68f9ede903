//! Opens a binding's files and plans its SQL, with everything switched off that would let data steer the plan or make it fail.
//!
//! Until the plan runs only schemas are used: the CSV header row, the Parquet footer. Rows are read through `csv` and `files`.

pub(crate) mod csv;
pub(crate) mod dictionaries;
mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::binding::{Binding, Source, SourceFormat, byte_of};
use crate::total::MakeTotal;
use crate::{EngineError, EngineOptions};

/// A session that knows the binding's sources under their names.
pub(crate) async fn open(binding: &Binding, folder: &Path, options: &EngineOptions) -> Result<SessionContext, EngineError> {
    let context = session(options)?;
    for source in &binding.sources {
        let path = folder.join(&source.path);
        let table = match source.format {
            SourceFormat::Csv => open_csv(source, path).await,
            SourceFormat::Parquet => open_parquet(&context, &path).await,
        };
        table
            .and_then(|table| context.register_table(source.name.as_str(), table).map_err(|e| e.strip_backtrace()))
            .map_err(|message| EngineError::Source { source_name: source.name.clone(), message })?;
    }
    Ok(context)
}

/// The unoptimised plan of a table's SQL. Every table that it may name has been opened.
pub(crate) async fn bound_plan(context: &SessionContext, table: &str, sql: &str) -> Result<LogicalPlan, EngineError> {
    // From here on an error can only quote names and types, never data: no row has been read.
    context.state().create_logical_plan(sql).await.map_err(|e| EngineError::Binding(format!("table {table}: {}", e.strip_backtrace())))
}

fn session(options: &EngineOptions) -> Result<SessionContext, EngineError> {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.get())
        .with_batch_size(options.batch_rows.get())
        .with_information_schema(false)
        .with_collect_statistics(false);
    let settings = config.options_mut();
    // Statistics and pruning make plan and time depend on single rows (seen: one more row swaps the sides of a join).
    settings.execution.parquet.pruning = false;
    settings.execution.parquet.enable_page_index = false;
    settings.execution.parquet.bloom_filter_on_read = false;
    settings.execution.parquet.pushdown_filters = false;
    settings.optimizer.enable_dynamic_filter_pushdown = false;
    settings.optimizer.enable_join_dynamic_filter_pushdown = false;
    settings.optimizer.use_statistics_registry = false;
    settings.optimizer.join_reordering = false;

    // DataFusion would write what it spills in clear; ours is encrypted (`bound`), theirs is refused.
    let no_files = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let mut runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(no_files);
    if let Some(bytes) = options.sql_bytes() {
        runtime = runtime.with_memory_limit(bytes, 1.0);
    }
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime.build_arc().map_err(EngineError::execution)?)
        .with_default_features()
        .with_analyzer_rule(Arc::new(MakeTotal))
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_object_store(ObjectStoreUrl::local_filesystem().as_ref(), Arc::new(files::Files::default()));
    Ok(context)
}

async fn open_csv(source: &Source, path: PathBuf) -> Result<Arc<dyn TableProvider>, String> {
    let delimiter = byte_of(source.delimiter);
    let opened = tokio::task::spawn_blocking(move || csv::CsvSource::open(path, delimiter)).await.map_err(|e| e.to_string())??;
    let schema = Arc::clone(opened.schema_ref());
    let table = StreamingTable::try_new(schema, vec![Arc::new(opened)]).map_err(|e| e.strip_backtrace())?;
    Ok(Arc::new(table))
}

async fn open_parquet(context: &SessionContext, path: &Path) -> Result<Arc<dyn TableProvider>, String> {
    let text = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
    if !text.contains(['*', '?', '[']) {
        std::fs::metadata(path).map_err(|e| format!("cannot open {}: {e}", path.display()))?;
    }
    let message = |e: datafusion::error::DataFusionError| format!("cannot read {}: {}", path.display(), e.strip_backtrace());
    let url = ListingTableUrl::parse(text).map_err(message)?;
    let format = ParquetFormat::new().with_options(context.state().default_table_options().parquet);
    let options = ListingOptions::new(Arc::new(format)).with_file_extension("");
    let schema = options.infer_schema(&context.state(), &url).await.map_err(message)?;
    if schema.fields().is_empty() {
        return Err(format!("{} holds no Parquet file with columns", path.display()));
    }
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config).map_err(message)?))
}
