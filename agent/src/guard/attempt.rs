//! The life of an attempt in this process, as types that are passed by value.
//!
//! An [`Accepted`] attempt can be refunded or bound to one manifest, and either consumes it; one whose refund is due has no way back to a manifest, and a
//! bound one is refunded only if nothing that it sent can be unmasked (P8; `rounds`). An attempt dies with its process: nothing of this is stored, so a restart forgets what was refundable.

use commun_domain::attempt::Manifest;
use commun_domain::{Document, Hash32, QueryId};
use commun_privacy::ledger::LedgerRecord;
use commun_trust::{Admitted, OwnReserve, slot};

/// One attempt of one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptKey {
    /// Query.
    pub(crate) query: QueryId,
    /// Attempt, from 1.
    pub(crate) attempt: u8,
}

impl std::fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} attempt {}", self.query.short(), self.attempt)
    }
}

/// What the journal says about a question beside the decision.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// Agency of the permit.
    pub(crate) agency: Option<String>,
    /// Permit that the query names.
    pub(crate) permit: Option<Hash32>,
    /// SQL text.
    pub(crate) sql: String,
}

impl About {
    pub(crate) fn admitted(admitted: &Admitted) -> Self {
        Self { agency: Some(admitted.agency.clone()), permit: Some(admitted.permit_hash), sql: admitted.query.sql.clone() }
    }
}

/// Reserved and accepted, no manifest yet.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// What was admitted.
    pub(crate) admitted: Admitted,
    /// What was reserved, as manifests are checked against it.
    pub(crate) own: OwnReserve,
    /// The RESERVE record, as a refund must repeat it.
    pub(crate) reserve: LedgerRecord,
    /// After it the reserve is taken back, milliseconds since 1970.
    pub(crate) manifest_deadline_ms: u64,
    /// Shortest time from the manifest to its slot, in milliseconds.
    pub(crate) floor_ms: u64,
}

impl Accepted {
    /// Binds the attempt to its one manifest, which came with nearly `floor_ms` to its slot if it is to be taken.
    pub(crate) fn bind(self, manifest: Manifest, now_ms: u64) -> (Bound, Working) {
        let working = Working { about: About::admitted(&self.admitted), reserve: self.reserve, machine: None, masked: false };
        let least_slot_ms = now_ms.saturating_add(slot::left_ms(self.floor_ms));
        (Bound { admitted: self.admitted, own: self.own, hash: manifest.hash(), manifest, least_slot_ms }, working)
    }
}

/// Bound to a manifest.
#[derive(Debug)]
pub(crate) struct Bound {
    /// What was admitted.
    pub(crate) admitted: Admitted,
    /// What was reserved.
    pub(crate) own: OwnReserve,
    /// The manifest.
    pub(crate) manifest: Manifest,
    /// Its hash.
    pub(crate) hash: Hash32,
    /// The earliest slot that is taken, milliseconds since 1970.
    pub(crate) least_slot_ms: u64,
}

impl Bound {
    pub(crate) fn key(&self) -> AttemptKey {
        AttemptKey { query: self.manifest.query, attempt: self.manifest.attempt }
    }
}

/// What remains of an attempt beside its task: what can still be told of it, and its part in aggregation.
pub(crate) struct Working {
    pub(crate) about: About,
    /// The RESERVE record.
    pub(crate) reserve: LedgerRecord,
    /// From the slot on, if the attempt aggregates and this holder was on time.
    pub(crate) machine: Option<commun_secagg::agent::Agent>,
    /// Whether masked cells have left, and the journal says so.
    pub(crate) masked: bool,
}

/// Without the secrets of the aggregation.
impl std::fmt::Debug for Working {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Working").field("about", &self.about).field("masked", &self.masked).finish_non_exhaustive()
    }
}

/// What this process remembers of an attempt that is alive. One that ended is no longer in the map.
#[derive(Debug)]
pub(crate) enum Live {
    /// Waiting for its manifest.
    Accepted(Box<Accepted>),
    /// No manifest came by the offer's deadline, and the refund could not be written yet. It is tried again; a manifest that comes now is too
    /// late, whatever the clock says. If the process ends first, it stays charged.
    RefundDue {
        /// What was accepted.
        accepted: Box<Accepted>,
        /// When the refund is tried again, milliseconds since 1970.
        retry_ms: u64,
    },
    /// A task works on its answer, or rounds are under way.
    Bound(Box<Working>),
}

impl Live {
    /// When its reserve is to be taken back, milliseconds since 1970; `None` when that may not be.
    pub(crate) fn refund_ms(&self) -> Option<u64> {
        match self {
            Self::Accepted(accepted) => Some(accepted.manifest_deadline_ms),
            Self::RefundDue { retry_ms, .. } => Some(*retry_ms),
            Self::Bound(_) => None,
        }
    }
}
