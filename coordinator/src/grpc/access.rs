//! Who may call what: one table of every method, enforced by one layer before any handler runs.
//!
//! A method without a row is refused, so that a new one cannot be reached by forgetting about it, and a test compares the table with the
//! `.proto` files. What a role may do with a call (its own agency's permits, its own holder) is the handler's to check. TLS identity alone
//! authorises no answer: that is for signatures.

use std::sync::Arc;
use std::task::{Context, Poll};

use commun_domain::clock::Clock;
use commun_domain::{Refusal, WireCode};
use commun_identity::{PeerInfo, Role};
use commun_proto::status::to_status;
use futures::future::{Either, Ready, ready};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tower::{Layer, Service};

/// A role without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleKind {
    /// A holder's agent.
    Holder,
    /// A user of a public body.
    Agency,
    /// An authorising officer.
    Officer,
    /// Who runs the coordinator.
    Operator,
}

impl RoleKind {
    /// The kind of a role; `None` for the coordinator, which calls nobody.
    pub fn of(role: &Role) -> Option<Self> {
        match role {
            Role::Coordinator => None,
            Role::Holder(_) => Some(Self::Holder),
            Role::Agency { .. } => Some(Self::Agency),
            Role::Officer(_) => Some(Self::Officer),
            Role::Operator(_) => Some(Self::Operator),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Holder => "holder",
            Self::Agency => "agency",
            Self::Officer => "officer",
            Self::Operator => "operator",
        }
    }
}

/// (service, method, roles that may call it).
pub const TABLE: &[(&str, &str, &[RoleKind])] = &[
    ("commun.v1.AgentLink", "Connect", &[RoleKind::Holder]),
    ("arrow.flight.protocol.FlightService", "DoPut", &[RoleKind::Holder]),
    ("commun.v1.Agency", "Catalog", &[RoleKind::Agency]),
    ("commun.v1.Agency", "Explain", &[RoleKind::Agency]),
    ("commun.v1.Agency", "Submit", &[RoleKind::Agency]),
    ("commun.v1.Supervision", "Publish", &[RoleKind::Officer]),
    ("commun.v1.Supervision", "Status", &[RoleKind::Officer, RoleKind::Operator]),
    ("commun.v1.Supervision", "Log", &[RoleKind::Officer, RoleKind::Operator]),
];

/// Whether a peer may call the method at a path such as `/commun.v1.Agency/Submit`.
pub fn authorise(path: &str, peer: Option<&PeerInfo>, now_unix: u64) -> Result<(), Refusal> {
    let denied = |message: String, hint: &str| Err(Refusal::new(WireCode::NotPermitted, message, hint));
    let Some(peer) = peer else {
        return denied("the connection has no authenticated peer".to_owned(), "connect with a certificate of the federation's CA");
    };
    let id = peer.id();
    // A connection may outlive its certificate; its calls do not.
    if u64::try_from(peer.identity.not_after_unix).unwrap_or(0) < now_unix {
        return Err(Refusal::new(
            WireCode::Expired,
            format!("the certificate of {id} has expired"),
            "have a new one issued (commun-coordinator pki issue) and connect again",
        ));
    }
    let method = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    let row = TABLE.iter().find(|(service, name, _)| method == Some((*service, *name)));
    let Some((_, _, roles)) = row else {
        return denied("there is no such method".to_owned(), "use a client of the coordinator's protocol version");
    };
    if RoleKind::of(&id.role).is_some_and(|kind| roles.contains(&kind)) {
        return Ok(());
    }
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    let allowed = names.join(" or ");
    denied(format!("{id} may not call {path}, which is for the role {allowed}"), &format!("use a certificate of the role {allowed}"))
}

/// Puts [`authorise`] in front of every service.
#[derive(Clone)]
pub struct AccessLayer {
    /// Now, for certificates that expire while connected.
    pub clock: Arc<dyn Clock>,
}

/// See [`AccessLayer`].
#[derive(Clone)]
pub struct Access<S> {
    inner: S,
    clock: Arc<dyn Clock>,
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;

    fn layer(&self, inner: S) -> Access<S> {
        Access { inner, clock: self.clock.clone() }
    }
}

