//! What an engineer does after incidents, and after a disk that was restored.

use std::path::Path;

use commun_domain::WireCode;
use commun_privacy::ledger::RecordKind;
use commun_store::agent::Decision;

use crate::harness::{Federation, Setup, commutes};

const RHO: &str = "0.02";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn p8_an_agent_whose_state_is_restored_from_an_older_copy_charges_what_the_log_shows_before_it_answers() {
    let mut federation = Federation::running(Setup { holders: 2, ..Setup::default() });
    federation.query(RHO, &commutes("2010-01")).done();
    federation.take_agent(0).stop();
    let (state, old) = (federation.path("telco-1/state"), federation.path("telco-1/older"));
    copy(&state, &old);
    federation.start_agent(0, None);
    federation.wait_ready();
    for month in ["2010-01", "2010-02"] {
        federation.query("0.03", &commutes(month)).done();
    }
    federation.take_agent(0).stop();
    let spent = federation.agent_spent(0);
    std::fs::remove_dir_all(&state).unwrap();
    copy(&old, &state);
    let forgotten = federation.agent_spent(0);
    assert!(forgotten.iter().all(|(period, rho)| *rho < spent[period]), "{forgotten:?}");
    federation.start_agent(0, None);
    federation.wait_ready();
    federation.query(RHO, &commutes("2010-03")).done();
    federation.take_agent(0).stop();
    let again = federation.agent_spent(0);
    assert!(spent.iter().all(|(period, rho)| again[period] == *rho), "{again:?} is not {spent:?}");
    let kinds: Vec<RecordKind> = federation.agent_store(0).ledger_load().unwrap().iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [RecordKind::Reserve, RecordKind::Reset, RecordKind::Reset, RecordKind::Reserve]);
    // Nothing of the folder is left: it is all in the log.
    std::fs::remove_dir_all(&state).unwrap();
    federation.start_agent(0, None);
    federation.wait_ready();
    federation.query(RHO, &commutes("2010-04")).done();
    federation.stop();
    let whole = federation.agent_spent(0);
    assert!(again.iter().all(|(period, rho)| whole[period] == *rho), "{whole:?} is not {again:?}");
    assert_eq!(federation.journal(0).iter().filter(|line| line.decision == Decision::Charged).count(), 4);
    federation.assert_nothing_undercharged(2);
}

#[test]
fn p9_two_failed_readings_stop_a_holder_until_its_engineer_has_decided() {
    let mut federation = Federation::running(Setup::default());
    let (rows, away) = (federation.path("telco-1/rows.csv"), federation.path("telco-1/rows.away"));
    std::fs::rename(&rows, &away).unwrap();
    let ask =
        |federation: &Federation, month: &str| federation.submit(&federation.signed_question(RHO, &commutes(month))).unwrap().failed().0;
    for month in ["2010-01", "2010-02"] {
        assert_eq!(ask(&federation, month).code, WireCode::TooFewHolders);
    }
    std::fs::rename(&away, &rows).unwrap();
    let refusal = ask(&federation, "2010-03");
    assert!(refusal.code == WireCode::RefusedByHolder && refusal.message.contains("telco-1"), "{refusal}");
    assert!(!refusal.message.contains("rows") && !refusal.message.contains("2 of"), "{refusal}");
    let status = federation.agent_command(0, "status", &[]).done();
    assert!(status.contains("INCIDENTS") && status.contains("REFUSES") && status.contains("commun-agent resume"), "{status}");
    // The running agent holds its store.
    federation.agent_command(0, "resume", &["--reason", "too early"]).says(1, &["in use by another process"]);
    federation.take_agent(0).stop();
    federation.agent_command(0, "resume", &["--reason", " "]).says(1, &["the reason is empty"]);
    let settled = federation.resume(0);
    assert_eq!(settled.lines().filter(|line| line.starts_with("settled: lapse in mobility")).count(), 2, "{settled}");
    assert!(federation.resume(0).contains("nothing to decide"));
    federation.start_agent(0, None);
    federation.wait_ready();
    federation.query(RHO, &commutes("2010-03")).done();
}
