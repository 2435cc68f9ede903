//! SPIFFE ids: the one name that a certificate carries, and the role that it states.
//!
//! An id is `spiffe://<trust domain>/<role path>`, in exactly one spelling. It is read from a leaf certificate that the TLS layer
//! has already verified; nothing here checks a signature or a date.
//!
//! Source: the SPIFFE standards "SPIFFE-ID" and "X.509-SVID", of which this accepts a subset.

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Longest name in an id, in bytes (one DNS label).
pub const MAX_NAME_BYTES: usize = 63;
/// Longest trust domain, in bytes: `coordinator.<trust domain>` must remain a DNS name (at most 253).
pub const MAX_TRUST_DOMAIN_BYTES: usize = 200;

/// Why a text or a certificate gives no id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpiffeError {
    /// A part of an id.
    #[error("\"{0}\" is no name; use 1 to {MAX_NAME_BYTES} of a-z, 0-9 and -")]
    Name(String),
    /// The domain of an id.
    #[error("\"{0}\" is no trust domain; use a DNS name in lower case, for example commun.example")]
    TrustDomain(String),
    /// The whole of an id.
    #[error("\"{0}\" is no id of this system; expected for example spiffe://commun.example/holder/proximus")]
    Uri(String),
    /// Bytes that are no certificate.
    #[error("the certificate cannot be read; expected one X.509 certificate")]
    Certificate,
    /// A certificate with no URI SAN, or with several.
    #[error("the certificate has {0} URI names; it must have exactly one, its SPIFFE id")]
    UriCount(usize),
    /// A CA's certificate where a leaf is expected.
    #[error("the certificate is a CA's; a peer must present its own")]
    CaCertificate,
}

fn excerpt(text: &str) -> String {
    text.chars().take(120).collect()
}

