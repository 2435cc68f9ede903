//! Generated members: the protocol written down a second time, from its reference page, without its checks and with polynomials of degree
//! 1, whose values are as good as shares. That they work with the real agents and the coordinator is itself a test of the page.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use anyhow::{Context as _, anyhow};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use commun_domain::encoding::{Encode, sha256};
use commun_domain::{Document, Hash32};
use commun_secagg::cells::cells_hash;
use commun_secagg::wire::{
    Consent, ConsentStatement, Context, KeyEntry, KeyList, KeyStatement, Keys, MaskedHead, MaskedStatement, SenderSet, ShareList, Shares,
    SurvivorSet, Unmask,
};
use curve25519_dalek::{MontgomeryPoint, Scalar};
use ed25519_dalek::{Signer, SigningKey};

/// One generated member. Its secrets follow from its index: it protects nothing.
pub(crate) struct Peer {
    index: u32,
    key: SigningKey,
    manifest: Hash32,
    seal_secret: [u8; 32],
    view: Option<(Context, Vec<u32>)>,
    survivors: Option<SurvivorSet>,
    /// Shares of real agents, by their index.
    opened: BTreeMap<u32, ([u8; 32], [u8; 32])>,
}

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

fn derive(secret: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let prk = Salt::none(HKDF_SHA256).extract(secret);
    // 32 bytes are always to be had.
    let _ = prk.expand(&[info], Bytes32).and_then(|okm| okm.fill(&mut key));
    key
}

fn info(tag: &str, fields: &[&dyn Encode]) -> Vec<u8> {
    let mut out = Vec::new();
    tag.encode(&mut out);
    for field in fields {
        field.encode(&mut out);
    }
    out
}

fn sign(statement: &impl Document, key: &SigningKey) -> [u8; 64] {
    key.sign(&[b"commun-secagg-signature/v1\0", statement.hash().as_bytes().as_slice()].concat()).to_bytes()
}

/// The seeds b (`which` = 0) and u (1) of a generated member, and the slope of their polynomials.
fn seed(index: u32, which: u8) -> (Scalar, Scalar) {
    let scalar = |part: u8| Scalar::from_bytes_mod_order(*sha256(&[&index.to_be_bytes()[..], &[which, part]].concat()).as_bytes());
    (scalar(0), scalar(1))
}

fn share(index: u32, which: u8, x: u32) -> [u8; 32] {
    let (secret, slope) = seed(index, which);
    (secret + slope * Scalar::from(x)).to_bytes()
}

fn mask_secret(manifest: Hash32, index: u32) -> [u8; 32] {
    derive(seed(index, 1).0.as_bytes(), &info("commun/secagg-mask-key/v1", &[&manifest, &index]))
}

fn shared(secret: [u8; 32], public: [u8; 32], info: &[u8]) -> [u8; 32] {
    derive(MontgomeryPoint(public).mul_clamped(secret).as_bytes(), info)
}

/// Adds the stream of a key to cells, or takes it away.
fn mask(key: [u8; 32], cells: &mut [u64], add: bool) -> anyhow::Result<()> {
    let key = UnboundCipherKey::new(&AES_256, &key).and_then(EncryptingKey::ctr)?;
    let mut stream = vec![0; cells.len() * 8];
    key.less_safe_encrypt(&mut stream, EncryptionContext::Iv128([0; 16].into()))?;
    for (cell, bytes) in cells.iter_mut().zip(stream.as_chunks::<8>().0) {
        let word = u64::from_le_bytes(*bytes);
        *cell = if add { cell.wrapping_add(word) } else { cell.wrapping_sub(word) };
    }
    Ok(())
}

