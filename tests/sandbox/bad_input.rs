//! What is refused, through the real programs: each refusal has its stable code, a hint and an exit code, and costs nothing.

use std::os::unix::fs::PermissionsExt as _;

use commun_domain::log::LogEntry;
use commun_domain::{Document as _, WireCode};
use commun_trust::sign;

use crate::harness::child::run;
use crate::harness::documents::PermitSpec;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes, text};

/// Nothing was asked of anyone, and nothing charged.
#[track_caller]
fn assert_nothing_happened(federation: &mut Federation) {
    federation.assert_runs();
    federation.stop();
    assert!(federation.agent_spent(0).is_empty() && federation.coordinator_spent(0).is_empty());
    assert!(federation.journal(0).is_empty(), "the holder was asked");
}

#[test]
fn p10_a_question_that_cannot_be_answered_is_refused_with_code_and_hint_by_client_and_coordinator() {
    let mut federation = Federation::running(Setup::default());
    let (invalid, unsafe_, forbidden) = (WireCode::InvalidQuery, WireCode::NotPrivate, WireCode::NotPermitted);
    let stay = format!("SELECT arr, COUNT(*) AS stays FROM mobility.stay WHERE ref_month = '{MONTH}' GROUP BY arr");
    let cases: [(&str, &str, WireCode, i32, &str); 8] = [
        ("0.01", "SELEC 1", invalid, 1, "line 1, column 1"),
        ("0.01", "SELECT COUNT(*) AS n FROM mobility.nothing WHERE ref_month = '2011-01'", invalid, 1, "mobility.commute"),
        ("0.01", "SELECT COUNT(*) AS n FROM mobility.commute", unsafe_, 2, "ref_month"),
        ("0.01", "SELECT * FROM mobility.commute WHERE ref_month = '2011-01'", unsafe_, 2, "rows"),
        ("0.01", &commutes("2012-03"), invalid, 1, "valid from 2010-01 to 2011-12"),
        ("0.01", &commutes("2013-01"), invalid, 1, "2012-12"),
        ("0.01", &stay, forbidden, 2, "it allows the tables commute"),
        ("0.45", &commutes(MONTH), WireCode::OverBudget, 2, "the permit's whole budget"),
    ];
    for (rho, sql, code, exit, part) in cases {
        federation.query(rho, sql).refuses(exit, code.as_str(), &[part]);
        // The coordinator finds the same by itself, whatever a client lets pass.
        let refusal = federation.submit(&federation.signed_question(rho, sql)).unwrap_err();
        assert_eq!(refusal.code, code, "{sql}: {refusal}");
        assert!(!refusal.hint.is_empty(), "{sql}: {refusal}");
        assert_eq!(federation.explain_as("agency", &federation.signed_question(rho, sql)).unwrap_err(), refusal, "{sql}");
    }
    federation.commun(&["query", "--rho", "0.01", "--permit", "ffff", &commutes(MONTH)]).says(64, &["no permit starts with ffff"]);
    federation.commun(&["query", "--rho", "much", &commutes(MONTH)]).says(64, &["much"]);
    assert_nothing_happened(&mut federation);
}

