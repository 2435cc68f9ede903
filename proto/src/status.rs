//! A [`Refusal`] as a gRPC status and back.
//!
//! The status carries a gRPC code and the public message for any client, and the whole refusal (hint, position) as canonical bytes
//! in the metadata key `commun-refusal-bin` for ours.

use commun_domain::encoding::{Decode, Encode, Reader};
use commun_domain::{Refusal, WireCode};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// Metadata key of the canonical refusal.
pub const REFUSAL_KEY: &str = "commun-refusal-bin";

/// The gRPC code of a stable code.
pub fn grpc_code(code: WireCode) -> Code {
    match code {
        WireCode::InvalidQuery | WireCode::NotPrivate => Code::InvalidArgument,
        WireCode::NotPermitted => Code::PermissionDenied,
        WireCode::OverBudget => Code::ResourceExhausted,
        WireCode::TooFewHolders | WireCode::RefusedByHolder | WireCode::Expired => Code::FailedPrecondition,
        WireCode::Unavailable => Code::Unavailable,
        WireCode::Cancelled => Code::Cancelled,
        WireCode::Internal => Code::Internal,
    }
}

/// A refusal as a status.
pub fn to_status(refusal: &Refusal) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(REFUSAL_KEY, MetadataValue::from_bytes(&refusal_to_bytes(refusal)));
    Status::with_metadata(grpc_code(refusal.code), refusal.message.clone(), metadata)
}

/// The refusal of a status: ours from its metadata, or a general one for a fault of the transport.
pub fn from_status(status: &Status) -> Refusal {
    let carried =
        status.metadata().get_bin(REFUSAL_KEY).and_then(|value| value.to_bytes().ok()).and_then(|bytes| refusal_from_bytes(&bytes));
    carried.unwrap_or_else(|| match status.code() {
        // Our own cancellation carries a refusal; a bare one is a connection that ended, for example over a refused certificate.
        Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Cancelled => Refusal::new(
            WireCode::Unavailable,
            format!("the coordinator cannot be reached: {}", status.message()),
            "check the address in the profile, the certificate's validity and that the coordinator runs",
        ),
        Code::PermissionDenied | Code::Unauthenticated => {
            Refusal::new(WireCode::NotPermitted, status.message().to_owned(), "use the certificate of the role that this call is for")
        }
        _ => Refusal::new(WireCode::Internal, status.message().to_owned(), "the coordinator's own log says more"),
    })
}

/// Canonical bytes of a refusal.
pub fn refusal_to_bytes(refusal: &Refusal) -> Vec<u8> {
    let mut bytes = Vec::new();
    refusal.encode(&mut bytes);
    bytes
}

/// Reads [`refusal_to_bytes`].
pub fn refusal_from_bytes(bytes: &[u8]) -> Option<Refusal> {
    let mut reader = Reader::new(bytes);
    let refusal = Refusal::decode(&mut reader).ok()?;
    reader.finish().ok()?;
    Some(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire_with_hint_and_position() {
        let refusal = Refusal::new(WireCode::NotPrivate, "no", "do this").at(2, 7);
        assert_eq!(from_status(&to_status(&refusal)), refusal);
    }

    #[test]
    fn a_fault_of_the_transport_still_says_what_to_do() {
        assert_eq!(from_status(&Status::unavailable("down")).code, WireCode::Unavailable);
        assert!(!from_status(&Status::unavailable("down")).hint.is_empty());
        let ended = from_status(&Status::cancelled("operation was canceled"));
        assert!(ended.code == WireCode::Unavailable && ended.hint.contains("certificate"), "{ended:?}");
    }
}
