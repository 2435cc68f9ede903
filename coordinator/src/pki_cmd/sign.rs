//! `pki sign`: shows what a document says, then adds a signature to its file.

use commun_identity::keyfile;
use commun_trust::sign::{public_key, sign};

use super::describe::describe;
use super::{PkiCmdError, SignArgs, say};
use crate::config::read_signed;

pub(super) fn sign_file(args: &SignArgs) -> Result<(), PkiCmdError> {
    let mut document = read_signed(&args.document)?;
    let key = keyfile::read_signing_key(&args.key)?;
    say(&describe(&document));
    sign(&mut document, &key)?;
    let new = args.document.with_extension("signed.new");
    let io = |source| PkiCmdError::Io { path: args.document.clone(), source };
    std::fs::write(&new, document.to_file_text()).map_err(io)?;
    std::fs::rename(&new, &args.document).map_err(io)?;
    say(&format!("signed by {}; {} signature(s) now", public_key(&key).id(), document.signatures.len()));
    Ok(())
}
