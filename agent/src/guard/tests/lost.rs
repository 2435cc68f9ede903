//! A store that was restored from an older copy, lost, or copied and run twice.

use std::path::Path;

use commun_domain::log::AttemptEntry;
use commun_privacy::ledger::LedgerRecord;

use super::*;

/// Copies the files of a state folder.
fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A copy of a world's folder as it is now.
fn snapshot(world: &World) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(world.folder.path(), folder.path());
    folder
}

/// Everything that the coordinator has logged.
fn logged(world: &World) -> Vec<Vec<u8>> {
    world.store.entries(0, 100).unwrap().into_iter().map(|entry| entry.bytes).collect()
}

/// The honest log comes over the link, with a checkpoint of now.
fn read(world: &World, log: &[Vec<u8>]) -> Result<(), String> {
    let known = usize::try_from(world.core(|core| core.log.size())).unwrap();
    world.core(|core| core.entries(known as u64, &log[known..])).map_err(|fault| fault.to_string())?;
    let note = world.note(world.core(|core| core.log.size()), world.root());
    world.core(|core| core.checkpoint(&note)).map_err(|fault| fault.to_string())
}

fn kinds(world: &World) -> Vec<RecordKind> {
    world.records().iter().map(|record| record.kind).collect()
}

fn asks(world: &World, nonce: u8) -> Outgoing {
    world.offer(&signed_query(&cheap(nonce)))
}

/// An entry of the log for the last attempt that this world has accepted.
fn log_last(world: &World, nonce: u8) {
    let signed = signed_query(&cheap(nonce));
    let admitted = world.core(|core| commun_trust::admit(core.log.state(), &signed, common::NOW_UNIX)).unwrap();
    let LedgerRecord { seq, .. } = world.records().pop().unwrap();
    let record = world.records().pop().unwrap().hash();
    let mut entry: AttemptEntry = common::attempt_entry(&admitted);
    entry.records[0] = commun_domain::log::HolderRecord { index: 1, seq, record };
    world.log(&[LogEntry::Attempt(entry)]);
}

#[test]
fn p8_a_restored_store_finds_its_lost_records_in_an_honest_log_and_charges_them_before_it_answers() {
    let world = World::ready();
    accepted(asks(&world, 1));
    log_last(&world, 1);
    let old = snapshot(&world);
    for nonce in [2, 3] {
        accepted(asks(&world, nonce));
        log_last(&world, nonce);
    }
    let (spent, log, records) = (world.spent(), logged(&world), world.records());
    drop(world);

    let world = World::start(old, Setup::default());
    assert!(world.spent() < spent);
    // Nothing is reserved before it knows: with the number of a lost record it could be shown two of them.
    let (code, message) = refused(&asks(&world, 4));
    assert!(code == WireCode::Unavailable && message.contains("has not read the log to its end"), "{message}");
    assert!(world.core(|core| core.report()).not_ready[0].contains("signed after its start"));
    read(&world, &log).unwrap();
    assert_eq!(world.spent(), spent);
    assert_eq!(kinds(&world), [RecordKind::Reserve, RecordKind::Reset, RecordKind::Reset]);
    for (lost, reset) in records[1..].iter().zip(&world.records()[1..]) {
        let of = |record: &LedgerRecord| (record.query_id, record.attempt, record.domain.clone(), record.permit, record.charges.clone());
        assert_eq!(of(lost), of(reset));
    }
    let line = world.last_line();
    assert_eq!((line.decision, line.sql.as_str()), (Decision::Charged, common::SQL));
    // The lost attempts are known: none is begun again. The next one is answered, and charged once.
    assert!(refused(&asks(&world, 3)).1.contains("offered before"));
    accepted(asks(&world, 6));
    log_last(&world, 6);
    let after = (world.spent(), kinds(&world));
    // Its number is one that the log has seen from the lost branch. That is explained, and nothing is charged twice.
    let world = world.restarted(Setup::default());
    assert_eq!((world.spent(), kinds(&world)), after);
    assert!(world.core(|core| core.report().stopped).is_none());
    // Two processes ended with a logged attempt open, which is for a person to look at.
    world.store.decide(NOW_MS, "the disk was restored", false).unwrap();
    accepted(asks(&world.restarted(Setup::default()), 5));
}

#[test]
fn p8_a_store_that_was_lost_whole_is_charged_from_the_log_alone_and_what_was_never_logged_is_not() {
    let world = World::ready();
    accepted(asks(&world, 1));
    log_last(&world, 1);
    // Reserved, and never logged: no data were read for it.
    accepted(asks(&world, 2));
    accepted(asks(&world, 3));
    log_last(&world, 3);
    let log = logged(&world);
    let one = world.spent().units() / 3;
    drop(world);
    let world = World::start(tempfile::tempdir().unwrap(), Setup::default());
    read(&world, &log).unwrap();
    assert_eq!((world.spent().units(), kinds(&world)), (2 * one, vec![RecordKind::Reset; 2]));
}

