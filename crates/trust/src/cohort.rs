//! Who answers together: T, c and h of a cohort, by one rule for coordinator, agents, clients and whoever adds a result up again.
//!
//! The rule itself is `commun-secagg`'s. Here it is fed from signed acceptances and the roster, never from the coordinator's figures. Two kinds
//! of answers leave unmasked, each with its full noise (h = 1): that of the one holder that the roster lists, and names of an open group key, which
//! need every listed holder. One holder that is left of several answers nothing: a coordinator could make it so.

use std::collections::BTreeMap;

use commun_domain::attempt::{Accept, Manifest};
use commun_domain::bundle::RosterHolder;
use commun_domain::plan::PrivatePlan;
use commun_domain::release::ResultRelease;
use commun_domain::{Document, PublicKey, Refusal, WireCode};
use commun_privacy::lattice::Lattice;
use commun_secagg::Refused;
use commun_secagg::attempt::{Attempt, Identity, Member, OutputCells, Terms};
use commun_secagg::cohort::{Cohort, Protocol, Wish, choose};

/// Most holders that [`usual`] reckons with: one more than any cohort has.
const MOST_WISHES: usize = 2_049;

/// n, T, c and h of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// n: members.
    pub members: u32,
    /// T: fewest survivors.
    pub threshold: u32,
    /// c: members that may collude.
    pub colluders: u32,
    /// h: noise shares that surely count.
    pub honest: u32,
    /// Whether the answers are aggregated; else each leaves its holder with full noise.
    pub aggregated: bool,
}

impl Shape {
    /// Every listed holder, each with its full noise: names of an open group key, or the numbers of one holder.
    pub fn unmasked(listed: usize) -> Self {
        let members = u32::try_from(listed).unwrap_or(u32::MAX);
        Self { members, threshold: members, colluders: members.saturating_sub(1), honest: 1, aggregated: false }
    }
}

impl From<Cohort> for Shape {
    fn from(cohort: Cohort) -> Self {
        Self {
            members: cohort.members(),
            threshold: cohort.threshold(),
            colluders: cohort.colluders(),
            honest: cohort.honest(),
            aggregated: true,
        }
    }
}

/// What a holder asks for: its acceptance and the roster, whichever asks for more.
pub fn wish(accept: &Accept, holder: &RosterHolder) -> Wish {
    let wish = roster_wish(holder);
    Wish { colluders: accept.min_colluders.max(wish.colluders), min_survivors: accept.min_survivors.max(wish.min_survivors) }
}

/// What a holder asks for in the roster. Its acceptance may ask for more.
pub fn roster_wish(holder: &RosterHolder) -> Wish {
    Wish { colluders: holder.min_colluders, min_survivors: holder.min_survivors }
}

/// The cohort of these acceptors of numbers, of `listed` holders.
///
/// # Errors
/// `TOO_FEW_HOLDERS` when no T gives what all of them and the query ask for.
pub fn of_acceptors(wishes: &[Wish], listed: usize, least_honest: u32) -> Result<Shape, Refusal> {
    match choose(wishes, least_honest).map_err(refusal)? {
        Protocol::Aggregated(cohort) => Ok(cohort.into()),
        Protocol::Unmasked if listed == 1 => Ok(Shape::unmasked(1)),
        Protocol::Unmasked => Err(refusal(Refused::TooFewHolders)),
    }
}

/// The cohort if every listed holder accepts and asks for no more than the roster says. What margins are shown for before anyone is asked.
///
/// # Errors
/// `TOO_FEW_HOLDERS` when there can be none.
pub fn expected(listed: &[&RosterHolder], least_honest: u32) -> Result<Shape, Refusal> {
    let wishes: Vec<Wish> = listed.iter().map(|holder| roster_wish(holder)).collect();
    of_acceptors(&wishes, listed.len(), least_honest)
}

/// The cohort if each of so many holders accepts and fears one other: where there is no roster to look at.
///
/// # Errors
/// `TOO_FEW_HOLDERS` without a holder.
pub fn usual(holders: u32) -> Result<Shape, Refusal> {
    let wishes = vec![Wish { colluders: 1, min_survivors: 1 }; usize::try_from(holders).unwrap_or(usize::MAX).min(MOST_WISHES)];
    of_acceptors(&wishes, wishes.len(), 1)
}

