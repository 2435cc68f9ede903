//! A holder's binding: which files it has, and the SQL that makes the data contract's tables out of them.
//!
//! A binding is private to its holder. Reading one opens no data file.

use std::path::{Path, PathBuf};

use commun_domain::ids::is_name;
use serde::Deserialize;

/// Most sources in a binding.
pub const MAX_SOURCES: usize = 64;

/// Longest binding file, in bytes.
pub const MAX_BINDING_BYTES: u64 = 1 << 20;

/// Why a text is not a binding.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// The file cannot be read.
    #[error("cannot read the binding {path}: {message}")]
    Read {
        /// Path.
        path: PathBuf,
        /// Operating system's reason.
        message: String,
    },
    /// Not TOML of this shape.
    #[error("the binding is not valid at {place}: {message}")]
    Shape {
        /// Path within the TOML.
        place: String,
        /// What is expected.
        message: String,
    },
    /// Well-formed, and wrong: all faults, one a line.
    #[error("the binding has {} fault(s):\n  - {}", .0.len(), .0.join("\n  - "))]
    Faults(Vec<String>),
}

/// Format of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceFormat {
    /// Apache Parquet; the path may be a folder or a glob (`calls/*.parquet`).
    Parquet,
    /// Comma-separated values with a header row; every column is text.
    Csv,
}

/// One source file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Table name in the binding's SQL.
    pub name: String,
    /// Format.
    pub format: SourceFormat,
    /// Relative to the folder of the binding.
    pub path: PathBuf,
    /// CSV only: one ASCII character between fields, a comma if absent.
    pub delimiter: Option<char>,
    /// CSV only: whether the first row names the columns. Only `true` is accepted: columns without names have no schema.
    pub header: Option<bool>,
}

/// Form of a list of objections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListFormat {
    /// A text with one id on each line.
    #[default]
    Lines,
    /// A column of comma-separated values with a header row.
    Csv,
    /// A column of Parquet; the path may be a folder or a glob.
    Parquet,
}

/// Units whose rows are left out of everything: people who objected.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objections {
    /// Format; one id a line if absent.
    #[serde(default)]
    pub format: ListFormat,
    /// Relative to the folder of the binding.
    pub path: PathBuf,
    /// CSV and Parquet: the column with the ids.
    pub column: Option<String>,
    /// CSV only: one ASCII character between fields, a comma if absent.
    pub delimiter: Option<char>,
}

impl Objections {
    /// The delimiter, which [`Binding::parse`] has checked to be ASCII.
    pub(crate) fn delimiter_byte(&self) -> u8 {
        byte_of(self.delimiter)
    }
}

/// The delimiter of a CSV file.
pub(crate) fn byte_of(delimiter: Option<char>) -> u8 {
    delimiter.and_then(|c| u8::try_from(c).ok()).unwrap_or(b',')
}

fn is_delimiter(c: char) -> bool {
    c.is_ascii() && !matches!(c, '"' | '\n' | '\r')
}

/// The SQL of one table of the data contract.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableBinding {
    /// Name of the contract's table.
    pub name: String,
    /// SQL over the sources; its columns are those of the contract's table with the unit and the partition.
    pub sql: String,
    /// Whether the rows come sorted by unit, ascending: integers by value, texts by bytes. It makes queries faster. A wrong claim
    /// costs the time of a second reading and changes no answer.
    #[serde(default)]
    pub sorted_by_unit: bool,
}

/// A holder's binding.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Name of the data contract.
    pub contract: String,
    /// Source files.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// Tables.
    #[serde(default, rename = "table")]
    pub tables: Vec<TableBinding>,
    /// List of units that are left out.
    pub objections: Option<Objections>,
}

impl Binding {
    /// Reads a binding from TOML and checks all that can be checked without data.
    pub fn parse(text: &str) -> Result<Self, BindingError> {
        let shape = |place: String, message: String| BindingError::Shape { place, message };
        let deserializer = toml::Deserializer::parse(text).map_err(|e| shape("the text".to_owned(), e.to_string()))?;
        let binding: Self =
            serde_path_to_error::deserialize(deserializer).map_err(|e| shape(e.path().to_string(), e.inner().to_string()))?;
        let faults = binding.faults();
        if faults.is_empty() { Ok(binding) } else { Err(BindingError::Faults(faults)) }
    }

