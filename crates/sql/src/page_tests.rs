//! The reference page says what is read and what is refused; here each of its examples runs.

use commun_domain::WireCode;

use crate::question::fixture::{contract, settings};
use crate::{check_binding, compile};

const PAGE: &str = include_str!("../../../docs/reference/sql.md");

/// The fenced blocks: the words after the fence and the text.
fn blocks() -> Vec<(Vec<&'static str>, String)> {
    let (mut blocks, mut open): (Vec<(Vec<&str>, String)>, bool) = (Vec::new(), false);
    for line in PAGE.lines() {
        match (line.strip_prefix("```"), open) {
            (Some(words), false) => {
                open = true;
                blocks.push((words.split_whitespace().collect(), String::new()));
            }
            (Some(_), true) => open = false,
            (None, true) => {
                if let Some((_, text)) = blocks.last_mut() {
                    text.push_str(line);
                    text.push('\n');
                }
            }
            (None, false) => {}
        }
    }
    blocks
}

#[test]
fn every_example_of_the_reference_page_is_answered_or_refused_as_it_says() {
    let mut seen = (0, 0, 0, 0);
    for (words, sql) in blocks() {
        let result = compile(&sql, &contract(), &settings(1));
        let binding = check_binding(&sql, &["trips".to_owned(), "people".to_owned()]);
        match words.as_slice() {
            ["sh"] => {}
            ["sql", "ok"] => {
                assert!(result.is_ok(), "{sql}\n{result:?}");
                seen.0 += 1;
            }
            ["sql", "refused", code] => {
                assert_eq!(result.err().map(|refusal| refusal.code), Some(WireCode::parse(code).expect("a code")), "{sql}");
                seen.1 += 1;
            }
            ["sql", "binding", "ok"] => {
                assert_eq!(binding, Ok(()), "{sql}");
                seen.2 += 1;
            }
            ["sql", "binding", "refused"] => {
                assert!(binding.is_err(), "{sql}");
                seen.3 += 1;
            }
            other => panic!("a block of the page says neither ok nor refused: {other:?}"),
        }
    }
    assert!(seen.0 >= 11 && seen.1 >= 14 && seen.2 >= 1 && seen.3 >= 2, "the page has lost examples: {seen:?}");
}

#[test]
fn every_function_that_is_read_is_on_the_page() {
    let listed = |name: &str| PAGE.contains(&format!("`{name}`"));
    for (name, ..) in crate::FUNCTIONS {
        assert!(listed(name), "the page does not list the function {name}");
    }
    for (name, _) in crate::AGGREGATES {
        assert!(listed(name), "the page does not list the aggregate {name}");
    }
}

#[test]
fn the_limits_on_the_page_are_those_of_the_code() {
    for limit in [
        format!("{} bytes", commun_domain::query::MAX_SQL_BYTES),
        format!("{} words and signs", crate::MAX_TOKENS),
        format!("{} parentheses", crate::MAX_PARENTHESES),
        format!("{} levels", crate::MAX_PREDICATE_DEPTH),
        format!("{} values in one `IN`", crate::MAX_LIST_ITEMS),
        format!("{} parts of an expression", crate::MAX_NODES),
        format!("{} parts of all expressions", crate::MAX_EFFORT),
        format!("{} numbers of one person", commun_domain::plan::relation::MAX_NUMBERS_AT_ONCE),
        format!("{} values of a key", crate::MAX_KEY_VALUES),
        format!("{} classes of `WIDTH_BUCKET`", crate::MAX_BUCKETS),
        format!("{} characters in the name of a class", crate::MAX_LABEL_CHARS),
        format!("{} items in `SELECT`", crate::MAX_SELECT_ITEMS),
        format!("{} partitions", crate::MAX_PARTITIONS),
        format!("{} cells", commun_domain::plan::MAX_CELLS),
    ] {
        assert!(PAGE.contains(&limit), "the page does not say: {limit}");
    }
}
