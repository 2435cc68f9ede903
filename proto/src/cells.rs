//! Masked cells as Arrow record batches in Arrow Flight's messages, a chunk at a time.
//!
//! One column of unsigned 64-bit integers without nulls. What is read is read by hand from a verified flatbuffer, so that bytes of a stranger reach no more
//! than this file: no compression, no dictionary, one buffer of values whose place is checked.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{MessageHeader, root_as_message};
use commun_domain::attempt::MaskedCells;
use commun_domain::{Document, QueryId};

use crate::convert::{self, FieldError};
use crate::flight::flight_descriptor::DescriptorType;
use crate::flight::{FlightData, FlightDescriptor};

/// Most rows of one record batch: 512 KiB.
pub const CELLS_PER_BATCH: usize = 1 << 16;

/// Largest message of a stream of cells, in bytes: a batch, its header, and room for an attempt's head.
pub const MAX_CELLS_MESSAGE_BYTES: usize = 8 * CELLS_PER_BATCH + (64 << 10);

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("cells", DataType::UInt64, false)]))
}

fn message(EncodedData { ipc_message, arrow_data }: EncodedData) -> FlightData {
    FlightData { data_header: ipc_message, data_body: arrow_data, ..FlightData::default() }
}

/// The messages of a vector: made one after another, as they are sent.
pub fn messages(command: &MaskedCells, cells: Arc<Vec<u64>>) -> impl Iterator<Item = Result<FlightData, ArrowError>> + Send + 'static {
    let (schema, options) = (schema(), IpcWriteOptions::default());
    let writer = IpcDataGenerator::default();
    let mut first = message(writer.schema_to_bytes_with_dictionary_tracker(&schema, &mut DictionaryTracker::new(true), &options));
    first.flight_descriptor = Some(FlightDescriptor { r#type: DescriptorType::Cmd.into(), cmd: command.to_bytes(), path: Vec::new() });
    let batches = (0..cells.len()).step_by(CELLS_PER_BATCH).map(move |start| {
        let end = cells.len().min(start + CELLS_PER_BATCH);
        let column = UInt64Array::from_iter_values(cells[start..end].iter().copied());
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)])?;
        let encoded = writer.encode(&batch, &mut DictionaryTracker::new(true), &options, &mut IpcWriteContext::default());
        encoded.map(|(_, data)| message(data))
    });
    std::iter::once(Ok(first)).chain(batches)
}

/// Whose cells come, from the first message of a stream.
pub fn command(first: &FlightData) -> Result<MaskedCells, FieldError> {
    let descriptor = first.flight_descriptor.as_ref().ok_or(FieldError::Missing("flight_descriptor"))?;
    if descriptor.r#type != i32::from(DescriptorType::Cmd) {
        return Err(FieldError::Range("flight_descriptor.type"));
    }
    let header = root_as_message(&first.data_header).map_err(|_| FieldError::Range("data_header"))?;
    let one_column_of_u64 = header.header_as_schema().and_then(|schema| schema.fields()).is_some_and(|fields| {
        let integer = |at: usize| fields.get(at).type_as_int().filter(|int| int.bitWidth() == 64 && !int.is_signed());
        fields.len() == 1 && integer(0).is_some()
    });
    if !one_column_of_u64 {
        return Err(FieldError::Range("schema"));
    }
    let command: MaskedCells = convert::document("flight_descriptor.cmd", &descriptor.cmd)?;
    convert::attempt("attempt", command.attempt.into())?;
    Ok(command)
}

/// The cells of a record batch.
pub fn batch(data: &FlightData) -> Result<Vec<u64>, FieldError> {
    let refused = |what| FieldError::Range(what);
    let header = root_as_message(&data.data_header).map_err(|_| refused("data_header"))?;
    let batch = Some(header).filter(|header| header.header_type() == MessageHeader::RecordBatch);
    let batch = batch.and_then(|header| header.header_as_record_batch()).ok_or(refused("record batch"))?;
    let rows = usize::try_from(batch.length()).ok().filter(|rows| (1..=CELLS_PER_BATCH).contains(rows)).ok_or(refused("rows"))?;
    let (nodes, buffers) = batch.nodes().zip(batch.buffers()).ok_or(refused("record batch"))?;
    let plain = batch.compression().is_none() && nodes.len() == 1 && buffers.len() == 2;
    if !plain || nodes.get(0).null_count() != 0 || nodes.get(0).length() != batch.length() {
        return Err(refused("record batch"));
    }
    let start = usize::try_from(buffers.get(1).offset()).map_err(|_| refused("buffer"))?;
    let end = start.checked_add(8 * rows).ok_or(refused("buffer"))?;
    let values = data.data_body.get(start..end).ok_or(refused("buffer"))?;
    Ok(values.as_chunks().0.iter().map(|cell| u64::from_le_bytes(*cell)).collect())
}

/// Which attempt a query id and number name, for messages that carry both.
pub fn attempt_of(query: &[u8], attempt: u32) -> Result<(QueryId, u8), FieldError> {
    Ok((convert::query_id("query_id", query)?, convert::attempt("attempt", attempt)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use commun_domain::encoding::Bytes;

    fn head() -> MaskedCells {
        MaskedCells { query: QueryId::from_bytes([7; 32]), attempt: 1, head: Bytes(vec![1, 2, 3]) }
    }

    fn sent(cells: &[u64]) -> Vec<FlightData> {
        messages(&head(), Arc::new(cells.to_vec())).map(Result::unwrap).collect()
    }

    #[test]
    fn a_vector_comes_back_in_batches_that_are_bounded() {
        let cells: Vec<u64> = (0..150_000).map(|cell: u64| cell.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let messages = sent(&cells);
        assert_eq!((messages.len(), command(&messages[0]).unwrap()), (4, head()));
        let size = |data: &FlightData| data.data_header.len() + data.data_body.len();
        assert!(messages.iter().all(|data| size(data) < MAX_CELLS_MESSAGE_BYTES));
        let read: Vec<u64> = messages[1..].iter().flat_map(|data| batch(data).unwrap()).collect();
        assert_eq!(read, cells);
    }

    #[test]
    fn anything_else_is_refused_and_no_byte_of_it_makes_a_reader_panic() {
        let messages = sent(&[1, 2, 3]);
        assert!(command(&messages[1]).is_err() && batch(&messages[0]).is_err());
        assert!(command(&FlightData::default()).is_err() && batch(&FlightData::default()).is_err());
        let mut short = messages[1].clone();
        short.data_body.truncate(8);
        assert!(batch(&short).is_err());
        for place in 0..messages[1].data_header.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = messages[1].clone();
                changed.data_header[place] = byte;
                if let Ok(cells) = batch(&changed) {
                    assert!(cells.len() <= CELLS_PER_BATCH);
                }
                let mut first = messages[0].clone();
                if let Some(header) = first.data_header.get_mut(place) {
                    *header = byte;
                }
                let _ = command(&first);
            }
        }
    }
}
