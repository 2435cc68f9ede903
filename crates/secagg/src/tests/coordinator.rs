//! What the coordinator refuses, and that a refused message costs only its sender.

use std::num::NonZeroUsize;

use commun_domain::Document;
use commun_domain::encoding::sha256;
use curve25519_dalek::Scalar;

use super::fixture::{SLOT_MS, attempt, identity, key};
use super::puppet::Puppet;
use crate::Refused;
use crate::agent::{Agent, Reply, Round, Standing};
use crate::attempt::Attempt;
use crate::context::context;
use crate::coordinator::{Coordinator, Dealer, Failed, Outcome, Receipt};
use crate::crypto::random_scalars;
use crate::crypto::seal::SharePair;
use crate::crypto::shamir::Polynomial;
use crate::wire::{KeyEntry, KeyList, Keys};

/// Honest 1 to 4 and the puppet 5; T = 4, c = 2.
struct Table {
    attempt: Attempt,
    coordinator: Coordinator,
    agents: Vec<Agent>,
    puppet: Puppet,
}

const ONE: NonZeroUsize = NonZeroUsize::MIN;

impl Table {
    fn new() -> Self {
        let attempt = attempt(&[1, 2, 3, 4, 5], 4, 2, 2);
        let agents = (1..=4).map(|index| {
            let mut agent = Agent::accepted(identity(1), index, key(index));
            agent.manifest(attempt.clone()).unwrap();
            agent
        });
        let (agents, puppet) = (agents.collect(), Puppet::new(attempt.manifest(), 5));
        Self { coordinator: Coordinator::new(attempt.clone()), attempt, agents, puppet }
    }

    /// What the honest members say in this round, by index.
    fn honest_round(&mut self) -> Vec<(u32, Reply)> {
        let coordinator = &self.coordinator;
        let said = (1..).zip(&mut self.agents).map(|(index, agent)| {
            let reply = match coordinator.message_for(index) {
                None => agent.keys(&[i64::from(index), -5], SLOT_MS, Standing::Clear),
                Some(message) => agent.receive(&message, Standing::Clear),
            };
            (index, reply.unwrap())
        });
        said.collect()
    }

    /// Takes what the honest members say.
    fn take_honest(&mut self) {
        for (index, reply) in self.honest_round() {
            let taken = match reply {
                Reply::Message(message) => self.coordinator.receive(index, &message),
                Reply::Cells { head, cells } => self.coordinator.receive_cells(index, &head, &cells),
            };
            assert_eq!(taken, Ok(Receipt::Taken));
        }
    }

    fn keys(&self, change: impl FnOnce(&mut KeyEntry)) -> Vec<u8> {
        Keys { manifest: self.attempt.manifest(), entry: self.puppet.entry(self.attempt.manifest(), change) }.to_bytes()
    }

    /// Up to R3, with the puppet's keys and these shares of its secrets.
    fn up_to_cells(&mut self, share: impl Fn(u32) -> SharePair) -> KeyList {
        self.take_honest();
        let keys = self.keys(|_| ());
        self.coordinator.receive(5, &keys).unwrap();
        self.coordinator.close_round().unwrap();
        let list = KeyList::from_bytes(&self.coordinator.message_for(5).unwrap()).unwrap();
        self.take_honest();
        let shares = self.puppet.shares_of(&list, share);
        self.coordinator.receive(5, &shares.to_bytes()).unwrap();
        assert_eq!(self.coordinator.close_round(), Ok(Round::Cells));
        list
    }

    /// The puppet drops out before R3; to the end.
    fn without_puppet(mut self) -> Result<Outcome, Failed> {
        for _ in 0..2 {
            self.take_honest();
            self.coordinator.close_round()?;
        }
        self.take_honest();
        self.coordinator.finish(ONE)
    }
}

fn honest_shares(puppet: &Puppet) -> impl Fn(u32) -> SharePair + use<> {
    let (b, u) = (Polynomial::hiding(&puppet.b, 4).unwrap(), Polynomial::hiding(&puppet.u, 4).unwrap());
    move |x| SharePair { b: b.at(x), u: u.at(x) }
}

