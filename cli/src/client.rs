//! The Rust client: one authenticated channel to the coordinator, and what it may be asked.
//!
//! The client trusts the coordinator with nothing that it can check itself: the entries of the catalog are folded from the pin in the
//! profile, a question is admitted here before it is sent, and an answer is read with the
//! plan that this side compiled.

use commun_domain::clock::{Clock, SystemClock};
use commun_domain::release::ResultRelease;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, Hash32, Refusal, WireCode};
use commun_proto::v1::agency_client::AgencyClient;
use commun_proto::v1::query_event::Event;
use commun_proto::v1::supervision_client::SupervisionClient;
use commun_proto::v1::{
    CatalogRequest, ExplainReply, ExplainRequest, LogReply, LogRequest, Progress, PublishReply, PublishRequest, StatusReply, StatusRequest,
    SubmitRequest,
};
use commun_proto::{MAX_MESSAGE_BYTES, convert, status};
use commun_trust::admit::{Admitted, admit};
use commun_trust::cohort;
use commun_trust::state::TrustState;
use tonic::transport::Channel;

use crate::catalog;
use crate::error::CliError;
use crate::profile::Profile;

/// Log entries asked for at once; the most that the coordinator gives.
const LOG_ENTRIES: u32 = 256;

/// A connection to the coordinator.
#[derive(Debug)]
pub struct Client {
    channel: Channel,
    bundle: Hash32,
}

/// An answer and how it came.
#[derive(Debug)]
pub struct Answer {
    /// The result release.
    pub release: ResultRelease,
    /// Whether it was stored before, so that nothing was charged.
    pub stored: bool,
}

impl Client {
    /// Connects with the profile's certificate.
    pub async fn connect(profile: &Profile) -> Result<Self, CliError> {
        let channel = commun_identity::connect::channel(&profile.coordinator, &profile.tls).await.map_err(|e| {
            Refusal::new(
                WireCode::Unavailable,
                format!("the coordinator at {} cannot be reached: {}", profile.coordinator, chain(&e)),
                "check the address in the profile, the certificate's validity, and that the coordinator runs",
            )
        })?;
        Ok(Self { channel, bundle: profile.bundle })
    }

    fn agency(&self) -> AgencyClient<Channel> {
        AgencyClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    fn supervision(&self) -> SupervisionClient<Channel> {
        SupervisionClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The catalog, folded from the pin: what does not follow from it is left out, with the reason.
    pub async fn catalog(&self) -> Result<(TrustState, Vec<String>), CliError> {
        let reply = self.agency().catalog(CatalogRequest {}).await.map_err(|s| status::from_status(&s))?.into_inner();
        Ok(catalog::fold(self.bundle, reply)?)
    }

    /// Admits a signed question by this side's own rules, as coordinator and agents will.
    pub fn admit(state: &TrustState, question: &SignedDocument) -> Result<Admitted, CliError> {
        Ok(admit(state, question, SystemClock.now_unix())?)
    }

    /// Price, budget and margins.
    pub async fn explain(&self, question: &SignedDocument) -> Result<ExplainReply, CliError> {
        let request = ExplainRequest { query: question.to_bytes() };
        Ok(self.agency().explain(request).await.map_err(|s| status::from_status(&s))?.into_inner())
    }

    /// Asks, reports progress, and returns the answer once its plan is found to be the question's.
    pub async fn ask(
        &self,
        question: &SignedDocument,
        admitted: &Admitted,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Answer, CliError> {
        let request = SubmitRequest { query: question.to_bytes() };
        let mut events = self.agency().submit(request).await.map_err(|s| status::from_status(&s))?.into_inner();
        while let Some(event) = events.message().await.map_err(|s| status::from_status(&s))? {
            match event.event {
                Some(Event::Progress(step)) => progress(&step),
                Some(Event::Released(released)) => {
                    let release = convert::document::<ResultRelease>("release", &released.release).map_err(Refusal::from)?;
                    check(&release, admitted)?;
                    return Ok(Answer { release, stored: released.stored });
                }
                Some(Event::Failed(failed)) => {
                    let mut refusal = status::refusal_from_bytes(&failed.refusal).ok_or_else(|| {
                        Refusal::new(
                            WireCode::Internal,
                            "the coordinator sent an error that cannot be read",
                            "use a client of the same version",
                        )
                    })?;
                    if failed.charged {
                        refusal.message.push_str(" (some holders' budgets stay charged)");
                    }
                    return Err(refusal.into());
                }
                None => {}
            }
        }
        Err(Refusal::new(
            WireCode::Unavailable,
            "the coordinator ended the stream without an outcome",
            "ask again with the same signed question: it returns the stored outcome and starts nothing new",
        )
        .into())
    }

    /// Publishes a signed document; returns the number of its log entry.
    pub async fn publish(&self, document: &SignedDocument) -> Result<PublishReply, CliError> {
        let request = PublishRequest { document: document.to_bytes() };
        Ok(self.supervision().publish(request).await.map_err(|s| status::from_status(&s))?.into_inner())
    }

    /// Log entries from a number on, as many as one message holds, and the newest checkpoint.
    pub async fn log(&self, first: u64) -> Result<LogReply, CliError> {
        let request = LogRequest { first, limit: LOG_ENTRIES };
        Ok(self.supervision().log(request).await.map_err(|s| status::from_status(&s))?.into_inner())
    }

    /// State of the federation.
    pub async fn status(&self) -> Result<StatusReply, CliError> {
        Ok(self.supervision().status(StatusRequest {}).await.map_err(|s| status::from_status(&s))?.into_inner())
    }
}

/// The release must answer this very question, with the noise and at the price that follow from it.
fn check(release: &ResultRelease, admitted: &Admitted) -> Result<(), Refusal> {
    let named = release.plan.open_key().is_none_or(|open| open.names.as_ref().is_some_and(|names| open.allows(names)));
    let shape = cohort::of_release(release);
    let fault = if release.plan.without_names() != admitted.plan {
        "the answer is one to another question"
    } else if !named {
        "the answer has no names of its open group key, or impossible ones"
    } else if shape.is_none_or(|shape| shape.honest < admitted.query.least_honest) {
        "the answer is of a cohort that there cannot be, or that has fewer honest noise shares than the question asks for"
    } else if shape.and_then(|shape| admitted.noise(shape.members, shape.honest).ok()).as_ref() != Some(&release.noise) {
        "the answer states other noise than the question asks for"
    } else if release.rho != admitted.whole.rho || release.delta != admitted.whole.delta {
        "the answer states another price than the question has"
    } else {
        return Ok(());
    };
    Err(Refusal::new(WireCode::Internal, fault, "report it to the supervisor: the coordinator does not do what it was asked"))
}

/// An error with its causes, one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
