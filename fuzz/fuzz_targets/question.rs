//! SQL text of an agency: compiled or refused, never a panic; a plan's canonical bytes read back as the same plan, and the same text gives the same.

#![no_main]

use std::sync::LazyLock;

use commun_domain::Document;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::plan::PrivatePlan;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::units::Rho;
use libfuzzer_sys::fuzz_target;

static CONTRACTS: LazyLock<Vec<DataContract>> = LazyLock::new(|| {
    [
        include_str!("../../docs/reference/mobility.toml"),
        include_str!("../../tests/slt/datasets/payments/contract.toml"),
        include_str!("../../tests/slt/datasets/energy/contract.toml"),
        include_str!("../../tests/slt/datasets/health/contract.toml"),
    ]
    .iter()
    .map(|text| parse_contract(text).expect("a contract of the repository"))
    .collect()
});

fuzz_target!(|data: &[u8]| {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    for contract in CONTRACTS.iter().filter(|contract| sql.contains(&contract.name)) {
        for (max_groups_per_person, clipped) in [(1, false), (3, false), (3, true)] {
            let price = PriceRequest::Rho(Rho::from_units(1 << 34));
            let settings = QuerySettings { price, max_groups_per_person, intervals: true, clipped };
            match commun_sql::compile(sql, contract, &settings) {
                Ok(plan) => {
                    let bytes = plan.to_bytes();
                    assert_eq!(PrivatePlan::from_bytes(&bytes).as_ref(), Ok(&plan));
                    assert_eq!(commun_sql::compile(sql, contract, &settings).map(|again| again.to_bytes()), Ok(bytes));
                }
                Err(refusal) => assert!(!refusal.message.is_empty() && !refusal.hint.is_empty(), "{refusal:?}"),
            }
        }
    }
});
