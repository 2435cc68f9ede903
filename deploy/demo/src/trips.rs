//! One trip to work for each person, drawn: when it starts and how long it is. No census counts that, so the truth is of the drawn rows.
//!
//! Most people leave between six and nine; who lives and works in one arrondissement goes half as far as others, and who leaves before seven
//! goes farther. It is a rule with many unlike cells, not a model of Belgium.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, ensure};
use commun_domain::contract::DataContract;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::census::Census;
use crate::deal::Persons;

/// Seed of the drawn trips.
const SEED: [u8; 32] = *b"commun demo: synthetic trips....";

/// Of each thousand persons, how many leave in each hour.
const LEAVE_IN_HOUR: [u64; 24] = [2, 1, 1, 2, 8, 34, 128, 280, 246, 104, 38, 18, 14, 22, 20, 14, 16, 18, 10, 6, 5, 6, 4, 3];

/// Distances in tenths of a kilometre are below this.
pub(crate) const DISTANCES: usize = 1024;

/// A trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trip {
    /// Minute of the day at which it starts.
    pub(crate) minute: u16,
    /// Distance in tenths of a kilometre.
    pub(crate) tenths: u16,
}

/// A trip for each person of each operator, and the truth about all of them.
pub(crate) fn draw(census: &Census, contract: &DataContract, operators: &[Persons]) -> anyhow::Result<(Vec<Vec<Trip>>, Truth)> {
    let provinces = provinces(census, contract)?;
    let (side, mut rng) = (census.codes.len(), ChaCha20Rng::from_seed(SEED));
    let mut drawing = Drawing::default();
    let trips = operators
        .iter()
        .map(|persons| {
            let trip = |cell: &u16| {
                let (home, work) = (usize::from(*cell) / side, usize::from(*cell) % side);
                let trip = one(&mut rng, home == work);
                drawing.add(&provinces[home], trip);
                trip
            };
            persons.iter().map(trip).collect()
        })
        .collect();
    Ok((trips, drawing.truth()))
}

/// The province of each arrondissement, in the census's order.
fn provinces(census: &Census, contract: &DataContract) -> anyhow::Result<Vec<String>> {
    let dimension = contract.dimension("arrondissement").context("no table of arrondissements")?;
    let list = contract.code_list(&dimension.list, &dimension.version).context("no list of arrondissements")?;
    let province = dimension.attribute("province").context("no provinces")?;
    let of = |code: &String| {
        list.codes.iter().zip(&province.values).find(|(known, _)| known.code == *code).map(|(_, province)| province.clone())
    };
    census.codes.iter().map(|code| of(code).with_context(|| format!("{code} has no province"))).collect()
}

fn one(rng: &mut impl RngCore, near: bool) -> Trip {
    let bits = rng.next_u64();
    // The few values that make one hour or minute likelier by 2^-20 are of no matter here.
    let mut of_thousand = ((bits & 0xf_ffff) * 1000) >> 20;
    let hour = LEAVE_IN_HOUR.iter().position(|share| {
        let before = of_thousand < *share;
        of_thousand = of_thousand.saturating_sub(*share);
        before
    });
    let hour = hour.unwrap_or(0);
    let minute = (((bits >> 20) & 0xffff) * 60) >> 16;
    let [a, b, c] = [36, 45, 54].map(|shift| (bits >> shift) & 0x1ff);
    // Products of even numbers lie close to 0 with a long tail, as distances do.
    let far = ((2 * a + 1) * (2 * b + 1)) >> 10;
    let tenths = match (near, hour < 7) {
        (true, _) => (far * (2 * c + 1)) >> 10,
        (false, true) => far.max(2 * c),
        (false, false) => far,
    };
    let start = u64::try_from(hour).unwrap_or(0) * 60 + minute;
    Trip { minute: u16::try_from(start).unwrap_or(0), tenths: u16::try_from(tenths).unwrap_or(0) }
}

/// Trips by province and hour, and by distance.
#[derive(Default)]
struct Drawing {
    cells: BTreeMap<(String, u16), Vec<u64>>,
}

impl Drawing {
    fn add(&mut self, province: &str, trip: Trip) {
        let hour = trip.minute / 60;
        let cell = match self.cells.get_mut(&(province.to_owned(), hour)) {
            Some(cell) => cell,
            None => self.cells.entry((province.to_owned(), hour)).or_insert_with(|| vec![0; DISTANCES]),
        };
        cell[usize::from(trip.tenths)] += 1;
    }