impl<S> Service<http::Request<Body>> for Access<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Self::Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        match authorise(path, request.extensions().get::<PeerInfo>(), self.clock.now_unix()) {
            Ok(()) => Either::Right(self.inner.call(request)),
            Err(refusal) => {
                tracing::info!(path = path.escape_debug().to_string(), reason = refusal.message, "call refused");
                Either::Left(ready(Ok(to_status(&refusal).into_http())))
            }
        }
    }
}

/// The authenticated peer of a call that [`Access`] let through.
pub fn peer<T>(request: &tonic::Request<T>) -> Result<PeerInfo, Status> {
    request.extensions().get::<PeerInfo>().cloned().ok_or_else(|| Status::internal("a call without a peer"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::collections::BTreeSet;

    use commun_identity::PeerIdentity;

    use super::*;

    const PROTO: [&str; 4] = [
        include_str!("../../../proto/arrow/flight.proto"),
        include_str!("../../../proto/commun/v1/agency.proto"),
        include_str!("../../../proto/commun/v1/link.proto"),
        include_str!("../../../proto/commun/v1/supervision.proto"),
    ];

    fn peer(uri: &str, not_after_unix: i64) -> PeerInfo {
        let identity = PeerIdentity { id: uri.parse().unwrap(), not_after_unix, cert_sha256: [0; 32] };
        PeerInfo { identity: Arc::new(identity), remote_addr: ([127, 0, 0, 1], 1).into() }
    }

    #[test]
    fn every_method_of_every_service_has_exactly_one_row_and_every_row_a_method() {
        let mut found = Vec::new();
        for text in PROTO {
            let package = text.lines().find_map(|line| line.strip_prefix("package ")).unwrap().trim_end_matches(';');
            let mut service = "";
            for line in text.lines().map(str::trim) {
                if let Some(rest) = line.strip_prefix("service ") {
                    service = rest.split_whitespace().next().unwrap();
                } else if let Some(rest) = line.strip_prefix("rpc ") {
                    found.push((format!("{package}.{service}"), rest.split('(').next().unwrap().to_owned()));
                }
            }
        }
        let files: usize =
            ["commun/v1", "arrow"].map(|folder| std::fs::read_dir(format!("../proto/{folder}")).unwrap().count()).iter().sum();
        assert_eq!(files, PROTO.len(), "a .proto file is missing in this test");
        let rows: Vec<_> = TABLE.iter().map(|(service, method, _)| ((*service).to_owned(), (*method).to_owned())).collect();
        assert_eq!(rows.len(), rows.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(rows.into_iter().collect::<BTreeSet<_>>(), found.into_iter().collect::<BTreeSet<_>>());
        assert!(TABLE.iter().all(|(_, _, roles)| !roles.is_empty()));
    }

    #[test]
    fn each_method_is_open_to_the_roles_of_its_row_and_to_no_other() {
        let uris = [
            (Some(RoleKind::Holder), "spiffe://commun.example/holder/a"),
            (Some(RoleKind::Agency), "spiffe://commun.example/agency/statbel/user/a"),
            (Some(RoleKind::Officer), "spiffe://commun.example/officer/a"),
            (Some(RoleKind::Operator), "spiffe://commun.example/operator/a"),
            (None, "spiffe://commun.example/coordinator"),
        ];
        for (service, method, roles) in TABLE {
            for (kind, uri) in uris {
                let allowed = authorise(&format!("/{service}/{method}"), Some(&peer(uri, 100)), 100).is_ok();
                assert_eq!(allowed, kind.is_some_and(|kind| roles.contains(&kind)), "{method} {uri}");
            }
        }
    }

    #[test]
    fn unknown_methods_missing_peers_and_expired_certificates_are_refused_with_a_hint() {
        let good = peer("spiffe://commun.example/agency/statbel/user/a", 100);
        let cases = [
            authorise("/commun.v1.Agency/Nothing", Some(&good), 50),
            authorise("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Some(&good), 50),
            authorise("/commun.v1.Agency/Submit", None, 50),
            authorise("/commun.v1.Agency/Submit", Some(&good), 101),
        ];
        for (case, code) in
            cases.into_iter().zip([WireCode::NotPermitted, WireCode::NotPermitted, WireCode::NotPermitted, WireCode::Expired])
        {
            let refusal = case.unwrap_err();
            assert_eq!(refusal.code, code);
            assert!(!refusal.hint.is_empty());
        }
    }
}
