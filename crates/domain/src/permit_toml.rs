//! Reads a permit's draft from TOML.

use serde::Deserialize;

use crate::contract::DataContract;
use crate::encoding::Document;
use crate::ids::{Hash32, PublicKey};
use crate::permit::{Permit, PermitTable, QueryClass};
use crate::units::{Delta, Rho};

/// Why a text is not a permit's draft: all faults, one a line.
#[derive(Debug, thiserror::Error)]
#[error("the permit has {} fault(s):\n  - {}", .0.len(), .0.join("\n  - "))]
pub struct PermitError(pub Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPermit {
    reference: String,
    agency: String,
    query_keys: Vec<String>,
    purpose: String,
    legal_basis: String,
    decision_ref: String,
    decision_sha256: String,
    controller: String,
    prohibited_uses: Vec<String>,
    tables: Vec<RawTable>,
    query_classes: Vec<QueryClass>,
    budget: RawBudget,
    #[serde(default)]
    unmasked: bool,
    #[serde(default)]
    publication_delay_days: u32,
    /// RFC 3339.
    valid_from: toml::value::Datetime,
    /// RFC 3339.
    valid_until: toml::value::Datetime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    table: String,
    columns: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBudget {
    rho_cap: String,
    #[serde(default)]
    delta_cap: Option<String>,
}

/// Reads and checks a permit's draft for a data contract.
///
/// # Errors
/// All faults at once.
pub fn parse_permit(text: &str, contract: &DataContract) -> Result<Permit, PermitError> {
    let raw: RawPermit = serde_path_to_error::deserialize(toml::Deserializer::parse(text).map_err(|e| PermitError(vec![e.to_string()]))?)
        .map_err(|e| PermitError(vec![format!("{}: {}", e.path(), e.inner())]))?;
    let mut faults = Vec::new();
    let rho_cap = Rho::parse(&raw.budget.rho_cap).unwrap_or_else(|e| {
        faults.push(format!("budget.rho_cap: {e}"));
        Rho::ZERO
    });
    let delta_cap = raw.budget.delta_cap.map_or(Delta::ZERO, |text| {
        Delta::parse(&text).unwrap_or_else(|e| {
            faults.push(format!("budget.delta_cap: {e}"));
            Delta::ZERO
        })
    });
    let query_keys = raw
        .query_keys
        .iter()
        .filter_map(|text| {
            let key = PublicKey::from_hex(text);
            if key.is_none() {
                faults.push(format!("query_keys: \"{text}\" is not a public key of 64 hexadecimal digits"));
            }
            key
        })
        .collect();
    let decision_sha256 = Hash32::from_hex(&raw.decision_sha256).unwrap_or_else(|| {
        faults.push("decision_sha256: must be 64 hexadecimal digits, the SHA-256 of the decision's text".to_owned());
        Hash32::default()
    });
    let mut instant = |place: &str, value: &toml::value::Datetime| {
        chrono::DateTime::parse_from_rfc3339(&value.to_string()).ok().and_then(|time| u64::try_from(time.timestamp()).ok()).unwrap_or_else(
            || {
                faults.push(format!("{place}: write a time with its zone, for example 2026-01-01T00:00:00Z"));
                0
            },
        )
    };
    let valid_from_unix = instant("valid_from", &raw.valid_from);
    let valid_until_unix = instant("valid_until", &raw.valid_until);
    let permit = Permit {
        reference: raw.reference,
        agency: raw.agency,
        query_keys,
        purpose: raw.purpose,
        legal_basis: raw.legal_basis,
        decision_ref: raw.decision_ref,
        decision_sha256,
        controller: raw.controller,
        prohibited_uses: raw.prohibited_uses,
        contract_name: contract.name.clone(),
        contract: contract.hash(),
        tables: raw.tables.into_iter().map(|entry| PermitTable { table: entry.table, columns: entry.columns }).collect(),
        query_classes: raw.query_classes,
        rho_cap,
        delta_cap,
        unmasked: raw.unmasked,
        publication_delay_days: raw.publication_delay_days,
        valid_from_unix,
        valid_until_unix,
    };
    faults.extend(check_permit(&permit, contract));
    if faults.is_empty() { Ok(permit) } else { Err(PermitError(faults)) }
}

/// Checks the rules that hold between a permit's parts and its data contract. Returns the faults.
pub fn check_permit(permit: &Permit, contract: &DataContract) -> Vec<String> {
    let mut faults = Vec::new();
    let mut require = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    require(permit.contract == contract.hash(), "contract: the hash is of another data contract".to_owned());
    require(!permit.query_keys.is_empty(), "query_keys: at least one is needed".to_owned());
    require(permit.valid_from_unix < permit.valid_until_unix, "valid_until: must be after valid_from".to_owned());
    require(permit.rho_cap > Rho::ZERO, "budget.rho_cap: must be above 0".to_owned());
    require(permit.rho_cap <= contract.rho_cap, "budget.rho_cap: is above the data contract's cap".to_owned());
    require(permit.delta_cap <= contract.delta_keys, "budget.delta_cap: is above the data contract's delta_keys".to_owned());
    require(
        !permit.query_classes.contains(&QueryClass::OpenKeys) || permit.delta_cap >= contract.delta_conv,
        format!("budget.delta_cap: open_keys needs at least {}, which each question spends", contract.delta_conv),
    );
    require(!permit.query_classes.is_empty(), "query_classes: at least one is needed".to_owned());
    require(!permit.tables.is_empty(), "tables: at least one is needed".to_owned());
    for (field, text) in [
        ("reference", &permit.reference),
        ("agency", &permit.agency),
        ("purpose", &permit.purpose),
        ("legal_basis", &permit.legal_basis),
        ("decision_ref", &permit.decision_ref),
        ("controller", &permit.controller),
    ] {
        require(!text.trim().is_empty(), format!("{field}: must be stated, it is public"));
    }
    for entry in &permit.tables {
        match contract.table(&entry.table) {
            None => require(false, format!("tables: the data contract has no table {}", entry.table)),
            Some(table) => {
                for column in &entry.columns {
                    require(table.column(column).is_some(), format!("tables: {} has no column {column}", entry.table));
                }
            }
        }
    }
    faults
}
