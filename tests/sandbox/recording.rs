//! A scripted coordinator in the test's own process: it holds the coordinator's TLS key and the log key, says what a test lets it say,
//! and records every message of every agent.
//!
//! It is the attacker of the promises P4 to P6, and the one place where single noisy partials can be looked at: the real coordinator keeps
//! none. It does nothing by itself; each entry, offer and manifest is a call.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use commun_domain::attempt::{Accept, Manifest, NameLists, ROUNDS, Refuse};
use commun_domain::clock::{Clock as _, SystemClock};
use commun_domain::log::{AttemptEntry, HolderRecord, LogEntry};
use commun_domain::signed::SignedDocument;
use commun_domain::{Document as _, Hash32, WireCode};
use commun_identity::{PeerInfo, Role, incoming, server_config_from_files};
use commun_proto::flight::flight_service_server::{FlightService, FlightServiceServer};
use commun_proto::flight::{FlightData, PutResult};
use commun_proto::v1::agent_link_server::{AgentLink, AgentLinkServer};
use commun_proto::v1::agent_message::Message as FromAgent;
use commun_proto::v1::coordinator_message::Message as ToAgent;
use commun_proto::v1::{AgentMessage, CoordinatorMessage, Entries, ManifestMessage, Offer, Round};
use commun_proto::{MAX_MESSAGE_BYTES, cells, convert};
use commun_tlog::{Checkpoint, Frontier, leaf_hash};
use commun_trust::admit::Admitted;
use commun_trust::{Pins, Shape, TrustState, admit, cohort};
use ed25519_dalek::SigningKey;
use futures::Stream;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::harness::{Federation, SLOT_MS};

/// Longest wait for any message.
const TIMEOUT: Duration = Duration::from_mins(1);

/// From an offer to the deadlines of replies and of the manifest, in milliseconds.
const DEADLINE_MS: u64 = 60_000;

/// Longest round, in milliseconds.
const ROUND_MS: u64 = 10_000;

type Sender = mpsc::Sender<Result<CoordinatorMessage, Status>>;

enum Event {
    Up(String, Sender),
    Message(String, FromAgent),
    Cells(String, Vec<u8>, Vec<u64>),
}

/// What an agent says in a round of aggregation.
#[derive(Debug)]
pub(crate) enum Said {
    /// R1, R2, R4 or R5.
    Round(Vec<u8>),
    /// R3: the head, and masked cells.
    Cells(Vec<u8>, Vec<u64>),
    /// The attempt has ended there.
    Failed(WireCode, String),
    /// And its charge was taken back.
    Refunded,
}

/// See the module.
pub(crate) struct Recording {
    runtime: Runtime,
    events: mpsc::UnboundedReceiver<Event>,
    agents: BTreeMap<String, Sender>,
    entries: Vec<Vec<u8>>,
    frontier: Frontier,
    /// What an honest agent believes after the entries so far.
    pub(crate) state: TrustState,
    key: SigningKey,
    /// What offers promise.
    pub(crate) slot_wait_ms: u64,
}

/// A reply to an offer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Signed ACCEPT.
    Accept(SignedDocument, Accept),
    /// REFUSE.
    Refuse(Refuse),
}

/// What ended an attempt.
#[derive(Debug)]
pub(crate) enum End {
    /// Noisy cells, or names, as they travelled.
    Answer(Vec<u8>),
    /// The stable code and message of a failure.
    Failed(WireCode, String),
}

