//! The transport: thin handlers. The access layer has authenticated and authorised before one runs; a handler converts into domain types, calls
//! one use-case, and maps the error.

pub mod access;
mod agency;
mod agent_link;
mod flight;
mod supervision;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use commun_identity::{Conn, PeerInfo, Role};
use commun_proto::flight::flight_service_server::FlightServiceServer;
use commun_proto::status::to_status;
use commun_proto::v1::agency_server::AgencyServer;
use commun_proto::v1::agent_link_server::AgentLinkServer;
use commun_proto::v1::supervision_server::SupervisionServer;
use commun_proto::{MAX_MESSAGE_BYTES, cells};
use commun_service::Shutdown;
use tokio_stream::Stream;
use tonic::Status;
use tonic::transport::Server;

use crate::app::App;

/// How often an HTTP/2 ping is sent on a silent connection.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long the answer to a ping may take before a connection counts as lost.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most calls at once on one connection.
pub const MAX_CALLS_PER_CONNECTION: u32 = 128;

/// Serves every service on the authenticated connections, until the shutdown is requested.
pub async fn serve<I>(
    app: Arc<App>,
    clock: Arc<dyn commun_domain::clock::Clock>,
    incoming: I,
    shutdown: Shutdown,
) -> Result<(), tonic::transport::Error>
where
    I: Stream<Item = io::Result<Conn>>,
{
    let agency = AgencyServer::new(agency::Handler::new(app.clone()));
    let link = AgentLinkServer::new(agent_link::Handler::new(app.clone(), shutdown.clone()));
    let flight = FlightServiceServer::new(flight::Handler::new(app.clone())).max_decoding_message_size(cells::MAX_CELLS_MESSAGE_BYTES);
    let supervision = SupervisionServer::new(supervision::Handler::new(app));
    let mut end = shutdown;
    Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .max_concurrent_streams(Some(MAX_CALLS_PER_CONNECTION))
        .tcp_nodelay(true)
        .layer(access::AccessLayer { clock })
        .add_service(agency.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(link.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(flight)
        .add_service(supervision.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES))
        .serve_with_incoming_shutdown(incoming, async move { end.requested().await })
        .await
}

/// Runs a use-case that touches the disk, and maps its refusal.
async fn call<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, commun_domain::Refusal> + Send + 'static,
) -> Result<T, Status> {
    let app = app.clone();
    crate::app::blocking(move || work(&app)).await.and_then(|result| result).map_err(|refusal| to_status(&refusal))
}

/// The agency of a caller whom the access table let through.
fn agency_of(peer: &PeerInfo) -> Result<String, Status> {
    match &peer.id().role {
        Role::Agency { agency, .. } => Ok(agency.as_str().to_owned()),
        _ => Err(Status::permission_denied("this call is for agencies")),
    }
}

/// The holder of a caller whom the access table let through.
fn holder_of(peer: &PeerInfo) -> Result<String, Status> {
    match &peer.id().role {
        Role::Holder(name) => Ok(name.as_str().to_owned()),
        _ => Err(Status::permission_denied("this call is for holders")),
    }
}
