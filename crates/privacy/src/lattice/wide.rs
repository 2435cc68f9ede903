//! Unsigned 256-bit numbers, as far as comparing two products needs them: exact product, shifts, order.

/// An unsigned 256-bit number. Field order makes the derived order the numeric one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wide {
    high: u128,
    low: u128,
}

const LOW_64: u128 = u64::MAX as u128;

impl Wide {
    /// `a b`, exactly: schoolbook multiplication on halves of 64 bits.
    pub(crate) const fn product(a: u128, b: u128) -> Self {
        let (a1, a0) = (a >> 64, a & LOW_64);
        let (b1, b0) = (b >> 64, b & LOW_64);
        let low = a0 * b0;
        // Each product is at most (2^64 - 1)^2, so two halves of 64 bits more still fit.
        let middle = a1 * b0 + (low >> 64);
        let middle_low = a0 * b1 + (middle & LOW_64);
        Self { high: a1 * b1 + (middle >> 64) + (middle_low >> 64), low: (middle_low << 64) | (low & LOW_64) }
    }

    /// `self 2^bits`, or `None` when it does not fit 256 bits.
    pub(crate) const fn checked_shl(self, bits: u32) -> Option<Self> {
        if bits == 0 || (self.high == 0 && self.low == 0) {
            return Some(self);
        }
        if bits > self.leading_zeros() {
            return None;
        }
        Some(if bits >= 128 {
            Self { high: self.low << (bits - 128), low: 0 }
        } else {
            Self { high: (self.high << bits) | (self.low >> (128 - bits)), low: self.low << bits }
        })
    }

    /// `floor(self / 2^bits)` and whether that left something over, for `bits` from 1 to 127; `None` when it does not fit 128 bits.
    pub(crate) const fn checked_shr(self, bits: u32) -> Option<(u128, bool)> {
        if self.high >> bits != 0 {
            return None;
        }
        Some(((self.high << (128 - bits)) | (self.low >> bits), self.low << (128 - bits) != 0))
    }

    const fn leading_zeros(self) -> u32 {
        if self.high == 0 { 128 + self.low.leading_zeros() } else { self.high.leading_zeros() }
    }
}

#[cfg(test)]
mod tests {
    use super::Wide;
    use proptest::prelude::*;

    /// The same product from 32-bit limbs, least first.
    fn naive(a: u128, b: u128) -> [u64; 8] {
        let limbs = |x: u128| [0, 32, 64, 96].map(|shift| u64::try_from((x >> shift) & 0xffff_ffff).unwrap_or(0));
        let mut out = [0u64; 8];
        for (i, x) in limbs(a).into_iter().enumerate() {
            let mut carry = 0;
            for (j, y) in limbs(b).into_iter().enumerate() {
                let sum = out[i + j] + x * y + carry;
                out[i + j] = sum & 0xffff_ffff;
                carry = sum >> 32;
            }
            out[i + 4] = carry;
        }
        out
    }

    fn joined(limbs: &[u64]) -> u128 {
        limbs.iter().rev().fold(0, |sum, limb| (sum << 32) | u128::from(*limb))
    }

    proptest! {
        #[test]
        fn products_are_exact(a: u128, b: u128) {
            let limbs = naive(a, b);
            prop_assert_eq!(Wide::product(a, b), Wide { high: joined(&limbs[4..]), low: joined(&limbs[..4]) });
        }

        #[test]
        fn a_shift_is_a_product_with_a_power_of_two(a: u64, b: u64, bits in 0u32..128) {
            let product = u128::from(a) * u128::from(b);
            prop_assert_eq!(Wide::product(product, 1).checked_shl(bits), Some(Wide::product(product, 1 << bits)));
        }

        #[test]
        fn a_shift_right_is_a_division_by_a_power_of_two(a: u128, b: u128, bits in 1u32..128) {
            let product = Wide::product(a, b);
            if let Some((quotient, rest)) = product.checked_shr(bits) {
                let back = Wide::product(quotient, 1).checked_shl(bits);
                prop_assert_eq!(back.map(|back| (back == product, back <= product)), Some((!rest, true)));
                let next = quotient.checked_add(1).and_then(|next| Wide::product(next, 1).checked_shl(bits));
                prop_assert!(next.is_none_or(|next| product < next));
            } else {
                let limit = Wide { high: 1 << bits, low: 0 };
                prop_assert!(product >= limit);
            }
        }

        #[test]
        fn small_products_are_ordered_as_numbers(a: u64, b: u64, c: u64, d: u64) {
            let order = (u128::from(a) * u128::from(b)).cmp(&(u128::from(c) * u128::from(d)));
            prop_assert_eq!(Wide::product(a.into(), b.into()).cmp(&Wide::product(c.into(), d.into())), order);
        }
    }

    #[test]
    fn a_shift_that_does_not_fit_is_refused() {
        let top = Wide { high: 1 << 127, low: 0 };
        assert_eq!(Wide { high: 0, low: 1 }.checked_shl(255), Some(top));
        assert_eq!(Wide { high: 0, low: 1 }.checked_shl(256), None);
        assert_eq!(top.checked_shl(1), None);
        assert_eq!(Wide { high: 0, low: 0 }.checked_shl(999), Some(Wide { high: 0, low: 0 }));
        assert_eq!(
            Wide { high: u128::MAX, low: u128::MAX },
            Wide::product(u128::MAX, u128::MAX).max(Wide { high: u128::MAX, low: u128::MAX })
        );
    }
}