#[test]
fn p8_lost_records_that_cannot_be_written_are_not_forgotten_and_nothing_is_answered_before() {
    let world = World::ready();
    accepted(asks(&world, 1));
    let old = snapshot(&world);
    log_last(&world, 1);
    accepted(asks(&world, 2));
    log_last(&world, 2);
    let (spent, log) = (world.spent(), logged(&world));
    drop(world);
    let world = World::start(old, Setup::default());
    let known = usize::try_from(world.core(|core| core.log.size())).unwrap();
    world.core(|core| core.entries(known as u64, &log[known..])).unwrap();
    world.fill_the_disk();
    let note = world.note(world.core(|core| core.log.size()), world.root());
    assert!(world.core(|core| core.checkpoint(&note)).is_err());
    assert_eq!(refused(&asks(&world, 3)).0, WireCode::Unavailable);
    world.make_room();
    // The link starts again, and so does the charge.
    read(&world, &log).unwrap();
    assert_eq!(world.spent(), spent);
    accepted(asks(&world, 3));
}

#[test]
fn p8_an_agent_that_runs_twice_stops_as_soon_as_the_log_shows_the_other_one() {
    // The copy goes on from the same records, and reserves the same number.
    let world = World::ready();
    accepted(asks(&world, 1));
    log_last(&world, 1);
    let copy = World::start(snapshot(&world), Setup::default());
    copy.hear();
    accepted(asks(&world, 2));
    log_last(&world, 2);
    accepted(asks(&copy, 3));
    let fault = read(&copy, &logged(&world)).unwrap_err();
    assert!(fault.contains("STOPPED") && fault.contains("another record 2"), "{fault}");
    assert_eq!(refused(&asks(&copy, 4)).0, WireCode::Unavailable);
    // Also after a restart, however often.
    let copy = copy.restarted(Setup::default());
    assert_eq!(refused(&asks(&copy, 5)).0, WireCode::Unavailable);
    // A person decides: both branches are charged, and it goes on.
    let one = copy.spent().units() / 2;
    copy.store.decide(NOW_MS, "the copy was stopped", true).unwrap();
    std::fs::remove_file(copy.folder.path().join("STOPPED")).unwrap();
    let copy = copy.restarted_unheard(Setup::default());
    read(&copy, &logged(&world)).unwrap();
    assert_eq!(copy.spent().units(), 3 * one);
    accepted(asks(&copy, 6));

    // One that has reserved nothing since is shown a record that it did not write.
    let idle = World::start(snapshot(&world), Setup::default());
    idle.hear();
    accepted(asks(&world, 7));
    log_last(&world, 7);
    let fault = read(&idle, &logged(&world)).unwrap_err();
    assert!(fault.contains("which this process did not write"), "{fault}");
    assert_eq!(refused(&asks(&idle, 8)).0, WireCode::Unavailable);
}

#[test]
fn p8_a_decision_lets_no_later_contradiction_pass_and_one_without_a_stop_none() {
    let world = World::ready();
    accepted(asks(&world, 1));
    log_last(&world, 1);
    let (early, late) = (snapshot(&world), snapshot(&world));
    accepted(asks(&world, 3));
    log_last(&world, 3);
    // A record was written since that decision: it was not about this one.
    let copy = World::start(early, Setup::default());
    copy.store.decide(NOW_MS, "an earlier matter", true).unwrap();
    let copy = copy.restarted(Setup::default());
    accepted(asks(&copy, 2));
    let copy = copy.restarted_unheard(Setup::default());
    assert!(read(&copy, &logged(&world)).unwrap_err().contains("STOPPED"));
    // None was, but nobody had looked at a stop.
    let copy = World::start(late, Setup::default());
    copy.hear();
    accepted(asks(&copy, 2));
    copy.store.decide(NOW_MS, "a slow disk", false).unwrap();
    let copy = copy.restarted_unheard(Setup::default());
    assert!(read(&copy, &logged(&world)).unwrap_err().contains("STOPPED"));
}

/// A coordinator that tries to have something reserved before lost records are known.
#[test]
fn p8_neither_a_checkpoint_of_the_store_nor_one_that_runs_ahead_nor_a_forged_one_lets_it_answer_too_early() {
    let world = World::ready();
    accepted(asks(&world, 1));
    log_last(&world, 1);
    let old = snapshot(&world);
    accepted(asks(&world, 2));
    log_last(&world, 2);
    let (spent, log) = (world.spent(), logged(&world));
    let ahead = world.note(log.len() as u64, world.root());
    drop(world);
    let world = World::start(old, Setup::default());
    let refuses = |world: &World, nonce| assert_eq!(refused(&asks(world, nonce)).0, WireCode::Unavailable);
    // The store's own checkpoint is of just now, and covers all that was read.
    world.core(|core| core.entries(core.log.size(), &[])).unwrap();
    refuses(&world, 3);
    // One of more entries than have come yet.
    world.core(|core| core.checkpoint(&ahead)).unwrap();
    refuses(&world, 4);
    let forged = ahead.replace("commun.test/log", "commun.test/gol");
    assert!(world.core(|core| core.checkpoint(&forged)).is_err());
    refuses(&world, 6);
    // The entries that the one ahead was waiting for.
    let known = usize::try_from(world.core(|core| core.log.size())).unwrap();
    world.core(|core| core.entries(known as u64, &log[known..])).unwrap();
    assert_eq!(world.spent(), spent);
    accepted(asks(&world, 5));
}
