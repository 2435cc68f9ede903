//! Objections: whose rows vanish from what an agent sends, from the next question on, and that nothing of the list is told.

use std::fmt::Write as _;

use commun_domain::WireCode;
use commun_domain::attempt::decode_values;
use commun_domain::log::LogEntry;
use commun_domain::query::PriceRequest;
use commun_domain::signed::SignedDocument;
use commun_trust::sign;

use crate::harness::client::rho;
use crate::harness::rows::MONTH;
use crate::harness::{Federation, Setup, commutes};
use crate::recording::{End, Recording};

/// Cells of the sandbox's question.
const CELLS: usize = 9;

/// Privacy loss of one question.
const RHO: &str = "0.19";

/// Six standard deviations of a holder's noise: `sigma^2 = 1 / (2 rho)`.
const SIX_SIGMA: f64 = 9.8;

/// Cell of the persons who object, and how many they are.
const OBJECTING: (usize, u32) = (3, 20);

fn question(federation: &Federation) -> SignedDocument {
    sign::signed(&federation.question(PriceRequest::Rho(rho(RHO)), &commutes(MONTH)), &federation.agency_key())
}

/// The only agent's noisy partial, in persons.
fn partial(coordinator: &mut Recording, federation: &Federation) -> Vec<f64> {
    let question = question(federation);
    let accepted = coordinator.accepted(&question);
    coordinator.log(&LogEntry::Attempt(coordinator.attempt_entry(&question, &accepted)));
    let manifest = coordinator.manifest(&question, &accepted);
    let step = 2f64.powi(manifest.noise[0].gamma_log2);
    let Some((_, End::Answer(bytes))) = coordinator.run(&manifest).pop_first() else { panic!("no answer") };
    let values = decode_values(&bytes, &[CELLS]).unwrap().remove(0);
    values.into_iter().map(|value| f64::from(i32::try_from(value).unwrap()) * step).collect()
}

#[track_caller]
fn assert_near(partial: &[f64], counts: impl Iterator<Item = u32>) {
    for (cell, (noisy, count)) in partial.iter().zip(counts).enumerate() {
        assert!((noisy - f64::from(count)).abs() < SIX_SIGMA, "cell {cell}: {noisy} is not near {count}");
    }
}

#[test]
fn p7_objectors_rows_vanish_from_the_next_partial_and_without_the_list_nothing_is_answered() {
    let mut federation = Federation::build(Setup::default());
    let holder = federation.path(&Federation::holder_name(0));
    let binding = holder.join("binding.toml");
    let mut text = std::fs::read_to_string(&binding).unwrap();
    text.push_str("[objections]\npath = \"objections.txt\"\n");
    std::fs::write(&binding, text).unwrap();
    let list = holder.join("objections.txt");
    assert_eq!(federation.counts[0][OBJECTING.0], OBJECTING.1);

    let mut coordinator = Recording::start(&mut federation, 1);
    coordinator.log(&LogEntry::Permit(federation.signed("permit")));
    // No list: refused, before anything is charged, and only the holder's own engineer learns why.
    let refuse = coordinator.refused(&question(&federation));
    assert_eq!(refuse.code, WireCode::Unavailable);
    assert!(!refuse.message.contains("objection"), "{}", refuse.message);
    let status = federation.agent_command(0, "status", &[]).done();
    assert!(status.contains("CANNOT ANSWER") && status.contains("objections.txt"), "{status}");
    let contract = federation.path("contract.signed").display().to_string();
    let check = federation.agent_command(0, "check", &["--contract", &contract]);
    assert!(check.code == Some(1) && check.out.contains("FAULT the list of objections"), "{}", check.out);

    std::fs::write(&list, "").unwrap();
    let before = partial(&mut coordinator, &federation);
    assert_near(&before, federation.counts[0].iter().copied());

    // The persons of one cell, by the numbers that the harness gave them.
    let first: u32 = 1000 + federation.counts[0][..OBJECTING.0].iter().sum::<u32>();
    let ids = (first..first + OBJECTING.1).fold(String::new(), |mut text, id| {
        writeln!(text, "{id}").unwrap();
        text
    });
    std::fs::write(&list, ids).unwrap();
    let after = partial(&mut coordinator, &federation);
    assert_near(&after, federation.counts[0].iter().enumerate().map(|(cell, count)| if cell == OBJECTING.0 { 0 } else { *count }));

    let check = federation.agent_command(0, "check", &["--contract", &contract]).done();
    assert!(check.contains(&format!("{} unit(s) listed; {} row(s)", OBJECTING.1, OBJECTING.1)), "{check}");

    // Nothing of the list is in the program's log, which may leave the machine; and in the journal both answers look the same.
    let log = std::fs::read_to_string(federation.path(&format!("{}.log", Federation::holder_name(0)))).unwrap();
    assert!(!log.contains("objection"), "{log}");
    federation.stop();
    let told: Vec<_> = federation.journal(0).into_iter().skip(1).map(|line| (line.decision, line.reason, line.bytes_sent)).collect();
    assert!(told.len() == 4 && told[..2] == told[2..], "{told:?}");
}
