//! A scripted, malicious coordinator over real agents and puppets. Every byte over every link is kept for the adversary.

use std::collections::BTreeMap;
use std::sync::Arc;

use commun_domain::Document;

use super::fixture::{SLOT_MS, attempt, identity, key};
use super::puppet::Puppet;
use crate::Refused;
use crate::agent::{Agent, Reply, Standing};
use crate::attempt::Attempt;
use crate::cells::cells_hash;
use crate::context::context;
use crate::crypto::seal::SharePair;
use crate::wire::{
    Consent, Context, KeyEntry, KeyList, Keys, MaskedHead, Proof, ShareList, Shares, SignedBy, Survivor, SurvivorSet, Unmask,
};

/// What passed over the link of one agent.
pub(crate) enum Passed {
    To(u32, Vec<u8>),
    From(u32, Vec<u8>),
    Cells(u32, MaskedHead, Arc<Vec<u64>>),
    /// Both shares of each member, by an agent that would give them.
    Pairs(u32, Vec<(u32, SharePair)>),
}

pub(crate) struct Stage {
    pub(crate) attempt: Attempt,
    pub(crate) agents: BTreeMap<u32, Agent>,
    pub(crate) puppets: BTreeMap<u32, Puppet>,
    /// `x_i` + `eta_i` of the honest members.
    pub(crate) plain: BTreeMap<u32, Vec<i64>>,
    pub(crate) passed: Vec<Passed>,
}

pub(crate) const CELLS: usize = 3;

impl Stage {
    /// Members 1 to n, of which `puppets` are the adversary's.
    pub(crate) fn new(members: u32, threshold: u32, colluders: u32, puppets: &[u32]) -> Self {
        let indices: Vec<u32> = (1..=members).collect();
        Self::of(&attempt(&indices, threshold, colluders, CELLS), puppets)
    }

    pub(crate) fn of(attempt: &Attempt, puppets: &[u32]) -> Self {
        let mut stage = Self {
            agents: BTreeMap::new(),
            puppets: BTreeMap::new(),
            plain: BTreeMap::new(),
            passed: Vec::new(),
            attempt: attempt.clone(),
        };
        for index in attempt.indices() {
            if puppets.contains(&index) {
                stage.puppets.insert(index, Puppet::new(attempt.manifest(), index));
            } else {
                let mut agent = Agent::accepted(identity(1), index, key(index));
                agent.manifest(attempt.clone()).unwrap();
                stage.agents.insert(index, agent);
                stage.plain.insert(index, (0..3).map(|cell| i64::from(index) * 1_000 - cell * 700).collect());
            }
        }
        stage
    }

    pub(crate) fn threshold(&self) -> usize {
        self.attempt.threshold()
    }

    /// Hands a message to an honest agent.
    pub(crate) fn give(&mut self, to: u32, message: &impl Document) -> Result<Reply, Refused> {
        self.give_bytes(to, message.to_bytes())
    }

    pub(crate) fn give_bytes(&mut self, to: u32, bytes: Vec<u8>) -> Result<Reply, Refused> {
        let reply = self.agents.get_mut(&to).unwrap().receive(&bytes, Standing::Clear);
        self.passed.push(Passed::To(to, bytes));
        if let Ok(reply) = &reply {
            self.passed.push(match reply {
                Reply::Message(message) => Passed::From(to, message.to_vec()),
                Reply::Cells { head, cells } => Passed::Cells(to, MaskedHead::from_bytes(head).unwrap(), Arc::clone(cells)),
            });
        }
        reply
    }

    /// R1 of all honest agents.
    pub(crate) fn honest_entries(&mut self) -> Vec<KeyEntry> {
        let mut entries = Vec::new();
        for (&index, agent) in &mut self.agents {
            let Reply::Message(message) = agent.keys(&self.plain[&index], SLOT_MS, Standing::Clear).unwrap() else { panic!() };
            entries.push(Keys::from_bytes(&message).unwrap().entry);
            self.passed.push(Passed::From(index, message.to_vec()));
        }
        entries
    }

    /// R1 with honest entries of the puppets.
    pub(crate) fn key_list(&mut self) -> KeyList {
        let manifest = self.attempt.manifest();
        let mut entries = self.honest_entries();
        entries.extend(self.puppets.values().map(|puppet| puppet.entry(manifest, |_| ())));
        self.list(entries)
    }

    pub(crate) fn list(&self, mut entries: Vec<KeyEntry>) -> KeyList {
        entries.sort_by_key(|entry| entry.index);
        KeyList { manifest: self.attempt.manifest(), entries }
    }

