//! What one attempt is, for this protocol: who, with which keys, T and c, how many cells, and the hash of the manifest that says so.
//!
//! The caller makes an [`Attempt`] from a manifest that it has checked in full (P4); agents and coordinator must make the same one. The
//! manifest's hash is in everything that is signed, hashed or derived here, so two parties with different manifests share no key and no mask.

use commun_domain::{Hash32, PublicKey, QueryId};
use ed25519_dalek::VerifyingKey;

use crate::cohort::Cohort;
use crate::refused::Refused;

/// Most cells of one attempt over all outputs: 2^24, a vector of 128 MiB.
pub const MAX_CELLS: usize = 1 << 24;

/// One run of the protocol for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The query.
    pub query: QueryId,
    /// The attempt, from 1.
    pub attempt: u8,
}

/// A member of U0, as the roster lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Roster index, from 1: the evaluation point of its shares.
    pub index: u32,
    /// Ed25519 key.
    pub key: PublicKey,
}

/// Cells of one output, in grid order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputCells {
    /// How many.
    pub cells: usize,
    /// Most that a cell of the sum can be, in lattice steps, either way: the planning bound, below 2^63.
    pub bound: u64,
}

/// Parts of an [`Attempt`], not yet checked.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Query and attempt.
    pub identity: Identity,
    /// `H_M`: SHA-256 of the manifest.
    pub manifest: Hash32,
    /// U0, ascending by index.
    pub members: Vec<Member>,
    /// T.
    pub threshold: u32,
    /// c.
    pub colluders: u32,
    /// Outputs in plan order.
    pub outputs: Vec<OutputCells>,
    /// Start of round 1, milliseconds since 1970: keys are not sent earlier.
    pub slot_ms: u64,
}

/// A checked attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    identity: Identity,
    manifest: Hash32,
    members: Vec<(u32, VerifyingKey)>,
    cohort: Cohort,
    outputs: Vec<OutputCells>,
    cells: usize,
    slot_ms: u64,
}

impl Attempt {
    /// Checks members, T, c and shape.
    pub fn new(terms: Terms) -> Result<Self, Refused> {
        let count = u32::try_from(terms.members.len()).map_err(|_| Refused::TooManyMembers)?;
        let cohort = Cohort::new(count, terms.threshold, terms.colluders)?;
        let ascending = terms.members.is_sorted_by(|a, b| a.index < b.index) && terms.members[0].index >= 1;
        let mut keys: Vec<&PublicKey> = terms.members.iter().map(|member| &member.key).collect();
        keys.sort_unstable();
        if !ascending || keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refused::MemberList);
        }
        let members = terms.members.iter().map(|member| {
            let key = VerifyingKey::from_bytes(member.key.as_bytes()).ok().filter(|key| !key.is_weak());
            key.map(|key| (member.index, key)).ok_or(Refused::MemberList)
        });
        let members = members.collect::<Result<_, _>>()?;
        let cells = terms.outputs.iter().try_fold(0usize, |sum, output| sum.checked_add(output.cells)).ok_or(Refused::Shape)?;
        let bounds_hold = terms.outputs.iter().all(|output| output.cells > 0 && (1..1 << 63).contains(&output.bound));
        if cells == 0 || cells > MAX_CELLS || !bounds_hold {
            return Err(Refused::Shape);
        }
        let Terms { identity, manifest, outputs, slot_ms, .. } = terms;
        Ok(Self { identity, manifest, members, cohort, outputs, cells, slot_ms })
    }

    /// The same attempt with another cohort, also one against the rule.
    #[cfg(test)]
    pub(crate) fn with_cohort(self, cohort: Cohort) -> Self {
        Self { cohort, ..self }
    }

    /// Query and attempt.
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// `H_M`.
    pub const fn manifest(&self) -> Hash32 {
        self.manifest
    }

    /// n, T and c.
    pub const fn cohort(&self) -> Cohort {
        self.cohort
    }

    /// Cells of all outputs together: the length of each vector.
    pub const fn cells(&self) -> usize {
        self.cells
    }

    /// Outputs in plan order.
    pub fn outputs(&self) -> &[OutputCells] {
        &self.outputs
    }

    /// Start of round 1, milliseconds since 1970.
    pub const fn slot_ms(&self) -> u64 {
        self.slot_ms
    }

    /// Indices of U0, ascending.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = u32> {
        self.members.iter().map(|(index, _)| *index)
    }

    /// The key of a member.
    pub fn key(&self, index: u32) -> Option<&VerifyingKey> {
        let place = self.members.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&self.members[place].1)
    }

    /// T as a count.
    pub(crate) fn threshold(&self) -> usize {
        count(self.cohort.threshold())
    }

    /// n as a count.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }
}

/// A number of members, at most [`MAX_MEMBERS`](crate::cohort::MAX_MEMBERS), as a count.
pub(crate) fn count(members: u32) -> usize {
    usize::try_from(members).unwrap_or(usize::MAX)
}
