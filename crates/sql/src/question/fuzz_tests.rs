//! Random texts: nothing panics, every plan is its own canonical bytes, every refusal says what to do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use commun_domain::plan::PrivatePlan;
use commun_domain::{Document, WireCode};
use proptest::prelude::*;

use super::fixture::{contract, settings};
use crate::{compile, strip_explain};

const GOOD: &str =
    "SELECT home_arr, COUNT(DISTINCT subscriber_id) AS commuters FROM mobility.commute WHERE ref_month = '2011-01' GROUP BY home_arr";

/// Pieces from which mutations are made: what is read, what is refused, and what breaks tokens.
const PIECES: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "mobility.commute",
    "home_arr",
    "km",
    "works",
    "ref_month",
    "subscriber_id",
    "COUNT(*)",
    "COUNT(DISTINCT subscriber_id)",
    "SUM(km)",
    "AND",
    "OR",
    "NOT",
    "(",
    ")",
    ",",
    "=",
    "<",
    "IN",
    "BETWEEN",
    "IS NULL",
    "'2011-01'",
    "'21000'",
    "1",
    "-",
    "0.5",
    "'",
    "\"",
    ";",
    "--",
    "/*",
    "*/",
    "::int",
    "CASE",
    "END",
    "JOIN",
    "é",
    "\u{0}",
    "$1",
    "NULL",
    "[",
    "{",
];

/// What every outcome has to be: a plan that is its own canonical bytes, or a refusal with a hint.
fn sane(sql: &str) -> Result<(), TestCaseError> {
    match compile(sql, &contract(), &settings(2)) {
        Ok(plan) => {
            prop_assert_eq!(PrivatePlan::from_bytes(&plan.to_bytes()), Ok(plan.clone()));
            prop_assert!(plan.cells().is_some() && !plan.partitions.is_empty() && !plan.outputs.is_empty());
            prop_assert_eq!(compile(sql, &contract(), &settings(2)), Ok(plan));
        }
        Err(refusal) => {
            prop_assert!(matches!(refusal.code, WireCode::InvalidQuery | WireCode::NotPrivate), "{:?}", refusal);
            prop_assert!(!refusal.message.is_empty() && !refusal.hint.is_empty(), "{:?}", refusal);
        }
    }
    Ok(())
}

/// A random condition from the grammar that is read.
fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "works",
        "NOT works",
        "km > 1.5",
        "3 >= trips",
        "mode IN ('car', 'bike')",
        "home_arr <> '21000'",
        "km IS NULL",
        "km BETWEEN 1 AND 2",
        "TRUE",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(6, 40, 4, |inner| {
        (prop::collection::vec(inner, 1..4), prop::sample::select(vec![" AND ", " OR "]), any::<bool>())
            .prop_map(|(parts, glue, negated)| format!("{}({})", if negated { "NOT " } else { "" }, parts.join(glue)))
    })
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        sane(&text)?;
        sane(&format!("SELECT {text} FROM mobility.commute WHERE ref_month = '2011-01'"))?;
        sane(&format!("SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' AND {text}"))?;
        let _ = strip_explain(&text);
    }

    #[test]
    fn shuffled_pieces_never_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        sane(&pieces.join(" "))?;
        sane(&format!("SELECT COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' AND {}", pieces.join(" ")))?;
    }

    #[test]
    fn mutations_of_a_good_question_never_panic(
        edits in prop::collection::vec((0..200_usize, 0..12_usize, prop::sample::select(PIECES)), 1..5)
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        for (at, cut, piece) in edits {
            let start = at.min(text.len());
            let end = (start + cut).min(text.len());
            text.splice(start..end, piece.chars());
        }
        sane(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn p4_conditions_that_are_read_compile_to_documents_that_are_read_back(condition in condition()) {
        let sql = format!("SELECT mode, COUNT(*) FROM mobility.commute WHERE ref_month = '2011-01' AND {condition} GROUP BY mode");
        let plan = compile(&sql, &contract(), &settings(1)).map_err(|refusal| TestCaseError::fail(format!("{refusal:?}")))?;
        prop_assert_eq!(PrivatePlan::from_bytes(&plan.to_bytes()), Ok(plan));
    }
}