    /// R2: one list for all; everyone's shares.
    pub(crate) fn shares(&mut self, list: &KeyList) -> BTreeMap<u32, Shares> {
        let mut shares = BTreeMap::new();
        for index in self.honest() {
            let Ok(Reply::Message(message)) = self.give(index, list) else { panic!("agent {index} refused") };
            shares.insert(index, Shares::from_bytes(&message).unwrap());
        }
        shares.extend(self.shares_of_puppets(list));
        shares
    }

    /// R2 of the puppets alone.
    pub(crate) fn shares_of_puppets(&mut self, list: &KeyList) -> BTreeMap<u32, Shares> {
        let threshold = self.threshold();
        self.puppets.iter_mut().map(|(&index, puppet)| (index, puppet.shares(list, threshold))).collect()
    }

    /// Lets a puppet see its share list; the senders that it was told of.
    pub(crate) fn tell_puppet(&mut self, list: ShareList) -> Vec<u32> {
        self.passed.push(Passed::To(list.recipient, list.to_bytes()));
        list.senders
    }

    /// R3: the share list of one member for the senders that it is told of.
    pub(crate) fn share_list(list: &KeyList, shares: &BTreeMap<u32, Shares>, senders: &[u32], recipient: u32) -> ShareList {
        let place = |index| list.entries.iter().position(|entry| entry.index == index).unwrap();
        let boxes = senders.iter().filter(|sender| **sender != recipient).map(|sender| {
            let skipped = usize::from(place(*sender) < place(recipient));
            shares[sender].boxes[place(recipient) - skipped]
        });
        ShareList { manifest: list.manifest, keys: list.hash(), recipient, senders: senders.to_vec(), boxes: boxes.collect() }
    }

    /// R3 of honest agents that are told of the same senders. The puppets see their lists too.
    pub(crate) fn masked(&mut self, list: &KeyList, shares: &BTreeMap<u32, Shares>, senders: &[u32]) -> Context {
        for index in self.honest() {
            self.give(index, &Self::share_list(list, shares, senders, index)).unwrap();
        }
        for index in self.puppets.keys().copied().collect::<Vec<_>>() {
            self.tell_puppet(Self::share_list(list, shares, senders, index));
        }
        context(list, list.hash(), senders)
    }

    /// A set of survivors with the cells that honest members sent; a puppet's cells are all 0.
    pub(crate) fn set(&self, context: Context, members: &[u32]) -> SurvivorSet {
        let cells = |member| {
            let sent = self.passed.iter().rev().find_map(|passed| match passed {
                Passed::Cells(from, head, _) if *from == member => Some(head.cells),
                _ => None,
            });
            sent.unwrap_or_else(|| cells_hash(&[0; CELLS]))
        };
        SurvivorSet { context, survivors: members.iter().map(|&index| Survivor { index, cells: cells(index) }).collect() }
    }

    /// R4: the honest signatures of `to` on a set.
    pub(crate) fn consents(&mut self, to: &[u32], set: &SurvivorSet) -> Vec<SignedBy> {
        let mut signatures = Vec::new();
        for &index in to {
            let Ok(Reply::Message(message)) = self.give(index, set) else { continue };
            signatures.push(SignedBy { index, signature: Consent::from_bytes(&message).unwrap().signature });
        }
        signatures
    }

    /// A proof of T signatures, those of the puppets among them.
    pub(crate) fn proof(&self, set: &SurvivorSet, mut signatures: Vec<SignedBy>) -> Proof {
        let (context, survivors) = (set.context, set.hash());
        let listed = self.puppets.values().filter(|puppet| set.indices().contains(&puppet.index));
        signatures.extend(listed.map(|puppet| puppet.signature(context, survivors)));
        signatures.sort_by_key(|by| by.index);
        signatures.truncate(self.threshold());
        Proof { context, survivors, signatures }
    }

    /// R5 of one honest agent.
    pub(crate) fn unmask(&mut self, to: u32, proof: &Proof) -> Result<Unmask, Refused> {
        let Reply::Message(message) = self.give(to, proof)? else { panic!() };
        Ok(Unmask::from_bytes(&message).unwrap())
    }

    pub(crate) fn honest(&self) -> Vec<u32> {
        self.agents.keys().copied().collect()
    }

    pub(crate) fn everyone(&self) -> Vec<u32> {
        self.attempt.indices().collect()
    }

    /// The usual way up to R3.
    pub(crate) fn up_to_cells(&mut self) -> (KeyList, Context) {
        let list = self.key_list();
        let shares = self.shares(&list);
        let everyone = self.everyone();
        let context = self.masked(&list, &shares, &everyone);
        (list, context)
    }
}
