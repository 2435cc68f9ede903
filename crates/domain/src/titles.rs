//! Titles for people, in the country's three languages and English.

use serde::Deserialize;

use crate::canonical_struct;

/// One title in four languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Titles {
    /// French.
    pub fr: String,
    /// Dutch.
    pub nl: String,
    /// German.
    pub de: String,
    /// English.
    pub en: String,
}
canonical_struct!(Titles { fr, nl, de, en });
