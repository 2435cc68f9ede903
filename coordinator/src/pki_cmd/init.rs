//! `pki init`: everything that a federation needs before its first start, in one folder per party.

use std::fmt::Write as _;
use std::path::Path;

use commun_domain::bundle::{OfficerKey, Roster, RosterHolder, TrustBundle};
use commun_domain::clock::{Clock, SystemClock};
use commun_domain::encoding::sha256;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, PublicKey};
use commun_identity::{Ca, Name, Role, SpiffeId, TrustDomain, Validity, keyfile};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::issue::{issue_to, signing_key_file};
use super::{InitArgs, PkiCmdError, make_folder, new_key, say, write_public};

/// Fewest colluding holders against which a holder of a new roster is protected, where there is more than one.
const MIN_COLLUDERS: u32 = 1;

/// Fewest survivors that a holder of a new roster insists on, where there is more than one.
const MIN_SURVIVORS: u32 = 2;

pub(super) fn init(args: &InitArgs) -> Result<(), PkiCmdError> {
    check(args)?;
    let out = &args.out;
    if out.exists() && std::fs::read_dir(out).map_err(|source| PkiCmdError::Io { path: out.clone(), source })?.next().is_some() {
        return Err(PkiCmdError::NotEmpty(out.clone()));
    }
    let validity = Validity::days(SystemClock.now_unix(), args.days);
    let ca = Ca::create(&args.trust_domain, validity)?;
    make_folder(&out.join("ca"))?;
    keyfile::write_private(&out.join("ca/ca.key"), ca.key_pem().as_bytes())?;
    write_public(&out.join("ca/ca.crt"), ca.cert_pem())?;

    let party = |role: Role, folder: &str| -> Result<Option<PublicKey>, PkiCmdError> {
        let id = SpiffeId { trust_domain: args.trust_domain.clone(), role };
        let folder = out.join(folder);
        issue_to(&ca, &id, validity, &folder)?;
        signing_key_file(&id.role).map(|name| new_key(&folder.join(name))).transpose()
    };
    let log_key = required(party(Role::Coordinator, "coordinator")?)?;
    let holders = args
        .holders
        .iter()
        .map(|name| required(party(Role::Holder(name.clone()), &format!("holders/{name}"))?))
        .collect::<Result<Vec<_>, _>>()?;
    let officers = args
        .officers
        .iter()
        .map(|name| {
            let key = required(party(Role::Officer(name.clone()), &format!("officers/{name}"))?)?;
            Ok(OfficerKey { office: name.to_string(), key })
        })
        .collect::<Result<Vec<_>, PkiCmdError>>()?;
    for (agency, user) in agencies(args)? {
        party(Role::Agency { agency: agency.clone(), user: user.clone() }, &format!("agencies/{agency}/{user}"))?;
    }
    for name in &args.operators {
        party(Role::Operator(name.clone()), &format!("operators/{name}"))?;
    }
    make_folder(&out.join("root"))?;
    let root = new_key(&out.join("root/root.key"))?;

    let bundle = first_bundle(&args.trust_domain, root, officers, args.threshold, log_key);
    let roster = first_roster(args, &holders, validity);
    write_public(&out.join("bundle-1.signed"), &SignedDocument::unsigned(&bundle).to_file_text())?;
    write_public(&out.join("roster-1.signed"), &SignedDocument::unsigned(&roster).to_file_text())?;
    write_public(&out.join("pins.toml"), &pins(&ca, &bundle)?)?;
    say(&next_steps(args, out));
    Ok(())
}

fn required(key: Option<PublicKey>) -> Result<PublicKey, PkiCmdError> {
    key.ok_or_else(|| PkiCmdError::Usage("this role has no signing key".to_owned()))
}

