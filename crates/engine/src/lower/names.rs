//! The first attempt of a question with an open group key: rows fall on texts instead of cells, and people are counted behind them.

use std::sync::Arc;

use commun_domain::contract::DataContract;
use commun_domain::ids::QueryId;
use commun_domain::plan::open::is_open_name;
use commun_domain::plan::{Key, KeySource, PrivatePlan, Value};

use super::{Lowering, fault};
use crate::EngineError;
use crate::bound::{Kept, Names, PrfKey, Shape};
use crate::eval::Ints;
use crate::read::Texts;

/// Where the text of a row stands, and the numbers of texts.
#[derive(Debug)]
pub(super) struct Naming {
    /// The column that holds it.
    pub(super) column: Value,
    max_bytes: u16,
    names: Arc<Names>,
}

/// Whether a key is open and has no names yet: then it is no key of the grid.
pub(super) fn is_unnamed(key: &Key) -> bool {
    matches!(&key.source, KeySource::Open(open) if open.names.is_none())
}

impl Lowering {
    /// Lowers `plan.counting_names()`: people behind each text of each partition. `limit`: most bytes for texts; `threads`: how many add up.
    pub(crate) fn counting_names(
        plan: &PrivatePlan,
        query_id: &QueryId,
        contract: &DataContract,
        limit: Option<usize>,
        threads: usize,
    ) -> Result<(Self, Shape, Arc<Names>), EngineError> {
        let open = plan.open_key().filter(|open| open.names.is_none());
        let open = open.ok_or_else(|| fault("there is no open group key without names"))?;
        let (mut lowering, mut shape) = Self::new(plan, query_id, contract)?;
        let names = Arc::new(Names::new(PrfKey::of_query(query_id), plan.partitions.len(), limit, threads));
        lowering.naming = Some(Naming { column: Value::column(&open.column), max_bytes: open.max_bytes, names: Arc::clone(&names) });
        shape.cells = 0;
        shape.names = Some(Arc::clone(&names));
        Ok((lowering, shape, names))
    }
}

impl Naming {
    /// Puts the number of its text in each row's place, and drops rows without a name; without texts all of them.
    pub(super) fn place(&self, rows: &Kept, places: &mut [u64], texts: Option<&Texts>, partitions: &Ints) -> Kept {
        let text = |row: u32| texts?.get(row as usize).filter(|text| is_open_name(text, self.max_bytes));
        let mut kept = Vec::new();
        rows.each(|row| kept.extend(u32::try_from(row).ok().filter(|row| text(*row).is_some())));
        let partition = |row: u32| usize::try_from(partitions.number(row as usize)).unwrap_or(usize::MAX);
        let numbers = self.names.numbers(kept.iter().filter_map(|row| Some((partition(*row), text(*row)?))));
        let mut numbers = numbers.into_iter();
        kept.retain(|row| match numbers.next().flatten() {
            Some(number) => {
                places[*row as usize] = u64::from(number);
                true
            }
            None => false,
        });
        Kept::Some(kept)
    }
}
