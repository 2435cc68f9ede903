//! Questions as bytes: signed here, sent as they are, so that a test may send what no honest client would.

use commun_cli::profile::Profile;
use commun_domain::clock::{Clock as _, SystemClock};
use commun_domain::query::{PriceRequest, Query, QuerySettings, SnapshotRule};
use commun_domain::release::ResultRelease;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document as _, Refusal, Rho};
use commun_proto::status;
use commun_proto::v1::agency_client::AgencyClient;
use commun_proto::v1::query_event::Event;
use commun_proto::v1::{ExplainRequest, SubmitRequest};
use commun_trust::sign;
use ed25519_dalek::SigningKey;

use super::Federation;

/// Lifetime of a signed question, in seconds.
const LIFETIME_S: u64 = 3600;

/// Longest wait for the outcome of a question.
const TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);

/// What became of a question.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Answered; whether from the store.
    Released(Box<ResultRelease>, bool),
    /// Not answered; whether some budget stays charged.
    Failed(Refusal, bool),
}

impl Outcome {
    /// The release.
    #[track_caller]
    pub(crate) fn released(self) -> (ResultRelease, bool) {
        match self {
            Self::Released(release, stored) => (*release, stored),
            Self::Failed(refusal, charged) => panic!("{refusal} ({}), charged: {charged}", refusal.hint),
        }
    }

    /// The failure.
    #[track_caller]
    pub(crate) fn failed(self) -> (Refusal, bool) {
        match self {
            Self::Released(release, _) => panic!("query {} was answered", release.query),
            Self::Failed(refusal, charged) => (refusal, charged),
        }
    }
}

/// A rho from text.
pub(crate) fn rho(text: &str) -> Rho {
    Rho::parse(text).unwrap()
}

impl Federation {
    /// The agency's key.
    pub(crate) fn agency_key(&self) -> SigningKey {
        self.key("agencies/statbel/analyst/query.key")
    }

    /// A key of `pki/`.
    pub(crate) fn key(&self, path: &str) -> SigningKey {
        commun_identity::keyfile::read_signing_key(&self.path("pki").join(path)).unwrap()
    }

    /// A question under the permit, not signed yet.
    pub(crate) fn question(&self, price: PriceRequest, sql: &str) -> Query {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        Query {
            sql: sql.to_owned(),
            settings: QuerySettings { price, max_groups_per_person: 1, intervals: true, clipped: false },
            contract: self.contract_hash(),
            permit: self.permit,
            max_price: rho("0.5"),
            least_honest: 1,
            snapshot: SnapshotRule::Any,
            nonce,
            expiry_unix: SystemClock.now_unix() + LIFETIME_S,
        }
    }

    /// A question at this rho, signed by the agency.
    pub(crate) fn signed_question(&self, text: &str, sql: &str) -> SignedDocument {
        sign::signed(&self.question(PriceRequest::Rho(rho(text)), sql), &self.agency_key())
    }

    /// Sends a question as it is, with the agency's certificate. `Err`: the coordinator refused or was lost before an outcome.
    pub(crate) fn submit(&self, question: &SignedDocument) -> Result<Outcome, Refusal> {
        self.submit_as("agency", question)
    }

    /// Sends a question with the certificate of a profile.
    pub(crate) fn submit_as(&self, profile: &str, question: &SignedDocument) -> Result<Outcome, Refusal> {
        let profile = Profile::load(Some(&self.path(&format!("{profile}.toml")))).unwrap();
        let request = SubmitRequest { query: question.to_bytes() };
        block_on(async {
            let channel = commun_identity::channel(&profile.coordinator, &profile.tls).await.map_err(|error| not_reached(&error))?;
            let mut events = AgencyClient::new(channel)
                .max_decoding_message_size(commun_proto::MAX_MESSAGE_BYTES)
                .submit(request)
                .await
                .map_err(|s| status::from_status(&s))?
                .into_inner();
            while let Some(event) = events.message().await.map_err(|s| status::from_status(&s))? {
                match event.event.unwrap() {
                    Event::Progress(_) => {}
                    Event::Released(released) => {
                        let release = ResultRelease::from_bytes(&released.release).unwrap();
                        return Ok(Outcome::Released(Box::new(release), released.stored));
                    }
                    Event::Failed(failed) => {
                        let refusal = status::refusal_from_bytes(&failed.refusal).unwrap();
                        return Ok(Outcome::Failed(refusal, failed.charged));
                    }
                }
            }
            Err(Refusal::new(commun_domain::WireCode::Unavailable, "the stream ended without an outcome", "ask again"))
        })
    }

    /// Has a question explained with the certificate of a profile.
    pub(crate) fn explain_as(&self, profile: &str, question: &SignedDocument) -> Result<(), Refusal> {
        let profile = Profile::load(Some(&self.path(&format!("{profile}.toml")))).unwrap();
        let request = ExplainRequest { query: question.to_bytes() };
        block_on(async {
            let channel = commun_identity::channel(&profile.coordinator, &profile.tls).await.map_err(|error| not_reached(&error))?;
            AgencyClient::new(channel).explain(request).await.map(drop).map_err(|s| status::from_status(&s))
        })
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(TIMEOUT, work).await.expect("no outcome in time") })
}

fn not_reached(error: &commun_identity::ConnectError) -> Refusal {
    Refusal::new(commun_domain::WireCode::Unavailable, error.to_string(), "is the coordinator up?")
}
