//! Every check of the protocol on what others say, by round. Agents, coordinator and the supervisor's verifier call the same functions.
//!
//! What is not here: the order of rounds and resending (`agent`, `coordinator`), and the attempt's own parameters (`attempt`, `cohort`).

mod keys;
mod seeds;
mod shares;
mod survivors;

pub(crate) use keys::{key_entry, key_list, keys_differ};
pub(crate) use seeds::{b_fits, u_fits};
pub(crate) use shares::{masked_head, share_list, shares, unmask};
pub(crate) use survivors::{consent, proof, survivor_set};

use crate::refused::Refused;

/// Ascending, each once, all of them in `within` (ascending too), at least `threshold`.
pub(crate) fn set(members: &[u32], within: impl IntoIterator<Item = u32>, threshold: usize) -> Result<(), Refused> {
    if !members.is_sorted_by(|a, b| a < b) {
        return Err(Refused::NotAscending);
    }
    let mut within = within.into_iter();
    if !members.iter().all(|member| within.any(|other| other == *member)) {
        return Err(Refused::Stranger);
    }
    if members.len() < threshold { Err(Refused::BelowThreshold) } else { Ok(()) }
}

/// The message is of this view and from this member.
fn same<T: PartialEq>(said: &T, own: &T, otherwise: Refused) -> Result<(), Refused> {
    if said == own { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_ascending_known_and_large_enough() {
        assert_eq!(set(&[1, 4, 9], [1, 3, 4, 9], 3), Ok(()));
        assert_eq!(set(&[1, 4, 4], [1, 3, 4, 9], 3), Err(Refused::NotAscending));
        assert_eq!(set(&[4, 1, 9], [1, 3, 4, 9], 3), Err(Refused::NotAscending));
        assert_eq!(set(&[1, 4, 5], [1, 3, 4, 9], 3), Err(Refused::Stranger));
        assert_eq!(set(&[0, 4, 9], [1, 3, 4, 9], 3), Err(Refused::Stranger));
        assert_eq!(set(&[1, 4], [1, 3, 4, 9], 3), Err(Refused::BelowThreshold));
    }
}
