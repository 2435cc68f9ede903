//! `commun.v1.Supervision`: what officers call, and operators may read.

use std::sync::Arc;

use commun_domain::signed::SignedDocument;
use commun_proto::{MAX_ENTRIES_BYTES_PER_MESSAGE, MAX_ENTRIES_PER_MESSAGE, convert, v1};
use tonic::{Request, Response, Status};

use super::call;
use crate::app::App;
use crate::log::{LogError, Publication};

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
impl v1::supervision_server::Supervision for Handler {
    async fn publish(&self, request: Request<v1::PublishRequest>) -> Result<Response<v1::PublishReply>, Status> {
        let bytes = request.into_inner().document;
        let Publication { entry, hash, known } = call(&self.app, move |app| {
            let document: SignedDocument = convert::document("document", &bytes)?;
            app.publish(&document)
        })
        .await?;
        Ok(Response::new(v1::PublishReply { entry, document_hash: hash.as_bytes().to_vec(), known }))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        let status = call(&self.app, |app| Ok(app.status())).await?;
        let holders = status.holders.into_iter().map(|holder| {
            let connected = holder.agent.is_some();
            let agent = holder.agent.unwrap_or_default();
            v1::HolderStatus {
                index: holder.index,
                name: holder.name,
                connected,
                log_read_to: agent.log_read_to,
                clock_skew_ms: agent.clock_skew_ms,
                software: agent.software,
            }
        });
        let ledgers = status.accounts.into_iter().map(|account| v1::LedgerStatus {
            holder: account.holder,
            budget_domain: account.domain,
            partition: account.partition,
            spent_rho_units: account.spent.rho.units(),
            cap_rho_units: account.cap.rho.units(),
            spent_delta_units: account.spent.delta.units(),
            cap_delta_units: account.cap.delta.units(),
        });
        Ok(Response::new(v1::StatusReply {
            log_size: status.head.size,
            checkpoint: status.head.note.to_string(),
            holders: holders.collect(),
            ledgers: ledgers.collect(),
        }))
    }

    async fn log(&self, request: Request<v1::LogRequest>) -> Result<Response<v1::LogReply>, Status> {
        let v1::LogRequest { first, limit } = request.into_inner();
        let checkpoint = self.app.log.head().note.to_string();
        let entries = call(&self.app, move |app| Ok(entries(app, first, limit)?)).await?;
        Ok(Response::new(v1::LogReply { first, entries, checkpoint }))
    }
}

/// Entries from a number on, as many as one message holds.
pub(super) fn entries(app: &App, first: u64, limit: u32) -> Result<Vec<Vec<u8>>, LogError> {
    let most = u32::try_from(MAX_ENTRIES_PER_MESSAGE).unwrap_or(u32::MAX);
    let mut bytes = 0usize;
    let mut kept = Vec::new();
    for entry in app.log.entries(first, limit.min(most))? {
        bytes = bytes.saturating_add(entry.bytes.len());
        if !kept.is_empty() && bytes > MAX_ENTRIES_BYTES_PER_MESSAGE {
            break;
        }
        kept.push(entry.bytes);
    }
    Ok(kept)
}
