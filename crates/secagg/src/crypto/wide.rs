//! Sums of products of scalars below 2^512, reduced once instead of at every step: some eight times faster than scalar
//! arithmetic for a thousand members.
//!
//! Scalars are integers below l < 2^253. Nothing here branches on a value.

use curve25519_dalek::Scalar;
use zeroize::Zeroize;

/// A scalar as an integer, little endian.
pub(crate) type Limbs = [u64; 4];

/// Products of two scalars that [`Wide`] holds: `64 l^2 < 2^512`.
pub(crate) const MAX_PRODUCTS: usize = 64;

/// The order l.
const ORDER: Limbs = [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 1 << 60];

/// The limbs of a scalar.
pub(crate) fn limbs(scalar: &Scalar) -> Limbs {
    let words = scalar.as_bytes().as_chunks().0;
    std::array::from_fn(|word| u64::from_le_bytes(words[word]))
}

/// The limbs of a scalar from its one encoding; `None` for a number that is not below l.
pub(crate) fn canonical_limbs(bytes: &[u8; 32]) -> Option<Limbs> {
    let words = bytes.as_chunks().0;
    let limbs: Limbs = std::array::from_fn(|word| u64::from_le_bytes(words[word]));
    // Taking l away borrows from exactly the numbers below it.
    let below = limbs.iter().zip(ORDER).fold(false, |borrow, (limb, order)| {
        let (rest, first) = limb.overflowing_sub(order);
        first | rest.overflowing_sub(u64::from(borrow)).1
    });
    below.then_some(limbs)
}

/// The scalar with these limbs, which are below l.
pub(crate) fn scalar(limbs: &Limbs) -> Scalar {
    let mut bytes = [0; 32];
    for (place, limb) in bytes.as_chunks_mut().0.iter_mut().zip(limbs) {
        *place = limb.to_le_bytes();
    }
    Scalar::from_bytes_mod_order(bytes)
}

/// An integer below 2^512, wiped when dropped. The caller sees to it that nothing overflows.
#[derive(Default)]
pub(crate) struct Wide([u64; 8]);

impl Drop for Wide {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Wide {
    /// Adds `a b`. At most [`MAX_PRODUCTS`] times.
    pub(crate) fn add_product(&mut self, a: &Limbs, b: &Limbs) {
        for (place, &left) in a.iter().enumerate() {
            let mut carry = 0;
            for (sum, &right) in self.0[place..].iter_mut().zip(b) {
                (*sum, carry) = multiply_add(left, right, *sum, carry);
            }
            for sum in &mut self.0[place + 4..] {
                (*sum, carry) = multiply_add(0, 0, *sum, carry);
            }
        }
    }

    /// Multiplies by `factor` and adds `addend`.
    pub(crate) fn scale_and_add(&mut self, factor: u32, addend: &Limbs) {
        let mut carry = 0;
        for (place, sum) in self.0.iter_mut().enumerate() {
            let addend = addend.get(place).copied().unwrap_or(0);
            // (2^64 - 1) (2^32 - 1) + 2 (2^64 - 1) is below 2^97, so the carry stays below 2^64.
            (*sum, carry) = multiply_add(*sum, u64::from(factor), addend, carry);
        }
    }

    /// The integer modulo l.
    pub(crate) fn reduced(&self) -> Scalar {
        let mut bytes = [0; 64];
        for (place, limb) in bytes.as_chunks_mut().0.iter_mut().zip(self.0) {
            *place = limb.to_le_bytes();
        }
        let scalar = Scalar::from_bytes_mod_order_wide(&bytes);
        bytes.zeroize();
        scalar
    }
}

/// Low and high half of `a b + c + d`, which is at most `2^128 - 1`.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    let sum = u128::from(a) * u128::from(b) + u128::from(c) + u128::from(d);
    (sum as u64, (sum >> 64) as u64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::random_scalars;
    use super::*;

    #[test]
    fn sums_of_products_are_those_of_scalars_up_to_the_limit() {
        let random = random_scalars(2 * MAX_PRODUCTS).unwrap();
        let largest = vec![Scalar::ZERO - Scalar::ONE; 2 * MAX_PRODUCTS];
        for scalars in [&random[..], &largest[..]] {
            let (mut wide, mut sum) = (Wide::default(), Scalar::ZERO);
            for pair in scalars.chunks(2) {
                wide.add_product(&limbs(&pair[0]), &limbs(&pair[1]));
                sum += pair[0] * pair[1];
            }
            assert_eq!(wide.reduced(), sum);
        }
    }

    #[test]
    fn a_scalar_has_one_encoding() {
        let mut largest = (Scalar::ZERO - Scalar::ONE).to_bytes();
        assert_eq!(canonical_limbs(&largest), Some(limbs(&(Scalar::ZERO - Scalar::ONE))));
        // The order itself, a second encoding of 0.
        largest[0] += 1;
        assert_eq!(canonical_limbs(&largest), None);
        for scalar in random_scalars(50).unwrap().iter() {
            let found = canonical_limbs(scalar.as_bytes());
            assert_eq!((found, super::scalar(&found.unwrap())), (Some(limbs(scalar)), *scalar));
        }
        // What differs from the order in one bit is smaller exactly if the bit was set.
        let order = ORDER.map(u64::to_le_bytes).concat();
        for bit in 0..256 {
            let mut bytes: [u8; 32] = order.as_slice().try_into().unwrap();
            let was_set = bytes[bit / 8] >> (bit % 8) & 1 == 1;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(canonical_limbs(&bytes).is_some(), was_set, "bit {bit}");
            assert_eq!(Scalar::from_canonical_bytes(bytes).is_some().unwrap_u8() == 1, was_set, "bit {bit}");
        }
    }

    #[test]
    fn scaling_is_that_of_scalars() {
        let scalars = random_scalars(9).unwrap();
        let (mut wide, mut value) = (Wide::default(), Scalar::ZERO);
        for scalar in scalars.iter() {
            wide.scale_and_add(u32::MAX, &limbs(scalar));
            value = value * Scalar::from(u32::MAX) + scalar;
        }
        assert_eq!(wide.reduced(), value);
    }
}