    /// Reads a binding from a file. Paths in it are relative to the file's folder, which is returned with it.
    pub fn load(path: &Path) -> Result<(Self, PathBuf), BindingError> {
        let read = |message: String| BindingError::Read { path: path.to_owned(), message };
        let bytes = std::fs::metadata(path).map_err(|e| read(e.to_string()))?.len();
        if bytes > MAX_BINDING_BYTES {
            return Err(read(format!("it has {bytes} bytes, the limit is {MAX_BINDING_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| read(e.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok((Self::parse(&text)?, folder))
    }

    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&TableBinding> {
        self.tables.iter().find(|table| table.name == name)
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut require = |holds: bool, fault: String| {
            if !holds {
                faults.push(fault);
            }
        };
        require(!self.tables.is_empty(), "table: at least one is needed".to_owned());
        require((1..=MAX_SOURCES).contains(&self.sources.len()), format!("source: 1 to {MAX_SOURCES} are needed"));
        for (number, source) in self.sources.iter().enumerate() {
            let place = format!("source \"{}\"", source.name);
            require(is_name(&source.name), format!("{place}: a name has lower-case letters, digits and underscores, and no digit first"));
            require(self.sources[..number].iter().all(|other| other.name != source.name), format!("{place}: declared twice"));
            require(!source.path.as_os_str().is_empty(), format!("{place}: the path is empty"));
            let csv = source.format == SourceFormat::Csv;
            require(
                csv || (source.delimiter.is_none() && source.header.is_none()),
                format!("{place}: delimiter and header are for csv; remove them"),
            );
            require(source.header != Some(false), format!("{place}: a csv file needs a header row that names its columns; add one"));
            require(
                source.delimiter.is_none_or(is_delimiter),
                format!("{place}: the delimiter is one ASCII character, and no quote or line end"),
            );
        }
        if let Some(list) = &self.objections {
            require(!list.path.as_os_str().is_empty(), "objections: the path is empty".to_owned());
            require(
                (list.format == ListFormat::Lines) == list.column.is_none(),
                "objections: csv and parquet need the column with the ids; lines have none".to_owned(),
            );
            require(
                list.delimiter.is_none_or(|c| list.format == ListFormat::Csv && is_delimiter(c)),
                "objections: the delimiter is for csv, one ASCII character, and no quote or line end".to_owned(),
            );
        }
        let names: Vec<String> = self.sources.iter().map(|source| source.name.clone()).collect();
        for (number, table) in self.tables.iter().enumerate() {
            let twice = self.tables[..number].iter().any(|other| other.name == table.name);
            require(!twice, format!("table \"{}\": declared twice", table.name));
            if let Err(fault) = commun_sql::check_binding(&table.sql, &names) {
                require(false, format!("table \"{}\": {fault}", table.name));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const GOOD: &str = r#"
contract = "mobility"
[[source]]
name = "lines"
format = "csv"
path = "lines.csv"
delimiter = ";"
header = true
[[table]]
name = "commute"
sql = "SELECT id AS subscriber_id, month AS ref_month FROM lines"
"#;

    #[test]
    fn a_binding_is_read_from_toml() {
        let binding = Binding::parse(GOOD).unwrap();
        assert_eq!(binding.sources[0].delimiter, Some(';'));
        assert!(binding.table("commute").is_some() && binding.table("lines").is_none());
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_place() {
        let error = Binding::parse(&GOOD.replace("delimiter", "separator")).unwrap_err().to_string();
        assert!(error.contains("source") && error.contains("separator"), "{error}");
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let text = GOOD.replace("\"lines\"", "\"Lines-1\"").replace("header = true", "header = false");
        let BindingError::Faults(faults) = Binding::parse(&text).unwrap_err() else { unreachable!("faults") };
        assert!(faults.iter().any(|f| f.contains("Lines-1")) && faults.iter().any(|f| f.contains("header row")), "{faults:?}");
    }

    #[test]
    fn a_list_of_objections_is_read_and_its_faults_are_reported() {
        let with = |list: &str| Binding::parse(&format!("{GOOD}[objections]\n{list}"));
        let lines = with("path = \"list.txt\"").unwrap().objections.unwrap();
        assert_eq!((lines.format, lines.path.to_str(), lines.delimiter_byte()), (ListFormat::Lines, Some("list.txt"), b','));
        let csv = with("format = \"csv\"\npath = \"list.csv\"\ncolumn = \"id\"\ndelimiter = \";\"").unwrap().objections.unwrap();
        assert_eq!((csv.column.as_deref(), csv.delimiter_byte()), (Some("id"), b';'));
        for (bad, part) in [
            ("path = \"\"", "path is empty"),
            ("path = \"a\"\ncolumn = \"id\"", "lines have none"),
            ("format = \"parquet\"\npath = \"a\"", "need the column"),
            ("path = \"a\"\ndelimiter = \";\"", "delimiter is for csv"),
            ("path = \"a\"\nhash = \"b\"", "hash"),
            ("format = \"lines\"", "path"),
        ] {
            let error = with(bad).unwrap_err().to_string();
            assert!(error.contains("objections") && error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn sql_that_mixes_persons_is_refused() {
        let error = Binding::parse(&GOOD.replace("FROM lines", "FROM lines LIMIT 1")).unwrap_err().to_string();
        assert!(error.contains("commute"), "{error}");
    }
}
