//! The data contract and the permits of the sandbox's federations, as their drafts.

use std::fmt::Write as _;
use std::sync::LazyLock;

/// The demo's data contract: 43 arrondissements, 1,849 cells.
pub(crate) const DEMO_CONTRACT: &str = include_str!("../../../deploy/demo/data/mobility.toml");

/// Three arrondissements, two tables. The code list ends a year before the partitions do.
pub(crate) const CONTRACT: &str = r#"
name = "mobility"
version = 1
titles = { fr = "m", nl = "m", de = "m", en = "Mobility" }
max_groups_per_person = 4
max_holders_per_person = 1

[unit]
kind = "person"
column = "subscriber_id"

[partition]
column = "ref_month"
calendar = "month"
first = "2010-01"
last = "2012-12"

[budget]
domain = "mobility"
rho_cap = "0.5"
delta_conv = "1e-9"

[[table]]
name = "commute"
max_rows_per_person = 1
max_rows = 100000
titles = { fr = "c", nl = "c", de = "c", en = "Commutes" }
[[table.column]]
name = "home_arr"
type = "code"
list = "arrondissement"
version = "2019"
titles = { fr = "h", nl = "h", de = "h", en = "Home" }
[[table.column]]
name = "work_arr"
type = "code"
list = "arrondissement"
version = "2019"
titles = { fr = "w", nl = "w", de = "w", en = "Work" }

[[table]]
name = "stay"
max_rows_per_person = 2
max_rows = 100000
titles = { fr = "s", nl = "s", de = "s", en = "Stays" }
[[table.column]]
name = "arr"
type = "code"
list = "arrondissement"
version = "2019"
titles = { fr = "a", nl = "a", de = "a", en = "Place" }
[[table.column]]
name = "nights"
type = "number"
lo = 0
hi = 10
titles = { fr = "n", nl = "n", de = "n", en = "Nights" }

[[code_list]]
name = "arrondissement"
version = "2019"
valid_from = "2010-01"
valid_to = "2011-12"
codes = [
    { code = "11000", titles = { fr = "Anvers", nl = "Antwerpen", de = "Antwerpen", en = "Antwerp" } },
    { code = "21000", titles = { fr = "Bruxelles", nl = "Brussel", de = "Brüssel", en = "Brussels" } },
    { code = "62000", titles = { fr = "Liège", nl = "Luik", de = "Lüttich", en = "Liège" } },
]
"#;

/// The same with a third table, whose column of open text holds employers of at most 24 bytes.
pub(crate) fn jobs_contract() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let table = r#"[[table]]
name = "job"
max_rows_per_person = 1
max_rows = 100000
titles = { fr = "j", nl = "j", de = "j", en = "Jobs" }
[[table.column]]
name = "employer"
type = "open_text"
max_bytes = 24
titles = { fr = "e", nl = "e", de = "e", en = "Employer" }

[[code_list]]"#;
        let text = CONTRACT.replacen("delta_conv = \"1e-9\"", "delta_conv = \"1e-9\"\ndelta_keys = \"5e-9\"", 1);
        text.replacen("[[code_list]]", table, 1)
    });
    &TEXT
}

/// What a permit allows; the default allows the commutes of the sandbox.
#[derive(Clone, Debug)]
pub(crate) struct PermitSpec {
    /// Reference in the register.
    pub(crate) reference: &'static str,
    /// Budget.
    pub(crate) rho_cap: &'static str,
    /// First instant.
    pub(crate) valid_from: &'static str,
    /// First instant past validity.
    pub(crate) valid_until: &'static str,
    /// Whether a holder's own answer may leave it.
    pub(crate) unmasked: bool,
    /// Tables and their columns.
    pub(crate) tables: Vec<(&'static str, &'static [&'static str])>,
    /// Whether names of open group keys may leave, and for how much delta.
    pub(crate) open_keys: Option<&'static str>,
}

impl Default for PermitSpec {
    fn default() -> Self {
        Self {
            reference: "SANDBOX-1",
            rho_cap: "0.4",
            valid_from: "2020-01-01T00:00:00Z",
            valid_until: "2090-01-01T00:00:00Z",
            unmasked: true,
            tables: vec![("commute", &["home_arr", "work_arr"])],
            open_keys: None,
        }
    }
}

impl PermitSpec {
    /// A permit for employers; without `open_keys` their names may not leave.
    pub(crate) fn jobs(open_keys: Option<&'static str>) -> Self {
        Self { tables: vec![("job", &["employer"])], open_keys, ..Self::default() }
    }

    /// The draft, for questions that this public key (base16) signs.
    pub(crate) fn draft(&self, query_key: &str) -> String {
        let Self { reference, rho_cap, valid_from, valid_until, unmasked, tables, open_keys } = self;
        let (class, delta_cap) = open_keys.map_or_else(Default::default, |delta| (", \"open_keys\"", format!("delta_cap = \"{delta}\"\n")));
        let mut text = format!(
            r#"reference = "{reference}"
agency = "statbel"
query_keys = ["{query_key}"]
purpose = "Tests of the sandbox"
legal_basis = "None: synthetic data"
decision_ref = "Decision 1"
decision_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
controller = "Sandbox"
prohibited_uses = ["Decisions about single persons"]
query_classes = ["count_units", "count_rows", "sum"{class}]
unmasked = {unmasked}
publication_delay_days = 0
valid_from = {valid_from}
valid_until = {valid_until}
"#
        );
        for (table, columns) in tables {
            write!(text, "\n[[tables]]\ntable = \"{table}\"\ncolumns = {columns:?}\n").unwrap();
        }
        write!(text, "\n[budget]\nrho_cap = \"{rho_cap}\"\n{delta_cap}").unwrap();
        text
    }
}
