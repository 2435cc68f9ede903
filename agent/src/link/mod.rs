//! The agent's one connection: it dials out, opens one stream, and dials again with growing, jittered pauses when the stream ends (P11).
//!
//! Messages are handed to the guard one after another, in the order in which they came, so that an offer sees every log entry that
//! was sent before it. What cannot be read ends the connection, never the agent.

mod backoff;
mod convert;

use std::sync::Arc;

use commun_domain::clock::Clock;
use commun_identity::{ConnectError, channel};
use commun_proto::flight::flight_service_client::FlightServiceClient;
use commun_proto::v1::CoordinatorMessage;
use commun_proto::v1::agent_link_client::AgentLinkClient;
use commun_proto::v1::coordinator_message::Message;
use commun_proto::{MAX_MESSAGE_BYTES, cells, convert::FieldError};
use commun_service::Shutdown;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;

use self::backoff::Backoff;
use self::convert::Put;
use crate::config::{Config, SetupError};
use crate::guard::{Guard, LogFault};
use crate::health::Health;

/// Messages to the coordinator that may wait; beyond it the guard waits.
const OUTGOING_QUEUE: usize = 32;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the coordinator ended the link: {} ({:?})", .0.message(), .0.code())]
    Status(Box<tonic::Status>),
    #[error("the coordinator closed the link")]
    Closed,
    #[error("a message of the coordinator cannot be read: {0}")]
    Message(#[from] FieldError),
    #[error(transparent)]
    Log(#[from] LogFault),
}

impl From<tonic::Status> for LinkError {
    fn from(status: tonic::Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Keeps the agent connected until the end is requested.
pub(crate) async fn run(config: &Config, guard: &Arc<Guard>, health: &Health, clock: &Arc<dyn Clock>, mut shutdown: Shutdown) {
    let mut backoff = Backoff::new();
    loop {
        let ended = tokio::select! {
            ended = session(config, guard, health, clock, &mut backoff) => ended,
            () = shutdown.requested() => Ok(()),
        };
        health.disconnected();
        guard.link_lost().await;
        let Err(error) = ended else { return };
        let pause = backoff.next();
        tracing::warn!("{error}; connecting again in {} ms", pause.as_millis());
        health.note(clock.now_ms(), error.to_string());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// One connection, from dialling to its end.
async fn session(
    config: &Config,
    guard: &Arc<Guard>,
    health: &Health,
    clock: &Arc<dyn Clock>,
    backoff: &mut Backoff,
) -> Result<(), LinkError> {
    let channel = channel(&config.coordinator, &config.tls()?).await?;
    let mut client =
        AgentLinkClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (sender, outgoing) = mpsc::channel(OUTGOING_QUEUE);
    let hello = convert::hello(guard.log_size().await, clock.now_ms());
    let put_channel = channel.clone();
    let clock_of_messages = Arc::clone(clock);
    let said = ReceiverStream::new(outgoing).filter_map(move |message| {
        let now_ms = clock_of_messages.now_ms();
        let message = convert::outgoing(message, now_ms).map_err(|put| drop(tokio::spawn(send_cells(put_channel.clone(), put)))).ok();
        std::future::ready(message)
    });
    let messages = futures::stream::iter([hello]).chain(said);
    let response = client.connect(messages).await?;
    health.connected(clock.now_ms(), clock_skew_s(response.metadata(), clock.now_unix()));
    tracing::info!(coordinator = config.coordinator, "connected");
    guard.link_up(sender).await;
    let mut stream = response.into_inner();
    while let Some(message) = stream.message().await? {
        handle(guard, message).await?;
        backoff.reset();
    }
    Err(LinkError::Closed)
}

/// Sends masked cells on the same connection, as fast as the coordinator takes them. If they do not arrive, this holder counts as dropped out, and the
/// attempt's deadline ends it here.
async fn send_cells(channel: tonic::transport::Channel, Put { command, cells }: Put) {
    let (query, attempt) = (command.query, command.attempt);
    // Every vector is encoded from memory that it has: an error is not to be expected, and ends the stream.
    let messages = cells::messages(&command, cells).map_while(Result::ok);
    let mut client = FlightServiceClient::new(channel).max_encoding_message_size(cells::MAX_CELLS_MESSAGE_BYTES);
    let sent = async {
        let mut results = client.do_put(futures::stream::iter(messages)).await?.into_inner();
        while results.message().await?.is_some() {}
        Ok::<_, tonic::Status>(())
    };
    if let Err(status) = sent.await {
        tracing::warn!(%query, attempt, "the masked cells were not taken: {}", status.message());
    }
}

async fn handle(guard: &Arc<Guard>, message: CoordinatorMessage) -> Result<(), LinkError> {
    match message.message.ok_or(FieldError::Missing("message"))? {
        Message::Entries(entries) => taken(guard.entries(entries.first, entries.entries).await)?,
        Message::Checkpoint(note) => taken(guard.checkpoint(note).await)?,
        Message::Offer(offer) => guard.offer(convert::offer(&offer)?).await,
        Message::Manifest(manifest) => guard.manifest(manifest.manifest).await,
        Message::Round(round) => {
            let (query, attempt) = cells::attempt_of(&round.query_id, round.attempt)?;
            guard.round(query, attempt, round.message).await;
        }
        Message::Cancel(cancel) => {
            let (query, attempt, code) = convert::cancel(&cancel)?;
            guard.cancel(query, attempt, code).await;
        }
    }
    Ok(())
}

/// What the log's faults mean for the connection: a gap starts it again; a stop or a checkpoint that is not believed is reported, and
/// the link stays up so that the refusals are told.
fn taken(result: Result<(), LogFault>) -> Result<(), LinkError> {
    match result {
        Err(fault @ (LogFault::Stopped(_) | LogFault::Checkpoint(_))) => {
            tracing::error!("{fault}");
            Ok(())
        }
        other => Ok(other?),
    }
}

/// The coordinator's clock minus ours by the reply's `date` header, whole seconds; `None` without one.
fn clock_skew_s(metadata: &MetadataMap, now_unix: u64) -> Option<i64> {
    let date = metadata.get("date")?.to_str().ok()?;
    let date = chrono::DateTime::parse_from_rfc2822(date).ok()?;
    date.timestamp().checked_sub_unsigned(now_unix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_difference_of_clocks_comes_from_the_date_of_the_reply() {
        let mut metadata = MetadataMap::new();
        assert_eq!(clock_skew_s(&metadata, 0), None);
        metadata.insert("date", "Thu, 01 Jan 1970 00:01:40 GMT".parse().unwrap());
        assert_eq!(clock_skew_s(&metadata, 70), Some(30));
        assert_eq!(clock_skew_s(&metadata, 130), Some(-30));
    }
}
