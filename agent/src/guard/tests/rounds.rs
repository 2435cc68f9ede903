//! Aggregation: this holder's part, with the two others and an honest coordinator played by the test.
//!
//! Where the two others put in zeros, the sum is this holder's own cells as they were before the mask: so its own noise is measured here.

use commun_domain::signed::SignedDocument;
use commun_secagg::agent::{Agent, Reply, Standing};
use commun_secagg::coordinator::{Coordinator, Outcome};
use commun_trust::cohort;

use super::*;

/// The other members, and the coordinator.
struct Others {
    machine: Coordinator,
    members: Vec<(u32, Agent)>,
}

/// What a member said, or the cells that it put.
enum Said {
    Message(Vec<u8>),
    Cells(Vec<u8>, Vec<u64>),
}

impl Others {
    fn new(world: &World, manifest: &Manifest) -> Self {
        let signed = signed_query(&question_of(world, manifest));
        let plan = world.core(|core| commun_trust::admit(core.log.state(), &signed, common::NOW_UNIX)).unwrap().plan;
        let attempt = cohort::aggregation(manifest, &plan, &common::roster().holders).unwrap();
        let members = [2u8, 3].map(|index| {
            let mut agent = Agent::accepted(attempt.identity(), index.into(), common::holder_key(index));
            agent.manifest(attempt.clone()).unwrap();
            (u32::from(index), agent)
        });
        Self { machine: Coordinator::new(attempt), members: members.into() }
    }

    /// Takes R1 of all: the others' cells are zeros.
    fn keys(&mut self, own: &Said, slot_ms: u64) {
        self.take(1, own);
        for place in 0..self.members.len() {
            let keys = self.members[place].1.keys(&[0; CELLS], slot_ms, Standing::Clear).unwrap();
            let index = self.members[place].0;
            self.take(index, &said(keys));
        }
    }

    fn take(&mut self, index: u32, said: &Said) {
        match said {
            Said::Message(bytes) => self.machine.receive(index, bytes),
            Said::Cells(head, cells) => self.machine.receive_cells(index, head, cells),
        }
        .unwrap();
    }

    /// Closes the round, lets the others answer the next one, and gives what holder 1 is to be sent.
    fn next(&mut self) -> Vec<u8> {
        self.machine.close_round().unwrap();
        for place in 0..self.members.len() {
            let index = self.members[place].0;
            let message = self.machine.message_for(index).unwrap();
            let reply = self.members[place].1.receive(&message, Standing::Clear).unwrap();
            self.take(index, &said(reply));
        }
        self.machine.message_for(1).unwrap().to_vec()
    }

    fn finish(self) -> Outcome {
        self.machine.finish(std::num::NonZeroUsize::MIN).unwrap()
    }
}

/// The world's question that a manifest is for, by its number.
fn question_of(world: &World, manifest: &Manifest) -> commun_domain::query::Query {
    let signed: SignedDocument = world.core(|core| core.log.state().attempt(&manifest.query, 1).unwrap().entry.query.clone());
    commun_domain::query::Query::from_bytes(&signed.bytes.0).unwrap()
}

fn said(reply: Reply) -> Said {
    match reply {
        Reply::Message(bytes) => Said::Message(bytes.to_vec()),
        Reply::Cells { head, cells } => Said::Cells(head, cells.to_vec()),
    }
}

fn own(outgoing: Outgoing) -> Said {
    match outgoing {
        Outgoing::Round { message, .. } => Said::Message(message.0.to_vec()),
        Outgoing::Cells { head, cells, .. } => Said::Cells(head, cells.to_vec()),
        other => panic!("{other:?}"),
    }
}

/// One attempt up to its slot: what holder 1 says, and the others.
async fn begun(world: &World, manifest: &Manifest, link: &mut mpsc::Receiver<Outgoing>) -> Others {
    world.clock.run();
    world.guard.manifest(manifest.to_bytes()).await;
    let mut others = Others::new(world, manifest);
    let keys = own(next(link).await);
    assert!(world.guard.clock.now_ms() >= manifest.slot_ms, "before its slot");
    others.keys(&keys, manifest.slot_ms);
    others
}

