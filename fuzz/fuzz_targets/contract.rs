//! Data contracts as TOML and as canonical bytes.

#![no_main]

use commun_domain::Document;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::{check_contract, parse_contract};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(contract) = std::str::from_utf8(data).map_err(drop).and_then(|text| parse_contract(text).map_err(drop)) {
        assert!(check_contract(&contract).is_empty());
        assert_eq!(DataContract::from_bytes(&contract.to_bytes()), Ok(contract));
    }
    if let Ok(contract) = DataContract::from_bytes(data) {
        // Whoever signed it: it can be looked at, and has one form.
        let _ = check_contract(&contract);
        assert_eq!(contract.to_bytes(), data);
    }
});
