//! Uniform integers below a bound, by rejection: exact for every bound, and the only place where random bytes are read.

use rand_core::RngCore;

/// A bound `n` with what a draw needs prepared. The rule for bytes stands in the head of the parent module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Below {
    bound: u128,
    mask: u128,
    bytes: usize,
}

impl Below {
    /// For numbers in `0..bound`. The callers guarantee `bound > 0`.
    #[inline]
    pub(super) const fn new(bound: u128) -> Self {
        let bits = 128 - bound.saturating_sub(1).leading_zeros();
        let mask = match bits {
            0 => 0,
            _ => u128::MAX >> (128 - bits),
        };
        Self { bound, mask, bytes: bits.div_ceil(8) as usize }
    }

    /// The bound `n`.
    #[inline]
    pub(super) const fn bound(&self) -> u128 {
        self.bound
    }

    /// One number, each of `0..n` with the same probability; a try succeeds with probability above 1/2.
    #[inline]
    pub(super) fn draw<R: RngCore + ?Sized>(&self, rng: &mut R) -> u128 {
        loop {
            let number = self.read(rng) & self.mask;
            if number < self.bound {
                return number;
            }
        }
    }

    /// Constant lengths let the compiler copy a register instead of calling a copy loop.
    #[inline]
    fn read<R: RngCore + ?Sized>(&self, rng: &mut R) -> u128 {
        match self.bytes {
            0 => 0,
            1 => read_few::<R, 1>(rng),
            2 => read_few::<R, 2>(rng),
            3 => read_few::<R, 3>(rng),
            4 => read_few::<R, 4>(rng),
            count => {
                let mut bytes = [0u8; 16];
                rng.fill_bytes(&mut bytes[..count]);
                u128::from_le_bytes(bytes)
            }
        }
    }
}

#[inline]
fn read_few<R: RngCore + ?Sized, const COUNT: usize>(rng: &mut R) -> u128 {
    let mut few = [0u8; COUNT];
    rng.fill_bytes(&mut few);
    let mut bytes = [0u8; 8];
    bytes[..COUNT].copy_from_slice(&few);
    u128::from(u64::from_le_bytes(bytes))
}
