//! Columns of codes as the files have them: writers of Parquet store each text once and then its number for every row, unless they are told otherwise. Read so,
//! a column of few texts costs little, as no text is copied and each is looked for once a batch.
//!
//! Which columns arrive so follows from the plan, the data contract and the schemas of the files, so no row can change the plan. Pages that hold plain texts are
//! read all the same; the library makes a dictionary of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::ConvertedType;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

/// The same plan with the columns `codes` of its output, by place, as dictionaries, if it is a scan of Parquet files and nothing else and they are columns of
/// text in every file.
pub(crate) async fn keep(plan: Arc<dyn ExecutionPlan>, codes: &[usize], context: &SessionContext) -> Result<Arc<dyn ExecutionPlan>> {
    let Some((config, source)) = plan.downcast_ref::<DataSourceExec>().and_then(DataSourceExec::downcast_to_file_source::<ParquetSource>)
    else {
        return Ok(plan);
    };
    let mut columns = bare(source, codes);
    if columns.is_empty() {
        return Ok(plan);
    }
    let store = context.runtime_env().object_store(&config.object_store_url)?;
    let cache = context.runtime_env().cache_manager.get_file_metadata_cache();
    let mut schemas: HashMap<_, SchemaRef> = HashMap::new();
    for file in config.file_groups.iter().flat_map(FileGroup::iter) {
        if schemas.contains_key(&file.object_meta.location) {
            continue;
        }
        // Mostly at hand, as it has been read for the schema of the table.
        let metadata = DFParquetMetadata::new(store.as_ref(), &file.object_meta)
            .with_file_metadata_cache(Some(Arc::clone(&cache)))
            .with_page_index_policy(Some(PageIndexPolicy::Skip))
            .fetch_metadata()
            .await?;
        columns.retain(|column| is_utf8(&metadata, column));
        let schema = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new())?.schema().clone();
        schemas.insert(file.object_meta.location.clone(), schema);
    }
    if columns.is_empty() {
        return Ok(plan);
    }
    for schema in schemas.values_mut() {
        *schema = with_dictionaries(schema, &columns);
    }
    let of_file = |file: &PartitionedFile| match schemas.get(&file.object_meta.location) {
        Some(schema) => file.clone().with_arrow_schema(Arc::clone(schema)),
        None => file.clone(),
    };
    let groups = config.file_groups.iter().map(|group| group.iter().map(of_file).collect::<Vec<_>>().into()).collect();
    let table = TableSchema::from(with_dictionaries(source.table_schema().file_schema(), &columns));
    let mut changed = ParquetSource::new(table).with_table_parquet_options(source.table_parquet_options().clone());
    if let Some(factory) = source.parquet_file_reader_factory() {
        changed = changed.with_parquet_file_reader_factory(Arc::clone(factory));
    }
    let Some(changed) = source.projection().map(|projection| changed.try_pushdown_projection(projection)).transpose()?.flatten() else {
        return Ok(plan);
    };
    let config = FileScanConfigBuilder::from(config.clone()).with_source(changed).with_file_groups(groups).build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Names of the columns of text that these outputs are, and nothing else of the scan's output needs.
fn bare(source: &ParquetSource, outputs: &[usize]) -> Vec<String> {
    let table = source.table_schema();
    let plain = source.filter().is_none() && table.table_partition_cols().is_empty() && table.virtual_columns().is_empty();
    let Some(projection) = source.projection().filter(|_| plain) else { return Vec::new() };
    let (mut found, mut needed_as_text) = (Vec::new(), Vec::new());
    for (place, output) in projection.iter().enumerate() {
        match output.expr.downcast_ref::<Column>() {
            Some(column) if outputs.contains(&place) => found.push(column.index()),
            _ => needed_as_text.extend(collect_columns(&output.expr).iter().map(Column::index)),
        }
    }
    let fields =
        found.into_iter().filter(|column| !needed_as_text.contains(column)).filter_map(|column| table.file_schema().fields().get(column));
    fields.filter(|field| is_text(field.data_type())).map(|field| field.name().clone()).collect()
}

/// Texts, also as a file's own dictionary, which is read anew.
fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Whether the library checks that a column's values are texts: it takes those of older kinds for mere bytes.
fn is_utf8(file: &ParquetMetaData, column: &str) -> bool {
    let mut named = file.file_metadata().schema_descr().columns().iter().filter(|leaf| leaf.path().parts() == [column]);
    named.next().is_some_and(|leaf| leaf.converted_type() == ConvertedType::UTF8) && named.next().is_none()
}

