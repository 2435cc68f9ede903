//! `commun.v1.AgentLink`: one stream per connected agent, in both directions at once.
//!
//! Outbound it keeps one order: before anything else goes out, the agent has been sent every log entry and the newest checkpoint, so that a
//! manifest never arrives before the entry that it names. Inbound it checks the form of messages and brings them to the attempt that waits
//! for them; what they are worth is judged there.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use commun_domain::signed::SignedDocument;
use commun_domain::{Refusal, WireCode};
use commun_identity::PeerInfo;
use commun_proto::convert::{self, FieldError};
use commun_proto::status::to_status;
use commun_proto::v1::agent_message::Message as In;
use commun_proto::v1::coordinator_message::Message as Out;
use commun_proto::{LINK_VERSION, MAX_ENTRIES_PER_MESSAGE, cells, v1};
use commun_service::Shutdown;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::access::peer;
use super::{call, holder_of, supervision};
use crate::app::App;
use crate::link::{AgentInfo, Connection, FromAgent, ToAgent};

/// How long an agent may take to say Hello.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that wait for HTTP/2 to take them, per agent. Each may be as large as a message may be.
const WIRE_QUEUE: usize = 4;

/// Longest software version that is kept, in characters.
const MAX_SOFTWARE_CHARS: usize = 64;

/// See the module.
pub(super) struct Handler {
    app: Arc<App>,
    shutdown: Shutdown,
}

impl Handler {
    pub(super) fn new(app: Arc<App>, shutdown: Shutdown) -> Self {
        Self { app, shutdown }
    }
}

type Sender = mpsc::Sender<Result<v1::CoordinatorMessage, Status>>;

#[tonic::async_trait]
impl v1::agent_link_server::AgentLink for Handler {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<v1::CoordinatorMessage, Status>> + Send>>;