/// The cohort of a result release, if there can be such a one: whoever reads it checks its noise with it.
pub fn of_release(release: &ResultRelease) -> Option<Shape> {
    let shape = if release.unmasked {
        Shape::unmasked(usize::try_from(release.listed).ok().filter(|listed| *listed == 1)?)
    } else {
        Cohort::new(release.members, release.threshold, release.colluders).ok()?.into()
    };
    let survivors = u32::try_from(release.participants.len()).ok()?;
    let stated = (release.members, release.threshold, release.colluders);
    let fits = stated == (shape.members, shape.threshold, shape.colluders) && (shape.threshold..=shape.members).contains(&survivors);
    fits.then_some(shape)
}

/// Checks T, c and h of a manifest of numbers against what its acceptors, the roster and the query ask for.
pub(crate) fn check(manifest: &Manifest, wishes: &[Wish], listed: usize, least_honest: u32) -> Result<Shape, Refusal> {
    let Manifest { threshold, colluders, .. } = *manifest;
    let members = u32::try_from(wishes.len()).unwrap_or(u32::MAX);
    let shape = if listed == 1 && members == 1 {
        // One holder is in no cohort that could be too small for it, unless it says so.
        of_acceptors(wishes, listed, least_honest)?
    } else {
        let cohort = Cohort::new(members, threshold, colluders).map_err(refusal)?;
        cohort.honours(wishes, least_honest).map_err(refusal)?;
        cohort.into()
    };
    let Shape { threshold, colluders, honest, .. } = shape;
    crate::manifest::require(
        (manifest.threshold, manifest.colluders, manifest.honest) == (threshold, colluders, honest),
        "T, c and h of the manifest are not those of its cohort",
    )
    .map(|()| shape)
}

/// The attempt of a manifest of numbers that are aggregated, as every member and the coordinator make it. `listed`: holders that the roster lists for
/// the dataset.
///
/// # Errors
/// `NOT_PERMITTED` when it is none.
pub fn aggregation<'a>(
    manifest: &Manifest,
    plan: &PrivatePlan,
    listed: impl IntoIterator<Item = &'a RosterHolder>,
) -> Result<Attempt, Refusal> {
    let listed: BTreeMap<u32, PublicKey> = listed.into_iter().map(|holder| (holder.index, holder.key)).collect();
    let member = |signed: &commun_domain::signed::SignedDocument| {
        let index = Accept::from_bytes(&signed.bytes.0).ok()?.index;
        listed.get(&index).map(|key| Member { index, key: *key })
    };
    let members: Option<Vec<Member>> = manifest.cohort.iter().map(member).collect();
    let members = members.ok_or_else(|| refusal(Refused::MemberList))?;
    let agents = u32::try_from(members.len()).unwrap_or(u32::MAX);
    let lengths = plan.lengths().filter(|lengths| lengths.len() == manifest.noise.len()).ok_or_else(|| refusal(Refused::Shape))?;
    let output = |(cells, noise): (usize, &commun_domain::attempt::OutputNoise)| {
        Lattice::largest_sum(agents, noise.d, noise.s2).map(|bound| OutputCells { cells, bound })
    };
    let outputs: Option<Vec<OutputCells>> = lengths.into_iter().zip(&manifest.noise).map(output).collect();
    Attempt::new(Terms {
        identity: Identity { query: manifest.query, attempt: manifest.attempt },
        manifest: manifest.hash(),
        members,
        threshold: manifest.threshold,
        colluders: manifest.colluders,
        outputs: outputs.ok_or_else(|| refusal(Refused::Shape))?,
        slot_ms: manifest.slot_ms,
    })
    .map_err(refusal)
}

/// A refusal of the protocol for everyone: all of it follows from public messages.
pub fn refusal(refused: Refused) -> Refusal {
    let code = match refused {
        Refused::TooFewHolders | Refused::OneHolder | Refused::TooManyMembers | Refused::Wish | Refused::BelowThreshold => {
            WireCode::TooFewHolders
        }
        Refused::Late => WireCode::Expired,
        Refused::Frozen => WireCode::Unavailable,
        Refused::Fault => WireCode::Internal,
        _ => WireCode::NotPermitted,
    };
    Refusal::new(code, format!("{refused} ({})", refused.code()), refused.hint())
}
