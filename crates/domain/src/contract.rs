//! Data contracts: a dataset's public schema, privacy unit, partitions, bounds, domains and budget caps.
//!
//! A data contract holds everything from which sensitivity, noise and price follow, so that every agent computes the same ones (P4).

use crate::calendar::{Calendar, Period};
use crate::encoding::Document;
use crate::titles::Titles;
use crate::units::{Delta, Rho};
use crate::{canonical_enum, canonical_struct, canonical_union};

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
    /// A date or a date and time on the wall clock, in seconds since 1970. What lies outside [lo, hi] is NULL.
    Time {
        /// Earliest time.
        lo: i64,
        /// Latest time.
        hi: i64,
    },
    /// Text whose values nobody has declared, such as an employer's name: may be an open group key, and nothing else. What is no name
    /// (`plan::open::is_open_name`) is NULL.
    OpenText {
        /// Longest name, in bytes.
        max_bytes: u16,
    },
}

canonical_union!(ColumnType {
    1 = Code { list, version },
    2 = Number { lo, hi, scale },
    3 = Boolean,
    4 = Time { lo, hi },
    5 = OpenText { max_bytes },
});

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

/// One column of a dimension table: for each code of the table's key, a code of another list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Name in SQL.
    pub name: String,
    /// Name of the list that the values are codes of.
    pub list: String,
    /// Version of the list.
    pub version: String,
    /// One code for each code of the key's list, in its order.
    pub values: Vec<String>,
    /// For people.
    pub titles: Titles,
}
canonical_struct!(Attribute { name, list, version, values, titles });

/// A public table that is part of the contract: what is known of each code of a list, such as a municipality's province.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Name in SQL, after the contract's.
    pub name: String,
    /// Name of the key column in SQL.
    pub key: String,
    /// Name of the list whose codes are its key; it has one row for each.
    pub list: String,
    /// Version of the list.
    pub version: String,
    /// The other columns.
    pub attributes: Vec<Attribute>,
    /// For people.
    pub titles: Titles,
}
canonical_struct!(Dimension { name, key, list, version, attributes, titles });

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
    /// Cap on the delta that open group keys may spend in one partition at one holder; each question with one spends `delta_conv` of it.
    pub delta_keys: Delta,
    /// Greatest L0 that a query may ask for.
    pub max_groups_per_person: u32,
    /// At how many holders one person may be.
    pub max_holders_per_person: u32,
    /// Tables of person rows.
    pub tables: Vec<Table>,
    /// Code lists in all their versions.
    pub code_lists: Vec<CodeList>,
    /// Public tables to join with.
    pub dimensions: Vec<Dimension>,
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
    dimensions,
});

impl Document for DataContract {
    const TAG: &'static str = "commun/contract/v2";
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

impl DataContract {
    /// The dimension table of this name.
    pub fn dimension(&self, name: &str) -> Option<&Dimension> {
        self.dimensions.iter().find(|dimension| dimension.name == name)
    }
}

impl Dimension {
    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
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
