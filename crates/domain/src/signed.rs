//! A document with detached signatures over its canonical bytes.
//!
//! Signing and verifying are `commun-trust`'s; this is only the form. The file form (`*.signed`) is TOML, so that an officer can look
//! at it with any editor: `kind`, `bytes` (base16) and one `[[signature]]` per key.

use serde::{Deserialize, Serialize};

use crate::canonical_struct;
use crate::encoding::{Bytes, Document, sha256, tag_of};
use crate::ids::{Hash32, KeyId};

/// One Ed25519 signature over the domain-separated hash of a document's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which key signed.
    pub key: KeyId,
    /// RFC 8032 signature.
    pub signature: [u8; 64],
}
canonical_struct!(Signature { key, signature });

/// Canonical bytes of some [`Document`], and signatures over them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedDocument {
    /// Canonical bytes.
    pub bytes: Bytes,
    /// Signatures in the order they were added.
    pub signatures: Vec<Signature>,
}
canonical_struct!(SignedDocument { bytes, signatures });

impl Document for SignedDocument {
    const TAG: &'static str = "commun/signed/v1";
}

/// Why a file is not a signed document.
#[derive(Debug, thiserror::Error)]
pub enum SignedFileError {
    /// Not the TOML that `to_file_text` writes.
    #[error("not a signed document: {0}")]
    Toml(#[from] toml::de::Error),
    /// Hexadecimal digits are wrong.
    #[error("{0} is not hexadecimal of the right length")]
    Hex(&'static str),
    /// The kind named is not the kind of the bytes.
    #[error("the file says it is a \"{said}\" but its bytes are another kind of document")]
    Kind {
        /// What the file says.
        said: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: String,
    bytes: String,
    #[serde(default)]
    signature: Vec<FileSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSignature {
    key_id: String,
    signature: String,
}

impl SignedDocument {
    /// A document that nobody has signed yet.
    pub fn unsigned(document: &impl Document) -> Self {
        Self { bytes: Bytes(document.to_bytes()), signatures: Vec::new() }
    }

    /// SHA-256 of the document's bytes, signatures left out: its identity.
    pub fn document_hash(&self) -> Hash32 {
        sha256(&self.bytes.0)
    }

    /// The text of a `*.signed` file.
    pub fn to_file_text(&self) -> String {
        let mut text = format!(
            "kind = \"{}\"\nbytes = \"{}\"\n",
            tag_of(&self.bytes.0).unwrap_or("unknown").escape_default(),
            hex::encode(&self.bytes.0)
        );
        for signature in &self.signatures {
            text.push_str("\n[[signature]]\nkey_id = \"");
            text.push_str(&signature.key.to_string());
            text.push_str("\"\nsignature = \"");
            text.push_str(&hex::encode(signature.signature));
            text.push_str("\"\n");
        }
        text
    }

    /// Reads a `*.signed` file.
    pub fn from_file_text(text: &str) -> Result<Self, SignedFileError> {
        let file: File = toml::from_str(text)?;
        let bytes = hex::decode(&file.bytes).map_err(|_| SignedFileError::Hex("bytes"))?;
        if tag_of(&bytes) != Some(file.kind.as_str()) {
            return Err(SignedFileError::Kind { said: file.kind });
        }
        let signatures = file
            .signature
            .iter()
            .map(|entry| {
                let mut signature = [0; 64];
                hex::decode_to_slice(&entry.signature, &mut signature).map_err(|_| SignedFileError::Hex("signature"))?;
                Ok(Signature { key: KeyId::from_hex(&entry.key_id).ok_or(SignedFileError::Hex("key_id"))?, signature })
            })
            .collect::<Result<_, SignedFileError>>()?;
        Ok(Self { bytes: Bytes(bytes), signatures })
    }
}
