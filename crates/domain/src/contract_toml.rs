//! Reads a data contract from TOML, and reports every fault at once.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::calendar::{Calendar, Period};
use crate::contract::{Attribute, Code, CodeList, Column, ColumnType, DataContract, Dimension, MAX_CODES, Table, UnitKind};
use crate::ids::is_name;
use crate::plan::open::MAX_NAME_BYTES;
use crate::plan::time;
use crate::titles::Titles;
use crate::units::{Delta, Rho};

/// Most attributes of a dimension table.
const MAX_ATTRIBUTES: usize = 64;

/// Why a text is not a data contract: all faults, one a line.
#[derive(Debug, thiserror::Error)]
#[error("the data contract has {} fault(s):\n  - {}", .0.len(), .0.join("\n  - "))]
pub struct ContractError(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContract {
    name: String,
    version: u32,
    titles: Titles,
    unit: RawUnit,
    partition: RawPartition,
    budget: RawBudget,
    max_groups_per_person: u32,
    max_holders_per_person: u32,
    #[serde(default)]
    table: Vec<RawTable>,
    #[serde(default)]
    code_list: Vec<RawCodeList>,
    #[serde(default)]
    dimension: Vec<RawDimension>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUnit {
    kind: RawUnitKind,
    column: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawUnitKind {
    Person,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPartition {
    column: String,
    calendar: Calendar,
    first: String,
    last: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBudget {
    domain: String,
    rho_cap: String,
    delta_conv: String,
    #[serde(default)]
    delta_keys: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    name: String,
    titles: Titles,
    max_rows_per_person: u32,
    max_rows: u64,
    #[serde(default)]
    column: Vec<RawColumn>,
}

#[derive(Deserialize)]
struct RawColumn {
    name: String,
    titles: Titles,
    /// Gets all other keys, and denies the unknown ones (serde does not combine `flatten` with a denial here).
    #[serde(flatten)]
    column_type: RawColumnType,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum RawColumnType {
    Code {
        list: String,
        version: String,
    },
    Number {
        lo: i64,
        hi: i64,
        #[serde(default)]
        scale: u8,
    },
    Boolean {},
    Time {
        first: String,
        last: String,
    },
    OpenText {
        max_bytes: u16,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDimension {
    name: String,
    titles: Titles,
    key: String,
    list: String,
    version: String,
    #[serde(default)]
    attribute: Vec<RawAttribute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAttribute {
    name: String,
    titles: Titles,
    list: String,
    version: String,
    /// Code of the key to code of the attribute.
    values: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCodeList {
    name: String,
    version: String,
    valid_from: String,
    valid_to: String,
    codes: Vec<RawCode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCode {
    code: String,
    titles: Titles,
}

/// Reads and checks a data contract.
///
/// # Errors
/// All faults at once, each with the place and what is expected there.
pub fn parse_contract(text: &str) -> Result<DataContract, ContractError> {
    let raw: RawContract =
        serde_path_to_error::deserialize(toml::Deserializer::parse(text).map_err(|e| ContractError(vec![e.to_string()]))?)
            .map_err(|e| ContractError(vec![format!("{}: {}", e.path(), e.inner())]))?;
    let mut faults = Vec::new();
    let contract = convert(raw, &mut faults);
    check(&contract, &mut faults);
    if faults.is_empty() { Ok(contract) } else { Err(ContractError(faults)) }
}

/// Checks the rules that hold between the parts of a contract, however it was made. Returns the faults.
pub fn check_contract(contract: &DataContract) -> Vec<String> {
    let mut faults = Vec::new();
    check(contract, &mut faults);
    faults
}

fn convert(raw: RawContract, faults: &mut Vec<String>) -> DataContract {
    let calendar = raw.partition.calendar;
    let mut period = |place: &str, text: &str| {
        calendar.parse(text).unwrap_or_else(|| {
            faults.push(format!("{place}: \"{text}\" is no period; write for example {}", calendar.example()));
            Period(0)
        })
    };
    let first_period = period("partition.first", &raw.partition.first);
    let last_period = period("partition.last", &raw.partition.last);
    let code_lists: Vec<CodeList> = raw
        .code_list
        .into_iter()
        .map(|list| CodeList {
            valid_from: period(&format!("code_list {} valid_from", list.name), &list.valid_from),
            valid_to: period(&format!("code_list {} valid_to", list.name), &list.valid_to),
            name: list.name,
            version: list.version,
            codes: list.codes.into_iter().map(|code| Code { code: code.code, titles: code.titles }).collect(),
        })
        .collect();
    let rho_cap = Rho::parse(&raw.budget.rho_cap).unwrap_or_else(|e| {
        faults.push(format!("budget.rho_cap: {e}"));
        Rho::ZERO
    });
    let mut delta = |place: &str, text: &str| {
        Delta::parse(text).unwrap_or_else(|e| {
            faults.push(format!("budget.{place}: {e}"));
            Delta::ZERO
        })
    };
    let delta_conv = delta("delta_conv", &raw.budget.delta_conv);
    let delta_keys = raw.budget.delta_keys.map_or(Delta::ZERO, |text| delta("delta_keys", &text));
    let RawUnitKind::Person = raw.unit.kind;
    let tables = raw.table.into_iter().map(|table| convert_table(table, faults)).collect();
    let dimensions = raw.dimension.into_iter().map(|dimension| convert_dimension(dimension, &code_lists, faults)).collect();
    DataContract {
        name: raw.name,
        version: raw.version,
        titles: raw.titles,
        budget_domain: raw.budget.domain,
        unit: UnitKind::Person,
        unit_column: raw.unit.column,
        partition_column: raw.partition.column,
        calendar,
        first_period,
        last_period,
        rho_cap,
        delta_conv,
        delta_keys,
        max_groups_per_person: raw.max_groups_per_person,
        max_holders_per_person: raw.max_holders_per_person,
        tables,
        dimensions,
        code_lists,
    }
}

/// Puts the attributes' values in the order of the key's codes.
fn convert_dimension(raw: RawDimension, code_lists: &[CodeList], faults: &mut Vec<String>) -> Dimension {
    let list = code_lists.iter().find(|list| list.name == raw.list && list.version == raw.version);
    let codes: Vec<&str> = list.iter().flat_map(|list| &list.codes).map(|code| code.code.as_str()).collect();
    let mut attributes = Vec::new();
    for RawAttribute { name, titles, list, version, mut values } in raw.attribute {
        let mut missing = Vec::new();
        let ordered = codes.iter().map(|code| {
            values.remove(*code).unwrap_or_else(|| {
                missing.push(*code);
                String::new()
            })
        });
        let ordered: Vec<String> = ordered.collect();
        let place = format!("dimension {}, attribute {name}", raw.name);
        if let Some(first) = missing.first() {
            faults.push(format!("{place}: {} code(s) of the key have no value, the first is {first}", missing.len()));
        }
        if let Some(first) = values.keys().next() {
            faults.push(format!("{place}: {} value(s) for no code of the key, the first is {first}", values.len()));
        }
        attributes.push(Attribute { name, titles, list, version, values: ordered });
    }
    Dimension { name: raw.name, titles: raw.titles, key: raw.key, list: raw.list, version: raw.version, attributes }
}

fn convert_table(raw: RawTable, faults: &mut Vec<String>) -> Table {
    let mut seconds = |place: String, text: &str| {
        time::parse(text).unwrap_or_else(|| {
            faults.push(format!("{place}: \"{text}\" is no time; write for example 2011-01-31 or 2011-01-31 23:59:59"));
            0
        })
    };
    Table {
        name: raw.name,
        titles: raw.titles,
        max_rows_per_person: raw.max_rows_per_person,
        max_rows: raw.max_rows,
        columns: raw
            .column
            .into_iter()
            .map(|column| Column {
                column_type: match column.column_type {
                    RawColumnType::Code { list, version } => ColumnType::Code { list, version },
                    RawColumnType::Number { lo, hi, scale } => ColumnType::Number { lo, hi, scale },
                    RawColumnType::Boolean {} => ColumnType::Boolean,
                    RawColumnType::OpenText { max_bytes } => ColumnType::OpenText { max_bytes },
                    RawColumnType::Time { first, last } => ColumnType::Time {
                        lo: seconds(format!("column {} first", column.name), &first),
                        hi: seconds(format!("column {} last", column.name), &last),
                    },
                },
                name: column.name,
                titles: column.titles,
            })
            .collect(),
    }
}

fn check(contract: &DataContract, faults: &mut Vec<String>) {
    let mut name = |place: &str, text: &str| {
        if !is_name(text) {
            faults.push(format!("{place}: \"{text}\" must be lower-case letters, digits and underscores, not starting with a digit"));
        }
    };
    name("name", &contract.name);
    name("budget.domain", &contract.budget_domain);
    name("unit.column", &contract.unit_column);
    name("partition.column", &contract.partition_column);
    for table in &contract.tables {
        name("table", &table.name);
        for column in &table.columns {
            name(&format!("column of {}", table.name), &column.name);
        }
    }
    for list in &contract.code_lists {
        name("code_list", &list.name);
    }
    for dimension in &contract.dimensions {
        name("dimension", &dimension.name);
        name("dimension key", &dimension.key);
        for attribute in &dimension.attributes {
            name(&format!("attribute of {}", dimension.name), &attribute.name);
        }
    }
    let mut require = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    require(contract.version >= 1, "version: must be at least 1".to_owned());
    require(contract.first_period <= contract.last_period, "partition: first is after last".to_owned());
    require(contract.rho_cap > Rho::ZERO, "budget.rho_cap: must be above 0".to_owned());
    require(
        contract.delta_conv > Delta::ZERO && contract.delta_conv <= Delta::from_units(1_000_000_000_000_000),
        "budget.delta_conv: must be above 0 and at most 1e-3".to_owned(),
    );
    require(contract.max_groups_per_person >= 1, "max_groups_per_person: must be at least 1".to_owned());
    require(contract.max_holders_per_person >= 1, "max_holders_per_person: must be at least 1".to_owned());
    require(contract.unit_column != contract.partition_column, "unit and partition must be two columns".to_owned());
    require(!contract.tables.is_empty(), "table: at least one is needed".to_owned());
    for (number, table) in contract.tables.iter().enumerate() {
        let place = format!("table {}", table.name);
        require(contract.tables[..number].iter().all(|other| other.name != table.name), format!("{place}: declared twice"));
        require((1..=1_000_000).contains(&table.max_rows_per_person), format!("{place}: max_rows_per_person must be 1 to 1000000"));
        require(table.max_rows >= 1, format!("{place}: max_rows must be at least 1"));
        for (number, column) in table.columns.iter().enumerate() {
            let place = format!("{place}, column {}", column.name);
            let taken = column.name == contract.unit_column
                || column.name == contract.partition_column
                || table.columns[..number].iter().any(|other| other.name == column.name);
            require(!taken, format!("{place}: this name is already taken"));
            match &column.column_type {
                ColumnType::Code { list, version } => require(
                    contract.code_list(list, version).is_some(),
                    format!("{place}: there is no code list {list} of version {version}"),
                ),
                ColumnType::Number { lo, hi, scale } => {
                    let limit = 1i64 << 40;
                    require(lo <= hi, format!("{place}: lo is above hi"));
                    require(-limit <= *lo && *hi <= limit, format!("{place}: lo and hi must lie within 2^40 units"));
                    require(*scale <= 9, format!("{place}: scale is at most 9"));
                }
                ColumnType::Boolean => {}
                ColumnType::Time { lo, hi } => {
                    require(lo <= hi, format!("{place}: first is after last"));
                    require(time::TIME_RANGE.contains(lo) && time::TIME_RANGE.contains(hi), format!("{place}: years are 1 to 9999"));
                }
                ColumnType::OpenText { max_bytes } => {
                    require((1..=MAX_NAME_BYTES).contains(max_bytes), format!("{place}: max_bytes must be 1 to {MAX_NAME_BYTES}"));
                    require(
                        contract.delta_keys >= contract.delta_conv,
                        format!("{place}: open text needs budget.delta_keys of at least delta_conv, which each question spends"),
                    );
                }
            }
        }
    }
    check_dimensions(contract, &mut require);
    for (number, list) in contract.code_lists.iter().enumerate() {
        let place = format!("code list {} {}", list.name, list.version);
        let twice = contract.code_lists[..number].iter().any(|other| other.name == list.name && other.version == list.version);
        require(!twice, format!("{place}: declared twice"));
        require(list.valid_from <= list.valid_to, format!("{place}: valid_from is after valid_to"));
        require((1..=MAX_CODES).contains(&list.codes.len()), format!("{place}: 1 to {MAX_CODES} codes are needed"));
        let distinct: std::collections::HashSet<&str> = list.codes.iter().map(|code| code.code.as_str()).collect();
        require(distinct.len() == list.codes.len(), format!("{place}: a code stands twice"));
        require(list.codes.iter().all(|code| !code.code.is_empty() && code.code.len() <= 64), format!("{place}: a code has 1 to 64 bytes"));
    }
}

/// Dimension tables: one row for each code of the key, codes of other lists in them.
fn check_dimensions(contract: &DataContract, require: &mut impl FnMut(bool, String)) {
    for (number, dimension) in contract.dimensions.iter().enumerate() {
        let place = format!("dimension {}", dimension.name);
        let taken =
            contract.table(&dimension.name).is_some() || contract.dimensions[..number].iter().any(|other| other.name == dimension.name);
        require(!taken, format!("{place}: this name is already taken"));
        require(dimension.attributes.len() <= MAX_ATTRIBUTES, format!("{place}: at most {MAX_ATTRIBUTES} attributes"));
        let Some(keys) = contract.code_list(&dimension.list, &dimension.version) else {
            require(false, format!("{place}: there is no code list {} of version {}", dimension.list, dimension.version));
            continue;
        };
        for (number, attribute) in dimension.attributes.iter().enumerate() {
            let place = format!("{place}, attribute {}", attribute.name);
            let taken = attribute.name == dimension.key || dimension.attributes[..number].iter().any(|other| other.name == attribute.name);
            require(!taken, format!("{place}: this name is already taken"));
            require(attribute.values.len() == keys.codes.len(), format!("{place}: one value for each code of the key is needed"));
            let Some(list) = contract.code_list(&attribute.list, &attribute.version) else {
                require(false, format!("{place}: there is no code list {} of version {}", attribute.list, attribute.version));
                continue;
            };
            let codes: std::collections::HashSet<&str> = list.codes.iter().map(|code| code.code.as_str()).collect();
            let stray = attribute.values.iter().find(|value| !value.is_empty() && !codes.contains(value.as_str()));
            require(stray.is_none(), format!("{place}: {} is no code of {}", stray.map_or("", String::as_str), attribute.list));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const GOOD: &str = include_str!("../../trust/tests/common/contract.toml");

    #[test]
    fn a_good_contract_is_read_and_an_unknown_key_in_any_place_is_refused() {
        assert!(parse_contract(GOOD).is_ok());
        for line in ["type = \"code\"", "type = \"number\"", "kind = \"person\"", "calendar = \"month\""] {
            assert!(GOOD.contains(line), "{line}");
            let fault = parse_contract(&GOOD.replacen(line, &format!("{line}\nnoise = 0"), 1)).unwrap_err().to_string();
            assert!(fault.contains("noise"), "{fault}");
        }
    }

    #[test]
    fn open_text_has_a_length_and_a_delta_to_spend() {
        let faults = |column: &str, delta_keys: &str| {
            let text = GOOD.replacen("delta_conv = \"1e-9\"", &format!("delta_conv = \"1e-9\"\n{delta_keys}"), 1);
            let titles = "titles = { fr = \"\", nl = \"\", de = \"\", en = \"\" }";
            let column = format!("[[table.column]]\nname = \"employer\"\n{titles}\n{column}\n");
            let text = text.replacen("[[table.column]]", &format!("{column}[[table.column]]"), 1);
            parse_contract(&text).map_or_else(|error| error.to_string(), |_| String::new())
        };
        let (open, delta) = ("type = \"open_text\"\nmax_bytes = 64", "delta_keys = \"1e-8\"");
        assert_eq!(faults(open, delta), "");
        for (column, keys, fault) in [
            ("type = \"open_text\"\nmax_bytes = 0", delta, "max_bytes must be 1 to 128"),
            ("type = \"open_text\"\nmax_bytes = 129", delta, "max_bytes must be 1 to 128"),
            ("type = \"open_text\"", delta, "max_bytes"),
            (open, "", "delta_keys"),
            (open, "delta_keys = \"1e-10\"", "delta_keys"),
        ] {
            assert!(faults(column, keys).contains(fault), "{column} {keys}: {}", faults(column, keys));
        }
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let bad = GOOD.replacen("rho_cap = \"0.1\"", "rho_cap = \"much\"", 1).replacen("first = \"2011-01\"", "first = \"2011\"", 1);
        let ContractError(faults) = parse_contract(&bad).unwrap_err();
        let named = |part: &str| faults.iter().any(|fault| fault.contains(part));
        assert!(named("rho_cap") && named("partition.first"), "{faults:?}");
    }
}
