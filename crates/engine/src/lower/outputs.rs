//! The outputs of a plan as sums of rows: what is equal in two outputs is read, carried and added up once.

use commun_domain::ids::QueryId;
use commun_domain::plan::{Aggregate, Condition, MAX_BINS_LOG2, Measured, Output, PrivatePlan};

use super::{Counted, Slot, check, fault, flag_of};
use crate::EngineError;
use crate::bound::{BinLane, Contribution, Field, Lane, Shape};

/// See the module. Lanes name values by the number of their slot.
#[derive(Default)]
pub(super) struct Outputs {
    pub(super) conditions: Vec<Condition>,
    pub(super) measured: Vec<Measured>,
    pub(super) flags: Vec<Counted>,
    pub(super) slots: Vec<(Counted, Slot)>,
    lanes: Vec<Lane<usize>>,
    bin_lanes: Vec<BinLane<usize>>,
    contributions: Vec<Contribution>,
}

fn place_of<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter().position(|other| *other == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    })
}

impl Outputs {
    pub(super) fn add(&mut self, output: &Output) -> Result<(), EngineError> {
        let refuse = |why: &str| Err(fault(format!("output {}: {why}", output.name)));
        let condition = match &output.condition {
            Some(condition) => {
                check::condition(condition)?;
                Some(place_of(&mut self.conditions, condition.clone()))
            }
            None => None,
        };
        let rows = Counted { condition, measured: None };
        let of_values = |outputs: &mut Self, measured: &Measured| -> Result<Counted, EngineError> {
            check::value(&measured.value)?;
            if measured.lo > measured.hi {
                return Err(fault(format!("output {}: its bounds are crossed", output.name)));
            }
            let measured = place_of(&mut outputs.measured, Measured { scale: 0, ..measured.clone() });
            Ok(Counted { condition, measured: Some(measured) })
        };
        // A person counts by its first row.
        let most = output.aggregate.max_rows_per_person().unwrap_or(1);
        if most == 0 {
            return refuse("no row of a person may count");
        }
        let contribution = match &output.aggregate {
            Aggregate::CountRows { .. } => Contribution::Rows { count: self.count(rows), most },
            Aggregate::CountUnits => Contribution::Units { count: self.count(rows) },
            Aggregate::Sum { measured, .. } => {
                let counted = of_values(self, measured)?;
                let linf = i128::from(most);
                let (least, most) = (linf * i128::from(measured.lo.min(0)), linf * i128::from(measured.hi.max(0)));
                Contribution::Sum { sum: self.sum(counted), least, most }
            }
            Aggregate::CentredSum { measured, .. } | Aggregate::CentredSquares { measured, .. } => {
                let counted = of_values(self, measured)?;
                let range = measured.hi.abs_diff(measured.lo);
                // So that centres and differences have 64 bits; wider ranges have no price.
                let (Some(centre), true) = (measured.lo.checked_add(measured.hi), (1..1 << 44).contains(&range)) else {
                    return refuse("its range is empty or too wide");
                };
                let count = self.count(counted);
                if matches!(output.aggregate, Aggregate::CentredSum { .. }) {
                    Contribution::CentredSum { count, sum: self.sum(counted), centre, range, most }
                } else {
                    let flag = flag_of(&mut self.flags, counted);
                    let value = place_of(&mut self.slots, (counted, Slot::Value));
                    let squares = self.lane(Lane::Squares { flag, value, centre });
                    Contribution::CentredSquares { count, squares, range, most }
                }
            }
            Aggregate::Histogram { measured, bins_log2, .. } => {
                if *bins_log2 > MAX_BINS_LOG2 || measured.lo >= measured.hi {
                    return refuse("its range is empty or has too many bins");
                }
                let counted = of_values(self, measured)?;
                let flag = flag_of(&mut self.flags, counted);
                let value = place_of(&mut self.slots, (counted, Slot::Bin { bins_log2: *bins_log2 }));
                let lane = place_of(&mut self.bin_lanes, BinLane { flag, value });
                Contribution::Histogram { lane, bins_log2: *bins_log2, most }
            }
        };
        self.contributions.push(contribution);
        Ok(())
    }

    /// The word of a group that counts rows.
    fn count(&mut self, counted: Counted) -> usize {
        let flag = flag_of(&mut self.flags, counted);
        self.lane(Lane::Count(flag))
    }

    /// The words of a group that sum a value.
    fn sum(&mut self, counted: Counted) -> usize {
        let value = place_of(&mut self.slots, (counted, Slot::Value));
        self.lane(Lane::Sum { value })
    }

    /// Where the sums of a lane stand in a group.
    fn lane(&mut self, lane: Lane<usize>) -> usize {
        let place = place_of(&mut self.lanes, lane);
        self.lanes[..place].iter().map(Lane::words).sum()
    }

    /// Where a row holds the value of each slot, and the words of a row.
    pub(super) fn fields(&self) -> (Vec<Field>, usize) {
        let range = |(counted, slot): &(Counted, Slot)| match (slot, counted.measured.and_then(|place| self.measured.get(place))) {
            (Slot::Bin { bins_log2 }, _) => (0, (1 << bins_log2) - 1),
            // A value that does not count is 0.
            (Slot::Value, Some(measured)) => (measured.lo.min(0), measured.hi.max(0)),
            (Slot::Value, None) => (0, 0),
        };
        Field::place(self.slots.iter().map(range), self.flags.len())
    }

    /// What bounding needs to know.
    pub(super) fn shape(&self, fields: &[Field], row_words: usize, plan: &PrivatePlan, query_id: &QueryId, cells: usize) -> Shape {
        Shape {
            key: Shape::query_key(query_id),
            partitions: plan.partitions.clone(),
            max_groups: plan.max_groups_per_person,
            cells,
            names: None,
            row_words,
            lanes: self.lanes.iter().map(|lane| lane.map(|slot| fields[*slot])).collect(),
            bin_lanes: self.bin_lanes.iter().map(|lane| BinLane { flag: lane.flag, value: fields[lane.value] }).collect(),
            outputs: self.contributions.clone(),
        }
    }
}
