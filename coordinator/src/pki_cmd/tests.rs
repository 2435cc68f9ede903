//! The whole of `pki init`, as a federation would use it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use commun_domain::Hash32;
use commun_domain::clock::{Clock, SystemClock};
use commun_domain::log::LogEntry;
use commun_identity::{ClientTls, PeerIdentity, server_config};
use commun_trust::{Pins, TrustState};

use super::*;
use crate::config::read_signed;

pub(crate) fn init_args(out: &Path) -> InitArgs {
    InitArgs {
        out: out.to_owned(),
        trust_domain: "commun.test".parse().unwrap(),
        holders: ["telco-a", "telco-b", "telco-c"].map(|name| name.parse().unwrap()).to_vec(),
        officers: ["officer-1", "officer-2"].map(|name| name.parse().unwrap()).to_vec(),
        agencies: vec!["statbel/analyst".to_owned()],
        operators: vec!["op".parse().unwrap()],
        threshold: 2,
        datasets: vec!["mobility".to_owned()],
        days: 30,
    }
}

/// Makes a federation and has everyone sign.
pub(crate) fn federation(out: &Path) {
    run(&PkiCommand::Init(init_args(out))).unwrap();
    sign_with(out, "root/root.key", "bundle-1.signed").unwrap();
    for key in ["root/root.key", "holders/telco-a/holder.key", "holders/telco-b/holder.key", "holders/telco-c/holder.key"] {
        sign_with(out, key, "roster-1.signed").unwrap();
    }
}

fn sign_with(out: &Path, key: &str, document: &str) -> Result<(), PkiCmdError> {
    run(&PkiCommand::Sign(SignArgs { key: out.join(key), document: out.join(document) }))
}

pub(crate) fn pin(out: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(out.join("pins.toml")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} = "))).unwrap();
    line.trim_matches('"').to_owned()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn pki_init_writes_every_key_with_mode_0600_and_every_party_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pki");
    run(&PkiCommand::Init(init_args(&out))).unwrap();
    let mut found = Vec::new();
    files(&out, &mut found);
    let keys: Vec<_> = found.iter().filter(|path| path.extension().is_some_and(|end| end == "key")).collect();
    for path in &keys {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    // CA, root; TLS and signing key of coordinator, 3 holders, 2 officers, 1 agency user; TLS key of the operator.
    assert_eq!(keys.len(), 2 + 2 * 7 + 1);
    for path in [
        "coordinator/log.key",
        "holders/telco-b/holder.key",
        "officers/officer-2/officer.key",
        "agencies/statbel/analyst/query.key",
        "operators/op/tls.key",
    ] {
        assert!(keys.contains(&&out.join(path)), "{path}");
    }
}

#[test]
fn the_certificates_are_of_one_ca_and_carry_their_roles() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pki");
    run(&PkiCommand::Init(init_args(&out))).unwrap();
    let read = |path: &str| std::fs::read_to_string(out.join(path)).unwrap();
    let ca = read("ca/ca.crt");
    server_config(&read("coordinator/tls.crt"), &read("coordinator/tls.key"), &ca).unwrap();
    for (party, role) in [
        ("holders/telco-a", "holder/telco-a"),
        ("agencies/statbel/analyst", "agency/statbel/user/analyst"),
        ("operators/op", "operator/op"),
    ] {
        let tls = ClientTls::new(&read(&format!("{party}/tls.crt")), &read(&format!("{party}/tls.key")), &ca).unwrap();
        assert_eq!(tls.own().id.to_string(), format!("spiffe://commun.test/{role}"));
    }
}

#[test]
fn signed_by_root_and_all_holders_bundle_and_roster_are_what_the_fold_accepts_and_pins() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pki");
    run(&PkiCommand::Init(init_args(&out))).unwrap();
    let bundle = Hash32::from_hex(&pin(&out, "bundle_sha256")).unwrap();
    let fold = |names: [&str; 2]| {
        let mut state = TrustState::new(Pins { bundle });
        let [bundle, roster] = names.map(|name| read_signed(&out.join(name)).unwrap());
        state.apply(0, &LogEntry::Bundle(bundle)).and_then(|()| state.apply(1, &LogEntry::Roster(roster))).map(|()| state)
    };
    let names = ["bundle-1.signed", "roster-1.signed"];
    assert!(fold(names).is_err(), "nobody has signed yet");
    sign_with(&out, "root/root.key", "bundle-1.signed").unwrap();
    for key in ["root/root.key", "holders/telco-a/holder.key", "holders/telco-b/holder.key"] {
        sign_with(&out, key, "roster-1.signed").unwrap();
    }
    assert!(fold(names).is_err(), "one holder has not signed yet");
    sign_with(&out, "holders/telco-c/holder.key", "roster-1.signed").unwrap();
    let state = fold(names).unwrap();
    let roster = state.roster().unwrap();
    assert_eq!(roster.for_dataset("mobility").map(|holder| holder.name.as_str()).collect::<Vec<_>>(), ["telco-a", "telco-b", "telco-c"]);
    assert!((roster.valid_from_unix..roster.valid_until_unix).contains(&SystemClock.now_unix()));
    assert_eq!(state.bundle().unwrap().log_origin, "commun.test/log");
    let again = sign_with(&out, "root/root.key", "roster-1.signed").unwrap_err();
    assert!(again.to_string().contains("already signed"), "{again}");
}

#[test]
fn nothing_is_overwritten_and_impossible_federations_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pki");
    let with = |change: &dyn Fn(&mut InitArgs)| {
        let mut args = init_args(&out);
        change(&mut args);
        run(&PkiCommand::Init(args)).unwrap_err().to_string()
    };
    assert!(with(&|args| args.threshold = 1).starts_with("--threshold"));
    assert!(with(&|args| args.threshold = 3).starts_with("--threshold"));
    assert!(with(&|args| args.agencies = vec!["statbel".to_owned()]).contains("AGENCY/USER"));
    assert!(with(&|args| args.datasets = vec!["Mobility!".to_owned()]).starts_with("--datasets"));
    assert!(with(&|args| args.holders.push("telco-a".parse().unwrap())).contains("twice"));
    assert!(!out.exists(), "a refused command leaves nothing behind");
    run(&PkiCommand::Init(init_args(&out))).unwrap();
    assert!(with(&|_| {}).contains("is not empty"));
}

#[test]
fn pki_issue_adds_a_party_and_keeps_an_existing_signing_key() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("pki");
    run(&PkiCommand::Init(init_args(&out))).unwrap();
    let new = folder.path().join("telco-d");
    let issue = |role: &str| run(&PkiCommand::Issue(IssueArgs { ca: out.join("ca"), role: role.to_owned(), out: new.clone(), days: 1 }));
    issue("holder/telco-d").unwrap();
    let peer = PeerIdentity::from_pem(&std::fs::read_to_string(new.join("tls.crt")).unwrap()).unwrap();
    assert_eq!(peer.id.to_string(), "spiffe://commun.test/holder/telco-d");
    let key = std::fs::read(new.join("holder.key")).unwrap();
    assert!(issue("holder/telco-d").is_err(), "a TLS key is never overwritten");
    std::fs::remove_file(new.join("tls.key")).unwrap();
    std::fs::remove_file(new.join("tls.crt")).unwrap();
    issue("holder/telco-d").unwrap();
    assert_eq!(std::fs::read(new.join("holder.key")).unwrap(), key);
    assert!(issue("root").is_err());
}
