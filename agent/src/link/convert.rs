//! Between wire messages and what the guard speaks.

use std::sync::Arc;

use commun_domain::attempt::MaskedCells;
use commun_domain::encoding::Bytes;
use commun_domain::{Document, QueryId, WireCode};
use commun_proto::LINK_VERSION;
use commun_proto::convert::{self, FieldError};
use commun_proto::v1::agent_message::Message;
use commun_proto::v1::{AgentMessage, Answer, Cancel, Failed, Hello, Offer as WireOffer, Refunded, Round};

use crate::guard::{Offer, Outgoing};

pub(super) fn hello(log_size: u64, now_ms: u64) -> AgentMessage {
    let software = concat!("commun-agent ", env!("CARGO_PKG_VERSION")).to_owned();
    AgentMessage { message: Some(Message::Hello(Hello { version: LINK_VERSION, log_size, now_ms, software })), now_ms }
}

pub(super) fn offer(wire: &WireOffer) -> Result<Offer, FieldError> {
    Ok(Offer {
        query: convert::document("offer.query", &wire.query)?,
        attempt: convert::attempt("offer.attempt", wire.attempt)?,
        names: if wire.names.is_empty() { None } else { Some(convert::document("offer.names", &wire.names)?) },
        reply_deadline_ms: wire.reply_deadline_ms,
        manifest_deadline_ms: wire.manifest_deadline_ms,
        slot_wait_ms: wire.slot_wait_ms,
    })
}

pub(super) fn cancel(wire: &Cancel) -> Result<(QueryId, u8, WireCode), FieldError> {
    Ok((
        convert::query_id("cancel.query_id", &wire.query_id)?,
        convert::attempt("cancel.attempt", wire.attempt)?,
        convert::code("cancel.code", &wire.code)?,
    ))
}

/// What travels by itself beside the stream.
pub(super) struct Put {
    pub(super) command: MaskedCells,
    pub(super) cells: Arc<Vec<u64>>,
}

/// A message of the stream, sent now, or masked cells.
pub(super) fn outgoing(outgoing: Outgoing, now_ms: u64) -> Result<AgentMessage, Put> {
    let message = match outgoing {
        Outgoing::Cells { query, attempt, head, cells } => {
            return Err(Put { command: MaskedCells { query, attempt, head: Bytes(head) }, cells });
        }
        // The stream's own copy is not wiped: the shares are on their way to the coordinator.
        Outgoing::Round { query, attempt, message } => {
            Message::Round(Round { query_id: query.as_bytes().to_vec(), attempt: attempt.into(), message: message.0.to_vec() })
        }
        Outgoing::Accept(signed) => Message::Accept(signed.to_bytes()),
        Outgoing::Refuse(signed) => Message::Refuse(signed.to_bytes()),
        Outgoing::Answer { query, attempt, head, values } => {
            Message::Answer(Answer { query_id: query.as_bytes().to_vec(), attempt: attempt.into(), head: head.to_bytes(), values })
        }
        Outgoing::Failed { query, attempt, code, message, complaint } => Message::Failed(Failed {
            query_id: query.as_bytes().to_vec(),
            attempt: attempt.into(),
            code: code.as_str().to_owned(),
            message,
            complaint: complaint.unwrap_or_default(),
        }),
        Outgoing::Refunded { query, attempt, seq, record } => Message::Refunded(Refunded {
            query_id: query.as_bytes().to_vec(),
            attempt: attempt.into(),
            seq,
            record: record.as_bytes().to_vec(),
        }),
        Outgoing::LogReadTo(size) => Message::LogReadTo(size),
    };
    Ok(AgentMessage { message: Some(message), now_ms })
}
