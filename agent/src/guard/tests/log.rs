//! The log, trust bundle and roster as they come.

use super::*;

#[test]
fn a_key_that_the_roster_does_not_name_is_noticed_when_the_roster_comes() {
    let world = World::with(Setup { key: common::holder_key(9), ..Setup::default() });
    let faults = world.core(|core| core.report()).not_ready;
    assert!(faults.len() == 1 && faults[0].contains("configure the key that the roster names"), "{faults:?}");
    let noted = world.health.state().last_error.unwrap().1;
    assert_eq!(noted, faults[0]);
    assert!(noted.contains(&common::holder(1).key.to_string()) && noted.contains(&common::holder_public(9).to_string()), "{noted}");
}

#[test]
fn p6_another_root_stops_the_agent_and_a_restart_does_not_forget_it() {
    let world = World::ready();
    let forked = world.note(4, Hash32::default());
    assert!(world.core(|core| core.checkpoint(&forked)).is_err());
    assert_eq!(refused(&world.offer(&signed_query(&question(1)))).0, WireCode::Unavailable);
    assert!(world.health.state().last_error.is_some_and(|(_, text)| text.contains("STOPPED")));
    let world = world.restarted(Setup::default());
    assert_eq!(refused(&world.offer(&signed_query(&question(2)))).0, WireCode::Unavailable);
    assert!(world.core(|core| core.report().stopped).is_some());
}

#[test]
fn p6_a_stop_whose_file_cannot_be_written_holds_in_this_process_and_says_so() {
    let world = World::ready();
    // Where the file is written before it is moved, something else stands.
    std::fs::create_dir(world.folder.path().join("STOPPED.new")).unwrap();
    let forked = world.note(4, Hash32::default());
    let stopped = world.core(|core| core.checkpoint(&forked)).unwrap_err().to_string();
    assert!(stopped.contains("a restart would forget this"), "{stopped}");
    assert_eq!(refused(&world.offer(&signed_query(&question(1)))).0, WireCode::Unavailable);
}

#[test]
fn p6_a_log_that_becomes_shorter_or_changes_stops_the_agent() {
    let world = World::ready();
    let shorter = world.note(3, world.core(|core| core.log.root_at(3)).unwrap());
    assert!(world.core(|core| core.checkpoint(&shorter)).unwrap_err().to_string().contains("shorter"));
    // A person's decision does not make it longer: the next start stops again.
    std::fs::remove_file(world.folder.path().join("STOPPED")).unwrap();
    let world = world.restarted(Setup::default());
    assert!(world.core(|core| core.report().stopped).is_none());
    assert!(world.core(|core| core.checkpoint(&shorter)).unwrap_err().to_string().contains("shorter"));
    let world = World::ready();
    assert!(world.core(|core| core.entries(3, &[b"other".to_vec()])).unwrap_err().to_string().contains("other log entries"));
    assert!(world.core(|core| core.report().stopped).is_some());
}

#[test]
fn a_checkpoint_of_a_strangers_key_is_not_believed_and_stops_nothing() {
    let world = World::ready();
    let note = world.note(4, world.root()).replace("commun.test/log", "commun.test/gol");
    assert!(world.core(|core| core.checkpoint(&note)).is_err());
    accepted(world.offer(&signed_query(&question(1))));
}

#[test]
fn an_unreadable_entry_is_stored_counted_and_gives_no_trust() {
    let world = World::ready();
    let before = world.core(|core| core.log.state().clone());
    // Of a kind that a later version writes, and broken: a permit whose end was cut off.
    let mut later = LogEntry::Permit(signed_by(&common::permit(), &common::officers())).to_bytes();
    let mut broken = later.clone();
    later[4 + LogEntry::TAG.len()] = 200;
    broken.pop();
    world.core(|core| core.entries(4, &[later, broken])).unwrap();
    let report = world.core(|core| core.report());
    assert_eq!((report.log_size, report.unreadable_entries), (6, 2));
    assert!(report.last_invalid_entry.is_some_and(|(number, reason)| number == 5 && reason.contains("cannot be read")));
    let mut expected = before;
    expected.skip_to(6).unwrap();
    assert_eq!(world.core(|core| core.log.state().clone()), expected, "nothing but the count has changed");
    accepted(world.offer(&signed_query(&question(1))));
    let root = world.root();
    let world = world.restarted(Setup::default());
    assert_eq!((world.root(), world.core(|core| core.report().unreadable_entries)), (root, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// However the entries are cut into messages, and whatever is sent twice, the root is that of the entries in order.
    #[test]
    fn the_own_root_does_not_depend_on_how_entries_arrive(
        entries in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 1..12),
        cuts in proptest::collection::vec((0usize..4, 1usize..5), 12),
    ) {
        let world = World::ready();
        let mut tree = commun_tlog::tree::Frontier::new();
        for entry in world.store.entries(0, 100).unwrap() {
            tree.append(commun_tlog::tree::leaf_hash(&entry.bytes));
        }
        let before = tree.size();
        for entry in &entries {
            tree.append(commun_tlog::tree::leaf_hash(entry));
        }
        let mut done = 0;
        for (again, count) in cuts {
            let first = done - again.min(done);
            let end = (done + count).min(entries.len());
            world.core(|core| core.entries(before + first as u64, &entries[first..end])).unwrap();
            done = end;
        }
        prop_assert_eq!(done, entries.len());
        prop_assert_eq!(world.root(), Hash32::from_bytes(tree.root()));
    }
}
