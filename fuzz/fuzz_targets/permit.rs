//! Permits as TOML and as canonical bytes.

#![no_main]

use std::sync::LazyLock;

use commun_domain::Document;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::permit::Permit;
use commun_domain::permit_toml::{check_permit, parse_permit};
use libfuzzer_sys::fuzz_target;

static CONTRACT: LazyLock<DataContract> =
    LazyLock::new(|| parse_contract(include_str!("../../docs/reference/mobility.toml")).expect("a contract of the repository"));

fuzz_target!(|data: &[u8]| {
    if let Ok(permit) = std::str::from_utf8(data).map_err(drop).and_then(|text| parse_permit(text, &CONTRACT).map_err(drop)) {
        assert!(check_permit(&permit, &CONTRACT).is_empty());
        assert_eq!(Permit::from_bytes(&permit.to_bytes()), Ok(permit));
    }
    if let Ok(permit) = Permit::from_bytes(data) {
        let _ = check_permit(&permit, &CONTRACT);
        assert_eq!(permit.to_bytes(), data);
    }
});
