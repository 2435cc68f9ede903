//! A small data contract for tests: codes of two versions, numbers, a boolean, a time, a dimension table, months of 2011 to 2013.
#![allow(clippy::unwrap_used, reason = "a fixture that does not parse is a broken test")]

use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::units::Epsilon;

/// The contract of all tests and of the reference page.
pub(crate) const CONTRACT: &str = include_str!("../../../../docs/reference/mobility.toml");

pub(crate) fn contract() -> DataContract {
    parse_contract(CONTRACT).unwrap()
}

pub(crate) fn settings(max_groups_per_person: u32) -> QuerySettings {
    QuerySettings { price: PriceRequest::Epsilon(Epsilon::from_units(1_000_000)), max_groups_per_person, intervals: true, clipped: false }
}