/// The next round: what holder 1 answers to it.
async fn round(world: &World, manifest: &Manifest, others: &mut Others, link: &mut mpsc::Receiver<Outgoing>) -> Said {
    let message = others.next();
    world.guard.round(manifest.query, 1, message).await;
    own(next(link).await)
}

/// A whole attempt: the sum, and holder 1's cells as they left it.
async fn whole(world: &World, manifest: &Manifest, link: &mut mpsc::Receiver<Outgoing>) -> (Outcome, Vec<u64>) {
    let mut others = begun(world, manifest, link).await;
    let mut masked = Vec::new();
    for _ in 0..4 {
        let answer = round(world, manifest, &mut others, link).await;
        if let Said::Cells(_, cells) = &answer {
            masked.clone_from(cells);
        }
        others.take(1, &answer);
    }
    (others.finish(), masked)
}

#[tokio::test]
async fn p1_p3_what_leaves_is_masked_and_journaled_first_and_the_sum_is_the_own_cells_with_the_own_noise() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    let (outcome, masked) = whole(&world, &manifest, &mut link).await;
    // gamma is 1/8 and s about 33: nine times no noise at all has a chance below 1e-15.
    let scale = 1i64 << manifest.noise[0].gamma_log2.unsigned_abs();
    let exact = scale * i64::try_from(EXACT).unwrap();
    assert!(outcome.cells.iter().any(|cell| *cell != exact), "{:?}", outcome.cells);
    assert!(outcome.cells.iter().all(|cell| (cell - exact).abs() < 100 * scale), "{:?}", outcome.cells);
    // Under the mask they are anywhere: nine within 2^40 of the truth have a chance of 2^-200.
    assert!(masked.iter().any(|cell| cell.wrapping_sub(exact.cast_unsigned()).cast_signed().unsigned_abs() > 1 << 40));
    let lines: Vec<_> = world.store.journal_tail(3).unwrap().into_iter().map(|(_, line)| (line.decision, line.bytes_sent)).collect();
    assert_eq!(lines, [(Decision::Accepted, 0), (Decision::Masked, 72), (Decision::Answered, 0)]);
    assert!(world.store.open_attempts().unwrap().is_empty());
    assert!(world.spent() > Rho::ZERO);
}

/// The law of the holder's own noise, before the mask: half of one centre's variance at T = 3 and c = 1, and not less.
#[tokio::test]
async fn p2_each_attempt_has_fresh_noise_of_the_own_share_before_the_mask() {
    let world = World::ready();
    let mut link = world.link().await;
    let (mut sum, mut squares, mut first) = (0.0, 0.0, Vec::new());
    let attempts = 48u8;
    let mut s2 = 0.0;
    for nonce in 1..=attempts {
        let manifest = world.manifest(&cheap(nonce));
        let (outcome, _) = whole(&world, &manifest, &mut link).await;
        let scale = 1i64 << manifest.noise[0].gamma_log2.unsigned_abs();
        s2 = float(manifest.noise[0].s2);
        let residuals: Vec<f64> = outcome.cells.iter().map(|cell| signed(cell - scale * i64::try_from(EXACT).unwrap())).collect();
        sum += residuals.iter().sum::<f64>();
        squares += residuals.iter().map(|r| r * r).sum::<f64>();
        first.push(residuals[0].to_bits());
    }
    let draws = f64::from(attempts) * 9.0;
    // 5.5 standard errors of 432 draws: a variance wrong by .38 of itself is seen, a whole noise or none at all by far.
    assert!((squares / draws / s2 - 1.0).abs() < 5.5 * (2.0 / draws).sqrt(), "{squares} over {draws} for {s2}");
    assert!((sum / draws).abs() < 5.5 * (s2 / draws).sqrt(), "{sum}");
    first.sort_unstable();
    first.dedup();
    assert!(first.len() > usize::from(attempts) / 2, "draws repeat");
}

#[expect(clippy::cast_precision_loss, reason = "small integers")]
fn float(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "small integers")]
fn signed(value: i64) -> f64 {
    value as f64
}

