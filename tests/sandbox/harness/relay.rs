//! Between the agents and the real coordinator: every message of every link passes here, both ways, and is written down.
//!
//! It has the coordinator's TLS key and every holder's, so that both ends authenticate each other as ever. It changes nothing and adds nothing: what an
//! end cuts off is cut off at the other, and a stream of masked cells that breaks off never looks whole.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use commun_domain::QueryId;
use commun_identity::{ClientTls, PeerInfo, Role, channel, incoming, server_config_from_files};
use commun_proto::flight::flight_service_client::FlightServiceClient;
use commun_proto::flight::flight_service_server::{FlightService, FlightServiceServer};
use commun_proto::flight::{FlightData, PutResult};
use commun_proto::v1::agent_link_client::AgentLinkClient;
use commun_proto::v1::agent_link_server::{AgentLink, AgentLinkServer};
use commun_proto::v1::{AgentMessage, CoordinatorMessage, agent_message, coordinator_message};
use commun_proto::{MAX_MESSAGE_BYTES, cells};
use futures::{Stream, StreamExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use super::Federation;

/// What passed.
#[derive(Clone, Debug)]
pub(crate) enum Passed {
    /// From the agent.
    ToCoordinator(agent_message::Message),
    /// To the agent.
    ToAgent(coordinator_message::Message),
    /// From the agent: a stream of masked cells began.
    Cells(QueryId, u8),
}

/// A relay that runs until it is dropped.
pub(crate) struct Relay {
    line: Arc<Line>,
    address: String,
    _runtime: Runtime,
}

struct Line {
    coordinator: String,
    certificates: BTreeMap<String, ClientTls>,
    /// Each holder's way to the coordinator, while its link is up.
    channels: Mutex<BTreeMap<String, Channel>>,
    passed: Mutex<Vec<(String, Passed)>>,
}

impl Relay {
    /// Listens between a coordinator that runs and agents that are yet to start.
    pub(crate) fn start(federation: &Federation) -> Self {
        let pki = federation.path("pki");
        let ca = pki.join("ca/ca.crt");
        let certificate = |holder| {
            let name = Federation::holder_name(holder);
            let folder = pki.join("holders").join(&name);
            (name, ClientTls::from_files(&folder.join("tls.crt"), &folder.join("tls.key"), &ca).unwrap())
        };
        let line = Arc::new(Line {
            coordinator: federation.address().to_owned(),
            certificates: (0..federation.holders()).map(certificate).collect(),
            channels: Mutex::default(),
            passed: Mutex::default(),
        });
        let folder = pki.join("coordinator");
        let tls = server_config_from_files(&folder.join("tls.crt"), &folder.join("tls.key"), &ca).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let links = AgentLinkServer::new(Links(line.clone())).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let flights = FlightServiceServer::new(Links(line.clone())).max_decoding_message_size(cells::MAX_CELLS_MESSAGE_BYTES);
        runtime.spawn(async move {
            let (_tls, configuration) = watch::channel(tls);
            Server::builder().add_service(links).add_service(flights).serve_with_incoming(incoming(listener, configuration)).await
        });
        Self { line, address, _runtime: runtime }
    }

    /// Where agents connect.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Everything that has passed, with the holder's name, in the order of arrival.
    pub(crate) fn passed(&self) -> Vec<(String, Passed)> {
        lock(&self.line.passed).clone()
    }
}

impl Line {
    fn note(&self, holder: &str, passed: Passed) {
        lock(&self.passed).push((holder.to_owned(), passed));
    }
}

struct Links(Arc<Line>);

impl Links {
    fn holder<T>(&self, request: &Request<T>) -> Result<String, Status> {
        let peer = request.extensions().get::<PeerInfo>().ok_or_else(|| Status::internal("no peer"))?;
        match &peer.id().role {
            Role::Holder(name) if self.0.certificates.contains_key(name.as_str()) => Ok(name.as_str().to_owned()),
            other => Err(Status::permission_denied(format!("{other:?} is no holder here"))),
        }
    }
}

#[tonic::async_trait]
impl AgentLink for Links {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<CoordinatorMessage, Status>> + Send>>;

    async fn connect(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (holder, line) = (self.holder(&request)?, self.0.clone());
        let reached = channel(&line.coordinator, &line.certificates[&holder]).await;
        let reached = reached.map_err(|error| Status::unavailable(error.to_string()))?;
        lock(&line.channels).insert(holder.clone(), reached.clone());
        let (there, back) = ((line.clone(), holder.clone()), (line, holder));
        let up = request.into_inner().scan((), |(), message| std::future::ready(message.ok())).inspect(move |message| {
            let (line, holder) = &there;
            if let Some(message) = &message.message {
                line.note(holder, Passed::ToCoordinator(message.clone()));
            }
        });
        let client = AgentLinkClient::new(reached);
        let mut client = client.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (metadata, down, extensions) = client.connect(up).await?.into_parts();
        let down = down.inspect(move |message| {
            let (line, holder) = &back;
            if let Ok(CoordinatorMessage { message: Some(message) }) = message {
                line.note(holder, Passed::ToAgent(message.clone()));
            }
        });
        Ok(Response::from_parts(metadata, Box::pin(down), extensions))
    }
}

#[tonic::async_trait]
impl FlightService for Links {
    type DoPutStream = Pin<Box<dyn Stream<Item = Result<PutResult, Status>> + Send>>;

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let (holder, line) = (self.holder(&request)?, self.0.clone());
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(|| Status::invalid_argument("no message came"))?;
        let command = cells::command(&first).map_err(|error| Status::invalid_argument(error.to_string()))?;
        line.note(&holder, Passed::Cells(command.query, command.attempt));
        let reached = lock(&line.channels).get(&holder).cloned().ok_or_else(|| Status::unavailable("no link"))?;
        // What breaks off ends with a message that is no batch, so that the coordinator does not take it for the whole.
        let rest = messages.map(Result::unwrap_or_default);
        let mut client = FlightServiceClient::new(reached).max_encoding_message_size(cells::MAX_CELLS_MESSAGE_BYTES);
        let (metadata, results, extensions) = client.do_put(futures::stream::iter([first]).chain(rest)).await?.into_parts();
        Ok(Response::from_parts(metadata, Box::pin(results), extensions))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}
