//! Partition calendars: the periods into which a budget domain divides time, for ever.

use serde::Deserialize;

use crate::canonical_enum;
use crate::encoding::{Decode, DecodeError, Encode, Reader};

/// How time is divided into partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Calendar {
    /// `2011-01`.
    Month,
    /// `2011`.
    Year,
}
canonical_enum!(Calendar { Month = 1, Year = 2 });

/// One partition of a calendar: months or years since year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub i32);

impl Encode for Period {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for Period {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        i32::decode(reader).map(Self)
    }
}

impl Calendar {
    /// Reads a period as it is written in SQL and in data; `None` for any other text (`2011-1`, `2011-13`, `11-01`).
    pub fn parse(self, text: &str) -> Option<Period> {
        let digits = |text: &str, length: usize| -> Option<i32> {
            (text.len() == length && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
        };
        match self {
            Self::Month => {
                let (year, month) = text.split_once('-')?;
                let (year, month) = (digits(year, 4)?, digits(month, 2)?);
                (1..=12).contains(&month).then_some(Period(year * 12 + month - 1))
            }
            Self::Year => digits(text, 4).map(Period),
        }
    }

    /// Writes a period as [`Calendar::parse`] reads it.
    pub fn format(self, period: Period) -> String {
        match self {
            Self::Month => format!("{:04}-{:02}", period.0.div_euclid(12), period.0.rem_euclid(12) + 1),
            Self::Year => format!("{:04}", period.0),
        }
    }

    /// What a period looks like, for hints.
    pub fn example(self) -> &'static str {
        match self {
            Self::Month => "'2011-01'",
            Self::Year => "'2011'",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_strictly_and_written_back() {
        for text in ["2011-01", "0001-12", "9999-06"] {
            let period = Calendar::Month.parse(text).map(|p| Calendar::Month.format(p));
            assert_eq!(period.as_deref(), Some(text));
        }
        for text in ["2011-1", "2011-13", "2011-00", "11-01", "2011", "2011-01-01", "+011-01", ""] {
            assert_eq!(Calendar::Month.parse(text), None, "{text}");
        }
        assert_eq!(Calendar::Year.parse("2011"), Some(Period(2011)));
    }
}
