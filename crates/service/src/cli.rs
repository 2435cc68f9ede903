//! Command lines: clap, with its own exit code 2 mapped to 64, because 2 means "refused" here.

use std::ffi::OsString;

use crate::exit;

/// Parses a command line whose first item is the program's name.
///
/// # Errors
/// The exit code to end with, after help or version were printed to stdout (0) or what is wrong to stderr (64).
pub fn parse_cli<P: clap::Parser>(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<P, u8> {
    P::try_parse_from(args).map_err(|error| {
        let code = if error.use_stderr() { exit::USAGE } else { exit::DONE };
        // Nowhere is left to say that the terminal cannot be written to.
        let _ = error.print();
        code
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    #[command(name = "sample", version = "1.2.3")]
    struct Sample {
        #[arg(long)]
        config: String,
    }

    #[test]
    fn a_good_command_line_is_parsed() {
        let sample: Sample = parse_cli(["sample", "--config", "a.toml"]).expect("good arguments");
        assert_eq!(sample.config, "a.toml");
    }

    #[test]
    fn bad_usage_ends_with_64_and_help_and_version_with_0() {
        for (args, code) in [
            (vec!["sample"], exit::USAGE),
            (vec!["sample", "--confug", "a.toml"], exit::USAGE),
            (vec!["sample", "--config", "a.toml", "extra"], exit::USAGE),
            (vec!["sample", "--help"], exit::DONE),
            (vec!["sample", "--version"], exit::DONE),
        ] {
            assert_eq!(parse_cli::<Sample>(args.clone()).err(), Some(code), "{args:?}");
        }
    }
}