impl Recording {
    /// Listens, starts every agent of the federation against itself, and shows them bundle, roster and data contract.
    pub(crate) fn start(federation: &mut Federation, holders: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let pki = federation.path("pki");
        let at = |name: &str| pki.join("coordinator").join(name);
        let tls = server_config_from_files(&at("tls.crt"), &at("tls.key"), &pki.join("ca/ca.crt")).unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        federation.connect_to(listener.local_addr().unwrap().to_string());
        let flight = FlightServiceServer::new(Link(sender.clone())).max_decoding_message_size(cells::MAX_CELLS_MESSAGE_BYTES);
        let service = AgentLinkServer::new(Link(sender)).max_decoding_message_size(MAX_MESSAGE_BYTES);
        runtime.spawn(async move {
            let (_tls, configuration) = watch::channel(tls);
            tonic::transport::Server::builder()
                .add_service(service)
                .add_service(flight)
                .serve_with_incoming(incoming(listener, configuration))
                .await
        });
        let pins = Pins { bundle: Hash32::from_hex(&federation.bundle_pin()).unwrap() };
        let key = federation.key("coordinator/log.key");
        let mut recording = Self {
            runtime,
            events,
            agents: BTreeMap::new(),
            entries: Vec::new(),
            frontier: Frontier::new(),
            state: TrustState::new(pins),
            key,
            slot_wait_ms: SLOT_MS,
        };
        for holder in 0..holders {
            federation.start_agent(holder, None);
        }
        while recording.agents.len() < holders {
            if let Event::Up(name, sender) = recording.event() {
                recording.agents.insert(name, sender);
            }
        }
        recording.log(&LogEntry::Bundle(federation.signed("pki/bundle-1")));
        recording.log(&LogEntry::Roster(federation.signed("pki/roster-1")));
        recording.log(&LogEntry::Contract(federation.signed("contract")));
        recording
    }

    fn event(&mut self) -> Event {
        let next = async { tokio::time::timeout(TIMEOUT, self.events.recv()).await };
        self.runtime.block_on(next).expect("no message of an agent in time").expect("the server ended")
    }

    /// The next message of any agent that is a reply, an answer or a failure.
    fn message(&mut self) -> (String, FromAgent) {
        loop {
            match self.event() {
                Event::Message(_, FromAgent::LogReadTo(_) | FromAgent::Hello(_)) => {}
                Event::Message(name, message) => return (name, message),
                Event::Cells(name, ..) => panic!("{name} sent cells"),
                Event::Up(name, _) => panic!("{name} connected again"),
            }
        }
    }

    /// What the next agent says in a round.
    pub(crate) fn said(&mut self) -> (String, Said) {
        loop {
            match self.event() {
                Event::Message(_, FromAgent::LogReadTo(_) | FromAgent::Hello(_)) => {}
                Event::Message(name, FromAgent::Round(round)) => return (name, Said::Round(round.message)),
                Event::Message(name, FromAgent::Failed(failed)) => {
                    return (name, Said::Failed(convert::code("code", &failed.code).unwrap(), failed.message));
                }
                Event::Message(name, FromAgent::Refunded(_)) => return (name, Said::Refunded),
                Event::Cells(name, head, cells) => return (name, Said::Cells(head, cells)),
                Event::Message(name, message) => panic!("{name} said {message:?}"),
                Event::Up(name, _) => panic!("{name} connected again"),
            }
        }
    }

    /// Roster index of a holder.
    pub(crate) fn index(&self, name: &str) -> u32 {
        self.state.roster().unwrap().holder(name).unwrap().index
    }

    /// The agents that are connected, by name and index.
    pub(crate) fn agents(&self) -> Vec<(String, u32)> {
        self.agents.keys().map(|name| (name.clone(), self.index(name))).collect()
    }

    /// The log's size and root now.
    pub(crate) fn checkpoint(&self) -> (u64, Hash32) {
        (self.frontier.size(), Hash32::from_bytes(self.frontier.root()))
    }

    /// Sends one agent a message of a round.
    pub(crate) fn send_round(&self, name: &str, manifest: &Manifest, message: Vec<u8>) {
        let round = Round { query_id: manifest.query.as_bytes().to_vec(), attempt: manifest.attempt.into(), message };
        let message = CoordinatorMessage { message: Some(ToAgent::Round(round)) };
        self.agents[name].blocking_send(Ok(message)).unwrap();
    }

    /// Says the same to every agent.
    pub(crate) fn say(&self, message: &ToAgent) {
        for sender in self.agents.values() {
            let message = CoordinatorMessage { message: Some(message.clone()) };
            sender.blocking_send(Ok(message)).unwrap();
        }
    }

    /// Appends an entry, whatever it is worth, and pushes it with a checkpoint of now.
    pub(crate) fn log(&mut self, entry: &LogEntry) {
        let bytes = entry.to_bytes();
        let first = self.frontier.size();
        // An entry that counts for nothing is in the log all the same.
        let _ = self.state.apply(first, entry);
        self.frontier.append(leaf_hash(&bytes));
        self.entries.push(bytes.clone());
        self.say(&ToAgent::Entries(Entries { first, entries: vec![bytes] }));
        if let Some(origin) = self.state.bundle().map(|bundle| bundle.log_origin.clone()) {
            let (size, root) = (self.frontier.size(), self.frontier.root());
            let checkpoint = Checkpoint { origin: origin.clone(), size, root, time_unix: SystemClock.now_unix() };
            self.say(&ToAgent::Checkpoint(checkpoint.sign(&origin, &self.key).unwrap()));
        }
    }

