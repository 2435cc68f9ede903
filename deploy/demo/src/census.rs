//! The census matrix: employed persons by arrondissement of residence and of work, Belgium 2011.

use anyhow::{Context, ensure};
use commun_domain::contract::DataContract;

const MATRIX: &str = include_str!("../data/census2011_commuting_arrondissement.csv");

/// The data contract's text.
pub(crate) const CONTRACT: &str = include_str!("../data/mobility.toml");

/// The draft of the permit; `@QUERY_KEY@` stands for the agency's key.
pub(crate) const PERMIT: &str = include_str!("../data/permit.toml");

/// The text of the second data contract, about trips.
pub(crate) const TRIPS_CONTRACT: &str = include_str!("../data/trips.toml");

/// The draft of its permit.
pub(crate) const TRIPS_PERMIT: &str = include_str!("../data/trips-permit.toml");

/// Counts by (home, work), in the order of the data contract's code list.
#[derive(Debug)]
pub(crate) struct Census {
    /// NIS codes.
    pub(crate) codes: Vec<String>,
    /// Row-major: home, then work.
    pub(crate) counts: Vec<u64>,
}

impl Census {
    /// Reads the matrix that is compiled in.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let mut reader = csv::Reader::from_reader(MATRIX.as_bytes());
        let codes: Vec<String> = reader.headers()?.iter().skip(1).map(str::to_owned).collect();
        let mut counts = Vec::with_capacity(codes.len() * codes.len());
        for (record, code) in reader.records().zip(&codes) {
            let record = record?;
            ensure!(record.get(0) == Some(code.as_str()), "rows and columns of the census matrix are not in the same order");
            for field in record.iter().skip(1) {
                counts.push(field.parse().with_context(|| format!("census matrix, row {code}"))?);
            }
        }
        ensure!(counts.len() == codes.len() * codes.len(), "the census matrix is not square");
        Ok(Self { codes, counts })
    }

    /// Persons in the whole matrix.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The name of an arrondissement, for people.
pub(crate) fn name<'a>(contract: &'a DataContract, code: &'a str) -> &'a str {
    contract.code_list("arrondissement", "2019").and_then(|list| list.code(code)).map_or(code, |entry| entry.titles.en.as_str())
}
