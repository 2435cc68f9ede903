//! Arguments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

/// Ask statistical questions of data that stay with their holders; draft, sign and publish permits.
#[derive(Debug, Parser)]
#[command(name = "commun", version, about)]
pub struct Args {
    /// Profile: coordinator, certificate, keys and pins. Default: `commun/profile.toml` under `$XDG_CONFIG_HOME` or `~/.config`
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Read the profile, its keys and certificates, say whether they are in order, and stop
    #[arg(long)]
    pub check_config: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a question: signed with the profile's key, answered with margins of error
    Query(QueryArgs),
    /// Price, budget left and expected margins of a question, free
    Explain(ExplainArgs),
    /// A question on this machine, free: over rows made up from a data contract, or over a table of your own; EXPLAIN before it only shows
    /// price and margins
    Try(TryArgs),
    /// Data contracts and permits that the coordinator offers
    Catalog,
    /// Holders connected, log and budgets (for officers and operators)
    Status,
    /// The whole log in words, verified from the pin to the signed root (for officers and operators)
    Log {
        /// Print entries from this number on; all are verified
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: u64,
    },
    /// Draft, sign, show and publish permits
    #[command(subcommand)]
    Permit(DocumentCommand),
    /// Draft, sign, show and publish data contracts
    #[command(subcommand)]
    Contract(DocumentCommand),
    /// Make and show signing keys
    #[command(subcommand)]
    Key(KeyCommand),
}

/// One question.
#[derive(Clone, Debug, ClapArgs)]
pub struct QuestionArgs {
    /// SQL text; `-` or nothing reads standard input. May start with `SET commun.epsilon = 0.5;` and the like
    pub sql: Option<String>,
    /// Read the SQL text from a file
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// Hash of the permit, or its first digits; default: the profile's, or the only one there is
    #[arg(long)]
    pub permit: Option<String>,
    /// Privacy loss asked for, as epsilon at the data contract's delta
    #[arg(long)]
    pub epsilon: Option<String>,
    /// Privacy loss asked for, as rho
    #[arg(long, conflicts_with = "epsilon")]
    pub rho: Option<String>,
    /// Precision asked for instead: the least price at which no row's 95 % margin of a count or sum is larger; of the first one, or of COLUMN
    #[arg(long, value_name = "[COLUMN=]MARGIN", conflicts_with_all = ["epsilon", "rho"])]
    pub margin: Option<String>,
    /// Highest price accepted, as rho; default: what the question costs by the public rules
    #[arg(long)]
    pub max_rho: Option<String>,
    /// Fewest noise shares that must surely count (h); more keep the answer secret from more colluding holders, and fewer cohorts can give them
    #[arg(long, value_name = "H", value_parser = clap::value_parser!(u32).range(1..))]
    pub least_honest: Option<u32>,
    /// Most groups of one person in one period that count; default 1
    #[arg(long)]
    pub max_groups_per_person: Option<u32>,
    /// Also release, for 5 % of the price, how many people did not count in full because they are over the bounds on groups or rows
    #[arg(long)]
    pub clipped: bool,
    /// Do not accept a result released before today (UTC)
    #[arg(long)]
    pub fresh: bool,
}

/// How the numbers of an answer are shown. Nothing of it is part of the question, so a stored answer may be shown in each way, free.
#[derive(Clone, Copy, Debug, Default, ClapArgs)]
#[group(multiple = false)]
pub struct ShownArgs {
    /// Leave out the columns with margins of error
    #[arg(long)]
    pub no_intervals: bool,
    /// Widen the margins so that all of them hold at once in 95 % of all cases, not each for itself, as --margin means them
    #[arg(long)]
    pub simultaneous: bool,
    /// Show counts, and sums that cannot be below 0, as whole numbers that are nowhere below 0 and add up, without margins
    #[arg(long)]
    pub consistent: bool,
}

