//! A small data contract for tests: codes of two versions, a number, a boolean, months of 2011 to 2013.
#![allow(clippy::unwrap_used, reason = "a fixture that does not parse is a broken test")]

use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::units::Epsilon;

/// The contract of all tests and of the reference page.
pub(crate) const CONTRACT: &str = r#"
name = "mobility"
version = 1
titles = { fr = "Mobilité", nl = "Mobiliteit", de = "Mobilität", en = "Mobility" }
max_groups_per_person = 3
max_holders_per_person = 2
[unit]
kind = "person"
column = "subscriber_id"
[partition]
column = "ref_month"
calendar = "month"
first = "2011-01"
last = "2013-12"
[budget]
domain = "mobility"
rho_cap = "0.5"
delta_conv = "1e-9"

[[table]]
name = "commute"
titles = { fr = "", nl = "", de = "", en = "Commutes" }
max_rows_per_person = 4
max_rows = 1000000
[[table.column]]
name = "home_arr"
type = "code"
list = "arr"
version = "2011"
titles = { fr = "", nl = "", de = "", en = "Home" }
[[table.column]]
name = "home_arr_2013"
type = "code"
list = "arr"
version = "2013"
titles = { fr = "", nl = "", de = "", en = "Home, districts of 2013" }
[[table.column]]
name = "mode"
type = "code"
list = "mode"
version = "1"
titles = { fr = "", nl = "", de = "", en = "Mode" }
[[table.column]]
name = "km"
type = "number"
lo = 0
hi = 5000
scale = 1
titles = { fr = "", nl = "", de = "", en = "Kilometres" }
[[table.column]]
name = "trips"
type = "number"
lo = -5
hi = 100
titles = { fr = "", nl = "", de = "", en = "Trips" }
[[table.column]]
name = "works"
type = "boolean"
titles = { fr = "", nl = "", de = "", en = "Works" }

[[code_list]]
name = "arr"
version = "2011"
valid_from = "2000-01"
valid_to = "2012-12"
codes = [
  { code = "21000", titles = { fr = "Bruxelles", nl = "Brussel", de = "Brüssel", en = "Brussels" } },
  { code = "11000", titles = { fr = "Anvers", nl = "Antwerpen", de = "Antwerpen", en = "Antwerp" } },
  { code = "62000", titles = { fr = "Liège", nl = "Luik", de = "Lüttich", en = "Liege" } },
]
[[code_list]]
name = "arr"
version = "2013"
valid_from = "2013-01"
valid_to = "2030-12"
codes = [{ code = "21000", titles = { fr = "Bruxelles", nl = "Brussel", de = "Brüssel", en = "Brussels" } }]
[[code_list]]
name = "mode"
version = "1"
valid_from = "2000-01"
valid_to = "2013-06"
codes = [
  { code = "car", titles = { fr = "Voiture", nl = "Auto", de = "Auto", en = "Car" } },
  { code = "train", titles = { fr = "Train", nl = "Trein", de = "Zug", en = "Train" } },
  { code = "bike", titles = { fr = "Vélo", nl = "Fiets", de = "Fahrrad", en = "Bicycle" } },
  { code = "o'neil", titles = { fr = "", nl = "", de = "", en = "" } },
]
"#;

pub(crate) fn contract() -> DataContract {
    parse_contract(CONTRACT).unwrap()
}

pub(crate) fn settings(max_groups_per_person: u32) -> QuerySettings {
    QuerySettings { price: PriceRequest::Epsilon(Epsilon::from_units(1_000_000)), max_groups_per_person, intervals: true }
}
