//! What an agent holds between two rounds, and how each round uses it up. Secrets are wiped when a state is dropped; each state keeps
//! only what later rounds need. They stay where they are on the heap when one state becomes the next, so that moving leaves no copy.

use commun_domain::{Document, Hash32};
use curve25519_dalek::Scalar;
use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::read;
use crate::attempt::Attempt;
use crate::cells::cells_hash;
use crate::checks;
use crate::context::{self, commitment, key_statement, mask_secret, pair_info, seal_info, self_key};
use crate::crypto::exchange::ExchangeKey;
use crate::crypto::masks::{self, Sign};
use crate::crypto::seal::{SharePair, open, seal};
use crate::crypto::shamir::Polynomial;
use crate::crypto::sign::sign;
use crate::crypto::{random_scalars, random_secret};
use crate::graph::peers;
use crate::refused::Refused;
use crate::wire::{
    BOX_BYTES, Consent, ConsentStatement, Context, KeyEntry, KeyList, Keys, MaskedHead, MaskedStatement, Message, Proof, ShareList, Shares,
    Survivor, SurvivorSet, Unmask,
};

/// The holder itself.
pub(super) struct Own {
    pub(super) index: u32,
    pub(super) key: SigningKey,
    /// Tests weaken a rule to show that the checker of what an adversary learns finds the leak. Nothing that is shipped has this field.
    #[cfg(test)]
    pub(super) weakness: super::testing::Weakness,
}

impl Own {
    pub(super) fn new(index: u32, key: SigningKey) -> Self {
        Self {
            index,
            key,
            #[cfg(test)]
            weakness: super::testing::Weakness::default(),
        }
    }

    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests weaken it"))]
    fn keys_differ(&self, list: &KeyList) -> Result<(), Refused> {
        #[cfg(test)]
        if self.weakness.takes_copied_keys {
            return Ok(());
        }
        checks::keys_differ(list.entries.iter())
    }

    fn pair_info(&self, context: &Context, other: u32) -> Vec<u8> {
        #[cfg(test)]
        if self.weakness.pair_masks_without_indices {
            return pair_info(context, 0, 0);
        }
        pair_info(context, self.index, other)
    }
}

/// After R1.
pub(super) struct Keyed {
    attempt: Attempt,
    entry: KeyEntry,
    b: Box<Zeroizing<Scalar>>,
    u: Box<Zeroizing<Scalar>>,
    seal_key: ExchangeKey,
    mask_key: ExchangeKey,
    cells: Zeroizing<Vec<u64>>,
}

impl Keyed {
    /// Fresh secrets from the operating system, and the signed public half.
    pub(super) fn new(attempt: Attempt, own: &Own, cells: &[i64]) -> Result<(Self, Keys), Refused> {
        if cells.len() != attempt.cells() {
            return Err(Refused::CellCount);
        }
        let manifest = attempt.manifest();
        let seeds = random_scalars(2)?;
        let (b, u) = (Box::new(Zeroizing::new(seeds[0])), Box::new(Zeroizing::new(seeds[1])));
        let seal_key = ExchangeKey::new(&random_secret()?)?;
        let mask_key = ExchangeKey::new(&mask_secret(manifest, own.index, &u)?)?;
        let mut entry = KeyEntry {
            index: own.index,
            seal_key: seal_key.public()?,
            mask_key: mask_key.public()?,
            commitment: commitment(manifest, own.index, &b),
            signature: [0; 64],
        };
        entry.signature = sign(&key_statement(manifest, &entry), &own.key);
        let keys = Keys { manifest, entry: entry.clone() };
        let cells = Zeroizing::new(cells.iter().map(|cell| cell.cast_unsigned()).collect());
        Ok((Self { attempt, entry, b, u, seal_key, mask_key, cells }, keys))
    }

    pub(super) fn members(&self) -> usize {
        self.attempt.members()
    }

