//! A member whose every message is the adversary's: it holds real keys and says what a script makes it say.

use std::collections::BTreeMap;

use commun_domain::{Document, Hash32};
use curve25519_dalek::Scalar;
use ed25519_dalek::SigningKey;

use super::fixture::key;
use crate::cells::cells_hash;
use crate::context::{commitment, key_statement, mask_secret, seal_info};
use crate::crypto::exchange::ExchangeKey;
use crate::crypto::seal::{SharePair, open, seal, seal_bytes};
use crate::crypto::shamir::Polynomial;
use crate::crypto::sign::sign;
use crate::crypto::{random_scalars, random_secret};
use crate::wire::{
    BOX_BYTES, Consent, ConsentStatement, Context, KeyEntry, KeyList, MaskedHead, MaskedStatement, ShareList, Shares, SignedBy,
};

pub(crate) struct Puppet {
    pub(crate) index: u32,
    pub(crate) key: SigningKey,
    pub(crate) b: Scalar,
    pub(crate) u: Scalar,
    pub(crate) seal_key: ExchangeKey,
    pub(crate) mask_key: ExchangeKey,
    own_pair: Option<SharePair>,
}

impl Puppet {
    pub(crate) fn new(manifest: Hash32, index: u32) -> Self {
        let seeds = random_scalars(2).unwrap();
        let mask_key = ExchangeKey::new(&mask_secret(manifest, index, &seeds[1]).unwrap()).unwrap();
        let seal_key = ExchangeKey::new(&random_secret().unwrap()).unwrap();
        Self { index, key: key(index), b: seeds[0], u: seeds[1], seal_key, mask_key, own_pair: None }
    }

    /// Its honest entry, after `change`, signed.
    pub(crate) fn entry(&self, manifest: Hash32, change: impl FnOnce(&mut KeyEntry)) -> KeyEntry {
        let mut entry = KeyEntry {
            index: self.index,
            seal_key: self.seal_key.public().unwrap(),
            mask_key: self.mask_key.public().unwrap(),
            commitment: commitment(manifest, self.index, &self.b),
            signature: [0; 64],
        };
        change(&mut entry);
        entry.signature = sign(&key_statement(manifest, &entry), &self.key);
        entry
    }

    /// Honest shares of its own secrets.
    pub(crate) fn shares(&mut self, list: &KeyList, threshold: usize) -> Shares {
        let (b, u) = (Polynomial::hiding(&self.b, threshold).unwrap(), Polynomial::hiding(&self.u, threshold).unwrap());
        self.shares_of(list, |x| SharePair { b: b.at(x), u: u.at(x) })
    }

    /// Whatever shares.
    pub(crate) fn shares_of(&mut self, list: &KeyList, share: impl Fn(u32) -> SharePair) -> Shares {
        self.own_pair = Some(share(self.index));
        let (manifest, keys) = (list.manifest, list.hash());
        let boxes = list.entries.iter().filter(|entry| entry.index != self.index).map(|other| {
            let info = seal_info(manifest, keys, self.index, other.index);
            let key = self.seal_key.derive_with(&other.seal_key, &info).unwrap();
            seal(&key, &info, &share(other.index)).unwrap()
        });
        Shares { manifest, keys, index: self.index, boxes: boxes.collect() }
    }

    /// A box for another member that holds any bytes.
    pub(crate) fn sealed(&self, list: &KeyList, to: u32, text: &[u8; 64]) -> [u8; BOX_BYTES] {
        let info = seal_info(list.manifest, list.hash(), self.index, to);
        let key = self.seal_key.derive_with(&list.entry(to).unwrap().seal_key, &info).unwrap();
        seal_bytes(&key, &info, text).unwrap()
    }

    /// What it can open of a share list, and its own pair.
    pub(crate) fn opened(&self, keys: &KeyList, list: &ShareList) -> BTreeMap<u32, SharePair> {
        let others = list.senders.iter().filter(|sender| **sender != self.index);
        let mut pairs: BTreeMap<u32, SharePair> = others
            .zip(&list.boxes)
            .filter_map(|(&sender, sealed)| {
                let info = seal_info(list.manifest, list.keys, sender, self.index);
                let key = self.seal_key.derive_with(&keys.entry(sender)?.seal_key, &info).ok()?;
                Some((sender, open(&key, &info, sealed).ok()?))
            })
            .collect();
        pairs.extend(self.own_pair.map(|pair| (self.index, pair)));
        pairs
    }

    pub(crate) fn head(&self, context: Context, cells: &[u64]) -> MaskedHead {
        let statement = MaskedStatement { context, index: self.index, cells: cells_hash(cells) };
        MaskedHead { context, index: self.index, cells: statement.cells, signature: sign(&statement, &self.key) }
    }

    pub(crate) fn consent(&self, context: Context, survivors: Hash32) -> Consent {
        let signature = sign(&ConsentStatement { context, survivors, index: self.index }, &self.key);
        Consent { context, survivors, index: self.index, signature }
    }

    pub(crate) fn signature(&self, context: Context, survivors: Hash32) -> SignedBy {
        SignedBy { index: self.index, signature: self.consent(context, survivors).signature }
    }
}