#[test]
fn refused_keys_change_nothing_and_honest_members_go_on() {
    let mut table = Table::new();
    table.take_honest();
    let other = KeyList::from_bytes(&{
        let mut probe = Table::new();
        probe.take_honest();
        probe.coordinator.close_round().unwrap();
        probe.coordinator.message_for(1).unwrap()
    })
    .unwrap();
    let refusals = [
        (5, b"garbage".to_vec(), Refused::Malformed),
        (4, table.keys(|_| ()), Refused::OtherInput),
        (6, table.keys(|_| ()), Refused::Stranger),
        (5, table.keys(|entry| entry.index = 2), Refused::WrongSender),
        (5, table.keys(|entry| entry.mask_key = [0; 32]), Refused::SmallOrder),
        (5, table.keys(|entry| entry.seal_key = entry.mask_key), Refused::CopiedKey),
        (5, Keys { manifest: sha256(b"another"), entry: other.entries[0].clone() }.to_bytes(), Refused::OtherContext),
        (5, [table.keys(|_| ()), vec![0]].concat(), Refused::TooLarge),
    ];
    for (from, message, refused) in refusals {
        assert_eq!(table.coordinator.receive(from, &message), Err(refused));
    }
    assert_eq!(table.coordinator.awaited(), [5]);
    assert_eq!(table.coordinator.receive_cells(1, b"", &[]), Err(Refused::OutOfOrder));
    table.coordinator.close_round().unwrap();
    let late = table.keys(|_| ());
    assert_eq!(table.coordinator.receive(5, &late), Err(Refused::Late));
    table.take_honest();
    table.coordinator.close_round().unwrap();
    assert_eq!(table.without_puppet().unwrap().cells, [10, -20]);
}

#[test]
fn a_copy_of_anothers_key_costs_the_copier_its_place() {
    let mut table = Table::new();
    let said = table.honest_round();
    let Reply::Message(first) = &said[0].1 else { panic!() };
    let copied = Keys::from_bytes(first).unwrap().entry;
    for (index, reply) in said {
        let Reply::Message(message) = reply else { panic!() };
        table.coordinator.receive(index, &message).unwrap();
    }
    for message in [table.keys(|entry| entry.mask_key = copied.mask_key), table.keys(|entry| entry.seal_key = copied.mask_key)] {
        assert_eq!(table.coordinator.receive(5, &message), Err(Refused::CopiedKey));
    }
}

#[test]
fn the_same_bytes_again_are_taken_once() {
    let mut table = Table::new();
    let share = honest_shares(&table.puppet);
    table.up_to_cells(share);
    for (index, reply) in table.honest_round() {
        let Reply::Cells { head, cells } = reply else { panic!() };
        assert_eq!(table.coordinator.receive_cells(index, &head, &cells), Ok(Receipt::Taken));
        assert_eq!(table.coordinator.receive_cells(index, &head, &cells), Ok(Receipt::Again));
    }
    table.coordinator.close_round().unwrap();
    for _ in 0..2 {
        for (index, reply) in table.honest_round() {
            let Reply::Message(message) = reply else { panic!() };
            assert_eq!(table.coordinator.receive(index, &message), Ok(Receipt::Taken));
            assert_eq!(table.coordinator.receive(index, &message), Ok(Receipt::Again));
        }
        if table.coordinator.round() == Some(Round::Consent) {
            table.coordinator.close_round().unwrap();
        }
    }
    assert_eq!(table.coordinator.finish(ONE).unwrap().cells, [10, -20]);
}

#[test]
fn cells_that_are_not_the_signed_ones_are_refused() {
    let mut table = Table::new();
    let share = honest_shares(&table.puppet);
    let list = table.up_to_cells(share);
    let context = context(&list, list.hash(), &[1, 2, 3, 4, 5]);
    let head = table.puppet.head(context, &[1, 2]);
    let mut other_view = context;
    other_view.senders = sha256(b"another view");
    let cases = [
        (5, table.puppet.head(other_view, &[1, 2]), vec![1, 2], Refused::OtherContext),
        (4, head.clone(), vec![1, 2], Refused::WrongSender),
        (5, table.puppet.head(context, &[1]), vec![1], Refused::CellCount),
        (5, head.clone(), vec![1, 3], Refused::CellsHash),
        (
            5,
            {
                let mut forged = head.clone();
                forged.signature[3] ^= 1;
                forged
            },
            vec![1, 2],
            Refused::Signature,
        ),
    ];
    for (from, head, cells, refused) in cases {
        assert_eq!(table.coordinator.receive_cells(from, &head.to_bytes(), &cells), Err(refused));
    }
    // And after the round has closed they are late: they must never meet the seeds that then become known.
    table.take_honest();
    table.coordinator.close_round().unwrap();
    assert_eq!(table.coordinator.receive_cells(5, &head.to_bytes(), &[1, 2]), Err(Refused::Late));
    for _ in 0..2 {
        table.take_honest();
        if table.coordinator.round() == Some(Round::Consent) {
            table.coordinator.close_round().unwrap();
        }
    }
    assert_eq!(table.coordinator.finish(ONE).unwrap().cells, [10, -20]);
}

