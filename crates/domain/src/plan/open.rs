//! Open group keys: texts whose values nobody has declared.
//!
//! A question that groups by one takes two attempts. In the first each holder releases names alone, never counts, each with enough people behind it
//! (`commun-privacy`, `threshold`). The union of what all holders released is the grid of the second, which releases numbers as for any other key.
//! Until then [`OpenKey::names`] is `None`, and the plan's size is bounded by `max_names`.

use super::{Key, KeySource, PrivatePlan};
use crate::canonical_struct;
use crate::units::Delta;

/// Longest name that a data contract may allow, in bytes.
pub const MAX_NAME_BYTES: u16 = 128;

/// Most names of one holder, and of a grid.
pub const MAX_NAMES: u32 = 1024;

/// Most bytes of one list of names in its canonical encoding (64 KiB).
pub const MAX_NAMES_BYTES: usize = 1 << 16;

/// Bytes that a list, and each text in it, takes beside its own.
const LENGTH_BYTES: usize = 4;

/// A column of open text as a group key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OpenKey {
    /// The column.
    pub column: String,
    /// Longest name, in bytes; a longer text is NULL.
    pub max_bytes: u16,
    /// Most names of the grid.
    pub max_names: u32,
    /// Delta of the names, per partition at one holder.
    pub delta: Delta,
    /// Share of rho that the names take: `share_num / share_den`. With those of the outputs it adds up to 1.
    pub share_num: u32,
    /// See `share_num`.
    pub share_den: u32,
    /// The names of the grid, sorted by their bytes; `None` before they are known.
    pub names: Option<Vec<String>>,
}
canonical_struct!(OpenKey { column, max_bytes, max_names, delta, share_num, share_den, names });

impl OpenKey {
    /// Whether a list is one that a holder may release, or a grid may have: sorted by its bytes, each name once, each possible, and not too many.
    pub fn allows(&self, names: &[String]) -> bool {
        let bytes = names.iter().map(|name| name.len() + LENGTH_BYTES).sum::<usize>() + LENGTH_BYTES;
        names.len() <= self.most()
            && bytes <= MAX_NAMES_BYTES
            && names.is_sorted_by(|one, next| one < next)
            && names.iter().all(|name| is_open_name(name, self.max_bytes))
    }

    /// The first of different names, as many as one list may have, sorted.
    pub fn fitting<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        let mut bytes = LENGTH_BYTES;
        let within = |name: &&str| {
            bytes += name.len() + LENGTH_BYTES;
            bytes <= MAX_NAMES_BYTES
        };
        let mut fitting: Vec<String> = names.take(self.most()).take_while(within).map(str::to_owned).collect();
        fitting.sort_unstable();
        fitting
    }

    fn most(&self) -> usize {
        usize::try_from(self.max_names.min(MAX_NAMES)).unwrap_or(0)
    }
}

/// Whether a text is a name: 1 to `max_bytes` bytes, no white space at its ends, no control characters, and none that are invisible or turn the direction
/// of writing (Unicode's default-ignorable code points, and blanks that are letters or symbols): names are shown on terminals, and two that look alike
/// should be one. Any other text of the column is NULL.
pub fn is_open_name(text: &str, max_bytes: u16) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}')
            || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}')
            || matches!(c, '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
    };
    (1..=usize::from(max_bytes)).contains(&text.len()) && text.trim() == text && !text.chars().any(hidden)
}

impl PrivatePlan {
    /// Its open group key; no plan has more than one.
    pub fn open_key(&self) -> Option<&OpenKey> {
        self.keys.iter().find_map(|key| if let KeySource::Open(open) = &key.source { Some(open) } else { None })
    }

    /// The same question over a grid with these names. Without an open key it is the plan itself.
    #[must_use]
    pub fn with_names(&self, names: &[String]) -> Self {
        self.renamed(Some(names))
    }

    /// The question as it is before names are known.
    #[must_use]
    pub fn without_names(&self) -> Self {
        self.renamed(None)
    }

    fn renamed(&self, names: Option<&[String]>) -> Self {
        let renamed = |key: &Key| match &key.source {
            KeySource::Open(open) => {
                Key { source: KeySource::Open(OpenKey { names: names.map(<[_]>::to_vec), ..open.clone() }), ..key.clone() }
            }
            _ => key.clone(),
        };
        Self { keys: self.keys.iter().map(renamed).collect(), ..self.clone() }
    }

    /// What the first attempt of a question with an open key counts: the different people behind each name, in each partition apart.
    #[must_use]
    pub fn counting_names(&self) -> Self {
        self.counting_people("names")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> OpenKey {
        OpenKey { column: "employer".to_owned(), max_bytes: 8, max_names: 3, delta: Delta::ZERO, share_num: 1, share_den: 2, names: None }
    }

    fn names(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_name_is_short_visible_and_has_no_space_at_its_ends() {
        for text in ["a", "Bpost NV", "Économie", "(a) <b>"] {
            assert_eq!(is_open_name(text, 8), text.len() <= 8, "{text}");
        }
        for text in ["", " ", " a", "a ", "a\n", "a\tb", "\u{1b}[2J", "a\u{202e}b", "a\u{200b}b", "\u{feff}a", "123456789", "ééééé"] {
            assert!(!is_open_name(text, 8), "{text:?}");
        }
        // Default-ignorable ones, and blanks that are letters or symbols.
        for hidden in
            ['\u{34f}', '\u{115f}', '\u{17b4}', '\u{180b}', '\u{2800}', '\u{3164}', '\u{fe0f}', '\u{ffa0}', '\u{fffb}', '\u{e0061}']
        {
            assert!(!is_open_name(&format!("a{hidden}b"), 8), "{hidden:?}");
        }
    }

    #[test]
    fn a_list_is_canonical_or_refused() {
        assert!(key().allows(&[]) && key().allows(&names(&["a", "b", "c"])));
        for bad in [&["b", "a"][..], &["a", "a"], &["a", "b", "c", "d"], &["a", ""], &["a", "b\n"], &["123456789"]] {
            assert!(!key().allows(&names(bad)), "{bad:?}");
        }
    }

    #[test]
    fn what_fits_is_always_allowed() {
        assert_eq!(key().fitting(["c", "a", "d", "b"].into_iter()), names(&["a", "c", "d"]));
        let wide = OpenKey { max_bytes: MAX_NAME_BYTES, max_names: u32::MAX, ..key() };
        let many: Vec<String> = (0..2000).map(|number| format!("{number:0128}")).collect();
        let fitting = wide.fitting(many.iter().map(String::as_str));
        assert!(wide.allows(&fitting));
        // 64 KiB hold 496 names of 128 bytes with their lengths.
        assert_eq!(fitting.len(), 496);
        let short: Vec<String> = (0..2000).map(|number| format!("{number:04}")).collect();
        assert_eq!(wide.fitting(short.iter().map(String::as_str)).len(), MAX_NAMES as usize);
    }
}
