//! A plan made executable: which columns of the bound table to read and how, where a row falls in the grid, and what it is worth.
//!
//! Everything here follows from plan and data contract; a batch of rows only goes through it.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, RecordBatch};
use commun_domain::contract::DataContract;
use commun_domain::ids::QueryId;
use commun_domain::plan::{Aggregate, KeySource, Literal, PLAN_VERSION, Predicate, PrivatePlan};

use crate::EngineError;
use crate::bound::{BUCKETS, Bounds, Bucket, Contribution};
use crate::columns::{Reading, Texts, Values};
use crate::filter;

/// A column of the bound table that the plan needs.
pub(crate) struct Needed {
    pub(crate) name: String,
    pub(crate) reading: Reading,
}

enum Key {
    Code { column: usize, places: HashMap<String, u32> },
    Boolean { column: usize },
    Partition,
}

struct SumColumn {
    column: usize,
    lo: i64,
    hi: i64,
}

/// See the module.
pub(crate) struct Lowering {
    /// The unit first, the partition second, then the others, each once.
    pub(crate) needed: Vec<Needed>,
    partitions: HashMap<String, u32>,
    filter: Option<Predicate>,
    keys: Vec<(Key, u32)>,
    sums: Vec<SumColumn>,
    hasher: RandomState,
}

const UNIT: usize = 0;
const PARTITION: usize = 1;

impl Lowering {
    /// Checks a plan against its contract and lowers it. The error depends on neither binding nor data.
    pub(crate) fn new(plan: &PrivatePlan, query_id: &QueryId, contract: &DataContract) -> Result<(Self, Bounds), EngineError> {
        let fault = |message: String| EngineError::Plan(message);
        if plan.version != PLAN_VERSION || plan.contract_name != contract.name || plan.calendar != contract.calendar {
            return Err(fault("version, contract or calendar is another".to_owned()));
        }
        if plan.unit_column != contract.unit_column || plan.partition_column != contract.partition_column {
            return Err(fault("unit or partition column is another".to_owned()));
        }
        if plan.outputs.is_empty() || plan.partitions.is_empty() || plan.max_groups_per_person == 0 {
            return Err(fault("outputs, partitions and groups per person must not be empty".to_owned()));
        }
        let cells = plan.cells().filter(|cells| *cells > 0).and_then(|cells| usize::try_from(cells).ok());
        let cells = cells.ok_or_else(|| fault("the grid is empty or too large".to_owned()))?;
        let table = contract.table(&plan.table).ok_or_else(|| fault(format!("there is no table {}", plan.table)))?;

        let mut needed = vec![
            Needed { name: plan.unit_column.clone(), reading: Reading::Text },
            Needed { name: plan.partition_column.clone(), reading: Reading::Text },
        ];
        let mut column = |name: &str| -> Result<(usize, Reading), EngineError> {
            let declared = table.column(name).ok_or_else(|| fault(format!("there is no column {name}")))?;
            let reading = Reading::of(&declared.column_type);
            let place = needed.iter().position(|other| other.name == name).unwrap_or_else(|| {
                needed.push(Needed { name: name.to_owned(), reading });
                needed.len() - 1
            });
            Ok((place, reading))
        };

        let mut keys = Vec::new();
        for key in &plan.keys {
            let lowered = match &key.source {
                KeySource::Code { column: name, codes } => {
                    let (column, reading) = column(name)?;
                    let places: HashMap<String, u32> = codes.iter().cloned().zip(0..).collect();
                    if reading != Reading::Text || places.len() != codes.len() {
                        return Err(fault(format!("{name} is no column of these codes")));
                    }
                    Key::Code { column, places }
                }
                KeySource::Boolean { column: name } => {
                    let (column, reading) = column(name)?;
                    if reading != Reading::Boolean {
                        return Err(fault(format!("{name} is not true or false")));
                    }
                    Key::Boolean { column }
                }
                KeySource::Partition => Key::Partition,
            };
            // The grid has at most a million cells, so no key has more values.
            keys.push((lowered, u32::try_from(key.cardinality(plan)).unwrap_or(u32::MAX)));
        }

        let mut sums = Vec::new();
        let mut outputs = Vec::new();
        for output in &plan.outputs {
            outputs.push(match &output.aggregate {
                Aggregate::CountRows { max_rows_per_person } => Contribution::count(*max_rows_per_person),
                Aggregate::CountUnits => Contribution::count(1),
                Aggregate::Sum { column: name, lo, hi, scale, max_rows_per_person } => {
                    let (column, reading) = column(name)?;
                    if lo > hi || !matches!(reading, Reading::Number { scale: declared, .. } if declared == *scale) {
                        return Err(fault(format!("{name} is no number of this scale, or its bounds are crossed")));
                    }
                    sums.push(SumColumn { column, lo: *lo, hi: *hi });
                    Contribution::sum(sums.len() - 1, *lo, *hi, *max_rows_per_person)
                }
            });
        }
        if let Some(filter) = &plan.filter {
            check_filter(filter, &mut column)?;
        }

        let partitions: HashMap<String, u32> = plan.partitions.iter().map(|p| plan.calendar.format(*p)).zip(0..).collect();
        if partitions.len() != plan.partitions.len() {
            return Err(fault("a partition stands twice".to_owned()));
        }
        let bounds = Bounds {
            query_id: *query_id,
            partitions: plan.partitions.clone(),
            max_groups: usize::try_from(plan.max_groups_per_person).unwrap_or(usize::MAX),
            cells,
            sums: sums.len(),
            outputs,
        };
        let filter = plan.filter.clone();
        Ok((Self { needed, partitions, filter, keys, sums, hasher: RandomState::new() }, bounds))
    }

