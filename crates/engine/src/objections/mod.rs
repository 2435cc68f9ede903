//! A holder's list of objections (GDPR, Art. 21): units whose rows are left out before anything else is done with a row.
//!
//! The list is read anew for each question, so that an objection counts from the next question on. It is read strictly, unlike data: one entry
//! that cannot be read, and no question is answered, because a row that is read wrongly costs accuracy and an objection that is read wrongly
//! costs a person's right. Nothing of the list, neither its size nor a hash, leaves this module but for the holder's own `check`; how long it takes
//! to read is seen from outside as long as there are no time slots.

mod broken;
mod ids;

use std::io;
use std::path::Path;

use arrow::buffer::BooleanBuffer;
use csv::ByteRecord;
use futures::StreamExt;

use crate::binding::{Binding, ListFormat, Objections, Source, SourceFormat};
use crate::engine::stream;
use crate::read::{Texts, UnitKind, Units, is_unit};
use crate::source::csv::{Lines, split};
use crate::{EngineError, EngineOptions, source};

pub(crate) use broken::Broken;
use ids::Ids;

/// Name of the list where a table needs one.
const LIST: &str = "objections";

/// A byte order mark, which some systems write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Units that are left out.
#[derive(Debug)]
pub(crate) struct Objectors {
    ids: Ids,
}

impl Objectors {
    /// Nobody has objected.
    pub(crate) fn none(kind: UnitKind) -> Self {
        Self { ids: Ids::new(kind, None) }
    }

    /// Reads the list of a binding. `kind` is that of the unit column; `limit` the most bytes that the list may take.
    pub(crate) async fn read(
        list: Option<&Objections>,
        folder: &Path,
        options: &EngineOptions,
        kind: UnitKind,
        limit: Option<usize>,
    ) -> Result<Self, EngineError> {
        let Some(list) = list else { return Ok(Self::none(kind)) };
        let path = folder.join(&list.path);
        let fault = |message: String| EngineError::Objections { path: path.clone(), message };
        let ids = Ids::new(kind, limit);
        let ids = if list.format == ListFormat::Parquet {
            from_parquet(list, folder, options, ids).await
        } else {
            let (list, path) = (list.clone(), path.clone());
            tokio::task::spawn_blocking(move || from_text(&list, &path, ids)).await.map_err(EngineError::execution)?
        };
        Ok(Self { ids: ids.map_err(fault)? })
    }

    /// Different ids of the list.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes that the list takes.
    pub(crate) fn bytes(&self) -> usize {
        self.ids.bytes()
    }

    /// Rows of everybody else; `None` is all rows. Rows that are nobody's are among them.
    pub(crate) fn others(&self, units: &Units, rows: usize) -> Option<BooleanBuffer> {
        if self.ids.len() == 0 {
            return None;
        }
        Some(match units {
            Units::Signed(numbers, _) => BooleanBuffer::collect_bool(rows, |row| !self.ids.has_number(numbers[row].cast_unsigned())),
            Units::Unsigned(numbers, _) => BooleanBuffer::collect_bool(rows, |row| !self.ids.has_number(numbers[row])),
            Units::Text(texts) => BooleanBuffer::collect_bool(rows, |row| !texts.get(row).is_some_and(|text| self.ids.has_text(text))),
        })
    }
}

/// Whether the list can be opened and is what it is said to be, as far as that shows without its rows.
pub(crate) fn ready(list: Option<&Objections>, folder: &Path) -> Result<(), EngineError> {
    let Some(list) = list else { return Ok(()) };
    let path = folder.join(&list.path);
    let opened = match list.format {
        ListFormat::Parquet => something_at(&path),
        ListFormat::Lines | ListFormat::Csv => open(list, &path).map(drop),
    };
    opened.map_err(|message| EngineError::Objections { path, message })
}

/// Whether there is a file, or a folder that is not empty, as a forgotten mount is. Of a pattern, the folder before its first wildcard.
fn something_at(path: &Path) -> Result<(), String> {
    let is_pattern = |path: &Path| path.to_string_lossy().contains(['*', '?', '[']);
    let path = path.ancestors().find(|path| !is_pattern(path)).unwrap_or(path);
    let said = |error: io::Error| error.to_string();
    if !std::fs::metadata(path).map_err(said)?.is_dir() {
        return Ok(());
    }
    match std::fs::read_dir(path).map_err(said)?.next() {
        Some(entry) => entry.map(drop).map_err(said),
        None => Err(format!("the folder {} is empty", path.display())),
    }
}

