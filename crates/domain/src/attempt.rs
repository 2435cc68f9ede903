//! What holders and coordinator sign and send in one attempt (the protocol page: OFFER, ACCEPT or REFUSE, MANIFEST, ANSWER).

use std::collections::BTreeMap;

use crate::encoding::{Bytes, Decode, Document, Encode, Reader};
use crate::error::WireCode;
use crate::ids::{Hash32, QueryId};
use crate::plan::open::{MAX_NAMES_BYTES, OpenKey};
use crate::signed::SignedDocument;
use crate::units::{Delta, Rho};
use crate::{canonical_struct, canonical_union};

/// Most attempts of one query.
pub const MAX_ATTEMPTS: u8 = 3;

/// Rounds of secure aggregation.
pub const ROUNDS: u8 = 5;

/// A holder has durably reserved the price and will answer. Signed by the holder's Ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// Query.
    pub query: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
    /// The holder's roster index.
    pub index: u32,
    /// Number of the RESERVE record in the holder's ledger.
    pub seq: u64,
    /// Hash of the RESERVE record.
    pub record: Hash32,
    /// Price reserved per partition.
    pub price: Rho,
    /// `c_i`: colluding agents against which this holder wants protection.
    pub min_colluders: u32,
    /// Fewest survivors that this holder insists on.
    pub min_survivors: u32,
}
canonical_struct!(Accept { query, attempt, index, seq, record, price, min_colluders, min_survivors });

impl Document for Accept {
    const TAG: &'static str = "commun/accept/v2";
}

/// A holder will not answer. Signed by the holder's Ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// Query.
    pub query: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
    /// The holder's roster index.
    pub index: u32,
    /// Stable code.
    pub code: WireCode,
    /// Public reason: made from the question, permit, policy and ledger, never from data.
    pub message: String,
}
canonical_struct!(Refuse { query, attempt, index, code, message });

impl Document for Refuse {
    const TAG: &'static str = "commun/refuse/v1";
}

/// Noise of one output at one holder: the cell is in units of gamma = `2^gamma_log2`, the noise is `N_Z(0, s2)` in those units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputNoise {
    /// log2 of the lattice step.
    pub gamma_log2: i32,
    /// Sensitivity of one cell in lattice units.
    pub d: u64,
    /// Variance parameter of each holder's discrete Gaussian, in squared lattice units.
    pub s2: u64,
}
canonical_struct!(OutputNoise { gamma_log2, d, s2 });

/// Noise and threshold of the names of an open group key: in each partition a name leaves a holder if its count of people plus
/// `N_Z(0, s2)` is at least `threshold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamesLaw {
    /// Variance parameter of the discrete Gaussian, in squared people.
    pub s2: u64,
    /// t*, in people.
    pub threshold: u64,
}
canonical_struct!(NamesLaw { s2, threshold });

/// What an attempt releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// Noisy numbers over the grid.
    Numbers {
        /// Where the grid has an open group key: SHA-256 of [`encode_names`] of its names, the union of what holders released before.
        names: Option<Hash32>,
    },
    /// Names of an open group key, never counts: each holder's own, with its full noise.
    Names {
        /// Noise and threshold.
        law: NamesLaw,
    },
}
canonical_union!(ManifestKind { 1 = Numbers { names }, 2 = Names { law } });

/// What is to be computed and by whom; agents recompute every number of it (P4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Query.
    pub query: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
    /// What is released.
    pub kind: ManifestKind,
    /// Hash of the plan.
    pub plan: Hash32,
    /// Cells of each output; 0 where names are released.
    pub cells: u64,
    /// Noise per output; none where names are released.
    pub noise: Vec<OutputNoise>,
    /// Price per partition at one holder.
    pub price: Rho,
    /// Delta per partition at one holder.
    pub delta: Delta,
    /// U0: signed ACCEPT of every member of the cohort, by index.
    pub cohort: Vec<SignedDocument>,
    /// Signed REFUSE of every holder that refused, by index.
    pub refusals: Vec<SignedDocument>,
    /// Holders that were not connected or did not reply in time, by index.
    pub timeouts: Vec<u32>,
    /// T: fewest survivors.
    pub threshold: u32,
    /// c: agents that may collude.
    pub colluders: u32,
    /// h = T - c.
    pub honest: u32,
    /// Hash of the roster.
    pub roster: Hash32,
    /// When an answer, or the first message of aggregation, leaves every member: never earlier and never later. Milliseconds since 1970.
    pub slot_ms: u64,
    /// Longest time of a round from the slot on, in milliseconds.
    pub round_ms: u64,
    /// Nothing is sent or accepted later, milliseconds since 1970: [`ROUNDS`] rounds after the slot, or one where nothing is aggregated.
    pub deadline_ms: u64,
    /// Log size at which the attempt's entry is contained.
    pub checkpoint_size: u64,
    /// Root of the log at that size.
    pub checkpoint_root: Hash32,
}
canonical_struct!(Manifest {
    query,
    attempt,
    kind,
    plan,
    cells,
    noise,
    price,
    delta,
    cohort,
    refusals,
    timeouts,
    threshold,
    colluders,
    honest,
    roster,
    slot_ms,
    round_ms,
    deadline_ms,
    checkpoint_size,
    checkpoint_root,
});