    /// Admits a question as an honest coordinator would.
    pub(crate) fn admit(&self, question: &SignedDocument) -> Admitted {
        admit(&self.state, question, SystemClock.now_unix()).unwrap()
    }

    /// Offers a question to every agent and collects the replies by holder.
    pub(crate) fn offer(&mut self, question: &SignedDocument) -> BTreeMap<String, Reply> {
        self.offer_attempt(question, 1, None)
    }

    /// Offers an attempt of a question, with what holders released in the one before.
    pub(crate) fn offer_attempt(&mut self, question: &SignedDocument, attempt: u8, names: Option<&NameLists>) -> BTreeMap<String, Reply> {
        let deadline = SystemClock.now_ms() + DEADLINE_MS;
        self.say(&ToAgent::Offer(Offer {
            query: question.to_bytes(),
            attempt: attempt.into(),
            names: names.map(NameLists::to_bytes).unwrap_or_default(),
            reply_deadline_ms: deadline,
            manifest_deadline_ms: deadline,
            slot_wait_ms: self.slot_wait_ms,
        }));
        let mut replies = BTreeMap::new();
        while replies.len() < self.agents.len() {
            let (name, message) = self.message();
            let reply = match message {
                FromAgent::Accept(bytes) => {
                    let signed = SignedDocument::from_bytes(&bytes).unwrap();
                    let accept = Accept::from_bytes(&signed.bytes.0).unwrap();
                    Reply::Accept(signed, accept)
                }
                FromAgent::Refuse(bytes) => {
                    let signed = SignedDocument::from_bytes(&bytes).unwrap();
                    Reply::Refuse(Refuse::from_bytes(&signed.bytes.0).unwrap())
                }
                other => panic!("{name} replied with {other:?}"),
            };
            replies.insert(name, reply);
        }
        replies
    }

    /// Offers to the only agent, which must refuse.
    #[track_caller]
    pub(crate) fn refused(&mut self, question: &SignedDocument) -> Refuse {
        match self.offer(question).pop_first() {
            Some((_, Reply::Refuse(refuse))) => refuse,
            other => panic!("it was not refused: {other:?}"),
        }
    }

    /// Offers to every agent, which must accept; returns the acceptances by roster index.
    pub(crate) fn accepted(&mut self, question: &SignedDocument) -> Vec<(SignedDocument, Accept)> {
        let accept = |(name, reply)| match reply {
            Reply::Accept(signed, accept) => (signed, accept),
            Reply::Refuse(refuse) => panic!("{name} refused: {refuse:?}"),
        };
        let mut accepted: Vec<_> = self.offer(question).into_iter().map(accept).collect();
        accepted.sort_by_key(|(_, accept)| accept.index);
        accepted
    }

    /// The entry of an attempt that everyone accepted, as it should be.
    pub(crate) fn attempt_entry(&self, question: &SignedDocument, accepted: &[(SignedDocument, Accept)]) -> AttemptEntry {
        let admitted = self.admit(question);
        let record = |accept: &Accept| HolderRecord { index: accept.index, seq: accept.seq, record: accept.record };
        AttemptEntry {
            query: question.clone(),
            attempt: 1,
            plan: admitted.plan_hash,
            price: admitted.price,
            roster: self.state.roster_hash().unwrap(),
            refusals: Vec::new(),
            timeouts: Vec::new(),
            left_out: Vec::new(),
            records: accepted.iter().map(|(_, accept)| record(accept)).collect(),
        }
    }

