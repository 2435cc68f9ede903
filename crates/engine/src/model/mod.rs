//! The meaning of a plan over rows in memory, as slow and as plain as it can be said: what the engine must agree with, integer by integer.
//!
//! Only the pseudo-random choice of groups and values is the engine's; reading, conditions, keys, bounds and sums are this module's own.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

pub(crate) mod random;
pub(crate) mod run;
pub(crate) mod value;

use std::collections::BTreeMap;

use commun_domain::contract::{ColumnType, DataContract};
use commun_domain::ids::QueryId;
use commun_domain::plan::{Aggregate, Condition, KeySource, Measured, Output, PrivatePlan};

use crate::bound::PrfKey;

/// A row of the test's table, before anything is read from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) person: Option<String>,
    pub(crate) month: Option<String>,
    pub(crate) home: Option<String>,
    /// In tenths.
    pub(crate) km: Option<i64>,
    pub(crate) train: Option<bool>,
    /// In seconds since 1970.
    pub(crate) at: Option<i64>,
}

/// A question over rows.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) contract: DataContract,
    pub(crate) plan: PrivatePlan,
    pub(crate) query: QueryId,
    pub(crate) rows: Vec<Raw>,
}

/// A row as the plan sees it.
type Ints = BTreeMap<String, Option<i64>>;

/// A person in a partition.
type Who = (String, usize);

impl Case {
    /// Every output over the grid.
    pub(crate) fn answer(&self) -> Vec<Vec<i128>> {
        let cells = usize::try_from(self.plan.cells().unwrap()).unwrap();
        let zeros = |output: &Output| vec![0i128; cells * usize::try_from(output.aggregate.width()).unwrap()];
        let mut outputs: Vec<Vec<i128>> = self.plan.outputs.iter().map(zeros).collect();
        for (who, groups) in self.kept() {
            let key = self.key(&who);
            for (cell, rows) in groups {
                for (output, totals) in self.plan.outputs.iter().zip(&mut outputs) {
                    let parts = contribution(output, &rows, key, cell);
                    let width = parts.len();
                    totals[cell as usize * width..][..width].iter_mut().zip(parts).for_each(|(total, part)| *total += part);
                }
            }
        }
        outputs
    }

    /// The rows that count, by person in a partition and by cell, before any bound.
    pub(crate) fn groups(&self) -> BTreeMap<Who, BTreeMap<u32, Vec<Ints>>> {
        let mut groups: BTreeMap<Who, BTreeMap<u32, Vec<Ints>>> = BTreeMap::new();
        for raw in &self.rows {
            let Some(person) = raw.person.as_ref().filter(|person| !person.trim().is_empty()) else { continue };
            let known = |period| Some(self.plan.calendar.format(period)) == raw.month;
            let Some(partition) = self.plan.partitions.iter().position(|period| known(*period)) else { continue };
            let row = self.read(raw);
            if self.plan.filter.as_ref().is_some_and(|filter| !holds(filter, &row)) {
                continue;
            }
            let Some(cell) = self.cell(&row, partition) else { continue };
            groups.entry((person.clone(), partition)).or_default().entry(cell).or_default().push(row);
        }
        groups
    }

    /// Of them, at most L0 groups: those with the smallest numbers.
    fn kept(&self) -> BTreeMap<Who, Vec<(u32, Vec<Ints>)>> {
        let choose = |(who, groups): (Who, BTreeMap<u32, Vec<Ints>>)| {
            let key = self.key(&who);
            let mut groups: Vec<_> = groups.into_iter().collect();
            groups.sort_by_key(|(cell, _)| (key.group(*cell), *cell));
            groups.truncate(self.plan.max_groups_per_person as usize);
            (who, groups)
        };
        self.groups().into_iter().map(choose).collect()
    }

    fn key(&self, (person, partition): &Who) -> PrfKey {
        PrfKey::of_query(&self.query).of_person(self.plan.partitions[*partition], person.as_bytes())
    }

    fn read(&self, raw: &Raw) -> Ints {
        let read = |name: &str, column_type: &ColumnType| match column_type {
            ColumnType::Code { list, version } => {
                let codes = &self.contract.code_list(list, version).unwrap().codes;
                let place = codes.iter().position(|code| Some(&code.code) == raw.home.as_ref())?;
                Some(i64::try_from(place).unwrap())
            }
            ColumnType::Number { lo, hi, .. } => raw.km.map(|km| km.clamp(*lo, *hi)),
            ColumnType::Boolean => raw.train.map(i64::from),
            ColumnType::OpenText { .. } => None,
            ColumnType::Time { lo, hi } => raw.at.filter(|at| name == "at" && lo <= at && at <= hi),
        };
        let columns = &self.contract.table(self.plan.relation.as_table().unwrap()).unwrap().columns;
        columns.iter().map(|column| (column.name.clone(), read(&column.name, &column.column_type))).collect()
    }

