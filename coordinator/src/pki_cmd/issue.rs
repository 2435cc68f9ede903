//! `pki issue`: keys and certificate of one party.

use std::path::Path;

use commun_domain::clock::{Clock, SystemClock};
use commun_identity::{Ca, Role, SpiffeId, Validity, keyfile};

use super::{IssueArgs, PkiCmdError, make_folder, new_key, say, write_public};

pub(super) fn issue(args: &IssueArgs) -> Result<(), PkiCmdError> {
    let ca = Ca::from_files(&args.ca.join("ca.crt"), &args.ca.join("ca.key"))?;
    let id: SpiffeId = format!("spiffe://{}/{}", ca.trust_domain(), args.role).parse()?;
    issue_to(&ca, &id, Validity::days(SystemClock.now_unix(), args.days), &args.out)?;
    say(&format!("{}: certificate of {id}", args.out.display()));
    if let Some(name) = signing_key_file(&id.role) {
        let path = args.out.join(name);
        // A party that only renews its certificate keeps its key: rosters, bundles and permits name it.
        if path.exists() {
            say(&format!("{}: kept as it is", path.display()));
        } else {
            say(&format!("{}: new key, public half {}", path.display(), new_key(&path)?));
        }
    }
    Ok(())
}

/// Writes tls.key and tls.crt into a folder.
pub(super) fn issue_to(ca: &Ca, id: &SpiffeId, validity: Validity, folder: &Path) -> Result<(), PkiCmdError> {
    let issued = ca.issue(id, validity)?;
    make_folder(folder)?;
    keyfile::write_private(&folder.join("tls.key"), issued.key_pem.as_bytes())?;
    write_public(&folder.join("tls.crt"), &issued.cert_pem)
}

/// Name of the Ed25519 key file of a role; `None` where the role signs nothing.
pub(super) fn signing_key_file(role: &Role) -> Option<&'static str> {
    match role {
        Role::Coordinator => Some("log.key"),
        Role::Holder(_) => Some("holder.key"),
        Role::Agency { .. } => Some("query.key"),
        Role::Officer(_) => Some("officer.key"),
        Role::Operator(_) => None,
    }
}
