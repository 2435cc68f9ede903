//! Data contracts: a dataset's public schema, privacy unit, partitions, bounds, domains and budget caps.
//!
//! A data contract holds everything from which sensitivity, noise and price follow, so that every agent computes the same ones (P4).

use crate::calendar::{Calendar, Period};
use crate::encoding::{Decode, DecodeError, Document, Encode, Reader};
use crate::titles::Titles;
use crate::units::{Delta, Rho};
use crate::{canonical_enum, canonical_struct};

/// Most codes in one code list.
pub const MAX_CODES: usize = 100_000;

/// One code of a code list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// As it stands in queries and in bound data.
    pub code: String,
    /// For people.
    pub titles: Titles,
}
canonical_struct!(Code { code, titles });

/// One version of a code list and the periods for which it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeList {
    /// Name, shared by all versions.
    pub name: String,
    /// Version, for example `2019`.
    pub version: String,
    /// First period for which this version may be used.
    pub valid_from: Period,
    /// Last period for which this version may be used.
    pub valid_to: Period,
    /// In the order of the declared grid.
    pub codes: Vec<Code>,
}
canonical_struct!(CodeList { name, version, valid_from, valid_to, codes });

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// A code of a list: may be a group key and may be compared with codes of the list.
    Code {
        /// Name of the list.
        list: String,
        /// Version of the list.
        version: String,
    },
    /// A fixed-point number: an integer of 10^-scale units, clamped to [lo, hi] before it is summed.
    Number {
        /// Least value, in units of 10^-scale.
        lo: i64,
        /// Greatest value, in units of 10^-scale.
        hi: i64,
        /// Decimal digits after the point, at most 9.
        scale: u8,
    },
    /// True or false: may be a group key.
    Boolean,
}

impl Encode for ColumnType {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Code { list, version } => {
                out.push(1);
                list.encode(out);
                version.encode(out);
            }
            Self::Number { lo, hi, scale } => {
                out.push(2);
                lo.encode(out);
                hi.encode(out);
                scale.encode(out);
            }
            Self::Boolean => out.push(3),
        }
    }
}

impl Decode for ColumnType {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(reader)? {
            1 => Ok(Self::Code { list: Decode::decode(reader)?, version: Decode::decode(reader)? }),
            2 => Ok(Self::Number { lo: Decode::decode(reader)?, hi: Decode::decode(reader)?, scale: Decode::decode(reader)? }),
            3 => Ok(Self::Boolean),
            _ => Err(DecodeError::Invalid("column type")),
        }
    }
}

/// One column beside the unit and the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in SQL.
    pub name: String,
    /// What it holds.
    pub column_type: ColumnType,
    /// For people.
    pub titles: Titles,
}
canonical_struct!(Column { name, column_type, titles });

/// One table of person rows. Every table has the contract's unit and partition columns beside its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Name in SQL, after the contract's: `mobility.commute`.
    pub name: String,
    /// Columns beside unit and partition.
    pub columns: Vec<Column>,
    /// Linf: most rows of one person in one partition that count in one cell.
    pub max_rows_per_person: u32,
    /// Public upper bound of the rows that one holder has for one partition; sizes slots and deadlines.
    pub max_rows: u64,
    /// For people.
    pub titles: Titles,
}
canonical_struct!(Table { name, columns, max_rows_per_person, max_rows, titles });

/// What the privacy unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// One natural person.
    Person,
}
canonical_enum!(UnitKind { Person = 1 });

/// A dataset's public schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataContract {
    /// Name, the schema name in SQL.
    pub name: String,
    /// From 1.
    pub version: u32,
    /// For people.
    pub titles: Titles,
    /// Budget domain: the set of source tables at one holder whose losses add up, for ever.
    pub budget_domain: String,
    /// What one unit is.
    pub unit: UnitKind,
    /// Column that identifies the unit in every table.
    pub unit_column: String,
    /// Column that holds the partition in every table.
    pub partition_column: String,
    /// Calendar of the partitions.
    pub calendar: Calendar,
    /// First partition that may be asked for.
    pub first_period: Period,
    /// Last partition that may be asked for.
    pub last_period: Period,
    /// Cap on the loss of one partition at one holder, over all permits, for ever.
    pub rho_cap: Rho,
    /// Delta at which a requested epsilon becomes rho.
    pub delta_conv: Delta,
    /// Cap on the delta that open group keys may spend in one partition at one holder.
    pub delta_keys: Delta,
    /// Greatest L0 that a query may ask for.
    pub max_groups_per_person: u32,
    /// At how many holders one person may be.
    pub max_holders_per_person: u32,
    /// Tables of person rows.
    pub tables: Vec<Table>,
    /// Code lists in all their versions.
    pub code_lists: Vec<CodeList>,
}
canonical_struct!(DataContract {
    name,
    version,
    titles,
    budget_domain,
    unit,
    unit_column,
    partition_column,
    calendar,
    first_period,
    last_period,
    rho_cap,
    delta_conv,
    delta_keys,
    max_groups_per_person,
    max_holders_per_person,
    tables,
    code_lists,
});

impl Document for DataContract {
    const TAG: &'static str = "commun/contract/v1";
}

impl DataContract {
    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// One version of a code list.
    pub fn code_list(&self, name: &str, version: &str) -> Option<&CodeList> {
        self.code_lists.iter().find(|list| list.name == name && list.version == version)
    }
}

impl Table {
    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl CodeList {
    /// The code of this text.
    pub fn code(&self, code: &str) -> Option<&Code> {
        self.codes.iter().find(|entry| entry.code == code)
    }

    /// Whether this version may be used for a period.
    pub fn covers(&self, period: Period) -> bool {
        (self.valid_from..=self.valid_to).contains(&period)
    }
}