    /// Row-major.
    fn cell(&self, row: &Ints, partition: usize) -> Option<u32> {
        let mut cell = 0;
        for key in &self.plan.keys {
            let place = match &key.source {
                KeySource::Partition => partition,
                KeySource::Open(_) => return None,
                KeySource::Values { value, values, .. } => {
                    let found = value::naive(value, &|name| row[name])?;
                    values.iter().position(|value| *value == found)?
                }
            };
            cell = cell * key.cardinality(&self.plan) + place;
        }
        Some(u32::try_from(cell).unwrap())
    }
}

fn holds(condition: &Condition, row: &Ints) -> bool {
    value::truth(condition, &|name| row[name]) == Some(true)
}

/// What one person adds to the numbers of one cell.
fn contribution(output: &Output, rows: &[Ints], key: PrfKey, cell: u32) -> Vec<i128> {
    let rows: Vec<&Ints> = rows.iter().filter(|row| output.condition.as_ref().is_none_or(|condition| holds(condition, row))).collect();
    // The values that are not NULL, clamped.
    let values = |measured: &Measured| -> Vec<i128> {
        let value = |row: &&Ints| value::naive(&measured.value, &|name| row[name]);
        rows.iter().filter_map(value).map(|value| i128::from(value.clamp(measured.lo, measured.hi))).collect()
    };
    let refined = |measured: &Measured, linf: u32, of: &dyn Fn(i128, i128) -> i128| {
        let (lo, hi) = (i128::from(measured.lo), i128::from(measured.hi));
        let values = values(measured);
        let count = i128::try_from(values.len()).unwrap();
        let sum: i128 = values.iter().map(|x| of(2 * x - (lo + hi), hi - lo)).sum();
        vec![if count == 0 { 0 } else { (1 << 20) * count.min(linf.into()) * sum / count }]
    };
    match &output.aggregate {
        Aggregate::CountRows { max_rows_per_person } => vec![i128::try_from(rows.len()).unwrap().min((*max_rows_per_person).into())],
        Aggregate::CountUnits => vec![i128::from(!rows.is_empty())],
        Aggregate::Sum { measured, max_rows_per_person } => {
            let linf = i128::from(*max_rows_per_person);
            let (least, most) = (linf * i128::from(measured.lo.min(0)), linf * i128::from(measured.hi.max(0)));
            vec![values(measured).iter().sum::<i128>().clamp(least, most)]
        }
        Aggregate::CentredSum { measured, max_rows_per_person } => refined(measured, *max_rows_per_person, &|v, _| v),
        Aggregate::CentredSquares { measured, max_rows_per_person } => {
            refined(measured, *max_rows_per_person, &|v, range| 2 * v * v - range * range)
        }
        Aggregate::Histogram { measured, bins_log2, max_rows_per_person } => {
            let bins = 1i128 << bins_log2;
            let (lo, hi) = (i128::from(measured.lo), i128::from(measured.hi));
            let mut chosen: Vec<(u16, u64)> = Vec::new();
            let mut seen: BTreeMap<u16, u64> = BTreeMap::new();
            for value in values(measured) {
                let bin = u16::try_from((value - lo) * bins / (hi - lo + 1)).unwrap();
                let occurrence = seen.entry(bin).or_default();
                chosen.push((bin, *occurrence));
                *occurrence += 1;
            }
            if chosen.len() > *max_rows_per_person as usize {
                chosen.sort_by_key(|(bin, occurrence)| (key.value(cell, *bin, *occurrence), *bin, *occurrence));
                chosen.truncate(*max_rows_per_person as usize);
            }
            let mut nodes = vec![0; usize::try_from(2 * bins - 1).unwrap()];
            for (bin, _) in chosen {
                // Level by level from the root, whose level is 0.
                for level in 0..=*bins_log2 {
                    nodes[(1usize << level) - 1 + (usize::from(bin) >> (bins_log2 - level))] += 1;
                }
            }
            nodes
        }
    }
}
