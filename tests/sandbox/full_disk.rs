//! Stores that can grow no more: questions are refused, daemons stay up, nothing is under-charged, and more room mends it.

use crate::harness::child::Output;
use crate::harness::{Federation, Setup, commutes};

/// Questions until a full store must have shown: each brings some KiB of text into the stores.
const MOST_QUESTIONS: usize = 40;

/// What each asks for.
const RHO: &str = "0.001";

/// A long text that means little.
fn long_question(number: usize) -> String {
    format!("{} /* {number} {} */", commutes(&format!("2010-{:02}", number % 12 + 1)), "x".repeat(6000))
}

/// Asks until something is refused, and returns that.
fn ask_until_full(federation: &mut Federation) -> Output {
    for number in 0..MOST_QUESTIONS {
        // `--fresh` takes no release of another day; another price makes each a question of its own.
        let asked = federation.query(&format!("0.00{}", 100 + number), &long_question(number));
        federation.assert_runs();
        if asked.code != Some(0) {
            return asked;
        }
    }
    panic!("the store is not full after {MOST_QUESTIONS} questions");
}

#[test]
fn p8_an_agent_whose_store_is_full_refuses_and_stays_up() {
    let mut federation = Federation::running(Setup::default());
    federation.take_agent(0).stop();
    federation.max_pages.1 = Some(federation.agent_store(0).page_count().unwrap());
    federation.start_agent(0, None);
    federation.wait_ready();
    let refused = ask_until_full(&mut federation);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("hint: ") && refused.err.contains("telco-1"), "{}", refused.err);
    let status = federation.agent_command(0, "status", &[]).done();
    assert!(status.contains("full"), "the engineer is not told: {status}");

    federation.take_agent(0).stop();
    federation.max_pages.1 = None;
    federation.start_agent(0, None);
    federation.wait_ready();
    federation.query(RHO, &commutes("2011-05")).done();
    federation.stop();
    federation.assert_nothing_undercharged(1);
}

#[test]
fn p8_a_coordinator_whose_store_is_full_refuses_and_stays_up() {
    let mut federation = Federation::running(Setup::default());
    federation.take_coordinator().stop();
    federation.max_pages.0 = Some(federation.coordinator_store().page_count().unwrap());
    federation.start_coordinator(None);
    federation.wait_ready();
    let refused = ask_until_full(&mut federation);
    refused.refuses(1, "UNAVAILABLE", &["disk is full", "free some space"]);
    // It still answers what needs no room.
    federation.commun(&["explain", "--rho", RHO, &commutes("2011-05")]).done();

    federation.take_coordinator().stop();
    federation.max_pages.0 = None;
    federation.start_coordinator(None);
    federation.wait_ready();
    federation.query(RHO, &commutes("2011-05")).done();
    federation.stop();
    assert!(federation.unfinished().is_empty());
    federation.assert_nothing_undercharged(1);
}
