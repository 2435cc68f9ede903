//! From text to a syntax tree, within limits: the dialect, the checks on tokens, the parser's errors with their places.
//!
//! The dialect is our own and small: what it does not read is refused by the grammar, before any rule of ours is asked. The checks
//! on tokens come before the parser because a left-deep chain (`a OR a OR …`) makes a tree as deep as it is long, and dropping or walking a
//! tree takes stack: bounding the tokens bounds the depth.

use std::borrow::Cow;

use commun_domain::error::Position;
use commun_domain::query::MAX_SQL_BYTES;
use sqlparser::ast::Query;
use sqlparser::dialect::Dialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace, Word};

/// Most tokens that are not literals, commas or white space; bounds the depth of the tree.
pub const MAX_TOKENS: usize = 1_000;

/// Deepest nesting of parentheses.
pub const MAX_PARENTHESES: usize = 16;

/// Most parts of a name, with points between them.
pub(crate) const MAX_NAME_PARTS: usize = 3;

/// The parser's own limit on recursion; its default.
pub(crate) const MAX_RECURSION: usize = 50;

/// Stack for the parser: a level took 90 KiB in an unoptimised build, and the workers of an asynchronous runtime have 2 MiB in all.
const PARSER_STACK_BYTES: usize = 32 << 20;

/// Runs the parser on a stack of its own. `None` when there is no thread to be had, or when the parser panicked.
pub(crate) fn on_deep_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| std::thread::Builder::new().stack_size(PARSER_STACK_BYTES).spawn_scoped(scope, work).ok()?.join().ok())
}

/// What Commun reads: ANSI SQL with nested comments. FILTER and grouping sets are read; what else they may hold is for the rules to say.
#[derive(Debug)]
pub(crate) struct CommunDialect;

impl Dialect for CommunDialect {
    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_'
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '"'
    }

    /// A word that starts a special expression (CASE, CAST, NOT ...) is nothing else when that expression does not parse. The parser
    /// would otherwise read the rest again as a function or a column, twice per level: CAST( nested 30 deep took hours.
    fn is_reserved_for_identifier(&self, _: Keyword) -> bool {
        true
    }

    fn supports_nested_comments(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        false
    }
}

/// Words at which the parser recurses without counting, or several times over the same text (`INTERVAL INTERVAL ...`, `ARRAY<ARRAY<...`).
const REFUSED_WORDS: &[Keyword] = &[Keyword::INTERVAL, Keyword::ARRAY, Keyword::STRUCT, Keyword::MAP, Keyword::PRIOR, Keyword::CONVERT];

/// Why a text is not one SELECT, before any rule about its meaning.
#[derive(Debug)]
pub(crate) struct TextFault {
    pub(crate) message: String,
    pub(crate) hint: String,
    pub(crate) at: Option<Position>,
}

/// One parsed statement and its tokens, which know where each keyword stands.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) query: Query,
    tokens: Vec<TokenWithSpan>,
}

impl Parsed {
    /// Where the first of these keywords that the statement has stands first.
    pub(crate) fn find(&self, keywords: &[Keyword]) -> Option<Position> {
        keywords.iter().find_map(|keyword| {
            self.tokens.iter().find(|token| matches!(&token.token, Token::Word(word) if word.keyword == *keyword)).and_then(place)
        })
    }
}

/// The start of a span; `None` for the parser's empty span.
pub(crate) fn start_of(span: Span) -> Option<Position> {
    let (line, column) = (u32::try_from(span.start.line).ok()?, u32::try_from(span.start.column).ok()?);
    (line > 0 && column > 0).then_some(Position { line, column })
}

fn place(token: &TokenWithSpan) -> Option<Position> {
    start_of(token.span)
}

