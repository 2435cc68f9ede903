//! CSV files, read totally: every column is text, an empty or missing field is NULL, a field too many is passed over, bytes that are not
//! UTF-8 or a field that is too long are NULL. Only the header row decides the schema.
//!
//! One physical line is one row, whatever stands in it: a quote that one person's line opens and does not close must not swallow the
//! lines of other persons (they would come and go with that person). A quoted field may hold the delimiter and doubled quotes, not a
//! line break. A line that is longer than the limit is passed over, so that it costs no memory either.
//!
//! `DataFusion`'s own reader infers types from rows and fails on a row with a field too many, and its message quotes it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::csv::ByteRecord;
use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::PartitionStream;

/// Longest field, in bytes; a longer one is NULL. No code, number, date or id is that long.
const MAX_FIELD_BYTES: usize = 64 * 1024;

/// Longest line, in bytes; a longer one is passed over.
const MAX_LINE_BYTES: usize = 1 << 20;

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
        let unreadable = |e: std::io::Error| format!("cannot open {}: {e}", path.display());
        let mut header = ByteRecord::new();
        let mut lines = Lines::open(&path).map_err(unreadable)?;
        let first = lines.next().map_err(unreadable)?.unwrap_or_default();
        split(first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first), delimiter, &mut header);
        if first.is_empty() {
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
            let mut rows = Filling::new(schema);
            let mut record = ByteRecord::new();
            let mut lines = Lines::open(&path)?;
            // The header.
            lines.next()?;
            while let Some(line) = lines.next()? {
                if line.is_empty() {
                    continue;
                }
                split(line, delimiter, &mut record);
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

/// Reads physical lines of bounded length.
pub(crate) struct Lines {
    reader: BufReader<std::fs::File>,
    line: Vec<u8>,
    too_long: bool,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self { reader: BufReader::with_capacity(1 << 18, std::fs::File::open(path)?), line: Vec::new(), too_long: false })
    }

    /// Whether the last line was too long.
    pub(crate) fn too_long(&self) -> bool {
        self.too_long
    }

    /// The next line without its end, `None` after the last; an empty slice for one that is too long.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<&[u8]>> {
        self.line.clear();
        let mut any = false;
        self.too_long = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = memchr(buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            self.too_long |= self.line.len() + part.len() > MAX_LINE_BYTES;
            if !self.too_long {
                self.line.extend_from_slice(part);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                break;
            }
        }
        if self.too_long {
            self.line.clear();
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok(any.then_some(self.line.as_slice()))
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// Splits one line into fields. A field that starts with a quote ends at its closing quote (a doubled one stands for itself) or at the
/// end of the line; what follows the closing quote belongs to the field too.
pub(crate) fn split(line: &[u8], delimiter: u8, record: &mut ByteRecord) {
    record.clear();
    if !line.contains(&b'"') {
        for field in line.split(|byte| *byte == delimiter) {
            record.push_field(field);
        }
        return;
    }
    let mut field = Vec::new();
    let (mut quoted, mut start) = (false, true);
    let mut bytes = line.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' if quoted => {
                if bytes.next_if_eq(&b'"').is_some() {
                    field.push(b'"');
                } else {
                    quoted = false;
                }
            }
            b'"' if start => quoted = true,
            _ if byte == delimiter && !quoted => {
                record.push_field(&field);
                field.clear();
                start = true;
                continue;
            }
            _ => field.push(byte),
        }
        start = false;
    }
    record.push_field(&field);
}

/// Rows of the batch that is being filled.
struct Filling {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    rows: usize,
    bytes: usize,
}

impl Filling {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn fields(line: &str) -> Vec<String> {
        let mut record = ByteRecord::new();
        split(line.as_bytes(), b',', &mut record);
        record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
    }

    #[test]
    fn quotes_hold_delimiters_and_doubled_quotes() {
        assert_eq!(fields("a,\"b,c\",\"d\"\"e\",f"), ["a", "b,c", "d\"e", "f"]);
        assert_eq!(fields("a,,"), ["a", "", ""]);
        assert_eq!(fields("a\"b,c"), ["a\"b", "c"]);
    }

    #[test]
    fn p9_a_quote_that_one_line_opens_swallows_no_other_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let long = "x".repeat(MAX_LINE_BYTES + 1);
        std::fs::write(&path, format!("id,name\n1,\"open\r\n2,b\n{long}\n3,c")).unwrap();
        let mut lines = Lines::open(&path).unwrap();
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push(fields(std::str::from_utf8(line).unwrap()));
        }
        let expected: [&[&str]; 5] = [&["id", "name"], &["1", "open"], &["2", "b"], &[""], &["3", "c"]];
        assert_eq!(seen, expected);
    }
}