    /// The manifest of such an attempt, as it should be.
    pub(crate) fn manifest(&self, question: &SignedDocument, accepted: &[(SignedDocument, Accept)]) -> Manifest {
        let admitted = self.admit(question);
        let roster = self.state.roster().unwrap();
        let holder = |accept: &Accept| roster.holders.iter().find(|holder| holder.index == accept.index).unwrap();
        let wishes: Vec<_> = accepted.iter().map(|(_, accept)| cohort::wish(accept, holder(accept))).collect();
        let listed = usize::try_from(admitted.listed).unwrap();
        let shape = if admitted.releases_names() { Shape::unmasked(listed) } else { cohort::of_acceptors(&wishes, listed, 1).unwrap() };
        let (cells, noise) = admitted.manifest_noise(&shape).unwrap();
        let slot_ms = SystemClock.now_ms() + SLOT_MS;
        let rounds = if shape.aggregated { u64::from(ROUNDS) } else { 1 };
        Manifest {
            query: admitted.id,
            attempt: 1,
            kind: admitted.kind,
            plan: admitted.plan_hash,
            cells,
            noise,
            price: admitted.price,
            delta: admitted.delta,
            cohort: accepted.iter().map(|(signed, _)| signed.clone()).collect(),
            refusals: Vec::new(),
            timeouts: Vec::new(),
            threshold: shape.threshold,
            colluders: shape.colluders,
            honest: shape.honest,
            roster: self.state.roster_hash().unwrap(),
            slot_ms,
            round_ms: ROUND_MS,
            deadline_ms: slot_ms + rounds * ROUND_MS,
            checkpoint_size: self.frontier.size(),
            checkpoint_root: Hash32::from_bytes(self.frontier.root()),
        }
    }

    /// Sends a manifest to the only agent, which must answer: the signed head and what it names.
    pub(crate) fn answer(&mut self, manifest: &Manifest) -> (SignedDocument, Vec<u8>) {
        self.say(&ToAgent::Manifest(ManifestMessage { manifest: manifest.to_bytes() }));
        match self.message() {
            (_, FromAgent::Answer(answer)) => (SignedDocument::from_bytes(&answer.head).unwrap(), answer.values),
            (name, other) => panic!("{name} ended with {other:?}"),
        }
    }

    /// Sends a manifest to every agent and collects how each ended, by holder.
    pub(crate) fn run(&mut self, manifest: &Manifest) -> BTreeMap<String, End> {
        self.say(&ToAgent::Manifest(ManifestMessage { manifest: manifest.to_bytes() }));
        let mut ends = BTreeMap::new();
        while ends.len() < self.agents.len() {
            let (name, message) = self.message();
            let end = match message {
                FromAgent::Answer(answer) => {
                    assert_eq!(answer.query_id, manifest.query.as_bytes());
                    End::Answer(answer.values)
                }
                FromAgent::Failed(failed) => End::Failed(convert::code("code", &failed.code).unwrap(), failed.message),
                other => panic!("{name} ended with {other:?}"),
            };
            ends.insert(name, end);
        }
        ends
    }
}

struct Link(mpsc::UnboundedSender<Event>);

#[tonic::async_trait]
impl FlightService for Link {
    type DoPutStream = Pin<Box<dyn Stream<Item = Result<PutResult, Status>> + Send>>;

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let peer = request.extensions().get::<PeerInfo>().cloned().ok_or_else(|| Status::internal("no peer"))?;
        let Role::Holder(name) = &peer.id().role else { return Err(Status::permission_denied("not a holder")) };
        let mut messages = request.into_inner();
        let command = cells::command(&messages.message().await?.unwrap()).unwrap();
        let mut all = Vec::new();
        while let Some(data) = messages.message().await? {
            all.extend(cells::batch(&data).unwrap());
        }
        let _ = self.0.send(Event::Cells(name.as_str().to_owned(), command.head.0, all));
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(PutResult::default())]))))
    }
}

/// Room for what a test says before the agent has read it.
const QUEUE: usize = 256;

#[tonic::async_trait]
impl AgentLink for Link {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn connect(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let peer = request.extensions().get::<PeerInfo>().cloned().ok_or_else(|| Status::internal("no peer"))?;
        let Role::Holder(name) = &peer.id().role else { return Err(Status::permission_denied("not a holder")) };
        let (name, events) = (name.as_str().to_owned(), self.0.clone());
        let mut messages = request.into_inner();
        let (sender, receiver) = mpsc::channel(QUEUE);
        let _ = events.send(Event::Up(name.clone(), sender));
        tokio::spawn(async move {
            while let Ok(Some(message)) = messages.message().await {
                let Some(message) = message.message else { continue };
                if events.send(Event::Message(name.clone(), message)).is_err() {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}
