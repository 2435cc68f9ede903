//! Aggregation through the real link, with the scripted coordinator, and with members whose keys the test holds: they put in zeros, so that a sum with them is one
//! real holder's own cells as they were before the mask.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use commun_domain::attempt::{Accept, Manifest};
use commun_domain::encoding::sha256;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document as _, PublicKey};
use commun_proto::v1::ManifestMessage;
use commun_proto::v1::coordinator_message::Message as ToAgent;
use commun_secagg::agent::{Agent, Reply as Answer, Standing};
use commun_secagg::coordinator::{Coordinator, Outcome};
use commun_trust::{cohort, sign};
use ed25519_dalek::SigningKey;

use crate::harness::Federation;
use crate::recording::{Recording, Said};

/// One attempt's rounds.
pub(crate) struct Rounds {
    pub(crate) manifest: Manifest,
    pub(crate) machine: Coordinator,
    puppets: Vec<(u32, Agent)>,
    /// Masked cells of real agents, as they came, by index.
    pub(crate) masked: BTreeMap<u32, Vec<u64>>,
}

/// The keys of holders that the test plays, from 0.
pub(crate) fn puppets(federation: &Federation, holders: &[usize]) -> Vec<SigningKey> {
    holders.iter().map(|holder| federation.key(&format!("holders/{}/holder.key", Federation::holder_name(*holder)))).collect()
}

impl Recording {
    /// The acceptance of a holder whose key the test has.
    pub(crate) fn forged(&self, question: &SignedDocument, key: &SigningKey, min_colluders: u32) -> (SignedDocument, Accept) {
        let admitted = self.admit(question);
        let own = sign::public_key(key);
        let index = self.state.roster().unwrap().holders.iter().find(|holder| holder.key == own).unwrap().index;
        let (seq, record) = (1, sha256(&index.to_be_bytes()));
        let accept = Accept { query: admitted.id, attempt: 1, index, seq, record, price: admitted.price, min_colluders, min_survivors: 1 };
        (sign::signed(&accept, key), accept)
    }

    /// Sends a manifest to every agent and takes all keys.
    pub(crate) fn begin(&mut self, question: &SignedDocument, manifest: &Manifest, puppets: &[SigningKey]) -> Rounds {
        let plan = self.admit(question).plan;
        let roster = self.state.roster().unwrap();
        let attempt = cohort::aggregation(manifest, &plan, &roster.holders).unwrap();
        let index_of = |key: &PublicKey| roster.holders.iter().find(|holder| holder.key == *key).unwrap().index;
        let puppet = |key: &SigningKey| {
            let index = index_of(&sign::public_key(key));
            let mut agent = Agent::accepted(attempt.identity(), index, key.clone());
            agent.manifest(attempt.clone()).unwrap();
            (index, agent)
        };
        let mut members: Vec<(u32, Agent)> = puppets.iter().map(puppet).collect();
        let zeros = vec![0; attempt.cells()];
        let mut machine = Coordinator::new(attempt);
        for (index, agent) in &mut members {
            let Answer::Message(keys) = agent.keys(&zeros, manifest.slot_ms, Standing::Clear).unwrap() else { panic!() };
            machine.receive(*index, &keys).unwrap();
        }
        self.say(&ToAgent::Manifest(ManifestMessage { manifest: manifest.to_bytes() }));
        let mut rounds = Rounds { manifest: manifest.clone(), machine, puppets: members, masked: BTreeMap::new() };
        self.take_all(&mut rounds);
        rounds
    }

    fn take_all(&mut self, rounds: &mut Rounds) {
        for _ in 0..self.agents().len() {
            let (name, said) = self.said();
            let index = self.index(&name);
            match said {
                Said::Round(bytes) => rounds.machine.receive(index, &bytes).unwrap(),
                Said::Cells(head, cells) => {
                    let taken = rounds.machine.receive_cells(index, &head, &cells).unwrap();
                    rounds.masked.insert(index, cells);
                    taken
                }
                other => panic!("{name} said {other:?}"),
            };
        }
    }

    /// Closes a round, lets the played members answer, and gives what each agent is to be sent.
    pub(crate) fn close(&self, rounds: &mut Rounds) -> Vec<(String, Vec<u8>)> {
        rounds.machine.close_round().unwrap();
        for (index, agent) in &mut rounds.puppets {
            let message = rounds.machine.message_for(*index).unwrap();
            match agent.receive(&message, Standing::Clear).unwrap() {
                Answer::Message(bytes) => rounds.machine.receive(*index, &bytes).unwrap(),
                Answer::Cells { head, cells } => rounds.machine.receive_cells(*index, &head, &cells).unwrap(),
            };
        }
        self.agents().into_iter().map(|(name, index)| (name, rounds.machine.message_for(index).unwrap().to_vec())).collect()
    }

    /// One whole round.
    pub(crate) fn next(&mut self, rounds: &mut Rounds) {
        for (name, message) in self.close(rounds) {
            self.send_round(&name, &rounds.manifest, message);
        }
        self.take_all(rounds);
    }

    /// A whole attempt: the sum, and the masked cells of each agent.
    pub(crate) fn aggregate(
        &mut self,
        question: &SignedDocument,
        manifest: &Manifest,
        puppets: &[SigningKey],
    ) -> (Outcome, BTreeMap<u32, Vec<u64>>) {
        let mut rounds = self.begin(question, manifest, puppets);
        for _ in 0..4 {
            self.next(&mut rounds);
        }
        (rounds.machine.finish(NonZeroUsize::MIN).unwrap(), rounds.masked)
    }
}
