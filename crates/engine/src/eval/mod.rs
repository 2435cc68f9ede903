//! Values and conditions of a plan over a batch of rows: columns of integers in, columns of integers out.
//!
//! The meaning is that of `commun_domain::plan::value`; the tests compare every operator with a small interpreter of one row. Nothing
//! can fail: arithmetic saturates at 64 bits, and what has no result is NULL. Which columns exist is known before ([`crate::lower`]).

mod condition;
mod value;

use arrow::buffer::{BooleanBuffer, ScalarBuffer};

/// The numbers of a column, without their validity.
#[derive(Clone, Debug)]
pub(crate) enum Numbers {
    /// One for all rows.
    One(i64),
    /// One for each row.
    Many(ScalarBuffer<i64>),
}

/// Nullable integers of a batch. The number of a row that is NULL means nothing.
#[derive(Clone, Debug)]
pub(crate) struct Ints {
    numbers: Numbers,
    /// `None`: no row is NULL.
    valid: Option<BooleanBuffer>,
}

impl Ints {
    pub(crate) fn new(numbers: Vec<i64>, valid: Option<BooleanBuffer>) -> Self {
        Self::of_buffer(numbers.into(), valid)
    }

    /// The same without a copy.
    pub(crate) fn of_buffer(numbers: ScalarBuffer<i64>, valid: Option<BooleanBuffer>) -> Self {
        Self { numbers: Numbers::Many(numbers), valid: valid.filter(|valid| valid.count_set_bits() < valid.len()) }
    }

    /// The same for every row.
    pub(crate) fn constant(number: i64) -> Self {
        Self { numbers: Numbers::One(number), valid: None }
    }

    /// The same for the rows that are valid.
    pub(crate) fn constant_where(number: i64, valid: BooleanBuffer) -> Self {
        Self { numbers: Numbers::One(number), valid: Some(valid).filter(|valid| valid.count_set_bits() < valid.len()) }
    }

    pub(crate) fn null(rows: usize) -> Self {
        Self { numbers: Numbers::One(0), valid: Some(BooleanBuffer::new_unset(rows)) }
    }

    /// From a function of the row.
    pub(crate) fn from_rows(rows: usize, mut number: impl FnMut(usize) -> Option<i64>) -> Self {
        let mut numbers = Vec::with_capacity(rows);
        let valid = BooleanBuffer::collect_bool(rows, |row| {
            let number = number(row);
            numbers.push(number.unwrap_or(0));
            number.is_some()
        });
        Self::new(numbers, Some(valid))
    }

    /// `None`: no row is NULL.
    pub(crate) fn valid(&self) -> Option<&BooleanBuffer> {
        self.valid.as_ref()
    }

