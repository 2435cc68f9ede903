//! `commun.v1`: the wire protocol, and its conversion into domain types.
//!
//! The generated types live in [`v1`]; a handler turns them into domain types in its first lines (see [`convert`]) and never stores
//! or passes them on. Signed things travel as canonical bytes, so most fields are `bytes` whose form the domain crate defines.

pub mod cells;
pub mod convert;
pub mod status;

/// Generated from `proto/commun/v1/*.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "generated code; the comments stand in the .proto files"
)]
pub mod v1 {
    tonic::include_proto!("commun.v1");
}

/// Generated from `proto/arrow/flight.proto`: Arrow Flight's own messages.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::unwrap_used,
    reason = "generated code; the comments stand in the .proto file"
)]
pub mod flight {
    tonic::include_proto!("arrow.flight.protocol");
}

/// Largest message in either direction on any service, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Most log entries in one `Entries` message or `Log` reply.
pub const MAX_ENTRIES_PER_MESSAGE: usize = 256;

/// Most bytes of log entries in one `Entries` message or `Log` reply, unless one entry alone is larger.
pub const MAX_ENTRIES_BYTES_PER_MESSAGE: usize = 4 << 20;

/// Most log entries in one catalog.
pub const MAX_CATALOG_ENTRIES: usize = 4096;

/// Most bytes of log entries in one catalog: a message with room for its numbers.
pub const MAX_CATALOG_BYTES: usize = 12 << 20;

/// Version of the link protocol that `Hello` states.
pub const LINK_VERSION: u32 = 2;
