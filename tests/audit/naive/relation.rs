//! What is made of one person's rows in one partition before anything is bounded: `commun_domain::plan::relation`, written down once more.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use commun_domain::plan::Condition;
use commun_domain::plan::relation::{Fold, MAX_JOINED_ROWS, NullPlace, Relation, RowOrder, WindowFunction, Windowed};

use super::keep::Key;
use super::value::{truth, value};

/// A row by the names of its columns.
pub(super) type Values = BTreeMap<String, Option<i64>>;

fn of(row: &Values, expression: &commun_domain::plan::Value) -> Option<i64> {
    value(expression, &|name| row[name])
}

fn holds(row: &Values, condition: Option<&Condition>) -> bool {
    condition.is_none_or(|condition| truth(condition, &|name| row[name]) == Some(true))
}

/// The relation's rows of one person in one partition, whose rows in the table are given. `joins`: how many were evaluated before.
pub(super) fn rows(relation: &Relation, table: &[Values], key: Key, joins: &mut u32) -> Vec<Values> {
    match relation {
        Relation::Table(_) => table.to_vec(),
        Relation::Select { input, filter, columns } => {
            let kept = rows(input, table, key, joins).into_iter().filter(|row| holds(row, filter.as_ref()));
            kept.map(|row| columns.iter().map(|column| (column.name.clone(), of(&row, &column.value))).collect()).collect()
        }
        Relation::Union(inputs) => inputs.iter().flat_map(|input| rows(input, table, key, joins)).collect(),
        Relation::Join { left, right, outer, condition } => {
            let (left_rows, right_rows) = (rows(left, table, key, joins), rows(right, table, key, joins));
            *joins += 1;
            let left_rows = at_most(left_rows, key.of_side(2 * *joins));
            let right_rows = at_most(right_rows, key.of_side(2 * *joins + 1));
            let nothing: Values = names(right).into_iter().map(|name| (name, None)).collect();
            let pair = |own: &Values, other: &Values| -> Values { own.clone().into_iter().chain(other.clone()).collect() };
            let mut pairs = Vec::new();
            for own in &left_rows {
                let partners: Vec<Values> =
                    right_rows.iter().map(|other| pair(own, other)).filter(|pair| holds(pair, condition.as_ref())).collect();
                if partners.is_empty() && *outer {
                    pairs.push(pair(own, &nothing));
                }
                pairs.extend(partners);
            }
            pairs
        }
        Relation::Group { input, keys, folds } => {
            let mut groups: BTreeMap<Vec<Option<i64>>, Vec<Values>> = BTreeMap::new();
            for row in rows(input, table, key, joins) {
                groups.entry(keys.iter().map(|key| of(&row, &key.value)).collect()).or_default().push(row);
            }
            let made = |(found, rows): (Vec<Option<i64>>, Vec<Values>)| {
                let mut made: Values = keys.iter().map(|key| key.name.clone()).zip(found).collect();
                made.extend(folds.iter().map(|folded| (folded.name.clone(), fold(&folded.fold, folded.condition.as_ref(), &rows))));
                made
            };
            groups.into_iter().map(made).collect()
        }
        Relation::Window { input, columns } => {
            let all = rows(input, table, key, joins);
            let windowed = |number: usize| {
                let mut made = all[number].clone();
                for Windowed { name, function, keys, order: by } in columns {
                    let same = |other: &usize| keys.iter().all(|key| of(&all[*other], key) == of(&all[number], key));
                    let mut window: Vec<usize> = (0..all.len()).filter(same).collect();
                    // Rows that are equal in everything keep their order, so each has a place of its own.
                    window.sort_by(|a, b| order(by, &all[*a], &all[*b]).then_with(|| all[*a].values().cmp(all[*b].values())));
                    let place = window.iter().position(|other| *other == number).unwrap();
                    let window: Vec<&Values> = window.into_iter().map(|other| &all[other]).collect();
                    made.insert(name.clone(), looked_up(function, by, &window, place));
                }
                made
            };
            (0..all.len()).map(windowed).collect()
        }
    }
}