/// A holder, agency, user, officer or operator in an id: `[a-z0-9-]`, 1 to [`MAX_NAME_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let good =
            (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit());
        if good { Ok(Self(text.to_owned())) } else { Err(SpiffeError::Name(excerpt(text))) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The domain of all ids of one federation: a DNS name in lower case, at most [`MAX_TRUST_DOMAIN_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The DNS name that the coordinator's certificate has, whatever machine it runs on.
    pub fn coordinator_dns_name(&self) -> String {
        format!("coordinator.{}", self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let good_label = |label: &str| label.parse::<Name>().is_ok() && !label.starts_with('-') && !label.ends_with('-');
        // A last label of digits would make it an IPv4 address or a number, which no DNS name is.
        let numeric_end = text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
        if text.len() <= MAX_TRUST_DOMAIN_BYTES && text.split('.').all(good_label) && !numeric_end {
            Ok(Self(text.to_owned()))
        } else {
            Err(SpiffeError::TrustDomain(excerpt(text)))
        }
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a party is in the federation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The coordinator process.
    Coordinator,
    /// A company that hosts an agent.
    Holder(Name),
    /// A user of a public body that submits queries.
    Agency {
        /// The public body.
        agency: Name,
        /// Its user.
        user: Name,
    },
    /// An authorising officer of the supervisor.
    Officer(Name),
    /// A person or tool that runs the coordinator process.
    Operator(Name),
}

impl fmt::Display for Role {
    /// The path of the id, without its first slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Holder(name) => write!(f, "holder/{name}"),
            Self::Agency { agency, user } => write!(f, "agency/{agency}/user/{user}"),
            Self::Officer(name) => write!(f, "officer/{name}"),
            Self::Operator(name) => write!(f, "operator/{name}"),
        }
    }
}

/// The id of one party.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    /// The federation.
    pub trust_domain: TrustDomain,
    /// The party in it.
    pub role: Role,
}

impl SpiffeId {
    /// The id of the federation's coordinator.
    pub fn coordinator(trust_domain: &TrustDomain) -> Self {
        Self { trust_domain: trust_domain.clone(), role: Role::Coordinator }
    }

    /// The id in a leaf certificate: its only URI SAN. The certificate is not verified here.
    pub fn from_leaf(leaf: &CertificateDer<'_>) -> Result<Self, SpiffeError> {
        PeerIdentity::from_leaf(leaf).map(|peer| peer.id)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}", self.trust_domain, self.role)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(uri: &str) -> Result<Self, SpiffeError> {
        let error = || SpiffeError::Uri(excerpt(uri));
        let (domain, path) = uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).ok_or_else(error)?;
        let role = match *path.split('/').collect::<Vec<_>>() {
            ["coordinator"] => Role::Coordinator,
            ["holder", name] => Role::Holder(name.parse()?),
            ["agency", agency, "user", user] => Role::Agency { agency: agency.parse()?, user: user.parse()? },
            ["officer", name] => Role::Officer(name.parse()?),
            ["operator", name] => Role::Operator(name.parse()?),
            _ => return Err(error()),
        };
        Ok(Self { trust_domain: domain.parse()?, role })
    }
}

/// What a leaf certificate says of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// Its SPIFFE id.
    pub id: SpiffeId,
    /// The last second at which it is valid, since 1970-01-01 UTC.
    pub not_after_unix: i64,
    /// SHA-256 of the certificate's DER bytes.
    pub cert_sha256: [u8; 32],
}

impl PeerIdentity {
    /// Reads a leaf certificate, which must have exactly one URI SAN. The certificate is not verified here.
    pub fn from_leaf(leaf: &CertificateDer<'_>) -> Result<Self, SpiffeError> {
        let certificate = parse(leaf)?;
        if certificate.is_ca() {
            return Err(SpiffeError::CaCertificate);
        }
        Ok(Self {
            id: only_uri(&certificate)?.parse()?,
            not_after_unix: certificate.validity().not_after.timestamp(),
            cert_sha256: Sha256::digest(leaf).into(),
        })
    }

    /// Reads the first certificate of a PEM text: what `status` shows of a daemon's own certificate.
    pub fn from_pem(cert_pem: &str) -> Result<Self, SpiffeError> {
        let leaf = CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|_| SpiffeError::Certificate)?;
        Self::from_leaf(&leaf)
    }
}

/// One certificate and nothing after it.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, SpiffeError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(SpiffeError::Certificate),
    }
}

/// The URI SAN of a certificate that has exactly one.
pub(crate) fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, SpiffeError> {
    let names = certificate.subject_alternative_name().map_err(|_| SpiffeError::Certificate)?;
    let names = names.map_or(&[][..], |extension| &extension.value.general_names);
    let uris: Vec<&str> = names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect();
    match uris[..] {
        [uri] => Ok(uri),
        _ => Err(SpiffeError::UriCount(uris.len())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn each_role_has_one_spelling() {
        for uri in [
            "spiffe://commun.example/coordinator",
            "spiffe://commun.example/holder/proximus",
            "spiffe://commun.example/agency/statbel/user/dashboard-1",
            "spiffe://commun.example/officer/a",
            "spiffe://commun.example/operator/ops",
        ] {
            assert_eq!(uri.parse::<SpiffeId>().unwrap().to_string(), uri);
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        let long = format!("spiffe://td/holder/{}", "a".repeat(MAX_NAME_BYTES + 1));
        for uri in [
            "",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td/holder",
            "spiffe://td/holder/",
            "spiffe://td/holder/A",
            "spiffe://td/holder/a/",
            "spiffe://td/holder/a/b",
            "spiffe://td/holder/a%20b",
            "spiffe://td/holder/a?x",
            "spiffe://td/holder/..",
            "spiffe://td/holder/\u{e9}",
            "spiffe://td//coordinator",
            "spiffe://td/Coordinator",
            "spiffe://td/coordinator#",
            "spiffe://td/agency/a/b",
            "spiffe://td/agency/a/user/",
            "SPIFFE://td/coordinator",
            "https://td/coordinator",
            "spiffe:///coordinator",
            "spiffe://TD/coordinator",
            "spiffe://td:1/coordinator",
            "spiffe://u@td/coordinator",
            "spiffe://td./coordinator",
            "spiffe://-td/coordinator",
            "spiffe://127.0.0.1/coordinator",
            " spiffe://td/coordinator",
            long.as_str(),
        ] {
            assert!(uri.parse::<SpiffeId>().is_err(), "{uri}");
        }
    }

    fn leaf(names: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        params.subject_alt_names.extend(names.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_certificate_gives_an_id_only_by_exactly_one_uri() {
        let uri = "spiffe://td/holder/a";
        assert_eq!(SpiffeId::from_leaf(&leaf(&[uri])).unwrap().to_string(), uri);
        assert_eq!(SpiffeId::from_leaf(&leaf(&[])), Err(SpiffeError::UriCount(0)));
        assert_eq!(SpiffeId::from_leaf(&leaf(&[uri, "https://td/"])), Err(SpiffeError::UriCount(2)));
        assert!(matches!(SpiffeId::from_leaf(&leaf(&["https://td/"])), Err(SpiffeError::Uri(_))));
        assert_eq!(SpiffeId::from_leaf(&CertificateDer::from(vec![0x30, 0])), Err(SpiffeError::Certificate));
        let mut trailing = leaf(&[uri]).to_vec();
        trailing.push(0);
        assert_eq!(SpiffeId::from_leaf(&CertificateDer::from(trailing)), Err(SpiffeError::Certificate));
    }
}