impl Document for Manifest {
    const TAG: &'static str = "commun/manifest/v3";
}

/// Head of a holder's noisy partial answer. Signed by the holder's Ed25519 key; the values travel beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHead {
    /// Hash of the manifest that is answered.
    pub manifest: Hash32,
    /// The holder's roster index.
    pub index: u32,
    /// SHA-256 of [`encode_values`], or of [`encode_names`].
    pub values: Hash32,
}
canonical_struct!(AnswerHead { manifest, index, values });

impl Document for AnswerHead {
    const TAG: &'static str = "commun/answer/v1";
}

/// Names whose masked cells a stream brings: the head of R3 (`commun-secagg`), canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedCells {
    /// Query.
    pub query: QueryId,
    /// Attempt, from 1.
    pub attempt: u8,
    /// The signed head.
    pub head: Bytes,
}
canonical_struct!(MaskedCells { query, attempt, head });

impl Document for MaskedCells {
    const TAG: &'static str = "commun/masked-cells/v1";
}

/// Noisy cells as bytes: outputs in plan order, cells in grid order, each `i64` little endian.
pub fn encode_values(values: &[Vec<i64>]) -> Vec<u8> {
    values.iter().flatten().flat_map(|value| value.to_le_bytes()).collect()
}

/// Reads [`encode_values`] for a known shape, the number of values of each output; `None` when the length is another.
pub fn decode_values(bytes: &[u8], lengths: &[usize]) -> Option<Vec<Vec<i64>>> {
    let cell = |chunk: &[u8]| chunk.try_into().map(i64::from_le_bytes).ok();
    let (mut rest, mut outputs) = (bytes, Vec::with_capacity(lengths.len()));
    for length in lengths {
        let (output, more) = rest.split_at_checked(length.checked_mul(8)?)?;
        outputs.push(output.chunks_exact(8).map(cell).collect::<Option<Vec<i64>>>()?);
        rest = more;
    }
    (rest.is_empty() && !outputs.is_empty()).then_some(outputs)
}

/// What one holder released in an attempt of kind `names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderNames {
    /// Signed [`AnswerHead`].
    pub head: SignedDocument,
    /// Its names, sorted by their bytes, each once.
    pub names: Vec<String>,
}
canonical_struct!(HolderNames { head, names });

/// Everything that the holders of a cohort released in an attempt of kind `names`. Its hash stands in the log; it is sent with the offer of the attempt
/// that follows, so that every holder can work out the union by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameLists {
    /// The manifest that was answered.
    pub manifest: Manifest,
    /// One list of each member of the cohort, in its order.
    pub lists: Vec<HolderNames>,
}
canonical_struct!(NameLists { manifest, lists });

impl Document for NameLists {
    const TAG: &'static str = "commun/names/v2";
}

impl NameLists {
    /// The names of the grid: what any holder released, sorted. If that is more than an answer may hold, those that more holders released stay,
    /// and of equals the first by their bytes.
    pub fn union(&self, key: &OpenKey) -> Vec<String> {
        let mut holders: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.lists.iter().flat_map(|list| &list.names) {
            *holders.entry(name).or_default() += 1;
        }
        let mut ranked: Vec<(&str, usize)> = holders.into_iter().collect();
        // The sort is stable and the names came in order.
        ranked.sort_by_key(|(_, holders)| std::cmp::Reverse(*holders));
        key.fitting(ranked.into_iter().map(|(name, _)| name))
    }
}

/// Names as bytes.
pub fn encode_names(names: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    names.to_vec().encode(&mut bytes);
    bytes
}

/// Reads [`encode_names`]; `None` when they are not what [`OpenKey::allows`].
pub fn decode_names(bytes: &[u8], key: &OpenKey) -> Option<Vec<String>> {
    if bytes.len() > MAX_NAMES_BYTES {
        return None;
    }
    let mut reader = Reader::new(bytes);
    let names = Vec::<String>::decode(&mut reader).ok()?;
    reader.finish().ok()?;
    key.allows(&names).then_some(names)
}
