//! The messages, in the one canonical encoding. Each is a document with a tag of its own and a largest size that follows from n.
//!
//! What is not here: what they must satisfy (`checks`). Vectors of cells travel beside [`MaskedHead`], chunked by the transport.

use commun_domain::encoding::Encode;
use commun_domain::{Document, Hash32, canonical_struct};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::refused::Refused;

/// A sealed pair of shares: two scalars and a Poly1305 tag.
pub const BOX_BYTES: usize = 80;

/// A document that travels between an agent and the coordinator.
pub trait Message: Document {
    /// Most bytes of this message in an attempt of `members` members.
    fn max_bytes(members: usize) -> usize;
}

/// Reads a message, of at most its largest size, or refuses.
pub(crate) fn read<M: Message>(bytes: &[u8], members: usize) -> Result<M, Refused> {
    if bytes.len() > M::max_bytes(members) {
        return Err(Refused::TooLarge);
    }
    M::from_bytes(bytes).map_err(|_| Refused::Malformed)
}

/// The canonical bytes of a message, written in one piece: growing would take time, and leave copies of secrets behind.
pub(crate) fn write<M: Message>(message: &M, members: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(M::max_bytes(members));
    M::TAG.encode(&mut bytes);
    message.encode(&mut bytes);
    bytes
}

/// `H_M`, H(U1) and H(U2): what every mask and every later signature is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// `H_M`.
    pub manifest: Hash32,
    /// H(U1): hash of the [`KeyList`].
    pub keys: Hash32,
    /// H(U2): hash of the [`SenderSet`].
    pub senders: Hash32,
}
canonical_struct!(Context { manifest, keys, senders });

/// What a member says in R1, with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its index.
    pub index: u32,
    /// X25519 key for sealing shares.
    pub seal_key: [u8; 32],
    /// X25519 key for pair masks, from the seed u.
    pub mask_key: [u8; 32],
    /// Hb: commitment to b.
    pub commitment: Hash32,
    /// Over [`KeyStatement`].
    pub signature: [u8; 64],
}
canonical_struct!(KeyEntry { index, seal_key, mask_key, commitment, signature });

/// What is signed in R1. It is never sent as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatement {
    /// `H_M`.
    pub manifest: Hash32,
    /// The signer.
    pub index: u32,
    /// Its X25519 key for sealing shares.
    pub seal_key: [u8; 32],
    /// Its X25519 key for pair masks.
    pub mask_key: [u8; 32],
    /// Its commitment to b.
    pub commitment: Hash32,
}
canonical_struct!(KeyStatement { manifest, index, seal_key, mask_key, commitment });

/// R1, agent to coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// `H_M`.
    pub manifest: Hash32,
    /// The keys.
    pub entry: KeyEntry,
}
canonical_struct!(Keys { manifest, entry });

/// R1, coordinator to U1: everyone's keys, ascending by index. Its hash is H(U1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyList {
    /// `H_M`.
    pub manifest: Hash32,
    /// U1.
    pub entries: Vec<KeyEntry>,
}
canonical_struct!(KeyList { manifest, entries });

impl KeyList {
    /// The entry of a member; the list is ascending.
    pub fn entry(&self, index: u32) -> Option<&KeyEntry> {
        let place = self.entries.binary_search_by_key(&index, |entry| entry.index).ok()?;
        Some(&self.entries[place])
    }
}

/// R2, agent to coordinator: a sealed pair of shares for each other member of U1, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// `H_M`.
    pub manifest: Hash32,
    /// H(U1).
    pub keys: Hash32,
    /// The sender.
    pub index: u32,
    /// U1 in order, the sender left out.
    pub boxes: Vec<[u8; BOX_BYTES]>,
}
canonical_struct!(Shares { manifest, keys, index, boxes });

/// R2, coordinator to one member of U2: who sent shares, and what each other one sealed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareList {
    /// `H_M`.
    pub manifest: Hash32,
    /// H(U1).
    pub keys: Hash32,
    /// The recipient.
    pub recipient: u32,
    /// U2, ascending.
    pub senders: Vec<u32>,
    /// U2 in order, the recipient left out.
    pub boxes: Vec<[u8; BOX_BYTES]>,
}
canonical_struct!(ShareList { manifest, keys, recipient, senders, boxes });

/// U2. Its hash is H(U2); it is never sent as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderSet {
    /// `H_M`.
    pub manifest: Hash32,
    /// H(U1).
    pub keys: Hash32,
    /// U2, ascending.
    pub senders: Vec<u32>,
}
canonical_struct!(SenderSet { manifest, keys, senders });

/// R3, agent to coordinator, before its vector of masked cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedHead {
    /// The view.
    pub context: Context,
    /// The sender.
    pub index: u32,
    /// [`cells_hash`](crate::cells::cells_hash) of the masked cells.
    pub cells: Hash32,
    /// Over [`MaskedStatement`].
    pub signature: [u8; 64],
}
canonical_struct!(MaskedHead { context, index, cells, signature });