/// Parses one SELECT statement (or UNION of them), with or without semicolons at its end.
pub(crate) fn parse(sql: &str) -> Result<Parsed, TextFault> {
    let fault = |message: &str, hint: &str, at: Option<Position>| TextFault { message: message.to_owned(), hint: hint.to_owned(), at };
    let start = Some(Position { line: 1, column: 1 });
    if sql.len() > MAX_SQL_BYTES {
        return Err(fault(
            &format!("the text is longer than {MAX_SQL_BYTES} bytes"),
            "ask a shorter question; long lists of codes are better replaced by a coarser code list",
            start,
        ));
    }
    let mut tokens = Tokenizer::new(&CommunDialect, sql).tokenize_with_location().map_err(|error| tokenizer_fault(&error))?;
    refuse_comment_hints(&tokens)?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF));
    if let Some(end) = tokens.iter().position(|token| token.token == Token::SemiColon) {
        if let Some(next) = tokens[end..].iter().find(|token| token.token != Token::SemiColon) {
            return Err(fault("there is more than one statement", "send one SELECT at a time", place(next)));
        }
        tokens.truncate(end);
    }
    let Some(first) = tokens.first() else {
        return Err(fault("the text holds no statement", "write SELECT ... FROM ... WHERE ...", start));
    };
    match &first.token {
        // WITH and parentheses are read so that they can be refused by name.
        Token::LParen | Token::Word(Word { keyword: Keyword::SELECT | Keyword::WITH, quote_style: None, value: _ }) => {}
        Token::Word(Word { keyword: Keyword::SET, .. }) => {
            return Err(fault(
                "SET is not part of a question",
                "give settings beside the SQL text: permit, epsilon or rho, groups per person",
                place(first),
            ));
        }
        _ => {
            return Err(fault("a statement starts with SELECT; nothing else is read", "write SELECT ... FROM ... WHERE ...", place(first)));
        }
    }
    check_limits(&tokens)?;
    refuse_nested_brackets(&tokens)?;
    refuse_odd_names(&tokens)?;

    let end = tokens.last().and_then(|token| start_of(Span::new(token.span.end, token.span.end)));
    let read = on_deep_stack(|| {
        let mut parser = Parser::new(&CommunDialect).with_recursion_limit(MAX_RECURSION).with_tokens_with_locations(tokens.clone());
        parser.parse_query().map(|query| (query, parser.peek_token()))
    });
    let Some(read) = read else { return Err(fault("the statement could not be read", "try again, or write it more plainly", start)) };
    let (query, next) = read.map_err(|error| parser_fault(&error, end))?;
    if next.token != Token::EOF {
        return Err(fault(
            "the statement does not go on like this",
            "read up to here it is a whole SELECT; remove the rest, or see the reference for what is read",
            place(&next),
        ));
    }
    Ok(Parsed { query: *query, tokens })
}

/// `/*+ … */` and `/*! … */` change a statement's meaning elsewhere: not a comment, and not ignored.
fn refuse_comment_hints(tokens: &[TokenWithSpan]) -> Result<(), TextFault> {
    let is_hint = |token: &TokenWithSpan| match &token.token {
        Token::Whitespace(Whitespace::SingleLineComment { comment, prefix: _ }) => comment.starts_with('+'),
        Token::Whitespace(Whitespace::MultiLineComment(comment)) => comment.starts_with(['+', '!']),
        _ => false,
    };
    match tokens.iter().find(|token| is_hint(token)) {
        None => Ok(()),
        Some(token) => Err(TextFault {
            message: "a comment that starts with + or ! is a hint to an engine".to_owned(),
            hint: "remove it, or start the comment with a space".to_owned(),
            at: place(token),
        }),
    }
}

fn check_limits(tokens: &[TokenWithSpan]) -> Result<(), TextFault> {
    let (mut depth, mut structural) = (0_usize, 0_usize);
    for token in tokens {
        if matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && REFUSED_WORDS.contains(&word.keyword)) {
            return Err(TextFault {
                message: "intervals, arrays, structures, maps and CONVERT are not read".to_owned(),
                hint: "remove it; a column of this name is written in double quotes".to_owned(),
                at: place(token),
            });
        }
        match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        structural += usize::from(!matches!(token.token, Token::Comma | Token::Number(..) | Token::SingleQuotedString(_)));
        if depth > MAX_PARENTHESES {
            return Err(TextFault {
                message: format!("parentheses are nested deeper than {MAX_PARENTHESES}"),
                hint: "write the condition flat; AND and OR need no parentheses among themselves".to_owned(),
                at: place(token),
            });
        }
        if structural > MAX_TOKENS {
            return Err(TextFault {
                message: format!("the statement has more than {MAX_TOKENS} words and signs, literals and commas not counted"),
                hint: "write column IN (...) instead of many comparisons".to_owned(),
                at: place(token),
            });
        }
    }
    Ok(())
}

/// The parser takes twice as long for each bracket within a bracket (found by fuzzing: 20 s for 322 bytes). Nothing that is read has any.
fn refuse_nested_brackets(tokens: &[TokenWithSpan]) -> Result<(), TextFault> {
    let mut open = false;
    for token in tokens {
        match token.token {
            Token::LBracket if open => {
                let (message, hint) = ("there is a bracket [ within a bracket", "remove it: elements of lists are not read");
                return Err(TextFault { message: message.to_owned(), hint: hint.to_owned(), at: place(token) });
            }
            Token::LBracket => open = true,
            Token::RBracket => open = false,
            _ => {}
        }
    }
    Ok(())
}

