//! `SET commun.x = y;` before a question: the session settings of the wire interfaces, read by the command line too.

use commun_privacy::answer::Intervals;
use commun_sql::strip_explain;

use crate::error::CliError;

/// Settings written before the question; a flag of the same meaning goes first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `commun.permit`
    pub permit: Option<String>,
    /// `commun.epsilon`
    pub epsilon: Option<String>,
    /// `commun.rho`
    pub rho: Option<String>,
    /// `commun.margin`
    pub margin: Option<String>,
    /// `commun.max_groups_per_person`
    pub max_groups_per_person: Option<u32>,
    /// `commun.intervals`
    pub intervals: Option<Intervals>,
    /// `commun.clipped`
    pub clipped: Option<bool>,
}

/// Whether a question is to be explained only, and the text with its `SET` statements and without that word.
///
/// # Errors
/// Those of [`split`].
pub(crate) fn without_explain(text: &str) -> Result<(bool, String), CliError> {
    let question = split(text)?.1;
    let set = text.strip_suffix(question).unwrap_or_default();
    let (explained, question) = strip_explain(question);
    Ok((explained, format!("{set}{question}")))
}

/// Splits leading `SET` statements from the question.
///
/// # Errors
/// A setting that does not exist, or a value of another kind.
pub fn split(text: &str) -> Result<(Settings, &str), CliError> {
    let mut settings = Settings::default();
    let mut rest = text.trim_start();
    while let Some(tail) = strip_word(rest, "set") {
        let (statement, next) =
            tail.split_once(';').ok_or_else(|| CliError::Usage("SET ends with a semicolon, before the question".to_owned()))?;
        let (name, value) =
            statement.split_once('=').ok_or_else(|| CliError::Usage(format!("write SET name = value; not \"SET{statement}\"")))?;
        let value = value.trim().trim_matches('\'').to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "commun.permit" => settings.permit = Some(value),
            "commun.epsilon" => settings.epsilon = Some(value),
            "commun.rho" => settings.rho = Some(value),
            "commun.margin" => settings.margin = Some(value),
            "commun.max_groups_per_person" => {
                let number =
                    value.parse().map_err(|_| CliError::Usage(format!("commun.max_groups_per_person: \"{value}\" is no count")))?;
                settings.max_groups_per_person = Some(number);
            }
            "commun.intervals" => {
                settings.intervals = Some(match value.to_ascii_lowercase().as_str() {
                    "on" | "true" | "1" => Intervals::Each,
                    "simultaneous" => Intervals::All,
                    "off" | "false" | "0" => Intervals::None,
                    _ => return Err(CliError::Usage(format!("commun.intervals: \"{value}\" is none of on, off and simultaneous"))),
                });
            }
            "commun.clipped" => {
                settings.clipped = Some(match value.to_ascii_lowercase().as_str() {
                    "on" | "true" | "1" => true,
                    "off" | "false" | "0" => false,
                    _ => return Err(CliError::Usage(format!("commun.clipped: \"{value}\" is neither on nor off"))),
                });
            }
            other => {
                return Err(CliError::Usage(format!(
                    "there is no setting {other}; there are commun.permit, commun.epsilon, commun.rho, commun.margin, commun.max_groups_per_person, commun.intervals and commun.clipped"
                )));
            }
        }
        rest = next.trim_start();
    }
    if [&settings.epsilon, &settings.rho, &settings.margin].into_iter().flatten().count() > 1 {
        return Err(CliError::Usage("set one of commun.epsilon, commun.rho and commun.margin".to_owned()));
    }
    Ok((settings, rest))
}

fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(word.len())?;
    (head.eq_ignore_ascii_case(word) && tail.starts_with(char::is_whitespace)).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_settings_are_taken_and_the_question_is_left_as_it_is() {
        let (settings, sql) = split("SET commun.epsilon = 0.5;\nset commun.intervals = off;  SELECT 1").expect("settings");
        assert_eq!(settings.epsilon.as_deref(), Some("0.5"));
        assert_eq!(settings.intervals, Some(Intervals::None));
        let (settings, _) = split("SET commun.intervals = Simultaneous; SELECT 1").expect("settings");
        assert_eq!(settings.intervals, Some(Intervals::All));
        let (settings, _) = split("SET commun.clipped = on; SELECT 1").expect("settings");
        assert_eq!(settings.clipped, Some(true));
        assert!(split("SET commun.clipped = 2; SELECT 1").is_err());
        assert_eq!(sql, "SELECT 1");
        assert_eq!(split("SELECT 'SET x'").expect("no settings").1, "SELECT 'SET x'");
    }

    #[test]
    fn the_word_explain_goes_and_settings_stay() {
        let text = " SET commun.rho = 1;\nEXPLAIN  SELECT 1 ";
        let (explained, rest) = without_explain(text).expect("settings");
        assert!(explained && rest.starts_with(" SET commun.rho = 1;\n") && !rest.contains("EXPLAIN"), "{rest}");
        assert_eq!(split(&rest).expect("settings").1.trim(), "SELECT 1");
        assert_eq!(without_explain(&rest).expect("settings"), (false, rest));
    }

    #[test]
    fn unknown_settings_and_two_prices_are_refused() {
        assert!(split("SET commun.noise = 0; SELECT 1").is_err());
        assert!(split("SET commun.rho = 1; SET commun.epsilon = 1; SELECT 1").is_err());
        assert!(split("SET commun.rho = 1; SET commun.margin = 50; SELECT 1").is_err());
        assert!(split("SET commun.rho 1").is_err());
        assert_eq!(split("SET commun.margin = 'people=50'; SELECT 1").expect("settings").0.margin.as_deref(), Some("people=50"));
    }
}
