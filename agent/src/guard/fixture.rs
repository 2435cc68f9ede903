//! One holder of the world in `crates/trust/tests/common`, with fixed cells in place of data and a clock that a test moves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../crates/trust/tests/common/mod.rs"]
pub(super) mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use commun_domain::attempt::{Accept, Manifest, Refuse};
use commun_domain::clock::Clock;
use commun_domain::contract::DataContract;
use commun_domain::log::{HolderRecord, LogEntry};
use commun_domain::plan::PrivatePlan;
use commun_domain::query::{PriceRequest, Query};
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, QueryId, Rho, WireCode};
use commun_engine::{Cells, Engine, EngineError, NameCounts};
use commun_privacy::ledger::LedgerRecord;
use commun_service::Faults;
use commun_store::agent::JournalLine;
use commun_store::{AgentStore, StoreOptions};
use commun_tlog::checkpoint::Checkpoint;
use ed25519_dalek::SigningKey;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::core::Core;
use super::message::Outgoing;
use super::{Guard, Offer, Parts, lock};
use crate::health::Health;

pub(super) const NOW_MS: u64 = common::NOW_UNIX * 1000;
pub(super) const REPLY_MS: u64 = NOW_MS + 1_000;
pub(super) const MANIFEST_MS: u64 = NOW_MS + 2_000;
/// What a test may take from making a manifest until it comes.
const SPARE_MS: u64 = 100;
/// From a manifest to its slot, at least.
pub(super) const SLOT_WAIT_MS: u64 = 100;
/// Longest round.
const ROUND_MS: u64 = 2_000;
/// Cells of the world's question.
pub(super) const CELLS: usize = 9;
/// The exact total of each of them, which must never leave.
pub(super) const EXACT: i128 = 1000;

/// Stands still until it runs.
#[derive(Debug)]
pub(super) struct TestClock {
    now_ms: AtomicU64,
    runs_since: OnceLock<Instant>,
}

impl TestClock {
    pub(super) fn set(&self, now_ms: u64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// From now on it goes as time does.
    pub(super) fn run(&self) {
        self.runs_since.get_or_init(Instant::now);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        let since = self.runs_since.get().map_or(0, |since| u64::try_from(since.elapsed().as_millis()).unwrap());
        self.now_ms.load(Ordering::SeqCst) + since
    }
}

/// Fixed cells, and how often they were asked for.
#[derive(Debug)]
pub(super) struct FixedEngine {
    pub(super) reads: AtomicUsize,
    pub(super) takes: Duration,
    pub(super) panics: bool,
    pub(super) fails: bool,
    /// Whether its list of objections is missing.
    pub(super) listless: AtomicBool,
}

/// A list of objections.
pub(super) const LIST: &str = "/data/objections.txt";

/// A value of the data, which an error quotes.
pub(super) const DATUM: &str = "subscriber-4711";

impl Engine for FixedEngine {
    fn ready(&self, _: &str) -> Result<(), EngineError> {
        if self.listless.load(Ordering::SeqCst) {
            return Err(EngineError::Objections { path: LIST.into(), message: "it is not there".to_owned() });
        }
        Ok(())
    }

    fn evaluate<'a>(&'a self, _: &'a PrivatePlan, _: &'a QueryId, _: &'a DataContract) -> BoxFuture<'a, Result<Cells, EngineError>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::time::sleep(self.takes).await;
            assert!(!self.panics, "a fault of the engine that holds {DATUM}");
            if self.fails {
                let message = format!("line 3: {DATUM} is no number");
                return Err(EngineError::Source { source_name: "subscribers".to_owned(), message });
            }
            Ok(Cells { outputs: vec![vec![EXACT; CELLS]] })
        })
    }

    fn names<'a>(&'a self, _: &'a PrivatePlan, _: &'a QueryId, _: &'a DataContract) -> BoxFuture<'a, Result<NameCounts, EngineError>> {
        // The world's contract has no open text.
        Box::pin(std::future::ready(Err(EngineError::Plan("no open group key".to_owned()))))
    }
}

/// Holder 1.
pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) clock: Arc<TestClock>,
    pub(super) engine: Arc<FixedEngine>,
    pub(super) health: Arc<Health>,
    pub(super) store: Arc<AgentStore>,
    pub(super) guard: Arc<Guard>,
}

/// What a world is made of beside the defaults.
pub(super) struct Setup {
    pub(super) accept: Vec<Hash32>,
    pub(super) faults: Faults,
    pub(super) takes: Duration,
    pub(super) panics: bool,
    pub(super) fails: bool,
    pub(super) max_pages: Option<u32>,
    /// Roster indices of the holders that it counts as independent.
    pub(super) independent: Vec<u8>,
    /// Its own floor of the time to a slot; `None`: the public rule.
    pub(super) slot_ms: Option<u64>,
    /// The holder's key.
    pub(super) key: SigningKey,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            accept: vec![common::permit().hash()],
            faults: Faults::none(),
            takes: Duration::ZERO,
            panics: false,
            fails: false,
            max_pages: None,
            independent: vec![2, 3],
            slot_ms: Some(SLOT_WAIT_MS),
            key: common::holder_key(1),
        }
    }
}