/// The columns of a relation that is no table.
fn names(relation: &Relation) -> BTreeSet<String> {
    match relation {
        Relation::Table(_) => BTreeSet::new(),
        Relation::Select { columns, .. } => columns.iter().map(|column| column.name.clone()).collect(),
        Relation::Union(inputs) => inputs.first().map(names).unwrap_or_default(),
        Relation::Join { left, right, .. } => names(left).into_iter().chain(names(right)).collect(),
        Relation::Group { keys, folds, .. } => {
            keys.iter().map(|key| key.name.clone()).chain(folds.iter().map(|folded| folded.name.clone())).collect()
        }
        Relation::Window { input, columns } => names(input).into_iter().chain(columns.iter().map(|column| column.name.clone())).collect(),
    }
}

/// Of too many rows those with the smallest numbers; equal rows are told apart by counting.
fn at_most(rows: Vec<Values>, key: Key) -> Vec<Values> {
    if rows.len() <= MAX_JOINED_ROWS as usize {
        return rows;
    }
    let mut occurrences: BTreeMap<Values, u64> = BTreeMap::new();
    let mut numbered: Vec<_> = rows
        .into_iter()
        .map(|row| {
            let occurrence = occurrences.entry(row.clone()).or_default();
            *occurrence += 1;
            (key.of_row(row.values(), *occurrence - 1), row, *occurrence - 1)
        })
        .collect();
    numbered.sort();
    numbered.into_iter().take(MAX_JOINED_ROWS as usize).map(|(_, row, _)| row).collect()
}

fn fold(fold: &Fold, condition: Option<&Condition>, rows: &[Values]) -> Option<i64> {
    let rows = rows.iter().filter(|row| holds(row, condition));
    let values = |expression| rows.clone().filter_map(move |row| of(row, expression));
    match fold {
        Fold::Rows => i64::try_from(rows.count()).ok(),
        Fold::Known(expression) => i64::try_from(values(expression).count()).ok(),
        Fold::Distinct(expression) => i64::try_from(values(expression).collect::<BTreeSet<i64>>().len()).ok(),
        Fold::Sum(expression) => values(expression).map(i128::from).reduce(|a, b| a + b).map(|sum| i64::try_from(sum).unwrap()),
        Fold::Min(expression) => values(expression).min(),
        Fold::Max(expression) => values(expression).max(),
    }
}

fn order(by: &[RowOrder], a: &Values, b: &Values) -> Ordering {
    let mut all = by.iter().map(|RowOrder { value, descending, nulls }| match (of(a, value), of(b, value)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => {
            if *nulls == NullPlace::First {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
        (Some(_), None) => {
            if *nulls == NullPlace::First {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (Some(a), Some(b)) => {
            if *descending {
                b.cmp(&a)
            } else {
                a.cmp(&b)
            }
        }
    });
    all.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// A window function for the row at a place of its window.
fn looked_up(function: &WindowFunction, by: &[RowOrder], window: &[&Values], place: usize) -> Option<i64> {
    let row = window[place];
    let before: Vec<&Values> = window.iter().copied().filter(|other| order(by, other, row) == Ordering::Less).collect();
    match function {
        WindowFunction::RowNumber => i64::try_from(place + 1).ok(),
        WindowFunction::Rank => i64::try_from(before.len() + 1).ok(),
        WindowFunction::DenseRank => {
            let mut places: Vec<&Values> = Vec::new();
            for other in before {
                if places.iter().all(|known| order(by, known, other) != Ordering::Equal) {
                    places.push(other);
                }
            }
            i64::try_from(places.len() + 1).ok()
        }
        WindowFunction::Shift { value, by } => {
            let away = usize::try_from(i64::try_from(place).unwrap() + i64::from(*by)).ok()?;
            window.get(away).and_then(|other| of(other, value))
        }
        WindowFunction::First(value) => of(window[0], value),
        WindowFunction::Fold { fold: what, condition } => {
            let upto = window.iter().filter(|other| order(by, other, row) != Ordering::Greater);
            fold(what, condition.as_ref(), &upto.map(|other| (*other).clone()).collect::<Vec<_>>())
        }
    }
}