/// A text list, its header read: the place of the column, and how many there are.
fn open(list: &Objections, path: &Path) -> Result<(Lines, Option<(usize, usize)>), String> {
    let is_file = std::fs::metadata(path).map_err(|error| error.to_string())?.is_file();
    if !is_file {
        return Err("it is no file".to_owned());
    }
    let mut lines = Lines::open(path).map_err(|error| error.to_string())?;
    if list.format == ListFormat::Lines {
        return Ok((lines, None));
    }
    let mut header = ByteRecord::new();
    let first = lines.next().map_err(|error| error.to_string())?.unwrap_or_default();
    split(first.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first), list.delimiter_byte(), &mut header);
    let wanted = list.column.as_deref().unwrap_or_default();
    let places: Vec<usize> =
        header.iter().zip(0..).filter(|(name, _)| name.trim_ascii() == wanted.as_bytes()).map(|(_, place)| place).collect();
    match places[..] {
        [place] => Ok((lines, Some((place, header.len())))),
        _ => Err(format!("its header row has {} columns named \"{wanted}\"", places.len())),
    }
}

fn from_text(list: &Objections, path: &Path, mut ids: Ids) -> Result<Ids, String> {
    let (mut lines, column) = open(list, path)?;
    let mut record = ByteRecord::new();
    let first = if column.is_some() { 2 } else { 1 };
    for number in first.. {
        let read = lines.next().map_err(|error: io::Error| error.to_string())?.map(<[u8]>::to_vec);
        if lines.too_long() {
            return Err(format!("line {number} is too long to be an id"));
        }
        let Some(line) = read else { break };
        let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| number == 1).unwrap_or(&line);
        let id = match column {
            // A last empty line is usual, and an empty one between others harms nobody.
            _ if line.trim_ascii().is_empty() => continue,
            None => line,
            Some((place, columns)) => {
                split(line, list.delimiter_byte(), &mut record);
                if record.len() != columns {
                    return Err(format!("line {number} has {} fields and the header row {columns}", record.len()));
                }
                record.get(place).unwrap_or_default()
            }
        };
        let id = std::str::from_utf8(id).map_err(|_| format!("line {number} is not UTF-8"))?;
        add(&mut ids, Some(id)).map_err(|fault| format!("line {number}: {fault}"))?;
    }
    Ok(ids)
}

async fn from_parquet(list: &Objections, folder: &Path, options: &EngineOptions, mut ids: Ids) -> Result<Ids, String> {
    let source = Source { name: LIST.to_owned(), format: SourceFormat::Parquet, path: list.path.clone(), delimiter: None, header: None };
    let binding = Binding { contract: String::new(), sources: vec![source], tables: Vec::new(), objections: None };
    let said = |error: EngineError| match error {
        EngineError::Source { message, .. } => message,
        EngineError::Execution { detail } => detail.expose_locally().to_owned(),
        other => other.to_string(),
    };
    let context = source::open(&binding, folder, options).await.map_err(said)?;
    let plan = source::bound_plan(&context, LIST, &format!("SELECT * FROM {LIST}")).await.map_err(said)?;
    let column = list.column.as_deref().unwrap_or_default();
    let mut row = 0u64;
    for mut batches in stream(&context, plan, std::iter::once(column)).await? {
        while let Some(batch) = batches.next().await {
            let texts = Texts::read(batch.map_err(|error| error.strip_backtrace())?.column(0));
            for place in 0..texts.len() {
                row += 1;
                add(&mut ids, texts.get(place)).map_err(|fault| format!("row {row}: {fault}"))?;
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(ids)
}

fn add(ids: &mut Ids, id: Option<&str>) -> Result<(), String> {
    let id = id.filter(|id| is_unit(id)).ok_or("there is no id, or one longer than any unit's")?;
    if id.contains(char::is_control) {
        // Line ends of another system, or a file that a crash has filled with zeros: several ids would be one that is nobody's.
        return Err("there is a control character in the id; end lines with LF or CR LF".to_owned());
    }
    ids.add(id)
}

#[cfg(test)]
mod tests;