fn with_dictionaries(schema: &Schema, columns: &[String]) -> SchemaRef {
    let field = |field: &Arc<Field>| {
        if !columns.contains(field.name()) || !is_text(field.data_type()) {
            return Arc::clone(field);
        }
        // Of large texts, as no long one may end the reading where pages with a dictionary and pages without meet.
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8));
        Arc::new(field.as_ref().clone().with_data_type(dictionary))
    };
    Arc::new(Schema::new_with_metadata(schema.fields().iter().map(field).collect::<Vec<_>>(), schema.metadata().clone()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::fs::File;
    use std::path::Path;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use arrow::compute::{cast, concat_batches};
    use datafusion::physical_plan::collect;
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::super::{open_parquet, session};
    use super::*;
    use crate::EngineOptions;

    /// A file of 3,000 rows in row groups of 1,000: codes of few values with some NULL, texts of which each is another, numbers. The dictionary of texts is so long
    /// that the library gives it up.
    fn write(path: &Path, dictionaries: bool) {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(dictionaries)
            .set_dictionary_page_size_limit(1 << 10)
            .set_data_page_row_count_limit(50)
            .set_write_batch_size(50)
            .set_max_row_group_row_count(Some(1_000))
            .build();
        let code = |row: i64| (row % 7 > 0).then(|| format!("c{}", row % (3 + row / 1_000)));
        let columns: [(&str, ArrayRef); 3] = [
            ("code", Arc::new((0..3_000).map(code).collect::<StringArray>())),
            ("text", Arc::new((0..3_000).map(|row| Some("long".repeat(100) + &row.to_string())).collect::<StringArray>())),
            ("number", Arc::new((0..3_000).collect::<Int64Array>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Which of the outputs arrive as dictionaries, after a check that they say what they said before.
    async fn kept(folder: &Path, sql: &str, codes: &[usize]) -> Vec<usize> {
        let context = session(&EngineOptions::default()).unwrap();
        context.register_table("t", open_parquet(&context, folder).await.unwrap()).unwrap();
        // Each serves once.
        let plan = async || context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let (plan, kept) = (plan().await, keep(plan().await, codes, &context).await.unwrap());
        let rows = async |plan: &Arc<dyn ExecutionPlan>| {
            let batches = collect(Arc::clone(plan), context.task_ctx()).await.unwrap();
            let batches: Vec<_> = batches
                .iter()
                .map(|batch| {
                    assert_eq!(batch.schema(), plan.schema());
                    let columns = batch.columns().iter().map(|column| cast(column, &DataType::Utf8).unwrap());
                    RecordBatch::try_from_iter((0..batch.num_columns()).map(|column| format!("{column}")).zip(columns)).unwrap()
                })
                .collect();
            let mut rows: Vec<String> = concat_batches(&batches[0].schema(), &batches)
                .map(|rows| (0..rows.num_rows()).map(|row| format!("{:?}", rows.slice(row, 1).columns())).collect())
                .unwrap();
            rows.sort_unstable();
            rows
        };
        assert_eq!(rows(&plan).await, rows(&kept).await);
        let is_dictionary = |place: &usize| matches!(kept.schema().field(*place).data_type(), DataType::Dictionary(..));
        (0..kept.schema().fields().len()).filter(is_dictionary).collect()
    }

    #[tokio::test]
    async fn codes_arrive_as_dictionaries_where_they_are_text_in_every_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path(), folder.path().join("a.parquet"));
        write(&file, true);
        for (sql, codes, expected) in [
            ("SELECT number, code AS place FROM t", &[1][..], &[1][..]),
            ("SELECT code, number FROM t", &[], &[]),
            // Pages with and without a dictionary, and no text.
            ("SELECT text, number, code FROM t", &[0, 1, 2], &[0, 2]),
            // One column twice; needed as text as well; computed; filtered.
            ("SELECT code, code AS again FROM t", &[0, 1], &[0, 1]),
            ("SELECT code, upper(code) AS upper FROM t", &[0], &[]),
            ("SELECT upper(code) AS upper FROM t", &[0], &[]),
            ("SELECT code FROM t WHERE number < 2500", &[0], &[]),
            ("SELECT code FROM t UNION ALL SELECT code FROM t", &[0], &[]),
        ] {
            assert_eq!(kept(path, sql, codes).await, expected, "{sql}");
        }
        write(&path.join("b.parquet"), true);
        write(&path.join("c.parquet"), false);
        assert_eq!(kept(path, "SELECT code, number FROM t", &[0]).await, [0]);
        // A file that has no such column.
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(path.join("d.parquet")).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        assert_eq!(kept(path, "SELECT code FROM t", &[0]).await, [0; 0]);
    }
}
