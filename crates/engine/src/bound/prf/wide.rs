//! `SipHash` of many messages at a time, each in a lane: in the widest registers that the processor has.
#![expect(clippy::inline_always, reason = "what is not inlined where the processor is known is compiled for the least one")]

use fearless_simd::{Level, Simd, dispatch};

use super::{Key, State, length};

/// Groups that are numbered at a time.
pub(crate) const LANES: usize = 8;

/// Numbers many groups at a time, as [`Key::group`] does one: in the widest registers that the processor has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbering(Level);

impl Default for Numbering {
    fn default() -> Self {
        Self(Level::new())
    }
}

impl Numbering {
    /// The number of each cell of a person's groups.
    #[inline]
    pub(crate) fn number(self, person: Key, cells: &[[u64; LANES]], numbers: &mut [[u64; LANES]]) {
        let all = cells.iter().zip(numbers);
        // All of it is inlined here, where the compiler knows the processor.
        dispatch!(self.0, simd => simd.vectorize(
            #[inline(always)]
            || all.for_each(|(cells, numbers)| *numbers = wide_group(person, cells))
        ));
    }
}

/// [`Key::group`] of as many cells as there are lanes.
#[inline(always)]
fn wide_group(person: Key, cells: &[u64; LANES]) -> [u64; LANES] {
    let State { v0, v1, v2, v3 } = person.start();
    let mut state = WideState { v0: [v0; LANES], v1: [v1; LANES], v2: [v2; LANES], v3: [v3; LANES] };
    state.absorb(cells);
    state.absorb(&[length(8); LANES]);
    state.v2.iter_mut().for_each(|lane| *lane ^= 0xff);
    for _ in 0..4 {
        state.round();
    }
    std::array::from_fn(|lane| state.v0[lane] ^ state.v1[lane] ^ state.v2[lane] ^ state.v3[lane])
}

/// [`State`] of many messages.
struct WideState {
    v0: [u64; LANES],
    v1: [u64; LANES],
    v2: [u64; LANES],
    v3: [u64; LANES],
}

impl WideState {
    #[inline(always)]
    fn absorb(&mut self, words: &[u64; LANES]) {
        each(&mut self.v3, words, |lane, word| lane ^ word);
        self.round();
        self.round();
        each(&mut self.v0, words, |lane, word| lane ^ word);
    }

    #[inline(always)]
    fn round(&mut self) {
        let Self { v0, v1, v2, v3 } = self;
        each(v0, v1, u64::wrapping_add);
        each(v2, v3, u64::wrapping_add);
        each(v1, v0, |lane, with| lane.rotate_left(13) ^ with);
        each(v3, v2, |lane, with| lane.rotate_left(16) ^ with);
        half_turn(v0);
        each(v2, v1, u64::wrapping_add);
        each(v0, v3, u64::wrapping_add);
        each(v1, v2, |lane, with| lane.rotate_left(17) ^ with);
        each(v3, v0, |lane, with| lane.rotate_left(21) ^ with);
        half_turn(v2);
    }
}

#[inline(always)]
fn each(lanes: &mut [u64; LANES], with: &[u64; LANES], f: impl Fn(u64, u64) -> u64) {
    lanes.iter_mut().zip(with).for_each(|(lane, with)| *lane = f(*lane, *with));
}

#[inline(always)]
fn half_turn(lanes: &mut [u64; LANES]) {
    for lane in lanes {
        *lane = lane.rotate_left(32);
    }
}
