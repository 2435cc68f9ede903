//! Columns of some rows by their names: those of a batch, read when they are asked for, or computed ones.

use std::cell::OnceCell;

use arrow::array::ArrayRef;
use commun_domain::plan::Value;

use super::Needed;
use crate::eval::Ints;
use crate::read::{Reading, ints};

/// See the module.
pub(crate) enum Columns<'a> {
    /// The usual keys and values go straight to their rows, so only what expressions name is read as integers.
    Table {
        needed: &'a [Needed],
        arrays: &'a [ArrayRef],
        read: Vec<OnceCell<Ints>>,
    },
    Computed(Vec<(String, Ints)>),
}

impl<'a> Columns<'a> {
    /// `arrays`: of each column that is needed, in order.
    pub(super) fn of_table(needed: &'a [Needed], arrays: &'a [ArrayRef]) -> Self {
        Self::Table { needed, arrays, read: needed.iter().map(|_| OnceCell::new()).collect() }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Ints> {
        match self {
            Self::Table { needed, arrays, read } => {
                let place = place_of(needed, name)?;
                Some(read[place].get_or_init(|| ints(&arrays[place], &needed[place].reading)).clone())
            }
            Self::Computed(columns) => named(columns)(name),
        }
    }

    /// What `of` makes of the column of a table that a value is, if it is one.
    pub(super) fn plain<T>(&self, value: &Value, of: fn(&'a ArrayRef, &'a Reading) -> Option<T>) -> Option<T> {
        let (Self::Table { needed, arrays, read: _ }, Value::Column(name)) = (self, value) else { return None };
        let place = place_of(needed, name)?;
        of(&arrays[place], &needed[place].reading)
    }
}

/// Neither unit nor partition are columns that an expression names.
fn place_of(needed: &[Needed], name: &str) -> Option<usize> {
    needed.iter().skip(2).position(|needed| needed.name == name).map(|place| place + 2)
}

/// A computed column by its name.
pub(crate) fn named(columns: &[(String, Ints)]) -> impl Fn(&str) -> Option<Ints> + '_ {
    |name| columns.iter().find(|(known, _)| known == name).map(|(_, column)| column.clone())
}