/// Within parentheses the parser reads a name of many parts, that ends in anything but a part, twice as long for each of them (found by fuzzing: 40 s for 100
/// bytes). What is read has two parts, and `contract.table.column` three.
fn refuse_odd_names(tokens: &[TokenWithSpan]) -> Result<(), TextFault> {
    let mut parts = 1;
    for (number, token) in tokens.iter().enumerate() {
        match token.token {
            Token::Period => {
                let before = number.checked_sub(1).and_then(|before| tokens.get(before)).map(|token| &token.token);
                let next = tokens.get(number + 1).map(|token| &token.token);
                parts += 1;
                let is_name = matches!(before, Some(Token::Word(_))) && matches!(next, Some(Token::Word(_) | Token::Mul));
                if !is_name || parts > MAX_NAME_PARTS {
                    let message = format!("a point stands in names of at most {MAX_NAME_PARTS} parts, and in numbers");
                    let hint = "write table.column or contract.table";
                    return Err(TextFault { message, hint: hint.to_owned(), at: place(token) });
                }
            }
            Token::Word(_) => {
                let after_point =
                    number.checked_sub(1).and_then(|before| tokens.get(before)).is_some_and(|token| token.token == Token::Period);
                parts = if after_point { parts } else { 1 };
            }
            _ => parts = 1,
        }
    }
    Ok(())
}

fn tokenizer_fault(error: &TokenizerError) -> TextFault {
    TextFault {
        message: format!("this is no SQL: {}", without_input(&error.message)),
        hint: "check quotes and special signs near this place".to_owned(),
        at: start_of(Span::new(error.location, error.location)).or(Some(Position { line: 1, column: 1 })),
    }
}

/// The parser's message without what it found: a refusal may become public, and a literal in it was never meant to.
fn without_input(message: &str) -> String {
    let message = message.split(" at Line: ").next().unwrap_or(message);
    let message = message.split(", found").next().unwrap_or(message);
    let message = message.replace("Expected: ", "expected ");
    // Any quoted part may come from the text.
    message.split(['\'', '"', '`']).next().unwrap_or_default().trim_end_matches([' ', ':']).chars().take(120).collect()
}

fn parser_fault(error: &ParserError, end: Option<Position>) -> TextFault {
    match error {
        ParserError::RecursionLimitExceeded => TextFault {
            message: "the statement is nested too deeply".to_owned(),
            hint: "write the condition flat".to_owned(),
            at: Some(Position { line: 1, column: 1 }),
        },
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => TextFault {
            message: format!("this is no SQL: {}", without_input(message)),
            hint: "write SELECT keys, aggregates FROM contract.table WHERE ... GROUP BY keys".to_owned(),
            at: position_in(message).or(end),
        },
    }
}

/// Reads ` at Line: 3, Column: 7` at the end of a message of the parser.
fn position_in(message: &str) -> Option<Position> {
    let (_, place) = message.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Position { line: line.parse().ok()?, column: digits.parse().ok()? })
}

/// Whether the text asks for `EXPLAIN`, and the statement that it explains. Places stay the same: the word becomes blanks.
pub fn strip_explain(sql: &str) -> (bool, Cow<'_, str>) {
    const WORD: &str = "EXPLAIN";
    let Ok(tokens) = Tokenizer::new(&CommunDialect, sql).tokenize_with_location() else {
        return (false, Cow::Borrowed(sql));
    };
    let mut seen = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let Some(Token::Word(Word { keyword: Keyword::EXPLAIN, quote_style: None, value: _ })) = seen.next().map(|token| &token.token) else {
        return (false, Cow::Borrowed(sql));
    };
    // The blanks and comments before the word, measured by printing them, would have to be exact; the word's own place is.
    let Some(at) = tokens.iter().find(|token| matches!(token.token, Token::Word(_))).and_then(place) else {
        return (false, Cow::Borrowed(sql));
    };
    let Some(offset) = offset_of(sql, at) else { return (false, Cow::Borrowed(sql)) };
    match (sql.get(..offset), sql.get(offset..offset + WORD.len()), sql.get(offset + WORD.len()..)) {
        (Some(before), Some(word), Some(after)) if word.eq_ignore_ascii_case(WORD) => {
            (true, Cow::Owned(format!("{before}{}{after}", " ".repeat(WORD.len()))))
        }
        _ => (false, Cow::Borrowed(sql)),
    }
}