#[tokio::test]
async fn p8_an_attempt_that_ends_before_the_own_cells_left_is_taken_back_and_on_the_disk_before_it_is_told() {
    for rounds in 0..=1 {
        let world = World::ready();
        let manifest = world.manifest(&question(1));
        let mut link = world.link().await;
        let mut others = begun(&world, &manifest, &mut link).await;
        for _ in 0..rounds {
            let answer = round(&world, &manifest, &mut others, &mut link).await;
            others.take(1, &answer);
        }
        world.guard.cancel(manifest.query, 1, WireCode::TooFewHolders).await;
        assert_eq!(failed(&next(&mut link).await), WireCode::Cancelled);
        assert!(matches!(next(&mut link).await, Outgoing::Refunded { .. }));
        assert_eq!((world.spent(), world.last_line().decision), (Rho::ZERO, Decision::Refunded));
        // No message of it is sent afterwards.
        let message = others.next();
        world.guard.round(manifest.query, 1, message).await;
        nothing(&mut link).await;
    }
}

/// T = |U1| = 3: without this holder's shares nothing can be unmasked, until it has sent them.
#[tokio::test]
async fn p8_cells_that_left_are_taken_back_only_while_every_share_is_needed_and_the_own_was_not_sent() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    let mut others = begun(&world, &manifest, &mut link).await;
    for _ in 0..3 {
        let answer = round(&world, &manifest, &mut others, &mut link).await;
        others.take(1, &answer);
    }
    drop(link);
    world.guard.link_lost().await;
    assert_eq!((world.spent(), world.last_line().decision), (Rho::ZERO, Decision::Refunded));
    // It is told on the next link.
    let mut link = world.link().await;
    assert!(matches!(next(&mut link).await, Outgoing::Refunded { .. }));
    let answered = World::ready();
    let manifest = answered.manifest(&question(1));
    let mut link = answered.link().await;
    whole(&answered, &manifest, &mut link).await;
    answered.guard.cancel(manifest.query, 1, WireCode::TooFewHolders).await;
    nothing(&mut link).await;
    assert!(answered.spent() > Rho::ZERO);
}

#[tokio::test]
async fn p3_two_survivor_sets_a_changed_list_and_a_second_manifest_end_the_attempt() {
    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    let mut others = begun(&world, &manifest, &mut link).await;
    for _ in 0..3 {
        let answer = round(&world, &manifest, &mut others, &mut link).await;
        others.take(1, &answer);
    }
    // Its signature on the survivors is given; another set gets none.
    world.guard.round(manifest.query, 1, another_set(&manifest)).await;
    assert_eq!(failed(&next(&mut link).await), WireCode::NotPermitted);

    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    let mut others = begun(&world, &manifest, &mut link).await;
    let mut list = others.next();
    let last = list.len() - 1;
    list[last] ^= 1;
    world.guard.round(manifest.query, 1, list).await;
    assert_eq!(failed(&next(&mut link).await), WireCode::NotPermitted);

    let world = World::ready();
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    begun(&world, &manifest, &mut link).await;
    world.guard.manifest(manifest.to_bytes()).await;
    assert_eq!(failed(&next(&mut link).await), WireCode::NotPermitted);
    // Nothing of it had left but keys.
    assert!(matches!(next(&mut link).await, Outgoing::Refunded { .. }));
}

/// A set of survivors of this manifest that nobody agreed on.
fn another_set(manifest: &Manifest) -> Vec<u8> {
    let context = commun_secagg::wire::Context { manifest: manifest.hash(), keys: Hash32::default(), senders: Hash32::default() };
    commun_secagg::wire::SurvivorSet { context, survivors: Vec::new() }.to_bytes()
}

#[tokio::test]
async fn p9_an_answer_that_is_not_ready_at_the_slot_sends_nothing_and_stays_charged() {
    let world = World::with(Setup { takes: Duration::from_millis(600), ..Setup::default() });
    let manifest = world.manifest(&question(1));
    let mut link = world.link().await;
    world.clock.run();
    world.guard.manifest(manifest.to_bytes()).await;
    assert_eq!(failed(&next(&mut link).await), WireCode::Unavailable);
    nothing(&mut link).await;
    assert!(world.spent() > Rho::ZERO);
    assert!(world.last_line().reason.contains("the slot passed"), "{}", world.last_line().reason);
}