    pub(super) fn read<M: Message>(&self, message: &[u8]) -> Result<M, Refused> {
        read(&self.attempt, message)
    }

    /// R2: splits b and u among U1 and seals the shares.
    pub(super) fn shares(self: Box<Self>, own: &Own, list: &KeyList) -> Result<(Shared, Shares), Refused> {
        checks::key_list(&self.attempt, list, Some(&self.entry))?;
        own.keys_differ(list)?;
        let (manifest, keys, threshold) = (list.manifest, list.hash(), self.attempt.threshold());
        let (b, u) = (Polynomial::hiding(&self.b, threshold)?, Polynomial::hiding(&self.u, threshold)?);
        let share_of = |index| SharePair { b: b.at(index), u: u.at(index) };
        let mut boxes = Vec::with_capacity(list.entries.len());
        for other in list.entries.iter().filter(|entry| entry.index != own.index) {
            let info = seal_info(manifest, keys, own.index, other.index);
            let key = self.seal_key.derive_with(&other.seal_key, &info)?;
            boxes.push(seal(&key, &info, &Zeroizing::new(share_of(other.index)))?);
        }
        let own_share = Box::new(Zeroizing::new(share_of(own.index)));
        let Self { attempt, b, seal_key, mask_key, cells, .. } = *self;
        let shared = Shared { attempt, list: list.clone(), keys, b, seal_key, mask_key, cells, own_share };
        Ok((shared, Shares { manifest, keys, index: own.index, boxes }))
    }
}

/// After R2. The seed u is gone: others have its shares.
pub(super) struct Shared {
    attempt: Attempt,
    list: KeyList,
    keys: Hash32,
    b: Box<Zeroizing<Scalar>>,
    seal_key: ExchangeKey,
    mask_key: ExchangeKey,
    cells: Zeroizing<Vec<u64>>,
    own_share: Box<Zeroizing<SharePair>>,
}

impl Shared {
    pub(super) fn read<M: Message>(&self, message: &[u8]) -> Result<M, Refused> {
        read(&self.attempt, message)
    }

    /// T = |U1|: without this agent's shares nothing can be unmasked.
    pub(super) fn every_share_is_needed(&self) -> bool {
        self.attempt.threshold() == self.list.entries.len()
    }

    /// R3: opens the shares of U2, in order. With a refusal comes the dealer whose box or share it is about, if it is about one.
    pub(super) fn opened(&self, own: &Own, list: &ShareList) -> Result<Opened, (Refused, Option<u32>)> {
        checks::share_list(&self.list, self.keys, list, own.index, self.attempt.threshold()).map_err(|refused| (refused, None))?;
        let mut boxes = list.boxes.iter();
        let mut shares = Zeroizing::new(Vec::with_capacity(list.senders.len()));
        for &sender in &list.senders {
            // One box for each sender but this agent, as was checked.
            let share = match if sender == own.index { None } else { boxes.next() } {
                None => **self.own_share,
                Some(sealed) => self.open(own, sender, sealed).map_err(|refused| (refused, named(refused, sender)))?,
            };
            shares.push(share);
        }
        Ok(shares)
    }

    /// R3: masks the cells.
    pub(super) fn mask(
        mut self: Box<Self>,
        own: &Own,
        list: &ShareList,
        shares: Opened,
    ) -> Result<(Masked, MaskedHead, Vec<u64>), Refused> {
        let context = context::context(&self.list, self.keys, &list.senders);
        // One for each member of U2: it never grows, or keys would be left behind.
        let mut masks = Vec::with_capacity(list.senders.len());
        masks.push((self_key(&context, own.index, &self.b)?, Sign::Plus));
        for (peer, sign) in peers(own.index, &list.senders) {
            let key = self.mask_key.derive_with(&self.entry(peer)?.mask_key, &own.pair_info(&context, peer))?;
            masks.push((key, sign));
        }
        masks::apply_all(&masks, &mut self.cells, std::num::NonZeroUsize::MIN)?;
        let cells = std::mem::take(&mut *self.cells);
        let statement = MaskedStatement { context, index: own.index, cells: cells_hash(&cells) };
        let head = MaskedHead { context, index: own.index, cells: statement.cells, signature: sign(&statement, &own.key) };
        let sent = Survivor { index: own.index, cells: statement.cells };
        let masked = Masked { attempt: self.attempt, context, senders: list.senders.clone(), sent, shares };
        Ok((masked, head, cells))
    }

