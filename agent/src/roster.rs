//! `commun-agent sign-roster`: adds the holder's signature to a roster, after showing what is signed.

use std::io::Write as _;
use std::path::Path;

use commun_domain::bundle::Roster;
use commun_domain::signed::SignedDocument;
use commun_domain::{Document, KeyId};
use commun_identity::keyfile;

use crate::config::public_key;

/// Largest roster file, in bytes.
const MAX_ROSTER_FILE_BYTES: u64 = 8 << 20;

/// Shows the roster, signs it and writes it back.
pub(crate) fn sign(key_file: &Path, roster_file: &Path) -> anyhow::Result<()> {
    let key = keyfile::read_signing_key(key_file)?;
    let bytes = std::fs::metadata(roster_file).map_err(|error| anyhow::anyhow!("{}: {error}", roster_file.display()))?.len();
    anyhow::ensure!(bytes <= MAX_ROSTER_FILE_BYTES, "{} is larger than {MAX_ROSTER_FILE_BYTES} bytes", roster_file.display());
    let mut signed = SignedDocument::from_file_text(&std::fs::read_to_string(roster_file)?)?;
    let roster = Roster::from_bytes(&signed.bytes.0)?;
    let own = public_key(&key);
    crate::print(&shown(&roster, &signed, own.id()));
    anyhow::ensure!(
        roster.epoch > 1 || roster.holders.iter().any(|holder| holder.key == own),
        "the key in {} is of no holder of this roster; ask the operator to list it, or give another key with --key",
        key_file.display()
    );
    commun_trust::sign(&mut signed, &key)?;
    replace(roster_file, &signed.to_file_text())?;
    crate::print(&format!("signed with key {} ({} signature(s) now)\n", own.id(), signed.signatures.len()));
    Ok(())
}

fn shown(roster: &Roster, signed: &SignedDocument, own: KeyId) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "roster {}, valid from {} to {} (seconds since 1970)\nSHA-256 {}\n",
        roster.epoch,
        roster.valid_from_unix,
        roster.valid_until_unix,
        signed.document_hash()
    );
    for holder in &roster.holders {
        let mine = if holder.key.id() == own { " <- this key" } else { "" };
        let _ = writeln!(
            text,
            "  {} {}: {}; key {}; at least {} survivors, {} colluders; {}{mine}",
            holder.index,
            holder.name,
            holder.datasets.join(", "),
            holder.key,
            holder.min_survivors,
            holder.min_colluders,
            holder.contact
        );
    }
    text
}

/// Replaces a file whole: it is never seen half written.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let new = path.with_extension("signed.new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use commun_domain::bundle::RosterHolder;
    use ed25519_dalek::SigningKey;

    use super::*;

    fn roster(key: &SigningKey) -> Roster {
        let holder = RosterHolder {
            index: 1,
            name: "telco-a".to_owned(),
            key: public_key(key),
            datasets: vec!["mobility".to_owned()],
            contact: "data@telco-a.example".to_owned(),
            min_survivors: 1,
            min_colluders: 0,
        };
        Roster { epoch: 1, holders: vec![holder], valid_from_unix: 0, valid_until_unix: 9 }
    }

    #[test]
    fn a_holder_signs_once_and_a_stranger_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("roster-1.signed");
        let (key, stranger) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let (key_file, stranger_file) = (folder.path().join("holder.key"), folder.path().join("other.key"));
        keyfile::write_signing_key(&key_file, &key).unwrap();
        keyfile::write_signing_key(&stranger_file, &stranger).unwrap();
        std::fs::write(&file, SignedDocument::unsigned(&roster(&key)).to_file_text()).unwrap();
        assert!(sign(&stranger_file, &file).is_err());
        sign(&key_file, &file).unwrap();
        assert!(sign(&key_file, &file).unwrap_err().to_string().contains("already signed"));
        let signed = SignedDocument::from_file_text(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert!(signed.signatures.len() == 1 && commun_trust::verify(&signed, &public_key(&key)));
    }

    #[test]
    fn what_is_signed_is_shown_with_its_hash_and_the_own_line() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let signed = SignedDocument::unsigned(&roster(&key));
        let text = shown(&roster(&key), &signed, public_key(&key).id());
        assert!(text.contains(&signed.document_hash().to_string()) && text.contains("<- this key"), "{text}");
    }
}