#[test]
fn p5_a_permit_that_two_officers_have_not_signed_as_it_is_cannot_be_published() {
    let mut federation = Federation::running(Setup::default());
    let spec = |reference| PermitSpec { reference, ..PermitSpec::default() };
    federation.sign_permit("permit-one", &spec("ONE"), &["apd-1"]);
    federation.publish("permit-one").refuses(2, "NOT_PERMITTED", &["2", "officer"]);

    federation.sign_permit("permit-same", &spec("SAME"), &["apd-1"]);
    let officer = text(&federation.path("pki/officers/apd-1/officer.key"));
    let file = text(&federation.path("permit-same.signed"));
    run("commun", ["permit", "sign", &file, "--key", &officer]).says(1, &["already signed", "another person's key"]);
    let mut same = federation.signed("permit-same");
    same.signatures.push(same.signatures[0].clone());
    std::fs::write(&file, same.to_file_text()).unwrap();
    federation.publish("permit-same").refuses(2, "NOT_PERMITTED", &["2", "officer"]);

    federation.sign_permit("permit-changed", &spec("CHANGED"), &["apd-1", "apd-2"]);
    let mut changed = federation.signed("permit-changed");
    // The last byte of all is one of the end of validity.
    *changed.bytes.0.last_mut().unwrap() ^= 1;
    std::fs::write(federation.path("permit-changed.signed"), changed.to_file_text()).unwrap();
    federation.publish("permit-changed").refuses(2, "NOT_PERMITTED", &["changed after signing"]);

    // What is there already is said to be there, and who signed it by office.
    let known = federation.publish("permit");
    known.says(0, &["it was published before, and still is, as log entry 3"]);
    let bundle = text(&federation.path("pki/bundle-1.signed"));
    let show =
        |name: &str| run("commun", ["permit", "show", &text(&federation.path(&format!("{name}.signed"))), "--bundle", &bundle]).done();
    let shown = show("permit");
    for part in ["signed by      apd-1 (key ", "signed by      apd-2 (key ", "of 2 officer(s); trust bundle 1 asks for 2"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let changed = show("permit-changed");
    assert!(changed.contains("NOT signed by  apd-1") && changed.contains("of 0 officer(s)"), "{changed}");
    assert!(show("permit-same").contains("of 1 officer(s)"), "one officer twice is one");
    let keys = run("commun", ["permit", "show", &text(&federation.path("permit.signed"))]).done();
    assert!(keys.contains("signed by key ") && keys.contains("--bundle FILE"), "{keys}");

    federation.stop();
    assert_eq!(federation.log().len(), 4, "nothing of it is in the log");
}

#[test]
fn a_permit_that_is_not_in_force_or_forbids_unmasked_answers_opens_nothing() {
    let mut federation = Federation::running(Setup::default());
    let old = PermitSpec { reference: "OLD", valid_until: "2021-01-01T00:00:00Z", ..PermitSpec::default() };
    let early = PermitSpec { reference: "EARLY", valid_from: "2089-01-01T00:00:00Z", ..PermitSpec::default() };
    let masked = PermitSpec { reference: "MASKED", unmasked: false, ..PermitSpec::default() };
    let cases = [
        ("permit-old", old, "EXPIRED", "ask the supervisor for a new permit"),
        ("permit-early", early, "EXPIRED", "not valid yet"),
        ("permit-masked", masked, "NOT_PERMITTED", "unmasked"),
    ];
    for (name, spec, code, part) in cases {
        let hash = federation.sign_permit(name, &spec, &["apd-1", "apd-2"]).to_string();
        federation.publish(name).done();
        federation.commun(&["query", "--rho", "0.01", "--permit", &hash, &commutes(MONTH)]).refuses(2, code, &[part]);
    }
    federation.wait_ready();
    assert_nothing_happened(&mut federation);
}

#[test]
fn p5_a_question_signed_by_a_key_that_the_permit_does_not_name_is_refused() {
    let mut federation = Federation::running(Setup::default());
    let key = text(&federation.path("stranger.key"));
    run("commun", ["key", "new", "--out", &key]).done();
    // A valid certificate of the agency changes nothing: identity alone authorises nothing.
    federation.write_profile("stranger", "agencies/statbel/analyst", Some("stranger.key"));
    let ask = ["query", "--rho", "0.01", &commutes(MONTH)];
    federation.commun_as("stranger", &ask).says(64, &["no permit in force names this profile's key"]);
    let permit = federation.permit.to_string();
    let ask = ["query", "--rho", "0.01", "--permit", &permit, &commutes(MONTH)];
    federation.commun_as("stranger", &ask).refuses(2, "NOT_PERMITTED", &["not signed by exactly one of the keys"]);
    let honest = federation.signed_question("0.01", &commutes(MONTH));
    let query = commun_domain::query::Query::from_bytes(&honest.bytes.0).unwrap();
    let stranger = commun_identity::keyfile::read_signing_key(&federation.path("stranger.key")).unwrap();
    assert_eq!(federation.submit(&sign::signed(&query, &stranger)).unwrap_err().code, WireCode::NotPermitted);
    assert_nothing_happened(&mut federation);
}

#[test]
fn p8_a_question_sent_again_returns_its_outcome_and_one_like_it_the_stored_release_free() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    let question = federation.signed_question("0.1", &commutes(MONTH));
    let (first, stored) = federation.submit(&question).unwrap().released();
    assert!(!stored);
    let (again, stored) = federation.submit(&question).unwrap().released();
    assert!(stored, "the same bytes");
    assert_eq!(again, first);
    let (rows, report) = federation.answered("0.1", &commutes(MONTH));
    assert_eq!(report["stored"], serde_json::json!(true), "the same question, signed anew");
    assert_eq!(report["query_id"], serde_json::json!(first.query.to_string()));
    assert_eq!(rows.len(), 9);
    federation.stop();
    let kinds: Vec<&str> = federation.log().iter().map(LogEntry::kind).collect();
    assert_eq!(kinds, ["bundle", "roster", "contract", "permit", "attempt", "release"]);
    for holder in 0..2 {
        assert_eq!(federation.agent_spent(holder).into_values().collect::<Vec<_>>(), [first.rho]);
        assert_eq!(federation.coordinator_spent(holder), federation.agent_spent(holder));
    }
}