    async fn connect(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<Self::ConnectStream>, Status> {
        let peer = peer(&request)?;
        let holder = holder_of(&peer)?;
        let known = |holder: &str| self.app.log.read(|state| state.trust.roster().is_some_and(|roster| roster.holder(holder).is_some()));
        if !known(&holder) {
            return Err(to_status(&Refusal::new(
                WireCode::NotPermitted,
                format!("{holder} is not in the roster"),
                "the holder joins with the next roster, which the root and holders sign",
            )));
        }
        let (sender, receiver) = mpsc::channel(WIRE_QUEUE);
        let link = Link { app: self.app.clone(), holder, sender };
        tokio::spawn(link.run(request.into_inner(), peer, self.shutdown.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

struct Link {
    app: Arc<App>,
    holder: String,
    sender: Sender,
}

impl Link {
    async fn run(self, mut inbound: Streaming<v1::AgentMessage>, peer: PeerInfo, mut shutdown: Shutdown) {
        let ended = tokio::select! {
            result = self.live(&mut inbound) => result,
            () = self.sender.closed() => Err(Status::cancelled("the agent closed the stream")),
            () = shutdown.requested() => Err(Status::unavailable("the coordinator is shutting down; connect again later")),
            () = self.certificate_ends(&peer) => Err(to_status(&Refusal::new(
                WireCode::Expired,
                "the certificate of this connection has expired",
                "have a new one issued (commun-coordinator pki issue) and connect again",
            ))),
        };
        let status = ended.err().unwrap_or_else(|| Status::aborted("a newer connection of this holder took over"));
        tracing::info!(holder = self.holder, reason = status.message(), "agent disconnected");
        // Best effort: an agent that does not read learns it from the end of the stream.
        let _ = self.sender.try_send(Err(status));
    }

    /// Returns when a newer connection took over, or with the reason why this one ends.
    async fn live(&self, inbound: &mut Streaming<v1::AgentMessage>) -> Result<(), Status> {
        let hello = tokio::time::timeout(HELLO_TIMEOUT, inbound.message());
        let hello = hello.await.map_err(|_| Status::deadline_exceeded("no Hello came in time"))??;
        let Some(v1::AgentMessage { message: Some(In::Hello(hello)), .. }) = hello else {
            return Err(Status::invalid_argument("the first message must be Hello"));
        };
        if hello.version != LINK_VERSION {
            return Err(Status::failed_precondition(format!("this coordinator speaks link version {LINK_VERSION}; update the agent")));
        }
        if hello.log_size > self.app.log.head().size {
            // Its log has entries that ours has not: one of the two was restored or forked, which a person must look at.
            tracing::error!(
                holder = self.holder,
                theirs = hello.log_size,
                ours = self.app.log.head().size,
                "an agent has a longer log than this one"
            );
            return Err(Status::failed_precondition("the agent's log is longer than the coordinator's; compare both before going on"));
        }
        let info = AgentInfo {
            log_read_to: hello.log_size,
            clock_skew_ms: skew(hello.now_ms, self.app.now_ms()),
            software: hello.software.chars().filter(|c| !c.is_control()).take(MAX_SOFTWARE_CHARS).collect(),
        };
        // Before it counts as connected, so that it has no less to read when the first offer comes.
        let mut sent = Sent { entries: hello.log_size, ..Sent::default() };
        let head = self.app.log.subscribe();
        // An agent answers nothing before it has a checkpoint of after its start.
        if let Err(error) = call(&self.app, |app| Ok(app.log.checkpoint_of_now()?)).await {
            tracing::error!(holder = self.holder, %error, "the checkpoint was not signed again for a new connection");
        }
        self.catch_up(&mut sent).await?;
        let mut connection = self.app.agents.connect(&self.holder, info);
        tracing::info!(holder = self.holder, "agent connected");
        // Side by side: an agent that writes before it reads must not block both directions.
        let (sender, receiver) = mpsc::channel(1);
        tokio::select! {
            result = self.outbound(&mut connection, sent, head, receiver) => result,
            result = self.inbound(inbound, &sender) => result,
        }
    }

    async fn outbound(
        &self,
        connection: &mut Connection,
        mut sent: Sent,
        mut head: tokio::sync::watch::Receiver<crate::log::Head>,
        mut read_to: mpsc::Receiver<u64>,
    ) -> Result<(), Status> {
        loop {
            let message = tokio::select! {
                message = connection.outgoing.recv() => match message {
                    Some(message) => Some(message),
                    None => return Ok(()),
                },
                changed = head.changed() => {
                    changed.map_err(|_| Status::unavailable("the log was closed"))?;
                    None
                }
                Some(size) = read_to.recv() => {
                    connection.read_to(size);
                    continue;
                }
            };
            self.catch_up(&mut sent).await?;
            if let Some(message) = message {
                self.send(wire(message)).await?;
            }
        }
    }

    /// Sends every entry that the agent lacks, and the newest checkpoint.
    async fn catch_up(&self, sent: &mut Sent) -> Result<(), Status> {
        let head = self.app.log.head();
        while sent.entries < head.size {
            let first = sent.entries;
            let limit = u64::try_from(MAX_ENTRIES_PER_MESSAGE).unwrap_or(u64::MAX).min(head.size - first);
            let limit = u32::try_from(limit).unwrap_or(u32::MAX);
            let entries = call(&self.app, move |app| Ok(supervision::entries(app, first, limit)?)).await?;
            if entries.is_empty() {
                return Err(Status::internal("log entries are missing"));
            }
            sent.entries += u64::try_from(entries.len()).unwrap_or(u64::MAX);
            self.send(Out::Entries(v1::Entries { first, entries })).await?;
        }
        if sent.note != head.note && !head.note.is_empty() {
            self.send(Out::Checkpoint(head.note.to_string())).await?;
            sent.note = head.note;
        }
        Ok(())
    }

    async fn send(&self, message: Out) -> Result<(), Status> {
        let message = v1::CoordinatorMessage { message: Some(message) };
        self.sender.send(Ok(message)).await.map_err(|_| Status::cancelled("the agent closed the stream"))
    }

    async fn inbound(&self, inbound: &mut Streaming<v1::AgentMessage>, read_to: &mpsc::Sender<u64>) -> Result<(), Status> {
        while let Some(v1::AgentMessage { message, now_ms }) = inbound.message().await? {
            let malformed = |error: FieldError| Status::invalid_argument(error.to_string());
            match message.ok_or(FieldError::Missing("message")).map_err(malformed)? {
                In::Hello(_) => return Err(Status::invalid_argument("Hello is the first message only")),
                // Only the latest matters, and it is for people.
                In::LogReadTo(size) => drop(read_to.try_send(size)),
                In::Refunded(refunded) => self.refunded(refunded).await?,
                message => {
                    if now_ms != 0 && matches!(message, In::Accept(_)) {
                        self.app.agents.note_skew(&self.holder, skew(now_ms, self.app.now_ms()));
                    }
                    self.deliver(message).map_err(malformed)?;
                }
            }
        }
        Err(Status::cancelled("the agent closed the stream"))
    }

    fn deliver(&self, message: In) -> Result<(), FieldError> {
        let (query, attempt, message) = match message {
            In::Accept(bytes) => {
                let signed: SignedDocument = convert::document("accept", &bytes)?;
                let accept: commun_domain::attempt::Accept = convert::document("accept", &signed.bytes.0)?;
                (accept.query, accept.attempt, FromAgent::Reply(signed))
            }
            In::Refuse(bytes) => {
                let signed: SignedDocument = convert::document("refuse", &bytes)?;
                let refuse: commun_domain::attempt::Refuse = convert::document("refuse", &signed.bytes.0)?;
                (refuse.query, refuse.attempt, FromAgent::Reply(signed))
            }
            In::Answer(answer) => {
                let head = convert::document("head", &answer.head)?;
                let (query, attempt) = (convert::query_id("query_id", &answer.query_id)?, convert::attempt("attempt", answer.attempt)?);
                (query, attempt, FromAgent::Answer { head, values: answer.values })
            }
            In::Round(round) => {
                let (query, attempt) = cells::attempt_of(&round.query_id, round.attempt)?;
                (query, attempt, FromAgent::Round(round.message))
            }
            In::Failed(failed) => {
                let (query, attempt) = cells::attempt_of(&failed.query_id, failed.attempt)?;
                let code = convert::code("code", &failed.code)?;
                let complaint = Some(failed.complaint).filter(|index| *index != 0);
                (query, attempt, FromAgent::Failed { code, message: failed.message, complaint })
            }
            In::Hello(_) | In::Refunded(_) | In::LogReadTo(_) => return Ok(()),
        };
        if !self.app.agents.deliver(&self.holder, query, attempt, message) {
            tracing::info!(holder = self.holder, %query, attempt, "a message for an attempt that is over");
        }
        Ok(())
    }

    async fn refunded(&self, refunded: v1::Refunded) -> Result<(), Status> {
        let malformed = |error: FieldError| Status::invalid_argument(error.to_string());
        let query = convert::query_id("query_id", &refunded.query_id).map_err(malformed)?;
        let attempt = convert::attempt("attempt", refunded.attempt).map_err(malformed)?;
        let record = convert::hash("record", &refunded.record).map_err(malformed)?;
        // First the attempt, should it still be alive: it must not count on this holder any more.
        self.app.agents.deliver(&self.holder, query, attempt, FromAgent::Refunded);
        let holder = self.holder.clone();
        if let Err(status) = call(&self.app, move |app| app.refunded(&holder, query, attempt, refunded.seq, record)).await {
            tracing::warn!(holder = self.holder, %query, attempt, reason = status.message(), "a refund was not taken");
        }
        Ok(())
    }

    async fn certificate_ends(&self, peer: &PeerInfo) {
        let ends_ms = u64::try_from(peer.identity.not_after_unix).unwrap_or(0).saturating_mul(1000).saturating_add(1000);
        tokio::time::sleep(Duration::from_millis(ends_ms.saturating_sub(self.app.now_ms()))).await;
    }
}

/// What an agent has been sent of the log.
#[derive(Default)]
struct Sent {
    entries: u64,
    note: Arc<str>,
}

fn skew(theirs_ms: u64, ours_ms: u64) -> i64 {
    i64::try_from(i128::from(theirs_ms) - i128::from(ours_ms)).unwrap_or(if theirs_ms > ours_ms { i64::MAX } else { i64::MIN })
}

fn wire(message: ToAgent) -> Out {
    match message {
        ToAgent::Offer(offer) => Out::Offer(v1::Offer {
            query: offer.query.clone(),
            attempt: offer.attempt.into(),
            reply_deadline_ms: offer.reply_deadline_ms,
            manifest_deadline_ms: offer.manifest_deadline_ms,
            slot_wait_ms: offer.slot_wait_ms,
            names: offer.names.as_deref().map(<[u8]>::to_vec).unwrap_or_default(),
        }),
        ToAgent::Manifest(bytes) => Out::Manifest(v1::ManifestMessage { manifest: bytes.to_vec() }),
        ToAgent::Round { query, attempt, message } => {
            Out::Round(v1::Round { query_id: query.as_bytes().to_vec(), attempt: attempt.into(), message: message.to_vec() })
        }
        ToAgent::Cancel { query, attempt, refusal } => Out::Cancel(v1::Cancel {
            query_id: query.as_bytes().to_vec(),
            attempt: attempt.into(),
            code: refusal.code.as_str().to_owned(),
            message: refusal.message,
        }),
    }
}
