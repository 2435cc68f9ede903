//! The built-in CA: one ECDSA P-256 key that issues a certificate per party.
//!
//! For federations without a PKI of their own; certificates of an external PKI work as well, if they carry the same names. It is
//! called by an operator's command, never by a running daemon. It keeps no list of what it issued and revokes nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::keyfile::{self, KeyFileError};
use crate::spiffe::{self, Role, SpiffeError, SpiffeId, TrustDomain};

/// How far before "now" a certificate begins, in seconds, so that a peer whose clock is behind accepts it.
pub const BACKDATE_SECONDS: u64 = 300;
/// 9999-12-31T23:59:59Z: no certificate can end later (RFC 5280).
const MAX_UNIX_SECONDS: u64 = 253_402_300_799;

/// Why there is no CA or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A certificate that would end before it begins, or after the year 9999.
    #[error("a certificate cannot be valid from {} to {} (seconds since 1970)", .0.not_before_unix, .0.not_after_unix)]
    Validity(Validity),
    /// An id of another federation.
    #[error("{id} is not in this CA's trust domain, {trust_domain}")]
    TrustDomain {
        /// The id asked for.
        id: SpiffeId,
        /// The CA's.
        trust_domain: TrustDomain,
    },
    /// Not a CA certificate of this system.
    #[error("not a CA certificate of this system: {0}")]
    NotACa(&'static str),
    /// Names in a certificate.
    #[error(transparent)]
    Spiffe(#[from] SpiffeError),
    /// A key file.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The certificate library.
    #[error("the certificate cannot be made: {0}")]
    Rcgen(#[from] rcgen::Error),
}

/// When a certificate is valid, in seconds since 1970-01-01 UTC, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before_unix: u64,
    /// The last second.
    pub not_after_unix: u64,
}

impl Validity {
    /// From [`BACKDATE_SECONDS`] before now, for this many days from now.
    pub fn days(now_unix: u64, days: u32) -> Self {
        Self {
            not_before_unix: now_unix.saturating_sub(BACKDATE_SECONDS),
            not_after_unix: now_unix.saturating_add(u64::from(days) * 86_400),
        }
    }

    fn apply(self, params: &mut CertificateParams) -> Result<(), PkiError> {
        if self.not_before_unix > self.not_after_unix || self.not_after_unix > MAX_UNIX_SECONDS {
            return Err(PkiError::Validity(self));
        }
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(self.not_before_unix);
        params.not_after = epoch + Duration::from_secs(self.not_after_unix);
        Ok(())
    }
}

/// A new certificate with its key.
pub struct Issued {
    /// The certificate, PEM.
    pub cert_pem: String,
    /// Its key, PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
}

/// The CA of one trust domain.
pub struct Ca {
    trust_domain: TrustDomain,
    cert_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    /// A new CA with a new key.
    pub fn create(trust_domain: &TrustDomain, validity: Validity) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(&ca_common_name(&key), validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // X.509-SVID: a signing certificate carries the trust domain alone.
        params.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
        let cert_pem = params.self_signed(&key)?.pem();
        Ok(Self { trust_domain: trust_domain.clone(), cert_pem, issuer: Issuer::new(params, key) })
    }

    /// A CA from its certificate and its PKCS#8 key, both PEM.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let der = CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|_| SpiffeError::Certificate)?;
        let certificate = spiffe::parse(&der)?;
        if !certificate.is_ca() {
            return Err(PkiError::NotACa("it may not sign certificates"));
        }
        let trust_domain = spiffe::only_uri(&certificate)?
            .strip_prefix("spiffe://")
            .ok_or(PkiError::NotACa("its URI name is no spiffe:// domain"))?
            .parse()?;
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key_pem, &PKCS_ECDSA_P256_SHA256)?;
        if key.public_key_raw() != &*certificate.public_key().subject_public_key.data {
            return Err(PkiError::NotACa("the key is another certificate's"));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)?;
        Ok(Self { trust_domain, cert_pem: cert_pem.to_owned(), issuer })
    }

    /// A CA from its two files; the key's must be private to its owner.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, PkiError> {
        let cert_pem = keyfile::read_public(cert)?;
        Self::from_pem(&cert_pem, &keyfile::read_private(key)?)
    }

    /// The federation that it issues for.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Its certificate, PEM: what every party pins.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Its key, PKCS#8 PEM, to be written by [`keyfile::write_private`].
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// Issues a certificate with a new key.
    ///
    /// The coordinator's is for both ends of a connection and also has the DNS names `coordinator.<trust domain>` and `localhost`
    /// and the address 127.0.0.1; every other one is for clients only and has no name but its id.
    pub fn issue(&self, id: &SpiffeId, validity: Validity) -> Result<Issued, PkiError> {
        if id.trust_domain != self.trust_domain {
            return Err(PkiError::TrustDomain { id: id.clone(), trust_domain: self.trust_domain.clone() });
        }
        let mut params = params(common_name(&id.role), validity)?;
        params.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if id.role == Role::Coordinator {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
            params.subject_alt_names.extend([
                SanType::DnsName(self.trust_domain.coordinator_dns_name().try_into()?),
                SanType::DnsName("localhost".try_into()?),
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            ]);
        }
        self.sign(&params)
    }

    /// Signs any leaf: also what tests need to pose as somebody.
    pub(crate) fn sign(&self, params: &CertificateParams) -> Result<Issued, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let cert_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert_pem, key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