impl Peer {
    pub(crate) fn new(manifest: Hash32, index: u32, key: SigningKey) -> Self {
        let seal_secret = *sha256(&[&index.to_be_bytes()[..], b"seal"].concat()).as_bytes();
        Self { index, key, manifest, seal_secret, view: None, survivors: None, opened: BTreeMap::new() }
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn keys(&self) -> Vec<u8> {
        let (manifest, index) = (self.manifest, self.index);
        let committed = [info("commun/secagg-commitment/v1", &[&manifest, &index]), seed(index, 0).0.to_bytes().to_vec()].concat();
        let statement = KeyStatement {
            manifest,
            index,
            seal_key: MontgomeryPoint::mul_base_clamped(self.seal_secret).0,
            mask_key: MontgomeryPoint::mul_base_clamped(mask_secret(manifest, index)).0,
            commitment: sha256(&committed),
        };
        let signature = sign(&statement, &self.key);
        let KeyStatement { seal_key, mask_key, commitment, .. } = statement;
        Keys { manifest, entry: KeyEntry { index, seal_key, mask_key, commitment, signature } }.to_bytes()
    }

    fn cipher(&self, list: &KeyList, keys: Hash32, from: u32, to: u32) -> anyhow::Result<(LessSafeKey, Vec<u8>)> {
        let info = info("commun/secagg-share-box/v1", &[&self.manifest, &keys, &from, &to]);
        let other = list.entry(if from == self.index { to } else { from }).context("no such member")?;
        let key = shared(self.seal_secret, other.seal_key, &info);
        Ok((LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key)?), info))
    }

    /// Sealed for the first `agents` members; what is for generated members is never opened.
    pub(crate) fn shares(&self, list: &KeyList, agents: u32) -> anyhow::Result<Vec<u8>> {
        let keys = list.hash();
        let mut boxes = vec![[0; 80]; list.entries.len() - 1];
        for (to, place) in (1..=agents).zip(&mut boxes) {
            let (cipher, info) = self.cipher(list, keys, self.index, to)?;
            place[..32].copy_from_slice(&share(self.index, 0, to));
            place[32..64].copy_from_slice(&share(self.index, 1, to));
            let (text, tag) = place.split_at_mut(64);
            let made = cipher.seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(&info), text)?;
            tag.copy_from_slice(made.as_ref());
        }
        Ok(Shares { manifest: self.manifest, keys, index: self.index, boxes }.to_bytes())
    }

    /// Opens the real agents' shares; masks with its own mask and those with real agents and with members that drop out.
    pub(crate) fn masked(
        &mut self,
        list: &KeyList,
        told: &[u8],
        cells: &[i64],
        agents: u32,
        dropped: &RangeInclusive<u32>,
    ) -> anyhow::Result<(Vec<u8>, Vec<u64>)> {
        let told = ShareList::from_bytes(told)?;
        let set = SenderSet { manifest: self.manifest, keys: told.keys, senders: told.senders };
        let context = Context { manifest: self.manifest, keys: told.keys, senders: set.hash() };
        for (from, sealed) in (1..=agents).zip(&told.boxes) {
            let (cipher, info) = self.cipher(list, told.keys, from, self.index)?;
            let mut bytes = *sealed;
            let text = cipher.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::from(&info), &mut bytes)?;
            self.opened.insert(from, (text[..32].try_into()?, text[32..].try_into()?));
        }
        let mut masked: Vec<u64> = cells.iter().map(|cell| cell.cast_unsigned()).collect();
        mask(derive(seed(self.index, 0).0.as_bytes(), &info("commun/secagg-self/v1", &[&context, &self.index])), &mut masked, true)?;
        for other in (1..=agents).chain(dropped.clone()) {
            let public = list.entry(other).context("no such member")?.mask_key;
            let info = info("commun/secagg-pair/v1", &[&context, &self.index.min(other), &self.index.max(other)]);
            mask(shared(mask_secret(self.manifest, self.index), public, &info), &mut masked, other > self.index)?;
        }
        let statement = MaskedStatement { context, index: self.index, cells: cells_hash(&masked) };
        let signature = sign(&statement, &self.key);
        self.view = Some((context, set.senders));
        Ok((MaskedHead { context, index: self.index, cells: statement.cells, signature }.to_bytes(), masked))
    }

    pub(crate) fn consent(&mut self, set: SurvivorSet) -> Vec<u8> {
        let (context, survivors, index) = (set.context, set.hash(), self.index);
        self.survivors = Some(set);
        let signature = sign(&ConsentStatement { context, survivors, index }, &self.key);
        Consent { context, survivors, index, signature }.to_bytes()
    }

    pub(crate) fn unmask(&self) -> anyhow::Result<Vec<u8>> {
        let ((context, senders), set) = self.view.as_ref().zip(self.survivors.as_ref()).ok_or_else(|| anyhow!("R5 before R4"))?;
        let survivors = set.indices();
        let shares = senders.iter().map(|member| {
            let survived = survivors.binary_search(member).is_ok();
            match self.opened.get(member) {
                Some((b, u)) => *if survived { b } else { u },
                None => share(*member, u8::from(!survived), self.index),
            }
        });
        Ok(Unmask { context: *context, survivors: set.hash(), index: self.index, shares: shares.collect() }.to_bytes())
    }
}
