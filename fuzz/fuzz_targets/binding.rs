//! SQL of a holder's binding: what is accepted is written anew, and what was written is accepted and stays as it is.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    if let Ok(written) = commun_sql::rewrite_binding(sql) {
        assert_eq!(commun_sql::rewrite_binding(&written).as_ref(), Ok(&written));
    }
    let _ = commun_sql::check_binding(sql, &["trips".to_owned(), "people".to_owned()]);
});
