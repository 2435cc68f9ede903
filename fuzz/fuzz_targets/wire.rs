//! Messages between agents and coordinator, and every signed document inside them: decoded or refused, and what decodes has one form.

#![no_main]

use commun_domain::Document;
use commun_domain::attempt::{Accept, AnswerHead, Manifest, MaskedCells, NameLists, Refuse};
use commun_domain::bundle::{Roster, TrustBundle};
use commun_domain::encoding::tag_of;
use commun_domain::log::LogEntry;
use commun_domain::plan::PrivatePlan;
use commun_domain::query::Query;
use commun_domain::release::ResultRelease;
use commun_domain::signed::SignedDocument;
use commun_proto::status::{refusal_from_bytes, refusal_to_bytes};
use commun_proto::v1;
use libfuzzer_sys::fuzz_target;
use prost::Message;

fn one_form<T: Document>(bytes: &[u8]) {
    if let Ok(document) = T::from_bytes(bytes) {
        assert_eq!(document.to_bytes(), bytes);
    }
}

fn documents(bytes: &[u8]) {
    let _ = tag_of(bytes);
    one_form::<Accept>(bytes);
    one_form::<AnswerHead>(bytes);
    one_form::<MaskedCells>(bytes);
    one_form::<LogEntry>(bytes);
    one_form::<Manifest>(bytes);
    one_form::<NameLists>(bytes);
    one_form::<PrivatePlan>(bytes);
    one_form::<Query>(bytes);
    one_form::<Refuse>(bytes);
    one_form::<ResultRelease>(bytes);
    one_form::<Roster>(bytes);
    one_form::<TrustBundle>(bytes);
    if let Ok(signed) = SignedDocument::from_bytes(bytes) {
        assert_eq!(signed.to_bytes(), bytes);
    }
    if let Some(refusal) = refusal_from_bytes(bytes) {
        assert_eq!(refusal_from_bytes(&refusal_to_bytes(&refusal)), Some(refusal));
    }
}

/// Compared as bytes: a message may hold a floating-point number that is not equal to itself.
fn message<T: Message + Default>(bytes: &[u8]) {
    if let Ok(message) = T::decode(bytes) {
        let encoded = message.encode_to_vec();
        assert_eq!(T::decode(encoded.as_slice()).map(|again| again.encode_to_vec()), Ok(encoded));
    }
}

fuzz_target!(|data: &[u8]| {
    documents(data);
    message::<v1::AgentMessage>(data);
    message::<v1::CoordinatorMessage>(data);
    message::<v1::QueryEvent>(data);
    message::<v1::ExplainReply>(data);
    message::<v1::CatalogReply>(data);
    message::<v1::PublishRequest>(data);
    message::<v1::LogReply>(data);
    message::<v1::StatusReply>(data);
    // Length-delimited fields of an unknown message are where documents stand.
    if let Ok(v1::ManifestMessage { manifest, .. }) = v1::ManifestMessage::decode(data) {
        documents(&manifest);
    }
});
