//! Permits: what an agency may ask, why, until when and for how much, signed by k officers.

use serde::Deserialize;

use crate::encoding::Document;
use crate::ids::{Hash32, PublicKey};
use crate::units::{Delta, Rho};
use crate::{canonical_enum, canonical_struct};

/// A class of statistic that a permit may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryClass {
    /// `COUNT(*)`
    CountRows,
    /// `COUNT(DISTINCT unit)`
    CountUnits,
    /// `SUM(number)`
    Sum,
    /// `AVG(number)`
    Average,
    /// `VAR_SAMP`, `VAR_POP`, `STDDEV_SAMP`, `STDDEV_POP`; they give the average away too.
    Variance,
    /// Quantiles and medians; they give the whole distribution away, coarsely.
    Quantile,
    /// Open group keys: names that stand in the data leave the holders, those with enough people behind them.
    OpenKeys,
}
canonical_enum!(QueryClass { CountRows = 1, CountUnits = 2, Sum = 3, Average = 4, Variance = 5, Quantile = 6, OpenKeys = 7 });

impl QueryClass {
    /// As written in a permit's draft.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CountRows => "count_rows",
            Self::CountUnits => "count_units",
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Variance => "variance",
            Self::Quantile => "quantile",
            Self::OpenKeys => "open_keys",
        }
    }
}

/// A table and the columns of it (beside unit and partition) that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermitTable {
    /// Table of the data contract.
    pub table: String,
    /// Columns that may be grouped by, filtered on or summed.
    pub columns: Vec<String>,
}
canonical_struct!(PermitTable { table, columns });

/// A signed authorisation. Its identity is the hash of these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Reference in the supervisor's register.
    pub reference: String,
    /// Agency, as in its SPIFFE id.
    pub agency: String,
    /// The agency's keys that may sign queries.
    pub query_keys: Vec<PublicKey>,
    /// Public purpose.
    pub purpose: String,
    /// Legal basis.
    pub legal_basis: String,
    /// The decision that it carries out.
    pub decision_ref: String,
    /// SHA-256 of that decision's text.
    pub decision_sha256: Hash32,
    /// Controller in the sense of GDPR Art. 4(7).
    pub controller: String,
    /// Uses that are forbidden.
    pub prohibited_uses: Vec<String>,
    /// Name of the data contract.
    pub contract_name: String,
    /// Hash of the data contract.
    pub contract: Hash32,
    /// Tables and columns.
    pub tables: Vec<PermitTable>,
    /// Classes of statistic.
    pub query_classes: Vec<QueryClass>,
    /// Cap on the loss of one partition at one holder under this permit.
    pub rho_cap: Rho,
    /// Cap on the delta of one partition at one holder under this permit.
    pub delta_cap: Delta,
    /// Whether each holder may release its own answer with full noise, without aggregation.
    pub unmasked: bool,
    /// Days to wait before the register shows a result release.
    pub publication_delay_days: u32,
    /// Seconds since 1970, first valid second.
    pub valid_from_unix: u64,
    /// Seconds since 1970, first second past validity.
    pub valid_until_unix: u64,
}
canonical_struct!(Permit {
    reference,
    agency,
    query_keys,
    purpose,
    legal_basis,
    decision_ref,
    decision_sha256,
    controller,
    prohibited_uses,
    contract_name,
    contract,
    tables,
    query_classes,
    rho_cap,
    delta_cap,
    unmasked,
    publication_delay_days,
    valid_from_unix,
    valid_until_unix,
});

impl Document for Permit {
    const TAG: &'static str = "commun/permit/v1";
}