    /// The number of a row, whether or not it is NULL.
    #[inline]
    pub(crate) fn number(&self, row: usize) -> i64 {
        match &self.numbers {
            Numbers::One(number) => *number,
            Numbers::Many(numbers) => numbers[row],
        }
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<i64> {
        self.valid.as_ref().is_none_or(|valid| valid.value(row)).then(|| self.number(row))
    }

    /// The number of all rows, whether or not they are NULL, if it is known to be one.
    pub(crate) fn one(&self) -> Option<i64> {
        match &self.numbers {
            Numbers::One(number) => Some(*number),
            Numbers::Many(_) => None,
        }
    }

    /// Changes each item of a list by the number of its row, whether or not it is NULL.
    pub(crate) fn each_with<T>(&self, items: &mut [T], mut f: impl FnMut(&mut T, i64)) {
        match &self.numbers {
            Numbers::One(number) => items.iter_mut().for_each(|item| f(item, *number)),
            Numbers::Many(numbers) => items.iter_mut().zip(numbers.iter()).for_each(|(item, number)| f(item, *number)),
        }
    }

    /// A total function of each number.
    pub(crate) fn map(&self, f: impl Fn(i64) -> i64) -> Self {
        let numbers = match &self.numbers {
            Numbers::One(number) => Numbers::One(f(*number)),
            Numbers::Many(numbers) => Numbers::Many(numbers.iter().map(|number| f(*number)).collect::<Vec<_>>().into()),
        };
        Self { numbers, valid: self.valid.clone() }
    }

    /// A total function of two numbers.
    fn zip(&self, other: &Self, f: impl Fn(i64, i64) -> i64) -> Self {
        let numbers = match (&self.numbers, &other.numbers) {
            (Numbers::One(a), Numbers::One(b)) => Numbers::One(f(*a, *b)),
            (Numbers::Many(a), Numbers::One(b)) => Numbers::Many(a.iter().map(|a| f(*a, *b)).collect::<Vec<_>>().into()),
            (Numbers::One(a), Numbers::Many(b)) => Numbers::Many(b.iter().map(|b| f(*a, *b)).collect::<Vec<_>>().into()),
            (Numbers::Many(a), Numbers::Many(b)) => {
                Numbers::Many(a.iter().zip(b.iter()).map(|(a, b)| f(*a, *b)).collect::<Vec<_>>().into())
            }
        };
        Self { numbers, valid: both(self.valid.as_ref(), other.valid.as_ref()) }
    }

    /// For which rows a test holds, whether or not they are NULL.
    pub(crate) fn test(&self, rows: usize, f: impl Fn(i64) -> bool) -> BooleanBuffer {
        match &self.numbers {
            Numbers::One(number) => all_rows(rows, f(*number)),
            Numbers::Many(numbers) => BooleanBuffer::collect_bool(rows, |row| f(numbers[row])),
        }
    }

    /// For which rows a test of two holds, whether or not they are NULL.
    fn test_with(&self, other: &Self, rows: usize, f: impl Fn(i64, i64) -> bool) -> BooleanBuffer {
        match (&self.numbers, &other.numbers) {
            (Numbers::One(a), Numbers::One(b)) => all_rows(rows, f(*a, *b)),
            (Numbers::Many(a), Numbers::One(b)) => BooleanBuffer::collect_bool(rows, |row| f(a[row], *b)),
            (Numbers::One(a), Numbers::Many(b)) => BooleanBuffer::collect_bool(rows, |row| f(*a, b[row])),
            (Numbers::Many(a), Numbers::Many(b)) => BooleanBuffer::collect_bool(rows, |row| f(a[row], b[row])),
        }
    }

    /// The same, NULL also where `holds` does not.
    pub(crate) fn where_true(self, holds: &BooleanBuffer) -> Self {
        let valid = both(self.valid.as_ref(), Some(holds));
        Self { numbers: self.numbers, valid }
    }
}

/// Numbers within bounds; the same ones if they are.
pub(crate) fn within(numbers: &ScalarBuffer<i64>, lo: i64, hi: i64) -> ScalarBuffer<i64> {
    // Without an early end, so that it is done many at a time.
    let (least, greatest) = numbers.iter().fold((i64::MAX, i64::MIN), |(least, greatest), n| (least.min(*n), greatest.max(*n)));
    if lo <= least && greatest <= hi {
        return numbers.clone();
    }
    numbers.iter().map(|number| (*number).min(hi).max(lo)).collect::<Vec<_>>().into()
}

/// Rows in both; `None` is all rows.
pub(crate) fn both(a: Option<&BooleanBuffer>, b: Option<&BooleanBuffer>) -> Option<BooleanBuffer> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a & b),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    }
}

pub(crate) fn all_rows(rows: usize, truth: bool) -> BooleanBuffer {
    if truth { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) }
}

/// A batch of which expressions are evaluated.
pub(crate) struct Batch<'a> {
    pub(crate) rows: usize,
    /// By name. An unknown name, which lowering has refused, reads as NULL.
    pub(crate) columns: &'a dyn Fn(&str) -> Option<Ints>,
}

#[cfg(test)]
mod tests;
