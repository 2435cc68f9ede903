//! How many must survive (T) and how many may collude (c) in a cohort, and how the coordinator chooses T.
//!
//! The rule is `2T > n + c`: two different sets of survivors would need 2T signatures, and at most (n - c) honest ones and 2c others exist.
//! Agents check the rule ([`Cohort::new`]); the choice ([`choose`]) is the coordinator's and may be any that satisfies it.

use crate::attempt::count;
use crate::refused::Refused;

/// Most members of one attempt: above, the complete graph of masks becomes too dear (Bell et al. 2020 make it sparse).
pub const MAX_MEMBERS: u32 = 2_048;

/// n, T and c of an attempt that aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cohort {
    members: u32,
    threshold: u32,
    colluders: u32,
}

impl Cohort {
    /// Checks `2 <= n`, `1 <= c < T <= n` and `2T > n + c`.
    pub fn new(members: u32, threshold: u32, colluders: u32) -> Result<Self, Refused> {
        if members < 2 {
            return Err(Refused::OneHolder);
        }
        if members > MAX_MEMBERS {
            return Err(Refused::TooManyMembers);
        }
        // n, T and c are at most 2,048 each once T <= n and c < T hold.
        let holds = threshold <= members && colluders >= 1 && colluders < threshold && 2 * threshold > members + colluders;
        if holds { Ok(Self { members, threshold, colluders }) } else { Err(Refused::Threshold) }
    }

    /// Checks what a member must see honoured in a manifest: one wish of each member, `c >= c_i`, T at least each minimum, and h at least what
    /// the query asks for. `acceptors`: from the signed acceptances and the roster, not from the coordinator's figures.
    pub fn honours(self, acceptors: &[Wish], least_honest: u32) -> Result<(), Refused> {
        let each = |wish: &Wish| wish.colluders <= self.colluders && wish.min_survivors <= self.threshold;
        let holds = acceptors.len() == count(self.members) && acceptors.iter().all(each) && self.honest() >= least_honest;
        if holds { Ok(()) } else { Err(Refused::Wish) }
    }

    /// Without the rule, to show what it prevents.
    #[cfg(test)]
    pub(crate) const fn against_the_rule(members: u32, threshold: u32, colluders: u32) -> Self {
        Self { members, threshold, colluders }
    }

    /// n: members.
    pub const fn members(self) -> u32 {
        self.members
    }

    /// T: fewest survivors.
    pub const fn threshold(self) -> u32 {
        self.threshold
    }

    /// c: members that may collude or add no noise.
    pub const fn colluders(self) -> u32 {
        self.colluders
    }

    /// h = T - c: noise shares that surely count, at least 1.
    pub const fn honest(self) -> u32 {
        self.threshold - self.colluders
    }
}

/// What one acceptor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// `c_i` of its signed acceptance ([`colluders_feared`]).
    pub colluders: u32,
    /// Fewest survivors that it insists on in the roster.
    pub min_survivors: u32,
}

/// How a cohort answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One holder: no aggregation. It adds the full noise itself (h = 1), and only where the permit says `unmasked = true`.
    Unmasked,
    /// Two or more: this protocol.
    Aggregated(Cohort),
}

/// `c_i` of a holder: its own minimum, or the number of other listed holders that are not on its independence list, whichever is larger.
pub fn colluders_feared<T>(own_minimum: u32, other_listed: impl IntoIterator<Item = T>, independent: impl Fn(&T) -> bool) -> u32 {
    let dependent = other_listed.into_iter().filter(|holder| !independent(holder)).count();
    own_minimum.max(u32::try_from(dependent).unwrap_or(u32::MAX))
}

/// T and c for the acceptors of an attempt, or [`Refused::TooFewHolders`].
///
/// `c = max c_i`, at least 1. T leaves room for [`tolerated_dropouts`], if the wishes and the rule allow: a larger T means less noise, a smaller
/// one outlives more dropouts. `least_honest`: the query's least h.
pub fn choose(acceptors: &[Wish], least_honest: u32) -> Result<Protocol, Refused> {
    let members = u32::try_from(acceptors.len()).map_err(|_| Refused::TooManyMembers)?;
    let min_survivors = acceptors.iter().map(|wish| wish.min_survivors).max().ok_or(Refused::TooFewHolders)?;
    let colluders = acceptors.iter().map(|wish| wish.colluders).max().unwrap_or(0).max(1);
    if members > MAX_MEMBERS {
        return Err(Refused::TooManyMembers);
    }
    if min_survivors > members || least_honest > members || (members > 1 && colluders >= members) {
        return Err(Refused::TooFewHolders);
    }
    if members == 1 {
        return Ok(Protocol::Unmasked);
    }
    let distinct_sets = members.midpoint(colluders) + 1;
    let least = distinct_sets.max(colluders + least_honest.max(1)).max(min_survivors);
    let threshold = least.max(members - tolerated_dropouts(members));
    if threshold > members {
        return Err(Refused::TooFewHolders);
    }
    Cohort::new(members, threshold, colluders).map(Protocol::Aggregated)
}

