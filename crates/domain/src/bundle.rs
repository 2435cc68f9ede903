//! Who is trusted: the trust bundle (root, officers, log key, witnesses) and the roster of holders.

use crate::canonical_struct;
use crate::encoding::Document;
use crate::ids::{Hash32, PublicKey};

/// An authorising officer's key. Named by office, never by person: the log cannot forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfficerKey {
    /// The office, for example `apd-officer-1`.
    pub office: String,
    /// Ed25519 key that signs permits and data contracts.
    pub key: PublicKey,
}
canonical_struct!(OfficerKey { office, key });

/// A witness of the log (its cosignatures come with the witness process).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessKey {
    /// Name in C2SP cosignatures.
    pub name: String,
    /// Ed25519 key.
    pub key: PublicKey,
}
canonical_struct!(WitnessKey { name, key });

/// Every key from which trust is derived. Version 1 is pinned by its SHA-256; version v+1 is signed by the root of v and k officers of v.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustBundle {
    /// From 1, without gaps.
    pub version: u32,
    /// Hash of the bundle before; `None` in version 1.
    pub previous: Option<Hash32>,
    /// SPIFFE trust domain.
    pub trust_domain: String,
    /// Root Ed25519 key, kept off line.
    pub root: PublicKey,
    /// Authorising officers.
    pub officers: Vec<OfficerKey>,
    /// How many different officers must sign (k of m).
    pub threshold: u32,
    /// Origin line of the log's checkpoints.
    pub log_origin: String,
    /// Key that signs checkpoints.
    pub log_key: PublicKey,
    /// Witnesses of the log.
    pub witnesses: Vec<WitnessKey>,
    /// How many witnesses must cosign; 0 until witnesses run.
    pub witness_threshold: u32,
}
canonical_struct!(TrustBundle {
    version,
    previous,
    trust_domain,
    root,
    officers,
    threshold,
    log_origin,
    log_key,
    witnesses,
    witness_threshold,
});

impl Document for TrustBundle {
    const TAG: &'static str = "commun/bundle/v1";
}

/// One holder of the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterHolder {
    /// Unique, from 1 (the evaluation point of its secret shares once aggregation comes, hence never 0).
    pub index: u32,
    /// Name in its SPIFFE id.
    pub name: String,
    /// Ed25519 key that signs acceptances and answers.
    pub key: PublicKey,
    /// Names of the data contracts that it answers.
    pub datasets: Vec<String>,
    /// How to reach its engineer: an office's address.
    pub contact: String,
    /// Fewest survivors that it insists on.
    pub min_survivors: u32,
    /// Fewest colluding agents against which it insists to be protected.
    pub min_colluders: u32,
}
canonical_struct!(RosterHolder { index, name, key, datasets, contact, min_survivors, min_colluders });

/// The holders of an epoch. Signed by the root, and by holders of the epoch before (the first: by all of its own).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    /// From 1, without gaps.
    pub epoch: u32,
    /// Sorted by index.
    pub holders: Vec<RosterHolder>,
    /// Seconds since 1970, first valid second.
    pub valid_from_unix: u64,
    /// Seconds since 1970, first second past validity.
    pub valid_until_unix: u64,
}
canonical_struct!(Roster { epoch, holders, valid_from_unix, valid_until_unix });

impl Document for Roster {
    const TAG: &'static str = "commun/roster/v1";
}

impl Roster {
    /// The holder of this name.
    pub fn holder(&self, name: &str) -> Option<&RosterHolder> {
        self.holders.iter().find(|holder| holder.name == name)
    }

    /// The holders that answer a data contract, by index.
    pub fn for_dataset<'a>(&'a self, contract_name: &'a str) -> impl Iterator<Item = &'a RosterHolder> {
        self.holders.iter().filter(move |holder| holder.datasets.iter().any(|name| name == contract_name))
    }
}
