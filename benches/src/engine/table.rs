//! The table of the comparison: payments of persons with a skewed number of rows, in 581 groups. Made of a counter, so the same everywhere.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

pub(crate) const GROUPS: u64 = 581;

/// L0, and Linf of COUNT and SUM.
pub(crate) const MAX_GROUPS: u32 = 4;
pub(crate) const MAX_ROWS: u32 = 100;

/// Bounds of the amount; a few amounts are above them.
pub(crate) const MAX_AMOUNT: u64 = 10_000;

pub(crate) const MONTH: &str = "2011-01";

const BATCH_ROWS: usize = 65_536;

/// How rows follow each other, and whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    AnyOrder,
    Sorted,
    /// In any order; every other row is the same person's.
    HalfIsOne,
}

/// A table to be made. A tenth as many persons as rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) rows: u64,
    pub(crate) layout: Layout,
    pub(crate) compression: Compression,
    /// Whether texts have dictionaries in the file, as usual.
    pub(crate) dictionaries: bool,
}

impl Table {
    /// Writes the Parquet file, with row groups and pages as the library makes them.
    pub(crate) fn write(self, path: &Path) -> anyhow::Result<()> {
        let fields =
            [("person", DataType::Int64), ("month", DataType::Utf8), ("municipality", DataType::Utf8), ("amount", DataType::Int64)];
        let schema = Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, false)).to_vec()));
        let properties = WriterProperties::builder()
            .set_compression(self.compression)
            .set_column_dictionary_enabled("month".into(), self.dictionaries)
            .set_column_dictionary_enabled("municipality".into(), self.dictionaries)
            .build();
        let file = File::create(path).context("the table of the bench")?;
        let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
        let codes = codes();
        let mut sorted = Vec::new();
        if self.layout == Layout::Sorted {
            sorted = (0..self.rows).map(|row| self.owner(row)).collect();
            sorted.sort_unstable();
        }
        let mut first = 0;
        while first < self.rows {
            let rows = first..self.rows.min(first + BATCH_ROWS as u64);
            let owners: Vec<u64> = match usize::try_from(first).ok().and_then(|first| sorted.get(first..)) {
                Some(rest) if !rest.is_empty() => rest.iter().copied().take(BATCH_ROWS).collect(),
                _ => rows.clone().map(|row| self.owner(row)).collect(),
            };
            let group = |(row, owner): (u64, &u64)| {
                let chance = scatter(row ^ 0xA5A5_0000_0000);
                // Seven in ten at home.
                let group = if chance % 10 < 7 { scatter(*owner) } else { chance >> 8 } % GROUPS;
                codes.get(usize::try_from(group).unwrap_or(0)).map(String::as_str)
            };
            let amount = |(row, owner): (u64, &u64)| signed(scatter(owner ^ row << 20) % (MAX_AMOUNT + MAX_AMOUNT / 20));
            let columns: Vec<ArrayRef> = vec![
                Arc::new(owners.iter().map(|owner| signed(*owner)).collect::<Int64Array>()),
                Arc::new(owners.iter().map(|_| Some(MONTH)).collect::<StringArray>()),
                Arc::new(rows.clone().zip(&owners).map(group).collect::<StringArray>()),
                Arc::new(rows.clone().zip(&owners).map(amount).collect::<Int64Array>()),
            ];
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
            first = rows.end;
        }
        writer.close()?;
        Ok(())
    }

    /// Writes a second table: a row for each person, with a home.
    pub(crate) fn write_residents(self, path: &Path) -> anyhow::Result<()> {
        let fields = [("person", DataType::Int64), ("month", DataType::Utf8), ("home", DataType::Utf8)];
        let schema = Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, false)).to_vec()));
        let properties = WriterProperties::builder().set_compression(self.compression).build();
        let mut writer = ArrowWriter::try_new(File::create(path)?, Arc::clone(&schema), Some(properties))?;
        let (codes, persons): (_, Vec<u64>) = (codes(), (0..self.rows / 10).map(person).collect());
        for some in persons.chunks(BATCH_ROWS) {
            let home = |owner: &u64| codes.get(usize::try_from(scatter(*owner) % GROUPS).unwrap_or(0)).map(String::as_str);
            let columns: Vec<ArrayRef> = vec![
                Arc::new(some.iter().map(|owner| signed(*owner)).collect::<Int64Array>()),
                Arc::new(some.iter().map(|_| Some(MONTH)).collect::<StringArray>()),
                Arc::new(some.iter().map(home).collect::<StringArray>()),
            ];
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?)?;
        }
        writer.close()?;
        Ok(())
    }

    /// The person of a row. The cube of a uniform number: the first of a million persons has a hundredth of the rows, the last ones have three.
    fn owner(self, row: u64) -> u64 {
        if self.layout == Layout::HalfIsOne && row % 2 == 1 {
            return 4_242_424_242;
        }
        let uniform = u128::from(scatter(row) >> 32);
        let place = (((uniform * uniform) >> 32) * uniform * u128::from(self.rows / 10)) >> 64;
        person(u64::try_from(place).unwrap_or(0))
    }
}