impl World {
    /// An agent that accepts the world's permit and has read its log.
    pub(super) fn ready() -> Self {
        Self::with(Setup::default())
    }

    pub(super) fn with(setup: Setup) -> Self {
        let world = Self::start(tempfile::tempdir().unwrap(), setup);
        world.log(&[
            LogEntry::Bundle(common::signed_by(&common::bundle(), &[common::root_key()])),
            LogEntry::Roster(common::signed_by(&common::roster(), &common::roster_signers())),
            LogEntry::Contract(common::signed_by(&common::contract(), &common::officers())),
            LogEntry::Permit(common::signed_by(&common::permit(), &common::officers())),
        ]);
        world
    }

    pub(super) fn start(folder: tempfile::TempDir, setup: Setup) -> Self {
        let clock = Arc::new(TestClock { now_ms: AtomicU64::new(NOW_MS), runs_since: OnceLock::new() });
        let engine = Arc::new(FixedEngine {
            reads: AtomicUsize::new(0),
            takes: setup.takes,
            panics: setup.panics,
            fails: setup.fails,
            listless: AtomicBool::new(false),
        });
        let health = Arc::new(Health::default());
        let options = StoreOptions { max_pages: setup.max_pages };
        let store = Arc::new(AgentStore::open(&folder.path().join("agent.sqlite"), options).unwrap());
        let parts = Parts {
            holder: common::holder(1).name,
            accept_permits: setup.accept,
            independent: setup.independent.iter().map(|index| common::holder(*index).name).collect(),
            min_colluders: 0,
            min_survivors: 0,
            slot_ms: setup.slot_ms,
            bundle_sha256: common::bundle().hash(),
            key: setup.key,
            store: store.clone(),
            engine: engine.clone(),
            clock: clock.clone(),
            faults: setup.faults,
            health: health.clone(),
        };
        let guard = Guard::start(parts, folder.path()).unwrap();
        Self { folder, clock, engine, health, store, guard }
    }

    /// The process ends and another one starts on the same folder, and hears the end of the log.
    pub(super) fn restarted(self, setup: Setup) -> Self {
        let world = self.restarted_unheard(setup);
        world.hear();
        world
    }

    /// The process ends and another one starts on the same folder. Nothing has come over its link.
    pub(super) fn restarted_unheard(self, setup: Setup) -> Self {
        Self::start(self.ended(), setup)
    }

    /// The process ends, and what is between takes place, such as the copying back of an older folder.
    pub(super) fn ended(self) -> tempfile::TempDir {
        let Self { folder, guard, store, .. } = self;
        drop((guard, store));
        folder
    }

    /// A checkpoint over what was read. One that stopped takes none.
    pub(super) fn hear(&self) {
        let note = self.note(self.core(|core| core.log.size()), self.root());
        let _ = self.core(|core| core.checkpoint(&note));
    }

    /// Runs one decision as the guard would.
    pub(super) fn core<T>(&self, decide: impl FnOnce(&mut Core) -> T) -> T {
        decide(&mut lock(&self.guard.core))
    }

    /// Entries come, and a checkpoint over them.
    pub(super) fn log(&self, entries: &[LogEntry]) {
        let bytes: Vec<Vec<u8>> = entries.iter().map(Document::to_bytes).collect();
        self.core(|core| core.entries(core.log.size(), &bytes)).unwrap();
        let note = self.note(self.core(|core| core.log.size()), self.root());
        self.core(|core| core.checkpoint(&note)).unwrap();
    }

    /// The log key's note over any size and root.
    pub(super) fn note(&self, size: u64, root: Hash32) -> String {
        let origin = common::bundle().log_origin;
        let checkpoint = Checkpoint { origin: origin.clone(), size, root: *root.as_bytes(), time_unix: self.clock.now_unix() };
        checkpoint.sign(&origin, &common::log_key()).unwrap()
    }

    pub(super) fn root(&self) -> Hash32 {
        self.core(|core| core.log.root_at(core.log.size())).unwrap()
    }

    pub(super) fn offer(&self, question: &SignedDocument) -> Outgoing {
        // As far away as in `offer`, also when the clock runs.
        let since = self.clock.now_ms() - NOW_MS;
        let mut offer = offer(question);
        (offer.reply_deadline_ms, offer.manifest_deadline_ms) = (offer.reply_deadline_ms + since, offer.manifest_deadline_ms + since);
        self.core(|core| core.offer(&offer)).unwrap()
    }

