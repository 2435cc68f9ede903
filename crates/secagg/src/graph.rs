//! Who masks with whom: the complete graph. The one place to change when a cohort is too large for it (Bell et al. 2020: a random
//! k-regular graph above some 2,000 members).

use crate::crypto::masks::Sign;

/// The members of `set` whose pair masks `own` shares, with the sign that `own` adds each one with: plus for a larger index, minus for a
/// smaller one, so that the two ends cancel.
pub(crate) fn peers(own: u32, set: &[u32]) -> impl Iterator<Item = (u32, Sign)> {
    set.iter().filter(move |&&other| other != own).map(move |&other| (other, if other > own { Sign::Plus } else { Sign::Minus }))
}