/// What every certificate of ours has in common.
pub(crate) fn params(common_name: &str, validity: Validity) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    validity.apply(&mut params)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// Different for each CA, so that a verifier says "unknown issuer" of another one's certificates, and not "bad signature".
fn ca_common_name(key: &KeyPair) -> String {
    format!("Commun CA {}", hex::encode(&Sha256::digest(key.public_key_raw())[..8]))
}

/// For people who list certificates. Who it is stands in the URI SAN alone: a common name has at most 64 characters.
fn common_name(role: &Role) -> &'static str {
    match role {
        Role::Coordinator => "Commun coordinator",
        Role::Holder(_) => "Commun holder",
        Role::Agency { .. } => "Commun agency user",
        Role::Officer(_) => "Commun officer",
        Role::Operator(_) => "Commun operator",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::spiffe::PeerIdentity;

    const NOW: u64 = 1_800_000_000;

    fn ca() -> Ca {
        Ca::create(&"commun.example".parse().unwrap(), Validity::days(NOW, 30)).unwrap()
    }

    #[test]
    fn an_issued_certificate_carries_the_id_and_the_dates_asked_for() {
        let id: SpiffeId = "spiffe://commun.example/agency/statbel/user/a".parse().unwrap();
        let validity = Validity { not_before_unix: 1_000_000_000, not_after_unix: 1_000_000_060 };
        let issued = ca().issue(&id, validity).unwrap();
        let peer = PeerIdentity::from_pem(&issued.cert_pem).unwrap();
        assert_eq!((peer.id, peer.not_after_unix), (id, 1_000_000_060));
        let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
        assert_eq!(spiffe::parse(&der).unwrap().validity().not_before.timestamp(), 1_000_000_000);
    }

    #[test]
    fn only_the_coordinator_may_be_a_server() {
        for (uri, server) in [("spiffe://commun.example/coordinator", true), ("spiffe://commun.example/holder/a", false)] {
            let issued = ca().issue(&uri.parse().unwrap(), Validity::days(NOW, 1)).unwrap();
            let der = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
            let certificate = spiffe::parse(&der).unwrap();
            let usage = certificate.extended_key_usage().unwrap().unwrap().value;
            assert_eq!((usage.client_auth, usage.server_auth, usage.any), (true, server, false), "{uri}");
        }
    }

    #[test]
    fn a_ca_read_from_its_files_issues_what_the_first_one_would() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("ca.pem"), folder.path().join("ca.key"));
        let first = ca();
        std::fs::write(&cert, first.cert_pem()).unwrap();
        keyfile::write_private(&key, first.key_pem().as_bytes()).unwrap();
        let second = Ca::from_files(&cert, &key).unwrap();
        assert_eq!(second.trust_domain(), first.trust_domain());
        let id: SpiffeId = "spiffe://commun.example/holder/a".parse().unwrap();
        let issued = second.issue(&id, Validity::days(NOW, 1)).unwrap();
        let leaf = CertificateDer::from_pem_slice(issued.cert_pem.as_bytes()).unwrap();
        let root = CertificateDer::from_pem_slice(first.cert_pem().as_bytes()).unwrap();
        let (leaf, root) = (spiffe::parse(&leaf).unwrap(), spiffe::parse(&root).unwrap());
        assert_eq!(leaf.issuer(), root.subject());
        leaf.verify_signature(Some(root.public_key())).unwrap();
    }

    #[test]
    fn a_key_of_another_ca_and_a_leaf_are_refused() {
        let (first, second) = (ca(), ca());
        assert!(matches!(Ca::from_pem(first.cert_pem(), &second.key_pem()), Err(PkiError::NotACa(_))));
        let leaf = first.issue(&"spiffe://commun.example/holder/a".parse().unwrap(), Validity::days(NOW, 1)).unwrap();
        assert!(matches!(Ca::from_pem(&leaf.cert_pem, &leaf.key_pem), Err(PkiError::NotACa(_))));
    }

    #[test]
    fn other_trust_domains_and_impossible_dates_are_refused() {
        let other: SpiffeId = "spiffe://other.example/holder/a".parse().unwrap();
        assert!(matches!(ca().issue(&other, Validity::days(NOW, 1)), Err(PkiError::TrustDomain { .. })));
        let id: SpiffeId = "spiffe://commun.example/holder/a".parse().unwrap();
        for (not_before_unix, not_after_unix) in [(2, 1), (0, MAX_UNIX_SECONDS + 1)] {
            let validity = Validity { not_before_unix, not_after_unix };
            assert!(matches!(ca().issue(&id, validity), Err(PkiError::Validity(_))));
        }
    }
}
