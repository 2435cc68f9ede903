//! Names of an open group key, as `docs/concepts/privacy.md` and `docs/reference/sql.md` tell of them: which texts are names, and how many people
//! stand behind each when every person has at most L0 of them.

use std::collections::{BTreeMap, BTreeSet};

use commun_domain::ids::QueryId;
use commun_domain::plan::{KeySource, OpenKey, PrivatePlan};

use super::keep::Key;
use super::relation::Values;
use super::value::truth;
use super::{column, month};
use crate::table::{MAX_NAME_BYTES, Row};

/// Of each partition the people behind each name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct People {
    pub(crate) partitions: Vec<BTreeMap<String, i128>>,
    /// L0 has cut names.
    pub(crate) cut: bool,
}

fn open(plan: &PrivatePlan) -> Option<&OpenKey> {
    plan.keys.iter().find_map(|key| if let KeySource::Open(open) = &key.source { Some(open) } else { None })
}

/// The name of a row: short enough, no blanks at its ends, nothing invisible.
fn name(row: &Row) -> Option<String> {
    row.maker().filter(|text| !text.is_empty() && text.len() <= MAX_NAME_BYTES && text.trim() == text && !text.contains('\u{200b}'))
}

/// What a column of a row means, an open group key's too: a place in the grid, once its names are known.
pub(super) fn meaning(plan: &PrivatePlan, row: &Row, read: &str) -> Option<i64> {
    let Some(open) = open(plan).filter(|open| open.column == read) else { return column(row, read) };
    let names = open.names.as_deref().unwrap_or_default();
    name(row).and_then(|text| (0..).zip(names).find(|(_, known)| **known == text)).map(|(place, _)| place)
}

/// The people behind each name, in each partition apart.
pub(crate) fn people(plan: &PrivatePlan, query: &QueryId, rows: &[Row]) -> People {
    let others: Vec<&KeySource> = plan.keys.iter().map(|key| &key.source).filter(|source| !matches!(source, KeySource::Open(_))).collect();
    let columns: BTreeSet<&str> = plan.table_columns().into_values().flatten().collect();
    let (key, most) = (Key::of_query(query), usize::try_from(plan.max_groups_per_person).unwrap());
    let mut people = People::default();
    for period in &plan.partitions {
        let mut persons: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.month == month(period.0)) {
            let (Some(person), Some(name)) = (row.person, name(row)) else { continue };
            let values = columns.iter().map(|of| ((*of).to_owned(), meaning(plan, row, of)));
            let values: Values = values.collect();
            let passes = plan.filter.as_ref().is_none_or(|filter| truth(filter, &|of| values[of]) == Some(true));
            if passes && others.iter().all(|source| super::place(plan, source, &values, period.0).is_some()) {
                persons.entry(person).or_default().insert(name);
            }
        }
        let mut counts = BTreeMap::new();
        for (person, names) in persons {
            let own = key.of_person(period.0, &person.to_string());
            let mut names: Vec<(u64, String)> = names.into_iter().map(|name| (own.of_name(key.of_text(&name)), name)).collect();
            names.sort();
            people.cut |= names.len() > most;
            names.into_iter().take(most).for_each(|(_, name)| *counts.entry(name).or_default() += 1);
        }
        people.partitions.push(counts);
    }
    people
}