    fn truth(self) -> Truth {
        let cell = |counts: Vec<u64>| {
            let trips: u64 = counts.iter().sum();
            let tenths = counts.iter().zip(0..).map(|(count, tenths): (&u64, u64)| count * tenths).sum();
            let mut below = 0;
            // The least distance that at least half of the trips do not exceed.
            let median = counts.iter().position(|count| {
                below += count;
                2 * below >= trips
            });
            Cell { trips, tenths, median: median.unwrap_or(0) as u64 }
        };
        Truth { cells: self.cells.into_iter().map(|(key, counts)| (key, cell(counts))).collect() }
    }
}

/// What is true of the drawn rows of one province and hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Trips.
    pub(crate) trips: u64,
    /// Sum of their distances, in tenths of a kilometre.
    pub(crate) tenths: u64,
    /// Median distance, in tenths of a kilometre.
    pub(crate) median: u64,
}

/// The truth by province and hour; cells without a trip are not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    cells: BTreeMap<(String, u16), Cell>,
}

/// First line of the file.
const HEADER: &str = "province,hour,trips,sum_tenths_km,median_tenths_km";

impl Truth {
    /// The truth of one cell.
    pub(crate) fn cell(&self, province: &str, hour: u16) -> Option<Cell> {
        self.cells.get(&(province.to_owned(), hour)).copied()
    }

    /// As CSV.
    pub(crate) fn to_csv(&self) -> String {
        let mut text = format!("{HEADER}\n");
        for ((province, hour), Cell { trips, tenths, median }) in &self.cells {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{province},{hour},{trips},{tenths},{median}");
        }
        text
    }

    /// Reads what [`Truth::to_csv`] wrote.
    pub(crate) fn from_csv(text: &str) -> anyhow::Result<Self> {
        ensure!(text.lines().next() == Some(HEADER), "the truth of the trips has other columns");
        let line = |line: &str| {
            let fields: Vec<&str> = line.split(',').collect();
            let [province, hour, trips, tenths, median] = fields[..] else { anyhow::bail!("a line of the truth has other fields: {line}") };
            let cell = Cell { trips: trips.parse()?, tenths: tenths.parse()?, median: median.parse()? };
            Ok(((province.to_owned(), hour.parse()?), cell))
        };
        Ok(Self { cells: text.lines().skip(1).map(line).collect::<anyhow::Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use commun_domain::contract_toml::parse_contract;

    use super::*;
    use crate::census::TRIPS_CONTRACT;
    use crate::deal::deal;

    #[test]
    fn the_truth_is_that_of_the_drawn_rows_and_survives_its_file() {
        let (census, contract) = (Census::read().expect("census"), parse_contract(TRIPS_CONTRACT).expect("contract"));
        let operators = deal(&census, 3, 20_000).expect("deal").operators;
        let (trips, truth) = draw(&census, &contract, &operators).expect("trips");
        assert_eq!(Truth::from_csv(&truth.to_csv()).expect("csv"), truth);
        let (mut brussels, mut all) = (Vec::new(), 0);
        for (persons, trips) in operators.iter().zip(&trips) {
            assert_eq!(persons.len(), trips.len());
            for (cell, trip) in persons.iter().zip(trips) {
                assert!(trip.minute < 24 * 60 && usize::from(trip.tenths) < DISTANCES);
                all += u64::from(trip.tenths);
                if census.codes[usize::from(*cell) / census.codes.len()] == "21000" && trip.minute / 60 == 7 {
                    brussels.push(u64::from(trip.tenths));
                }
            }
        }
        brussels.sort_unstable();
        let cell = truth.cell("04000", 7).expect("a cell");
        assert_eq!((cell.trips, cell.tenths), (brussels.len() as u64, brussels.iter().sum()));
        assert_eq!(cell.median, brussels[(brussels.len() - 1) / 2]);
        assert_eq!(truth.cells.values().map(|cell| cell.trips).sum::<u64>(), 20_000);
        assert_eq!(truth.cells.values().map(|cell| cell.tenths).sum::<u64>(), all);
        assert_eq!(LEAVE_IN_HOUR.iter().sum::<u64>(), 1000);
        assert_eq!(draw(&census, &contract, &operators).expect("trips").0, trips, "the same seed draws the same trips");
    }
}