    fn entry(&self, index: u32) -> Result<&KeyEntry, Refused> {
        self.list.entry(index).ok_or(Refused::Stranger)
    }

    fn open(&self, own: &Own, sender: u32, sealed: &[u8; BOX_BYTES]) -> Result<SharePair, Refused> {
        let info = seal_info(self.list.manifest, self.keys, sender, own.index);
        let key = self.seal_key.derive_with(&self.entry(sender)?.seal_key, &info)?;
        open(&key, &info, sealed)
    }
}

/// Shares of each member of U2.
pub(super) type Opened = Zeroizing<Vec<SharePair>>;

/// A dealer is named for its box or share, not for a fault of this machine.
fn named(refused: Refused, dealer: u32) -> Option<u32> {
    matches!(refused, Refused::Sealed | Refused::ShareValue).then_some(dealer)
}

/// After R3. Only the shares of others are left, and its own: no key and no cell.
#[cfg_attr(test, derive(Clone))]
pub(super) struct Masked {
    attempt: Attempt,
    context: Context,
    senders: Vec<u32>,
    /// What it signed in R3.
    sent: Survivor,
    shares: Opened,
}

impl Masked {
    pub(super) fn members(&self) -> usize {
        self.attempt.members()
    }

    pub(super) fn read<M: Message>(&self, message: &[u8]) -> Result<M, Refused> {
        read(&self.attempt, message)
    }

    #[cfg(test)]
    pub(super) fn pairs(&self) -> Vec<(u32, SharePair)> {
        self.senders.iter().copied().zip(self.shares.iter().copied()).collect()
    }

    /// R4: signs the survivors, once: the state that could sign is used up.
    pub(super) fn consent(self: Box<Self>, own: &Own, set: &SurvivorSet) -> Result<(Consented, Consent), Refused> {
        checks::survivor_set(&self.context, &self.senders, set, self.attempt.threshold(), Some(&self.sent))?;
        let (context, survivors) = (self.context, set.hash());
        let signature = sign(&ConsentStatement { context, survivors, index: own.index }, &own.key);
        let consented = Consented { masked: *self, survivors: set.indices(), hash: survivors };
        Ok((consented, Consent { context, survivors, index: own.index, signature }))
    }
}

/// After R4.
pub(super) struct Consented {
    masked: Masked,
    survivors: Vec<u32>,
    hash: Hash32,
}

impl Consented {
    pub(super) fn members(&self) -> usize {
        self.masked.attempt.members()
    }

    pub(super) fn read<M: Message>(&self, message: &[u8]) -> Result<M, Refused> {
        read(&self.masked.attempt, message)
    }

    /// R5: one share for each member of U2, of b for a survivor, of u for the others.
    pub(super) fn unmask(self: Box<Self>, own: &Own, proof: &Proof) -> Result<(Hash32, Unmask), Refused> {
        let Masked { attempt, context, senders, shares, .. } = &self.masked;
        checks::proof(attempt, context, (&self.survivors, self.hash), proof)?;
        // As many as an exact iterator says: collecting does not grow.
        let shares = senders.iter().zip(shares.iter()).map(|(member, share)| {
            let survived = self.survivors.binary_search(member).is_ok();
            if survived { share.b.to_bytes() } else { share.u.to_bytes() }
        });
        let unmask = Unmask { context: *context, survivors: self.hash, index: own.index, shares: shares.collect() };
        Ok((context::transcript(context, &self.hash), unmask))
    }
}
