//! A signed document in words, for the person who is about to sign it.

use std::fmt::Write as _;

use commun_domain::Document;
use commun_domain::bundle::{Roster, TrustBundle};
use commun_domain::encoding::tag_of;
use commun_domain::signed::SignedDocument;

/// Everything that a trust bundle or roster says; of another kind, what it is and how to read it.
pub(super) fn describe(document: &SignedDocument) -> String {
    let bytes = &document.bytes.0;
    let mut text = format!("{}\nsha256 {}", tag_of(bytes).unwrap_or("unknown").escape_default(), document.document_hash());
    // Writing to a String does not fail.
    if let Ok(bundle) = TrustBundle::from_bytes(bytes) {
        let _ = describe_bundle(&mut text, &bundle);
    } else if let Ok(roster) = Roster::from_bytes(bytes) {
        let _ = describe_roster(&mut text, &roster);
    } else {
        text.push_str("\n(read it first: commun permit show FILE)");
    }
    for signature in &document.signatures {
        let _ = write!(text, "\nalready signed by key {}", signature.key);
    }
    text
}

fn describe_bundle(text: &mut String, bundle: &TrustBundle) -> std::fmt::Result {
    write!(text, "\ntrust bundle {} of {}", bundle.version, bundle.trust_domain.escape_default())?;
    if let Some(previous) = bundle.previous {
        write!(text, ", after {previous}")?;
    }
    write!(text, "\nroot {}\nlog {} {}", bundle.root, bundle.log_origin.escape_default(), bundle.log_key)?;
    write!(text, "\n{} of {} officers must sign:", bundle.threshold, bundle.officers.len())?;
    for officer in &bundle.officers {
        write!(text, "\n  {} {}", officer.office.escape_default(), officer.key)?;
    }
    write!(text, "\n{} of {} witnesses must cosign", bundle.witness_threshold, bundle.witnesses.len())?;
    bundle.witnesses.iter().try_for_each(|witness| write!(text, "\n  {} {}", witness.name.escape_default(), witness.key))
}

fn describe_roster(text: &mut String, roster: &Roster) -> std::fmt::Result {
    write!(text, "\nroster {}, valid from {} to {} (seconds since 1970)", roster.epoch, roster.valid_from_unix, roster.valid_until_unix)?;
    for holder in &roster.holders {
        let (name, contact, datasets) = (holder.name.escape_default(), holder.contact.escape_default(), holder.datasets.join(", "));
        write!(text, "\n  {} {name} {}\n    answers {}; contact: {contact}", holder.index, holder.key, datasets.escape_default())?;
        write!(text, "\n    at least {} survivors, protected against {} colluding", holder.min_survivors, holder.min_colluders)?;
    }
    Ok(())
}
