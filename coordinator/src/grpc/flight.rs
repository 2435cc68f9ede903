//! `arrow.flight.protocol.FlightService.DoPut`: masked cells of a holder, on its own connection, as fast as this side takes them.
//!
//! HTTP/2 holds the agent back while a batch is worked on. Nothing is taken that no attempt waits for, and never more cells than it has.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use commun_proto::cells;
use commun_proto::convert::FieldError;
use commun_proto::flight::flight_service_server::FlightService;
use commun_proto::flight::{FlightData, PutResult};
use commun_secagg::cells::CellChunks;
use futures::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::access::peer;
use super::holder_of;
use crate::app::App;

/// Longest wait for the next batch of a stream.
const STALLED: Duration = Duration::from_mins(1);

/// See the module.
pub(super) struct Handler {
    app: Arc<App>,
}

impl Handler {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl FlightService for Handler {
    type DoPutStream = Pin<Box<dyn Stream<Item = Result<PutResult, Status>> + Send>>;

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let holder = holder_of(&peer(&request)?)?;
        let malformed = |error: FieldError| Status::invalid_argument(error.to_string());
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(|| Status::invalid_argument("no message came"))?;
        let command = cells::command(&first).map_err(malformed)?;
        let over = || Status::not_found("no attempt waits for these cells");
        let arriving = self.app.agents.begin_cells(&holder, command.query, command.attempt).ok_or_else(over)?;
        let mut chunks = CellChunks::new(arriving.expected);
        let stalled = |_| Status::deadline_exceeded("the cells stopped coming");
        while let Some(data) = tokio::time::timeout(STALLED, messages.message()).await.map_err(stalled)?? {
            if !arriving.is_awaited() {
                return Err(over());
            }
            let batch = cells::batch(&data).map_err(malformed)?;
            chunks.push(chunks.received(), &batch).map_err(|refused| Status::invalid_argument(refused.to_string()))?;
        }
        let cells = chunks.finish().map_err(|refused| Status::invalid_argument(refused.to_string()))?;
        if !arriving.finish(command.head.0, cells) {
            return Err(over());
        }
        Ok(Response::new(Box::pin(futures::stream::iter([Ok(PutResult::default())]))))
    }
}
