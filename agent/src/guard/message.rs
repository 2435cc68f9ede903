//! What the guard hears and says, and the parts of every refusal: what everyone may read, and what stays at the holder.
//!
//! A public text is made from the question, the permit, the policy and the ledger; a local one may say more and goes to the journal and to
//! `status` only. Neither is made from data: what may quote data is a [`Detail`], which is kept in memory for `status` and written nowhere.
//! They are separate fields, so that one cannot be sent or stored in place of another by accident.

use std::sync::Arc;

use commun_domain::attempt::NameLists;
use commun_domain::signed::SignedDocument;
use commun_domain::{Hash32, QueryId, Refusal, WireCode};
use commun_engine::EngineError;
use zeroize::Zeroizing;

use super::attempt::AttemptKey;

/// Longest public message of a refusal or failure, in characters.
const MAX_PUBLIC_CHARS: usize = 1000;

/// An offer as it came over the link.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The agency's signed query.
    pub query: SignedDocument,
    /// Attempt, from 1.
    pub attempt: u8,
    /// What holders released in the attempt before: of a second attempt, over an open group key.
    pub names: Option<NameLists>,
    /// Replies count until then, milliseconds since 1970.
    pub reply_deadline_ms: u64,
    /// The manifest comes by then or not at all, milliseconds since 1970.
    pub manifest_deadline_ms: u64,
    /// From the manifest to the slot, at least, in milliseconds.
    pub slot_wait_ms: u64,
}

/// One message of secure aggregation: what it holds is wiped with it, and shown nowhere, since the last one holds opened shares.
#[derive(Clone, PartialEq, Eq)]
pub struct RoundMessage(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for RoundMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoundMessage of {} bytes", self.0.len())
    }
}

/// What the agent tells the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Signed ACCEPT.
    Accept(SignedDocument),
    /// Signed REFUSE.
    Refuse(SignedDocument),
    /// The noisy answer.
    Answer {
        /// Which attempt.
        query: QueryId,
        /// Which attempt.
        attempt: u8,
        /// Signed head.
        head: SignedDocument,
        /// Noisy cells.
        values: Vec<u8>,
    },
    /// R1, R2, R4 or R5 of secure aggregation.
    Round {
        /// Which attempt.
        query: QueryId,
        /// Which attempt.
        attempt: u8,
        /// The message.
        message: RoundMessage,
    },
    /// R3: masked cells, which travel in chunks.
    Cells {
        /// Which attempt.
        query: QueryId,
        /// Which attempt.
        attempt: u8,
        /// Signed head.
        head: Vec<u8>,
        /// Masked cells, outputs in plan order, cells in grid order.
        cells: Arc<Vec<u64>>,
    },
    /// No answer will come; the charge stays, unless it is taken back in the next message.
    Failed {
        /// Which attempt.
        query: QueryId,
        /// Which attempt.
        attempt: u8,
        /// Stable code.
        code: WireCode,
        /// Public reason.
        message: String,
        /// Whose sealed share did not open, if that is why.
        complaint: Option<u32>,
    },
    /// A RESERVE was taken back.
    Refunded {
        /// Which attempt.
        query: QueryId,
        /// Which attempt.
        attempt: u8,
        /// Number of the REFUND record.
        seq: u64,
        /// Hash of the REFUND record.
        record: Hash32,
    },
    /// Entries read.
    LogReadTo(u64),
}

/// Why an attempt ends without an answer.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// Stable code.
    pub(crate) code: WireCode,
    /// For everyone; never made from data.
    pub(crate) public: String,
    /// For the holder's own journal and status; never made from data.
    pub(crate) local: String,
    /// For the holder's own status.
    pub(crate) detail: Option<Detail>,
    /// Whether it may have come from the data: the slot was missed, or the reading had begun.
    pub(crate) lapse: bool,
}

/// A text that may quote data: `Debug` hides it, and there is no `Display`.
#[derive(Clone)]
pub(crate) struct Detail(String);

impl Detail {
    pub(super) fn new(text: impl std::fmt::Display) -> Self {
        Self(text.to_string())
    }
}

impl std::fmt::Debug for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Detail(hidden)")
    }
}

impl Failure {
    /// All that is known, for `status`, which keeps it in memory.
    pub(super) fn for_status(&self) -> String {
        let detail = self.detail.as_ref().map(|detail| format!(": {}", detail.0)).unwrap_or_default();
        format!("{}: {}{detail}", self.code, self.local)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let local = format!("{} ({})", refusal.message, refusal.hint);
        Self { code: refusal.code, public: refusal.message, local, detail: None, lapse: false }
    }
}

/// A refusal of an offer, and whether the attempt was known before.
pub(super) struct Refused {
    pub(super) failure: Failure,
    pub(super) known: bool,
}

impl Refused {
    /// The first decision on the attempt.
    pub(super) fn now(failure: Failure) -> Self {
        Self { failure, known: false }
    }

    /// A decision was taken before, and stands.
    pub(super) fn known(key: AttemptKey) -> Self {
        let message = format!("attempt {} of this query was offered before; nothing is started twice", key.attempt);
        Self { failure: refusal_failure(WireCode::NotPermitted, &message), known: true }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::now(refusal.into())
    }
}

pub(super) fn refusal_failure(code: WireCode, message: &str) -> Failure {
    Failure { code, public: message.to_owned(), local: message.to_owned(), detail: None, lapse: false }
}

/// A fault of this machine: others learn only that there is one.
pub(super) fn local_fault(error: &dyn std::fmt::Display) -> Failure {
    let public = "this holder's store cannot take the query now".to_owned();
    Failure { code: WireCode::Unavailable, public, local: error.to_string(), detail: None, lapse: false }
}

/// The holder's files are not as its binding says: others learn only that there is no answer.
pub(super) fn not_ready(error: &EngineError) -> Failure {
    let public = "this holder cannot answer now; its engineer finds the reason in the agent's journal and status".to_owned();
    Failure { code: WireCode::Unavailable, public, local: error.to_string(), detail: None, lapse: false }
}

/// The slot has passed.
pub(super) fn late() -> Failure {
    Failure { lapse: true, ..refusal_failure(WireCode::Unavailable, "the slot passed before the answer was ready") }
}

pub(super) fn failed(key: AttemptKey, code: WireCode, message: &str) -> Outgoing {
    Outgoing::Failed { query: key.query, attempt: key.attempt, code, message: shortened(message), complaint: None }
}

pub(super) fn shortened(text: &str) -> String {
    text.chars().take(MAX_PUBLIC_CHARS).collect()
}
