//! What stands in the words of a block: halves, cells two a word, sums.

/// Counts rows and adds a value to a sum of two words.
#[inline]
pub(super) fn add_counted(count: &mut u64, low: &mut u64, high: &mut u64, rows: u64, value: i64) {
    *count = count.saturating_add(rows);
    let (sum, carry) = low.overflowing_add(value.cast_unsigned());
    *low = sum;
    *high = high.wrapping_add((value >> 63).cast_unsigned()).wrapping_add(u64::from(carry));
}

/// A sum as two words, the lower one first.
#[inline]
pub(super) fn words_of(sum: i128) -> (u64, u64) {
    let sum = sum.cast_unsigned();
    (u64::try_from(sum & u128::from(u64::MAX)).unwrap_or(0), u64::try_from(sum >> 64).unwrap_or(0))
}

/// The place of a cell among those of a block, all looked at without a branch.
#[inline]
pub(super) fn place_of<const PLACES: usize>(cells: &[u64], cell: u32) -> Option<usize> {
    let cells = &cells[..PLACES.div_ceil(2)];
    let found = (0..PLACES).fold(0u32, |found, place| found | u32::from(half(cells, place) == cell) << place);
    (found != 0).then(|| found.trailing_zeros() as usize)
}

/// One of the halves of words.
#[inline]
pub(super) fn half(words: &[u64], place: usize) -> u32 {
    if place.is_multiple_of(2) { low(words[place / 2]) } else { high(words[place / 2]) }
}

#[inline]
pub(super) fn set_half(words: &mut [u64], place: usize, value: u32) {
    let word = &mut words[place / 2];
    *word = if place.is_multiple_of(2) { join(value, high(*word)) } else { join(low(*word), value) };
}

#[inline]
pub(super) fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[inline]
pub(super) fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0)
}

#[inline]
pub(super) fn high(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or(0)
}
