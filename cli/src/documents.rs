//! `commun permit`, `contract` and `key`: what officers draft, sign, show and publish.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use commun_domain::Document;
use commun_domain::bundle::TrustBundle;
use commun_domain::contract::DataContract;
use commun_domain::contract_toml::parse_contract;
use commun_domain::permit::Permit;
use commun_domain::permit_toml::parse_permit;
use commun_domain::signed::SignedDocument;
use commun_identity::keyfile;
use commun_trust::sign;

use crate::args::{DocumentCommand, KeyCommand};
use crate::client::Client;
use crate::error::{CliError, read, write};
use crate::output::one_line;
use crate::profile::Profile;
use crate::show;

/// `commun permit …`
pub async fn permit(config: Option<&Path>, command: DocumentCommand) -> Result<(), CliError> {
    match command {
        DocumentCommand::Draft { draft, contract, out } => {
            let contract =
                contract.ok_or_else(|| CliError::Usage("a permit is for one data contract: name its file with --contract".to_owned()))?;
            let contract: DataContract = open(&load(&contract)?)?;
            let permit = parse_permit(&read(&draft)?, &contract).map_err(|e| CliError::Document(e.to_string()))?;
            finish_draft(&permit, &out, &show::permit(&permit, &permit.hash()))
        }
        other => shared::<Permit>(config, other, |permit| show::permit(permit, &permit.hash())).await,
    }
}

/// `commun contract …`
pub async fn contract(config: Option<&Path>, command: DocumentCommand) -> Result<(), CliError> {
    match command {
        DocumentCommand::Draft { contract: Some(_), .. } => Err(CliError::Usage("--contract is for permits only".to_owned())),
        DocumentCommand::Draft { draft, contract: None, out } => {
            let contract = parse_contract(&read(&draft)?).map_err(|e| CliError::Document(e.to_string()))?;
            finish_draft(&contract, &out, &show::contract(&contract, &contract.hash()))
        }
        other => shared::<DataContract>(config, other, |contract| show::contract(contract, &contract.hash())).await,
    }
}

/// `commun key …`
pub fn key(command: KeyCommand) -> Result<(), CliError> {
    let fault = |e: keyfile::KeyFileError| CliError::Config(e.to_string());
    let key = match command {
        KeyCommand::New { out } => {
            let key = keyfile::new_signing_key().map_err(fault)?;
            keyfile::write_signing_key(&out, &key).map_err(fault)?;
            key
        }
        KeyCommand::Show { key } => keyfile::read_signing_key(&key).map_err(fault)?,
    };
    let public = sign::public_key(&key);
    print(&format!("public_key = \"{public}\"\nkey_id     = \"{}\"", public.id()))
}

async fn shared<T: Document>(config: Option<&Path>, command: DocumentCommand, text: impl Fn(&T) -> String) -> Result<(), CliError> {
    match command {
        DocumentCommand::Draft { .. } => Err(CliError::Usage("drafting is another command".to_owned())),
        DocumentCommand::Sign { document: path, key } => {
            let mut document = load(&path)?;
            eprintln!("{}", text(&open::<T>(&document)?));
            let key = keyfile::read_signing_key(&key).map_err(|e| CliError::Config(e.to_string()))?;
            sign::sign(&mut document, &key).map_err(|e| CliError::Document(e.to_string()))?;
            write(&path, &document.to_file_text())?;
            eprintln!("signed with key {}: {} signature(s) now", sign::public_key(&key).id().short(), document.signatures.len());
            Ok(())
        }
        DocumentCommand::Show { document: path, bundle } => {
            let document = load(&path)?;
            print(&text(&open::<T>(&document)?))?;
            let bundle = bundle.map(|path| open::<TrustBundle>(&load(&path)?)).transpose()?;
            signers(&document, bundle.as_ref()).iter().try_for_each(|line| print(line))
        }
        DocumentCommand::Publish { document: path } => {
            let document = load(&path)?;
            open::<T>(&document)?;
            let profile = Profile::load(config)?;
            let reply = Client::connect(&profile).await?.publish(&document).await?;
            let known = if reply.known { "it was published before, and still is," } else { "published" };
            eprintln!("{known} as log entry {}", reply.entry);
            print(&document.document_hash().to_string())
        }
    }
}

/// Reads a `*.signed` file.
pub fn load(path: &Path) -> Result<SignedDocument, CliError> {
    SignedDocument::from_file_text(&read(path)?).map_err(|e| CliError::Document(format!("{}: {e}", path.display())))
}

/// The document inside.
pub fn open<T: Document>(document: &SignedDocument) -> Result<T, CliError> {
    T::from_bytes(&document.bytes.0).map_err(|e| CliError::Document(e.to_string()))
}

/// Who has signed: by office where a trust bundle says whose the keys are, and whether that is enough.
fn signers(document: &SignedDocument, bundle: Option<&TrustBundle>) -> Vec<String> {
    if document.signatures.is_empty() {
        return vec!["signed by      nobody yet".to_owned()];
    }
    let Some(bundle) = bundle else {
        let keys = document.signatures.iter().map(|signature| format!("signed by key  {}", signature.key));
        return keys.chain(["signed by      --bundle FILE, a trust bundle, shows whose keys these are".to_owned()]).collect();
    };
    let mut good = BTreeSet::new();
    let mut lines: Vec<String> = Vec::new();
    for signature in &document.signatures {
        let one = SignedDocument { bytes: document.bytes.clone(), signatures: vec![signature.clone()] };
        let officer = bundle.officers.iter().find(|officer| officer.key.id() == signature.key);
        lines.push(match officer {
            Some(officer) if sign::signers(&one, &[officer.key]).is_ok_and(|keys| keys.len() == 1) => {
                good.insert(officer.key);
                format!("signed by      {} (key {})", one_line(&officer.office), signature.key)
            }
            Some(officer) => format!("NOT signed by  {}: the signature with key {} is not good", one_line(&officer.office), signature.key),
            None => format!("signed by key  {}, which is no officer's of trust bundle {}", signature.key, bundle.version),
        });
    }
    // Whose a key is says the bundle alone, and anybody can make one.
    lines.push(format!("trust bundle   {}: compare it with the pin that you were given", bundle.hash()));
    lines.push(format!("signatures     of {} officer(s); trust bundle {} asks for {}", good.len(), bundle.version, bundle.threshold));
    lines
}

fn finish_draft(document: &impl Document, out: &Path, text: &str) -> Result<(), CliError> {
    eprintln!("{text}");
    // Drafting twice must not throw officers' signatures away.
    if out.exists() && load(out).is_ok_and(|known| !known.signatures.is_empty()) {
        let message = format!("{} is signed already; name another file with --out", out.display());
        return Err(CliError::Document(message));
    }
    write(out, &SignedDocument::unsigned(document).to_file_text())?;
    print(&document.hash().to_string())
}

fn print(text: &str) -> Result<(), CliError> {
    writeln!(std::io::stdout(), "{text}").map_err(CliError::Output)
}
