//! CSV files, read totally: every column is text, an empty or missing field is NULL, a field too many is passed over, bytes that are not
//! UTF-8 or a field that is too long are NULL. Only the header row decides the schema.
//!
//! `DataFusion`'s own reader infers types from rows and fails on a row with a field too many, and its message quotes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::csv::{ByteRecord, Reader, ReaderBuilder};
use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;

/// Longest field, in bytes; a longer one is NULL. No code, number, date or id is that long.
const MAX_FIELD_BYTES: usize = 64 * 1024;

/// Most columns.
const MAX_COLUMNS: usize = 4096;

/// A batch ends at this many bytes of text, should it not end by its rows first.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// Batches that wait for whoever computes.
const QUEUED_BATCHES: usize = 4;

/// One CSV file.
#[derive(Debug)]
pub(super) struct CsvSource {
    path: PathBuf,
    delimiter: u8,
    schema: SchemaRef,
}

impl CsvSource {
    /// Reads the header row. Blocks.
    pub(super) fn open(path: PathBuf, delimiter: u8) -> Result<Self, String> {
        let unreadable = |e: ::csv::Error| format!("cannot open {}: {e}", path.display());
        let mut header = ByteRecord::new();
        reader(&path, delimiter).and_then(|mut reader| reader.read_byte_record(&mut header)).map_err(unreadable)?;
        if header.is_empty() {
            return Err(format!("{} is empty; its first row must name the columns", path.display()));
        }
        if header.len() > MAX_COLUMNS {
            return Err(format!("{} has more than {MAX_COLUMNS} columns", path.display()));
        }
        let mut fields: Vec<Field> = Vec::with_capacity(header.len());
        for name in &header {
            let name = std::str::from_utf8(name).map_err(|_| format!("the header row of {} is not UTF-8", path.display()))?.trim();
            if name.is_empty() || fields.iter().any(|field| field.name() == name) {
                return Err(format!("in the header row of {} a name is empty or stands twice: \"{name}\"", path.display()));
            }
            fields.push(Field::new(name, DataType::Utf8, true));
        }
        Ok(Self { path, delimiter, schema: Arc::new(Schema::new(fields)) })
    }

    pub(super) fn schema_ref(&self) -> &SchemaRef {
        &self.schema
    }
}

impl PartitionStream for CsvSource {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), QUEUED_BATCHES);
        let (sender, schema) = (builder.tx(), Arc::clone(&self.schema));
        let (path, delimiter) = (self.path.clone(), self.delimiter);
        let batch_rows = context.session_config().batch_size();
        builder.spawn_blocking(move || {
            let mut rows = Rows::new(schema);
            let mut record = ByteRecord::new();
            let mut reader = reader(&path, delimiter).map_err(external)?;
            // The header.
            reader.read_byte_record(&mut record).map_err(external)?;
            while reader.read_byte_record(&mut record).map_err(external)? {
                rows.push(&record);
                if rows.rows >= batch_rows || rows.bytes >= MAX_BATCH_BYTES {
                    // The receiver is gone when the query has been dropped.
                    if sender.blocking_send(rows.take()).is_err() {
                        return Ok(());
                    }
                }
            }
            if rows.rows > 0 {
                let _ = sender.blocking_send(rows.take());
            }
            Ok(())
        });
        builder.build()
    }
}

fn external(error: ::csv::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn reader(path: &Path, delimiter: u8) -> Result<Reader<std::fs::File>, ::csv::Error> {
    ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).buffer_capacity(1 << 18).from_path(path)
}

struct Rows {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    rows: usize,
    bytes: usize,
}

impl Rows {
    fn new(schema: SchemaRef) -> Self {
        let columns = schema.fields().iter().map(|_| StringBuilder::new()).collect();
        Self { schema, columns, rows: 0, bytes: 0 }
    }

    fn push(&mut self, record: &ByteRecord) {
        for (place, column) in self.columns.iter_mut().enumerate() {
            let field = record.get(place).filter(|field| !field.is_empty() && field.len() <= MAX_FIELD_BYTES);
            let text = field.and_then(|field| std::str::from_utf8(field).ok());
            self.bytes += text.map_or(0, str::len);
            column.append_option(text);
        }
        self.rows += 1;
    }

    fn take(&mut self) -> Result<RecordBatch, DataFusionError> {
        self.rows = 0;
        self.bytes = 0;
        let columns = self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