fn check(args: &InitArgs) -> Result<(), PkiCmdError> {
    let usage = |text: String| Err(PkiCmdError::Usage(text));
    let officers = u32::try_from(args.officers.len()).unwrap_or(u32::MAX);
    let least = commun_trust::state::MIN_OFFICER_THRESHOLD;
    if args.threshold < least || args.threshold > officers {
        return usage(format!("--threshold must be between {least} and the number of officers ({officers})"));
    }
    if let Some(name) = args.datasets.iter().find(|name| !commun_domain::ids::is_name(name)) {
        return usage(format!("--datasets: \"{}\" is no name of a data contract", name.escape_default()));
    }
    let agencies = agencies(args)?;
    let repeated = repeated(&args.holders).or(repeated(&args.officers)).or(repeated(&args.operators));
    let repeated = repeated.map(ToString::to_string).or_else(|| repeated_pair(&agencies));
    repeated.map_or(Ok(()), |name| usage(format!("{name} is named twice")))
}

fn repeated(names: &[Name]) -> Option<&Name> {
    names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)).map(|(_, name)| name)
}

fn repeated_pair(pairs: &[(Name, Name)]) -> Option<String> {
    pairs.iter().enumerate().find(|(at, pair)| pairs[..*at].contains(pair)).map(|(_, (agency, user))| format!("{agency}/{user}"))
}

fn agencies(args: &InitArgs) -> Result<Vec<(Name, Name)>, PkiCmdError> {
    let pair = |text: &String| {
        let (agency, user) = text
            .split_once('/')
            .ok_or_else(|| PkiCmdError::Usage(format!("--agencies: \"{}\" is not AGENCY/USER", text.escape_default())))?;
        Ok((agency.parse()?, user.parse()?))
    };
    args.agencies.iter().map(pair).collect()
}

fn first_bundle(trust_domain: &TrustDomain, root: PublicKey, officers: Vec<OfficerKey>, threshold: u32, log_key: PublicKey) -> TrustBundle {
    TrustBundle {
        version: 1,
        previous: None,
        trust_domain: trust_domain.to_string(),
        root,
        officers,
        threshold,
        log_origin: format!("{trust_domain}/log"),
        log_key,
        witnesses: Vec::new(),
        witness_threshold: 0,
    }
}

fn first_roster(args: &InitArgs, keys: &[PublicKey], validity: Validity) -> Roster {
    let others = u32::try_from(keys.len()).unwrap_or(u32::MAX).saturating_sub(1);
    let holder = |(index, (name, key)): (u32, (&Name, &PublicKey))| RosterHolder {
        index,
        name: name.to_string(),
        key: *key,
        datasets: args.datasets.clone(),
        contact: format!("the privacy office of {name}"),
        min_survivors: MIN_SURVIVORS.min(others + 1),
        min_colluders: MIN_COLLUDERS.min(others),
    };
    Roster {
        epoch: 1,
        holders: (1..).zip(args.holders.iter().zip(keys)).map(holder).collect(),
        valid_from_unix: validity.not_before_unix,
        valid_until_unix: validity.not_after_unix,
    }
}

/// The three pins that every party compares out of band and puts into its configuration.
fn pins(ca: &Ca, bundle: &TrustBundle) -> Result<String, PkiCmdError> {
    let der = CertificateDer::from_pem_slice(ca.cert_pem().as_bytes()).map_err(|_| commun_identity::SpiffeError::Certificate)?;
    let mut text = String::from("# What every party pins: compare these with the supervisor's, out of band.\n");
    let lines = [
        ("trust_domain", ca.trust_domain().to_string()),
        ("ca_sha256", sha256(&der).to_string()),
        ("bundle_sha256", bundle.hash().to_string()),
    ];
    for (key, value) in lines {
        let _ = writeln!(text, "{key} = \"{value}\"");
    }
    Ok(text)
}

fn next_steps(args: &InitArgs, out: &Path) -> String {
    let out = out.display();
    let mut text = format!(
        "made {out}; sign now, each on the machine that holds the key:\n  commun-coordinator pki sign --key {out}/root/root.key {out}/bundle-1.signed"
    );
    for key in std::iter::once("root/root.key".to_owned()).chain(args.holders.iter().map(|name| format!("holders/{name}/holder.key"))) {
        let _ = write!(text, "\n  commun-coordinator pki sign --key {out}/{key} {out}/roster-1.signed");
    }
    text.push_str("\nthen hand each folder to its party, and take root/ and ca/ off this machine");
    text
}