/// A question that is asked.
#[derive(Debug, ClapArgs)]
pub struct QueryArgs {
    /// What is asked
    #[command(flatten)]
    pub question: QuestionArgs,
    /// How its numbers are shown
    #[command(flatten)]
    pub shown: ShownArgs,
    /// Also write who answered, price and margins as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// A question that is tried out.
#[derive(Debug, ClapArgs)]
pub struct TryArgs {
    /// SQL text; `-` or nothing reads standard input
    pub sql: Option<String>,
    /// Data contract: its TOML draft, or a *.signed file
    #[arg(long, value_name = "FILE")]
    pub contract: PathBuf,
    /// Own rows, .csv or .parquet, with the columns of the contract's table; TABLE=FILE for each table when the question reads several.
    /// Without, rows are made up
    #[arg(long, value_name = "[TABLE=]FILE")]
    pub data: Vec<String>,
    /// Read the SQL text from a file
    #[arg(long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// Holders for which --margin and EXPLAIN reckon; the answer itself is that of one
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub holders: u32,
    /// Persons that are made up
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub persons: u64,
    /// Privacy loss asked for, as epsilon at the data contract's delta; default 1
    #[arg(long)]
    pub epsilon: Option<String>,
    /// Privacy loss asked for, as rho
    #[arg(long, conflicts_with = "epsilon")]
    pub rho: Option<String>,
    /// Precision asked for instead: the least price at which no row's 95 % margin of a count or sum is larger; of the first one, or of COLUMN
    #[arg(long, value_name = "[COLUMN=]MARGIN", conflicts_with_all = ["epsilon", "rho"])]
    pub margin: Option<String>,
    /// Most groups of one person in one period that count; default 1
    #[arg(long)]
    pub max_groups_per_person: Option<u32>,
    /// Also release, for 5 % of the price, how many people did not count in full because they are over the bounds on groups or rows
    #[arg(long)]
    pub clipped: bool,
    /// How many values a row of the answer has, for the margins of averages that EXPLAIN shows: you assume it, nobody looks
    #[arg(long, value_name = "N")]
    pub values_per_row: Option<u64>,
    /// How its numbers are shown
    #[command(flatten)]
    pub shown: ShownArgs,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Also write so many answers, each with its own noise, as Parquet
    #[arg(long, value_name = "N", requires = "out", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub repeat: Option<u64>,
    /// File for --repeat
    #[arg(long, value_name = "FILE", requires = "repeat")]
    pub out: Option<PathBuf>,
}

/// A question that is only priced.
#[derive(Debug, ClapArgs)]
pub struct ExplainArgs {
    /// What would be asked
    #[command(flatten)]
    pub question: QuestionArgs,
    /// How many values a row of the answer has, for the margins of averages: you assume it, nobody looks
    #[arg(long, value_name = "N")]
    pub values_per_row: Option<u64>,
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Csv,
}

/// Work on a document that officers sign.
#[derive(Debug, Subcommand)]
pub enum DocumentCommand {
    /// Turn a TOML draft into canonical bytes, unsigned
    Draft {
        /// TOML draft
        draft: PathBuf,
        /// Data contract that a permit is for: its *.signed file (permits only)
        #[arg(long)]
        contract: Option<PathBuf>,
        /// File to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Show the document, then add a signature to it
    Sign {
        /// Document
        document: PathBuf,
        /// Officer's Ed25519 key
        #[arg(long)]
        key: PathBuf,
    },
    /// Show everything that the document says, its hash, and who signed
    Show {
        /// Document
        document: PathBuf,
        /// Trust bundle whose officers' keys are looked for: its *.signed file
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
    },
    /// Have the coordinator check it and write it into the log
    Publish {
        /// Document
        document: PathBuf,
    },
}

/// Signing keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a new Ed25519 key (mode 0600) and print its public half
    New {
        /// File to write; never overwritten
        #[arg(long)]
        out: PathBuf,
    },
    /// Print the public half of a key
    Show {
        /// Key
        key: PathBuf,
    },
}