/// Dropouts that a cohort of `members` should outlive: none of 2 or 3, one of 4 to 15, 5 of 100, 20 of 1,000.
pub const fn tolerated_dropouts(members: u32) -> u32 {
    let (by_root, by_share) = (members.isqrt() / 2, members / 50);
    if by_root > by_share { by_root } else { by_share }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use proptest::prelude::*;

    use super::*;

    fn chosen(n: u32, c: u32, least_honest: u32) -> Result<Protocol, Refused> {
        choose(&vec![Wish { colluders: c, min_survivors: 1 }; usize::try_from(n).unwrap()], least_honest)
    }

    #[test]
    fn the_documented_cohorts_are_chosen() {
        for (n, threshold, c) in [(2, 2, 1), (3, 3, 1), (4, 3, 1), (10, 9, 2), (100, 95, 10), (1000, 980, 100)] {
            assert_eq!(chosen(n, c, 1), Ok(Protocol::Aggregated(Cohort::new(n, threshold, c).unwrap())), "n = {n}");
        }
    }

    #[test]
    fn one_holder_does_not_aggregate_and_nobody_cannot() {
        assert_eq!(chosen(1, 5, 1), Ok(Protocol::Unmasked));
        assert_eq!(chosen(1, 1, 2), Err(Refused::TooFewHolders));
        assert_eq!(chosen(0, 1, 1), Err(Refused::TooFewHolders));
        assert_eq!(Cohort::new(1, 1, 0), Err(Refused::OneHolder));
        assert_eq!(Cohort::new(MAX_MEMBERS + 1, MAX_MEMBERS, 1), Err(Refused::TooManyMembers));
    }

    #[test]
    fn every_wish_counts() {
        let trusting = Wish { colluders: 1, min_survivors: 2 };
        let wary = Wish { colluders: 3, min_survivors: 2 };
        let insisting = Wish { colluders: 1, min_survivors: 5 };
        let Ok(Protocol::Aggregated(cohort)) = choose(&[trusting, wary, trusting, trusting, trusting], 1) else { panic!() };
        assert_eq!((cohort.threshold(), cohort.colluders(), cohort.honest()), (5, 3, 2));
        let Ok(Protocol::Aggregated(cohort)) = choose(&[trusting, trusting, trusting, trusting, insisting], 1) else { panic!() };
        assert_eq!((cohort.threshold(), cohort.colluders()), (5, 1));
        assert_eq!(choose(&[trusting, trusting, insisting], 1), Err(Refused::TooFewHolders));
        assert_eq!(choose(&[trusting, wary, trusting], 1), Err(Refused::TooFewHolders));
        assert_eq!(chosen(5, 1, 5), Err(Refused::TooFewHolders));
        assert_eq!(chosen(5, u32::MAX, u32::MAX), Err(Refused::TooFewHolders));
    }

    #[test]
    fn a_cohort_that_leaves_a_wish_out_is_refused() {
        let cohort = Cohort::new(5, 5, 3).unwrap();
        let wishes = |colluders, min_survivors| {
            let mut wishes = vec![Wish { colluders: 1, min_survivors: 2 }; 4];
            wishes.push(Wish { colluders, min_survivors });
            wishes
        };
        assert_eq!(cohort.honours(&wishes(3, 5), 2), Ok(()));
        assert_eq!(cohort.honours(&wishes(4, 5), 2), Err(Refused::Wish), "c is below an acceptor's");
        assert_eq!(cohort.honours(&wishes(3, 6), 2), Err(Refused::Wish), "the cohort is below a minimum");
        assert_eq!(cohort.honours(&wishes(3, 5), 3), Err(Refused::Wish), "h is below the query's");
        assert_eq!(cohort.honours(&wishes(3, 5)[1..], 2), Err(Refused::Wish), "a member without a wish");
    }

    #[test]
    fn who_is_not_known_to_be_independent_is_feared() {
        let independent = |name: &&str| *name == "b";
        assert_eq!(colluders_feared(1, ["b"], independent), 1);
        assert_eq!(colluders_feared(1, ["b", "c", "d"], independent), 2);
        assert_eq!(colluders_feared(3, ["b", "c"], independent), 3);
    }

    proptest! {
        #[test]
        fn what_is_chosen_satisfies_the_rule_and_all_wishes(
            wishes in prop::collection::vec((0u32..40, 0u32..40), 2..40), least_honest in 0u32..10,
        ) {
            let wishes: Vec<Wish> = wishes.into_iter().map(|(colluders, min_survivors)| Wish { colluders, min_survivors }).collect();
            let n = u32::try_from(wishes.len()).unwrap();
            let colluders = wishes.iter().map(|wish| wish.colluders).max().unwrap().max(1);
            let fits = |threshold| Cohort::new(n, threshold, colluders).ok().filter(|cohort| cohort.honours(&wishes, least_honest).is_ok());
            match choose(&wishes, least_honest) {
                Ok(Protocol::Aggregated(cohort)) => prop_assert_eq!(fits(cohort.threshold()), Some(cohort)),
                Ok(Protocol::Unmasked) => prop_assert!(false, "more than one holder"),
                // A refusal means that no T at all would do.
                Err(_) => prop_assert!((1..=n).all(|threshold| fits(threshold).is_none())),
            }
        }
    }
}