/// The id of a person by number.
fn person(place: u64) -> u64 {
    scatter(place ^ 0x5EED) >> 24
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn code(group: u64) -> String {
    format!("{}", 11_001 + group * 7)
}

/// Numbers that look random and are the same everywhere (`SplitMix64`).
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// All groups.
pub(crate) fn codes() -> Vec<String> {
    (0..GROUPS).map(code).collect()
}

/// The binding of the table.
pub(crate) fn binding(sorted: bool) -> String {
    format!(
        "contract = \"spending\"\n[[source]]\nname = \"payments\"\nformat = \"parquet\"\npath = \"payments.parquet\"\n\
         [[table]]\nname = \"payment\"\nsorted_by_unit = {sorted}\nsql = \"SELECT person, month, municipality, amount FROM payments\"\n"
    )
}

/// The binding of both tables.
pub(crate) fn binding_with_residents() -> String {
    format!(
        "{}[[source]]\nname = \"residents\"\nformat = \"parquet\"\npath = \"residents.parquet\"\n\
         [[table]]\nname = \"resident\"\nsql = \"SELECT person, month, home FROM residents\"\n",
        binding(false)
    )
}

/// The data contract of the tables.
pub(crate) fn contract() -> String {
    let titles = "titles = { en = \"t\", fr = \"t\", nl = \"t\", de = \"t\" }";
    let codes: Vec<String> = (0..GROUPS).map(|group| format!("{{ code = \"{}\", {titles} }}", code(group))).collect();
    let codes = codes.join(",\n");
    format!(
        "name = \"spending\"\nversion = 1\nmax_groups_per_person = {MAX_GROUPS}\nmax_holders_per_person = 1\n{titles}\n\
         unit = {{ kind = \"person\", column = \"person\" }}\n\
         partition = {{ column = \"month\", calendar = \"month\", first = \"2011-01\", last = \"2011-12\" }}\n\
         budget = {{ domain = \"spending\", rho_cap = \"1\", delta_conv = \"1e-9\" }}\n\
         [[table]]\nname = \"payment\"\n{titles}\nmax_rows_per_person = {MAX_ROWS}\nmax_rows = 1000000000\n\
         [[table.column]]\nname = \"municipality\"\ntype = \"code\"\nlist = \"municipality\"\nversion = \"1\"\n{titles}\n\
         [[table.column]]\nname = \"amount\"\ntype = \"number\"\nlo = 0\nhi = {MAX_AMOUNT}\n{titles}\n\
         [[table]]\nname = \"resident\"\n{titles}\nmax_rows_per_person = 1\nmax_rows = 1000000000\n\
         [[table.column]]\nname = \"home\"\ntype = \"code\"\nlist = \"municipality\"\nversion = \"1\"\n{titles}\n\
         [[code_list]]\nname = \"municipality\"\nversion = \"1\"\nvalid_from = \"2011-01\"\nvalid_to = \"2011-12\"\ncodes = [\n{codes}]\n"
    )
}