    /// Accepts a question, and the coordinator logs the attempt and writes the manifest.
    pub(super) fn manifest(&self, question: &Query) -> Manifest {
        let signed = common::signed_query(question);
        let accepted = accepted(self.offer(&signed));
        let own: Accept = Accept::from_bytes(&accepted.bytes.0).unwrap();
        let admitted = self.core(|core| commun_trust::admit(core.log.state(), &signed, common::NOW_UNIX)).unwrap();
        let other = |index| common::accept(&admitted, index);
        // Some milliseconds for what is done before the manifest comes.
        let slot_ms = self.clock.now_ms() + SLOT_WAIT_MS + SPARE_MS;
        let mut entry = common::attempt_entry(&admitted);
        entry.records[0] = HolderRecord { index: 1, seq: own.seq, record: own.record };
        self.log(&[LogEntry::Attempt(entry)]);
        Manifest {
            query: admitted.id,
            attempt: 1,
            kind: admitted.kind,
            plan: admitted.plan_hash,
            cells: u64::try_from(CELLS).unwrap(),
            noise: admitted.noise(3, 2).unwrap(),
            price: admitted.price,
            delta: admitted.delta,
            cohort: vec![
                accepted,
                common::signed_by(&other(2), &[common::holder_key(2)]),
                common::signed_by(&other(3), &[common::holder_key(3)]),
            ],
            refusals: Vec::new(),
            timeouts: Vec::new(),
            threshold: 3,
            colluders: 1,
            honest: 2,
            roster: common::roster().hash(),
            slot_ms,
            round_ms: ROUND_MS,
            deadline_ms: slot_ms + 5 * ROUND_MS,
            checkpoint_size: self.core(|core| core.log.size()),
            checkpoint_root: self.root(),
        }
    }

    /// The link comes up; what the guard says arrives here.
    pub(super) async fn link(&self) -> mpsc::Receiver<Outgoing> {
        let (sender, receiver) = mpsc::channel(16);
        self.guard.link_up(sender).await;
        receiver
    }

    /// Spent in the question's partition, by the records on the disk.
    pub(super) fn spent(&self) -> Rho {
        let mut ledger = commun_privacy::ledger::Ledger::default();
        for record in self.records() {
            ledger.apply(&record).unwrap();
        }
        let contract = common::contract();
        let period = contract.calendar.parse("2011-01").unwrap();
        ledger.spent(&common::holder(1).name, &contract.budget_domain, period, None).rho
    }

    pub(super) fn records(&self) -> Vec<LedgerRecord> {
        self.store.ledger_load().unwrap()
    }

    pub(super) fn last_line(&self) -> JournalLine {
        self.store.journal_tail(1).unwrap().pop().unwrap().1
    }

    /// Lets the store grow by no page more, and fills the pages that it has: no further line of the journal fits.
    pub(super) fn fill_the_disk(&self) {
        self.limit(self.store.page_count().unwrap());
        let line = JournalLine { time_ms: 0, reason: String::new(), sql: String::new(), ..self.last_line() };
        while self.store.journal_append(&line).is_ok() {}
    }

    /// Lets the store grow again.
    pub(super) fn make_room(&self) {
        self.limit(self.store.page_count().unwrap() + 100);
    }

    fn limit(&self, pages: u32) {
        self.store.run("limit", |tx| Ok(tx.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)).unwrap();
    }

    pub(super) fn reads(&self) -> usize {
        self.engine.reads.load(Ordering::SeqCst)
    }
}

pub(super) fn offer(question: &SignedDocument) -> Offer {
    Offer {
        query: question.clone(),
        attempt: 1,
        names: None,
        reply_deadline_ms: REPLY_MS,
        manifest_deadline_ms: MANIFEST_MS,
        slot_wait_ms: 10_000,
    }
}

/// The world's question with this nonce.
pub(super) fn question(nonce: u8) -> Query {
    Query { nonce: [nonce; 16], ..common::query() }
}

/// The same, at a price of which many fit the budget.
pub(super) fn cheap(nonce: u8) -> Query {
    let mut query = question(nonce);
    query.settings.price = PriceRequest::Rho(Rho::parse("0.001").unwrap());
    query
}

/// The signed acceptance.
pub(super) fn accepted(reply: Outgoing) -> SignedDocument {
    let Outgoing::Accept(signed) = reply else { panic!("not accepted: {reply:?}") };
    assert!(commun_trust::verify(&signed, &common::holder_public(1)));
    signed
}

/// Code and public message of a signed refusal.
pub(super) fn refused(reply: &Outgoing) -> (WireCode, String) {
    let Outgoing::Refuse(signed) = reply else { panic!("not refused: {reply:?}") };
    assert!(commun_trust::verify(signed, &common::holder_public(1)));
    let refuse = Refuse::from_bytes(&signed.bytes.0).unwrap();
    assert_eq!(refuse.index, 1);
    (refuse.code, refuse.message)
}