#[test]
fn a_budget_that_is_spent_refuses_the_next_question_of_that_month_only() {
    let mut federation = Federation::running(Setup::default());
    federation.query("0.25", &commutes(MONTH)).done();
    let all = format!("SELECT COUNT(DISTINCT subscriber_id) AS persons FROM mobility.commute WHERE ref_month = '{MONTH}'");
    federation.query("0.2", &all).refuses(2, "OVER_BUDGET", &[MONTH]);
    federation.query("0.25", &commutes("2011-02")).done();
    federation.query("0.1", &all).done();
    federation.stop();
    federation.assert_nothing_undercharged(1);
    let spent: Vec<f64> = federation.agent_spent(0).into_values().map(commun_domain::Rho::to_f64).collect();
    assert!((spent[0] - 0.35).abs() < 1e-6 && (spent[1] - 0.25).abs() < 1e-6, "{spent:?}");
}

/// The three programs with a configuration each, whose keys and files are all good.
fn configurations(federation: &mut Federation) -> [(&'static str, String); 3] {
    federation.start_coordinator(None);
    federation.take_coordinator().stop();
    let agent = federation.write_agent(0);
    [
        ("commun-coordinator", text(&federation.path("coordinator/coordinator.toml"))),
        ("commun-agent", text(&agent)),
        ("commun", text(&federation.path("agency.toml"))),
    ]
}

#[test]
fn a_configuration_with_an_unknown_key_is_bad_usage_and_names_the_key() {
    let mut federation = Federation::build(Setup::default());
    for (program, config) in configurations(&mut federation) {
        run(program, ["--config", &config, "--check-config"]).done();
        let good = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("acept_permits = []\n{good}")).unwrap();
        run(program, ["--config", &config, "--check-config"]).says(64, &["acept_permits"]);
        std::fs::write(&config, good).unwrap();
        run(program, ["--config", "/nowhere.toml", "--check-config"]).says(64, &["/nowhere.toml"]);
        run(program, ["--confug"]).says(64, &["--confug"]);
    }
}

#[test]
fn a_key_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let mut federation = Federation::build(Setup::default());
    let keys = ["coordinator/tls.key", "holders/telco-1/holder.key", "agencies/statbel/analyst/query.key"];
    for ((program, config), key) in configurations(&mut federation).into_iter().zip(keys) {
        let path = federation.path("pki").join(key);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        run(program, ["--config", &config, "--check-config"]).says(64, &["chmod 600", key]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        run(program, ["--config", &config, "--check-config"]).done();
    }
}