#[test]
fn a_sum_outside_the_planning_bound_is_refused() {
    // The puppet masks with nothing but its own numbers: the masks of the others with it do not cancel.
    let mut table = Table::new();
    let share = honest_shares(&table.puppet);
    let list = table.up_to_cells(share);
    let context = context(&list, list.hash(), &[1, 2, 3, 4, 5]);
    table.take_honest();
    let head = table.puppet.head(context, &[1, 2]).to_bytes();
    table.coordinator.receive_cells(5, &head, &[1, 2]).unwrap();
    // Two random cells both lie within the bound of 2^50 once in 2^26 times.
    table.coordinator.close_round().unwrap();
    table.take_honest();
    table.coordinator.close_round().unwrap();
    table.take_honest();
    assert_eq!(table.coordinator.finish(ONE).err(), Some(Failed::from(Refused::OutOfBound)));
}

#[test]
fn wrongly_dealt_shares_end_the_attempt_and_never_give_a_wrong_sum() {
    // Shares of another u than the one that its key is made of: all four agree, and on the wrong seed.
    let mut table = Table::new();
    let other = random_scalars(1).unwrap()[0];
    let (b, u) = (Polynomial::hiding(&table.puppet.b, 4).unwrap(), Polynomial::hiding(&other, 4).unwrap());
    table.up_to_cells(|x| SharePair { b: b.at(x), u: u.at(x) });
    // Four shares at T = 4: who lied cannot be proved, but whose secret it is about is said.
    let dealer = Some(Dealer { index: 5, proved: false });
    assert_eq!(table.without_puppet().err(), Some(Failed { dealer, ..Failed::from(Refused::WrongShares) }));
    // Random shares that lie on no polynomial.
    let mut table = Table::new();
    let random = random_scalars(6).unwrap();
    table.up_to_cells(|x| SharePair { b: random[x as usize], u: random[x as usize] * Scalar::from(x) });
    // Four shares at T = 4: who lied cannot be proved, but whose secret it is about is said.
    let dealer = Some(Dealer { index: 5, proved: false });
    assert_eq!(table.without_puppet().err(), Some(Failed { dealer, ..Failed::from(Refused::WrongShares) }));
}

#[test]
fn fewer_than_t_members_end_the_attempt_in_every_round() {
    for last in 0..5 {
        let mut table = Table::new();
        for round in 0..last {
            table.take_honest();
            if round < 4 {
                table.coordinator.close_round().unwrap();
            }
        }
        for (index, reply) in table.honest_round().into_iter().take(3) {
            let taken = match reply {
                Reply::Message(message) => table.coordinator.receive(index, &message),
                Reply::Cells { head, cells } => table.coordinator.receive_cells(index, &head, &cells),
            };
            assert_eq!(taken, Ok(Receipt::Taken));
        }
        if last == 4 {
            assert_eq!(table.coordinator.close_round(), Err(Refused::OutOfOrder.into()));
            assert_eq!(table.coordinator.awaited(), [4], "nothing has changed");
            let failed = Failed { withheld: vec![4], ..Failed::from(Refused::BelowThreshold) };
            assert_eq!(table.coordinator.finish(ONE).err(), Some(failed));
            break;
        }
        let missing = if last == 0 { vec![4, 5] } else { vec![4] };
        assert_eq!(table.coordinator.close_round(), Err(Failed { missing, ..Failed::from(Refused::BelowThreshold) }));
        assert_eq!(table.coordinator.round(), None);
        assert_eq!(table.coordinator.message_for(1), None);
        assert_eq!(table.coordinator.receive(1, &table.keys(|_| ())), Err(Refused::Ended));
        assert_eq!(table.coordinator.finish(ONE).err(), Some(Refused::Ended.into()));
    }
}
