//! Rows of several persons in columns, person by person.

use crate::eval::Ints;
use crate::lower::named;

/// See the module. A person here is one person in one partition.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Where each person's rows start, and where the last one's end.
    pub(super) starts: Vec<usize>,
    pub(super) columns: Vec<(String, Ints)>,
}

impl Frame {
    pub(super) fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    pub(super) fn persons(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Ranges of the persons' rows.
    pub(super) fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    pub(super) fn find(&self) -> impl Fn(&str) -> Option<Ints> + '_ {
        named(&self.columns)
    }

    /// Rows of this frame in another order or number; `None` is a row of NULLs.
    pub(super) fn gathered(&self, rows: &[Option<usize>]) -> Vec<(String, Ints)> {
        let gather = |column: &Ints| Ints::from_rows(rows.len(), |row| rows[row].and_then(|row| column.get(row)));
        self.columns.iter().map(|(name, column)| (name.clone(), gather(column))).collect()
    }

    /// The columns in the order of their names, which is that of a row's content.
    pub(super) fn by_name(&self) -> Vec<&Ints> {
        let mut columns: Vec<&(String, Ints)> = self.columns.iter().collect();
        columns.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        columns.into_iter().map(|(_, column)| column).collect()
    }
}