/// What is signed in R3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskedStatement {
    /// The view.
    pub context: Context,
    /// The signer.
    pub index: u32,
    /// Hash of its masked cells.
    pub cells: Hash32,
}
canonical_struct!(MaskedStatement { context, index, cells });

/// A member of U3, and what it added to the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Its index.
    pub index: u32,
    /// Hash of its masked cells, as in its [`MaskedHead`].
    pub cells: Hash32,
}
canonical_struct!(Survivor { index, cells });

/// R4, coordinator to U3: who is in the sum, and with which masked cells. Its hash is H(U3): who signs it fixes every term of the sum before a
/// share is opened, so that nobody can choose its cells with the sum before its eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurvivorSet {
    /// The view.
    pub context: Context,
    /// U3, ascending by index.
    pub survivors: Vec<Survivor>,
}
canonical_struct!(SurvivorSet { context, survivors });

impl SurvivorSet {
    /// Indices of U3, in the set's order.
    pub fn indices(&self) -> Vec<u32> {
        self.survivors.iter().map(|survivor| survivor.index).collect()
    }
}

/// R4, agent to coordinator: its signature on the survivors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// The view.
    pub context: Context,
    /// H(U3).
    pub survivors: Hash32,
    /// The signer.
    pub index: u32,
    /// Over [`ConsentStatement`].
    pub signature: [u8; 64],
}
canonical_struct!(Consent { context, survivors, index, signature });

/// What is signed in R4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentStatement {
    /// The view.
    pub context: Context,
    /// H(U3).
    pub survivors: Hash32,
    /// The signer.
    pub index: u32,
}
canonical_struct!(ConsentStatement { context, survivors, index });

/// A member's signature in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// The signer.
    pub index: u32,
    /// Its signature.
    pub signature: [u8; 64],
}
canonical_struct!(SignedBy { index, signature });

/// R5, coordinator to those who signed: exactly T signatures on one set of survivors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The view.
    pub context: Context,
    /// H(U3).
    pub survivors: Hash32,
    /// Ascending by index.
    pub signatures: Vec<SignedBy>,
}
canonical_struct!(Proof { context, survivors, signatures });

/// R5, agent to coordinator: one share for each member of U2, in order: of b if it survived, of u if it did not. There is no place for
/// both.
///
/// Wiped when dropped, and not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Unmask {
    /// The view.
    pub context: Context,
    /// H(U3).
    pub survivors: Hash32,
    /// The sender.
    pub index: u32,
    /// Canonical scalars.
    pub shares: Vec<[u8; 32]>,
}
canonical_struct!(Unmask { context, survivors, index, shares });

impl Drop for Unmask {
    fn drop(&mut self) {
        self.shares.zeroize();
    }
}

impl ZeroizeOnDrop for Unmask {}

impl std::fmt::Debug for Unmask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unmask of {} shares by {}", self.shares.len(), self.index)
    }
}

macro_rules! documents {
    ($($name:ident = $tag:literal $(, $fixed:expr, $each:expr)?;)*) => {$(
        impl Document for $name {
            const TAG: &'static str = $tag;
        }
        $(
            impl Message for $name {
                fn max_bytes(members: usize) -> usize {
                    // The tag with its length, the fixed fields with the lengths of lists, and the items of the lists.
                    4 + Self::TAG.len() + $fixed + members * $each
                }
            }
        )?
    )*};
}

documents! {
    KeyStatement = "commun/secagg-keys-statement/v1";
    MaskedStatement = "commun/secagg-masked-statement/v1";
    ConsentStatement = "commun/secagg-consent-statement/v1";
    SenderSet = "commun/secagg-senders/v1";
    Keys = "commun/secagg-keys/v1", 32 + 4 + 32 * 3 + 64, 0;
    KeyList = "commun/secagg-key-list/v1", 32 + 4, 4 + 32 * 3 + 64;
    Shares = "commun/secagg-shares/v1", 32 * 2 + 4 + 4, BOX_BYTES;
    ShareList = "commun/secagg-share-list/v1", 32 * 2 + 4 + 4 * 2, 4 + BOX_BYTES;
    MaskedHead = "commun/secagg-masked/v1", 96 + 4 + 32 + 64, 0;
    SurvivorSet = "commun/secagg-survivors/v1", 96 + 4, 4 + 32;
    Consent = "commun/secagg-consent/v1", 96 + 32 + 4 + 64, 0;
    Proof = "commun/secagg-proof/v1", 96 + 32 + 4, 4 + 64;
    Unmask = "commun/secagg-unmask/v1", 96 + 32 + 4 + 4, 32;
}

/// A tag and public fields, each of fixed size, as the injective input of a key derivation.
pub(crate) fn info(tag: &str, fields: &[&dyn Encode]) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    tag.encode(&mut out);
    for field in fields {
        field.encode(&mut out);
    }
    out
}
