//! Where a row holds something: a flag is one bit, a value some bits of a word.

use super::shape::{CELL_BITS, HEAD_WORDS, PARTITION_BITS};

/// Bits of `place` before the first flag.
const FLAGS_AT: u32 = CELL_BITS + PARTITION_BITS;

/// Flags that fit `place`.
const PLACE_FLAGS: usize = (u64::BITS - FLAGS_AT) as usize;

/// Where a flag stands in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Set for every row.
    Always,
    /// A bit of a word.
    Bit { word: usize, shift: u32 },
}

impl Flag {
    /// The place of the flag with a number, counted from 0 without [`Flag::Always`].
    pub(crate) fn at(number: usize) -> Self {
        if number < PLACE_FLAGS {
            return Self::Bit { word: 0, shift: FLAGS_AT + u32::try_from(number).unwrap_or(0) };
        }
        let number = number - PLACE_FLAGS;
        Self::Bit { word: 1 + number / 64, shift: u32::try_from(number % 64).unwrap_or(0) }
    }

    /// 0 or 1.
    #[inline]
    pub(crate) fn of(self, row: &[u64]) -> u64 {
        match self {
            Self::Always => 1,
            Self::Bit { word, shift } => (row[word] >> shift) & 1,
        }
    }
}

/// Some bits of a word that hold a value, which they count from `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) word: usize,
    shift: u32,
    mask: u64,
    base: i64,
}

impl Field {
    #[inline]
    pub(crate) fn of(self, row: &[u64]) -> i64 {
        self.above_base(row).cast_signed().wrapping_add(self.base)
    }

    /// A value without `base`.
    #[inline]
    pub(crate) fn above_base(self, row: &[u64]) -> u64 {
        self.above_base_in(row[self.word])
    }

    /// The same from its word.
    #[inline]
    pub(crate) fn above_base_in(self, word: u64) -> u64 {
        word.wrapping_shr(self.shift) & self.mask
    }

    /// The sum of so many values, from the sum of what they are above `base`.
    pub(crate) fn sum(self, values: u64, above_base: u64) -> i128 {
        i128::from(self.base) * i128::from(values) + i128::from(above_base)
    }

    /// The least and the greatest value that its bits may hold.
    pub(crate) fn range(self) -> (i128, i128) {
        match i64::try_from(self.mask).ok().and_then(|most| self.base.checked_add(most)) {
            Some(greatest) => (self.base.into(), greatest.into()),
            None => (i64::MIN.into(), i64::MAX.into()),
        }
    }

    /// A value as it stands in its word. It lies within the range that the field was made for.
    #[inline]
    pub(crate) fn bits(self, value: i64) -> u64 {
        (value.wrapping_sub(self.base).cast_unsigned() & self.mask) << self.shift
    }

    /// Finds places for values of these ranges in rows with so many flags: behind the flags in `place` as long as there is room, which makes
    /// rows shorter, then in words of their own. Returns the fields and the words of a row.
    pub(crate) fn place(ranges: impl Iterator<Item = (i64, i64)>, flags: usize) -> (Vec<Self>, usize) {
        // All but the unit, which comes last.
        let mut words = HEAD_WORDS - 1 + flags.saturating_sub(PLACE_FLAGS).div_ceil(64);
        let mut shift = FLAGS_AT + u32::try_from(flags.min(PLACE_FLAGS)).unwrap_or(0);
        let field = |(lo, hi): (i64, i64)| {
            let width = u64::BITS - hi.abs_diff(lo).leading_zeros();
            if shift + width <= u64::BITS && width < u64::BITS {
                let field = Self { word: 0, shift: shift.min(u64::BITS - 1), mask: (1 << width) - 1, base: lo };
                shift += width;
                return field;
            }
            words += 1;
            let (mask, base) = if width < u64::BITS { ((1 << width) - 1, lo) } else { (u64::MAX, 0) };
            Self { word: words - 1, shift: 0, mask, base }
        };
        let fields = ranges.map(field).collect();
        (fields, words + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_from_their_bits_beside_each_other() {
        let ranges = [(-500, 10_000), (0, 0), (0, 1), (i64::MIN, i64::MAX), (-3, 60), (0, i64::MAX)];
        for flags in [0, 1, 4, 5, 24, 25, 89] {
            let (fields, words) = Field::place(ranges.into_iter(), flags);
            for ends in 0..1 << ranges.len() {
                let value = |number: usize| if ends >> number & 1 == 1 { ranges[number].1 } else { ranges[number].0 };
                let mut row = vec![0u64; words];
                row[0] = (1 << (FLAGS_AT + u32::try_from(flags.min(PLACE_FLAGS)).unwrap_or(0)).min(63)) - 1;
                let head = row[0];
                fields.iter().enumerate().for_each(|(number, field)| row[field.word] |= field.bits(value(number)));
                let found: Vec<i64> = fields.iter().map(|field| field.of(&row)).collect();
                assert_eq!(found, (0..ranges.len()).map(value).collect::<Vec<_>>(), "{flags} flags");
                assert_eq!(row[0] & head, head);
            }
        }
        // 24 bits: one of 14 and what fits behind it.
        let (fields, words) = Field::place(ranges.into_iter(), 0);
        assert_eq!((words, fields.iter().filter(|field| field.word == 0).count()), (HEAD_WORDS + 2, 4));
    }
}