    /// Empty buckets for [`Lowering::scatter`].
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        (0..BUCKETS).map(|_| Bucket::new(self.sums.len())).collect()
    }

    /// Puts the rows of a batch that count into the buckets of their persons. The batch has the columns [`Lowering::needed`].
    pub(crate) fn scatter(&self, batch: &RecordBatch, buckets: &mut [Bucket]) {
        let rows = batch.num_rows();
        let values: Vec<Values> =
            self.needed.iter().zip(batch.columns()).map(|(needed, array)| Values::read(array, needed.reading)).collect();
        let named = |name: &str| self.needed.iter().position(|needed| needed.name == name).and_then(|place| values.get(place));
        let kept = self.filter.as_ref().map(|filter| filter::evaluate(filter, rows, &named));
        let (Some(Values::Text(units)), Some(Values::Text(partitions))) = (values.get(UNIT), values.get(PARTITION)) else {
            return;
        };
        let mut partition_lookup = Lookup::new(&self.partitions);
        let mut key_lookups: Vec<Option<Lookup<'_>>> =
            self.keys.iter().map(|(key, _)| if let Key::Code { places, .. } = key { Some(Lookup::new(places)) } else { None }).collect();
        let mut sums = vec![0; self.sums.len()];
        for row in 0..rows {
            if kept.as_ref().is_some_and(|kept| kept.is_null(row) || !kept.value(row)) {
                continue;
            }
            let Some(unit) = units.unit(row) else { continue };
            let Some(partition) = partition_lookup.place(partitions, row) else { continue };
            let Some(cell) = self.cell(&values, &mut key_lookups, partition, row) else { continue };
            for (slot, sum) in sums.iter_mut().zip(&self.sums) {
                // NULL adds nothing.
                *slot = match &values[sum.column] {
                    Values::Number(numbers) => numbers[row].map_or(0, |number| number.clamp(sum.lo, sum.hi)),
                    _ => 0,
                };
            }
            let hash = self.hasher.hash_one((unit, partition));
            buckets[Bucket::place(hash)].push(hash, unit, partition, cell, &sums);
        }
    }

    /// The cell of a row, row-major; `None` off the grid.
    #[inline]
    fn cell(&self, values: &[Values], lookups: &mut [Option<Lookup<'_>>], partition: u32, row: usize) -> Option<u32> {
        let mut cell = 0u32;
        for ((key, cardinality), lookup) in self.keys.iter().zip(lookups) {
            let place = match (key, lookup) {
                (Key::Code { column, .. }, Some(lookup)) => match &values[*column] {
                    Values::Text(texts) => lookup.place(texts, row)?,
                    _ => return None,
                },
                (Key::Boolean { column }, _) => match &values[*column] {
                    Values::Boolean(booleans) => booleans.is_valid(row).then(|| u32::from(booleans.value(row)))?,
                    _ => return None,
                },
                (Key::Partition, _) => partition,
                (Key::Code { .. }, None) => return None,
            };
            // Below the number of cells of the grid, so at most a million.
            cell = cell * cardinality + place;
        }
        Some(cell)
    }
}

/// Places of texts, quick where one text follows itself.
struct Lookup<'a> {
    places: &'a HashMap<String, u32>,
    last: Option<(&'a str, u32)>,
}

impl<'a> Lookup<'a> {
    fn new(places: &'a HashMap<String, u32>) -> Self {
        Self { places, last: None }
    }

    #[inline]
    fn place(&mut self, texts: &Texts, row: usize) -> Option<u32> {
        let text = texts.get(row)?;
        if let Some((last, place)) = self.last
            && last == text
        {
            return Some(place);
        }
        let (text, place) = self.places.get_key_value(text)?;
        self.last = Some((text, *place));
        Some(*place)
    }
}

fn check_filter(filter: &Predicate, column: &mut impl FnMut(&str) -> Result<(usize, Reading), EngineError>) -> Result<(), EngineError> {
    let mut check = |name: &str, literals: &[&Literal]| {
        let (_, reading) = column(name)?;
        let fits = literals.iter().all(|literal| {
            matches!(
                (reading, literal),
                (Reading::Text, Literal::Code(_)) | (Reading::Number { .. }, Literal::Number(_)) | (Reading::Boolean, Literal::Boolean(_))
            )
        });
        if fits { Ok(()) } else { Err(EngineError::Plan(format!("{name} is compared with a constant of another type"))) }
    };
    match filter {
        Predicate::Constant(_) => Ok(()),
        Predicate::And(parts) | Predicate::Or(parts) => parts.iter().try_for_each(|part| check_filter(part, column)),
        Predicate::Not(part) => check_filter(part, column),
        Predicate::Compare { column: name, literal, .. } => check(name, &[literal]),
        Predicate::InList { column: name, literals } => check(name, &literals.iter().collect::<Vec<_>>()),
        Predicate::IsNull { column: name } => check(name, &[]),
    }
}
