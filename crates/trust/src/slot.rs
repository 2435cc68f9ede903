//! Slots: when an answer leaves a holder, whatever its data are like.
//!
//! The wait follows from the data contract's public `max_rows` of the tables that are read, so that it says nothing about a holder, and an
//! agent wants at least that. A coordinator adds what a manifest takes on its way; should that take longer once, or clocks drift apart, an agent lets it pass
//! as long as little of the wait is lost. Who is not ready at the slot sends nothing.

use commun_domain::contract::DataContract;
use commun_domain::plan::PrivatePlan;

/// Wait from a manifest to its slot whatever is read, in milliseconds.
pub const LEAST_WAIT_MS: u64 = 200;

/// Rows that are reckoned for each millisecond. An agent reads several times as many where it has a processor for itself.
pub const ROWS_PER_MS: u64 = 1_000;

/// Longest wait that follows from rows, in milliseconds: half of the hour that a manifest may take.
const LONGEST_WAIT_MS: u64 = 1_800_000;

/// The part of a wait that may be lost on the way or between two clocks: an eighth.
const WAY_PART: u64 = 8;

/// What an agent wants to be left of a wait when the manifest has come, in milliseconds.
pub fn left_ms(wait_ms: u64) -> u64 {
    wait_ms - wait_ms / WAY_PART
}

/// From a manifest to its slot, in milliseconds, by the public rule.
pub fn wait_ms(plan: &PrivatePlan, contract: &DataContract) -> u64 {
    let tables = plan.relation.tables();
    let rows = contract.tables.iter().filter(|table| tables.contains(&table.name.as_str())).map(|table| table.max_rows);
    // For clipped people all of them are read once more.
    let rows = rows.fold(0u64, u64::saturating_add).saturating_mul(1 + u64::from(plan.clipped.is_some()));
    LEAST_WAIT_MS.saturating_add(rows / ROWS_PER_MS).min(LONGEST_WAIT_MS)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use commun_domain::Rho;
    use commun_domain::contract_toml::parse_contract;
    use commun_domain::query::{PriceRequest, QuerySettings};

    use super::*;

    /// For clipped people the rows are read twice.
    #[test]
    fn the_wait_follows_from_public_rows_and_from_how_often_they_are_read() {
        let contract = parse_contract(include_str!("../../../docs/reference/mobility.toml")).unwrap();
        let settings =
            QuerySettings { price: PriceRequest::Rho(Rho::from_units(1)), max_groups_per_person: 1, intervals: true, clipped: false };
        let sql = "SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01'";
        let wait = |clipped| {
            let settings = QuerySettings { clipped, ..settings };
            wait_ms(&commun_sql::compile(sql, &contract, &settings).unwrap(), &contract) - LEAST_WAIT_MS
        };
        let rows = contract.tables[0].max_rows;
        assert_eq!((wait(false), wait(true)), (rows / ROWS_PER_MS, 2 * rows / ROWS_PER_MS));
    }

    #[test]
    fn an_eighth_of_a_wait_may_be_lost_and_no_more() {
        assert_eq!([0, 7, 8, 200, 6_200, u64::MAX].map(left_ms), [0, 7, 7, 175, 5_425, u64::MAX - u64::MAX / 8]);
    }
}
