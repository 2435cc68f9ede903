//! How far an answer is from the truth: with one trusted centre, with secure aggregation, and with each holder's own full noise.
//!
//! The demo's question at epsilon 1, over made-up counts. T, c and h, lattices and noise are those that manifests get (`commun-trust`, `commun-privacy`), noise
//! is drawn by the function that agents call (`commun_engine::release`), and every answer of secure aggregation comes out of the protocol: all n agents and
//! the coordinator are the shipped state machines. The random numbers are the operating system's, so no two runs of this are alike.

use std::num::NonZeroUsize;

use anyhow::{Context, ensure};
use commun_domain::attempt::OutputNoise;
use commun_domain::contract_toml::parse_contract;
use commun_domain::encoding::sha256;
use commun_domain::plan::PrivatePlan;
use commun_domain::query::{PriceRequest, QuerySettings};
use commun_domain::{Epsilon, PublicKey, Rho};
use commun_engine::{Cells, release};
use commun_privacy::accountant::rho_for_epsilon;
use commun_privacy::lattice::Lattice;
use commun_privacy::price;
use commun_secagg::agent::{Agent, Reply, Standing};
use commun_secagg::attempt::{Attempt, Member, OutputCells, Terms};
use commun_secagg::cohort::Wish;
use commun_secagg::coordinator::Coordinator;
use commun_trust::{Shape, cohort};

use crate::Figure;
use crate::engine::{CONTRACT, SQL};
use crate::secagg::{identity, key};

/// Holders, and how many of them may collude.
const COHORTS: [(usize, u32); 4] = [(2, 1), (3, 1), (10, 2), (100, 10)];

/// Figures for each cohort: root mean square errors in persons, and their ratios with 95 % intervals.
pub(crate) fn measure(runs: u32) -> anyhow::Result<Vec<Figure>> {
    let contract = parse_contract(CONTRACT)?;
    let epsilon = Epsilon::from_units(1_000_000);
    let settings = QuerySettings { price: PriceRequest::Epsilon(epsilon), max_groups_per_person: 1, intervals: true, clipped: false };
    let plan = commun_sql::compile(SQL, &contract, &settings)?;
    let rho = rho_for_epsilon(epsilon, contract.delta_conv)?;
    let mut figures = Vec::new();
    for (holders, colluders) in COHORTS {
        let wishes = vec![Wish { colluders, min_survivors: 1 }; holders];
        let shape = cohort::of_acceptors(&wishes, holders, 1)?;
        let question = Question::new(&plan, rho, shape)?;
        let mut errors = Errors::default();
        for _ in 0..runs {
            question.run(&mut errors)?;
        }
        figures.extend(errors.figures(&shape));
        eprintln!("accuracy: {holders} holders, {runs} runs");
    }
    Ok(figures)
}

/// What is asked of a cohort.
struct Question {
    shape: Shape,
    cells: usize,
    /// Each member's where h shares count.
    shared: OutputNoise,
    /// Each member's where only its own counts.
    local: OutputNoise,
    /// The centre's.
    central: OutputNoise,
    attempt: Attempt,
}

impl Question {
    fn new(plan: &PrivatePlan, rho: Rho, shape: Shape) -> anyhow::Result<Self> {
        let [cells] = plan.lengths().context("no lengths")?[..] else { anyhow::bail!("not one output") };
        let noise = |members, honest| -> anyhow::Result<OutputNoise> {
            price::noise(plan, rho, members, honest)?.into_iter().next().context("no noise")
        };
        let shared = noise(shape.members, shape.honest)?;
        let bound = Lattice::largest_sum(shape.members, shared.d, shared.s2).context("no bound")?;
        let member = |index| Member { index, key: PublicKey::from_bytes(key(index).verifying_key().to_bytes()) };
        let attempt = Attempt::new(Terms {
            identity: identity(),
            manifest: sha256(b"manifest"),
            members: (1..=shape.members).map(member).collect(),
            threshold: shape.threshold,
            colluders: shape.colluders,
            outputs: vec![OutputCells { cells, bound }],
            slot_ms: 0,
        })?;
        Ok(Self { shape, cells, shared, local: noise(shape.members, 1)?, central: noise(1, 1)?, attempt })
    }