/// Byte offset of a place that the tokenizer reported.
fn offset_of(sql: &str, at: Position) -> Option<usize> {
    let (mut line, mut column) = (1, 1);
    for (offset, character) in sql.char_indices() {
        if (line, column) == (at.line, at.column) {
            return Some(offset);
        }
        if character == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
    use super::*;

    #[test]
    fn explain_becomes_blanks_so_that_places_stay() {
        assert_eq!(strip_explain("EXPLAIN SELECT 1"), (true, Cow::Borrowed("        SELECT 1")));
        assert_eq!(strip_explain(" -- é\n explain\nSELECT 1"), (true, Cow::Borrowed(" -- é\n        \nSELECT 1")));
        assert_eq!(strip_explain("/* EXPLAIN */ Explain SELECT 1").1, "/* EXPLAIN */         SELECT 1");
    }

    #[test]
    fn what_does_not_start_with_explain_is_left_as_it_is() {
        for sql in ["SELECT 1", "explained SELECT 1", "\"EXPLAIN\" SELECT 1", "-- EXPLAIN\nSELECT 1", "", "'open", "SELECT 1 EXPLAIN"] {
            assert_eq!(strip_explain(sql), (false, Cow::Borrowed(sql)));
        }
    }

    #[test]
    fn a_parse_error_has_a_place_and_does_not_repeat_literals() {
        let fault = parse("SELECT a\nFROM b WHERE 'secret person' 'x'").unwrap_err();
        assert!(!fault.message.contains("secret") && !fault.message.contains('x'), "{fault:?}");
        assert_eq!(fault.at, Some(Position { line: 2, column: 30 }));
        let fault = parse("SELECT a FROM").unwrap_err();
        assert_eq!(fault.at, Some(Position { line: 1, column: 14 }));
    }

    #[test]
    fn limits_are_limits_on_both_sides() {
        let chain = |terms: usize| format!("SELECT a FROM b WHERE {}a", "a OR ".repeat(terms));
        assert!(parse(&chain(497)).is_ok());
        assert!(parse(&chain(498)).unwrap_err().message.contains("1000 words"));
        let nested = |depth: usize| format!("SELECT a FROM b WHERE {}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse(&nested(MAX_PARENTHESES)).is_ok());
        assert!(parse(&nested(MAX_PARENTHESES + 1)).is_err());
        assert!(parse(&format!("SELECT a FROM b WHERE a IN ({}1)", "1, ".repeat(20_000))).is_ok());
        assert!(parse(&format!("SELECT a{}", " ".repeat(MAX_SQL_BYTES))).unwrap_err().message.contains("longer"));
    }

    /// Every keyword of the parser, nested in every way: none may take exponential time or use up a test thread's 2 MiB of stack.
    #[test]
    fn nothing_that_nests_takes_long_or_deep() {
        let signs = [
            "-", "+", "~", "[", "a.b.c[", "a.b.c", "a[1].", "{", "a.", "a::", "a =", "a ||", "@", ":", "a <", "'x'", "a[1]", "a.b", "a.b.",
            "a.b.c.",
        ];
        for word in sqlparser::keywords::ALL_KEYWORDS.iter().chain(&signs) {
            let started = std::time::Instant::now();
            let short = MAX_PARENTHESES - 1;
            for nested in [format!("{word} ").repeat(120), format!("{word}<").repeat(120), format!("{word}(").repeat(short)] {
                for head in ["SELECT a FROM b WHERE", "SELECT CAST(a AS"] {
                    let _ = parse(&format!("{head} {nested}"));
                }
            }
            assert!(started.elapsed().as_secs() < 5, "{word} takes {:?}", started.elapsed());
        }
    }

    #[test]
    fn a_bracket_within_a_bracket_is_refused_before_the_parser_reads_it() {
        for sql in ["SELECT a[b[1]] FROM c", "SELECT a[(b[1])] FROM c", "SELECT a.b[c.d[e FROM f"] {
            let fault = parse(sql).unwrap_err();
            assert!(fault.message.contains("within a bracket") && fault.at.is_some(), "{sql}: {}", fault.message);
        }
    }

    #[test]
    fn a_name_of_many_parts_or_with_a_part_missing_is_refused_before_the_parser_reads_it() {
        let many = format!("SELECT substr(t{}.. FROM t", ".m".repeat(30));
        for sql in
            [&many, "SELECT a.b.c.d FROM e", "SELECT (a..b) FROM e", "SELECT a.(b) FROM e", "SELECT f(a).b FROM e", "SELECT a.1 FROM e"]
        {
            let fault = parse(sql).unwrap_err();
            assert!(fault.at.is_some() && !fault.hint.is_empty(), "{sql}: {}", fault.message);
            assert!(sql.contains("FROM e") || fault.message.contains("at most 3 parts"), "{}", fault.message);
        }
        parse("SELECT a.b.c, t.*, .5, 1.5, \"A b\".\"C\" FROM a . b AS t WHERE t.x > 1.").unwrap();
    }

    #[test]
    fn hints_to_engines_are_no_comments() {
        for sql in ["SELECT /*+ x */ a FROM b", "SELECT /*! DISTINCT */ a FROM b", "SELECT a --+ x\nFROM b"] {
            assert!(parse(sql).unwrap_err().message.contains("hint"), "{sql}");
        }
        assert!(parse("SELECT /* plain /* nested */ */ a -- end\nFROM b").is_ok());
    }
}