    /// Fresh counts, answered in the three ways.
    fn run(&self, errors: &mut Errors) -> anyhow::Result<()> {
        let mut bytes = vec![0; usize::try_from(self.shape.members)? * self.cells];
        getrandom::fill(&mut bytes)?;
        let counts: Vec<Vec<i128>> = bytes.chunks(self.cells).map(|holder| holder.iter().map(|byte| i128::from(*byte)).collect()).collect();
        let truth: Vec<i128> = (0..self.cells).map(|cell| counts.iter().map(|holder| holder[cell]).sum()).collect();
        let each = |noise: &OutputNoise| counts.iter().map(|holder| noisy(holder, noise)).collect::<anyhow::Result<Vec<_>>>();

        errors.central.add(&noisy(&truth, &self.central)?, &truth, &self.central);
        errors.local.add(&plain_sum(&each(&self.local)?), &truth, &self.local);
        let inputs = each(&self.shared)?;
        let sum = self.aggregated(&inputs)?;
        ensure!(sum == plain_sum(&inputs), "the sum is not the plain one");
        errors.aggregated.add(&sum, &truth, &self.shared);
        Ok(())
    }

    /// The protocol, among real agents.
    fn aggregated(&self, inputs: &[Vec<i64>]) -> anyhow::Result<Vec<i64>> {
        let mut coordinator = Coordinator::new(self.attempt.clone());
        let mut agents = Vec::new();
        for (index, cells) in (1..).zip(inputs) {
            let mut agent = Agent::accepted(identity(), index, key(index));
            agent.manifest(self.attempt.clone())?;
            take(&mut coordinator, index, agent.keys(cells, 0, Standing::Clear)?)?;
            agents.push((index, agent));
        }
        for _ in 0..4 {
            coordinator.close_round().map_err(|failed| failed.reason)?;
            for (index, agent) in &mut agents {
                let message = coordinator.message_for(*index).context("a member is left out")?;
                take(&mut coordinator, *index, agent.receive(&message, Standing::Clear)?)?;
            }
        }
        Ok(coordinator.finish(NonZeroUsize::MIN).map_err(|failed| failed.reason)?.cells)
    }
}

fn take(coordinator: &mut Coordinator, from: u32, reply: Reply) -> anyhow::Result<()> {
    match reply {
        Reply::Message(message) => coordinator.receive(from, &message),
        Reply::Cells { head, cells } => coordinator.receive_cells(from, &head, &cells),
    }?;
    Ok(())
}

/// As an agent does it.
fn noisy(counts: &[i128], noise: &OutputNoise) -> anyhow::Result<Vec<i64>> {
    let released = release(&Cells { outputs: vec![counts.to_vec()] }, std::slice::from_ref(noise))?;
    Ok(released.concat())
}

fn plain_sum(inputs: &[Vec<i64>]) -> Vec<i64> {
    let cells = inputs.first().map_or(0, Vec::len);
    (0..cells).map(|cell| inputs.iter().fold(0, |sum: i64, holder| sum.wrapping_add(holder[cell]))).collect()
}

/// Errors of all cells of all runs.
#[derive(Default)]
struct Errors {
    central: Squares,
    aggregated: Squares,
    local: Squares,
}

#[derive(Default)]
struct Squares {
    sum: f64,
    count: f64,
}

impl Squares {
    /// `answer` in lattice steps, `truth` in persons.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    fn add(&mut self, answer: &[i64], truth: &[i128], noise: &OutputNoise) {
        let step = f64::from(noise.gamma_log2).exp2();
        for (answer, truth) in answer.iter().zip(truth) {
            self.sum += (*answer as f64 * step - *truth as f64).powi(2);
            self.count += 1.0;
        }
    }

    fn root_mean(&self) -> f64 {
        (self.sum / self.count).sqrt()
    }

    /// A root mean square of as many errors as this has, over another's, between the ends of its 95 % interval: its logarithm is nearly normal, with
    /// variance 1 / (2 count) from each.
    fn over(&self, other: &Self) -> Vec<f64> {
        let ratio = self.root_mean() / other.root_mean();
        let factor = (1.96 * (0.5 / self.count + 0.5 / other.count).sqrt()).exp();
        vec![ratio / factor, ratio, ratio * factor]
    }
}

impl Errors {
    fn figures(&self, shape: &Shape) -> Vec<Figure> {
        let Shape { members, threshold, colluders, honest, .. } = *shape;
        let of = format!("accuracy, n = {members}, T = {threshold}, c = {colluders}");
        let (aggregated, local) = ((f64::from(members) / f64::from(honest)).sqrt(), f64::from(members).sqrt());
        let error = |of_whom: &str, squares: &Squares| Figure::new(format!("{of}: error {of_whom}"), "persons", vec![squares.root_mean()]);
        let ratio = |of_whom: &str, predicted: f64, squares: &Squares| {
            Figure::new(format!("{of}: {of_whom} over the centre, predicted {predicted:.3}"), "x the error", squares.over(&self.central))
        };
        vec![
            error("of one trusted centre", &self.central),
            error("of secure aggregation", &self.aggregated),
            error("of local noise", &self.local),
            ratio("aggregation", aggregated, &self.aggregated),
            ratio("local noise", local, &self.local),
        ]
    }
}
